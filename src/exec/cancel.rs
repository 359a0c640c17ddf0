//! The wish to stop, heard at once by every step that runs.
//!
//! Two levels: stop (each process tree gets its grace) and kill (now). Each is a pipe whose closed writing end wakes whoever polls
//! the reading end, for good.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Shared by all that run and all that may stop them.
#[derive(Debug)]
pub struct Cancel {
    stop: Level,
    kill: Level,
    signal: AtomicI32,
    /// Those that hear all that this one hears.
    children: Mutex<Vec<Weak<Cancel>>>,
    pointless: AtomicBool,
}

/// How often the user has asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The steps are ended with their grace.
    First,
    /// The steps are ended now.
    Second,
    /// Nothing more can be done by asking.
    Later,
}

#[derive(Debug)]
struct Level {
    raised: AtomicBool,
    reader: PipeReader,
    writer: Mutex<Option<PipeWriter>>,
}

impl Level {
    fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self { raised: AtomicBool::new(false), reader, writer: Mutex::new(Some(writer)) })
    }

    fn raise(&self) {
        self.raised.store(true, Ordering::SeqCst);
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(writer);
    }
}

impl Cancel {
    /// Returns a token that nobody has raised.
    ///
    /// # Errors
    /// Where the system has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            stop: Level::new()?,
            kill: Level::new()?,
            signal: AtomicI32::new(0),
            pointless: AtomicBool::new(false),
            children: Mutex::default(),
        })
    }

    /// Asks all to end because this signal came; the second time ends them now. Returns which time it was.
    pub fn interrupt(&self, signal: i32) -> Interruption {
        if self.signal.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            self.stop();
            Interruption::First
        } else if self.is_killed() {
            Interruption::Later
        } else {
            self.kill();
            Interruption::Second
        }
    }

    /// Returns the first signal that came.
    pub fn signal(&self) -> Option<i32> {
        Some(self.signal.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }

    /// Returns a token for some of all: raised with this one, and by itself.
    ///
    /// # Errors
    /// Where the system has no file descriptors left.
    pub fn child(&self) -> io::Result<Arc<Self>> {
        let child = Arc::new(Self::new()?);
        let mut children = self.children();
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&child));
        drop(children);
        // Raised before it was entered: nobody else tells it.
        if self.is_killed() {
            child.kill();
        } else if self.is_stopped() {
            child.stop();
        }
        Ok(child)
    }

    /// Asks all to end because what they do has become pointless: what they began with has changed.
    pub fn outdate(&self) {
        self.pointless.store(true, Ordering::SeqCst);
        self.stop();
    }

    /// Tells whether all are to end because it has become pointless to go on.
    pub fn is_pointless(&self) -> bool {
        self.pointless.load(Ordering::SeqCst)
    }

    /// Asks all to end: the signal to do so, the grace, KILL.
    pub fn stop(&self) {
        self.stop.raise();
        self.living_children().for_each(|child| child.stop());
    }

    /// Ends all now: KILL.
    pub fn kill(&self) {
        self.stop.raise();
        self.kill.raise();
        self.living_children().for_each(|child| child.kill());
    }

    fn children(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Self>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn living_children(&self) -> impl Iterator<Item = Arc<Self>> {
        self.children().iter().filter_map(Weak::upgrade).collect::<Vec<_>>().into_iter()
    }

    /// Tells whether all are to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.raised.load(Ordering::SeqCst)
    }

    /// Tells whether all are to end now.
    pub fn is_killed(&self) -> bool {
        self.kill.raised.load(Ordering::SeqCst)
    }

    /// Waits for `time`, or until all are to end.
    pub fn pause(&self, time: Duration) {
        let time = Timespec::try_from(time).ok();
        let _woken = poll(&mut [PollFd::from_borrowed_fd(self.stop_source(), PollFlags::IN)], time.as_ref());
    }

    /// Returns what becomes readable when all are to end, and stays so.
    pub(super) fn stop_source(&self) -> BorrowedFd<'_> {
        self.stop.reader.as_fd()
    }

    /// Returns what becomes readable when all are to end now, and stays so.
    pub(super) fn kill_source(&self) -> BorrowedFd<'_> {
        self.kill.reader.as_fd()
    }
}
