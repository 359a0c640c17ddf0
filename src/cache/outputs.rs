//! What lies where a stage's outputs belong, and how it differs from what should lie there.
//!
//! Knows patterns, the file system and results; changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::files::Files;
use crate::base::digest::Hash;
use crate::base::glob::Glob;
use crate::base::stamp::{Stamp, is_executable};
use crate::base::state::STATE;
use crate::base::text::visible;
use crate::store::result::{Output, OutputKind};

/// What kind of thing lies somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundKind {
    /// A regular file.
    File,
    /// A symbolic link; its text, where that is UTF-8.
    Link(Option<String>),
    /// A folder.
    Folder,
    /// A socket, a pipe, a device.
    Other,
}

/// One thing that lies where outputs belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: FoundKind,
    /// What `lstat(2)` says of it.
    pub stamp: Stamp,
}

/// Everything that lies where the outputs of a stage belong, by path relative to the project.
#[derive(Debug, Clone, Default)]
pub struct Lying {
    /// The things.
    pub found: BTreeMap<String, Found>,
    /// The patterns, by their place in the list, that nothing matches.
    pub missing: Vec<usize>,
    /// The folders that were gone through, relative to the project.
    pub folders: BTreeSet<PathBuf>,
    /// Those whose names are not UTF-8, so that they cannot be stored.
    pub odd: BTreeMap<OsString, Found>,
}

/// How what lies there differs from a result.
#[derive(Debug, Clone, Default)]
pub struct Difference<'r> {
    /// Outputs that are missing or different.
    pub wrong: Vec<&'r Output>,
    /// Paths that do not belong there.
    pub extra: Vec<String>,
    /// Whether there is one whose name is not UTF-8, which no output's is.
    pub has_odd: bool,
}

impl Difference<'_> {
    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.wrong.is_empty() && !self.has_extra()
    }

    /// Tells whether something lies there that does not belong there.
    pub fn has_extra(&self) -> bool {
        !self.extra.is_empty() || self.has_odd
    }
}

impl Lying {
    /// Looks at all that `globs` mean below `root`. Links are not followed.
    ///
    /// # Errors
    /// Where a folder cannot be read.
    pub fn look(root: &Path, globs: &[Glob]) -> io::Result<Self> {
        let mut lying = Self::default();
        for (index, glob) in globs.iter().enumerate() {
            let before = lying.found.len();
            let was_there = lying.found.contains_key(glob.path());
            if glob.is_literal() {
                lying.look_at(root, glob.path())?;
            } else {
                lying.look_below(root, glob)?;
            }
            let is_none = || glob.is_literal() || !glob.finds_any(root);
            if lying.found.len() == before && !was_there && lying.odd.is_empty() && is_none() {
                lying.missing.push(index);
            }
        }
        Ok(lying)
    }

