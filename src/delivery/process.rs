//! A target that is a process: each release has one of its own, behind a listener that a supervisor keeps.
//!
//! Knows what the supervisor is to be asked, and when; what it does with that is its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::command::{FRESH, Hands, told};
use super::target::{Candidate, Observed, Target, TargetError};
use super::unpacked::Unpacked;
use super::vault::Vault;
use crate::base::program::plain;
use crate::exec::probe::is_taken;
use crate::model::stage::Step;
use crate::model::target;
use crate::supervisor::place::{AskError, Place};
use crate::supervisor::request::{Launch, Look, PORT, Request, Sight};

/// The variable that names the port.
const VARIABLE: &str = "PORT";

/// What is seen where something should serve and no supervisor runs.
pub const NO_SUPERVISOR: &str = "nothing: no supervisor runs";

/// How often it is looked whether a release has ended.
const TICK: Duration = Duration::from_millis(20);

/// A process behind a listener.
pub struct Process<'p> {
    settings: &'p target::Process,
    environment: &'p str,
    releases: Unpacked<'p>,
    place: Place,
    /// Starts the supervisor.
    serve: Step,
    hands: Box<dyn Hands + 'p>,
    /// The release that was seen to be ready last, at which port, and when.
    ready: Option<(String, u16, Instant)>,
}

impl std::fmt::Debug for Process<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").field("settings", &self.settings).field("place", &self.place).finish_non_exhaustive()
    }
}

