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
use crate::ledger::entry::{Cause, Deed, Hold, Released, Turned};
use crate::ledger::shared::Reach;
use crate::ledger::standing::Ongoing;
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
    let history = depot.journal.read()?;
    let named = arguments.to.as_deref().map(|text| history.release(text).map(|(_, released)| released.release.clone())).transpose()?;
    let ongoing = history.standing(&environment.name).ongoing;
    let is_paused = ongoing.is_some();
    if let Some(ongoing) = ongoing {
        let wish = (&ongoing, named.as_ref(), arguments.reason.as_str());
        if let Some(exit) = first_back(global, &project, &depot, environment, wish, screen)? {
            return Ok(exit);
        }
    }
    let head = clean_head(&depot)?;
    let Some(lock) = take_lock(&depot, environment, &depot.journal.read()?, screen)? else { return Ok(Exit::Waiting) };
    let site = Site { global, project: &project, depot: &depot, environment, head, pace: Pace::Through, revised: None, _lock: Some(lock) };
    let history = depot.journal.read()?;
    let standing = history.standing(&environment.name);
    let serving = standing.serves.as_ref().map(|serving| serving.release.clone());
    let wanted = match named {
        Some(named) => Some(named),
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
    if standing.verified.iter().all(|verified| verified.release != wanted) {
        screen.complain(&format!("{} was never verified in `{}`: promote it instead", name_of(&history, &wanted), environment.name), None);
        return Ok(Exit::Failed);
    }
    // Whatever came after it is left behind.
    let behind = standing.verified.iter().rev().map(|verified| &verified.release).take_while(|release| **release != wanted);
    let behind = serving.iter().filter(|serving| **serving != wanted).chain(behind).filter_map(|release| history.release(release).ok());
    if let Some((_, released)) = behind.into_iter().find(|(_, released)| released.irreversible) {
        return Ok(refuse_behind(released, "what it did cannot be taken back: promote a release that mends it", screen));
    }
    if let Some(why) = site.is_served_elsewhere(&history, &standing) {
        return Err(anyhow::anyhow!("`{}`: {why}", environment.name).into());
    }
    let released = history.release(&wanted)?.1.clone();
    // Whoever cannot go back holds nothing.
    site.candidate(&wanted, None).map_err(|error| anyhow::anyhow!(error))?;
    if !is_paused {
        pause(&depot, environment, &arguments.reason, screen)?;
    }
    site.begin(&released, &standing, Cause::Rollback, Some(&arguments.reason), None, screen)
}

/// Ends what is on its way before anything else is gone back to; returns what to exit with where nothing else is wanted, or that could not be.
fn first_back(
    global: &Global,
    project: &Project,
    depot: &Depot,
    environment: &Environment,
    (ongoing, named, reason): (&Ongoing, Option<&String>, &str),
    screen: &mut Screen,
) -> Result<Option<Exit>, Failing> {
    let history = depot.journal.read()?;
    let coming = history.release(&ongoing.started.release).ok().filter(|_| may_turn(ongoing) && ongoing.turned.is_none());
    if let Some((_, released)) = coming.filter(|(_, released)| released.irreversible) {
        let help = format!("`shipway abort {} --reason R` takes it back all the same", environment.name);
        return Ok(Some(refuse_behind(released, &help, screen)));
    }
    pause(depot, environment, reason, screen)?;
    let ended = if may_turn(ongoing) {
        turn_back(global, project, depot, environment, reason, screen)?
    } else {
        let exit = finish(global, project, depot, environment, &ongoing.deployment, screen)?;
        // What was good and is only ended behind, or was told to leave what it was begun to take away, leads nowhere by itself.
        let is_meant = !ongoing.is_verified && ongoing.turned.is_none();
        Some(exit).filter(|exit| is_meant || matches!(exit, Exit::Waiting | Exit::Interrupted(_)))
    };
    let serving = depot.journal.read()?.standing(&environment.name).serves.filter(|serving| serving.is_verified);
    let is_there = named.is_none() || named == serving.as_ref().map(|serving| &serving.release);
    Ok(ended.filter(|exit| *exit != Exit::Passed || is_there))
}

