//! The making of one stage on one thread: its steps in order, its retries, its limits.

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::outbox::Outbox;
use super::plan::Plan;
use super::reporting::Reporting;
use super::services::Services;
use super::tail::Tail;
use crate::base::duration::show;
use crate::base::signal;
use crate::base::text::visible;
use crate::cache::log::LogWriter;
use crate::cache::outputs::Lying;
use crate::exec::cancel::Cancel;
use crate::exec::environment::Caller;
use crate::exec::executor::{Ending, Executor, GRACE, Owner, STAGE, StepCommand};
use crate::exec::jobserver::Jobserver;
use crate::model::event::EventKind;
use crate::model::findings::Findings;
use crate::model::outcome::{Failure, FailureKind, StepStatus};
use crate::model::stage::{Stage, StageId, Step};

/// How many processes a notice names.
const NAMED: usize = 5;

/// What every stage of a run shares.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    /// What is run.
    pub(super) plan: &'a Plan<'a>,
    /// Who runs steps.
    pub(super) executor: &'a dyn Executor,
    /// Where variables come from.
    pub(super) caller: &'a Caller,
    /// Whether to stop.
    pub(super) cancel: &'a Cancel,
    /// When the whole run is to be over, and its limit.
    pub(super) deadline: Option<(Instant, Duration)>,
    /// What runs beside stages.
    pub(super) services: &'a Services,
    /// What its steps share with all others.
    pub(super) jobserver: &'a Jobserver,
    /// Takes what happens.
    pub(super) outbox: &'a Outbox<'a>,
    /// The index of the step that runs, or ran last.
    pub(super) at: &'a Cell<usize>,
}

impl std::fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("plan", self.plan).finish_non_exhaustive()
    }
}

/// How one attempt of a stage or a step ended.
pub(super) enum End {
    /// It passed, the stage with these outputs.
    Passed {
        flaky: bool,
        lying: Lying,
        /// A service that it used and that was started for an earlier run, from files that may have been others.
        kept: Option<Arc<str>>,
    },
    Failed(Box<Failure>, String),
    Cancelled,
}

/// How a stage ended, after which number of attempts, and what the reports of the last one say.
pub(super) struct Made {
    pub(super) end: End,
    pub(super) attempts: u32,
    pub(super) findings: Option<Box<Findings>>,
}

/// Where a stage's log is taken down, if it is.
type Log<'l> = Option<&'l RefCell<LogWriter>>;

/// How an attempt ended, and what its report files say.
pub(super) type Tried = (End, Option<Box<Findings>>);

/// A point in time and the words for whose limit it is.
type Limit = Option<(Instant, String)>;

