//! Whether what a stage needs still lies there as it was when the stage's key was made.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::memory::Memory;
use crate::base::glob::Glob;
use crate::base::stamp::Stamp;
use crate::cache::outputs::{Found, FoundKind, Lying};
use crate::model::stage::StageId;
use crate::store::result::Output;

/// How many of the stages that one needs, the nearest first, are looked at again after it ran: in a graph of thousands all of them would
/// cost more than the steps.
const MOST: usize = 128;

impl Memory<'_> {
    /// Remembers how the outputs of a stage lay there when its R became known.
    pub(super) fn set_lain(&self, id: StageId, lying: Lying) {
        self.lain.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::new(lying));
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
        if let Some(then) = self.recall(id) {
            now.found.retain(|path, _| then.found.contains_key(path));
        }
        now
    }

    /// Returns how the outputs of a stage lay there when its R became known, also where that was before the run began.
    fn recall(&self, id: StageId) -> Option<Arc<Lying>> {
        let mut lain = self.lain.lock().unwrap_or_else(PoisonError::into_inner);
        if let (false, Some(then)) = (lain.contains_key(&id), self.lain_when_known(id)) {
            lain.insert(id, Arc::new(then));
        }
        lain.get(&id).map(Arc::clone)
    }

    /// Returns the first output of a stage that does not lie there as it did when its R became known.
    fn changed_path(&self, id: StageId) -> Option<String> {
        let (root, outputs) = (&self.checkout.root, &self.plan.pipeline.stage(id).outputs);
        let any = || outputs.first().map_or_else(String::new, |output| output.path().to_owned());
        let then = self.recall(id);
        if then.as_ref().is_some_and(|then| are_as_then(then, root, outputs)) {
            return None;
        }
        let Ok(now) = Lying::look(root, outputs) else { return Some(any()) };
        let now = self.known_part(id, now);
        let then = then.as_ref().map(|then| &then.found);
        if then == Some(&now.found) {
            return None;
        }
        let differs = |(path, found): &(&String, &Found)| found.kind != FoundKind::Folder && now.found.get(*path) != Some(found);
        let differs = then.and_then(|then| then.iter().find(differs)).map(|(path, _)| path.clone());
        // They were touched; what counts is what they hold.
        let held = now.outputs(root, &self.checkout.files).ok().and_then(|outputs| self.result_of(id, &outputs));
        if held.is_some() && held == self.result(id).ok() { None } else { Some(differs.unwrap_or_else(any)) }
    }
}

/// Tells whether a look at each of the files that lay there shows that all is as it was. Where there were others than files, or a pattern
/// may mean more than there was, it does not.
fn are_as_then(then: &Lying, root: &Path, outputs: &[Glob]) -> bool {
    let is_same = |(path, found): (&String, &Found)| {
        found.kind == FoundKind::File && root.join(path).symlink_metadata().is_ok_and(|metadata| Stamp::of(&metadata) == found.stamp)
    };
    then.odd.is_empty() && then.found.len() == outputs.len() && outputs.iter().all(Glob::is_literal) && then.found.iter().all(is_same)
}
