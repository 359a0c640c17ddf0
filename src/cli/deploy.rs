//! `plan`, `approve`, `promote`, `settle`, `pause`, `resume`: what moves releases through environments, and what holds them.

use std::fs::File;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::choice::{choose, is_due};
use super::course::{self, read_page};
use super::depot::Depot;
use super::failing::Failing;
use super::flags::Global;
use super::project::Project;
use super::screen::Screen;
use super::site::{Site, locked, name_of};
use crate::base::nearest;
use crate::base::text::visible;
use crate::delivery::hold::reach;
use crate::delivery::staff::Pace;
use crate::git::state::Head;
use crate::ledger::entry::{Cause, Deed, Hold};
use crate::ledger::history::History;
use crate::ledger::shared::Reach;
use crate::ledger::standing::{Kept, Standing};
use crate::model::environment::Environment;
use crate::model::outcome::Exit;

/// The flags of `promote`.
#[derive(Debug, Args)]
pub(super) struct Promote {
    /// Where to
    #[arg(value_name = "ENV")]
    environment: String,
    /// Which release: its id, the beginning of that, or its name; without it, the newest that is available
    #[arg(value_name = "RELEASE")]
    release: Option<String>,
    /// Make one move, a share of the traffic and what belongs to it, then exit with 75
    #[arg(long)]
    step: bool,
    /// Go on where the target does not serve what it should, and record what it serves
    #[arg(long)]
    accept_drift: bool,
    /// Write a page about the deployment, whatever became of it: html=PATH
    #[arg(long, value_name = "html=PATH", value_parser = read_page)]
    report: Option<PathBuf>,
}

/// What is to come into an environment.
#[derive(Debug, Clone, Copy)]
struct Wish<'w> {
    /// Which release; without it, the newest that is available.
    release: Option<&'w str>,
    /// How far it is brought now.
    pace: Pace,
    /// Whether it comes in where something else serves than should.
    accepts_drift: bool,
}

/// What automation wishes.
const DUE: Wish<'static> = Wish { release: None, pace: Pace::Due, accepts_drift: false };

/// The flags of `abort`, `pause`, `resume` and `unlock`.
#[derive(Debug, Args)]
pub(super) struct Reasoned {
    /// Where
    #[arg(value_name = "ENV")]
    pub(super) environment: String,
    /// Why, for the record
    #[arg(long, value_name = "REASON")]
    pub(super) reason: String,
}

/// Brings a release into an environment, and then into those that take it by themselves.
pub(super) fn promote(global: &Global, arguments: &Promote, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let environment = find(&project, &arguments.environment)?;
    let pace = if arguments.step { Pace::Step } else { Pace::Through };
    let wish = Wish { release: arguments.release.as_deref(), pace, accepts_drift: arguments.accept_drift };
    let ended = end_kept(global, &project, &depot, environment, screen)?;
    if !matches!(ended, Exit::Passed | Exit::Waiting) {
        return Ok(ended);
    }
    let exit = bring(global, &project, &depot, environment, wish, screen)?;
    let exit = if exit == Exit::Passed { settle_all(global, &project, &depot, screen) } else { exit };
    // Last of all: what it does to the tree is no matter for this command.
    Ok(match &arguments.report {
        Some(path) => course::leave(&project, &depot, &environment.name, path, exit, screen),
        None => exit,
    })
}

/// Ends what was kept in an environment, if that is due.
fn end_kept(global: &Global, project: &Project, depot: &Depot, environment: &Environment, screen: &mut Screen) -> Result<Exit, Failing> {
    if !is_kept_too_long(&depot.journal.read()?, environment) {
        return Ok(Exit::Passed);
    }
    let head = clean_head(depot)?;
    let Some(lock) = take_lock(depot, environment, &depot.journal.read()?, screen)? else { return Ok(Exit::Waiting) };
    let site = Site { global, project, depot, environment, head, pace: Pace::Due, revised: None, _lock: Some(lock) };
    let history = depot.journal.read()?;
    let kept = history.standing(&environment.name).kept.filter(|kept| kept.until <= Timestamp::now());
    let Some(Kept { deployment, .. }) = kept else { return Ok(Exit::Passed) };
    let before = deployment.started.before.as_deref().unwrap_or_default();
    screen.say(&format!("{}: {} is not kept any longer", environment.name, name_of(&history, before)));
    let begun = site.begun_by(&deployment, screen)?;
    let site = match &begun {
        Some(begun) => &begun.site(&site)?,
        None => &site,
    };
    site.go_on(&deployment.deployment, history, screen)
}

fn is_kept_too_long(history: &History, environment: &Environment) -> bool {
    history.standing(&environment.name).kept.is_some_and(|kept| kept.until <= Timestamp::now())
}

