//! A stored result put in its place, and given out as if its stage had run.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use super::memory::{Look, bound_key};
use super::turn::Turn;
use crate::base::text::visible;
use crate::cache::hold::Hold;
use crate::cache::log::replay;
use crate::cache::outputs::Lying;
use crate::cache::restore::{RestoreError, restore};
use crate::model::event::{EventKind, StageFinished};
use crate::model::outcome::StageOutcome;
use crate::model::stage::StageId;
use crate::store::result::StageResult;

impl Turn<'_> {
    /// Removes the records of a result that turned out to be damaged, and every damaged content: what is made again must not find it there.
    pub(super) fn evict(&self, look: &Look, result: &StageResult) {
        if let (Some(fingerprint), Some(store)) = (&look.fingerprint, &self.memory.checkout.store) {
            store.evict(&fingerprint.key());
            store.evict(&bound_key(fingerprint.bytes(), &self.memory.root_text()));
            // Looking at it is enough.
            result.blobs().for_each(|blob| drop(store.open_verified(blob)));
        }
    }

    /// Puts a stored result in its place. Returns what to say of it; or why the stage has to run.
    pub(super) fn restore(
        &self,
        id: StageId,
        look: &Look,
        hold: Option<&Hold<'_>>,
        result: &StageResult,
        lying: &Lying,
    ) -> Result<Option<String>, RestoreError> {
        let store = self.memory.checkout.store.as_ref().ok_or_else(|| RestoreError::Damaged("there is no store".to_owned()))?;
        let difference = lying.difference(self.root(), &result.outputs, &self.memory.checkout.files);
        let made = || {
            let mut made = self.memory.made(id);
            made.push(result.outputs.clone());
            made
        };
        let custody = self.custody(id, hold, &made);
        let clean = self.stage(id).clean;
        if difference.wrong.is_empty() && (!difference.has_extra() || !clean) {
            self.memory.set_lain(id, lying.clone());
            return Ok(None);
        }
        match restore(&custody, store, lying, &difference, clean, &|| self.attempt.cancel.is_stopped()) {
            Ok((aside, folder)) => self.tell_of_aside(id, &aside, &folder),
            Err(error) => {
                if matches!(error, RestoreError::Damaged(_)) {
                    self.evict(look, result);
                }
                return Err(error);
            }
        }
        if let Ok(lying) = Lying::look(self.root(), &self.stage(id).outputs) {
            custody.remember(&lying, &result.outputs);
            self.memory.set_lain(id, lying);
        }
        Ok(match difference.wrong.as_slice() {
            [] => Some("removed what did not belong to its outputs".to_owned()),
            [only] => Some(format!("restored {}", visible(&only.path))),
            [first, more @ ..] if more.len() < 10 => Some(format!("restored {}, +{} more", visible(&first.path), more.len())),
            all => Some(format!("restored {} files and folders", all.len())),
        })
    }

    pub(super) fn reuse(
        &self,
        id: StageId,
        began: Instant,
        look: &Look,
        result: &StageResult,
        log: Option<File>,
        restored: Option<String>,
    ) -> StageFinished {
        let stage = self.stage(id);
        self.attempt.outbox.tell(EventKind::StageStarted {
            stage: stage.name.clone(),
            key: look.key.map(|key| key.to_string()),
            reason: None,
        });
        if let Some(log) = log {
            self.replay(id, log);
        }
        if let Some(findings) = look.findings.take() {
            // It was compared when it ran.
            let _lonely = self.memory.set_baseline(id, &findings);
            self.attempt.outbox.tell(EventKind::Findings(findings));
        }
        if let Err(error) = self.memory.set_reused(id, &result.outputs) {
            self.notice(id, format!("its outputs cannot be read, so nothing that needs them is cached: {error}"));
        }
        if restored.is_none() {
            self.memory.trace(id, look, result);
        }
        StageFinished { reason: restored, stored: true, ..self.finished(id, began, look, StageOutcome::Cached) }
    }

    fn replay(&self, id: StageId, log: File) {
        let stage = self.stage(id);
        let mut give = |step: usize, stream, text| {
            let step: Arc<str> = stage.steps.get(step).map_or_else(|| "1".into(), |step| step.label.clone());
            let output = |text| EventKind::Output { stage: stage.name.clone(), step: step.clone(), stream, text, replayed: true };
            let mut rest = self.attempt.outbox.offer(output(text));
            while let Some(text) = rest {
                rest = self.attempt.outbox.offer(output(text));
            }
        };
        if let Err(error) = replay(log, &self.memory.root_text(), &mut give) {
            self.notice(id, format!("what it printed cannot be read any more: {error}"));
        }
    }
}
