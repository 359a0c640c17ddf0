//! The words that written reports share.

use std::time::Duration;

use super::story::Story;
use crate::base::duration::show;
use crate::base::text::count;
use crate::model::findings::{Metric, Place, TestStatus};
use crate::model::outcome::RunOutcome;

/// Returns a time in milliseconds, for people.
pub(super) fn time(milliseconds: u64) -> String {
    show(Duration::from_millis(milliseconds))
}

/// Returns in one word how the run ended.
pub(super) fn outcome(story: &Story) -> &'static str {
    match story.end.map(|end| end.outcome) {
        Some(RunOutcome::Passed) => "passed",
        Some(RunOutcome::Failed) => "failed",
        Some(RunOutcome::Cancelled) => "interrupted",
        None => "unfinished",
    }
}

/// Returns in a sentence how the run ended.
pub(super) fn verdict(story: &Story) -> String {
    let (counts, all) = (story.counts(), count(story.stages.len(), "stage"));
    let not_run = story.stages.len() - counts.passed - counts.cached - counts.failed;
    match story.end.map(|end| end.outcome) {
        Some(RunOutcome::Passed) if story.stages.is_empty() => "nothing to run".to_owned(),
        Some(RunOutcome::Passed) if story.stages.len() == 1 && counts.passed == 0 => {
            "the stage passed, known from an earlier run".to_owned()
        }
        Some(RunOutcome::Passed) if counts.passed == 0 => format!("all {all} passed, known from earlier runs"),
        Some(RunOutcome::Passed) if story.stages.len() == 1 => "the stage passed".to_owned(),
        Some(RunOutcome::Passed) => format!("all {all} passed"),
        Some(RunOutcome::Failed) if counts.failed == 0 => format!("the time was over: {not_run} of {all} did not run to the end"),
        Some(RunOutcome::Failed) => format!("{} of {all} failed", counts.failed),
        Some(RunOutcome::Cancelled) => format!("interrupted: {not_run} of {all} did not run to the end"),
        None => format!("the run has not ended, or was killed: {not_run} of {all} have no result"),
    }
}

/// Returns how many stages ended how, the worst first, without those that are none.
pub(super) fn counted(story: &Story) -> Vec<(usize, &'static str)> {
    let counts = story.counts();
    let open = story.stages.len() - counts.total();
    let flaky = story.stages.iter().filter(|stage| stage.finished.as_ref().is_some_and(|finished| finished.flaky)).count();
    let all = [
        (counts.failed, "failed"),
        (counts.cancelled, "cancelled"),
        (counts.skipped, "not run"),
        (open, "without result"),
        (counts.passed, "passed"),
        (counts.cached, "cached"),
        (flaky, "flaky"),
    ];
    all.into_iter().filter(|(number, _)| *number > 0).collect()
}

/// Returns how many tests ended how, the worst first, without those that are none.
pub(super) fn counted_tests(count: impl Fn(TestStatus) -> usize) -> Vec<(usize, &'static str)> {
    let all = [
        (count(TestStatus::Failed), "failed"),
        (count(TestStatus::Flaky), "flaky"),
        (count(TestStatus::Skipped), "left out"),
        (count(TestStatus::Passed), "passed"),
    ];
    all.into_iter().filter(|(number, _)| *number > 0).collect()
}

/// Returns counts as a line: `2 failed, 3 passed`.
pub(super) fn line(counts: &[(usize, &str)]) -> String {
    counts.iter().map(|(number, word)| format!("{number} {word}")).collect::<Vec<_>>().join(", ")
}

/// Returns a place as compilers write it.
pub(super) fn place(place: &Place) -> String {
    let number = |number: Option<u32>| number.map(|number| format!(":{number}")).unwrap_or_default();
    format!("{}{}{}", place.file, number(place.line), number(place.column.filter(|_| place.line.is_some())))
}

/// Returns what was measured, and by how much that differs from before.
pub(super) fn change(metric: &Metric) -> String {
    match metric.before {
        Some(before) if before != 0.0 => format!("{:+.1}% against {}", (metric.value - before) / before.abs() * 100.0, before),
        Some(before) => format!("before: {before}"),
        None => String::new(),
    }
}