impl Attempt<'_> {
    /// Runs the stage until it passes, fails for good, or the run ends; `clear` makes room for its outputs before each attempt.
    pub(super) fn run(
        &self,
        id: StageId,
        log: Log<'_>,
        reporting: Option<&Reporting<'_>>,
        clear: &mut dyn FnMut() -> Result<(), String>,
    ) -> Made {
        let stage = self.plan.pipeline.stage(id);
        let mut attempts = 1;
        loop {
            let (end, findings) = match clear() {
                Ok(()) => self.try_beside(id, stage, log, reporting),
                Err(reason) => {
                    let failure = self.failure(id, &stage.steps[0], FailureKind::Spawn, &Tail::default());
                    return Made { end: End::Failed(Box::new(failure), reason), attempts, findings: None };
                }
            };
            match &end {
                End::Failed(_, reason) if attempts <= stage.retries && self.may_retry() => {
                    self.notice(
                        stage,
                        format!(
                            "{reason}; trying again ({attempts} of {})",
                            crate::base::text::count(stage.retries as usize, "retry").replace("retrys", "retries")
                        ),
                    );
                    attempts += 1;
                }
                End::Failed(..) | End::Passed { .. } | End::Cancelled => return Made { end, attempts, findings },
            }
        }
    }

    /// Runs the steps, reads what they report, and looks for what they should have made.
    pub(super) fn try_stage(&self, id: StageId, stage: &Stage, log: Log<'_>, reporting: Option<&Reporting<'_>>) -> Tried {
        let mut tail = Tail::default();
        let before = reporting.map(|reporting| (reporting, reporting.before()));
        let end = self.try_steps(id, stage, log, &mut tail);
        let (end, findings) = match &before {
            Some((reporting, before)) => self.with_reports(id, end, reporting, before, &tail),
            None => (end, None),
        };
        match end {
            End::Passed { flaky, .. } => (self.look_at_outputs(id, stage, flaky, &tail), findings),
            end @ (End::Failed(..) | End::Cancelled) => (end, findings),
        }
    }

    fn try_steps(&self, id: StageId, stage: &Stage, log: Log<'_>, last_tail: &mut Tail) -> End {
        let limit = stage.timeout.map(|timeout| (Instant::now() + timeout, format!("the stage's limit of {}", show(timeout))));
        let run_limit = self.deadline.map(|(deadline, time)| (deadline, format!("the run's limit of {}", show(time))));
        let limit = earlier(limit, run_limit);
        let mut any_flaky = false;
        let _seat = self.jobserver.begin();
        for (index, step) in stage.steps.iter().enumerate() {
            if self.cancel.is_stopped() {
                return End::Cancelled;
            }
            self.at.set(index);
            if let Some(log) = log {
                log.borrow_mut().step(index);
            }
            match self.run_step(id, step, &limit, last_tail, log) {
                End::Passed { flaky, .. } => any_flaky |= flaky,
                end @ (End::Failed(..) | End::Cancelled) => return end,
            }
        }
        End::Passed { flaky: any_flaky, lying: Lying::default(), kept: None }
    }

    fn look_at_outputs(&self, id: StageId, stage: &Stage, flaky: bool, tail: &Tail) -> End {
        let step = stage.steps.last().expect("a stage has a step");
        let missing = |reason| End::Failed(Box::new(self.failure(id, step, FailureKind::MissingOutput, tail)), reason);
        match Lying::look(self.plan.root(), &stage.outputs) {
            Err(error) => missing(format!("its outputs cannot be looked at: {error}")),
            Ok(lying) => match lying.missing.first().map(|index| &stage.outputs[*index]) {
                None => End::Passed { flaky, lying, kept: None },
                Some(output) => {
                    let what = if output.is_literal() { "was declared but not written" } else { "matches nothing" };
                    missing(format!("output `{}` {what}", visible(output.path())))
                }
            },
        }
    }

    fn run_step(&self, id: StageId, step: &Step, stage_limit: &Limit, tail: &mut Tail, log: Log<'_>) -> End {
        let mut tried = 0;
        loop {
            let limit = step.timeout.map(|timeout| (Instant::now() + timeout, format!("the step's limit of {}", show(timeout))));
            *tail = Tail::default();
            let end = self.try_step(id, step, &earlier(limit, stage_limit.clone()), tail, log);
            tried += 1;
            let stage_time_is_over = stage_limit.as_ref().is_some_and(|(deadline, _)| Instant::now() >= *deadline);
            match end {
                End::Failed(_, reason) if tried <= step.retries && self.may_retry() && !stage_time_is_over => {
                    self.notice(self.plan.pipeline.stage(id), format!("{reason}; trying the step again ({tried} of {})", step.retries));
                }
                End::Passed { lying, .. } => return End::Passed { flaky: tried > 1, lying, kept: None },
                End::Failed(..) | End::Cancelled => return end,
            }
        }
    }

    fn try_step(&self, id: StageId, step: &Step, limit: &Limit, tail: &mut Tail, log: Log<'_>) -> End {
        let stage = self.plan.pipeline.stage(id);
        let command = self.plan.command(id, step);
        let (name, label) = (&stage.name, &step.label);
        self.outbox.tell(EventKind::StepStarted { stage: name.clone(), step: label.clone(), command: command.show() });
        let began = Instant::now();
        let mut env = self.caller.of_step(name, &stage.pass_env, &stage.secrets, [&stage.env, &step.env]);
        if stage.lets_stay {
            // What is of a stage would be ended with it, by whichever shipway finds it.
            env.remove(OsStr::new(STAGE));
        }
        let mut ready = StepCommand {
            words: self.plan.words(id, &command),
            dir: self.plan.root().join(&step.dir),
            env,
            owner: if stage.lets_stay { Owner::Itself } else { Owner::Stage(name.clone()) },
            stop: Signal::TERM,
            grace: GRACE,
            deadline: limit.as_ref().map(|(deadline, _)| *deadline),
        };
        self.jobserver.tell(stage.jobserver, &mut ready);
        let ending = if let Err(error) = self.make_folders(stage) {
            Ending::NotStarted(error)
        } else {
            self.outbox.send();
            let mut offered_again = false;
            let end = self.executor.execute(&ready, self.cancel, &mut |stream, text| {
                if !offered_again {
                    tail.push(&text);
                    if let Some(log) = log {
                        log.borrow_mut().push(stream, &text);
                    }
                }
                let output = EventKind::Output { stage: name.clone(), step: label.clone(), stream, text, replayed: false };
                let text = self.outbox.offer(output);
                offered_again = text.is_some();
                text
            });
            if let [process] = end.left_behind.as_slice() {
                self.notice(stage, format!("step `{}` left a process running, which was ended: {process}", visible(label)));
            } else if !end.left_behind.is_empty() {
                let (all, named) = (end.left_behind.len(), end.left_behind.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "));
                let more = if all > NAMED { format!(" and {} more", all - NAMED) } else { String::new() };
                self.notice(stage, format!("step `{}` left {all} processes running, which were ended: {named}{more}", visible(label)));
            }
            end.ending
        };
        let status = match &ending {
            Ending::Exited(0) => StepStatus::Passed,
            Ending::Exited(_) | Ending::Signaled(_) | Ending::NotStarted(_) => StepStatus::Failed,
            Ending::TimedOut => StepStatus::TimedOut,
            Ending::Cancelled => StepStatus::Cancelled,
        };
        self.outbox.tell(EventKind::StepFinished { stage: name.clone(), step: label.clone(), status, duration_ms: milliseconds(began) });
        self.judge(id, step, ending, began.elapsed(), limit, tail)
    }

    fn judge(&self, id: StageId, step: &Step, ending: Ending, took: Duration, limit: &Limit, tail: &Tail) -> End {
        let what = format!("step `{}`", visible(&step.label));
        let took = show(took);
        let fail =
            |kind, code, signal, reason| End::Failed(Box::new(Failure { code, signal, ..self.failure(id, step, kind, tail) }), reason);
        match ending {
            Ending::Exited(0) => End::Passed { flaky: false, lying: Lying::default(), kept: None },
            Ending::Cancelled => End::Cancelled,
            Ending::Exited(code) => fail(FailureKind::Exit, Some(code), None, format!("{what} exited with code {code} after {took}")),
            Ending::Signaled(signal) => {
                fail(FailureKind::Signal, None, Some(signal), format!("{what} was killed by {} after {took}", signal::name(signal)))
            }
            Ending::TimedOut => {
                let limit = limit.as_ref().map_or("its limit", |(_, limit)| limit);
                fail(FailureKind::Timeout, None, None, format!("{what} timed out: {limit} was over, and it was ended"))
            }
            Ending::NotStarted(reason) => fail(FailureKind::Spawn, None, None, format!("{what} could not be started: {reason}")),
        }
    }

    pub(super) fn failure(&self, id: StageId, step: &Step, kind: FailureKind, tail: &Tail) -> Failure {
        Failure {
            step: step.label.clone(),
            kind,
            code: None,
            signal: None,
            command: self.plan.command(id, step).show(),
            dir: if step.dir.is_empty() { ".".to_owned() } else { step.dir.clone() },
            tail: tail.lines(),
            tests: Vec::new(),
            reproduce: self.plan.reproduce(id),
        }
    }

    /// Makes the folders that hold declared outputs.
    fn make_folders(&self, stage: &Stage) -> Result<(), String> {
        for output in &stage.outputs {
            let base = std::path::Path::new(output.base());
            let folder = if output.is_literal() { base.parent().unwrap_or(base) } else { base };
            let made = if folder.as_os_str().is_empty() { Ok(()) } else { fs::create_dir_all(self.plan.root().join(folder)) };
            made.map_err(|error: io::Error| {
                format!("the folder `{}` of its outputs cannot be made: {error}", visible(&folder.to_string_lossy()))
            })?;
        }
        Ok(())
    }

    fn may_retry(&self) -> bool {
        !self.cancel.is_stopped() && self.deadline.is_none_or(|(deadline, _)| Instant::now() < deadline)
    }

    fn notice(&self, stage: &Stage, text: String) {
        self.outbox.tell(EventKind::Notice { stage: Some(Arc::clone(&stage.name)), text });
    }
}

fn earlier(one: Limit, other: Limit) -> Limit {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.0 < one.0 { other } else { one }),
        (one, other) => one.or(other),
    }
}

pub(super) fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
