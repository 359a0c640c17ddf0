//! Records that are appended to one file, where a file for each would cost more than all else about them.
//!
//! Knows names and bodies, what is whole of them, and which are the last; what they say is for others to know. A journal keeps knowledge, and
//! nothing that must not be lost: whoever is refused here goes on without.
//!
//! Any number of processes append at once, each record by a single write to the end. One that was cut short or damaged is passed over: the
//! next is found by the mark it begins with. Whoever uses the file holds a share of its lock, so that it is written anew, with what still
//! counts, only by one who is alone with it.
//!
//! Format: a line with what it is, its version, and its size when it was last written anew; then the records. A record is a mark (four
//! bytes), the length of the body (four), the name (32), the body, the start of the SHA-256 of both (eight), and the length again, each bit
//! turned over (four): enough to go from one to the next without hashing any. Numbers are little endian.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use memchr::memmem;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::digest::Hash;

/// What a record begins with. No path and no other text holds a zero.
const MARK: [u8; 4] = *b"\0rec";

/// How long a record is without its body.
const FIXED: usize = 4 + 4 + 32 + 8 + 4;

/// A file of at most so many bytes is not worth writing anew.
const SMALL: u64 = 256 << 10;

/// The longest first line that is looked for.
const LONGEST_HEAD: usize = 80;

/// How often the file may turn out to be another one while it is opened.
const ATTEMPTS: usize = 20;

/// What was appended under names.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// What the first line begins with.
    kind: &'static str,
    /// How many bodies of a name count, of those that differ: the last.
    most: usize,
    is_writable: bool,
    /// Only once there is something to read or to append.
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    /// Locked as long as this lives.
    file: File,
    /// Up to where the places of records are known.
    read: u64,
    places: Vec<Place>,
    /// The place of the last record of each name.
    last: HashMap<Hash, usize>,
}

/// Where a record lies; whether it is whole is seen when it is wanted.
#[derive(Debug)]
struct Place {
    at: u64,
    length: usize,
    /// That of the record of the same name before.
    before: Option<usize>,
}

/// A record in bytes that were read.
struct Record<'b> {
    name: Hash,
    body: &'b [u8],
    bytes: &'b [u8],
}

impl Journal {
    /// Returns the journal in the file at `path`, which need not be there. Its first line begins with `kind`, which has its version; of each
    /// name the last `most` different bodies count. One that is not writable is only read.
    pub fn new(path: PathBuf, kind: &'static str, most: usize, is_writable: bool) -> Self {
        Self { path, kind, most, is_writable, open: Mutex::default() }
    }

