//! Whose is what lies where outputs belong: what shipway made is removed, everything else is moved aside.
//!
//! Knows what the last run of each stage left and what results say; deletes nothing that it does not know.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::Files;
use super::left::Left;
use super::outputs::{Found, FoundKind, Lying, named};
use super::table::{Entry, Table};
use crate::base::digest::Hash;
use crate::store::result::{Output, OutputKind};

/// Decides about the outputs of one stage.
pub struct Custody<'c> {
    /// The project.
    pub root: &'c Path,
    /// The project's `.shipway/`; without it nothing can be moved aside.
    pub state: Option<&'c Path>,
    /// What the last runs left; without it nothing is known to be ours.
    pub left: Option<&'c Left>,
    /// The stage.
    pub stage: &'c str,
    /// What names the run, for the folder that things are moved to.
    pub run: &'c str,
    /// Whether it has outputs that are cleared before it runs: only then is what lies there afterwards its own.
    pub clean: bool,
    /// To compare contents.
    pub files: &'c Files,
    /// From when until when steps of this stage that were killed with their shipway may have written here, in nanoseconds since 1970.
    pub killed: Option<(i64, i64)>,
    /// Returns what results of this stage have at a path: what equals one of them was made by shipway. Asked only where the record of
    /// what was left does not know.
    pub made: &'c dyn Fn() -> Vec<Vec<Output>>,
}

impl std::fmt::Debug for Custody<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Custody").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl Custody<'_> {
    /// Takes `paths` away, which lie where outputs belong, and, if `odd`, what has no name in UTF-8. Returns those that were moved aside, because shipway did not make them, and
    /// where to.
    ///
    /// # Errors
    /// Where something can be neither removed nor moved; then the rest is as it was.
    pub fn take_away(&self, lying: &Lying, paths: &[String], odd: bool) -> io::Result<(Vec<String>, PathBuf)> {
        if paths.is_empty() && (!odd || lying.odd.is_empty()) {
            return Ok((Vec::new(), PathBuf::new()));
        }
        let left = self.left.map(|left| left.get(self.stage)).unwrap_or_default();
        let mut made: Option<Vec<Vec<Output>>> = None;
        let mut aside = Vec::new();
        let store = self.aside();
        for (path, found) in lying.odd.iter().rev().filter(|_| odd) {
            let (whole, shown) = (self.root.join(path), path.to_string_lossy());
            let is_ours = self.is_of_killed(found) || left.get(path.as_encoded_bytes()).is_some_and(|entry| entry.stamp == found.stamp);
            let gone = match (&found.kind, is_ours) {
                (FoundKind::Folder, _) => ignore_full(fs::remove_dir(&whole)),
                (_, true) => fs::remove_file(&whole),
                (_, false) => move_to(&whole, &store.join(path)).map(|()| aside.push(shown.into_owned())),
            };
            gone.or_else(ignore_absence).map_err(|error| named(&whole, &error))?;
        }
        // What lies in a folder comes before the folder.
        let mut paths: Vec<&String> = paths.iter().collect();
        paths.sort_unstable_by(|a, b| b.cmp(a));
        for path in paths {
            let Some(found) = lying.found.get(path) else { continue };
            let whole = self.root.join(path);
            let is_ours = self.is_of_killed(found) || self.was_left(&left, path, found) || {
                let made = made.get_or_insert_with(self.made);
                made.iter().any(|outputs| self.was_made(outputs, path, found))
            };
            let gone = match (&found.kind, is_ours) {
                (FoundKind::Folder, true) => ignore_full(fs::remove_dir(&whole)),
                (FoundKind::Folder, false) => move_folder(&whole, path, &store, &mut aside),
                (_, true) => fs::remove_file(&whole),
                (_, false) => move_to(&whole, &store.join(path)).map(|()| aside.push(path.clone())),
            };
            gone.or_else(ignore_absence).map_err(|error| named(&whole, &error))?;
        }
        aside.reverse();
        Ok((aside, store))
    }

    /// Remembers what this run left, for the next. What cannot be remembered is moved aside then instead of removed; so is what lies in
    /// outputs that are not cleaned, since anybody may have put it there.
    pub fn remember(&self, lying: &Lying, outputs: &[Output]) {
        let Some(left) = self.left.filter(|_| self.clean) else { return };
        let mut table = Table::default();
        for (path, found) in &lying.found {
            let known = outputs.binary_search_by(|output| output.path.as_str().cmp(path)).ok().map(|place| &outputs[place].kind);
            let hash = match known {
                Some(OutputKind::File { digest, .. }) => digest.hash,
                Some(OutputKind::Link { target }) => Hash::of(target.as_bytes()),
                Some(OutputKind::Folder) | None => UNKNOWN,
            };
            table.insert(path.as_bytes(), Entry { stamp: found.stamp, hash });
        }
        for (path, found) in &lying.odd {
            table.insert(path.as_encoded_bytes(), Entry { stamp: found.stamp, hash: UNKNOWN });
        }
        left.set(self.stage, &table);
    }

    fn is_of_killed(&self, found: &Found) -> bool {
        self.killed.is_some_and(|(from, until)| {
            // The steps were gone for a while before the guard said so; what a person wrote then must not count as theirs, however
            // coarse the file system's clock is.
            let is_fine = [until, found.stamp.changed].iter().all(|time| time % 1_000_000_000 != 0);
            let margin = if is_fine { 10_000_000 } else { 2_000_000_000 };
            found.stamp.changed >= from && found.stamp.latest().saturating_add(margin) <= until
        })
    }

    fn was_left(&self, left: &Table, path: &str, found: &Found) -> bool {
        let Some(entry) = left.get(path.as_bytes()) else { return false };
        match &found.kind {
            FoundKind::Folder => true,
            _ if entry.stamp == found.stamp => true,
            FoundKind::File => entry.hash != UNKNOWN && self.holds(path, found, entry.hash),
            FoundKind::Link(Some(target)) => entry.hash == Hash::of(target.as_bytes()),
            FoundKind::Link(None) | FoundKind::Other => false,
        }
    }

    fn was_made(&self, outputs: &[Output], path: &str, found: &Found) -> bool {
        let Ok(place) = outputs.binary_search_by(|output| output.path.as_str().cmp(path)) else { return false };
        match (&outputs[place].kind, &found.kind) {
            (OutputKind::Folder, FoundKind::Folder) => true,
            (OutputKind::File { digest, .. }, FoundKind::File) => digest.size == found.stamp.size && self.holds(path, found, digest.hash),
            (OutputKind::Link { target }, FoundKind::Link(Some(there))) => target == there,
            _ => false,
        }
    }

    fn holds(&self, path: &str, found: &Found, hash: Hash) -> bool {
        self.files.content_of(&self.root.join(path), &found.stamp).is_ok_and(|content| content.digest.hash == hash)
    }

    /// Returns the folder to move things to: one of its own for each stage of a run and each time.
    fn aside(&self) -> PathBuf {
        let state = self.state.map_or_else(|| self.root.join(crate::base::state::STATE), Path::to_owned);
        let folder = state.join("aside").join(self.run);
        let name: String = self.stage.chars().map(|c| if c.is_ascii_alphanumeric() || "._-=,".contains(c) { c } else { '_' }).collect();
        let mut places = (1..).map(|number| if number == 1 { folder.join(&name) } else { folder.join(format!("{name}~{number}")) });
        places.find(|place| !place.exists()).unwrap_or(folder)
    }
}

