//! Runs the steps of an environment's phases, as the engine runs those of stages: with the same events, reports, limits, secrets and care.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;

use super::execute::{How, once};
use super::failing::Failing;
use super::flags::Global;
use super::project::{Project, call};
use super::screen::Screen;
use super::session::Session;
use crate::base::digest::Hash;
use crate::base::placeholder::fill;
use crate::base::program::plain;
use crate::base::text::{shell_quote, visible};
use crate::delivery::admission::Verdict;
use crate::delivery::command::{Prepared, Told, told};
use crate::delivery::target::{Candidate, TargetError};
use crate::engine::plan::Plan;
use crate::ledger::entry::{Phase, short};
use crate::model::delivery::Delivery;
use crate::model::environment::Environment;
use crate::model::event::{EventKind, Stream};
use crate::model::graph::Graph;
use crate::model::outcome::Exit;
use crate::model::pipeline::{HookSettings, Pipeline};
use crate::model::stage::{Command, Sharing, Stage, StageId, Step};
use crate::record::reader::records;

/// Who runs the steps of one environment.
pub(super) struct Crew<'c> {
    pub(super) global: &'c Global,
    pub(super) project: &'c Project,
    pub(super) environment: &'c Environment,
    pub(super) how: How,
}

/// What is to be run.
pub(super) struct Task<'t> {
    /// The phase that it is of.
    pub(super) phase: &'t str,
    pub(super) steps: &'t [Step],
    /// What the steps are told.
    pub(super) told: &'t Told,
    /// What they leave running stays.
    pub(super) lets_stay: bool,
    /// The command by which whoever sees it fail has the same again, if there is one.
    pub(super) again: Option<String>,
}