impl<'p> Process<'p> {
    /// Returns the target whose supervisor is at `place`, and is started by `serve` where none runs; the files of releases lie in `folder`,
    /// which is the environment's own.
    pub fn new(
        settings: &'p target::Process,
        environment: &'p str,
        (folder, vault): (PathBuf, &'p Vault),
        (place, serve): (Place, Step),
        hands: Box<dyn Hands + 'p>,
    ) -> Self {
        Self { settings, environment, releases: Unpacked::new(folder, vault, true), place, serve, hands, ready: None }
    }

    /// Sees to it that a supervisor runs.
    fn supervise(&mut self) -> Result<(), TargetError> {
        loop {
            match self.place.ask(&Request::Observe) {
                Ok(sight) if sight.ending => self.hands.pause(TICK)?,
                Ok(_) => return Ok(()),
                Err(AskError::Absent) => {
                    self.hands.run(&self.serve, &super::command::Told::new())?;
                    return self.ask(&Request::Observe).map(drop);
                }
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    fn ask(&self, request: &Request) -> Result<Sight, TargetError> {
        self.place.ask(request).map_err(|error| failed(&error))
    }

    /// Waits until the release is ready, which is to be in its slot.
    fn wait(&mut self, release: &Candidate) -> Result<(), TargetError> {
        let slot = slot(release)?;
        let look = find(&self.ask(&Request::Observe)?, slot, &release.id).map_err(TargetError::Failed)?;
        let mut told = told(self.environment, release, &self.folder(release), 0);
        told.insert("port".to_owned(), look.port.to_string());
        let place = &self.place;
        // One that has ended will not get ready, whoever answers there now.
        let mut lost =
            || place.ask(&Request::Observe).map_err(|error| error.to_string()).and_then(|sight| find(&sight, slot, &release.id)).err();
        self.hands.wait(&self.settings.ready, &told, &mut lost)?;
        self.ready = Some((release.id.clone(), look.port, Instant::now()));
        Ok(())
    }

    /// Has a release end, and waits until it has.
    fn end(&mut self, gone: &Candidate) -> Result<(), TargetError> {
        let (slot, release) = (slot(gone)?.to_owned(), gone.id.clone());
        loop {
            match self.place.ask(&Request::Stop { slot: slot.clone(), release: release.clone() }) {
                Ok(sight) if !sight.leaving.iter().any(|look| look.slot == slot && look.release == release) => return Ok(()),
                Ok(_) => {}
                Err(AskError::Absent) => {
                    let forgotten = self.place.forget(&slot, &release);
                    return forgotten
                        .map_err(|error| TargetError::Failed(format!("the supervisor's file cannot be changed: {}", plain(&error))));
                }
                // What it serves is only known when it has ended.
                Err(AskError::Refused(_)) if self.place.ask(&Request::Observe).is_ok_and(|sight| sight.ending) => {}
                Err(error) => return Err(failed(&error)),
            }
            self.hands.pause(TICK)?;
        }
    }
}

fn failed(error: &AskError) -> TargetError {
    TargetError::Failed(error.to_string())
}

/// Returns the name of the slot of a release.
fn slot(release: &Candidate) -> Result<&str, TargetError> {
    // It came by a target of another kind.
    let lost = || TargetError::Failed("it is not known in which slot the release is".to_owned());
    release.slot.as_ref().map(|slot| slot.name.as_str()).ok_or_else(lost)
}

/// Returns how a release looks that runs in its slot; else why it does not.
fn find(sight: &Sight, slot: &str, release: &str) -> Result<Look, String> {
    let look = sight.in_slot(slot).filter(|look| look.release == release);
    let look = look.ok_or_else(|| format!("the supervisor has not got the release in the slot `{slot}`"))?;
    match &look.down {
        Some(why) => Err(format!("{why} (see `{}`)", sight.log.display())),
        None => Ok(look.clone()),
    }
}

impl Target for Process<'_> {
    fn folder(&self, release: &Candidate) -> PathBuf {
        self.releases.path(&release.id)
    }

    fn start(&mut self, release: &Candidate) -> Result<(), TargetError> {
        let slot = slot(release)?.to_owned();
        self.ready = None;
        let folder = self.folder(release);
        self.releases
            .put(release, || Ok(()))
            .map_err(|error| TargetError::Failed(format!("the release cannot be put into `{}`: {}", folder.display(), plain(&error))))?;
        self.supervise()?;
        let mut told = told(self.environment, release, &folder, 0);
        told.insert("port".to_owned(), PORT.to_owned());
        let prepared = self.hands.prepare(&self.settings.start, &told)?;
        let mut env = prepared.env;
        env.insert(VARIABLE.to_owned(), PORT.to_owned());
        // The checkout that this is called in may go away.
        let dir = folder.join(&self.settings.start.dir);
        let launch = Launch { words: prepared.words, dir, env, secrets: prepared.secrets, drain: self.settings.drain };
        self.ask(&Request::Start { slot, release: release.id.clone(), launch })?;
        self.wait(release)
    }

    fn shift(&mut self, release: &Candidate, weight: u8) -> Result<(), TargetError> {
        self.supervise()?;
        if weight > 0 {
            // It may have been seen ready long ago, and be another process by now.
            let slot = slot(release)?;
            let port = self.ask(&Request::Observe)?.in_slot(slot).map(|look| look.port);
            let is_seen = |(id, at, when): &(String, u16, Instant)| *id == release.id && Some(*at) == port && when.elapsed() < FRESH;
            if !self.ready.as_ref().is_some_and(is_seen) {
                self.wait(release)?;
            }
        }
        let (slot, release) = (slot(release)?.to_owned(), release.id.clone());
        self.ask(&Request::Shift { slot, release, weight }).map(drop)
    }

    fn stop(&mut self, gone: Option<&Candidate>, kept: &[String]) -> Result<(), TargetError> {
        gone.map_or(Ok(()), |gone| self.end(gone))?;
        let pruned = self.releases.prune(kept, 0);
        pruned.map_err(|error| TargetError::Failed(format!("old releases cannot be removed: {}", plain(&error))))
    }

    fn observe(&mut self, expected: Option<&Candidate>) -> Result<Observed, TargetError> {
        let sight = match self.place.ask(&Request::Observe) {
            Err(AskError::Absent) if expected.is_none() => return Ok(Observed::Nothing),
            Err(AskError::Absent) => return Ok(Observed::Other(NO_SUPERVISOR.to_owned())),
            sight => sight.map_err(|error| failed(&error))?,
        };
        let serving: Vec<&Look> = sight.slots.iter().filter(|look| look.weight > 0).collect();
        Ok(match serving.as_slice() {
            [] => Observed::Nothing,
            [Look { release, down: None, port, .. }] if is_taken(*port) => Observed::Release(release.clone()),
            [Look { release, down: None, port, .. }] => Observed::Other(format!("{release}, which does not listen on its port {port}")),
            [Look { release, down: Some(why), .. }] => Observed::Other(format!("{release}, which does not run: {why}")),
            several => {
                let each = several.iter().map(|look| format!("{} with {} %", look.release, look.weight));
                Observed::Other(each.collect::<Vec<_>>().join(" and "))
            }
        })
    }
}
