//! Whether a path would be read by a stage, from its name alone: the file may be gone.
//!
//! Knows selectors and what is never an input; looks at no file, so it knows nothing of links or of ignored files. For files that are
//! there the lister says the same.

use std::path::Path;

use super::lister::Lister;
use crate::model::stage::Selector;

impl Lister {
    /// Tells whether a file at `path`, relative to the project, would be read by a stage in `dir` with these `selectors`; without them
    /// a file that git does not ignore.
    pub fn would_read(&self, dir: &str, selectors: Option<&[Selector]>, path: &Path) -> bool {
        !self.is_never(path, selectors.is_none()) && selects(dir, selectors, path)
    }

    /// Tells whether some file below the folder `path` could be read: false only where it is sure that none is.
    pub fn may_read_below(&self, dir: &str, selectors: Option<&[Selector]>, path: &Path) -> bool {
        if self.is_never(path, false) {
            return false;
        }
        let Some(selectors) = selectors else { return path.starts_with(dir) || Path::new(dir).starts_with(path) };
        let takes = |selector: &Selector| !selector.exclude && (selector.glob.matches(path) || selector.glob.reaches_below(path));
        selectors.iter().any(takes)
    }
}

/// Tells whether `selectors` of a stage in `dir` take a file at `path`, whosever output it may be.
pub fn selects(dir: &str, selectors: Option<&[Selector]>, path: &Path) -> bool {
    let Some(selectors) = selectors else {
        return path.starts_with(dir) && path != Path::new(dir) && path.iter().all(|name| name != ".git");
    };
    let means = |selector: &Selector| {
        // Only what a pattern begins with leads into git's folder.
        let beyond = path.strip_prefix(selector.glob.base()).unwrap_or(path);
        selector.glob.matches(path) && (selector.exclude || beyond.iter().all(|name| name != ".git"))
    };
    selectors.iter().rev().find(|selector| means(selector)).is_some_and(|selector| !selector.exclude)
}
