//! One step as a process: started in a group of its own, listened to, and ended in time.
//!
//! One thread a step and one `poll(2)` over both streams, the process (`watch`) and the wish to stop. The step is over when its first process is; a grandchild that keeps a stream open does not hold it up.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::cancel::Cancel;
use super::executor::{Ending, OutputSink, StepCommand, StepEnd};
use super::processes::{Process, descendants};
use super::session::own_session;
use super::streams::{LAST_READS, Streams};
use super::sweep::{Sweep, Token};
use super::watch::Watch;
use crate::base::program;
use crate::base::secret::Masker;

/// How long the streams of a step that has ended may stay open: what a shell's `>(tee log)` still has to write.
const LINGER: Duration = Duration::from_millis(100);

/// How often orphans are looked at while a step runs.
const TICK: Duration = Duration::from_millis(500);

/// How often the rest of a group that was told to end is looked at.
const SHORT_TICK: Duration = Duration::from_millis(10);

/// How long a step that prints much goes on before it is read again: it is woken less often, and so are all who take what it prints.
const GATHER: Timespec = Timespec { tv_sec: 0, tv_nsec: 300_000 };

/// What a step runs in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) sweep: &'a Sweep,
    pub(super) masker: &'a Masker,
    pub(super) has_terminal: bool,
    pub(super) cancel: &'a Cancel,
}

/// Runs `command` to its end, which is told the number of the process as soon as there is one.
pub(super) fn run(around: &Surroundings<'_>, command: &StepCommand, begun: &dyn Fn(Pid), output: &mut OutputSink<'_>) -> StepEnd {
    let token = around.sweep.begin(&command.owner);
    match Running::start(around, command) {
        Ok(mut running) => {
            around.sweep.runs_as(token, running.pid.as_raw_nonzero().get());
            begun(running.pid);
            running.supervise(token, command.deadline, output)
        }
        Err(reason) => StepEnd { ending: Ending::NotStarted(reason), left_behind: around.sweep.ended(token) },
    }
}

/// Why we end a step.
#[derive(Debug, Clone)]
struct Stop {
    why: Ending,
    kill_at: Instant,
    killed: bool,
}

/// A step's process, from its start to its end.
struct Running<'a> {
    around: &'a Surroundings<'a>,
    child: Child,
    pid: Pid,
    watch: Watch,
    streams: Streams,
    /// What asks it to end, and how long that may take.
    signal: Signal,
    grace: Duration,
    stop: Option<Stop>,
}

/// What poll said.
struct Ready {
    pipes: [bool; 2],
    ended: bool,
}

impl<'a> Running<'a> {
    fn start(around: &'a Surroundings<'a>, command: &StepCommand) -> Result<Self, String> {
        let program = program_of(command).map_err(|reason| lost_dir(command).unwrap_or(reason))?;
        let failed = |error: io::Error| why_not(command, &error);
        let (stdout, stdout_writer) = io::pipe().map_err(failed)?;
        let (stderr, stderr_writer) = io::pipe().map_err(failed)?;
        // It holds the writing ends, and is gone before we wait for the end of the streams.
        let mut process = bare(&program);
        process.arg0(name_of(command)).args(&command.words[1..]).current_dir(&command.dir).env_clear().envs(&command.env);
        process.stdin(Stdio::null()).stdout(stdout_writer).stderr(stderr_writer);
        if around.has_terminal {
            own_session(&mut process);
        } else {
            process.process_group(0);
        }
        let mut child = process.spawn().map_err(failed)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("its process has no number")?;
        // The process is not waited for yet, so its number is still its own.
        let watch = Watch::new(pid).map_err(|error| {
            // What cannot be watched must not run; it has had no time to start anything.
            let _gone = kill_process_group(pid, Signal::KILL);
            let _status = child.wait();
            failed(error)
        })?;
        Ok(Self {
            around,
            child,
            pid,
            watch,
            streams: Streams::new(stdout, stderr),
            signal: command.stop,
            grace: command.grace,
            stop: None,
        })
    }

