//! The ledger of a repository: read as a whole, and added to.

use super::entry::{Actor, Deed, Entry};
use super::history::{History, Recorded};
use crate::git::chain::Who;
use crate::git::repo::{GitError, Repository};

/// The ref that leads to the last entry (contract, section 8).
pub const LEDGER: &str = "refs/shipway/ledger";

/// How often somebody else may be faster before something is wrong.
const TRIES: usize = 100;

/// The ledger of a repository.
#[derive(Debug)]
pub struct Journal {
    repository: Repository,
    who: Who,
    host: String,
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Git does not do what it should.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A commit in it is no entry.
    #[error("the ledger is damaged: {name} is no entry: {reason}")]
    Damaged {
        /// The commit.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Others add to it all the time.
    #[error("the ledger cannot be added to: others were always faster")]
    Busy,
}

impl Journal {
    /// Returns the ledger of `repository`.
    ///
    /// # Errors
    /// Where git does not say who we are.
    pub fn open(repository: Repository) -> Result<Self, LedgerError> {
        let who = repository.who()?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Self { repository, who, host })
    }

    /// Returns the repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// Where it cannot be read, or where something in it is no entry: what comes of it could be wrong.
    pub fn read(&self) -> Result<History, LedgerError> {
        let links = self.repository.chain(LEDGER)?;
        let entries = links.into_iter().map(|link| match Entry::parse(&link.message) {
            Ok(entry) => Ok(Recorded { name: link.name, entry }),
            Err(reason) => Err(LedgerError::Damaged { name: link.name, reason }),
        });
        Ok(History { entries: entries.collect::<Result<_, _>>()? })
    }

    /// Adds what `deed` says is to be done, given all that was done before; it is asked again where somebody else was faster. Returns the
    /// history with it; where `deed` says that nothing is to be done, without.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn add(&self, deed: &mut dyn FnMut(&History) -> Option<Deed>) -> Result<History, LedgerError> {
        for _ in 0..TRIES {
            let mut history = self.read()?;
            let Some(deed) = deed(&history) else { return Ok(history) };
            let actor = Actor { name: self.who.name.clone(), email: self.who.email.clone(), host: self.host.clone() };
            let entry = Entry::now(actor, deed);
            let before = history.entries.last().map(|recorded| recorded.name.as_str());
            if let Some(name) = self.repository.add_link(LEDGER, before, &entry.message(), &self.who, entry.at.as_second())? {
                history.entries.push(Recorded { name, entry });
                return Ok(history);
            }
        }
        Err(LedgerError::Busy)
    }
}
