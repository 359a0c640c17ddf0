//! What became of a thing between two looks, and how that is said.

use crate::base::text::visible;

/// A thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name, for people.
    pub name: String,
    /// What happened to it.
    pub how: How,
    /// When, in nanoseconds since 1970, by the clock of its file system; `None` where nothing tells.
    pub at: Option<i64>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It was not there before.
    Added,
    /// It is not there any more.
    Removed,
    /// It holds something else.
    Changed,
    /// It holds the same, but was written or renamed: between the two looks it may have held anything.
    Touched,
}

impl Change {
    /// Returns a change at an unknown time.
    pub fn new(name: impl Into<String>, how: How) -> Self {
        Self { name: name.into(), how, at: None }
    }
}

/// Says `changes` in a few words: `src/a.rs changed, +2 more`. What counts most is named.
pub fn say(changes: &[Change]) -> String {
    let Some(first) = changes.iter().find(|change| change.how != How::Touched).or(changes.first()) else { return String::new() };
    let how = match first.how {
        How::Added => "added",
        How::Removed => "removed",
        How::Changed => "changed",
        How::Touched => "written",
    };
    let more = if changes.len() > 1 { format!(", +{} more", changes.len() - 1) } else { String::new() };
    format!("{} {how}{more}", visible(&first.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_named() {
        let touched = Change::new("a", How::Touched);
        assert_eq!(say(std::slice::from_ref(&touched)), "a written");
        assert_eq!(say(&[touched, Change::new("b\n", How::Removed), Change::new("c", How::Added)]), "b\\n removed, +2 more");
        assert_eq!(say(&[]), "");
    }
}
