//! Which stages differ from a commit: in what they read, in how they are defined, or because of one that they wait for.
//!
//! Knows files by what git says of them, and nothing of what the store knows: a stage that is affected may be a hit all the same. Where
//! git cannot tell whether a file differs, it does: what is not looked at is never called unaffected.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::checkout::lister;
use super::commit::pipeline_at;
use crate::base::glob::{Glob, escape, within};
use crate::base::program::plain;
use crate::base::text::visible;
use crate::git::changes::{Base, Changes};
use crate::git::repo::{GitError, Repository};
use crate::inputs::lister::Lister;
use crate::inputs::listing::{Input, InputKind, Listing};
use crate::inputs::naming::selects;
use crate::inputs::trail::trail;
use crate::model::definition::{difference, is_same_glob};
use crate::model::pipeline::Pipeline;
use crate::model::stage::{Stage, StageId};
use crate::programs::tools::{Declared, declared, programs};

/// A checkout, and the commit that it is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// The repository that the checkout is one of.
    pub repository: &'q Repository,
    /// The folder of the pipeline, absolute and real.
    pub root: &'q Path,
    /// The pipeline's file in it.
    pub file: &'q str,
    /// The pipeline as it is now.
    pub pipeline: &'q Pipeline,
    /// The folder of the store: no input, wherever it lies.
    pub store: Option<&'q Path>,
    /// The commit.
    pub base: &'q Base,
}

/// What differs.
#[derive(Debug, Clone)]
pub struct Affected {
    /// Of each stage why it is affected, for people; `None` where it is not.
    pub reasons: Vec<Option<String>>,
}

impl Affected {
    /// Returns what differs between the commit and the checkout as it is now, files that git does not track included.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn find(question: &Question<'_>) -> Result<Self, GitError> {
        let below = question.root.strip_prefix(question.repository.root()).unwrap_or(Path::new(""));
        let then = pipeline_at(question.repository, &question.base.commit, below, question.file)?;
        let changes = question.repository.changes(&question.base.commit)?;
        let lister = lister(question.root, question.file, question.pipeline, question.store);
        let (then, unlike) = match &then {
            Ok(then) => (Some(then), None),
            Err(reason) => (None, Some(format!("the base {reason}"))),
        };
        let comparison = Comparison::new(question, &lister, &changes, then);
        let mut reasons: Vec<Option<String>> = question
            .pipeline
            .ids()
            .map(|id| unlike.clone().or_else(|| comparison.definition(id)).or_else(|| comparison.files(question.pipeline.stage(id))))
            .collect();
        // Without it, tracked files that are ignored as well were not among those that were listed.
        if let Some(trouble) = lister.git_trouble() {
            return Err(GitError::Failed(trouble));
        }
        spread(question.pipeline, &borrowed(question.pipeline, &lister), &mut reasons);
        Ok(Self { reasons })
    }

    /// Returns of each stage whether it is affected.
    pub fn is_affected(&self) -> Vec<bool> {
        self.reasons.iter().map(Option::is_some).collect()
    }
}

/// Adds what waits for an affected stage, or starts a program that one makes, directly or through others.
fn spread(pipeline: &Pipeline, borrowed: &[(StageId, StageId)], reasons: &mut [Option<String>]) {
    loop {
        let mut is_done = true;
        for id in pipeline.graph.order() {
            let uses = borrowed.iter().filter(|(user, _)| user == id).map(|(_, maker)| maker);
            let cause = pipeline.graph.upstream(*id).iter().chain(uses).find(|above| reasons[above.index()].is_some());
            if let Some(cause) = cause.filter(|_| reasons[id.index()].is_none()) {
                reasons[id.index()] = Some(format!("it depends on `{}`", visible(&pipeline.stage(*cause).name)));
                is_done = false;
            }
        }
        if is_done || borrowed.is_empty() {
            return;
        }
    }
}