impl Crew<'_> {
    /// Runs the steps of a task, which must succeed; returns the id of their run.
    pub(super) fn run(&self, task: &Task<'_>, screen: &mut Screen) -> Result<String, TargetError> {
        let (exit, run) = self.try_run(task, screen).map_err(|failing| {
            let exit = screen.explain(failing);
            TargetError::Unable(format!("it could not be run (exit code {})", exit.code()))
        })?;
        match exit {
            Exit::Passed => Ok(run),
            Exit::Interrupted(signal) => Err(TargetError::Interrupted(signal)),
            Exit::Failed | Exit::Usage | Exit::Surroundings | Exit::RolledBack | Exit::RollbackFailed | Exit::Waiting => {
                let why = self.last_words(&run).map(|line| format!(": {line}")).unwrap_or_default();
                Err(TargetError::Failed(format!("a step failed{why} (see: {} report {run})", call(self.global))))
            }
        }
    }

    /// Runs the steps that show that a release works which is told so.
    pub(super) fn verify(&self, told: &Told, screen: &mut Screen) -> Result<(), TargetError> {
        let steps = &self.environment.verify;
        self.run(&Task { phase: &Phase::Verify.to_string(), steps, told, lets_stay: false, again: None }, screen).map(drop)
    }

    /// Runs the steps of a task, which must succeed; returns the last line that they print to standard output.
    pub(super) fn answer(&self, task: &Task<'_>, screen: &mut Screen) -> Result<Option<String>, TargetError> {
        let run = self.run(task, screen)?;
        let mut printed = Vec::new();
        let heard = self.hear(&run, |kind| {
            if let EventKind::Output { stream: Stream::Stdout, text, .. } = kind {
                printed.extend_from_slice(&text);
            }
        });
        heard.map_err(|error| TargetError::Failed(format!("what it prints cannot be read: {}", plain(&error))))?;
        let text = String::from_utf8_lossy(&printed).into_owned();
        Ok(text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned))
    }

    /// Returns the last line that the step printed which failed in a run, if it printed any.
    fn last_words(&self, run: &str) -> Option<String> {
        let mut said = None;
        let heard = self.hear(run, |kind| {
            if let EventKind::StageFinished(finished) = kind {
                said = finished.failure.and_then(|failure| Some(visible(failure.last_line()?).into_owned()));
            }
        });
        heard.ok().and(said)
    }

    /// Gives what happened in a run to `hear`.
    pub(super) fn hear(&self, run: &str, mut hear: impl FnMut(EventKind)) -> io::Result<()> {
        let record = records(&self.project.kept)?.into_iter().find(|record| record.id == run);
        record.ok_or_else(|| io::Error::other("the run was not recorded"))?.replay(|event| hear(event.kind))
    }

    /// Asks a command that can say no: exit code 0 is yes, 75 not yet, any other no. It reads what is to be known, in JSON, from standard
    /// input.
    pub(super) fn ask(&self, gate: &Step, release: &Candidate, context: &Value, screen: &mut Screen) -> Verdict {
        match self.try_ask(gate, release, context, screen) {
            Ok(verdict) => verdict,
            Err(failing) => {
                let exit = screen.explain(failing);
                Verdict::No(format!("`{}` could not be asked (exit code {})", visible(&gate.command.show()), exit.code()))
            }
        }
    }

    fn try_ask(&self, gate: &Step, release: &Candidate, context: &Value, screen: &mut Screen) -> Result<Verdict, Failing> {
        let mut file = tempfile::NamedTempFile::new().context("there is no place for what a gate reads")?;
        writeln!(file, "{context}").context("what a gate reads cannot be written")?;
        let words = gate.command.words(&self.environment.shell);
        // Steps read nothing; a gate reads this file.
        let read = ["sh", "-c", "exec \"$@\" < \"$SHIPWAY_CONTEXT\"", "gate"].map(str::to_owned);
        let mut step = Step { command: Command::Argv(read.into_iter().chain(words).collect()), ..gate.clone() };
        step.env.insert("SHIPWAY_CONTEXT".to_owned(), file.path().to_string_lossy().into_owned());
        let shown = visible(&gate.command.show()).into_owned();
        let told = told(&self.environment.name, release, Path::new(""), 100);
        let again = Some(format!("{} plan {} {}", call(self.global), shell_quote(&self.environment.name), short(&release.id)));
        let (exit, run) = self.try_run(&Task { phase: "gate", steps: &[step], told: &told, lets_stay: false, again }, screen)?;
        if exit == Exit::Passed {
            return Ok(Verdict::Yes);
        }
        let (mut code, mut said) = (None, None);
        let heard = self.hear(&run, |kind| {
            if let EventKind::StageFinished(finished) = kind {
                code = finished.failure.as_ref().and_then(|failure| failure.code);
                said = finished.failure.and_then(|failure| Some(visible(failure.last_line()?).into_owned()));
            }
        });
        heard.context("the run of a gate cannot be read")?;
        let said = said.map(|line| format!(": {line}")).unwrap_or_default();
        Ok(if code == Some(i32::from(Exit::Waiting.code())) {
            Verdict::NotYet(format!("`{shown}` says not yet{said}"))
        } else {
            Verdict::No(format!("`{shown}` says no{said}"))
        })
    }

    pub(super) fn try_run(&self, task: &Task<'_>, screen: &mut Screen) -> Result<(Exit, String), Failing> {
        let pipeline = self.pipeline(task);
        let plan = Plan::of_task(&pipeline, &self.project.root, task.again.clone());
        let session = self.session(&plan, screen)?;
        let done = once(self.global, &self.how, self.project, &plan, &session, screen)?;
        if let Some(trouble) = session.close() {
            screen.warn(&trouble);
        }
        Ok((done.exit, done.id.to_string()))
    }

    /// Returns the only step of a task as it would be run by somebody else.
    pub(super) fn prepare(&self, task: &Task<'_>, screen: &mut Screen) -> Result<Prepared, TargetError> {
        self.try_prepare(task, screen).map_err(|failing| {
            let exit = screen.explain(failing);
            TargetError::Unable(format!("it could not be prepared (exit code {})", exit.code()))
        })
    }

    fn try_prepare(&self, task: &Task<'_>, screen: &Screen) -> Result<Prepared, Failing> {
        let pipeline = self.pipeline(task);
        let plan = Plan::of_task(&pipeline, &self.project.root, None);
        let session = self.session(&plan, screen)?;
        let stage = pipeline.stage(StageId(0));
        let step = &stage.steps[0];
        let (mut env, mut secrets) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in session.caller.of_service("", &stage.pass_env, &stage.secrets, &stage.env) {
            let text = |text: OsString| text.into_string().map_err(|text| anyhow::anyhow!("`{}` is not text in UTF-8", text.display()));
            let name = text(name)?;
            let value = text(value).with_context(|| format!("the variable `{name}` cannot be passed on"))?;
            if stage.secrets.contains(&name) {
                secrets.insert(name, Some(value));
            } else {
                env.insert(name, value);
            }
        }
        env.extend(step.env.clone());
        Ok(Prepared { words: plan.words(StageId(0), &step.command), env, secrets })
    }

    /// Opens what a run of it needs.
    pub(super) fn session(&self, plan: &Plan<'_>, screen: &Screen) -> Result<Session, Failing> {
        Session::open(self.project, plan, self.how.wish(), self.how.is_coloured(screen))
    }

    /// Returns a pipeline whose only stage are the steps of the task, called by where and what for they run.
    pub(super) fn pipeline(&self, task: &Task<'_>) -> Pipeline {
        let Task { phase, steps, told, lets_stay, .. } = *task;
        let value = |name: &str| told.get(name).map(String::as_str);
        let filled = |text: &str| fill(text, value);
        let environment = self.environment;
        let mut env: BTreeMap<String, String> = environment.env.iter().map(|(name, value)| (name.clone(), filled(value))).collect();
        env.extend(told.iter().map(|(name, value)| (variable(name), value.clone())));
        let step = |step: &Step| Step {
            command: step.command.with_texts(filled),
            env: step.env.iter().map(|(name, value)| (name.clone(), filled(value))).collect(),
            ..step.clone()
        };
        let name: Arc<str> = format!("{} {phase}", environment.name).into();
        let stage = Stage {
            name: name.clone(),
            group: name,
            description: None,
            needs: Vec::new(),
            after: Vec::new(),
            shell: environment.shell.clone(),
            steps: steps.iter().map(step).collect(),
            inputs: Some(Vec::new()),
            outputs: Vec::new(),
            reports: None,
            dir: String::new(),
            env,
            pass_env: environment.pass_env.clone(),
            secrets: environment.secrets.clone(),
            tools: Vec::new(),
            cache: false,
            clean: true,
            portable: false,
            timeout: environment.timeout,
            lets_stay,
            // What stays would take part in it for ever.
            jobserver: lets_stay.then_some(Sharing::Off),
            retries: 0,
            pool: None,
            services: Vec::new(),
        };
        Pipeline {
            name: self.project.pipeline.name.clone(),
            digest: Hash::of(format!("{:?} {phase} {told:?}", self.project.pipeline.digest).as_bytes()),
            default: vec![StageId(0)],
            included: Vec::new(),
            stages: vec![stage],
            services: Vec::new(),
            pools: Vec::new(),
            graph: Graph::new(vec![Vec::new()]).unwrap_or_default(),
            cache: self.project.pipeline.cache.clone(),
            hook: HookSettings::default(),
            delivery: Delivery::default(),
        }
    }
}

/// Returns the variable by which steps are told what the placeholder `name` is.
fn variable(name: &str) -> String {
    let may_be = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("SHIPWAY_{}", name.chars().map(may_be).collect::<String>())
}
