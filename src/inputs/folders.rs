//! What lies in folders, each read once.
//!
//! Knows names and kinds of entries; knows nothing of what is looked for.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::program::plain;
use crate::base::text::visible;

/// What an entry of a folder is, without following links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    /// A socket, a pipe or a device.
    Other,
}

impl From<FileType> for Kind {
    fn from(file_type: FileType) -> Self {
        if file_type.is_file() {
            Self::File
        } else if file_type.is_dir() {
            Self::Folder
        } else if file_type.is_symlink() {
            Self::Link
        } else {
            Self::Other
        }
    }
}

/// One entry of a folder.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: OsString,
    pub(super) kind: Kind,
}

/// Folders that were read, by their real paths.
#[derive(Debug, Default)]
pub(super) struct Folders {
    read: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    listings: HashMap<PathBuf, Arc<[Entry]>>,
    /// How often all was forgotten: what was read before that must not be remembered after it.
    generation: u64,
}

impl Folders {
    /// Returns the entries of `folder`, in no certain order; none where it is gone.
    pub(super) fn read(&self, folder: &Path) -> io::Result<Arc<[Entry]>> {
        let generation = {
            let memory = self.memory();
            if let Some(known) = memory.listings.get(folder) {
                return Ok(Arc::clone(known));
            }
            memory.generation
        };
        let listing: Arc<[Entry]> = read(folder).map_err(|error| unreadable("folder", folder, &error))?.into();
        let mut memory = self.memory();
        if memory.generation == generation {
            memory.listings.insert(folder.to_owned(), Arc::clone(&listing));
        }
        Ok(listing)
    }

    /// Returns all folders that were read.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.memory().listings.keys().cloned().collect()
    }

    /// Forgets all that was read.
    pub(super) fn forget(&self) {
        let mut memory = self.memory();
        memory.listings.clear();
        memory.generation += 1;
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(folder: &Path) -> io::Result<Vec<Entry>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        match entry.file_type() {
            Err(error) if is_gone(&error) => {}
            file_type => found.push(Entry { name: entry.file_name(), kind: file_type?.into() }),
        }
    }
    Ok(found)
}

/// Tells whether `error` says that there is nothing at a path.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Returns `error` with the path that it is about.
pub(super) fn unreadable(noun: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{noun} `{}` cannot be read: {}", visible(&path.to_string_lossy()), plain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_once_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::default();
        assert_eq!(folders.read(folder.path()).unwrap().len(), 0);
        fs::write(folder.path().join("a"), "").unwrap();
        assert_eq!(folders.read(folder.path()).unwrap().len(), 0);
        folders.forget();
        assert_eq!(folders.read(folder.path()).unwrap()[0].kind, Kind::File);
        assert_eq!(folders.read(&folder.path().join("gone")).unwrap().len(), 0);
    }
}
