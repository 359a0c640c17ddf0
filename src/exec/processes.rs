//! The processes of the machine, as `/proc` shows them (`proc(5)`).
//!
//! Elsewhere than on Linux it shows none, and a step is known by its process group alone.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

use super::executor::{SERVICE, STAGE};

/// A process at the time it was looked at.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// Ended, but not yet waited for.
    pub(super) ended: bool,
    /// When it began, in clock ticks since the machine did: with the pid it names a process for good.
    pub(super) began: u64,
}

impl Process {
    /// Looks at the process `pid`.
    pub(super) fn look(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold anything, parentheses too.
        let behind = stat.iter().rposition(|byte| *byte == b')')?;
        let fields: Vec<&str> = std::str::from_utf8(stat.get(behind + 2..)?).ok()?.split(' ').collect();
        // A process whose first thread has ended looks like one that has; it has ended when no other thread is left.
        let threads: u32 = number_at(&fields, 17)?;
        let ended = matches!(*fields.first()?, "Z" | "X") && threads <= 1;
        Some(Self { pid, parent: number_at(&fields, 1)?, group: number_at(&fields, 2)?, ended, began: number_at(&fields, 19)? })
    }

    /// Returns all processes.
    pub(super) fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter_map(Self::look).collect()
    }

    /// Returns our threads, but for those that stand apart.
    pub(super) fn own_threads() -> Vec<i32> {
        let entries = fs::read_dir("/proc/self/task").into_iter().flatten();
        let apart = APART.lock().unwrap_or_else(PoisonError::into_inner);
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(|thread| !apart.contains(thread)).collect()
    }

    /// Returns the value of a variable in the environment it was started with.
    pub(super) fn variable(&self, name: &str) -> Option<Vec<u8>> {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec))
    }

    /// Returns whose its environment says that it is: the variable that says so, and the name.
    pub(super) fn owner(&self) -> Option<(&'static str, Vec<u8>)> {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        let named = |variable: &'static str| {
            let mut entries = environment.split(|byte| *byte == 0);
            let name = entries.find_map(|entry| entry.strip_prefix(variable.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec));
            name.map(|name| (variable, name))
        };
        named(STAGE).or_else(|| named(SERVICE))
    }

    /// Returns the name of its program, shortened by the system.
    pub(super) fn name(&self) -> String {
        fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default().trim().to_owned()
    }

    /// Returns its command line for people; it may hold anything, secrets too.
    pub(super) fn describe(&self) -> String {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let words: Vec<String> =
            line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let mut text = crate::base::text::shell_join(words.iter().map(String::as_str));
        if text.is_empty() {
            text.push_str(&self.name());
        }
        format!("`{}` (pid {})", crate::base::text::visible(&text), self.pid)
    }

    /// Ends it now, if it is still the one that was looked at.
    pub(super) fn kill(&self) {
        if Self::look(self.pid).is_some_and(|now| now.began == self.began && !now.ended)
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            // It may have ended by itself in between.
            let _ended = kill_process(pid, Signal::KILL);
        }
    }
}

/// The children of one of our threads, as they are whenever it is asked. Those whose parents ended are given to the main thread, whose
/// number is the process's own.
#[derive(Debug)]
pub(super) struct Children(Option<File>);

impl Children {
    /// Opens the list of the thread's children: once, since to find it costs more than to read it.
    pub(super) fn of(thread: i32) -> Self {
        Self(File::open(format!("/proc/self/task/{thread}/children")).ok())
    }

    /// Returns their pids.
    pub(super) fn pids(&self) -> Vec<i32> {
        let (mut text, mut piece) = (Vec::new(), [0; 512]);
        // From its beginning it is made anew.
        while let Some(file) = &self.0
            && let Ok(length @ 1..) = file.read_at(&mut piece, text.len() as u64)
        {
            text.extend_from_slice(&piece[..length]);
        }
        String::from_utf8_lossy(&text).split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }
}

/// The threads of ours whose children belong to no step.
static APART: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// As long as it lives, what the thread that made it starts belongs to no step, whatever runs or ends beside it.
#[derive(Debug)]
pub struct Apart(i32);

impl Apart {
    /// Sets the thread that calls apart.
    pub fn this_thread() -> Self {
        #[cfg(target_os = "linux")]
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        // There are no lists of children.
        #[cfg(not(target_os = "linux"))]
        let thread = 0;
        APART.lock().unwrap_or_else(PoisonError::into_inner).insert(thread);
        Self(thread)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        APART.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Tells whether this process runs in a step of `stage` that the process `shipway` has started.
pub fn runs_in_step_of(shipway: i32, stage: &str) -> bool {
    let mut look = i32::try_from(std::process::id()).ok().and_then(Process::look);
    while let Some(process) = look {
        if process.parent == shipway {
            return process.variable(STAGE).is_some_and(|of| of == stage.as_bytes());
        }
        look = Process::look(process.parent);
    }
    false
}

fn number_at<N: std::str::FromStr>(fields: &[&str], index: usize) -> Option<N> {
    fields.get(index)?.parse().ok()
}

/// Returns those of `all` that descend from one of `roots`, without the roots.
pub(super) fn descendants(all: &[Process], roots: &[i32]) -> Vec<Process> {
    let mut family: HashSet<i32> = roots.iter().copied().collect();
    let mut found = Vec::new();
    loop {
        let more: Vec<&Process> = all.iter().filter(|process| family.contains(&process.parent) && !family.contains(&process.pid)).collect();
        if more.is_empty() {
            return found;
        }
        family.extend(more.iter().map(|process| process.pid));
        found.extend(more.into_iter().cloned());
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_stands_apart_is_none_of_those_that_begin_steps() {
        let own = rustix::thread::gettid().as_raw_nonzero().get();
        assert!(Process::own_threads().contains(&own));
        let apart = Apart::this_thread();
        assert!(!Process::own_threads().contains(&own));
        drop(apart);
        assert!(Process::own_threads().contains(&own));
    }
}
