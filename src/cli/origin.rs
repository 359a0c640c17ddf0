//! What a pipeline was read from: files, and patterns that may come to mean more of them.
//!
//! Knows what was asked for while it was read, valid or not; knows nothing of what is in the files.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::base::glob::Glob;
use crate::config::folder::{Files, Folder, Found};

/// The files and patterns that a pipeline was read from.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    /// The project's folder.
    pub(super) root: PathBuf,
    /// The files that are named, and those that were found, absolute.
    pub(super) files: BTreeSet<PathBuf>,
    /// By their text.
    patterns: BTreeMap<String, Glob>,
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root && self.files == other.files && self.patterns.keys().eq(other.patterns.keys())
    }
}

impl Origin {
    /// Returns what the pipeline in the file `main` of the project in `root` is read from first.
    pub(super) fn new(root: &Path, main: &str) -> Self {
        Self { root: root.to_owned(), files: [root.join(main)].into(), patterns: BTreeMap::new() }
    }

    /// Returns what the pattern of each entry means now, by the pattern. What cannot be listed means nothing.
    pub(super) fn find(&self) -> Vec<(&Glob, Found)> {
        let folder = Folder::new(&self.root);
        self.patterns.values().map(|glob| (glob, folder.walk(glob).unwrap_or_default())).collect()
    }
}

/// A project on disk that notes what is asked of it.
#[derive(Debug)]
pub(super) struct Noting {
    folder: Folder,
    origin: RefCell<Origin>,
}

impl Noting {
    /// Returns the project that `origin` lies in.
    pub(super) fn new(origin: &Origin) -> Self {
        Self { folder: Folder::new(&origin.root), origin: RefCell::new(origin.clone()) }
    }

    /// Returns all that was asked for.
    pub(super) fn into_origin(self) -> Origin {
        self.origin.into_inner()
    }
}

impl Files for Noting {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut origin = self.origin.borrow_mut();
        let file = origin.root.join(path);
        origin.files.insert(file);
        self.folder.read(path)
    }

    fn find(&self, glob: &Glob) -> io::Result<Vec<String>> {
        self.origin.borrow_mut().patterns.insert(glob.path().to_owned(), glob.clone());
        self.folder.find(glob)
    }
}
