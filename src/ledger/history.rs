//! What the entries of a ledger come to.

use super::entry::{Cause, Deed, Ending, Entry, Released};
use super::error::LedgerError;
use crate::git::chain::Link;

/// An entry, and the names that it has.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The name of the commit that holds it, which it has as long as it stands behind the same ones.
    pub name: String,
    /// What others refer to it by, which stays.
    pub digest: String,
    /// The entry.
    pub entry: Entry,
}

impl Recorded {
    /// Reads what a commit holds.
    ///
    /// # Errors
    /// Where that is no entry: what comes of it could be wrong.
    pub fn of(link: &Link) -> Result<Self, LedgerError> {
        match Entry::parse(&link.message) {
            Ok(entry) => Ok(Self { name: link.name.clone(), digest: Entry::digest(&link.message), entry }),
            Err(reason) => Err(LedgerError::Damaged { name: link.name.clone(), reason }),
        }
    }
}

/// All entries, in their order, and what they come to.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The entries, the first first.
    pub entries: Vec<Recorded>,
}

/// Why no release is meant, or which ones may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRelease {
    /// There is none of that name.
    #[error("there is no release `{0}`")]
    Unknown(String),
    /// There are several whose ids begin so.
    #[error("`{0}` may mean any of {1}")]
    Ambiguous(String, String),
    /// None was made.
    #[error("no release was made yet")]
    None,
}

/// So many digits of an id are enough to name it.
pub(super) const LEAST: usize = 4;

impl History {
    /// Returns the releases, the newest first. One that was made again stands where it was made last.
    pub fn releases(&self) -> Vec<(&Entry, &Released)> {
        let mut found: Vec<(&Entry, &Released)> = Vec::new();
        for Recorded { entry, .. } in self.entries.iter().rev() {
            let Deed::Released(released) = &entry.deed else { continue };
            if !found.iter().any(|(_, other)| other.release == released.release) {
                found.push((entry, released));
            }
        }
        found
    }

    /// Returns the slot in which a release came into an environment last, of a target that has some.
    pub fn slot_of(&self, environment: &str, release: &str) -> Option<String> {
        let came = self.entries.iter().rev().find_map(|recorded| {
            let Deed::Started(started) = &recorded.entry.deed else { return None };
            (started.environment == environment && started.release == release).then_some(started)
        });
        came?.slot.clone()
    }

    /// Returns the commit by whose steps a release was shown to work in an environment when it was brought there last; `None` where it never was.
    pub fn proof(&self, environment: &str, release: &str) -> Option<&str> {
        let is_verified = |deployment: &str| matches!(self.ended(deployment), Some((Ending::Verified, _)));
        self.entries.iter().rev().find_map(|recorded| {
            let Deed::Started(started) = &recorded.entry.deed else { return None };
            let is_it = started.environment == environment && started.release == release && started.cause == Cause::Promote;
            (is_it && is_verified(&recorded.digest)).then_some(started.commit.as_str())
        })
    }

    /// Returns how the deployment of this name ended, and why; `None` where it has not.
    pub fn ended(&self, deployment: &str) -> Option<(Ending, Option<String>)> {
        self.entries.iter().rev().find_map(|recorded| {
            let Deed::Ended(ended) = &recorded.entry.deed else { return None };
            (ended.deployment == deployment).then(|| (ended.result, ended.reason.clone()))
        })
    }

    /// Returns the release that `text` means: its id, the beginning of that, or its name.
    ///
    /// # Errors
    /// Where it means none, or several.
    pub fn release(&self, text: &str) -> Result<(&Entry, &Released), NoRelease> {
        let releases = self.releases();
        if releases.is_empty() {
            return Err(NoRelease::None);
        }
        let is_short = |released: &Released| text.len() >= LEAST && released.release.starts_with(text);
        let meant: Vec<_> = releases.into_iter().filter(|(_, released)| released.name == text || is_short(released)).collect();
        match meant.as_slice() {
            [] => Err(NoRelease::Unknown(text.to_owned())),
            [one] => Ok(*one),
            several => {
                let names: Vec<String> = several.iter().map(|(_, released)| format!("`{}`", released.name)).collect();
                Err(NoRelease::Ambiguous(text.to_owned(), names.join(", ")))
            }
        }
    }
}
