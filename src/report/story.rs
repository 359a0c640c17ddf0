//! What happened in a run, gathered from its events: what every written report is made of.
//!
//! Knows events, live or recorded, and nothing of how a report looks. Its memory is bounded, whatever was printed.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::log::{Bounds, Log};
use crate::model::event::{Event, EventKind, Listener, ServiceChanged, StageFinished, Waits};
use crate::model::findings::{Findings, Test, TestStatus};
use crate::model::outcome::{Counts, Failure, RunOutcome, StageOutcome, StepStatus};

/// How much of its output is kept of a stage that runs, or did not pass; and of one that passed.
const OF_OTHERS: Bounds = Bounds { head: 64 << 10, tail: 192 << 10 };
const OF_PASSED: Bounds = Bounds { head: 16 << 10, tail: 48 << 10 };

/// How much is kept of all ended stages together; beyond it, of each further one only this.
const OF_ALL: usize = 8 << 20;
const OF_LATE: Bounds = Bounds { head: 1 << 10, tail: 7 << 10 };

/// A run.
#[derive(Debug, Default)]
pub struct Story {
    /// Its id.
    pub run: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When the last event came.
    pub last: Option<Timestamp>,
    /// How many stages ran at once.
    pub jobs: usize,
    /// The stages, each behind those that it waits for.
    pub stages: Vec<StageStory>,
    /// What a person should know, of no stage.
    pub notices: Vec<String>,
    /// How it ended; `None` where it runs still, or was killed.
    pub end: Option<End>,
    places: HashMap<Arc<str>, usize>,
    kept: usize,
    is_deaf: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// How.
    pub outcome: RunOutcome,
    /// What shipway exited with.
    pub exit_code: u8,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// A stage of a run.
#[derive(Debug)]
pub struct StageStory {
    /// Its name.
    pub name: Arc<str>,
    /// The places of the stages whose outputs it may read.
    pub needs: Vec<usize>,
    /// The places of those that it only waits for.
    pub after: Vec<usize>,
    /// When it was started, where it was.
    pub started: Option<Timestamp>,
    /// When its outcome came.
    pub ended: Option<Timestamp>,
    /// Why it ran.
    pub why: Option<String>,
    /// Its cache key.
    pub key: Option<String>,
    /// Every attempt of every step, in order.
    pub steps: Vec<StepStory>,
    /// What a person should know of it.
    pub notices: Vec<String>,
    /// What its report files say.
    pub findings: Option<Findings>,
    /// What it printed.
    pub log: Log,
    /// Whether what it printed comes from a stored result.
    pub replayed: bool,
    /// Its end; `None` where it has none yet.
    pub finished: Option<StageFinished>,
}

/// One attempt of a step.
#[derive(Debug)]
pub struct StepStory {
    /// Its name or number.
    pub step: Arc<str>,
    /// Its command.
    pub command: String,
    /// When it began.
    pub started: Timestamp,
    /// How it ended, and how long it took in milliseconds; `None` where it has not.
    pub end: Option<(StepStatus, u64)>,
}

impl StageStory {
    fn new(name: Arc<str>) -> Self {
        Self {
            name,
            needs: Vec::new(),
            after: Vec::new(),
            started: None,
            ended: None,
            why: None,
            key: None,
            steps: Vec::new(),
            notices: Vec::new(),
            findings: None,
            log: Log::default(),
            replayed: false,
            finished: None,
        }
    }

    /// Returns how it ended; `None` where it has not.
    pub fn outcome(&self) -> Option<StageOutcome> {
        self.finished.as_ref().map(|finished| finished.outcome)
    }

    /// Returns why it ended so, else why it ran.
    pub fn reason(&self) -> Option<&str> {
        self.finished.as_ref().and_then(|finished| finished.reason.as_deref()).or(self.why.as_deref())
    }

    /// Returns what failed.
    pub fn failure(&self) -> Option<&Failure> {
        self.finished.as_ref().and_then(|finished| finished.failure.as_ref())
    }

    /// Returns how long it took, in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.finished.as_ref().map_or(0, |finished| finished.duration_ms)
    }

    /// Returns its tests.
    pub fn tests(&self) -> &[Test] {
        self.findings.as_ref().map_or(&[], |findings| &findings.tests)
    }

    /// Returns its tests that ended so.
    pub fn tests_that(&self, status: TestStatus) -> impl Iterator<Item = &Test> {
        self.tests().iter().filter(move |test| test.status == status)
    }

    /// Returns the places of all that it waits for.
    pub fn upstream(&self) -> impl Iterator<Item = usize> + '_ {
        self.needs.iter().chain(&self.after).copied()
    }
}

impl Story {
    /// Returns a story that does not keep what stages print, for those who do not show it.
    pub fn without_output() -> Self {
        Self { is_deaf: true, ..Self::default() }
    }

