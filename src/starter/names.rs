//! Names of pipelines and stages out of any words: `[A-Za-z0-9][A-Za-z0-9._-]*` (contract, section 3).

/// Returns the nearest valid name; `None` where nothing is left of it.
pub(super) fn valid(words: &str) -> Option<String> {
    let mut name = String::new();
    for c in words.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || (".-_".contains(c) && !name.is_empty()) => name.push(c),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let name = name.trim_end_matches(['-', '.', '_']);
    (!name.is_empty()).then(|| name.to_owned())
}

/// Tells whether a name means itself everywhere: in a glob, a comment and a shell.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_words_give_a_name() {
        assert_eq!(valid("@scope/my package").as_deref(), Some("scope-my-package"));
        assert_eq!(valid("-größe-").as_deref(), Some("gr-e"));
        assert_eq!(valid("lint:css").as_deref(), Some("lint-css"));
        assert_eq!(valid("日本"), None);
    }
}
