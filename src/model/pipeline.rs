//! The whole of a `pipeline.toml`, valid: every name in it leads somewhere.
//!
//! Built only by `config::resolve`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::delivery::Delivery;
use super::graph::Graph;
use super::service::Service;
use super::stage::{PoolId, ServiceId, Stage, StageId, Step};
use crate::base::digest::Hash;

/// A valid pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// The hash of all that it was read from: the files, with their names.
    pub digest: Hash,
    /// What runs when no stage is named, in the order of the file.
    pub default: Vec<StageId>,
    /// The files that the pipeline's file includes, directly or through others, relative to the project.
    pub included: Vec<String>,
    /// All stages in the order of the file, those of a matrix in the order of its axes.
    pub stages: Vec<Stage>,
    /// The services, in the order of the file.
    pub services: Vec<Service>,
    /// The pools, by name.
    pub pools: Vec<Pool>,
    /// Who waits for whom.
    pub graph: Graph,
    /// Where results are kept, and how many.
    pub cache: CacheSettings,
    /// What the hooks of git run.
    pub hook: HookSettings,
    /// What a release is, and where it may go.
    pub delivery: Delivery,
}

/// What the file says of the hooks of git; `None` for the pipeline's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookSettings {
    /// The stages that run before a push.
    pub pre_push: Option<Vec<StageId>>,
    /// The stages that run before a commit.
    pub pre_commit: Option<Vec<StageId>>,
}

/// What the file says of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSettings {
    /// Its folder, relative to the project; `None` for the user's.
    pub dir: Option<String>,
    /// It is kept below this size, in bytes.
    pub max_size: u64,
    /// What was not used for so long is removed.
    pub max_age: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { dir: None, max_size: 10 << 30, max_age: Duration::from_hours(30 * 24) }
    }
}

/// A bound on how many stages run at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// At most so many of its stages at once.
    pub size: usize,
}

impl Pipeline {
    /// Returns the stage at `id`.
    pub fn stage(&self, id: StageId) -> &Stage {
        &self.stages[id.index()]
    }

    /// Returns the pool at `id`.
    pub fn pool(&self, id: PoolId) -> &Pool {
        &self.pools[id.0 as usize]
    }

    /// Returns the service at `id`.
    pub fn service(&self, id: ServiceId) -> &Service {
        &self.services[id.0 as usize]
    }

    /// Returns the services that a stage uses, in the order in which it names them.
    pub fn services_of(&self, stage: &Stage) -> Vec<&Service> {
        stage.services.iter().map(|id| self.service(*id)).collect()
    }

    /// Returns all that is started for a stage: its steps, then its services.
    pub fn started_for<'p>(&'p self, stage: &'p Stage) -> Vec<&'p Step> {
        stage.steps.iter().chain(stage.services.iter().map(|id| &self.service(*id).start)).collect()
    }

    /// Tells whether a stage runs when none is named.
    pub fn is_default(&self, id: StageId) -> bool {
        self.default.binary_search(&id).is_ok()
    }

    /// Returns every stage's id, in the order of the file.
    pub fn ids(&self) -> impl Iterator<Item = StageId> + use<> {
        (0..u32::try_from(self.stages.len()).unwrap_or(u32::MAX)).map(StageId)
    }

    /// Returns the stages that `name` means: one, or all of a matrix; none where there is no such name.
    pub fn named(&self, name: &str) -> Vec<StageId> {
        let exact: Vec<StageId> = self.ids().filter(|id| &*self.stage(*id).name == name).collect();
        if exact.is_empty() { self.ids().filter(|id| &*self.stage(*id).group == name).collect() } else { exact }
    }
}
