//! A target that is a feature flag: a release is a variant that ever more users see.
//!
//! Knows the file; what is said in it `share` knows.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::share::{Share, Side};
use super::target::{Candidate, Observed, Target, TargetError};
use super::unpacked::Unpacked;
use super::vault::Vault;
use crate::base::files::write_whole;
use crate::base::json_text::{remove, set};
use crate::base::program::plain;
use crate::base::text::visible;

/// A flag in a file of the `OpenFeature` flagd format.
#[derive(Debug)]
pub struct Flag<'f> {
    file: PathBuf,
    name: &'f str,
    /// What somebody has changed by hand may be lost: whoever asked for it knows.
    takes_over: bool,
    releases: Unpacked<'f>,
}

impl<'f> Flag<'f> {
    /// Returns the flag of this name in `file`, with what somebody has changed by hand in it where it `takes_over`; the files of releases lie in
    /// `folder`, which is the environment's own.
    pub fn new(file: PathBuf, (name, takes_over): (&'f str, bool), folder: PathBuf, vault: &'f Vault) -> Self {
        Self { file, name, takes_over, releases: Unpacked::new(folder, vault, true) }
    }

    /// Returns the text of the file, and the flag in it.
    fn read(&self) -> Result<(String, Value), TargetError> {
        let text = fs::read_to_string(&self.file).map_err(|error| self.failed(&plain(&error)))?;
        let whole: Value = serde_json::from_str(&text).map_err(|error| self.failed(&format!("it is no JSON: {error}")))?;
        let flag = whole["flags"][self.name].clone();
        if flag.is_object() { Ok((text, flag)) } else { Err(self.failed(&format!("it has no flag `{}`", visible(self.name)))) }
    }

    /// Returns the share that the flag would have, which must be one that it can have.
    fn shifted(&self, flag: &Value, release: &Candidate, weight: u8) -> Result<Share, TargetError> {
        let now = Share::of(flag).map_err(|why| self.refused(&why))?;
        if !now.is_in(flag) && !self.takes_over {
            return Err(self.refused("somebody has changed its `targeting`, which would be lost"));
        }
        let share = now.shifted(side(release)?, weight);
        let missing = share.variants().into_iter().find(|variant| flag["variants"].get(variant).is_none());
        match missing {
            Some(variant) => Err(self.refused(&format!("it has no variant `{}`", visible(variant)))),
            None => Ok(share),
        }
    }

    /// Returns the text with this share in the flag, and all else as it was.
    fn written(&self, text: &str, flag: &Value, share: &Share) -> Option<String> {
        let at = |names: &[&'static str]| [&["flags", self.name], names].concat();
        let targeting = share.targeting();
        let mut text =
            if targeting.is_null() { remove(text, &at(&["targeting"]))? } else { set(text, &at(&["targeting"]), &targeting.to_string())? };
        if !flag["metadata"].is_object() {
            text = set(&text, &at(&["metadata"]), "{}")?;
        }
        let metadata = share.metadata();
        for (name, value) in &metadata {
            let path = [&["flags", self.name, "metadata"][..], &[name]].concat();
            text = if value.is_null() { remove(&text, &path)? } else { set(&text, &path, &value.to_string())? };
        }
        let now: Value = serde_json::from_str(&text).ok()?;
        let is_left_empty = now["flags"][self.name]["metadata"].as_object().is_some_and(serde_json::Map::is_empty);
        if is_left_empty { remove(&text, &at(&["metadata"])) } else { Some(text) }
    }

    fn refused(&self, why: &str) -> TargetError {
        self.failed(&format!("the flag `{}` cannot be rolled out: {why}", visible(self.name)))
    }

    fn failed(&self, why: &str) -> TargetError {
        TargetError::Failed(format!("`{}`: {why}", visible(&self.file.to_string_lossy())))
    }
}

/// Returns what a release shows: its slot is its variant.
fn side(release: &Candidate) -> Result<Side, TargetError> {
    let slot = release.slot.as_ref();
    let unknown = || TargetError::Failed("it is not known which variant the release has: it came before the target was a flag".to_owned());
    let variant = slot.ok_or_else(unknown)?.name.clone();
    Ok(Side { variant, release: Some(release.id.clone()) })
}

impl Target for Flag<'_> {
    fn folder(&self, release: &Candidate) -> PathBuf {
        self.releases.path(&release.id)
    }

    fn start(&mut self, release: &Candidate) -> Result<(), TargetError> {
        self.releases.put(release, || Ok(())).map_err(|error| {
            let folder = self.folder(release);
            TargetError::Failed(format!("the release cannot be put into `{}`: {}", folder.display(), plain(&error)))
        })?;
        let (_, flag) = self.read()?;
        self.shifted(&flag, release, 100).map(|_| ())
    }

    fn shift(&mut self, release: &Candidate, weight: u8) -> Result<(), TargetError> {
        let path = self.file.canonicalize().map_err(|error| self.failed(&plain(&error)))?;
        // Another flag of the file may be of another environment. The file itself is replaced, its folder stays.
        let folder = File::open(path.parent().unwrap_or(Path::new("/"))).and_then(|folder| folder.lock().map(|()| folder));
        let _folder = folder.map_err(|error| self.failed(&plain(&error)))?;
        let (text, flag) = self.read()?;
        let share = self.shifted(&flag, release, weight)?;
        let written = self.written(&text, &flag, &share).ok_or_else(|| self.failed("it could not be changed"))?;
        if written == text {
            return Ok(());
        }
        write_whole(&path, written.as_bytes()).map_err(|error| self.failed(&plain(&error)))
    }

    fn stop(&mut self, _gone: Option<&Candidate>, kept: &[String]) -> Result<(), TargetError> {
        let pruned = self.releases.prune(kept, 0);
        pruned.map_err(|error| TargetError::Failed(format!("old releases cannot be removed: {}", plain(&error))))
    }

    fn observe(&mut self, _expected: Option<&Candidate>) -> Result<Observed, TargetError> {
        let (_, flag) = self.read()?;
        let share = match Share::of(&flag) {
            Ok(share) => share,
            Err(why) => return Ok(Observed::Other(format!("a flag that is not ours: {why}"))),
        };
        if !share.is_in(&flag) {
            return Ok(Observed::Other("a `targeting` that somebody has changed".to_owned()));
        }
        if let Some(missing) = share.variants().into_iter().find(|variant| flag["variants"].get(variant).is_none()) {
            return Ok(Observed::Other(format!("a flag without its variant `{}`", visible(missing))));
        }
        Ok(match share.serves() {
            Ok(Some(release)) => Observed::Release(release.to_owned()),
            Ok(None) => Observed::Nothing,
            Err(both) => Observed::Other(both),
        })
    }
}

#[cfg(test)]
mod tests;
