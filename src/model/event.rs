//! What happens in a run, as owned and serialisable values: the only thing that the engine says, and all that reporters hear.
//!
//! The JSON of an event is part of the contract (`design.md` section 5) and is also what is recorded of a run.

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::findings::Findings;
use super::outcome::{Counts, Failure, RunOutcome, StageOutcome, StepStatus};
use crate::base::json;

/// The version of the format of events.
pub const VERSION: u32 = 1;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number in the run, from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// Which of a step's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventKind {
    /// The run has begun.
    RunStarted {
        /// Its id.
        run: Arc<str>,
        /// The pipeline's name.
        pipeline: String,
        /// The selected stages, each behind those that it waits for.
        stages: Vec<Arc<str>>,
        /// How many run at once.
        jobs: usize,
        /// What each of them waits for, in the same order; empty in records of versions that did not say it.
        #[serde(default)]
        graph: Vec<Waits>,
    },
    /// A stage has begun.
    StageStarted {
        /// Which.
        stage: Arc<str>,
        /// Its cache key: 64 hexadecimal digits; null where nothing is cached.
        key: Option<String>,
        /// Why it runs.
        reason: Option<String>,
    },
    /// A step has begun; again at each retry.
    StepStarted {
        /// Of which stage.
        stage: Arc<str>,
        /// Its name or number.
        step: Arc<str>,
        /// Its command.
        command: String,
    },
    /// A step printed something.
    Output {
        /// Of which stage.
        stage: Arc<str>,
        /// Its name or number.
        step: Arc<str>,
        /// Where to.
        stream: Stream,
        /// What, with its newlines, cut at no character; bytes that are not UTF-8 are kept here and replaced in JSON.
        #[serde(with = "lossy")]
        text: Vec<u8>,
        /// True where it is taken from a stored result.
        replayed: bool,
    },
    /// A step has ended; again at each retry.
    StepFinished {
        /// Of which stage.
        stage: Arc<str>,
        /// Its name or number.
        step: Arc<str>,
        /// How.
        status: StepStatus,
        /// How long it took.
        duration_ms: u64,
    },
    /// Something that a person should know, although nothing failed.
    Notice {
        /// Of which stage, where it is of one.
        stage: Option<Arc<str>>,
        /// What.
        text: String,
    },
    /// The report files of a stage were read; comes before its outcome, also where its result was reused.
    Findings(Box<Findings>),
    /// A service can be used, or cannot any more.
    Service(Box<ServiceChanged>),
    /// A stage has its outcome.
    StageFinished(Box<StageFinished>),
    /// The run is over: always the last event.
    RunFinished {
        /// How.
        outcome: RunOutcome,
        /// What shipway exits with.
        exit_code: u8,
        /// How long it took.
        duration_ms: u64,
        /// How many stages ended how.
        counts: Counts,
    },
}

/// What a selected stage waits for among the selected ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// Which stage.
    pub stage: Arc<str>,
    /// Those whose outputs it may read.
    pub needs: Vec<Arc<str>>,
    /// Those of which it reads nothing.
    pub after: Vec<Arc<str>>,
}

/// The end of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageFinished {
    /// Which.
    pub stage: Arc<str>,
    /// How.
    pub outcome: StageOutcome,
    /// Its cache key, as in [`EventKind::StageStarted`].
    pub key: Option<String>,
    /// How long it took; 0 for a stage that never started.
    pub duration_ms: u64,
    /// Why it ended so, in words.
    pub reason: Option<String>,
    /// True where the result is in the store now.
    pub stored: bool,
    /// True where it passed only after a retry.
    pub flaky: bool,
    /// How often the stage was tried.
    pub attempts: u32,
    /// What failed.
    pub failure: Option<Failure>,
}

impl StageFinished {
    /// Returns the end of a stage of which nothing was run.
    pub fn without_run(stage: Arc<str>, outcome: StageOutcome) -> Self {
        Self { stage, outcome, key: None, duration_ms: 0, reason: None, stored: false, flaky: false, attempts: 0, failure: None }
    }

