//! Keeping the store bounded: what was used least recently goes first.
//!
//! Knows how to mark what is worth keeping and to sweep the rest; knows nothing of the stages that it was made by.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::local::{Area, SWEPT, Store, TEMPORARY, now, set_used_now};
use super::records::Trouble;
use crate::base::digest::Hash;
use crate::base::journal::remove_unused;

/// Held by the one process that sweeps.
const LOCK: &str = "sweep.lock";

/// The bytes stored since the last sweep: one number of eight bytes for each run, summed up when read.
const COUNTER: &str = "stored";

const DAY: Duration = Duration::from_hours(24);

/// Which part of the size may be stored anew before it is time to sweep.
const SHARE: u64 = 20;

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many bytes the blobs of the kept records may have.
    pub max_size: u64,
    /// How long a record is kept after it was last used.
    pub max_age: Duration,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Records that are gone.
    pub records: u64,
    /// Blobs that are gone.
    pub blobs: u64,
    /// The bytes of both.
    pub bytes: u64,
    /// The bytes of the records and blobs that are left.
    pub left: u64,
    /// Another process was sweeping, so that nothing was done.
    pub busy: bool,
}

/// Removes the records that were used least recently until the rest is within `limits`, and then the blobs that no record names. What a
/// live run has used stays. A record that alone exceeds the size goes without taking others with it.
///
/// # Errors
/// The store is read-only, or the file system refuses.
pub fn sweep(store: &Store, limits: &Limits) -> io::Result<Swept> {
    store.expect_writable()?;
    let lock = lock_file(store)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Swept { busy: true, ..Swept::default() }),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let now = present(store)?;
    let in_use = store.in_use_since()?;
    let plan = Plan {
        budget: limits.max_size,
        oldest: now.checked_sub(limits.max_age),
        in_use,
        // A run that begins meanwhile is about to name what it writes.
        young: in_use.or(Some(now)),
        // A run that lasts longer than a day still owns what it writes.
        leftover: now.checked_sub(DAY).map(|day| in_use.map_or(day, |start| start.min(day))),
    };
    carry_out(store, plan)
}

/// Sweeps if the last time was over a day ago, or if more than a twentieth of the size was stored since then; else it costs a few looks at
/// files. To be called at the end of a run. A read-only store is never due.
///
/// # Errors
/// As [`sweep`].
pub fn sweep_if_due(store: &Store, limits: &Limits) -> io::Result<Option<Swept>> {
    if !store.is_writable() {
        return Ok(None);
    }
    let stored = store.take_stored();
    if stored > 0 {
        store.add_stored(stored)?;
    }
    let last = store.root().join(SWEPT).metadata().and_then(|metadata| metadata.modified());
    // A time in the future is that of a clock that was set back.
    let recent = last.is_ok_and(|last| now().duration_since(last).unwrap_or_else(|ahead| ahead.duration()) < DAY);
    if recent && stored_since(store)? <= limits.max_size / SHARE {
        return Ok(None);
    }
    sweep(store, limits).map(Some)
}

/// Removes everything; of what a live run has used, nothing. Waits for another sweep to end.
///
/// # Errors
/// As [`sweep`].
pub fn clear(store: &Store) -> io::Result<Swept> {
    let _lock = wait(store)?;
    let in_use = store.in_use_since()?;
    carry_out(store, Plan { budget: 0, oldest: end(), in_use, young: in_use.or_else(end), leftover: in_use.or_else(end) })
}

/// Returns a time that is later than that of a clock that was set ahead.
fn end() -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(DAY * 365 * 5000)
}

impl Store {
    /// Notes that so many bytes were stored since the last sweep. What this store has written itself is noted by [`sweep_if_due`].
    ///
    /// # Errors
    /// What the file system says.
    pub fn add_stored(&self, bytes: u64) -> io::Result<()> {
        self.expect_writable()?;
        // A single write of a few bytes to the end of a file is whole, whoever else writes.
        File::options().append(true).create(true).open(self.root().join(COUNTER))?.write_all(&bytes.to_le_bytes())
    }
}

fn stored_since(store: &Store) -> io::Result<u64> {
    match fs::read(store.root().join(COUNTER)) {
        Ok(bytes) => Ok(bytes.as_chunks().0.iter().copied().map(u64::from_le_bytes).fold(0, u64::saturating_add)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Waits until nobody else sweeps; nobody does until the file is dropped.
pub(super) fn wait(store: &Store) -> io::Result<File> {
    store.expect_writable()?;
    let lock = lock_file(store)?;
    lock.lock()?;
    Ok(lock)
}

fn lock_file(store: &Store) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(store.root().join(LOCK))
}

/// Returns what the file system takes for the present, since it is compared with the times of files.
fn present(store: &Store) -> io::Result<SystemTime> {
    let path = store.root().join(LOCK);
    set_used_now(&path)?;
    path.metadata()?.modified()
}

/// What is to stay.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// The bytes that may stay.
    budget: u64,
    /// Records last used before this go.
    oldest: Option<SystemTime>,
    /// Records used since then stay in any case.
    in_use: Option<SystemTime>,
    /// Blobs that no record names stay if they were used since then; `None`: all.
    young: Option<SystemTime>,
    /// Temporary files from before this go.
    leftover: Option<SystemTime>,
}

/// The state of a sweep.
#[derive(Debug)]
struct Sweep<'a> {
    store: &'a Store,
    plan: Plan,
    /// The blobs that a kept record names.
    named: HashSet<Hash>,
    /// The bytes of those blobs.
    size: u64,
    /// A record did not fit, so that older ones go too.
    full: bool,
    swept: Swept,
}

