//! What rules and gates are told of a release: all that it can be judged by, as one JSON object.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::depot::elsewhere;
use super::failing::Failing;
use super::site::Site;
use crate::base::text::visible;
use crate::delivery::target::Candidate;
use crate::ledger::entry::Released;
use crate::ledger::history::History;
use crate::model::environment::Environment;

/// The version of the object.
const VERSION: u32 = 1;

impl Site<'_> {
    /// Returns what rules and gates are told of a release that is to come here.
    pub(super) fn context(&self, history: &History, released: &Released, release: &Candidate, now: Timestamp) -> Result<Value, Failing> {
        let name = visible(&released.name);
        if released.evidence.is_none() {
            let help = "make it again: shipway release, at its commit";
            return Err(anyhow::anyhow!(
                "nothing is known of the run that made {name}: an earlier version did not keep it\n  help: {help}"
            )
            .into());
        }
        let (entry, _) = history.release(&released.release)?;
        let evidence = self.depot.evidence(released).map_err(|error| elsewhere(error, entry))?;
        let plan = self.plan(&released.release);
        let opinions = match &self.environment.admission.approve {
            Some(rule) => {
                let signers = self.signers(rule)?;
                self.question(rule, &self.all(signers.as_ref()), released, &plan, now).opinions(history)
            }
            None => Vec::new(),
        };
        Ok(json!({
            "v": VERSION,
            "release": released,
            "commit": self.head.commit,
            "stages": evidence.stages,
            "tests": evidence.tests,
            "findings": evidence.findings,
            "metrics": evidence.metrics,
            "artifacts": release.manifest.artifacts,
            "approvals": opinions,
            "environment": self.described(self.environment),
            "plan": plan,
            "now": now.to_string(),
        }))
    }

    /// Returns what an environment is called, and what has to hold before a release comes in.
    fn described(&self, environment: &Environment) -> Value {
        let admission = &environment.admission;
        let delivery = &self.project.pipeline.delivery;
        let from: Vec<&str> = admission.from.iter().map(|id| &*delivery.environment(*id).name).collect();
        let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs());
        let approve = admission.approve.as_ref().map(|rule| {
            let (count, expires) = (rule.count, seconds(rule.expires));
            json!({ "signers": rule.signers, "count": count, "not_author": rule.not_author, "expires_seconds": expires })
        });
        let freeze: Vec<Value> = admission
            .freeze
            .iter()
            .map(|freeze| {
                let (from, to) = freeze.span.words();
                json!({ "from": from, "to": to, "zone": freeze.zone })
            })
            .collect();
        json!({
            "name": environment.name,
            "promote": if environment.is_automatic { "auto" } else { "manual" },
            "from": from,
            "from_all": admission.from_all,
            "soak_seconds": seconds(admission.soak),
            "freeze": freeze,
            "policy": admission.policy.iter().map(crate::base::glob::Glob::path).collect::<Vec<_>>(),
            "gates": admission.gates.iter().map(|gate| gate.command.show()).collect::<Vec<_>>(),
            "approve": approve,
        })
    }
}
