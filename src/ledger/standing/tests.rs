//! What entries come to.

use super::*;
use crate::ledger::entry::{Held, Unlocked};

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
        target: None,
        accepted_drift: None,
    }))
}

fn phasing(phase: Phase) -> Phasing {
    Phasing { environment: "e".to_owned(), deployment: "digest 0".to_owned(), phase, reason: None }
}

/// Who holds the deployment after these entries, and until which minute.
fn held(entries: &[Recorded]) -> Option<(String, i64)> {
    let lease = History { entries: entries.to_vec() }.standing("e").ongoing.unwrap().lease?;
    Some((lease.actor.name, lease.until.as_second() / 60))
}

#[test]
fn a_deployment_is_held_by_whoever_moves_it() {
    let (environment, deployment) = ("e".to_owned(), "digest 0".to_owned());
    let held_by =
        |clone: &str, minute| entry(clone, minute, Deed::Held(Held { environment: environment.clone(), deployment: deployment.clone() }));
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
    let end =
        Ended { environment: "e".to_owned(), deployment: "digest 0".to_owned(), result: Ending::Verified, kept_until: None, reason: None };
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

#[test]
fn what_was_verified_since_has_not_failed() {
    let ended = |deployment: &str, result| {
        let (environment, deployment) = ("e".to_owned(), deployment.to_owned());
        Deed::Ended(Ended { environment, deployment, result, kept_until: None, reason: Some("why".to_owned()) })
    };
    let mut entries = vec![entry("a", 0, started(Cause::Promote)), entry("a", 1, ended("digest 0", Ending::RolledBack))];
    let failed = |entries: &[Recorded]| History { entries: entries.to_vec() }.standing("e").failed;
    assert_eq!(failed(&entries), [("new".to_owned(), "why".to_owned())]);
    entries.push(entry("a", 2, started(Cause::Promote)));
    assert_eq!(failed(&entries).len(), 1, "it is not known yet");
    entries.push(entry("a", 3, ended("digest 2", Ending::Verified)));
    assert_eq!(failed(&entries), []);
}

/// What is written of deployments in slots, one after the other.
#[derive(Default)]
struct Book(Vec<Recorded>);

impl Book {
    fn write(&mut self, deed: Deed) -> String {
        let minute = i64::try_from(self.0.len()).unwrap();
        self.0.push(entry("a", minute, deed));
        format!("digest {minute}")
    }

    fn begin(&mut self, (release, slot): (&str, &str), before: Option<(&str, &str)>) -> String {
        let Deed::Started(mut begun) = started(Cause::Promote) else { unreachable!() };
        (begun.release, begun.slot) = (release.to_owned(), Some(slot.to_owned()));
        (begun.before, begun.before_slot) = (before.map(|(id, _)| id.to_owned()), before.map(|(_, slot)| slot.to_owned()));
        self.write(Deed::Started(begun))
    }

    fn done(&mut self, deployment: &str, phase: Phase, reason: Option<&str>) {
        let reason = reason.map(str::to_owned);
        self.write(Deed::Done(Phasing { deployment: deployment.to_owned(), reason, ..phasing(phase) }));
    }

    fn turn(&mut self, deployment: &str, is_stuck: bool) {
        let turned = Turned { environment: "e".to_owned(), deployment: deployment.to_owned(), reason: String::new() };
        self.write(if is_stuck { Deed::Stuck(turned) } else { Deed::Turned(turned) });
    }

    fn end(&mut self, deployment: &str, result: Ending) {
        let (environment, deployment) = ("e".to_owned(), deployment.to_owned());
        self.write(Deed::Ended(Ended { environment, deployment, result, kept_until: None, reason: None }));
    }

    fn verify(&mut self, new: (&str, &str), before: Option<(&str, &str)>, stop: Option<&str>) {
        let name = self.begin(new, before);
        [Phase::Start, Phase::Shift(100), Phase::Verify].into_iter().for_each(|phase| self.done(&name, phase, None));
        self.done(&name, Phase::Stop, stop);
        self.end(&name, Ending::Verified);
    }

    fn standing(&self) -> Standing {
        History { entries: self.0.clone() }.standing("e")
    }

    /// The slots of what may still run, and what that is.
    fn started(&self) -> Vec<(String, String)> {
        self.standing().started.into_iter().collect()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(slot, release)| ((*slot).to_owned(), (*release).to_owned())).collect()
}

#[test]
fn what_was_not_seen_to_end_may_still_run() {
    let mut book = Book::default();
    book.verify(("a", "blue"), None, None);
    book.verify(("b", "green"), Some(("a", "blue")), Some("it is stuck"));
    assert_eq!(book.started(), pairs(&[("blue", "a"), ("green", "b")]));
    // One that came to nothing in the slot, and was ended, says nothing of who was there before.
    let name = book.begin(("c", "blue"), Some(("b", "green")));
    book.turn(&name, false);
    book.done(&name, Phase::Stop, None);
    book.end(&name, Ending::RolledBack);
    assert_eq!(book.started(), pairs(&[("blue", "a"), ("green", "b")]));
    book.verify(("c", "blue"), Some(("b", "green")), None);
    assert_eq!(book.started(), pairs(&[("blue", "c")]));
    // Without a slot what comes takes the place of what was there.
    let mut flat = Book::default();
    let name = flat.write(started(Cause::Promote));
    flat.done(&name, Phase::Start, None);
    assert_eq!(flat.started(), []);
}

#[test]
fn what_was_not_moved_back_is_not_known_by_that() {
    let mut book = Book::default();
    book.verify(("a", "blue"), None, None);
    let name = book.begin(("b", "green"), Some(("a", "blue")));
    [Phase::Start, Phase::Shift(100)].into_iter().for_each(|phase| book.done(&name, phase, None));
    book.turn(&name, false);
    book.turn(&name, true);
    book.end(&name, Ending::RollbackFailed);
    assert!(book.standing().lost.is_some());
    // The next one does not even start: what serves is as little known as before.
    let name = book.begin(("c", "blue"), Some(("b", "green")));
    book.turn(&name, false);
    book.done(&name, Phase::Stop, None);
    book.end(&name, Ending::RolledBack);
    let standing = book.standing();
    assert!(standing.lost.is_some() && !standing.serves.unwrap().is_verified);
    book.verify(("d", "blue"), Some(("b", "green")), None);
    let standing = book.standing();
    assert!(standing.lost.is_none() && standing.serves.unwrap().is_verified);
}

#[test]
fn what_was_taken_back_counts_only_once_it_is_verified_again() {
    let mut book = Book::default();
    book.verify(("a", "blue"), None, None);
    book.verify(("b", "green"), Some(("a", "blue")), None);
    let since = |book: &Book, release: &str| book.standing().verified_since(release).map(|at| at.as_second() / 60);
    let (first, second) = (since(&book, "a"), since(&book, "b"));
    assert!(first.is_some() && second.is_some() && book.standing().shows("b"));
    let name = book.begin(("a", "blue"), Some(("b", "green")));
    let Deed::Started(begun) = &mut book.0.last_mut().unwrap().entry.deed else { unreachable!() };
    begun.cause = Cause::Rollback;
    [Phase::Start, Phase::Shift(100), Phase::Verify, Phase::Stop].into_iter().for_each(|phase| book.done(&name, phase, None));
    book.end(&name, Ending::Verified);
    assert_eq!((since(&book, "a"), since(&book, "b")), (first, None));
    book.verify(("b", "green"), Some(("a", "blue")), None);
    assert!(since(&book, "b") > second, "the first time counts no more");
}
