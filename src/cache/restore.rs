//! From the store back to where outputs belong: first everything is fetched and verified, then what lies there is replaced.
//!
//! Knows how files are put in place whole; who may do it now is the caller's to see to.

use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::custody::{Custody, in_the_way};
use super::outputs::{Difference, Lying, named};
use crate::base::digest::{Digest, Hash};
use crate::store::blobs::BlobError;
use crate::store::local::Store;
use crate::store::result::{Output, OutputKind};

/// Restores of more than this many bytes are worth a second thread.
const LARGE: u64 = 4 << 20;

/// Why outputs were not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store does not have, or has damaged, what the record names; nothing was replaced.
    #[error("was damaged: {0}")]
    Damaged(String),
    /// Something cannot be written; the stage has to be made anew.
    #[error("cannot be put in place: {0}")]
    Broken(io::Error),
    /// The caller wished to stop; nothing was replaced.
    #[error("was not needed any more")]
    Stopped,
}

/// Puts in place what is wrong of `difference`, and takes away what does not belong there, if `clean`. Returns what was moved aside, and
/// where to. While it fetches it asks `is_stopped` whether to go on.
///
/// # Errors
/// Where the store or the file system fails, or it was stopped.
pub fn restore(
    custody: &Custody<'_>,
    store: &Store,
    lying: &Lying,
    difference: &Difference<'_>,
    clean: bool,
    is_stopped: &(dyn Fn() -> bool + Sync),
) -> Result<(Vec<String>, PathBuf), RestoreError> {
    let state = custody.state.ok_or_else(|| RestoreError::Broken(io::Error::other("there is no folder to fetch to")))?;
    let wanted: Vec<(usize, &Output)> = difference.wrong.iter().copied().enumerate().collect();
    let waiting = Waiting::new(state, custody.stage, wanted.len() == 1).map_err(RestoreError::Broken)?;
    fetch(store, &wanted, &waiting, is_stopped)?;
    let mut paths = in_the_way(lying, &difference.wrong);
    if clean {
        paths.extend(difference.extra.iter().cloned());
    }
    // With `clean = false` whatever lies in the outputs is the stage's own, and may be replaced.
    let paths: Vec<String> = if clean { paths } else { paths.into_iter().filter(|path| custody.root.join(path).is_dir()).collect() };
    let moved = custody.take_away(lying, &paths, clean).map_err(RestoreError::Broken)?;
    for (index, output) in wanted {
        let to = custody.root.join(&output.path);
        waiting.place(index, output, &to).map_err(|error| RestoreError::Broken(named(&to, &error)))?;
    }
    Ok(moved)
}

/// Fetches the contents of all files, on two threads where there is much to fetch.
fn fetch(
    store: &Store,
    wanted: &[(usize, &Output)],
    waiting: &Waiting,
    is_stopped: &(dyn Fn() -> bool + Sync),
) -> Result<(), RestoreError> {
    let contents = wanted.iter().filter_map(|(index, output)| match &output.kind {
        OutputKind::File { digest, mode, modified } => Some((*index, digest, (*mode, *modified), output.path.as_str())),
        OutputKind::Link { .. } | OutputKind::Folder => None,
    });
    let contents: Vec<(usize, &Digest, (u32, i64), &str)> = contents.collect();
    let is_large = contents.iter().map(|(_, digest, ..)| digest.size).sum::<u64>() > LARGE || contents.len() > 256;
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let go = || {
        while let Some((index, digest, properties, path)) = contents.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Err(error) = waiting.fetch(store, *index, digest, *properties, is_stopped) else { continue };
            let error = match error {
                BlobError::Missing => RestoreError::Damaged(format!("the store has no content for `{path}`")),
                BlobError::Damaged => RestoreError::Damaged(format!("the stored content of `{path}` is damaged")),
                BlobError::Io(error) if error.kind() == io::ErrorKind::Interrupted => RestoreError::Stopped,
                BlobError::Io(error) => RestoreError::Broken(error),
            };
            next.store(contents.len(), Ordering::Relaxed);
            *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
        }
    };
    std::thread::scope(|scope| {
        if is_large {
            scope.spawn(go);
        }
        go();
    });
    failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Where fetched files wait until all are there: a folder, or, of one that is alone, the file itself. It is the stage's own, so that what a
