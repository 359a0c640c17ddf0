//! Why a stage runs, in words: the difference between its fingerprint and the nearest earlier one.

use crate::base::digest::Hash;
use crate::base::text::{shell_join, visible};
use crate::cache::fingerprint::{Change, Fingerprint, Ingredient, Kind, unlist};
use crate::store::{local::Store, records::Lookup};

/// How many earlier results are compared with.
const MOST: usize = 8;

/// The most bytes of fingerprints that are read for the sake of one line.
const MOST_BYTES: u64 = 64 << 20;

/// What differs between a stage now and when it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key of the earlier result.
    pub earlier: Hash,
    /// Each difference, as one line.
    pub lines: Vec<String>,
}

/// Returns in one line why there is no result for this key: how it differs from the nearest of the earlier ones with these keys.
pub(super) fn nearest(store: &Store, keys: &[Hash], now: &Fingerprint, key: &Hash) -> String {
    if keys.contains(key) {
        return "its stored result is gone".to_owned();
    }
    match difference(store, keys, now) {
        Some(difference) => summary(&difference.lines),
        None if keys.is_empty() => "no earlier result".to_owned(),
        None => "its earlier results are gone".to_owned(),
    }
}

/// Returns the whole difference to the earlier result, of those with these keys (the newest first), that differs least.
pub(super) fn difference(store: &Store, keys: &[Hash], now: &Fingerprint) -> Option<Difference> {
    let mut best: Option<(usize, Hash, Fingerprint)> = None;
    let mut read = 0;
    for key in keys.iter().take(MOST) {
        let Lookup::Found(result) = store.lookup(key) else { continue };
        read += result.fingerprint.size;
        if read > MOST_BYTES && best.is_some() {
            break;
        }
        let Some(then) = store.read(&result.fingerprint).ok().and_then(Fingerprint::parse) else { continue };
        let count = now.changes(&then).len();
        if best.as_ref().is_none_or(|(least, ..)| count < *least) {
            best = Some((count, *key, then));
        }
    }
    best.map(|(_, earlier, then)| Difference { earlier, lines: now.changes(&then).iter().map(describe).collect() })
}

/// Returns the first of `lines`, and how many more there are.
pub(super) fn summary(lines: &[String]) -> String {
    match lines {
        [] => "nothing changed".to_owned(),
        [only] => only.clone(),
        [first, more @ ..] => format!("{first}, +{} more", more.len()),
    }
}

/// Returns one difference in words.
pub(super) fn describe(change: &Change<'_>) -> String {
    let (Change::New(of) | Change::Gone(of) | Change::Changed(_, of)) = change;
    let name = visible(&String::from_utf8_lossy(of.name)).into_owned();
    let verb = |new: &str, gone: &str, changed: &str| match change {
        Change::New(_) => new.to_owned(),
        Change::Gone(_) => gone.to_owned(),
        Change::Changed(..) => changed.to_owned(),
    };
    match of.kind {
        Kind::Platform => verb("the platform is known now", "the platform is not known", "the platform is another"),
        Kind::Stage => format!("the stage is called `{name}` now"),
        Kind::Shell => format!("the shell {}", verb("is used now", "is not used any more", "changed")),
        Kind::Step => step(change, &name),
        Kind::Variable => variable(change, &name),
        Kind::Passed => passed(change, &name),
        Kind::Secret => format!("the secret `{name}` {}", verb("is declared now", "is not declared any more", "changed")),
        Kind::Tool => format!("tool `{name}` {}", verb("is used now", "is not used any more", "is another")),
        Kind::Output => format!("output `{name}` {}", verb("is declared now", "is not declared any more", "is another kind of pattern")),
        Kind::Setting => match name.strip_prefix("service ") {
            Some(service) => format!("service `{service}` {}", verb("is used now", "is not used any more", "changed")),
            None => format!("the setting `{name}` changed"),
        },
        Kind::Need => format!("`{name}` {}", verb("is needed now", "is not needed any more", "gave something else")),
        Kind::Input => input(change, &name),
    }
}

fn step(change: &Change<'_>, number: &str) -> String {
    let number = number.trim_start_matches('0');
    let show = |of: &Ingredient<'_>| {
        let words = unlist(of.value).into_iter().skip(2).map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>();
        let line = if of.value.starts_with(&[5, 0, 0, 0, b's']) { words.join(" ") } else { shell_join(words.iter().map(String::as_str)) };
        let line = visible(&line).into_owned();
        if line.chars().count() > 60 { line.chars().take(59).chain(['…']).collect() } else { line }
    };
    match change {
        Change::New(now) => format!("step {number} is new: {}", show(now)),
        Change::Gone(then) => format!("step {number} is gone: {}", show(then)),
        Change::Changed(then, now) if show(then) == show(now) => format!("step {number} changed: {}", show(now)),
        Change::Changed(then, now) => format!("step {number} changed: {} -> {}", show(then), show(now)),
    }
}

