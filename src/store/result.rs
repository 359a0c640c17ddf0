//! What a stage that succeeded has left behind.
//!
//! Knows which paths and digests make a result, and which paths are refused; knows nothing of bytes on disk.

use crate::base::digest::Digest;
use crate::base::stamp::{Stamp, is_executable};

/// The longest path that is believed; no system call takes a longer one.
const LONGEST_PATH: usize = 4096;

/// The part of a file's mode that is kept: who may read, write and execute.
pub(super) const PERMISSIONS: u32 = 0o777;

/// The result of a stage that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageResult {
    /// Everything the stage left at its declared outputs, sorted by the bytes of the path, no path twice. Each folder that is part of an
    /// output is listed, empty or not; the parents of a file that was declared by itself are not.
    pub outputs: Vec<Output>,
    /// The blob that holds what the stage printed, if it was kept.
    pub log: Option<Digest>,
    /// The absolute path of the one checkout that this result is good for, if it is bound to one.
    pub bound_to: Option<String>,
    /// The blob that holds the fingerprint; its hash is the key of the result.
    pub fingerprint: Digest,
    /// How long the stage took, in milliseconds.
    pub duration_ms: u64,
}

impl StageResult {
    /// Returns the blobs that the outputs and the log are made of, as often as they occur.
    pub fn blobs(&self) -> impl Iterator<Item = &Digest> {
        let files = self.outputs.iter().filter_map(|output| match &output.kind {
            OutputKind::File { digest, .. } => Some(digest),
            OutputKind::Link { .. } | OutputKind::Folder => None,
        });
        files.chain(&self.log)
    }
}

/// One file, link or folder that a stage left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The path from the project, with `/` between its parts.
    pub path: String,
    /// What lies there.
    pub kind: OutputKind,
}

/// What lies at the path of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputKind {
    /// A regular file.
    File {
        /// The content.
        digest: Digest,
        /// The permissions, of which only one thing counts for others: whether it may be executed.
        mode: u32,
        /// The last change of the content, in nanoseconds since 1970. It counts for nobody, but comes back with the file: tools tell by it
        /// whether what they derived from the file is still good.
        modified: i64,
    },
    /// A symbolic link.
    Link {
        /// The text of the link, wherever it leads.
        target: String,
    },
    /// A folder.
    Folder,
}

impl OutputKind {
    /// Returns a file with this content and what `stamp` says of it.
    pub fn file(digest: Digest, stamp: &Stamp) -> Self {
        Self::File { digest, mode: stamp.mode & PERMISSIONS, modified: stamp.modified }
    }

    /// Tells whether whoever uses the one could as well use the other.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { digest: one, mode: first, .. }, Self::File { digest: other, mode: second, .. }) => {
                one == other && is_executable(*first) == is_executable(*second)
            }
            _ => self == other,
        }
    }
}

/// Why the bytes of a record are not believed. Each reads on after "the record".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes are no message of the expected kind.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] prost::DecodeError),
    /// The message lacks what shipway writes into each of its records.
    #[error("was not written by shipway")]
    Foreign,
    /// The record is of another version of the format.
    #[error("is of version {0}, which this shipway does not read")]
    Version(u32),
    /// The content does not match the digest that the record carries of itself.
    #[error("does not match its own digest")]
    Altered,
    /// The record is of a failure, and only successes are stored.
    #[error("is of a stage that exited with code {0}")]
    ExitCode(i32),
    /// The record holds a field that shipway does not write.
    #[error("holds {0}, which shipway does not write")]
    Unexpected(&'static str),
    /// A path leads out of the project, or is not written in the one accepted way.
    #[error("holds the path {0:?}, which is refused")]
    Path(String),
    /// A path is listed in the wrong place, or twice.
    #[error("lists the path {0:?} twice or out of order")]
    Order(String),
    /// A path is below another output that lists its own content, or has none.
    #[error("holds the path {0:?} below another output")]
    Below(String),
    /// The text of a link is empty or holds a zero byte.
    #[error("holds a link at {0:?} that cannot be made")]
    Target(String),
    /// A digest is missing, or is no SHA-256 with a size.
    #[error("holds no good digest for {0:?}")]
    Digest(String),
    /// The blob of a folder's tree is not there, or not whole.
    #[error("names the folder {0:?}, whose tree is missing or damaged")]
    Tree(String),
    /// The time or the mode of a file is missing, or is none.
    #[error("holds no good time and mode for {0:?}")]
    Properties(String),
    /// The outputs are too many to be believed.
    #[error("holds more outputs than are believed")]
    TooLarge,
}

/// Refuses a path that is not relative and written in the one way that leads nowhere else.
pub(super) fn check_path(path: &str) -> Result<(), RecordError> {
    let good = path.len() <= LONGEST_PATH && path.split('/').all(is_name);
    if good { Ok(()) } else { Err(RecordError::Path(path.to_owned())) }
}

/// Whether `text` is one part of a path, and a name.
pub(super) fn is_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.contains(['/', '\0'])
}

/// Returns every folder above `path`, the topmost first.
pub(super) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_are_accepted() {
        for good in ["a", "a/b", "-a", "a\nb", "..a", "a..", "...", "ä/\u{1f600}", "a\\b", "c:"] {
            assert_eq!(check_path(good), Ok(()), "{good:?}");
        }
        let long = "a/".repeat(LONGEST_PATH);
        for bad in ["", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/../b", "../a", "a\0b", &long] {
            assert_eq!(check_path(bad), Err(RecordError::Path(bad.to_owned())), "{bad:?}");
        }
    }

    #[test]
    fn ancestors_come_from_the_top() {
        assert_eq!(ancestors("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
        assert_eq!(ancestors("a").count(), 0);
    }
}
