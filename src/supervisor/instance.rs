//! A release in its slot: the process that serves it, its port, and the connections that lead there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustix::process::Signal;

use super::log::{Lines, Log};
use super::request::{Launch, Look, PORT};
use crate::base::duration::show;
use crate::base::program::plain;
use crate::base::secret::Masker;
use crate::base::signal;
use crate::base::text::visible;
use crate::exec::executor::{Ending, Owner, SERVICE, StepCommand, StepEnd};
use crate::exec::local::LocalExecutor;
use crate::exec::service::Service;

/// How long one that has ended by itself stays so before it is started again: at first, then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One that ran so long has nothing to do with those before it.
const STABLE: Duration = Duration::from_mins(1);

/// What all instances share.
pub(super) struct Means {
    /// What their processes are named by, beside their slots.
    pub(super) environment: String,
    pub(super) executor: LocalExecutor,
    pub(super) log: Arc<Log>,
    pub(super) events: Sender<Event>,
}

/// What happens beside requests.
#[derive(Debug)]
pub(super) enum Event {
    /// The process of this number has ended so.
    Ended(u64, StepEnd),
    /// There may be something to do.
    Changed,
    /// All is to end.
    End,
    /// All is to end now.
    Kill,
}

/// A release in its slot.
pub(super) struct Instance {
    pub(super) slot: String,
    pub(super) release: String,
    /// With the values of secrets, where these are known.
    pub(super) launch: Launch,
    /// Whether it ever had connections: then it is started again whenever it ends.
    pub(super) has_served: bool,
    pub(super) port: u16,
    pub(super) state: State,
    connections: Arc<AtomicUsize>,
    /// Tells its processes apart, one after the other.
    number: u64,
    restarts: u32,
    pause: Duration,
    began: Instant,
    /// The last line that it has printed.
    last: Arc<Mutex<String>>,
}

/// Whether its process runs.
pub(super) enum State {
    Up(Service),
    /// It does not, and why; and when it is started again, if it is.
    Down(String, Option<Instant>),
}

