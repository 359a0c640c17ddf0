//! Who moves a deployment: what they can do, how far they go, and how they leave it.

use std::time::Duration;

use super::analysis::Look;
use super::rollout::Wait;
use super::target::{Candidate, TargetError};
use crate::ledger::entry::Ending;
use crate::ledger::standing::Lease;

/// Does what the environment itself says.
pub trait Staff {
    /// Makes the environment ready for `release`.
    ///
    /// # Errors
    /// Where one of the steps for that fails.
    fn provision(&mut self, release: &Candidate) -> Result<(), TargetError>;

    /// Shows that `release` works; where it comes back, by the steps of the commit `proof` if need be, which have shown that before.
    ///
    /// # Errors
    /// Where one of the steps fails, of both.
    fn verify(&mut self, release: &Candidate, proof: Option<&str>) -> Result<(), TargetError>;

    /// Looks how `canary` does beside `stable`, which may be no release at all, with this share of the traffic, in percent.
    ///
    /// # Errors
    /// Where a signal came before the end.
    fn look(&mut self, canary: &Candidate, stable: Option<&Candidate>, weight: u8) -> Result<Look, TargetError>;

    /// Tells whoever wants to know why `release` goes back.
    ///
    /// # Errors
    /// Where one of the steps for that fails.
    fn tell(&mut self, release: &Candidate, reason: &str) -> Result<(), TargetError>;

    /// Waits so long.
    ///
    /// # Errors
    /// Where a signal came before the end.
    fn wait(&mut self, time: Duration) -> Result<(), TargetError>;

    /// Says what happens, for people.
    fn say(&mut self, line: &str);

    /// Says what did not work, though it went on.
    fn warn(&mut self, line: &str);
}

/// How far somebody goes who moves a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// To its end; what has a time is waited for.
    Through,
    /// As far as it goes now.
    Due,
    /// Until the release has its next share.
    Step,
}

/// How a deployment was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// It has ended.
    Ended(Ending, Option<String>),
    /// It waits, for this if for anything: whoever comes next goes on.
    Waits(Option<Wait>),
    /// This signal came: whoever comes next goes on.
    Interrupted(i32),
    /// What it needs next is not here, for this reason: whoever comes next goes on.
    Unable(String),
    /// It is not on us to go on with it: another clone has it, or nobody.
    Taken(Option<Lease>),
    /// It counts for nothing: something was begun after it by somebody who did not know of it.
    Overtaken,
}
