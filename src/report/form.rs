//! The forms that a run is written in for programs and for later, and their names.

use super::story::Story;
use super::{html, junit, markdown, trace};

/// A form of report (contract, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One page for people.
    Html,
    /// The events, one a line.
    Json,
    /// JUnit XML.
    Junit,
    /// Markdown, short enough for a comment.
    Markdown,
    /// Chrome trace events.
    Trace,
}

/// All forms with their names.
pub const FORMS: [(&str, Form); 5] =
    [("html", Form::Html), ("json", Form::Json), ("junit", Form::Junit), ("markdown", Form::Markdown), ("trace", Form::Trace)];

impl Form {
    /// Returns the form of this name.
    pub fn named(name: &str) -> Option<Self> {
        FORMS.iter().find(|(known, _)| *known == name).map(|(_, form)| *form)
    }

    /// Tells whether what stages print is shown in this form.
    pub fn shows_output(self) -> bool {
        matches!(self, Self::Html | Self::Json)
    }

    /// Returns the story in this form; `None` of [`Form::Json`], which is the events themselves.
    pub fn render(self, story: &Story) -> Option<String> {
        match self {
            Self::Html => Some(html::render(story)),
            Self::Json => None,
            Self::Junit => Some(junit::render(story)),
            Self::Markdown => Some(markdown::render(story)),
            Self::Trace => Some(trace::render(story)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::story::tests::at;
    use super::*;
    use crate::model::event::{EventKind, StageFinished, Stream, Waits};
    use crate::model::findings::{Findings, Level, Metric, Place, Problem, Test, TestStatus};
    use crate::model::outcome::{Counts, Failure, FailureKind, RunOutcome, StageOutcome, StepStatus};

    /// What nobody may ever see as a tag, wherever it came from.
    const TAG: &str = "<x-evil a='\" onerror=";

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(format!("{TAG}</pre></script>]]>-->")),
            Just("\u{1b}[31m```\u{202e}\u{0}\u{b}|\r\n@all\u{ffff}".to_owned()),
            "\\PC{0,8}",
            any::<String>(),
        ]
    }

    fn name() -> impl Strategy<Value = Arc<str>> {
        prop_oneof![Just("a"), Just("b:x=1"), Just("<x-evil>"), Just("")].prop_map(Arc::from)
    }

    fn findings() -> impl Strategy<Value = EventKind> {
        (name(), text(), text(), any::<(f64, Option<f64>, Option<u32>, u64)>()).prop_map(|(stage, one, other, numbers)| {
            let (value, before, line, duration_ms) = numbers;
            let place = Some(Place { file: one.clone(), line, column: line });
            let status = if line.is_some() { TestStatus::Failed } else { TestStatus::Skipped };
            let test =
                Test { suite: one.clone(), name: other.clone(), status, duration_ms, message: Some(one.clone()), place: place.clone() };
            let problem = Problem { tool: one.clone(), rule: other.clone(), level: Level::Error, message: one.clone(), place, fails: true };
            let metric = Metric { name: one, value, before, failure: Some(other) };
            EventKind::Findings(Box::new(Findings {
                tests: vec![test],
                problems: vec![problem],
                metrics: vec![metric],
                ..Findings::none(stage)
            }))
        })
    }

    fn end_of_stage() -> impl Strategy<Value = EventKind> {
        let outcome = prop_oneof![
            Just(StageOutcome::Passed),
            Just(StageOutcome::Cached),
            Just(StageOutcome::Failed),
            Just(StageOutcome::Skipped),
            Just(StageOutcome::Cancelled)
        ];
        (name(), outcome, text(), any::<(bool, bool, u64)>()).prop_map(|(stage, outcome, text, (flaky, fails, duration_ms))| {
            let failure = fails.then(|| Failure {
                step: text.clone().into(),
                kind: FailureKind::Exit,
                code: None,
                signal: None,
                command: text.clone(),
                dir: text.clone(),
                tail: vec![text.clone(); 3],
                tests: vec![text.clone()],
                reproduce: Some(text.clone()),
            });
            let key = Some(text.clone());
            let reason = Some(text);
            EventKind::StageFinished(Box::new(StageFinished {
                stage,
                outcome,
                key,
                duration_ms,
                reason,
                stored: flaky,
                flaky,
                attempts: 2,
                failure,
            }))
        })
    }

    fn kind() -> impl Strategy<Value = EventKind> {
        let names = || prop::collection::vec(name(), 0..4);
        let waits = (name(), names(), names()).prop_map(|(stage, needs, after)| Waits { stage, needs, after });
        prop_oneof![
            (text(), names(), any::<u16>(), prop::collection::vec(waits, 0..5)).prop_map(|(pipeline, stages, jobs, graph)| {
                EventKind::RunStarted { run: pipeline.clone().into(), pipeline, stages, jobs: jobs.into(), graph }
            }),
            (name(), text()).prop_map(|(stage, text)| EventKind::StageStarted { stage, key: Some(text.clone()), reason: Some(text) }),
            (name(), name(), text()).prop_map(|(stage, step, command)| EventKind::StepStarted { stage, step, command }),
            (name(), name(), text(), any::<bool>()).prop_map(|(stage, step, text, replayed)| {
                let stream = if replayed { Stream::Stdout } else { Stream::Stderr };
                EventKind::Output { stage, step, stream, text: text.into_bytes(), replayed }
            }),
            (name(), name(), any::<u64>()).prop_map(|(stage, step, duration_ms)| EventKind::StepFinished {
                stage,
                step,
                status: StepStatus::TimedOut,
                duration_ms
            }),
            (prop::option::of(name()), text()).prop_map(|(stage, text)| EventKind::Notice { stage, text }),
            findings(),
            end_of_stage(),
            any::<u64>().prop_map(|duration_ms| EventKind::RunFinished {
                outcome: RunOutcome::Failed,
                exit_code: 1,
                duration_ms,
                counts: Counts::default()
            }),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_is_reported_and_nothing_of_it_is_obeyed(happened in prop::collection::vec((0u64..10_000, kind()), 0..40)) {
            let mut story = Story::default();
            happened.into_iter().for_each(|(when, kind)| story.tell(&at(when, kind)));
            for (_, form) in FORMS {
                let Some(text) = form.render(&story) else { continue };
                match form {
                    Form::Html | Form::Junit => {
                        prop_assert!(!text.contains("<x-evil") && !text.contains("<script") && !text.contains("]]>"), "{}", text);
                        let is_clean = !text.contains(['\0', '\x0b', '\x1b']);
                        prop_assert!(is_clean);
                    }
                    Form::Trace => {
                        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                        prop_assert!(value["traceEvents"].is_array());
                    }
                    Form::Markdown => prop_assert!(text.len() < 65_536),
                    Form::Json => {}
                }
            }
        }
    }
}
