//! What came out of a stage that passed, kept here for those who need it and in the store for later.

use super::memory::{Look, bound};
use super::reason;
use super::turn::Turn;
use crate::base::digest::{Digest, Hash};
use crate::base::text::visible;
use crate::cache::capture::{Refusal, capture};
use crate::cache::custody::Custody;
use crate::cache::fingerprint::{Change, Fingerprint, Kind};
use crate::cache::log::LogWriter;
use crate::cache::outputs::{Lying, behind_link};
use crate::model::event::StageFinished;
use crate::model::stage::{Stage, StageId, keep_out};
use crate::store::local::Store;
use crate::store::result::{Output, StageResult};

impl Turn<'_> {
    /// Keeps the result of a stage that passed, here and in the store. Tells whether it is in the store.
    pub(super) fn keep(
        &self,
        id: StageId,
        look: &Look,
        lying: &Lying,
        log: Option<LogWriter>,
        custody: &Custody<'_>,
        finished: &StageFinished,
    ) -> bool {
        let checkout = self.memory.checkout;
        if !checkout.reads() && !checkout.writes() {
            // Nothing is cached, so nobody asks what came out.
            custody.remember(lying, &[]);
            return false;
        }
        let files = &checkout.files;
        let stored = match (&look.fingerprint, &checkout.store, log) {
            (Some(fingerprint), Some(store), Some(log)) if !finished.flaky => {
                self.store(id, fingerprint, lying, store, log, finished).map(Some)
            }
            _ => Ok(None),
        };
        let outputs = match stored {
            Ok(Some(outputs)) => Ok((outputs, true)),
            Ok(None) => lying.outputs(self.root(), files).map(|outputs| (outputs, false)),
            Err(refusal) => {
                // A store that is full or gone says so once.
                if matches!(refusal, Refusal::Unfit(_)) || checkout.is_first_of_store(&refusal.to_string()) {
                    self.notice(id, format!("not stored: {refusal}"));
                }
                lying.outputs(self.root(), files).map(|outputs| (outputs, false))
            }
        };
        match outputs {
            Ok((outputs, stored)) => {
                custody.remember(lying, &outputs);
                self.memory.set_result(id, &outputs);
                self.memory.set_lain(id, lying.clone());
                stored
            }
            Err(error) => {
                custody.remember(lying, &[]);
                self.notice(id, format!("its outputs cannot be read, so nothing that needs them is cached: {error}"));
                false
            }
        }
    }

    /// Puts the result into the store. Returns the outputs, or why it is not stored.
    fn store(
        &self,
        id: StageId,
        fingerprint: &Fingerprint,
        lying: &Lying,
        store: &Store,
        log: LogWriter,
        finished: &StageFinished,
    ) -> Result<Vec<Output>, Refusal> {
        let stage = self.stage(id);
        let now = self.memory.fingerprint(id).map_err(Refusal::Unfit)?;
        if now != *fingerprint {
            return Err(Refusal::Unfit(changed_inputs(stage, &now, fingerprint)));
        }
        if let Some((need, path)) = self.memory.changed_need(id) {
            let (path, need) = (visible(&path), visible(&self.stage(need).name));
            return Err(Refusal::Unfit(format!("while it ran, {path} changed, which is an output of `{need}`")));
        }
        if let Some(folder) = behind_link(self.root(), &stage.outputs) {
            return Err(Refusal::Unfit(format!("its outputs lie behind the link `{}`", visible(&folder))));
        }
        let captured = capture(self.root(), lying, store, self.memory.masker)?;
        let log = match log.finish().map_err(|error| Refusal::Unfit(format!("its log cannot be kept: {error}")))? {
            Some(mut log) => Some(store.put_reader(&mut log, &mut |_| Ok(())).map_err(Refusal::Broken)?),
            None => None,
        };
        let root = self.memory.root_text();
        let result = StageResult {
            // Also where it may be used elsewhere: that may be taken back.
            bound_to: captured.holds_root.then(|| root.clone()),
            outputs: captured.outputs,
            log,
            fingerprint: Digest::of(fingerprint.bytes()),
            duration_ms: finished.duration_ms,
        };
        let key = fingerprint.key();
        let recorded = store.record(&key, fingerprint.bytes(), &result).and_then(|()| {
            if result.bound_to.is_some() {
                let own = bound(fingerprint.bytes(), &root);
                store.record(&Hash::of(&own), &own, &StageResult { fingerprint: Digest::of(&own), ..result.clone() })?;
            }
            Ok(())
        });
        recorded.map_err(Refusal::Broken)?;
        if let Some(notes) = &self.memory.checkout.notes {
            notes.note(&stage.name, &key);
        }
        Ok(result.outputs)
    }
}

/// Returns what to say of inputs, or other ingredients of the key, that changed while the stage ran.
fn changed_inputs(stage: &Stage, now: &Fingerprint, before: &Fingerprint) -> String {
    let changes = now.changes(before);
    let lines: Vec<String> = changes.iter().map(reason::describe).collect();
    let own = changes.iter().find_map(|change| match change {
        Change::New(input) if input.kind == Kind::Input => Some(String::from_utf8_lossy(input.name).into_owned()),
        Change::New(_) | Change::Gone(_) | Change::Changed(..) => None,
    });
    let help = own.map(|path| match &stage.inputs {
        Some(_) => format!("; if it writes that itself, keep it out of its inputs: \"{}\"", keep_out(&path, &stage.dir)),
        // A list of inputs of exclusions alone would leave none.
        None => "; if it writes that itself, name it in `outputs` or in .gitignore".to_owned(),
    });
    format!("while it ran, {}{}", reason::summary(&lines), help.unwrap_or_default())
}
