//! Steps as processes of this machine.

use std::fs::File;
use std::sync::Arc;

use rustix::process::Pid;

use super::cancel::Cancel;
use super::executor::{Executor, OutputSink, StepCommand, StepEnd};
use super::guard::Post;
use super::process;
use super::sweep::Sweep;
use crate::base::secret::Masker;

/// How much is said of a process, in characters.
const LONGEST: usize = 120;

/// Runs steps here, in place.
#[derive(Debug, Clone)]
pub struct LocalExecutor {
    ground: Arc<Ground>,
}

/// What all processes share.
#[derive(Debug)]
struct Ground {
    sweep: Sweep,
    masker: Masker,
    has_terminal: bool,
}

impl LocalExecutor {
    /// Returns an executor that hides what `masker` knows. To be made on the main thread. `held` is a file that stays open for as long as
    /// steps may live, should this process be killed; what it holds is overwritten.
    pub fn new(masker: Masker, held: Option<File>) -> Self {
        let has_terminal = File::open("/dev/tty").is_ok();
        Self { ground: Arc::new(Ground { sweep: Sweep::new(Post::new(held)), masker, has_terminal }) }
    }
}

impl LocalExecutor {
    /// Runs `command` to its end; `begun` is told the number of its process.
    pub(super) fn run(&self, command: &StepCommand, cancel: &Cancel, begun: &dyn Fn(Pid), output: &mut OutputSink<'_>) -> StepEnd {
        let Ground { sweep, masker, has_terminal } = &*self.ground;
        let around = process::Surroundings { sweep, masker, has_terminal: *has_terminal, cancel };
        let end = process::run(&around, command, begun, output);
        StepEnd { left_behind: end.left_behind.iter().map(|process| self.show(process)).collect(), ..end }
    }

    /// Returns what may be said of a process: masked first, then shortened, since half a secret is not recognised.
    fn show(&self, process: &str) -> String {
        let text = self.ground.masker.hide(process);
        let length = text.chars().count();
        if length <= LONGEST {
            text.into_owned()
        } else {
            text.chars().take(LONGEST / 2).chain(['…']).chain(text.chars().skip(length - LONGEST / 2)).collect()
        }
    }
}

impl Executor for LocalExecutor {
    fn execute(&self, command: &StepCommand, cancel: &Cancel, output: &mut OutputSink<'_>) -> StepEnd {
        self.run(command, cancel, &|_| (), output)
    }

    fn finish(&self) -> Vec<String> {
        let sweep = &self.ground.sweep;
        let left = |process: &String| format!("a process was left running by an earlier step, and was ended: {}", self.show(process));
        sweep.finish().iter().map(left).chain(sweep.lack()).collect()
    }
}
