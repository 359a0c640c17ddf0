//! What is to run, and with which words.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::text::shell_join;
use crate::model::event::Waits;
use crate::model::pipeline::Pipeline;
use crate::model::select::Selection;
use crate::model::stage::{Command, Stage, StageId, Step};

/// A selection of a pipeline, ready to run.
#[derive(Debug)]
pub struct Plan<'p> {
    /// The pipeline.
    pub pipeline: &'p Pipeline,
    /// The stages, each behind those that it waits for.
    pub stages: Vec<StageId>,
    root: PathBuf,
    again: Again,
    arguments: Vec<String>,
}

/// How whoever sees a stage fail runs it again.
#[derive(Debug, Clone)]
enum Again {
    /// By this call of shipway, behind which its name belongs.
    Stage(String),
    /// It is a task of shipway's own: by this command, or by none.
    Task(Option<String>),
}

/// Why a selection cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Arguments for the last step of a stage, but of which?
    #[error("arguments after `--` go to one stage, but {0} are selected")]
    ArgumentsForMany(usize),
}

impl<'p> Plan<'p> {
    /// Returns the plan to run `selection` in the folder `root`. `invocation` is how shipway is called to run one stage alone, without
    /// the stage's name; `arguments` go to the last step of the single selected stage.
    ///
    /// # Errors
    /// Where there are arguments and not exactly one selected stage.
    pub fn new(
        pipeline: &'p Pipeline,
        selection: Selection,
        root: &Path,
        invocation: &str,
        arguments: Vec<String>,
    ) -> Result<Self, PlanError> {
        if !arguments.is_empty() && selection.targets.len() != 1 {
            return Err(PlanError::ArgumentsForMany(selection.targets.len()));
        }
        let again = Again::Stage(invocation.to_owned());
        let mut plan = Self { pipeline, stages: selection.stages, root: root.to_owned(), again, arguments };
        if plan.arguments.is_empty() {
            return Ok(plan);
        }
        // The target is the last of the stages, since all others are there because it waits for them.
        plan.stages.retain(|id| *id != selection.targets[0]);
        plan.stages.push(selection.targets[0]);
        Ok(plan)
    }

    /// Returns the plan to run all of `pipeline`, which is no user's but made for a task, in the folder `root`; `again` is the command that does
    /// the same once more, if there is one.
    pub fn of_task(pipeline: &'p Pipeline, root: &Path, again: Option<String>) -> Self {
        let stages = pipeline.ids().collect();
        Self { pipeline, stages, root: root.to_owned(), again: Again::Task(again), arguments: Vec::new() }
    }

    /// Returns the plan with only those of its stages that `is_affected` names, and what they need; with `only` not even that. The
    /// arguments stay with the target.
    #[must_use]
    pub fn narrowed(&self, is_affected: &[bool], only: bool) -> Self {
        let mut is_left = vec![false; self.pipeline.stages.len()];
        let mut is_planned = is_left.clone();
        self.stages.iter().for_each(|id| is_planned[id.index()] = true);
        let mut open: Vec<StageId> = self.stages.iter().copied().filter(|id| is_affected[id.index()]).collect();
        while let Some(id) = open.pop() {
            let is_first = is_planned[id.index()] && !std::mem::replace(&mut is_left[id.index()], true);
            if is_first && !only {
                open.extend_from_slice(&self.pipeline.stage(id).needs);
            }
        }
        // What waits for the target of the arguments is not planned: if anything is left that the target waits for, so is the target.
        let stages = self.stages.iter().copied().filter(|id| is_left[id.index()]).collect();
        Self { stages, ..self.elsewhere(&self.root) }
    }

    /// Returns the same plan for a copy of the project in the folder `root`.
    #[must_use]
    pub fn elsewhere(&self, root: &Path) -> Self {
        let (again, arguments) = (self.again.clone(), self.arguments.clone());
        Self { pipeline: self.pipeline, stages: self.stages.clone(), root: root.to_owned(), again, arguments }
    }

    /// Returns what each stage waits for among the planned ones, in their order.
    pub fn waits(&self) -> Vec<Waits> {
        let mut is_planned = vec![false; self.pipeline.stages.len()];
        self.stages.iter().for_each(|id| is_planned[id.index()] = true);
        let names = |ids: &[StageId]| -> Vec<Arc<str>> {
            ids.iter().filter(|id| is_planned[id.index()]).map(|id| self.pipeline.stage(*id).name.clone()).collect()
        };
        let stages = self.stages.iter().map(|id| self.pipeline.stage(*id));
        stages.map(|stage| Waits { stage: stage.name.clone(), needs: names(&stage.needs), after: names(&stage.after) }).collect()
    }

    /// Returns the folder of the pipeline.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns what `step` of `stage` runs, with the arguments of the command line where they belong to it.
    pub fn command(&self, id: StageId, step: &Step) -> Command {
        let stage = self.pipeline.stage(id);
        let is_last = stage.steps.last().is_some_and(|last| last.label == step.label);
        if is_last && self.takes_arguments(id) { step.command.with_words(&self.arguments) } else { step.command.clone() }
    }

    /// Returns the words that start `command` of the stage: a shell line goes to the shell.
    pub fn words(&self, id: StageId, command: &Command) -> Vec<String> {
        command.words(&self.pipeline.stage(id).shell)
    }

    /// Returns the command that runs the stage alone, or the task again; `None` where there is none.
    pub fn reproduce(&self, id: StageId) -> Option<String> {
        let invocation = match &self.again {
            Again::Stage(invocation) => invocation,
            Again::Task(command) => return command.clone(),
        };
        let stage: &Stage = self.pipeline.stage(id);
        let command = format!("{invocation} {}", shell_join([&*stage.name]));
        let takes_more = self.takes_arguments(id);
        Some(if takes_more { format!("{command} -- {}", shell_join(self.arguments.iter().map(String::as_str))) } else { command })
    }

    /// Tells whether it is a task of shipway's own, not of stages that somebody wrote.
    pub fn is_task(&self) -> bool {
        matches!(self.again, Again::Task(_))
    }

    /// Tells whether one of the two stages reads the outputs of the other, directly or through others, so that one must not be made while
    /// the other is.
    pub fn are_related(&self, id: StageId, other: &str) -> bool {
        let named: Vec<StageId> = self.pipeline.ids().filter(|stage| *self.pipeline.stage(*stage).name == *other).collect();
        named.iter().any(|other| self.reads(id, *other) || self.reads(*other, id))
    }

    fn reads(&self, id: StageId, other: StageId) -> bool {
        let mut seen = vec![false; self.pipeline.stages.len()];
        let mut open = vec![id];
        while let Some(stage) = open.pop() {
            if stage == other {
                return true;
            }
            if !std::mem::replace(&mut seen[stage.index()], true) {
                open.extend_from_slice(&self.pipeline.stage(stage).needs);
            }
        }
        false
    }

    /// Tells whether there are arguments on the command line for a stage.
    pub(super) fn has_arguments(&self) -> bool {
        !self.arguments.is_empty()
    }

    fn takes_arguments(&self, id: StageId) -> bool {
        !self.arguments.is_empty() && self.stages.last() == Some(&id)
    }
}
