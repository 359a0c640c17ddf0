//! What is to be thought of what was seen in a trial of a target: a function of that, and of nothing else.

use std::collections::BTreeSet;

use serde::Serialize;

use super::drift::Drift;
use super::drill::{Act, Seen, Side};
use super::load::Tally;
use super::target::Observed;
use crate::base::text::count;

/// How far a share that is split at random may be off, in standard deviations: once in some ten thousand times it is more.
const DEVIATIONS: f64 = 4.0;

/// How far any may be off, in percent: whoever splits exactly owes somebody something at the ends of a measurement.
const ROOM: f64 = 1.0;

/// Whether something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It does.
    Passed,
    /// It does not.
    Failed,
    /// It could not be tried.
    Untested,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub check: String,
    /// Whether it is as it should be.
    pub verdict: Verdict,
    /// What was seen, for people; empty where there is nothing to say.
    pub said: String,
}

/// Returns what an act is called, with the names of the places of the old release and the new one.
pub fn words(act: Act, times: u32, places: [&str; 2]) -> String {
    let place = |side| if side == Side::Old { places[0] } else { places[1] };
    let often = if times > 1 { ", twice" } else { "" };
    match act {
        Act::Start(side) => format!("start `{}`{often}", place(side)),
        Act::Shift(side, weight) => format!("shift `{}` to {weight} %{often}", place(side)),
        Act::Observe(side) => format!("observe that `{}` serves", place(side)),
        Act::Stop(side) => format!("stop `{}`{often}", place(side)),
    }
}

/// Judges what was seen; `drift` compares what the target says with the release that serves.
pub fn judge(seen: &[Seen], places: [&str; 2], drift: impl Fn(Side, &Observed) -> Drift) -> Vec<Check> {
    let measured = |wanted: u8| seen.iter().filter_map(move |seen| seen.measured.as_ref().filter(|(weight, _)| *weight == wanted));
    // Only the old release was there when it was measured first.
    let old: BTreeSet<&str> = measured(0).take(1).flat_map(|(_, tally)| tally.answers.keys()).map(String::as_str).collect();
    let new =
        measured(100).flat_map(|(_, tally)| tally.answers.keys()).map(String::as_str).filter(|answer| !old.contains(answer)).collect();
    let check = |seen: &Seen| {
        let (mut troubles, mut said, mut verdict) = (Vec::new(), Vec::new(), Verdict::Passed);
        troubles.extend(seen.failed.clone());
        if let (Act::Observe(side), Some(observed)) = (seen.act, &seen.observed) {
            match drift(side, observed) {
                Drift::InSync => {}
                drift @ Drift::Drifted { .. } => troubles.push(drift.to_string()),
                Drift::Unknown { why } => {
                    verdict = Verdict::Untested;
                    said.push(why);
                }
            }
        }
        if let Some((weight, tally)) = &seen.measured {
            match share(*weight, tally, &old, &new) {
                Ok(share) => said.push(share),
                Err(trouble) => troubles.push(trouble),
            }
        }
        if let (lost @ 1.., why) = &seen.lost {
            let why = why.as_deref().unwrap_or_default();
            troubles.push(format!("{} lost: {why}", count(usize::try_from(*lost).unwrap_or(usize::MAX), "request")));
        }
        if !troubles.is_empty() {
            verdict = Verdict::Failed;
            said = troubles;
        }
        Check { check: words(seen.act, seen.times, places), verdict, said: said.join("; ") }
    };
    seen.iter().map(check).collect()
}

