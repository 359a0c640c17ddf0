//! What files hold, asked of the file system as seldom as is safe: the stat cache.
//!
//! Knows paths, what `stat(2)` says of them, and digests; knows nothing of stages.
//!
//! A file whose device, inode, size, times and mode are those of the moment when it was hashed is taken to be unchanged, if its times
//! lay two seconds or more before that moment by the file system's own clock: a file system may give two writes within one tick of
//! its clock the same time (git's "racy" entries have the same reason). All others are hashed again.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use super::table::{self, Entry, Table};
use crate::base::digest::{Digest, Hash};
use crate::base::parallel::each;
use crate::base::stamp::{Stamp, is_executable};
use crate::base::state::STATE;

/// How long before the hashing a file must have been left alone, in nanoseconds (contract, section 4).
const SETTLED: i64 = 2_000_000_000;

/// How long the file system's clock is taken to stand still, which makes fewer files trusted, never more.
const CLOCK_AGE: Duration = Duration::from_millis(50);

/// How many small files are hashed before what was learnt of them is written down.
const BATCH: usize = 16;

/// What a regular file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Of its bytes.
    pub digest: Digest,
    /// Whether anybody may execute it.
    pub executable: bool,
}

/// All files that were looked at, in this run and earlier ones.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    /// Where `.shipway/` is, if it can be written to.
    clock: Option<Clock>,
    paranoid: bool,
    /// Read when it is first asked for: a run of which all is known by traces never asks. What was looked at ahead is marked with the round.
    table: OnceLock<RwLock<Table>>,
    is_changed: AtomicBool,
    /// Another one begins whenever a step runs: what was marked before is not taken without a look any more.
    round: AtomicU32,
}

/// The file system's own clock: the time that it gives to a file that is touched now.
#[derive(Debug)]
struct Clock {
    file: File,
    last: Mutex<Option<(Instant, i64)>>,
}

impl Clock {
    fn now(&self) -> Option<i64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, time)) = last.filter(|(at, _)| at.elapsed() < CLOCK_AGE) {
            return Some(time);
        }
        let at = Instant::now();
        // Writing, since only a time that the file system chooses itself is of its clock.
        std::os::unix::fs::FileExt::write_at(&self.file, b".", 0).ok()?;
        let time = Stamp::of(&self.file.metadata().ok()?).modified;
        *last = Some((at, time));
        Some(time)
    }
}

impl Files {
    /// Returns the files of the project in `root`, with what earlier runs have kept in `state`; without `state` nothing is remembered
    /// and nothing written. `paranoid` believes no stamp.
    pub fn load(root: &Path, state: Option<&Path>, paranoid: bool) -> Self {
        let clock = state.and_then(|state| File::options().create(true).truncate(false).write(true).open(state.join("clock")).ok());
        Self {
            root: root.to_owned(),
            clock: clock.map(|file| Clock { file, last: Mutex::new(None) }),
            paranoid,
            table: OnceLock::new(),
            is_changed: AtomicBool::new(false),
            round: AtomicU32::new(1),
        }
    }

    /// Keeps what is known for later runs. What cannot be kept costs only time.
    pub fn save(&self, state: &Path) {
        if self.is_changed.swap(false, Ordering::Relaxed) {
            let _lost = table::save(&self.known(), &state.join(TABLE));
        }
    }

    /// Returns what the regular file at `path` holds, without following a link at its end.
    ///
    /// # Errors
    /// What the file system says; `InvalidInput` where it is no regular file.
    pub fn content(&self, path: &Path) -> io::Result<Content> {
        self.content_seen(path, None)
    }

    /// The same for a file whose stamp was seen a moment ago, maybe: it stands for the content that the file had then.
    ///
    /// # Errors
    /// As [`Files::content`].
    pub fn content_seen(&self, path: &Path, seen: Option<Stamp>) -> io::Result<Content> {
        let looked_at = {
            let known = self.known();
            known.find(self.name(path)).and_then(|row| known.marked(row, self.round.load(Ordering::Acquire)))
        };
        match looked_at {
            Some(entry) => Ok(Content::of(&entry)),
            None => self.content_of(path, &seen.map_or_else(|| stamp(path), Ok)?),
        }
    }

    /// Returns what the regular file at `path` holds, whose stamp is known to be `stamp` now.
    ///
    /// # Errors
    /// As [`Files::content`].
    pub fn content_of(&self, path: &Path, stamp: &Stamp) -> io::Result<Content> {
        if let Some((_, content)) = self.remembered(&self.known(), path, stamp) {
            return Ok(content);
        }
        let now = self.now();
        let (entry, is_steady) = hash(path)?;
        if is_steady {
            self.learn(path, entry.stamp, entry.hash, now);
        }
        Ok(Content::of(&entry))
    }

