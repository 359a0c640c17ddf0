//! Files for marks that no stage has now: each was that of a stage that is whole, and becomes that of another.
//!
//! Knows names and locks; what is written in them, and when a stage has one, is `hold`'s to say.
//!
//! Each is locked as long as its run lives, so that one that was left by a run that was killed is known, and removed by the next.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tempfile::{NamedTempFile, TempPath};

/// What their names begin with.
pub(super) const SPARE: &str = ".spare-";

/// The spare files of one run.
#[derive(Debug)]
pub(super) struct Spares {
    folder: PathBuf,
    /// What their names begin with here: no other run's do.
    prefix: String,
    given: AtomicU64,
    free: Mutex<Vec<NamedTempFile>>,
}

impl Spares {
    /// Returns those of the run whose own file in `folder` has this name; none yet.
    pub(super) fn new(folder: &Path, run: &str) -> Self {
        Self { folder: folder.to_owned(), prefix: format!("{SPARE}{run}-"), given: AtomicU64::default(), free: Mutex::default() }
    }

    /// Returns a locked file; a new one where all have become marks.
    pub(super) fn take(&self) -> io::Result<NamedTempFile> {
        if let Some(file) = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(file);
        }
        loop {
            // Runs of other users have to read marks.
            let mut builder = tempfile::Builder::new();
            let file = builder.prefix(&self.prefix).permissions(Permissions::from_mode(0o666)).tempfile_in(&self.folder)?;
            file.as_file().lock()?;
            // Another run may have taken it for that of one that has ended, before it was locked.
            if file.as_file().metadata()?.nlink() > 0 {
                return Ok(file);
            }
        }
    }

    /// Takes the name from a mark, so that it is none any more. Returns its new name.
    pub(super) fn put_aside(&self, mark: &Path) -> io::Result<TempPath> {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{}{number}", self.prefix));
        fs::rename(mark, &path)?;
        TempPath::try_from_path(path)
    }

    /// Keeps a locked file for the next stage.
    pub(super) fn give(&self, file: File, path: TempPath) {
        let file = NamedTempFile::from_parts(file, path);
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    }
}
