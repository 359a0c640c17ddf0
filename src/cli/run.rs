//! `run`: the named stages and what they need, or the default ones.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::failing::Failing;
use super::flags::{Format, Global, SWITCH, read_duration, read_jobs, read_switch};
use super::project::{Project, invocation};
use super::screen::Screen;
use super::signals;
use crate::base::secret::{Masker, SHORTEST};
use crate::engine::plan::Plan;
use crate::engine::run::{Means, Options, Run};
use crate::engine::schedule::OnFailure;
use crate::exec::environment::Caller;
use crate::exec::local::LocalExecutor;
use crate::model::event::Listener;
use crate::model::outcome::Exit;
use crate::model::pipeline::Pipeline;
use crate::model::select::{Request, Selection};
use crate::record::writer::Recorder;
use crate::report::json::JsonReporter;
use crate::report::terminal::{Settings, Show, TerminalReporter, Verbosity};

/// The flags of `run`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Stages to run; without any, the pipeline's default
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
    /// How many stages run at once; without it, as many as there are processors
    #[arg(short, long, env = "SHIPWAY_JOBS", value_name = "N", value_parser = read_jobs)]
    jobs: Option<NonZeroUsize>,
    /// After a failure, run all that does not depend on it
    #[arg(short, long, env = "SHIPWAY_KEEP_GOING", action = SWITCH, value_parser = read_switch)]
    keep_going: bool,
    /// Show what would run, and why; run and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Run every stage, whatever is known of it
    #[arg(long)]
    force: bool,
    /// Run the named stages without what they need, whose outputs are taken as they are
    #[arg(long)]
    only: bool,
    /// Do not run this stage, but what waits for it; may be given again
    #[arg(long, value_name = "STAGE")]
    skip: Vec<String>,
    /// When the steps' output is shown
    #[arg(long, env = "SHIPWAY_OUTPUT", value_name = "HOW", default_value = "auto")]
    output: Output,
    /// For people, or one JSON event a line
    #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Longest time of the whole run: 300ms, 30s, 10m, 2h
    #[arg(long, env = "SHIPWAY_TIMEOUT", value_name = "DURATION", value_parser = read_duration)]
    timeout: Option<Duration>,
    /// Arguments for the last step of the single selected stage
    #[arg(last = true, value_name = "ARGS")]
    for_last_step: Vec<String>,
}

/// When the steps' output is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Stream for one stage, failures on a terminal, else grouped
    Auto,
    /// As it comes
    Stream,
    /// Stage by stage, when it has ended
    Grouped,
    /// Only of failed stages
    Failures,
}

/// Runs, or with `--dry-run` says what would run.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let pipeline = &project.loaded.pipeline;
    let request = Request { stages: arguments.stages.clone(), only: arguments.only, skip: arguments.skip.clone() };
    let selection = Selection::new(pipeline, &request)?;
    let plan = Plan::new(pipeline, selection, &project.root, &invocation(global), arguments.for_last_step.clone())
        .map_err(|error| Failing::usage_with_help(error.to_string(), "name one stage before `--`"))?;
    if arguments.dry_run {
        predict(&plan, arguments.format, screen);
        return Ok(Exit::Passed);
    }
    let coloured = arguments.format == Format::Text && screen.out_theme.coloured;
    let caller = Caller::new(std::env::vars_os(), coloured);
    let masker = Masker::new(secrets(&plan, &caller)?.iter().map(String::as_str));
    execute(global, arguments, &plan, &caller, &masker, screen)
}

