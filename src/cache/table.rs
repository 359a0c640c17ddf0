//! The stat cache on disk: which stamp and which hash a path had when it was last hashed.
//!
//! Knows its format; whether an entry may be believed is `files`' to say. A table that is damaged, or of another version, is empty.
//!
//! Format, version 1: the line `shipway files 1`, the entries, and the SHA-256 of all before it. An entry is the length of the name (four
//! bytes), the name, device, inode, size, modified, changed (eight bytes each), mode (four), the hash (32), and how often the table was
//! written since the entry was last of use (one); numbers are little endian.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::base::digest::Hash;
use crate::base::files::write_whole;
use crate::base::stamp::Stamp;

const HEADER: &[u8] = b"shipway files 1\n";

/// An entry that was of no use while the table was written so often is dropped.
const OLDEST: u8 = 50;

/// What was known of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) stamp: Stamp,
    pub(super) hash: Hash,
}

/// Entries by path.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashMap<Box<[u8]>, (Entry, AtomicU8)>,
}

impl Table {
    pub(super) fn get(&self, name: &[u8]) -> Option<Entry> {
        let (entry, age) = self.entries.get(name)?;
        age.store(0, Ordering::Relaxed);
        Some(*entry)
    }

    pub(super) fn insert(&mut self, name: &[u8], entry: Entry) {
        self.entries.insert(name.into(), (entry, AtomicU8::new(0)));
    }

    /// Removes an entry; tells whether there was one.
    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        self.entries.remove(name).is_some()
    }
}

/// Reads a table.
pub(super) fn load(path: &Path) -> Table {
    fs::read(path).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default()
}

fn parse(bytes: &[u8]) -> Option<Table> {
    let (content, sum) = bytes.split_last_chunk::<32>()?;
    if Hash::of(content).0 != *sum {
        return None;
    }
    let mut rest = content.strip_prefix(HEADER)?;
    let mut table = Table::default();
    while !rest.is_empty() {
        let length = take::<4>(&mut rest).map(u32::from_le_bytes)?;
        let (name, behind) = rest.split_at_checked(length as usize)?;
        rest = behind;
        let stamp = Stamp {
            device: take(&mut rest).map(u64::from_le_bytes)?,
            inode: take(&mut rest).map(u64::from_le_bytes)?,
            size: take(&mut rest).map(u64::from_le_bytes)?,
            modified: take(&mut rest).map(i64::from_le_bytes)?,
            changed: take(&mut rest).map(i64::from_le_bytes)?,
            mode: take(&mut rest).map(u32::from_le_bytes)?,
        };
        let hash = Hash(take(&mut rest)?);
        let [age] = take(&mut rest)?;
        table.entries.insert(name.into(), (Entry { stamp, hash }, AtomicU8::new(age)));
    }
    Some(table)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*first)
}

/// Writes a table.
///
/// # Errors
/// Whatever the file system says; then the old one is still there.
pub(super) fn save(table: &Table, path: &Path) -> io::Result<()> {
    write_whole(path, &bytes(table))
}

/// Writes a table over the old one. Should that be cut short, what is there is no table, and so an empty one: enough for what costs little
/// to lose, and there are many of.
///
/// # Errors
/// Whatever the file system says.
pub(super) fn save_over(table: &Table, path: &Path) -> io::Result<()> {
    fs::write(path, bytes(table))
}

fn bytes(table: &Table) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER.len() + table.entries.len() * 140);
    bytes.extend_from_slice(HEADER);
    for (name, (entry, age)) in &table.entries {
        let age = age.load(Ordering::Relaxed).saturating_add(1);
        if age > OLDEST {
            continue;
        }
        let Entry { stamp, hash } = entry;
        bytes.extend_from_slice(&u32::try_from(name.len()).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(name);
        for number in [stamp.device, stamp.inode, stamp.size, stamp.modified.cast_unsigned(), stamp.changed.cast_unsigned()] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&stamp.mode.to_le_bytes());
        bytes.extend_from_slice(&hash.0);
        bytes.push(age);
    }
    let sum = Hash::of(&bytes);
    bytes.extend_from_slice(&sum.0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> Entry {
        let stamp = Stamp { device: 1, inode: number, size: 3, modified: -4, changed: 5, mode: 0o100_644 };
        Entry { stamp, hash: Hash::of(&number.to_le_bytes()) }
    }

    fn written(folder: &Path) -> Vec<u8> {
        let mut table = Table::default();
        for number in 0..5u8 {
            table.insert(&vec![b'a'; usize::from(number) * 7], entry(u64::from(number)));
        }
        save(&table, &folder.join("files")).unwrap();
        fs::read(folder.join("files")).unwrap()
    }

    #[test]
    fn a_table_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        let table = load(&folder.path().join("files"));
        assert_eq!(table.entries.len(), 5);
        assert_eq!(table.get(b"aaaaaaa"), Some(entry(1)));
        assert_eq!(table.get(b"b"), None);
    }

    #[test]
    fn a_damaged_table_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = written(folder.path());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert!(parse(&flipped).is_none(), "byte {at}");
            assert!(parse(&bytes[..at]).is_none(), "cut at {at}");
        }
        assert!(load(&folder.path().join("none")).entries.is_empty());
    }

    #[test]
    fn what_is_of_no_use_goes_in_time() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        let path = folder.path().join("files");
        for _ in 0..OLDEST {
            let table = load(&path);
            table.get(b"");
            save(&table, &path).unwrap();
        }
        assert_eq!(load(&path).entries.len(), 1);
    }
}
