//! The state of a watch: what happens goes in, what to do about it comes out.
//!
//! Knows no clock, no file and no run: it is told of all of them.
//!
//! ```text
//! hint --quiet--> due: look at what is there now, and compare it with what the last run saw
//!   nothing runs: the same -> rest                  else -> run
//!   a run goes on: the same -> rest                 else -> cancel it, or let it be where too many were cancelled
//!   it has ended: the same -> rest   it was cancelled -> run   else -> run, or stop where every run changes what it reads
//! ```

use std::time::Instant;

use super::change::{Change, How};
use super::quiet::Quiet;
pub use super::rounds::Activity;
use super::rounds::Rounds;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Todo {
    /// Nothing.
    Rest,
    /// A run.
    Run,
    /// To end the run that goes on: what it does has become pointless.
    Cancel,
    /// Nothing, although something changed while the run went on: runs change what they read, again and again.
    Stop,
}

/// What goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Idle,
    Running,
    Ending,
}

/// The state of a watch.
#[derive(Debug, Default)]
pub struct Vigil {
    state: State,
    quiet: Quiet,
    rounds: Rounds,
}

impl Vigil {
    /// Something that matters happened at `now`, or may have.
    pub fn hint(&mut self, now: Instant) {
        self.quiet.hint(now);
    }

    /// Returns when to look, or to begin the run that is to be made; `None` while nothing has happened since the last look, or while a
    /// look would change nothing.
    pub fn due(&self) -> Option<Instant> {
        let (calm, longest) = self.rounds.patience();
        self.quiet.due(calm, longest).filter(|_| self.state != State::Ending)
    }

    /// A look begins: what happens from here on asks for another one.
    pub fn look(&mut self) {
        self.quiet.over();
    }

    /// A run begins.
    pub fn begin(&mut self) {
        self.state = State::Running;
    }

    /// A look has found these changes since the look before the last run. `is_proven` tells whether a run now would have nothing to do;
    /// it is asked only where nothing holds anything else than before.
    pub fn looked(&mut self, changes: &[Change], is_proven: impl FnOnce() -> bool) -> Todo {
        match self.state {
            State::Idle if is_the_same(changes, is_proven) => Todo::Rest,
            State::Idle => {
                self.rounds.rest();
                Todo::Run
            }
            State::Running if !changes.is_empty() && holds_other(changes) && self.rounds.may_cancel() => {
                self.state = State::Ending;
                Todo::Cancel
            }
            State::Running | State::Ending => Todo::Rest,
        }
    }

    /// The run has ended, and a look at `now` has found these changes since the one before it. A run is to begin when it is due.
    pub fn end(&mut self, now: Instant, activity: Activity, changes: &[Change], is_proven: impl FnOnce() -> bool) -> Todo {
        if std::mem::take(&mut self.state) == State::Ending {
            self.rounds.cancel();
            self.quiet.hint(now);
            return Todo::Run;
        }
        let todo = if is_the_same(changes, is_proven) {
            Todo::Rest
        } else if self.rounds.end(now, changes, activity) {
            self.quiet.hint(now);
            return Todo::Run;
        } else {
            Todo::Stop
        };
        self.rounds.rest();
        todo
    }
}

fn holds_other(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.how != How::Touched)
}