/// A connection that counts as long as it lives.
#[derive(Debug)]
pub(super) struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Instance {
    /// Starts a release in a slot; its process is the one of this number.
    pub(super) fn begin(slot: &str, release: &str, launch: Launch, has_served: bool, number: u64, means: &Means) -> Self {
        let mut instance = Self {
            slot: slot.to_owned(),
            release: release.to_owned(),
            launch,
            has_served,
            port: 0,
            state: State::Down("it was not started yet".to_owned(), None),
            connections: Arc::default(),
            number,
            restarts: 0,
            pause: FIRST_PAUSE,
            began: Instant::now(),
            last: Arc::default(),
        };
        instance.start(number, means);
        instance
    }

    /// Starts its process, which is the one of this number from here on.
    pub(super) fn start(&mut self, number: u64, means: &Means) {
        self.number = number;
        self.began = Instant::now();
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.state = match self.try_start(means) {
            Ok(service) => {
                means.log.say(&self.slot, &format!("{} is started on port {}", self.short(), self.port));
                State::Up(service)
            }
            Err(why) => {
                means.log.say(&self.slot, &format!("{} cannot be started: {why}", self.short()));
                State::Down(format!("it cannot be started: {why}"), self.next_start())
            }
        };
    }

    fn try_start(&mut self, means: &Means) -> Result<Service, String> {
        let launch = self.launch.with_secrets(|name| std::env::var(name).ok())?;
        let cannot = |error: io::Error| plain(&error);
        self.port = free_port().map_err(cannot)?;
        let name: Arc<str> = format!("{} {} {}", means.environment, self.slot, self.port).into();
        let port = self.port.to_string();
        let filled = |text: &str| text.replace(PORT, &port);
        let mut env: BTreeMap<OsString, OsString> = launch.env.iter().map(|(name, value)| (name.into(), filled(value).into())).collect();
        env.extend(launch.secrets.iter().filter_map(|(name, value)| Some((name.into(), value.as_ref()?.into()))));
        env.insert(SERVICE.into(), (&*name).into());
        let command = StepCommand {
            words: launch.words.iter().map(|word| filled(word)).collect(),
            dir: launch.dir.clone(),
            env,
            owner: Owner::Service(name),
            deadline: None,
            stop: Signal::TERM,
            grace: launch.drain,
        };
        let (log, slot, last) = (means.log.clone(), self.slot.clone(), self.last.clone());
        let say = move |line: &str| {
            log.say(&slot, line);
            if !line.trim().is_empty() {
                line.trim().clone_into(&mut last.lock().unwrap_or_else(PoisonError::into_inner));
            }
        };
        let values: Vec<&str> = launch.secrets.values().flatten().map(String::as_str).collect();
        let masker = Masker::new(values);
        let lines = Arc::new(Mutex::new([Lines::new(masker.clone()), Lines::new(masker.clone())]));
        let (heard, told) = (lines.clone(), say.clone());
        let (number, events) = (self.number, means.events.clone());
        let print = move |stream, text: &[u8]| {
            let mut lines = heard.lock().unwrap_or_else(PoisonError::into_inner);
            lines[usize::from(stream == crate::model::event::Stream::Stderr)].push(text, &told);
        };
        let ended = move |mut end: StepEnd| {
            lines.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().for_each(|lines| lines.finish(&say));
            end.left_behind.iter_mut().for_each(|process| *process = masker.hide(process).into_owned());
            // Nobody hears it when all has ended.
            let _unheard = events.send(Event::Ended(number, end));
        };
        means.executor.launch(command, Box::new(print), Box::new(ended)).map_err(cannot)
    }

    /// Notes that its process has ended, and starts it again after a while, if it is to serve. Tells whether it was its process.
    pub(super) fn ended(&mut self, number: u64, end: &StepEnd, means: &Means) -> bool {
        if self.number != number {
            return false;
        }
        let mut why = match &end.ending {
            Ending::Exited(code) => format!("it has ended with exit code {code}"),
            Ending::Signaled(number) => format!("it was killed by {}", signal::name(*number)),
            Ending::TimedOut | Ending::Cancelled => "it was told to end".to_owned(),
            Ending::NotStarted(why) => why.clone(),
        };
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !last.is_empty() {
            why.push_str(&format!(": {}", visible(&last)));
        }
        drop(last);
        let again = self.next_start();
        let then =
            again.map(|at| format!("; it is started again in {}", show(at.saturating_duration_since(Instant::now())))).unwrap_or_default();
        means.log.say(&self.slot, &format!("{}: {why}{then}", self.short()));
        end.left_behind
            .iter()
            .for_each(|process| means.log.say(&self.slot, &format!("it had left a process running, which was ended: {process}")));
        self.state = State::Down(why, again);
        true
    }

    /// Returns when it is started again, if it is to be.
    fn next_start(&mut self) -> Option<Instant> {
        if self.began.elapsed() >= STABLE {
            self.pause = FIRST_PAUSE;
        }
        let again = self.has_served.then(|| Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        again
    }

    /// Starts it again, if that is due. Returns when it will be, if it will.
    pub(super) fn start_again(&mut self, now: Instant, number: &mut u64, means: &Means) -> Option<Instant> {
        let State::Down(_, Some(again)) = self.state else { return None };
        if again > now {
            return Some(again);
        }
        *number += 1;
        self.restarts += 1;
        self.start(*number, means);
        if let State::Down(_, again) = self.state { again } else { None }
    }

    /// Returns the process that serves, if it runs.
    pub(super) fn service(&self) -> Option<&Service> {
        if let State::Up(service) = &self.state { Some(service) } else { None }
    }

    /// Returns how many connections it has.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Counts one more connection.
    pub(super) fn counted(&self) -> Counted {
        Counted::new(&self.connections)
    }

    /// Returns how it looks, with this share of new connections.
    pub(super) fn look(&self, weight: u8) -> Look {
        Look {
            slot: self.slot.clone(),
            release: self.release.clone(),
            weight,
            port: self.port,
            connections: self.connections(),
            restarts: self.restarts,
            down: if let State::Down(why, _) = &self.state { Some(why.clone()) } else { None },
        }
    }

    fn short(&self) -> &str {
        self.release.get(..12).unwrap_or(&self.release)
    }
}

/// Returns a port of this machine that nobody uses now. Whoever finds it taken when it listens there is started again on another one.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
