//! Where a release can be: what has to hold before it comes in, and how it comes in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::freeze::Freeze;
use super::stage::Step;
use super::target::TargetId;
use crate::base::glob::Glob;

/// The place of an environment in [`Delivery::environments`](super::delivery::Delivery::environments).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EnvironmentId(pub u32);

/// An environment, with all that it takes from the one that it is like.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Environment {
    /// Its name.
    pub name: Arc<str>,
    /// The one whose keys it takes unless it sets them itself.
    pub like: Option<EnvironmentId>,
    /// What carries a release there.
    pub target: TargetId,
    /// Whether a release comes in as soon as it is available.
    pub is_automatic: bool,
    /// How a step written as one string is run.
    pub shell: Arc<[String]>,
    /// Variables of all its steps, and of those of its target.
    pub env: BTreeMap<String, String>,
    /// Names or patterns of variables that are passed on.
    pub pass_env: Vec<String>,
    /// Names of variables that are passed on and masked.
    pub secrets: Vec<String>,
    /// Longest time of each of its phases.
    pub timeout: Option<Duration>,
    /// What makes it ready for a release.
    pub provision: Vec<Step>,
    /// What shows that the release works there.
    pub verify: Vec<Step>,
    /// What has to hold before a release comes in.
    pub admission: Admission,
    /// How a release takes over from the one before.
    pub rollout: Rollout,
}

impl Environment {
    /// Returns the keys of the file in which it differs from another one, in their order here.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let (a, b) = (&self.admission, &other.admission);
        let (to, from) = (&self.rollout, &other.rollout);
        let is_same = |one: &[Step], two: &[Step]| format!("{one:?}") == format!("{two:?}");
        let keys = [
            ("target", self.target == other.target),
            ("promote", self.is_automatic == other.is_automatic),
            ("env", self.env == other.env),
            ("pass-env", self.pass_env == other.pass_env),
            ("secrets", self.secrets == other.secrets),
            ("timeout", self.timeout == other.timeout),
            ("provision", is_same(&self.provision, &other.provision)),
            ("verify", is_same(&self.verify, &other.verify)),
            ("from", (&a.from, a.from_all) == (&b.from, b.from_all)),
            ("soak", a.soak == b.soak),
            ("freeze", a.freeze == b.freeze),
            ("policy", a.policy.iter().map(Glob::path).eq(b.policy.iter().map(Glob::path))),
            ("gates", is_same(&a.gates, &b.gates)),
            ("approve", a.approve == b.approve),
            ("rollout", to.weights == from.weights),
            ("pause", to.pause == from.pause),
            ("analysis", format!("{:?}", to.analysis) == format!("{:?}", from.analysis)),
            ("keep", to.keep == from.keep),
            ("on-abort", is_same(&to.on_abort, &from.on_abort)),
        ];
        keys.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key).collect()
    }
}

/// What has to hold before a release comes in, in the order in which it is asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Admission {
    /// When nothing comes in.
    pub freeze: Vec<Freeze>,
    /// Where a release has to be verified before; none: it comes in as it is made.
    pub from: Vec<EnvironmentId>,
    /// Whether in all of them, not only in one.
    pub from_all: bool,
    /// For how long it has to be verified there.
    pub soak: Option<Duration>,
    /// Files of rules that can say no.
    pub policy: Vec<Glob>,
    /// Commands that can say no, or not yet.
    pub gates: Vec<Step>,
    /// Who has to agree.
    pub approve: Option<ApprovalRule>,
}

/// Who has to agree to a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRule {
    /// The file of those who may sign, in the form of `ssh-keygen(1)`, relative to the project.
    pub signers: String,
    /// How many of them have to.
    pub count: u32,
    /// Whether who wrote the commit does not count.
    pub not_author: bool,
    /// For how long a signature counts.
    pub expires: Option<Duration>,
}

/// How a release takes over from the one before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rollout {
    /// The shares of the traffic that it gets one after the other, in percent; the last is 100.
    pub weights: Vec<u8>,
    /// What is waited for at each weight but the last.
    pub pause: Pause,
    /// What watches it at each weight.
    pub analysis: Option<Analysis>,
    /// For how long the one before stays ready afterwards.
    pub keep: Option<Duration>,
    /// What is told why it was taken back.
    pub on_abort: Vec<Step>,
}

/// What is waited for at a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pause {
    /// This time; it may be none.
    For(Duration),
    /// Somebody who says to go on.
    Manual,
}

/// A command that says how a release does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Analysis {
    /// The command.
    pub run: Step,
    /// How often it is asked.
    pub every: Duration,
    /// How often it may say no.
    pub failures: u32,
    /// How often in a row it may not be able to tell.
    pub errors: u32,
    /// From how many samples on its answer counts.
    pub min_samples: u32,
}
