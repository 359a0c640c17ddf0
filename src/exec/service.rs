//! A process that runs beside steps until it is told to end: on a thread of its own, by the machinery of steps.
//!
//! Knows nothing of who uses it; whether it can be used, `probe` finds out.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::cancel::Cancel;
use super::executor::{Ending, OutputSink, Owner, StepCommand, StepEnd};
use super::local::LocalExecutor;
use super::processes::{Process, descendants};
use crate::model::event::Stream;

/// Takes what a service prints, masked, cut at no character.
pub type Log = Box<dyn FnMut(Stream, &[u8]) + Send>;

/// Is called once, when nothing of a service is left.
pub type Ended = Box<dyn FnOnce(StepEnd) + Send>;

/// A service that was started.
#[derive(Debug, Clone)]
pub struct Service {
    cancel: Arc<Cancel>,
    owner: Owner,
    /// The number of its process: 0 until there is one.
    pid: Arc<AtomicI32>,
    is_over: Arc<Mutex<bool>>,
    /// Held while a command asks whether it is ready.
    asked: Arc<Mutex<()>>,
}

impl LocalExecutor {
    /// Starts a service; `ended` is called when it has ended, whyever, and all its processes with it.
    ///
    /// # Errors
    /// Where the system has no threads or file descriptors left.
    pub fn launch(&self, command: StepCommand, mut log: Log, ended: Ended) -> io::Result<Service> {
        let cancel = Arc::new(Cancel::new()?);
        let service = Service { cancel, owner: command.owner.clone(), pid: Arc::default(), is_over: Arc::default(), asked: Arc::default() };
        let (executor, own) = (self.clone(), service.clone());
        thread::Builder::new().name("service".to_owned()).spawn(move || {
            let begun = |pid: rustix::process::Pid| own.pid.store(pid.as_raw_nonzero().get(), Ordering::SeqCst);
            let run = AssertUnwindSafe(|| {
                executor.run(&command, &own.cancel, &begun, &mut |stream, text| {
                    log(stream, &text);
                    None
                })
            });
            let broken = |_| StepEnd { ending: Ending::NotStarted("shipway itself failed".to_owned()), left_behind: Vec::new() };
            let end = catch_unwind(run).unwrap_or_else(broken);
            // What still asks whether it is ready ends with it: until then what the service left may be thought to be the asker's.
            own.cancel.stop();
            drop(own.asked.lock().unwrap_or_else(PoisonError::into_inner));
            *own.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
            drop(executor);
            ended(end);
        })?;
        Ok(service)
    }
}

impl Service {
    /// Asks it to end: its signal, the grace, KILL.
    pub fn stop(&self) {
        self.cancel.stop();
    }

    /// Ends it now.
    pub fn kill(&self) {
        self.cancel.kill();
    }

    /// Tells whether it has ended, or was asked to.
    pub fn is_ending(&self) -> bool {
        self.cancel.is_stopped() || self.has_ended()
    }

    /// Tells whether its process has ended at this instant, also where nobody was told yet.
    pub fn has_ended(&self) -> bool {
        let is_over = *self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        is_over || Process::look(self.pid()).is_some_and(|process| process.ended)
    }

    /// Runs a command that asks whether it is ready, to whose end nothing of the service has ended for good; `None` where it is ending.
    pub(super) fn ask(&self, executor: &LocalExecutor, command: &StepCommand, output: &mut OutputSink<'_>) -> Option<StepEnd> {
        debug_assert_eq!(command.owner, self.owner, "what it leaves behind is the service's");
        let _asking = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        (!self.cancel.is_stopped()).then(|| executor.run(command, &self.cancel, &|_| (), output))
    }

    fn pid(&self) -> i32 {
        self.pid.load(Ordering::SeqCst)
    }

    /// Waits for `time`, or until it ends or is asked to.
    pub fn pause(&self, time: Duration) {
        self.cancel.pause(time);
    }

    /// Returns all processes that are its own now: what descends from its process, and what was given to us and shows that it is its.
    pub(super) fn family(&self) -> Vec<Process> {
        let (all, own) = (Process::all(), i32::try_from(std::process::id()).unwrap_or(0));
        let mark = self.owner.mark().map(|(variable, name)| (variable, name.as_bytes().to_vec()));
        let is_its = |process: &&Process| {
            let is_marked = || mark.is_some() && process.owner() == mark;
            process.pid == self.pid() || (process.parent == own && (process.group == self.pid() || is_marked()))
        };
        let mut family: Vec<Process> = all.iter().filter(is_its).cloned().collect();
        let roots: Vec<i32> = family.iter().map(|process| process.pid).collect();
        family.extend(descendants(&all, &roots));
        family
    }
}
