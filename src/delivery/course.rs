//! From the ledger to a deployment in hindsight.

use jiff::Timestamp;

use crate::ledger::entry::{Answer, Cause, Deed, Ended, Ending, Looked, Phase, Phasing, Started, short};
use crate::ledger::history::History;
use crate::report::course::{Course, End, Moment, Sight, What};

/// Returns the deployment of this name, as far as it is known `now`; `None` where there is none.
pub fn course(history: &History, deployment: &str, now: Timestamp) -> Option<Course> {
    let place = history.entries.iter().position(|recorded| recorded.digest == deployment)?;
    let entry = &history.entries[place].entry;
    let Deed::Started(started) = &entry.deed else { return None };
    let mut course = begun(history, deployment, started, entry.at, &format!("{} on {}", entry.actor.name, entry.actor.host));
    course.until = now.max(entry.at);
    let mut goes_back = false;
    for recorded in &history.entries[place + 1..] {
        let (at, deed) = (recorded.entry.at, &recorded.entry.deed);
        let is_its = deed.deployment().map_or(deed.environment() == Some(&started.environment), |name| name == deployment);
        if !is_its {
            continue;
        }
        if let Deed::Started(_) = deed {
            // Another one has taken its place.
            course.until = at;
            break;
        }
        if let Deed::Ended(ended) = deed {
            (course.until, course.end) = (at, end(ended));
            break;
        }
        goes_back |= matches!(deed, Deed::Turned(_));
        take(&mut course.moments, at, deed, goes_back);
    }
    Some(course)
}

fn begun(history: &History, deployment: &str, started: &Started, at: Timestamp, by: &str) -> Course {
    let called = |id: &String| history.release(id).map_or_else(|_| short(id).to_owned(), |(_, released)| released.name.clone());
    Course {
        environment: started.environment.clone(),
        release: called(&started.release),
        before: started.before.as_ref().map(called),
        is_rollback: started.cause == Cause::Rollback,
        reason: started.reason.clone(),
        deployment: deployment.to_owned(),
        commit: started.commit.clone(),
        by: by.to_owned(),
        began: at,
        until: at,
        end: End::Open,
        moments: Vec::new(),
    }
}

fn end(ended: &Ended) -> End {
    let reason = ended.reason.clone().unwrap_or_default();
    match ended.result {
        Ending::Verified => End::Verified,
        Ending::Unchanged => End::Unchanged(reason),
        Ending::RolledBack => End::Back(reason),
        Ending::RollbackFailed => End::Lost(reason),
    }
}

/// Adds what an entry says of the deployment, which goes back or not.
fn take(moments: &mut Vec<Moment>, at: Timestamp, deed: &Deed, goes_back: bool) {
    let what = match deed {
        Deed::Doing(Phasing { phase, .. }) => {
            What::Phase { name: phase.to_string(), share: share(*phase, goes_back), done: None, trouble: None }
        }
        Deed::Done(Phasing { phase: Phase::Analyse(weight), .. }) => What::Look { share: *weight, sight: Sight::Yes, said: None },
        Deed::Done(Phasing { phase, reason, .. }) => {
            finish(moments, &phase.to_string(), at, reason.as_ref());
            return;
        }
        Deed::Looked(Looked { weight, answer, reason, .. }) => {
            let sight = match answer {
                Answer::Yes => Sight::Yes,
                Answer::No => Sight::No,
                Answer::Unsure => Sight::Unsure,
            };
            What::Look { share: *weight, sight, said: reason.clone() }
        }
        Deed::Turned(turned) => What::Back(turned.reason.clone()),
        Deed::Stuck(stuck) => What::Stuck(stuck.reason.clone()),
        Deed::Paused(hold) => What::Held(hold.reason.clone()),
        Deed::Resumed(hold) => What::GoesOn(hold.reason.clone()),
        Deed::Unlocked(unlocked) => What::Left(unlocked.reason.clone()),
        Deed::Released(_)
        | Deed::Started(_)
        | Deed::Ended(_)
        | Deed::Held(_)
        | Deed::Approved(_)
        | Deed::Rejected(_)
        | Deed::IncidentOpened(_)
        | Deed::IncidentClosed(_) => return,
    };
    let is_again = |last: &Moment| matches!((&last.what, &what), (What::Phase { name, done: None, .. }, What::Phase { name: again, .. }) if name == again);
    // After a kill it is begun once more.
    if !moments.last().is_some_and(is_again) {
        moments.push(Moment { at, what });
    }
}

