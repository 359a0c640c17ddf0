//! How well delivery goes: the five measures of DORA (dora.dev), from the ledger alone.
//!
//! A deployment counts where it brought, or tried to bring, a new release to users: from the moment at which it could have got traffic.
//!
//! - Deployment frequency: deployments a day.
//! - Change lead time: from the writing of a commit until a deployment that has it was verified; the middle of all commits.
//! - Change fail rate: the share of deployments that were taken back, by themselves or by a rollback, or have an incident.
//! - Recovery time: from the opening of a failed deployment's first incident until the last was closed; without incidents, from the moment at
//!   which it was told to go back until something verified served again. The middle of all that are over.
//! - Rework rate: the share of deployments that nobody had planned: begun while an incident was open, or after one that was taken back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::ledger::entry::{Cause, Deed, Ending, Phase, Started};
use crate::ledger::history::History;
use crate::ledger::incidents::Incident;

/// The five measures of some environments, over some time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// The environments that were looked at.
    pub environments: Vec<String>,
    /// From when on.
    pub since: Option<Timestamp>,
    /// How many deployments there were.
    pub deployments: usize,
    /// How many of them a day.
    pub deployments_per_day: Option<f64>,
    /// From the writing of a commit until it served, the middle of all commits that were deployed, in seconds.
    pub lead_time_seconds: Option<i64>,
    /// The share of deployments that failed.
    pub change_fail_rate: Option<f64>,
    /// From a failure until it was over, the middle, in seconds.
    pub recovery_seconds: Option<i64>,
    /// The share of deployments that were made only because something had failed.
    pub rework_rate: Option<f64>,
}

/// A deployment, as the measures see it.
#[derive(Debug)]
struct Deployment {
    started: Started,
    at: Timestamp,
    /// Whether it could have got traffic.
    was_shifted: bool,
    ended: Option<(Ending, Timestamp)>,
    /// When it was told to go back, or what it brought began to be taken back.
    turned: Option<Timestamp>,
    incidents: Vec<Incident>,
}

impl Deployment {
    /// Tells whether it is one that counts.
    fn counts(&self) -> bool {
        self.started.cause == Cause::Promote && self.was_shifted
    }

    /// Returns when it failed, if it did.
    fn failed(&self) -> Option<Timestamp> {
        self.incidents.iter().map(|incident| incident.opened).chain(self.turned).min()
    }

    /// Returns when something verified served, where that was because of it.
    fn good(&self) -> Option<Timestamp> {
        self.ended.filter(|(ending, _)| matches!(ending, Ending::Verified | Ending::RolledBack)).map(|(_, at)| at)
    }
}

/// What was counted so far.
#[derive(Debug, Default)]
struct Tally {
    counted: usize,
    failed: usize,
    rework: usize,
    lead_times: Vec<i64>,
    recoveries: Vec<i64>,
    /// When the first began that was counted.
    first: Option<Timestamp>,
}

/// Measures the deployments into `environments` since then. `commits` returns when the commits were written that are in the second commit and
/// not in the first, in seconds since 1970.
pub fn measure(
    history: &History,
    environments: &[String],
    since: Option<Timestamp>,
    now: Timestamp,
    commits: &dyn Fn(Option<&str>, &str) -> Vec<i64>,
) -> Metrics {
    let mut tally = Tally::default();
    for environment in environments {
        let all = deployments(history, environment);
        let mut before: Option<&str> = None;
        for (place, deployment) in all.iter().enumerate().filter(|(_, deployment)| deployment.counts()) {
            let is_meant = since.is_none_or(|since| deployment.at >= since);
            if is_meant {
                tally.count(&all, place);
            }
            if let Some((Ending::Verified, at)) = deployment.ended {
                let commit = release_commit(history, &deployment.started.release);
                if is_meant && let Some(commit) = &commit {
                    tally.lead_times.extend(commits(before, commit).iter().map(|written| at.as_second() - written));
                }
                before = commit.or(before);
            }
        }
    }
    tally.metrics(environments, since, now)
}