    /// Returns the stamp of the regular file at `path` and what it holds, where that is known without reading it: only then has it been left
    /// alone since it was hashed.
    pub fn settled(&self, path: &Path) -> Option<(Stamp, Content)> {
        let stamp = stamp(path).ok()?;
        self.remembered(&self.known(), path, &stamp).map(|(_, content)| (stamp, content))
    }

    /// Looks at all `paths`, some of which were seen a moment ago, at once, on `jobs` threads, and remembers what they hold until
    /// [`Files::disturb`]. What cannot be read is left for whoever asks for it.
    pub fn look_ahead(&self, paths: &[(&Path, Option<Stamp>)], jobs: usize) {
        let round = self.round.load(Ordering::Acquire);
        let unknown: Mutex<Vec<(u64, usize)>> = Mutex::default();
        let jobs = jobs.clamp(1, 1 + paths.len() / 64);
        each(paths.len(), 256, jobs, &|range| {
            let mut mine = Vec::new();
            let known = self.known();
            for index in range {
                let (path, seen) = paths[index];
                let Some(stamp) = seen.or_else(|| stamp(path).ok()) else { continue };
                match self.remembered(&known, path, &stamp) {
                    Some((row, _)) => known.mark(row, round),
                    None => mine.push((stamp.size, index)),
                }
            }
            drop(known);
            unknown.lock().unwrap_or_else(PoisonError::into_inner).append(&mut mine);
        });
        let mut unknown = unknown.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashSet::with_capacity(unknown.len());
        unknown.retain(|(_, index)| seen.insert(paths[*index].0.as_os_str()));
        // The largest first, so that no thread is left with one at the end.
        unknown.sort_unstable_by_key(|(size, index)| (u64::MAX - size, *index));
        let threads = jobs.max(if unknown.iter().map(|(size, _)| size).sum::<u64>() > 1 << 20 { 2 } else { 1 });
        // What is large goes one by one.
        let large = unknown.partition_point(|(size, _)| *size > 1 << 20);
        for (files, batch) in [(&unknown[..large], 1), (&unknown[large..], BATCH)] {
            each(files.len(), batch, threads.min(files.len().max(1)), &|range| {
                self.hash_all(files[range].iter().map(|(_, index)| paths[*index].0), round);
            });
        }
    }

    /// Hashes files, and marks them in the round.
    fn hash_all<'p>(&self, paths: impl Iterator<Item = &'p Path>, round: u32) {
        let now = self.now();
        let hashed: Vec<(&Path, Entry)> =
            paths.filter_map(|path| Some((path, hash(path).ok().filter(|(_, is_steady)| *is_steady)?.0))).collect();
        let mut known = self.table().write().unwrap_or_else(PoisonError::into_inner);
        for (path, entry) in hashed {
            let row = self.write_down(&mut known, path, entry, now);
            known.mark(row, round);
        }
    }

    /// Returns the time that the file system would give to a file that is written now, or somewhat earlier, in nanoseconds since 1970;
    /// `None` where it cannot be asked.
    pub fn now(&self) -> Option<i64> {
        self.clock.as_ref().and_then(Clock::now)
    }

    /// Forgets what was looked at ahead, because a step may have changed it: from here on each file is looked at when it is asked for.
    pub fn disturb(&self) {
        self.round.fetch_add(1, Ordering::AcqRel);
    }

    /// Remembers what a file was found to hold, which had `stamp` before and after it was read; `now` is the time before that.
    pub fn learn(&self, path: &Path, stamp: Stamp, hash: Hash, now: Option<i64>) {
        let mut known = self.table().write().unwrap_or_else(PoisonError::into_inner);
        self.write_down(&mut known, path, Entry { stamp, hash }, now);
    }

    /// Tells whether what has this stamp was left alone long enough before `now`, a time of [`Files::now`], that whatever happened to it
    /// since then would show.
    pub fn is_settled(stamp: &Stamp, now: Option<i64>) -> bool {
        now.is_some_and(|now| stamp.latest().saturating_add(SETTLED) <= now)
    }

    fn write_down(&self, known: &mut Table, path: &Path, entry: Entry, now: Option<i64>) -> usize {
        // By the time before it was read: had it been left alone only since, it may have been written to while it was read.
        let is_settled = Self::is_settled(&entry.stamp, now);
        let name = self.name(path);
        if !is_settled {
            // What was known of the path till now may be written again: it is of a stamp that the file no longer has.
            return known.insert_passing(name, entry);
        }
        self.is_changed.store(true, Ordering::Relaxed);
        known.insert(name, entry)
    }

    fn remembered(&self, known: &Table, path: &Path, stamp: &Stamp) -> Option<(usize, Content)> {
        if self.paranoid {
            return None;
        }
        let row = known.find(self.name(path))?;
        let entry = known.kept(row).filter(|entry| entry.stamp == *stamp)?;
        Some((row, Content::of(&entry)))
    }

    fn known(&self) -> RwLockReadGuard<'_, Table> {
        self.table().read().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> &RwLock<Table> {
        self.table
            .get_or_init(|| RwLock::new(if self.paranoid { Table::default() } else { table::load(&self.root.join(STATE).join(TABLE)) }))
    }

    /// Files of the project are known by their place in it, so that a table is of use after the project was moved.
    fn name<'p>(&self, path: &'p Path) -> &'p [u8] {
        let whole = path.as_os_str().as_encoded_bytes();
        let below = whole.strip_prefix(self.root.as_os_str().as_encoded_bytes()).and_then(|rest| rest.strip_prefix(b"/"));
        // What begins with a slash is a path of its own.
        below.filter(|below| !below.starts_with(b"/")).unwrap_or(whole)
    }
}

