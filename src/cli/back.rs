//! `rollback`, `abort`: what takes releases back.

use anyhow::Context;
use clap::Args;

use super::deploy::{Reasoned, clean_head, find, take_lock};
use super::depot::Depot;
use super::failing::Failing;
use super::flags::Global;
use super::project::Project;
use super::screen::Screen;
use super::site::{Site, locked, name_of};
use crate::base::text::visible;
use crate::delivery::hold::seize;
use crate::delivery::staff::Pace;
use crate::ledger::entry::{Cause, Deed, Hold, Turned};
use crate::ledger::shared::Reach;
use crate::model::environment::Environment;
use crate::model::outcome::Exit;

/// The flags of `rollback`.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// Where
    #[arg(value_name = "ENV")]
    environment: String,
    /// To which release; without it, to the last that was verified there
    #[arg(long, value_name = "RELEASE")]
    to: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "REASON")]
    reason: String,
}

/// Takes an environment back to a release that was good there, and holds it.
pub(super) fn rollback(global: &Global, arguments: &Rollback, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let environment = find(&project, &arguments.environment)?;
    let head = clean_head(&depot)?;
    let before = depot.journal.read()?.standing(&environment.name);
    if before.ongoing.is_some() {
        pause(&depot, environment, &arguments.reason, screen)?;
        return turn_back(global, &project, &depot, environment, &arguments.reason, screen);
    }
    let Some(lock) = take_lock(&depot, environment, &depot.journal.read()?, screen)? else { return Ok(Exit::Waiting) };
    let site = Site { global, project: &project, depot: &depot, environment, head, pace: Pace::Through, revised: None, _lock: Some(lock) };
    let history = depot.journal.read()?;
    let standing = history.standing(&environment.name);
    let serving = standing.serves.as_ref().map(|serving| serving.release.clone());
    let wanted = match &arguments.to {
        Some(text) => Some(history.release(text)?.1.release.clone()),
        // Where nobody knows what serves, that is to serve for sure.
        None => standing.last_verified(serving.as_deref().filter(|_| standing.lost.is_none())).map(|verified| verified.release.clone()),
    };
    let Some(wanted) = wanted else {
        screen.complain(
            &format!("`{}` has no other release that was verified there: there is nothing to go back to", environment.name),
            None,
        );
        return Ok(Exit::Failed);
    };
    if standing.verified_since(&wanted).is_none() {
        screen.complain(&format!("{} was never verified in `{}`: promote it instead", name_of(&history, &wanted), environment.name), None);
        return Ok(Exit::Failed);
    }
    if let Some(released) = serving.as_deref().and_then(|serving| history.release(serving).ok()).map(|(_, released)| released)
        && released.irreversible
    {
        let help = "what it did cannot be taken back: promote a release that mends it";
        screen.complain(&format!("{} is irreversible, so no rollback leads behind it", visible(&released.name)), Some(help));
        return Ok(Exit::Failed);
    }
    let released = history.release(&wanted)?.1.clone();
    // Whoever cannot go back holds nothing.
    site.candidate(&wanted, None).map_err(|error| anyhow::anyhow!(error))?;
    pause(&depot, environment, &arguments.reason, screen)?;
    site.begin(&released, &standing, Cause::Rollback, Some(&arguments.reason), None, screen)
}

/// Holds the environment, so that nothing brings the same release again by itself.
fn pause(depot: &Depot, environment: &Environment, reason: &str, screen: &mut Screen) -> Result<(), Failing> {
    let paused = Deed::Paused(Hold { environment: environment.name.to_string(), reason: reason.to_owned() });
    depot.journal.add(Reach::Here, &mut |_| Some(paused.clone()))?;
    depot.tell(screen);
    screen.say(&format!("{}: paused until `shipway resume {} --reason R`", environment.name, environment.name));
    Ok(())
}

/// Takes back what is on its way.
pub(super) fn abort(global: &Global, arguments: &Reasoned, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let environment = find(&project, &arguments.environment)?;
    if depot.journal.read()?.standing(&environment.name).ongoing.is_none() {
        screen.say(&format!("{}: nothing is on its way", environment.name));
        return Ok(Exit::Passed);
    }
    turn_back(global, &project, &depot, environment, &arguments.reason, screen)
}

/// Tells the deployment that is on its way to go back, and sees to it.
fn turn_back(
    global: &Global,
    project: &Project,
    depot: &Depot,
    environment: &Environment,
    reason: &str,
    screen: &mut Screen,
) -> Result<Exit, Failing> {
    let mut name = None;
    // First of all, so that whoever moves it now goes back by themselves.
    let history = depot.journal.add(Reach::Here, &mut |history| {
        let ongoing = history.standing(&environment.name).ongoing?;
        name = Some(ongoing.deployment.clone());
        let turned = Turned { environment: environment.name.to_string(), deployment: ongoing.deployment, reason: reason.to_owned() };
        ongoing.turned.is_none().then_some(Deed::Turned(turned))
    })?;
    let Some(name) = name else { return Ok(Exit::Passed) };
    depot.tell(screen);
    let ongoing = history.standing(&environment.name).ongoing;
    if let Some(lease) = ongoing.as_ref().and_then(|ongoing| depot.journal.held_elsewhere(ongoing)) {
        if depot.journal.cut().is_none() {
            screen.say(&format!("{}: it is told to go back, which whoever holds it does", environment.name));
            screen.say(&locked(environment, lease));
            return Ok(Exit::Waiting);
        }
        // Nobody can be told.
        seize(&depot.journal, &environment.name, &name)?;
    }
    let lock = depot.lock_file(&environment.name)?;
    if lock.try_lock().is_err() {
        screen.progress(&format!("{}: waits for the phase that another process does now", environment.name));
        lock.lock().context("the lock of the environment cannot be had")?;
    }
    let site =
        Site { global, project, depot, environment, head: clean_head(depot)?, pace: Pace::Through, revised: None, _lock: Some(lock) };
    let history = depot.journal.read()?;
    site.go_back(&name, history, screen)
}
