//! One entry of the ledger: who did what when.
//!
//! Format, version 1: a line for people, an empty line, and one line of JSON.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::incident::{Closed, Opened};
use crate::base::digest::Hash;

/// The version of the format.
const VERSION: u32 = 1;

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The version of its format.
    v: u32,
    /// When, by the clock of whoever wrote it; the order is that of the chain.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    #[serde(flatten)]
    pub deed: Deed,
}

/// Who did something, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The name, as git has it.
    pub name: String,
    /// The address, as git has it.
    pub email: String,
    /// The name of the machine.
    pub host: String,
    /// Which of the repositories that share the ledger; `None` where it is not shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum Deed {
    /// A release was made.
    Released(Box<Released>),
    /// A release begins to come into an environment. The digest of this entry is the name of the deployment.
    Started(Box<Started>),
    /// A phase of a deployment is about to be done: it may be done in part, or whole, unless the next entry says so.
    Doing(Phasing),
    /// A phase of a deployment was done; or did not work, where that is no reason to go back.
    Done(Phasing),
    /// Somebody has looked how the release of a deployment does with its share of the traffic.
    Looked(Looked),
    /// A deployment goes back to the release that served before.
    Turned(Turned),
    /// What takes a deployment back did not work: nobody knows what serves.
    Stuck(Turned),
    /// A deployment is over.
    Ended(Ended),
    /// The clone that says so moves a deployment: still, or from here on.
    Held(Held),
    /// Nobody does, whoever did: the next one may.
    Unlocked(Unlocked),
    /// Somebody agrees to a plan.
    Approved(Signed),
    /// Somebody does not.
    Rejected(Signed),
    /// Automation leaves an environment alone.
    Paused(Hold),
    /// Automation goes on.
    Resumed(Hold),
    /// A deployment brought a failure that users feel.
    IncidentOpened(Opened),
    /// The failure is over.
    IncidentClosed(Closed),
}

/// A release that begins to come into an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Into which environment.
    pub environment: String,
    /// The id of the release.
    pub release: String,
    /// The id of the release that served there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The slot that the release comes into, of a target that has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// The slot of the release that served there.
    #[serde(default, rename = "before-slot", skip_serializing_if = "Option::is_none")]
    pub before_slot: Option<String>,
    /// The commit whose pipeline and scripts say how.
    pub commit: String,
    /// The digest of the plan: release, environment and commit.
    pub plan: String,
    /// Why.
    pub cause: Cause,
    /// Which target it comes to, by kind and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// In the words of whoever asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What served there instead of what should, where whoever asked for it knew of that.
    #[serde(default, rename = "accepted-drift", skip_serializing_if = "Option::is_none")]
    pub accepted_drift: Option<String>,
}

/// Why a release comes into an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It was promoted.
    Promote,
    /// It was there before, and what came after it was no good.
    Rollback,
}

/// A phase of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phasing {
    /// In which environment.
    pub environment: String,
    /// Of which deployment.
    pub deployment: String,
    /// Which one.
    pub phase: Phase,
    /// Why it did not work, where that was no reason to go back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is done, one after the other, to bring a release into an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The environment is made ready.
    Provision,
    /// The release is put beside the one that serves.
    Start,
    /// It gets its share of the traffic, in percent.
    Shift(u8),
    /// It does well with this share, in percent.
    Analyse(u8),
    /// It is shown to work.
    Verify,
    /// What does not serve any more is ended.
    Stop,
    /// Whoever wants to know is told that it goes back.
    Tell,
}

/// A look at how a release does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// In which environment.
    pub environment: String,
    /// At which deployment.
    pub deployment: String,
    /// With which share of the traffic, in percent.
    pub weight: u8,
    /// How it does.
    pub answer: Answer,
    /// More about that, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What somebody says who has looked how a release does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Well.
    Yes,
    /// Not well.
    No,
    /// That cannot be told.
    Unsure,
}

/// A deployment that goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turned {
    /// In which environment.
    pub environment: String,
    /// Which one.
    pub deployment: String,
    /// Why.
    pub reason: String,
}

/// A deployment that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// In which environment.
    pub environment: String,
    /// Which one.
    pub deployment: String,
    /// How.
    pub result: Ending,
    /// Until when the release before stays ready, if it does.
    #[serde(default, rename = "kept-until", skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Timestamp>,
    /// Why, where it is not as it was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A deployment that somebody moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// In which environment.
    pub environment: String,
    /// Which one.
    pub deployment: String,
}

