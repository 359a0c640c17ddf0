//! Which runs use the store at this moment.
//!
//! Knows one locked file for each of them; a lock ends with its process, so a run that was killed is soon forgotten.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use tempfile::NamedTempFile;

use super::local::{Store, TOUCH_EVERY};

/// The folder of the files of live runs.
const FOLDER: &str = "live";

/// A run that uses the store, from when this is made until it is dropped: what it has used since then is not swept away.
#[derive(Debug)]
pub struct Live {
    /// Removed when dropped, and unlocked with that.
    _file: NamedTempFile,
}

impl Store {
    /// Registers a run.
    ///
    /// # Errors
    /// The store is read-only, or the file system refuses.
    pub fn live(&self) -> io::Result<Live> {
        self.expect_writable()?;
        let folder = self.root().join(FOLDER);
        fs::create_dir_all(&folder)?;
        loop {
            let file = tempfile::Builder::new().prefix(&format!("{}-", std::process::id())).rand_bytes(12).tempfile_in(&folder)?;
            file.as_file().lock()?;
            // A sweep may have seen the file before it was locked, and removed it.
            if file.as_file().metadata()?.nlink() > 0 {
                return Ok(Live { _file: file });
            }
        }
    }

    /// Returns since when files count as used by a live run; `None` where none is live. Files of dead runs are removed.
    pub(super) fn in_use_since(&self) -> io::Result<Option<SystemTime>> {
        let entries = match fs::read_dir(self.root().join(FOLDER)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut earliest: Option<SystemTime> = None;
        for entry in entries {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else { continue };
            // A file that cannot be opened is another user's, who alone can tell whether the run is over.
            let dead = match File::open(entry.path()) {
                Ok(file) => match file.try_lock() {
                    // Removed while the lock is held, so that no run can have it in between.
                    Ok(()) => fs::remove_file(entry.path()).is_ok(),
                    Err(TryLockError::WouldBlock) => false,
                    Err(TryLockError::Error(error)) => return Err(error),
                },
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            };
            if !dead && metadata.is_file() {
                let start = metadata.modified()?;
                earliest = Some(earliest.map_or(start, |earliest| earliest.min(start)));
            }
        }
        // What was marked as used shortly before the start is not marked again when the run uses it.
        Ok(earliest.map(|start| start.checked_sub(TOUCH_EVERY).unwrap_or(start)))
    }
}
