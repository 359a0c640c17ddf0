//! `run --twice`: the run again in another place, to see whether the same comes out.

use std::time::Instant;

use anyhow::Context;

use super::execute::Execution;
use super::failing::Failing;
use super::flags::Format;
use super::project::Project;
use super::screen::Screen;
use super::session::Session;
use super::signals;
use crate::base::text::{count, visible};
use crate::engine::checkout::{Access, CacheMode, Checkout};
use crate::engine::elsewhere::compare;
use crate::engine::memory::Memory;
use crate::engine::run::{Means, Options, Run};
use crate::engine::traces::Belief;
use crate::model::event::Listener;
use crate::model::outcome::Exit;
use crate::report::terminal::TerminalReporter;

/// Runs a plan that has passed once more in a copy of the project, without the store, and compares the outputs. Says what came of it. Exit 1 where
/// they differ, or where the second run does not pass.
pub(super) fn again(
    project: &Project,
    session: &Session,
    execution: &Execution<'_>,
    format: Format,
    screen: &mut Screen,
) -> Result<Exit, Failing> {
    let Some((options, settings)) = execution.done() else { return Ok(Exit::Passed) };
    let mut reporter = TerminalReporter::new(settings, &mut screen.out, &mut screen.err);
    // Programs that read events expect those of one run.
    let listeners: &mut [&mut dyn Listener] = if format == Format::Json { &mut [] } else { &mut [&mut reporter] };
    let (exit, lines) = run_there(project, session, &execution.memory, options, listeners)?;
    lines.iter().for_each(|line| screen.say(line));
    Ok(exit)
}

fn run_there(
    project: &Project,
    session: &Session,
    memory: &Memory<'_>,
    options: &Options,
    listeners: &mut [&mut dyn Listener],
) -> Result<(Exit, Vec<String>), Failing> {
    let folder = tempfile::Builder::new().prefix("shipway-twice-").tempdir().context("there is no place for a second run")?;
    let there = folder.path().canonicalize().context("there is no place for a second run")?;
    memory.copy_to(&there, &project.file).context("the project cannot be copied for a second run")?;
    let here = memory.plan();
    let plan = here.elsewhere(&there);
    let access = Access { store: None, mode: CacheMode::Off, force: false, paranoid: false, only_look: false };
    let (checkout, _) = Checkout::open(&there, &project.file, here.pipeline, &access);
    let means = Means { checkout: &checkout, ..session.means() };
    let run = Run::new().context("no pipe can be made")?;
    signals::listen(run.interrupter()).context("signals cannot be heard")?;
    let memory = run.prepare(&plan, &means, options.jobs, Belief::Nothing)?;
    let exit =
        run.go(&memory, &Options { began: Instant::now(), notices: Vec::new(), replays: false, ..options.clone() }, &means, listeners);
    if exit != Exit::Passed {
        let why =
            "the second run, in a copy of what the stages read, did not pass: they read more than they declare, or depend on the place";
        return Ok((exit, vec![why.to_owned()]));
    }
    let differences = compare(here, &there).context("the outputs of the two runs cannot be compared")?;
    if differences.is_empty() {
        return Ok((Exit::Passed, vec![format!("twice the same: {}", count(here.stages.len(), "stage"))]));
    }
    let lines = differences.iter().map(|difference| {
        let more = if difference.more > 0 { format!(", +{} more", difference.more) } else { String::new() };
        format!("`{}` gave something else in another place: {}{more}", visible(&difference.stage), visible(&difference.first))
    });
    Ok((Exit::Failed, lines.collect()))
}