    /// Appends a record.
    ///
    /// # Errors
    /// What the file system says; then the record does not count.
    pub fn append(&self, name: &Hash, body: &[u8]) -> io::Result<()> {
        if !self.is_writable {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let record = record(name, body)?;
        self.with(|open, metadata| {
            // Two who find it empty both begin it: the second line is passed over as what is damaged is.
            let bytes = if metadata.len() == 0 { [self.head(0).as_bytes(), &record].concat() } else { record };
            // What is written by a second call may come behind what somebody else has written meanwhile.
            let written = (&open.file).write(&bytes)?;
            if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
        })
    }

    /// Returns the bodies of a name that count, the last first.
    ///
    /// # Errors
    /// What the file system says, also where there is no such file.
    pub fn read(&self, name: &Hash) -> io::Result<Vec<Vec<u8>>> {
        self.with(|open, metadata| {
            open.catch_up(metadata.len())?;
            let mut bodies: Vec<Vec<u8>> = Vec::new();
            let mut next = open.last.get(name).copied();
            while let Some(place) = next.map(|place| &open.places[place]).filter(|_| bodies.len() < self.most) {
                let mut bytes = vec![0; place.length];
                open.file.read_exact_at(&mut bytes, place.at)?;
                let record = Record::at_start_of(&bytes).filter(|record| record.name == *name && record.is_whole());
                if let Some(record) = record.filter(|record| !bodies.iter().any(|body| body == record.body)) {
                    bodies.push(record.body.to_vec());
                }
                next = place.before;
            }
            Ok(bodies)
        })
    }

    /// Writes the file anew, with what counts and is of use alone, if it was used here, has become twice as long since that was done last, and
    /// nobody else uses it. Tells whether it did.
    ///
    /// # Errors
    /// What the file system says; then the old file is still there.
    pub fn compact(&self, is_of_use: &dyn Fn(&[u8]) -> bool) -> io::Result<bool> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = open.as_ref().map(|open| &open.file).filter(|_| self.is_writable) else { return Ok(false) };
        let size = file.metadata()?.len();
        if size <= SMALL || self.size_before(file)?.is_none_or(|before| size / 2 <= before) {
            return Ok(false);
        }
        // To ask for the whole of the lock is to give up the share of it: whatever comes of it, the file has to be opened again.
        let Some(Open { file, .. }) = open.take() else { return Ok(false) };
        if file.try_lock().is_err() || !leads_to(&self.path, &file) {
            return Ok(false);
        }
        let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        let kept = self.counting(&bytes, is_of_use);
        let length: usize = kept.iter().map(|bytes| bytes.len()).sum();
        let mut anew = self.head(length).into_bytes();
        anew.reserve_exact(length);
        kept.iter().for_each(|bytes| anew.extend_from_slice(bytes));
        let beside = beside(&self.path);
        let moved = fs::write(&beside, anew).and_then(|()| fs::rename(&beside, &self.path));
        if moved.is_err() {
            let _next_time = fs::remove_file(&beside);
        }
        moved.map(|()| true)
    }

    /// Returns the records of `bytes` that count and are of use, in their order.
    fn counting<'b>(&self, bytes: &'b [u8], is_of_use: &dyn Fn(&[u8]) -> bool) -> Vec<&'b [u8]> {
        let mut records = Vec::new();
        visit(bytes, |_, record| records.push(record));
        let mut bodies: HashMap<Hash, Vec<&[u8]>> = HashMap::new();
        let mut kept = Vec::new();
        for record in records.iter().rev() {
            let bodies = bodies.entry(record.name).or_default();
            if bodies.len() < self.most && !bodies.contains(&record.body) && record.is_whole() {
                // What is of no use still stands before what came before it.
                bodies.push(record.body);
                kept.extend(is_of_use(record.body).then_some(record.bytes));
            }
        }
        kept.reverse();
        kept
    }

    /// Does something with the file, opened if it was not, or if it is not there any more. Gives what is known of the file now, too.
    fn with<T>(&self, act: impl FnOnce(&mut Open, &Metadata) -> io::Result<T>) -> io::Result<T> {
        let mut held = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = held.as_mut() {
            let metadata = open.file.metadata()?;
            if metadata.nlink() > 0 {
                return act(open, &metadata);
            }
        }
        let open = held.insert(self.open()?);
        let metadata = open.file.metadata()?;
        act(open, &metadata)
    }

    fn open(&self) -> io::Result<Open> {
        for _ in 0..ATTEMPTS {
            let file = match open(&self.path, self.is_writable) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_writable => {
                    // The first of its folder.
                    fs::create_dir_all(self.path.parent().unwrap_or(&self.path))?;
                    open(&self.path, true)?
                }
                opened => opened?,
            };
            file.lock_shared()?;
            // Whoever had the whole lock may have put another file in its place, or taken it away.
            if !leads_to(&self.path, &file) {
                continue;
            }
            if file.metadata()?.len() == 0 || self.size_before(&file)?.is_some() {
                return Ok(Open { file, read: 0, places: Vec::new(), last: HashMap::new() });
            }
            // It is of another version, or what one who was killed has begun.
            if !self.is_writable || file.try_lock().is_err() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            file.set_len(0)?;
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn head(&self, size: usize) -> String {
        format!("{} {size}\n", self.kind)
    }

    /// Returns the size that the first line tells; `None` where it is not ours.
    fn size_before(&self, file: &File) -> io::Result<Option<u64>> {
        let mut start = [0; LONGEST_HEAD];
        let length = file.read_at(&mut start, 0)?;
        let line = start[..length].split(|byte| *byte == b'\n').next().filter(|line| line.len() < length);
        let size = line.and_then(|line| line.strip_prefix(self.kind.as_bytes())?.strip_prefix(b" "));
        Ok(size.and_then(|size| str::from_utf8(size).ok()?.parse().ok()))
    }
}

