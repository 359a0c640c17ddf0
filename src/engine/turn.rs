//! A stage's turn: its result is reused where it is known, else the stage is made, and its result kept.
//!
//! Knows the order of things that the contract's promises need (section 4): a mark before the first write, the record last, the mark
//! away at the very end.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::attempt::{Attempt, End, Made, milliseconds};
use super::memory::{Look, Memory, Verdict};
use crate::base::text::{count, visible};
use crate::cache::custody::{Custody, all};
use crate::cache::hold::{Claim, Hold};
use crate::cache::log::LogWriter;
use crate::cache::outputs::Lying;
use crate::cache::restore::RestoreError;
use crate::exec::processes::runs_in_step_of;
use crate::model::event::{EventKind, StageFinished};
use crate::model::outcome::StageOutcome;
use crate::model::stage::{Stage, StageId};
use crate::store::result::Output;

/// How many paths a notice names.
const NAMED: usize = 3;

/// Everything that a stage's turn works with.
pub(super) struct Turn<'a> {
    pub(super) attempt: Attempt<'a>,
    pub(super) memory: &'a Memory<'a>,
    pub(super) run: &'a str,
    /// Whether stored logs are given out again.
    pub(super) replays: bool,
}

/// What came of asking for a hold.
enum Held<'h> {
    Ours(Hold<'h>),
    /// The run ended before.
    Ended,
    /// It would never be had, for this reason.
    Circle(String),
}

