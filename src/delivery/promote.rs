//! Brings a release into an environment, or back: phase by phase, each announced in the ledger before and confirmed after, so that whoever
//! comes next can go on from any instant.

use super::rollout::{Move, Shape, next};
use super::target::{Candidate, Target, TargetError};
use crate::ledger::entry::{Deed, Ended, Ending, Phase, Phasing, Turned};
use crate::ledger::history::History;
use crate::ledger::journal::{Journal, LedgerError};
use crate::ledger::standing::{Ongoing, Standing};

/// How a phase of the environment's own steps went.
pub type Steps<'s> = dyn FnMut(Phase, &Candidate) -> Result<(), TargetError> + 's;

/// What a deployment works with.
pub struct Deployment<'d> {
    /// The environment.
    pub environment: &'d str,
    /// Which phases it has.
    pub shape: Shape,
    /// The ledger.
    pub journal: &'d Journal,
    /// What moves releases.
    pub target: &'d mut dyn Target,
    /// Runs the environment's steps of a phase.
    pub steps: &'d mut Steps<'d>,
    /// Returns what a release consists of.
    pub find: &'d dyn Fn(&str) -> Result<Candidate, String>,
    /// Is told what happens, for people.
    pub say: &'d mut dyn FnMut(&str),
}

impl std::fmt::Debug for Deployment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployment").field("environment", &self.environment).finish_non_exhaustive()
    }
}

/// How a deployment was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// It has ended.
    Ended(Ending, Option<String>),
    /// This signal came: whoever comes next goes on.
    Interrupted(i32),
}

impl Deployment<'_> {
    /// Goes on with the deployment of this name, which is on its way in `history`, to its end.
    ///
    /// # Errors
    /// Where the ledger cannot be read or written.
    pub fn go_on(&mut self, name: &str, mut history: History) -> Result<Left, LedgerError> {
        loop {
            let standing = history.standing(self.environment);
            let Some(ongoing) = standing.ongoing.as_ref().filter(|ongoing| ongoing.deployment == name) else {
                // Ended, perhaps by somebody else.
                let (ending, reason) = history.ended(name).unwrap_or((Ending::Unchanged, None));
                return Ok(Left::Ended(ending, reason));
            };
            let step = next(ongoing, self.shape);
            history = match step {
                Move::End(result) => {
                    let reason = ongoing.turned.as_ref().map(|back| back.reason.clone());
                    self.record(ongoing, step, || Deed::Ended(self.ended(name, result, reason.clone())))?
                }
                Move::Do(phase) => {
                    let begun = self.record(ongoing, step, || Deed::Doing(self.phasing(name, phase)))?;
                    if !is_at(&begun, self.environment, ongoing, step, self.shape) {
                        // It was told to go back, or was ended, meanwhile.
                        history = begun;
                        continue;
                    }
                    match self.perform(phase, ongoing, &standing) {
                        Ok(()) => self.record(ongoing, step, || Deed::Done(self.phasing(name, phase)))?,
                        Err(TargetError::Interrupted(signal)) => return Ok(Left::Interrupted(signal)),
                        Err(TargetError::Failed(reason)) => self.fail(ongoing, step, phase, &reason)?,
                    }
                }
            };
        }
    }

    /// Adds `deed`, if `step` is still what is to be done for the deployment.
    fn record(&self, ongoing: &Ongoing, step: Move, deed: impl Fn() -> Deed) -> Result<History, LedgerError> {
        self.journal.add(&mut |history| {
            let is_said = |deed: &Deed| history.entries.last().is_some_and(|last| last.entry.deed == *deed);
            // After a kill it may stand there already.
            Some(deed()).filter(|deed| is_at(history, self.environment, ongoing, step, self.shape) && !is_said(deed))
        })
    }

    fn perform(&mut self, phase: Phase, ongoing: &Ongoing, standing: &Standing) -> Result<(), TargetError> {
        let started = &ongoing.started;
        let id = if ongoing.turned.is_some() { started.before.as_ref().unwrap_or(&started.release) } else { &started.release };
        let release = (self.find)(id).map_err(TargetError::Failed)?;
        match phase {
            Phase::Provision | Phase::Verify => (self.steps)(phase, &release),
            Phase::Start => self.target.start(&release),
            Phase::Shift(weight) => self.target.shift(&release, weight),
            Phase::Stop => {
                let good = standing.last_verified(Some(id)).map(|verified| verified.release.clone());
                let kept: Vec<String> = [Some(id.clone()), good, started.before.clone()].into_iter().flatten().collect();
                // What serves was shown to work: what is left behind it is no reason to take it away.
                if let Err(TargetError::Failed(reason)) = self.target.stop(&kept) {
                    (self.say)(&reason);
                }
                Ok(())
            }
        }
    }

    /// Notes that a phase failed: the deployment goes back, or has failed for good.
    fn fail(&self, ongoing: &Ongoing, step: Move, phase: Phase, reason: &str) -> Result<History, LedgerError> {
        let (environment, deployment) = (self.environment.to_owned(), ongoing.deployment.clone());
        let reason = format!("{phase}: {reason}");
        self.record(ongoing, step, || {
            let (environment, deployment) = (environment.clone(), deployment.clone());
            if ongoing.turned.is_some() {
                Deed::Ended(Ended { environment, deployment, result: Ending::RollbackFailed, reason: Some(reason.clone()) })
            } else {
                Deed::Turned(Turned { environment, deployment, reason: reason.clone() })
            }
        })
    }

    fn phasing(&self, deployment: &str, phase: Phase) -> Phasing {
        Phasing { environment: self.environment.to_owned(), deployment: deployment.to_owned(), phase }
    }

    fn ended(&self, deployment: &str, result: Ending, reason: Option<String>) -> Ended {
        Ended { environment: self.environment.to_owned(), deployment: deployment.to_owned(), result, reason }
    }
}

/// Tells whether `step` is what is to be done now for the deployment, in the direction in which it went.
fn is_at(history: &History, environment: &str, ongoing: &Ongoing, step: Move, shape: Shape) -> bool {
    let standing = history.standing(environment);
    standing.ongoing.is_some_and(|now| {
        now.deployment == ongoing.deployment && now.turned.is_some() == ongoing.turned.is_some() && next(&now, shape) == step
    })
}
