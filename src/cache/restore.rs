//! From the store back to where outputs belong: first everything is fetched and verified, then what lies there is replaced.
//!
//! Knows how files are put in place whole; who may do it now is the caller's to see to.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::{self, File, FileTimes};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::custody::{Custody, in_the_way};
use super::outputs::{Difference, Lying, named};
use crate::base::digest::{Digest, Hash};
use crate::base::nameless;
use crate::store::blobs::BlobError;
use crate::store::local::Store;
use crate::store::result::{Output, OutputKind};

/// What a restore of at most so many bytes fetches is held in memory.
const SMALL: u64 = 1 << 20;

/// Restores of more than this many bytes are worth a second thread,
const LARGE: u64 = 4 << 20;

/// and of more than this many files.
const MANY: usize = 256;

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
    let contents = contents(&wanted);
    let is_small = size(&contents) <= SMALL && contents.len() <= MANY;
    let mut waiting = Waiting::new(state, custody.stage, is_small).map_err(RestoreError::Broken)?;
    if is_small {
        for content in &contents {
            waiting.read(store, content, is_stopped)?;
        }
    } else {
        fetch(store, &contents, &waiting.path, is_stopped)?;
    }
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

/// What a file that is wanted holds, and the number by which it is known here.
struct Content<'o> {
    index: usize,
    path: &'o str,
    digest: &'o Digest,
    mode: u32,
    modified: i64,
}

fn contents<'o>(wanted: &[(usize, &'o Output)]) -> Vec<Content<'o>> {
    let contents = wanted.iter().filter_map(|(index, output)| match &output.kind {
        OutputKind::File { digest, mode, modified } => {
            Some(Content { index: *index, path: &output.path, digest, mode: *mode, modified: *modified })
        }
        OutputKind::Link { .. } | OutputKind::Folder => None,
    });
    contents.collect()
}

fn size(contents: &[Content<'_>]) -> u64 {
    contents.iter().map(|content| content.digest.size).sum()
}

impl Content<'_> {
    fn fetch(&self, store: &Store, folder: &Path, is_stopped: &dyn Fn() -> bool) -> Result<(), BlobError> {
        let path = folder.join(self.index.to_string());
        let file = File::options().read(true).write(true).create_new(true).mode(self.mode).open(path)?;
        store.copy_to(self.digest, &file, is_stopped)?;
        Ok(file.set_times(times(self.modified))?)
    }

    fn unavailable(&self, error: BlobError) -> RestoreError {
        match error {
            BlobError::Missing => RestoreError::Damaged(format!("the store has no content for `{}`", self.path)),
            BlobError::Damaged => RestoreError::Damaged(format!("the stored content of `{}` is damaged", self.path)),
            BlobError::Io(error) if error.kind() == io::ErrorKind::Interrupted => RestoreError::Stopped,
            BlobError::Io(error) => RestoreError::Broken(error),
        }
    }
}