/// A record file: when it was last used, its key and its size.
type Used = (SystemTime, Hash, u64);

fn carry_out(store: &Store, plan: Plan) -> io::Result<Swept> {
    // What is stored from here on counts for the next sweep.
    remove(&store.root().join(COUNTER))?;
    let mut records: Vec<Used> = Vec::new();
    store.visit(Area::Records, &mut |key, _, metadata| {
        records.push((metadata.modified()?, key, metadata.len()));
        Ok(())
    })?;
    records.sort_unstable_by(|a, b| b.cmp(a));
    let mut sweep = Sweep { store, plan, named: HashSet::new(), size: 0, full: false, swept: Swept::default() };
    for record in &records {
        sweep.judge(record)?;
    }
    sweep.sweep_blobs()?;
    let plan = sweep.plan;
    remove_older(&store.root().join(TEMPORARY), plan.leftover)?;
    store.visit(Area::Stages, &mut |_, path, metadata| {
        let old = plan.oldest.is_some_and(|oldest| metadata.modified().is_ok_and(|used| used < oldest));
        if old { remove_unused(path) } else { Ok(()) }
    })?;
    let stamp = store.root().join(SWEPT);
    File::options().append(true).create(true).open(&stamp)?;
    set_used_now(&stamp)?;
    Ok(sweep.swept)
}

impl Sweep<'_> {
    /// Keeps a record and marks its blobs, or evicts it.
    fn judge(&mut self, &(used, key, length): &Used) -> io::Result<()> {
        let in_use = self.plan.in_use.is_some_and(|start| used >= start);
        let old = self.plan.oldest.is_some_and(|oldest| used < oldest);
        if in_use || !(old || self.full) {
            match self.store.load(&key) {
                Ok(Some(loaded)) => {
                    let named: HashSet<_> = loaded.named().filter(|blob| !self.named.contains(&blob.hash)).copied().collect();
                    let size = named.iter().fold(length, |sum, blob| sum.saturating_add(blob.size));
                    if in_use || self.size.saturating_add(size) <= self.plan.budget {
                        self.size = self.size.saturating_add(size);
                        self.named.extend(named.iter().map(|blob| blob.hash));
                        self.swept.left += length;
                        return Ok(());
                    }
                    self.full |= size <= self.plan.budget;
                }
                Ok(None) => return Ok(()),
                // It was evicted when it was read.
                Err(Trouble::Damaged(_)) => {
                    self.gone(length, |swept| &mut swept.records);
                    return Ok(());
                }
                // What it names is not known, so no blob may go.
                Err(Trouble::Io(error)) => return Err(error),
            }
        }
        self.evict(used, &key, length)
    }

    fn evict(&mut self, used: SystemTime, key: &Hash, length: u64) -> io::Result<()> {
        let path = self.store.place(Area::Records, key);
        match path.symlink_metadata().and_then(|metadata| metadata.modified()) {
            Ok(now) if now == used => {
                remove(&path)?;
                self.gone(length, |swept| &mut swept.records);
            }
            // A run has just used it, or written it anew: its blobs must stay too.
            Ok(_) => match self.store.load(key) {
                Ok(Some(loaded)) => {
                    self.named.extend(loaded.named().map(|blob| blob.hash));
                    self.swept.left += length;
                }
                Err(Trouble::Io(error)) => return Err(error),
                Ok(None) | Err(Trouble::Damaged(_)) => {}
            },
            Err(_) => {}
        }
        Ok(())
    }

    /// Removes the blobs that nothing names, unless someone may be about to.
    fn sweep_blobs(&mut self) -> io::Result<()> {
        let store = self.store;
        store.visit(Area::Blobs, &mut |hash, path, metadata| {
            let used = metadata.modified()?;
            if self.named.contains(&hash) || self.plan.young.is_none_or(|young| used > young) {
                self.swept.left += metadata.len();
            } else {
                remove(path)?;
                self.gone(metadata.len(), |swept| &mut swept.blobs);
            }
            Ok(())
        })
    }

    fn gone(&mut self, length: u64, count: impl Fn(&mut Swept) -> &mut u64) {
        *count(&mut self.swept) += 1;
        self.swept.bytes += length;
    }
}

/// Removes what lies in `folder` and was last written before `oldest`.
fn remove_older(folder: &Path, oldest: Option<SystemTime>) -> io::Result<()> {
    let Some(oldest) = oldest else { return Ok(()) };
    let files: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for path in files {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_file() && metadata.modified()? < oldest {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
