//! The services of a run: who uses which, when each is started, and when it is ended.
//!
//! A service is started by the first stage that is about to run its steps, and ended after the last selected stage that names it.
//! Each has two threads: one starts it and asks whether it is ready, one is with its process (`exec::service`). The books are `pool`.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::plan::Plan;
use super::pool::{Definition, Entry, Log, Loss, Pool, Stand, State, User, guard};
use crate::base::duration::show;
use crate::base::text::visible;
use crate::exec::cancel::Cancel;
use crate::exec::executor::{Ending, StepEnd};
use crate::exec::local::LocalExecutor;
use crate::exec::probe::{Found, in_the_way, look};
use crate::exec::service::Service as Process;
use crate::model::event::EventKind;
use crate::model::stage::StageId;

/// How often whoever waits looks whether it is to go on.
const TICK: Duration = Duration::from_millis(20);

/// How often a service is asked whether it is ready: soon at first, then at most so often.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How long the end of a service may take to be noticed after a step failed by it.
const NOTICED: Duration = Duration::from_millis(150);

/// All services that run, and who uses them. May outlive a run: see [`Services::keep`].
#[derive(Debug)]
pub struct Services {
    shared: Arc<Shared>,
    keeps: bool,
}

#[derive(Debug)]
struct Shared {
    executor: LocalExecutor,
    pool: Mutex<Pool>,
    changed: Condvar,
}

/// Why a stage does not get its services.
#[derive(Debug)]
pub(super) enum Refused {
    /// The run is over.
    Stopped,
    /// The time of the run is over, while it waited for this.
    OutOfTime(String),
    /// A service cannot be used.
    Lost(Box<Loss>),
}

/// A stage's use of its services: they run as long as it lives, or it is told.
#[derive(Debug)]
pub(super) struct Used<'s> {
    shared: &'s Shared,
    number: u64,
    /// The services and which start of each.
    entries: Vec<(Arc<str>, u64)>,
    cancel: Arc<Cancel>,
    lost: Arc<Mutex<Option<Loss>>>,
    /// One that was started for an earlier run.
    kept: Option<Arc<str>>,
}

impl Services {
    /// Returns a pool without any service, whose processes `executor` runs.
    pub fn new(executor: LocalExecutor) -> Self {
        Self { shared: Arc::new(Shared { executor, pool: Mutex::default(), changed: Condvar::new() }), keeps: false }
    }

    /// Keeps services running from one run to the next, until [`Services::stop_all`]: a service whose definition, or a file that its command
    /// names, has changed in between is started anew, one that has ended too.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// Begins a run of `plan`: its stages are the ones that services wait for.
    pub(super) fn begin(&self, plan: &Plan<'_>) {
        let mut pool = self.shared.lock();
        pool.awaited.clear();
        pool.began = pool.number();
        pool.entries.values_mut().filter(|entry| entry.is_alive() && entry.is_outdated()).for_each(|entry| entry.stop(State::Stopping));
        for id in &plan.stages {
            for service in plan.pipeline.services_of(plan.pipeline.stage(*id)) {
                pool.awaited.entry(service.name.clone()).or_default().insert(*id);
            }
        }
    }

    /// Notes that a stage is done; services that no other waits for are ended. One that `failed` is named with the log of what it used.
    pub(super) fn done(&self, id: StageId, failed: Option<&Arc<str>>) {
        let mut pool = self.shared.lock();
        let Pool { entries, awaited, .. } = &mut *pool;
        for (name, stages) in awaited.iter_mut() {
            if !stages.remove(&id) {
                continue;
            }
            let Some(entry) = entries.get_mut(name) else { continue };
            entry.failed.extend(failed.cloned());
            if stages.is_empty() && !self.keeps {
                entry.stop(State::Stopping);
            }
        }
    }

    /// Returns what happened since it was asked last.
    pub(super) fn news(&self) -> Vec<EventKind> {
        std::mem::take(&mut self.shared.lock().news)
    }

    /// Ends a run: what is not kept is ended, at once where `cancel` says so, and nothing of it is left.
    pub(super) fn end(&self, cancel: &Cancel) {
        if !self.keeps || cancel.signal().is_some() {
            self.stop_all(Some(cancel));
        }
    }

