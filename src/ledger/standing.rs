//! How an environment stands: what serves there, what is on its way, what was good and what was not.
//!
//! A fold over the entries, and nothing but that.

use jiff::Timestamp;

use super::entry::{Actor, Deed, Ended, Ending, Phase, Phasing, Started, Turned};
use super::history::{History, Recorded};

/// How an environment stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// The release that serves.
    pub serves: Option<Serving>,
    /// The deployment that is on its way.
    pub ongoing: Option<Ongoing>,
    /// Every time that a release was verified here, the first first.
    pub verified: Vec<Verified>,
    /// The deployments that did not come to their end, with why, the first first.
    pub failed: Vec<(String, String)>,
    /// Why automation leaves it alone, who said so, and when.
    pub paused: Option<(String, Actor, Timestamp)>,
    /// A rollback failed, so that nobody knows what serves: why.
    pub lost: Option<String>,
}

/// A release that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The id of the release.
    pub release: String,
    /// The deployment that brought it.
    pub deployment: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether it was shown to work.
    pub is_verified: bool,
}

/// A release that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The id of the release.
    pub release: String,
    /// When.
    pub at: Timestamp,
}

/// A deployment that is on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Ongoing {
    /// Its name.
    pub deployment: String,
    /// What it is about.
    pub started: Started,
    /// Who began it, and when.
    pub actor: Actor,
    /// When it began.
    pub since: Timestamp,
    /// Which phases were begun on the way to the new release, in their order.
    pub begun: Vec<Phase>,
    /// Which of them were done.
    pub done: Vec<Phase>,
    /// Once it goes back: why, and which phases were done on that way.
    pub turned: Option<Back>,
}

/// A deployment's way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    /// Why.
    pub reason: String,
    /// Which phases were begun.
    pub begun: Vec<Phase>,
    /// Which of them were done.
    pub done: Vec<Phase>,
}

impl History {
    /// Returns how the environment of this name stands.
    pub fn standing(&self, environment: &str) -> Standing {
        let mut standing = Standing::default();
        for recorded in self.entries.iter().filter(|recorded| recorded.entry.deed.environment() == Some(environment)) {
            standing.take(recorded);
        }
        standing
    }
}

impl Standing {
    /// Returns the last release that was verified here, but for `except`.
    pub fn last_verified(&self, except: Option<&str>) -> Option<&Verified> {
        self.verified.iter().rev().find(|verified| Some(verified.release.as_str()) != except)
    }

    /// Tells since when a release counts as verified here: since the first time after which it never failed.
    pub fn verified_since(&self, release: &str) -> Option<Timestamp> {
        self.verified.iter().find(|verified| verified.release == release).map(|verified| verified.at)
    }

    fn take(&mut self, recorded: &Recorded) {
        let entry = &recorded.entry;
        match &entry.deed {
            Deed::Released(_) | Deed::Approved(_) | Deed::Rejected(_) => {}
            Deed::Started(started) => {
                self.ongoing = Some(Ongoing {
                    deployment: recorded.name.clone(),
                    started: (**started).clone(),
                    actor: entry.actor.clone(),
                    since: entry.at,
                    begun: Vec::new(),
                    done: Vec::new(),
                    turned: None,
                });
            }
            Deed::Doing(phasing) => self.phase(phasing, false, entry.at),
            Deed::Done(phasing) => self.phase(phasing, true, entry.at),
            Deed::Turned(Turned { deployment, reason, .. }) => {
                if let Some(ongoing) = self.ongoing_as(deployment)
                    && ongoing.turned.is_none()
                {
                    ongoing.turned = Some(Back { reason: reason.clone(), begun: Vec::new(), done: Vec::new() });
                }
            }
            Deed::Ended(ended) => self.end(ended, entry.at),
            Deed::Paused(hold) => self.paused = Some((hold.reason.clone(), entry.actor.clone(), entry.at)),
            Deed::Resumed(_) => self.paused = None,
        }
    }

    /// Returns the ongoing deployment, if it is this one: what is said of another is of no use.
    fn ongoing_as(&mut self, deployment: &str) -> Option<&mut Ongoing> {
        self.ongoing.as_mut().filter(|ongoing| ongoing.deployment == deployment)
    }

    fn phase(&mut self, Phasing { deployment, phase, .. }: &Phasing, is_done: bool, at: Timestamp) {
        let Some(ongoing) = self.ongoing_as(deployment) else { return };
        let (begun, done) = match &mut ongoing.turned {
            Some(back) => (&mut back.begun, &mut back.done),
            None => (&mut ongoing.begun, &mut ongoing.done),
        };
        let list = if is_done { done } else { begun };
        if !list.contains(phase) {
            list.push(*phase);
        }
        if !is_done || !matches!(phase, Phase::Shift(_)) {
            return;
        }
        let release = match (&ongoing.turned, phase) {
            (None, Phase::Shift(100)) => Some(ongoing.started.release.clone()),
            (Some(_), _) => ongoing.started.before.clone(),
            (None, _) => return,
        };
        let deployment = deployment.clone();
        self.serves = release.map(|release| Serving { release, deployment, since: at, is_verified: false });
    }

    fn end(&mut self, ended: &Ended, at: Timestamp) {
        let Some(ongoing) = self.ongoing.take_if(|ongoing| ongoing.deployment == ended.deployment) else { return };
        let reason = ended.reason.clone().or_else(|| ongoing.turned.map(|back| back.reason)).unwrap_or_default();
        match ended.result {
            Ending::Verified => {
                self.verified.push(Verified { release: ongoing.started.release, at });
                self.lost = None;
            }
            Ending::Unchanged => self.failed.push((ongoing.started.release, reason)),
            Ending::RolledBack => {
                self.failed.push((ongoing.started.release, reason));
                self.lost = None;
            }
            Ending::RollbackFailed => {
                self.failed.push((ongoing.started.release, reason.clone()));
                self.lost = Some(reason);
            }
        }
        if matches!(ended.result, Ending::Verified | Ending::RolledBack)
            && let Some(serves) = &mut self.serves
        {
            serves.is_verified = true;
        }
    }
}