impl Content {
    fn of(Entry { stamp, hash }: &Entry) -> Self {
        Self { digest: Digest { hash: *hash, size: stamp.size }, executable: is_executable(stamp.mode) }
    }
}

/// Hashes a file; one that changes meanwhile is hashed again, since what was read may never have been its content. Tells whether it was
/// left alone at last.
fn hash(path: &Path) -> io::Result<(Entry, bool)> {
    let mut tries = 0;
    loop {
        let (mut file, before) = open(path)?;
        let digest = Digest::of_reader(&mut file, &mut |_| Ok(()))?;
        let after = Stamp::of(&file.metadata()?);
        tries += 1;
        let is_steady = before == after && digest.size == after.size;
        if is_steady || tries == 3 {
            return Ok((Entry { stamp: Stamp { size: digest.size, ..after }, hash: digest.hash }, is_steady));
        }
    }
}

/// The name of the table in `.shipway/`.
const TABLE: &str = "files";

/// Opens a regular file for reading, without following a link and without waiting for a pipe.
fn open(path: &Path) -> io::Result<(File, Stamp)> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, Stamp::of(&metadata))) } else { Err(no_file(path)) }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = path.symlink_metadata()?;
    if metadata.is_file() { Ok(Stamp::of(&metadata)) } else { Err(no_file(path)) }
}