/// Stands for a content that was not looked at: no file's hash.
const UNKNOWN: Hash = Hash([0; 32]);

fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        result => return result,
    }
    // Only when the whole of it is there is the original removed.
    if let Ok(target) = fs::read_link(from) {
        std::os::unix::fs::symlink(target, to)?;
    } else {
        fs::copy(from, to)?;
        fs::File::open(to)?.sync_all()?;
    }
    fs::remove_file(from)
}

/// Moves a folder that is not ours; what it holds was dealt with before, so only an empty one is left to move.
fn move_folder(whole: &Path, path: &str, store: &Path, aside: &mut Vec<String>) -> io::Result<()> {
    match fs::remove_dir(whole) {
        Ok(()) => {
            let is_new = !store.join(path).exists();
            aside.extend(is_new.then(|| format!("{path}/")));
            fs::create_dir_all(store.join(path))
        }
        Err(error) => ignore_full(Err(error)),
    }
}

/// A folder that something else still lies in stays.
fn ignore_full(result: io::Result<()>) -> io::Result<()> {
    // A busy one is where something is mounted.
    let stays = |error: &io::Error| matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy);
    result.or_else(|error| if stays(&error) { Ok(()) } else { Err(error) })
}

fn ignore_absence(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Returns all paths that lie there.
pub fn all(lying: &Lying) -> Vec<String> {
    lying.found.keys().cloned().collect()
}

/// Returns those of `wanted` that lie there in another kind or with another content, and so stand in the way.
pub fn in_the_way(lying: &Lying, wanted: &[&Output]) -> Vec<String> {
    let by_path: BTreeMap<&str, &Output> = wanted.iter().map(|output| (output.path.as_str(), *output)).collect();
    let is_in_the_way = |path: &&String| {
        let output = by_path.get(path.as_str());
        output.is_some_and(|output| output.kind != OutputKind::Folder || lying.found[*path].kind != FoundKind::Folder)
    };
    lying.found.keys().filter(is_in_the_way).cloned().collect()
}
