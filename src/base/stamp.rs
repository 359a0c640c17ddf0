//! What `stat(2)` tells of a file, as far as it tells one content from another.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// Tells whether a file of this mode may be executed, by anyone.
pub fn is_executable(mode: u32) -> bool {
    mode & 0o111 != 0
}

/// What `stat(2)` says of a file that changes whenever its content may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Device.
    pub device: u64,
    /// Inode.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the content, in nanoseconds since 1970.
    pub modified: i64,
    /// Last change of content, name or mode, in nanoseconds since 1970.
    pub changed: i64,
    /// Kind and permissions.
    pub mode: u32,
}

impl Stamp {
    /// Returns the stamp of a file.
    pub fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            mode: metadata.mode(),
        }
    }

    /// Returns the later of its two times.
    pub fn latest(&self) -> i64 {
        self.modified.max(self.changed)
    }
}
