//! `serve`: the supervisor of an environment whose target is a process, and looks at it.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::deploy::find;
use super::depot::{own_folder, repository_of};
use super::failing::Failing;
use super::flags::{Format, Global};
use super::project::Project;
use super::screen::Screen;
use super::signals;
use super::site::name_of;
use super::supervised::{end, known, place};
use crate::base::text::{count, visible};
use crate::exec::cancel::Interruption;
use crate::exec::detached::detach;
use crate::git::repo::Repository;
use crate::ledger::entry::short;
use crate::ledger::history::History;
use crate::ledger::journal::Journal;
use crate::model::outcome::Exit;
use crate::model::target::Kind;
use crate::supervisor::place::{AskError, Place};
use crate::supervisor::request::{Look, Request, Sight};
use crate::supervisor::run::{StartError, Supervisor};

/// How often it is looked whether it listens by now, or has ended.
const TICK: Duration = Duration::from_millis(10);

/// The flags of `serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Where
    #[arg(value_name = "ENV")]
    environment: String,
    /// In the background: return as soon as it listens
    #[arg(long, group = "what")]
    detach: bool,
    /// Show what it serves; exit code 1 where it does not run
    #[arg(long, group = "what")]
    status: bool,
    /// End it, with all that it serves; what that is it serves again when it is started again
    #[arg(long, group = "what")]
    stop: bool,
    /// Not its own supervisor, but that of a trial of this target, whose commands get what those of the environment get
    #[arg(long, value_name = "TARGET", hide = true)]
    trial: Option<String>,
    /// For people, or one JSON object; of --status
    #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Is the supervisor, starts one, looks at it, or ends it.
pub(super) fn serve(global: &Global, arguments: &Serve, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    if arguments.status || arguments.stop {
        // The file may know the environment no more, or as one of another kind: what it was is still to be seen, and to be ended.
        let repository = repository_of(&project)?;
        let (own, name) = (own_folder(&repository)?, arguments.environment.as_str());
        if let Some(place) = known(&own, name) {
            return if arguments.stop { stop(&place, name, screen) } else { show(&repository, &place, name, arguments.format, screen) };
        }
    }
    let environment = find(&project, &arguments.environment)?;
    let (delivery, trial) = (&project.pipeline.delivery, arguments.trial.as_deref());
    let target = match trial {
        None => delivery.target_of(environment),
        Some(name) => {
            let found = delivery.targets.iter().find(|target| &*target.name == name);
            found.ok_or_else(|| Failing::usage(format!("there is no target `{}`", visible(name))))?
        }
    };
    let Kind::Process(process) = &target.kind else {
        let message = format!("the target `{}` of `{}` is not of the kind `process`", target.name, environment.name);
        return Err(Failing::usage_with_help(message, "only such a one has a listener to be kept"));
    };
    let repository = repository_of(&project)?;
    let (place, name) = (place(&own_folder(&repository)?, environment, trial), &environment.name);
    if arguments.detach {
        return start(&project, &place, name, trial, screen);
    }
    if arguments.status {
        return show(&repository, &place, name, arguments.format, screen);
    }
    if arguments.stop {
        return stop(&place, name, screen);
    }
    let supervisor =
        Supervisor::open(place, name, process.listen, Some(Box::new(io::stderr()))).map_err(|error| explain(&error, name, trial))?;
    let (ender, mut times) = (supervisor.ender(), 0);
    let hear = move |_| {
        times += 1;
        match times {
            1 => ender.end(),
            2 => ender.kill(),
            _ => return Interruption::Later,
        }
        if times == 1 { Interruption::First } else { Interruption::Second }
    };
    signals::hear(hear).context("signals cannot be heard")?;
    supervisor.run();
    Ok(Exit::Passed)
}

fn explain(error: &StartError, name: &str, trial: Option<&str>) -> Failing {
    let help = match error {
        StartError::Held(_) if trial.is_none() => format!("\n  help: `shipway serve {name} --status` shows it, `--stop` ends it"),
        StartError::Held(_) | StartError::Listen { .. } | StartError::Folder { .. } => String::new(),
    };
    anyhow::anyhow!("`{name}`: {error}{help}").into()
}

