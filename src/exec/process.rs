//! One step as a process: started in a group of its own, listened to, and ended in time.
//!
//! One thread a step and one `poll(2)` over both streams, the process (`watch`) and the wish to stop: nothing wakes it before
//! something happens. The step is over when its first process is; a grandchild that keeps a stream open does not hold it up.

use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::cancel::Cancel;
use super::capture::Capture;
use super::executor::{Ending, OutputSink, StepCommand, StepEnd};
use super::processes::{Process, descendants};
use super::program;
use super::sweep::Sweep;
use super::watch::Watch;
use crate::base::secret::Masker;
use crate::model::event::Stream;

/// Between TERM and KILL (contract, section 5).
const GRACE: Duration = Duration::from_secs(5);

/// How long the streams of a step that has ended may stay open: what a shell's `>(tee log)` still has to write.
const LINGER: Duration = Duration::from_millis(100);

/// How often a step with a terminal in reach is looked at, and the rest of a group that was told to end.
const TICK: Duration = Duration::from_millis(250);
const SHORT_TICK: Duration = Duration::from_millis(10);

/// As much as Linux keeps in a pipe, and as much as is read at once.
const CHUNK: usize = 64 * 1024;

/// A pipe for a step that prints much: fewer, larger reads.
const LARGE_PIPE: usize = 1024 * 1024;

/// What a step runs in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) sweep: &'a Sweep,
    pub(super) masker: &'a Masker,
    pub(super) has_terminal: bool,
    pub(super) cancel: &'a Cancel,
}

/// Runs `command` to its end.
pub(super) fn run(around: &Surroundings<'_>, command: &StepCommand, output: &mut OutputSink<'_>) -> StepEnd {
    match Running::start(around, command) {
        Ok(mut running) => running.supervise(command, output),
        Err(reason) => StepEnd { ending: Ending::NotStarted(reason), left_behind: Vec::new() },
    }
}

/// Why we end a step.
#[derive(Debug, Clone)]
struct Stop {
    why: Ending,
    kill_at: Instant,
    killed: bool,
}

/// One of the two streams; `None` once it has ended.
#[derive(Debug)]
struct Pipe {
    stream: Stream,
    reader: Option<PipeReader>,
    capture: Capture,
    large: bool,
}

/// A step's process, from its start to its end.
struct Running<'a> {
    around: &'a Surroundings<'a>,
    handle: Arc<duct::Handle>,
    pid: Pid,
    watch: Watch,
    pipes: [Pipe; 2],
    buffer: Vec<u8>,
    stop: Option<Stop>,
}

/// What poll said.
struct Ready {
    pipes: [bool; 2],
    ended: bool,
}

