//! A ledger that several clones share by a ref of a remote.
//!
//! ```text
//! remote's refs/shipway/ledger --sync--> refs/shipway/shared: what the remote is known to have had
//!                                        refs/shipway/ledger: that, and behind it what is only here
//! ```
//!
//! The remote's is the one that counts. What could not be published is written again behind it, the same entries as other commits. Refs are
//! moved only from what was seen, ours before the remote's: killed at any instant, the next look mends it.

use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use super::error::LedgerError;
use super::history::Recorded;
use crate::base::digest::Hash;
use crate::base::files::write_new;
use crate::base::program::plain;
use crate::git::chain::{Link, Who};
use crate::git::home::Home;
use crate::git::remote::{Pushed, RemoteError};
use crate::git::repo::Repository;

/// The ref that leads to the last entry (contract, section 8).
pub const LEDGER: &str = "refs/shipway/ledger";

/// The ref that leads to the last entry that the remote is known to have had.
const SHARED: &str = "refs/shipway/shared";

/// How often somebody else may be faster before something is wrong.
pub(super) const TRIES: usize = 100;

/// How often in a row a remote may refuse that has not changed, before it is said that it does not want.
const IN_VAIN: u32 = 10;

/// The others, as one process sees them.
#[derive(Debug)]
pub(super) struct Shared {
    remote: String,
    /// What this clone is known by.
    pub(super) clone: String,
    /// Why the others are not asked any more: once is enough for one process, which would wait again and again.
    cut: OnceLock<Cut>,
}

/// Why nothing is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cut {
    /// There is no way to the remote.
    Unreachable(String),
    /// It does not want.
    Declined(String),
}

/// How far an entry must get before what it says is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To all who share the ledger.
    All,
    /// To all who can be reached; where nobody can, only here, and to the others later.
    Most,
    /// The same, also where the remote does not want it: what takes back does not wait for others.
    Here,
}

/// What became of an entry.
#[derive(Debug)]
pub(super) enum Sent {
    /// The others have it.
    Published,
    /// They will have it later.
    Kept,
    /// There may be something new that it does not stand behind, which then is here now; in git's words.
    Overtaken(String),
}

/// Counts the refusals of a remote that has not changed in between: somebody holds a lock there for a moment, or something is amiss for good.
#[derive(Debug, Default)]
pub(super) struct Vain {
    known: Option<String>,
    times: u32,
}

impl Vain {
    /// Counts one more and waits a moment, as long as it may be of use. Tells whether it is not any more.
    pub(super) fn is_over(&mut self, known: Option<String>) -> bool {
        let times = if self.known == known { self.times + 1 } else { 1 };
        *self = Self { known, times };
        std::thread::sleep(Duration::from_millis(20) * times);
        times == IN_VAIN
    }
}

impl Shared {
    /// Returns the others that share the ledger of `repository`.
    pub(super) fn open(repository: &Repository) -> Result<Self, LedgerError> {
        let remote = repository.remote()?.ok_or(LedgerError::NoRemote)?;
        let path = Home::around(repository.root())?.common_dir().join("shipway/clone");
        let nameless = |error: std::io::Error| LedgerError::Nameless { path: path.to_string_lossy().into_owned(), reason: plain(&error) };
        Ok(Self { remote, clone: name_of_clone(&path).map_err(nameless)?, cut: OnceLock::new() })
    }

    /// Returns why nothing is published from here on.
    pub(super) fn cut(&self) -> Option<LedgerError> {
        self.cut.get().cloned().map(LedgerError::from)
    }

    /// Returns the last entry that the remote is known to have had.
    pub(super) fn known(repository: &Repository) -> Result<Option<String>, LedgerError> {
        Ok(repository.leads_to(SHARED)?)
    }

    /// Brings here what the others have written, and publishes what is only here.
    pub(super) fn sync(&self, repository: &Repository) -> Result<(), LedgerError> {
        let mut vain = Vain::default();
        for _ in 0..TRIES {
            if let Some(error) = self.cut() {
                return Err(error);
            }
            match self.try_sync(repository)? {
                None => return Ok(()),
                Some(Hindered::Here) => {}
                Some(Hindered::There { reason, theirs }) => {
                    if vain.is_over(theirs) {
                        return Err(self.cut_off(Cut::Declined(reason)).into());
                    }
                }
            }
        }
        Err(LedgerError::Busy)
    }

    fn try_sync(&self, repository: &Repository) -> Result<Option<Hindered>, LedgerError> {
        // In this order: each is contained in what is read after it, whatever other processes do meanwhile.
        let seen = repository.leads_to(SHARED)?;
        let theirs = self.heard(repository.remote_head(&self.remote, LEDGER))?;
        let ours = repository.leads_to(LEDGER)?;
        self.refuse_replaced(repository, seen.as_deref(), theirs.as_deref(), ours.as_deref())?;
        let Some(head) = united(repository, theirs.as_deref(), ours.as_deref())? else { return Ok(None) };
        if ours.as_ref() != Some(&head) && !repository.move_ref(LEDGER, ours.as_deref(), &head)? {
            return Ok(Some(Hindered::Here));
        }
        note(repository, seen.as_deref(), theirs.as_deref())?;
        if theirs.as_ref() == Some(&head) {
            return Ok(None);
        }
        match self.heard(repository.push(&self.remote, LEDGER, theirs.as_deref(), &head))? {
            Pushed::Done => {
                note(repository, theirs.as_deref().or(seen.as_deref()), Some(&head))?;
                Ok(None)
            }
            Pushed::Moved(reason) => Ok(Some(Hindered::There { reason, theirs })),
            Pushed::Declined(reason) => Err(self.cut_off(Cut::Declined(reason)).into()),
        }
    }

