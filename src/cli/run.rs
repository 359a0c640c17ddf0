//! `run`: the named stages and what they need, or the default ones.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, FromArgMatches, ValueEnum};
use serde_json::json;

use super::affected::narrow;
use super::failing::Failing;
use super::flags::{Format, Global, SWITCH, read_duration, read_jobs, read_switch};
use super::project::{Project, invocation};
use super::reports::{Reports, Wanted, read_wanted};
use super::screen::Screen;
use super::session::{Session, Wish};
use super::{signals, twice};
use crate::base::text::visible;
use crate::engine::checkout::CacheMode;
use crate::engine::plan::Plan;
use crate::engine::predict::{Foresight, Prediction};
use crate::engine::run::{Interrupter, Options, Run};
use crate::engine::schedule::OnFailure;
use crate::model::event::Listener;
use crate::model::outcome::Exit;
use crate::model::select::{Request, Selection};
use crate::record::writer::Recorder;
use crate::report::dialect::Dialect;
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
    /// Run every stage, whatever is known of it, and store its result anew
    #[arg(long)]
    force: bool,
    /// What the store of results is used for
    #[arg(long, env = "SHIPWAY_CACHE", value_name = "MODE", default_value = "read-write")]
    cache: Cache,
    /// Hash every file, whatever its times say
    #[arg(long)]
    paranoid: bool,
    /// Run again in another place, and fail where the outputs differ
    #[arg(long, conflicts_with = "dry_run")]
    twice: bool,
    /// Run the named stages without what they need, whose outputs are taken as they are
    #[arg(long)]
    only: bool,
    /// Do not run this stage, but what waits for it; may be given again
    #[arg(long, value_name = "STAGE")]
    skip: Vec<String>,
    /// Of these only stages whose files or definition differ from the base, and what depends on them; what they need runs, too
    #[arg(long)]
    affected: bool,
    /// The base is the merge base with this commit or branch; without it, with the remote's default branch
    #[arg(long, value_name = "REV", requires = "affected")]
    base: Option<String>,
    /// When the steps' output is shown
    #[arg(long, env = "SHIPWAY_OUTPUT", value_name = "HOW", default_value = "auto")]
    output: Output,
    /// For people, or one JSON event a line
    #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Leave a report behind, as html, json, junit, markdown or trace; may be given again
    #[arg(long, value_name = "FORMAT=PATH", value_parser = read_wanted, conflicts_with = "dry_run")]
    report: Vec<Wanted>,
    /// Longest time of the whole run: 300ms, 30s, 10m, 2h
    #[arg(long, env = "SHIPWAY_TIMEOUT", value_name = "DURATION", value_parser = read_duration)]
    timeout: Option<Duration>,
    /// Arguments for the last step of the single selected stage
    #[arg(last = true, value_name = "ARGS")]
    for_last_step: Vec<String>,
}

impl Arguments {
    /// Returns what the environment says of how to run, where nobody types a command line.
    pub(super) fn of_environment() -> Result<Self, Failing> {
        let command = Self::augment_args(clap::Command::new("shipway").no_binary_name(true));
        let read = command.try_get_matches_from([] as [&str; 0]).and_then(|matches| Self::from_arg_matches(&matches));
        read.map_err(|error| Failing::usage(error.to_string().trim_start_matches("error: ").trim_end().to_owned()))
    }

    /// Returns how the store is to be used.
    pub(super) fn wish(&self) -> Wish {
        Wish { mode: self.cache.into(), force: self.force, paranoid: self.paranoid, only_look: self.dry_run }
    }

    /// Tells whether the run's events go to standard output.
    pub(super) fn is_for_programs(&self) -> bool {
        self.format == Format::Json
    }
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

/// What the store is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Cache {
    /// Take results from it, and put results into it
    ReadWrite,
    /// Only take results from it
    ReadOnly,
    /// Only put results into it
    WriteOnly,
    /// Do not use it
    Off,
}

impl From<Cache> for CacheMode {
    fn from(cache: Cache) -> Self {
        match cache {
            Cache::ReadWrite => Self::ReadWrite,
            Cache::ReadOnly => Self::ReadOnly,
            Cache::WriteOnly => Self::WriteOnly,
            Cache::Off => Self::Off,
        }
    }
}

/// Runs, or with `--dry-run` says what would run.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let pipeline = &project.loaded.pipeline;
    let request = Request { stages: arguments.stages.clone(), only: arguments.only, skip: arguments.skip.clone() };
    let selection = Selection::new(pipeline, &request)?;
    let plan = Plan::new(pipeline, selection, &project.root, &invocation(global), arguments.for_last_step.clone())
        .map_err(|error| Failing::usage_with_help(error.to_string(), "name one stage before `--`"))?;
    let narrowed = arguments.affected.then(|| narrow(&project, &plan, arguments.base.as_deref(), arguments.only)).transpose()?;
    let (plan, told) = narrowed.unwrap_or((plan, Vec::new()));
    let reports = Reports::new(&project, &arguments.report)?;
    let coloured = !arguments.is_for_programs() && screen.out_theme.coloured;
    let mut session = Session::open(&project, &plan, arguments.wish(), coloured)?;
    if arguments.dry_run {
        told.iter().for_each(|line| screen.say(line));
        let run = Run::new().map_err(|error| anyhow::anyhow!("no pipe can be made: {error}"))?;
        let memory = run.prepare(&plan, &session.means(), jobs(arguments))?;
        predict(&plan, &memory.predict(), arguments.format, screen);
        return Ok(Exit::Passed);
    }
    session.notices.extend(told.into_iter().take(if global.verbose { usize::MAX } else { 1 }));
    let Done { exit, .. } = execute(global, arguments, &project, &plan, &session, reports, screen)?;
    if let Some(trouble) = session.close() {
        screen.warn(&trouble);
    }
    Ok(exit)
}

