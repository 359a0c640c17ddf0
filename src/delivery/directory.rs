//! A target on this machine: a folder for each version, and a link `current` that is replaced in one move, so that whoever reads through it
//! finds a whole version at any instant.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::target::{Candidate, Observed, Target, TargetError};
use super::unpacked::Unpacked;
use super::vault::Vault;

/// The link to the version that serves.
const CURRENT: &str = "current";

/// The folder of the versions.
const VERSIONS: &str = "versions";

/// Versions in a folder.
#[derive(Debug)]
pub struct Directory<'v> {
    root: PathBuf,
    versions: Unpacked<'v>,
    /// How many versions stay, beside those that are kept.
    retain: usize,
}

impl<'v> Directory<'v> {
    /// Returns the target at `root`, which need not be there.
    pub fn new(root: PathBuf, retain: usize, vault: &'v Vault) -> Self {
        Self { versions: Unpacked::new(root.join(VERSIONS), vault, false), root, retain }
    }

    fn try_start(&self, release: &Candidate) -> io::Result<()> {
        self.versions.put(release, || {
            if self.serving()?.as_deref() == Some(&release.id) {
                let said = "what serves was changed by hand, and cannot be replaced while it serves";
                return Err(io::Error::other(format!("`{}`: {said}", self.versions.path(&release.id).display())));
            }
            Ok(())
        })
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
        let mut needed = kept.to_vec();
        needed.extend(self.serving()?);
        self.versions.prune(&needed, self.retain)
    }

    fn failed(&self, what: &str, error: &io::Error) -> TargetError {
        TargetError::Failed(format!("{what} in `{}`: {}", self.root.display(), crate::base::program::plain(error)))
    }
}

impl Target for Directory<'_> {
    fn folder(&self, release: &Candidate) -> PathBuf {
        self.versions.path(&release.id)
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

    fn stop(&mut self, _gone: Option<&Candidate>, kept: &[String]) -> Result<(), TargetError> {
        self.prune(kept).map_err(|error| self.failed("old versions cannot be removed", &error))
    }

    fn observe(&mut self, _expected: Option<&Candidate>) -> Result<Observed, TargetError> {
        let serving = self.serving().map_err(|error| self.failed("`current` cannot be read", &error))?;
        Ok(serving.map_or(Observed::Nothing, Observed::Release))
    }
}
