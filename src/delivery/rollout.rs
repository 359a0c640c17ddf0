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
    /// What is started takes the place of what serves.
    pub replaces: bool,
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
    let has_taken_over = |phase: &Phase| matches!(phase, Phase::Shift(_)) || (shape.replaces && *phase == Phase::Start);
    let phases: &[Phase] = match (ongoing.begun.iter().any(has_taken_over), ongoing.started.before.is_some()) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::entry::{Actor, Cause, Started};
    use crate::ledger::standing::Back;

    /// What is done, one after the other, for a deployment that goes back once `turns` were begun.
    fn way(has_before: bool, replaces: bool, turns: Option<usize>) -> Vec<Phase> {
        let started = Started {
            environment: "e".to_owned(),
            release: "new".to_owned(),
            before: has_before.then(|| "old".to_owned()),
            slot: None,
            before_slot: None,
            commit: String::new(),
            plan: String::new(),
            cause: Cause::Promote,
            reason: None,
            accepted_drift: None,
        };
        let actor = Actor { name: String::new(), email: String::new(), host: String::new(), clone: None };
        let (deployment, since) = (String::new(), jiff::Timestamp::UNIX_EPOCH);
        let mut ongoing = Ongoing { deployment, started, actor, since, begun: Vec::new(), done: Vec::new(), turned: None, lease: None };
        let shape = Shape { provisions: true, verifies: true, replaces };
        let mut all = Vec::new();
        while let Move::Do(phase) = next(&ongoing, shape) {
            all.push(phase);
            if let Some(back) = &mut ongoing.turned {
                back.done.push(phase);
                continue;
            }
            ongoing.begun.push(phase);
            if turns == Some(ongoing.begun.len()) {
                ongoing.turned = Some(Back { reason: String::new(), begun: Vec::new(), done: Vec::new() });
            } else {
                ongoing.done.push(phase);
            }
        }
        all
    }

    #[test]
    fn the_way_back_undoes_what_was_begun() {
        use Phase::{Provision, Shift, Start, Stop, Verify};
        assert_eq!(way(true, false, None), [Provision, Start, Shift(100), Verify, Stop]);
        let back = |has_before, replaces, turns| way(has_before, replaces, Some(turns)).split_off(turns);
        for replaces in [false, true] {
            assert_eq!(back(true, replaces, 1), []);
            for turns in 3..=5 {
                assert_eq!(back(true, replaces, turns), [Start, Shift(100), Verify, Stop]);
                assert_eq!(back(false, replaces, turns), [Shift(0), Stop]);
            }
        }
        // What was only started has nothing of the one before, unless it took its place.
        assert_eq!((back(true, false, 2), back(false, false, 2)), (vec![Stop], vec![Stop]));
        assert_eq!(back(true, true, 2), [Start, Shift(100), Verify, Stop]);
        assert_eq!(back(false, true, 2), [Shift(0), Stop]);
    }
}
