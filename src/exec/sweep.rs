//! What steps leave behind: which process belongs to which step, and its end.
//!
//! shipway is a child subreaper (`PR_SET_CHILD_SUBREAPER(2const)`): a process whose parent ends becomes ours, whatever session or group
//! it fled to. It belongs to the step whose process group it is in, else to the stage or service that its environment names. A service is
//! to this module a step that takes long. One that shows
//! neither could be any step's that ran beside it, so it is ended with the last of these. While a step runs whose remains are to stay,
//! nothing is given to us: they become what they would be without us.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::executor::Owner;
use super::guard::{Guard, Post};
use super::processes::{Children, Process, descendants};
#[cfg(target_os = "linux")]
use super::watch::Watch;

/// How often a step's remains are looked for: a process may start others while it is being ended.
const ROUNDS: usize = 10_000;

/// How long a killed process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Knows the steps that run, and adopts what they leave.
#[derive(Debug)]
pub(super) struct Sweep {
    post: Post,
    /// What was given to us, or begun by the main thread.
    given: Children,
    state: Mutex<State>,
}

thread_local! {
    /// What the thread that calls has begun.
    static BEGUN: Children = Children::of(this_thread());
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    running: BTreeMap<Token, Running>,
    /// Of each process that shows no owner, the steps that ran when it was first seen.
    strays: HashMap<(i32, u64), BTreeSet<Token>>,
    /// Ended, but not named to anybody yet.
    unnamed: Vec<String>,
}

#[derive(Debug)]
struct Running {
    /// Its process group; 0 before its process has begun.
    group: i32,
    owner: Owner,
    slot: usize,
}

/// A step that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token(u64);

impl Sweep {
    /// Makes this process the one that orphans are given to. The guard at `post` is told of each step.
    pub(super) fn new(post: Post) -> Self {
        adopt(true);
        Self { post, given: Children::of(main_thread()), state: Mutex::default() }
    }

    /// Notes that a step of `owner` is about to begin: from here on what names the owner is the step's.
    pub(super) fn begin(&self, owner: &Owner) -> Token {
        self.post.man();
        let mut state = self.lock();
        if *owner == Owner::Itself {
            adopt(false);
        }
        let taken: BTreeSet<usize> = state.running.values().map(|running| running.slot).collect();
        let slot = (0..=taken.len()).find(|slot| !taken.contains(slot)).unwrap_or_default();
        let token = Token(state.next);
        state.next += 1;
        state.running.insert(token, Running { group: 0, owner: owner.clone(), slot });
        token
    }

    /// Notes that the step runs in the process group `group`.
    pub(super) fn runs_as(&self, token: Token, group: i32) {
        if let Some(running) = self.lock().running.get_mut(&token) {
            running.group = group;
            if let Some(guard) = self.post.guard() {
                guard.watch(running.slot, group);
            }
        }
    }

