//! The repository that a project lies in, and the files that it tracks.
//!
//! Knows how to find a repository and how to ask `git` about it; knows nothing of stages, inputs or ignored files.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::base::program;
use crate::base::text::{shell_quote, visible};

/// Variables of git that say where a machine's settings are; all others are about some repository, perhaps another one.
const KEPT: [&str; 4] = ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"];

/// Why git cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// There is no `git`, or it cannot be started.
    #[error("git cannot be asked: {0}")]
    Missing(String),
    /// Git sees no repository there.
    #[error("git sees no repository in `{0}`")]
    NoRepository(String),
    /// The repository belongs to someone else.
    #[error("git does not trust `{folder}`, which belongs to another user: `git config --global --add safe.directory {quoted}` makes it")]
    Untrusted {
        /// The repository.
        folder: String,
        /// The same for a shell.
        quoted: String,
    },
    /// Git says something else.
    #[error("git failed: {0}")]
    Failed(String),
}

/// A repository with files in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    root: PathBuf,
}

/// What a call of git gets beside its words.
#[derive(Debug, Default)]
pub(super) struct With<'w> {
    /// The index to use instead of the repository's.
    pub(super) index: Option<&'w Path>,
    /// What it reads.
    pub(super) input: Option<&'w [u8]>,
    /// An empty file that stays open, and locked if it is, until git has ended, whatever becomes of us.
    pub(super) held: Option<&'w File>,
}

impl Repository {
    /// Returns the repository whose files lie in `root`, without a look at it.
    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Returns the repository that `folder` lies in, as git would find it; nothing is started.
    pub fn find(folder: &Path) -> Option<Self> {
        folder.ancestors().find(|folder| is_repository(&folder.join(".git"))).map(|root| Self { root: root.to_owned() })
    }

    /// Returns the folder that holds all its files.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the file in which git keeps what it tracks here: of a worktree or a submodule it lies elsewhere, as `.git` says
    /// (gitrepository-layout(5)).
    pub fn index(&self) -> PathBuf {
        let git = self.root.join(".git");
        let elsewhere = std::fs::read_to_string(&git).ok();
        let elsewhere = elsewhere.as_deref().and_then(|text| text.strip_prefix("gitdir:")).map(str::trim);
        elsewhere.map_or(git, |folder| self.root.join(folder)).join("index")
    }

    /// Returns the tracked files below the folder `below`, relative to it, in no certain order; those of submodules too, as far as git can.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn tracked(&self, below: &Path) -> Result<Vec<PathBuf>, GitError> {
        let listing = ["ls-files", "-z", "--cached"];
        let bytes = match self.ask(below, &[&listing[..], &["--recurse-submodules"]].concat()) {
            // A damaged submodule, or a git that is too old.
            Err(GitError::Failed(_)) => self.ask(below, &listing)?,
            answer => answer?,
        };
        Ok(paths(&bytes))
    }

    /// Returns the files below the folder `below` that are tracked although a `.gitignore` ignores them, relative to it.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn tracked_but_ignored(&self, below: &Path) -> Result<Vec<PathBuf>, GitError> {
        let words = ["ls-files", "-z", "--cached", "--ignored", "--exclude-per-directory=.gitignore"];
        Ok(paths(&self.ask(below, &words)?))
    }

    /// Returns what `git` with these words writes, run in `folder`.
    pub(super) fn ask(&self, folder: &Path, words: &[&str]) -> Result<Vec<u8>, GitError> {
        self.ask_with(folder, words, &[])
    }

    /// The same, `given` being what it reads.
    pub(super) fn ask_with(&self, folder: &Path, words: &[&str], given: &[u8]) -> Result<Vec<u8>, GitError> {
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        self.call(folder, &words, &With { input: Some(given), ..With::default() })
    }

    /// Returns what `git` with these words writes, run in `folder`, with something more than usual.
    pub(super) fn call(&self, folder: &Path, words: &[&OsStr], with: &With<'_>) -> Result<Vec<u8>, GitError> {
        let mut environment = environment(std::env::vars_os());
        environment.extend(with.index.map(|index| ("GIT_INDEX_FILE".into(), index.into())));
        let call = command(folder, words, environment)?;
        let call = match (with.input, with.held) {
            (Some(input), _) => call.stdin_bytes(input),
            (None, Some(file)) => call.stdin_file(file.try_clone().map_err(|error| GitError::Missing(program::plain(&error)))?),
            (None, None) => call.stdin_null(),
        };
        let output = call.stdout_capture().stderr_capture().unchecked().run().map_err(|error| GitError::Missing(program::plain(&error)))?;
        if output.status.success() { Ok(output.stdout) } else { Err(self.explain(&String::from_utf8_lossy(&output.stderr))) }
    }

    /// Returns what git's complaint means.
    pub(super) fn explain(&self, complaint: &str) -> GitError {
        let folder = self.root.to_string_lossy();
        if complaint.contains("dubious ownership") || complaint.contains("unsafe repository") {
            return GitError::Untrusted { folder: visible(&folder).into_owned(), quoted: visible(&shell_quote(&folder)).into_owned() };
        }
        if complaint.contains("not a git repository") {
            return GitError::NoRepository(visible(&folder).into_owned());
        }
        let line = complaint.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        GitError::Failed(visible(line.trim_start_matches("fatal: ")).into_owned())
    }
}

