//! A target of commands: they start a release beside the one that serves, shift traffic, and end what does not serve any more.
//!
//! Knows the order of things and what each command is told; how a command is run and how somebody is asked others know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::target::{Candidate, Observed, Target, TargetError};
use super::unpacked::Unpacked;
use super::vault::Vault;
use crate::model::stage::Step;
use crate::model::target::{Commands, Readiness};

/// What steps are told, by the name of the placeholder.
pub type Told = BTreeMap<String, String>;

/// A command as somebody else is to run it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Its environment, but for its secrets.
    pub env: BTreeMap<String, String>,
    /// The values of its secrets, which are masked wherever they show.
    pub secrets: BTreeMap<String, Option<String>>,
}

/// Runs what a target says.
pub trait Hands {
    /// Runs a command; what it leaves running stays.
    ///
    /// # Errors
    /// Where it fails.
    fn run(&mut self, step: &Step, told: &Told) -> Result<(), TargetError>;

    /// Runs a command that leaves nothing, and returns the last line that it prints, if there is any.
    ///
    /// # Errors
    /// Where it fails.
    fn ask(&mut self, step: &Step, told: &Told) -> Result<Option<String>, TargetError>;

    /// Returns a command as it would be run.
    ///
    /// # Errors
    /// Where it cannot be.
    fn prepare(&mut self, step: &Step, told: &Told) -> Result<Prepared, TargetError>;

    /// Waits until something can be used; `lost` says why it never will, where that is so.
    ///
    /// # Errors
    /// Where it cannot in the time that it has.
    fn wait(&mut self, ready: &Readiness, told: &Told, lost: &mut dyn FnMut() -> Option<String>) -> Result<(), TargetError>;

    /// Returns the sockets of this machine at which somebody answers that something can be used; `None` where nobody does, or that cannot be
    /// learnt.
    fn who_answers(&mut self, ready: &Readiness, told: &Told) -> Option<BTreeSet<u64>>;

    /// Waits so long.
    ///
    /// # Errors
    /// Where a signal came before the end.
    fn pause(&mut self, time: Duration) -> Result<(), TargetError>;
}

/// For how long one that was seen to be ready counts as that.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// A target of commands.
pub struct Command<'c> {
    commands: &'c Commands,
    environment: &'c str,
    releases: Unpacked<'c>,
    hands: Box<dyn Hands + 'c>,
    /// The release that was seen to be ready last, and when.
    ready: Option<(String, Instant)>,
    /// Who answered before the release was started that is started next.
    others: Option<BTreeSet<u64>>,
}

impl std::fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command").field("commands", &self.commands).finish_non_exhaustive()
    }
}

/// Returns what steps are told of a release that lies in `folder` and has this share of the traffic, in percent.
pub fn told(environment: &str, release: &Candidate, folder: &std::path::Path, weight: u8) -> Told {
    let mut told = release.slot.as_ref().map(|slot| slot.values.clone()).unwrap_or_default();
    told.extend(release.slot.iter().map(|slot| ("slot".to_owned(), slot.name.clone())));
    let dir = folder.to_string_lossy().into_owned();
    let own = [("release", release.id.clone()), ("environment", environment.to_owned()), ("dir", dir), ("weight", weight.to_string())];
    told.extend(own.map(|(name, value)| (name.to_owned(), value)));
    told
}

impl<'c> Command<'c> {
    /// Returns the target of these commands; the files of releases lie in `folder`, which is the environment's own.
    pub fn new(commands: &'c Commands, environment: &'c str, folder: PathBuf, vault: &'c Vault, hands: Box<dyn Hands + 'c>) -> Self {
        Self { commands, environment, releases: Unpacked::new(folder, vault, true), hands, ready: None, others: None }
    }

    fn told(&self, release: &Candidate, weight: u8) -> Result<Told, TargetError> {
        // A command that is told of no slot could do to one what it should do to the other.
        if release.slot.is_none() && !self.commands.slots.is_empty() {
            return Err(TargetError::Failed("it is not known in which slot the release is: it came before the target had any".to_owned()));
        }
        Ok(told(self.environment, release, &self.folder(release), weight))
    }

    fn wait(&mut self, release: &Candidate) -> Result<(), TargetError> {
        if let Some(ready) = &self.commands.ready {
            let told = self.told(release, 0)?;
            self.hands.wait(ready, &told, &mut || None)?;
        }
        self.ready = Some((release.id.clone(), Instant::now()));
        Ok(())
    }
}

impl Target for Command<'_> {
    fn folder(&self, release: &Candidate) -> PathBuf {
        self.releases.path(&release.id)
    }

    fn note_others(&mut self, release: &Candidate) -> Result<(), TargetError> {
        // Without a `stop` there may be servers that stay, and are only given other files.
        let can_tell = !self.commands.slots.is_empty() && self.commands.stop.is_some();
        if let Some(ready) = self.commands.ready.as_ref().filter(|_| can_tell) {
            let told = self.told(release, 0)?;
            self.others = self.hands.who_answers(ready, &told);
        }
        Ok(())
    }

    fn start(&mut self, release: &Candidate) -> Result<(), TargetError> {
        let told = self.told(release, 0)?;
        self.ready = None;
        self.releases.put(release, || Ok(())).map_err(|error| {
            let folder = self.folder(release);
            TargetError::Failed(format!("the release cannot be put into `{}`: {}", folder.display(), crate::base::program::plain(&error)))
        })?;
        let others = self.others.take();
        self.hands.run(&self.commands.start, &told)?;
        self.wait(release)?;
        let (Some(others), Some(ready)) = (others, &self.commands.ready) else { return Ok(()) };
        if self.hands.who_answers(ready, &told).is_some_and(|now| now.is_subset(&others)) {
            let port = told.get("port").map(|port| format!(" on port {port}")).unwrap_or_default();
            let why = format!("whoever answers{port} did so before the release was started there, so that is not the release");
            return Err(TargetError::Failed(why));
        }
        Ok(())
    }

    fn shift(&mut self, release: &Candidate, weight: u8) -> Result<(), TargetError> {
        // It may have been seen ready long ago, and have ended since.
        if weight > 0 && !self.ready.as_ref().is_some_and(|(id, when)| *id == release.id && when.elapsed() < FRESH) {
            self.wait(release)?;
        }
        let told = self.told(release, weight)?;
        self.commands.shift.as_ref().map_or(Ok(()), |shift| self.hands.run(shift, &told))
    }

    fn stop(&mut self, gone: Option<&Candidate>, kept: &[String]) -> Result<(), TargetError> {
        if let (Some(gone), Some(stop)) = (gone, &self.commands.stop) {
            let told = self.told(gone, 0)?;
            self.hands.run(stop, &told)?;
        }
        let pruned = self.releases.prune(kept, 0);
        pruned.map_err(|error| TargetError::Failed(format!("old releases cannot be removed: {}", crate::base::program::plain(&error))))
    }

    fn observe(&mut self, expected: Option<&Candidate>) -> Result<Observed, TargetError> {
        // Without a release there is nothing to tell it.
        let (Some(observe), Some(expected)) = (&self.commands.observe, expected) else { return Ok(Observed::Unknown) };
        let told = self.told(expected, 100)?;
        Ok(self.hands.ask(observe, &told)?.map_or(Observed::Nothing, Observed::Release))
    }
}

#[cfg(test)]
mod tests;
