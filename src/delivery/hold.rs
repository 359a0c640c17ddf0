//! Which clone moves a deployment, where several share the ledger: who takes it up says so, and says so again as long as it lasts.

use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};

use crate::exec::processes::Apart;
use crate::ledger::entry::{Cause, Deed, Held, Unlocked};
use crate::ledger::error::LedgerError;
use crate::ledger::history::History;
use crate::ledger::journal::Journal;
use crate::ledger::shared::Reach;
use crate::ledger::standing::{LEASE, Ongoing};

/// Why a deployment is left to whoever comes next.
pub(super) const WAITS: &str = "it waits";
pub(super) const INTERRUPTED: &str = "it was interrupted";

/// Returns who must know of what is done for the deployment: on the way forward all, on the way back whoever can be reached.
pub fn reach(ongoing: &Ongoing) -> Reach {
    if ongoing.turned.is_some() || ongoing.started.cause == Cause::Rollback { Reach::Here } else { Reach::All }
}

/// Takes up the deployment of this name, unless another clone has it.
///
/// # Errors
/// Where the ledger cannot be read or written.
pub fn take(journal: &Journal, environment: &str, deployment: &str, history: History) -> Result<History, LedgerError> {
    let Some(ongoing) = history.standing(environment).ongoing.filter(|_| journal.is_shared()) else { return Ok(history) };
    journal.add(reach(&ongoing), &mut |history| {
        let now = history.standing(environment).ongoing.filter(|now| now.deployment == deployment)?;
        let is_free = !journal.holds(&now) && journal.held_elsewhere(&now).is_none();
        is_free.then(|| held(environment, deployment))
    })
}

/// Says that the deployment of this name is on us from here on, whoever had it: nobody can be asked.
///
/// # Errors
/// Where the ledger cannot be read or written.
pub fn seize(journal: &Journal, environment: &str, deployment: &str) -> Result<History, LedgerError> {
    journal.add(Reach::Here, &mut |history| {
        let now = history.standing(environment).ongoing.filter(|now| now.deployment == deployment)?;
        (!journal.holds(&now)).then(|| held(environment, deployment))
    })
}

/// Leaves the deployment of this name to whoever comes next, for this reason, where it is on us.
///
/// # Errors
/// Where the ledger cannot be read or written.
pub(super) fn release(journal: &Journal, environment: &str, deployment: &str, reason: &str) -> Result<(), LedgerError> {
    if !journal.is_shared() {
        return Ok(());
    }
    journal.add(Reach::Most, &mut |history| {
        let now = history.standing(environment).ongoing.filter(|now| now.deployment == deployment)?;
        let (environment, deployment, reason) = (environment.to_owned(), deployment.to_owned(), reason.to_owned());
        journal.holds(&now).then_some(Deed::Unlocked(Unlocked { environment, deployment, reason }))
    })?;
    Ok(())
}

/// Works, and keeps the deployment meanwhile: work may take longer than a lease.
pub(super) fn keeping<T>(journal: &Journal, environment: &str, ongoing: &Ongoing, work: impl FnOnce() -> T) -> T {
    if !journal.is_shared() {
        return work();
    }
    std::thread::scope(|scope| {
        // It ends with the work, also where that panics.
        let (_working, worked) = bounded::<()>(0);
        scope.spawn(move || {
            let _apart = Apart::this_thread();
            renew(journal, environment, ongoing, LEASE / 3, &mut |pause| worked.recv_timeout(pause) == Err(RecvTimeoutError::Timeout));
        });
        work()
    })
}

/// Says each time that it is still on us, as long as it is and `is_on` says after such a pause that it goes on. Where that cannot be said now it
/// may be later, and whoever takes over meanwhile is seen with the next entry.
fn renew(journal: &Journal, environment: &str, ongoing: &Ongoing, pause: Duration, is_on: &mut dyn FnMut(Duration) -> bool) {
    while is_on(pause) {
        let _another_time = journal.add(reach(ongoing), &mut |history| {
            let now = history.standing(environment).ongoing.filter(|now| now.deployment == ongoing.deployment)?;
            journal.holds(&now).then(|| held(environment, &ongoing.deployment))
        });
    }
}

fn held(environment: &str, deployment: &str) -> Deed {
    Deed::Held(Held { environment: environment.to_owned(), deployment: deployment.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::git::repo::Repository;
    use crate::ledger::entry::Started;

    fn git(folder: &Path, words: &[&str]) {
        duct::cmd("git", words).dir(folder).stdout_null().run().unwrap();
    }

    fn clone(folder: &Path, name: &str) -> Journal {
        git(folder, &["clone", "-q", "far", name]);
        Journal::open(Repository::find(&folder.join(name)).unwrap(), true).unwrap()
    }

    /// Who said something about the deployment, in the order in which they did.
    fn said(journal: &Journal, ongoing: &Ongoing) -> Vec<String> {
        let entries = journal.read().unwrap().entries.into_iter().map(|recorded| recorded.entry);
        entries.filter(|entry| entry.deed.deployment() == Some(&ongoing.deployment)).map(|entry| entry.actor.clone.unwrap()).collect()
    }

    #[test]
    fn a_deployment_is_kept_as_long_as_nobody_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        git(&folder, &["init", "-q", "--bare", "far"]);
        let (ours, theirs) = (clone(&folder, "ours"), clone(&folder, "theirs"));
        let started = Started {
            environment: "site".to_owned(),
            release: "new".to_owned(),
            before: None,
            slot: None,
            before_slot: None,
            commit: String::new(),
            plan: String::new(),
            cause: Cause::Promote,
            reason: None,
            target: None,
            accepted_drift: None,
        };
        let history = ours.add(Reach::All, &mut |_| Some(Deed::Started(Box::new(started.clone())))).unwrap();
        let ongoing = history.standing("site").ongoing.unwrap();
        let times = |count: usize| {
            let mut left = count;
            move |_: Duration| {
                left = left.saturating_sub(1);
                left > 0
            }
        };
        renew(&ours, "site", &ongoing, LEASE, &mut times(3));
        let own = ongoing.lease.as_ref().unwrap().actor.clone.clone().unwrap();
        assert_eq!(said(&ours, &ongoing), [own.clone(), own.clone()]);
        // It is not taken from us by one who asks, only by one who may not ask.
        theirs.sync().unwrap();
        let history = take(&theirs, "site", &ongoing.deployment, theirs.read().unwrap()).unwrap();
        assert!(theirs.held_elsewhere(&history.standing("site").ongoing.unwrap()).is_some());
        let history = seize(&theirs, "site", &ongoing.deployment).unwrap();
        assert!(theirs.holds(&history.standing("site").ongoing.unwrap()));
        renew(&ours, "site", &ongoing, LEASE, &mut times(3));
        let now = ours.read().unwrap().standing("site").ongoing.unwrap();
        assert!(!ours.holds(&now) && ours.held_elsewhere(&now).is_some(), "what another has is not kept, and that is known");
        assert_eq!(said(&ours, &ongoing).len(), 3);
        assert_eq!(keeping(&ours, "site", &ongoing, || 7), 7);
    }
}
