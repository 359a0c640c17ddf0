//! What is to be done next for a deployment: a function of how far it is, and of nothing else, so that whoever goes on after a kill, on
//! whatever machine, does the same.

use crate::ledger::entry::{Ending, Phase};
use crate::ledger::standing::Ongoing;

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// This phase, for the new release or, on the way back, for the one before.
    Do(Phase),
    /// Nothing: it has ended so.
    End(Ending),
}

/// The phases that a deployment may have beside those that each has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// There are steps that make the environment ready.
    pub provisions: bool,
    /// There are steps that show that a release works.
    pub verifies: bool,
}

/// Returns what is to be done next for `ongoing`.
pub fn next(ongoing: &Ongoing, shape: Shape) -> Move {
    let Some(back) = &ongoing.turned else {
        let phases = [Phase::Provision, Phase::Start, Phase::Shift(100), Phase::Verify, Phase::Stop];
        return first(&phases, shape, &ongoing.done).map_or(Move::End(Ending::Verified), Move::Do);
    };
    let was_touched = ongoing.begun.iter().any(|phase| *phase != Phase::Provision);
    if !was_touched {
        return Move::End(Ending::Unchanged);
    }
    let was_shifted = ongoing.begun.iter().any(|phase| matches!(phase, Phase::Shift(_)));
    let phases: &[Phase] = match (was_shifted, ongoing.started.before.is_some()) {
        (true, true) => &[Phase::Start, Phase::Shift(100), Phase::Verify, Phase::Stop],
        (true, false) => &[Phase::Shift(0), Phase::Stop],
        (false, _) => &[Phase::Stop],
    };
    let shape = Shape { provisions: false, ..shape };
    first(phases, shape, &back.done).map_or(Move::End(Ending::RolledBack), Move::Do)
}

/// Returns the first phase that is not done.
fn first(phases: &[Phase], shape: Shape, done: &[Phase]) -> Option<Phase> {
    let is_there = |phase: Phase| match phase {
        Phase::Provision => shape.provisions,
        Phase::Verify => shape.verifies,
        Phase::Start | Phase::Shift(_) | Phase::Stop => true,
    };
    phases.iter().copied().find(|phase| is_there(*phase) && !done.contains(phase))
}
