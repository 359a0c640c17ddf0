//! The coordinator: gives stages to workers, hears what they say, halts at the first failure, and sums up.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::attempt::Attempt;
use super::checkout::Checkout;
use super::emitter::Emitter;
use super::identities::{Identities, ToolError};
use super::memory::Memory;
use super::outbox::{Doze, Message, Outbox};
use super::plan::Plan;
use super::schedule::{OnFailure, Schedule};
use super::services::Services;
use super::traces::Belief;
use super::turn::{Turn, half_made};
use crate::base::duration::show;
use crate::base::secret::Masker;
use crate::exec::cancel::{Cancel, Interruption};
use crate::exec::environment::Caller;
use crate::exec::executor::Executor;
use crate::exec::jobserver::Jobserver;
use crate::model::event::{EventKind, Listener, StageFinished};
use crate::model::outcome::{Counts, Exit, FailureKind, RunOutcome, StageOutcome};
use crate::model::stage::StageId;

/// How many messages may wait: with output in pieces of at most 256 KiB this bounds the memory, and slows a step that prints faster
/// than anybody can take.
const WAITING: usize = 32;

/// How long the coordinator leaves alone what is no hurry, while more is to be expected: to be woken for each short step would cost as much
/// as the step.
const DOZE: Duration = Duration::from_millis(10);

/// A run that became pointless says that it ended as if by this signal, which its steps got: SIGTERM.
const OUTDATED: i32 = 15;

/// How a run is to be done.
#[derive(Debug, Clone)]
pub struct Options {
    /// The run's id.
    pub id: Arc<str>,
    /// How many stages run at once.
    pub jobs: usize,
    /// What a failure does.
    pub on_failure: OnFailure,
    /// When the run began: what its tools were asked before counts.
    pub began: Instant,
    /// Longest time of the whole run.
    pub timeout: Option<Duration>,
    /// What is said at the start, before any stage.
    pub notices: Vec<String>,
    /// Whether what a stage printed when it was stored is given out again when its result is reused.
    pub replays: bool,
}

/// What a run works with.
pub struct Means<'a> {
    /// Who runs steps.
    pub executor: &'a dyn Executor,
    /// Where variables come from.
    pub caller: &'a Caller,
    /// What must not be seen.
    pub masker: &'a Masker,
    /// Where it runs, and what is stored.
    pub checkout: &'a Checkout,
    /// What runs beside stages.
    pub services: &'a Services,
}

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A tool does not say what it is.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// Outputs that are to be taken as they are were left half made.
    #[error("{text}")]
    HalfMade {
        /// Which, for whom.
        text: String,
        /// The stage to run first.
        stage: String,
    },
}

impl std::fmt::Debug for Means<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Means").field("caller", self.caller).finish_non_exhaustive()
    }
}

/// The way to a run from outside: for whoever hears signals.
#[derive(Debug, Clone)]
pub struct Interrupter {
    cancel: Arc<Cancel>,
    sender: Sender<Message>,
}

impl Interrupter {
    /// Ends the run because this signal came.
    pub fn interrupt(&self, signal: i32) -> Interruption {
        let interruption = self.cancel.interrupt(signal);
        // Full: then the coordinator is awake anyway.
        let _full = self.sender.try_send(Message::Interrupted);
        interruption
    }

    /// Returns the first signal that came, during the run or after it.
    pub fn signal(&self) -> Option<i32> {
        self.cancel.signal()
    }

    /// Ends the run because what its stages read has changed: whatever came out would not be of what is there now.
    pub fn outdate(&self) {
        self.cancel.outdate();
        let _full = self.sender.try_send(Message::Interrupted);
    }
}

/// A run that can be interrupted from before its start to its end.
#[derive(Debug)]
pub struct Run {
    cancel: Arc<Cancel>,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
}

impl Run {
    /// Returns a run that has not begun.
    ///
    /// # Errors
    /// Where the system has no file descriptors left.
    pub fn new() -> std::io::Result<Self> {
        let (sender, receiver) = bounded(WAITING);
        Ok(Self { cancel: Arc::new(Cancel::new()?), sender, receiver })
    }