fn no_file(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("`{}` is no regular file", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, FileTimes};
    use std::time::SystemTime;

    use super::*;

    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join(STATE)).unwrap();
            Self { folder }
        }

        fn state(&self) -> PathBuf {
            self.folder.path().join(STATE)
        }

        fn files(&self) -> Files {
            Files::load(self.folder.path(), Some(&self.state()), false)
        }

        /// Writes a file whose times make it settled, as far as the modification goes.
        fn write(&self, name: &str, text: &str, age: Duration) -> PathBuf {
            let path = self.folder.path().join(name);
            fs::write(&path, text).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_times(FileTimes::new().set_modified(file.metadata().unwrap().modified().unwrap() - age)).unwrap();
            path
        }
    }

    #[test]
    fn a_file_is_believed_only_when_it_was_left_alone() {
        let place = Place::new();
        let path = place.write("a", "one", Duration::ZERO);
        let files = place.files();
        let stamp = stamp(&path).unwrap();
        for (moved, believed) in [(0, false), (SETTLED / 2, false), (SETTLED + 1_000_000_000, true), (-SETTLED, false)] {
            let stamp = Stamp { modified: stamp.modified - moved, changed: stamp.changed - moved, ..stamp };
            files.learn(&path, stamp, Hash::of(b"one"), files.now());
            assert_eq!(files.remembered(&files.known(), &path, &stamp).is_some(), believed, "{moved}");
        }
    }

    #[test]
    fn a_time_that_was_put_back_does_not_hide_a_change() {
        let place = Place::new();
        let path = place.write("a", "one", Duration::from_mins(1));
        let before = path.metadata().unwrap().modified().unwrap();
        let files = place.files();
        assert_eq!(files.content(&path).unwrap().digest, Digest::of(b"one"));
        fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_times(FileTimes::new().set_modified(before)).unwrap();
        assert_eq!(files.content(&path).unwrap().digest, Digest::of(b"two"));
        let other = place.write("b", "six", Duration::from_mins(1));
        fs::rename(other, &path).unwrap();
        assert_eq!(files.content(&path).unwrap().digest, Digest::of(b"six"));
        File::options().write(true).open(&path).unwrap().set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)).unwrap();
        assert_eq!(files.content(&path).unwrap().digest, Digest::of(b"six"));
    }

    #[test]
    fn what_was_learnt_serves_the_next_run() {
        let place = Place::new();
        let path = place.write("a", "one", Duration::ZERO);
        let stamp = stamp(&path).unwrap();
        let lie = Hash::of(b"what nobody could have read");
        let files = place.files();
        files.table().write().unwrap().insert(files.name(&path), Entry { stamp, hash: lie });
        files.is_changed.store(true, Ordering::Relaxed);
        files.save(&place.state());
        assert_eq!(place.files().content(&path).unwrap().digest.hash, lie);
        let paranoid = Files::load(place.folder.path(), Some(&place.state()), true);
        assert_eq!(paranoid.content(&path).unwrap().digest, Digest::of(b"one"));
        // Without a folder to write to nothing is trusted anew.
        fs::remove_dir_all(place.state()).unwrap();
        let files = Files::load(place.folder.path(), None, false);
        assert_eq!(files.content(&path).unwrap().digest, Digest::of(b"one"));
        assert!(files.remembered(&files.known(), &path, &stamp).is_none());
    }

    #[test]
    fn looking_ahead_lasts_until_a_step_runs() {
        let place = Place::new();
        let paths: Vec<PathBuf> = (0..300).map(|number| place.write(&format!("f{number}"), "old", Duration::ZERO)).collect();
        let files = place.files();
        let none = place.folder.path().join("none");
        files.look_ahead(&paths.iter().chain([&none, &paths[3]]).map(|path| (path.as_path(), None)).collect::<Vec<_>>(), 2);
        fs::write(&paths[7], "new").unwrap();
        assert_eq!(files.content(&paths[7]).unwrap().digest, Digest::of(b"old"));
        files.disturb();
        assert_eq!(files.content(&paths[7]).unwrap().digest, Digest::of(b"new"));
    }

    #[test]
    fn one_that_is_written_to_while_it_is_read_is_not_believed() {
        let place = Place::new();
        let path = place.write("a", "one", Duration::from_mins(1));
        let files = place.files();
        let stamp = stamp(&path).unwrap();
        // However long the hashing took: what counts is how the file had been left alone before.
        let (begun, ended) = (stamp.changed + SETTLED / 2, stamp.changed + SETTLED * 5);
        files.learn(&path, stamp, Hash::of(b"torn"), Some(begun));
        assert!(files.remembered(&files.known(), &path, &stamp).is_none());
        files.learn(&path, stamp, Hash::of(b"one"), Some(ended));
        assert!(files.remembered(&files.known(), &path, &stamp).is_some());
        files.learn(&path, stamp, Hash::of(b"torn"), None);
        assert!(files.remembered(&files.known(), &path, &stamp).is_none());
    }

    #[test]
    fn what_was_seen_a_moment_ago_is_asked_for_by_its_stamp() {
        let place = Place::new();
        let path = place.write("a", "one", Duration::from_mins(1));
        let files = place.files();
        let seen = stamp(&path).unwrap();
        fs::write(&path, "two!").unwrap();
        // Another stamp than what is there: nothing is known of it, so the file is read.
        assert_eq!(files.content_seen(&path, Some(seen)).unwrap().digest, Digest::of(b"two!"));
        files.look_ahead(&[(&path, None)], 1);
        assert_eq!(files.content_seen(&path, Some(seen)).unwrap().digest, Digest::of(b"two!"));
        fs::write(&path, "three").unwrap();
        files.disturb();
        assert_eq!(files.content_seen(&path, Some(seen)).unwrap().digest, Digest::of(b"three"));
    }

    #[test]
    fn a_name_is_of_one_path_only() {
        let files = Files::load(Path::new("/p"), None, false);
        let named = ["/p/a", "/pa", "/p", "/p//a", "/a", "a/b", "/p/p/a"].map(|path| files.name(Path::new(path)).to_vec());
        assert_eq!(named[0], b"a");
        assert!(named.iter().enumerate().all(|(place, name)| !named[..place].contains(name)));
    }

    #[test]
    fn only_regular_files_are_read() {
        let place = Place::new();
        let root = place.folder.path();
        std::os::unix::fs::symlink("a", root.join("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::RUSR).unwrap();
        for name in ["link", "pipe", "", "none"] {
            assert!(place.files().content(&root.join(name)).is_err(), "{name}");
        }
    }
}
