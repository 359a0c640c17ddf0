//! A supervisor, from its start to its end.

use std::fs::File;
use std::io::{self, PipeWriter, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::control::answer_all;
use super::front::Front;
use super::instance::{Event, Means};
use super::log::Log;
use super::place::{AskError, Place};
use super::request::Request;
use super::saved::Saved;
use super::table::Shared;
use crate::base::program::plain;
use crate::base::secret::Masker;
use crate::exec::executor::Executor;
use crate::exec::local::LocalExecutor;
use crate::exec::probe::in_the_way;
use crate::model::service::Ready;

/// How long one that answers no more may still hold the place, and how often that is looked at.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(10);

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another one is there.
    #[error("it is served already, by the process {0}")]
    Held(String),
    /// Clients could not connect.
    #[error("nobody can listen on {address}: {why}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        why: String,
    },
    /// Its folder cannot be used.
    #[error("`{folder}` cannot be used: {why}")]
    Folder {
        /// The folder.
        folder: String,
        /// Why.
        why: String,
    },
}

/// A supervisor that listens.
pub struct Supervisor {
    place: Place,
    name: String,
    events: (Sender<Event>, Receiver<Event>),
    table: Shared,
    executor: LocalExecutor,
    log: Arc<Log>,
    /// Closed when no more connections are taken.
    open: Option<PipeWriter>,
    front: thread::JoinHandle<()>,
    _held: File,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Tells a supervisor to end.
#[derive(Debug, Clone)]
pub struct Ender(Sender<Event>);

impl Ender {
    /// Has it end with grace: nothing new is taken, and what runs has its time.
    pub fn end(&self) {
        let _ended = self.0.send(Event::End);
    }

    /// Has it end now.
    pub fn kill(&self) {
        let _ended = self.0.send(Event::Kill);
    }
}

/// Takes the place; whoever is about to leave it is waited for.
fn take(place: &Place) -> io::Result<Result<File, String>> {
    let until = Instant::now() + PATIENCE;
    loop {
        let taken = place.take()?;
        let is_left = || place.ask(&Request::Observe) == Err(AskError::Absent) && Instant::now() < until;
        if taken.is_ok() || !is_left() {
            return Ok(taken);
        }
        thread::sleep(PAUSE);
    }
}

impl Supervisor {
    /// Takes the place, listens, and starts again what was served there last. To be called on the main thread. `watcher` is told all that is
    /// in the log.
    ///
    /// # Errors
    /// Where another one is there, the address cannot be listened on, or the folder cannot be used.
    pub fn open(place: Place, name: &str, listen: SocketAddr, watcher: Option<Box<dyn Write + Send>>) -> Result<Self, StartError> {
        let broken = |error: io::Error| StartError::Folder { folder: place.folder().to_string_lossy().into_owned(), why: plain(&error) };
        let held = take(&place).map_err(broken)?.map_err(StartError::Held)?;
        let saved = Saved::load(&place.saved()).map_err(broken)?;
        let listener = TcpListener::bind(listen).map_err(|error| {
            let taken = (error.kind() == io::ErrorKind::AddrInUse).then(|| in_the_way(&Ready::Port(listen.port()))).flatten();
            StartError::Listen { address: listen, why: taken.unwrap_or_else(|| plain(&error)) }
        })?;
        let log = Arc::new(Log::open(&place.log(), watcher).map_err(broken)?);
        let (executor, events) = (LocalExecutor::new(Masker::new([]), None), unbounded());
        let environment = name.to_owned();
        let means = Means { environment, executor: executor.clone(), log: log.clone(), events: events.0.clone() };
        log.say(name, &format!("the process {} listens on {listen}", std::process::id()));
        let table = Shared::restore(&place, listen, saved, means);
        let (stop, open) = io::pipe().map_err(broken)?;
        let front = Front { listener, table: table.clone(), log: log.clone(), name: name.to_owned(), stop };
        let front = thread::Builder::new().name("front".to_owned()).spawn(|| front.run()).map_err(broken)?;
        let control = place.listen().map_err(broken)?;
        let asked = table.clone();
        // It answers to the last.
        let _control = thread::Builder::new().name("control".to_owned()).spawn(move || answer_all(&control, &asked)).map_err(broken)?;
        Ok(Self { place, name: name.to_owned(), events, table, executor, log, open: Some(open), front, _held: held })
    }

    /// Returns what tells it to end.
    pub fn ender(&self) -> Ender {
        Ender(self.events.0.clone())
    }

    /// Works until all has ended.
    pub fn run(mut self) {
        loop {
            let due = {
                let mut table = self.table.lock();
                let due = table.work(Instant::now());
                if table.is_over() {
                    break;
                }
                due
            };
            let event = match due {
                Some(due) => self.events.1.recv_timeout(due),
                None => self.events.1.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::Ended(number, end)) => self.table.lock().ended(number, &end),
                Ok(Event::End) => self.table.lock().end(),
                Ok(Event::Kill) => self.table.lock().kill(),
                Ok(Event::Changed) | Err(_) => {}
            }
            if self.open.is_some() && self.table.lock().is_ending() {
                // No more connections are taken; the listener is closed.
                self.open = None;
            }
        }
        self.open = None;
        let _ended = self.front.join();
        for line in self.executor.finish() {
            self.log.say(&self.name, &line);
        }
        self.log.say(&self.name, "it has ended");
        self.place.close();
    }
}
