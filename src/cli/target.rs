//! `target test`: two releases change places on a target under load, before that is done in production.

use std::cell::RefCell;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::deploy::{find, take_lock};
use super::depot::Depot;
use super::failing::Failing;
use super::flags::{Format, Global};
use super::project::Project;
use super::screen::Screen;
use super::signals;
use super::site::{Site, name_of};
use super::supervised::{TESTED, end_trial, place};
use crate::base::nearest;
use crate::base::text::{count, visible};
use crate::delivery::drift::Drift;
use crate::delivery::drill::{Drill, Outcome, Side};
use crate::delivery::load::Load;
use crate::delivery::staff::Pace;
use crate::delivery::target::Candidate;
use crate::delivery::verdict::{Check, Verdict, judge, words};
use crate::ledger::history::History;
use crate::ledger::standing::Standing;
use crate::model::environment::Environment;
use crate::model::outcome::Exit;
use crate::model::service::Address;
use crate::model::target::{Kind, TargetId};

/// How many requests each client makes over one of its connections: most show who gets a new one, the last whether one that stays breaks.
const CLIENTS: [u32; 4] = [1, 1, 1, 100];

/// The flags of `target`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Have two releases change places on a target that nobody uses yet, and see who answers and what is lost
    Test(Test),
}

/// The flags of `target test`.
#[derive(Debug, Args)]
struct Test {
    /// Which target
    #[arg(value_name = "NAME")]
    target: String,
    /// The address at which users reach what the target serves, asked all the time; the two releases must answer differently there [default: of a
    /// process, where it listens]
    #[arg(long, value_name = "URL", value_parser = read_address)]
    url: Option<Address>,
    /// What tells answers apart is this field of their head, not their body
    #[arg(long, value_name = "NAME")]
    header: Option<String>,
    /// How many new connections each share is measured by
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// Run the commands as in this environment; without it, the first one of the target
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// For people, or one JSON object
    #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

fn read_address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|_| "an address is http://HOST:PORT/PATH, such as http://127.0.0.1:8080/".to_owned())
}

/// Does what `target` is asked for.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    let Command::Test(test) = &arguments.command;
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let id = target(&project, &test.target)?;
    let url = url(&project.pipeline.delivery.targets[id.0 as usize].kind, test)?;
    let environments = &project.pipeline.delivery.environments;
    let users: Vec<&Environment> = environments.iter().filter(|environment| environment.target == id).collect();
    let named = test.environment.as_deref().map(|name| find(&project, name)).transpose()?;
    let Some(like) = named.or(users.first().copied()) else {
        let help = "`--environment ENV` names the one whose `env`, `pass-env`, `secrets` and `timeout` its commands get";
        return Err(Failing::usage_with_help(format!("no environment uses the target `{}`", visible(&test.target)), help));
    };
    let mut locks = Vec::new();
    for environment in &users {
        let Some(lock) = take_lock(&depot, environment, &depot.journal.read()?, screen)? else { return Ok(Exit::Waiting) };
        locks.push(lock);
    }
    let history = depot.journal.read()?;
    if let Some((environment, what)) = users.iter().find_map(|user| Some((&user.name, in_use(&history, user)?))) {
        let message = format!("`{}` is in use: {what} in `{environment}`; a test would move its traffic", visible(&test.target));
        let help = format!("test it before its first use, or a copy of it: another target, and `--environment {environment}`");
        screen.complain(&message, Some(&help));
        return Ok(Exit::Failed);
    }
    let Some(lock) = depot.lock(&format!("{TESTED}/{}", test.target))? else {
        screen.say(&format!("{}: locked: another process tests it", visible(&test.target)));
        return Ok(Exit::Waiting);
    };
    locks.push(lock);
    let environment = Environment { target: id, ..like.clone() };
    let repository = depot.repository();
    let head = repository.head()?.ok_or_else(|| anyhow::anyhow!("delivery is done from a commit, and there is none yet"))?;
    let site =
        Site { global, project: &project, depot: &depot, environment: &environment, head, pace: Pace::Through, revised: None, _lock: None };
    try_out(&site, &history, test, &url, screen)
}

/// Returns the place of the target of this name, which must be one that can be tried.
fn target(project: &Project, name: &str) -> Result<TargetId, Failing> {
    let targets = &project.pipeline.delivery.targets;
    let Some(place) = targets.iter().position(|target| &*target.name == name) else {
        let help = nearest::help("a target", name, targets.iter().map(|target| &*target.name));
        let help = help.unwrap_or_else(|| "declare it: [targets.NAME] with its `kind`".to_owned());
        return Err(Failing::usage_with_help(format!("there is no target `{}`", visible(name)), help));
    };
    let can_be = match &targets[place].kind {
        Kind::Command(commands) => commands.shift.is_some() && !commands.slots.is_empty(),
        Kind::Process(_) => true,
        Kind::Directory(_) | Kind::Flag(_) => false,
    };
    if !can_be {
        let help = "one of the kind `process`, or `command` with `slots` and a `shift`, can be";
        return Err(Failing::usage_with_help(format!("the target `{}` cannot be tested under load", visible(name)), help));
    }
    Ok(TargetId(u32::try_from(place).unwrap_or(u32::MAX)))
}

/// Returns what of an environment its target has, in words.
fn in_use(history: &History, environment: &Environment) -> Option<String> {
    let Standing { serves, ongoing, kept, lost, .. } = history.standing(&environment.name);
    let serving = serves.map(|serving| format!("{} serves", name_of(history, &serving.release)));
    let ongoing = ongoing.map(|ongoing| format!("{} is on its way", name_of(history, &ongoing.started.release)));
    let lost = lost.map(|why| format!("what serves is not known ({})", visible(&why)));
    ongoing.or(lost).or(serving).or_else(|| kept.map(|_| "a release is kept".to_owned()))
}

