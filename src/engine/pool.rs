//! What is known of each service: its definition, its state, who uses it now, and what it printed last.
//!
//! Pure books: starting and ending is done by `services`, and by `beginning`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::plan::Plan;
use super::tail::Tail;
use crate::base::signal;
use crate::base::stamp::Stamp;
use crate::base::text::visible;
use crate::exec::cancel::Cancel;
use crate::exec::environment::Caller;
use crate::exec::executor::{Ending, GRACE, Owner, StepCommand, StepEnd};
use crate::exec::probe::port;
use crate::exec::service::Service as Process;
use crate::model::event::{EventKind, ServiceChanged, ServiceState, Stream};
use crate::model::service::{Ready, Service, StopSignal};
use crate::model::stage::StageId;

/// How many lines of a service's log are told where it was not the service that failed.
const LINES: usize = 10;

/// Everything that makes a running service the one that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: Arc<str>,
    words: Vec<String>,
    dir: PathBuf,
    env: BTreeMap<OsString, OsString>,
    pub(super) ready: Ready,
    /// What asks whether it is ready, where a command does.
    asks: Option<Vec<String>>,
    pub(super) timeout: Duration,
    stop: Signal,
    /// Its command and its directory, for people.
    shown: (String, String),
}

impl Definition {
    pub(super) fn new(plan: &Plan<'_>, caller: &Caller, service: &Service) -> Self {
        Self {
            name: service.name.clone(),
            words: service.start.command.words(&service.shell),
            dir: plan.root().join(&service.start.dir),
            env: caller.of_service(&service.name, &service.pass_env, &service.secrets, &service.env),
            ready: service.ready.clone(),
            asks: if let Ready::Command(command) = &service.ready { Some(command.words(&service.shell)) } else { None },
            timeout: service.timeout,
            stop: signal(service.stop),
            shown: (service.start.command.show(), if service.start.dir.is_empty() { ".".to_owned() } else { service.start.dir.clone() }),
        }
    }

    /// Returns how the files lie that its command names: a script, a program that was built, a file of settings. What it is told to write to
    /// by `>` is not among them.
    pub(super) fn files(&self) -> BTreeMap<PathBuf, Stamp> {
        let named = self.words.iter().flat_map(|word| std::iter::once(word.as_str()).chain(read_by(word)));
        let paths = named.filter(|name| !name.is_empty()).map(|name| self.dir.join(name));
        let is_file = |path: &PathBuf| fs::metadata(path).ok().filter(fs::Metadata::is_file);
        paths.filter_map(|path| Some((Stamp::of(&is_file(&path)?), path))).map(|(stamp, path)| (path, stamp)).collect()
    }

    /// Returns what starts it.
    pub(super) fn command(&self) -> StepCommand {
        self.step(self.words.clone(), self.stop, None)
    }

    /// Returns what asks whether it is ready, until `deadline`.
    pub(super) fn question(&self, deadline: Instant) -> Option<StepCommand> {
        self.asks.clone().map(|words| self.step(words, Signal::TERM, Some(deadline)))
    }

    fn step(&self, words: Vec<String>, stop: Signal, deadline: Option<Instant>) -> StepCommand {
        let (dir, env, owner) = (self.dir.clone(), self.env.clone(), Owner::Service(self.name.clone()));
        StepCommand { words, dir, env, owner, deadline, stop, grace: GRACE }
    }
}

/// Returns the words of a line for a shell, but those behind a `>`.
fn read_by(line: &str) -> impl Iterator<Item = &str> {
    let is_between = |c: char| c.is_whitespace() || "'\"`;&|()<=".contains(c);
    line.split('>').enumerate().flat_map(move |(place, part)| {
        let part = if place == 0 { part } else { part.trim_start_matches(is_between).split_once(is_between).map_or("", |(_, rest)| rest) };
        part.split(is_between)
    })
}

fn signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Hup => Signal::HUP,
        StopSignal::Usr1 => Signal::USR1,
        StopSignal::Usr2 => Signal::USR2,
        StopSignal::Kill => Signal::KILL,
    }
}

/// Why a service cannot be used, or cannot any more.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    pub(super) reason: String,
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) command: String,
    pub(super) dir: String,
    /// The last lines of its log.
    pub(super) tail: Vec<String>,
}

impl Loss {
    /// The loss of a service that was not even looked for, because the system has nothing left.
    pub(super) fn of_ours(error: &std::io::Error) -> Self {
        let reason = format!("its services cannot be started: {error}");
        Self { reason, code: None, signal: None, command: String::new(), dir: ".".to_owned(), tail: Vec::new() }
    }
}

/// What a service prints.
#[derive(Debug, Default)]
pub(super) struct Log {
    tail: Tail,
    awaited: Option<String>,
    lines: [Vec<u8>; 2],
    /// Whether the awaited text was there.
    pub(super) has_printed: bool,
}

/// The longest line that is looked at for the awaited text, in bytes.
const LONGEST: usize = 64 * 1024;