    /// Publishes the commit `name`, which stands behind `known` and all that is here. The ref here is not moved yet.
    pub(super) fn send(&self, repository: &Repository, known: Option<&str>, name: &str, reach: Reach) -> Result<Sent, LedgerError> {
        let cut = match self.cut.get() {
            Some(cut) => cut.clone(),
            None => match repository.push(&self.remote, LEDGER, known, name) {
                Ok(Pushed::Done) => return Ok(Sent::Published),
                Ok(Pushed::Moved(reason)) => {
                    return match self.sync(repository) {
                        // It is asked again, and then knows that nobody is there.
                        Err(LedgerError::Offline(_) | LedgerError::Declined(_)) => Ok(Sent::Overtaken(reason)),
                        synced => synced.map(|()| Sent::Overtaken(reason)),
                    };
                }
                Ok(Pushed::Declined(reason)) => self.cut_off(Cut::Declined(reason)),
                Err(RemoteError::Unreachable(reason)) => self.cut_off(Cut::Unreachable(reason)),
                Err(RemoteError::Git(error)) => return Err(error.into()),
            },
        };
        match (&cut, reach) {
            (_, Reach::Here) | (Cut::Unreachable(_), Reach::Most) => Ok(Sent::Kept),
            (Cut::Unreachable(_), Reach::All) | (Cut::Declined(_), Reach::All | Reach::Most) => Err(cut.into()),
        }
    }

    /// Notes that the remote has the commit `name`, behind `known`.
    pub(super) fn note(repository: &Repository, known: Option<&str>, name: &str) -> Result<(), LedgerError> {
        note(repository, known, Some(name))
    }

    /// Returns what the remote answered; where it did not, it is not asked again.
    fn heard<T>(&self, answer: Result<T, RemoteError>) -> Result<T, LedgerError> {
        answer.map_err(|error| match error {
            RemoteError::Unreachable(reason) => self.cut_off(Cut::Unreachable(reason)).into(),
            RemoteError::Git(error) => error.into(),
        })
    }

    fn cut_off(&self, cut: Cut) -> Cut {
        self.cut.get_or_init(|| cut).clone()
    }

    /// Refuses to go on where one of the two has lost what both had: whoever did that would change what is known to have been.
    fn refuse_replaced(
        &self,
        repository: &Repository,
        seen: Option<&str>,
        theirs: Option<&str>,
        ours: Option<&str>,
    ) -> Result<(), LedgerError> {
        let Some(seen) = seen else { return Ok(()) };
        let has = |head: Option<&str>| head.map_or(Ok(false), |head| repository.is_behind(seen, head));
        if !has(theirs)? {
            let to = theirs.unwrap_or("none").to_owned();
            return Err(LedgerError::Replaced { remote: self.remote.clone(), from: seen.to_owned(), to });
        }
        if has(ours)? { Ok(()) } else { Err(LedgerError::ReplacedHere { from: seen.to_owned() }) }
    }
}

/// What came between.
enum Hindered {
    /// Another process here.
    Here,
    /// Something there; in git's words, and what it had before.
    There { reason: String, theirs: Option<String> },
}

impl From<Cut> for LedgerError {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Unreachable(reason) => Self::Offline(reason),
            Cut::Declined(reason) => Self::Declined(reason),
        }
    }
}

/// Makes the ref of what the remote is known to have lead on. Where another process was faster, that knows as much or more.
fn note(repository: &Repository, known: Option<&str>, head: Option<&str>) -> Result<(), LedgerError> {
    if let Some(head) = head.filter(|head| known != Some(*head)) {
        let _faster = repository.move_ref(SHARED, known, head)?;
    }
    Ok(())
}

/// Returns the last of all entries, ours behind theirs; those that do not stand there are written again.
fn united(repository: &Repository, theirs: Option<&str>, ours: Option<&str>) -> Result<Option<String>, LedgerError> {
    let (Some(theirs), Some(ours)) = (theirs, ours) else {
        // What cannot be read does not come in.
        theirs.map_or(Ok(Vec::new()), |theirs| repository.links(None, theirs))?.iter().try_for_each(readable)?;
        return Ok(theirs.or(ours).map(str::to_owned));
    };
    repository.links(Some(ours), theirs)?.iter().try_for_each(readable)?;
    let unpublished = repository.links(Some(theirs), ours)?;
    if unpublished.first().is_some_and(|first| first.before.as_deref() == Some(theirs)) {
        return Ok(Some(ours.to_owned()));
    }
    let mut head = theirs.to_owned();
    for link in unpublished {
        let entry = Recorded::of(&link)?.entry;
        let who = Who { name: entry.actor.name, email: entry.actor.email };
        let message = format!("{}\n", link.message.trim_end());
        head = repository.write_link(Some(&head), &message, &who, entry.at.as_second())?;
    }
    Ok(Some(head))
}

fn readable(link: &Link) -> Result<(), LedgerError> {
    Recorded::of(link).map(drop)
}

/// Returns what a clone is known by: chance, and the file that holds it. So a copy of the clone is another one.
fn name_of_clone(path: &Path) -> std::io::Result<String> {
    if let Some(folder) = path.parent().filter(|_| !path.exists()) {
        std::fs::create_dir_all(folder)?;
        let chance = [0, 1].map(|_| RandomState::new().hash_one(std::process::id()));
        match write_new(path, format!("{:016x}{:016x}\n", chance[0], chance[1]).as_bytes()) {
            // Another process was faster.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
    }
    let text = format!("{} {}", std::fs::read_to_string(path)?.trim(), path.metadata()?.ino());
    Ok(Hash::of(text.as_bytes()).to_string().chars().take(16).collect())
}