/// Returns the address that is asked.
fn url(kind: &Kind, test: &Test) -> Result<Address, Failing> {
    let default = || {
        let Kind::Process(process) = kind else { return None };
        let listen = process.listen;
        // Whoever listens everywhere can be asked here.
        let host = if listen.ip().is_unspecified() { "127.0.0.1".to_owned() } else { listen.ip().to_string() };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Address::parse(&format!("http://{host}:{}/", listen.port())).ok()
    };
    test.url.clone().or_else(default).ok_or_else(|| {
        let help = "`--url http://127.0.0.1:8080/` is the address at which users reach what the target serves";
        Failing::usage_with_help("it is not known where clients are to ask", help)
    })
}

/// Returns the newest release and the one before it, or the only one twice, in the two slots of the target; the older one first.
fn candidates(site: &Site<'_>, history: &History) -> Result<[Candidate; 2], Failing> {
    let releases = history.releases();
    let Some((_, new)) = releases.first() else {
        return Err(Failing::usage_with_help("there is nothing to test the target with", "`shipway release` makes a release"));
    };
    let old = releases.get(1).map_or(new, |(_, old)| old);
    let first = site.kind().slot_beside(None);
    let candidate = |id: &str, slot: Option<&str>| site.candidate(id, slot).map_err(|error| anyhow::anyhow!(error));
    Ok([candidate(&old.release, first)?, candidate(&new.release, site.kind().slot_beside(first))?])
}

/// Makes the trial, and shows what came of it.
fn try_out(site: &Site<'_>, history: &History, test: &Test, url: &Address, screen: &mut Screen) -> Result<Exit, Failing> {
    let releases = candidates(site, history)?;
    let places = [0, 1].map(|place| releases[place].slot.as_ref().map_or("", |slot| slot.name.as_str()));
    let crew = site.quiet_crew()?;
    let own = site.depot.folder()?;
    let place = place(&own, site.environment, Some(&test.target));
    // That of one that was killed may have anything in its slots.
    end_trial(&place)?;
    let outcome = {
        let shared = RefCell::new(&mut *screen);
        let supervisor = (place.clone(), site.serve(Some(&test.target))?);
        let mut target = site.target_in(own.join(TESTED).join(&test.target), supervisor, &crew, &shared);
        let name = visible(&test.target);
        let drill = Drill {
            target: &mut *target,
            releases: [&releases[0], &releases[1]],
            load: &|| Load::begin(url, test.header.as_deref(), &CLIENTS),
            requests: test.requests,
            signal: &signals::came,
            say: &mut |act, times| shared.borrow_mut().progress(&format!("{name}: {}", words(act, times, places))),
        };
        drill.run()
    };
    let is_ended = end_trial(&place)?;
    let mut outcome = outcome.context("there are no clients to be had")?;
    if is_ended {
        // All that it served has ended with it.
        outcome.left.clear();
    }
    let drift = |side, observed: &_| {
        let id = &releases[usize::from(side == Side::New)].id;
        Drift::of(Ok(Clone::clone(observed)), Some(id), history).unwrap_or_else(|error| Drift::unknown(error.to_string()))
    };
    let checks = judge(&outcome.seen, places, drift);
    let named = [0, 1].map(|place| (name_of(history, &releases[place].id), places[place]));
    Ok(show(test, url, &named, &checks, &outcome, screen))
}

/// Shows what came of a trial; returns what to exit with.
fn show(test: &Test, url: &Address, releases: &[(String, &str); 2], checks: &[Check], outcome: &Outcome, screen: &mut Screen) -> Exit {
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Failed).count();
    let has_passed = failed == 0 && outcome.signal.is_none() && outcome.left.is_empty();
    let (asked, lost) = (outcome.counted.answered() + outcome.counted.lost, outcome.counted.lost);
    if test.format == Format::Json {
        let releases: Vec<_> = releases.iter().map(|(name, slot)| json!({ "name": name, "slot": slot })).collect();
        let object = json!({
            "target": test.target, "url": url.text, "releases": releases, "checks": checks,
            "requests": asked, "lost": lost, "left": outcome.left, "passed": has_passed,
        });
        screen.print(&format!("{object}\n"));
    } else {
        let [(old, blue), (new, green)] = releases;
        screen.show(&format!("{old} in `{blue}`, {new} in `{green}`, asked for at {}\n", visible(&url.text)));
        let width = checks.iter().map(|check| check.check.chars().count()).max().unwrap_or(0);
        for Check { check, verdict, said } in checks {
            let theme = screen.out_theme;
            let mark = match verdict {
                Verdict::Passed => theme.good("✓"),
                Verdict::Failed => theme.bad("✗"),
                Verdict::Untested => theme.faint("-"),
            };
            screen.show(&format!("{mark} {}\n", format!("{check:<width$}  {}", visible(said)).trim_end()));
        }
    }
    let name = visible(&test.target);
    for why in &outcome.left {
        screen.complain(&format!("{name}: what was started could not be ended: {}", visible(why)), None);
    }
    if let Some(signal) = outcome.signal {
        screen.say(&format!("{name}: interrupted"));
        return Exit::Interrupted(signal);
    }
    let traffic = format!("{} of {} lost", lost, count(usize::try_from(asked).unwrap_or(usize::MAX), "request"));
    if has_passed {
        screen.say(&format!("{name}: passed: {}, {traffic}", count(checks.len(), "check")));
        return Exit::Passed;
    }
    screen.complain(&format!("{name}: {failed} of {} failed, {traffic}", count(checks.len(), "check")), None);
    Exit::Failed
}
