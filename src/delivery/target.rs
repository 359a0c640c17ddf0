//! What moves a release to where it serves, whatever kind it is of.
//!
//! Each call can be made again, after a kill or to be sure: it then does what is left to do.

use std::path::PathBuf;

use super::manifest::Manifest;

/// A release, and what is known of it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// What it consists of.
    pub manifest: Manifest,
}

/// Why a target did not do what it should, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It could not.
    #[error("{0}")]
    Failed(String),
    /// The signal of this number came before the end.
    #[error("interrupted by signal {0}")]
    Interrupted(i32),
}

/// Moves releases.
pub trait Target {
    /// Returns where the files of the release lie once it is started.
    fn folder(&self, release: &Candidate) -> PathBuf;

    /// Puts the release beside the one that serves, ready to.
    ///
    /// # Errors
    /// Where it cannot be put there or does not become ready; the one that serves is as it was.
    fn start(&mut self, release: &Candidate) -> Result<(), TargetError>;

    /// Gives the release this share of the traffic, in percent; what is left stays with the one before, if there is any.
    ///
    /// # Errors
    /// Where it cannot; then nobody knows which share it has.
    fn shift(&mut self, release: &Candidate, weight: u8) -> Result<(), TargetError>;

    /// Ends what does not serve any more, but keeps what `kept` says.
    ///
    /// # Errors
    /// Where it cannot be ended.
    fn stop(&mut self, kept: &[String]) -> Result<(), TargetError>;

    /// Returns the id of the release that serves, as the target itself says; `None` where none does.
    ///
    /// # Errors
    /// Where it cannot tell.
    fn observe(&mut self) -> Result<Option<String>, TargetError>;
}
