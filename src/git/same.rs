//! Whether a folder of files holds exactly what is to be tested, and nothing else: only then is a test there a test of that.
//!
//! Where it cannot be told, it is not the same.

use std::path::Path;

use super::home::Home;
use super::repo::{GitError, Repository, With};
use super::tracked::{Spared, Tracked};
use crate::base::text::visible;

/// What is to be tested.
#[derive(Debug, Clone, Copy)]
pub enum Content<'c> {
    /// This commit.
    Commit(&'c str),
    /// What this index holds.
    Index(&'c Path),
}

const BARE: &str = "this repository is bare";

/// Settings without which git would take something changed for unchanged.
pub(super) const STRICT: [&str; 10] = [
    "-c",
    "core.fileMode=true",
    "-c",
    "core.trustctime=true",
    "-c",
    "core.checkStat=default",
    "-c",
    "core.ignoreStat=false",
    "-c",
    "core.untrackedCache=false",
];

/// Returns what else lies around the tracked files of `home`, so that a test there might pass although one of `content` alone would not;
/// `None` where nothing does. To be asked where [`change`] found none.
///
/// # Errors
/// Where git cannot be asked.
pub fn addition(home: &Home, content: Content<'_>, spared: &Spared<'_>) -> Result<Option<String>, GitError> {
    let Some(root) = home.root() else { return Ok(Some(BARE.to_owned())) };
    // What looks for files later does not know where git was told to look.
    if Repository::find(root).is_none_or(|found| found.root() != root) {
        return Ok(Some("the repository lies apart from its files".to_owned()));
    }
    let with = With { index: index(content), ..With::default() };
    let mut tracked = Tracked::default();
    tracked.add(Path::new(""), &home.ask_with(&["ls-files", "-z", "--stage", "-v"], &with)?);
    if tracked.hides {
        return Ok(Some("git was told not to look at some files".to_owned()));
    }
    if !tracked.submodules.is_empty() {
        return Ok(Some("it has submodules".to_owned()));
    }
    let strays = tracked.strays(root, spared, 1).map_err(|error| GitError::Failed(error.to_string()))?;
    Ok(strays.first().map(|path| format!("`{}` lies here and is not part of it", visible(&path.to_string_lossy()))))
}

/// Returns what of the tracked files around `home` is not as `content` has it; `None` where they provably are.
///
/// # Errors
/// Where git cannot be asked.
pub fn change(home: &Home, content: Content<'_>) -> Result<Option<String>, GitError> {
    if home.root().is_none() {
        return Ok(Some(BARE.to_owned()));
    }
    let words = ["status", "--porcelain=v2", "--branch", "-z", "--no-renames", "--untracked-files=no", "--ignore-submodules=none"];
    let with = With { index: index(content), ..With::default() };
    let answer = home.ask_with(&[&STRICT[..], &words].concat(), &with)?;
    let (headers, entries): (Vec<&[u8]>, Vec<&[u8]>) =
        answer.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).partition(|entry| entry.starts_with(b"# "));
    if let Content::Commit(commit) = content
        && !headers.iter().any(|header| header.strip_prefix(b"# branch.oid ") == Some(commit.as_bytes()))
    {
        return Ok(Some("it is not what is checked out".to_owned()));
    }
    // A number, a blank, a letter for what differs between commit and index, one for what differs between index and file.
    let is_change = |entry: &&&[u8]| matches!(content, Content::Commit(_)) || entry.get(3) != Some(&b'.');
    Ok(entries.iter().find(is_change).map(|entry| {
        let path = entry.splitn(9, |byte| *byte == b' ').last().unwrap_or_default();
        format!("`{}` differs here", visible(&String::from_utf8_lossy(path)))
    }))
}

fn index(content: Content<'_>) -> Option<&Path> {
    match content {
        Content::Commit(_) => None,
        Content::Index(index) => Some(index),
    }
}
