//! How long a deployment may take by what the file says, and how long the way back.

use std::time::Duration;

use super::rollout::is_watched_at;
use crate::model::environment::{Analysis, Environment, Pause};
use crate::model::stage::Step;
use crate::model::target::Kind;

/// What may be said of it beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// The time that it takes in any case.
    pub shortest: Duration,
    /// The time after which it has ended; `None` where something in it has no limit.
    pub longest: Option<Duration>,
    /// The same for the way back.
    pub back: Option<Duration>,
}

/// The way of a release to all of the traffic.
#[derive(Debug, Clone, Copy)]
pub struct Way<'w> {
    /// The shares that it gets one after the other, in percent.
    pub weights: &'w [u8],
    /// Another one is there, which it has to do as well as.
    pub is_tried: bool,
}

impl Way<'_> {
    /// Returns the shares that an analysis looks at.
    fn watched(&self) -> impl Iterator<Item = u8> {
        self.weights.iter().copied().filter(|weight| self.is_tried && is_watched_at(self.weights, *weight))
    }
}

/// Returns what may be said of a deployment that still has to wait for `soak`; `has_before` tells whether there is a release to go back to.
pub fn forecast(environment: &Environment, kind: &Kind, soak: Duration, way: Way<'_>, has_before: bool) -> Forecast {
    let limit = environment.timeout;
    let of = |steps: &[Step]| within(steps, limit);
    let (start, shift, stop) = moves(kind, &of);
    let verify = of(&environment.verify);
    // Each gate is asked by itself.
    let gates = all(environment.admission.gates.iter().map(|gate| of(std::slice::from_ref(gate))));
    let back = if has_before { all([start, shift, verify, stop]) } else { all([shift, stop]) };
    let (least, most) = (held(environment, way, false), held(environment, way, true));
    let shortest = soak.saturating_add(least.unwrap_or_default());
    let shifts = all(way.weights.iter().map(|_| shift));
    Forecast { shortest, longest: all([Some(soak), gates, of(&environment.provision), start, shifts, most, verify, stop]), back }
}

/// Returns how long a target of this kind may take to start a release, to shift traffic to it and to stop one; `of` says that of steps.
fn moves(kind: &Kind, of: &dyn Fn(&[Step]) -> Option<Duration>) -> (Option<Duration>, Option<Duration>, Option<Duration>) {
    let at_once = Some(Duration::ZERO);
    match kind {
        Kind::Command(commands) => {
            let one = |step: &Option<Step>| of(step.as_slice());
            let ready = commands.ready.as_ref().map_or(Duration::ZERO, |ready| ready.within);
            let start = all([of(std::slice::from_ref(&commands.start)), Some(ready)]);
            (start, all([one(&commands.shift), one(&commands.observe)]), one(&commands.stop))
        }
        // What it starts runs on: only getting ready takes time.
        Kind::Process(process) => (Some(process.ready.within), at_once, Some(process.drain)),
        Kind::Directory(_) | Kind::Flag(_) => (at_once, at_once, at_once),
    }
}

/// Returns for how long the release is held at these shares: at least, or at most.
fn held(environment: &Environment, way: Way<'_>, is_most: bool) -> Option<Duration> {
    let rollout = &environment.rollout;
    let one = match rollout.pause {
        Pause::Manual if is_most => None,
        Pause::Manual => Some(Duration::ZERO),
        Pause::For(time) => Some(time),
    };
    let more = rollout.analysis.as_ref().filter(|_| is_most).map_or(Some(Duration::ZERO), |analysis| {
        // Once the time is over it is asked until it says yes, or has said too often that it cannot.
        let look = within(std::slice::from_ref(&analysis.run), environment.timeout)?;
        Some(look.saturating_add(analysis.every.max(look).saturating_mul(looks(analysis))))
    });
    let paused = all(way.weights.iter().filter(|weight| **weight < 100).map(|_| one));
    let watched = all(way.watched().map(|_| more));
    all([paused, watched])
}

/// Returns how often an analysis is asked at most until it has said yes, or too often something else: each no may stand behind a row of answers that
/// it cannot tell.
fn looks(analysis: &Analysis) -> u32 {
    analysis.failures.saturating_add(1).saturating_mul(analysis.errors.saturating_add(1))
}

/// When it is noticed that a release does not work which has a share of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    /// After this time at most, beside that of the command which looks.
    Within(Duration),
    /// The same, where it can be told; else after the other, longer time.
    Told(Duration, Duration),
    /// When the steps of `verify` have ended, which have no limit.
    Verified,
    /// Nothing says.
    Never,
}

/// Returns for each share of the traffic on the way when it is noticed that a release does not work which has it. A share of nothing is none.
pub fn unnoticed(environment: &Environment, way: Way<'_>) -> Vec<(u8, Noticed)> {
    let rollout = &environment.rollout;
    let paused = if let Pause::For(time) = rollout.pause { Some(time) } else { None };
    let noticed = |weight: u8| match (&rollout.analysis, paused, environment.verify.as_slice()) {
        // It is asked only when somebody comes.
        (_, None, _) if weight < 100 => Noticed::Never,
        (Some(analysis), _, _) if way.watched().any(|watched| watched == weight) => {
            // Too few samples are no answer as long as there may be more.
            let gathering = paused.filter(|_| analysis.min_samples > 0 && weight < 100).unwrap_or_default();
            let told = analysis.every.saturating_mul(analysis.failures.saturating_add(1));
            let most = gathering.saturating_add(analysis.every.saturating_mul(looks(analysis)));
            if most > told { Noticed::Told(told, most) } else { Noticed::Within(told) }
        }
        (_, Some(time), _) if weight < 100 => Noticed::Within(time),
        (_, _, []) => Noticed::Never,
        (_, _, verify) => within(verify, environment.timeout).map_or(Noticed::Verified, Noticed::Within),
    };
    way.weights.iter().filter(|weight| **weight > 0).map(|weight| (*weight, noticed(*weight))).collect()
}

/// Returns the time after which steps that have this limit together have ended.
fn within(steps: &[Step], limit: Option<Duration>) -> Option<Duration> {
    let own = all(steps.iter().map(|step| step.timeout.map(|timeout| timeout.saturating_mul(step.retries.saturating_add(1)))));
    match (own, limit) {
        (Some(own), Some(limit)) => Some(own.min(limit)),
        (own, limit) => own.or(limit),
    }
}

/// Returns the sum, if all are limited.
fn all(times: impl IntoIterator<Item = Option<Duration>>) -> Option<Duration> {
    times.into_iter().try_fold(Duration::ZERO, |sum, time| Some(sum.saturating_add(time?)))
}

#[cfg(test)]
mod tests;
