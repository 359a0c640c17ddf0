//! From the fields of a stage to the stage, one for each combination of its matrix.
//!
//! Names of other stages and of pools stay names here; `resolve` turns them into places.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::fields::{At, Fields};
use super::matrix::Combination;
use super::scope::Scope;
use crate::base::diagnostic::Diagnostic;
use crate::base::glob::{Glob, PathError, within};
use crate::base::state::STATE;
use crate::model::stage::{Command, Selector, Sharing, Stage, Step};

/// What the stages of one file have in common.
#[derive(Debug)]
pub(super) struct Home {
    /// The file, by its place among all.
    pub(super) file: usize,
    /// The folder of the file, relative to the project.
    pub(super) folder: String,
    /// What stands before their names.
    pub(super) scope: Scope,
    /// How their steps that are written as one string are run.
    pub(super) shell: Arc<[String]>,
}

/// A stage whose names are not looked up yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) stage: Stage,
    pub(super) home: Arc<Home>,
    /// Where the name of the stage stands.
    pub(super) span: Range<usize>,
    pub(super) needs: Vec<At<String>>,
    pub(super) after: Vec<At<String>>,
    pub(super) pool: Option<At<String>>,
    pub(super) services: Vec<At<String>>,
    /// Where each output stands.
    pub(super) outputs: Vec<Range<usize>>,
    /// Where each input stands.
    pub(super) inputs: Vec<Range<usize>>,
}

/// Builds the stages of one file.
pub(super) struct Builder<'a> {
    pub(super) home: Arc<Home>,
    pub(super) defaults: Fields,
    pub(super) problems: &'a mut Vec<Diagnostic>,
}

/// Looks a key up in the stage, then in the defaults.
macro_rules! either {
    ($self:ident, $fields:ident, $accessor:ident, $key:literal) => {
        $fields.$accessor($key).or_else(|| $self.defaults.$accessor($key))
    };
}