    /// Counts the stages by outcome; those without one are not counted.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.stages.iter().filter_map(StageStory::outcome).for_each(|outcome| counts.add(outcome));
        counts
    }

    /// Returns how long the run took, as far as is known, in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        let seen = || self.last.map_or(0, |last| self.since_began(last));
        self.end.map_or_else(seen, |end| end.duration_ms)
    }

    /// Returns the stages that ended so, with their places.
    pub fn stages_that(&self, outcome: StageOutcome) -> impl Iterator<Item = (usize, &StageStory)> {
        self.stages.iter().enumerate().filter(move |(_, stage)| stage.outcome() == Some(outcome))
    }

    /// Counts the tests of all stages that ended so.
    pub fn tests_that(&self, status: TestStatus) -> usize {
        self.stages.iter().map(|stage| stage.tests_that(status).count()).sum()
    }

    /// Tells whether the run is over and every stage passed.
    pub fn has_passed(&self) -> bool {
        self.end.is_some_and(|end| end.outcome == RunOutcome::Passed)
    }

    /// Returns the milliseconds from the beginning of the run to `at`.
    pub fn since_began(&self, at: Timestamp) -> u64 {
        let began = self.began.unwrap_or(at);
        u64::try_from(at.as_millisecond().saturating_sub(began.as_millisecond())).unwrap_or(0)
    }

    /// Takes the next event.
    pub fn tell(&mut self, event: &Event) {
        let at = event.at;
        self.began.get_or_insert(at);
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        match &event.kind {
            EventKind::RunStarted { run, pipeline, stages, jobs, graph } => {
                self.began = Some(at);
                (self.run, self.pipeline, self.jobs) = (run.to_string(), pipeline.clone(), *jobs);
                for name in stages {
                    self.stage(name);
                }
                graph.iter().for_each(|waits| self.connect(waits));
            }
            EventKind::StageStarted { stage, key, reason } => {
                let stage = self.stage(stage);
                stage.started = Some(at);
                (stage.key, stage.why) = (key.clone(), reason.clone());
            }
            EventKind::StepStarted { stage, step, command } => {
                let step = StepStory { step: step.clone(), command: command.clone(), started: at, end: None };
                self.stage(stage).steps.push(step);
            }
            EventKind::Output { .. } if self.is_deaf => {}
            EventKind::Output { stage, step, stream, text, replayed } => {
                let stage = self.stage(stage);
                stage.replayed |= replayed;
                let attempt = stage.steps.iter().rposition(|attempt| attempt.step == *step);
                stage.log.push(attempt, *stream, text, OF_OTHERS);
            }
            EventKind::StepFinished { stage, step, status, duration_ms } => {
                let attempt = self.stage(stage).steps.iter_mut().rev().find(|attempt| attempt.step == *step);
                if let Some(attempt) = attempt {
                    attempt.end = Some((*status, *duration_ms));
                }
            }
            EventKind::Notice { stage: Some(stage), text } => self.stage(stage).notices.push(text.clone()),
            EventKind::Notice { stage: None, text } => self.notices.push(text.clone()),
            EventKind::Findings(findings) => self.stage(&findings.stage).findings = Some((**findings).clone()),
            EventKind::Service(changed) => self.tell_of_service(changed),
            EventKind::StageFinished(finished) => self.finish(at, finished),
            EventKind::RunFinished { outcome, exit_code, duration_ms, .. } => {
                self.end = Some(End { outcome: *outcome, exit_code: *exit_code, duration_ms: *duration_ms });
            }
        }
    }

    /// The failure of a stage by its service says all; of another failure the service may have something to say.
    fn tell_of_service(&mut self, changed: &ServiceChanged) {
        if changed.log.is_empty() {
            return;
        }
        for user in &changed.failed_users {
            let text = format!("the last lines of the service {}: {}", changed.service, changed.log.join(" ⏎ "));
            self.stage(user).notices.push(text);
        }
    }

    fn finish(&mut self, at: Timestamp, finished: &StageFinished) {
        let is_late = self.kept > OF_ALL;
        let stage = self.stage(&finished.stage);
        stage.ended = Some(at);
        stage.key = finished.key.clone().or(stage.key.take());
        stage.finished = Some(finished.clone());
        stage.log.close(OF_OTHERS);
        match finished.outcome {
            _ if is_late => stage.log.shorten(OF_LATE),
            StageOutcome::Passed | StageOutcome::Cached => stage.log.shorten(OF_PASSED),
            StageOutcome::Failed | StageOutcome::Skipped | StageOutcome::Cancelled => {}
        }
        let size = stage.log.size();
        self.kept += size;
    }

    fn connect(&mut self, waits: &Waits) {
        let places =
            |story: &Self, names: &[Arc<str>]| -> Vec<usize> { names.iter().filter_map(|name| story.places.get(name).copied()).collect() };
        let (needs, after) = (places(self, &waits.needs), places(self, &waits.after));
        let own = self.places.get(&waits.stage).copied();
        let Some(place) = own else { return };
        // Each stands behind what it waits for; of a damaged record no more is believed.
        let earlier = |places: Vec<usize>| -> Vec<usize> { places.into_iter().filter(|other| *other < place).collect() };
        (self.stages[place].needs, self.stages[place].after) = (earlier(needs), earlier(after));
    }

    fn stage(&mut self, name: &Arc<str>) -> &mut StageStory {
        let place = *self.places.entry(name.clone()).or_insert_with(|| {
            self.stages.push(StageStory::new(name.clone()));
            self.stages.len() - 1
        });
        &mut self.stages[place]
    }
}