    fn look_at(&mut self, root: &Path, path: &str) -> io::Result<()> {
        let whole = root.join(path);
        let metadata = match whole.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if is_absence(&error) => return Ok(()),
            Err(error) => return Err(named(&whole, &error)),
        };
        if !metadata.is_dir() {
            self.add(path.to_owned(), &whole, &metadata);
            return Ok(());
        }
        for entry in WalkDir::new(&whole) {
            let entry = entry.map_err(|error| unwalkable(&whole, error))?;
            self.go_through(root, &entry);
            self.enter(root, &entry)?;
        }
        Ok(())
    }

    fn look_below(&mut self, root: &Path, glob: &Glob) -> io::Result<()> {
        let base = root.join(glob.base());
        if !base.is_dir() {
            return Ok(());
        }
        // A pattern means what stages make: not git's folder, unless it begins there, nor ours, nor the pipeline itself.
        let is_within_git = Path::new(glob.base()).iter().any(|part| part == ".git");
        let pipeline = root.join("pipeline.toml");
        let is_ours = |entry: &walkdir::DirEntry| entry.file_name() == STATE || entry.path() == pipeline;
        let is_meant = |entry: &walkdir::DirEntry| (is_within_git || entry.file_name() != ".git") && !is_ours(entry);
        for entry in WalkDir::new(&base).into_iter().filter_entry(is_meant) {
            let entry = entry.map_err(|error| unwalkable(&base, error))?;
            self.go_through(root, &entry);
            if entry.path().strip_prefix(root).is_ok_and(|path| glob.matches(path)) {
                self.enter(root, &entry)?;
            }
        }
        Ok(())
    }

    fn go_through(&mut self, root: &Path, entry: &walkdir::DirEntry) {
        if entry.file_type().is_dir() {
            self.folders.insert(entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned());
        }
    }

    fn enter(&mut self, root: &Path, entry: &walkdir::DirEntry) -> io::Result<()> {
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let metadata = entry.path().symlink_metadata().map_err(|error| named(entry.path(), &error))?;
        if let Some(path) = path.to_str() {
            self.add(path.to_owned(), entry.path(), &metadata);
        } else {
            let found = Found { kind: kind(entry.path(), &metadata), stamp: Stamp::of(&metadata) };
            self.odd.insert(path.as_os_str().to_owned(), found);
        }
        Ok(())
    }

    fn add(&mut self, path: String, whole: &Path, metadata: &fs::Metadata) {
        self.found.insert(path, Found { kind: kind(whole, metadata), stamp: Stamp::of(metadata) });
    }

    /// Returns a name that is not UTF-8, as well as it can be shown.
    pub fn unnameable(&self) -> Option<String> {
        self.odd.keys().next().map(|name| name.to_string_lossy().into_owned())
    }

    /// Returns how this differs from `outputs`. Files are compared by what they hold.
    pub fn difference<'r>(&self, root: &Path, outputs: &'r [Output], files: &Files) -> Difference<'r> {
        let is_right = |output: &Output| {
            let Some(found) = self.found.get(&output.path) else { return false };
            match (&output.kind, &found.kind) {
                (OutputKind::Folder, FoundKind::Folder) => true,
                (OutputKind::Link { target }, FoundKind::Link(Some(there))) => target == there,
                (OutputKind::File { digest, mode, .. }, FoundKind::File) => {
                    let is_like = digest.size == found.stamp.size && is_executable(*mode) == is_executable(found.stamp.mode);
                    is_like && files.content_of(&root.join(&output.path), &found.stamp).is_ok_and(|content| content.digest == *digest)
                }
                _ => false,
            }
        };
        let wrong = outputs.iter().filter(|output| !is_right(output)).collect();
        let belongs = |path: &str| outputs.binary_search_by(|output| output.path.as_str().cmp(path)).is_ok();
        let extra = self.found.keys().filter(|path| !belongs(path)).cloned().collect();
        Difference { wrong, extra, has_odd: !self.odd.is_empty() }
    }

    /// Returns what lies there as outputs, by hashing it. What is no file, link or folder is left out.
    ///
    /// # Errors
    /// Where a file cannot be read, or a name is not UTF-8, so that nobody could tell whether it changed.
    pub fn outputs(&self, root: &Path, files: &Files) -> io::Result<Vec<Output>> {
        let unnameable = |name: &str| io::Error::other(format!("the name `{}` is not text in UTF-8", visible(name)));
        if let Some(name) = self.unnameable() {
            return Err(unnameable(&name));
        }
        let mut outputs = Vec::with_capacity(self.found.len());
        for (path, found) in &self.found {
            let kind = match &found.kind {
                FoundKind::File => {
                    let whole = root.join(path);
                    let content = files.content_of(&whole, &found.stamp).map_err(|error| named(&whole, &error))?;
                    OutputKind::file(content.digest, &found.stamp)
                }
                FoundKind::Link(target) => OutputKind::Link { target: target.clone().ok_or_else(|| unnameable(path))? },
                FoundKind::Folder => OutputKind::Folder,
                FoundKind::Other => continue,
            };
            outputs.push(Output { path: path.clone(), kind });
        }
        Ok(outputs)
    }
}

/// Returns R of a stage: the hash of its outputs and of the R of each stage that it needs (contract, section 4).
pub fn result_hash<'n>(outputs: &[Output], needs: impl IntoIterator<Item = (&'n str, Hash)>) -> Hash {
    let mut bytes = b"shipway result 1\n".to_vec();
    let mut part = |tag: u8, name: &str, value: &[u8]| {
        bytes.push(tag);
        for part in [name.as_bytes(), value] {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
    };
    for Output { path, kind } in outputs {
        match kind {
            OutputKind::File { digest, mode, .. } => part(if is_executable(*mode) { b'x' } else { b'f' }, path, &digest.hash.0),
            OutputKind::Link { target } => part(b'l', path, target.as_bytes()),
            OutputKind::Folder => part(b'd', path, b""),
        }
    }
    for (name, result) in needs {
        part(b'n', name, &result.0);
    }
    Hash::of(&bytes)
}

/// Returns a folder above one of the outputs that is a link: what lies behind it may lie anywhere, so nothing is stored from there, and
/// nothing written there.
pub fn behind_link(root: &Path, globs: &[Glob]) -> Option<String> {
    let is_link = |folder: &str| root.join(folder).is_symlink();
    globs.iter().find_map(|glob| {
        let base = glob.base();
        let own = (!glob.is_literal() && is_link(base)).then_some(base);
        own.or_else(|| base.match_indices('/').map(|(at, _)| &base[..at]).find(|folder| is_link(folder))).map(str::to_owned)
    })
}

fn kind(whole: &Path, metadata: &fs::Metadata) -> FoundKind {
    if metadata.is_file() {
        FoundKind::File
    } else if metadata.is_dir() {
        FoundKind::Folder
    } else if metadata.is_symlink() {
        FoundKind::Link(fs::read_link(whole).ok().and_then(|target| target.to_str().map(str::to_owned)))
    } else {
        FoundKind::Other
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Says which path an error is about.
pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {}", path.display(), crate::base::program::plain(error)))
}

fn unwalkable(folder: &Path, error: walkdir::Error) -> io::Error {
    let path = error.path().unwrap_or(folder).to_owned();
    error.into_io_error().map_or_else(|| io::Error::other("links lead in a circle"), |error| named(&path, &error))
}
