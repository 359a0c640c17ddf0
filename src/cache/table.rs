//! The stat cache on disk: which stamp and which hash a path had when it was last hashed.
//!
//! Knows its format; whether an entry may be believed is `files`' to say. A table that is damaged, or of another version, is empty.
//!
//! Format, version 1: the line `shipway files 1`, the entries, and the SHA-256 of all before it. An entry is the length of the name (four
//! bytes), the name, device, inode, size, modified, changed (eight bytes each), mode (four), the hash (32), and how often the table was
//! written since the entry was last of use (one); numbers are little endian.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use super::index::Index;
use crate::base::digest::Hash;
use crate::base::files::write_whole;
use crate::base::stamp::Stamp;

const HEADER: &[u8] = b"shipway files 1\n";

/// An entry that was of no use while the table was written so often is dropped.
const OLDEST: u8 = 50;

/// How long an entry is without its name.
const FIXED: usize = 4 + 5 * 8 + 4 + 32 + 1;

/// What was known of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) stamp: Stamp,
    pub(super) hash: Hash,
}

/// How long an entry is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Kept,
    /// For this run alone: never written.
    Passing,
}

#[derive(Debug)]
struct Row {
    /// Where it begins in the bytes.
    at: usize,
    state: State,
    age: AtomicU8,
    /// The round in which it was last marked.
    marked: AtomicU32,
}

/// Entries by path, as the bytes of the file, with what was added behind them: there may be a hundred thousand, of which few change.
#[derive(Debug, Default)]
pub(super) struct Table {
    bytes: Vec<u8>,
    rows: Vec<Row>,
    index: Index,
}

impl Table {
    pub(super) fn get(&self, name: &[u8]) -> Option<Entry> {
        self.find(name).and_then(|row| self.kept(row))
    }

    /// Returns where the entry of `name` is, of whatever state.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        self.index.find(self.index.hash(name), |row| self.name(row) == name)
    }

    /// Returns an entry that outlasts the run.
    pub(super) fn kept(&self, row: usize) -> Option<Entry> {
        let is_kept = self.rows[row].state == State::Kept;
        is_kept.then(|| {
            self.rows[row].age.store(0, Ordering::Relaxed);
            self.entry(row)
        })
    }

    /// Returns an entry that was marked in this round.
    pub(super) fn marked(&self, row: usize, round: u32) -> Option<Entry> {
        (self.rows[row].marked.load(Ordering::Relaxed) == round).then(|| self.entry(row))
    }

    /// Marks an entry in this round.
    pub(super) fn mark(&self, row: usize, round: u32) {
        self.rows[row].marked.store(round, Ordering::Relaxed);
    }

    pub(super) fn insert(&mut self, name: &[u8], entry: Entry) -> usize {
        self.put(name, entry, State::Kept)
    }

    /// Adds an entry that is never written; what was known of the name is forgotten.
    pub(super) fn insert_passing(&mut self, name: &[u8], entry: Entry) -> usize {
        self.put(name, entry, State::Passing)
    }

    fn put(&mut self, name: &[u8], entry: Entry, state: State) -> usize {
        let hash = self.index.hash(name);
        let row = self.index.find(hash, |row| self.name(row) == name).unwrap_or_else(|| {
            let at = self.bytes.len();
            self.bytes.extend_from_slice(&u32::try_from(name.len()).unwrap_or(0).to_le_bytes());
            self.bytes.extend_from_slice(name);
            self.bytes.resize(at + name.len() + FIXED, 0);
            self.index.add(hash, self.rows.len());
            self.rows.push(Row { at, state, age: AtomicU8::new(0), marked: AtomicU32::new(0) });
            self.rows.len() - 1
        });
        let at = self.rows[row].at;
        let mut place = at + 4 + name.len();
        let Entry { stamp, hash } = entry;
        let mut write = |part: &[u8]| {
            self.bytes[place..place + part.len()].copy_from_slice(part);
            place += part.len();
        };
        for number in [stamp.device, stamp.inode, stamp.size, stamp.modified.cast_unsigned(), stamp.changed.cast_unsigned()] {
            write(&number.to_le_bytes());
        }
        write(&stamp.mode.to_le_bytes());
        write(&hash.0);
        self.rows[row] = Row { at, state, age: AtomicU8::new(0), marked: AtomicU32::new(0) };
        row
    }

    /// Returns the names of all entries.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.rows.len()).map(|row| self.name(row))
    }

    fn name(&self, row: usize) -> &[u8] {
        read_name(&self.bytes[self.rows[row].at..]).map(|(name, _)| name).unwrap_or_default()
    }

    fn entry(&self, row: usize) -> Entry {
        let read = read_name(&self.bytes[self.rows[row].at..]).and_then(|(_, rest)| read_entry(rest));
        read.map(|(entry, _, _)| entry).expect("what is in a table was put there, or read, whole")
    }
}

/// Reads a table.
pub(super) fn load(path: &Path) -> Table {
    fs::read(path).ok().and_then(parse).unwrap_or_default()
}

fn parse(mut bytes: Vec<u8>) -> Option<Table> {
    let (content, sum) = bytes.split_last_chunk::<32>()?;
    if Hash::of(content).0 != *sum {
        return None;
    }
    bytes.truncate(bytes.len() - sum.len());
    bytes.starts_with(HEADER).then(|| unpack(bytes, HEADER.len()))?
}

