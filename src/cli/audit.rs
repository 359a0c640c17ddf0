//! `audit` and `metrics`: whether the record can be believed, and what it says of how delivery goes.

use std::time::Duration;

use clap::Args;
use jiff::{Timestamp, ToSpan};
use serde_json::json;

use super::depot::Depot;
use super::failing::Failing;
use super::flags::{Format, Global, read_duration};
use super::project::Project;
use super::screen::Screen;
use crate::base::digest::Hash;
use crate::base::duration::show;
use crate::base::text::{count, visible};
use crate::delivery::approval::is_whole;
use crate::delivery::metrics::{Metrics, measure};
use crate::ledger::entry::short;
use crate::model::delivery::Delivery;
use crate::model::outcome::Exit;

/// The flags of `audit`.
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// For people, or one JSON object
    #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// The flags of `metrics`.
#[derive(Debug, Args)]
pub(super) struct Measure {
    /// Only of the last so long: 30d, 2w, 12h
    #[arg(long, value_name = "D", value_parser = read_duration)]
    since: Option<Duration>,
    /// For people, or one JSON object
    #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Checks the record: that it is whole, that what is signed was signed as it stands there, that the bytes of releases are those that were released.
pub(super) fn audit(global: &Global, arguments: &Audit, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    // What cannot be read as a whole is an error of its own.
    let history = depot.journal.read()?;
    depot.repository().check_chain(crate::ledger::shared::LEDGER)?;
    let mut troubles = Vec::new();
    let (mut signatures, mut contents) = (0, 0);
    for recorded in &history.entries {
        let Some((signed, agrees)) = recorded.entry.deed.signed() else { continue };
        signatures += 1;
        if let Err(why) = is_whole(signed, agrees) {
            troubles.push(format!("entry {}: its signature counts for nothing: {why}", short(&recorded.name)));
        }
    }
    for (_, released) in history.releases() {
        let id = Hash::parse(&released.release);
        let manifest = id.map(|id| depot.vault.manifest(&id));
        let artifacts = match manifest {
            Some(Ok(manifest)) => manifest.artifacts,
            Some(Err(error)) => {
                troubles.push(format!("{}: {error}", visible(&released.name)));
                continue;
            }
            None => {
                troubles.push(format!("`{}` is no id of a release", visible(&released.release)));
                continue;
            }
        };
        if released.evidence.is_some() {
            contents += 1;
            if let Err(error) = depot.evidence(released) {
                troubles.push(format!("{}: {error}", visible(&released.name)));
            }
        }
        for (artifact, digest) in artifacts.iter().filter_map(|artifact| Some((artifact, artifact.digest()?))) {
            contents += 1;
            if let Err(error) = depot.vault.open_verified(&artifact.name, &digest) {
                troubles.push(format!("{}: {error}", visible(&released.name)));
            }
        }
    }
    if arguments.format == Format::Json {
        let object = json!({ "entries": history.entries.len(), "signatures": signatures, "contents": contents, "troubles": troubles });
        screen.print(&format!("{object}\n"));
    } else {
        let looked = [count(history.entries.len(), "deed"), count(signatures, "signature"), count(contents, "content")];
        screen.print(&format!("looked at {}\n", looked.join(", ")));
        troubles.iter().for_each(|trouble| screen.complain(trouble, None));
    }
    Ok(if troubles.is_empty() { Exit::Passed } else { Exit::Failed })
}

/// Returns the environments to which no other comes after: those that users see.
fn last(delivery: &Delivery) -> Vec<String> {
    let is_before = |name: &str| {
        delivery.environments.iter().any(|other| other.admission.from.iter().any(|id| *delivery.environment(*id).name == *name))
    };
    delivery.environments.iter().map(|environment| environment.name.to_string()).filter(|name| !is_before(name)).collect()
}

/// Measures how delivery goes.
pub(super) fn metrics(global: &Global, arguments: &Measure, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let history = depot.journal.read()?;
    let now = Timestamp::now();
    let back = |since: Duration| i64::try_from(since.as_millis()).ok().and_then(|span| now.checked_sub(span.milliseconds()).ok());
    let commits = |before: Option<&str>, commit: &str| depot.repository().written(before, commit).unwrap_or_default();
    let metrics = measure(&history, &last(&project.pipeline.delivery), arguments.since.and_then(back), now, &commits);
    if arguments.format == Format::Json {
        let object = serde_json::to_value(&metrics).unwrap_or_default();
        screen.print(&format!("{object}\n"));
    } else {
        describe(&metrics).iter().for_each(|line| screen.show(&format!("{line}\n")));
    }
    Ok(Exit::Passed)
}

/// Returns the measures in words.
fn describe(metrics: &Metrics) -> Vec<String> {
    let none = || "not known: nothing to measure".to_owned();
    let shown = |seconds: u64| if seconds == 0 { "under 1s".to_owned() } else { show(Duration::from_secs(seconds)) };
    let time = |seconds: Option<i64>| seconds.map_or_else(none, |seconds| shown(seconds.unsigned_abs()));
    let share = |share: Option<f64>| share.map_or_else(none, |share| format!("{:.0} %", share * 100.0));
    let often =
        metrics.deployments_per_day.map_or_else(none, |often| format!("{often:.2} a day ({})", count(metrics.deployments, "deployment")));
    vec![
        format!("environments           {}", metrics.environments.join(", ")),
        format!("deployment frequency   {often}"),
        format!("change lead time       {}  from a commit until it was verified there", time(metrics.lead_time_seconds)),
        format!("change fail rate       {}  were taken back, or had an incident", share(metrics.change_fail_rate)),
        format!("recovery time          {}  from a failure until it was over", time(metrics.recovery_seconds)),
        format!("rework rate            {}  were made because something had failed", share(metrics.rework_rate)),
    ]
}