/// Brings a release into an environment, or goes on with what was begun there.
fn bring(
    global: &Global,
    project: &Project,
    depot: &Depot,
    environment: &Environment,
    wish: Wish<'_>,
    screen: &mut Screen,
) -> Result<Exit, Failing> {
    let head = clean_head(depot)?;
    let history = depot.journal.read()?;
    let Some(lock) = take_lock(depot, environment, &history, screen)? else { return Ok(Exit::Waiting) };
    let site = Site { global, project, depot, environment, head, pace: wish.pace, revised: None, _lock: Some(lock) };
    let history = depot.journal.read()?;
    let named = wish.release.map(|text| history.release(text).map(|(_, released)| released.release.clone())).transpose()?;
    let standing = history.standing(&environment.name);
    if let Some(lease) = standing.ongoing.as_ref().and_then(|ongoing| depot.journal.held_elsewhere(ongoing)) {
        screen.say(&locked(environment, lease));
        return Ok(Exit::Waiting);
    }
    // The way back does not wait for others, the way forward does.
    let is_way_back = standing.ongoing.as_ref().is_some_and(|ongoing| reach(ongoing) == Reach::Here);
    if let Some(error) = depot.journal.cut().filter(|_| !is_way_back) {
        return Err(error.into());
    }
    if let Some(ongoing) = &standing.ongoing {
        screen.progress(&format!("{}: going on with what was begun: {}", environment.name, name_of(&history, &ongoing.started.release)));
        let begun = site.begun_by(ongoing, screen)?;
        let exit = match &begun {
            Some(begun) => begun.site(&site)?.go_on(&ongoing.deployment, history, screen)?,
            None => site.go_on(&ongoing.deployment, history, screen)?,
        };
        let is_other = named.is_some_and(|named| named != ongoing.started.release);
        if !is_other || !matches!(exit, Exit::Passed | Exit::RolledBack | Exit::Failed) {
            return Ok(exit);
        }
        // What was asked for is still to come.
        drop((begun, site));
        return bring(global, project, depot, environment, wish, screen);
    }
    // Whoever names a release knows what they do; automation names none.
    if let Some((reason, actor, _)) = standing.paused.as_ref().filter(|_| wish.release.is_none()) {
        let (who, name) = (visible(&actor.name), &environment.name);
        let ways = format!("`shipway resume {name} --reason R` ends that, and whoever names a release need not wait");
        screen.say(&format!("{name}: waits: paused by {who}: {}: {ways}", visible(reason)));
        return Ok(Exit::Waiting);
    }
    bring_in(&site, &history, &standing, wish, screen)
}

/// Brings a release into an environment into which none is on its way.
fn bring_in(site: &Site<'_>, history: &History, standing: &Standing, wish: Wish<'_>, screen: &mut Screen) -> Result<Exit, Failing> {
    let released = match choose(site, history, wish.release, false, screen)? {
        Ok(released) => released,
        Err(exit) => return Ok(exit),
    };
    site.say_moved(history, standing, screen);
    if standing.shows(&released.release) && !site.is_moved(standing) {
        match site.accept_drift(history, standing, wish.accepts_drift, screen)? {
            Ok(Some(_)) => {}
            // What does not run is brought there again.
            Ok(None) if site.is_only_down(standing) => {}
            Ok(None) => {
                screen.say(&format!("{}: {} serves there already, verified", site.environment.name, visible(&released.name)));
                return Ok(Exit::Passed);
            }
            Err(exit) => return Ok(exit),
        }
    }
    let approved = site.approved(history, &released, "promote", screen)?;
    let site = match &approved {
        Some(approved) => &approved.site(site)?,
        None => site,
    };
    let accepted_drift = match site.accept_drift(history, standing, wish.accepts_drift, screen)? {
        Ok(accepted) => accepted,
        Err(exit) => return Ok(exit),
    };
    if let Some(exit) = site.refuse(history, &released, screen)? {
        return Ok(exit);
    }
    site.begin(&released, standing, Cause::Promote, None, accepted_drift, screen)
}

/// The flags of `settle`.
#[derive(Debug, Args)]
pub(super) struct Settle {
    /// Only there
    #[arg(value_name = "ENV")]
    environment: Option<String>,
}

/// Does all that is due: what was begun and not ended, and what comes in by itself.
pub(super) fn settle(global: &Global, arguments: &Settle, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let Some(name) = &arguments.environment else { return Ok(settle_all(global, &project, &depot, screen)) };
    let environment = find(&project, name)?;
    let ended = end_kept(global, &project, &depot, environment, screen)?;
    let is_due = ended == Exit::Passed && is_due(&project, &depot.journal.read()?, environment);
    if is_due { bring(global, &project, &depot, environment, DUE, screen) } else { Ok(ended) }
}

