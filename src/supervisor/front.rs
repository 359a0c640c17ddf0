//! The listener that stays: takes connections, as many as there are file descriptors for.

use std::io::{self, PipeReader};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::connection::{STACK, carry};
use super::log::Log;
use super::table::Shared;

/// File descriptors that connections leave to all else: requests, processes and what they print, files.
const RESERVED: u64 = 100;

/// More connections than this are never had at once.
const MOST: u64 = 100_000;

/// How long nothing is taken where there is no room, or the system cannot.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// How often it is said that connections have to wait.
const SAID: Duration = Duration::from_mins(1);

/// What takes connections.
pub(super) struct Front {
    pub(super) listener: TcpListener,
    pub(super) table: Shared,
    pub(super) log: Arc<Log>,
    /// What it is called.
    pub(super) name: String,
    /// Closed at the other end when no more connections are taken.
    pub(super) stop: PipeReader,
}

impl Front {
    /// Takes connections until it is told to stop; those that wait to be taken by then are.
    pub(super) fn run(self) {
        let (most, open, mut said) = (most(), Arc::new(AtomicUsize::new(0)), None::<Instant>);
        let mut complain = |why: &str| {
            if said.is_none_or(|said| said.elapsed() >= SAID) {
                said = Some(Instant::now());
                self.log.say(&self.name, &format!("new connections have to wait: {why}"));
            }
        };
        if let Err(error) = self.listener.set_nonblocking(true) {
            complain(&error.to_string());
        }
        loop {
            if open.load(Ordering::SeqCst) as u64 >= most {
                complain(&format!("there are {most}, and file descriptors for no more"));
                if self.wait(false, Some(&PAUSE)) {
                    return;
                }
                continue;
            }
            match self.listener.accept() {
                Ok((client, _)) => {
                    if let Err(error) = self.begin(client, &open) {
                        complain(&error.to_string());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.wait(true, None) {
                        return;
                    }
                }
                // Whoever is gone before they were taken is not missed.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
                Err(error) => {
                    complain(&error.to_string());
                    if self.wait(false, Some(&PAUSE)) {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for connections, if they are asked for, at most for so long; tells whether it is to stop, and nobody waits to be taken.
    fn wait(&self, for_more: bool, time: Option<&Timespec>) -> bool {
        let mut sources = vec![PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN)];
        if for_more {
            sources.push(PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN));
        }
        let _interrupted = poll(&mut sources, time);
        let is_ready = |source: Option<&PollFd<'_>>| source.is_some_and(|source| !source.revents().is_empty());
        is_ready(sources.first()) && !is_ready(sources.get(1))
    }

    fn begin(&self, client: TcpStream, open: &Arc<AtomicUsize>) -> io::Result<()> {
        // Some systems hand it on.
        client.set_nonblocking(false)?;
        let (table, open) = (self.table.clone(), open.clone());
        open.fetch_add(1, Ordering::SeqCst);
        let counted = open.clone();
        let begun = thread::Builder::new().name("connection".to_owned()).stack_size(STACK).spawn(move || {
            carry(&client, &table);
            drop(client);
            counted.fetch_sub(1, Ordering::SeqCst);
        });
        if begun.is_err() {
            open.fetch_sub(1, Ordering::SeqCst);
        }
        begun.map(drop)
    }
}

/// Returns how many connections there may be at once: each has two file descriptors, of as many as the system gives.
fn most() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let _less = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    (limit.saturating_sub(RESERVED) / 2).clamp(1, MOST)
}
