//! The lines that belong together: what one stage printed.

/// When a group began and ended, in seconds since 1970, and what it is called.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a> {
    /// The stage.
    pub stage: &'a str,
    /// The line that stays when it is folded.
    pub title: &'a str,
    /// When the stage began.
    pub began: i64,
    /// When it ended.
    pub ended: i64,
    /// Whether it is better not folded at first, where the system leaves the choice.
    pub is_open: bool,
}
