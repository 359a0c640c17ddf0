//! What is checked out in a repository, and whether anything lies there that no commit has.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::repo::{GitError, Repository};
use super::same::STRICT;
use crate::base::text::visible;

/// The commit that is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its name.
    pub commit: String,
    /// The name of its tree.
    pub tree: String,
    /// Who wrote it: the address.
    pub author: String,
    /// When, in seconds since 1970.
    pub committed_at: i64,
}

impl Repository {
    /// Returns the commit that is checked out; `None` where there is none yet.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn head(&self) -> Result<Option<Head>, GitError> {
        self.head_at("HEAD")
    }

    /// Returns the commit that `rev` means; `None` where there is none.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn head_at(&self, rev: &str) -> Result<Option<Head>, GitError> {
        let Some(commit) = self.commit(rev)? else { return Ok(None) };
        let line = self.ask(self.root(), &["log", "-1", "--format=%T%n%ct%n%ae", &commit, "--"])?;
        let text = String::from_utf8_lossy(&line);
        let mut lines = text.lines();
        let unread = || GitError::Failed(format!("the commit {commit} cannot be read"));
        let tree = lines.next().ok_or_else(unread)?.to_owned();
        let committed_at = lines.next().and_then(|time| time.parse().ok()).ok_or_else(unread)?;
        let author = lines.next().unwrap_or_default().to_owned();
        Ok(Some(Head { commit, tree, author, committed_at }))
    }

    /// Returns what a commit has at `path`, relative to the repository, links followed; `None` where that is no file.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn content(&self, commit: &str, path: &Path) -> Result<Option<Vec<u8>>, GitError> {
        let asked = [commit.as_bytes(), b":", path.as_os_str().as_bytes(), b"\n"].concat();
        let answer = self.ask_with(self.root(), &["cat-file", "--batch", "--follow-symlinks"], &asked)?;
        let Some(end) = answer.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let (about, content) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 1..]);
        let size = about.split_once(" blob ").and_then(|(_, size)| size.parse::<usize>().ok());
        Ok(size.and_then(|size| content.get(..size)).map(<[u8]>::to_vec))
    }

    /// Tells whether `commit` is, or comes after, the commit `before`.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn is_behind(&self, before: &str, commit: &str) -> Result<bool, GitError> {
        Ok(self.line(&["merge-base", before, commit])?.as_deref() == Some(before))
    }

    /// Returns when the commits were written that `commit` has and `before` has not, in seconds since 1970; without `before`, only `commit`
    /// itself. None where git does not know them here.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn written(&self, before: Option<&str>, commit: &str) -> Result<Vec<i64>, GitError> {
        let range = before.map_or_else(|| commit.to_owned(), |before| format!("{before}..{commit}"));
        let most = if before.is_none() { "--max-count=1" } else { "--max-count=10000" };
        match self.ask(self.root(), &["log", most, "--format=%ct", &range, "--"]) {
            Ok(listing) => Ok(String::from_utf8_lossy(&listing).lines().filter_map(|time| time.parse().ok()).collect()),
            Err(GitError::Failed(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Tells whether the file at `path` is one of the repository's that git tracks, or would.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn sees(&self, path: &Path) -> Result<bool, GitError> {
        let (Ok(path), Ok(root)) = (path.canonicalize(), self.root().canonicalize()) else { return Ok(false) };
        let Ok(inside) = path.strip_prefix(&root) else { return Ok(false) };
        let path = inside.to_string_lossy();
        let words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", &path];
        Ok(!self.ask(&root, &[&["--literal-pathspecs"], &words[..]].concat())?.is_empty())
    }

    /// Returns something that lies in the repository's files and that the commit which is checked out does not have, in words; `None` where
    /// there is nothing. What git ignores does not count.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn dirt(&self) -> Result<Option<String>, GitError> {
        let words = ["status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=none"];
        let answer = self.ask(self.root(), &[&STRICT[..], &words].concat())?;
        let text = String::from_utf8_lossy(&answer);
        let entries: Vec<&str> = text.split('\0').filter(|entry| !entry.is_empty()).collect();
        let Some(first) = entries.first() else { return Ok(None) };
        let (how, path) = first.split_at_checked(3).unwrap_or(("", first));
        let what = if how.starts_with("??") { "is not tracked" } else { "is changed" };
        let more = if entries.len() > 1 { format!(", +{} more", entries.len() - 1) } else { String::new() };
        Ok(Some(format!("`{}` {what}{more}", visible(path))))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_no_commit_has_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let git = |words: &[&str]| {
            let who = ["-c", "user.name=x", "-c", "user.email=x@y"];
            duct::cmd("git", who.iter().chain(words)).dir(&root).stdout_null().run().unwrap();
        };
        git(&["init", "-q"]);
        let repository = Repository::at(&root);
        assert_eq!((repository.head().unwrap(), repository.dirt().unwrap()), (None, None));
        fs::write(root.join("a"), "1").unwrap();
        assert_eq!(repository.dirt().unwrap().as_deref(), Some("`a` is not tracked"));
        fs::write(root.join(".gitignore"), "ignored\n").unwrap();
        git(&["add", "."]);
        git(&["commit", "-qm", "x"]);
        fs::write(root.join("ignored"), "1").unwrap();
        assert_eq!(repository.dirt().unwrap(), None);
        let head = repository.head().unwrap().unwrap();
        assert_eq!((head.author.as_str(), head.commit.len(), head.tree.len()), ("x@y", 40, 40));
        fs::write(root.join("a"), "2").unwrap();
        fs::write(root.join("b c"), "2").unwrap();
        assert_eq!(repository.dirt().unwrap().as_deref(), Some("`a` is changed, +1 more"));
        let content = |commit: &str, path: &str| repository.content(commit, Path::new(path)).unwrap();
        assert_eq!((content(&head.commit, "a").as_deref(), content(&head.commit, "none")), (Some(&b"1"[..]), None));
        std::os::unix::fs::symlink("a", root.join("link")).unwrap();
        git(&["add", "."]);
        git(&["commit", "-qm", "y"]);
        let next = repository.head().unwrap().unwrap();
        assert_eq!((content(&next.commit, "link").as_deref(), content(&head.commit, "link")), (Some(&b"2"[..]), None));
        let is_behind = |before: &Head, commit: &Head| repository.is_behind(&before.commit, &commit.commit).unwrap();
        assert_eq!((is_behind(&head, &next), is_behind(&next, &head), is_behind(&head, &head)), (true, false, true));
    }
}