impl Log {
    pub(super) fn new(ready: &Ready) -> Self {
        Self { awaited: if let Ready::Log(text) = ready { Some(text.clone()) } else { None }, ..Self::default() }
    }

    pub(super) fn push(&mut self, stream: Stream, text: &[u8]) {
        self.tail.push(text);
        let Some(awaited) = self.awaited.as_ref().filter(|_| !self.has_printed) else { return };
        let line = &mut self.lines[usize::from(stream == Stream::Stderr)];
        line.extend_from_slice(text);
        let shown = String::from_utf8_lossy(line).into_owned();
        self.has_printed = console::strip_ansi_codes(&shown).contains(awaited.as_str());
        let rest = line.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        line.drain(..rest.max(line.len().saturating_sub(LONGEST)));
    }
}

/// How far a service is.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// It is being started, and is not ready.
    Starting,
    /// It can be used.
    Ready,
    /// It will never be ready, for this reason, and is being ended.
    Doomed(String),
    /// It is being ended, because nobody uses it any more.
    Stopping,
    /// Nothing of it is left.
    Over,
}

/// A stage that uses a service now.
#[derive(Debug)]
pub(super) struct User {
    pub(super) number: u64,
    /// Ends its steps.
    pub(super) cancel: Arc<Cancel>,
    /// Why it cannot go on.
    pub(super) lost: Arc<Mutex<Option<Loss>>>,
}

/// One start of a service.
#[derive(Debug)]
pub(super) struct Entry {
    /// Tells it from other starts of the same service.
    pub(super) number: u64,
    pub(super) definition: Arc<Definition>,
    /// How the files that its command names lay before it was started.
    files: BTreeMap<PathBuf, Stamp>,
    pub(super) state: State,
    pub(super) began: Instant,
    pub(super) log: Arc<Mutex<Log>>,
    /// `None` before it is started.
    pub(super) process: Option<Process>,
    pub(super) users: Vec<User>,
    /// Stages that used it and failed, not by its fault.
    pub(super) failed: Vec<Arc<str>>,
}

impl Entry {
    /// A service that is about to be started.
    pub(super) fn new(number: u64, definition: Arc<Definition>) -> Self {
        let log = Arc::new(Mutex::new(Log::new(&definition.ready)));
        let (users, failed) = (Vec::new(), Vec::new());
        let files = definition.files();
        Self { number, definition, files, state: State::Starting, began: Instant::now(), log, process: None, users, failed }
    }

    /// Tells whether it was started from files that are others now: a new start may behave otherwise.
    pub(super) fn is_outdated(&self) -> bool {
        self.files != self.definition.files()
    }

    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.state, State::Over)
    }

    /// Asks it to end.
    pub(super) fn stop(&mut self, state: State) {
        if matches!(self.state, State::Starting | State::Ready) {
            self.state = state;
        }
        if let Some(process) = &self.process {
            process.stop();
        }
    }

    fn lines(&self) -> Vec<String> {
        guard(&self.log).tail.lines()
    }

    fn loss(&self, reason: String, ending: &Ending) -> Loss {
        let (code, signal) = match ending {
            Ending::Exited(code) => (Some(*code), None),
            Ending::Signaled(signal) => (None, Some(*signal)),
            Ending::TimedOut | Ending::Cancelled | Ending::NotStarted(_) => (None, None),
        };
        let (command, dir) = self.definition.shown.clone();
        Loss { reason, code, signal, command, dir, tail: self.lines() }
    }

    /// Notes the end of it, and tells its users. Returns the news of it.
    pub(super) fn end(&mut self, end: &StepEnd) -> EventKind {
        let name = visible(&self.definition.name).into_owned();
        let how = match &end.ending {
            Ending::Exited(code) => format!("ended with code {code}"),
            Ending::Signaled(signal) => format!("was killed by {}", signal::name(*signal)),
            Ending::TimedOut | Ending::Cancelled => "was ended".to_owned(),
            Ending::NotStarted(reason) => format!("could not be started: {reason}"),
        };
        // What ends well and early, or goes on without its first process, was meant to.
        let is_daemon = end.ending == Ending::Exited(0) && (matches!(self.state, State::Starting) || !end.left_behind.is_empty());
        let help = if is_daemon { "; a service must stay in the foreground, not start a daemon" } else { "" };
        let reason = match (&self.state, &end.ending) {
            (State::Doomed(reason), _) => Some(reason.clone()),
            (State::Stopping | State::Over, _) => None,
            (_, Ending::NotStarted(_)) => Some(format!("service `{name}` {how}")),
            (State::Starting, _) => Some(format!("service `{name}` {how} before it was ready{help}")),
            (State::Ready, _) => Some(format!("service `{name}` {how} while it was used{help}")),
        };
        self.state = State::Over;
        let users = std::mem::take(&mut self.users);
        if let Some(reason) = &reason {
            let loss = self.loss(reason.clone(), &end.ending);
            // Who was to end anyway does not fail by it.
            for user in users.iter().filter(|user| !user.cancel.is_stopped()) {
                *guard(&user.lost) = Some(loss.clone());
                user.cancel.stop();
            }
        }
        self.news(reason)
    }

    /// Notes that it can be used. Returns the news of it.
    pub(super) fn is_ready(&mut self) -> EventKind {
        self.state = State::Ready;
        self.change(ServiceState::Ready, None, Vec::new())
    }

    fn news(&self, reason: Option<String>) -> EventKind {
        let state = if reason.is_some() { ServiceState::Failed } else { ServiceState::Ended };
        let lines = self.lines();
        let log = if reason.is_some() { lines } else { lines[lines.len().saturating_sub(LINES)..].to_vec() };
        self.change(state, reason, log)
    }

    fn change(&self, state: ServiceState, reason: Option<String>, log: Vec<String>) -> EventKind {
        EventKind::Service(Box::new(ServiceChanged {
            service: self.definition.name.clone(),
            state,
            duration_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            reason,
            log,
            failed_users: self.failed.clone(),
        }))
    }
}