impl Open {
    /// Learns what was appended since this was last called; the file is `size` bytes long now.
    fn catch_up(&mut self, size: u64) -> io::Result<()> {
        if size <= self.read {
            return Ok(());
        }
        let mut bytes = vec![0; usize::try_from(size - self.read).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, self.read)?;
        let (start, Self { places, last, .. }) = (self.read, &mut *self);
        let end = visit(&bytes, |at, record| {
            let before = last.insert(record.name, places.len());
            places.push(Place { at: start + at as u64, length: record.bytes.len(), before });
        });
        // What is no record yet may become one.
        self.read += end as u64;
        Ok(())
    }
}

impl<'b> Record<'b> {
    /// Returns the record that `bytes` begin with, if they do and it is there to its end.
    fn at_start_of(bytes: &'b [u8]) -> Option<Self> {
        let (length, rest) = bytes.strip_prefix(&MARK)?.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_first_chunk::<32>()?;
        let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let again = rest.get(8..)?.first_chunk::<4>()?;
        (*again == length.map(|byte| !byte)).then(|| Self { name: Hash(*name), body, bytes: &bytes[..FIXED + body.len()] })
    }

    fn is_whole(&self) -> bool {
        self.bytes[40 + self.body.len()..][..8] == sum(&self.name, self.body)
    }
}

fn record(name: &Hash, body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(body.len()).map_err(io::Error::other)?.to_le_bytes();
    Ok([&MARK, &length, name.0.as_slice(), body, &sum(name, body), &length.map(|byte| !byte)].concat())
}

fn sum(name: &Hash, body: &[u8]) -> [u8; 8] {
    let whole = Sha256::new().chain_update(name.0).chain_update(body).finalize();
    std::array::from_fn(|at| whole[at])
}

/// Shows each record of `bytes`, and where it begins; what is none is passed over. Returns where the last one ends.
fn visit<'b>(bytes: &'b [u8], mut visit: impl FnMut(usize, Record<'b>)) -> usize {
    let finder = memmem::Finder::new(&MARK);
    let (mut at, mut end) = (0, 0);
    loop {
        if let Some(record) = Record::at_start_of(&bytes[at..]) {
            let start = at;
            at += record.bytes.len();
            end = at;
            visit(start, record);
        } else {
            let next = bytes.get(at + 1..).and_then(|rest| finder.find(rest));
            let Some(distance) = next else { return end };
            at += 1 + distance;
        }
    }
}

/// Removes the file at `path`, a journal or any other, unless somebody uses it as a journal right now.
///
/// # Errors
/// What the file system says.
pub fn remove_unused(path: &Path) -> io::Result<()> {
    let file = match open(path, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    if file.try_lock().is_ok() && leads_to(path, &file) {
        let _left_by_one_who_was_killed = fs::remove_file(beside(path));
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Opens a file. A link is not followed, and a pipe holds nobody up.
fn open(path: &Path, is_writable: bool) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).append(is_writable).create(is_writable).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Tells whether the path is that of this open file.
fn leads_to(path: &Path, file: &File) -> bool {
    let identity = |metadata: io::Result<Metadata>| metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let found = identity(path.symlink_metadata());
    found.is_some() && found == identity(file.metadata())
}

/// Returns where the file is written anew.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

#[cfg(test)]
mod tests;
