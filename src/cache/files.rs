//! What files hold, asked of the file system as seldom as is safe: the stat cache.
//!
//! Knows paths, what `stat(2)` says of them, and digests; knows nothing of stages.
//!
//! A file whose device, inode, size, times and mode are those of the moment when it was hashed is taken to be unchanged, if its times
//! lay two seconds or more before that moment by the file system's own clock: a file system may give two writes within one tick of
//! its clock the same time (git's "racy" entries have the same reason). All others are hashed again.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
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
    known: RwLock<Table>,
    is_changed: AtomicBool,
    /// What was found at the start of the run; true as long as no step has run.
    fresh: RwLock<HashMap<PathBuf, Content>>,
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
        let known = if paranoid { Table::default() } else { table::load(&root.join(STATE).join(TABLE)) };
        let clock = state.and_then(|state| File::options().create(true).truncate(false).write(true).open(state.join("clock")).ok());
        Self {
            root: root.to_owned(),
            clock: clock.map(|file| Clock { file, last: Mutex::new(None) }),
            paranoid,
            known: RwLock::new(known),
            is_changed: AtomicBool::new(false),
            fresh: RwLock::default(),
        }
    }

    /// Keeps what is known for later runs. What cannot be kept costs only time.
    pub fn save(&self, state: &Path) {
        if self.is_changed.swap(false, Ordering::Relaxed) {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let _lost = table::save(&known, &state.join(TABLE));
        }
    }

    /// Returns what the regular file at `path` holds, without following a link at its end.
    ///
    /// # Errors
    /// What the file system says; `InvalidInput` where it is no regular file.
    pub fn content(&self, path: &Path) -> io::Result<Content> {
        if let Some(content) = self.fresh.read().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(*content);
        }
        self.content_of(path, &stamp(path)?)
    }

    /// Returns what the regular file at `path` holds, whose stamp is known to be `stamp` now.
    ///
    /// # Errors
    /// As [`Files::content`].
    pub fn content_of(&self, path: &Path, stamp: &Stamp) -> io::Result<Content> {
        self.remembered(path, stamp).map_or_else(|| self.hash(path), Ok)
    }

    /// Returns the stamp of the regular file at `path` and what it holds, where that is known without reading it: only then has it been left
    /// alone since it was hashed.
    pub fn settled(&self, path: &Path) -> Option<(Stamp, Content)> {
        let stamp = stamp(path).ok()?;
        self.remembered(path, &stamp).map(|content| (stamp, content))
    }

    /// Looks at all `paths`, some of which were seen a moment ago, at once, on `jobs` threads, and remembers what they hold until [`Files::disturb`]. What cannot be read is
    /// left for whoever asks for it.
    pub fn look_ahead(&self, mut paths: Vec<(PathBuf, Option<Stamp>)>, jobs: usize) {
        paths.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        paths.dedup_by(|(one, _), (other, _)| one == other);
        let found: Mutex<Vec<(usize, Content)>> = Mutex::new(Vec::with_capacity(paths.len()));
        let unknown: Mutex<Vec<(u64, usize)>> = Mutex::default();
        let jobs = jobs.clamp(1, 1 + paths.len() / 64);
        each(paths.len(), 128, jobs, &|range| {
            let mut mine = Vec::with_capacity(range.len());
            for index in range {
                let (path, seen) = &paths[index];
                let Some(stamp) = seen.or_else(|| stamp(path).ok()) else { continue };
                match self.remembered(path, &stamp) {
                    Some(content) => mine.push((index, content)),
                    None => unknown.lock().unwrap_or_else(PoisonError::into_inner).push((stamp.size, index)),
                }
            }
            found.lock().unwrap_or_else(PoisonError::into_inner).append(&mut mine);
        });
        let mut unknown = unknown.into_inner().unwrap_or_else(PoisonError::into_inner);
        // The largest first, so that no thread is left with one at the end.
        unknown.sort_unstable_by(|a, b| b.cmp(a));
        let threads = jobs.max(if unknown.iter().map(|(size, _)| size).sum::<u64>() > 1 << 20 { 2 } else { 1 });
        each(unknown.len(), 8, threads.min(unknown.len().max(1)), &|range| {
            for (_, index) in &unknown[range] {
                if let Ok(content) = self.hash(&paths[*index].0) {
                    found.lock().unwrap_or_else(PoisonError::into_inner).push((*index, content));
                }
            }
        });
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = self.fresh.write().unwrap_or_else(PoisonError::into_inner);
        fresh.extend(found.into_iter().map(|(index, content)| (std::mem::take(&mut paths[index].0), content)));
    }

    /// Returns the time that the file system would give to a file that is written now, or somewhat earlier, in nanoseconds since 1970;
    /// `None` where it cannot be asked.
    pub fn now(&self) -> Option<i64> {
        self.clock.as_ref().and_then(Clock::now)
    }

    /// Forgets what was looked at ahead, because a step may have changed it: from here on each file is looked at when it is asked for.
    pub fn disturb(&self) {
        if !self.fresh.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
            self.fresh.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Remembers what a file was found to hold, when it had `stamp`.
    pub fn learn(&self, path: &Path, stamp: Stamp, hash: Hash) {
        let is_settled = self.now().is_some_and(|now| stamp.latest().saturating_add(SETTLED) <= now);
        let name = self.name(path);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if is_settled {
            known.insert(name, Entry { stamp, hash });
            self.is_changed.store(true, Ordering::Relaxed);
        } else if known.remove(name) {
            self.is_changed.store(true, Ordering::Relaxed);
        }
    }

    fn remembered(&self, path: &Path, stamp: &Stamp) -> Option<Content> {
        if self.paranoid {
            return None;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let entry = known.get(self.name(path)).filter(|entry| entry.stamp == *stamp)?;
        Some(Content { digest: Digest { hash: entry.hash, size: stamp.size }, executable: is_executable(stamp.mode) })
    }

    /// Hashes a file; one that changes meanwhile is hashed again, since what was read may never have been its content.
    fn hash(&self, path: &Path) -> io::Result<Content> {
        let mut tries = 0;
        loop {
            let mut file = open(path)?;
            let before = Stamp::of(&file.metadata()?);
            let digest = Digest::of_reader(&mut file, &mut |_| Ok(()))?;
            let after = Stamp::of(&file.metadata()?);
            tries += 1;
            if before == after {
                self.learn(path, before, digest.hash);
            } else if tries < 3 {
                continue;
            }
            return Ok(Content { digest, executable: is_executable(after.mode) });
        }
    }

    /// Files of the project are known by their place in it, so that a table is of use after the project was moved.
    fn name<'p>(&self, path: &'p Path) -> &'p [u8] {
        path.strip_prefix(&self.root).unwrap_or(path).as_os_str().as_encoded_bytes()
    }
}

