//! The making of a stage beside the services that it uses: they are ready before its first step, and one that ends fails it.

use std::cell::RefCell;
use std::sync::Arc;

use super::attempt::{Attempt, End, Tried};
use super::pool::{Definition, Loss};
use super::reporting::Reporting;
use super::services::Refused;
use super::tail::Tail;
use crate::base::duration::show;
use crate::cache::log::LogWriter;
use crate::model::findings::Test;
use crate::model::outcome::{Failure, FailureKind};
use crate::model::stage::{Stage, StageId};

impl Attempt<'_> {
    /// Tries the stage once, with its services where it has any.
    pub(super) fn try_beside(
        &self,
        id: StageId,
        stage: &Stage,
        log: Option<&RefCell<LogWriter>>,
        reporting: Option<&Reporting<'_>>,
    ) -> Tried {
        if stage.services.is_empty() {
            return self.try_stage(id, stage, log, reporting);
        }
        let services = self.plan.pipeline.services_of(stage);
        let wanted: Vec<Arc<Definition>> =
            services.into_iter().map(|service| Arc::new(Definition::new(self.plan, self.caller, service))).collect();
        let deadline = self.deadline.map(|(deadline, time)| (deadline, format!("the run's limit of {}", show(time))));
        self.at.set(0);
        self.outbox.send();
        let used = match self.services.enter(&wanted, self.cancel, deadline.as_ref()) {
            Ok(used) => used,
            Err(Refused::Stopped) => return (End::Cancelled, None),
            Err(Refused::Lost(loss)) => return (self.by_service(id, stage, *loss, Vec::new()), None),
            Err(Refused::OutOfTime(reason)) => {
                let failure = self.failure(id, &stage.steps[0], FailureKind::Timeout, &Tail::default());
                return (End::Failed(Box::new(failure), reason), None);
            }
        };
        let (end, findings) = Attempt { cancel: used.cancel(), ..*self }.try_stage(id, stage, log, reporting);
        match used.lost(matches!(end, End::Failed(..))) {
            Some(loss) => {
                let tests = findings.iter().flat_map(|findings| findings.failed_tests()).map(Test::full_name).collect();
                (self.by_service(id, stage, loss, tests), findings)
            }
            None if matches!(end, End::Cancelled) => (end, None),
            None => match end {
                End::Passed { flaky, lying, .. } => (End::Passed { flaky, lying, kept: used.kept() }, findings),
                End::Failed(..) | End::Cancelled => (end, findings),
            },
        }
    }

    /// The failure of a stage by a service: the step is the one that ran, or was to run; the rest is the service's.
    fn by_service(&self, id: StageId, stage: &Stage, loss: Loss, tests: Vec<String>) -> End {
        let step = &stage.steps[self.at.get().min(stage.steps.len() - 1)];
        let Loss { reason, code, signal, command, dir, tail } = loss;
        let failure = Failure { code, signal, command, dir, tail, tests, ..self.failure(id, step, FailureKind::Service, &Tail::default()) };
        End::Failed(Box::new(failure), reason)
    }
}
