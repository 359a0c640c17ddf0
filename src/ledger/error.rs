//! Why the ledger cannot be used.

use crate::git::repo::GitError;

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
    /// It is to be shared, and it is not known with whom.
    #[error(
        "`[delivery] share` publishes the ledger to a remote, and it is not known to which\n  \
         help: `git remote add origin URL` names one; of several, that of the branch which is checked out is meant, else `origin`"
    )]
    NoRemote,
    /// This clone has no name that others could know it by.
    #[error("this clone cannot be told from others: `{path}`: {reason}")]
    Nameless {
        /// The file that has it.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What must be shared cannot be, for want of the remote.
    #[error("the shared ledger cannot be reached: {0}")]
    Offline(String),
    /// The remote does not want what is written.
    #[error("the remote declines what is to be written to the shared ledger: {0}")]
    Declined(String),
    /// The remote's ledger is not the one that it was.
    #[error(
        "the shared ledger was replaced: `{remote}` had {from}, and now has {to}\n  \
         help: find out by whom; `git push --force {remote} {from}:refs/shipway/ledger` puts it back; \
         after `git update-ref -d refs/shipway/shared` what is here is written again behind what is there"
    )]
    Replaced {
        /// The remote.
        remote: String,
        /// The last commit that it is known to have had.
        from: String,
        /// What it has.
        to: String,
    },
    /// The ledger here has lost what the remote has.
    #[error(
        "the ledger here was replaced: it has lost {from}, which the remote has\n  \
         help: `git update-ref refs/shipway/ledger {from}` puts it back"
    )]
    ReplacedHere {
        /// The last commit that the remote is known to have had.
        from: String,
    },
}
