//! Texts with placeholders, such as `{release}`: which ones they have, and what they become.
//!
//! `{{` is a brace, and so is the `}}` that belongs to it. A brace that begins no name is just a brace, so that JSON may be written as
//! it is.

use std::ops::Range;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
enum Part<'t> {
    Plain(&'t str),
    /// A name between braces, and where it stands with them.
    Name(&'t str, Range<usize>),
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut at, mut plain, mut open) = (0, 0, 0_usize);
    while let Some(found) = text[at..].find(['{', '}']).map(|found| at + found) {
        let rest = &text[found..];
        let (part, length) = if rest.starts_with("{{") {
            open += 1;
            (Part::Plain("{"), 2)
        } else if rest.starts_with("}}") && open > 0 {
            open -= 1;
            (Part::Plain("}"), 2)
        } else if let Some(name) = name(rest) {
            (Part::Name(name, found..found + name.len() + 2), name.len() + 2)
        } else {
            at = found + 1;
            continue;
        };
        parts.push(Part::Plain(&text[plain..found]));
        parts.push(part);
        at = found + length;
        plain = at;
    }
    parts.push(Part::Plain(&text[plain..]));
    parts
}

/// Returns the name with which `text` begins, between braces.
fn name(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    is_name.then_some(name)
}

/// Returns the placeholders of `text`, and where each stands in it.
pub fn names(text: &str) -> Vec<(&str, Range<usize>)> {
    parts(text).into_iter().filter_map(|part| if let Part::Name(name, at) = part { Some((name, at)) } else { None }).collect()
}

/// Returns `text` with what `value` says for each placeholder; one of which it says nothing stays.
pub fn fill<'v>(text: &str, value: impl Fn(&str) -> Option<&'v str>) -> String {
    let filled = |part: &Part<'_>| match part {
        Part::Plain(text) => (*text).to_owned(),
        Part::Name(name, _) => value(name).map_or_else(|| format!("{{{name}}}"), str::to_owned),
    };
    parts(text).iter().map(filled).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn placeholders_are_found_and_filled() {
        let value = |name: &str| if name == "a" { Some("1") } else { None };
        for (text, found, filled) in [
            ("", vec![], ""),
            ("x{a}y", vec!["a"], "x1y"),
            ("{a}{b}", vec!["a", "b"], "1{b}"),
            ("{{a}}", vec![], "{a}"),
            (r#"{"a": {"b": 1}}"#, vec![], r#"{"a": {"b": 1}}"#),
            (r#"{{"a": {{"b": "{a}"}}}}"#, vec!["a"], r#"{"a": {"b": "1"}}"#),
            ("{ a }", vec![], "{ a }"),
            ("{", vec![], "{"),
            ("}}", vec![], "}}"),
            ("${a}", vec!["a"], "$1"),
            ("ö{a}ö", vec!["a"], "ö1ö"),
        ] {
            assert_eq!(names(text).iter().map(|(name, _)| *name).collect::<Vec<_>>(), found, "{text}");
            assert_eq!(fill(text, value), filled, "{text}");
            assert!(names(text).iter().all(|(name, at)| text[at.clone()] == format!("{{{name}}}")));
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[{}a-c \"ö]{0,20}") {
            let once = fill(&text, |_| Some("x"));
            prop_assert!(once.len() <= text.len());
            if !text.contains(['{', '}']) {
                prop_assert_eq!(once, text);
            }
        }
    }
}