impl Builder<'_> {
    /// Returns the stage `name` with the values of `combination`.
    pub(super) fn draft(&mut self, name: &At<String>, fields: &Fields, combination: &Combination) -> Draft {
        let dir = self.directory(fields, combination);
        let env = self.environment(fields, combination);
        let secrets = values(either!(self, fields, texts, "secrets"));
        self.check_secrets(fields, &env, &secrets);
        self.check_names(fields);
        let (inputs, input_spans) = self.inputs(fields, &dir, combination);
        let (mut outputs, mut output_spans) = self.outputs(fields, &dir, combination);
        let reports = self.reports(fields, &dir, combination, &mut outputs, &mut output_spans);
        let pool_span = if fields.text("pool").is_some() { fields.span("pool") } else { self.defaults.span("pool") };
        let pool = either!(self, fields, text, "pool").map(str::to_owned);
        let pool = pool.map(|pool| At::new(combination.fill(&pool, &pool_span, self.problems), pool_span));
        let group = self.home.scope.absolute(&name.value);
        let services = either!(self, fields, texts, "services").unwrap_or_default().to_vec();
        let services =
            services.into_iter().map(|name| At::new(combination.fill(&name.value, &name.span, self.problems), name.span)).collect();
        let stage = Stage {
            name: combination.name(&group).into(),
            group: group.into(),
            description: either!(self, fields, text, "description").map(str::to_owned),
            needs: Vec::new(),
            after: Vec::new(),
            shell: self.home.shell.clone(),
            steps: self.steps(fields.steps("steps").unwrap_or_default(), &dir, &secrets, combination),
            inputs,
            outputs,
            reports,
            env,
            pass_env: values(either!(self, fields, texts, "pass-env")),
            secrets,
            tools: either!(self, fields, commands, "tools").unwrap_or_default().iter().map(|tool| words(&tool.value)).collect(),
            cache: either!(self, fields, flag, "cache").copied().unwrap_or(true),
            clean: either!(self, fields, flag, "clean").copied().unwrap_or(true),
            portable: either!(self, fields, flag, "portable").copied().unwrap_or(false),
            timeout: either!(self, fields, duration, "timeout").copied(),
            retries: either!(self, fields, count, "retries").copied().unwrap_or(0),
            pool: None,
            services: Vec::new(),
            lets_stay: false,
            jobserver: either!(self, fields, text, "jobserver").and_then(Sharing::parse),
            dir,
        };
        let names = |key| fields.texts(key).unwrap_or_default().to_vec();
        Draft {
            stage,
            home: self.home.clone(),
            span: name.span.clone(),
            needs: names("needs"),
            after: names("after"),
            pool,
            services,
            outputs: output_spans,
            inputs: input_spans,
        }
    }

    pub(super) fn directory(&mut self, fields: &Fields, combination: &Combination) -> String {
        let span = if fields.text("dir").is_some() { fields.span("dir") } else { self.defaults.span("dir") };
        let Some(dir) = either!(self, fields, text, "dir").map(str::to_owned) else {
            return self.home.folder.clone();
        };
        let dir = combination.fill(&dir, &span, self.problems);
        self.path(within(&self.home.folder, &dir), &span).unwrap_or_default()
    }

    fn environment(&mut self, fields: &Fields, combination: &Combination) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        for source in [&self.defaults, fields] {
            for (name, value) in source.pairs("env").unwrap_or_default() {
                env.insert(name.value.clone(), combination.fill(&value.value, &value.span, self.problems));
            }
        }
        env
    }

    pub(super) fn check_secrets(&mut self, fields: &Fields, env: &BTreeMap<String, String>, secrets: &[String]) {
        for name in secrets.iter().filter(|name| env.contains_key(*name)) {
            let span = [("env", fields), ("secrets", fields)]
                .iter()
                .find(|(key, fields)| fields.span(key) != fields.span)
                .map_or(fields.span.clone(), |(key, fields)| fields.span(key));
            self.problems.push(
                Diagnostic::error(format!("`{name}` is both in `env` and in `secrets`"), span, "one of the two").help(
                    "a value in `env` stands in this file, where everybody can read it: take it out of `env` and let the caller set it",
                ),
            );
        }
    }

    /// Says of `secrets` and `pass-env` what no variable can be called: it would be passed on by nobody, and missed in silence.
    pub(super) fn check_names(&mut self, fields: &Fields) {
        let secrets = either!(self, fields, texts, "secrets").unwrap_or_default();
        let passed = either!(self, fields, texts, "pass-env").unwrap_or_default();
        for name in secrets.iter().filter(|name| name.value.is_empty() || name.value.contains(['=', '*'])) {
            let message = format!("`{}` cannot be a secret's name", name.value.escape_debug());
            self.problems.push(Diagnostic::error(message, name.span.clone(), "not a name"));
        }
        for name in passed.iter().filter(|name| name.value.is_empty() || name.value.contains('=')) {
            let message = format!("`{}` cannot be a variable's name", name.value.escape_debug());
            let help = "`pass-env` names what is passed on from the caller; what is set here is written env = { NAME = \"value\" }";
            self.problems.push(Diagnostic::error(message, name.span.clone(), "not a name").help(help));
        }
    }

    fn inputs(&mut self, fields: &Fields, dir: &str, combination: &Combination) -> (Option<Vec<Selector>>, Vec<Range<usize>>) {
        let Some(texts) = fields.texts("inputs") else {
            return (None, Vec::new());
        };
        let mut found = Vec::new();
        let mut spans = Vec::new();
        for text in texts {
            let filled = combination.fill_pattern(&text.value, &text.span, self.problems);
            let (exclude, pattern) = filled.strip_prefix('!').map_or((false, filled.as_str()), |pattern| (true, pattern));
            if let Some(glob) = self.path(Glob::new(dir, pattern), &text.span) {
                found.push(Selector { glob, exclude });
                spans.push(text.span.clone());
            }
        }
        // What is taken out of nothing leaves nothing: whoever writes that means all other files, and would never see it run again.
        if !found.is_empty() && found.iter().all(|selector| selector.exclude) {
            let help = "name first what counts: [\"**\", \"!…\"]; or leave `inputs` out, and put what does not count into .gitignore";
            let span = fields.span("inputs");
            self.problems.push(Diagnostic::error("`inputs` only says what does not count", span, "no file is left").help(help));
        }
        (Some(found), spans)
    }

    fn outputs(&mut self, fields: &Fields, dir: &str, combination: &Combination) -> (Vec<Glob>, Vec<Range<usize>>) {
        let mut found = Vec::new();
        let mut spans = Vec::new();
        for text in fields.texts("outputs").unwrap_or_default() {
            let filled = combination.fill_pattern(&text.value, &text.span, self.problems);
            let Some(glob) = self.path(Glob::new(dir, &filled), &text.span) else {
                continue;
            };
            if self.may_be_output(&glob, &filled, &text.span) {
                found.push(glob);
                spans.push(text.span.clone());
            }
        }
        (found, spans)
    }

    /// Tells whether `glob`, written as `text`, may be an output; says why where it may not.
    pub(super) fn may_be_output(&mut self, glob: &Glob, text: &str, span: &Range<usize>) -> bool {
        let problem = if text.starts_with('!') {
            let help = "outputs have no exclusions: name what is made; a file whose name begins with `!` is written `\\\\!name`";
            Diagnostic::error("an output begins with `!`", span.clone(), "not an output").help(help)
        } else if let Some(whose) = not_made(glob) {
            Diagnostic::error(format!("`{}` cannot be an output", glob.path()), span.clone(), whose)
                .help("an output is removed before its stage runs: name what the stage makes")
        } else if glob.is_literal() && Path::new(&self.home.folder).starts_with(glob.path()) {
            Diagnostic::error("the whole project cannot be an output", span.clone(), "this is the project itself")
                .help("name the folder or the files that the stage makes")
        } else {
            return true;
        };
        self.problems.push(problem);
        false
    }

    pub(super) fn steps(&mut self, steps: &[Fields], dir: &str, secrets: &[String], combination: &Combination) -> Vec<Step> {
        let mut built: Vec<Step> = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            let label: Arc<str> = match step.text("name") {
                Some(name) => combination.fill(name, &step.span("name"), self.problems).into(),
                None => (index + 1).to_string().into(),
            };
            if label.trim().is_empty() || built.iter().any(|earlier| earlier.label == label) {
                let message = if label.trim().is_empty() {
                    "a step's name is empty".to_owned()
                } else {
                    format!("two steps are called `{}`", label.escape_debug())
                };
                self.problems.push(Diagnostic::error(message, step.span("name"), "another name is needed"));
            }
            let Some(command) = step.command("run") else {
                continue;
            };
            let command = self.fill_command(command, &step.span("run"), combination);
            let step_dir = match step.text("dir").map(str::to_owned) {
                Some(own) => {
                    let own = combination.fill(&own, &step.span("dir"), self.problems);
                    self.path(within(dir, &own), &step.span("dir")).unwrap_or_default()
                }
                None => dir.to_owned(),
            };
            let env: BTreeMap<String, String> = step
                .pairs("env")
                .unwrap_or_default()
                .iter()
                .map(|(name, value)| (name.value.clone(), combination.fill(&value.value, &value.span, self.problems)))
                .collect();
            self.check_secrets(step, &env, secrets);
            built.push(Step {
                label,
                command,
                dir: step_dir,
                env,
                timeout: step.duration("timeout").copied(),
                retries: step.count("retries").copied().unwrap_or(0),
            });
        }
        built
    }

    fn fill_command(&mut self, command: &Command, span: &Range<usize>, combination: &Combination) -> Command {
        let (filled, first) = match command {
            Command::Shell(line) => {
                let line = combination.fill(line, span, self.problems);
                (Command::Shell(line.clone()), line)
            }
            Command::Argv(words) => {
                let words: Vec<String> = words.iter().map(|word| combination.fill(word, span, self.problems)).collect();
                let first = words.first().cloned().unwrap_or_default();
                (Command::Argv(words), first)
            }
        };
        // What was written was looked at before; a value of the matrix may have made it something else.
        if filled != *command && (first.trim().is_empty() || first.trim_start().starts_with('-')) {
            let message = format!("with a value of the matrix this step is `{}`, which names no program", first.escape_debug());
            self.problems.push(Diagnostic::error(message, span.clone(), "not a command for every value"));
        }
        filled
    }

    pub(super) fn path<T>(&mut self, path: Result<T, PathError>, span: &Range<usize>) -> Option<T> {
        path.map_err(|error| self.problems.push(unusable(&error, span))).ok()
    }
}