/// Returns each stage that starts a program which another makes, and that other.
fn borrowed(pipeline: &Pipeline, lister: &Lister) -> Vec<(StageId, StageId)> {
    let mut found = Vec::new();
    for user in pipeline.ids() {
        for program in own_programs(pipeline, pipeline.stage(user)).into_iter().filter(|program| lister.is_claimed(Path::new(program))) {
            let makes = |id: &StageId| pipeline.stage(*id).outputs.iter().any(|output| output.matches(Path::new(&program)));
            found.extend(pipeline.ids().filter(|id| *id != user).filter(makes).map(|maker| (user, maker)));
        }
    }
    found
}

/// Returns the programs of the project that the stage starts, or declares as tools.
fn own_programs(pipeline: &Pipeline, stage: &Stage) -> Vec<String> {
    let all = pipeline.started_for(stage);
    let commands: Vec<_> = all.iter().map(|step| step.command.clone()).collect();
    let tools = declared(stage).into_iter().filter_map(|tool| match tool {
        Declared::Bare(name) => Some(name),
        Declared::Question(words) => words.first().map(String::as_str),
    });
    let tools = tools.filter(|name| name.contains('/')).filter_map(|name| within(&stage.dir, name).ok());
    programs(stage, &all, &commands, &stage.shell).inside.into_iter().chain(tools).collect()
}

/// The project now and then.
struct Comparison<'c> {
    question: &'c Question<'c>,
    lister: &'c Lister,
    changes: &'c Changes,
    /// The pipeline then, where there was one.
    then: Option<&'c Pipeline>,
    /// Changed paths, relative to the project, at which there is no file now.
    gone: Vec<PathBuf>,
    /// The same, absolute, wherever in the repository.
    gone_anywhere: Vec<PathBuf>,
    /// Submodules with changes in the project, relative to it.
    folders: Vec<&'c Path>,
    /// Links with changes in the project, relative to it.
    links: Vec<&'c Path>,
    /// Files that are the same, but were somebody's output then and are no more, or the other way round.
    disputed: Vec<&'c Path>,
}

impl<'c> Comparison<'c> {
    fn new(question: &'c Question<'c>, lister: &'c Lister, changes: &'c Changes, then: Option<&'c Pipeline>) -> Self {
        let top = question.repository.root();
        let is_there = |path: &Path| path.symlink_metadata().is_ok_and(|metadata| !metadata.is_dir());
        let gone_anywhere: Vec<PathBuf> = changes.paths.iter().map(|path| top.join(path)).filter(|path| !is_there(path)).collect();
        let below = question.root.strip_prefix(top).unwrap_or(Path::new(""));
        let own = |path: &PathBuf| path.strip_prefix(question.root).ok().map(Path::to_owned);
        let moved = then.map(|then| moved(question.pipeline, then)).unwrap_or_default();
        let tracked = changes.tracked.iter().filter(|_| !moved.is_empty()).filter_map(|path| path.strip_prefix(below).ok());
        Self {
            question,
            lister,
            changes,
            then,
            gone: gone_anywhere.iter().filter_map(own).collect(),
            gone_anywhere,
            folders: changes.folders.iter().filter_map(|path| path.strip_prefix(below).ok()).collect(),
            links: changes.links.iter().filter_map(|path| path.strip_prefix(below).ok()).collect(),
            disputed: tracked.filter(|path| moved.iter().any(|glob| glob.matches(path))).collect(),
        }
    }

    /// Returns what differs in how the stage is defined.
    fn definition(&self, id: StageId) -> Option<String> {
        self.then.and_then(|then| difference(self.question.pipeline, id, then)).map(str::to_owned)
    }