fn variable(change: &Change<'_>, name: &str) -> String {
    let name =
        name.split_once(" in step ").map_or(name.to_owned(), |(name, step)| format!("{name} in step {}", step.trim_start_matches('0')));
    let show = |of: &Ingredient<'_>| shell_join([visible(&String::from_utf8_lossy(of.value)).as_ref()]);
    match change {
        Change::New(now) => format!("env {name} is set now: {}", show(now)),
        Change::Gone(_) => format!("env {name} is not set any more"),
        Change::Changed(then, now) => format!("env {name} changed: {} -> {}", show(then), show(now)),
    }
}

fn passed(change: &Change<'_>, name: &str) -> String {
    let is_absent = |of: &Ingredient<'_>| of.value == b"-";
    match change {
        Change::New(now) if is_absent(now) => format!("variable {name} is passed on now, and not set"),
        Change::New(_) => format!("variable {name} is passed on now"),
        Change::Gone(_) => format!("variable {name} is not passed on any more"),
        Change::Changed(then, _) if is_absent(then) => format!("variable {name} is set now"),
        Change::Changed(_, now) if is_absent(now) => format!("variable {name} is not set any more"),
        Change::Changed(..) => format!("variable {name} changed"),
    }
}

fn input(change: &Change<'_>, name: &str) -> String {
    let kind = |of: &Ingredient<'_>| of.value.first().copied().unwrap_or(b'-');
    match change {
        Change::New(_) => format!("{name} is new"),
        Change::Gone(_) => format!("{name} is gone"),
        Change::Changed(then, now) => match (kind(then), kind(now)) {
            (b'-', _) => format!("{name} is there now"),
            (_, b'-') => format!("{name} is not there any more"),
            (b'f', b'x') if then.value[1..] == now.value[1..] => format!("{name} can be executed now"),
            (b'x', b'f') if then.value[1..] == now.value[1..] => format!("{name} cannot be executed any more"),
            (b'l', b'l') => format!("{name} leads elsewhere"),
            _ => format!("{name} changed"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::fingerprint::list;

    fn lines(then: &[(Kind, &str, &[u8])], now: &[(Kind, &str, &[u8])]) -> Vec<String> {
        let build = |parts: &[(Kind, &str, &[u8])]| {
            let mut fingerprint = Fingerprint::default();
            for (kind, name, value) in parts {
                fingerprint.add(*kind, name.as_bytes(), value);
            }
            fingerprint
        };
        build(now).changes(&build(then)).iter().map(describe).collect()
    }

    #[test]
    fn differences_are_told_in_words() {
        let command = |words: &[&str]| list([&b"argv"[..], b""].into_iter().chain(words.iter().map(|word| word.as_bytes())));
        let (one, two) = (command(&["cargo", "test"]), command(&["cargo", "test", "--all"]));
        let then: &[(Kind, &str, &[u8])] = &[
            (Kind::Step, "00001", &one),
            (Kind::Variable, "MODE", b"fast"),
            (Kind::Passed, "CI", b"-"),
            (Kind::Tool, "cc", b"1"),
            (Kind::Need, "build", b"1"),
            (Kind::Input, "a", b"f1"),
            (Kind::Input, "b", b"f1"),
            (Kind::Input, "c", b"f1"),
        ];
        let now: &[(Kind, &str, &[u8])] = &[
            (Kind::Step, "00001", &two),
            (Kind::Variable, "MODE", b"slow"),
            (Kind::Passed, "CI", b"=1"),
            (Kind::Tool, "cc", b"2"),
            (Kind::Need, "build", b"2"),
            (Kind::Input, "a", b"f2"),
            (Kind::Input, "c", b"x1"),
            (Kind::Input, "d", b"f1"),
        ];
        let expected = [
            "step 1 changed: cargo test -> cargo test --all",
            "env MODE changed: fast -> slow",
            "variable CI is set now",
            "tool `cc` is another",
            "`build` gave something else",
            "a changed",
            "b is gone",
            "c can be executed now",
            "d is new",
        ];
        assert_eq!(lines(then, now), expected);
        assert_eq!(summary(&lines(then, now)[5..]), "a changed, +3 more");
    }
}
