//! What it means to run a step, whoever does it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::cancel::Cancel;
use crate::model::event::Stream;

/// The variable that names the stage to its steps (contract, section 3).
pub const STAGE: &str = "SHIPWAY_STAGE";

/// The variable that names a service to itself.
pub const SERVICE: &str = "SHIPWAY_SERVICE";

/// Between the signal that asks a step to end and KILL (contract, section 5).
pub const GRACE: Duration = Duration::from_secs(5);

/// A step, ready to run.
#[derive(Debug, Clone)]
pub struct StepCommand {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// The absolute working directory.
    pub dir: PathBuf,
    /// The whole environment.
    pub env: BTreeMap<OsString, OsString>,
    /// Whose it is.
    pub owner: Owner,
    /// When it is ended.
    pub deadline: Option<Instant>,
    /// What asks it to end.
    pub stop: Signal,
    /// How long it may take to end once it was asked to.
    pub grace: Duration,
}

/// Whose a process is. Its environment says so, and so does that of all it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A step of this stage.
    Stage(Arc<str>),
    /// This service.
    Service(Arc<str>),
    /// Nobody's: what it leaves running is meant to stay, as what a shell would have started. It is run alone.
    Itself,
}

impl Owner {
    /// Returns the variable that names the owner, and the name; `None` where there is none.
    pub fn mark(&self) -> Option<(&'static str, &Arc<str>)> {
        match self {
            Self::Stage(name) => Some((STAGE, name)),
            Self::Service(name) => Some((SERVICE, name)),
            Self::Itself => None,
        }
    }
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

    /// Ends whatever is left of all steps, and returns what a person should know, one sentence each. Called when no step runs any more.
    fn finish(&self) -> Vec<String> {
        Vec::new()
    }
}
