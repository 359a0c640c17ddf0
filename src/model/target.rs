//! What carries a release to where it serves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::stage::{Command, Step};

/// The place of a target in [`Delivery::targets`](super::delivery::Delivery::targets).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetId(pub u32);

/// A target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: Arc<str>,
    /// How it works.
    pub kind: Kind,
}

/// How a target works.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Kind {
    /// Folders by version, and a link to the current one.
    Directory(Directory),
    /// A process behind a listener that shipway owns.
    Process(Process),
    /// Commands of its own.
    Command(Box<Commands>),
    /// A feature flag.
    Flag(Flag),
}

/// Folders by version, and the link `current`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Where they lie: an absolute path, or one relative to the project.
    pub path: String,
    /// How many versions stay, beside the current one and the one that a rollback leads to.
    pub retain: u32,
}

/// A process behind a listener that shipway owns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Process {
    /// What is started; it listens on the port that `PORT` names.
    pub start: Step,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// How it shows that it can be used.
    pub ready: Readiness,
    /// How long connections of the one before may last.
    pub drain: Duration,
}

/// Commands of its own; only the first is needed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Commands {
    /// Brings a release into a slot.
    pub start: Step,
    /// How it shows that it can be used.
    pub ready: Option<Readiness>,
    /// Gives a slot its share of the traffic.
    pub shift: Option<Step>,
    /// Ends what runs in a slot.
    pub stop: Option<Step>,
    /// Prints the release that serves.
    pub observe: Option<Step>,
    /// What there is of each slot: its port.
    pub slots: BTreeMap<String, Slot>,
}

/// What is known of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The port on which it is reached.
    pub port: Option<u16>,
}

/// How something shows that it can be used; texts may hold placeholders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readiness {
    /// An address that answers with a status from 200 to 399, or a path below the target's own.
    Http(String),
    /// A TCP port on which it listens.
    Port(u16),
    /// A command that exits with 0.
    Command(Command),
}

/// A feature flag in a file of the `OpenFeature` flagd format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// The file, relative to the project.
    pub file: String,
    /// The flag.
    pub flag: String,
    /// The variant that is rolled out.
    pub variant: String,
}

/// The names of the two slots of a target that says nothing of them.
pub const SLOTS: [&str; 2] = ["blue", "green"];
