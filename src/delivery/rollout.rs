//! What is to be done next for a deployment: a function of how far it is and of the time, and of nothing else, so that whoever goes on after a
//! kill, on whatever machine, does the same.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::ledger::entry::{Cause, Ending, Phase};
use crate::ledger::standing::{Ongoing, Share};
use crate::model::environment::{Analysis, Pause, Rollout};

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// This phase, for the new release or, on the way back, for the one before.
    Do(Phase),
    /// A look at how the new release does with this share of the traffic; where it does well it goes on, unless something else is waited for.
    Look(u8, Option<Wait>),
    /// Nothing now.
    Wait(Wait),
    /// Nothing: it has ended so.
    End(Ending),
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// This time.
    Until(Timestamp),
    /// Somebody who says to go on.
    Resume,
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Until(until) => write!(f, "until {}", until.strftime("%Y-%m-%d %H:%M:%SZ")),
            Self::Resume => f.write_str("for somebody who says to go on"),
        }
    }
}

/// The phases that a deployment may have beside those that each has.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'s> {
    /// There are steps that make the environment ready.
    pub provisions: bool,
    /// There are steps that show that a release works.
    pub verifies: bool,
    /// What is started takes the place of what serves.
    pub replaces: bool,
    /// Where no release serves something else does, which may keep the rest of the traffic.
    pub has_default: bool,
    /// How a release takes over from the one before.
    pub rollout: &'s Rollout,
}

impl Shape<'_> {
    /// Returns the shares of the traffic that the new release gets one after the other.
    pub fn weights(&self, ongoing: &Ongoing) -> &[u8] {
        if self.is_tried(ongoing) && !self.replaces { &self.rollout.weights } else { &[100] }
    }

    /// Tells whether the new release has to show that it does as well as what is there. Without that nobody else could take the rest of the
    /// traffic, or what it is to be compared with; and what was good there needs no trial.
    fn is_tried(&self, ongoing: &Ongoing) -> bool {
        (ongoing.started.before.is_some() || self.has_default) && ongoing.started.cause == Cause::Promote
    }

    /// Returns for how long the release before stays ready once the new one is verified.
    pub fn keep(&self, ongoing: &Ongoing) -> Option<Duration> {
        let is_there = ongoing.started.before.is_some() && ongoing.started.cause == Cause::Promote && !self.replaces;
        self.rollout.keep.filter(|_| is_there && !ongoing.is_verified)
    }

    fn analysis(&self) -> Option<&Analysis> {
        self.rollout.analysis.as_ref()
    }

    /// Returns the phases on the way to the new release, in their order.
    fn way(&self, ongoing: &Ongoing) -> Vec<Phase> {
        if ongoing.is_verified {
            return vec![Phase::Stop];
        }
        let weights = self.weights(ongoing);
        let is_watched = self.analysis().is_some() && self.is_tried(ongoing);
        let watched = |weight: u8| (is_watched && is_watched_at(weights, weight)).then_some(Phase::Analyse(weight));
        let shifts = weights.iter().flat_map(|weight| std::iter::once(Phase::Shift(*weight)).chain(watched(*weight)));
        let stop = self.keep(ongoing).is_none().then_some(Phase::Stop);
        [Phase::Provision, Phase::Start].into_iter().chain(shifts).chain([Phase::Verify]).chain(stop).collect()
    }

    /// Tells whether there is anything to be done in a phase.
    fn has(&self, phase: Phase) -> bool {
        match phase {
            Phase::Provision => self.provisions,
            Phase::Verify => self.verifies,
            Phase::Tell => !self.rollout.on_abort.is_empty(),
            Phase::Start | Phase::Shift(_) | Phase::Analyse(_) | Phase::Stop => true,
        }
    }

    fn first(&self, phases: &[Phase], done: &[Phase]) -> Option<Phase> {
        phases.iter().copied().find(|phase| self.has(*phase) && !done.contains(phase))
    }

    /// Returns what is waited for before a release gets more than this share.
    fn wait(&self, ongoing: &Ongoing, share: &Share, now: Timestamp) -> Option<Wait> {
        if share.weight == 100 {
            return None;
        }
        if ongoing.is_paused {
            return Some(Wait::Resume);
        }
        match self.rollout.pause {
            Pause::Manual => (!share.is_resumed).then_some(Wait::Resume),
            Pause::For(time) => Some(later(share.since, time)).filter(|until| *until > now).map(Wait::Until),
        }
    }
}

