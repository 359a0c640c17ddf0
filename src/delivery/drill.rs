//! A trial of a target before it is used: two releases change places under load, and what that does to whoever asks is looked at.
//!
//! Knows what is done in which order; what is to be thought of what was seen `verdict` knows.

use std::io;

use super::load::{Load, Tally};
use super::target::{Candidate, Observed, Target, TargetError};

/// One of the two releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that serves first.
    Old,
    /// The one that takes over, and goes again.
    New,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A release is started.
    Start(Side),
    /// It gets this share of the traffic, in percent.
    Shift(Side, u8),
    /// The target is asked whether it serves.
    Observe(Side),
    /// It is ended.
    Stop(Side),
}

/// A part of a trial: an act, how often it is done in a row, and the share of the new release that is seen then, in percent.
type Scene = (Act, u32, Option<u8>);

/// Before anybody asks.
const OPENING: [Scene; 2] = [(Act::Start(Side::Old), 2, None), (Act::Shift(Side::Old, 100), 2, None)];

/// While everybody asks. The way back is made twice: once share by share and once as a rollback makes it, which ends the new release at once.
const UNDER_LOAD: [Scene; 12] = [
    (Act::Start(Side::Old), 1, Some(0)),
    (Act::Observe(Side::Old), 1, None),
    (Act::Start(Side::New), 2, Some(0)),
    (Act::Shift(Side::New, 0), 2, Some(0)),
    (Act::Shift(Side::New, 50), 2, Some(50)),
    (Act::Shift(Side::New, 100), 2, Some(100)),
    (Act::Observe(Side::New), 1, None),
    (Act::Shift(Side::New, 0), 2, Some(0)),
    (Act::Shift(Side::New, 100), 1, Some(100)),
    (Act::Shift(Side::Old, 100), 1, None),
    (Act::Stop(Side::New), 2, Some(0)),
    (Act::Observe(Side::Old), 1, None),
];

/// When nobody asks any more.
const END: [Scene; 2] = [(Act::Shift(Side::Old, 0), 1, None), (Act::Stop(Side::Old), 2, None)];

/// What was seen of a scene.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What was done.
    pub act: Act,
    /// How often in a row.
    pub times: u32,
    /// Why it could not be done.
    pub failed: Option<String>,
    /// What the target said of itself, where it was asked.
    pub observed: Option<Observed>,
    /// The share that the new release should have then, in percent, and who answered then.
    pub measured: Option<(u8, Tally)>,
    /// How many requests were lost meanwhile, and why the last one.
    pub lost: (u64, Option<String>),
}

/// A trial.
pub struct Drill<'d> {
    /// What is tried.
    pub target: &'d mut dyn Target,
    /// The old release and the new one, each in a slot of its own; they may be the same.
    pub releases: [&'d Candidate; 2],
    /// Begins to ask.
    pub load: &'d dyn Fn() -> io::Result<Load>,
    /// How many new connections each measurement takes.
    pub requests: u64,
    /// Returns the signal that has come, if one has.
    pub signal: &'d dyn Fn() -> Option<i32>,
    /// Is told what is done, and how often in a row.
    pub say: &'d mut dyn FnMut(Act, u32),
}

impl std::fmt::Debug for Drill<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drill").field("releases", &self.releases).finish_non_exhaustive()
    }
}

/// How a trial ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was seen, in its order.
    pub seen: Vec<Seen>,
    /// What was counted, of all requests.
    pub counted: Tally,
    /// The signal that came before the end.
    pub signal: Option<i32>,
    /// What may run still, and why.
    pub left: Vec<String>,
}

/// Where a trial breaks off.
enum Broken {
    /// What was to be done could not be.
    Failed,
    Signal(i32),
}