fn execute(
    global: &Global,
    arguments: &Arguments,
    plan: &Plan<'_>,
    caller: &Caller,
    masker: &Masker,
    screen: &mut Screen,
) -> Result<Exit, Failing> {
    let run = Run::new().map_err(|error| anyhow::anyhow!("no pipe can be made: {error}"))?;
    signals::listen(run.interrupter()).map_err(|error| anyhow::anyhow!("signals cannot be heard: {error}"))?;
    let (id, mut recorder) = Recorder::begin(plan.root());
    let (executor, warning) = LocalExecutor::new(masker.clone());
    let unrecorded = recorder.error().map(|error| format!("this run is not recorded: {error}"));
    let jobs = arguments.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let on_failure = if arguments.keep_going { OnFailure::KeepGoing } else { OnFailure::Halt };
    let options = Options { id, jobs, on_failure, timeout: arguments.timeout, notices: warning.into_iter().chain(unrecorded).collect() };
    let means = Means { executor: &executor, caller, masker };
    let recorded = recorder.error().is_none();
    let exit = match arguments.format {
        Format::Json => run.go(plan, &options, &means, &mut [&mut recorder, &mut JsonReporter::new(&mut screen.out)]),
        Format::Text => {
            let settings = settings(global, arguments, plan, screen);
            let mut reporter = TerminalReporter::new(settings, &mut screen.out, &mut screen.err);
            let listeners: &mut [&mut dyn Listener] = &mut [&mut recorder, &mut reporter];
            run.go(plan, &options, &means, listeners)
        }
    };
    if let Some(error) = recorder.error().filter(|_| recorded) {
        screen.warn(&format!("the record of this run is not whole: {error}"));
    }
    Ok(exit)
}

fn settings(global: &Global, arguments: &Arguments, plan: &Plan<'_>, screen: &Screen) -> Settings {
    let is_terminal = std::io::stdout().is_terminal();
    let has_region = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let show = match arguments.output {
        Output::Stream => Show::Stream,
        Output::Failures => Show::Failures,
        Output::Auto if plan.stages.len() == 1 => Show::Stream,
        Output::Auto if has_region => Show::Failures,
        Output::Grouped | Output::Auto => Show::Grouped,
    };
    let verbosity = match (global.quiet, global.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    Settings {
        show,
        verbosity,
        has_region,
        is_terminal,
        output_theme: screen.out_theme,
        theme: screen.err_theme,
        root: plan.root().to_owned(),
    }
}

/// Returns the values of all secrets of the selected stages.
fn secrets(plan: &Plan<'_>, caller: &Caller) -> Result<Vec<String>, Failing> {
    let mut values = Vec::new();
    let mut problems = Vec::new();
    let stages = plan.stages.iter().map(|id| plan.pipeline.stage(*id));
    for (stage, name) in stages.flat_map(|stage| stage.secrets.iter().map(move |name| (&stage.name, name))) {
        match caller.get(name).map(std::ffi::OsStr::to_str) {
            None => problems.push(format!("secret `{name}` of `{stage}` is not set")),
            Some(None) => problems.push(format!("secret `{name}` of `{stage}` is not text in UTF-8, so it could not be masked")),
            Some(Some(value)) if value.trim().is_empty() => problems.push(format!("secret `{name}` of `{stage}` is empty")),
            Some(Some(value)) if value.len() < SHORTEST => problems
                .push(format!("secret `{name}` of `{stage}` is shorter than {SHORTEST} bytes, so masking it would mask ordinary text")),
            Some(Some(value)) => values.push(value.to_owned()),
        }
    }
    if problems.is_empty() {
        Ok(values)
    } else {
        Err(Failing::usage_with_help(problems.join("\n       "), "set it in the environment that shipway is called in"))
    }
}

/// Says what would run. Nothing is cached, so every stage would.
fn predict(plan: &Plan<'_>, format: Format, screen: &mut Screen) {
    let pipeline: &Pipeline = plan.pipeline;
    let reason = "it always runs: results are not stored";
    if format == Format::Json {
        let stages: Vec<_> = plan
            .stages
            .iter()
            .map(|id| json!({ "stage": pipeline.stage(*id).name, "prediction": "uncached", "reason": reason, "key": null }))
            .collect();
        return screen.print(&format!("{}\n", json!({ "stages": stages })));
    }
    for id in &plan.stages {
        let stage = pipeline.stage(*id);
        screen.print(&format!("{}\n", screen.out_theme.strong(&crate::base::text::visible(&stage.name))));
        for step in &stage.steps {
            screen.print(&format!("  $ {}\n", crate::base::text::visible(&plan.command(*id, step).show())));
        }
    }
}