/// Notes that the phase of this name, which was begun last, is done, or for this reason did not work.
fn finish(moments: &mut [Moment], phase: &str, at: Timestamp, reason: Option<&String>) {
    for moment in moments.iter_mut().rev() {
        if let What::Phase { name, done, trouble, .. } = &mut moment.what
            && name == phase
        {
            *trouble = reason.cloned();
            *done = done.or(Some(at));
            return;
        }
    }
}

/// Returns the share of the traffic that the new release has after a phase: on the way back another one has it.
fn share(phase: Phase, goes_back: bool) -> Option<u8> {
    match phase {
        Phase::Shift(_) if goes_back => Some(0),
        Phase::Shift(weight) => Some(weight),
        Phase::Provision | Phase::Start | Phase::Analyse(_) | Phase::Verify | Phase::Stop | Phase::Tell => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::entry::{Actor, Entry, Turned};
    use crate::ledger::history::Recorded;

    fn history(deeds: Vec<Deed>) -> History {
        let actor = Actor { name: "ann".to_owned(), email: String::new(), host: "box".to_owned(), clone: None };
        let entries = deeds.into_iter().enumerate().map(|(place, deed)| {
            let mut entry = Entry::now(actor.clone(), deed);
            entry.at = second(place);
            Recorded { name: place.to_string(), digest: place.to_string(), entry }
        });
        History { entries: entries.collect() }
    }

    fn second(place: usize) -> Timestamp {
        Timestamp::from_second(i64::try_from(place).unwrap()).unwrap()
    }

    #[test]
    fn the_way_there_and_back_is_told_with_its_shares() {
        let (environment, deployment) = ("e".to_owned(), "0".to_owned());
        let started = Started {
            environment: environment.clone(),
            release: "a-long-id-of-new".to_owned(),
            before: Some("old".to_owned()),
            slot: None,
            before_slot: None,
            commit: "c".to_owned(),
            plan: String::new(),
            cause: Cause::Promote,
            reason: None,
            target: None,
            accepted_drift: None,
        };
        let phasing = |phase| Phasing { environment: environment.clone(), deployment: deployment.clone(), phase, reason: None };
        let (doing, done) = (|phase| Deed::Doing(phasing(phase)), |phase| Deed::Done(phasing(phase)));
        let looked =
            Looked { environment: environment.clone(), deployment: deployment.clone(), weight: 5, answer: Answer::Unsure, reason: None };
        let turned = Turned { environment: environment.clone(), deployment: deployment.clone(), reason: "slow".to_owned() };
        let result = Ending::RolledBack;
        let ended = Ended { environment: environment.clone(), deployment: deployment.clone(), result, kept_until: None, reason: None };
        let deeds = vec![
            Deed::Started(Box::new(started)),
            doing(Phase::Shift(5)),
            // It was killed.
            doing(Phase::Shift(5)),
            done(Phase::Shift(5)),
            Deed::Looked(looked),
            done(Phase::Analyse(5)),
            Deed::Turned(turned),
            doing(Phase::Shift(100)),
            done(Phase::Shift(100)),
            doing(Phase::Stop),
            Deed::Done(Phasing { reason: Some("it is stuck".to_owned()), ..phasing(Phase::Stop) }),
            Deed::Ended(ended),
            done(Phase::Stop),
        ];
        let history = history(deeds);
        let course = course(&history, "0", second(99)).unwrap();
        assert_eq!((course.release.as_str(), course.end.clone(), course.until), ("a-long-id-of", End::Back(String::new()), second(11)));
        assert_eq!(course.shares(), [(second(0), 0), (second(3), 5), (second(8), 0)]);
        let sights = course.moments.iter().filter_map(|moment| if let What::Look { sight, .. } = moment.what { Some(sight) } else { None });
        assert_eq!(sights.collect::<Vec<_>>(), [Sight::Unsure, Sight::Yes]);
        assert_eq!(course.moments.len(), 6);
        let trouble = |moment: &Moment| if let What::Phase { trouble, .. } = &moment.what { trouble.clone() } else { None };
        assert_eq!(course.moments.iter().filter_map(trouble).collect::<Vec<_>>(), ["it is stuck"]);
        // One that is on its way is told until now.
        let open = History { entries: history.entries[..4].to_vec() };
        let course = super::course(&open, "0", second(99)).unwrap();
        assert_eq!((course.end, course.until), (End::Open, second(99)));
        assert!(super::course(&open, "1", second(99)).is_none(), "that is no deployment");
    }
}
