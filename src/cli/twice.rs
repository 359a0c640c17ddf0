//! `run --twice` and `release --twice`: the run again under other circumstances, to see whether the same comes out.
//!
//! The second run is in another folder, with another `TMPDIR` and another umask, and begins later, also by a clock that counts in twos of
//! seconds, as archives do. Where faketime is installed, its steps also see a clock that is more than a day ahead: a program has to be loaded
//! into each of them for that, and this is the one that others use for it.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use rustix::fs::Mode;
use rustix::process::umask;

use super::execute::Execution;
use super::failing::Failing;
use super::flags::Format;
use super::project::Project;
use super::screen::Screen;
use super::session::Session;
use super::signals;
use crate::base::program;
use crate::base::text::{count, visible};
use crate::engine::checkout::{Access, CacheMode, Checkout};
use crate::engine::elsewhere::compare;
use crate::engine::memory::Memory;
use crate::engine::run::{Interrupter, Means, Options, Run};
use crate::engine::traces::Belief;
use crate::exec::environment::Caller;
use crate::model::event::Listener;
use crate::model::outcome::Exit;
use crate::report::terminal::TerminalReporter;

/// How often a signal is looked for while the clock is waited for.
const SLICE: Duration = Duration::from_millis(20);

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
    let ended = Timestamp::now();
    let folder = tempfile::Builder::new().prefix("shipway-twice-").tempdir().context("there is no place for a second run")?;
    let above = folder.path().canonicalize().context("there is no place for a second run")?;
    let (there, temporary) = (above.join("project"), above.join("tmp"));
    for folder in [&there, &temporary] {
        std::fs::create_dir(folder).context("there is no place for a second run")?;
    }
    let run = Run::new().context("no pipe can be made")?;
    let interrupter = run.interrupter();
    signals::listen(run.interrupter()).context("signals cannot be heard")?;
    memory.copy_to(&there, &project.file).context("the project cannot be copied for a second run")?;
    await_later(ended, &interrupter);
    let _mask = Mask::other();
    let clock = Clock::find(&session.caller, &above);
    let mut caller = session.caller.with("TMPDIR", temporary.as_os_str());
    for (name, value) in clock.iter().flat_map(Clock::variables) {
        caller = caller.with(name, value);
    }
    let here = memory.plan();
    let plan = here.elsewhere(&there);
    let access = Access { store: None, mode: CacheMode::Off, force: false, paranoid: false, only_look: false };
    let (checkout, _) = Checkout::open(&there, &project.file, here.pipeline, &access);
    let means = Means { checkout: &checkout, caller: &caller, ..session.means() };
    let memory = run.prepare(&plan, &means, options.jobs, Belief::Nothing)?;
    let exit =
        run.go(&memory, &Options { began: Instant::now(), notices: Vec::new(), replays: false, ..options.clone() }, &means, listeners);
    if matches!(exit, Exit::Interrupted(_)) {
        return Ok((exit, Vec::new()));
    }
    if exit != Exit::Passed {
        let why = "the second run, in a copy of what the stages read, did not pass: they read more than they declare, or depend on the place, TMPDIR, umask or clock";
        return Ok((exit, vec![why.to_owned()]));
    }
    let differences = compare(here, &there).context("the outputs of the two runs cannot be compared")?;
    if differences.is_empty() {
        let when = if clock.is_some() { "a day later by its clock" } else { "seconds later; with faketime installed, a day" };
        return Ok((Exit::Passed, vec![format!("twice the same: {}, the second time {when}", count(here.stages.len(), "stage"))]));
    }
    let lines = differences.iter().map(|difference| {
        let more = if difference.more > 0 { format!(", +{} more", difference.more) } else { String::new() };
        format!("`{}` gave something else the second time: {}{more}", visible(&difference.stage), visible(&difference.first))
    });
    Ok((Exit::Failed, lines.collect()))
}

/// A clock that steps see instead of the machine's.
struct Clock {
    /// What has to be loaded into them.
    library: OsString,
}

/// How far it is ahead: another day everywhere, and not so far that certificates of servers are over.
const AHEAD: &str = "+25h";

impl Clock {
    /// Returns the one of faketime; `None` where it is not installed, or does not do what it should.
    fn find(caller: &Caller, folder: &Path) -> Option<Self> {
        let faketime = program::find("faketime", caller.get("PATH"), folder).ok()?;
        let words = ["-f", AHEAD, "sh", "-c", "date +%s; printenv LD_PRELOAD"];
        let said = duct::cmd(faketime, words).stderr_null().read().ok()?;
        let (now, library) = said.split_once('\n')?;
        let is_ahead = now.parse::<i64>().ok()? > Timestamp::now().as_second() + 24 * 60 * 60;
        is_ahead.then(|| Self { library: library.trim_end().into() })
    }

    /// Returns what the environment of steps says of it. Time that is measured and not told goes as ever, or what waits would not.
    fn variables(&self) -> [(&'static str, &OsStr); 3] {
        [("LD_PRELOAD", &self.library), ("FAKETIME", OsStr::new(AHEAD)), ("FAKETIME_DONT_FAKE_MONOTONIC", OsStr::new("1"))]
    }
}

/// Files are made with other permissions for as long as it lives.
struct Mask {
    usual: Mode,
}

impl Mask {
    /// Returns one that keeps nobody out who may be needed: it is as common as the usual one.
    fn other() -> Self {
        let common = Mode::from_raw_mode(0o022);
        let usual = umask(common);
        if usual == common {
            umask(Mode::from_raw_mode(0o027));
        }
        Self { usual }
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        umask(self.usual);
    }
}

/// Waits until no time that is written down in seconds, or in twos of them, can be one of the first run; or until a signal comes.
fn await_later(ended: Timestamp, interrupter: &Interrupter) {
    while Timestamp::now().as_second() / 2 <= ended.as_second() / 2 && interrupter.signal().is_none() {
        std::thread::sleep(SLICE);
    }
}
