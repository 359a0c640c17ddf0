//! The one that ends the steps should shipway itself be killed.
//!
//! A second process of this program waits on a pipe that closes when shipway ends, in whatever way. A small file, shared by
//! both, says which process groups run at that instant; nothing wakes the guard before. What fled its group is found by the
//! stage in its environment and by whom it was given to when shipway ended; the steps of another shipway are its own.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, PipeWriter, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::event::Timespec;
use rustix::process::{Pid, Signal, kill_process_group};

use super::processes::{Process, descendants};
use crate::base::program::plain;
use crate::base::state::LAST_WORD;

/// The hidden command that is the guard.
pub const COMMAND: &str = "__guard";

/// How often the guard looks for what fled: each round may free what the last one's victims started.
const ROUNDS: usize = 200;

/// After so many rounds without a find there is nothing to be found: a process may be missed by one while it changes its parent.
const QUIET_ROUNDS: usize = 4;

/// Between two rounds.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// Where the guard stands from the first step on: a run that starts none needs none.
#[derive(Debug)]
pub(super) struct Post {
    /// What is shared with it.
    file: Mutex<Option<File>>,
    guard: OnceLock<io::Result<Guard>>,
}

impl Post {
    /// Returns a post without a guard; the one to come shares `file` with us, or one without a name.
    pub(super) fn new(file: Option<File>) -> Self {
        Self { file: Mutex::new(file), guard: OnceLock::new() }
    }

    /// Starts the guard, unless that was done: a step is about to begin.
    pub(super) fn man(&self) {
        self.guard.get_or_init(|| Guard::start(self.file.lock().unwrap_or_else(PoisonError::into_inner).take()));
    }

    /// Returns the guard that stands.
    pub(super) fn guard(&self) -> Option<&Guard> {
        self.guard.get()?.as_ref().ok()
    }

    /// Returns, for people, why there is none where there should be one.
    pub(super) fn lack(&self) -> Option<String> {
        let error = self.guard.get()?.as_ref().err()?;
        Some(format!("the guard could not be started, so steps would outlive a killed shipway: {}", plain(error)))
    }
}

/// The shipway side.
#[derive(Debug)]
pub(super) struct Guard {
    handle: duct::Handle,
    groups: File,
    _alive: PipeWriter,
}

impl Guard {
    /// Starts the guard; a run is possible without it.
    fn start(file: Option<File>) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let groups = file.map_or_else(tempfile::tempfile, Ok)?;
        let (reader, alive) = io::pipe()?;
        let handle = duct::cmd(program, [COMMAND])
            .stdin_file(reader)
            .stdout_file(groups.try_clone()?)
            .stderr_null()
            .full_env(std::iter::empty::<(&str, &str)>())
            .dir("/")
            .unchecked()
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            })
            .start()?;
        Ok(Self { handle, groups, _alive: alive })
    }

    /// Notes that `group` runs in `slot`; 0 for none.
    pub(super) fn watch(&self, slot: usize, group: i32) {
        // A guard that does not know a group still finds its processes by their environment.
        let _unknown = self.groups.write_at(&group.to_le_bytes(), slot as u64 * 4);
    }

    /// Returns its process.
    pub(super) fn pid(&self) -> i32 {
        self.handle.pids().first().and_then(|pid| i32::try_from(*pid).ok()).unwrap_or(0)
    }
}

impl Drop for Guard {
    /// Ends the guard while its pipe is still open, so that it has nothing to do.
    fn drop(&mut self) {
        let _ended = self.handle.kill();
        let _status = self.handle.wait();
    }
}

/// Is the guard: waits until standard input ends, then ends whatever runs of the steps noted in standard output's file.
pub fn stand() {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let Some(guard) = Process::look(own) else { return };
    let mut input = io::stdin();
    let mut nothing = [0; 8];
    while matches!(input.read(&mut nothing), Ok(1..)) {}
    let groups = groups();
    // What has a group of its own, as the workers of many servers have, is known by its parents while these live.
    let all = Process::all();
    let members: Vec<i32> = all.iter().filter(|process| groups.contains(&process.group)).map(|process| process.pid).collect();
    let family = descendants(&all, &members);
    let mut quiet = 0;
    for _ in 0..ROUNDS {
        for group in &groups {
            if let Some(group) = Pid::from_raw(*group) {
                // Gone already: what we want.
                let _gone = kill_process_group(group, Signal::KILL);
            }
        }
        family.iter().for_each(Process::kill);
        let fled = fled(&guard);
        let is_alone = Process::look(own).is_some_and(|now| now.parent != guard.parent);
        quiet = if fled.is_empty() && is_alone { quiet + 1 } else { 0 };
        if quiet == QUIET_ROUNDS {
            break;
        }
        fled.iter().for_each(Process::kill);
        // The rest of shipway's end, or of theirs.
        let _woken = rustix::event::poll(&mut [], Some(&PAUSE));
    }
    if let Ok(file) = io::stdout().as_fd().try_clone_to_owned().map(File::from) {
        // From its time on nothing is written by a step.
        let _unsaid = file.set_len(0).and_then(|()| file.write_all_at(LAST_WORD, 0));
    }
}

fn groups() -> Vec<i32> {
    let Ok(file) = io::stdout().as_fd().try_clone_to_owned().map(File::from) else {
        return Vec::new();
    };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    if file.read_exact_at(&mut bytes, 0).is_err() {
        return Vec::new();
    }
    let groups = bytes.chunks_exact(4).map(|four| i32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    // 1 and below would mean every process.
    groups.filter(|group| *group > 1).collect()
}

/// Returns the processes of steps that fled their groups: begun after the guard, named by a step's environment, and given, they or
/// those that they descend from, to whoever the guard itself was given to when shipway ended. Where that is a shipway, in a step of
/// which ours ran, they are left to it.
fn fled(guard: &Process) -> Vec<Process> {
    let all: HashMap<i32, Process> = Process::all().into_iter().map(|process| (process.pid, process)).collect();
    let Some(heir) = all.get(&guard.pid).map(|now| now.parent).filter(|heir| *heir != guard.parent) else { return Vec::new() };
    let program = |pid: &str| std::fs::read_link(format!("/proc/{pid}/exe")).ok().and_then(|path| path.file_name().map(ToOwned::to_owned));
    if program(&heir.to_string()).is_some_and(|heir| Some(heir) == program("self")) {
        return Vec::new();
    }
    let is_candidate = |process: &Process| process.pid != guard.pid && process.began >= guard.began && process.owner().is_some();
    let descends = |process: &Process| {
        let mut above = process;
        while above.parent != heir {
            match all.get(&above.parent) {
                Some(parent) if is_candidate(parent) => above = parent,
                _ => return false,
            }
        }
        true
    };
    all.values().filter(|process| !process.ended && is_candidate(process) && descends(process)).cloned().collect()
}
