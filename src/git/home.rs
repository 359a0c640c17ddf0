//! The repository that git means where it calls a hook: its folders, its objects, its index.
//!
//! Knows linked worktrees, bare repositories and variables that git sets in hooks; knows nothing of pushes or checkouts.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::repo::{GitError, Repository, With};
use crate::base::program::plain;

/// A repository, and one folder of files of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// What is of this folder of files alone: its HEAD, its index.
    git_dir: PathBuf,
    /// What all folders of files share: objects, refs, hooks.
    common_dir: PathBuf,
    /// The folder of files; none in a bare repository.
    root: Option<PathBuf>,
}

impl Home {
    /// Returns the repository that git means in the current folder: the one that a hook was called for, else the one around the folder.
    ///
    /// # Errors
    /// Where there is none, or git cannot be asked.
    pub fn here() -> Result<Self, GitError> {
        let here = std::env::current_dir().map_err(|error| GitError::Failed(plain(&error)))?;
        let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(|value| here.join(value));
        let found = Self::around(&here);
        let Some(git_dir) = given("GIT_DIR") else { return found };
        match found {
            Ok(found) if found.git_dir == real(&git_dir) => Ok(found),
            // Files that lie apart from their repository, as some keep those of their home.
            _ => {
                let root = given("GIT_WORK_TREE").filter(|root| root.is_dir());
                let tree = root.iter().map(|root| option("--work-tree=", root));
                let words: Vec<OsString> = [option("--git-dir=", &git_dir)].into_iter().chain(tree).collect();
                let place = root.as_deref().unwrap_or(&here);
                Self::find(place, &words.iter().map(OsString::as_os_str).collect::<Vec<_>>())
            }
        }
    }

    /// Returns the repository that `folder` lies in.
    ///
    /// # Errors
    /// Where there is none, or git cannot be asked.
    pub fn around(folder: &Path) -> Result<Self, GitError> {
        Self::find(folder, &[])
    }

    /// Returns the repository around `folder`, or the one that these options of git mean.
    fn find(folder: &Path, options: &[&OsStr]) -> Result<Self, GitError> {
        let words = ["rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir", "--is-inside-work-tree", "--show-prefix"];
        let words: Vec<&OsStr> = options.iter().copied().chain(words.map(OsStr::new)).collect();
        let answer = Repository::at(folder).call(folder, &words, &With::default())?;
        let mut lines = answer.split(|byte| *byte == b'\n').map(|line| PathBuf::from(OsString::from_vec(line.to_vec())));
        let mut next = || lines.next().unwrap_or_default();
        let (git_dir, common_dir, inside, prefix) = (next(), next(), next(), next());
        let root = (inside == Path::new("true")).then(|| {
            let depth = prefix.components().count();
            real(folder).ancestors().nth(depth).unwrap_or(folder).to_owned()
        });
        Ok(Self { git_dir: real(&git_dir), common_dir: real(&common_dir), root })
    }

    /// Returns the folder that holds its files; `None` in a bare repository.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Returns the folder that all its worktrees share: the one that names the repository.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Returns the folder of what is this worktree's alone.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Returns the folder that git looks for hooks in, which need not be there.
    ///
    /// # Errors
    /// Where git cannot be asked.
    pub fn hooks(&self) -> Result<PathBuf, GitError> {
        let answer = self.ask(&["rev-parse", "--git-path", "hooks"])?;
        let path = PathBuf::from(OsString::from_vec(answer.strip_suffix(b"\n").unwrap_or(&answer).to_vec()));
        Ok(self.folder().join(path))
    }

    /// Returns the commits that these names lead to, tags followed; `None` for what is no commit, or not here.
    ///
    /// # Errors
    /// Where git cannot be asked.
    pub fn commits(&self, names: &[String]) -> Result<Vec<Option<String>>, GitError> {
        let input: String = names.iter().flat_map(|name| [name, "^{commit}\n"]).collect();
        let with = With { input: Some(input.as_bytes()), ..With::default() };
        let answer = self.ask_with(&["cat-file", "--batch-check=%(objectname) %(objecttype)"], &with)?;
        let answer = String::from_utf8_lossy(&answer);
        Ok(answer.lines().map(|line| line.strip_suffix(" commit").map(str::to_owned)).collect())
    }

    /// Returns the one object that `name` means; `None` where there is none.
    ///
    /// # Errors
    /// Where git cannot be asked.
    pub fn object(&self, name: &str) -> Result<Option<String>, GitError> {
        let with = With { input: Some(name.as_bytes()), ..With::default() };
        let answer = self.ask_with(&["cat-file", "--batch-check=%(objectname)"], &with)?;
        let answer = String::from_utf8_lossy(&answer);
        let answer = answer.trim_end();
        Ok((!answer.ends_with(" missing") && !answer.ends_with(" ambiguous")).then(|| answer.to_owned()))
    }

    /// Returns the tree of what `index` (a copy of an index) holds; its objects are kept in the repository, as a commit would keep them.
    ///
    /// # Errors
    /// Where it holds a merge that is not resolved, or git cannot be asked.
    pub fn tree_of_index(&self, index: &Path) -> Result<String, GitError> {
        let answer = self.ask_with(&["write-tree"], &With { index: Some(index), ..With::default() })?;
        Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
    }

    /// Returns a commit that holds `tree` and nothing before, for where there is none yet; no ref leads to it.
    ///
    /// # Errors
    /// Where git cannot be asked.
    pub fn orphan(&self, tree: &str) -> Result<String, GitError> {
        let author = ["-c", "user.name=shipway", "-c", "user.email=shipway@localhost", "-c", "commit.gpgSign=false"];
        let answer = self.ask(&[&author[..], &["commit-tree", "-m", "nothing is committed yet", tree]].concat())?;
        Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
    }

    /// Returns the index that git gave to a hook, or the repository's own.
    pub fn index(&self) -> PathBuf {
        let given = std::env::var_os("GIT_INDEX_FILE").filter(|value| !value.is_empty());
        given.map_or_else(|| self.git_dir.join("index"), |index| self.folder().join(index))
    }

    /// Returns what `git` with these words writes.
    pub(super) fn ask(&self, words: &[&str]) -> Result<Vec<u8>, GitError> {
        self.ask_with(words, &With::default())
    }

    /// The same with something more than usual.
    pub(super) fn ask_with(&self, words: &[&str], with: &With<'_>) -> Result<Vec<u8>, GitError> {
        let place = [option("--git-dir=", &self.git_dir)].into_iter().chain(self.root.iter().map(|root| option("--work-tree=", root)));
        let place: Vec<OsString> = place.collect();
        let words: Vec<&OsStr> = place.iter().map(OsString::as_os_str).chain(words.iter().map(OsStr::new)).collect();
        Repository::at(self.folder()).call(self.folder(), &words, with)
    }

    fn folder(&self) -> &Path {
        self.root.as_deref().unwrap_or(&self.git_dir)
    }
}

/// Returns an option of git with a path for a value.
pub(super) fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
