//! Brings a release into an environment, or back: phase by phase, each announced in the ledger before and confirmed after, so that whoever
//! comes next can go on from any instant.

use std::time::Duration;

use jiff::Timestamp;

use super::analysis::{Judged, judge};
use super::hold::{INTERRUPTED, WAITS, keeping, reach, release, take};
use super::recall::{LISTEN, LISTEN_FAR, recalled, unless_recalled};
use super::rollout::{Move, Shape, Wait, later, next, picture};
use super::staff::{Left, Pace, Staff};
use super::target::{Candidate, Target, TargetError};
use crate::base::text::visible;
use crate::ledger::entry::{Cause, Deed, Ended, Ending, Looked, Phase, Phasing, Turned};
use crate::ledger::error::LedgerError;
use crate::ledger::history::History;
use crate::ledger::journal::Journal;
use crate::ledger::shared::Reach;
use crate::ledger::standing::{Ongoing, Share, Standing};
use crate::model::environment::Analysis;

/// Returns what the release of an id consists of, and what is known of the slot of this name that it is in.
pub type Find<'f> = dyn Fn(&str, Option<&str>) -> Result<Candidate, String> + 'f;

/// What a deployment works with.
pub struct Deployment<'d> {
    /// The environment.
    pub environment: &'d str,
    /// Which phases it has.
    pub shape: Shape<'d>,
    /// How far it is moved.
    pub pace: Pace,
    /// The ledger.
    pub journal: &'d Journal,
    /// What moves releases.
    pub target: &'d mut dyn Target,
    /// Does the rest.
    pub staff: &'d mut dyn Staff,
    /// Finds releases.
    pub find: &'d Find<'d>,
    /// Ends what target and staff do now, who then say that they were interrupted; called from another thread, and more than once.
    pub cut: &'d (dyn Fn() + Sync),
}

impl std::fmt::Debug for Deployment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployment").field("environment", &self.environment).finish_non_exhaustive()
    }
}

/// What comes of a move.
enum Moved {
    /// What was done then.
    On(History),
    /// It goes no further now.
    Left(Left),
}

