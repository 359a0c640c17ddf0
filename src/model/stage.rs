//! A stage and its steps, as declared, checked and expanded.
//!
//! Every value here is final: defaults are filled in, matrix values are in their places, paths are relative to the project.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reports::Reports;
use crate::base::glob::Glob;
use crate::base::text::shell_join;

/// The place of a stage in [`Pipeline::stages`](super::pipeline::Pipeline::stages).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StageId(pub u32);

impl StageId {
    /// Returns the place as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The place of a pool in [`Pipeline::pools`](super::pipeline::Pipeline::pools).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PoolId(pub u32);

/// The place of a service in [`Pipeline::services`](super::pipeline::Pipeline::services).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceId(pub u32);

/// One node of the pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stage {
    /// The full name; of a stage from a matrix `name:axis=value,…`, of one from an included file `folder/name`.
    pub name: Arc<str>,
    /// The name without the values of a matrix: all stages of one matrix share it.
    pub group: Arc<str>,
    /// What it is for.
    pub description: Option<String>,
    /// Stages whose success it waits for, and whose outputs it may read.
    pub needs: Vec<StageId>,
    /// Stages whose success it waits for, but reads nothing of.
    pub after: Vec<StageId>,
    /// How a step written as one string is run: the program and the arguments before the string.
    pub shell: Arc<[String]>,
    /// What it does, one after the other.
    pub steps: Vec<Step>,
    /// The files it reads; `None` means the default of the contract.
    pub inputs: Option<Vec<Selector>>,
    /// The files it makes, its report files among them.
    pub outputs: Vec<Glob>,
    /// Which of them say what its tests, scanners and meters found.
    pub reports: Option<Box<Reports>>,
    /// Working directory, relative to the project; empty for the project itself.
    pub dir: String,
    /// Variables that it sets.
    pub env: BTreeMap<String, String>,
    /// Names or patterns (`CARGO_*`) of variables that it passes on.
    pub pass_env: Vec<String>,
    /// Names of variables that it passes on and that are masked.
    pub secrets: Vec<String>,
    /// Commands whose output, or programs whose content, is part of its key.
    pub tools: Vec<Command>,
    /// False: always run, store nothing.
    pub cache: bool,
    /// False: what lies in the outputs is left there before the run.
    pub clean: bool,
    /// True: outputs that hold the checkout's path may be used elsewhere.
    pub portable: bool,
    /// Longest time of one attempt.
    pub timeout: Option<Duration>,
    /// How often it is tried again after a failure.
    pub retries: u32,
    /// The pool whose size bounds how many of its stages run at once.
    pub pool: Option<PoolId>,
    /// What has to be running and ready while its steps run.
    pub services: Vec<ServiceId>,
    /// True: what its steps leave running stays; so it is with the commands of a target.
    pub lets_stay: bool,
    /// Which programs of its steps share the processors with those of other stages; `None` means cargo, where a step names it.
    pub jobserver: Option<Sharing>,
}

/// Which programs are told of the jobserver that all stages of a run have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sharing {
    /// None.
    Off,
    /// cargo, and what it starts: it runs in parallel anyway.
    Cargo,
    /// make, too, which then runs in parallel: not every makefile is written for that.
    Make,
    /// ninja, too, which takes another notation than old makes do.
    Ninja,
}

impl Sharing {
    /// All, by their names in the file.
    pub const ALL: [(&'static str, Self); 4] = [("cargo", Self::Cargo), ("make", Self::Make), ("ninja", Self::Ninja), ("off", Self::Off)];

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, sharing)| *sharing)
    }
}

/// One line of `inputs`: files it means, or with `!` files it does not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Selector {
    /// Which paths.
    pub glob: Glob,
    /// True where the line began with `!`.
    pub exclude: bool,
}

/// Returns a line of `inputs` of a stage in `dir` that keeps `path`, and what lies beside it, out: for messages.
pub fn keep_out(path: &str, dir: &str) -> String {
    let cache = path.split('/').find(|part| matches!(*part, "__pycache__" | "node_modules" | ".pytest_cache" | ".mypy_cache" | ".cache"));
    if let Some(cache) = cache {
        return format!("!**/{cache}/**");
    }
    let own = path.strip_prefix(dir).map_or(path, |own| own.trim_start_matches('/'));
    format!("!{own}")
}

/// One command of a stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// Its name, or its number from 1.
    pub label: Arc<str>,
    /// What is started.
    pub command: Command,
    /// Working directory, relative to the project.
    pub dir: String,
    /// Variables that win over the stage's.
    pub env: BTreeMap<String, String>,
    /// Longest time of one attempt.
    pub timeout: Option<Duration>,
    /// How often it is tried again after a failure.
    pub retries: u32,
}

/// What is started: a line for the shell, or a program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Given to the pipeline's shell as one argument.
    Shell(String),
    /// Started as it is: at least the program.
    Argv(Vec<String>),
}

impl Command {
    /// Returns the command as one line that a shell would understand.
    pub fn show(&self) -> String {
        match self {
            Self::Shell(line) => line.clone(),
            Self::Argv(words) => shell_join(words.iter().map(String::as_str)),
        }
    }

    /// Returns the words that start it, where `shell` reads lines.
    pub fn words(&self, shell: &[String]) -> Vec<String> {
        match self {
            Self::Shell(line) => shell.iter().chain([line]).cloned().collect(),
            Self::Argv(words) => words.clone(),
        }
    }

    /// Returns the command with each of its texts as `change` makes it.
    #[must_use]
    pub fn with_texts(&self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Shell(line) => Self::Shell(change(line)),
            Self::Argv(words) => Self::Argv(words.iter().map(|word| change(word)).collect()),
        }
    }

    /// Returns the command with `words` behind it; quoted where a shell reads it.
    #[must_use]
    pub fn with_words(&self, words: &[String]) -> Self {
        match self {
            Self::Shell(line) if words.is_empty() => Self::Shell(line.clone()),
            Self::Shell(line) => Self::Shell(format!("{} {}", line.trim_end(), shell_join(words.iter().map(String::as_str)))),
            Self::Argv(argv) => Self::Argv(argv.iter().chain(words).cloned().collect()),
        }
    }
}