fn jobs(arguments: &Arguments) -> usize {
    arguments.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
}

/// What became of a run.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) exit: Exit,
    /// Its id, which its record is found by.
    pub(super) id: Arc<str>,
    /// Knows whether a signal came, also after its end.
    pub(super) interrupter: Interrupter,
}

/// Runs the plan, and records the run.
pub(super) fn execute(
    global: &Global,
    arguments: &Arguments,
    project: &Project,
    plan: &Plan<'_>,
    session: &Session,
    mut reports: Reports,
    screen: &mut Screen,
) -> Result<Done, Failing> {
    let began = Instant::now();
    let run = Run::new().map_err(|error| anyhow::anyhow!("no pipe can be made: {error}"))?;
    let interrupter = run.interrupter();
    signals::listen(interrupter.clone()).map_err(|error| anyhow::anyhow!("signals cannot be heard: {error}"))?;
    let (means, jobs) = (session.means(), jobs(arguments));
    let memory = run.prepare(plan, &means, jobs)?;
    let (id, mut recorder) = Recorder::begin(&project.kept);
    let unrecorded = recorder.error().map(|error| format!("this run is not recorded: {error}"));
    let on_failure = if arguments.keep_going { OnFailure::KeepGoing } else { OnFailure::Halt };
    let settings = settings(global, arguments, plan, screen);
    let options = Options {
        id: id.clone(),
        began,
        jobs,
        on_failure,
        timeout: arguments.timeout,
        notices: session.notices.iter().chain(memory.advice()).cloned().chain(unrecorded).collect(),
        replays: arguments.format == Format::Json || settings.show == Show::Stream || reports.want_output(),
    };
    let recorded = recorder.error().is_none();
    let exit = match arguments.format {
        Format::Json => {
            let mut reporter = JsonReporter::new(&mut screen.out);
            run.go(&memory, &options, &means, &mut [&mut recorder, &mut reports, &mut reporter])
        }
        Format::Text => {
            let mut reporter = TerminalReporter::new(settings.clone(), &mut screen.out, &mut screen.err);
            let listeners: &mut [&mut dyn Listener] = &mut [&mut recorder, &mut reports, &mut reporter];
            run.go(&memory, &options, &means, listeners)
        }
    };
    if let Some(error) = recorder.error().filter(|_| recorded) {
        screen.warn(&format!("the record of this run is not whole: {error}"));
    }
    let exit = leave(reports, exit, screen);
    if !arguments.twice || exit != Exit::Passed {
        return Ok(Done { exit, id, interrupter });
    }
    let mut reporter = TerminalReporter::new(settings, &mut screen.out, &mut screen.err);
    // Programs that read events expect those of one run.
    let listeners: &mut [&mut dyn Listener] = if arguments.format == Format::Json { &mut [] } else { &mut [&mut reporter] };
    let (exit, lines) = twice::again(project, session, &memory, &options, listeners)?;
    lines.iter().for_each(|line| screen.say(line));
    Ok(Done { exit, id, interrupter })
}

/// Writes the reports. Whoever asked for one must not take a run without it for a good one; a worse verdict stands.
fn leave(reports: Reports, exit: Exit, screen: &mut Screen) -> Exit {
    let troubles = reports.write();
    troubles.iter().for_each(|trouble| screen.complain(trouble, None));
    if exit == Exit::Passed && !troubles.is_empty() { Exit::Surroundings } else { exit }
}

fn settings(global: &Global, arguments: &Arguments, plan: &Plan<'_>, screen: &Screen) -> Settings {
    let is_terminal = std::io::stdout().is_terminal();
    let dialect = Dialect::of(|name| std::env::var(name).ok(), plan.root());
    // What a CI system shows as a terminal is a log all the same.
    let is_ci = !dialect.is_plain() || std::env::var("CI").is_ok_and(|ci| !["", "0", "false"].contains(&&*ci));
    let has_region = !is_ci && std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
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
        dialect,
        root: plan.root().to_owned(),
    }
}

/// Says what would run, and why.
fn predict(plan: &Plan<'_>, predictions: &[Prediction], format: Format, screen: &mut Screen) {
    let word = |prediction: &Prediction| match prediction.foresight {
        Some(Foresight::Hit) => Some("hit"),
        Some(Foresight::Miss) => Some("miss"),
        Some(Foresight::Uncached) => Some("uncached"),
        None => None,
    };
    if format == Format::Json {
        let stages: Vec<_> = predictions
            .iter()
            .map(|prediction| {
                let key = prediction.key.map(|key| key.to_string());
                json!({ "stage": prediction.name, "prediction": word(prediction), "reason": prediction.reason, "key": key })
            })
            .collect();
        return screen.print(&format!("{}\n", json!({ "stages": stages })));
    }
    let theme = screen.out_theme;
    for prediction in predictions {
        let reason = prediction.reason.as_deref().map(|reason| format!("  {}", visible(reason))).unwrap_or_default();
        let name = theme.strong(&visible(&prediction.name));
        screen.show(&format!("{name}  {}{}\n", word(prediction).unwrap_or("unknown"), theme.faint(&reason)));
        if prediction.foresight != Some(Foresight::Hit) {
            for step in &plan.pipeline.stage(prediction.stage).steps {
                screen.show(&format!("  $ {}\n", visible(&plan.command(prediction.stage, step).show())));
            }
        }
    }
}
