//! The declared outputs of a whole pipeline, as one fast question.
//!
//! Knows paths and patterns; knows nothing of which stage declares them.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

use globset::{GlobSet, GlobSetBuilder};

use crate::base::glob::Glob;

/// All that stages declare to make: no input of any stage.
#[derive(Debug, Default)]
pub struct Claimed {
    literals: HashSet<Box<[u8]>>,
    patterns: Vec<Glob>,
    /// Made when first used: a run whose stages name literal inputs only never asks for it below any folder.
    set: OnceLock<Option<GlobSet>>,
}

impl Claimed {
    /// Returns the union of `globs`.
    pub fn new<'g>(globs: impl IntoIterator<Item = &'g Glob>) -> Self {
        let mut claimed = Self::default();
        for glob in globs {
            if glob.is_literal() {
                claimed.literals.insert(glob.path().as_bytes().into());
            } else {
                claimed.patterns.push(glob.clone());
            }
        }
        claimed
    }

    /// Tells whether `path`, relative to the project, is declared, or lies below a folder that is.
    pub fn holds(&self, path: &Path) -> bool {
        path.ancestors().any(|part| self.holds_itself(part))
    }

    /// The same for those who have asked about the folders of `path` already.
    pub(super) fn holds_itself(&self, path: &Path) -> bool {
        if self.literals.contains(path.as_os_str().as_bytes()) {
            return true;
        }
        if self.patterns.is_empty() || path.as_os_str().is_empty() {
            return false;
        }
        match self.set.get_or_init(|| union(&self.patterns)) {
            Some(set) => set.is_match(path),
            None => self.patterns.iter().any(|glob| glob.matches_itself(path)),
        }
    }
}

/// Returns the patterns as one; `None` where together they are too large for that.
fn union(patterns: &[Glob]) -> Option<GlobSet> {
    let mut builder = GlobSetBuilder::new();
    for glob in patterns {
        builder.add(glob.parsed());
    }
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(globs: &[&str]) -> Claimed {
        let globs: Vec<Glob> = globs.iter().map(|text| Glob::new("", text).unwrap()).collect();
        Claimed::new(&globs)
    }

    #[test]
    fn paths_and_all_below_them_are_held() {
        let some = claimed(&["dist", "out/*.js", "**/gen", r"a\*b"]);
        for path in ["dist", "dist/a/b", "out/x.js", "out/x.js/y", "gen", "a/gen/b", "a*b"] {
            assert!(some.holds(Path::new(path)), "{path}");
        }
        for path in ["distant", "out", "out/x.css", "out/a/x.js", "", "axb", "a/dist"] {
            assert!(!some.holds(Path::new(path)), "{path}");
        }
        assert!(claimed(&["."]).holds(Path::new("anything")));
        assert!(!Claimed::default().holds(Path::new("a")));
    }

    #[test]
    fn many_are_as_fast_as_few() {
        let mut globs: Vec<String> = (0..100_000).map(|number| format!("out/{number}")).collect();
        globs.extend((0..1000).map(|number| format!("p{number}/*/x*.js")));
        let claimed = claimed(&globs.iter().map(String::as_str).collect::<Vec<_>>());
        let begun = std::time::Instant::now();
        for number in 0..2000 {
            assert!(claimed.holds(Path::new(&format!("out/{number}/a/b"))));
            assert!(!claimed.holds(Path::new(&format!("src/{number}/a/b"))));
        }
        assert!(claimed.holds(Path::new("p999/a/xy.js")));
        // Debug builds on a busy machine: a look at each would take minutes.
        assert!(begun.elapsed().as_secs() < 10);
    }
}