/// A deployment that nobody moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlocked {
    /// In which environment.
    pub environment: String,
    /// Which one.
    pub deployment: String,
    /// Why.
    pub reason: String,
}

/// How a deployment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The release serves, and works.
    Verified,
    /// Nothing was changed.
    Unchanged,
    /// The release that served before serves again, or none if none did.
    RolledBack,
    /// Nobody knows what serves.
    RollbackFailed,
}

/// What somebody says of a plan, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The environment of the plan.
    pub environment: String,
    /// The release of the plan.
    pub release: String,
    /// The commit of the plan.
    pub commit: String,
    /// The plan's digest, which is signed.
    pub plan: String,
    /// When it was signed, which is signed too.
    #[serde(rename = "signed-at")]
    pub at: Timestamp,
    /// The signature, as ssh-keygen(1) writes it.
    pub signature: String,
    /// Why.
    pub reason: String,
}

/// A hold on an environment, or its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Which environment.
    pub environment: String,
    /// Why.
    pub reason: String,
}

impl Deed {
    /// Returns what was signed, and whether it agrees; `None` where nothing was.
    pub fn signed(&self) -> Option<(&Signed, bool)> {
        if let Self::Approved(signed) = self {
            return Some((signed, true));
        }
        if let Self::Rejected(signed) = self { Some((signed, false)) } else { None }
    }

    /// Returns the environment that it is about.
    pub fn environment(&self) -> Option<&str> {
        match self {
            Self::Released(_) => None,
            Self::Started(started) => Some(&started.environment),
            Self::Doing(phasing) | Self::Done(phasing) => Some(&phasing.environment),
            Self::Looked(looked) => Some(&looked.environment),
            Self::Turned(turned) | Self::Stuck(turned) => Some(&turned.environment),
            Self::Ended(ended) => Some(&ended.environment),
            Self::Held(held) => Some(&held.environment),
            Self::Unlocked(unlocked) => Some(&unlocked.environment),
            Self::Approved(signed) | Self::Rejected(signed) => Some(&signed.environment),
            Self::Paused(hold) | Self::Resumed(hold) => Some(&hold.environment),
            Self::IncidentOpened(opened) => Some(&opened.environment),
            Self::IncidentClosed(closed) => Some(&closed.environment),
        }
    }

    /// Returns the name of the deployment that it moves; not that of one that it begins.
    pub fn deployment(&self) -> Option<&str> {
        match self {
            Self::Doing(phasing) | Self::Done(phasing) => Some(&phasing.deployment),
            Self::Looked(looked) => Some(&looked.deployment),
            Self::Turned(turned) | Self::Stuck(turned) => Some(&turned.deployment),
            Self::Ended(ended) => Some(&ended.deployment),
            Self::Held(held) => Some(&held.deployment),
            Self::Unlocked(unlocked) => Some(&unlocked.deployment),
            Self::Released(_)
            | Self::Started(_)
            | Self::Approved(_)
            | Self::Rejected(_)
            | Self::Paused(_)
            | Self::Resumed(_)
            | Self::IncidentOpened(_)
            | Self::IncidentClosed(_) => None,
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Provision => f.write_str("provision"),
            Self::Start => f.write_str("start"),
            Self::Shift(weight) => write!(f, "shift to {weight} %"),
            Self::Analyse(weight) => write!(f, "analysis at {weight} %"),
            Self::Verify => f.write_str("verify"),
            Self::Stop => f.write_str("stop"),
            Self::Tell => f.write_str("on-abort"),
        }
    }
}

/// A release that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The hash of its manifest.
    pub release: String,
    /// What people call it.
    pub name: String,
    /// The pipeline that made it.
    pub pipeline: String,
    /// The commit that it was made from.
    pub commit: String,
    /// Whether there were changes that no commit has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dirty: bool,
    /// Who wrote the commit: the address.
    pub author: String,
    /// When it was written.
    pub committed_at: Timestamp,
    /// The stages that had passed.
    pub stages: Vec<String>,
    /// The hash of what is known of the run in which they did; none in records of versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// How many artifacts it has.
    pub artifacts: usize,
    /// How many bytes they have.
    pub size: u64,
    /// No rollback leads behind it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub irreversible: bool,
}

impl Entry {
    /// Returns the entry of a deed that was done just now.
    pub fn now(actor: Actor, deed: Deed) -> Self {
        // What is shown in milliseconds is written in milliseconds.
        let at = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap_or_default();
        Self { v: VERSION, at, actor, deed }
    }

