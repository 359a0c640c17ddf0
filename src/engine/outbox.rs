//! What a worker says to the coordinator: gathered while it is busy, sent when it waits, so that a short step costs one message at its
//! start and one at its end. The coordinator may be dozing: what is no hurry does not wake it.

use std::cell::RefCell;
use std::thread::Thread;
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

/// A worker's way to the coordinator.
#[derive(Debug)]
pub(super) struct Outbox {
    sender: Sender<Message>,
    coordinator: Thread,
    gathered: RefCell<Vec<EventKind>>,
}

impl Outbox {
    pub(super) fn new(sender: Sender<Message>, coordinator: Thread) -> Self {
        Self { sender, coordinator, gathered: RefCell::default() }
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
        self.coordinator.unpark();
        match self.sender.send_timeout(Message::Happened(vec![output]), PATIENCE) {
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
            self.coordinator.unpark();
        }
    }

    /// Tells that the schedule has gone on.
    pub(super) fn went_on(&self) {
        self.post(Message::WentOn);
        self.coordinator.unpark();
    }

    /// The coordinator outlives the workers: it waits for each stage that it gave out.
    fn post(&self, message: Message) {
        if let Err(TrySendError::Full(message)) = self.sender.try_send(message) {
            self.coordinator.unpark();
            drop(self.sender.send(message));
        }
    }
}
