//! The few messages of the Remote Execution API v2 that a record is made of, as the wire has them.
//!
//! Knows field numbers, taken from `build/bazel/remote/execution/v2/remote_execution.proto` of bazelbuild/remote-apis at becdd8f (and
//! `any.proto`, `timestamp.proto`, `wrappers.proto` of `google/protobuf`); knows nothing of what the fields mean to shipway. A field that shipway neither writes nor reads is left out.

use crate::base::digest;

/// `Digest`: a content's hash and size.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Digest {
    /// The SHA-256 in lower-case hexadecimal digits.
    #[prost(string, tag = "1")]
    pub hash: String,
    /// The size in bytes.
    #[prost(int64, tag = "2")]
    pub size_bytes: i64,
}

impl Digest {
    /// Returns what the message says; `None` where the hash is no SHA-256 or the size is below zero.
    pub fn parse(&self) -> Option<digest::Digest> {
        Some(digest::Digest { hash: digest::Hash::parse(&self.hash)?, size: u64::try_from(self.size_bytes).ok()? })
    }
}

impl From<digest::Digest> for Digest {
    fn from(digest: digest::Digest) -> Self {
        // No file system holds more than 2^63 bytes in a file.
        Self { hash: digest.hash.to_string(), size_bytes: i64::try_from(digest.size).unwrap_or(i64::MAX) }
    }
}

/// `ActionResult`: what a finished action left.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ActionResult {
    /// Files that were declared by their own path.
    #[prost(message, repeated, tag = "2")]
    pub output_files: Vec<OutputFile>,
    /// Folders that were declared, each with a tree of its own.
    #[prost(message, repeated, tag = "3")]
    pub output_directories: Vec<OutputDirectory>,
    /// The exit code.
    #[prost(int32, tag = "4")]
    pub exit_code: i32,
    /// Standard output, where it is kept in the message.
    #[prost(bytes = "vec", tag = "5")]
    pub stdout_raw: Vec<u8>,
    /// Standard output, where it is a blob.
    #[prost(message, optional, tag = "6")]
    pub stdout_digest: Option<Digest>,
    /// Standard error, where it is kept in the message.
    #[prost(bytes = "vec", tag = "7")]
    pub stderr_raw: Vec<u8>,
    /// Standard error, where it is a blob.
    #[prost(message, optional, tag = "8")]
    pub stderr_digest: Option<Digest>,
    /// How it was executed.
    #[prost(message, optional, tag = "9")]
    pub execution_metadata: Option<ExecutedActionMetadata>,
    /// Symbolic links to files, as older servers say it.
    #[prost(message, repeated, tag = "10")]
    pub output_file_symlinks: Vec<OutputSymlink>,
    /// Symbolic links to folders, as older servers say it.
    #[prost(message, repeated, tag = "11")]
    pub output_directory_symlinks: Vec<OutputSymlink>,
    /// Symbolic links that were declared by their own path.
    #[prost(message, repeated, tag = "12")]
    pub output_symlinks: Vec<OutputSymlink>,
}

/// `OutputFile`: a file by its whole path.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OutputFile {
    /// The path, relative, with `/` between its parts.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The content.
    #[prost(message, optional, tag = "2")]
    pub digest: Option<Digest>,
    /// Whether the file may be executed.
    #[prost(bool, tag = "4")]
    pub is_executable: bool,
    /// What else is known of the file.
    #[prost(message, optional, tag = "7")]
    pub node_properties: Option<NodeProperties>,
}

/// `OutputDirectory`: a folder by its whole path.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OutputDirectory {
    /// The path, relative, with `/` between its parts.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The blob that holds the folder's `Tree`.
    #[prost(message, optional, tag = "3")]
    pub tree_digest: Option<Digest>,
}

/// `OutputSymlink`: a symbolic link by its whole path.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OutputSymlink {
    /// The path, relative, with `/` between its parts.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The text of the link.
    #[prost(string, tag = "2")]
    pub target: String,
}

/// `Tree`: a folder and every folder below it. The folders are kept as the bytes they came as, since their digests are of those bytes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Tree {
    /// The encoded `Directory` at the top.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub root: Option<Vec<u8>>,
    /// Every other encoded `Directory`, each content once.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub children: Vec<Vec<u8>>,
}

/// `Directory`: what one folder holds, each list sorted by name.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Directory {
    /// The files.
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<FileNode>,
    /// The folders.
    #[prost(message, repeated, tag = "2")]
    pub directories: Vec<DirectoryNode>,
    /// The symbolic links.
    #[prost(message, repeated, tag = "3")]
    pub symlinks: Vec<SymlinkNode>,
}

/// `FileNode`: a file in a folder.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FileNode {
    /// The name, one part of a path.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The content.
    #[prost(message, optional, tag = "2")]
    pub digest: Option<Digest>,
    /// Whether the file may be executed.
    #[prost(bool, tag = "4")]
    pub is_executable: bool,
    /// What else is known of the file.
    #[prost(message, optional, tag = "6")]
    pub node_properties: Option<NodeProperties>,
}

/// `NodeProperties`: what is known of a file besides its content.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NodeProperties {
    /// The last change of the content.
    #[prost(message, optional, tag = "2")]
    pub mtime: Option<Timestamp>,
    /// The permissions.
    #[prost(message, optional, tag = "3")]
    pub unix_mode: Option<UInt32Value>,
}

/// `google.protobuf.Timestamp`: a point in time.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Timestamp {
    /// Whole seconds since 1970, rounded down.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// The rest, in nanoseconds.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// `google.protobuf.UInt32Value`: a number that may be absent.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct UInt32Value {
    /// The number.
    #[prost(uint32, tag = "1")]
    pub value: u32,
}

/// `DirectoryNode`: a folder in a folder.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DirectoryNode {
    /// The name, one part of a path.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The digest of its encoded `Directory`.
    #[prost(message, optional, tag = "2")]
    pub digest: Option<Digest>,
}

/// `SymlinkNode`: a symbolic link in a folder.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SymlinkNode {
    /// The name, one part of a path.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The text of the link.
    #[prost(string, tag = "2")]
    pub target: String,
}

/// `ExecutedActionMetadata`: how an action was executed, and whatever else the executor has to say.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ExecutedActionMetadata {
    /// The worker's name.
    #[prost(string, tag = "1")]
    pub worker: String,
    /// Messages that only their writers know.
    #[prost(message, repeated, tag = "11")]
    pub auxiliary_metadata: Vec<Any>,
}

/// `google.protobuf.Any`: a message with its type's name.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Any {
    /// The type's address.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The encoded message.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}