impl Listener for Story {
    fn hear(&mut self, event: &Event) {
        self.tell(event);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::event::Stream;

    /// An event so many milliseconds after the beginning of the run.
    pub(in crate::report) fn at(milliseconds: u64, kind: EventKind) -> Event {
        Event { seq: 1, at: "2026-11-23T10:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_millis(milliseconds), kind }
    }

    /// The end of a stage.
    pub(in crate::report) fn finished(stage: &str, outcome: StageOutcome, duration_ms: u64) -> EventKind {
        EventKind::StageFinished(Box::new(StageFinished {
            stage: stage.into(),
            outcome,
            key: None,
            duration_ms,
            reason: None,
            stored: false,
            flaky: false,
            attempts: 1,
            failure: None,
        }))
    }

    /// The story of a run of these stages, with edges, two at once.
    pub(in crate::report) fn told(stages: &[&str], edges: &[(&str, &[&str])], events: Vec<Event>) -> Story {
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
        let graph = edges.iter().map(|(stage, needs)| Waits { stage: (*stage).into(), needs: names(needs), after: vec![] }).collect();
        let start = EventKind::RunStarted { run: "r1".into(), pipeline: "shop".to_owned(), stages: names(stages), jobs: 2, graph };
        let mut story = Story::default();
        std::iter::once(at(0, start)).chain(events).for_each(|event| story.tell(&event));
        story
    }

    #[test]
    fn each_attempt_of_a_step_is_told() {
        let step =
            |at_ms, command: &str| at(at_ms, EventKind::StepStarted { stage: "a".into(), step: "1".into(), command: command.into() });
        let end =
            |at_ms, status, duration_ms| at(at_ms, EventKind::StepFinished { stage: "a".into(), step: "1".into(), status, duration_ms });
        let text =
            EventKind::Output { stage: "a".into(), step: "1".into(), stream: Stream::Stdout, text: b"x\n".to_vec(), replayed: false };
        let events = vec![step(0, "x"), end(5, StepStatus::Failed, 5), step(6, "x"), at(7, text), end(9, StepStatus::Passed, 3)];
        let story = told(&["a"], &[], events);
        let stage = &story.stages[0];
        assert_eq!(
            stage.steps.iter().map(|step| step.end).collect::<Vec<_>>(),
            [Some((StepStatus::Failed, 5)), Some((StepStatus::Passed, 3))]
        );
        assert_eq!(stage.log.parts().0[0].step, Some(1));
        assert_eq!(story.duration_ms(), 9);
        assert!(!story.has_passed());
    }

    #[test]
    fn memory_is_bounded_whatever_is_printed() {
        let stages: Vec<String> = (0..100).map(|number| format!("s{number}")).collect();
        let names: Vec<&str> = stages.iter().map(String::as_str).collect();
        let mut events = Vec::new();
        for name in &names {
            let text = format!("{}\n", "x".repeat(1000)).repeat(600).into_bytes();
            events
                .push(at(1, EventKind::Output { stage: (*name).into(), step: "1".into(), stream: Stream::Stderr, text, replayed: false }));
            events.push(at(2, finished(name, StageOutcome::Failed, 1)));
        }
        let story = told(&names, &[], events);
        let size: usize = story.stages.iter().map(|stage| stage.log.size()).sum();
        assert!(size < OF_ALL + 100 * (OF_LATE.head + OF_LATE.tail) + OF_OTHERS.head + OF_OTHERS.tail, "{size}");
    }

    #[test]
    fn a_damaged_graph_makes_no_circle() {
        let story = told(&["a", "b"], &[("a", &["b", "a", "no"]), ("b", &["a"]), ("no", &["a"])], vec![]);
        assert_eq!((story.stages[0].needs.len(), &*story.stages[1].needs), (0, &[0][..]));
    }
}
