//! The measures of a ledger that a person has computed.

use super::*;
use crate::ledger::entry::{Actor, Ended, Entry, Phasing, Released, Turned};
use crate::ledger::history::Recorded;
use crate::ledger::incident::{Closed, Opened};

/// A ledger that is written minute by minute.
#[derive(Default)]
struct Book(History);

impl Book {
    /// Writes what was done in that minute; returns the name of the entry.
    fn write(&mut self, minute: i64, deed: Deed) -> String {
        let actor = Actor { name: String::new(), email: String::new(), host: String::new(), clone: None };
        let mut entry = Entry::now(actor, deed);
        entry.at = Timestamp::from_second(minute * 60).unwrap();
        let digest = format!("entry {}", self.0.entries.len());
        self.0.entries.push(Recorded { name: digest.clone(), digest: digest.clone(), entry });
        digest
    }

    fn release(&mut self, release: &str) {
        let released = Released {
            release: release.repeat(64),
            name: release.to_owned(),
            pipeline: String::new(),
            commit: format!("commit {release}"),
            dirty: false,
            author: String::new(),
            committed_at: Timestamp::UNIX_EPOCH,
            stages: Vec::new(),
            evidence: None,
            artifacts: 0,
            size: 0,
            irreversible: false,
        };
        self.write(0, Deed::Released(Box::new(released)));
    }

    /// Brings a release in from one minute to another; returns the name of the deployment.
    fn deploy(&mut self, (from, to): (i64, i64), release: &str, before: Option<&str>, cause: Cause, result: Ending) -> String {
        let started = Started {
            environment: "e".to_owned(),
            release: release.repeat(64),
            before: before.map(|before| before.repeat(64)),
            slot: None,
            before_slot: None,
            commit: String::new(),
            plan: String::new(),
            cause,
            reason: None,
            target: None,
            accepted_drift: None,
        };
        let name = self.write(from, Deed::Started(Box::new(started)));
        let (environment, deployment) = ("e".to_owned(), name.clone());
        if result != Ending::Unchanged {
            let phase = Phase::Shift(100);
            self.write(
                from,
                Deed::Doing(Phasing { environment: environment.clone(), deployment: deployment.clone(), phase, reason: None }),
            );
        }
        if result != Ending::Verified {
            let reason = String::new();
            self.write(from + 1, Deed::Turned(Turned { environment: environment.clone(), deployment: deployment.clone(), reason }));
        }
        self.write(to, Deed::Ended(Ended { environment, deployment, result, kept_until: None, reason: None }));
        name
    }

    fn open(&mut self, minute: i64, deployment: &str) -> String {
        let (environment, deployment) = ("e".to_owned(), deployment.to_owned());
        self.write(minute, Deed::IncidentOpened(Opened { environment, deployment, reason: String::new() }))
    }

    fn close(&mut self, minute: i64, incident: &str) {
        let (environment, incident) = ("e".to_owned(), incident.to_owned());
        self.write(minute, Deed::IncidentClosed(Closed { environment, incident, reason: String::new() }));
    }

    fn measured(&self, since: i64, now: i64) -> Metrics {
        let since = Timestamp::from_second(since * 60).unwrap();
        // One commit each, written in the minute 0, but for the first, which has two.
        let commits = |before: Option<&str>, commit: &str| {
            let count = if before.is_none() { 2 } else { 1 };
            assert!(before != Some(commit) && commit.starts_with("commit "));
            vec![0; count]
        };
        measure(&self.0, &["e".to_owned()], Some(since), Timestamp::from_second(now * 60).unwrap(), &commits)
    }
}

