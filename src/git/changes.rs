//! What has changed in a checkout since a commit, and which commit that should be.
//!
//! Knows commits, branches, paths and contents of files; knows nothing of stages or of what a change means to them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::repo::{GitError, Repository, path_of, paths};
use crate::base::text::visible;

/// A commit to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Its full name in hex.
    pub commit: String,
    /// What it is, for people: the merge base with a branch.
    pub what: String,
}

/// Why there is no commit to compare with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// Nothing is committed yet.
    #[error("there is no commit yet, so there is nothing to compare with")]
    NoCommit,
    /// Git knows no commit of this name.
    #[error("git knows no commit `{rev}` here")]
    Unknown {
        /// The name as given.
        rev: String,
        /// The clone has only a part of the history.
        is_shallow: bool,
    },
    /// The two have no history in common, as far as it is here.
    #[error("the history that HEAD and `{rev}` have in common is not {}", if *is_shallow { "in this shallow clone" } else { "there" })]
    Apart {
        /// The other one.
        rev: String,
        /// The clone has only a part of the history.
        is_shallow: bool,
    },
    /// No remote says which its default branch is.
    #[error("{0}, so there is no branch to compare with")]
    NoBranch(String),
    /// Git cannot be asked.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl BaseError {
    /// Returns what to do about it.
    pub fn help(&self) -> Option<&'static str> {
        const DEEPEN: &str = "fetch more of the history: git fetch --unshallow, or --deepen=N; in a CI job check out with its full depth";
        match self {
            Self::Unknown { is_shallow: true, .. } | Self::Apart { is_shallow: true, .. } => Some(DEEPEN),
            Self::Unknown { .. } => Some("fetch it, or name another commit or branch: --base REV"),
            Self::Apart { .. } | Self::NoCommit => Some("run without --affected, or name another commit: --base REV"),
            Self::NoBranch(_) => Some("name it: --base REV; or let git find out: git remote set-head origin --auto"),
            Self::Git(_) => None,
        }
    }
}

/// What differs between a commit and the files that are there now. All paths are relative to the repository.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Files and links that were added, deleted or changed, in content, kind or mode; both names of a renamed one. Files that git does not
    /// track are not among them.
    pub paths: BTreeSet<PathBuf>,
    /// Those of them that are, or were, links: what was read through one may have no name of its own.
    pub links: Vec<PathBuf>,
    /// Folders in which anything may have changed: submodules.
    pub folders: Vec<PathBuf>,
    /// All that git tracks, in submodules too.
    pub tracked: HashSet<PathBuf>,
}

/// The files of a commit, relative to a folder, and the names of their contents.
pub type Tree = HashMap<String, String>;

/// The kind of a submodule in git's listings.
const SUBMODULE: &str = "160000";

/// The kind of a symbolic link there.
const LINK: &str = "120000";

impl Repository {
    /// Returns the commit to compare with: the merge base of HEAD and `rev`, or without `rev` of HEAD and the remote's default branch.
    ///
    /// # Errors
    /// Where there is none: nothing is guessed.
    pub fn base(&self, rev: Option<&str>) -> Result<Base, BaseError> {
        if self.commit("HEAD")?.is_none() {
            return Err(BaseError::NoCommit);
        }
        let rev = rev.map_or_else(|| self.default_branch(), |rev| Ok(rev.to_owned()))?;
        let shown = visible(rev.strip_prefix("refs/remotes/").unwrap_or(&rev)).into_owned();
        let Some(commit) = self.commit(&rev)? else {
            return Err(BaseError::Unknown { rev: shown, is_shallow: self.is_shallow()? });
        };
        match self.line(&["merge-base", "HEAD", &commit])? {
            Some(base) => Ok(Base { commit: base, what: format!("the merge base with `{shown}`") }),
            None => Err(BaseError::Apart { rev: shown, is_shallow: self.is_shallow()? }),
        }
    }

    /// Returns what differs between `commit` and the files that are there now.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn changes(&self, commit: &str) -> Result<Changes, GitError> {
        let root = self.root();
        let mut changes = Changes { tracked: self.tracked(root)?.into_iter().collect(), ..Changes::default() };
        // No setting may hide a change: not of modes, not in submodules, not by where git is called.
        let settings = ["-c", "core.fileMode=true", "-c", "core.ignoreStat=false", "-c", "diff.autoRefreshIndex=true"];
        let words = ["diff", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-relative", "--no-ext-diff", "--ignore-submodules=none"];
        let raw = self.ask(root, &[&settings[..], &words, &[commit, "--"]].concat())?;
        let mut fields = raw.split(|byte| *byte == 0);
        while let (Some(about), Some(path)) = (fields.next(), fields.next()) {
            let path = path_of(path);
            // `:MODE MODE NAME NAME STATUS`
            let about = String::from_utf8_lossy(about);
            let is = |kind: &str| about.trim_start_matches(':').split(' ').take(2).any(|mode| mode == kind);
            if is(SUBMODULE) {
                changes.folders.push(path.clone());
            }
            if is(LINK) {
                changes.links.push(path.clone());
            }
            changes.paths.insert(path);
        }
        // Git was told not to look at these.
        for entry in self.ask(root, &["ls-files", "-v", "-z", "--cached"])?.split(|byte| *byte == 0) {
            if let [tag, b' ', path @ ..] = entry
                && (tag.is_ascii_lowercase() || *tag == b'S')
                && root.join(path_of(path)).symlink_metadata().is_ok()
            {
                changes.paths.insert(path_of(path));
            }
        }
        Ok(changes)
    }

