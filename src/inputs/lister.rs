//! The files that a stage reads, found and named.
//!
//! Knows what `inputs` mean and what an absent list means; knows nothing of what the files hold.
//!
//! ```text
//! selectors --selected--+                     what was found,
//! none      --unignored-+--> files and links --links--> and what is behind links: Listing
//! programs  --selected--+
//! ```

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::claimed::Claimed;
use super::folders::Folders;
use super::ground::Ground;
use super::links::Links;
use super::listing::Found;
use super::listing::Listing;
use super::selected::Selected;
use super::unignored::Unignored;
use crate::git::repo::Repository;
use crate::model::stage::Selector;

/// A default listing, made by the first that asks for it while the others wait.
type Slot = Arc<Mutex<Option<Arc<Listing>>>>;

/// Lists what stages read: one for a run, shared by its threads.
#[derive(Debug)]
pub struct Lister {
    ground: Ground,
    unignored: Unignored,
    /// The files of the pipeline: no default inputs.
    pipeline_files: HashSet<PathBuf>,
    /// Default listings by folder.
    known: Mutex<HashMap<String, Slot>>,
}

impl Lister {
    /// Begins in the project `root`, an absolute and real path, whose pipeline file lies at `pipeline_file`, relative to it.
    pub fn new(root: &Path, pipeline_file: &str, claimed: Claimed) -> Self {
        Self {
            ground: Ground { root: root.to_owned(), claimed: Arc::new(claimed), folders: Folders::default() },
            unignored: Unignored::new(root),
            pipeline_files: HashSet::from([PathBuf::from(pipeline_file)]),
            known: Mutex::default(),
        }
    }

    /// Leaves out the files that the pipeline's file includes, too.
    #[must_use]
    pub fn without(mut self, included: &[String]) -> Self {
        self.pipeline_files.extend(included.iter().map(PathBuf::from));
        self
    }

    /// Returns another one for the same project, which knows nothing yet of what lies where, nor of what git tracks.
    #[must_use]
    pub fn anew(&self) -> Self {
        let Ground { root, claimed, .. } = &self.ground;
        Self {
            ground: Ground { root: root.clone(), claimed: Arc::clone(claimed), folders: Folders::default() },
            unignored: Unignored::new(root),
            pipeline_files: self.pipeline_files.clone(),
            known: Mutex::default(),
        }
    }

    /// Returns the real paths of all folders that were read: what is added to one of them may be an input.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.ground.folders.paths()
    }

    /// Returns the root of the repository whose rules say what is ignored.
    pub fn repository(&self) -> Option<&Repository> {
        self.unignored.repository()
    }

    /// Returns what the stage in `dir` reads: what its `selectors` mean, or without them all below `dir` that git would not ignore;
    /// and its `programs`, paths relative to the project.
    ///
    /// # Errors
    /// Where a folder, or what is behind a link, cannot be read; the text names it.
    pub fn list(&self, dir: &str, selectors: Option<&[Selector]>, programs: &[String]) -> io::Result<Arc<Listing>> {
        let Some(selectors) = selectors else { return self.list_default(dir, programs) };
        let mut found = Found::default();
        Selected::new(&self.ground, &mut found).list(selectors)?;
        self.finish(found, programs, None)
    }

    /// Tells whether a path, relative to the project, is a declared output, or lies below one.
    pub fn is_claimed(&self, path: &Path) -> bool {
        self.ground.claimed.holds(path)
    }

    /// Tells whether a path, relative to the project, is no input whatever its name; of a stage that declares no inputs with `is_default`.
    pub(super) fn is_never(&self, path: &Path, is_default: bool) -> bool {
        self.ground.is_barred(path) || (is_default && path.ancestors().any(|part| self.pipeline_files.contains(part)))
    }

    /// Forgets what lies where, because a step has run. What git tracks is not asked for again.
    pub fn forget(&self) {
        self.ground.folders.forget();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns why files that git both ignores and tracks are not among default inputs, where git could not be asked.
    pub fn git_trouble(&self) -> Option<String> {
        self.unignored.trouble()
    }

    fn list_default(&self, dir: &str, programs: &[String]) -> io::Result<Arc<Listing>> {
        let slot = Arc::clone(self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(dir.to_owned()).or_default());
        // A slot that was forgotten meanwhile is filled for those who hold it, and no one else.
        let mut known = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let listing = match &*known {
            Some(listing) => Arc::clone(listing),
            None => Arc::clone(known.insert(self.make_default(dir, &[])?)),
        };
        drop(known);
        let is_listed = |program: &String| listing.inputs.binary_search_by(|input| input.name.as_str().cmp(program)).is_ok();
        if programs.iter().all(is_listed) { Ok(listing) } else { self.make_default(dir, programs) }
    }

    fn make_default(&self, dir: &str, programs: &[String]) -> io::Result<Arc<Listing>> {
        let mut found = Found::default();
        self.unignored.list(&self.ground, dir, &self.pipeline_files, &mut found)?;
        self.finish(found, programs, Some(&self.pipeline_files))
    }

    fn finish(&self, mut found: Found, programs: &[String], never: Option<&HashSet<PathBuf>>) -> io::Result<Arc<Listing>> {
        let mut selected = Selected::new(&self.ground, &mut found);
        for program in programs {
            selected.list_path(program)?;
        }
        Links::new(&self.ground, &mut found, never).follow()?;
        Ok(Arc::new(found.finish()))
    }
}

#[cfg(test)]
mod tests;
