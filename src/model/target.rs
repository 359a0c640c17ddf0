//! What carries a release to where it serves.

use std::collections::{BTreeMap, BTreeSet};
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
    /// How long connections of one that ends may last, and it itself.
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
    /// Its two slots; none where what is started replaces what serves.
    pub slots: Slots,
}

/// The places of the two releases of a process.
const PLACES: [&str; 2] = ["blue", "green"];

/// What commands are told of each slot, by the name of a placeholder: its port, and what else the file says.
pub type Slots = BTreeMap<String, BTreeMap<String, String>>;

/// Returns the placeholders that commands have by these slots.
pub fn told_of(slots: &Slots) -> BTreeSet<&str> {
    let keys = slots.values().flat_map(BTreeMap::keys).map(String::as_str);
    keys.chain((!slots.is_empty()).then_some("slot")).collect()
}

impl Kind {
    /// Returns what it is called in the file.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Directory(_) => "directory",
            Self::Process(_) => "process",
            Self::Command(_) => "command",
            Self::Flag(_) => "flag",
        }
    }

    /// Returns the slot beside the one in which `serving` is, or the first; `None` where there are none.
    pub fn slot_beside(&self, serving: Option<&str>) -> Option<&str> {
        match self {
            Self::Command(commands) => commands.slots.keys().map(String::as_str).find(|slot| Some(*slot) != serving),
            Self::Process(_) => PLACES.into_iter().find(|slot| Some(*slot) != serving),
            Self::Directory(_) | Self::Flag(_) => None,
        }
    }

    /// Returns the placeholders that are known of it beside those that all targets have.
    pub fn placeholders(&self) -> BTreeSet<&str> {
        match self {
            Self::Directory(_) => BTreeSet::new(),
            // A release is known by its variant as by a place.
            Self::Flag(_) => BTreeSet::from(["slot"]),
            Self::Process(_) => BTreeSet::from(["slot", "port"]),
            Self::Command(commands) => told_of(&commands.slots),
        }
    }
}

/// How something shows that it can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// What shows it.
    pub sign: Sign,
    /// How long it may take.
    pub within: Duration,
}

/// What shows that something can be used; texts may hold placeholders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sign {
    /// An address that answers with a status from 200 to 399.
    Http(String),
    /// A TCP port on which it listens.
    Port(String),
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
