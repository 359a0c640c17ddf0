//! Runs the steps of an environment's phases, as the engine runs those of stages: with the same events, reports, limits, secrets and care.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

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
use crate::base::text::visible;
use crate::delivery::admission::Verdict;
use crate::delivery::target::{Candidate, TargetError};
use crate::engine::plan::Plan;
use crate::model::delivery::Delivery;
use crate::model::environment::Environment;
use crate::model::event::EventKind;
use crate::model::graph::Graph;
use crate::model::outcome::Exit;
use crate::model::pipeline::{HookSettings, Pipeline};
use crate::model::select::Selection;
use crate::model::stage::{Command, Stage, StageId, Step};
use crate::record::reader::records;

/// Who runs the steps of one environment.
pub(super) struct Crew<'c> {
    pub(super) global: &'c Global,
    pub(super) project: &'c Project,
    pub(super) environment: &'c Environment,
    pub(super) how: How,
}

impl Crew<'_> {
    /// Runs the steps of `phase` for a release whose files lie in `folder`.
    pub(super) fn run(
        &self,
        phase: &str,
        steps: &[Step],
        release: &Candidate,
        folder: &Path,
        screen: &mut Screen,
    ) -> Result<(), TargetError> {
        let done = self.try_run(phase, steps, release, folder, screen);
        let (exit, run) = done.map_err(|failing| {
            let exit = screen.explain(failing);
            TargetError::Failed(format!("it could not be run (exit code {})", exit.code()))
        })?;
        match exit {
            Exit::Passed => Ok(()),
            Exit::Interrupted(signal) => Err(TargetError::Interrupted(signal)),
            Exit::Failed | Exit::Usage | Exit::Surroundings | Exit::RolledBack | Exit::RollbackFailed | Exit::Waiting => {
                Err(TargetError::Failed(format!("a step failed, see: {} report {run}", call(self.global))))
            }
        }
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
        let (exit, run) = self.try_run("gate", &[step], release, Path::new(""), screen)?;
        if exit == Exit::Passed {
            return Ok(Verdict::Yes);
        }
        let (mut code, mut said) = (None, None);
        let records = records(&self.project.kept).context("the recorded runs cannot be read")?;
        let record = records.into_iter().find(|record| record.id == run);
        record
            .map(|record| {
                record.replay(|event| {
                    if let EventKind::StageFinished(finished) = event.kind {
                        code = finished.failure.as_ref().and_then(|failure| failure.code);
                        said = finished.failure.and_then(|failure| failure.tail.into_iter().rfind(|line| !line.trim().is_empty()));
                    }
                })
            })
            .transpose()
            .context("the run of a gate cannot be read")?;
        let said = said.map(|line| format!(": {}", visible(line.trim()))).unwrap_or_default();
        Ok(if code == Some(i32::from(Exit::Waiting.code())) {
            Verdict::NotYet(format!("`{shown}` says not yet{said}"))
        } else {
            Verdict::No(format!("`{shown}` says no{said}"))
        })
    }

    fn try_run(
        &self,
        phase: &str,
        steps: &[Step],
        release: &Candidate,
        folder: &Path,
        screen: &mut Screen,
    ) -> Result<(Exit, String), Failing> {
        let variables = self.variables(release, folder);
        let pipeline = self.pipeline(phase, steps, &variables);
        let selection = Selection { targets: vec![StageId(0)], stages: vec![StageId(0)] };
        let again = format!("{} promote", call(self.global));
        let plan =
            Plan::new(&pipeline, selection, &self.project.root, &again, Vec::new()).map_err(|error| Failing::usage(error.to_string()))?;
        let session = Session::open(self.project, &plan, self.how.wish(), self.how.is_coloured(screen))?;
        let done = once(self.global, &self.how, self.project, &plan, &session, screen)?;
        if let Some(trouble) = session.close() {
            screen.warn(&trouble);
        }
        Ok((done.exit, done.id.to_string()))
    }

    /// Returns what steps are told, by the name of the placeholder.
    fn variables(&self, release: &Candidate, folder: &Path) -> BTreeMap<&'static str, String> {
        let folder = folder.to_string_lossy().into_owned();
        BTreeMap::from([
            ("release", release.id.clone()),
            ("environment", self.environment.name.to_string()),
            ("dir", folder),
            ("weight", "100".to_owned()),
        ])
    }

    /// Returns a pipeline whose only stage are these steps. It is called as the environment is: that is how it is run again.
    fn pipeline(&self, phase: &str, steps: &[Step], variables: &BTreeMap<&'static str, String>) -> Pipeline {
        let value = |name: &str| variables.get(name).map(String::as_str);
        let filled = |text: &String| fill(text, value);
        let environment = self.environment;
        let mut env: BTreeMap<String, String> = environment.env.iter().map(|(name, value)| (name.clone(), filled(value))).collect();
        env.extend(variables.iter().map(|(name, value)| (format!("SHIPWAY_{}", name.to_uppercase()), value.clone())));
        let step = |step: &Step| Step {
            label: format!("{phase} {}", step.label).into(),
            command: match &step.command {
                Command::Shell(line) => Command::Shell(filled(line)),
                Command::Argv(words) => Command::Argv(words.iter().map(filled).collect()),
            },
            env: step.env.iter().map(|(name, value)| (name.clone(), filled(value))).collect(),
            ..step.clone()
        };
        let stage = Stage {
            name: environment.name.clone(),
            group: environment.name.clone(),
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
            lets_stay: false,
            jobserver: None,
            retries: 0,
            pool: None,
            services: Vec::new(),
        };
        Pipeline {
            name: self.project.pipeline.name.clone(),
            digest: Hash::of(format!("{:?} {phase} {variables:?}", self.project.pipeline.digest).as_bytes()),
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
