//! Changes single members of a JSON text, and leaves all the rest as it stands, byte for byte.
//!
//! Where a name stands twice in an object, the last one is meant, as most readers have it.

use std::ops::Range;

/// A member of an object.
struct Member {
    name: String,
    /// Where its name begins, with its quote.
    start: usize,
    value: Range<usize>,
}

/// Returns the text with this value for the member that `path` leads to from object to object; one that is not there is put at the end of its
/// object, written as its neighbours are. `None` where the path leads nowhere, or the text is no JSON.
pub fn set(text: &str, path: &[&str], value: &str) -> Option<String> {
    let (members, open) = parent(text, path)?;
    let name = path.last()?;
    if let Some(member) = members.iter().rfind(|member| member.name == *name) {
        return Some(format!("{}{value}{}", &text[..member.value.start], &text[member.value.end..]));
    }
    let quoted = serde_json::to_string(name).ok()?;
    let Some(last) = members.last() else {
        let close = skip_space(text, open)?;
        return Some(format!("{}{quoted}: {value}{}", &text[..open], &text[close..]));
    };
    let before = &text[open..members[0].start];
    let colon = &text[skip(text, last.start)?..last.value.start];
    Some(format!("{},{before}{quoted}{colon}{value}{}", &text[..last.value.end], &text[last.value.end..]))
}

/// Returns the text without the member that `path` leads to; as it is where that is not there. `None` as with [`set`].
pub fn remove(text: &str, path: &[&str]) -> Option<String> {
    let (members, open) = parent(text, path)?;
    let Some(place) = members.iter().rposition(|member| Some(&&*member.name) == path.last()) else { return Some(text.to_owned()) };
    let member = &members[place];
    let gone = match (place.checked_sub(1), members.get(place + 1)) {
        (_, Some(next)) => member.start..next.start,
        (Some(before), None) => members[before].value.end..member.value.end,
        (None, None) => open..skip_space(text, member.value.end)?,
    };
    Some(format!("{}{}", &text[..gone.start], &text[gone.end..]))
}

/// Returns the members of the object that the member at `path` is in or would be, and where that object's inside begins.
fn parent(text: &str, path: &[&str]) -> Option<(Vec<Member>, usize)> {
    // From here on the text is known to be one.
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut start = skip_space(text, 0)?;
    let mut inside = members(text, start)?;
    for name in &path[..path.len().checked_sub(1)?] {
        start = inside.into_iter().rfind(|member| member.name == *name)?.value.start;
        inside = members(text, start)?;
    }
    Some((inside, start + 1))
}

/// Returns the members of the object that begins at `start`; `None` where something else does.
fn members(text: &str, start: usize) -> Option<Vec<Member>> {
    let mut found = Vec::new();
    if text.as_bytes().get(start) != Some(&b'{') {
        return None;
    }
    let mut at = skip_space(text, start + 1)?;
    while text.as_bytes().get(at) == Some(&b'"') {
        let end = skip(text, at)?;
        let value = skip_space(text, skip_space(text, end)? + 1)?;
        let value = value..skip(text, value)?;
        found.push(Member { name: serde_json::from_str(&text[at..end]).ok()?, start: at, value: value.clone() });
        at = skip_space(text, value.end)?;
        if text.as_bytes().get(at) == Some(&b',') {
            at = skip_space(text, at + 1)?;
        }
    }
    Some(found)
}

/// Returns where there is something else than space, from `at` on.
fn skip_space(text: &str, at: usize) -> Option<usize> {
    text.as_bytes().iter().enumerate().skip(at).find(|(_, byte)| !byte.is_ascii_whitespace()).map(|(place, _)| place)
}

/// Returns where the value ends that begins at `at`.
fn skip(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut place, mut depth) = (at, 0_usize);
    loop {
        match bytes.get(place)? {
            b'"' => {
                place += 1;
                while bytes.get(place)? != &b'"' {
                    place += if bytes[place] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            // A number or a word goes on.
            _ if depth == 0 => {
                let ends = |byte: &u8| b",]} \t\r\n".contains(byte);
                return Some(bytes[place..].iter().position(ends).map_or(bytes.len(), |length| place + length));
            }
            _ => {}
        }
        place += 1;
        if depth == 0 {
            return Some(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TEXT: &str = "{\n  \"a\": {\"x\": 1e3,\"y\" :[ \"}\\\"\" , {} ] },\n  \"b\":{ },\n\t\"a\": {\n    \"z\" : true\n  }\n}\n";

    #[test]
    fn only_what_is_meant_changes() {
        let set = |path: &[&str], value| set(TEXT, path, value).unwrap();
        assert_eq!(set(&["b"], "7"), TEXT.replace("{ }", "7"));
        assert_eq!(set(&["a", "z"], "[]"), TEXT.replace("true", "[]"), "the last one of that name");
        assert_eq!(set(&["a", "n\""], "0"), TEXT.replace("true", "true,\n    \"n\\\"\" : 0"));
        assert_eq!(set(&["b", "n"], "0"), TEXT.replace("{ }", "{\"n\": 0}"));
        assert_eq!(set(&["c"], "{}"), TEXT.replace("  }\n}", "  },\n  \"c\": {}\n}"));
        for path in [&["c", "d"][..], &["a", "z", "q"], &[]] {
            assert_eq!(super::set(TEXT, path, "0"), None);
        }
        for text in ["", "[]", "{\"a\":}", "{} {}", "7", "{\"a\": \"x"] {
            assert_eq!((super::set(text, &["a"], "0"), remove(text, &["a"])), (None, None), "{text}");
        }
    }

    #[test]
    fn what_was_put_there_is_taken_out_without_a_trace() {
        for (text, path) in [(TEXT, &["c"][..]), (TEXT, &["a", "n"]), ("{\"a\":{}}", &["a", "n"]), (" {} ", &["n"])] {
            let with = set(text, path, "{\"k\": [1, \"]\"]}").unwrap();
            assert_ne!(with, text);
            assert_eq!(remove(&with, path).unwrap(), text);
        }
        assert_eq!(remove(TEXT, &["nothing"]).as_deref(), Some(TEXT));
        let one = "{ \"a\" : 1 , \"b\" : 2 , \"c\" : 3 }";
        assert_eq!(remove(one, &["a"]).unwrap(), "{ \"b\" : 2 , \"c\" : 3 }");
        assert_eq!(remove(one, &["c"]).unwrap(), "{ \"a\" : 1 , \"b\" : 2 }");
        assert_eq!(remove("{ \"a\" : 1 }", &["a"]).unwrap(), "{}");
    }

    #[test]
    fn values_end_where_they_end() {
        let values = [json!(null), json!(-1.5e9), json!("\\\"{[é"), json!([[], {}, "]"]), json!({ "a": { "b": [{}] } }), json!(false)];
        for value in values {
            let text = format!("{{\"k\":{value},\"l\":{value}}}");
            let changed: Value = serde_json::from_str(&set(&text, &["k"], "1").unwrap()).unwrap();
            assert_eq!(changed, json!({ "k": 1, "l": value }), "{text}");
            let less: Value = serde_json::from_str(&remove(&text, &["l"]).unwrap()).unwrap();
            assert_eq!(less, json!({ "k": value }), "{text}");
        }
    }
}
