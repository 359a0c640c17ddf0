//! Does what an environment itself says while a release comes in: its steps, its analysis, what is told when it goes back, and to wait.

use std::cell::RefCell;
use std::time::Duration;

use super::crew::{Crew, Task};
use super::screen::Screen;
use super::signals::{self, Rest};
use crate::base::placeholder::fill;
use crate::base::program::plain;
use crate::base::text::visible;
use crate::delivery::analysis::Look;
use crate::delivery::command::{Told, told};
use crate::delivery::staff::Staff;
use crate::delivery::target::{Candidate, Target, TargetError};
use crate::ledger::entry::{Answer, Phase, short};
use crate::model::event::{EventKind, Stream};
use crate::model::outcome::{Exit, Failure, FailureKind};

/// How an analysis says by how many samples it judges, on a line of its own.
const SAMPLES: &str = "samples=";

/// Shows by the steps of a commit that a release works which is told so; `None` where these are the environment's own.
pub(super) type VerifyAs<'s> = dyn Fn(&str, &Told, &mut Screen) -> Option<Result<(), TargetError>> + 's;

/// The staff of an environment.
pub(super) struct Crewed<'s, 'c> {
    pub(super) crew: &'s Crew<'s>,
    /// Knows where the files of releases lie.
    pub(super) folder: &'s dyn Target,
    /// Shared with whoever does what the target says.
    pub(super) screen: &'s RefCell<&'c mut Screen>,
    /// What is to be said at the end.
    pub(super) warnings: Vec<String>,
    /// Shows that a release works which is told so, by the steps of another commit.
    pub(super) verify_as: &'s VerifyAs<'s>,
    pub(super) rest: Rest,
}

impl Crewed<'_, '_> {
    fn told(&self, release: &Candidate, weight: u8) -> Told {
        told(&self.crew.environment.name, release, &self.folder.folder(release), weight)
    }
}

impl Staff for Crewed<'_, '_> {
    fn provision(&mut self, release: &Candidate) -> Result<(), TargetError> {
        let (steps, told) = (&self.crew.environment.provision, self.told(release, 100));
        let task = Task { phase: &Phase::Provision.to_string(), steps, told: &told, lets_stay: false, again: None };
        self.crew.run(&task, &mut self.screen.borrow_mut()).map(|_| ())
    }

    fn verify(&mut self, release: &Candidate, proof: Option<&str>) -> Result<(), TargetError> {
        let told = self.told(release, 100);
        let screen = &mut self.screen.borrow_mut();
        let (failed, proof) = match (self.crew.verify(&told, screen), proof) {
            (Err(TargetError::Failed(reason) | TargetError::Unable(reason)), Some(proof)) => (reason, proof),
            (verified, _) => return verified,
        };
        // What is checked out now may ask for what it never had, or be what is broken.
        match (self.verify_as)(proof, &told, screen) {
            None => Err(TargetError::Failed(failed)),
            Some(Ok(())) => {
                self.warnings
                    .push(format!("verify: {failed}; by the steps of the commit {}, which have shown it before, it works", short(proof)));
                Ok(())
            }
            Some(Err(TargetError::Failed(reason) | TargetError::Unable(reason))) => {
                Err(TargetError::Failed(format!("{failed}; as the commit {} says: {reason}", short(proof))))
            }
            Some(Err(interrupted @ TargetError::Interrupted(_))) => Err(interrupted),
        }
    }

    fn look(&mut self, canary: &Candidate, stable: Option<&Candidate>, weight: u8) -> Result<Look, TargetError> {
        let Some(analysis) = &self.crew.environment.rollout.analysis else {
            return Err(TargetError::Failed("there is no analysis".to_owned()));
        };
        let mut told = self.told(canary, weight);
        told.extend([("canary".to_owned(), canary.address()), ("stable".to_owned(), stable.map(Candidate::address).unwrap_or_default())]);
        let task = Task { phase: "analysis", steps: std::slice::from_ref(&analysis.run), told: &told, lets_stay: false, again: None };
        let screen = &mut self.screen.borrow_mut();
        let unsure = |said: String| Look { answer: Answer::Unsure, samples: None, said };
        let (exit, run) = match self.crew.try_run(&task, screen) {
            Ok(done) => done,
            Err(failing) => {
                let exit = screen.explain(failing);
                return Ok(unsure(format!("it could not be run (exit code {})", exit.code())));
            }
        };
        if let Exit::Interrupted(signal) = exit {
            return Err(TargetError::Interrupted(signal));
        }
        let (mut printed, mut failure) = (Vec::new(), None);
        let heard = self.crew.hear(&run, |kind| {
            if let EventKind::Output { stream: Stream::Stdout, text, .. } = &kind {
                printed.extend_from_slice(text);
            }
            if let EventKind::StageFinished(finished) = kind {
                failure = finished.failure;
            }
        });
        if let Err(error) = heard {
            return Ok(unsure(format!("what it says cannot be read: {}", plain(&error))));
        }
        let command = analysis.run.command.with_texts(|text| fill(text, |name| told.get(name).map(String::as_str)));
        let shown = visible(&command.show()).into_owned();
        Ok(answer(exit, &String::from_utf8_lossy(&printed), failure.as_ref(), &shown))
    }

    fn tell(&mut self, release: &Candidate, reason: &str) -> Result<(), TargetError> {
        let mut told = self.told(release, 0);
        // No command may hold it, so it is a variable and nothing else.
        told.insert("reason".to_owned(), reason.to_owned());
        let steps = &self.crew.environment.rollout.on_abort;
        let task = Task { phase: &Phase::Tell.to_string(), steps, told: &told, lets_stay: false, again: None };
        self.crew.run(&task, &mut self.screen.borrow_mut()).map(|_| ())
    }

    fn wait(&mut self, time: Duration) -> Result<(), TargetError> {
        self.rest.take(time).map_err(|error| TargetError::Failed(plain(&error)))?;
        signals::came().map_or(Ok(()), |signal| Err(TargetError::Interrupted(signal)))
    }

    fn say(&mut self, line: &str) {
        self.screen.borrow_mut().progress(&format!("{}: {line}", self.crew.environment.name));
    }

    fn warn(&mut self, line: &str) {
        self.warnings.push(line.to_owned());
    }
}

/// Returns what an analysis says that ended so.
fn answer(exit: Exit, printed: &str, failure: Option<&Failure>, shown: &str) -> Look {
    let lines = || printed.lines().map(str::trim).filter(|line| !line.is_empty());
    // What is no number takes back what was said before.
    let samples = lines().filter_map(|line| line.strip_prefix(SAMPLES)).next_back().and_then(|number| number.trim().parse().ok());
    let says_no = |failure: &&Failure| failure.kind == FailureKind::Exit && failure.code != Some(i32::from(Exit::Waiting.code()));
    let (answer, verb) = match failure {
        None if exit == Exit::Passed => (Answer::Yes, "says yes"),
        Some(failure) if says_no(&failure) => (Answer::No, "says no"),
        Some(failure) if failure.kind == FailureKind::Timeout => (Answer::Unsure, "takes too long"),
        Some(failure) if failure.kind == FailureKind::Exit => (Answer::Unsure, "cannot tell"),
        Some(_) | None => (Answer::Unsure, "could not be run"),
    };
    let last = failure.and_then(Failure::last_line);
    let last = last.or_else(|| lines().next_back()).map(|line| format!(": {}", visible(line))).unwrap_or_default();
    Look { answer, samples, said: format!("`{shown}` {verb}{last}") }
}