/// Returns the table with these entries, as [`packed`] returns them.
pub(super) fn unpacked(bytes: Vec<u8>) -> Option<Table> {
    unpack(bytes, 0)
}

/// Reads the entries from `start` on.
fn unpack(bytes: Vec<u8>, start: usize) -> Option<Table> {
    let mut rest = bytes.get(start..)?;
    let most = rest.len() / FIXED;
    let mut table = Table { index: Index::with_capacity(most.min(1 << 24)), ..Table::default() };
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let (name, behind) = read_name(rest)?;
        let (_, age, behind) = read_entry(behind)?;
        let hash = table.index.hash(name);
        table.index.add(hash, table.rows.len());
        table.rows.push(Row { at, state: State::Kept, age: AtomicU8::new(age), marked: AtomicU32::new(0) });
        rest = behind;
    }
    table.bytes = bytes;
    Some(table)
}

fn read_name(mut bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = take::<4>(&mut bytes).map(u32::from_le_bytes)?;
    bytes.split_at_checked(length as usize)
}

/// Reads what stands behind a name: the entry, and its age.
fn read_entry(mut rest: &[u8]) -> Option<(Entry, u8, &[u8])> {
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
    Some((Entry { stamp, hash }, age, rest))
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

/// Returns the entries alone, for whoever sees to it that they stay whole.
pub(super) fn packed(table: &Table) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(table.bytes.len());
    pack(table, &mut bytes);
    bytes
}

fn bytes(table: &Table) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER.len() + table.bytes.len() + 32);
    bytes.extend_from_slice(HEADER);
    pack(table, &mut bytes);
    let sum = Hash::of(&bytes);
    bytes.extend_from_slice(&sum.0);
    bytes
}

fn pack(table: &Table, bytes: &mut Vec<u8>) {
    for (number, row) in table.rows.iter().enumerate().filter(|(_, row)| row.state == State::Kept) {
        let age = row.age.load(Ordering::Relaxed).saturating_add(1);
        if age <= OLDEST {
            let length = table.name(number).len() + FIXED;
            bytes.extend_from_slice(&table.bytes[row.at..row.at + length - 1]);
            bytes.push(age);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

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
        assert_eq!(table.rows.len(), 5);
        assert_eq!(table.get(b"aaaaaaa"), Some(entry(1)));
        assert_eq!(table.get(b"b"), None);
    }

    #[test]
    fn entries_alone_are_read_back() {
        for number in [1, 5, 2, 0, 3] {
            let mut table = Table::default();
            for name in 0..number {
                table.insert(&[name], entry(u64::from(name)));
            }
            let bytes = packed(&table);
            let read = unpacked(bytes.clone()).unwrap();
            assert!((0..number).all(|name| read.get(&[name]) == Some(entry(u64::from(name)))));
            assert_eq!(read.names().collect::<Vec<_>>(), table.names().collect::<Vec<_>>());
            let cut = |length: &usize| unpacked(bytes[..*length].to_vec()).is_some();
            assert_eq!((0..bytes.len()).filter(cut).count(), usize::from(number), "only between entries");
        }
    }

    #[test]
    fn what_is_passing_is_never_written() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        let path = folder.path().join("files");
        let mut table = load(&path);
        let row = table.insert_passing(b"aaaaaaa", entry(9));
        table.insert_passing(b"new", entry(8));
        assert_eq!((table.get(b"aaaaaaa"), table.kept(row)), (None, None));
        table.mark(row, 3);
        assert_eq!((table.marked(row, 3), table.marked(row, 4)), (Some(entry(9)), None));
        // Written anew, it is no longer what was marked.
        assert_eq!(table.insert(b"aaaaaaa", entry(7)), row);
        assert_eq!((table.marked(row, 3), table.get(b"aaaaaaa")), (None, Some(entry(7))));
        table.insert_passing(b"aaaaaaa", entry(9));
        save(&table, &path).unwrap();
        let table = load(&path);
        assert_eq!((table.rows.len(), table.get(b"aaaaaaa"), table.get(b"new")), (4, None, None));
    }

    proptest! {
        /// As a map of names would, whatever is added, replaced and written between.
        #[test]
        fn a_table_is_a_map(acts in prop::collection::vec((0u8..12, 0u64..4, 0u8..6), 0..120)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("files");
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            for (name, number, act) in acts {
                let name = vec![b'n'; usize::from(name)];
                match act {
                    0 => {
                        save(&table, &path).unwrap();
                        table = load(&path);
                        prop_assert!(map.keys().all(|name: &Vec<u8>| table.get(name).is_some()));
                    }
                    1 => {
                        table.insert_passing(&name, entry(number));
                        map.remove(&name);
                    }
                    _ => {
                        table.insert(&name, entry(number));
                        map.insert(name, entry(number));
                    }
                }
                for length in 0..12 {
                    let name = vec![b'n'; length];
                    prop_assert_eq!(table.get(&name), map.get(&name).copied());
                }
            }
        }
    }

    #[test]
    fn a_damaged_table_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = written(folder.path());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert!(parse(flipped).is_none(), "byte {at}");
            assert!(parse(bytes[..at].to_vec()).is_none(), "cut at {at}");
        }
        assert!(load(&folder.path().join("none")).rows.is_empty());
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
        assert_eq!(load(&path).rows.len(), 1);
    }
}
