//! What moves a release to where it serves, whatever kind it is of.
//!
//! Each call can be made again, after a kill or to be sure: it then does what is left to do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::manifest::Manifest;

/// A release, and what is known of it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// What it consists of.
    pub manifest: Manifest,
    /// Where it is, or is going to be, of a target with slots.
    pub slot: Option<Slot>,
}

/// A place of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// What commands are told of it, by the name of a placeholder.
    pub values: BTreeMap<String, String>,
}

impl Candidate {
    /// Returns where it can be asked: the port of its slot on this machine, or the name of a slot that has none; nothing where there are none.
    pub fn address(&self) -> String {
        let Some(slot) = &self.slot else { return String::new() };
        slot.values.get("port").map_or_else(|| slot.name.clone(), |port| format!("127.0.0.1:{port}"))
    }
}

/// What a target says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// It cannot be asked.
    Unknown,
    /// No release serves.
    Nothing,
    /// This release serves: its id, or its name.
    Release(String),
    /// Something that no release is: what, for people.
    Other(String),
}

/// Why a target did not do what it should, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It could not.
    #[error("{0}")]
    Failed(String),
    /// It was not tried: what it needs is not here.
    #[error("{0}")]
    Unable(String),
    /// The signal of this number came before the end.
    #[error("interrupted by signal {0}")]
    Interrupted(i32),
}

/// Moves releases.
pub trait Target {
    /// Returns where the files of the release lie once it is started.
    fn folder(&self, release: &Candidate) -> PathBuf;

    /// Notes who answers already where the release is going to be asked whether it is ready, though nothing should run there: whoever answers still
    /// when it is started is not the release.
    ///
    /// # Errors
    /// Where it is not known where that is.
    fn note_others(&mut self, _release: &Candidate) -> Result<(), TargetError> {
        Ok(())
    }

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

    /// Ends `gone`, which does not serve or does not any more, if it runs in a place of its own; and removes the files of all releases but
    /// those that `kept` says.
    ///
    /// # Errors
    /// Where it cannot be ended.
    fn stop(&mut self, gone: Option<&Candidate>, kept: &[String]) -> Result<(), TargetError>;

    /// Returns what serves, as the target itself says, now that `expected` should, or nothing.
    ///
    /// # Errors
    /// Where it cannot tell.
    fn observe(&mut self, expected: Option<&Candidate>) -> Result<Observed, TargetError>;
}