impl Turn<'_> {
    /// Brings the stage to its outcome.
    pub(super) fn take(&self, id: StageId) -> StageFinished {
        let (began, since) = (Instant::now(), self.memory.others());
        let (mut look, mut log) = self.look(id);
        if let Verdict::Proven(result) = &look.verdict {
            return self.reuse(id, began, &look, result, log, None);
        }
        let hold = match self.hold(id, since) {
            Ok(Held::Ours(hold)) => Some(hold),
            Ok(Held::Ended) => return self.cancelled(id, began, &look),
            Ok(Held::Circle(reason)) => return self.refused(id, began, &look, reason),
            // Without a place for marks a stage runs as it did before there were any; that there is none was said at the start.
            Err(_) if self.memory.checkout.holds.is_none() => None,
            Err(error) => {
                self.notice(id, format!("it cannot be marked as being made: {error}"));
                None
            }
        };
        let is_news = hold.as_ref().is_some_and(|hold| hold.is_news);
        if is_news {
            self.memory.disturb();
        }
        let is_changed = match self.memory.compare_needs(id) {
            Ok(is_changed) => is_changed,
            Err(reason) => {
                // Nothing was touched yet.
                self.whole(id, hold.filter(|hold| !hold.was_marked));
                return self.refused(id, began, &look, reason);
            }
        };
        if is_news || is_changed {
            (look, log) = self.look(id);
        }
        if let Verdict::Proven(result) = &look.verdict {
            self.whole(id, hold);
            return self.reuse(id, began, &look, result, log, None);
        }
        if let Verdict::Stored(result, lying) = &look.verdict {
            let restored = self.restore(id, &look, hold.as_ref(), result, lying);
            // What was looked at ahead may be what was put in place just now: a program, a list of what git ignores.
            self.memory.disturb();
            match restored {
                Ok(restored) => {
                    self.whole(id, hold);
                    return self.reuse(id, began, &look, result, log, restored);
                }
                Err(RestoreError::Stopped) => {
                    // Nothing was touched yet.
                    self.whole(id, hold.filter(|hold| !hold.was_marked));
                    return self.cancelled(id, began, &look);
                }
                Err(error) => look.verdict = Verdict::Run(format!("its stored result {error}")),
            }
        }
        self.make(id, began, &look, hold)
    }

    /// Looks at the stage. Where its result is known and what it printed is to be given out again, that is opened, too: without it the
    /// result is not whole.
    fn look(&self, id: StageId) -> (Look, Option<File>) {
        let mut look = self.memory.look(id);
        let (Verdict::Proven(result) | Verdict::Stored(result, _)) = &look.verdict else { return (look, None) };
        let (true, Some(log), Some(store)) = (self.replays, &result.log, &self.memory.checkout.store) else { return (look, None) };
        match store.open_verified(log) {
            Ok(log) => (look, Some(log)),
            Err(error) => {
                self.evict(&look, result);
                look.verdict = Verdict::Run(format!("its stored result was damaged: what it printed cannot be had, {error}"));
                (look, None)
            }
        }
    }

    pub(super) fn stage(&self, id: StageId) -> &Stage {
        self.memory.plan.pipeline.stage(id)
    }

    pub(super) fn root(&self) -> &Path {
        &self.memory.checkout.root
    }

    pub(super) fn notice(&self, id: StageId, text: String) {
        self.attempt.outbox.tell(EventKind::Notice { stage: Some(Arc::clone(&self.stage(id).name)), text });
    }

    /// Waits until no other run makes this stage, or one that has to do with it.
    fn hold(&self, id: StageId, since: u64) -> std::io::Result<Held<'_>> {
        let holds = self.memory.checkout.holds.as_ref().ok_or_else(|| std::io::Error::other("there is no .shipway/ to do so in"))?;
        let stage = self.stage(id);
        let conflicts = |other: &str| self.memory.plan.are_related(id, other);
        let (mut said, mut circle) = (String::new(), None);
        let mut waiting = |other: &str, process: i32| {
            if said != other {
                if runs_in_step_of(process, other) {
                    let other = visible(other);
                    circle = Some(format!("it would wait for ever: shipway was called here by a step of `{other}`, which is being made"));
                    return false;
                }
                if said.is_empty() {
                    self.notice(id, format!("waits for another run of shipway here, which makes `{}`", visible(other)));
                    self.attempt.outbox.send();
                }
                other.clone_into(&mut said);
            }
            !self.attempt.cancel.is_stopped()
        };
        let (outputs, reads) = (stage.outputs.as_slice(), || self.memory.read_by(id));
        let mut claim = Claim { stage: &stage.name, outputs, reads: &reads, conflicts: &conflicts, waiting: &mut waiting, since };
        let hold = holds.take(&mut claim)?;
        Ok(hold.map_or_else(|| circle.map_or(Held::Ended, Held::Circle), Held::Ours))
    }

    fn whole(&self, id: StageId, hold: Option<Hold<'_>>) {
        if let Some(Err(error)) = hold.map(Hold::is_whole) {
            self.notice(id, format!("its mark cannot be removed, so the next run will look at it again: {error}"));
        }
    }

    pub(super) fn custody<'c>(&'c self, id: StageId, hold: Option<&Hold<'_>>, made: &'c dyn Fn() -> Vec<Vec<Output>>) -> Custody<'c> {
        let checkout = self.memory.checkout;
        Custody {
            root: self.root(),
            state: checkout.state.as_deref(),
            left: checkout.left.as_ref(),
            stage: &self.stage(id).name,
            run: self.run,
            clean: self.stage(id).clean && !self.stage(id).outputs.is_empty(),
            files: &checkout.files,
            killed: hold.and_then(|hold| hold.killed),
            made,
        }
    }

    pub(super) fn finished(&self, id: StageId, began: Instant, look: &Look, outcome: StageOutcome) -> StageFinished {
        let key = look.key.map(|key| key.to_string());
        StageFinished { key, duration_ms: milliseconds(began), ..StageFinished::without_run(self.stage(id).name.clone(), outcome) }
    }

    fn cancelled(&self, id: StageId, began: Instant, look: &Look) -> StageFinished {
        let stage = self.stage(id).name.clone();
        self.attempt.outbox.tell(EventKind::StageStarted { stage, key: look.key.map(|key| key.to_string()), reason: None });
        self.finished(id, began, look, StageOutcome::Cancelled)
    }

    /// Ends a stage that must not be made now.
    fn refused(&self, id: StageId, began: Instant, look: &Look, reason: String) -> StageFinished {
        StageFinished { outcome: StageOutcome::Failed, reason: Some(reason), ..self.cancelled(id, began, look) }
    }

    /// Runs the stage's steps, and keeps what came out.
    fn make(&self, id: StageId, began: Instant, look: &Look, hold: Option<Hold<'_>>) -> StageFinished {
        let stage = self.stage(id);
        let why = match &look.verdict {
            Verdict::Run(reason) => Some(reason.clone()),
            Verdict::Uncached(reason) => reason.clone(),
            Verdict::Proven(_) | Verdict::Stored(..) => None,
        };
        let key = look.key.map(|key| key.to_string());
        self.attempt.outbox.tell(EventKind::StageStarted { stage: stage.name.clone(), key, reason: why.clone() });
        self.memory.disturb();
        let may_store = look.fingerprint.is_some() && self.memory.checkout.writes();
        let log = may_store.then(|| RefCell::new(LogWriter::new(&self.memory.root_text())));
        let made = || self.memory.made(id);
        let custody = self.custody(id, hold.as_ref(), &made);
        let is_cleared = Cell::new(false);
        let mut clear = || {
            if is_cleared.replace(false) {
                // What an attempt before this one left is ours, since it had found nothing there.
                self.claim(id, &custody);
            }
            self.clear(id, &custody)?;
            is_cleared.set(true);
            // Where that cannot be noted, what a killed shipway leaves is moved aside instead of removed.
            let _unsaid = hold.as_ref().map(Hold::is_cleared);
            Ok(())
        };
        let reporting = self.memory.reporting(id);
        let Made { end, attempts, findings } = self.attempt.run(id, log.as_ref(), reporting.as_ref(), &mut clear);
        self.tell_findings(id, findings, matches!(end, End::Passed { .. }));
        // What could not be cleared away before may be anybody's.
        let ours = is_cleared.get().then_some(&custody);
        self.memory.disturb();
        let mut finished = StageFinished { attempts, ..self.finished(id, began, look, StageOutcome::Passed) };
        match end {
            End::Passed { flaky, lying, kept } => {
                finished.flaky = flaky || attempts > 1;
                let log = log.map(RefCell::into_inner);
                finished.stored = self.keep(id, look, &lying, log.filter(|_| kept.is_none()), &custody, &finished);
                if let Some(service) = kept.filter(|_| may_store) {
                    let service = visible(&service);
                    self.notice(
                        id,
                        format!("not stored: the service `{service}` was started for an earlier run, from files as they were then"),
                    );
                }
                finished.reason = if finished.flaky { Some("passed only after a retry".to_owned()) } else { why };
                self.whole(id, hold);
            }
            End::Failed(failure, reason) => {
                (finished.outcome, finished.reason, finished.failure) = (StageOutcome::Failed, Some(reason), Some(*failure));
                self.leave(id, ours, hold);
            }
            End::Cancelled => {
                finished.outcome = StageOutcome::Cancelled;
                self.leave(id, ours, hold);
            }
        }
        finished.duration_ms = milliseconds(began);
        finished
    }

    /// Removes what an earlier run left in the outputs, and moves aside what is not ours.
    fn clear(&self, id: StageId, custody: &Custody<'_>) -> Result<(), String> {
        let stage = self.stage(id);
        if !stage.clean || stage.outputs.is_empty() {
            return Ok(());
        }
        let cleared = Lying::look(self.root(), &stage.outputs).and_then(|lying| custody.take_away(&lying, &all(&lying), true));
        let (aside, folder) = cleared.map_err(|error| format!("what lies in its outputs cannot be removed: {error}"))?;
        self.tell_of_aside(id, &aside, &folder);
        Ok(())
    }

    pub(super) fn tell_of_aside(&self, id: StageId, aside: &[String], folder: &Path) {
        if aside.is_empty() {
            return;
        }
        let named: Vec<String> = aside.iter().take(NAMED).map(|path| format!("`{}`", visible(path))).collect();
        let more = if aside.len() > NAMED { format!(" and {} more", aside.len() - NAMED) } else { String::new() };
        let folder = folder.strip_prefix(self.root()).unwrap_or(folder).display();
        self.notice(
            id,
            format!(
                "{}{more} lay in its outputs and {} not made by shipway: moved to {folder}",
                named.join(", "),
                if aside.len() == 1 { "was" } else { "were" }
            ),
        );
    }

    /// Ends a stage that did not pass: what it left is remembered as ours, and its outputs stay marked.
    fn leave(&self, id: StageId, ours: Option<&Custody<'_>>, hold: Option<Hold<'_>>) {
        let stage = self.stage(id);
        if stage.outputs.is_empty() {
            return self.whole(id, hold);
        }
        if let Some(custody) = ours {
            self.claim(id, custody);
        }
    }

    /// Remembers what lies in the outputs as ours.
    fn claim(&self, id: StageId, custody: &Custody<'_>) {
        if let Ok(lying) = Lying::look(self.root(), &self.stage(id).outputs) {
            custody.remember(&lying, &[]);
        }
    }
}

/// Returns what to say of a stage whose outputs were left half made.
pub(super) fn half_made(stage: &Stage, user: &Stage) -> String {
    format!(
        "`{}` reads the outputs of `{}`, whose making was begun and not ended: {} may be missing or only in part there",
        visible(&user.name),
        visible(&stage.name),
        count(stage.outputs.len(), "output")
    )
}
