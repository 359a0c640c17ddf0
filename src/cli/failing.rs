//! Why a command could not do what it should.

use crate::base::diagnostic::Diagnostic;
use crate::base::source::Sources;
use crate::model::select::SelectError;

/// A command that did not come to a result of its own.
#[derive(Debug)]
pub(super) enum Failing {
    /// It was called in a way that means nothing.
    Usage {
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// The pipeline's file, or one that it includes, is not valid.
    File(Box<Sources>, Vec<Diagnostic>),
    /// Files, programs or the system did not do what they should.
    Surroundings(anyhow::Error),
    /// It can be done later, for this reason.
    Waiting(String),
}

impl Failing {
    /// Returns a usage error without help.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: None }
    }

    /// Returns a usage error with help.
    pub(super) fn usage_with_help(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: Some(help.into()) }
    }
}

impl From<anyhow::Error> for Failing {
    fn from(error: anyhow::Error) -> Self {
        Self::Surroundings(error)
    }
}

impl From<SelectError> for Failing {
    fn from(error: SelectError) -> Self {
        let message = error.to_string();
        let help = match error {
            SelectError::Unknown { help, .. } => help,
            SelectError::Empty => Some("declare a stage: [stages.test] with steps = [\"…\"]".to_owned()),
            SelectError::Nothing => None,
        };
        Self::Usage { message, help }
    }
}
