//! Whether a release may come into an environment now, as far as the clock and the ledger tell.

use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};

use super::freeze::frozen_until;
use crate::base::duration::show;
use crate::ledger::history::History;
use crate::model::delivery::Delivery;
use crate::model::environment::Environment;

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It lets the release in.
    Yes,
    /// Not yet; why, for people.
    NotYet(String),
    /// No; why, for people.
    No(String),
}

/// A gate, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What it is called.
    pub gate: &'static str,
    /// What it says.
    pub verdict: Verdict,
}

impl Asked {
    /// Returns what the gate of this name says.
    pub fn new(gate: &'static str, verdict: Verdict) -> Self {
        Self { gate, verdict }
    }
}

/// Tells whether anything may come in now.
pub fn frozen(environment: &Environment, now: Timestamp) -> Verdict {
    match frozen_until(&environment.admission.freeze, now) {
        Ok(None) => Verdict::Yes,
        Ok(Some(until)) => Verdict::NotYet(format!("nothing comes in until {}", until.strftime("%a %Y-%m-%d %H:%M %Z"))),
        Err(error) => Verdict::No(format!("it cannot be told whether it is frozen: {error}")),
    }
}

/// Tells whether the release was verified where it has to be, for as long as it has to be.
pub fn available(delivery: &Delivery, environment: &Environment, history: &History, release: &str, now: Timestamp) -> Verdict {
    let admission = &environment.admission;
    if admission.from.is_empty() {
        return Verdict::Yes;
    }
    let before = before(delivery, environment, history, release);
    let missing: Vec<&str> = before.iter().filter(|(_, since)| since.is_none()).map(|(name, _)| *name).collect();
    if missing.len() == before.len() || (admission.from_all && !missing.is_empty()) {
        let word = if admission.from_all || missing.len() == 1 { " and " } else { " or " };
        let names: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
        return Verdict::No(format!("it was not verified in {}", names.join(word)));
    }
    let Some(soak) = admission.soak else { return Verdict::Yes };
    match soaked_at(environment, soak, &before) {
        Some(until) if until <= now => Verdict::Yes,
        Some(until) => Verdict::NotYet(format!(
            "it soaks for {} more, until {}",
            show(until.duration_since(now).unsigned_abs()),
            until.strftime("%Y-%m-%d %H:%M:%SZ")
        )),
        None => Verdict::NotYet("its time of soaking never ends".to_owned()),
    }
}

/// Returns for how long the release still has to be verified where it is; none also where it is verified nowhere yet.
pub fn soak_left(delivery: &Delivery, environment: &Environment, history: &History, release: &str, now: Timestamp) -> Duration {
    let soak = environment.admission.soak.unwrap_or_default();
    let at = soaked_at(environment, soak, &before(delivery, environment, history, release));
    at.filter(|at| *at > now).map_or(Duration::ZERO, |at| at.duration_since(now).unsigned_abs())
}

/// Returns the environments where it has to be verified before, and since when it is.
fn before<'d>(delivery: &'d Delivery, environment: &Environment, history: &History, release: &str) -> Vec<(&'d str, Option<Timestamp>)> {
    let names = environment.admission.from.iter().map(|id| &*delivery.environment(*id).name);
    names.map(|name| (name, history.standing(name).verified_since(release))).collect()
}

/// Returns when it has been verified there for so long.
fn soaked_at(environment: &Environment, soak: Duration, before: &[(&str, Option<Timestamp>)]) -> Option<Timestamp> {
    let since = before.iter().filter_map(|(_, since)| *since);
    // In any of them it may be the first that counts, in all of them the last.
    let since = if environment.admission.from_all { since.max() } else { since.min() };
    let span = i64::try_from(soak.as_millis()).unwrap_or(i64::MAX).milliseconds();
    since.and_then(|since| since.checked_add(span).ok())
}
