//! Releases as folders beside each other: each is whole, or not there.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::archive::{is_unpacked, unpack};
use super::target::Candidate;
use super::vault::Vault;
use crate::base::digest::Hash;

/// What the names of folders begin with that are not whole yet.
const PARTIAL: &str = ".new-";

/// Releases in a folder, each under its id.
#[derive(Debug)]
pub(super) struct Unpacked<'v> {
    folder: PathBuf,
    vault: &'v Vault,
    /// Whether nobody may write to them.
    read_only: bool,
}

impl<'v> Unpacked<'v> {
    /// Returns those in `folder`, which need not be there.
    pub(super) fn new(folder: PathBuf, vault: &'v Vault, read_only: bool) -> Self {
        Self { folder, vault, read_only }
    }

    /// Returns where a release lies, if it does.
    pub(super) fn path(&self, release: &str) -> PathBuf {
        self.folder.join(release)
    }

    /// Puts a release there, unless it is there with all its bytes. One that is not what it was is replaced, unless `stays` says why not.
    pub(super) fn put(&self, release: &Candidate, stays: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let path = self.path(&release.id);
        if is_unpacked(&release.manifest, &path).unwrap_or(false) {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(&self.folder)?;
        unpack(&release.manifest, self.vault, partial.path()).map_err(io::Error::other)?;
        // Others may read it.
        fs::set_permissions(partial.path(), Permissions::from_mode(0o755))?;
        if path.symlink_metadata().is_ok() {
            stays()?;
            // Not whole, or changed since: it is no release.
            remove(&path)?;
        }
        if self.read_only {
            forbid(partial.path())?;
        }
        fs::rename(partial.path(), &path)?;
        drop(partial.keep());
        File::open(&self.folder)?.sync_all()
    }

    /// Removes what is not `needed`, but for the newest, as many as `retain` says, and all that is not whole.
    pub(super) fn prune(&self, needed: &[String], retain: usize) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut releases: Vec<(SystemTime, PathBuf)> = Vec::new();
        // All at once: what is removed is moved to beside them first.
        for entry in entries.collect::<io::Result<Vec<_>>>()? {
            let name = entry.file_name().to_string_lossy().into_owned();
            // What is no release of ours is not ours to remove.
            if name.starts_with(PARTIAL) {
                remove(&entry.path())?;
            } else if Hash::parse(&name).is_some() && !needed.contains(&name) {
                releases.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        releases.sort_unstable_by(|a, b| b.cmp(a));
        releases.iter().skip(retain).try_for_each(|(_, path)| remove(path))
    }
}

/// Takes away the permission to write to anything below `folder`, and to it. Bytes are what counts: whether that is so is not looked at.
fn forbid(folder: &Path) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(folder).contents_first(true) {
        let entry = entry?;
        if !entry.path_is_symlink() {
            let mode = entry.metadata()?.permissions().mode();
            fs::set_permissions(entry.path(), Permissions::from_mode(mode & 0o555))?;
        }
    }
    Ok(())
}

/// Removes a folder, also one that nobody may write to. It is not taken for a release from the first moment on.
fn remove(folder: &Path) -> io::Result<()> {
    let beside = folder.parent().unwrap_or(folder);
    let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(beside)?;
    // What is moved is written to, by its name for what it lies in.
    allow(folder)?;
    fs::rename(folder, partial.path().join("x"))?;
    for entry in walkdir::WalkDir::new(partial.path()) {
        let entry = entry?;
        if entry.file_type().is_dir() {
            allow(entry.path())?;
        }
    }
    partial.close()
}

fn allow(folder: &Path) -> io::Result<()> {
    if folder.symlink_metadata()?.is_dir() { fs::set_permissions(folder, Permissions::from_mode(0o755)) } else { Ok(()) }
}
