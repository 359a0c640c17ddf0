//! The name that was probably meant.

/// Returns the candidate nearest to `wrong`, where one is near enough to be a likely slip.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wrong.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            *distance <= allowed(wrong.chars().count().max(candidate.chars().count())) || is_stem(&lower, candidate)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the help that names the nearest candidate, or all of them where they are few.
pub fn help<'a>(what: &str, wrong: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(name) = nearest(wrong, candidates.clone()) {
        return Some(format!("{what} with a similar name exists: `{name}`"));
    }
    let all: Vec<&str> = candidates.into_iter().take(13).collect();
    (1..13).contains(&all.len()).then(|| format!("these exist: `{}`", all.join("`, `")))
}

/// Tells whether both begin alike, for most of the shorter: `retry` and `retries`.
fn is_stem(wrong: &str, candidate: &str) -> bool {
    let shared = wrong.bytes().zip(candidate.bytes()).take_while(|(a, b)| a == b).count();
    shared >= 4 && shared + 1 >= wrong.len().min(candidate.len())
}

/// One slip in a short name, up to a third of a long one.
fn allowed(length: usize) -> usize {
    if length <= 2 { 0 } else { (length / 3).clamp(1, 4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name() {
        assert_eq!(nearest("biuld", ["test", "build"]), Some("build"));
        assert_eq!(nearest("Build", ["test", "build"]), Some("build"));
        assert_eq!(nearest("retry", ["dir", "retries"]), Some("retries"));
        assert_eq!(nearest("x", ["test", "build"]), None);
        assert_eq!(help("a stage", "zzz", ["a", "b"]).unwrap(), "these exist: `a`, `b`");
    }
}
