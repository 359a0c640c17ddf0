//! How an environment stands: what serves there, what is on its way, what was good and what was not.
//!
//! A fold over the entries, and nothing but that.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::entry::{Actor, Answer, Cause, Deed, Ended, Ending, Entry, Looked, Phase, Phasing, Started, Turned};
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
    /// What is kept ready for a time, though it does not serve any more.
    pub kept: Option<Kept>,
    /// Every time that a release was verified here, the first first.
    pub verified: Vec<Verified>,
    /// What somebody took back though it was verified, and what was not verified again since: no rollback leads there by itself.
    pub withdrawn: Vec<String>,
    /// The releases that did not come in, with why, the first first; one that was verified since has not failed.
    pub failed: Vec<(String, String)>,
    /// The releases that may still run, by their slots: what was started there and not seen to end.
    pub started: BTreeMap<String, String>,
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
    /// The target that it serves by, by kind and name, where that is known.
    pub target: Option<String>,
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

/// The release before, which a deployment that is over has left ready.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The deployment.
    pub deployment: Ongoing,
    /// Until when.
    pub until: Timestamp,
}

/// A share of the traffic that a release has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How much, in percent.
    pub weight: u8,
    /// Since when.
    pub since: Timestamp,
    /// Somebody has said to go on.
    pub is_resumed: bool,
    /// How often it did not do well.
    pub failures: u32,
    /// How often in a row, the last time among them, that could not be told.
    pub errors: u32,
    /// When that was noted last.
    pub looked: Option<Timestamp>,
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
    /// The share of the traffic that the new release has, on the way to it.
    pub share: Option<Share>,
    /// Somebody has told it to stay as it is, until somebody says to go on.
    pub is_paused: bool,
    /// It is over, but for the release before, which was kept.
    pub is_verified: bool,
    /// Once it goes back: why, and which phases were done on that way.
    pub turned: Option<Back>,
    /// Where the ledger is shared: which clone moves it; `None` where the next one may.
    pub lease: Option<Lease>,
}

/// A release, and its slot if it has one.
pub type Placed<'o> = (&'o str, Option<&'o str>);

impl Ongoing {
    /// Returns the release that stays, and the one that goes, in the direction in which it goes now.
    pub fn ways(&self) -> (Option<Placed<'_>>, Option<Placed<'_>>) {
        let started = &self.started;
        let new = Some((started.release.as_str(), started.slot.as_deref()));
        let old = started.before.as_deref().map(|before| (before, started.before_slot.as_deref()));
        if self.turned.is_some() { (old, new) } else { (new, old) }
    }