    fn supervise(&mut self, token: Token, deadline: Option<Instant>, output: &mut OutputSink<'_>) -> StepEnd {
        loop {
            self.gather();
            let ready = self.wait(self.next_wake(deadline));
            self.streams.read(ready.pipes, self.around.masker);
            self.streams.offer(output);
            if ready.ended {
                break;
            }
            self.check_limits(deadline);
            if ready.pipes == [false, false] && !self.streams.is_waiting() {
                self.around.sweep.look();
            }
        }
        match self.stop {
            Some(_) => self.end_group(output),
            None => self.linger(output),
        }
        let left_behind = self.around.sweep.ended(token);
        let status = self.child.wait();
        self.drain(output);
        let ending = match (self.stop.take(), status) {
            (Some(stop), _) => stop.why,
            (None, Ok(status)) => status.signal().map_or_else(|| Ending::Exited(status.code().unwrap_or(-1)), Ending::Signaled),
            (None, Err(error)) => Ending::NotStarted(format!("its end cannot be learnt: {}", program::plain(&error))),
        };
        // What was ended on our order is no news.
        let left_behind = if matches!(ending, Ending::Exited(_) | Ending::Signaled(_)) { left_behind } else { Vec::new() };
        StepEnd { ending, left_behind }
    }

    /// Returns for how long nothing need be done unless something happens.
    fn next_wake(&self, deadline: Option<Instant>) -> Duration {
        let limit = match &self.stop {
            Some(stop) if stop.killed => Some(SHORT_TICK),
            Some(stop) => Some(stop.kill_at.saturating_duration_since(Instant::now())),
            None => deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
        };
        let tick = if self.streams.is_waiting() { Duration::ZERO } else { TICK };
        limit.map_or(tick, |limit| limit.min(tick))
    }

    /// Lets a step that prints much print more, unless it has ended or all are to end.
    fn gather(&self) {
        if self.streams.is_gathering() && self.stop.is_none() {
            let cancel = self.around.cancel.stop_source();
            let sources = [self.watch.as_fd(), cancel];
            let _woken = poll(&mut sources.map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN)), Some(&GATHER));
        }
    }

    /// Waits until a stream has something, the process has ended, all are to end, or the time is over.
    fn wait(&self, time: Duration) -> Ready {
        let [stdout, stderr] = self.streams.sources();
        // What was acted on already must not wake us again; what was not must, however long ago it was raised.
        let cancel = match &self.stop {
            None => Some(self.around.cancel.stop_source()),
            Some(stop) if !stop.killed => Some(self.around.cancel.kill_source()),
            Some(_) => None,
        };
        let sources: [Option<BorrowedFd<'_>>; 4] = [stdout, stderr, Some(self.watch.as_fd()), cancel];
        let mut waiting: Vec<PollFd<'_>> = sources.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let time = Timespec::try_from(time).ok();
        // Interrupted by a signal: nothing is ready, and the caller looks at its limits.
        let _interrupted = poll(&mut waiting, time.as_ref());
        let mut results = waiting.iter().map(|fd| !fd.revents().is_empty());
        let ready = sources.map(|source| source.is_some() && results.next().unwrap_or(false));
        Ready { pipes: [ready[0], ready[1]], ended: ready[2] }
    }

    /// Ends the process where it is time to.
    fn check_limits(&mut self, deadline: Option<Instant>) {
        let now = Instant::now();
        if self.stop.is_none() {
            let why = if self.around.cancel.is_stopped() {
                Some(Ending::Cancelled)
            } else if deadline.is_some_and(|deadline| now >= deadline) {
                Some(Ending::TimedOut)
            } else {
                None
            };
            if let Some(why) = why {
                self.signal(self.signal);
                // A stopped process hears nothing but this.
                self.signal(Signal::CONT);
                self.stop = Some(Stop { why, kill_at: now + self.grace, killed: false });
            }
        }
        let kill = self.stop.as_ref().is_some_and(|stop| !stop.killed && (now >= stop.kill_at || self.around.cancel.is_killed()));
        if kill {
            self.kill_tree();
        }
    }

    fn signal(&self, signal: Signal) {
        // A group without members has ended by itself.
        let _gone = kill_process_group(self.pid, signal);
    }

    /// Ends all that descend from the process, in whatever group, now.
    fn kill_tree(&mut self) {
        let family = descendants(&Process::all(), &[self.pid.as_raw_nonzero().get()]);
        self.signal(Signal::KILL);
        family.iter().for_each(Process::kill);
        if let Some(stop) = &mut self.stop {
            stop.killed = true;
        }
    }

    /// Leaves the rest of a group that was told to end the rest of its grace.
    fn end_group(&mut self, output: &mut OutputSink<'_>) {
        let group = self.pid.as_raw_nonzero().get();
        while self.stop.as_ref().is_some_and(|stop| !stop.killed) {
            if !Process::all().iter().any(|process| process.group == group && process.pid != group && !process.ended) {
                return;
            }
            self.pause(SHORT_TICK, output);
            self.check_limits(None);
        }
    }

    /// Lets the streams of a process that has ended come to their end, for a moment.
    fn linger(&mut self, output: &mut OutputSink<'_>) {
        let until = Instant::now() + LINGER;
        if self.streams.is_open() {
            self.take_what_is_there(output);
        }
        while self.streams.is_open() {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() || self.around.cancel.is_stopped() {
                return;
            }
            self.pause(rest, output);
        }
    }

    /// Reads what comes within `time`; the process has ended already.
    fn pause(&mut self, time: Duration, output: &mut OutputSink<'_>) {
        let sources = self.streams.sources();
        let mut waiting: Vec<PollFd<'_>> = sources.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let time = Timespec::try_from(time).ok();
        let _interrupted = poll(&mut waiting, time.as_ref());
        drop(waiting);
        self.take_what_is_there(output);
    }

    /// Reads what is there now, without waiting.
    fn take_what_is_there(&mut self, output: &mut OutputSink<'_>) {
        let ready = self.wait(Duration::ZERO);
        self.streams.read(ready.pipes, self.around.masker);
        self.streams.offer(output);
    }

    /// Reads what is left, at most what a pipe can hold, and closes the streams.
    fn drain(&mut self, output: &mut OutputSink<'_>) {
        self.streams.flush(output);
        for _ in 0..LAST_READS {
            if !self.streams.is_open() {
                break;
            }
            let ready = self.wait(Duration::ZERO);
            if ready.pipes == [false, false] {
                break;
            }
            self.streams.read(ready.pipes, self.around.masker);
            self.streams.flush(output);
        }
        self.streams.close(self.around.masker, output);
    }
}