/// Starts a supervisor that outlives this process.
fn start(project: &Project, place: &Place, name: &str, trial: Option<&str>, screen: &mut Screen) -> Result<Exit, Failing> {
    let served = |sight: &Sight| {
        format!("{name}: the process {} listens on {}; its log is `{}`", sight.pid, sight.listen, visible(&sight.log.to_string_lossy()))
    };
    while let Ok(sight) = place.ask(&Request::Observe) {
        if !sight.ending {
            screen.say(&served(&sight));
            return Ok(Exit::Passed);
        }
        std::thread::sleep(TICK);
    }
    let program = std::env::current_exe().context("it is not known which program this is")?;
    let file = project.root.join(&project.file);
    let mut arguments = vec![OsStr::new("--file"), file.as_os_str(), OsStr::new("serve"), OsStr::new(name)];
    arguments.extend(trial.iter().flat_map(|target| ["--trial", *target]).map(OsStr::new));
    let mut child = detach(&program, &arguments).context("the supervisor cannot be started")?;
    loop {
        // It may be another one's, who was faster.
        let ended = child.try_wait().context("the end of the supervisor cannot be learnt")?;
        match place.ask(&Request::Observe) {
            Ok(sight) if sight.pid == child.id() || ended.is_some() => {
                screen.say(&served(&sight));
                return Ok(Exit::Passed);
            }
            _ => {}
        }
        if ended.is_some() {
            let mut said = String::new();
            child
                .stderr
                .take()
                .map(|mut said_on| said_on.read_to_string(&mut said))
                .transpose()
                .context("what the supervisor said is lost")?;
            screen.tell(said.trim_end());
            return Err(anyhow::anyhow!("the supervisor of `{name}` does not run").into());
        }
        std::thread::sleep(TICK);
    }
}

fn stop(place: &Place, name: &str, screen: &mut Screen) -> Result<Exit, Failing> {
    let begins = |sight: &Sight| {
        screen.say(&format!("{name}: the process {} ends, with {}", sight.pid, count(sight.leaving.len(), "release")));
    };
    let was_there = end(place, begins).map_err(anyhow::Error::new)?;
    let line = if was_there { "it has ended; what it served it serves again when it is started again" } else { "no supervisor runs" };
    screen.say(&format!("{name}: {line}"));
    Ok(Exit::Passed)
}

fn show(repository: &Repository, place: &Place, name: &str, format: Format, screen: &mut Screen) -> Result<Exit, Failing> {
    let sight = match place.ask(&Request::Observe) {
        Err(AskError::Absent) => None,
        sight => Some(sight.map_err(anyhow::Error::new)?),
    };
    let exit = if sight.is_some() { Exit::Passed } else { Exit::Failed };
    if format == Format::Json {
        screen.print(&format!("{}\n", json!({ "environment": name, "supervisor": sight })));
        return Ok(exit);
    }
    let Some(sight) = sight else {
        let log = place.log();
        let log = if log.exists() { format!("; the log of the last one is `{}`", visible(&log.to_string_lossy())) } else { String::new() };
        screen.say(&format!("{name}: no supervisor runs: `shipway serve {name}` is one{log}"));
        return Ok(exit);
    };
    let history = Journal::open(repository.clone(), false)?.read()?;
    let strong = screen.out_theme.strong(name);
    let ending = if sight.ending { "; it is about to end" } else { "" };
    let log = sight.log.to_string_lossy().into_owned();
    screen.show(&format!("{strong}  {}, by the process {}; log `{}`{ending}\n", sight.listen, sight.pid, visible(&log)));
    for look in &sight.slots {
        screen.show(&format!("  {:<6} {:>3} %  {}\n", visible(&look.slot), look.weight, describe(&history, look)));
    }
    for look in &sight.leaving {
        screen.show(&format!("  {:<6}  ends  {}\n", visible(&look.slot), describe(&history, look)));
    }
    Ok(exit)
}

fn describe(history: &History, look: &Look) -> String {
    let name = name_of(history, &look.release);
    let restarts = if look.restarts > 0 { format!(", started again {}", count_times(look.restarts)) } else { String::new() };
    let state = match &look.down {
        Some(why) => format!("does not run: {}", visible(why)),
        None => format!("127.0.0.1:{}, {}", look.port, count(look.connections, "connection")),
    };
    format!("{name} ({})  {state}{restarts}", short(&look.release))
}

fn count_times(times: u32) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}
