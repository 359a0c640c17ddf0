//! Whether a run that changed what it reads is to be followed by another one.
//!
//! Knows changes and runs; knows nothing of who changed a thing, which nobody can tell. A formatter comes to rest after a run or two; a
//! step that writes the time into a file that it reads never does. Whoever else writes while runs go on must not be taken for such a
//! step, also not who answers each output with a change at once: so it takes many runs to be sure, with a pause before each, so that they
//! cost little.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::change::{Change, How};

/// So many runs in a row are ended before their time; the next one may come to its end.
const MOST_CANCELLED: u32 = 5;

/// How long nothing must have happened before it is time to look: an editor's save, or a tool's, is several changes.
const CALM: Duration = Duration::from_millis(50);

/// The longest of the pauses between runs that each saw a change while they went on.
const LONGEST_CALM: Duration = Duration::from_millis(500);

/// How long a look is put off at most, however much happens: what ends one run after the other is waited for longer and longer.
const LONGEST: Duration = Duration::from_millis(500);

/// What changed in each of the last so many whole runs may be changed by the runs themselves.
const ALWAYS: usize = 3;

/// It is taken to be so after so many whole runs in a row, or after fewer that took long.
const SURE: usize = 20;
const SURE_LONG: (usize, Duration) = (8, Duration::from_mins(1));

/// So many whole runs in a row, each with a change while it went on, and it is enough, whatever changed.
const ENOUGH: usize = 40;

/// So many runs in a row may be followed by another one because of what somebody else wrote while they went on: more, and a clock is wrong.
const MOST_OTHERS: u32 = 1000;

/// When the steps of a run ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// None ran: whatever changed was changed by others.
    None,
    /// The last one ended at this time, in nanoseconds since 1970: what changed later was changed by others.
    Until(i64),
}

impl Activity {
    fn is_before(self, change: &Change) -> bool {
        match self {
            Self::None => true,
            Self::Until(end) => change.at.is_some_and(|at| at > end),
        }
    }
}

/// The runs since nothing has changed while one went on.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    cancelled: u32,
    others: u32,
    whole: usize,
    /// When the first of the whole ones ended.
    since: Option<Instant>,
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

    /// Returns for how long nothing must have happened before it is time to look, and how long that is waited for.
    pub(super) fn patience(&self) -> (Duration, Duration) {
        let whole = u32::try_from(self.whole.clamp(1, SURE)).unwrap_or(1);
        let calm = (CALM * whole * whole).min(LONGEST_CALM);
        (calm, LONGEST * 2u32.pow(self.cancelled) + 5 * (CALM * (whole - 1)))
    }

    /// A run came to its end at `now`, and `changes` happened while it went on. Tells whether there is to be another one for that.
    pub(super) fn end(&mut self, now: Instant, changes: &[Change], activity: Activity) -> bool {
        if self.others < MOST_OTHERS && changes.iter().any(|change| activity.is_before(change)) {
            *self = Self { others: self.others + 1, ..Self::default() };
            return true;
        }
        self.whole += 1;
        let long = now - *self.since.get_or_insert(now);
        self.changed.push_back(changes.iter().map(|change| change.name.clone()).collect());
        if self.changed.len() > ALWAYS {
            self.changed.pop_front();
        }
        if self.whole >= ENOUGH {
            return false;
        }
        let is_of_the_run = |change: &Change| change.how == How::Added || self.changed.iter().all(|changed| changed.contains(&change.name));
        let is_sure = self.whole >= SURE || (self.whole >= SURE_LONG.0 && long >= SURE_LONG.1);
        !is_sure || !changes.iter().all(is_of_the_run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps ran all the time.
    const BUSY: Activity = Activity::Until(i64::MAX);

    fn change(name: &str) -> Vec<Change> {
        vec![Change::new(name, How::Changed)]
    }

    /// How many whole runs are followed by another one, of those that each take so long and change what `changes` says.
    fn followed(rounds: &mut Rounds, took: Duration, activity: Activity, changes: impl Fn(usize) -> Vec<Change>) -> usize {
        let start = Instant::now();
        let end = |run: usize| start + took * u32::try_from(run).unwrap();
        (0..5000).take_while(|run| rounds.end(end(*run), &changes(*run), activity)).count()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_every_run_changes_is_let_be() {
        let mut rounds = Rounds::default();
        assert_eq!(followed(&mut rounds, SECOND, BUSY, |_| change("stamp")), 19);
        assert_eq!(rounds.patience(), (LONGEST_CALM, Duration::from_millis(5250)));
        rounds.rest();
        assert_eq!(rounds.patience(), (CALM, LONGEST));
        assert_eq!(followed(&mut rounds, 10 * SECOND, BUSY, |_| change("stamp")), 7);
        // New names each time are of the run's making, too.
        rounds.rest();
        let added = |run| vec![Change::new(format!("log{run}"), How::Added)];
        assert_eq!(followed(&mut rounds, SECOND, BUSY, added), 19);
    }

    #[test]
    fn what_only_one_run_saw_is_followed_by_another() {
        let mut rounds = Rounds::default();
        let changes = |run: usize| [change("stamp"), change(&format!("f{}", run.min(30)))].concat();
        assert_eq!(followed(&mut rounds, SECOND, BUSY, changes), 32);
    }

    #[test]
    fn what_no_step_can_have_changed_is_always_run() {
        let later = |_| vec![Change { at: Some(8), ..Change::new("a", How::Changed) }];
        assert_eq!(followed(&mut Rounds::default(), SECOND, Activity::Until(7), later), 1019);
        assert_eq!(followed(&mut Rounds::default(), SECOND, Activity::None, |_| change("a")), 1019);
        assert_eq!(followed(&mut Rounds::default(), SECOND, Activity::Until(8), later), 19);
    }

    #[test]
    fn it_never_goes_on_for_ever() {
        let changes = |run| change(&format!("f{run}"));
        assert_eq!(followed(&mut Rounds::default(), SECOND, BUSY, changes), 39);
        let mut rounds = Rounds::default();
        assert_eq!(std::iter::from_fn(|| rounds.may_cancel().then(|| rounds.cancel())).count(), 5);
        assert_eq!(rounds.patience(), (CALM, Duration::from_secs(16)));
    }
}
