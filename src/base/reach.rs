//! How far below a folder a pattern can match.
//!
//! Knows patterns folder by folder; knows nothing of files. Where it cannot tell, it says that there is something to find.

use std::path::{Component, Path};

use globset::GlobMatcher;

/// A pattern, folder by folder, up to where it may cross folders.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    parts: Vec<Part>,
    /// It goes on to any depth behind its parts.
    is_open: bool,
}

#[derive(Debug, Clone)]
enum Part {
    Name(String),
    Pattern(Box<GlobMatcher>),
}

impl Reach {
    /// Reads `pattern`; `compile` makes one part of it something that matches names.
    pub(super) fn new(pattern: &str, compile: impl Fn(&str) -> Option<GlobMatcher>) -> Self {
        let mut reach = Self { parts: Vec::new(), is_open: false };
        for part in pattern.split('/') {
            // Two stars may cross folders. A slash inside braces or brackets divides no folders: what is before it cannot be read.
            let read = if part.contains("**") {
                None
            } else if part.contains(['*', '?', '[', '{', '\\']) {
                compile(part).map(|matcher| Part::Pattern(Box::new(matcher)))
            } else {
                Some(Part::Name(part.to_owned()))
            };
            let Some(part) = read else {
                reach.is_open = true;
                break;
            };
            reach.parts.push(part);
        }
        reach
    }

    /// Tells whether something below `folder` could match.
    pub(super) fn holds(&self, folder: &Path) -> bool {
        let mut names = folder.components().map(Component::as_os_str);
        for part in &self.parts {
            let Some(name) = names.next() else { return true };
            let is_same = match part {
                Part::Name(expected) => name == expected.as_str(),
                Part::Pattern(matcher) => matcher.is_match(name),
            };
            if !is_same {
                return false;
            }
        }
        self.is_open
    }
}
