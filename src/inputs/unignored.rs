//! The inputs of a stage that declares none: every file that git would not ignore.
//!
//! Knows ignored and tracked files; knows nothing of selectors.

use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::folders::Kind;
use super::ground::Ground;
use super::ignored::{Level, RULES, Rules};
use super::listing::Found;
use super::walk;
use crate::git::repo::{GitError, Repository};

/// What git ignores and tracks in the project.
#[derive(Debug)]
pub(super) struct Unignored {
    root: PathBuf,
    repository: Option<Repository>,
    rules: Rules,
    /// The files that git tracks, relative to the project, sorted by their bytes. Asked for when the first ignored path is met: nothing
    /// else depends on it.
    tracked: OnceLock<Result<Vec<PathBuf>, GitError>>,
}

/// A folder to be looked at.
#[derive(Clone)]
struct Folder {
    path: PathBuf,
    real: PathBuf,
    level: Option<Arc<Level>>,
    /// Git would not enter it: only tracked files in it count.
    is_ignored: bool,
}

/// One walk: where names begin, and what is never listed.
struct Walk<'a> {
    ground: &'a Ground,
    pipeline_files: &'a HashSet<PathBuf>,
    /// False where a link leads out of the project: nothing there is tracked.
    may_be_tracked: bool,
}

impl Unignored {
    /// Looks for the repository that the project `root` lies in.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), repository: Repository::find(root), rules: Rules::default(), tracked: OnceLock::new() }
    }

    /// Returns the repository that the project lies in.
    pub(super) fn repository(&self) -> Option<&Repository> {
        self.repository.as_ref()
    }

    /// Returns why tracked files that are ignored are not counted, where git did not tell which they are.
    pub(super) fn trouble(&self) -> Option<String> {
        self.tracked.get()?.as_ref().err().map(ToString::to_string)
    }

    /// Adds all below the folder `dir` of the project that git would not ignore.
    pub(super) fn list(&self, ground: &Ground, dir: &str, pipeline_files: &HashSet<PathBuf>, found: &mut Found) -> io::Result<()> {
        let Some(place) = ground.follow(dir, found)?.filter(|place| place.kind == Kind::Folder) else { return Ok(()) };
        let (path, may_be_tracked) = match place.real.strip_prefix(&ground.root) {
            Ok(path) => (path.to_owned(), true),
            Err(_) => (PathBuf::from(dir), false),
        };
        if ground.is_barred(&path) || path.iter().any(|name| name == ".git") {
            return Ok(());
        }
        let walk = Walk { ground, pipeline_files, may_be_tracked };
        let (level, is_ignored) = if may_be_tracked { self.enter(&path)? } else { (None, false) };
        let start = Folder { path, real: place.real, level, is_ignored };
        walk::walk(start, found, &|folder, inner, found| self.look(&walk, folder, inner, found))
    }

    /// Returns the rules above the folder `path` of the project, and whether they ignore it.
    fn enter(&self, path: &Path) -> io::Result<(Option<Arc<Level>>, bool)> {
        let mut level = self.above()?;
        let mut real = self.root.clone();
        for name in path {
            level = self.rules.enter_unseen(&real, level)?;
            real.push(name);
            if level.as_ref().is_some_and(|level| level.ignores(&real, true)) && !self.is_tracked(&real) {
                return Ok((None, true));
            }
        }
        Ok((level, false))
    }

    /// Returns the rules of the folders that the project lies in, up to its repository's root. Where they ignore the project as a
    /// whole, they do not hold: a project without any input would never run again.
    fn above(&self) -> io::Result<Option<Arc<Level>>> {
        let Some(top) = self.repository.as_ref().map(Repository::root) else { return Ok(None) };
        let mut level = None;
        let mut real = top.to_owned();
        for name in self.root.strip_prefix(top).unwrap_or(Path::new("")) {
            level = self.rules.enter_unseen(&real, level)?;
            real.push(name);
            if level.as_ref().is_some_and(|level| level.ignores(&real, true)) {
                return Ok(None);
            }
        }
        Ok(level)
    }

    /// Adds what is not ignored in a folder to `found`, and the folders to be looked at to `inner`.
    fn look(&self, walk: &Walk<'_>, folder: &Folder, inner: &mut Vec<Folder>, found: &mut Found) -> io::Result<()> {
        let mut folder = folder.clone();
        let entries = walk.ground.folders.read(&folder.real)?;
        let has_rules = entries.iter().any(|entry| entry.kind == Kind::File && entry.name == RULES);
        if has_rules && !folder.is_ignored {
            folder.level = self.rules.enter(&folder.real, folder.level)?;
        }
        for entry in entries.iter().filter(|entry| entry.kind != Kind::Other && entry.name != ".git") {
            folder.path.push(&entry.name);
            inner.extend(self.meet(walk, &folder, entry.kind, found));
            folder.path.pop();
        }
        Ok(())
    }

    /// Adds the entry at `folder.path`, which lies in the folder at `folder.real`; returns it where it is a folder itself.
    fn meet(&self, walk: &Walk<'_>, folder: &Folder, kind: Kind, found: &mut Found) -> Option<Folder> {
        let path = &folder.path;
        if path == Path::new(".shipway") || walk.pipeline_files.contains(path) || walk.ground.claimed.holds_itself(path) {
            return None;
        }
        let real = folder.real.join(path.file_name()?);
        let is_folder = kind == Kind::Folder;
        let mut is_ignored = folder.is_ignored || folder.level.as_ref().is_some_and(|level| level.ignores(&real, is_folder));
        if is_ignored && walk.may_be_tracked && self.is_tracked(&real) {
            is_ignored = false;
        }
        match kind {
            Kind::Folder if !is_ignored || (walk.may_be_tracked && self.has_tracked(path)) => {
                return Some(Folder { path: path.clone(), real, level: folder.level.clone(), is_ignored });
            }
            Kind::File if !is_ignored => found.file(path, real, None),
            Kind::Link if !is_ignored => found.link(path, real, true),
            Kind::File | Kind::Link | Kind::Folder | Kind::Other => {}
        }
        None
    }

    /// Returns the tracked files, none where git cannot tell.
    fn tracked(&self) -> &[PathBuf] {
        let asked = self.tracked.get_or_init(|| {
            let Some(repository) = &self.repository else { return Ok(Vec::new()) };
            let mut files = repository.tracked(&self.root)?;
            files.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
            Ok(files)
        });
        asked.as_ref().map(Vec::as_slice).unwrap_or_default()
    }

    /// Tells whether git tracks exactly the entry at `real`: a file, a link, or a submodule that it did not look into.
    fn is_tracked(&self, real: &Path) -> bool {
        let path = real.strip_prefix(&self.root).unwrap_or(real);
        self.tracked().binary_search_by(|file| file.as_os_str().cmp(path.as_os_str())).is_ok()
    }

    /// Tells whether git tracks anything below the folder `path`.
    fn has_tracked(&self, path: &Path) -> bool {
        let folder = [path.as_os_str().as_bytes(), b"/"].concat();
        let tracked = self.tracked();
        let first = tracked.partition_point(|file| file.as_os_str().as_bytes() < folder.as_slice());
        tracked.get(first).is_some_and(|file| file.as_os_str().as_bytes().starts_with(&folder))
    }
}