fn is_the_same(changes: &[Change], is_proven: impl FnOnce() -> bool) -> bool {
    changes.is_empty() || (!holds_other(changes) && is_proven())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn changed() -> Vec<Change> {
        vec![Change::new("a", How::Changed)]
    }

    fn touched() -> Vec<Change> {
        vec![Change::new("a", How::Touched)]
    }

    #[test]
    fn what_is_proven_is_not_run_again() {
        let mut vigil = Vigil::default();
        assert_eq!(vigil.looked(&[], || unreachable!()), Todo::Rest);
        assert_eq!(vigil.looked(&touched(), || true), Todo::Rest);
        assert_eq!(vigil.looked(&touched(), || false), Todo::Run);
        assert_eq!(vigil.looked(&changed(), || unreachable!()), Todo::Run);
    }

    #[test]
    fn a_run_that_became_pointless_is_followed_by_one_that_is_not() {
        let mut vigil = Vigil::default();
        vigil.begin();
        assert_eq!(vigil.looked(&touched(), || unreachable!()), Todo::Rest);
        assert_eq!(vigil.looked(&changed(), || unreachable!()), Todo::Cancel);
        assert_eq!(vigil.looked(&changed(), || unreachable!()), Todo::Rest);
        // Even where all is again as it was: what was cancelled is not done.
        assert_eq!(vigil.end(Instant::now(), Activity::None, &[], || unreachable!()), Todo::Run);
        vigil.begin();
        assert_eq!(vigil.end(Instant::now(), Activity::None, &touched(), || true), Todo::Rest);
    }

    /// A world of files with numbers in them.
    #[derive(Debug, Default)]
    struct World {
        files: BTreeMap<String, u64>,
        writes: u64,
    }

    impl World {
        fn write(&mut self, name: &str) {
            self.writes += 1;
            self.files.insert(name.to_owned(), self.writes);
        }

        fn since(&self, before: &BTreeMap<String, u64>) -> Vec<Change> {
            let now = self.files.iter().filter(|(name, value)| before.get(*name) != Some(value));
            now.map(|(name, _)| Change::new(name, if before.contains_key(name) { How::Changed } else { How::Added })).collect()
        }
    }

    /// Plays a watch: a person writes `files[n]` at each time, a run takes `length` and the step writes what `step` says at the middle of
    /// it. Returns the number of runs that came to their end, what the last one saw, and the end of the world.
    fn play(person: &[(u64, u8)], length: u64, step: &dyn Fn(&mut World)) -> (u32, BTreeMap<String, u64>, World, bool) {
        let start = Instant::now();
        let (mut vigil, mut world) = (Vigil::default(), World::default());
        (0..4).for_each(|name| world.write(&format!("f{name}")));
        let (mut saw, mut whole, mut stopped) = (world.files.clone(), 0, false);
        let (mut run, mut is_awaited): (Option<(u64, bool)>, bool) = (Some((0, false)), false);
        vigil.begin();
        let mut ahead = person.iter().peekable();
        for now in 0..200_000 {
            let at = start + Duration::from_millis(now);
            while let Some((_, name)) = ahead.next_if(|(time, _)| *time <= now) {
                world.write(&format!("f{name}"));
                vigil.hint(at);
            }
            let mut todo = Todo::Rest;
            match run {
                Some((since, is_cancelled)) if is_cancelled || now >= since + length => {
                    whole += u32::from(!is_cancelled);
                    run = None;
                    vigil.look();
                    todo = vigil.end(at, Activity::Until(i64::MAX), &world.since(&saw), || unreachable!());
                    if todo == Todo::Stop {
                        // It is left at that until something else happens.
                        stopped = true;
                        saw = world.files.clone();
                    }
                }
                Some((since, _)) if now == since + length / 2 => {
                    let before = world.writes;
                    step(&mut world);
                    if world.writes != before {
                        vigil.hint(at);
                    }
                }
                _ => {}
            }
            if is_awaited && vigil.due().is_none_or(|due| due <= at) {
                vigil.look();
                vigil.begin();
                (saw, run, is_awaited) = (world.files.clone(), Some((now, false)), false);
            }
            if todo == Todo::Rest && !is_awaited && vigil.due().is_some_and(|due| due <= at) {
                vigil.look();
                todo = vigil.looked(&world.since(&saw), || unreachable!());
            }
            match todo {
                Todo::Cancel => run = run.map(|(since, _)| (since, true)),
                Todo::Run => is_awaited = true,
                Todo::Rest | Todo::Stop if run.is_none() && !is_awaited && ahead.peek().is_none() && vigil.due().is_none() => break,
                Todo::Rest | Todo::Stop => {}
            }
        }
        assert!(run.is_none() && !is_awaited, "it never came to rest");
        (whole, saw, world, stopped)
    }

    #[test]
    fn who_writes_all_the_time_is_not_taken_for_a_step() {
        for length in [2, 20, 60, 300, 1_000] {
            let person: Vec<(u64, u8)> = (0..300).map(|write| (write * 30, 0)).collect();
            let (whole, saw, world, stopped) = play(&person, length, &|_| ());
            assert!(!stopped && saw == world.files && whole < 100, "{length}: {whole} runs");
        }
    }

    proptest! {
        #[test]
        fn the_last_change_is_always_run(mut person in prop::collection::vec((0..5_000u64, 0..4u8), 0..30), length in 2..2_000u64) {
            person.sort_unstable();
            let (whole, saw, world, stopped) = play(&person, length, &|_| ());
            prop_assert!(whole > 0);
            prop_assert!(stopped || saw == world.files);
            prop_assert!(!stopped || person.len() > 7);
        }

        #[test]
        fn steps_that_write_what_they_read_come_to_rest(
            mut person in prop::collection::vec((0..5_000u64, 0..4u8), 0..5),
            length in 2..2_000u64,
            kind in 0..3u8,
        ) {
            person.sort_unstable();
            let (whole, saw, world, _) = play(&person, length, &|world| match kind {
                // The time, into a file.
                0 => world.write("f0"),
                // A new name each time.
                1 => world.write(&format!("log{}", world.writes)),
                // A formatter: what it has seen it leaves alone.
                _ if world.files["f0"] < 1_000_000 => {
                    let value = world.files["f0"];
                    world.writes += 1;
                    world.files.insert("f0".to_owned(), 1_000_000 + value);
                }
                _ => {}
            });
            prop_assert!(whole as usize <= 21 * (1 + person.len()), "{whole} runs");
            if kind == 2 {
                prop_assert_eq!(saw, world.files);
            }
        }
    }
}
