//! How long a deployment may take by what the file says, and how long the way back.

use std::time::Duration;

use crate::model::environment::Environment;
use crate::model::stage::Step;
use crate::model::target::{Commands, Kind};

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

/// Returns what may be said of a deployment that still has to wait for `soak`; `has_before` tells whether there is a release to go back to.
pub fn forecast(environment: &Environment, kind: &Kind, soak: Duration, has_before: bool) -> Forecast {
    let limit = environment.timeout;
    let of = |steps: &[Step]| within(steps, limit);
    let commands = if let Kind::Command(commands) = kind { Some(&**commands) } else { None };
    let of_target = |part: &dyn Fn(&Commands) -> Option<Duration>| commands.map_or(Some(Duration::ZERO), part);
    let one = |step: &Option<Step>| of(step.as_slice());
    let start = of_target(&|commands| {
        let ready = commands.ready.as_ref().map_or(Duration::ZERO, |ready| ready.within);
        all([of(std::slice::from_ref(&commands.start)), Some(ready)])
    });
    let shift = of_target(&|commands| all([one(&commands.shift), one(&commands.observe)]));
    let stop = of_target(&|commands| one(&commands.stop));
    let verify = of(&environment.verify);
    // Each gate is asked by itself.
    let gates = all(environment.admission.gates.iter().map(|gate| of(std::slice::from_ref(gate))));
    let back = if has_before { all([start, shift, verify, stop]) } else { all([shift, stop]) };
    Forecast { shortest: soak, longest: all([Some(soak), gates, of(&environment.provision), start, shift, verify, stop]), back }
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
