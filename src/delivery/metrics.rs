//! How well delivery goes: the five measures of DORA (dora.dev), from the ledger alone.
//!
//! A deployment counts where it brought, or tried to bring, a new release to users: from the moment at which it could have got traffic. It
//! failed where it was taken back, by itself or by a rollback after it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::ledger::entry::{Cause, Deed, Ending, Phase, Started};
use crate::ledger::history::History;

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
    /// From the beginning of a deployment that failed until something good served again, the middle, in seconds.
    pub recovery_seconds: Option<i64>,
    /// The share of deployments that were made only because one before had failed.
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
    /// Whether it was taken back.
    failed: bool,
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
    let (mut counted, mut failed, mut rework) = (0, 0, 0);
    let (mut lead_times, mut recoveries) = (Vec::new(), Vec::new());
    let mut first = None;
    for environment in environments {
        let all = deployments(history, environment);
        let mut before: Option<&str> = None;
        for (place, deployment) in all.iter().enumerate() {
            let is_new = deployment.started.cause == Cause::Promote && deployment.was_shifted;
            let is_meant = is_new && since.is_none_or(|since| deployment.at >= since);
            if is_meant {
                counted += 1;
                first = first.or(Some(deployment.at)).min(Some(deployment.at));
                let follows_failure =
                    all[..place].iter().rev().find(|earlier| earlier.started.cause == Cause::Promote && earlier.was_shifted);
                rework += usize::from(follows_failure.is_some_and(|earlier| earlier.failed));
                if deployment.failed {
                    failed += 1;
                    let good = all[place..].iter().find_map(recovered);
                    recoveries.extend(good.map(|at| at.as_second() - deployment.at.as_second()));
                }
            }
            if let Some((Ending::Verified, at)) = deployment.ended
                && is_new
            {
                let commit = release_commit(history, &deployment.started.release);
                if is_meant && let Some(commit) = &commit {
                    lead_times.extend(commits(before, commit).iter().map(|written| at.as_second() - written));
                }
                before = commit.or(before);
            }
        }
    }
    let share = |part: usize| (counted > 0).then(|| ratio(part, counted));
    let days = since.or(first).map(|from| (now.as_second() - from.as_second()).max(1)).map(|seconds| seconds_of(seconds) / 86_400.0);
    Metrics {
        environments: environments.to_vec(),
        since,
        deployments: counted,
        deployments_per_day: days.filter(|_| counted > 0).map(|days| seconds_of(i64::try_from(counted).unwrap_or(0)) / days.max(1.0)),
        lead_time_seconds: median(lead_times),
        change_fail_rate: share(failed),
        recovery_seconds: median(recoveries),
        rework_rate: share(rework),
    }
}

/// Returns when something good served, where this deployment brought that.
fn recovered(deployment: &Deployment) -> Option<Timestamp> {
    deployment.ended.filter(|(ending, _)| matches!(ending, Ending::Verified | Ending::RolledBack)).map(|(_, at)| at)
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
        let at = recorded.entry.at;
        match &recorded.entry.deed {
            Deed::Started(started) => {
                if started.cause == Cause::Rollback
                    && let Some(undone) = all.iter_mut().rev().find(|earlier| Some(&earlier.started.release) == started.before.as_ref())
                {
                    undone.failed = true;
                }
                places.insert(&recorded.digest, all.len());
                all.push(Deployment { started: (**started).clone(), at, was_shifted: false, ended: None, failed: false });
            }
            Deed::Doing(phasing) => {
                if let Some(place) = places.get(phasing.deployment.as_str()) {
                    all[*place].was_shifted |= matches!(phasing.phase, Phase::Shift(_));
                }
            }
            Deed::Ended(ended) => {
                if let Some(place) = places.get(ended.deployment.as_str()) {
                    all[*place].ended = Some((ended.result, at));
                    all[*place].failed |= matches!(ended.result, Ending::RolledBack | Ending::RollbackFailed);
                }
            }
            Deed::Released(_)
            | Deed::Done(_)
            | Deed::Turned(_)
            | Deed::Held(_)
            | Deed::Unlocked(_)
            | Deed::Approved(_)
            | Deed::Rejected(_)
            | Deed::Paused(_)
            | Deed::Resumed(_) => {}
        }
    }
    all
}
