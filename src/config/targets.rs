//! From the fields of a target to the target.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::fields::{At, Fields, Pairs};
use super::include::File;
use super::services::address;
use super::stages::Builder;
use super::templates::{KNOWN, check, check_command, known_with, step};
use crate::base::diagnostic::Diagnostic;
use crate::base::placeholder::fill;
use crate::model::service::READY_WITHIN;
use crate::model::target::{Commands, Directory, Flag, Kind, Process, Readiness, Sign, Slots, Target, told_of};

/// How many versions a directory keeps beside those in use.
const RETAIN: u32 = 5;

/// How long connections of a release that ends may last.
const DRAIN: Duration = Duration::from_secs(30);

/// The keys of each kind: those it must have, and those it may have.
const KEYS: &[(&str, &[&str], &[&str])] = &[
    ("directory", &["path"], &["retain"]),
    ("process", &["start", "listen"], &["ready", "drain"]),
    ("command", &["start"], &["ready", "shift", "stop", "observe", "slots"]),
    ("flag", &["file", "flag", "variant"], &[]),
];

/// Returns the targets of a file, and where the name of each stands. One that is not whole is left out; its problems are told.
pub(super) fn all(file: &File, problems: &mut Vec<Diagnostic>) -> Vec<(At<String>, Target)> {
    let home = file.home(0);
    let mut targets = Vec::new();
    let mut folders: BTreeMap<PathBuf, Range<usize>> = BTreeMap::new();
    for (name, fields) in file.fields.tables("targets").unwrap_or_default() {
        let mut builder = Builder { home: home.clone(), defaults: Fields::default(), problems };
        if let Some(kind) = kind(&mut builder, name, fields) {
            if let Kind::Directory(directory) = &kind {
                let place = fields.span("path");
                if let Some(first) = folders.insert(plain(&directory.path), place.clone()) {
                    let message =
                        format!("two targets have the folder `{}`, and its link leads to one release", directory.path.escape_debug());
                    let problem = Diagnostic::error(message, place, "the same folder").and(first, "first named here");
                    problems.push(problem.help("give each target a folder of its own"));
                }
            }
            targets.push((name.clone(), Target { name: name.value.as_str().into(), kind }));
        }
    }
    targets
}

/// Returns the path without what leads nowhere: `a/../b/./c/` is `b/c`.
fn plain(path: &str) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => drop(plain.pop()),
            Component::CurDir => {}
            part @ (Component::Prefix(_) | Component::RootDir | Component::ParentDir | Component::Normal(_)) => plain.push(part),
        }
    }
    plain
}

fn kind(builder: &mut Builder<'_>, name: &At<String>, fields: &Fields) -> Option<Kind> {
    let (kind, needed, allowed) = KEYS.iter().find(|(kind, ..)| fields.text("kind") == Some(kind))?;
    for key in needed.iter().filter(|key| !fields.values.contains_key(*key)) {
        let message = format!("the target `{}` has no `{key}`, which one of the kind `{kind}` needs", name.value);
        builder.problems.push(Diagnostic::error(message, name.span.clone(), format!("`{key}` is missing")));
    }
    let mut foreign: Vec<&str> =
        fields.values.keys().copied().filter(|key| *key != "kind" && !needed.contains(key) && !allowed.contains(key)).collect();
    foreign.sort_unstable();
    for key in foreign {
        let known = needed.iter().chain(*allowed).map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        let message = format!("a target of the kind `{kind}` has no key `{key}`");
        builder.problems.push(Diagnostic::error(message, fields.span(key), "of another kind").help(format!("its keys are {known}")));
    }
    let text = |key: &str| fields.text(key).map(str::to_owned);
    Some(match *kind {
        "directory" => Kind::Directory(Directory { path: text("path")?, retain: fields.count("retain").copied().unwrap_or(RETAIN) }),
        "process" => Kind::Process(Process {
            start: step(builder, fields, "start", &known_with(["slot", "port"]))?,
            listen: listen(fields, builder.problems)?,
            ready: ready_process(fields, builder.problems),
            drain: fields.duration("drain").copied().unwrap_or(DRAIN),
        }),
        "command" => return commands(builder, fields),
        _ => Kind::Flag(Flag { file: text("file")?, flag: text("flag")?, variant: text("variant")? }),
    })
}

/// Returns how a process shows that it can be used: a path is one of its own, and at the least it listens.
fn ready_process(fields: &Fields, problems: &mut Vec<Diagnostic>) -> Readiness {
    let own = || Sign::Port("{port}".to_owned());
    let before = problems.len();
    let ready = readiness(fields, &known_with(["slot", "port"]), problems);
    let Readiness { sign, within } = ready.unwrap_or_else(|| Readiness { sign: own(), within: READY_WITHIN });
    let sign = match sign {
        Sign::Http(path) if path.starts_with('/') => Sign::Http(format!("http://127.0.0.1:{{port}}{path}")),
        Sign::Http(_) | Sign::Port(_) | Sign::Command(_) => sign,
    };
    if problems.len() == before {
        check_sign(&sign, &Slots::new(), fields, problems);
    }
    Readiness { sign, within }
}

fn listen(fields: &Fields, problems: &mut Vec<Diagnostic>) -> Option<SocketAddr> {
    let text = fields.text("listen")?;
    // A port that the system chooses nobody would know.
    let address = text.parse().ok().filter(|address: &SocketAddr| address.port() > 0);
    if address.is_none() {
        let message = format!("`{}` is no address to listen on", text.escape_debug());
        let help = "an address is HOST:PORT with a number for the host: 127.0.0.1:8080, [::1]:8080";
        problems.push(Diagnostic::error(message, fields.span("listen"), "not an address").help(help));
    }
    address
}

