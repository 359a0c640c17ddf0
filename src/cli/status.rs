//! `status` and `log`: what is where, and what was done.

use clap::Args;
use serde_json::{Value, json};

use super::deploy::find;
use super::depot::Depot;
use super::failing::Failing;
use super::flags::{Format, Global};
use super::project::Project;
use super::screen::Screen;
use super::site::{Site, holder, in_slot, name_of};
use super::supervised::place;
use crate::base::text::visible;
use crate::delivery::drift::Drift;
use crate::delivery::rollout::{Wait, picture};
use crate::delivery::staff::Pace;
use crate::ledger::entry::short;
use crate::ledger::history::{History, Recorded};
use crate::ledger::standing::Standing;
use crate::model::environment::Environment;
use crate::model::outcome::Exit;
use crate::model::target::Kind;

/// The flags of `status`.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// Only of this environment
    #[arg(value_name = "ENV")]
    environment: Option<String>,
    /// Ask each target whether what serves is what the record says; exit code 1 where it is not
    #[arg(long)]
    drift: bool,
    /// For people, or one JSON object
    #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// The flags of `log`.
#[derive(Debug, Args)]
pub(super) struct Log {
    /// Only what is about this environment
    #[arg(value_name = "ENV")]
    environment: Option<String>,
    /// Only so many, of the newest
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
    /// For people, or one JSON object a line
    #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Shows what serves in each environment.
pub(super) fn status(global: &Global, arguments: &Status, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let environments = match &arguments.environment {
        Some(name) => vec![find(&project, name)?],
        None => project.pipeline.delivery.environments.iter().collect(),
    };
    let history = depot.journal.read()?;
    let mut looks = Vec::new();
    for environment in environments {
        let standing = history.standing(&environment.name);
        match seen(global, &project, &depot, environment, &standing, arguments.drift, screen)? {
            Ok(drift) => looks.push((environment, standing, drift)),
            Err(exit) => return Ok(exit),
        }
    }
    show(&history, &looks, arguments.format, screen);
    let has_drifted = looks.iter().any(|(.., drift)| matches!(drift, Some(Drift::Drifted { .. })));
    Ok(if has_drifted && arguments.drift { Exit::Failed } else { Exit::Passed })
}

/// How an environment stands, and what its target says where that was asked, or is another thing.
type Look<'l> = (&'l Environment, Standing, Option<Drift>);