/// The name of the table in `.shipway/`.
const TABLE: &str = "files";

/// Opens a regular file for reading, without following a link and without waiting for a pipe.
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_file(path)) }
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
            files.learn(&path, stamp, Hash::of(b"one"));
            assert_eq!(files.remembered(&path, &stamp).is_some(), believed, "{moved}");
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
        files.known.write().unwrap().insert(files.name(&path), Entry { stamp, hash: lie });
        files.is_changed.store(true, Ordering::Relaxed);
        files.save(&place.state());
        assert_eq!(place.files().content(&path).unwrap().digest.hash, lie);
        let paranoid = Files::load(place.folder.path(), Some(&place.state()), true);
        assert_eq!(paranoid.content(&path).unwrap().digest, Digest::of(b"one"));
        // Without a folder to write to nothing is trusted anew.
        fs::remove_dir_all(place.state()).unwrap();
        let files = Files::load(place.folder.path(), None, false);
        assert_eq!(files.content(&path).unwrap().digest, Digest::of(b"one"));
        assert!(files.remembered(&path, &stamp).is_none());
    }

    #[test]
    fn looking_ahead_lasts_until_a_step_runs() {
        let place = Place::new();
        let paths: Vec<PathBuf> = (0..300).map(|number| place.write(&format!("f{number}"), "old", Duration::ZERO)).collect();
        let files = place.files();
        files.look_ahead(paths.iter().cloned().chain([place.folder.path().join("none")]).map(|path| (path, None)).collect(), 2);
        fs::write(&paths[7], "new").unwrap();
        assert_eq!(files.content(&paths[7]).unwrap().digest, Digest::of(b"old"));
        files.disturb();
        assert_eq!(files.content(&paths[7]).unwrap().digest, Digest::of(b"new"));
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