    /// Returns the way to interrupt it.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter { cancel: self.cancel.clone(), sender: self.sender.clone() }
    }

    /// Finds out what is known of the stages of `plan`: asks their tools, and looks at the files they read, on `jobs` threads. `belief` says what
    /// need not be looked at again.
    ///
    /// # Errors
    /// Where a declared tool is missing or fails, or where outputs that are to be taken as they lie there are not whole.
    pub fn prepare<'a>(&self, plan: &'a Plan<'a>, means: &Means<'a>, jobs: usize, belief: Belief) -> Result<Memory<'a>, PrepareError> {
        let mut memory = Memory::new(plan, means.caller, means.masker, means.checkout);
        memory.believe(belief, jobs);
        let unknown = memory.unknown();
        let asked = thread::scope(|scope| {
            let asked = scope.spawn(|| Identities::ask(memory.asker(), &unknown, means.executor, &self.cancel));
            memory.look_ahead(jobs);
            asked.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault))
        });
        let memory = memory.with(asked?, jobs);
        if let Some((user, stage)) = memory.half_made_need(&self.cancel).filter(|_| !self.cancel.is_stopped()) {
            let (user, stage) = (plan.pipeline.stage(user), plan.pipeline.stage(stage));
            return Err(PrepareError::HalfMade { text: half_made(stage, user), stage: stage.name.to_string() });
        }
        Ok(memory)
    }

    /// Runs the plan that `memory` knows to its end: every stage of it has exactly one outcome, every listener has heard of it, no process
    /// is left.
    pub fn go(self, memory: &Memory<'_>, options: &Options, means: &Means<'_>, listeners: &mut [&mut dyn Listener]) -> Exit {
        let plan = memory.plan;
        let deadline = options.timeout.map(|timeout| (Instant::now() + timeout, timeout));
        let unknown = memory.unknown();
        let schedule = Mutex::new(Schedule::new(plan.pipeline, &unknown, options.jobs, options.on_failure));
        let emitter = Emitter::new(listeners, means.masker);
        let (orders, work) = unbounded();
        means.services.begin(plan);
        let Self { cancel, sender, receiver } = self;
        let (cancel, schedule, jobserver, doze) = (&*cancel, &schedule, &Jobserver::new(options.jobs), &Doze::of_this_thread());
        thread::scope(|scope| {
            for _ in 0..options.jobs.min(unknown.len()) {
                let (work, outbox) = (&work, Outbox::new(sender.clone(), doze));
                scope.spawn(move || {
                    let (executor, caller, services) = (means.executor, means.caller, means.services);
                    let attempt =
                        Attempt { plan, executor, caller, cancel, deadline, services, jobserver, outbox: &outbox, at: &Cell::new(0) };
                    worker(work, schedule, &Turn { attempt, memory, run: &options.id, replays: options.replays });
                });
            }
            let mut coordinator = Coordinator {
                memory,
                plan,
                schedule,
                emitter,
                orders,
                receiver,
                cancel,
                services: means.services,
                deadline,
                counts: Counts::default(),
                heard_of: 0,
                failed: None,
                out_of_time: false,
                doze,
                is_tired: false,
            };
            let exit = coordinator.run(options, means.executor);
            memory.keep_traces();
            exit
        })
    }
}

/// Runs the stages it is given, and those that it finds to be next, until there are no more orders.
fn worker(work: &Receiver<StageId>, schedule: &Mutex<Schedule<'_>>, turn: &Turn<'_>) {
    let Attempt { plan, outbox, .. } = turn.attempt;
    while let Ok(first) = work.recv() {
        let mut next = Some(first);
        while let Some(id) = next.take() {
            // A fault of ours must end the run, not hang it.
            let finished = catch_unwind(AssertUnwindSafe(|| turn.take(id)));
            let finished = finished.unwrap_or_else(|_| broken(plan.pipeline.stage(id).name.clone()));
            let has_passed = has_passed(&finished);
            if !has_passed {
                lock(schedule).failed();
            }
            // Before others may start because of it.
            outbox.finish(id, finished, !has_passed);
            if has_passed {
                next = go_on(id, schedule, turn);
            }
        }
    }
}

/// Takes the end of a stage that has passed into the schedule, and returns what may start now: whoever made the one need not wait for the
/// coordinator to make the other.
fn go_on(id: StageId, schedule: &Mutex<Schedule<'_>>, turn: &Turn<'_>) -> Option<StageId> {
    let Attempt { cancel, deadline, services, outbox, .. } = turn.attempt;
    // What nobody uses any more must be told to end before the next one asks for its place.
    services.done(id, None);
    let mut schedule = lock(schedule);
    schedule.finished(id, true);
    let may_start = !cancel.is_stopped() && deadline.is_none_or(|(deadline, _)| Instant::now() < deadline);
    let next = may_start.then(|| schedule.next()).flatten();
    let is_news = next.is_none() || schedule.may_have_next();
    drop(schedule);
    if is_news {
        // The coordinator may have looked before: there is more to give out, or nothing any more.
        outbox.went_on();
    }
    next
}

