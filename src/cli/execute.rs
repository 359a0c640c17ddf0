//! One run, whoever asks for it: how it is done, who listens to it, and what comes of it.
//!
//! Knows the flags that say how; knows nothing of what is selected, or of signals.
//!
//! ```text
//! Run::new --> signals --> Execution::prepare --> Execution::go --> Exit
//! ```

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, FromArgMatches, ValueEnum};
use jiff::Timestamp;

use super::failing::Failing;
use super::flags::{Format, Global, SWITCH, read_duration, read_jobs, read_switch};
use super::project::Project;
use super::reports::Reports;
use super::screen::Screen;
use super::session::{Session, Wish};
use super::signals;
use crate::base::parallel::processors;
use crate::base::program::plain;
use crate::delivery::evidence::Gathering;
use crate::engine::checkout::CacheMode;
use crate::engine::memory::Memory;
use crate::engine::plan::Plan;
use crate::engine::run::{Interrupter, Options, Run};
use crate::engine::schedule::OnFailure;
use crate::engine::traces::Belief;
use crate::model::event::{Event, EventKind, Listener};
use crate::model::outcome::Exit;
use crate::notice::vigil::Activity;
use crate::record::writer::Recorder;
use crate::report::dialect::Dialect;
use crate::report::json::JsonReporter;
use crate::report::step_summary::StepSummary;
use crate::report::terminal::{Settings, Show, TerminalReporter, Verbosity};

/// How stages are run: the flags of all commands that run some.
#[derive(Debug, Clone, Args)]
pub(super) struct How {
    /// How many stages run at once; without it, as many as there are processors
    #[arg(short, long, env = "SHIPWAY_JOBS", value_name = "N", value_parser = read_jobs)]
    jobs: Option<NonZeroUsize>,
    /// After a failure, run all that does not depend on it
    #[arg(short, long, env = "SHIPWAY_KEEP_GOING", action = SWITCH, value_parser = read_switch)]
    keep_going: bool,
    /// What the store of results is used for
    #[arg(long, env = "SHIPWAY_CACHE", value_name = "MODE", default_value = "read-write")]
    pub(super) cache: Cache,
    /// Hash every file, whatever its times say
    #[arg(long)]
    pub(super) paranoid: bool,
    /// When the steps' output is shown
    #[arg(long, env = "SHIPWAY_OUTPUT", value_name = "HOW", default_value = "auto")]
    output: Output,
    /// For people, or one JSON event a line
    #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(super) format: Format,
    /// Longest time of the whole run: 300ms, 30s, 10m, 2h
    #[arg(long, env = "SHIPWAY_TIMEOUT", value_name = "DURATION", value_parser = read_duration)]
    timeout: Option<Duration>,
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
pub(super) enum Cache {
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

impl How {
    /// Returns how many stages run at once.
    pub(super) fn jobs(&self) -> usize {
        self.jobs.map_or_else(processors, NonZeroUsize::get)
    }

    /// Tells whether steps may print colours.
    pub(super) fn is_coloured(&self, screen: &Screen) -> bool {
        self.format == Format::Text && screen.out_theme.coloured
    }

    /// Returns what the environment says, where nobody types a command line.
    pub(super) fn of_environment() -> Result<Self, Failing> {
        let command = Self::augment_args(clap::Command::new("shipway").no_binary_name(true));
        let read = command.try_get_matches_from([] as [&str; 0]).and_then(|matches| Self::from_arg_matches(&matches));
        read.map_err(|error| Failing::usage(error.to_string().trim_start_matches("error: ").trim_end().to_owned()))
    }

    /// Returns the same for somebody whose own result goes where the steps' output would: unless it was asked for, only that of a failure is
    /// shown.
    pub(super) fn in_the_background(self) -> Self {
        let output = if self.output == Output::Auto { Output::Failures } else { self.output };
        Self { output, ..self }
    }