/// What a stage is told that wants a service.
#[derive(Debug)]
pub(super) enum Stand {
    /// It runs, or is being started: it may join those who use it.
    Join,
    /// It has to wait for something to change.
    Wait,
    /// The service has to be started.
    Start,
    /// It cannot be had.
    Lost(Loss),
}

/// All services, by name: of each the last start.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) entries: BTreeMap<Arc<str>, Entry>,
    /// The selected stages that are not done, of each service that they use.
    pub(super) awaited: BTreeMap<Arc<str>, BTreeSet<StageId>>,
    /// What nobody was told yet.
    pub(super) news: Vec<EventKind>,
    pub(super) last_number: u64,
    /// The number when this run began: what has a smaller one is of an earlier run.
    pub(super) began: u64,
}

impl Pool {
    pub(super) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Returns the start with this number.
    pub(super) fn entry(&mut self, name: &str, number: u64) -> Option<&mut Entry> {
        self.entries.get_mut(name).filter(|entry| entry.number == number)
    }

    /// Finds out how it stands with a service for a stage that has not come to it yet.
    pub(super) fn stand(&mut self, definition: &Arc<Definition>) -> Stand {
        if let Some(entry) = self.entries.get_mut(&definition.name) {
            match entry.state {
                State::Starting | State::Ready if entry.definition == *definition => return Stand::Join,
                // Kept from a run before, and another now.
                State::Starting | State::Ready => {
                    entry.stop(State::Stopping);
                    return Stand::Wait;
                }
                State::Doomed(_) | State::Stopping => return Stand::Wait,
                State::Over => {}
            }
        }
        let Some(wanted) = port(&definition.ready) else { return Stand::Start };
        let awaited = &self.awaited;
        let same = |entry: &&mut Entry| {
            entry.is_alive() && entry.definition.name != definition.name && port(&entry.definition.ready) == Some(wanted)
        };
        match self.entries.values_mut().find(same) {
            None => Stand::Start,
            Some(entry) if awaited.get(&entry.definition.name).is_none_or(BTreeSet::is_empty) => {
                entry.stop(State::Stopping);
                Stand::Wait
            }
            Some(entry) if matches!(entry.state, State::Doomed(_) | State::Stopping) => Stand::Wait,
            Some(entry) => {
                let (name, other) = (visible(&definition.name), visible(&entry.definition.name));
                let reason = format!(
                    "service `{name}` cannot be started: port {wanted} is already in use by the service `{other}` of this pipeline; give each a port of its own"
                );
                let (command, dir) = definition.shown.clone();
                Stand::Lost(Loss { reason, code: None, signal: None, command, dir, tail: Vec::new() })
            }
        }
    }
}

pub(super) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(awaited: &str, pieces: &[(Stream, &[u8])]) -> bool {
        let mut log = Log::new(&Ready::Log(awaited.to_owned()));
        pieces.iter().for_each(|(stream, piece)| log.push(*stream, piece));
        log.has_printed
    }

    #[test]
    fn the_awaited_text_is_found_across_pieces_and_colours() {
        use Stream::{Stderr, Stdout};
        assert!(printed("is ready", &[(Stdout, b"x\nit is "), (Stderr, b"noise\n"), (Stdout, b"ready")]));
        assert!(printed("is ready", &[(Stderr, b"is \x1b[32mready\x1b[0m\n")]));
        assert!(!printed("is ready", &[(Stdout, b"is \n"), (Stdout, b"ready\n")]));
        assert!(!printed("is ready", &[(Stdout, b"is "), (Stderr, b"ready")]));
    }

    #[test]
    fn a_line_without_end_stays_bounded() {
        let mut log = Log::new(&Ready::Log("never".to_owned()));
        (0..100).for_each(|_| log.push(Stream::Stdout, &[b'x'; 4096]));
        assert!(log.lines[0].len() <= LONGEST);
    }
}
