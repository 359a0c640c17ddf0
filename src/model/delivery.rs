//! What a pipeline says of delivery (contract, section 8): what a release is, and where it may go.

use serde::{Deserialize, Serialize};

use super::environment::{Environment, EnvironmentId};
use super::stage::StageId;
use super::target::Target;
use crate::base::glob::Glob;

/// All that the file says of delivery.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Delivery {
    /// Whether the ledger is published to the repository's remote.
    pub share: bool,
    /// Where releases are kept: a folder, relative to the project; `None` for the user's.
    pub store: Option<String>,
    /// What a release is; `None` where the file has no `[release]`.
    pub release: Option<ReleaseRule>,
    /// The environments, in the order of the file.
    pub environments: Vec<Environment>,
    /// The targets, in the order of the file.
    pub targets: Vec<Target>,
}

/// What a release is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReleaseRule {
    /// The stages that must have passed.
    pub needs: Vec<StageId>,
    /// What is taken into the release: files, or folders and all below them.
    pub artifacts: Vec<Glob>,
    /// What it does cannot be taken back: no rollback leads behind it.
    pub irreversible: bool,
}

impl Delivery {
    /// Returns the environment at `id`.
    pub fn environment(&self, id: EnvironmentId) -> &Environment {
        &self.environments[id.0 as usize]
    }

    /// Returns the environment of this name.
    pub fn named(&self, name: &str) -> Option<&Environment> {
        self.environments.iter().find(|environment| &*environment.name == name)
    }

    /// Returns the target of an environment.
    pub fn target_of(&self, environment: &Environment) -> &Target {
        &self.targets[environment.target.0 as usize]
    }
}
