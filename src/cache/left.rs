//! What the last run of each stage left in its outputs, by their stamps and contents.
//!
//! Knows where that is kept in a checkout's `.shipway/`; whose it makes what lies there now is `custody`'s to say.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::table::{Table, packed, unpacked};
use crate::base::digest::Hash;
use crate::base::journal::Journal;

/// What was left, of all stages of a checkout.
#[derive(Debug)]
pub struct Left {
    journal: Journal,
}

impl Left {
    /// Returns what is known in the `.shipway/` folder `state`.
    pub fn of(state: &Path) -> Self {
        Self { journal: Journal::new(state.join("left.journal"), "shipway left 1", 1, true) }
    }

    /// Returns what the stage left last; nothing where that is not known.
    pub(super) fn get(&self, stage: &str) -> Table {
        let bodies = self.journal.read(&name(stage)).unwrap_or_default();
        bodies.into_iter().next().and_then(unpacked).unwrap_or_default()
    }

    /// Remembers what the stage left. Where that cannot be done, nothing is known of it.
    pub(super) fn set(&self, stage: &str, table: &Table) {
        let _forgotten = self.journal.append(&name(stage), &packed(table));
    }

    /// Forgets what is not there any more in the project at `root`, when it is time to.
    pub fn tidy(&self, root: &Path) {
        let is_there = |name: &[u8]| root.join(OsStr::from_bytes(name)).symlink_metadata().is_ok();
        let is_of_use = |body: &[u8]| unpacked(body.to_vec()).is_some_and(|table| table.names().any(is_there));
        let _another_time = self.journal.compact(&is_of_use);
    }
}

fn name(stage: &str) -> Hash {
    Hash::of(stage.as_bytes())
}
