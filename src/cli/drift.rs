//! Asks the target of an environment whether what serves there is what the record says.

use std::cell::RefCell;

use super::failing::Failing;
use super::screen::Screen;
use super::site::Site;
use crate::delivery::drift::Drift;
use crate::delivery::process::NO_SUPERVISOR;
use crate::delivery::target::TargetError;
use crate::ledger::history::History;
use crate::ledger::standing::Standing;
use crate::model::outcome::Exit;

impl Site<'_> {
    /// Compares what the target says with the record; or returns what to exit with, where it was interrupted.
    pub(super) fn drift(&self, history: &History, standing: &Standing, screen: &mut Screen) -> Result<Result<Drift, Exit>, Failing> {
        if standing.ongoing.is_some() {
            return Ok(Ok(if self.is_gone()? {
                Drift::Drifted { expected: "a deployment on its way".to_owned(), seen: NO_SUPERVISOR.to_owned() }
            } else {
                Drift::unknown("a deployment is on its way")
            }));
        }
        if let Some(why) = &standing.lost {
            return Ok(Ok(Drift::unknown(why)));
        }
        if self.is_out_of_reach(standing) {
            return Ok(Ok(Drift::unknown("what serves does so by another target, which the environment has no more")));
        }
        let serving = standing.serves.as_ref();
        let expected = match serving.map(|serving| self.candidate(&serving.release, serving.slot.as_deref())).transpose() {
            Ok(expected) => expected,
            Err(why) => return Ok(Ok(Drift::unknown(why))),
        };
        let crew = self.quiet_crew()?;
        let screen = RefCell::new(screen);
        let observed = self.target(&crew, &screen)?.observe(expected.as_ref());
        Ok(match Drift::of(observed, serving.map(|serving| serving.release.as_str()), history) {
            Ok(drift) => Ok(drift),
            Err(TargetError::Failed(why) | TargetError::Unable(why)) => Ok(Drift::unknown(why)),
            Err(TargetError::Interrupted(signal)) => Err(Exit::Interrupted(signal)),
        })
    }

    /// Returns what serves instead of what should, where `accepts` says that this is known; else what to exit with, which is said.
    pub(super) fn accept_drift(
        &self,
        history: &History,
        standing: &Standing,
        accepts: bool,
        screen: &mut Screen,
    ) -> Result<Result<Option<String>, Exit>, Failing> {
        self.revive(standing, screen)?;
        let drift = match self.drift(history, standing, screen)? {
            Ok(drift) => drift,
            Err(exit) => return Ok(Err(exit)),
        };
        let said = format!("{}: {drift}", self.environment.name);
        match drift {
            Drift::InSync => Ok(Ok(None)),
            // Whoever cannot tell does not go without a release that may mend that, and says so.
            Drift::Unknown { .. } => {
                // Where nothing serves there was nothing to ask commands about.
                if self.commands().is_none() || standing.serves.is_some() || standing.lost.is_some() {
                    screen.say(&said);
                }
                Ok(Ok(None))
            }
            Drift::Drifted { .. } if self.is_only_down(standing) => {
                screen.warn(&format!("{said}, which another release may mend"));
                Ok(Ok(None))
            }
            Drift::Drifted { seen, .. } if accepts => {
                screen.warn(&format!("{said}, which is accepted"));
                Ok(Ok(Some(seen)))
            }
            Drift::Drifted { .. } => {
                let help = "somebody has moved it by hand: put it back, or say `--accept-drift`, which is recorded";
                screen.complain(&format!("{said}: nothing is promoted"), Some(help));
                Ok(Err(Exit::Failed))
            }
        }
    }
}