    /// Appends the event of this end, without the brace at its beginning.
    fn write_json(&self, line: &mut Vec<u8>) -> std::io::Result<()> {
        let Self { stage, outcome, key, duration_ms, reason, stored, flaky, attempts, failure } = self;
        line.extend_from_slice(br#""event":"stage-finished","stage":"#);
        json::write_string(stage, line);
        write!(line, r#","outcome":"{}","key":"#, outcome.word())?;
        json::write_option(key.as_deref(), line);
        write!(line, r#","duration_ms":{duration_ms},"reason":"#)?;
        json::write_option(reason.as_deref(), line);
        write!(line, r#","stored":{stored},"flaky":{flaky},"attempts":{attempts},"failure":"#)?;
        serde_json::to_writer(&mut *line, failure)?;
        line.push(b'}');
        Ok(())
    }
}

/// How far a service has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// It can be used.
    Ready,
    /// It was ended, since nobody uses it any more.
    Ended,
    /// It could not be used, or ended by itself.
    Failed,
}

/// What became of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceChanged {
    /// Which.
    pub service: Arc<str>,
    /// How far it is now.
    pub state: ServiceState,
    /// How long after its start.
    pub duration_ms: u64,
    /// Why it failed, in words.
    pub reason: Option<String>,
    /// The last lines of its log; none while it can be used.
    pub log: Vec<String>,
    /// The stages that used it and failed, not by its fault.
    pub failed_users: Vec<Arc<str>>,
}

/// Hears every event of a run, in order.
pub trait Listener {
    /// Takes the next event.
    fn hear(&mut self, event: &Event);

    /// Is called when no event is waiting: the time to write what was gathered. Returns after which time it wants to be called
    /// again although nothing happened; `None` for never.
    fn idle(&mut self) -> Option<Duration> {
        None
    }
}

/// Somebody who may not be there.
impl<L: Listener> Listener for Option<L> {
    fn hear(&mut self, event: &Event) {
        if let Some(listener) = self {
            listener.hear(event);
        }
    }

    fn idle(&mut self) -> Option<Duration> {
        self.as_mut().and_then(Listener::idle)
    }
}

impl Event {
    /// Returns the event as one line of JSON, without the newline.
    pub fn to_json(&self) -> String {
        let mut line = Vec::new();
        self.write_json(&mut line);
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Appends the event as one line of JSON, without the newline.
    pub fn write_json(&self, line: &mut Vec<u8>) {
        self.try_write_json(line).expect("an event has only text, numbers and lists, and memory takes all");
    }

    fn try_write_json(&self, line: &mut Vec<u8>) -> std::io::Result<()> {
        write!(line, r#"{{"v":{VERSION},"seq":{},"at":"{}","#, self.seq, self.at)?;
        match &self.kind {
            // The only one that there may be gigabytes of. What is not UTF-8 is rare, and to look for it piece by piece is slow.
            EventKind::Output { stage, step, stream, text, replayed } => {
                let text = std::str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed);
                let stream = if *stream == Stream::Stdout { "stdout" } else { "stderr" };
                line.extend_from_slice(br#""event":"output","stage":"#);
                json::write_string(stage, line);
                line.extend_from_slice(br#","step":"#);
                json::write_string(step, line);
                write!(line, r#","stream":"{stream}","text":"#)?;
                json::write_string(&text, line);
                write!(line, r#","replayed":{replayed}}}"#)
            }
            // Those of which there are as many as stages, in a run that does nothing else.
            EventKind::StageStarted { stage, key, reason } => {
                line.extend_from_slice(br#""event":"stage-started","stage":"#);
                json::write_string(stage, line);
                line.extend_from_slice(br#","key":"#);
                json::write_option(key.as_deref(), line);
                line.extend_from_slice(br#","reason":"#);
                json::write_option(reason.as_deref(), line);
                line.push(b'}');
                Ok(())
            }
            EventKind::StageFinished(finished) => finished.write_json(line),
            kind @ (EventKind::RunStarted { .. }
            | EventKind::StepStarted { .. }
            | EventKind::StepFinished { .. }
            | EventKind::Notice { .. }
            | EventKind::Findings(_)
            | EventKind::Service(_)
            | EventKind::RunFinished { .. }) => {
                let kind = serde_json::to_vec(kind)?;
                line.extend_from_slice(&kind[1..]);
                Ok(())
            }
        }
    }

    /// Reads a line that [`Event::to_json`] wrote.
    ///
    /// # Errors
    /// Where it is no such line, or one of another version.
    pub fn from_json(line: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Header {
            v: u32,
            seq: u64,
            at: Timestamp,
        }
        let header: Header = serde_json::from_str(line)?;
        if header.v != VERSION {
            return Err(serde::de::Error::custom(format!("version {} of the event format is not known", header.v)));
        }
        Ok(Self { seq: header.seq, at: header.at, kind: serde_json::from_str(line)? })
    }
}

/// Bytes as text: what is not UTF-8 becomes U+FFFD.
mod lossy {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(deserializer).map(String::into_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::FailureKind;

    #[test]
    fn an_event_is_read_back_as_it_was_written() {
        let finished = StageFinished {
            stage: "a".into(),
            outcome: StageOutcome::Failed,
            key: None,
            duration_ms: 3,
            reason: Some("exited with code 1".into()),
            stored: false,
            flaky: false,
            attempts: 1,
            failure: None,
        };
        let kinds = [
            EventKind::Output { stage: "a".into(), step: "1".into(), stream: Stream::Stderr, text: b"x\n\"".to_vec(), replayed: false },
            EventKind::StageFinished(Box::new(finished)),
        ];
        for kind in kinds {
            let event = Event { seq: 7, at: "2026-11-23T10:00:00.5Z".parse().unwrap(), kind };
            assert_eq!(Event::from_json(&event.to_json()).unwrap(), event);
        }
    }

    #[test]
    fn what_is_written_fast_is_written_as_all_else_is() {
        let output = |stream, text: &[u8], replayed| EventKind::Output {
            stage: "a\"".into(),
            step: "\\1".into(),
            stream,
            text: text.to_vec(),
            replayed,
        };
        let started = |key: Option<&str>, reason: Option<&str>| EventKind::StageStarted {
            stage: "a\"".into(),
            key: key.map(str::to_owned),
            reason: reason.map(str::to_owned),
        };
        let failure = Failure {
            step: "1".into(),
            kind: FailureKind::Exit,
            code: Some(1),
            signal: None,
            command: "\"x\"".into(),
            dir: ".".into(),
            tail: vec!["t".into()],
            tests: vec![],
            reproduce: Some("r".into()),
        };
        let end =
            StageFinished { key: Some("k\n".into()), duration_ms: 7, ..StageFinished::without_run("a\"".into(), StageOutcome::Cached) };
        let failed = StageFinished {
            reason: Some("\\".into()),
            stored: true,
            flaky: true,
            attempts: 3,
            failure: Some(failure),
            ..StageFinished::without_run("b".into(), StageOutcome::Failed)
        };
        let kinds = [
            output(Stream::Stdout, b"a\n\"\x1b\xff", true),
            output(Stream::Stderr, "ä".as_bytes(), false),
            started(None, Some("it's \"new\"")),
            started(Some("00ff"), None),
            EventKind::StageFinished(Box::new(end)),
            EventKind::StageFinished(Box::new(failed)),
        ];
        for kind in kinds {
            let event = Event { seq: 1, at: Timestamp::UNIX_EPOCH, kind };
            let all_else = serde_json::to_string(&event.kind).unwrap();
            assert_eq!(event.to_json(), format!(r#"{{"v":1,"seq":1,"at":"1970-01-01T00:00:00Z",{}"#, &all_else[1..]));
        }
    }

    #[test]
    fn the_form_is_that_of_the_contract() {
        let kind =
            EventKind::Output { stage: "a".into(), step: "1".into(), stream: Stream::Stdout, text: b"\xffx".to_vec(), replayed: false };
        let event = Event { seq: 1, at: Timestamp::UNIX_EPOCH, kind };
        assert_eq!(
            event.to_json(),
            "{\"v\":1,\"seq\":1,\"at\":\"1970-01-01T00:00:00Z\",\"event\":\"output\",\"stage\":\"a\",\"step\":\"1\",\"stream\":\"stdout\",\"text\":\"\u{fffd}x\",\"replayed\":false}"
        );
    }

    #[test]
    fn a_record_without_edges_is_read() {
        let line = r#"{"v":1,"seq":1,"at":"1970-01-01T00:00:00Z","event":"run-started","run":"r","pipeline":"p","stages":["a"],"jobs":2}"#;
        let EventKind::RunStarted { stages, graph, .. } = Event::from_json(line).unwrap().kind else { panic!("another event") };
        assert_eq!((stages.len(), graph.len()), (1, 0));
    }

    #[test]
    fn another_version_is_refused() {
        assert!(Event::from_json(r#"{"v":2,"seq":1,"at":"1970-01-01T00:00:00Z","event":"notice","stage":null,"text":""}"#).is_err());
    }
}