/// Returns the share of the new release in words, or what is wrong with it.
fn share(weight: u8, tally: &Tally, old: &BTreeSet<&str>, new: &BTreeSet<&str>) -> Result<String, String> {
    let (answered, by_new) = (tally.answered(), tally.of(|answer| new.contains(answer)));
    let neither = answered - by_new - tally.of(|answer| old.contains(answer));
    if answered == 0 {
        return Err("nobody answers".to_owned());
    }
    if new.is_empty() && weight == 100 {
        let else_ = "either the shift does nothing, or both releases answer the same";
        return Err(format!("no other answer comes than before: {else_}: `--header` or another address may tell them apart"));
    }
    if neither > 0 {
        let must = "what tells them apart must not change from answer to answer: `--header` names something that does not";
        return Err(format!("{neither} of {answered} answers are of neither release: {must}"));
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are small")]
    let (percent, total) = (by_new as f64 * 100.0 / answered as f64, answered as f64);
    let part = f64::from(weight) / 100.0;
    let deviation = 100.0 * (part * (1.0 - part) / total).sqrt();
    let room = if deviation == 0.0 { 0.0 } else { ROOM + DEVIATIONS * deviation };
    let said = format!("{percent:.1} % of {answered} connections");
    if (percent - f64::from(weight)).abs() <= room { Ok(said) } else { Err(format!("{said}, and not {weight} %")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(answers: &[(&str, u64)]) -> Tally {
        Tally { answers: answers.iter().map(|(answer, count)| ((*answer).to_owned(), *count)).collect(), ..Tally::default() }
    }

    fn seen(act: Act, measured: Option<(u8, Tally)>) -> Seen {
        Seen { act, times: 2, failed: None, observed: None, measured, lost: (0, None) }
    }

    /// What is thought of measurements with these shares.
    fn of(measured: &[(u8, &[(&str, u64)])]) -> Vec<(Verdict, String)> {
        let shift = |weight| Act::Shift(Side::New, weight);
        let seen: Vec<Seen> = measured.iter().map(|(weight, answers)| seen(shift(*weight), Some((*weight, tally(answers))))).collect();
        let checks = judge(&seen, ["blue", "green"], |_, _| Drift::InSync);
        checks.into_iter().map(|check| (check.verdict, check.said)).collect()
    }

    #[test]
    fn a_share_is_that_of_who_answers_at_all_of_the_traffic() {
        let checks = of(&[(0, &[("a", 100)]), (50, &[("a", 55), ("b", 45)]), (100, &[("b", 100)]), (0, &[("a", 9)])]);
        let said: Vec<&str> = checks.iter().map(|(_, said)| said.as_str()).collect();
        assert_eq!(said, ["0.0 % of 100 connections", "45.0 % of 100 connections", "100.0 % of 100 connections", "0.0 % of 9 connections"]);
        assert!(checks.iter().all(|(verdict, _)| *verdict == Verdict::Passed));
    }

    #[test]
    fn what_is_not_where_it_should_be_is_found() {
        let verdict = |measured: &[(u8, &[(&str, u64)])], place: usize| {
            let (verdict, said) = of(measured).swap_remove(place);
            assert_eq!(verdict, Verdict::Failed, "{said}");
            said
        };
        let said = verdict(&[(0, &[("a", 100)]), (50, &[("a", 100)]), (100, &[("a", 100)])], 2);
        assert!(said.starts_with("no other answer comes than before"), "{said}");
        let said = verdict(&[(0, &[("a", 100)]), (50, &[("a", 90), ("b", 10)]), (100, &[("b", 100)])], 1);
        assert_eq!(said, "10.0 % of 100 connections, and not 50 %");
        let said = verdict(&[(0, &[("a", 100)]), (100, &[("a", 1), ("b", 99)])], 1);
        assert_eq!(said, "99.0 % of 100 connections, and not 100 %");
        let said = verdict(&[(0, &[("a", 100)]), (100, &[("b", 9)]), (0, &[("a", 99), ("b", 1)])], 2);
        assert_eq!(said, "1.0 % of 100 connections, and not 0 %");
        // Each answer is another one: nothing could be told.
        let said = verdict(&[(0, &[("1", 1), ("2", 1)]), (50, &[("3", 1)]), (100, &[("4", 1)]), (0, &[("5", 1)])], 1);
        assert!(said.starts_with("1 of 1 answers are of neither release"), "{said}");
        assert_eq!(verdict(&[(0, &[])], 0), "nobody answers");
    }

    #[test]
    fn what_fails_is_lost_or_lies_is_no_pass_and_what_is_not_told_is_none_either() {
        let mut all = vec![seen(Act::Start(Side::Old), None), seen(Act::Observe(Side::New), None), seen(Act::Observe(Side::Old), None)];
        all[0].failed = Some("no".to_owned());
        all[0].lost = (2, Some("gone".to_owned()));
        all[1].observed = Some(Observed::Nothing);
        all[2].observed = Some(Observed::Unknown);
        let drift = |_, observed: &Observed| match observed {
            Observed::Unknown => Drift::unknown("it cannot be asked"),
            Observed::Nothing | Observed::Release(_) | Observed::Other(_) => {
                Drift::Drifted { expected: "b".to_owned(), seen: "nothing".to_owned() }
            }
        };
        let checks = judge(&all, ["blue", "green"], drift);
        let check = |check: &str, verdict, said: &str| Check { check: check.to_owned(), verdict, said: said.to_owned() };
        assert_eq!(checks[0], check("start `blue`, twice", Verdict::Failed, "no; 2 requests lost: gone"));
        assert_eq!(checks[1], check("observe that `green` serves", Verdict::Failed, "drifted (expected b, seen nothing)"));
        assert_eq!(checks[2], check("observe that `blue` serves", Verdict::Untested, "it cannot be asked"));
    }
}