    /// Ends all services, and waits until nothing of them is left.
    pub fn stop_all(&self, cancel: Option<&Cancel>) {
        let mut pool = self.shared.lock();
        pool.entries.values_mut().filter(|entry| entry.is_alive()).for_each(|entry| entry.stop(State::Stopping));
        while pool.entries.values().any(Entry::is_alive) {
            if cancel.is_some_and(Cancel::is_killed) {
                pool.entries.values().filter_map(|entry| entry.process.as_ref()).for_each(Process::kill);
            }
            pool = self.shared.wait(pool);
        }
    }

    /// Makes `wanted` ready for a stage, all at once. Whoever is to end by `cancel` does, also while it waits.
    pub(super) fn enter(
        &self,
        wanted: &[Arc<Definition>],
        cancel: &Cancel,
        deadline: Option<&(Instant, String)>,
    ) -> Result<Used<'_>, Refused> {
        let own = cancel.child().map_err(|error| Refused::Lost(Box::new(Loss::of_ours(&error))))?;
        let mut pool = self.shared.lock();
        let number = pool.number();
        let mut used = Used { shared: &self.shared, number, entries: Vec::new(), cancel: own, lost: Arc::default(), kept: None };
        loop {
            let mut unready = Vec::new();
            for definition in wanted {
                match self.approach(&mut pool, definition, &mut used) {
                    Ok(true) => {}
                    Ok(false) => unready.push(format!("`{}`", visible(&definition.name))),
                    Err(loss) => {
                        drop(pool);
                        return Err(Refused::Lost(loss));
                    }
                }
            }
            let lost = guard(&used.lost).take();
            let refused = match (lost, deadline) {
                (Some(loss), _) => Refused::Lost(Box::new(loss)),
                _ if cancel.is_stopped() => Refused::Stopped,
                _ if unready.is_empty() => return Ok(used),
                (None, Some((at, limit))) if Instant::now() >= *at => {
                    Refused::OutOfTime(format!("{limit} was over while it waited for {}", unready.join(", ")))
                }
                _ => {
                    pool = self.shared.wait(pool);
                    continue;
                }
            };
            // Whoever leaves takes the books themselves.
            drop(pool);
            return Err(refused);
        }
    }

    /// Brings a stage to a service, and tells whether it is ready.
    fn approach(&self, pool: &mut Pool, definition: &Arc<Definition>, used: &mut Used<'_>) -> Result<bool, Box<Loss>> {
        let own = used.entries.iter().find(|(name, _)| *name == definition.name).cloned();
        if let Some((name, number)) = own {
            return Ok(pool.entry(&name, number).is_some_and(|entry| matches!(entry.state, State::Ready)));
        }
        let kept = pool.entries.get_mut(&definition.name).filter(|entry| self.keeps && entry.is_alive() && entry.users.is_empty());
        // A stage of this run may have made what it is started from.
        if let Some(entry) = kept.filter(|entry| entry.is_outdated()) {
            entry.stop(State::Stopping);
        }
        match pool.stand(definition) {
            Stand::Wait => return Ok(false),
            Stand::Lost(loss) => return Err(Box::new(loss)),
            Stand::Join => {}
            Stand::Start => self.start(pool, definition).map_err(|error| Box::new(Loss::of_ours(&error)))?,
        }
        let began = pool.began;
        let Some(entry) = pool.entries.get_mut(&definition.name) else { return Ok(false) };
        let is_kept = entry.number < began;
        entry.users.push(User { number: used.number, cancel: used.cancel.clone(), lost: used.lost.clone() });
        used.entries.push((definition.name.clone(), entry.number));
        if is_kept {
            used.kept = Some(definition.name.clone());
        }
        Ok(matches!(entry.state, State::Ready))
    }

    fn start(&self, pool: &mut Pool, definition: &Arc<Definition>) -> std::io::Result<()> {
        let number = pool.number();
        let entry = Entry::new(number, definition.clone());
        let log = entry.log.clone();
        let beginning = Beginning { shared: self.shared.clone(), definition: definition.clone(), number, log };
        thread::Builder::new().name("service start".to_owned()).spawn(move || beginning.begin())?;
        // The thread finds it there: the books are in our hands until then.
        pool.entries.insert(definition.name.clone(), entry);
        Ok(())
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.stop_all(None);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pool> {
        guard(&self.pool)
    }

    fn wait<'p>(&self, pool: MutexGuard<'p, Pool>) -> MutexGuard<'p, Pool> {
        self.changed.wait_timeout(pool, TICK).map_or_else(|poisoned| poisoned.into_inner().0, |(pool, _)| pool)
    }
}