    /// Returns how the store is to be used.
    pub(super) fn wish(&self) -> Wish {
        Wish { mode: self.cache.into(), force: false, paranoid: self.paranoid, only_look: false, keeps_services: false }
    }
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

/// Runs the plan, hears signals meanwhile, and records the run.
pub(super) fn once(
    global: &Global,
    how: &How,
    project: &Project,
    plan: &Plan<'_>,
    session: &Session,
    screen: &mut Screen,
) -> Result<Done, Failing> {
    let run = Run::new().map_err(|error| anyhow::anyhow!("no pipe can be made: {error}"))?;
    let interrupter = run.interrupter();
    signals::listen(interrupter.clone()).map_err(|error| anyhow::anyhow!("signals cannot be heard: {error}"))?;
    let reports = Reports::new(project, &[])?;
    let mut execution = Execution::prepare(&run, global, how, plan, session, &reports, screen)?;
    execution.ask_for_nothing();
    let exit = execution.go(run, project, &[], reports, screen);
    let id = execution.options.map_or_else(|| "".into(), |options| options.id);
    Ok(Done { exit, id, interrupter })
}

/// A run that is ready to go.
#[derive(Debug)]
pub(super) struct Execution<'a> {
    how: &'a How,
    session: &'a Session,
    pub(super) memory: Memory<'a>,
    settings: Settings,
    began: Instant,
    /// How it was done; there once it has gone.
    options: Option<Options>,
    /// When its steps ran.
    pub(super) steps: Steps,
    /// Hears what a release of it is judged by; where one is to be made.
    pub(super) gathering: Option<Gathering>,
}

/// Hears when the steps of a run ran.
#[derive(Debug, Default)]
pub(super) struct Steps {
    has_any: bool,
    ended: Option<Timestamp>,
}

impl Steps {
    /// Returns when they ran.
    pub(super) fn activity(&self) -> Activity {
        let end = |at: Timestamp| i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX);
        if self.has_any { Activity::Until(self.ended.map_or(i64::MAX, end)) } else { Activity::None }
    }
}

impl Listener for Steps {
    fn hear(&mut self, event: &Event) {
        if matches!(event.kind, EventKind::StepStarted { .. }) {
            self.has_any = true;
        }
        // The step has ended before that is told.
        if matches!(event.kind, EventKind::StepFinished { .. }) {
            self.ended = Some(event.at);
        }
    }
}

impl<'a> Execution<'a> {
    /// Finds out what is known of the stages of `plan`, for `run`.
    pub(super) fn prepare(
        run: &Run,
        global: &Global,
        how: &'a How,
        plan: &'a Plan<'a>,
        session: &'a Session,
        reports: &Reports,
        screen: &Screen,
    ) -> Result<Self, Failing> {
        let began = Instant::now();
        let settings = settings(global, how, plan, screen);
        let belief = Belief::Traces { replays: replays(how, &settings, reports) };
        let memory = run.prepare(plan, &session.means(), how.jobs(), belief)?;
        Ok(Self { how, session, memory, settings, began, options: None, steps: Steps::default(), gathering: None })
    }

    /// Notes that nobody asked for these stages as such: what a single one printed when it passed is no news.
    pub(super) fn ask_for_nothing(&mut self) {
        if self.how.output == Output::Auto && self.settings.show == Show::Stream {
            self.settings.show = Show::Grouped;
        }
    }

    /// Runs the stages, records and reports the run. `notices` are said first, beside those of the session.
    pub(super) fn go(&mut self, run: Run, project: &Project, notices: &[String], mut reports: Reports, screen: &mut Screen) -> Exit {
        let (id, mut recorder) = Recorder::begin(&project.kept);
        let unrecorded = recorder.error().map(|error| format!("this run is not recorded: {}", plain(error)));
        let notices = self.session.notices.iter().chain(notices).chain(self.memory.advice()).cloned().chain(unrecorded).collect();
        let options = self.options.insert(Options {
            id,
            began: self.began,
            jobs: self.how.jobs(),
            on_failure: if self.how.keep_going { OnFailure::KeepGoing } else { OnFailure::Halt },
            timeout: self.how.timeout,
            notices,
            replays: replays(self.how, &self.settings, &reports),
        });
        let mut summary = StepSummary::of(|name| std::env::var(name).ok());
        // A file of a checkout aside is one of the working tree, for whoever reads of it.
        self.settings.dialect = Dialect::of(|name| std::env::var(name).ok(), &project.kept);
        let (memory, means) = (&self.memory, self.session.means());
        let recorded = recorder.error().is_none();
        let go = |reporter: &mut dyn Listener| {
            let listeners: &mut [&mut dyn Listener] =
                &mut [&mut self.steps, &mut self.gathering, &mut recorder, &mut reports, &mut summary, reporter];
            run.go(memory, options, &means, listeners)
        };
        let exit = match self.how.format {
            Format::Json => go(&mut JsonReporter::new(&mut screen.out)),
            Format::Text => go(&mut TerminalReporter::new(self.settings.clone(), &mut screen.out, &mut screen.err)),
        };
        if let Some(error) = recorder.error().filter(|_| recorded) {
            screen.warn(&format!("the record of this run is not whole: {error}"));
        }
        if let Err(error) = summary.write() {
            screen.warn(&format!("the summary of the job cannot be written: {error}"));
        }
        leave(reports, exit, screen)
    }

    /// Returns how the run was done, once it has gone, and how another one is to be shown.
    pub(super) fn done(&self) -> Option<(&Options, Settings)> {
        Some((self.options.as_ref()?, self.settings.clone()))
    }
}

/// Writes the reports. Whoever asked for one must not take a run without it for a good one; a worse verdict stands.
fn leave(reports: Reports, exit: Exit, screen: &mut Screen) -> Exit {
    let troubles = reports.write();
    troubles.iter().for_each(|trouble| screen.complain(trouble, None));
    if exit == Exit::Passed && !troubles.is_empty() { Exit::Surroundings } else { exit }
}

/// Tells whether what a stage printed when it was stored is given out again.
fn replays(how: &How, settings: &Settings, reports: &Reports) -> bool {
    how.format == Format::Json || settings.show == Show::Stream || reports.want_output()
}

fn settings(global: &Global, how: &How, plan: &Plan<'_>, screen: &Screen) -> Settings {
    let is_terminal = std::io::stdout().is_terminal();
    let dialect = Dialect::of(|name| std::env::var(name).ok(), plan.root());
    // What a CI system shows as a terminal is a log all the same.
    let is_ci = !dialect.is_plain() || std::env::var("CI").is_ok_and(|ci| !["", "0", "false"].contains(&&*ci));
    let has_region = !is_ci && std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let show = match how.output {
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
        sums: !plan.is_task(),
        root: plan.root().to_owned(),
    }
}
