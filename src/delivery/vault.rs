//! Where the bytes of releases are kept: never swept, and verified before every use.
//!
//! A content-addressed store, as results are kept in; a release's manifest is one of the contents, under the release's id, and so is what is
//! known of the run that made it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::evidence::Evidence;
use super::manifest::Manifest;
use crate::base::digest::{Digest, Hash};
use crate::store::blobs::BlobError;
use crate::store::local::{Store, StoreError};

/// The store of releases.
#[derive(Debug)]
pub struct Vault {
    folder: PathBuf,
}

/// Why a release's bytes cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The folder is no store.
    #[error("the store of releases {0}")]
    Store(#[from] StoreError),
    /// They are not here.
    #[error("the bytes of {what} are not in `{folder}`")]
    Missing {
        /// Of what.
        what: String,
        /// Where they were looked for.
        folder: PathBuf,
    },
    /// They were changed after the release was made.
    #[error("the bytes of {what} in `{folder}` were tampered with: they are not those that were released")]
    Tampered {
        /// Of what.
        what: String,
        /// Where they lie.
        folder: PathBuf,
    },
    /// The file system refuses.
    #[error("{what}: {error}")]
    Io {
        /// What was to be read or written.
        what: String,
        /// What the file system says.
        error: io::Error,
    },
}

impl Vault {
    /// Returns the store in `folder`, which need not be there.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens it to add to it.
    ///
    /// # Errors
    /// Where it cannot be made or written to, or holds something else.
    pub fn writable(&self) -> Result<Store, VaultError> {
        Ok(Store::open(&self.folder)?)
    }

    /// Returns the manifest of a release.
    ///
    /// # Errors
    /// Where it is not here, or not what it was.
    pub fn manifest(&self, id: &Hash) -> Result<Manifest, VaultError> {
        let what = || format!("the release {id}");
        Manifest::parse(&self.text(id, &what)?).ok_or_else(|| self.explain(BlobError::Damaged, &what))
    }

    /// Returns what is known of the run that made the release `id`.
    ///
    /// # Errors
    /// Where it is not here, or not what it was.
    pub fn evidence(&self, digest: &Hash, id: &str) -> Result<Evidence, VaultError> {
        let what = || format!("the evidence of the release {id}");
        Evidence::parse(&self.text(digest, &what)?).ok_or_else(|| self.explain(BlobError::Damaged, &what))
    }

    /// Returns the content of this hash, verified.
    fn text(&self, hash: &Hash, what: &dyn Fn() -> String) -> Result<Vec<u8>, VaultError> {
        let store = self.readable(what)?;
        let read = store.named(hash).map_err(BlobError::Io).and_then(|digest| store.read(&digest));
        read.map_err(|error| self.explain(error, what))
    }

    /// Returns a content, verified as a whole.
    ///
    /// # Errors
    /// Where it is not here, or not what it was.
    pub fn open_verified(&self, name: &str, digest: &Digest) -> Result<File, VaultError> {
        let what = || format!("`{name}`");
        self.readable(&what)?.open_verified(digest).map_err(|error| self.explain(error, &what))
    }

    /// Opens it only to read: what is wrong there is evidence, and stays.
    fn readable(&self, what: &dyn Fn() -> String) -> Result<Store, VaultError> {
        match Store::open_read_only(&self.folder) {
            Err(StoreError::Missing(_)) => Err(VaultError::Missing { what: what(), folder: self.folder.clone() }),
            opened => Ok(opened?),
        }
    }

    fn explain(&self, error: BlobError, what: &dyn Fn() -> String) -> VaultError {
        let (what, folder) = (what(), self.folder.clone());
        match error {
            BlobError::Missing => VaultError::Missing { what, folder },
            BlobError::Damaged => VaultError::Tampered { what, folder },
            BlobError::Io(error) if error.kind() == io::ErrorKind::NotFound => VaultError::Missing { what, folder },
            BlobError::Io(error) => VaultError::Io { what, error },
        }
    }
}
