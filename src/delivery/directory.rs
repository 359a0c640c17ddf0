//! A target on this machine: a folder for each version, and a link `current` that is replaced in one move, so that whoever reads through it
//! finds a whole version at any instant.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::archive::{is_unpacked, unpack};
use super::target::{Candidate, Target, TargetError};
use super::vault::Vault;
use crate::base::digest::Hash;

/// The link to the version that serves.
const CURRENT: &str = "current";

/// The folder of the versions.
const VERSIONS: &str = "versions";

/// What the names of versions begin with that are not whole yet.
const PARTIAL: &str = ".new-";

/// Versions in a folder.
#[derive(Debug)]
pub struct Directory<'v> {
    root: PathBuf,
    /// How many versions stay, beside those that are kept.
    retain: usize,
    vault: &'v Vault,
}

impl<'v> Directory<'v> {
    /// Returns the target at `root`, which need not be there.
    pub fn new(root: PathBuf, retain: usize, vault: &'v Vault) -> Self {
        Self { root, retain, vault }
    }

    fn versions(&self) -> PathBuf {
        self.root.join(VERSIONS)
    }

    fn try_start(&self, release: &Candidate) -> io::Result<()> {
        let folder = self.folder(release);
        if is_unpacked(&release.manifest, &folder).unwrap_or(false) {
            return Ok(());
        }
        fs::create_dir_all(self.versions())?;
        let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(self.versions())?;
        unpack(&release.manifest, self.vault, partial.path()).map_err(io::Error::other)?;
        // Others may read it.
        fs::set_permissions(partial.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        if folder.symlink_metadata().is_ok() {
            if self.serving()?.as_deref() == Some(&release.id) {
                let said = "what serves was changed by hand, and cannot be replaced while it serves";
                return Err(io::Error::other(format!("`{}`: {said}", folder.display())));
            }
            // Not whole, or changed since: it is no version.
            let broken = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(self.versions())?;
            fs::rename(&folder, broken.path().join("x"))?;
        }
        fs::rename(partial.path(), &folder)?;
        drop(partial.keep());
        File::open(self.versions())?.sync_all()
    }

    /// Makes `current` lead to the version; the move is one, so no reader finds it missing.
    fn lead_to(&self, release: &str) -> io::Result<()> {
        let place = tempfile::Builder::new().prefix(".current-").tempdir_in(&self.root)?;
        let link = place.path().join(CURRENT);
        symlink(Path::new(VERSIONS).join(release), &link)?;
        fs::rename(&link, self.root.join(CURRENT))?;
        File::open(&self.root)?.sync_all()
    }

    fn serving(&self) -> io::Result<Option<String>> {
        match fs::read_link(self.root.join(CURRENT)) {
            Ok(target) => Ok(target.file_name().map(|name| name.to_string_lossy().into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn prune(&self, kept: &[String]) -> io::Result<()> {
        let mut needed: HashSet<String> = kept.iter().cloned().collect();
        needed.extend(self.serving()?);
        let mut versions: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(self.versions())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // What is no version of ours is not ours to remove.
            let is_partial = name.starts_with(PARTIAL);
            if is_partial || (Hash::parse(&name).is_some() && !needed.contains(&name)) {
                let at = if is_partial { SystemTime::UNIX_EPOCH } else { entry.metadata()?.modified()? };
                versions.push((at, entry.path()));
            }
        }
        versions.sort_unstable_by(|a, b| b.cmp(a));
        let is_partial = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL));
        for (_, path) in
            versions.iter().enumerate().filter(|(place, (_, path))| *place >= self.retain || is_partial(path)).map(|(_, of)| of)
        {
            fs::remove_dir_all(path)?;
        }
        Ok(())
    }

    fn failed(&self, what: &str, error: &io::Error) -> TargetError {
        TargetError::Failed(format!("{what} in `{}`: {}", self.root.display(), crate::base::program::plain(error)))
    }
}

impl Target for Directory<'_> {
    fn folder(&self, release: &Candidate) -> PathBuf {
        self.versions().join(&release.id)
    }

    fn start(&mut self, release: &Candidate) -> Result<(), TargetError> {
        self.try_start(release).map_err(|error| self.failed("the release cannot be put", &error))
    }

    fn shift(&mut self, release: &Candidate, weight: u8) -> Result<(), TargetError> {
        let moved = match weight {
            100 => self.lead_to(&release.id),
            // There was none before.
            0 => fs::remove_file(self.root.join(CURRENT)).or_else(|error| {
                let is_gone = error.kind() == io::ErrorKind::NotFound;
                if is_gone { Ok(()) } else { Err(error) }
            }),
            // One link leads to one version.
            _ => Ok(()),
        };
        moved.map_err(|error| self.failed("`current` cannot be moved", &error))
    }

    fn stop(&mut self, kept: &[String]) -> Result<(), TargetError> {
        self.prune(kept).map_err(|error| self.failed("old versions cannot be removed", &error))
    }

    fn observe(&mut self) -> Result<Option<String>, TargetError> {
        self.serving().map_err(|error| self.failed("`current` cannot be read", &error))
    }
}
