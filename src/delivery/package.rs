//! From what lies in the project to a release: its bytes into the vault, then what it consists of.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;

use super::manifest::{Artifact, Manifest, Mode};
use super::vault::{Vault, VaultError};
use crate::base::digest::Digest;
use crate::base::glob::Glob;
use crate::base::stamp::is_executable;
use crate::base::text::visible;
use crate::cache::outputs::{FoundKind, Lying};
use crate::git::state::Head;
use crate::store::local::Store;

/// What a release is made from.
#[derive(Debug)]
pub struct Source<'s> {
    /// The project.
    pub root: &'s Path,
    /// What is taken: files, or folders and all below them.
    pub artifacts: &'s [Glob],
    /// What the stages that have passed make.
    pub outputs: &'s [Glob],
    /// The files that the repository tracks, relative to the project.
    pub tracked: &'s HashSet<String>,
    /// The commit that is checked out.
    pub head: &'s Head,
    /// Whether there are changes that no commit has; then what lies there counts, whoever made it.
    pub dirty: bool,
}

/// Why no release can be made of what lies there.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// An artifact is not there.
    #[error("the artifact `{0}` is not there")]
    Absent(String),
    /// Nobody knows where it comes from.
    #[error("`{0}` is neither an output of a stage that the release needs nor a file that git tracks: nobody could make it again")]
    Foreign(String),
    /// It has a name that is not UTF-8.
    #[error("`{0}` has a name that is not text in UTF-8")]
    Odd(String),
    /// It is a socket, a pipe or a device.
    #[error("`{0}` is neither a file, a link nor a folder")]
    Strange(String),
    /// It cannot be read.
    #[error("`{name}` cannot be taken: {error}")]
    Io {
        /// Which.
        name: String,
        /// What the file system says.
        error: io::Error,
    },
    /// The vault refuses.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Takes the artifacts into the vault, and returns the release that they make.
///
/// # Errors
/// Where something is missing, cannot be read or stored; what was stored until then harms nobody.
pub fn package(source: &Source<'_>, vault: &Vault) -> Result<Manifest, PackageError> {
    let store = vault.writable()?;
    let lying = Lying::look(source.root, source.artifacts).map_err(|error| PackageError::Io { name: "artifacts".to_owned(), error })?;
    if let Some(missing) = lying.missing.first() {
        return Err(PackageError::Absent(visible(source.artifacts[*missing].path()).into_owned()));
    }
    if let Some(odd) = lying.unnameable() {
        return Err(PackageError::Odd(visible(&odd).into_owned()));
    }
    let mut artifacts = Vec::new();
    for (name, found) in &lying.found {
        let shown = || visible(name).into_owned();
        let is_made = source.outputs.iter().any(|glob| glob.matches(Path::new(name)));
        let is_folder = found.kind == FoundKind::Folder;
        if !is_folder && !source.dirty && !is_made && !source.tracked.contains(name) {
            return Err(PackageError::Foreign(shown()));
        }
        let (mode, digest) = match &found.kind {
            // What lies in it says that it is there.
            FoundKind::Folder if lying.found.keys().any(|other| is_below(other, name)) => continue,
            FoundKind::Folder => (Mode::Folder, put(&store, &mut io::empty(), name)?),
            FoundKind::Link(Some(target)) => (Mode::Link, put(&store, &mut target.as_bytes(), name)?),
            FoundKind::Link(None) => return Err(PackageError::Odd(shown())),
            FoundKind::Other => return Err(PackageError::Strange(shown())),
            FoundKind::File => {
                let mode = if is_executable(found.stamp.mode) { Mode::Executable } else { Mode::File };
                let mut file = File::open(source.root.join(name)).map_err(|error| PackageError::Io { name: shown(), error })?;
                (mode, put(&store, &mut file, name)?)
            }
        };
        artifacts.push(Artifact::new(name.clone(), mode, digest));
    }
    let Head { commit, tree, .. } = source.head.clone();
    let manifest = Manifest::new(artifacts, commit, tree, source.dirty);
    store.put(&manifest.bytes()).map_err(|error| PackageError::Io { name: "the manifest".to_owned(), error })?;
    Ok(manifest)
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn put(store: &Store, reader: &mut dyn io::Read, name: &str) -> Result<Digest, PackageError> {
    store.put_reader(reader, &mut |_| Ok(())).map_err(|error| PackageError::Io { name: visible(name).into_owned(), error })
}
