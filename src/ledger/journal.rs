//! The ledger of a repository: read as a whole, and added to.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::entry::{Actor, Deed, Entry};
use super::error::LedgerError;
use super::history::{History, Recorded};
use super::shared::{LEDGER, Reach, Sent, Shared, TRIES, Vain};
use super::standing::{Lease, Ongoing};
use crate::git::chain::Who;
use crate::git::repo::Repository;

/// The ledger of a repository.
#[derive(Debug)]
pub struct Journal {
    repository: Repository,
    who: Who,
    host: String,
    /// The other clones, where there are any.
    shared: Option<Shared>,
    /// What was read last: the name of an entry says all that is behind it, so it holds as long as that entry is the last.
    last: Mutex<History>,
}

impl Journal {
    /// Returns the ledger of `repository`, which other clones share or not.
    ///
    /// # Errors
    /// Where git does not say who we are, or by which remote it is shared.
    pub fn open(repository: Repository, is_shared: bool) -> Result<Self, LedgerError> {
        let who = repository.who()?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let shared = is_shared.then(|| Shared::open(&repository)).transpose()?;
        Ok(Self { repository, who, host, shared, last: Mutex::default() })
    }

    /// Returns the repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Tells whether other clones share it.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Brings here what others have written, and publishes what is only here.
    ///
    /// # Errors
    /// Where the remote cannot be reached or does not want, and where the ledger was replaced, here or there.
    pub fn sync(&self) -> Result<(), LedgerError> {
        self.shared.as_ref().map_or(Ok(()), |shared| shared.sync(&self.repository))
    }

    /// Returns why what is added by this process is not published; `None` where it is, as far as is known.
    pub fn cut(&self) -> Option<LedgerError> {
        self.shared.as_ref().and_then(Shared::cut)
    }

    /// Reads all of it that is here.
    ///
    /// # Errors
    /// Where it cannot be read, or where something in it is no entry: what comes of it could be wrong.
    pub fn read(&self) -> Result<History, LedgerError> {
        let Some(head) = self.head()? else { return Ok(History::default()) };
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if last.entries.last().is_some_and(|recorded| recorded.name == head) {
            return Ok(last);
        }
        let links = self.repository.links(None, &head)?;
        let history = History { entries: links.iter().map(Recorded::of).collect::<Result<_, _>>()? };
        self.note(&history);
        Ok(history)
    }

    fn note(&self, history: &History) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(history);
    }

    /// Returns the name of its last entry: as long as it is the same, nothing was added.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn head(&self) -> Result<Option<String>, LedgerError> {
        Ok(self.repository.leads_to(LEDGER)?)
    }

    /// Adds what `deed` says is to be done, given all that was done before; it is asked again where somebody else was faster. Returns the
    /// history with it; where `deed` says that nothing is to be done, without. `reach` says who must have it.
    ///
    /// # Errors
    /// Where it cannot be read or written, or where not all have it who must.
    pub fn add(&self, reach: Reach, deed: &mut dyn FnMut(&History) -> Option<Deed>) -> Result<History, LedgerError> {
        let mut vain = Vain::default();
        for _ in 0..TRIES {
            // Before the entries are read: they contain it then, whatever other processes do meanwhile.
            let known = self.shared.as_ref().map_or(Ok(None), |_| Shared::known(&self.repository))?;
            let mut history = self.read()?;
            let Some(deed) = deed(&history) else { return Ok(history) };
            if known.as_ref().is_some_and(|known| !history.entries.iter().any(|recorded| recorded.name == *known)) {
                // What is pushed must lead there. Somebody has taken it out of the ledger here.
                self.sync()?;
                continue;
            }
            let entry = Entry::now(self.actor(), deed);
            let before = history.entries.last().map(|recorded| recorded.name.as_str());
            let (message, at) = (entry.message(), entry.at.as_second());
            let name = self.repository.write_link(before, &message, &self.who, at)?;
            let sent =
                self.shared.as_ref().map_or(Ok(Sent::Kept), |shared| shared.send(&self.repository, known.as_deref(), &name, reach))?;
            if let Sent::Overtaken(reason) = sent {
                if vain.is_over(Shared::known(&self.repository)?) {
                    return Err(LedgerError::Declined(reason));
                }
                continue;
            }
            let is_ours = self.repository.move_ref(LEDGER, before, &name)?;
            match sent {
                Sent::Published if is_ours => Shared::note(&self.repository, known.as_deref(), &name)?,
                // It counts already; what another process has added here meanwhile is written again behind it.
                Sent::Published => {
                    self.sync()?;
                    return self.read();
                }
                Sent::Kept if is_ours => {}
                Sent::Kept | Sent::Overtaken(_) => continue,
            }
            history.entries.push(Recorded { name, digest: Entry::digest(&message), entry });
            self.note(&history);
            return Ok(history);
        }
        Err(LedgerError::Busy)
    }

    /// Returns who writes entries here.
    pub fn actor(&self) -> Actor {
        let clone = self.shared.as_ref().map(|shared| shared.clone.clone());
        Actor { name: self.who.name.clone(), email: self.who.email.clone(), host: self.host.clone(), clone }
    }

    /// Tells whether it is on us to move the deployment. Where the ledger is not shared, a lock of this repository says so.
    pub fn holds(&self, ongoing: &Ongoing) -> bool {
        let Some(shared) = &self.shared else { return true };
        ongoing.lease.as_ref().is_some_and(|lease| lease.actor.clone.as_deref() == Some(&*shared.clone))
    }

    /// Returns the lease by which another clone moves the deployment now.
    ///
    /// When it ends is judged by the clock of whoever wrote the entry and by ours, which may differ by minutes. That may make one wait longer, or
    /// take over sooner, but never lets two hold it: to take over is an entry, of two that take over one is refused by the push, and whoever
    /// held it before is refused with its next entry, behind which it stands.
    pub fn held_elsewhere<'o>(&self, ongoing: &'o Ongoing) -> Option<&'o Lease> {
        let is_elsewhere = self.is_shared() && !self.holds(ongoing);
        ongoing.lease.as_ref().filter(|lease| is_elsewhere && lease.until > Timestamp::now())
    }
}