impl Tally {
    /// Counts the deployment at `place` among all into its environment.
    fn count(&mut self, all: &[Deployment], place: usize) {
        let deployment = &all[place];
        self.counted += 1;
        self.first = self.first.or(Some(deployment.at)).min(Some(deployment.at));
        self.rework += usize::from(was_unplanned(all, place));
        if let Some(failed) = deployment.failed() {
            self.failed += 1;
            self.recoveries.extend(recovered(all, place, failed).map(|at| at.as_second() - failed.as_second()));
        }
    }

    fn metrics(self, environments: &[String], since: Option<Timestamp>, now: Timestamp) -> Metrics {
        let counted = self.counted;
        let share = |part: usize| (counted > 0).then(|| ratio(part, counted));
        let seconds = since.or(self.first).map(|from| (now.as_second() - from.as_second()).max(1));
        let days = seconds.map(|seconds| (seconds_of(seconds) / 86_400.0).max(1.0));
        Metrics {
            environments: environments.to_vec(),
            since,
            deployments: counted,
            deployments_per_day: days.filter(|_| counted > 0).map(|days| seconds_of(i64::try_from(counted).unwrap_or(0)) / days),
            lead_time_seconds: median(self.lead_times),
            change_fail_rate: share(self.failed),
            recovery_seconds: median(self.recoveries),
            rework_rate: share(self.rework),
        }
    }
}

/// Tells whether the deployment at `place` was made because something had failed.
fn was_unplanned(all: &[Deployment], place: usize) -> bool {
    let at = all[place].at;
    let was_open = |incident: &Incident| incident.opened <= at && incident.closed.is_none_or(|closed| closed > at);
    let before = all[..place].iter().rev().find(|earlier| earlier.counts());
    before.is_some_and(|before| before.turned.is_some_and(|turned| turned <= at))
        || all.iter().flat_map(|deployment| &deployment.incidents).any(was_open)
}

/// Returns when the failure of the deployment at `place` was over.
fn recovered(all: &[Deployment], place: usize, failed: Timestamp) -> Option<Timestamp> {
    let incidents = &all[place].incidents;
    if incidents.is_empty() {
        return all[place..].iter().filter_map(Deployment::good).filter(|at| *at >= failed).min();
    }
    let closed: Option<Vec<Timestamp>> = incidents.iter().map(|incident| incident.closed).collect();
    closed?.into_iter().max()
}

#[expect(clippy::cast_precision_loss, reason = "nobody deploys so often that it matters")]
fn seconds_of(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "nobody deploys so often that it matters")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { i64::midpoint(values[middle - 1], upper) } else { upper })
}

fn release_commit<'h>(history: &'h History, release: &str) -> Option<&'h str> {
    history.release(release).ok().map(|(_, released)| released.commit.as_str())
}

/// Returns all deployments into an environment, in their order.
fn deployments(history: &History, environment: &str) -> Vec<Deployment> {
    let mut all: Vec<Deployment> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for recorded in history.entries.iter().filter(|recorded| recorded.entry.deed.environment() == Some(environment)) {
        let (at, deed) = (recorded.entry.at, &recorded.entry.deed);
        if let Deed::Started(started) = deed {
            if started.cause == Cause::Rollback
                && let Some(undone) = all.iter_mut().rev().find(|earlier| Some(&earlier.started.release) == started.before.as_ref())
            {
                undone.turned = undone.turned.or(Some(at));
            }
            places.insert(&recorded.digest, all.len());
            all.push(Deployment { started: (**started).clone(), at, was_shifted: false, ended: None, turned: None, incidents: Vec::new() });
        }
        let Some(deployment) = deed.deployment().and_then(|name| places.get(name)).map(|place| &mut all[*place]) else { continue };
        if let Deed::Doing(phasing) = deed {
            // On the way back the one before gets it.
            deployment.was_shifted |= deployment.turned.is_none() && matches!(phasing.phase, Phase::Shift(1..));
        }
        if let Deed::Turned(_) = deed {
            deployment.turned = deployment.turned.or(Some(at));
        }
        if let Deed::Ended(ended) = deed {
            deployment.ended = Some((ended.result, at));
        }
    }
    for incident in history.incidents() {
        if let Some(place) = places.get(incident.deployment.as_str()) {
            all[*place].incidents.push(incident);
        }
    }
    all
}

#[cfg(test)]
mod tests;
