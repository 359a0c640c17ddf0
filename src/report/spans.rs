//! When the stages of a run took place, side by side, and which of them made it take so long.
//!
//! Knows times only; nothing of how they are drawn.

use std::cmp::Reverse;

use super::story::{StageStory, Story};

/// The time of a stage that was started or reused, in microseconds from the beginning of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The place of the stage.
    pub stage: usize,
    /// Its beginning.
    pub start: u64,
    /// Its end; not before the beginning.
    pub end: u64,
    /// Which of the stages at the same time it is, from 0.
    pub lane: usize,
}

/// Returns the spans of all stages that have a time, by their beginning. No two of one lane overlap, and there are no more lanes than stages
/// ran at once.
pub fn spans(story: &Story) -> Vec<Span> {
    let times = story.stages.iter().enumerate().filter_map(|(place, stage)| time(story, stage).map(|time| (place, time)));
    let mut spans: Vec<Span> = times.map(|(stage, (start, end))| Span { stage, start, end, lane: 0 }).collect();
    spans.sort_by_key(|span| (span.start, span.end, span.stage));
    let mut lanes: Vec<u64> = Vec::new();
    for span in &mut spans {
        let free = lanes.iter().position(|end| *end <= span.start);
        let lane = match free {
            Some(lane) => lane,
            None if lanes.len() < story.jobs.max(1) => {
                lanes.push(0);
                lanes.len() - 1
            }
            // Its worker had ended the one before: only the news of that came later.
            None => lanes.iter().enumerate().min_by_key(|(lane, end)| (**end, *lane)).map_or(0, |(lane, _)| lane),
        };
        span.start = span.start.max(lanes[lane]);
        span.end = span.end.max(span.start);
        lanes[lane] = span.end;
        span.lane = lane;
    }
    spans
}

fn time(story: &Story, stage: &StageStory) -> Option<(u64, u64)> {
    let began = story.began?.as_microsecond();
    let since = |at: jiff::Timestamp| u64::try_from(at.as_microsecond() - began).unwrap_or(0);
    if stage.started.is_none() && stage.duration_ms() == 0 && stage.outcome().is_none_or(|outcome| !outcome.was_reused()) {
        return None;
    }
    let end = since(stage.ended.or(story.last)?);
    // What came before its first event belongs to it: the look at its files.
    let whole = end.saturating_sub(stage.duration_ms().saturating_mul(1000));
    let start = stage.started.map_or(whole, |started| since(started).min(whole));
    Some((start.min(end), end))
}

/// Returns the places of the stages that made the run take so long, the first first: the last to end, and before each the one whose end let
/// it begin, since it waited for that or had its lane.
pub fn critical(story: &Story, spans: &[Span]) -> Vec<usize> {
    let mut of_stage: Vec<Option<&Span>> = vec![None; story.stages.len()];
    spans.iter().for_each(|span| of_stage[span.stage] = Some(span));
    let mut path = Vec::new();
    let mut next = spans.iter().max_by_key(|span| (span.end, Reverse(span.stage)));
    while let Some(span) = next {
        path.push(span.stage);
        let waited_for = story.stages[span.stage].upstream().filter_map(|other| of_stage[other]);
        let before = spans
            .iter()
            .rfind(|other| other.lane == span.lane && (other.start, other.end, other.stage) < (span.start, span.end, span.stage));
        // Of equals, what was waited for.
        let all = waited_for.map(|other| (other.end, 1, other)).chain(before.map(|other| (other.end, 0, other)));
        next = all.max_by_key(|(end, rank, other)| (*end, *rank, Reverse(other.stage))).map(|(.., other)| other);
        // A damaged record may say that a stage ended before one that it waited for began.
        next = next.filter(|other| !path.contains(&other.stage));
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::story::tests::{at, finished, told};
    use super::*;
    use crate::model::event::EventKind;
    use crate::model::outcome::StageOutcome;

    #[test]
    fn the_path_goes_through_what_was_waited_for_longest() {
        let end = |stage, milliseconds, took| at(milliseconds, finished(stage, StageOutcome::Passed, took));
        let story = told(&["a", "b", "c"], &[("c", &["a", "b"])], vec![end("a", 100, 100), end("b", 300, 300), end("c", 350, 50)]);
        let spans = spans(&story);
        assert_eq!(critical(&story, &spans), [1, 2]);
        assert_eq!(
            spans.iter().map(|span| (span.stage, span.start, span.lane)).collect::<Vec<_>>(),
            [(0, 0, 0), (1, 0, 1), (2, 300_000, 0)]
        );
    }

    #[test]
    fn the_path_goes_through_what_had_the_lane() {
        let end = |stage, milliseconds, took| at(milliseconds, finished(stage, StageOutcome::Passed, took));
        let events = vec![end("a", 10, 10), end("b", 200, 200), end("c", 300, 290), end("d", 350, 150)];
        let story = told(&["a", "b", "c", "d"], &[("d", &["a"])], events);
        assert_eq!(critical(&story, &spans(&story)), [1, 3]);
    }

    proptest! {
        #[test]
        fn no_two_of_a_lane_overlap(times in prop::collection::vec((0u64..1000, 0u64..300, any::<bool>()), 1..40)) {
            let names: Vec<String> = (0..times.len()).map(|number| format!("s{number}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut events = Vec::new();
            for (name, (end, took, starts)) in names.iter().zip(&times) {
                if *starts {
                    events.push(at(end.saturating_sub(*took), EventKind::StageStarted { stage: (*name).into(), key: None, reason: None }));
                }
                events.push(at(*end, finished(name, StageOutcome::Passed, *took)));
            }
            let story = told(&names, &[], events);
            let mut spans = spans(&story);
            prop_assert!(spans.iter().all(|span| span.lane < story.jobs && span.start <= span.end));
            spans.sort_by_key(|span| (span.lane, span.start, span.end));
            prop_assert!(spans.windows(2).all(|pair| pair[0].lane != pair[1].lane || pair[0].end <= pair[1].start));
        }
    }
}