/// killed run left there is found.
struct Waiting {
    path: PathBuf,
    is_alone: bool,
    /// Whether nothing may be left there.
    is_gone: AtomicBool,
}

impl Waiting {
    fn new(state: &Path, stage: &str, is_alone: bool) -> io::Result<Self> {
        let path = state.join("fetched").join(Hash::of(stage.as_bytes()).to_string());
        let waiting = Self { path, is_alone, is_gone: AtomicBool::new(true) };
        if !is_alone {
            waiting.prepare(|path| fs::create_dir(path)).map_err(|error| named(&waiting.path, &error))?;
        }
        Ok(waiting)
    }

    /// Makes what is to be at the path.
    fn prepare<T>(&self, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        let made = match make(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(self.path.parent().unwrap_or(&self.path))?;
                make(&self.path)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove(&self.path)?;
                make(&self.path)
            }
            made => made,
        };
        self.is_gone.store(false, Ordering::Relaxed);
        made
    }

    fn at(&self, index: usize) -> PathBuf {
        if self.is_alone { self.path.clone() } else { self.path.join(index.to_string()) }
    }

    fn fetch(
        &self,
        store: &Store,
        index: usize,
        digest: &Digest,
        (mode, modified): (u32, i64),
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<(), BlobError> {
        let make = |path: &Path| File::options().read(true).write(true).create_new(true).mode(mode).open(path);
        let file = if self.is_alone { self.prepare(make) } else { make(&self.at(index)) }.map_err(BlobError::Io)?;
        store.copy_to(digest, &file, is_stopped)?;
        file.set_times(times(modified)).map_err(BlobError::Io)
    }

    /// Puts an output in its place, whole.
    fn place(&self, index: usize, output: &Output, to: &Path) -> io::Result<()> {
        let from = self.at(index);
        match &output.kind {
            OutputKind::Folder => return fs::create_dir_all(to),
            OutputKind::Link { target } if self.is_alone => self.prepare(|path| std::os::unix::fs::symlink(target, path))?,
            OutputKind::Link { target } => std::os::unix::fs::symlink(target, &from)?,
            OutputKind::File { .. } => {}
        }
        let folder = to.parent().unwrap_or(to);
        let moved = match fs::rename(&from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(folder)?;
                fs::rename(&from, to)
            }
            moved => moved,
        };
        match moved {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => across(&from, to, folder),
            moved => {
                self.is_gone.store(self.is_alone && moved.is_ok(), Ordering::Relaxed);
                moved
            }
        }
    }
}

/// Removes what a killed run left, a folder or a file.
fn remove(path: &Path) -> io::Result<()> {
    let removed = fs::remove_dir_all(path);
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotADirectory { fs::remove_file(path) } else { Err(error) })
}

fn times(modified: i64) -> FileTimes {
    let distance = Duration::from_nanos(modified.unsigned_abs());
    let time = if modified < 0 { SystemTime::UNIX_EPOCH.checked_sub(distance) } else { SystemTime::UNIX_EPOCH.checked_add(distance) };
    time.map_or_else(FileTimes::new, |time| FileTimes::new().set_modified(time))
}

/// Moves a file to a place in another file system so that it is never there in part.
fn across(from: &Path, to: &Path, folder: &Path) -> io::Result<()> {
    let near = tempfile::Builder::new().prefix(".shipway-").tempdir_in(folder)?;
    let copy = near.path().join("copy");
    if from.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, &copy)?;
    } else {
        fs::copy(from, &copy)?;
        File::open(&copy)?.set_times(FileTimes::new().set_modified(fs::metadata(from)?.modified()?))?;
    }
    fs::rename(copy, to)
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_gone.load(Ordering::Relaxed) {
            let _left_for_the_next = remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