/// Returns a process that is not started yet. By std alone: what more there is to do for it, `supervise` does, and a step costs no copy of our own
/// environment and no second descriptor of its streams.
#[expect(clippy::disallowed_methods, reason = "this is the place where steps are started")]
fn bare(program: &Path) -> Command {
    Command::new(program)
}

fn name_of(command: &StepCommand) -> &str {
    command.words.first().map(String::as_str).unwrap_or_default()
}

/// Returns where the program is, without a look where its name says it: the system looks anyway.
fn program_of(command: &StepCommand) -> Result<PathBuf, String> {
    let name = name_of(command);
    if name.contains('/') { Ok(command.dir.join(name)) } else { found(command) }
}

fn found(command: &StepCommand) -> Result<PathBuf, String> {
    program::find(name_of(command), command.env.get(OsStr::new("PATH")).map(AsRef::as_ref), &command.dir)
}

/// Returns what to say where the directory of a step does not exist.
fn lost_dir(command: &StepCommand) -> Option<String> {
    let shown = || crate::base::text::visible(&command.dir.to_string_lossy()).into_owned();
    (!command.dir.is_dir()).then(|| format!("its directory `{}` does not exist", shown()))
}

/// Returns why a step did not start, in the words of its reader: where it ran, what was started, and only then what the system says.
fn why_not(command: &StepCommand, error: &io::Error) -> String {
    let of_system = || format!("`{}` cannot be started: {}", crate::base::text::visible(name_of(command)), explain(error));
    lost_dir(command).or_else(|| found(command).err()).unwrap_or_else(of_system)
}

/// Returns why a program that was found did not start.
fn explain(error: &io::Error) -> String {
    match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOEXEC) => "it is neither a program for this machine nor a script that begins with `#!`".to_owned(),
        Some(rustix::io::Errno::TOOBIG) => "its arguments and environment are too long for the system".to_owned(),
        _ => program::plain(error),
    }
}
