//! Which stage may start: a pure state machine over the graph.
//!
//! Knows numbers, pools and the rule of halting; knows no process, no time and no event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::pipeline::Pipeline;
use crate::model::stage::StageId;

/// What a failure does to the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing new starts.
    Halt,
    /// What does not depend on it goes on.
    KeepGoing,
}

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not selected.
    Absent,
    /// Waits for so many others.
    Waiting(u32),
    /// Was given out by [`Schedule::next`].
    Running,
    /// Has ended, or never will begin.
    Over,
}

/// Longest chain of dependants first, so that the whole takes as little time as may be; then the order of the file.
type Ready = BinaryHeap<(u32, Reverse<StageId>)>;

/// The stages of a run and how far they are.
#[derive(Debug)]
pub struct Schedule<'p> {
    pipeline: &'p Pipeline,
    on_failure: OnFailure,
    jobs: usize,
    states: Vec<State>,
    ready: Ready,
    /// Stages that are ready but for a place in their pool, and how many places are taken.
    pools: Vec<(Ready, usize)>,
    running: usize,
    given: usize,
    left: usize,
    halted: bool,
}

impl<'p> Schedule<'p> {
    /// Returns the schedule of `stages`, of which at most `jobs` run at once. What they wait for and is not among them counts as done.
    pub fn new(pipeline: &'p Pipeline, stages: &[StageId], jobs: usize, on_failure: OnFailure) -> Self {
        let mut states = vec![State::Absent; pipeline.stages.len()];
        for id in stages {
            states[id.index()] = State::Waiting(0);
        }
        for id in stages {
            let waits = pipeline.graph.upstream(*id).iter().filter(|above| states[above.index()] != State::Absent).count();
            states[id.index()] = State::Waiting(u32::try_from(waits).unwrap_or(u32::MAX));
        }
        let pools = pipeline.pools.iter().map(|_| (Ready::new(), 0)).collect();
        let mut schedule = Self {
            pipeline,
            on_failure,
            jobs: jobs.max(1),
            states,
            ready: Ready::new(),
            pools,
            running: 0,
            given: 0,
            left: stages.len(),
            halted: false,
        };
        for id in stages.iter().filter(|id| schedule.states[id.index()] == State::Waiting(0)).copied().collect::<Vec<_>>() {
            schedule.push(id);
        }
        schedule
    }

    /// Gives out a stage that may start now, if there is one; it counts as running from here on.
    #[expect(clippy::should_implement_trait, reason = "what comes next depends on what has finished, which no iterator expects")]
    pub fn next(&mut self) -> Option<StageId> {
        if self.halted || self.running >= self.jobs {
            return None;
        }
        while let Some((height, Reverse(id))) = self.ready.pop() {
            if let Some(pool) = self.pipeline.stage(id).pool {
                let (waiting, taken) = &mut self.pools[pool.0 as usize];
                if *taken >= self.pipeline.pool(pool).size {
                    waiting.push((height, Reverse(id)));
                    continue;
                }
                *taken += 1;
            }
            self.states[id.index()] = State::Running;
            self.running += 1;
            self.given += 1;
            return Some(id);
        }
        None
    }

    /// Takes the end of a stage that was given out. Returns those that can never start because of it, now that it did not pass: with
    /// [`OnFailure::Halt`] nothing more is given out at all, and they are in [`Schedule::rest`].
    pub fn finished(&mut self, id: StageId, passed: bool) -> Vec<StageId> {
        debug_assert_eq!(self.states[id.index()], State::Running, "only a running stage can finish");
        self.states[id.index()] = State::Over;
        self.running -= 1;
        self.left -= 1;
        if let Some(pool) = self.pipeline.stage(id).pool {
            let (waiting, taken) = &mut self.pools[pool.0 as usize];
            *taken -= 1;
            self.ready.extend(waiting.pop());
        }
        if passed {
            for next in self.pipeline.graph.downstream(id) {
                if let State::Waiting(waits) = &mut self.states[next.index()] {
                    *waits -= 1;
                    if *waits == 0 {
                        self.push(*next);
                    }
                }
            }
            return Vec::new();
        }
        match self.on_failure {
            OnFailure::Halt => {
                self.halt();
                Vec::new()
            }
            OnFailure::KeepGoing => self.drop_dependants(id),
        }
    }

    /// Tells whether another stage than those given out may be ready to start.
    pub fn may_have_next(&self) -> bool {
        !self.halted && self.running < self.jobs && !self.ready.is_empty()
    }

    /// Notes that a stage did not pass, before anything else is known of it.
    pub fn failed(&mut self) {
        if self.on_failure == OnFailure::Halt {
            self.halt();
        }
    }

    /// Returns how many stages were given out.
    pub fn given(&self) -> usize {
        self.given
    }

    /// Gives out nothing more.
    pub fn halt(&mut self) {
        self.halted = true;
    }

    /// Tells whether nothing runs and nothing more will be given out.
    pub fn is_over(&self) -> bool {
        self.running == 0 && (self.halted || self.left == 0)
    }

    /// Tells whether nothing more is given out, although stages may still run.
    pub fn is_halting(&self) -> bool {
        self.halted
    }

    /// Returns how many stages run.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Returns the stages that have no outcome and do not run, in the order of the file.
    pub fn rest(&self) -> Vec<StageId> {
        self.pipeline.ids().filter(|id| matches!(self.states[id.index()], State::Waiting(_))).collect()
    }

    fn push(&mut self, id: StageId) {
        self.ready.push((self.pipeline.graph.height(id), Reverse(id)));
    }

    fn drop_dependants(&mut self, id: StageId) -> Vec<StageId> {
        let mut dropped = Vec::new();
        let mut open = vec![id];
        while let Some(stage) = open.pop() {
            for next in self.pipeline.graph.downstream(stage) {
                if matches!(self.states[next.index()], State::Waiting(_)) {
                    self.states[next.index()] = State::Over;
                    self.left -= 1;
                    dropped.push(*next);
                    open.push(*next);
                }
            }
        }
        dropped.sort_unstable();
        dropped
    }
}

#[cfg(test)]
mod tests;
