//! What of a pipeline is to run.

use std::collections::BTreeSet;

use super::pipeline::Pipeline;
use super::stage::StageId;
use crate::base::nearest;

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Names of stages; empty for the pipeline's default.
    pub stages: Vec<String>,
    /// True: without what they need.
    pub only: bool,
    /// Names of stages that are not to run; those that wait for them run.
    pub skip: Vec<String>,
}

/// The stages to run, each behind those that it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// What was meant, before what it needs was added and what is skipped was taken out.
    pub targets: Vec<StageId>,
    /// Everything that is to run.
    pub stages: Vec<StageId>,
}

/// Why nothing can be selected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// There is no stage of that name.
    #[error("there is no stage `{name}`")]
    Unknown {
        /// The name that was given.
        name: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// The file declares no stage.
    #[error("the pipeline has no stages, so there is nothing to run")]
    Empty,
    /// `--skip` took out all there was.
    #[error("no stage is left to run")]
    Nothing,
}

impl Selection {
    /// Returns what `request` means in `pipeline`.
    ///
    /// # Errors
    /// Where a name is unknown, or nothing would run: that is never a success.
    pub fn new(pipeline: &Pipeline, request: &Request) -> Result<Self, SelectError> {
        if pipeline.stages.is_empty() {
            return Err(SelectError::Empty);
        }
        let mut targets = if request.stages.is_empty() { pipeline.default.clone() } else { find(pipeline, &request.stages)? };
        targets.sort_unstable();
        targets.dedup();
        let mut skipped = vec![false; pipeline.stages.len()];
        for id in find(pipeline, &request.skip)? {
            skipped[id.index()] = true;
        }
        let marked = if request.only {
            let mut marked = vec![false; pipeline.stages.len()];
            for id in targets.iter().filter(|id| !skipped[id.index()]) {
                marked[id.index()] = true;
            }
            marked
        } else {
            pipeline.graph.ancestors(&targets, |id| !skipped[id.index()])
        };
        let stages: Vec<StageId> = pipeline.graph.order().iter().copied().filter(|id| marked[id.index()]).collect();
        if stages.is_empty() { Err(SelectError::Nothing) } else { Ok(Self { targets, stages }) }
    }
}

fn find(pipeline: &Pipeline, names: &[String]) -> Result<Vec<StageId>, SelectError> {
    let mut found = Vec::new();
    for name in names {
        let ids = pipeline.named(name);
        if ids.is_empty() {
            let names = pipeline.stages.iter().flat_map(|stage| [&*stage.name, &*stage.group]);
            let all: BTreeSet<&str> = names.collect();
            return Err(SelectError::Unknown {
                name: name.clone(),
                help: nearest::help("a stage", name, all).or_else(|| Some("`shipway list` shows all stages".to_owned())),
            });
        }
        found.extend(ids);
    }
    Ok(found)
}
