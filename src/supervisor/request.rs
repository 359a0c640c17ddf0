//! What a supervisor is asked, and what it answers: one line of JSON each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The version of what is said. A supervisor lives longer than the program it was started by.
pub(super) const VERSION: u32 = 1;

/// Stands in words and variables for the port, which is known only when the process is started: no argument and no variable can hold it.
pub const PORT: &str = "\0";

/// What is asked, and in which version.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) v: u32,
    pub(super) request: Request,
}

/// What is asked. All of it can be asked again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Nothing but an answer.
    Observe,
    /// That a release runs in a slot, beside what serves. What else ran there, and does not serve, is ended.
    Start {
        /// Where.
        slot: String,
        /// Its id.
        release: String,
        /// How.
        launch: Launch,
    },
    /// That the release in a slot has this share of new connections, in percent; the other one has what is left.
    Shift {
        /// Where.
        slot: String,
        /// Its id.
        release: String,
        /// Its share.
        weight: u8,
    },
    /// That the release in a slot ends, with the connections that it has.
    Stop {
        /// Where.
        slot: String,
        /// Its id.
        release: String,
    },
    /// That all ends, the supervisor too; what it served it serves again when it is started again.
    End,
}

/// How a release is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// The working directory.
    pub dir: PathBuf,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// What is masked in whatever it prints, and never written to a file: variables by name. Without a value, as in a file, it is that of
    /// the supervisor's own environment.
    pub secrets: BTreeMap<String, Option<String>>,
    /// How long connections may last once it is to end, and it itself.
    pub drain: Duration,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// It is done, or on its way; this is how it looks now.
    Done(Sight),
    /// It is not done, for this reason.
    Refused(String),
}

/// How a supervisor looks at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// Its process.
    pub pid: u32,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The file of what it and what it has started print.
    pub log: PathBuf,
    /// Whether it is about to end.
    pub ending: bool,
    /// The releases in their slots.
    pub slots: Vec<Look>,
    /// The releases that are about to end.
    pub leaving: Vec<Look>,
}

/// How a release looks at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Where it is.
    pub slot: String,
    /// Its id.
    pub release: String,
    /// Its share of new connections, in percent.
    pub weight: u8,
    /// The port of this machine on which it listens.
    pub port: u16,
    /// How many connections it has.
    pub connections: usize,
    /// How often it was started again after it had ended by itself.
    pub restarts: u32,
    /// Why it does not run, where it does not.
    pub down: Option<String>,
}

impl Sight {
    /// Returns the release in a slot.
    pub fn in_slot(&self, slot: &str) -> Option<&Look> {
        self.slots.iter().find(|look| look.slot == slot)
    }

    /// Returns the release that has the most of new connections, if any has some.
    pub fn heaviest(&self) -> Option<&Look> {
        self.slots.iter().filter(|look| look.weight > 0).max_by_key(|look| look.weight)
    }
}

impl Launch {
    /// Returns the same without what must not be written to a file.
    pub(super) fn without_secrets(&self) -> Self {
        Self { secrets: self.secrets.keys().map(|name| (name.clone(), None)).collect(), ..self.clone() }
    }

    /// Returns the same with the values of all secrets; those that it does not have are what `value` says.
    pub(super) fn with_secrets(&self, value: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let known = |(name, own): (&String, &Option<String>)| {
            let found = own.clone().or_else(|| value(name));
            found
                .map(|found| (name.clone(), Some(found)))
                .ok_or_else(|| format!("the secret `{name}` is not set where the supervisor was started"))
        };
        Ok(Self { secrets: self.secrets.iter().map(known).collect::<Result<_, _>>()?, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_saved_and_come_from_the_environment() {
        let secrets = BTreeMap::from([("KEY".to_owned(), Some("hidden".to_owned()))]);
        let launch = Launch { words: vec!["a".to_owned()], dir: PathBuf::from("/"), env: BTreeMap::new(), secrets, drain: Duration::ZERO };
        let saved = serde_json::to_string(&launch.without_secrets()).unwrap();
        assert!(saved.contains("KEY") && !saved.contains("hidden"), "{saved}");
        let read: Launch = serde_json::from_str(&saved).unwrap();
        assert_eq!(read.with_secrets(|_| Some("hidden".to_owned())), Ok(launch));
        assert!(read.with_secrets(|_| None).unwrap_err().contains("the secret `KEY` is not set"));
    }

    #[test]
    fn what_another_version_asks_is_told_apart() {
        let known = r#"{"v":1,"request":{"do":"shift","slot":"blue","release":"a","weight":5}}"#;
        let question: Question = serde_json::from_str(known).unwrap();
        assert!(question.v == VERSION && matches!(question.request, Request::Shift { weight: 5, .. }));
        assert!(serde_json::from_str::<Question>(r#"{"v":1,"request":{"do":"fly"}}"#).is_err());
    }
}
