//! Whether what a stage needs still lies there as it was when the stage's key was made.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::sync::PoisonError;

use super::memory::Memory;
use crate::cache::outputs::{FoundKind, Lying};
use crate::model::stage::StageId;
use crate::store::result::Output;

/// How many of the stages that one needs, the nearest first, are looked at again after it ran: in a graph of thousands all of them would
/// cost more than the steps.
const MOST: usize = 128;

impl Memory<'_> {
    /// Remembers how the outputs of a stage lay there when its R became known.
    pub(super) fn set_lain(&self, id: StageId, lying: Lying) {
        self.lain.lock().unwrap_or_else(PoisonError::into_inner).insert(id, lying);
    }

    /// Remembers R of a stage whose stored result is reused. With `clean = false` whatever else lies in its outputs is its own, and those
    /// who need it may read that, too.
    ///
    /// # Errors
    /// Where that cannot be read: then R stays unknown, and those who need it are not cached.
    pub(super) fn set_reused(&self, id: StageId, outputs: &[Output]) -> io::Result<()> {
        let stage = self.plan.pipeline.stage(id);
        if stage.clean || stage.outputs.is_empty() {
            self.set_result(id, outputs);
            return Ok(());
        }
        let root = &self.checkout.root;
        let lying = Lying::look(root, &stage.outputs)?.outputs(root, &self.checkout.files)?;
        let all: BTreeMap<&str, &Output> = lying.iter().chain(outputs).map(|output| (output.path.as_str(), output)).collect();
        let all: Vec<Output> = all.into_values().cloned().collect();
        self.set_result(id, &all);
        Ok(())
    }

    /// Returns a stage that this one needs, directly or through others, whose outputs do not lie there any more as its R says, and the first
    /// of them that does not: what read them may have read anything.
    pub(super) fn changed_need(&self, id: StageId) -> Option<(StageId, String)> {
        let pipeline = self.plan.pipeline;
        let (mut seen, mut nearest) = (HashSet::new(), VecDeque::new());
        // Each once, and no more than are looked at: where layers need each other whole, there are far more edges than stages.
        let mut add = |open: &mut VecDeque<StageId>, needs: &[StageId]| {
            for need in needs {
                if seen.len() == MOST {
                    return;
                }
                if seen.insert(*need) {
                    open.push_back(*need);
                }
            }
        };
        add(&mut nearest, &pipeline.stage(id).needs);
        while let Some(need) = nearest.pop_front() {
            let stage = pipeline.stage(need);
            if let Some(path) = Some(need).filter(|_| !stage.outputs.is_empty()).and_then(|need| self.changed_path(need)) {
                return Some((need, path));
            }
            add(&mut nearest, &stage.needs);
        }
        None
    }

    /// Returns what of the outputs of a stage was there when its R became known. What a tool adds to the outputs of another stage, such as
    /// a cache of its own, nobody has read before.
    pub(super) fn known_part(&self, id: StageId, mut now: Lying) -> Lying {
        self.recall(id);
        if let Some(then) = self.lain.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            now.found.retain(|path, _| then.found.contains_key(path));
        }
        now
    }

    /// Remembers how the outputs of a stage lay that was known when the run began.
    fn recall(&self, id: StageId) {
        let mut lain = self.lain.lock().unwrap_or_else(PoisonError::into_inner);
        if let (false, Some(then)) = (lain.contains_key(&id), self.lain_when_known(id)) {
            lain.insert(id, then);
        }
    }

    /// Returns the first output of a stage that does not lie there as it did when its R became known.
    fn changed_path(&self, id: StageId) -> Option<String> {
        let (root, outputs) = (&self.checkout.root, &self.plan.pipeline.stage(id).outputs);
        let any = || outputs.first().map_or_else(String::new, |output| output.path().to_owned());
        self.recall(id);
        let Ok(now) = Lying::look(root, outputs) else { return Some(any()) };
        let now = self.known_part(id, now);
        let differs = {
            let lain = self.lain.lock().unwrap_or_else(PoisonError::into_inner);
            let then = lain.get(&id).map(|then| &then.found);
            if then == Some(&now.found) {
                return None;
            }
            then.and_then(|then| then.iter().find(|(path, found)| found.kind != FoundKind::Folder && now.found.get(*path) != Some(found)))
                .map(|(path, _)| path.clone())
        };
        // They were touched; what counts is what they hold.
        let held = now.outputs(root, &self.checkout.files).ok().and_then(|outputs| self.result_of(id, &outputs));
        if held.is_some() && held == self.result(id).ok() { None } else { Some(differs.unwrap_or_else(any)) }
    }
}