/// Fetches the contents of all files, on two threads where there is much to fetch.
fn fetch(store: &Store, contents: &[Content<'_>], folder: &Path, is_stopped: &(dyn Fn() -> bool + Sync)) -> Result<(), RestoreError> {
    let is_large = size(contents) > LARGE || contents.len() > MANY;
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let go = || {
        while let Some(content) = contents.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Err(error) = content.fetch(store, folder, is_stopped) else { continue };
            next.store(contents.len(), Ordering::Relaxed);
            *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(content.unavailable(error));
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

/// Where fetched files wait until all are there: in memory, or in a folder. What has no place of its own before it has its name is made
/// where the folder would be. That is the stage's own, so that what a killed run left there is found.
struct Waiting {
    path: PathBuf,
    /// By number; `None` where there is a folder.
    in_memory: Option<HashMap<usize, Vec<u8>>>,
    /// Whether nothing may be left at the path.
    is_gone: Cell<bool>,
}

impl Waiting {
    fn new(state: &Path, stage: &str, is_small: bool) -> io::Result<Self> {
        let path = state.join("fetched").join(Hash::of(stage.as_bytes()).to_string());
        let waiting = Self { path, in_memory: is_small.then(HashMap::new), is_gone: Cell::new(true) };
        let ready = if is_small { clear(&waiting.path) } else { waiting.prepare(|path| fs::create_dir(path)) };
        ready.map_err(|error| named(&waiting.path, &error))?;
        Ok(waiting)
    }

    /// Makes what is to be at the path.
    fn prepare<T>(&self, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        self.is_gone.set(false);
        match make(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(self.path.parent().unwrap_or(&self.path))?;
                make(&self.path)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove(&self.path)?;
                make(&self.path)
            }
            made => made,
        }
    }

    fn read(&mut self, store: &Store, content: &Content<'_>, is_stopped: &dyn Fn() -> bool) -> Result<(), RestoreError> {
        if is_stopped() {
            return Err(RestoreError::Stopped);
        }
        let bytes = store.read(content.digest).map_err(|error| content.unavailable(error))?;
        self.in_memory.get_or_insert_default().insert(content.index, bytes);
        Ok(())
    }

    /// Puts an output in its place, whole.
    fn place(&self, index: usize, output: &Output, to: &Path) -> io::Result<()> {
        let Some(in_memory) = &self.in_memory else {
            let from = self.path.join(index.to_string());
            match &output.kind {
                OutputKind::Folder => return fs::create_dir_all(to),
                OutputKind::Link { target } => symlink(target, &from)?,
                OutputKind::File { .. } => {}
            }
            return move_to(&from, to);
        };
        match &output.kind {
            OutputKind::Folder => return fs::create_dir_all(to),
            OutputKind::Link { target } => self.prepare(|path| symlink(target, path))?,
            OutputKind::File { mode, modified, .. } => {
                let bytes = in_memory.get(&index).map(Vec::as_slice).unwrap_or_default();
                if nameless::write(to, bytes, *mode, Some(times(*modified))).is_ok() {
                    return Ok(());
                }
                // Something is to be replaced, or no file can be without a name there; what else is wrong will be so again.
                let mut file = self.prepare(|path| File::options().write(true).create_new(true).mode(*mode).open(path))?;
                file.write_all(bytes)?;
                file.set_times(times(*modified))?;
            }
        }
        move_to(&self.path, to)
    }
}

/// Removes what a killed run left, which is mostly nothing.
fn clear(path: &Path) -> io::Result<()> {
    match remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes a folder or a file.
fn remove(path: &Path) -> io::Result<()> {
    let removed = fs::remove_dir_all(path);
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotADirectory { fs::remove_file(path) } else { Err(error) })
}

fn times(modified: i64) -> FileTimes {
    let distance = Duration::from_nanos(modified.unsigned_abs());
    let time = if modified < 0 { SystemTime::UNIX_EPOCH.checked_sub(distance) } else { SystemTime::UNIX_EPOCH.checked_add(distance) };
    time.map_or_else(FileTimes::new, |time| FileTimes::new().set_modified(time))
}

/// Moves a file to its place, whole.
fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(to);
    let moved = match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            fs::rename(from, to)
        }
        moved => moved,
    };
    moved.or_else(|error| if error.kind() == io::ErrorKind::CrossesDevices { across(from, to, folder) } else { Err(error) })
}

/// Moves a file to a place in another file system so that it is never there in part.
fn across(from: &Path, to: &Path, folder: &Path) -> io::Result<()> {
    let near = tempfile::Builder::new().prefix(".shipway-").tempdir_in(folder)?;
    let copy = near.path().join("copy");
    if from.is_symlink() {
        symlink(fs::read_link(from)?, &copy)?;
    } else {
        fs::copy(from, &copy)?;
        File::open(&copy)?.set_times(FileTimes::new().set_modified(fs::metadata(from)?.modified()?))?;
    }
    fs::rename(copy, to)
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_gone.get() {
            let _left_for_the_next = remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