impl Deployment<'_> {
    /// Goes on with the deployment of this name, which is on its way in `history` or has left something to be ended, as far as the pace says.
    ///
    /// # Errors
    /// Where the ledger cannot be read or written.
    pub fn go_on(&mut self, name: &str, history: History) -> Result<Left, LedgerError> {
        let left = self.move_on(name, history)?;
        if let Left::Interrupted(_) | Left::Unable(_) = left {
            // A phase that is done in part whoever comes next does again, wherever they are. Where this cannot be said, the hold ends by itself.
            let _ends_by_itself = release(self.journal, self.environment, name, INTERRUPTED);
        }
        Ok(left)
    }

    fn move_on(&mut self, name: &str, history: History) -> Result<Left, LedgerError> {
        let mut history = self.end_kept(name, history)?;
        let mut was_asked = false;
        loop {
            let standing = history.standing(self.environment);
            let Some(ongoing) = standing.ongoing.as_ref().filter(|ongoing| ongoing.deployment == name) else {
                // Ended, perhaps by somebody else.
                return Ok(history.ended(name).map_or(Left::Overtaken, |(ending, reason)| Left::Ended(ending, reason)));
            };
            let now = Timestamp::now();
            let step = next(ongoing, self.shape, now);
            let leaves = match step {
                Move::Wait(Wait::Until(_)) => self.pace != Pace::Through,
                Move::Wait(Wait::Resume) => true,
                Move::Do(_) | Move::Look(..) | Move::End(_) => false,
            };
            if let (true, Move::Wait(wait)) = (leaves, step) {
                release(self.journal, self.environment, name, WAITS)?;
                return Ok(Left::Waits(Some(wait)));
            }
            if !self.journal.holds(ongoing) {
                if was_asked {
                    return Ok(Left::Taken(ongoing.lease.clone()));
                }
                history = take(self.journal, self.environment, name, history)?;
                was_asked = true;
                continue;
            }
            // Who loses it from here on does not take it again.
            was_asked = true;
            if let (Move::Do(_) | Move::Look(..), Err(TargetError::Interrupted(signal))) = (step, self.staff.wait(Duration::ZERO)) {
                // It came while nothing ran that it ends.
                return Ok(Left::Interrupted(signal));
            }
            match self.make(step, ongoing, &standing, now)? {
                Moved::On(then) => history = then,
                Moved::Left(left) => return Ok(left),
            }
        }
    }

    /// Makes one move.
    fn make(&mut self, step: Move, ongoing: &Ongoing, standing: &Standing, now: Timestamp) -> Result<Moved, LedgerError> {
        let name = &ongoing.deployment;
        match step {
            Move::End(result) => {
                let stuck = ongoing.turned.as_ref().and_then(|back| back.stuck.clone());
                let reason = stuck.or_else(|| ongoing.turned.as_ref().map(|back| back.reason.clone()));
                let keep = self.shape.keep(ongoing).filter(|_| result == Ending::Verified);
                let kept_until = keep.map(|keep| later(now, keep));
                self.record(ongoing, step, now, || Deed::Ended(Ended { kept_until, ..self.ended(name, result, reason.clone()) }))
                    .map(Moved::On)
            }
            Move::Do(phase) => {
                let begun = self.record(ongoing, step, now, || Deed::Doing(self.phasing(name, phase)))?;
                if !self.is_at(&begun, ongoing, step, now) {
                    // It was told to go back, was ended, or is on another clone, meanwhile.
                    return Ok(Moved::On(begun));
                }
                match self.work(ongoing, |deployment| deployment.perform(phase, ongoing, standing, &begun)) {
                    Ok(reason) => {
                        let done = self
                            .record(ongoing, step, now, || Deed::Done(Phasing { reason: reason.clone(), ..self.phasing(name, phase) }))?;
                        self.after(phase, name, done)
                    }
                    Err(TargetError::Interrupted(signal)) => self.interrupted(ongoing, signal),
                    // What leads back is not given up for what only is not here.
                    Err(TargetError::Unable(reason)) if ongoing.turned.is_some() || ongoing.started.cause == Cause::Rollback => {
                        Ok(Moved::Left(Left::Unable(format!("{phase}: {reason}"))))
                    }
                    Err(TargetError::Failed(reason) | TargetError::Unable(reason)) => {
                        self.fail(ongoing, step, phase, &reason, now).map(Moved::On)
                    }
                }
            }
            Move::Look(weight, wait) => self.look(ongoing, step, weight, wait, now),
            Move::Wait(Wait::Until(until)) => self.sleep(ongoing, until),
            Move::Wait(wait @ Wait::Resume) => Ok(Moved::Left(Left::Waits(Some(wait)))),
        }
    }

    /// Works, and keeps the deployment meanwhile, unless it is told to go back.
    fn work<T>(&mut self, ongoing: &Ongoing, work: impl FnOnce(&mut Self) -> T) -> T {
        let (journal, environment, cut) = (self.journal, self.environment, self.cut);
        keeping(journal, environment, ongoing, || unless_recalled(journal, environment, ongoing, cut, || work(self)))
    }

    /// Goes on with one whose work was cut short to go back; leaves it where a signal came.
    fn interrupted(&mut self, ongoing: &Ongoing, signal: i32) -> Result<Moved, LedgerError> {
        let history = self.journal.read()?;
        let Some(reason) = recalled(&history, self.environment, ongoing) else { return Ok(Moved::Left(Left::Interrupted(signal))) };
        self.staff.say(&format!("told to go back: {}", visible(&reason)));
        Ok(Moved::On(history))
    }

    /// Says how far it is with a new share of the traffic; whoever makes one step leaves it there.
    fn after(&mut self, phase: Phase, name: &str, done: History) -> Result<Moved, LedgerError> {
        let ongoing = done.standing(self.environment).ongoing.filter(|ongoing| ongoing.deployment == name);
        let Some(ongoing) = ongoing.filter(|ongoing| ongoing.turned.is_none() && matches!(phase, Phase::Shift(_))) else {
            return Ok(Moved::On(done));
        };
        let wait = match next(&ongoing, self.shape, Timestamp::now()) {
            Move::Wait(wait) | Move::Look(_, Some(wait)) => Some(wait),
            Move::Do(_) | Move::Look(_, None) | Move::End(_) => None,
        };
        let weights = self.shape.weights(&ongoing);
        if weights.len() > 1 {
            let waits = wait.filter(|_| self.pace == Pace::Through).map(|wait| format!("; waits {wait}"));
            self.staff.say(&(picture(weights, ongoing.share.as_ref()) + &waits.unwrap_or_default()));
        }
        if self.pace != Pace::Step || phase == Phase::Shift(100) {
            return Ok(Moved::On(done));
        }
        release(self.journal, self.environment, name, WAITS)?;
        Ok(Moved::Left(Left::Waits(wait)))
    }

    /// Looks how the new release does, and judges that.
    fn look(&mut self, ongoing: &Ongoing, step: Move, weight: u8, wait: Option<Wait>, now: Timestamp) -> Result<Moved, LedgerError> {
        let started = &ongoing.started;
        let (Some(share), Some(analysis)) = (&ongoing.share, &self.shape.rollout.analysis) else {
            return Ok(Moved::Left(Left::Waits(wait)));
        };
        let found = (self.find)(&started.release, started.slot.as_deref()).and_then(|canary| {
            let before = started.before.as_deref().map(|before| (self.find)(before, started.before_slot.as_deref()));
            Ok((canary, before.transpose()?))
        });
        let (canary, stable) = match found {
            Ok(found) => found,
            Err(reason) => return self.fail(ongoing, step, Phase::Analyse(weight), &reason, now).map(Moved::On),
        };
        let look = match self.work(ongoing, |deployment| deployment.staff.look(&canary, stable.as_ref(), weight)) {
            Ok(look) => look,
            Err(TargetError::Interrupted(signal)) => return self.interrupted(ongoing, signal),
            Err(TargetError::Failed(reason) | TargetError::Unable(reason)) => {
                return self.fail(ongoing, step, Phase::Analyse(weight), &reason, now).map(Moved::On);
            }
        };
        let name = &ongoing.deployment;
        let history = match judge(&look, analysis, share, wait) {
            Judged::Passed => {
                let done = || Deed::Done(self.phasing(name, Phase::Analyse(weight)));
                return self.record(ongoing, step, now, done).map(Moved::On);
            }
            Judged::Back(reason) => return self.fail(ongoing, step, Phase::Analyse(weight), &reason, now).map(Moved::On),
            Judged::Again(None) => self.journal.read()?,
            Judged::Again(Some((answer, reason))) => {
                let (environment, deployment) = (self.environment.to_owned(), name.clone());
                let looked = Looked { environment, deployment, weight, answer, reason: Some(reason).filter(|reason| !reason.is_empty()) };
                self.record(ongoing, step, now, || Deed::Looked(looked.clone()))?
            }
        };
        self.look_again(ongoing, share, analysis, wait, now, history)
    }

    /// Waits until the next look, or leaves that to whoever comes next.
    fn look_again(
        &mut self,
        ongoing: &Ongoing,
        share: &Share,
        analysis: &Analysis,
        wait: Option<Wait>,
        now: Timestamp,
        history: History,
    ) -> Result<Moved, LedgerError> {
        let is_same = |now: &Ongoing| now.deployment == ongoing.deployment && now.turned.is_none();
        if !history
            .standing(self.environment)
            .ongoing
            .is_some_and(|now| is_same(&now) && now.share.is_some_and(|at| at.since == share.since))
        {
            return Ok(Moved::On(history));
        }
        let due = later(now, analysis.every);
        let due = if let Some(Wait::Until(until)) = wait { due.min(until) } else { due };
        if self.pace == Pace::Through && wait != Some(Wait::Resume) {
            return self.sleep(ongoing, due);
        }
        release(self.journal, self.environment, &ongoing.deployment, WAITS)?;
        Ok(Moved::Left(Left::Waits(wait.or(Some(Wait::Until(due))))))
    }

    /// Waits until then, or until something is said of the deployment.
    fn sleep(&mut self, ongoing: &Ongoing, until: Timestamp) -> Result<Moved, LedgerError> {
        let (journal, environment) = (self.journal, self.environment);
        let is_as_it_was = |history: &History| {
            let now = history.standing(environment).ongoing;
            now.is_some_and(|now| Ongoing { lease: None, ..now } == Ongoing { lease: None, ..ongoing.clone() })
        };
        let (mut listened, mut head) = (Timestamp::now(), None);
        keeping(journal, environment, ongoing, || {
            loop {
                let (now, last) = (Timestamp::now(), journal.head()?);
                let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
                if left.is_zero() || (last != head && !is_as_it_was(&journal.read()?)) {
                    return Ok(Moved::On(journal.read()?));
                }
                head = last;
                match self.staff.wait(left.min(LISTEN)) {
                    Ok(()) => {}
                    Err(TargetError::Failed(_) | TargetError::Unable(_)) => std::thread::sleep(left.min(LISTEN)),
                    Err(TargetError::Interrupted(signal)) => return Ok(Moved::Left(Left::Interrupted(signal))),
                }
                if later(listened, LISTEN_FAR) <= now {
                    // What cannot be heard now is heard another time.
                    let _another_time = journal.sync();
                    listened = now;
                }
            }
        })
    }

    /// Begins to end what this deployment has left ready, if that is still so.
    fn end_kept(&self, name: &str, history: History) -> Result<History, LedgerError> {
        let is_kept = |history: &History| history.standing(self.environment).kept.is_some_and(|kept| kept.deployment.deployment == name);
        if !is_kept(&history) {
            return Ok(history);
        }
        self.journal.add(Reach::All, &mut |history| is_kept(history).then(|| Deed::Doing(self.phasing(name, Phase::Stop))))
    }

    /// Adds `deed`, if `step` is still what is to be done for the deployment, and that on us.
    fn record(&self, ongoing: &Ongoing, step: Move, now: Timestamp, deed: impl Fn() -> Deed) -> Result<History, LedgerError> {
        // That it turns back is the first step of the way back.
        let reach = if matches!(deed(), Deed::Turned(_) | Deed::Stuck(_)) { Reach::Here } else { reach(ongoing) };
        self.journal.add(reach, &mut |history| {
            // After a kill it may stand there already that a phase begins; what is said again of anything else counts again.
            let is_said =
                |deed: &Deed| matches!(deed, Deed::Doing(_)) && history.entries.last().is_some_and(|last| last.entry.deed == *deed);
            Some(deed()).filter(|deed| self.is_at(history, ongoing, step, now) && !is_said(deed))
        })
    }

    /// Tells whether `step` is what is to be done now for the deployment, by us, in the direction in which it went.
    fn is_at(&self, history: &History, ongoing: &Ongoing, step: Move, now: Timestamp) -> bool {
        let then = history.standing(self.environment).ongoing.filter(|then| then.deployment == ongoing.deployment);
        then.is_some_and(|then| {
            then.turned.is_some() == ongoing.turned.is_some() && next(&then, self.shape, now) == step && self.journal.holds(&then)
        })
    }

    /// Notes that a phase failed: the deployment goes back, or has failed for good.
    fn fail(&self, ongoing: &Ongoing, step: Move, phase: Phase, reason: &str, now: Timestamp) -> Result<History, LedgerError> {
        let (environment, deployment) = (self.environment.to_owned(), ongoing.deployment.clone());
        let reason = format!("{phase}: {reason}");
        self.record(ongoing, step, now, || {
            let turned = Turned { environment: environment.clone(), deployment: deployment.clone(), reason: reason.clone() };
            if ongoing.turned.is_some() { Deed::Stuck(turned) } else { Deed::Turned(turned) }
        })
    }

    fn phasing(&self, deployment: &str, phase: Phase) -> Phasing {
        Phasing { environment: self.environment.to_owned(), deployment: deployment.to_owned(), phase, reason: None }
    }

    fn ended(&self, deployment: &str, result: Ending, reason: Option<String>) -> Ended {
        Ended { environment: self.environment.to_owned(), deployment: deployment.to_owned(), result, kept_until: None, reason }
    }
}
