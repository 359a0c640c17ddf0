//! From every prefix to the end, there and back.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ledger::entry::{Actor, Started};
use crate::ledger::standing::Back;
use crate::model::stage::{Command, Step};

fn step() -> Step {
    let command = Command::Shell("true".to_owned());
    Step { label: "run".into(), command, dir: String::new(), env: BTreeMap::new(), timeout: None, retries: 0 }
}

fn rollout(weights: &[u8]) -> Rollout {
    Rollout { weights: weights.to_vec(), pause: Pause::For(Duration::ZERO), analysis: None, keep: None, on_abort: Vec::new() }
}

fn watched(weights: &[u8], pause: Pause) -> Rollout {
    let analysis = Analysis { run: step(), every: Duration::from_secs(10), failures: 0, errors: 0, min_samples: 0 };
    Rollout { pause, analysis: Some(analysis), keep: Some(Duration::from_secs(9)), on_abort: vec![step()], ..rollout(weights) }
}

fn shape(rollout: &Rollout, replaces: bool) -> Shape<'_> {
    Shape { provisions: true, verifies: true, replaces, has_default: false, rollout }
}

fn ongoing(has_before: bool, cause: Cause) -> Ongoing {
    let started = Started {
        environment: "e".to_owned(),
        release: "new".to_owned(),
        before: has_before.then(|| "old".to_owned()),
        slot: None,
        before_slot: None,
        commit: String::new(),
        plan: String::new(),
        cause,
        reason: None,
        target: None,
        accepted_drift: None,
    };
    Ongoing {
        deployment: String::new(),
        started,
        actor: Actor { name: String::new(), email: String::new(), host: String::new(), clone: None },
        since: Timestamp::UNIX_EPOCH,
        begun: Vec::new(),
        done: Vec::new(),
        share: None,
        is_paused: false,
        is_verified: false,
        turned: None,
        lease: None,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Notes that a phase was done then, as the ledger does.
fn note(ongoing: &mut Ongoing, phase: Phase, now: Timestamp) {
    if let Some(back) = &mut ongoing.turned {
        back.done.push(phase);
        return;
    }
    ongoing.done.push(phase);
    if let Phase::Shift(weight) = phase {
        ongoing.share = Some(Share { weight, since: now, is_resumed: false, failures: 0, errors: 0, looked: None });
    }
}

fn turn(ongoing: &mut Ongoing) {
    ongoing.turned = Some(Back { reason: String::new(), begun: Vec::new(), done: Vec::new(), stuck: None });
}

/// What is done, one after the other, for a deployment that goes back once `turns` were begun; all that is waited for comes.
fn way(mut ongoing: Ongoing, shape: Shape<'_>, turns: Option<usize>) -> (Vec<Phase>, Ending) {
    let (mut all, mut now) = (Vec::new(), Timestamp::UNIX_EPOCH);
    for _ in 0..1000 {
        let phase = match next(&ongoing, shape, now) {
            Move::End(ending) => return (all, ending),
            Move::Wait(Wait::Until(until)) | Move::Look(_, Some(Wait::Until(until))) => {
                assert!(until > now, "it waits for what is over");
                now = until;
                continue;
            }
            Move::Wait(Wait::Resume) | Move::Look(_, Some(Wait::Resume)) => {
                ongoing.share.as_mut().unwrap().is_resumed = true;
                continue;
            }
            Move::Look(weight, None) => Phase::Analyse(weight),
            Move::Do(phase) => phase,
        };
        all.push(phase);
        if ongoing.turned.is_none() {
            ongoing.begun.push(phase);
            if turns == Some(ongoing.begun.len()) {
                turn(&mut ongoing);
                continue;
            }
        }
        note(&mut ongoing, phase, now);
    }
    panic!("it never ends: {all:?}");
}

#[test]
fn the_way_back_undoes_what_was_begun() {
    use Phase::{Provision, Shift, Start, Stop, Verify};
    let rollout = rollout(&[100]);
    let all = |has_before, replaces, turns| way(ongoing(has_before, Cause::Promote), shape(&rollout, replaces), turns).0;
    assert_eq!(all(true, false, None), [Provision, Start, Shift(100), Verify, Stop]);
    let back = |has_before, replaces, turns| all(has_before, replaces, Some(turns)).split_off(turns);
    for replaces in [false, true] {
        assert_eq!(back(true, replaces, 1), []);
        for turns in 3..=5 {
            assert_eq!(back(true, replaces, turns), [Start, Shift(100), Verify, Stop]);
            assert_eq!(back(false, replaces, turns), [Shift(0), Stop]);
        }
    }
    // What was only started has nothing of the one before, unless it took its place.
    assert_eq!((back(true, false, 2), back(false, false, 2)), (vec![Stop], vec![Stop]));
    assert_eq!(back(true, true, 2), [Start, Shift(100), Verify, Stop]);
    assert_eq!(back(false, true, 2), [Shift(0), Stop]);
}

#[test]
fn a_release_takes_over_share_by_share() {
    use Phase::{Analyse, Provision, Shift, Start, Stop, Tell, Verify};
    let rollout = watched(&[5, 50, 100], Pause::Manual);
    let tried = way(ongoing(true, Cause::Promote), shape(&rollout, false), None);
    let expected = vec![Provision, Start, Shift(5), Analyse(5), Shift(50), Analyse(50), Shift(100), Verify];
    assert_eq!(tried, (expected, Ending::Verified), "what was before is kept");
    let at_once = (vec![Provision, Start, Shift(100), Verify, Stop], Ending::Verified);
    assert_eq!(way(ongoing(false, Cause::Promote), shape(&rollout, false), None), at_once, "nothing served");
    let beside_a_default = Shape { has_default: true, ..shape(&rollout, false) };
    assert_eq!(way(ongoing(false, Cause::Promote), beside_a_default, None).0[2..4], [Shift(5), Analyse(5)]);
    let (back, _) = way(ongoing(false, Cause::Promote), beside_a_default, Some(3));
    assert_eq!(back[3..], [Shift(0), Stop, Tell]);
    assert_eq!(way(ongoing(true, Cause::Rollback), shape(&rollout, false), None), at_once, "it was good before");
    let blue_green = Rollout { keep: None, ..watched(&[100], Pause::Manual) };
    let at_all = vec![Provision, Start, Shift(100), Analyse(100), Verify, Stop];
    assert_eq!(way(ongoing(true, Cause::Promote), shape(&blue_green, false), None).0, at_all, "it has no other share");
    assert_eq!(way(ongoing(true, Cause::Promote), shape(&blue_green, true), None).0, at_all, "there is room for one");
    assert_eq!(way(ongoing(false, Cause::Promote), shape(&blue_green, false), None), at_once, "there is nothing to compare it with");
    assert_eq!(way(ongoing(true, Cause::Rollback), shape(&blue_green, false), None), at_once);
    let (back, ending) = way(ongoing(true, Cause::Promote), shape(&rollout, false), Some(3));
    assert_eq!((&back[3..], ending), (&[Start, Shift(100), Verify, Stop, Tell][..], Ending::RolledBack));
    let (back, ending) = way(ongoing(true, Cause::Promote), shape(&rollout, false), Some(1));
    assert_eq!((&back[1..], ending), (&[Tell][..], Ending::Unchanged));
    let kept = Ongoing { is_verified: true, done: tried.0, ..ongoing(true, Cause::Promote) };
    assert_eq!(way(kept, shape(&rollout, false), None), (vec![Stop], Ending::Verified));
}

#[test]
fn what_does_not_come_back_is_told_and_nothing_else() {
    let rollout = watched(&[5, 100], Pause::Manual);
    let mut stuck = ongoing(true, Cause::Promote);
    stuck.begun = vec![Phase::Start, Phase::Shift(5)];
    turn(&mut stuck);
    stuck.turned.as_mut().unwrap().stuck = Some("why".to_owned());
    assert_eq!(way(stuck, shape(&rollout, false), None), (vec![Phase::Tell], Ending::RollbackFailed));
}

/// One that has had a twentieth since the tenth second.
fn tried() -> Ongoing {
    let mut ongoing = ongoing(true, Cause::Promote);
    ongoing.begun = vec![Phase::Provision, Phase::Start, Phase::Shift(5)];
    ongoing.begun.clone().into_iter().for_each(|phase| note(&mut ongoing, phase, at(10)));
    ongoing
}

#[test]
fn a_pause_is_over_by_the_clock_or_by_a_word() {
    let timed = Rollout { pause: Pause::For(Duration::from_mins(1)), ..rollout(&[5, 100]) };
    let asked = |ongoing: &Ongoing, rollout: &Rollout, now| next(ongoing, shape(rollout, false), at(now));
    assert_eq!(asked(&tried(), &timed, 69), Move::Wait(Wait::Until(at(70))));
    assert_eq!(asked(&tried(), &timed, 70), Move::Do(Phase::Shift(100)));
    let manual = Rollout { pause: Pause::Manual, ..rollout(&[5, 100]) };
    let mut resumed = tried();
    assert_eq!(asked(&resumed, &manual, 1_000_000), Move::Wait(Wait::Resume));
    resumed.share.as_mut().unwrap().is_resumed = true;
    assert_eq!(asked(&resumed, &manual, 11), Move::Do(Phase::Shift(100)));
    // Somebody holds it, whatever the clock says; what was begun is done all the same.
    let mut paused = Ongoing { is_paused: true, ..tried() };
    assert_eq!(asked(&paused, &timed, 70), Move::Wait(Wait::Resume));
    paused.begun.push(Phase::Shift(100));
    assert_eq!(asked(&paused, &timed, 70), Move::Do(Phase::Shift(100)));
    // Who holds it before users see anything of it holds that; but not what leads back.
    let mut started = Ongoing { is_paused: true, share: None, done: vec![Phase::Provision, Phase::Start], ..tried() };
    started.begun = started.done.clone();
    assert_eq!(asked(&started, &timed, 11), Move::Wait(Wait::Resume));
    started.started.cause = Cause::Rollback;
    assert_eq!(asked(&started, &timed, 11), Move::Do(Phase::Shift(100)));
}

#[test]
fn a_release_is_looked_at_as_long_as_it_waits() {
    let rollout = watched(&[5, 100], Pause::For(Duration::from_mins(1)));
    let asked = |ongoing: &Ongoing, now| next(ongoing, shape(&rollout, false), at(now));
    let mut ongoing = tried();
    assert_eq!(asked(&ongoing, 10), Move::Look(5, Some(Wait::Until(at(70)))));
    assert_eq!(asked(&ongoing, 70), Move::Look(5, None));
    // One that was noted is not made again at once, whoever asks.
    ongoing.share.as_mut().unwrap().looked = Some(at(65));
    assert_eq!(asked(&ongoing, 74), Move::Wait(Wait::Until(at(75))));
    assert_eq!(asked(&ongoing, 75), Move::Look(5, None));
    note(&mut ongoing, Phase::Analyse(5), at(75));
    assert_eq!(asked(&ongoing, 75), Move::Do(Phase::Shift(100)));
}

#[test]
fn a_picture_shows_what_is_done_and_what_is_to_come() {
    assert_eq!(picture(&[5, 25, 100], None), "· 5 %  · 25 %  · 100 %");
    assert_eq!(picture(&[5, 25, 100], tried().share.as_ref()), "▶ 5 %  · 25 %  · 100 %");
    assert_eq!(picture(&[0, 100], None), "· 0 %  · 100 %");
}

fn weights() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::btree_set(0u8..100, 0..5).prop_map(|weights| weights.into_iter().chain([100]).collect())
}

fn pauses() -> impl Strategy<Value = Pause> {
    prop_oneof![Just(Pause::Manual), (0u64..100).prop_map(|seconds| Pause::For(Duration::from_secs(seconds)))]
}

proptest! {
    #[test]
    fn every_way_leads_to_its_end(
        weights in weights(), pause in pauses(), is_watched: bool, has_before: bool, is_rollback: bool, turns in 0usize..20,
    ) {
        let rollout = if is_watched { watched(&weights, pause) } else { Rollout { pause, ..rollout(&weights) } };
        let cause = if is_rollback { Cause::Rollback } else { Cause::Promote };
        let of = |phases: &[Phase]| -> Vec<u8> {
            phases.iter().filter_map(|phase| if let Phase::Shift(weight) = phase { Some(*weight) } else { None }).collect()
        };
        let (there, ending) = way(ongoing(has_before, cause), shape(&rollout, false), None);
        prop_assert_eq!(ending, Ending::Verified);
        let shares = of(&there);
        prop_assert!(shares.is_sorted_by(|a, b| a < b) && shares.last() == Some(&100), "{shares:?}");
        prop_assert!(there.iter().position(|phase| *phase == Phase::Start) < there.iter().position(|phase| matches!(phase, Phase::Shift(_))));
        // From wherever it turns, what was before has all of the traffic, and is ready before it gets it.
        let (all, ending) = way(ongoing(has_before, cause), shape(&rollout, false), Some(turns));
        let back = all.get(turns..).unwrap_or_default();
        prop_assert!(matches!(ending, Ending::RolledBack | Ending::Unchanged) || turns == 0 || turns > there.len());
        if ending == Ending::RolledBack && !of(&all[..turns]).is_empty() {
            prop_assert_eq!(of(back), [if has_before { 100 } else { 0 }]);
            prop_assert!(!has_before || back.first() == Some(&Phase::Start));
            prop_assert!(back.contains(&Phase::Stop));
        }
    }
}
