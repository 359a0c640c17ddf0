//! How steps, stages and runs end, and what a failure is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How one attempt of a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepStatus {
    /// It exited with 0.
    Passed,
    /// It exited with another code, was killed by a signal, or could not be started.
    Failed,
    /// It was ended because its time was over.
    TimedOut,
    /// It was ended because the run was.
    Cancelled,
}

/// How a stage ended. Every selected stage has exactly one outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageOutcome {
    /// It ran and passed.
    Passed,
    /// A stored result was taken.
    Cached,
    /// It ran and failed.
    Failed,
    /// It was never started.
    Skipped,
    /// It was started, and ended by us.
    Cancelled,
}

impl StageOutcome {
    /// Tells whether a stored result was taken.
    pub fn was_reused(self) -> bool {
        self == Self::Cached
    }

    /// Returns the word for it, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Cached => "cached",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    /// Every selected stage passed.
    Passed,
    /// A stage failed, or the time of the run was over.
    Failed,
    /// It was interrupted.
    Cancelled,
}

/// The codes that shipway exits with (contract, section 5), all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All passed.
    Passed,
    /// A stage failed.
    Failed,
    /// The command line or the pipeline is not valid.
    Usage,
    /// The surroundings are broken: files, programs, the system.
    Surroundings,
    /// A rollout was aborted, and the release before serves again.
    RolledBack,
    /// A rollback failed: nobody knows what serves.
    RollbackFailed,
    /// It waits for somebody or something: run it again later (`EX_TEMPFAIL` of sysexits(3)).
    Waiting,
    /// A signal of this number ended the run.
    Interrupted(i32),
}

impl Exit {
    /// Returns the code for the operating system: the one place where codes are numbers.
    pub fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Surroundings => 3,
            Self::RolledBack => 4,
            Self::RollbackFailed => 5,
            Self::Waiting => 75,
            Self::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(130),
        }
    }
}

/// What kind of thing went wrong in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// A step exited with a code other than 0.
    Exit,
    /// A step was killed by a signal that we did not send.
    Signal,
    /// A limit of time was reached.
    Timeout,
    /// A declared output was not there after the last step.
    MissingOutput,
    /// A step could not be started.
    Spawn,
    /// A service that the stage uses did not become ready, or ended while it was used.
    Service,
    /// A report file is missing or cannot be read, or what it says fails the stage.
    Report,
}

/// Everything that is known about why a stage failed (contract, section 5, "JSON").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step's name, else its number from 1.
    pub step: Arc<str>,
    /// What kind of failure.
    pub kind: FailureKind,
    /// The exit code, where there was one.
    pub code: Option<i32>,
    /// The signal's number, where one killed it.
    pub signal: Option<i32>,
    /// The exact command.
    pub command: String,
    /// The directory it ran in, relative to the project; `.` for the project itself.
    pub dir: String,
    /// The last lines of the stage's output, without colours.
    pub tail: Vec<String>,
    /// Failed tests by name.
    pub tests: Vec<String>,
    /// The command that runs this stage alone; `None` where there is none.
    pub reproduce: Option<String>,
}

impl Failure {
    /// Returns the last line of the stage's output that says anything.
    pub fn last_line(&self) -> Option<&str> {
        self.tail.iter().map(|line| line.trim()).rfind(|line| !line.is_empty())
    }
}

/// How many stages ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Ran and passed.
    pub passed: usize,
    /// Taken from the store.
    pub cached: usize,
    /// Ran and failed.
    pub failed: usize,
    /// Never started.
    pub skipped: usize,
    /// Started and ended by us.
    pub cancelled: usize,
}

impl Counts {
    /// Counts one more stage.
    pub fn add(&mut self, outcome: StageOutcome) {
        match outcome {
            StageOutcome::Passed => self.passed += 1,
            StageOutcome::Cached => self.cached += 1,
            StageOutcome::Failed => self.failed += 1,
            StageOutcome::Skipped => self.skipped += 1,
            StageOutcome::Cancelled => self.cancelled += 1,
        }
    }

    /// Returns how many stages were counted.
    pub fn total(&self) -> usize {
        self.passed + self.cached + self.failed + self.skipped + self.cancelled
    }
}