    /// Returns the files of `commit` below the folder `below` of the repository, relative to it; not those whose names are not UTF-8.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn tree(&self, commit: &str, below: &Path) -> Result<Tree, GitError> {
        let words = ["ls-tree", "-r", "-z", "--full-tree", commit];
        let folder = below.to_string_lossy();
        let bytes = match &*folder {
            "" => self.ask(self.root(), &words)?,
            folder => self.ask(self.root(), &[&words[..], &["--", folder]].concat())?,
        };
        let entries = paths(&bytes).into_iter().filter_map(|entry| {
            // `MODE blob NAME<tab>PATH`
            let (about, path) = entry.to_str()?.split_once('\t')?;
            let path = Path::new(path).strip_prefix(below).ok()?.to_str()?.to_owned();
            let mut about = about.split(' ').skip(1);
            let is_file = about.next() == Some("blob");
            about.next().filter(|_| is_file).map(|name| (path, name.to_owned()))
        });
        Ok(entries.collect())
    }

    /// Returns the contents of these names, in their order.
    ///
    /// # Errors
    /// Where git is missing or unwilling, or has no such content.
    pub fn contents(&self, names: &[&str]) -> Result<Vec<Vec<u8>>, GitError> {
        let given = names.iter().flat_map(|name| [name, "\n"]).collect::<String>();
        let bytes = self.ask_with(self.root(), &["cat-file", "--batch"], given.as_bytes())?;
        let mut rest = bytes.as_slice();
        let mut contents = Vec::with_capacity(names.len());
        for name in names {
            let lost = || GitError::Failed(format!("the content {name} is not there"));
            let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(lost)?;
            // `NAME blob SIZE`, and after it the content and a newline.
            let size: Option<usize> = String::from_utf8_lossy(&rest[..end]).rsplit(' ').next().and_then(|size| size.parse().ok());
            let size = size.ok_or_else(lost)?;
            let content: &[u8] = rest.get(end + 1..end + 1 + size).ok_or_else(lost)?;
            contents.push(content.to_vec());
            rest = rest.get(end + size + 2..).ok_or_else(lost)?;
        }
        Ok(contents)
    }

    /// Returns the full name of the commit that `rev` means; `None` where git knows none here.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn commit(&self, rev: &str) -> Result<Option<String>, GitError> {
        // What begins with a dash would be taken for a flag.
        if rev.is_empty() || rev.starts_with('-') || rev.contains('\0') {
            return Ok(None);
        }
        self.line(&["rev-parse", "--verify", "--quiet", &format!("{rev}^{{commit}}")])
    }

    fn is_shallow(&self) -> Result<bool, GitError> {
        Ok(self.line(&["rev-parse", "--is-shallow-repository"])?.is_some_and(|answer| answer == "true"))
    }

    /// Returns the branch of a remote that work is compared with: the default branch of `origin`, else of the remote that this branch
    /// follows, else of the only remote; where the remote's HEAD is not known here, its `main` or its `master`.
    fn default_branch(&self) -> Result<String, BaseError> {
        let all = String::from_utf8_lossy(&self.ask(self.root(), &["remote"])?).into_owned();
        let all: Vec<&str> = all.lines().collect();
        let followed = match self.line(&["symbolic-ref", "--quiet", "HEAD"])? {
            Some(branch) => self.line(&["for-each-ref", "--format=%(upstream:remotename)", &branch])?,
            None => None,
        };
        let mut remotes: Vec<&str> = all.iter().copied().filter(|remote| *remote == "origin").chain(followed.as_deref()).collect();
        if let [only] = all[..] {
            remotes.push(only);
        }
        remotes.dedup();
        for remote in &remotes {
            if let Some(branch) = self.line(&["symbolic-ref", "--quiet", &format!("refs/remotes/{remote}/HEAD")])?
                && self.commit(&branch)?.is_some()
            {
                return Ok(branch);
            }
        }
        for remote in &remotes {
            let mut found = Vec::new();
            for name in ["main", "master"] {
                let branch = format!("refs/remotes/{remote}/{name}");
                if self.commit(&branch)?.is_some() {
                    found.push(branch);
                }
            }
            if let [only] = found.as_slice() {
                return Ok(only.clone());
            }
        }
        Err(BaseError::NoBranch(match all.as_slice() {
            [] => "this repository has no remote".to_owned(),
            [only] => format!("it is not known which branch of the remote `{}` is its default", visible(only)),
            _ => "it is not known which branch of which remote is the default".to_owned(),
        }))
    }

    /// Returns the line that git answers; `None` where it says that there is nothing.
    pub(super) fn line(&self, words: &[&str]) -> Result<Option<String>, GitError> {
        match self.ask(self.root(), words) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).lines().next().map(str::to_owned).filter(|line| !line.is_empty())),
            Err(GitError::Failed(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
