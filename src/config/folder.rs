//! Where the files that a pipeline includes are read from: a folder on disk, or whatever else can list and read files.
//!
//! Knows names of files; knows nothing of what is in them.

use std::io;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::base::glob::Glob;
use crate::base::state::STATE;

/// The files of a project.
pub trait Files {
    /// Returns what is in the file at `path`, relative to the project.
    ///
    /// # Errors
    /// Of the kind `NotFound` where there is none; else whatever keeps it from being read.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// Returns the files that themselves match `glob`, sorted.
    ///
    /// # Errors
    /// Where files cannot be listed.
    fn find(&self, glob: &Glob) -> io::Result<Vec<String>>;
}

/// A project on disk.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Returns the project in the folder `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

/// What a pattern means, and where it was looked for.
#[derive(Debug, Default)]
pub struct Found {
    /// The files, relative to the project, sorted.
    pub files: Vec<String>,
    /// The folders that were listed, absolute: another entry of one of them may be meant, too.
    pub folders: Vec<PathBuf>,
}

impl Folder {
    /// Returns the files that themselves match `glob`. Folders behind links are not entered: a tree of packages that link to each other
    /// would be found again and again.
    ///
    /// # Errors
    /// Where a folder cannot be listed.
    pub fn walk(&self, glob: &Glob) -> io::Result<Found> {
        let relative = |entry: &DirEntry| entry.path().strip_prefix(&self.root).unwrap_or(entry.path()).to_owned();
        let is_wanted = |entry: &DirEntry| {
            entry.depth() == 0
                || !entry.file_type().is_dir()
                || (entry.file_name() != ".git" && entry.file_name() != STATE && glob.reaches_below(&relative(entry)))
        };
        let mut found = Found::default();
        for entry in WalkDir::new(self.root.join(glob.base())).into_iter().filter_entry(is_wanted) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound) => continue,
                Err(error) => return Err(error.into()),
            };
            let path = relative(&entry);
            if entry.file_type().is_dir() {
                found.folders.push(entry.into_path());
            } else if glob.matches_itself(&path) {
                found.files.push(path.to_string_lossy().into_owned());
            }
        }
        found.files.sort();
        Ok(found)
    }
}

impl Files for Folder {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let path = self.root.join(path);
        let metadata = path.metadata()?;
        // A pipe would be waited for.
        if metadata.is_file() || metadata.is_dir() { std::fs::read(path) } else { Err(io::Error::other("it is not a regular file")) }
    }

    fn find(&self, glob: &Glob) -> io::Result<Vec<String>> {
        Ok(self.walk(glob)?.files)
    }
}

/// No files at all: for a pipeline that is known to include none.
#[derive(Debug)]
pub(super) struct Nothing;

impl Files for Nothing {
    fn read(&self, _path: &str) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn find(&self, _glob: &Glob) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_where_the_pattern_reaches() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path();
        for path in ["p.toml", "a/p.toml", "b/p.toml", "b/c/p.toml", ".git/p.toml", "b/.shipway/p.toml", "d/p.toml/x"] {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), path).unwrap();
        }
        std::os::unix::fs::symlink("b", root.join("link")).unwrap();
        let folder = Folder::new(root);
        let find = |glob: &str| folder.find(&Glob::new("", glob).unwrap()).unwrap();
        assert_eq!(find("*/p.toml"), ["a/p.toml", "b/p.toml"]);
        assert_eq!(find("**/p.toml"), ["a/p.toml", "b/c/p.toml", "b/p.toml", "p.toml"]);
        assert_eq!(find("none/*"), [""; 0]);
        assert_eq!(folder.read("b/c/p.toml").unwrap(), b"b/c/p.toml");
        assert_eq!(folder.read("x").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
