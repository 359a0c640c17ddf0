//! What a run would do, without doing it.

use std::sync::Arc;

use super::memory::{Memory, Verdict};
use super::reason::{self, Difference};
use crate::base::digest::Hash;
use crate::base::text::visible;
use crate::cache::fingerprint::Fingerprint;
use crate::model::stage::StageId;

/// What would become of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foresight {
    /// Its result would be reused.
    Hit,
    /// It would run.
    Miss,
    /// It would run, and not be stored.
    Uncached,
}

/// What would become of a stage, and why.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// Which stage.
    pub stage: StageId,
    /// Its name.
    pub name: Arc<str>,
    /// What; `None` where that depends on what comes out of a stage that would run.
    pub foresight: Option<Foresight>,
    /// Why.
    pub reason: Option<String>,
    /// Its key, where it can be known.
    pub key: Option<Hash>,
    fingerprint: Option<Fingerprint>,
}

impl Memory<'_> {
    /// Returns what would become of each stage of the plan, in its order.
    pub fn predict(&self) -> Vec<Prediction> {
        let mut open: Vec<StageId> = Vec::new();
        self.plan.stages.iter().map(|id| self.foresee(*id, &mut open)).collect()
    }

    /// Predicts one stage; `open` are those whose outputs cannot be known.
    fn foresee(&self, id: StageId, open: &mut Vec<StageId>) -> Prediction {
        let stage = self.plan.pipeline.stage(id);
        let prediction =
            |foresight, reason| Prediction { stage: id, name: stage.name.clone(), foresight, reason, key: None, fingerprint: None };
        if let Some(need) = stage.needs.iter().find(|need| open.contains(need)).filter(|_| stage.cache) {
            open.push(id);
            let need = visible(&self.plan.pipeline.stage(*need).name).into_owned();
            return prediction(None, Some(format!("it depends on what `{need}` gives")));
        }
        let look = self.look(id);
        let (foresight, reason) = match look.verdict {
            Verdict::Proven(result) => {
                let _unread = self.set_reused(id, &result.outputs);
                (Foresight::Hit, None)
            }
            Verdict::Stored(result, _) => {
                // What cannot be read leaves R unknown.
                let _unknown = self.set_reused(id, &result.outputs);
                (Foresight::Hit, Some("its outputs are restored".to_owned()))
            }
            Verdict::Run(reason) => (Foresight::Miss, Some(reason)),
            Verdict::Uncached(reason) => (Foresight::Uncached, reason),
        };
        if foresight != Foresight::Hit {
            // What a stage without outputs gives is known before it runs.
            if stage.outputs.is_empty() && !stage.needs.iter().any(|need| open.contains(need)) {
                self.set_result(id, &[]);
            } else {
                open.push(id);
            }
        }
        Prediction { key: look.key, fingerprint: look.fingerprint, ..prediction(Some(foresight), reason) }
    }

    /// Returns how the stage differs from the nearest earlier result under another key.
    pub fn compare(&self, prediction: &Prediction) -> Option<Difference> {
        let (store, fingerprint) = (self.checkout.store.as_ref()?, prediction.fingerprint.as_ref()?);
        let mut keys = self.noted(prediction.stage);
        keys.retain(|key| Some(*key) != prediction.key);
        reason::difference(store, &keys, fingerprint)
    }
}