fn commands(builder: &mut Builder<'_>, fields: &Fields) -> Option<Kind> {
    let before = builder.problems.len();
    let slots = slots(fields, builder.problems);
    let are_right = builder.problems.len() == before;
    let known = known_with(told_of(&slots));
    let start = step(builder, fields, "start", &known);
    let ready = readiness(fields, &known, builder.problems);
    if let Some(Readiness { sign, .. }) = ready.as_ref().filter(|_| are_right) {
        check_sign(sign, &slots, fields, builder.problems);
    }
    let (shift, stop) = (step(builder, fields, "shift", &known), step(builder, fields, "stop", &known));
    let observe = step(builder, fields, "observe", &known);
    Some(Kind::Command(Box::new(Commands { start: start?, ready, shift, stop, observe, slots })))
}

fn readiness(fields: &Fields, known: &[&str], problems: &mut Vec<Diagnostic>) -> Option<Readiness> {
    let ready = fields.table("ready")?;
    let sign = if let Some(text) = ready.text("port") {
        check(text, &ready.span("port"), known, problems);
        Sign::Port(text.to_owned())
    } else if let Some(text) = ready.text("http") {
        check(text, &ready.span("http"), known, problems);
        Sign::Http(text.to_owned())
    } else {
        let command = ready.command("command")?;
        check_command(Some(command), ready, "command", known, problems);
        Sign::Command(command.clone())
    };
    Some(Readiness { sign, within: ready.duration("timeout").copied().unwrap_or(READY_WITHIN) })
}

/// Says what cannot be asked with the values of the first slot for which that is so.
fn check_sign(sign: &Sign, slots: &Slots, fields: &Fields, problems: &mut Vec<Diagnostic>) {
    let Some(ready) = fields.table("ready") else { return };
    let none = Slots::from([(String::new(), BTreeMap::new())]);
    for (slot, table) in if slots.is_empty() { &none } else { slots } {
        // What is known only when a release comes in may be anything.
        let value = |name: &str| if name == "slot" { slot.as_str() } else { table.get(name).map_or("1", String::as_str) };
        let filled = |text: &str| fill(text, |name| Some(value(name)));
        let is_right = match sign {
            Sign::Http(text) => address(&filled(text), ready, problems).is_some(),
            Sign::Port(text) => {
                if !is_port(&filled(text)) {
                    problems.push(no_port(&filled(text), ready.span("port")));
                }
                is_port(&filled(text))
            }
            Sign::Command(_) => true,
        };
        if !is_right {
            return;
        }
    }
}

/// What slots cannot have for a key: they mean something else.
const TAKEN: &[&str] = &["slot", "stage", "service"];

fn slots(fields: &Fields, problems: &mut Vec<Diagnostic>) -> Slots {
    let Some(tables) = fields.named("slots") else { return BTreeMap::new() };
    let span = fields.span("slots");
    if tables.len() != 2 {
        let help = "one serves while the other is filled: slots = { blue = { port = 8081 }, green = { port = 8082 } }";
        let message = format!("a target has two slots, not {}", tables.len());
        problems.push(Diagnostic::error(message, span, "not two").help(help));
    }
    let mut all = tables.iter().flat_map(|(name, values)| values.iter().map(move |(key, value)| (name, key, value)));
    problems.extend(all.find_map(|(name, key, value)| wrong_in_slot(tables, name, key, value)));
    let table = |values: &[(At<String>, At<String>)]| values.iter().map(|(key, value)| (key.value.clone(), value.value.clone())).collect();
    tables.iter().map(|(name, values)| (name.value.clone(), table(values))).collect()
}

/// Returns what is wrong with a key of a slot, among all slots.
fn wrong_in_slot(slots: &[(At<String>, Pairs)], name: &At<String>, key: &At<String>, value: &At<String>) -> Option<Diagnostic> {
    let lacks = |(_, others): &&(At<String>, Pairs)| others.iter().all(|(other, _)| other.value != key.value);
    // As a variable it has no case.
    let lower = key.value.to_ascii_lowercase();
    if KNOWN.contains(&lower.as_str()) || TAKEN.contains(&lower.as_str()) {
        let message = format!("the slot `{}` has a key `{}`, which is the name of something else", name.value, key.value);
        return Some(Diagnostic::error(message, key.span.clone(), "another name is needed"));
    }
    if let Some((other, _)) = slots.iter().find(lacks) {
        let message = format!("the slot `{}` has a key `{}`, and `{}` has not", name.value, key.value, other.value);
        return Some(Diagnostic::error(message, key.span.clone(), "only of one slot").help("commands are told the same of both"));
    }
    if key.value != "port" {
        return None;
    }
    if !is_port(&value.value) {
        return Some(no_port(&value.value, value.span.clone()));
    }
    let before = slots.iter().take_while(|(other, _)| other.value != name.value);
    let same =
        |(_, pair): &(&At<String>, &(At<String>, At<String>))| pair.0.value == "port" && number(&pair.1.value) == number(&value.value);
    let (other, (_, port)) = before.flat_map(|(other, pairs)| pairs.iter().map(move |pair| (other, pair))).find(same)?;
    let message = format!("the slots `{}` and `{}` have the same port, so both releases could not run at a time", other.value, name.value);
    Some(Diagnostic::error(message, value.span.clone(), "the same port").and(port.span.clone(), "first named here"))
}

fn number(port: &str) -> Option<u16> {
    port.parse().ok().filter(|port| *port > 0)
}

fn is_port(text: &str) -> bool {
    number(text).is_some()
}

fn no_port(text: &str, span: Range<usize>) -> Diagnostic {
    Diagnostic::error(format!("`{}` is no port: a whole number from 1 to 65535", text.escape_debug()), span, "not a port")
}
