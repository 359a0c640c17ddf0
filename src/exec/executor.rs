//! What it means to run a step, whoever does it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::cancel::Cancel;
use crate::model::event::Stream;

/// A step, ready to run.
#[derive(Debug, Clone)]
pub struct StepCommand {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// The absolute working directory.
    pub dir: PathBuf,
    /// The whole environment.
    pub env: BTreeMap<OsString, OsString>,
    /// The stage it belongs to.
    pub stage: Arc<str>,
    /// When it is ended.
    pub deadline: Option<Instant>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal that was not ours.
    Signaled(i32),
    /// By us: its deadline was over.
    TimedOut,
    /// By us: the run is over.
    Cancelled,
    /// It never began; the text says why.
    NotStarted(String),
}

/// The end of a step, and what it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEnd {
    /// How it ended.
    pub ending: Ending,
    /// The processes that were still there and had to be ended, for people: one text each.
    pub left_behind: Vec<String>,
}

/// Takes what a step prints, masked, cut at no character. Gives it back where nobody has taken it for a while: it is offered again,
/// before anything else, so that a step nobody listens to can still be ended in time.
pub type OutputSink<'s> = dyn FnMut(Stream, Vec<u8>) -> Option<Vec<u8>> + 's;

/// Runs steps; several threads may call it at once.
pub trait Executor: Sync {
    /// Runs `command` until its end, its deadline, or until `cancel` is raised. When it returns, no process of the step is left,
    /// unless one cannot be told from those of the steps that still run beside it: it is ended with the last of these.
    fn execute(&self, command: &StepCommand, cancel: &Cancel, output: &mut OutputSink<'_>) -> StepEnd;

    /// Ends whatever is left of all steps, and returns it, one text each. Called when no step runs any more.
    fn finish(&self) -> Vec<String> {
        Vec::new()
    }
}