/// Says that no rollback leads behind a release.
fn refuse_behind(released: &Released, help: &str, screen: &mut Screen) -> Exit {
    screen.complain(&format!("{} is irreversible, so no rollback leads behind it", visible(&released.name)), Some(help));
    Exit::Failed
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
    let ongoing = depot.journal.read()?.standing(&environment.name).ongoing;
    if let Some(ongoing) = ongoing.filter(|ongoing| !may_turn(ongoing)) {
        return finish(global, &project, &depot, environment, &ongoing.deployment, screen);
    }
    let exit = turn_back(global, &project, &depot, environment, &arguments.reason, screen)?;
    if exit.is_none() {
        screen.say(&format!("{}: nothing is on its way", environment.name));
    }
    Ok(exit.unwrap_or(Exit::Passed))
}

/// Tells whether a deployment can be told to go back: where it leads back itself, that would lead to what it was begun to take away; and where it
/// was verified, only what served before is still to be ended.
fn may_turn(ongoing: &Ongoing) -> bool {
    ongoing.started.cause == Cause::Promote && !ongoing.is_verified
}

/// Goes on with the deployment of this name to its end.
fn finish(
    global: &Global,
    project: &Project,
    depot: &Depot,
    environment: &Environment,
    name: &str,
    screen: &mut Screen,
) -> Result<Exit, Failing> {
    match take_up(global, project, depot, environment, name, screen)? {
        Ok(site) => with_commit(&site, name, screen, |site, screen| site.go_on(name, depot.journal.read()?, screen)),
        Err(exit) => Ok(exit),
    }
}

/// Tells the deployment that is on its way to go back, and sees to it; `None` where there is none.
fn turn_back(
    global: &Global,
    project: &Project,
    depot: &Depot,
    environment: &Environment,
    reason: &str,
    screen: &mut Screen,
) -> Result<Option<Exit>, Failing> {
    let mut name = None;
    // First of all, so that whoever moves it now goes back by themselves.
    depot.journal.add(Reach::Here, &mut |history| {
        let ongoing = history.standing(&environment.name).ongoing.filter(may_turn);
        name = ongoing.as_ref().map(|ongoing| ongoing.deployment.clone());
        let ongoing = ongoing.filter(|ongoing| ongoing.turned.is_none())?;
        let (environment, reason) = (environment.name.to_string(), reason.to_owned());
        Some(Deed::Turned(Turned { environment, deployment: ongoing.deployment, reason }))
    })?;
    let Some(name) = name else { return Ok(None) };
    depot.tell(screen);
    match take_up(global, project, depot, environment, &name, screen)? {
        Ok(site) => with_commit(&site, &name, screen, |site, screen| site.go_back(&name, depot.journal.read()?, screen)).map(Some),
        Err(exit) => {
            screen.say(&format!("{}: it is told to go back, which whoever holds it does", environment.name));
            Ok(Some(exit))
        }
    }
}

/// Takes up the deployment of this name, as soon as nobody else in this clone moves it; else says which clone has it, and returns what to exit
/// with.
fn take_up<'s>(
    global: &'s Global,
    project: &'s Project,
    depot: &'s Depot,
    environment: &'s Environment,
    name: &str,
    screen: &mut Screen,
) -> Result<Result<Site<'s>, Exit>, Failing> {
    let ongoing = depot.journal.read()?.standing(&environment.name).ongoing;
    if let Some(lease) = ongoing.as_ref().and_then(|ongoing| depot.journal.held_elsewhere(ongoing)) {
        if depot.journal.cut().is_none() {
            screen.say(&locked(environment, lease));
            return Ok(Err(Exit::Waiting));
        }
        // Nobody can be told.
        seize(&depot.journal, &environment.name, name)?;
    }
    let lock = depot.lock_file(&environment.name)?;
    if lock.try_lock().is_err() {
        screen.progress(&format!("{}: waits for the phase that another process does now", environment.name));
        lock.lock().context("the lock of the environment cannot be had")?;
    }
    let head = depot.repository().head()?.ok_or_else(|| anyhow::anyhow!("delivery is done from a commit, and there is none yet"))?;
    Ok(Ok(Site { global, project, depot, environment, head, pace: Pace::Through, revised: None, _lock: Some(lock) }))
}

/// Does something with a deployment as the commit says that it goes by.
fn with_commit(
    site: &Site<'_>,
    name: &str,
    screen: &mut Screen,
    act: impl FnOnce(&Site<'_>, &mut Screen) -> Result<Exit, Failing>,
) -> Result<Exit, Failing> {
    let ongoing = site.depot.journal.read()?.standing(&site.environment.name).ongoing.filter(|ongoing| ongoing.deployment == name);
    let begun = ongoing.map(|ongoing| site.begun_by(&ongoing, screen)).transpose()?.flatten();
    match &begun {
        Some(begun) => act(&begun.site(site)?, screen),
        None => act(site, screen),
    }
}