    /// Returns the release that is to be ended. Where it was in the same place, what stays has taken it.
    pub fn goes(&self) -> Option<Placed<'_>> {
        let (stays, goes) = self.ways();
        goes.filter(|(_, slot)| stays.is_none_or(|(_, other)| other != *slot))
    }
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
    /// Why it did not come back.
    pub stuck: Option<String>,
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
    /// Returns the last release that was verified here and not taken back since, but for `except`.
    pub fn last_verified(&self, except: Option<&str>) -> Option<&Verified> {
        let is_meant = |release: &String| Some(release.as_str()) != except && !self.withdrawn.contains(release);
        self.verified.iter().rev().find(|verified| is_meant(&verified.release))
    }

    /// Tells since when a release counts as verified here: since the first time after which it was not taken back.
    pub fn verified_since(&self, release: &str) -> Option<Timestamp> {
        let since = self.verified.iter().find(|verified| verified.release == release).map(|verified| verified.at);
        since.filter(|_| self.withdrawn.iter().all(|withdrawn| withdrawn != release))
    }

    /// Tells whether this release serves for all that is known, and works.
    pub fn shows(&self, release: &str) -> bool {
        self.lost.is_none() && self.serves.as_ref().is_some_and(|serving| serving.release == release && serving.is_verified)
    }

    fn take(&mut self, recorded: &Recorded) {
        let entry = &recorded.entry;
        self.prolong(entry);
        match &entry.deed {
            Deed::Released(_) | Deed::Approved(_) | Deed::Rejected(_) | Deed::IncidentOpened(_) | Deed::IncidentClosed(_) => {}
            Deed::Started(started) => {
                // It comes to where the other is.
                self.kept = None;
                if started.cause == Cause::Rollback {
                    self.withdrawn.extend(started.before.clone());
                }
                self.ongoing = Some(Ongoing {
                    deployment: recorded.digest.clone(),
                    started: (**started).clone(),
                    actor: entry.actor.clone(),
                    since: entry.at,
                    begun: Vec::new(),
                    done: Vec::new(),
                    share: None,
                    is_paused: false,
                    is_verified: false,
                    turned: None,
                    lease: Lease::of(entry),
                });
            }
            Deed::Doing(phasing) => {
                if let Some(kept) = self.kept.take_if(|kept| kept.deployment.deployment == phasing.deployment) {
                    self.ongoing = Some(Ongoing { lease: Lease::of(entry), ..kept.deployment });
                }
                self.phase(phasing, false, entry.at);
            }
            Deed::Done(phasing) => {
                self.place(phasing);
                self.phase(phasing, true, entry.at);
            }
            Deed::Turned(Turned { deployment, reason, .. }) => {
                if let Some(ongoing) = self.ongoing_as(deployment)
                    && ongoing.turned.is_none()
                {
                    ongoing.turned = Some(Back { reason: reason.clone(), begun: Vec::new(), done: Vec::new(), stuck: None });
                }
            }
            Deed::Looked(looked) => self.look(looked, entry.at),
            Deed::Stuck(Turned { deployment, reason, .. }) => {
                if let Some(back) = self.ongoing_as(deployment).and_then(|ongoing| ongoing.turned.as_mut()) {
                    back.stuck = Some(reason.clone());
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
            Deed::Paused(hold) => self.hold(Some((hold.reason.clone(), entry.actor.clone(), entry.at))),
            Deed::Resumed(_) => self.hold(None),
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

    /// What is on its way stays as it is, or goes on. Whoever began it later knew what they did.
    fn hold(&mut self, paused: Option<(String, Actor, Timestamp)>) {
        if let Some(ongoing) = &mut self.ongoing {
            ongoing.is_paused = paused.is_some();
            if let Some(share) = &mut ongoing.share {
                share.is_resumed |= paused.is_none();
            }
        }
        self.paused = paused;
    }

    fn look(&mut self, looked: &Looked, at: Timestamp) {
        let share = self.ongoing_as(&looked.deployment).and_then(|ongoing| ongoing.share.as_mut());
        let Some(share) = share.filter(|share| share.weight == looked.weight) else { return };
        share.looked = Some(at);
        share.failures += u32::from(looked.answer == Answer::No);
        share.errors = if looked.answer == Answer::Unsure { share.errors + 1 } else { 0 };
    }

    /// Notes what runs in a slot once a phase is done.
    fn place(&mut self, Phasing { deployment, phase, reason, .. }: &Phasing) {
        let Some(ongoing) = self.ongoing_as(deployment) else { return };
        let moved = match phase {
            Phase::Start => ongoing.ways().0,
            Phase::Stop => ongoing.goes(),
            Phase::Provision | Phase::Shift(_) | Phase::Analyse(_) | Phase::Verify | Phase::Tell => None,
        };
        let Some((release, slot)) = moved.and_then(|(release, slot)| Some((release.to_owned(), slot?.to_owned()))) else { return };
        match (phase, reason) {
            (Phase::Stop, None) if self.started.get(&slot) != Some(&release) => {}
            (Phase::Stop, None) => drop(self.started.remove(&slot)),
            // Where another one was before, that is what runs.
            (Phase::Stop, Some(_)) => drop(self.started.entry(slot).or_insert(release)),
            _ => drop(self.started.insert(slot, release)),
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
        let is_new = !list.contains(phase);
        if is_new {
            list.push(*phase);
        }
        if let (Phase::Shift(weight), true, None) = (phase, is_done && is_new, &ongoing.turned) {
            ongoing.share = Some(Share { weight: *weight, since: at, is_resumed: false, failures: 0, errors: 0, looked: None });
        }
        if ongoing.is_verified && is_done && *phase == Phase::Stop && ongoing.turned.is_none() {
            self.ongoing = None;
            return;
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
        let (deployment, target) = (deployment.clone(), started.target.clone());
        self.serves = release.map(|release| Serving { release, slot, target, deployment, since: at, is_verified: false });
    }

    fn end(&mut self, ended: &Ended, at: Timestamp) {
        let Some(ongoing) = self.ongoing.take_if(|ongoing| ongoing.deployment == ended.deployment) else { return };
        let back = ongoing.turned.as_ref().map(|back| back.reason.clone());
        let reason = ended.reason.clone().or(back).unwrap_or_default();
        // One that never moved what serves says nothing of it.
        let came_back = || ongoing.turned.iter().flat_map(|back| &back.done).any(|phase| matches!(phase, Phase::Shift(_)));
        let is_shown = ended.result == Ending::Verified || (ended.result == Ending::RolledBack && came_back());
        match ended.result {
            Ending::Verified => {
                let (count, release) = (self.withdrawn.len(), &ongoing.started.release);
                self.withdrawn.retain(|withdrawn| withdrawn != release);
                if self.withdrawn.len() < count {
                    // That it was verified before it was taken back counts no more.
                    self.verified.retain(|verified| verified.release != *release);
                }
                self.failed.retain(|(release, _)| *release != ongoing.started.release);
                self.verified.push(Verified { release: ongoing.started.release.clone(), at });
                self.kept = ended.kept_until.map(|until| Kept { deployment: Ongoing { is_verified: true, ..ongoing }, until });
            }
            Ending::Unchanged | Ending::RolledBack => self.failed.push((ongoing.started.release, reason)),
            Ending::RollbackFailed => {
                self.lost = Some(format!("a rollback failed: {reason}"));
                self.failed.push((ongoing.started.release, reason));
            }
        }
        if is_shown {
            self.lost = None;
            if let Some(serves) = &mut self.serves {
                serves.is_verified = true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
