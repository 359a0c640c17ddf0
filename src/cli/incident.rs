//! `incident`: failures that users felt, linked to the deployments that brought them.

use clap::{Args, Subcommand};

use super::deploy::{Reasoned, find};
use super::depot::Depot;
use super::failing::Failing;
use super::flags::Global;
use super::project::Project;
use super::screen::Screen;
use crate::base::text::visible;
use crate::ledger::entry::{Deed, short};
use crate::ledger::incident::{Closed, Opened};
use crate::ledger::incidents::NotFound;
use crate::ledger::shared::Reach;
use crate::model::outcome::Exit;

/// The flags of `incident`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say that something fails in an environment, and print the incident's name
    Open(Open),
    /// Say that it does not fail any more
    Close(Close),
}

/// The flags of `incident open`.
#[derive(Debug, Args)]
struct Open {
    #[command(flatten)]
    where_and_why: Reasoned,
    /// Which deployment brought it, by its entry in the log; without it, the one that brought what serves there now
    #[arg(long, value_name = "ID")]
    deployment: Option<String>,
}

/// The flags of `incident close`.
#[derive(Debug, Args)]
struct Close {
    /// Which incident: its name, or the beginning of that
    #[arg(value_name = "ID")]
    incident: String,
    /// What ended it, for the record
    #[arg(long, value_name = "REASON")]
    reason: String,
}

/// Opens or closes an incident.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let exit = match &arguments.command {
        Command::Open(arguments) => open(&project, &depot, arguments, screen)?,
        Command::Close(arguments) => close(&depot, arguments, screen)?,
    };
    depot.tell(screen);
    Ok(exit)
}

fn open(project: &Project, depot: &Depot, arguments: &Open, screen: &mut Screen) -> Result<Exit, Failing> {
    let Reasoned { environment, reason } = &arguments.where_and_why;
    let environment = find(project, environment)?.name.to_string();
    let history = depot.journal.read()?;
    let deployment = match &arguments.deployment {
        Some(text) => Some(history.deployment(&environment, text)?),
        None => history.serving_deployment(&environment),
    };
    let Some(deployment) = deployment else {
        screen.complain(&format!("nothing serves in `{environment}`"), Some("name the deployment: --deployment ID, from `shipway log`"));
        return Ok(Exit::Failed);
    };
    let deed = Deed::IncidentOpened(Opened { environment, deployment, reason: reason.clone() });
    let history = depot.journal.add(Reach::Most, &mut |_| Some(deed.clone()))?;
    let ours = history.entries.iter().rev().find(|recorded| recorded.entry.deed == deed);
    screen.print(&format!("{}\n", ours.map_or("", |recorded| short(&recorded.digest))));
    Ok(Exit::Passed)
}

fn close(depot: &Depot, arguments: &Close, screen: &mut Screen) -> Result<Exit, Failing> {
    let incident = depot.journal.read()?.incident(&arguments.incident)?;
    let closed = Closed { environment: incident.environment.clone(), incident: incident.id.clone(), reason: arguments.reason.clone() };
    let mut was_open = false;
    depot.journal.add(Reach::Most, &mut |history| {
        was_open = history.open_incidents(&incident.environment).iter().any(|open| open.id == incident.id);
        was_open.then(|| Deed::IncidentClosed(closed.clone()))
    })?;
    let word = if was_open { "closed" } else { "already closed" };
    screen.say(&format!("{}: incident {} {word}: {}", incident.environment, short(&incident.id), visible(&incident.reason)));
    Ok(Exit::Passed)
}

impl From<NotFound> for Failing {
    fn from(error: NotFound) -> Self {
        let help = "`shipway log` lists them by the names of their entries; `shipway status` names the incidents that are open";
        Self::usage_with_help(visible(&error.to_string()).into_owned(), help)
    }
}