impl Drill<'_> {
    /// Makes the trial, as far as what is to be done can be. What it has started it ends.
    ///
    /// # Errors
    /// Where there is no load to be had; what was started is ended.
    pub fn run(mut self) -> io::Result<Outcome> {
        let mut outcome = Outcome { seen: Vec::new(), counted: Tally::default(), signal: None, left: Vec::new() };
        let played = self.play(&mut outcome)?;
        if let Err(Broken::Signal(signal)) = played {
            outcome.signal = Some(signal);
        }
        if played.is_err() {
            self.end_all(&mut outcome);
        }
        Ok(outcome)
    }

    fn play(&mut self, outcome: &mut Outcome) -> io::Result<Result<(), Broken>> {
        if let Err(broken) = self.scenes(&OPENING, None, &mut outcome.seen) {
            return Ok(Err(broken));
        }
        let load = match (self.load)() {
            Ok(load) => load,
            Err(error) => {
                self.end_all(outcome);
                return Err(error);
            }
        };
        let under_load = self.scenes(&UNDER_LOAD, Some(&load), &mut outcome.seen);
        outcome.counted = load.end();
        Ok(under_load.and_then(|()| self.scenes(&END, None, &mut outcome.seen)))
    }

    fn scenes(&mut self, scenes: &[Scene], load: Option<&Load>, seen: &mut Vec<Seen>) -> Result<(), Broken> {
        scenes.iter().try_for_each(|scene| {
            let (scene, broken) = self.scene(*scene, load);
            seen.push(scene);
            broken.map_or(Ok(()), Err)
        })
    }

    fn scene(&mut self, (act, times, weight): Scene, load: Option<&Load>) -> (Seen, Option<Broken>) {
        (self.say)(act, times);
        let before = load.map(|load| load.counted().lost);
        let mut seen = Seen { act, times, failed: None, observed: None, measured: None, lost: (0, None) };
        let mut broken = None;
        for time in 1..=times {
            let done = (self.signal)().map_or_else(|| self.act(act), |signal| Err(TargetError::Interrupted(signal)));
            match done {
                Ok(observed) => seen.observed = observed,
                Err(TargetError::Interrupted(signal)) => broken = Some(Broken::Signal(signal)),
                Err(TargetError::Failed(why) | TargetError::Unable(why)) => {
                    let again = if time > 1 { "when it was done again: " } else { "" };
                    seen.failed = Some(format!("{again}{why}"));
                    // What cannot be told changes nothing.
                    broken = (!matches!(act, Act::Observe(_))).then_some(Broken::Failed);
                }
            }
            if broken.is_some() || seen.failed.is_some() {
                break;
            }
        }
        if let (Some(load), Some(weight), None) = (load, weight, &broken) {
            let tally = load.measure(self.requests, || (self.signal)().is_none());
            if tally.answered() == 0 && act == Act::Start(Side::Old) && (self.signal)().is_none() {
                // Where nobody is heard from the beginning, nothing else can be seen.
                broken = Some(Broken::Failed);
            }
            seen.measured = Some((weight, tally));
        }
        if let (Some(load), Some(before)) = (load, before) {
            let counted = load.counted();
            seen.lost = (counted.lost - before, counted.why.filter(|_| counted.lost > before));
        }
        (seen, broken)
    }

    fn act(&mut self, act: Act) -> Result<Option<Observed>, TargetError> {
        let [old, new] = self.releases;
        let release = |side| if side == Side::Old { old } else { new };
        match act {
            Act::Start(side) => self.target.start(release(side)).map(|()| None),
            Act::Shift(side, weight) => self.target.shift(release(side), weight).map(|()| None),
            Act::Observe(side) => self.target.observe(Some(release(side))).map(Some),
            Act::Stop(side) => {
                let stays = if side == Side::New { vec![old.id.clone()] } else { Vec::new() };
                self.target.stop(Some(release(side)), &stays).map(|()| None)
            }
        }
    }

    /// Ends what was started.
    fn end_all(&mut self, outcome: &mut Outcome) {
        let was_begun = |side| outcome.seen.iter().any(|seen| seen.act == Act::Start(side));
        let acts = [(Side::New, Act::Shift(Side::Old, 100)), (Side::New, Act::Stop(Side::New))];
        let acts = acts.into_iter().chain([(Side::Old, Act::Shift(Side::Old, 0)), (Side::Old, Act::Stop(Side::Old))]);
        for act in acts.filter(|(side, _)| was_begun(*side)).map(|(_, act)| act).collect::<Vec<_>>() {
            (self.say)(act, 1);
            // Where it is shifted to is of no matter any more.
            if let (Err(error), Act::Stop(_)) = (self.act(act), act) {
                outcome.left.push(error.to_string());
            }
        }
    }
}
