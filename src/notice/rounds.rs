//! Whether a run that changed what it reads is to be followed by another one.
//!
//! Knows changes and runs; knows nothing of who changed a thing, which nobody can tell. A formatter comes to rest after a run or two; a
//! step that writes the time into a file that it reads never does. A person who writes while runs go on must not be taken for such a
//! step: what changes in one run and not in the next is not of its making.

use std::collections::{BTreeSet, VecDeque};

use super::change::{Change, How};

/// So many runs in a row are ended before their time; the next one may come to its end.
const MOST_CANCELLED: u32 = 5;

/// What changes in so many whole runs in a row is changed by the runs themselves.
const ALWAYS: usize = 3;

/// So many whole runs in a row, each with a change while it went on, and it is enough, whatever changed.
const ENOUGH: u32 = 10;

/// The runs since nothing has changed while one went on.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    cancelled: u32,
    whole: u32,
    /// What changed in the last whole runs, one set each.
    changed: VecDeque<BTreeSet<String>>,
}

impl Rounds {
    /// Nothing changed while a run went on, or something changed while none did: it begins anew.
    pub(super) fn rest(&mut self) {
        *self = Self::default();
    }

    /// Tells whether a run may be ended before its time.
    pub(super) fn may_cancel(&self) -> bool {
        self.cancelled < MOST_CANCELLED
    }

    /// A run was ended before its time.
    pub(super) fn cancel(&mut self) {
        self.cancelled += 1;
    }

    /// Returns how many runs were ended before their time.
    pub(super) fn cancelled(&self) -> u32 {
        self.cancelled
    }

    /// A run came to its end, and `changes` happened while it went on. Tells whether there is to be another one for that.
    pub(super) fn end(&mut self, changes: &[Change]) -> bool {
        self.whole += 1;
        self.changed.push_back(changes.iter().map(|change| change.name.clone()).collect());
        if self.changed.len() > ALWAYS {
            self.changed.pop_front();
        }
        if self.whole >= ENOUGH {
            return false;
        }
        let is_of_the_run = |change: &Change| change.how == How::Added || self.changed.iter().all(|changed| changed.contains(&change.name));
        self.changed.len() < ALWAYS || !changes.iter().all(is_of_the_run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str) -> Vec<Change> {
        vec![Change::new(name, How::Changed)]
    }

    #[test]
    fn what_every_run_changes_is_let_be() {
        let mut rounds = Rounds::default();
        assert!(rounds.end(&change("stamp")));
        assert!(rounds.end(&change("stamp")));
        assert!(!rounds.end(&change("stamp")));
        rounds.rest();
        assert!(rounds.end(&change("stamp")));
        // New names each time are of the run's making, too.
        let mut rounds = Rounds::default();
        let runs: Vec<bool> = (0..4).map(|run| rounds.end(&[Change::new(format!("log{run}"), How::Added)])).collect();
        assert_eq!(runs, [true, true, false, false]);
    }

    #[test]
    fn what_only_one_run_saw_is_followed_by_another() {
        let mut rounds = Rounds::default();
        for run in 0..3 {
            assert!(rounds.end(&[change("stamp"), change(&format!("f{run}"))].concat()), "{run}");
        }
        assert!(!rounds.end(&change("stamp")));
    }

    #[test]
    fn it_never_goes_on_for_ever() {
        let mut rounds = Rounds::default();
        let runs = (0..100).take_while(|run| rounds.end(&change(&format!("f{run}")))).count();
        assert_eq!(runs, 9);
        let mut rounds = Rounds::default();
        assert_eq!(std::iter::from_fn(|| rounds.may_cancel().then(|| rounds.cancel())).count(), 5);
    }
}
