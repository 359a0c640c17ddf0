//! The pipeline as a commit has it.
//!
//! Knows how the files of a commit are read; what they mean, `config` says.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::Path;

use crate::base::glob::Glob;
use crate::base::source::Source;
use crate::config::folder::Files;
use crate::config::load_with;
use crate::git::changes::Tree;
use crate::git::repo::{GitError, Repository};
use crate::model::pipeline::Pipeline;

/// The files of a project as a commit has them.
struct AtCommit<'r> {
    repository: &'r Repository,
    tree: Tree,
    /// What was read already, by name of the content.
    known: RefCell<HashMap<String, Vec<u8>>>,
}

impl AtCommit<'_> {
    /// Reads the contents of these names, all at once.
    fn fetch(&self, names: &[&str]) -> Result<(), GitError> {
        let contents = self.repository.contents(names)?;
        self.known.borrow_mut().extend(names.iter().map(|name| (*name).to_owned()).zip(contents));
        Ok(())
    }
}

impl Files for AtCommit<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let name = self.tree.get(path).ok_or(io::ErrorKind::NotFound)?;
        if !self.known.borrow().contains_key(name) {
            self.fetch(&[name]).map_err(io::Error::other)?;
        }
        self.known.borrow().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn find(&self, glob: &Glob) -> io::Result<Vec<String>> {
        let mut found: Vec<(&String, &String)> = self.tree.iter().filter(|(path, _)| glob.matches_itself(Path::new(path))).collect();
        found.sort_unstable();
        self.fetch(&found.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>()).map_err(io::Error::other)?;
        Ok(found.into_iter().map(|(path, _)| path.clone()).collect())
    }
}

/// Returns the pipeline in `file` of the project in the folder `below` of the repository, as `commit` has it; or why it has none, for
/// people.
///
/// # Errors
/// Where git is missing or unwilling.
pub(super) fn pipeline_at(repository: &Repository, commit: &str, below: &Path, file: &str) -> Result<Result<Pipeline, String>, GitError> {
    let files = AtCommit { repository, tree: repository.tree(commit, below)?, known: RefCell::default() };
    let Ok(bytes) = files.read(file) else { return Ok(Err(format!("has no {file}"))) };
    let (_, loaded) = load_with(Source::new(file, bytes), file, &files);
    Ok(loaded.map(|loaded| loaded.pipeline).map_err(|_| format!("has a {file} that is not valid now")))
}