/// Returns the paths of a list that ends each with a NUL.
pub(super) fn paths(bytes: &[u8]) -> Vec<PathBuf> {
    bytes.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(path_of).collect()
}

/// Returns these bytes as a path.
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// Tells whether `path`, named `.git`, makes its folder a repository: git passes by an empty folder of that name.
fn is_repository(path: &Path) -> bool {
    path.is_file() || path.join("HEAD").symlink_metadata().is_ok()
}

/// Returns the call of `git` with these words in `folder`, not started.
pub(super) fn command(folder: &Path, words: &[&OsStr], environment: Vec<(OsString, OsString)>) -> Result<duct::Expression, GitError> {
    let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    let git = program::find("git", path, folder).map_err(GitError::Missing)?;
    // No setting of the repository may start a program of its own or change how names are written.
    let settings = ["-c", "core.quotePath=false", "-c", "core.fsmonitor=false", "--literal-pathspecs"];
    Ok(duct::cmd(git, settings.iter().map(OsStr::new).chain(words.iter().copied())).dir(folder).full_env(environment))
}

/// Returns `variables` without what would lead git to another repository: a hook of git has such variables set.
pub(super) fn environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let is_kept = |name: &OsStr| !name.to_string_lossy().starts_with("GIT_") || KEPT.iter().any(|kept| name == *kept);
    let ours = variables.filter(|(name, _)| is_kept(name) && name != "LC_ALL" && name != "LANGUAGE");
    // Its complaints are read: they must be in one language. A lock that it can do without would disturb others.
    ours.chain([("LC_ALL", "C"), ("GIT_OPTIONAL_LOCKS", "0")].map(|(name, value)| (name.into(), value.into()))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn git(folder: &Path, words: &[&str]) {
        let settings = ["-c", "user.name=x", "-c", "user.email=x@y", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"];
        let run = duct::cmd("git", settings.iter().chain(words)).dir(folder).full_env(environment(std::env::vars_os()));
        run.stdout_null().stderr_null().run().unwrap();
    }

    fn tracked(folder: &Path) -> Vec<String> {
        let found = Repository::find(folder).unwrap().tracked(folder).unwrap();
        let mut names: Vec<String> = found.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn tracked_files_are_those_below_the_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        git(&root, &["init"]);
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        for name in ["top", "sub/a\nb", "sub/-dash", "sub/größe", "sub/deep/*", "sub/new"] {
            fs::write(root.join(name), "").unwrap();
        }
        git(&root, &["add", "--", "top", "sub/a\nb", "sub/-dash", "sub/größe", "sub/deep"]);
        assert_eq!(tracked(&root.join("sub")), ["-dash", "a\nb", "deep/*", "größe"]);
        assert_eq!(Repository::find(&root.join("sub/deep")).unwrap().root(), root);
    }

    #[test]
    fn worktrees_and_submodules_are_repositories() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        let (library, main, other) = (root.join("library"), root.join("main"), root.join("other"));
        for (folder, file) in [(&library, "l"), (&main, "m")] {
            fs::create_dir(folder).unwrap();
            git(folder, &["init"]);
            fs::write(folder.join(file), "").unwrap();
            git(folder, &["add", "."]);
            git(folder, &["commit", "-m", "x"]);
        }
        git(&main, &["submodule", "add", "../library", "vendor"]);
        assert_eq!(tracked(&main), [".gitmodules", "m", "vendor/l"]);
        git(&main, &["worktree", "add", "../other"]);
        assert_eq!(tracked(&other), ["m"]);
        for folder in [&library, &main, &other, &main.join("vendor")] {
            assert!(Repository::find(folder).unwrap().index().is_file(), "{}", folder.display());
        }
        assert_eq!(Repository::find(&main.join("vendor")).unwrap().root(), main.join("vendor"));
    }

    #[test]
    fn nothing_leads_git_to_another_repository() {
        let ours = ["PATH", "GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_GLOBAL", "LC_ALL"];
        let names = environment(ours.iter().map(|name| (name.into(), "x".into()))).into_iter().map(|(name, _)| name);
        assert_eq!(names.collect::<Vec<_>>(), ["PATH", "GIT_CONFIG_GLOBAL", "LC_ALL", "GIT_OPTIONAL_LOCKS"]);
    }

    #[test]
    fn troubles_are_told_for_people() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("empty/.git")).unwrap();
        fs::write(root.join(".git"), "gitdir: nowhere").unwrap();
        let repository = Repository::find(&root.join("empty")).unwrap();
        assert_eq!(repository.root(), root);
        let error = repository.tracked(&root).unwrap_err();
        assert_eq!(error, GitError::NoRepository(root.to_string_lossy().into_owned()));
        let untrusted = repository.explain("fatal: detected dubious ownership in repository at '/x'\nTo add");
        assert!(untrusted.to_string().contains("git config --global --add safe.directory /"), "{untrusted}");
        assert_eq!(repository.explain("fatal: index file corrupt\n"), GitError::Failed("index file corrupt".to_owned()));
        let gone = repository.tracked(&root.join("gone")).unwrap_err();
        assert!(matches!(gone, GitError::Missing(_)), "{gone}");
    }
}
