//! What `stat(2)` tells of a file, as far as it tells one content from another.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use rustix::fs::Stat;

/// Tells whether a file of this mode may be executed, by anyone.
pub fn is_executable(mode: u32) -> bool {
    mode & 0o111 != 0
}

/// What `stat(2)` says of a file that changes whenever its content may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

    /// Returns the stamp of a file that was looked at by its folder.
    pub fn of_stat(stat: &Stat) -> Self {
        let nanoseconds = |seconds: i64, rest: u64| seconds.saturating_mul(1_000_000_000).saturating_add(rest.cast_signed());
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size.cast_unsigned(),
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
            mode: stat.st_mode,
        }
    }

    /// How many bytes one takes where it is kept.
    pub const LENGTH: usize = 44;

    /// Returns the bytes that [`Stamp::read`] understands: all numbers in the order in which they are declared, little endian.
    pub fn bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let long = [self.device, self.inode, self.size, self.modified.cast_unsigned(), self.changed.cast_unsigned()];
        for (place, number) in bytes.chunks_exact_mut(8).zip(long) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[40..].copy_from_slice(&self.mode.to_le_bytes());
        bytes
    }

    /// Reads what [`Stamp::bytes`] returned.
    pub fn read(bytes: &[u8; Self::LENGTH]) -> Self {
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
        Self {
            device: long(0),
            inode: long(8),
            size: long(16),
            modified: long(24).cast_signed(),
            changed: long(32).cast_signed(),
            mode: u32::from_le_bytes(std::array::from_fn(|index| bytes[40 + index])),
        }
    }

    /// Returns the later of its two times.
    pub fn latest(&self) -> i64 {
        self.modified.max(self.changed)
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{AtFlags, CWD, statat};

    use super::*;

    #[test]
    fn both_ways_to_look_see_the_same() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stamp = Stamp::of(&file.path().symlink_metadata().unwrap());
        assert_eq!(Stamp::of_stat(&statat(CWD, file.path(), AtFlags::SYMLINK_NOFOLLOW).unwrap()), stamp);
        assert_eq!(Stamp::read(&stamp.bytes()), stamp);
    }
}