    /// Returns a file that the stage reads, or read then, and that differs.
    fn files(&self, stage: &Stage) -> Option<String> {
        let selectors = stage.inputs.as_deref();
        let programs = own_programs(self.question.pipeline, stage);
        let is_program = |path: &Path| programs.iter().any(|program| Path::new(program) == path);
        let is_read = |path: &PathBuf| is_program(path) || self.lister.would_read(&stage.dir, selectors, path);
        if let Some(gone) = self.gone.iter().find(|path| is_read(path)) {
            return Some(format!("`{}` is gone", shown(gone)));
        }
        if let Some(folder) = self.folders.iter().find(|path| self.lister.may_read_below(&stage.dir, selectors, path)) {
            return Some(format!("the submodule `{}` differs", shown(folder)));
        }
        if let Some(link) = self.links.iter().find(|path| self.lister.may_read_below(&stage.dir, selectors, path)) {
            return Some(format!("the link `{}` differs", shown(link)));
        }
        if let Some(path) = self.disputed.iter().find(|path| selects(&stage.dir, selectors, path)) {
            return Some(format!("it is another stage's output, or was one: `{}`", shown(path)));
        }
        match self.lister.list(&stage.dir, selectors, &programs) {
            Ok(listing) => self.listing(&listing),
            Err(error) => Some(format!("its inputs cannot be listed: {}", plain(&error))),
        }
    }

    fn listing(&self, listing: &Listing) -> Option<String> {
        if let Some(name) = &listing.unnameable {
            return Some(format!("the name of the input `{}` is not text in UTF-8", visible(name)));
        }
        listing.inputs.iter().find_map(|input| self.input(input))
    }

    fn input(&self, input: &Input) -> Option<String> {
        match &input.kind {
            InputKind::File => self.file(&input.path),
            InputKind::Link { .. } => {
                let way = trail(&input.path);
                let behind = || self.gone_anywhere.iter().find(|gone| gone.starts_with(&way.end));
                let gone =
                    || behind().map(|gone| format!("`{}`, to which the link `{}` leads, is gone", self.name(gone), visible(&input.name)));
                way.links.iter().find_map(|link| self.file(link)).or_else(gone)
            }
            // Its name tells, whether something was there then.
            InputKind::Absent => None,
        }
    }

    /// Returns in which way the file or link at `path`, which is there, differs.
    fn file(&self, path: &Path) -> Option<String> {
        let Ok(own) = path.strip_prefix(self.question.repository.root()) else {
            return Some(format!("`{}` lies outside of the repository", shown(path)));
        };
        if self.changes.paths.contains(own) || self.changes.folders.iter().any(|folder| own.starts_with(folder)) {
            return Some(format!("`{}` differs", self.name(path)));
        }
        (!self.changes.tracked.contains(own)).then(|| format!("git does not track `{}`", self.name(path)))
    }

    /// Returns how an absolute path is called in messages.
    fn name(&self, path: &Path) -> String {
        shown(path.strip_prefix(self.question.root).unwrap_or(path))
    }
}

fn shown(path: &Path) -> String {
    visible(&path.to_string_lossy()).into_owned()
}

/// Returns what is never an input now but was not so then, or the other way round: outputs, and files of the pipeline.
fn moved(now: &Pipeline, then: &Pipeline) -> Vec<Glob> {
    let outputs = |pipeline: &'_ Pipeline| pipeline.stages.iter().flat_map(|stage| stage.outputs.clone()).collect::<Vec<_>>();
    let (ours, theirs) = (outputs(now), outputs(then));
    let key = |glob: &Glob| (glob.path().to_owned(), glob.is_literal());
    let (our_keys, their_keys): (BTreeSet<_>, BTreeSet<_>) = (ours.iter().map(key).collect(), theirs.iter().map(key).collect());
    let gone = theirs.into_iter().filter(|glob| !our_keys.contains(&key(glob)));
    let new = ours.into_iter().filter(|glob| !their_keys.contains(&key(glob)));
    let files = |pipeline: &Pipeline| pipeline.included.iter().cloned().collect::<BTreeSet<_>>();
    let files: Vec<String> = files(now).symmetric_difference(&files(then)).cloned().collect();
    let files = files.iter().filter_map(|path| Glob::new("", &escape(path)).ok());
    let mut moved: Vec<Glob> = gone.chain(new).chain(files).collect();
    moved.dedup_by(|a, b| is_same_glob(a, b));
    moved
}

#[cfg(test)]
mod tests;
