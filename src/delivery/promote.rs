//! Brings a release into an environment, or back: phase by phase, each announced in the ledger before and confirmed after, so that whoever
//! comes next can go on from any instant.

use super::drift::Drift;
use super::hold::{keeping, reach, take};
use super::rollout::{Move, Shape, next};
use super::target::{Candidate, Target, TargetError};
use crate::ledger::entry::{Deed, Ended, Ending, Phase, Phasing, Turned};
use crate::ledger::error::LedgerError;
use crate::ledger::history::History;
use crate::ledger::journal::Journal;
use crate::ledger::shared::Reach;
use crate::ledger::standing::{Lease, Ongoing, Standing};

/// How a phase of the environment's own steps went.
pub type Steps<'s> = dyn FnMut(Phase, &Candidate) -> Result<(), TargetError> + 's;

/// Returns what the release of an id consists of, and what is known of the slot of this name that it is in.
pub type Find<'f> = dyn Fn(&str, Option<&str>) -> Result<Candidate, String> + 'f;

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
    /// Finds releases.
    pub find: &'d Find<'d>,
    /// Is told what happens, for people.
    pub say: &'d mut dyn FnMut(&str),
    /// Returns the signal that came since, if one did. Steps hear of it by themselves; between them somebody has to ask.
    pub signal: &'d dyn Fn() -> Option<i32>,
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
    /// It is not on us to go on with it: another clone has it, or nobody.
    Taken(Option<Lease>),
    /// It counts for nothing: something was begun after it by somebody who did not know of it.
    Overtaken,
}

impl Deployment<'_> {
    /// Goes on with the deployment of this name, which is on its way in `history`, to its end.
    ///
    /// # Errors
    /// Where the ledger cannot be read or written.
    pub fn go_on(&mut self, name: &str, history: History) -> Result<Left, LedgerError> {
        let mut history = take(self.journal, self.environment, name, history)?;
        loop {
            let standing = history.standing(self.environment);
            let Some(ongoing) = standing.ongoing.as_ref().filter(|ongoing| ongoing.deployment == name) else {
                // Ended, perhaps by somebody else.
                return Ok(history.ended(name).map_or(Left::Overtaken, |(ending, reason)| Left::Ended(ending, reason)));
            };
            if !self.journal.holds(ongoing) {
                return Ok(Left::Taken(ongoing.lease.clone()));
            }
            let step = next(ongoing, self.shape);
            history = match step {
                Move::End(result) => {
                    let reason = ongoing.turned.as_ref().map(|back| back.reason.clone());
                    self.record(ongoing, step, || Deed::Ended(self.ended(name, result, reason.clone())))?
                }
                Move::Do(phase) => {
                    if let Some(signal) = (self.signal)() {
                        return Ok(Left::Interrupted(signal));
                    }
                    let begun = self.record(ongoing, step, || Deed::Doing(self.phasing(name, phase)))?;
                    if !self.is_at(&begun, ongoing, step) {
                        // It was told to go back, was ended, or is on another clone, meanwhile.
                        history = begun;
                        continue;
                    }
                    let (journal, environment) = (self.journal, self.environment);
                    match keeping(journal, environment, ongoing, || self.perform(phase, ongoing, &standing, &begun)) {
                        Ok(()) => self.record(ongoing, step, || Deed::Done(self.phasing(name, phase)))?,
                        Err(TargetError::Interrupted(signal)) => return Ok(Left::Interrupted(signal)),
                        Err(TargetError::Failed(reason)) => self.fail(ongoing, step, phase, &reason)?,
                    }
                }
            };
        }
    }

    /// Adds `deed`, if `step` is still what is to be done for the deployment, and that on us.
    fn record(&self, ongoing: &Ongoing, step: Move, deed: impl Fn() -> Deed) -> Result<History, LedgerError> {
        // That it turns back is the first step of the way back.
        let reach = if matches!(deed(), Deed::Turned(_)) { Reach::Here } else { reach(ongoing) };
        self.journal.add(reach, &mut |history| {
            let is_said = |deed: &Deed| history.entries.last().is_some_and(|last| last.entry.deed == *deed);
            // After a kill it may stand there already.
            Some(deed()).filter(|deed| self.is_at(history, ongoing, step) && !is_said(deed))
        })
    }

    /// Tells whether `step` is what is to be done now for the deployment, by us, in the direction in which it went.
    fn is_at(&self, history: &History, ongoing: &Ongoing, step: Move) -> bool {
        let now = history.standing(self.environment).ongoing.filter(|now| now.deployment == ongoing.deployment);
        now.is_some_and(|now| {
            now.turned.is_some() == ongoing.turned.is_some() && next(&now, self.shape) == step && self.journal.holds(&now)
        })
    }

    fn perform(&mut self, phase: Phase, ongoing: &Ongoing, standing: &Standing, history: &History) -> Result<(), TargetError> {
        let (stays, _) = ways(ongoing);
        let (id, slot) = stays.unwrap_or((&ongoing.started.release, ongoing.started.slot.as_deref()));
        if phase == Phase::Stop {
            return self.stop(ongoing, standing);
        }
        let release = (self.find)(id, slot).map_err(TargetError::Failed)?;
        match phase {
            Phase::Provision | Phase::Verify => (self.steps)(phase, &release),
            Phase::Start => self.target.start(&release),
            Phase::Shift(weight) => {
                self.target.shift(&release, weight)?;
                if weight == 100 { self.check(&release, history) } else { Ok(()) }
            }
            Phase::Stop => Ok(()),
        }
    }

    /// Makes sure that the target itself says that `release` serves, if it says anything.
    fn check(&mut self, release: &Candidate, history: &History) -> Result<(), TargetError> {
        let observed = self.target.observe(Some(release))?;
        match Drift::of(Ok(observed), Some(&release.id), history)? {
            Drift::InSync | Drift::Unknown { .. } => Ok(()),
            Drift::Drifted { seen, .. } => Err(TargetError::Failed(format!("the target says that {seen} serves"))),
        }
    }

    fn stop(&mut self, ongoing: &Ongoing, standing: &Standing) -> Result<(), TargetError> {
        let (stays, goes) = ways(ongoing);
        // Where it was in the same place, what stays has taken it.
        let goes = goes.filter(|(_, slot)| stays.is_none_or(|(_, other)| other != *slot));
        let gone = goes.map(|(id, slot)| (self.find)(id, slot)).transpose();
        let serving = stays.map(|(id, _)| id.to_owned());
        let good = standing.last_verified(serving.as_deref()).map(|verified| verified.release.clone());
        let kept: Vec<String> = [serving, good, ongoing.started.before.clone()].into_iter().flatten().collect();
        // What serves was shown to work: what is left behind it is no reason to take it away.
        match gone.map_err(TargetError::Failed).and_then(|gone| self.target.stop(gone.as_ref(), &kept)) {
            Err(TargetError::Failed(reason)) => (self.say)(&reason),
            Err(interrupted @ TargetError::Interrupted(_)) => return Err(interrupted),
            Ok(()) => {}
        }
        Ok(())
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

/// A release and its slot.
type Way<'o> = Option<(&'o str, Option<&'o str>)>;

/// Returns the release that stays, and the one that goes, in the direction in which the deployment goes now.
fn ways(ongoing: &Ongoing) -> (Way<'_>, Way<'_>) {
    let started = &ongoing.started;
    let new = Some((started.release.as_str(), started.slot.as_deref()));
    let old = started.before.as_deref().map(|before| (before, started.before_slot.as_deref()));
    if ongoing.turned.is_some() { (old, new) } else { (new, old) }
}
