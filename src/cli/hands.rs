//! Does what a target of commands asks for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use super::crew::{Crew, Task};
use super::readiness;
use super::screen::Screen;
use super::signals::Rest;
use crate::base::program::plain;
use crate::delivery::command::{Hands, Prepared, Told};
use crate::delivery::target::TargetError;
use crate::model::stage::Step;
use crate::model::target::Readiness;

/// The hands of a crew.
pub(super) struct Crewed<'h, 's> {
    pub(super) crew: &'h Crew<'h>,
    /// Shared with whoever runs the environment's own steps.
    pub(super) screen: &'h RefCell<&'s mut Screen>,
    pub(super) rest: Rest,
}

impl Hands for Crewed<'_, '_> {
    fn run(&mut self, step: &Step, told: &Told) -> Result<(), TargetError> {
        let task = Task { phase: &step.label, steps: std::slice::from_ref(step), told, lets_stay: true, again: None };
        self.crew.run(&task, &mut self.screen.borrow_mut()).map(|_| ())
    }

    fn ask(&mut self, step: &Step, told: &Told) -> Result<Option<String>, TargetError> {
        let task = Task { phase: &step.label, steps: std::slice::from_ref(step), told, lets_stay: false, again: None };
        self.crew.answer(&task, &mut self.screen.borrow_mut())
    }

    fn prepare(&mut self, step: &Step, told: &Told) -> Result<Prepared, TargetError> {
        let task = Task { phase: &step.label, steps: std::slice::from_ref(step), told, lets_stay: true, again: None };
        self.crew.prepare(&task, &mut self.screen.borrow_mut())
    }

    fn wait(&mut self, ready: &Readiness, told: &Told, lost: &mut dyn FnMut() -> Option<String>) -> Result<(), TargetError> {
        readiness::wait(self.crew, ready, (told, lost), &mut self.screen.borrow_mut())
    }

    fn who_answers(&mut self, ready: &Readiness, told: &Told) -> Option<BTreeSet<u64>> {
        readiness::who_answers(ready, told)
    }

    fn pause(&mut self, time: Duration) -> Result<(), TargetError> {
        let came = self.rest.take(time).map_err(|error| TargetError::Failed(plain(&error)))?;
        came.map_or(Ok(()), |signal| Err(TargetError::Interrupted(signal)))
    }
}