    /// Returns the entry as the message of its commit.
    ///
    /// # Panics
    /// Never: all that an entry has can be written.
    pub fn message(&self) -> String {
        let json = serde_json::to_string(self).expect("an entry is plain data");
        format!("{}\n\n{json}\n", self.deed)
    }

    /// Returns what an entry is referred to by: the digest of its message, which it keeps where it is written again behind others.
    pub fn digest(message: &str) -> String {
        Hash::of(message.trim_end().as_bytes()).to_string()
    }

    /// Reads the message of a commit; or returns why it is no entry, for people.
    ///
    /// # Errors
    /// Where it is none, or one of a version that this shipway does not know.
    pub fn parse(message: &str) -> Result<Self, String> {
        let json = message.split_once("\n\n").map_or("", |(_, json)| json.trim_end());
        let version = |value: &serde_json::Value| value["v"].as_u64();
        let value: serde_json::Value = serde_json::from_str(json).map_err(|error| format!("it holds no JSON: {error}"))?;
        match version(&value) {
            Some(found) if found == u64::from(VERSION) => serde_json::from_value(value).map_err(|error| error.to_string()),
            Some(found) => Err(format!("it is of version {found}, which this shipway does not know")),
            None => Err("it has no version".to_owned()),
        }
    }
}

impl std::fmt::Display for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Released(released) => write!(f, "release {} ({})", released.name, short(&released.release)),
            Self::Started(started) => {
                let verb = if started.cause == Cause::Rollback { "roll back to" } else { "promote" };
                let slot = started.slot.as_ref().map(|slot| format!(" in `{slot}`")).unwrap_or_default();
                let drift = started.accepted_drift.as_ref().map(|seen| format!(", though {} served there", line(seen))).unwrap_or_default();
                write!(f, "{}: {verb} {}{slot}{drift}", started.environment, short(&started.release))
            }
            Self::Doing(Phasing { environment, phase, .. }) => write!(f, "{environment}: {phase} begins"),
            Self::Done(Phasing { environment, phase, reason: None, .. }) => write!(f, "{environment}: {phase} is done"),
            Self::Done(Phasing { environment, phase, reason: Some(why), .. }) => {
                write!(f, "{environment}: {phase} did not work: {}", line(why))
            }
            Self::Turned(Turned { environment, reason, .. }) => write!(f, "{environment}: goes back: {}", line(reason)),
            Self::Looked(Looked { environment, weight, answer, .. }) => {
                let answer = match answer {
                    Answer::Yes => "yes",
                    Answer::No => "no",
                    Answer::Unsure => "could not tell",
                };
                write!(f, "{environment}: analysis at {weight} %: {answer}")
            }
            Self::Stuck(Turned { environment, reason, .. }) => write!(f, "{environment}: does not come back: {}", line(reason)),
            Self::Ended(Ended { environment, result, .. }) => {
                let result = match result {
                    Ending::Verified => "verified",
                    Ending::Unchanged => "ended, nothing was changed",
                    Ending::RolledBack => "rolled back",
                    Ending::RollbackFailed => "the rollback failed",
                };
                write!(f, "{environment}: {result}")
            }
            Self::Held(Held { environment, .. }) => write!(f, "{environment}: held"),
            Self::Unlocked(Unlocked { environment, reason, .. }) => write!(f, "{environment}: unlocked: {}", line(reason)),
            Self::Approved(signed) => write!(f, "{}: approve {}: {}", signed.environment, short(&signed.release), line(&signed.reason)),
            Self::Rejected(signed) => write!(f, "{}: reject {}: {}", signed.environment, short(&signed.release), line(&signed.reason)),
            Self::Paused(Hold { environment, reason }) => write!(f, "{environment}: paused: {}", line(reason)),
            Self::Resumed(Hold { environment, reason }) => write!(f, "{environment}: resumed: {}", line(reason)),
            Self::IncidentOpened(Opened { environment, deployment, reason }) => {
                write!(f, "{environment}: incident by deployment {}: {}", short(deployment), line(reason))
            }
            Self::IncidentClosed(Closed { environment, incident, reason }) => {
                write!(f, "{environment}: incident {} is closed: {}", short(incident), line(reason))
            }
        }
    }
}

/// Returns as much of an id as people read.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Returns the first line of a text.
fn line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