/// The same for all environments, in the order of the file, until there is nothing more: what is verified in one may be due in the next. One that
/// does not pass keeps no other from what is due there; what is returned is what the first of these ended with.
pub(super) fn settle_all(global: &Global, project: &Project, depot: &Depot, screen: &mut Screen) -> Exit {
    let environments = &project.pipeline.delivery.environments;
    // Whatever did not pass is not tried again.
    let mut stopped: Vec<(&str, Exit)> = Vec::new();
    for _ in environments {
        let mut has_moved = false;
        for environment in environments {
            if stopped.iter().any(|(name, _)| *name == &*environment.name) {
                continue;
            }
            let done = end_kept(global, project, depot, environment, screen).and_then(|ended| {
                let goes_on = matches!(ended, Exit::Passed | Exit::Waiting) && is_due(project, &depot.journal.read()?, environment);
                if goes_on {
                    bring(global, project, depot, environment, DUE, screen).map(Some)
                } else {
                    Ok(Some(ended).filter(|ended| *ended != Exit::Passed))
                }
            });
            match done.unwrap_or_else(|failing| Some(screen.explain(failing))) {
                None | Some(Exit::Waiting) => {}
                Some(Exit::Passed) => has_moved = true,
                Some(interrupted @ Exit::Interrupted(_)) => return interrupted,
                Some(exit) => stopped.push((&environment.name, exit)),
            }
        }
        if !has_moved {
            break;
        }
    }
    stopped.first().map_or(Exit::Passed, |(_, exit)| *exit)
}

/// Holds an environment, or lets it go on.
pub(super) fn hold(global: &Global, arguments: &Reasoned, pauses: bool, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let environment = find(&project, &arguments.environment)?;
    let hold = Hold { environment: environment.name.to_string(), reason: arguments.reason.clone() };
    let deed = if pauses { Deed::Paused(hold) } else { Deed::Resumed(hold) };
    let mut was_so = false;
    depot.journal.add(Reach::Most, &mut |history| {
        let standing = history.standing(&environment.name);
        // One that waits for a word waits for it though nobody has paused anything.
        let waits = standing.ongoing.is_some_and(|ongoing| ongoing.share.is_some_and(|share| share.weight < 100 && !share.is_resumed));
        was_so = standing.paused.is_some() == pauses && (pauses || !waits);
        (!was_so).then(|| deed.clone())
    })?;
    depot.tell(screen);
    let word = if pauses { "paused" } else { "resumed" };
    screen.say(&format!("{}: {}{word}", environment.name, if was_so { "already " } else { "" }));
    Ok(Exit::Passed)
}

/// Returns the environment of this name.
pub(super) fn find<'p>(project: &'p Project, name: &str) -> Result<&'p Environment, Failing> {
    let delivery = &project.pipeline.delivery;
    delivery.named(name).ok_or_else(|| {
        let help = nearest::help("an environment", name, delivery.environments.iter().map(|environment| &*environment.name));
        let help = help.unwrap_or_else(|| "declare it: [environments.NAME] with its `target`".to_owned());
        Failing::usage_with_help(format!("there is no environment `{}`", visible(name)), help)
    })
}

/// Returns the commit whose pipeline and scripts say how: what is checked out, and nothing else lies there.
pub(super) fn clean_head(depot: &Depot) -> Result<Head, Failing> {
    let repository = depot.repository();
    let head = repository.head()?.ok_or_else(|| anyhow::anyhow!("delivery is done from a commit, and there is none yet"))?;
    match repository.dirt()? {
        None => Ok(head),
        Some(dirt) => {
            let help = "commit it, or put what does not belong to the project into .gitignore";
            Err(anyhow::anyhow!("delivery is done as a commit says, and {dirt}\n  help: {help}").into())
        }
    }
}

/// Makes this process the only one here that moves releases into the environment; `None` where another one does.
pub(super) fn take_lock(depot: &Depot, environment: &Environment, history: &History, screen: &mut Screen) -> Result<Option<File>, Failing> {
    let lock = depot.lock(&environment.name)?;
    if lock.is_none() {
        let holder = history.standing(&environment.name).ongoing.map(|ongoing| {
            let actor = &ongoing.actor;
            format!(", begun by {} <{}> on {}", visible(&actor.name), visible(&actor.email), visible(&actor.host))
        });
        screen.say(&format!("{}: locked: another process moves a release there{}", environment.name, holder.unwrap_or_default()));
    }
    Ok(lock)
}