/// Says that a path cannot be used.
pub(super) fn unusable(error: &PathError, span: &Range<usize>) -> Diagnostic {
    let label = match error {
        PathError::Outside => "above the project's folder",
        PathError::Absolute => "an absolute path",
        PathError::Empty => "write `.` for the folder itself",
        PathError::Nul | PathError::Syntax(_) => "here",
    };
    Diagnostic::error(error.to_string(), span.clone(), label)
}

/// Tells whose an output would be that no stage makes.
fn not_made(glob: &Glob) -> Option<&'static str> {
    let base = Path::new(glob.base());
    match glob.path() {
        "pipeline.toml" => Some("this is the pipeline itself"),
        _ if base.iter().any(|part| part == STATE) => Some("this is shipway's own folder"),
        _ if base.iter().any(|part| part == ".git") => Some("this is git's own folder"),
        _ => None,
    }
}

pub(super) fn values(texts: Option<&[At<String>]>) -> Vec<String> {
    texts.unwrap_or_default().iter().map(|text| text.value.clone()).collect()
}

/// A tool written as a string splits at spaces.
fn words(tool: &Command) -> Command {
    match tool {
        Command::Shell(line) => Command::Argv(line.split_whitespace().map(str::to_owned).collect()),
        Command::Argv(argv) => Command::Argv(argv.clone()),
    }
}
