//! What other runs in the same checkout do, or did, to stages that this one reads.
//!
//! Nothing that another run has begun to make and not ended is used, and what it has made anew is known by what it is now.

use std::sync::PoisonError;

use super::memory::Memory;
use crate::base::glob::Glob;
use crate::base::text::visible;
use crate::cache::hold::{Claim, Holds};
use crate::cache::outputs::Lying;
use crate::exec::cancel::Cancel;
use crate::exec::processes::runs_in_step_of;
use crate::model::stage::{Stage, StageId};

impl Memory<'_> {
    /// Returns a number that changes whenever another run here begins or ends to make a stage.
    pub(super) fn others(&self) -> u64 {
        self.checkout.holds.as_ref().map_or(0, Holds::others)
    }

    /// Returns the outputs of all stages that this one needs, directly or through others.
    pub(super) fn read_by(&self, id: StageId) -> Vec<Glob> {
        let pipeline = self.plan.pipeline;
        let mut seen = vec![false; pipeline.stages.len()];
        let (mut open, mut outputs) = (pipeline.stage(id).needs.clone(), Vec::new());
        while let Some(need) = open.pop() {
            if !std::mem::replace(&mut seen[need.index()], true) {
                outputs.extend(pipeline.stage(need).outputs.iter().cloned());
                open.extend(&pipeline.stage(need).needs);
            }
        }
        outputs
    }

    /// Compares what this run knows of the stages that `id` reads with what lies there now, where another run may have made them anew. To
    /// be called while a hold on `id` keeps others from that. Tells whether there was a difference.
    ///
    /// # Errors
    /// One of them was left half made, or cannot be read; the text says so.
    pub(super) fn compare_needs(&self, id: StageId) -> Result<bool, String> {
        let others = self.others();
        if others == self.others_at_start {
            return Ok(false);
        }
        let mut seen = vec![false; self.is_selected.len()];
        let (mut open, mut found) = (vec![id], Vec::new());
        while let Some(next) = open.pop() {
            for need in &self.plan.pipeline.stage(next).needs {
                if !std::mem::replace(&mut seen[need.index()], true) {
                    open.push(*need);
                    found.push(*need);
                }
            }
        }
        // Each behind those that it needs: the results of these are a part of its own.
        found.sort_unstable_by_key(|id| (std::cmp::Reverse(self.plan.pipeline.graph.height(*id)), *id));
        let mut is_changed = false;
        for need in found {
            let compared = |id: StageId| self.compared.lock().unwrap_or_else(PoisonError::into_inner)[id.index()];
            let stage = self.plan.pipeline.stage(need);
            if compared(need) == others {
                continue;
            }
            let name = visible(&stage.name);
            if !stage.outputs.is_empty() && self.is_half_made(need) {
                return Err(format!("another run has begun to make `{name}` anew, which this stage reads, and has not ended it"));
            }
            let result = || self.results.lock().unwrap_or_else(PoisonError::into_inner)[need.index()];
            // What was not known before, is not now.
            if let Some(before) = result() {
                let lying = Lying::look(&self.checkout.root, &stage.outputs);
                let outputs = lying.and_then(|lying| self.known_part(need, lying).outputs(&self.checkout.root, &self.checkout.files));
                let outputs = outputs.map_err(|error| format!("the outputs of `{name}` cannot be read: {error}"))?;
                self.set_result(need, &outputs);
                is_changed |= result() != Some(before);
            }
            self.compared.lock().unwrap_or_else(PoisonError::into_inner)[need.index()] = others;
        }
        Ok(is_changed)
    }

    /// Returns a stage that is not selected, is needed, and whose outputs were left half made; and the stage that needs it. One that another
    /// run makes right now is waited for.
    pub(super) fn half_made_need(&self, cancel: &Cancel) -> Option<(StageId, StageId)> {
        let needed = self.plan.stages.iter().flat_map(|id| self.plan.pipeline.stage(*id).needs.iter().map(move |need| (*id, *need)));
        let mut open: Vec<(StageId, StageId)> = needed.collect();
        let mut seen = vec![false; self.is_selected.len()];
        while let Some((user, need)) = open.pop() {
            if self.is_selected[need.index()] || std::mem::replace(&mut seen[need.index()], true) {
                continue;
            }
            let stage = self.plan.pipeline.stage(need);
            if !stage.outputs.is_empty() && self.is_half_made(need) && !self.is_ended(stage, cancel) {
                return Some((user, need));
            }
            open.extend(stage.needs.iter().map(|further| (user, *further)));
        }
        None
    }

    /// Waits for another run that makes the stage now; tells whether its making has ended well.
    fn is_ended(&self, stage: &Stage, cancel: &Cancel) -> bool {
        let Some(holds) = &self.checkout.holds else { return false };
        let mut waiting = |other: &str, process: i32| !cancel.is_stopped() && !runs_in_step_of(process, other);
        let (stage, outputs, since) = (&*stage.name, stage.outputs.as_slice(), holds.others());
        let mut claim = Claim { stage, outputs, reads: &Vec::new, conflicts: &|_| false, waiting: &mut waiting, since };
        match holds.take(&mut claim) {
            Ok(Some(hold)) if !hold.was_marked => hold.is_whole().is_ok(),
            Ok(_) | Err(_) => false,
        }
    }
}
