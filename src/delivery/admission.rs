//! Whether a release may come into an environment now, as far as the clock and the ledger tell.

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
    let before: Vec<(&str, Option<Timestamp>)> = admission
        .from
        .iter()
        .map(|id| &*delivery.environment(*id).name)
        .map(|name| (name, history.standing(name).verified_since(release)))
        .collect();
    let missing: Vec<&str> = before.iter().filter(|(_, since)| since.is_none()).map(|(name, _)| *name).collect();
    if missing.len() == before.len() || (admission.from_all && !missing.is_empty()) {
        let word = if admission.from_all || missing.len() == 1 { " and " } else { " or " };
        let names: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
        return Verdict::No(format!("it was not verified in {}", names.join(word)));
    }
    let Some(soak) = admission.soak else { return Verdict::Yes };
    let since = before.iter().filter_map(|(_, since)| *since);
    // In any of them it may be the first that counts, in all of them the last.
    let since = if admission.from_all { since.max() } else { since.min() };
    let span = i64::try_from(soak.as_millis()).unwrap_or(i64::MAX).milliseconds();
    match since.and_then(|since| since.checked_add(span).ok()) {
        Some(until) if until <= now => Verdict::Yes,
        Some(until) => Verdict::NotYet(format!(
            "it soaks for {} more, until {}",
            show(until.duration_since(now).unsigned_abs()),
            until.strftime("%Y-%m-%d %H:%M:%SZ")
        )),
        None => Verdict::NotYet("its time of soaking never ends".to_owned()),
    }
}