fn has_passed(finished: &StageFinished) -> bool {
    matches!(finished.outcome, StageOutcome::Passed | StageOutcome::Cached)
}

fn lock<'s, 'p>(schedule: &'s Mutex<Schedule<'p>>) -> MutexGuard<'s, Schedule<'p>> {
    schedule.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end of a stage in whose run shipway itself failed.
fn broken(stage: Arc<str>) -> StageFinished {
    let reason = Some("shipway itself failed here; the lines above say where, please report them".to_owned());
    StageFinished { reason, attempts: 1, ..StageFinished::without_run(stage, StageOutcome::Failed) }
}

struct Coordinator<'a, 'l, 'm> {
    memory: &'a Memory<'a>,
    plan: &'a Plan<'a>,
    schedule: &'a Mutex<Schedule<'a>>,
    emitter: Emitter<'l, 'm>,
    orders: Sender<StageId>,
    receiver: Receiver<Message>,
    cancel: &'a Cancel,
    services: &'a Services,
    deadline: Option<(Instant, Duration)>,
    counts: Counts,
    /// How many stages have ended and were heard of.
    heard_of: usize,
    /// The first stage that failed.
    failed: Option<Arc<str>>,
    out_of_time: bool,
    doze: &'a Doze,
    /// Whether it was busy since it last dozed.
    is_tired: bool,
}

