//! What ends a command that goes on for ever: a signal, or that nobody reads what it writes.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat};

use super::failing::Failing;
use super::signals;
use crate::engine::run::Interrupter;
use crate::exec::cancel::Interruption;
use crate::model::outcome::Exit;

/// Hears what ends the command, and hands signals on to the run that goes on.
#[derive(Debug)]
pub(super) struct Ends {
    shared: Arc<Shared>,
    /// Something comes here when it is over.
    pub(super) over: Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    /// The first signal that came; 0 for none.
    signal: AtomicI32,
    again: AtomicBool,
    unread: AtomicBool,
    run: Mutex<Option<Interrupter>>,
    wake: Sender<()>,
}

impl Ends {
    /// Hears from here on.
    pub(super) fn hear() -> Result<Self, Failing> {
        let (wake, over) = bounded(1);
        let (signal, again, unread) = (AtomicI32::new(0), AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { signal, again, unread, run: Mutex::default(), wake });
        let ours = Arc::clone(&shared);
        signals::hear(move |signal| ours.signal(signal)).context("signals cannot be heard")?;
        if fstat(std::io::stdout()).is_ok_and(|stat| matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket)) {
            let ours = Arc::clone(&shared);
            // It lives as long as the process: there is nothing to wait for.
            let _forever = thread::Builder::new().name("reader".to_owned()).spawn(move || ours.await_unread());
        }
        Ok(Self { shared, over })
    }

    /// From here on a signal ends this run, too; `None` where there is none.
    pub(super) fn hand_to(&self, run: Option<Interrupter>) {
        *self.shared.run() = run;
    }

    /// Returns what to exit with where it is over; `verdict` is that of the last run.
    pub(super) fn exit(&self, verdict: Exit) -> Option<Exit> {
        match self.shared.signal.load(Ordering::SeqCst) {
            0 => self.shared.unread.load(Ordering::SeqCst).then_some(verdict),
            signal => Some(Exit::Interrupted(signal)),
        }
    }
}

impl Shared {
    fn run(&self) -> std::sync::MutexGuard<'_, Option<Interrupter>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: i32) -> Interruption {
        // The run is told under the lock: one that begins later sees the signal.
        let run = self.run();
        let is_first = self.signal.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        let _awake = self.wake.try_send(());
        match &*run {
            Some(run) => run.interrupt(signal),
            None if is_first => Interruption::First,
            None if self.again.swap(true, Ordering::SeqCst) => Interruption::Later,
            None => Interruption::Second,
        }
    }

    /// Waits until the reader of standard output has gone.
    fn await_unread(&self) {
        let out = std::io::stdout();
        loop {
            let mut fds = [PollFd::new(&out, PollFlags::empty())];
            match poll(&mut fds, None) {
                Ok(_) if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
        self.unread.store(true, Ordering::SeqCst);
        let _awake = self.wake.try_send(());
    }
}