/// Tells whether an analysis looks at a release that has this one of these shares: as long as there is more to come; where all of the traffic is the
/// only share, at that.
pub fn is_watched_at(weights: &[u8], weight: u8) -> bool {
    weight < 100 || weights.len() == 1
}

/// Returns what is to be done next for `ongoing`.
pub fn next(ongoing: &Ongoing, shape: Shape<'_>, now: Timestamp) -> Move {
    if ongoing.turned.is_some() {
        return next_back(ongoing, shape);
    }
    let Some(phase) = shape.first(&shape.way(ongoing), &ongoing.done) else { return Move::End(Ending::Verified) };
    // What was begun is done, whatever was said since.
    let share = ongoing.share.as_ref().filter(|_| !ongoing.begun.contains(&phase));
    let Some(share) = share else {
        // Somebody holds it before users see anything of it. What leads back is held by nobody.
        let is_first = matches!(phase, Phase::Shift(_)) && !ongoing.begun.contains(&phase) && ongoing.started.cause == Cause::Promote;
        return if ongoing.is_paused && is_first { Move::Wait(Wait::Resume) } else { Move::Do(phase) };
    };
    let wait = shape.wait(ongoing, share, now);
    let Some(analysis) = shape.analysis().filter(|_| matches!(phase, Phase::Analyse(_))) else {
        return wait.map_or(Move::Do(phase), Move::Wait);
    };
    let due = share.looked.map(|looked| later(looked, analysis.every)).filter(|due| *due > now);
    due.map_or(Move::Look(share.weight, wait), |due| Move::Wait(Wait::Until(due)))
}

/// Returns what is to be done next for one that goes back.
fn next_back(ongoing: &Ongoing, shape: Shape<'_>) -> Move {
    let Some(back) = &ongoing.turned else { return Move::End(Ending::Verified) };
    let has_taken_over = |phase: &Phase| matches!(phase, Phase::Shift(_)) || (shape.replaces && *phase == Phase::Start);
    let was_touched = ongoing.begun.iter().any(|phase| *phase != Phase::Provision);
    let (phases, ending): (&[Phase], Ending) = match (ongoing.begun.iter().any(has_taken_over), ongoing.started.before.is_some()) {
        _ if back.stuck.is_some() => (&[Phase::Tell], Ending::RollbackFailed),
        _ if !was_touched => (&[Phase::Tell], Ending::Unchanged),
        (true, true) => (&[Phase::Start, Phase::Shift(100), Phase::Verify, Phase::Stop, Phase::Tell], Ending::RolledBack),
        (true, false) => (&[Phase::Shift(0), Phase::Stop, Phase::Tell], Ending::RolledBack),
        (false, _) => (&[Phase::Stop, Phase::Tell], Ending::RolledBack),
    };
    shape.first(phases, &back.done).map_or(Move::End(ending), Move::Do)
}

/// Returns the time so long after another.
pub fn later(at: Timestamp, time: Duration) -> Timestamp {
    SignedDuration::try_from(time).ok().and_then(|time| at.checked_add(time).ok()).unwrap_or(Timestamp::MAX)
}

/// Returns how far a release is on its way through these shares of the traffic, as a small picture.
pub fn picture(weights: &[u8], share: Option<&Share>) -> String {
    let at = share.map(|share| share.weight);
    let mark = |weight: &u8| match Some(*weight).cmp(&at) {
        std::cmp::Ordering::Less => format!("✓ {weight} %"),
        std::cmp::Ordering::Equal => format!("▶ {weight} %"),
        std::cmp::Ordering::Greater => format!("· {weight} %"),
    };
    weights.iter().map(mark).collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests;
