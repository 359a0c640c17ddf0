//! What a worker says to the coordinator: gathered while it is busy, sent when it waits, so that a short step costs one message at its
//! start and one at its end. The coordinator may be dozing: what is no hurry does not wake it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender, TrySendError};

use crate::model::event::{EventKind, StageFinished};
use crate::model::stage::StageId;

/// How long output may wait to be taken before its step is looked after again.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the coordinator hears.
#[derive(Debug)]
pub(super) enum Message {
    /// These things happened, in this order.
    Happened(Vec<EventKind>),
    /// The last of a stage, and its outcome.
    Finished(StageId, Vec<EventKind>, Box<StageFinished>),
    /// The schedule has gone on since the end of a stage was told.
    WentOn,
    /// A signal came.
    Interrupted,
}

/// The coordinator's doze.
#[derive(Debug)]
pub(super) struct Doze {
    coordinator: Thread,
    is_asleep: AtomicBool,
}

impl Doze {
    /// Returns that of the thread that calls, which is awake.
    pub(super) fn of_this_thread() -> Self {
        Self { coordinator: thread::current(), is_asleep: AtomicBool::new(false) }
    }

    /// Sleeps for `time`, or until somebody ends it; not at all where `is_due` says that there is something to do.
    pub(super) fn begin(&self, time: Duration, is_due: impl FnOnce() -> bool) {
        self.is_asleep.store(true, Ordering::SeqCst);
        // Whoever came before did not see it asleep.
        if !is_due() {
            thread::park_timeout(time);
        }
        self.is_asleep.store(false, Ordering::SeqCst);
    }

    /// Ends it. One who is awake is not disturbed: a wake-up that nobody needs costs as much as one that is needed.
    fn end(&self) {
        if self.is_asleep.load(Ordering::SeqCst) {
            self.coordinator.unpark();
        }
    }
}

/// A worker's way to the coordinator.
#[derive(Debug)]
pub(super) struct Outbox<'d> {
    sender: Sender<Message>,
    doze: &'d Doze,
    gathered: RefCell<Vec<EventKind>>,
}

impl<'d> Outbox<'d> {
    pub(super) fn new(sender: Sender<Message>, doze: &'d Doze) -> Self {
        Self { sender, doze, gathered: RefCell::default() }
    }

    /// Gathers what happened.
    pub(super) fn tell(&self, kind: EventKind) {
        self.gathered.borrow_mut().push(kind);
    }

    /// Sends what was gathered.
    pub(super) fn send(&self) {
        let gathered = self.gathered.take();
        if !gathered.is_empty() {
            self.post(Message::Happened(gathered));
        }
    }

    /// Sends output, behind all that was gathered. Gives its text back where it was not taken in time.
    pub(super) fn offer(&self, output: EventKind) -> Option<Vec<u8>> {
        self.send();
        let message = match self.sender.try_send(Message::Happened(vec![output])) {
            Err(TrySendError::Full(message)) => message,
            Ok(()) | Err(TrySendError::Disconnected(_)) => {
                self.doze.end();
                return None;
            }
        };
        self.doze.end();
        match self.sender.send_timeout(message, PATIENCE) {
            Err(SendTimeoutError::Timeout(Message::Happened(kinds))) => {
                kinds.into_iter().find_map(|kind| if let EventKind::Output { text, .. } = kind { Some(text) } else { None })
            }
            Ok(()) | Err(_) => None,
        }
    }

    /// Sends the end of a stage, with all that was gathered. Whoever `halts` the run by it has the coordinator act at once.
    pub(super) fn finish(&self, id: StageId, finished: StageFinished, halts: bool) {
        self.post(Message::Finished(id, self.gathered.take(), Box::new(finished)));
        if halts {
            self.doze.end();
        }
    }

    /// Tells that the schedule has gone on.
    pub(super) fn went_on(&self) {
        self.post(Message::WentOn);
        self.doze.end();
    }

    /// The coordinator outlives the workers: it waits for each stage that it gave out.
    fn post(&self, message: Message) {
        if let Err(TrySendError::Full(message)) = self.sender.try_send(message) {
            self.doze.end();
            drop(self.sender.send(message));
        }
    }
}