impl Coordinator<'_, '_, '_> {
    fn run(&mut self, options: &Options, executor: &dyn Executor) -> Exit {
        let began = options.began;
        let stages = self.plan.stages.iter().map(|id| self.plan.pipeline.stage(*id).name.clone()).collect();
        self.emitter.emit(EventKind::RunStarted {
            run: options.id.clone(),
            pipeline: self.plan.pipeline.name.clone(),
            stages,
            jobs: options.jobs,
            graph: self.plan.waits(),
        });
        for text in &options.notices {
            self.emitter.emit(EventKind::Notice { stage: None, text: text.clone() });
        }
        self.tell_of_known();
        loop {
            self.start_what_may();
            if self.is_over() {
                break;
            }
            let message = self.listen();
            // Before what the stages that wait for them say.
            self.tell_of_services();
            match message {
                Some(Message::Happened(kinds)) => kinds.into_iter().for_each(|kind| self.emitter.emit(kind)),
                Some(Message::Finished(id, kinds, finished)) => {
                    kinds.into_iter().for_each(|kind| self.emitter.emit(kind));
                    self.finish(id, finished);
                }
                Some(Message::Interrupted) => self.announce_interruption(),
                Some(Message::WentOn) | None => {}
            }
        }
        self.services.end(self.cancel);
        self.tell_of_services();
        for text in executor.finish() {
            self.emitter.emit(EventKind::Notice { stage: None, text });
        }
        let rest = lock(self.schedule).rest();
        for id in rest {
            let reason = self.why_halted();
            self.skip(id, reason);
        }
        self.conclude(began)
    }

    /// Ends the stages that were known before anything ran.
    fn tell_of_known(&mut self) {
        for id in &self.plan.stages {
            let Some(key) = self.memory.known(*id) else { continue };
            let (stage, key) = (self.plan.pipeline.stage(*id).name.clone(), Some(key.to_string()));
            self.emitter.emit(EventKind::StageStarted { stage: stage.clone(), key: key.clone(), reason: None });
            self.services.done(*id, None);
            self.counts.add(StageOutcome::Cached);
            let finished = StageFinished { key, stored: true, ..StageFinished::without_run(stage, StageOutcome::Cached) };
            self.emitter.emit(EventKind::StageFinished(Box::new(finished)));
        }
    }

    /// Tells whether every stage that was given out has ended and was heard of, and nothing more will be given out.
    fn is_over(&self) -> bool {
        let schedule = lock(self.schedule);
        schedule.is_over() && self.heard_of == schedule.given()
    }

    fn tell_of_services(&mut self) {
        for kind in self.services.news() {
            self.emitter.emit(kind);
        }
    }

    fn start_what_may(&mut self) {
        if self.cancel.is_stopped() {
            lock(self.schedule).halt();
        }
        if let Some((deadline, time)) = self.deadline.filter(|_| !self.out_of_time)
            && Instant::now() >= deadline
        {
            self.out_of_time = true;
            let has_rest = {
                let mut schedule = lock(self.schedule);
                schedule.halt();
                !schedule.rest().is_empty()
            };
            if has_rest {
                self.emitter.emit(EventKind::Notice {
                    stage: None,
                    text: format!("the run's limit of {} is over: nothing new is started", show(time)),
                });
            }
        }
        let mut schedule = lock(self.schedule);
        while let Some(id) = schedule.next() {
            // The workers wait for orders as long as this sender lives.
            let _sent = self.orders.send(id);
        }
    }

    /// Returns the next message; while there is none, lets the listeners do what they have put off, and dozes where there were some just now.
    fn listen(&mut self) -> Option<Message> {
        if let Ok(message) = self.receiver.try_recv() {
            self.is_tired = true;
            return Some(message);
        }
        let time = self.emitter.idle();
        if std::mem::take(&mut self.is_tired) {
            // Whoever has something urgent ends it.
            self.doze.begin(DOZE, || !self.receiver.is_empty());
            return None;
        }
        let message = match time {
            None => self.receiver.recv().ok(),
            Some(time) => self.receiver.recv_timeout(time).ok(),
        };
        self.is_tired = true;
        message
    }

    fn finish(&mut self, id: StageId, mut finished: Box<StageFinished>) {
        self.heard_of += 1;
        let (outcome, has_passed) = (finished.outcome, has_passed(&finished));
        if outcome == StageOutcome::Cancelled {
            finished.reason = Some(format!("ended: {}", self.why_halted()));
        }
        let name = finished.stage.clone();
        if outcome == StageOutcome::Failed && self.failed.is_none() {
            self.failed = Some(name.clone());
        }
        let is_own_fault = finished.failure.as_ref().is_some_and(|failure| failure.kind != FailureKind::Service);
        if !has_passed {
            self.services.done(id, Some(&name).filter(|_| is_own_fault));
        }
        self.counts.add(outcome);
        self.emitter.emit(EventKind::StageFinished(finished));
        // What has passed was taken into the schedule by who made it.
        let dropped = if has_passed { Vec::new() } else { lock(self.schedule).finished(id, false) };
        for dropped in dropped {
            self.skip(dropped, format!("it waits for `{name}`, which did not pass"));
        }
        if self.failed.is_some() && lock(self.schedule).is_halting() {
            self.cancel.stop();
        }
    }

    fn skip(&mut self, id: StageId, reason: String) {
        let stage = self.plan.pipeline.stage(id).name.clone();
        let outcome = StageOutcome::Skipped;
        self.services.done(id, None);
        self.counts.add(outcome);
        let finished = StageFinished { reason: Some(reason), ..StageFinished::without_run(stage, outcome) };
        self.emitter.emit(EventKind::StageFinished(Box::new(finished)));
    }

    fn announce_interruption(&mut self) {
        let running = crate::base::text::count(lock(self.schedule).running(), "stage");
        let text = if self.cancel.is_killed() {
            format!("interrupted again: killing {running}")
        } else if self.cancel.signal().is_none() {
            format!("what was read has changed: ending {running}")
        } else {
            format!("interrupted: ending {running}; once more to kill at once")
        };
        self.emitter.emit(EventKind::Notice { stage: None, text });
    }

    fn why_halted(&self) -> String {
        match (&self.failed, self.cancel.signal()) {
            (_, Some(_)) => "the run was interrupted".to_owned(),
            (None, None) if self.cancel.is_pointless() => "what was read has changed meanwhile".to_owned(),
            (Some(stage), None) => format!("`{stage}` failed"),
            (None, None) => self
                .deadline
                .map_or_else(|| "the run was halted".to_owned(), |(_, time)| format!("the run's limit of {} was over", show(time))),
        }
    }

    fn conclude(&mut self, began: Instant) -> Exit {
        let all_passed = self.counts.passed + self.counts.cached == self.plan.stages.len();
        let exit = match self.cancel.signal() {
            _ if all_passed => Exit::Passed,
            Some(signal) => Exit::Interrupted(signal),
            None if self.cancel.is_pointless() => Exit::Interrupted(OUTDATED),
            None => Exit::Failed,
        };
        let outcome = match exit {
            Exit::Passed => RunOutcome::Passed,
            Exit::Interrupted(_) => RunOutcome::Cancelled,
            Exit::Failed | Exit::Usage | Exit::Surroundings | Exit::RolledBack | Exit::RollbackFailed | Exit::Waiting => RunOutcome::Failed,
        };
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.emitter.emit(EventKind::RunFinished { outcome, exit_code: exit.code(), duration_ms, counts: self.counts });
        let _later = self.emitter.idle();
        exit
    }
}
