//! The addresses of files in SARIF (RFC 3986), as paths.
//!
//! Knows percent signs and schemes; knows nothing of which files are there.

/// Returns the path that `uri` means: of a `file:` address its absolute path, of a relative one itself, of any other the address as it is.
pub(super) fn path(uri: &str) -> String {
    let (path, has_scheme) = match uri.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => (without_host(rest), false),
        // One letter is a drive.
        Some((scheme, _)) if scheme.len() > 1 && is_scheme(scheme) => (uri, true),
        _ => (uri, false),
    };
    if has_scheme { path.to_owned() } else { decode(path.split(['?', '#']).next().unwrap_or(path)) }
}

/// Returns `uri` as seen from `base`.
pub(super) fn join(base: &str, uri: &str) -> String {
    let is_absolute = uri.starts_with('/') || uri.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme));
    if is_absolute || base.is_empty() {
        return uri.to_owned();
    }
    format!("{}/{}", base.trim_end_matches('/'), uri.trim_start_matches("./"))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
}

/// `//host/path` names a path on a host, of which there is only this one.
fn without_host(rest: &str) -> &str {
    rest.strip_prefix("//").map_or(rest, |rest| rest.find('/').map_or("", |slash| &rest[slash..]))
}

/// Replaces `%41` by what it means; what is no UTF-8 then becomes U+FFFD.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).filter(|pair| bytes[at] == b'%' && pair.iter().all(u8::is_ascii_hexdigit));
        let value = pair.and_then(|pair| std::str::from_utf8(pair).ok()).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        decoded.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_become_paths() {
        for (uri, expected) in [
            ("src/a.py", "src/a.py"),
            ("src/a%20b.py#L3", "src/a b.py"),
            ("file:///x/gr%C3%B6%C3%9Fe.c", "/x/größe.c"),
            ("file://localhost/x/a.c", "/x/a.c"),
            ("FILE:/x/a.c", "/x/a.c"),
            ("https://x.org/a%20b?q#f", "https://x.org/a%20b?q#f"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%ff", "%zz\u{fffd}"),
            ("c:/x", "c:/x"),
            ("file://", ""),
        ] {
            assert_eq!(path(uri), expected, "{uri}");
        }
        assert_eq!(join("file:///x/", "a/b.c"), "file:///x/a/b.c");
        assert_eq!(join("src", "./b.c"), "src/b.c");
        for uri in ["/b.c", "file:///b.c"] {
            assert_eq!(join("file:///x", uri), uri);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(uri in ".{0,30}", base in ".{0,30}") {
            path(&join(&base, &uri));
        }
    }
}