impl<'a> Running<'a> {
    fn start(around: &'a Surroundings<'a>, command: &StepCommand) -> Result<Self, String> {
        if !command.dir.is_dir() {
            return Err(format!("its directory `{}` does not exist", crate::base::text::visible(&command.dir.to_string_lossy())));
        }
        let name = command.words.first().map(String::as_str).unwrap_or_default();
        let program = program::find(name, command.env.get(&OsString::from("PATH")).map(OsString::as_os_str), &command.dir)?;
        let failed = |error: io::Error| format!("`{}` cannot be started: {}", crate::base::text::visible(name), explain(&error));
        let (stdout, stdout_writer) = io::pipe().map_err(failed)?;
        let (stderr, stderr_writer) = io::pipe().map_err(failed)?;
        let called = name.to_owned();
        // The expression holds the writing ends: it must be gone before we wait for the end of the streams.
        let handle = duct::cmd(program, &command.words[1..])
            .dir(&command.dir)
            .full_env(&command.env)
            .stdin_null()
            .stdout_file(stdout_writer)
            .stderr_file(stderr_writer)
            .unchecked()
            .before_spawn(move |process| {
                process.process_group(0).arg0(&called);
                Ok(())
            })
            .start()
            .map_err(failed)?;
        let pid = handle.pids().first().and_then(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)).ok_or("its process has no number")?;
        // The process is not waited for yet, so its number is still its own.
        let handle = Arc::new(handle);
        let watch = Watch::new(pid, &handle).map_err(|error| {
            // What cannot be watched must not run; it has had no time to start anything.
            let _gone = kill_process_group(pid, Signal::KILL);
            let _status = handle.wait();
            failed(error)
        })?;
        let pipe = |stream, reader| Pipe { stream, reader: Some(reader), capture: Capture::default(), large: false };
        let pipes = [pipe(Stream::Stdout, stdout), pipe(Stream::Stderr, stderr)];
        Ok(Self { around, handle, pid, watch, pipes, buffer: Vec::new(), stop: None })
    }

    fn supervise(&mut self, command: &StepCommand, output: &mut OutputSink<'_>) -> StepEnd {
        let token = self.around.sweep.began(self.pid.as_raw_nonzero().get(), &command.stage);
        loop {
            let ready = self.wait(self.next_wake(command.deadline));
            self.read(&ready, output);
            if ready.ended {
                break;
            }
            self.check_limits(command.deadline);
        }
        match self.stop {
            Some(_) => self.end_group(output),
            None => self.linger(output),
        }
        let left_behind = self.around.sweep.ended(token);
        let status = self.handle.wait().map(|output| output.status);
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
    fn next_wake(&self, deadline: Option<Instant>) -> Option<Duration> {
        let limit = match &self.stop {
            Some(stop) if stop.killed => Some(SHORT_TICK),
            Some(stop) => Some(stop.kill_at.saturating_duration_since(Instant::now())),
            None => deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
        };
        let tick = self.around.has_terminal.then_some(TICK);
        limit.into_iter().chain(tick).min()
    }

    /// Waits until a stream has something, the process has ended, all are to end, or the time is over.
    fn wait(&self, time: Option<Duration>) -> Ready {
        let cancel = self.around.cancel.next_level();
        let sources: [Option<BorrowedFd<'_>>; 4] = [
            self.pipes[0].reader.as_ref().map(AsFd::as_fd),
            self.pipes[1].reader.as_ref().map(AsFd::as_fd),
            Some(self.watch.as_fd()),
            cancel,
        ];
        let mut waiting: Vec<PollFd<'_>> = sources.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        // Interrupted by a signal: nothing is ready, and the caller looks at its limits.
        let _interrupted = poll(&mut waiting, time.as_ref());
        let mut results = waiting.iter().map(|fd| !fd.revents().is_empty());
        let ready = sources.map(|source| source.is_some() && results.next().unwrap_or(false));
        Ready { pipes: [ready[0], ready[1]], ended: ready[2] }
    }

    fn read(&mut self, ready: &Ready, output: &mut OutputSink<'_>) {
        if self.buffer.is_empty() && (ready.pipes[0] || ready.pipes[1]) {
            self.buffer = vec![0; CHUNK];
        }
        for (pipe, _) in self.pipes.iter_mut().zip(ready.pipes).filter(|(_, ready)| *ready) {
            pipe.read(&mut self.buffer, self.around.masker, output);
        }
    }

    /// Ends the process where it is time to.
    fn check_limits(&mut self, deadline: Option<Instant>) {
        let now = Instant::now();
        if self.stop.is_none() {
            let why = if self.around.cancel.is_stopped() {
                Some(Ending::Cancelled)
            } else if deadline.is_some_and(|deadline| now >= deadline) {
                Some(Ending::TimedOut)
            } else if self.around.has_terminal && self.asks_terminal() {
                Some(Ending::AskedTerminal)
            } else {
                None
            };
            if let Some(why) = why {
                self.signal(Signal::TERM);
                // A stopped process hears nothing but this.
                self.signal(Signal::CONT);
                self.stop = Some(Stop { why, kill_at: now + GRACE, killed: false });
            }
        }
        let kill = self.stop.as_ref().is_some_and(|stop| !stop.killed && (now >= stop.kill_at || self.around.cancel.is_killed()));
        if kill {
            self.kill_tree();
        }
    }

    /// Tells whether the kernel has stopped the process because it reads or sets the terminal, which is not its own.
    fn asks_terminal(&self) -> bool {
        let look = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let signal = waitid(WaitId::Pid(self.pid), look).ok().flatten().and_then(|status| status.stopping_signal());
        signal.is_some_and(|signal| signal == Signal::TTIN.as_raw() || signal == Signal::TTOU.as_raw())
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
        self.drain_some(output);
        while self.pipes.iter().any(|pipe| pipe.reader.is_some()) {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() || self.around.cancel.is_stopped() {
                return;
            }
            self.pause(rest, output);
        }
    }

    /// Reads what comes within `time`; the process has ended already.
    fn pause(&mut self, time: Duration, output: &mut OutputSink<'_>) {
        let sources: Vec<BorrowedFd<'_>> = self.pipes.iter().filter_map(|pipe| pipe.reader.as_ref().map(AsFd::as_fd)).collect();
        let mut waiting: Vec<PollFd<'_>> = sources.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let time = Timespec::try_from(time).ok();
        let _interrupted = poll(&mut waiting, time.as_ref());
        drop(waiting);
        self.drain_some(output);
    }

    /// Reads what is there now, without waiting.
    fn drain_some(&mut self, output: &mut OutputSink<'_>) {
        let ready = Ready { ended: true, ..self.wait(Some(Duration::ZERO)) };
        self.read(&ready, output);
    }

    /// Reads what is left, at most what a pipe can hold, and closes the streams.
    fn drain(&mut self, output: &mut OutputSink<'_>) {
        for _ in 0..2 * LARGE_PIPE / CHUNK {
            let ready = self.wait(Some(Duration::ZERO));
            if !ready.pipes.contains(&true) {
                break;
            }
            self.read(&ready, output);
        }
        for pipe in &mut self.pipes {
            pipe.close(output);
        }
    }
}

impl Pipe {
    fn read(&mut self, buffer: &mut [u8], masker: &Masker, output: &mut OutputSink<'_>) {
        let Some(reader) = &mut self.reader else {
            return;
        };
        match reader.read(buffer) {
            Ok(0) => self.close(output),
            Ok(length) => {
                if length == buffer.len() && !std::mem::replace(&mut self.large, true) {
                    // Refused where the user's pipes are at their limit: then it stays as it is.
                    #[cfg(target_os = "linux")]
                    let _refused = rustix::pipe::fcntl_setpipe_size(&*reader, LARGE_PIPE);
                }
                let text = self.capture.push(masker, &buffer[..length]);
                if !text.is_empty() {
                    output(self.stream, text);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.close(output),
        }
    }

    fn close(&mut self, output: &mut OutputSink<'_>) {
        if self.reader.take().is_some() {
            let rest = self.capture.finish();
            if !rest.is_empty() {
                output(self.stream, rest);
            }
        }
    }
}

/// Returns why a program that was found did not start.
fn explain(error: &io::Error) -> String {
    match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOEXEC) => "it is neither a program for this machine nor a script that begins with `#!`".to_owned(),
        Some(rustix::io::Errno::TOOBIG) => "its arguments and environment are too long for the system".to_owned(),
        _ => program::plain(error),
    }
}
