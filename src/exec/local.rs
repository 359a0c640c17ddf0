//! Steps as processes of this machine.

use super::cancel::Cancel;
use super::executor::{Executor, OutputSink, StepCommand, StepEnd};
use super::guard::Guard;
use super::process;
use super::sweep::Sweep;
use crate::base::secret::Masker;

/// Runs steps here, in place.
#[derive(Debug)]
pub struct LocalExecutor {
    sweep: Sweep,
    masker: Masker,
    has_terminal: bool,
}

impl LocalExecutor {
    /// Returns an executor that hides what `masker` knows. To be made on the main thread, before any step runs.
    ///
    /// The second value says, for people, why steps would outlive a killed shipway, where they would.
    pub fn new(masker: Masker) -> (Self, Option<String>) {
        let (guard, warning) = match Guard::start() {
            Ok(guard) => (Some(guard), None),
            Err(error) => (
                None,
                Some(format!("the guard could not be started, so steps would outlive a killed shipway: {}", super::program::plain(&error))),
            ),
        };
        let has_terminal = std::fs::File::open("/dev/tty").is_ok();
        (Self { sweep: Sweep::new(guard), masker, has_terminal }, warning)
    }
}

impl Executor for LocalExecutor {
    fn execute(&self, command: &StepCommand, cancel: &Cancel, output: &mut OutputSink<'_>) -> StepEnd {
        process::run(
            &process::Surroundings { sweep: &self.sweep, masker: &self.masker, has_terminal: self.has_terminal, cancel },
            command,
            output,
        )
    }

    fn finish(&self) -> Vec<String> {
        self.sweep.finish()
    }
}
