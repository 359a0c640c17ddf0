//! Colours and marks.

use console::Style;

use crate::model::outcome::StageOutcome;

/// How text is dressed; plain where there are no colours.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    /// Whether there are colours.
    pub coloured: bool,
}

impl Theme {
    fn dress(self, style: &Style, text: &str) -> String {
        style.clone().force_styling(self.coloured).apply_to(text).to_string()
    }

    /// Returns text that matters.
    pub fn strong(self, text: &str) -> String {
        self.dress(&Style::new().bold(), text)
    }

    /// Returns text that matters less.
    pub fn faint(self, text: &str) -> String {
        self.dress(&Style::new().dim(), text)
    }

    /// Returns text that says that something is good.
    pub fn good(self, text: &str) -> String {
        self.dress(&Style::new().green(), text)
    }

    /// Returns text that says that something is bad.
    pub fn bad(self, text: &str) -> String {
        self.dress(&Style::new().red().bold(), text)
    }

    /// Returns text that asks for attention.
    pub fn warn(self, text: &str) -> String {
        self.dress(&Style::new().yellow(), text)
    }

    /// Returns the mark of an outcome.
    pub fn mark(self, outcome: StageOutcome) -> String {
        match outcome {
            StageOutcome::Passed => self.good("✓"),
            StageOutcome::Cached => self.good("="),
            StageOutcome::Failed => self.bad("✗"),
            StageOutcome::Skipped => self.faint("-"),
            StageOutcome::Cancelled => self.warn("!"),
        }
    }
}
