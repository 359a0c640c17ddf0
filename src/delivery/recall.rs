//! A deployment that is told to go back while somebody works on it: what they do then is cut short.
//!
//! Knows when; what the work is, and how it is ended, others know.

use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use jiff::Timestamp;

use super::rollout::later;
use crate::exec::processes::Apart;
use crate::ledger::history::History;
use crate::ledger::journal::Journal;
use crate::ledger::standing::Ongoing;

/// How often somebody who waits or works looks whether the deployment was told to go back, and how often in the clones that share the ledger.
pub(super) const LISTEN: Duration = Duration::from_millis(250);
pub(super) const LISTEN_FAR: Duration = Duration::from_secs(15);

/// Works for a deployment on its way forward, and calls `cut` again and again once that is told to go back, until the work is over. The way
/// back is never cut short.
pub(super) fn unless_recalled<T>(
    journal: &Journal,
    environment: &str,
    ongoing: &Ongoing,
    cut: &(dyn Fn() + Sync),
    work: impl FnOnce() -> T,
) -> T {
    if ongoing.turned.is_some() {
        return work();
    }
    std::thread::scope(|scope| {
        // It ends with the work, also where that panics.
        let (_working, worked) = bounded::<()>(0);
        scope.spawn(move || {
            let _apart = Apart::this_thread();
            let (mut last, mut listened, mut is_told) = (None, Timestamp::now(), false);
            while worked.recv_timeout(LISTEN) == Err(RecvTimeoutError::Timeout) {
                // What cannot be heard now is heard another time.
                let head = journal.head().unwrap_or_default();
                if !is_told && head != last {
                    is_told = journal.read().is_ok_and(|history| recalled(&history, environment, ongoing).is_some());
                    last = head;
                }
                if is_told {
                    cut();
                } else if journal.is_shared() && later(listened, LISTEN_FAR) <= Timestamp::now() {
                    let _another_time = journal.sync();
                    listened = Timestamp::now();
                }
            }
        });
        work()
    })
}

/// Returns why the deployment is told to go back, if it is and was not as `ongoing` has it.
pub(super) fn recalled(history: &History, environment: &str, ongoing: &Ongoing) -> Option<String> {
    let now = history.standing(environment).ongoing.filter(|now| now.deployment == ongoing.deployment)?;
    now.turned.filter(|_| ongoing.turned.is_none()).map(|back| back.reason)
}
