//! `run --affected`: of what was asked for, only what differs from a commit.

use anyhow::anyhow;

use super::failing::Failing;
use super::project::Project;
use super::session::store_folder;
use crate::base::text::{count, visible};
use crate::engine::affected::{Affected, Question};
use crate::engine::plan::Plan;
use crate::git::changes::{Base, BaseError};
use crate::git::repo::Repository;
use crate::model::stage::StageId;

/// How much of a commit's name is shown.
const SHORT: usize = 12;

/// What is left of a plan, and what to tell of it: first a sum, then a reason for each stage that is affected.
pub(super) type Narrowed<'p> = (Plan<'p>, Vec<String>);

/// Returns what of `plan` is left where only what differs from the merge base with `base`, or with the remote's default branch, is to run.
pub(super) fn narrow<'p>(project: &Project, plan: &Plan<'p>, base: Option<&str>, only: bool) -> Result<Narrowed<'p>, Failing> {
    let repository = Repository::find(&project.root).ok_or_else(|| {
        let root = project.root.to_string_lossy();
        anyhow!("`--affected` compares with a commit, but `{}` lies in no git repository", visible(&root))
    })?;
    let base = repository.base(base).map_err(|error| unresolved(&error))?;
    narrow_to(project, plan, &repository, &base, only)
}

/// The same for a commit that is known already: the caller says what it is.
pub(super) fn narrow_to<'p>(
    project: &Project,
    plan: &Plan<'p>,
    repository: &Repository,
    base: &Base,
    only: bool,
) -> Result<Narrowed<'p>, Failing> {
    let pipeline = plan.pipeline;
    let store = store_folder(&pipeline.cache, &project.root);
    let question = Question { repository, root: &project.root, file: &project.file, pipeline, store: store.as_deref(), base };
    let affected = Affected::find(&question).map_err(|error| unresolved(&error.into()))?;
    let since = format!("since {}, {}", base.commit.get(..SHORT).unwrap_or(&base.commit), base.what);
    let reason = |id: &StageId| {
        let reason = affected.reasons[id.index()].as_ref()?;
        Some(format!("  {}: {reason}", visible(&pipeline.stage(*id).name)))
    };
    let reasons: Vec<String> = plan.stages.iter().filter_map(reason).collect();
    let sum = match reasons.len() {
        0 => format!("no stage is affected {since}: nothing to run"),
        some => format!("affected {since}: {some} of {}", count(plan.stages.len(), "stage")),
    };
    let lines = std::iter::once(sum).chain(reasons).collect();
    Ok((plan.narrowed(&affected.is_affected(), only), lines))
}

fn unresolved(error: &BaseError) -> Failing {
    let help = error.help().map(|help| format!("\n  help: {help}")).unwrap_or_default();
    Failing::Surroundings(anyhow!("{error}{help}"))
}
