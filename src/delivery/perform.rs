//! What a phase of a deployment does to the target, and by the staff.
//!
//! Knows in which direction the deployment goes; when a phase is due `rollout` knows, and what is recorded of it `promote`.

use super::drift::Drift;
use super::promote::Deployment;
use super::target::{Candidate, TargetError};
use crate::base::text::visible;
use crate::ledger::entry::{Cause, Phase};
use crate::ledger::history::History;
use crate::ledger::standing::{Ongoing, Standing};

impl Deployment<'_> {
    /// Does what a phase asks for; returns why it did not work, where that is no reason to go back.
    pub(super) fn perform(
        &mut self,
        phase: Phase,
        ongoing: &Ongoing,
        standing: &Standing,
        history: &History,
    ) -> Result<Option<String>, TargetError> {
        let (stays, goes) = ongoing.ways();
        let (id, slot) = stays.unwrap_or((&ongoing.started.release, ongoing.started.slot.as_deref()));
        if phase == Phase::Stop {
            return self.stop(ongoing, standing);
        }
        if phase == Phase::Tell {
            return self.tell(ongoing).map(|()| None);
        }
        let release = (self.find)(id, slot).map_err(TargetError::Failed)?;
        match phase {
            Phase::Provision => self.staff.provision(&release),
            Phase::Verify => {
                let comes_back = ongoing.turned.is_some() || ongoing.started.cause == Cause::Rollback;
                self.staff.verify(&release, history.proof(self.environment, id).filter(|_| comes_back))
            }
            Phase::Start => {
                if goes.is_none_or(|(_, other)| other != slot) {
                    self.make_room(&release, ongoing, standing, history)?;
                    self.note_others(&release, ongoing, standing)?;
                }
                self.target.start(&release)
            }
            Phase::Shift(weight) => {
                self.target.shift(&release, weight)?;
                if weight == 100 { self.check(&release, history) } else { Ok(()) }
            }
            Phase::Analyse(_) | Phase::Stop | Phase::Tell => Ok(()),
        }
        .map(|()| None)
    }

    /// Ends what may still run in the slot of `release`: what asks there whether the new one is ready could be answered by it. What a rollback
    /// leads to may be warm there; what is promoted again is started as the commit says now.
    fn make_room(&mut self, release: &Candidate, ongoing: &Ongoing, standing: &Standing, history: &History) -> Result<(), TargetError> {
        let slot = release.slot.as_ref().map(|slot| slot.name.as_str());
        let is_new = ongoing.turned.is_none() && ongoing.started.cause == Cause::Promote;
        let left = slot.and_then(|slot| standing.started.get(slot)).filter(|left| is_new || **left != release.id);
        let Some(left) = left else { return Ok(()) };
        let gone = (self.find)(left, slot).map_err(TargetError::Failed)?;
        if let (true, Some((before, slot))) = (standing.lost.is_some() && ongoing.turned.is_none(), ongoing.ways().1) {
            // Nobody knows who has which share: whoever is to be ended must have none.
            let given = (self.find)(before, slot).map_err(TargetError::Failed).and_then(|before| {
                self.target.start(&before)?;
                self.target.shift(&before, 100)
            });
            match given {
                Err(TargetError::Failed(why) | TargetError::Unable(why)) => self.staff.warn(&why),
                Err(interrupted @ TargetError::Interrupted(_)) => return Err(interrupted),
                Ok(()) => {}
            }
        }
        self.target.stop(Some(&gone), &kept(ongoing, standing)).map_err(|error| match error {
            TargetError::Failed(why) => {
                let name = history.release(left).map_or(left.as_str(), |(_, released)| released.name.as_str());
                TargetError::Failed(format!("{} may still run in its slot, and could not be ended: {why}", visible(name)))
            }
            other @ (TargetError::Unable(_) | TargetError::Interrupted(_)) => other,
        })
    }

    /// Notes who answers in the place of a release that is about to be started. After a kill that may be itself, as may be what a rollback leads to.
    fn note_others(&mut self, release: &Candidate, ongoing: &Ongoing, standing: &Standing) -> Result<(), TargetError> {
        let slot = release.slot.as_ref().map(|slot| slot.name.as_str());
        let is_warm = ongoing.started.cause == Cause::Rollback && slot.is_some_and(|slot| standing.started.contains_key(slot));
        if ongoing.turned.is_some() || ongoing.begun.contains(&Phase::Start) || is_warm {
            return Ok(());
        }
        self.target.note_others(release)
    }

    /// Makes sure that the target itself says that `release` serves, if it says anything.
    fn check(&mut self, release: &Candidate, history: &History) -> Result<(), TargetError> {
        let observed = self.target.observe(Some(release))?;
        match Drift::of(Ok(observed), Some(&release.id), history)? {
            Drift::InSync | Drift::Unknown { .. } => Ok(()),
            Drift::Drifted { seen, .. } => Err(TargetError::Failed(format!("the target says that {seen} serves"))),
        }
    }

    /// Ends what goes. Returns why that did not work: what serves was shown to, and what is left behind it is no reason to take it away.
    fn stop(&mut self, ongoing: &Ongoing, standing: &Standing) -> Result<Option<String>, TargetError> {
        let gone = ongoing.goes().map(|(id, slot)| (self.find)(id, slot)).transpose();
        match gone.map_err(TargetError::Failed).and_then(|gone| self.target.stop(gone.as_ref(), &kept(ongoing, standing))) {
            Err(TargetError::Failed(reason) | TargetError::Unable(reason)) => {
                self.staff.warn(&reason);
                Ok(Some(reason))
            }
            Err(interrupted @ TargetError::Interrupted(_)) => Err(interrupted),
            Ok(()) => Ok(None),
        }
    }

    /// Tells why it goes back. Whether that works is of no matter for what serves.
    fn tell(&mut self, ongoing: &Ongoing) -> Result<(), TargetError> {
        let Some(back) = &ongoing.turned else { return Ok(()) };
        let reason =
            back.stuck.as_ref().map_or_else(|| back.reason.clone(), |stuck| format!("{}; the rollback failed: {stuck}", back.reason));
        let release = (self.find)(&ongoing.started.release, ongoing.started.slot.as_deref()).map_err(TargetError::Failed);
        match release.and_then(|release| self.staff.tell(&release, &reason)) {
            Err(TargetError::Failed(reason) | TargetError::Unable(reason)) => self.staff.warn(&format!("{}: {reason}", Phase::Tell)),
            Err(interrupted @ TargetError::Interrupted(_)) => return Err(interrupted),
            Ok(()) => {}
        }
        Ok(())
    }
}

/// Returns the releases whose files stay.
fn kept(ongoing: &Ongoing, standing: &Standing) -> Vec<String> {
    let stays = ongoing.ways().0.map(|(id, _)| id.to_owned());
    let good = standing.last_verified(stays.as_deref()).map(|verified| verified.release.clone());
    // What may still run is ended by what lies there.
    let started = standing.started.values().filter(|started| ongoing.goes().is_none_or(|(gone, _)| gone != *started)).cloned();
    [stays, good, ongoing.started.before.clone()].into_iter().flatten().chain(started).collect()
}
