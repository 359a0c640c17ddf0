//! What commands about deliveries work with: the repository's ledger, and where the bytes of releases are.

use std::cell::{Cell, OnceCell};
use std::fs::{File, TryLockError};
use std::path::PathBuf;

use anyhow::Context;

use super::failing::Failing;
use super::project::Project;
use super::screen::Screen;
use super::session::user_data;
use crate::base::digest::Hash;
use crate::base::text::visible;
use crate::delivery::evidence::Evidence;
use crate::delivery::manifest::Manifest;
use crate::delivery::signature::SignError;
use crate::delivery::vault::{Vault, VaultError};
use crate::git::home::Home;
use crate::git::repo::Repository;
use crate::ledger::entry::{Entry, Released};
use crate::ledger::error::LedgerError;
use crate::ledger::history::{History, NoRelease};
use crate::ledger::journal::Journal;

/// The ledger and the vault of a project.
#[derive(Debug)]
pub(super) struct Depot {
    pub(super) journal: Journal,
    pub(super) vault: Vault,
    /// Whether it was said that others do not know what is done here.
    is_told: Cell<bool>,
    /// Our folder, once git was asked for it.
    own: OnceCell<PathBuf>,
}

impl Depot {
    /// Opens those of `project`, with what others have written into the ledger by now.
    pub(super) fn open(project: &Project, screen: &mut Screen) -> Result<Self, Failing> {
        let repository = repository_of(project)?;
        let journal = Journal::open(repository, project.pipeline.delivery.share)?;
        let depot = Self { vault: Vault::new(folder(project)?), journal, is_told: Cell::new(false), own: OnceCell::new() };
        match depot.journal.sync() {
            // What can be done without others is.
            Ok(()) | Err(LedgerError::Offline(_) | LedgerError::Declined(_)) => depot.tell(screen),
            Err(error) => return Err(error.into()),
        }
        Ok(depot)
    }

    /// Says once that others do not know what is done here, where they do not, and why.
    pub(super) fn tell(&self, screen: &mut Screen) {
        if let Some(error) = self.journal.cut().filter(|_| !self.is_told.replace(true)) {
            screen.warn(&format!("{error}; this goes by what is known here, and what it adds is published later"));
        }
    }

    /// Returns the repository.
    pub(super) fn repository(&self) -> &Repository {
        self.journal.repository()
    }

    /// Returns a folder of ours in the repository's own, which all its checkouts share.
    pub(super) fn folder(&self) -> Result<PathBuf, Failing> {
        let folder = self.own.get().cloned().map_or_else(|| own_folder(self.repository()), Ok)?;
        Ok(self.own.get_or_init(|| folder).clone())
    }

    /// Opens the file in our folder by whose lock one process keeps out the others of this repository, and makes it where it is not there.
    pub(super) fn lock_file(&self, name: &str) -> Result<File, Failing> {
        let path = self.folder()?.join(format!("{name}.lock"));
        let open = || File::options().create(true).truncate(false).write(true).open(&path);
        let file = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| open());
        Ok(file.with_context(|| format!("`{}` cannot be opened", path.display()))?)
    }

    /// Takes that lock; `None` where another process has it.
    pub(super) fn lock(&self, name: &str) -> Result<Option<File>, Failing> {
        let file = self.lock_file(name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(anyhow::Error::new(error).context(format!("the lock `{name}` cannot be had")).into()),
        }
    }

    /// Returns the release that `text` means, what is recorded of it, and what it consists of.
    pub(super) fn release<'h>(&self, history: &'h History, text: &str) -> Result<(&'h Released, Manifest), Failing> {
        let (entry, released) = history.release(text)?;
        let id = Hash::parse(&released.release).ok_or_else(|| anyhow::anyhow!("the ledger is damaged: `{}` is no id", released.release))?;
        let manifest = self.vault.manifest(&id).map_err(|error| elsewhere(error, entry))?;
        Ok((released, manifest))
    }

    /// Returns what is known of the run that made a release.
    pub(super) fn evidence(&self, released: &Released) -> Result<Evidence, VaultError> {
        let hash = released.evidence.as_deref().and_then(Hash::parse);
        let missing = || VaultError::Missing {
            what: format!("the evidence of the release {}", released.release),
            folder: self.vault.folder().to_owned(),
        };
        self.vault.evidence(&hash.ok_or_else(missing)?, &released.release)
    }
}

/// Returns a folder of ours in the repository's own, which all its checkouts share.
pub(super) fn own_folder(repository: &Repository) -> Result<PathBuf, Failing> {
    let folder = Home::around(repository.root())?.common_dir().join("shipway");
    std::fs::create_dir_all(&folder).with_context(|| format!("`{}` cannot be made", folder.display()))?;
    Ok(folder)
}

/// Returns the repository that a project lies in.
pub(super) fn repository_of(project: &Project) -> Result<Repository, Failing> {
    Repository::find(&project.root).ok_or_else(|| {
        let root = project.root.to_string_lossy();
        anyhow::anyhow!("delivery needs a git repository, and `{}` lies in none", visible(&root)).into()
    })
}

/// Says who has what is not here.
pub(super) fn elsewhere(error: VaultError, entry: &Entry) -> Failing {
    let actor = &entry.actor;
    let (name, email, host) = (visible(&actor.name), visible(&actor.email), visible(&actor.host));
    match error {
        VaultError::Missing { .. } => {
            anyhow::anyhow!("{error}\n  help: {name} <{email}> made it on `{host}`: share the folder with [delivery] store").into()
        }
        error @ (VaultError::Store(_) | VaultError::Tampered { .. } | VaultError::Io { .. }) => anyhow::Error::new(error).into(),
    }
}

/// Returns where releases are kept: what the file says, else the user's data directory.
fn folder(project: &Project) -> Result<PathBuf, Failing> {
    let said = project.pipeline.delivery.store.as_deref();
    if let Some(endpoint) = said.filter(|store| store.contains("://")) {
        let message = format!("[delivery] store = \"{}\": releases can only be kept in a folder yet", endpoint.escape_debug());
        return Err(Failing::usage_with_help(message, "name a folder, which may be one that several machines share"));
    }
    let own = said.map(|store| project.kept.join(store));
    own.or_else(|| user_data().map(|folder| folder.join("releases"))).ok_or_else(|| {
        anyhow::anyhow!("it is not known where releases are kept: neither XDG_DATA_HOME nor HOME is set, and there is no [delivery] store")
            .into()
    })
}

impl From<NoRelease> for Failing {
    fn from(error: NoRelease) -> Self {
        let help = match error {
            NoRelease::None => "`shipway release` makes one",
            NoRelease::Unknown(_) | NoRelease::Ambiguous(..) => "`shipway release list` lists them",
        };
        Self::usage_with_help(error.to_string(), help)
    }
}

impl From<SignError> for Failing {
    fn from(error: SignError) -> Self {
        match error {
            SignError::NoKey => anyhow::anyhow!("{error}\n  help: git config user.signingkey ~/.ssh/id_ed25519.pub").into(),
            SignError::Failed(_) | SignError::Io(_) => anyhow::Error::new(error).into(),
        }
    }
}

impl From<LedgerError> for Failing {
    fn from(error: LedgerError) -> Self {
        if matches!(error, LedgerError::Offline(_)) {
            return Self::Waiting(format!("waits: {error}: nothing is done that others must know of first"));
        }
        anyhow::Error::new(error).into()
    }
}