fn show(history: &History, looks: &[Look<'_>], format: Format, screen: &mut Screen) {
    if format == Format::Json {
        let environments: Vec<Value> = looks.iter().map(|look| object(history, look)).collect();
        screen.print(&format!("{}\n", json!({ "environments": environments })));
        return;
    }
    if looks.is_empty() {
        screen.print("the pipeline has no environments\n");
    }
    let width = looks.iter().map(|(environment, ..)| environment.name.len()).max().unwrap_or(0);
    for (environment, standing, drift) in looks {
        let name = screen.out_theme.strong(&format!("{:<width$}", environment.name));
        let mut words = describe(history, standing, environment, matches!(drift, Some(Drift::Drifted { .. })));
        words.extend(history.open_incidents(&environment.name).iter().map(|incident| {
            let since = incident.opened.strftime("%Y-%m-%d %H:%M:%SZ");
            format!("incident {} since {since}: {}", short(&incident.id), visible(&incident.reason))
        }));
        words.extend(drift.as_ref().map(Drift::to_string));
        screen.show(&format!("{name}  {}\n", words.join("; ")));
    }
}

/// Returns what the target of an environment says where that is asked. Where a link leads, and what a supervisor of this machine does, costs
/// nothing to see, so it is said without being asked where that is another thing. Or returns what to exit with, where it was interrupted.
fn seen(
    global: &Global,
    project: &Project,
    depot: &Depot,
    environment: &Environment,
    standing: &Standing,
    is_asked: bool,
    screen: &mut Screen,
) -> Result<Result<Option<Drift>, Exit>, Failing> {
    let is_free = match project.pipeline.delivery.target_of(environment).kind {
        Kind::Directory(_) => true,
        Kind::Process(_) => place(&depot.folder()?, environment, None).is_kept(),
        Kind::Command(_) | Kind::Flag(_) => false,
    };
    if is_asked {
        return Ok(drift(global, project, depot, environment, standing, screen)?.map(Some));
    }
    let seen = is_free.then(|| drift(global, project, depot, environment, standing, screen));
    // What cannot be seen is no reason not to say what is recorded.
    Ok(Ok(seen.and_then(Result::ok).and_then(Result::ok).filter(|drift| matches!(drift, Drift::Drifted { .. }))))
}

/// Asks the target of an environment; or returns what to exit with, where that was interrupted.
fn drift(
    global: &Global,
    project: &Project,
    depot: &Depot,
    environment: &Environment,
    standing: &Standing,
    screen: &mut Screen,
) -> Result<Result<Drift, Exit>, Failing> {
    let Some(head) = depot.repository().head()? else { return Ok(Ok(Drift::unknown("there is no commit yet"))) };
    let site = Site { global, project, depot, environment, head, pace: Pace::Due, revised: None, _lock: None };
    site.drift(&depot.journal.read()?, standing, screen)
}

/// Returns how an environment stands, in words; where it has drifted, what was verified is only what the record says.
fn describe(history: &History, standing: &Standing, environment: &Environment, has_drifted: bool) -> Vec<String> {
    let mut words = Vec::new();
    match (&standing.lost, &standing.serves) {
        (Some(reason), _) => words.push(format!("not known: {}", visible(reason))),
        (None, Some(serving)) => {
            let verified = match serving.is_verified {
                _ if has_drifted => "by the record",
                true => "verified",
                false => "not verified",
            };
            words.push(format!(
                "{}{} since {}, {verified}",
                name_of(history, &serving.release),
                in_slot(serving.slot.as_deref()),
                serving.since.strftime("%Y-%m-%d %H:%M:%SZ")
            ));
        }
        (None, None) => words.push("nothing".to_owned()),
    }
    if let Some(ongoing) = &standing.ongoing {
        let way = if ongoing.turned.is_some() { "is taken back" } else { "is on its way" };
        let held = ongoing.lease.as_ref().map(|lease| format!(", {}", holder(lease))).unwrap_or_default();
        let slot = in_slot(ongoing.started.slot.as_deref());
        words.push(format!("{}{slot} {way}{held}", name_of(history, &ongoing.started.release)));
        if let Some(share) = ongoing.share.as_ref().filter(|_| ongoing.turned.is_none() && environment.rollout.weights.len() > 1) {
            words.push(picture(&environment.rollout.weights, Some(share)));
        }
    }
    if let Some(kept) = &standing.kept {
        let before = kept.deployment.started.before.as_deref().unwrap_or_default();
        words.push(format!("{} is kept {}", name_of(history, before), Wait::Until(kept.until)));
    }
    if let Some((reason, actor, _)) = &standing.paused {
        words.push(format!("paused by {}: {}", visible(&actor.name), visible(reason)));
    }
    words
}

fn object(history: &History, (environment, standing, drift): &Look<'_>) -> Value {
    let name = &*environment.name;
    let release = |id: &str| json!({ "id": id, "name": name_of(history, id) });
    let mut object = json!({
        "environment": name,
        "release": standing.serves.as_ref().map(|serving| release(&serving.release)),
        "slot": standing.serves.as_ref().and_then(|serving| serving.slot.as_deref()),
        "since": standing.serves.as_ref().map(|serving| serving.since.to_string()),
        "verified": standing.serves.as_ref().is_some_and(|serving| {
            standing.shows(&serving.release) && !matches!(drift, Some(Drift::Drifted { .. }))
        }),
        "ongoing": standing.ongoing.as_ref().map(|ongoing| json!({
            "deployment": ongoing.deployment,
            "release": release(&ongoing.started.release),
            "slot": ongoing.started.slot,
            "weight": ongoing.share.as_ref().filter(|_| ongoing.turned.is_none()).map(|share| share.weight),
            "since": ongoing.since.to_string(),
            "actor": ongoing.actor,
            "held": ongoing.lease.as_ref().map(|lease| json!({ "actor": lease.actor, "until": lease.until.to_string() })),
            "back": ongoing.turned.as_ref().map(|back| &back.reason),
        })),
        "kept": standing.kept.as_ref().map(|kept| json!({
            "release": kept.deployment.started.before.as_deref().map(release),
            "slot": kept.deployment.started.before_slot,
            "until": kept.until.to_string(),
        })),
        "paused": standing.paused.as_ref().map(|(reason, actor, at)| json!({ "reason": reason, "actor": actor, "at": at.to_string() })),
        "lost": standing.lost,
        "incidents": history.open_incidents(name).iter().map(|incident| json!({
            "id": incident.id,
            "deployment": incident.deployment,
            "reason": incident.reason,
            "actor": incident.actor,
            "at": incident.opened.to_string(),
        })).collect::<Vec<_>>(),
    });
    if let Some(drift) = drift {
        object["drift"] = json!(drift);
    }
    object
}

/// Shows what was done, the newest first.
pub(super) fn log(global: &Global, arguments: &Log, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let history = Depot::open(&project, screen)?.journal.read()?;
    let is_meant =
        |recorded: &&Recorded| arguments.environment.as_deref().is_none_or(|name| recorded.entry.deed.environment() == Some(name));
    if let Some(name) = &arguments.environment
        && !history.entries.iter().any(|recorded| is_meant(&recorded))
    {
        // One that the file has no more may have been there once.
        find(&project, name)?;
    }
    for recorded in history.entries.iter().rev().filter(is_meant).take(arguments.limit.unwrap_or(usize::MAX)) {
        let entry = &recorded.entry;
        if arguments.format == Format::Json {
            let mut object = serde_json::to_value(entry).unwrap_or_default();
            object["commit_of_entry"] = json!(recorded.name);
            screen.print(&format!("{object}\n"));
            continue;
        }
        let at = entry.at.strftime("%Y-%m-%d %H:%M:%SZ");
        screen.show(&format!("{}  {at}  {}  {}\n", short(&recorded.name), visible(&entry.actor.name), visible(&entry.deed.to_string())));
    }
    Ok(Exit::Passed)
}
