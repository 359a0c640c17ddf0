//! `unlock`: another clone may go on with what one has left.

use super::deploy::{Reasoned, find};
use super::depot::Depot;
use super::failing::Failing;
use super::flags::Global;
use super::project::Project;
use super::screen::Screen;
use super::site::holder;
use crate::ledger::entry::{Deed, Unlocked};
use crate::ledger::shared::Reach;
use crate::model::outcome::Exit;

/// Breaks the lease of whoever moves a deployment into the environment.
pub(super) fn unlock(global: &Global, arguments: &Reasoned, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let name = &find(&project, &arguments.environment)?.name;
    if !depot.journal.is_shared() {
        screen.say(&format!("{name}: nothing to unlock: without `[delivery] share`, the lock of this repository ends with its process"));
        return Ok(Exit::Passed);
    }
    // Whether anything is held is not known without the others.
    if let Some(error) = depot.journal.cut() {
        return Err(error.into());
    }
    let mut broken = None;
    depot.journal.add(Reach::All, &mut |history| {
        let ongoing = history.standing(name).ongoing;
        broken = ongoing.as_ref().and_then(|ongoing| ongoing.lease.clone());
        let deployment = ongoing.filter(|_| broken.is_some())?.deployment;
        Some(Deed::Unlocked(Unlocked { environment: name.to_string(), deployment, reason: arguments.reason.clone() }))
    })?;
    screen.say(&match broken {
        Some(lease) => {
            let ways = format!("`shipway promote {name}` goes on, `shipway abort {name} --reason R` goes back");
            format!("{name}: unlocked; it was {}; {ways}", holder(&lease))
        }
        None => format!("{name}: nothing is held there"),
    });
    Ok(Exit::Passed)
}