    /// Ends what the step left, and returns it for people.
    pub(super) fn ended(&self, token: Token) -> Vec<String> {
        let mut state = self.lock();
        let Some(step) = state.running.remove(&token) else {
            return Vec::new();
        };
        let is_left = step.owner == Owner::Itself;
        if is_left {
            // Its process has ended, and all that it has left was given to somebody else.
            adopt(true);
        }
        #[cfg(not(target_os = "linux"))]
        if let Some(group) = Pid::from_raw(step.group).filter(|_| !is_left) {
            // Without a view of the processes, the group is all that is known of a step.
            let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        // What is begun as a sibling of a step belongs to the thread that began the step.
        let mut left = std::mem::take(&mut state.unnamed);
        left.extend(self.clear(&mut state, Some(&step), &|| [self.given.pids(), BEGUN.with(Children::pids)].concat()));
        if let Some(guard) = self.post.guard() {
            guard.watch(step.slot, 0);
        }
        left
    }

    /// Returns, for people, why steps would outlive a killed shipway, where they would.
    pub(super) fn lack(&self) -> Option<String> {
        self.post.lack()
    }

    /// Ends all that is left, and returns it for people. No step runs any more.
    pub(super) fn finish(&self) -> Vec<String> {
        let mut state = self.lock();
        if state.next == 0 {
            // No step ever ran.
            return Vec::new();
        }
        state.strays.clear();
        let threads: Vec<Children> = Process::own_threads().into_iter().map(Children::of).collect();
        let mut left = std::mem::take(&mut state.unnamed);
        left.extend(self.clear(&mut state, None, &|| threads.iter().flat_map(Children::pids).collect()));
        left
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for orphans that have ended, so that whoever looks for them sees that they have; and ends those that belong to no step of
    /// ours: they come from a shipway that ran in one and was killed.
    pub(super) fn look(&self) {
        let mut state = self.lock();
        let left = self.clear(&mut state, None, &|| self.given.pids());
        state.unnamed.extend(left);
    }

    fn clear(&self, state: &mut State, step: Option<&Running>, begun: &dyn Fn() -> Vec<i32>) -> Vec<String> {
        let mut left = Vec::new();
        let mut doomed: HashSet<i32> = HashSet::new();
        for round in 0..ROUNDS {
            let due: Vec<Process> = {
                let orphans = self.orphans(state, step, begun());
                orphans.into_iter().filter(|orphan| doomed.contains(&orphan.pid) || state.is_due(orphan, step)).collect()
            };
            if due.is_empty() {
                break;
            }
            if round == 0 {
                left.extend(due.iter().map(Process::describe));
                let roots: Vec<i32> = due.iter().map(|process| process.pid).collect();
                let family = descendants(&Process::all(), &roots);
                doomed.extend(family.iter().map(|process| process.pid));
                family.iter().for_each(Process::kill);
            }
            // From the second round on as fast as can be: a process that begets another and ends must not be faster.
            due.iter().for_each(Process::kill);
            due.iter().for_each(|process| wait_until_gone(process.pid));
        }
        left
    }

    /// Returns the processes that were given to us, or begun beside a step, and live; those that ended are waited for. The steps
    /// themselves are not among them.
    fn orphans(&self, state: &State, step: Option<&Running>, begun: Vec<i32>) -> Vec<Process> {
        let own = self.post.guard().map_or(0, Guard::pid);
        let is_step = |pid: i32| step.into_iter().chain(state.running.values()).any(|running| running.group == pid);
        let pids = begun.into_iter().filter(|pid| *pid != own && !is_step(*pid));
        let (ended, alive): (Vec<Process>, Vec<Process>) = pids.filter_map(Process::look).partition(|process| process.ended);
        for process in ended {
            reap(process.pid);
        }
        alive
    }
}

/// Makes this process the one that orphans are given to, or not.
fn adopt(adopts: bool) {
    #[cfg(target_os = "linux")]
    {
        // Without it a step is known by its process group alone.
        let _without = rustix::process::set_child_subreaper(adopts.then(rustix::process::getpid));
    }
    #[cfg(not(target_os = "linux"))]
    let _nothing = adopts;
}

fn main_thread() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Returns the number of the thread that calls, which is the one that began its step.
fn this_thread() -> i32 {
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid().as_raw_nonzero().get();
    #[cfg(not(target_os = "linux"))]
    return main_thread();
}

impl State {
    /// Tells whether the orphan is to be ended now that `step` has ended.
    fn is_due(&mut self, orphan: &Process, step: Option<&Running>) -> bool {
        if step.is_some_and(|step| step.group == orphan.group) {
            return true;
        }
        if self.running.values().any(|running| running.group == orphan.group) {
            return false;
        }
        if let Some((variable, name)) = orphan.owner() {
            let is_its = |running: &Running| running.owner.mark().is_some_and(|(v, n)| (v, n.as_bytes()) == (variable, name.as_slice()));
            return !self.running.values().any(is_its);
        }
        let running: BTreeSet<Token> = self.running.keys().copied().collect();
        let beside = self.strays.entry((orphan.pid, orphan.began)).or_insert_with(|| running.clone());
        beside.retain(|token| running.contains(token));
        beside.is_empty()
    }
}

fn reap(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It is ours and has ended; if somebody else was faster, all the better.
        let _status = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

fn wait_until_gone(pid: i32) {
    #[cfg(target_os = "linux")]
    if let Some(child) = Pid::from_raw(pid)
        && let Ok(watch) = Watch::child(child)
    {
        let patience = Timespec { tv_sec: i64::try_from(PATIENCE.as_secs()).unwrap_or(2), tv_nsec: 0 };
        // A process that the kernel itself holds up is left to it.
        let _gone = poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&patience));
    }
    reap(pid);
}
