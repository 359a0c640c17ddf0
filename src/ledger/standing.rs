//! How an environment stands: what serves there, what is on its way, what was good and what was not.
//!
//! A fold over the entries, and nothing but that.

use std::time::Duration;

use jiff::Timestamp;

use super::entry::{Actor, Deed, Ended, Ending, Entry, Phase, Phasing, Started, Turned};
use super::history::{History, Recorded};

/// How long a clone that moves a deployment may be silent about it until another one may go on.
pub const LEASE: Duration = Duration::from_mins(15);

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
    /// Nobody knows what serves: why.
    pub lost: Option<String>,
}

/// A release that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The id of the release.
    pub release: String,
    /// The slot that it serves in, of a target that has some.
    pub slot: Option<String>,
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
    /// Where the ledger is shared: which clone moves it; `None` where the next one may.
    pub lease: Option<Lease>,
}

/// That a clone moves a deployment, and no other does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who.
    pub actor: Actor,
    /// Until when, unless there are more entries of it.
    pub until: Timestamp,
}

impl Lease {
    /// Returns the lease that the entry is, or makes longer; `None` where the ledger was not shared.
    fn of(entry: &Entry) -> Option<Self> {
        entry.actor.clone.as_ref()?;
        Some(Self { actor: entry.actor.clone(), until: entry.at.checked_add(LEASE).unwrap_or(Timestamp::MAX) })
    }
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
        self.prolong(entry);
        match &entry.deed {
            Deed::Released(_) | Deed::Approved(_) | Deed::Rejected(_) | Deed::IncidentOpened(_) | Deed::IncidentClosed(_) => {}
            Deed::Started(started) => {
                self.ongoing = Some(Ongoing {
                    deployment: recorded.digest.clone(),
                    started: (**started).clone(),
                    actor: entry.actor.clone(),
                    since: entry.at,
                    begun: Vec::new(),
                    done: Vec::new(),
                    turned: None,
                    lease: Lease::of(entry),
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
            Deed::Held(held) => {
                if let Some(ongoing) = self.ongoing_as(&held.deployment) {
                    ongoing.lease = Lease::of(entry);
                }
            }
            Deed::Unlocked(unlocked) => {
                if let Some(ongoing) = self.ongoing_as(&unlocked.deployment) {
                    ongoing.lease = None;
                }
            }
            Deed::Paused(hold) => self.paused = Some((hold.reason.clone(), entry.actor.clone(), entry.at)),
            Deed::Resumed(_) => self.paused = None,
        }
    }

    /// Returns the ongoing deployment, if it is this one: what is said of another is of no use.
    fn ongoing_as(&mut self, deployment: &str) -> Option<&mut Ongoing> {
        self.ongoing.as_mut().filter(|ongoing| ongoing.deployment == deployment)
    }

    /// Whatever the holder of a deployment says about it makes its lease longer.
    fn prolong(&mut self, entry: &Entry) {
        let Some(ongoing) = entry.deed.deployment().and_then(|deployment| self.ongoing_as(deployment)) else { return };
        if ongoing.lease.as_ref().is_some_and(|lease| lease.actor.clone == entry.actor.clone) {
            ongoing.lease = Lease::of(entry);
        }
    }

    fn phase(&mut self, Phasing { deployment, phase, .. }: &Phasing, is_done: bool, at: Timestamp) {
        let Some(ongoing) = self.ongoing_as(deployment) else {
            if is_done && matches!(phase, Phase::Shift(_)) {
                // Somebody who could not be reached has moved what others held to be over.
                self.lost = Some("two clones have moved releases there, and one did not know of the other".to_owned());
                if let Some(serves) = &mut self.serves {
                    serves.is_verified = false;
                }
            }
            return;
        };
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
        let started = &ongoing.started;
        let (release, slot) = match (&ongoing.turned, phase) {
            (None, Phase::Shift(100)) => (Some(started.release.clone()), started.slot.clone()),
            (Some(_), _) => (started.before.clone(), started.before_slot.clone()),
            (None, _) => return,
        };
        let deployment = deployment.clone();
        self.serves = release.map(|release| Serving { release, slot, deployment, since: at, is_verified: false });
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
                self.lost = Some(format!("a rollback failed: {reason}"));
                self.failed.push((ongoing.started.release, reason));
            }
        }
        if matches!(ended.result, Ending::Verified | Ending::RolledBack)
            && let Some(serves) = &mut self.serves
        {
            serves.is_verified = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Cause, Held, Unlocked};
    use super::*;

    fn entry(clone: &str, minute: i64, deed: Deed) -> Recorded {
        let actor = Actor { name: clone.to_owned(), email: String::new(), host: String::new(), clone: Some(clone.to_owned()) };
        let mut entry = Entry::now(actor, deed);
        entry.at = Timestamp::from_second(minute * 60).unwrap();
        Recorded { name: format!("commit {minute}"), digest: format!("digest {minute}"), entry }
    }

    fn started(cause: Cause) -> Deed {
        Deed::Started(Box::new(Started {
            environment: "e".to_owned(),
            release: "new".to_owned(),
            before: Some("old".to_owned()),
            slot: None,
            before_slot: None,
            commit: String::new(),
            plan: String::new(),
            cause,
            reason: None,
            accepted_drift: None,
        }))
    }

    fn phasing(phase: Phase) -> Phasing {
        Phasing { environment: "e".to_owned(), deployment: "digest 0".to_owned(), phase }
    }

    /// Who holds the deployment after these entries, and until which minute.
    fn held(entries: &[Recorded]) -> Option<(String, i64)> {
        let lease = History { entries: entries.to_vec() }.standing("e").ongoing.unwrap().lease?;
        Some((lease.actor.name, lease.until.as_second() / 60))
    }

    #[test]
    fn a_deployment_is_held_by_whoever_moves_it() {
        let (environment, deployment) = ("e".to_owned(), "digest 0".to_owned());
        let held_by = |clone: &str, minute| {
            entry(clone, minute, Deed::Held(Held { environment: environment.clone(), deployment: deployment.clone() }))
        };
        let mut entries = vec![entry("a", 0, started(Cause::Promote))];
        assert_eq!(held(&entries), Some(("a".to_owned(), 15)));
        entries.push(entry("a", 4, Deed::Doing(phasing(Phase::Start))));
        assert_eq!(held(&entries), Some(("a".to_owned(), 19)), "whatever it says makes it longer");
        let turned = Turned { environment: environment.clone(), deployment: deployment.clone(), reason: String::new() };
        entries.push(entry("b", 5, Deed::Turned(turned)));
        assert_eq!(held(&entries), Some(("a".to_owned(), 19)), "what another says does not");
        entries.push(held_by("a", 9));
        assert_eq!(held(&entries), Some(("a".to_owned(), 24)));
        let unlocked = Unlocked { environment: environment.clone(), deployment: deployment.clone(), reason: String::new() };
        entries.push(entry("a", 10, Deed::Unlocked(unlocked)));
        assert_eq!(held(&entries), None);
        entries.push(entry("a", 11, Deed::Done(phasing(Phase::Start))));
        assert_eq!(held(&entries), None);
        entries.push(held_by("b", 12));
        assert_eq!(held(&entries), Some(("b".to_owned(), 27)));
    }

    #[test]
    fn what_was_moved_after_its_end_is_not_known() {
        let end = Ended { environment: "e".to_owned(), deployment: "digest 0".to_owned(), result: Ending::Verified, reason: None };
        let mut entries = vec![
            entry("a", 0, started(Cause::Promote)),
            entry("a", 1, Deed::Done(phasing(Phase::Shift(100)))),
            entry("a", 2, Deed::Ended(end)),
        ];
        let standing = |entries: &[Recorded]| History { entries: entries.to_vec() }.standing("e");
        assert_eq!((standing(&entries).lost, standing(&entries).serves.unwrap().is_verified), (None, true));
        // Another clone took it back while it could not know of the end.
        entries.push(entry("b", 3, Deed::Doing(phasing(Phase::Shift(100)))));
        entries.push(entry("b", 4, Deed::Done(phasing(Phase::Shift(100)))));
        assert!(standing(&entries).lost.is_some() && !standing(&entries).serves.unwrap().is_verified);
    }
}
