//! The run as Chrome trace events, which Perfetto and `chrome://tracing` open: a lane for each stage that ran at once, steps within stages.
//!
//! Source of the format: "Trace Event Format", Google, 2016; times are in microseconds.

use serde_json::{Value, json};

use super::spans::{Span, critical, spans};
use super::story::{StageStory, Story};
use super::words;
use crate::base::text::visible;
use crate::model::outcome::StepStatus;

/// The one process of the trace; lanes are its threads.
const PROCESS: u32 = 1;

/// Returns the run as one JSON object.
pub fn render(story: &Story) -> String {
    let spans = spans(story);
    let path = critical(story, &spans);
    let mut events = vec![meta("process_name", 0, &json!({ "name": format!("shipway {}", story.pipeline) }))];
    for lane in 0..spans.iter().map(|span| span.lane + 1).max().unwrap_or(0) {
        events.push(meta("thread_name", lane, &json!({ "name": format!("lane {}", lane + 1) })));
        events.push(meta("thread_sort_index", lane, &json!({ "sort_index": lane })));
    }
    for span in &spans {
        let stage = &story.stages[span.stage];
        events.push(slice(stage, span, path.contains(&span.stage)));
        events.extend(steps(story, stage, span));
    }
    events.extend(flows(&spans, &path));
    for notice in &story.notices {
        events.push(json!({ "ph": "i", "s": "g", "name": notice, "cat": "notice", "pid": PROCESS, "tid": 0, "ts": 0 }));
    }
    let about = json!({
        "run": story.run,
        "pipeline": story.pipeline,
        "outcome": words::outcome(story),
        "began": story.began.map(|at| at.to_string()),
        "critical_path": path.iter().map(|place| &*story.stages[*place].name).collect::<Vec<_>>(),
    });
    json!({ "displayTimeUnit": "ms", "traceEvents": events, "otherData": about }).to_string() + "\n"
}

fn meta(name: &str, lane: usize, arguments: &Value) -> Value {
    json!({ "ph": "M", "name": name, "pid": PROCESS, "tid": lane, "args": arguments })
}

fn slice(stage: &StageStory, span: &Span, is_critical: bool) -> Value {
    let outcome = stage.outcome().map_or("unfinished", |outcome| outcome.word());
    let category = if is_critical { format!("stage,{outcome},critical") } else { format!("stage,{outcome}") };
    json!({
        "ph": "X",
        "name": visible(&stage.name),
        "cat": category,
        "pid": PROCESS,
        "tid": span.lane,
        "ts": span.start,
        "dur": span.end - span.start,
        "args": {
            "outcome": outcome,
            "key": stage.key,
            "reason": stage.reason(),
            "ran": stage.why,
            "attempts": stage.finished.as_ref().map(|finished| finished.attempts),
            "flaky": stage.finished.as_ref().map(|finished| finished.flaky),
            "stored": stage.finished.as_ref().map(|finished| finished.stored),
            "critical": is_critical,
        },
    })
}

/// The steps of a stage: each begins behind the one before and none leaves the stage, whatever the clocks say.
fn steps(story: &Story, stage: &StageStory, span: &Span) -> Vec<Value> {
    let began = story.began.map_or(0, jiff::Timestamp::as_microsecond);
    let mut free = span.start;
    let mut events = Vec::new();
    for step in &stage.steps {
        let start = u64::try_from(step.started.as_microsecond() - began).unwrap_or(0).clamp(free, span.end);
        let end = step.end.map_or(span.end, |(_, took)| start.saturating_add(took.saturating_mul(1000))).min(span.end);
        free = end;
        let status = match step.end.map(|(status, _)| status) {
            Some(StepStatus::Passed) => "passed",
            Some(StepStatus::Failed) => "failed",
            Some(StepStatus::TimedOut) => "timed-out",
            Some(StepStatus::Cancelled) => "cancelled",
            None => "unfinished",
        };
        events.push(json!({
            "ph": "X",
            "name": visible(&step.step),
            "cat": format!("step,{status}"),
            "pid": PROCESS,
            "tid": span.lane,
            "ts": start,
            "dur": end - start,
            "args": { "command": step.command, "status": status },
        }));
    }
    events
}

/// Arrows along the stages that made the run take so long.
fn flows(spans: &[Span], path: &[usize]) -> Vec<Value> {
    let find = |stage: usize| spans.iter().find(|span| span.stage == stage);
    let mut events = Vec::new();
    for (number, pair) in path.windows(2).enumerate() {
        let (Some(from), Some(to)) = (find(pair[0]), find(pair[1])) else { continue };
        // An arrow begins and ends within a slice.
        let leaves = from.end.saturating_sub(1).max(from.start);
        let flow = |phase: &str, lane: usize, at: u64| json!({ "ph": phase, "bp": "e", "id": number + 1, "name": "critical path", "cat": "critical", "pid": PROCESS, "tid": lane, "ts": at });
        events.push(flow("s", from.lane, leaves));
        events.push(flow("f", to.lane, to.start.max(leaves)));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::super::story::tests::{at, finished, told};
    use super::*;
    use crate::model::event::EventKind;
    use crate::model::outcome::StageOutcome;

    #[test]
    fn steps_lie_within_their_stages() {
        let step = |number: &str| EventKind::StepStarted { stage: "b".into(), step: number.into(), command: "x".into() };
        let end =
            |number: &str| EventKind::StepFinished { stage: "b".into(), step: number.into(), status: StepStatus::Passed, duration_ms: 60 };
        let events = vec![
            at(50, finished("a", StageOutcome::Passed, 50)),
            at(50, EventKind::StageStarted { stage: "b".into(), key: None, reason: Some("it changed".into()) }),
            at(50, step("1")),
            at(90, end("1")),
            at(91, step("2")),
            at(160, end("2")),
            at(150, finished("b", StageOutcome::Failed, 100)),
        ];
        let trace: Value = serde_json::from_str(&render(&told(&["a", "b"], &[("b", &["a"])], events))).unwrap();
        let slices: Vec<(&str, u64, u64)> = trace["traceEvents"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["ph"] == "X")
            .map(|event| (event["name"].as_str().unwrap(), event["ts"].as_u64().unwrap(), event["dur"].as_u64().unwrap()))
            .collect();
        assert_eq!(slices, [("a", 0, 50_000), ("b", 50_000, 100_000), ("1", 50_000, 60_000), ("2", 110_000, 40_000)]);
        assert_eq!(trace["otherData"]["critical_path"], json!(["a", "b"]));
    }
}