impl Used<'_> {
    /// Returns a service among these that was started for an earlier run.
    pub(super) fn kept(&self) -> Option<Arc<str>> {
        self.kept.clone()
    }

    /// Returns what ends the stage's steps.
    pub(super) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Returns why the stage has failed by a service; `has_failed` tells whether its steps have, which may be why.
    pub(super) fn lost(&self, has_failed: bool) -> Option<Loss> {
        let until = Instant::now() + NOTICED;
        let mut pool = self.shared.lock();
        loop {
            if let Some(loss) = guard(&self.lost).take() {
                return Some(loss);
            }
            let has_ended = self.entries.iter().any(|(name, number)| {
                pool.entry(name, *number).is_some_and(|entry| entry.is_alive() && entry.process.as_ref().is_some_and(Process::has_ended))
            });
            // One that has ended is told of by its own thread, as soon as it has looked for what it left.
            if self.cancel.is_stopped() || !(has_ended || (has_failed && Instant::now() < until)) {
                return None;
            }
            pool = self.shared.wait(pool);
        }
    }
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        let mut pool = self.shared.lock();
        for (name, number) in &self.entries {
            if let Some(entry) = pool.entry(name, *number) {
                entry.users.retain(|user| user.number != self.number);
            }
        }
    }
}

/// One start of a service, until it is ready.
#[derive(Debug, Clone)]
struct Beginning {
    shared: Arc<Shared>,
    definition: Arc<Definition>,
    number: u64,
    log: Arc<Mutex<Log>>,
}

impl Beginning {
    fn begin(self) {
        if let Some(reason) = in_the_way(&self.definition.ready) {
            return self.end(&StepEnd { ending: Ending::NotStarted(reason), left_behind: Vec::new() });
        }
        let (own, log) = (self.clone(), self.log.clone());
        let deadline = Instant::now() + self.definition.timeout;
        let launched = self.shared.executor.launch(
            self.definition.command(),
            Box::new(move |stream, text| guard(&log).push(stream, text)),
            Box::new(move |end| own.end(&end)),
        );
        let process = match launched {
            Ok(process) => process,
            Err(error) => return self.end(&StepEnd { ending: Ending::NotStarted(error.to_string()), left_behind: Vec::new() }),
        };
        self.change(|entry| {
            if !matches!(entry.state, State::Starting) {
                process.stop();
            }
            entry.process = Some(process.clone());
            None
        });
        let (mut pause, mut missing) = (FIRST_PAUSE, None);
        loop {
            let question = self.definition.question(deadline);
            let has_printed = guard(&self.log).has_printed;
            let found = look(&self.shared.executor, &process, &self.definition.ready, has_printed, question.as_ref());
            if process.is_ending() {
                return;
            }
            let name = visible(&self.definition.name);
            let reason = match found {
                Found::Ready => return self.change(|entry| matches!(entry.state, State::Starting).then(|| entry.is_ready())),
                Found::Foreign(text) => format!("service `{name}` cannot be used: {text}"),
                Found::NotYet(why) if Instant::now() >= deadline => {
                    // A question that was cut short says less than the answer before it.
                    let why = missing.unwrap_or(why);
                    format!("service `{name}` was not ready after {}: {why}", show(self.definition.timeout))
                }
                Found::NotYet(why) => {
                    missing = Some(why);
                    process.pause(pause.min(deadline.saturating_duration_since(Instant::now())));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    continue;
                }
            };
            return self.change(|entry| {
                entry.stop(State::Doomed(reason));
                None
            });
        }
    }

    /// Changes what the books say of this start, and tells all who wait.
    fn change(&self, change: impl FnOnce(&mut Entry) -> Option<EventKind>) {
        let mut pool = self.shared.lock();
        let news = pool.entry(&self.definition.name, self.number).and_then(change);
        pool.news.extend(news);
        drop(pool);
        self.shared.changed.notify_all();
    }

    fn end(&self, end: &StepEnd) {
        self.change(|entry| entry.is_alive().then(|| entry.end(end)));
    }
}

#[cfg(test)]
mod tests;