/// Six deployments in two days, three of which failed; computed by hand.
#[test]
fn the_measures_are_those_that_a_person_computes() {
    let mut book = Book::default();
    ["a", "b", "c", "d", "f", "9"].into_iter().for_each(|release| book.release(release));
    // 1: fine for a day. Two commits, 10 minutes old.
    let first = book.deploy((5, 10), "a", None, Cause::Promote, Ending::Verified);
    // 2: goes back by itself: told in the minute 101, over in the minute 103.
    book.deploy((100, 103), "b", Some("a"), Cause::Promote, Ending::RolledBack);
    // What never got traffic is none.
    book.deploy((110, 111), "b", Some("a"), Cause::Promote, Ending::Unchanged);
    // 3: follows a failure. One commit, 200 minutes old. Users feel it from the minute 210 on.
    let third = book.deploy((195, 200), "c", Some("a"), Cause::Promote, Ending::Verified);
    let incident = book.open(210, &third);
    // 4: made while that was open. One commit, 230 minutes old.
    book.deploy((220, 230), "d", Some("c"), Cause::Promote, Ending::Verified);
    book.close(240, &incident);
    // 5: planned again. One commit, 1,000 minutes old. Taken back by hand from the minute 1,100 on, over in the minute 1,105.
    book.deploy((990, 1_000), "f", Some("d"), Cause::Promote, Ending::Verified);
    book.deploy((1_100, 1_105), "d", Some("f"), Cause::Rollback, Ending::Verified);
    // 6: mends that. One commit, 2,000 minutes old.
    book.deploy((1_990, 2_000), "9", Some("d"), Cause::Promote, Ending::Verified);
    let metrics = book.measured(0, 2 * 24 * 60);
    assert_eq!((metrics.deployments, metrics.deployments_per_day), (6, Some(3.0)));
    // 10, 10, 200, 230, 1,000 and 2,000 minutes.
    assert_eq!(metrics.lead_time_seconds, Some(215 * 60));
    // 2, 3 and 5.
    assert_eq!(metrics.change_fail_rate, Some(0.5));
    // 2, 30 and 5 minutes.
    assert_eq!(metrics.recovery_seconds, Some(5 * 60));
    // 3, 4 and 6.
    assert_eq!(metrics.rework_rate, Some(0.5));
    // Of the last two, one failed and one was not planned for.
    let last = book.measured(500, 2 * 24 * 60);
    assert_eq!((last.deployments, last.change_fail_rate, last.rework_rate), (2, Some(0.5), Some(0.5)));
    assert_eq!(last.recovery_seconds, Some(5 * 60));
    // As long as an incident is open nothing has recovered from it; and two of one deployment are one failure.
    book.open(1_020, &first);
    let other = book.open(1_050, &first);
    book.close(1_060, &other);
    let open = book.measured(0, 2 * 24 * 60);
    assert_eq!((open.change_fail_rate, open.recovery_seconds), (Some(4.0 / 6.0), Some(5 * 60)));
}

#[test]
fn one_that_was_taken_back_before_users_saw_it_is_no_failure() {
    let mut book = Book::default();
    book.release("b");
    let (environment, deployment) = ("e".to_owned(), book.deploy((1, 9), "b", Some("a"), Cause::Promote, Ending::Unchanged));
    let doing = |phase| Deed::Doing(Phasing { environment: environment.clone(), deployment: deployment.clone(), phase, reason: None });
    // Behind its beginning it has no traffic; behind its turn the release before gets all of it.
    for (place, deed) in [(2, doing(Phase::Shift(0))), (4, doing(Phase::Shift(100)))] {
        let mut entry = book.0.entries[place - 1].clone();
        entry.entry.deed = deed;
        book.0.entries.insert(place, entry);
    }
    assert!(matches!(book.0.entries[3].entry.deed, Deed::Turned(_)), "{:?}", book.0);
    assert_eq!(book.measured(0, 24 * 60).deployments, 0);
}

#[test]
fn nothing_is_measured_where_nothing_was_done() {
    let metrics = Book::default().measured(0, 1);
    assert_eq!((metrics.deployments, metrics.deployments_per_day, metrics.change_fail_rate), (0, None, None));
    assert_eq!((metrics.lead_time_seconds, metrics.recovery_seconds, metrics.rework_rate), (None, None, None));
}
