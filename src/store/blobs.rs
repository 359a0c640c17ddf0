//! The contents in the store, each under its own hash.
//!
//! Knows how a blob is written at most once and never believed unread; knows nothing of which record names it.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::ioctl_ficlone;

use super::local::{Area, Store, open_plain};
use crate::base::digest::{CHUNK, Digest, Hash};

/// A content of at most so many bytes is held in memory whole.
const SMALL: usize = CHUNK;

/// A content of so many bytes is shared with the store, where the file system can do that, instead of copied.
const SHARED: u64 = 32 * 1024;

/// Why a blob cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is not in the store.
    #[error("it is missing from the cache")]
    Missing,
    /// What lay there was not what its name says; it is removed.
    #[error("it is damaged in the cache")]
    Damaged,
    /// The file system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Store {
    /// Stores `bytes`, and returns their digest.
    ///
    /// # Errors
    /// What the file system says; then nothing is left behind.
    pub fn put(&self, bytes: &[u8]) -> io::Result<Digest> {
        self.expect_writable()?;
        let digest = Digest::of(bytes);
        let path = self.place(Area::Blobs, &digest.hash);
        if !self.keep(&path, &digest) {
            self.write(&path, bytes)?;
        }
        Ok(digest)
    }

    /// Stores all that `reader` gives, and returns its digest. Each chunk is shown to `watch` before it is written.
    ///
    /// # Errors
    /// What reading, `watch` or the file system says; then nothing is left behind.
    pub fn put_reader(&self, reader: &mut dyn Read, watch: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<Digest> {
        self.expect_writable()?;
        let mut start = Vec::with_capacity(SMALL + 1);
        Read::take(&mut *reader, SMALL as u64 + 1).read_to_end(&mut start)?;
        if start.len() <= SMALL {
            watch(&start)?;
            return self.put(&start);
        }
        let file = self.temporary()?;
        let digest = Digest::of_reader(&mut start.chain(reader), &mut |chunk| {
            watch(chunk)?;
            file.as_file().write_all(chunk)
        })?;
        let path = self.place(Area::Blobs, &digest.hash);
        if !self.keep(&path, &digest) {
            self.settle(file, &path)?;
        }
        Ok(digest)
    }

    /// Whether there is a blob of that name and of the right size.
    pub fn contains(&self, digest: &Digest) -> bool {
        has_size(&self.place(Area::Blobs, &digest.hash), digest).is_some()
    }

    /// Returns the digest of the blob of this hash, by the size that its file has.
    ///
    /// # Errors
    /// Where there is none.
    pub fn named(&self, hash: &Hash) -> io::Result<Digest> {
        let metadata = self.place(Area::Blobs, hash).symlink_metadata()?;
        Ok(Digest { hash: *hash, size: metadata.len() })
    }

    /// Returns the content.
    ///
    /// # Errors
    /// See [`BlobError`]; a damaged blob is evicted.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        let (path, mut file, metadata) = self.open_blob(digest)?;
        let mut bytes = Vec::with_capacity(usize::try_from(digest.size).unwrap_or(0));
        Read::take(&mut file, digest.size.saturating_add(1)).read_to_end(&mut bytes)?;
        self.expect(Digest::of(&bytes), digest, &path, &metadata)?;
        Ok(bytes)
    }

    /// Writes the content to `to`, which is new, and checks it on the way.
    ///
    /// # Errors
    /// See [`BlobError`]; a damaged blob is evicted. Where `is_stopped` says so before the end, `Interrupted`. What was copied until then is
    /// worthless.
    pub fn copy_to(&self, digest: &Digest, to: &File, is_stopped: &dyn Fn() -> bool) -> Result<(), BlobError> {
        let (path, file, metadata) = self.open_blob(digest)?;
        // Both then have the same blocks, and whichever is written to gets its own.
        let is_shared = digest.size >= SHARED && ioctl_ficlone(to, &file).is_ok();
        // What lies there in the end is what is looked at.
        let (mut from, mut to) = if is_shared { (to, &file) } else { (&file, to) };
        let mut take = |chunk: &[u8]| match is_stopped() {
            true => Err(io::ErrorKind::Interrupted.into()),
            false if is_shared => Ok(()),
            false => to.write_all(chunk),
        };
        let found = if digest.size <= SMALL as u64 {
            let mut bytes = Vec::with_capacity(SMALL.min(usize::try_from(digest.size).unwrap_or(0)) + 1);
            from.take(digest.size + 1).read_to_end(&mut bytes)?;
            take(&bytes)?;
            Digest::of(&bytes)
        } else {
            Digest::of_reader(&mut from, &mut take)?
        };
        self.expect(found, digest, &path, &metadata)
    }

    /// Returns the blob, checked as a whole and open at its start.
    ///
    /// # Errors
    /// See [`BlobError`]; a damaged blob is evicted.
    pub fn open_verified(&self, digest: &Digest) -> Result<File, BlobError> {
        let (path, mut file, metadata) = self.open_blob(digest)?;
        let found = Digest::of_reader(&mut file, &mut |_| Ok(()))?;
        self.expect(found, digest, &path, &metadata)?;
        file.rewind()?;
        Ok(file)
    }

    /// Whether the blob is there already; then it is marked as used.
    fn keep(&self, path: &Path, digest: &Digest) -> bool {
        let found = has_size(path, digest);
        if let Some(metadata) = &found {
            self.touch_file(path, metadata);
        }
        found.is_some()
    }

    fn open_blob(&self, digest: &Digest) -> Result<(PathBuf, File, Metadata), BlobError> {
        let path = self.place(Area::Blobs, &digest.hash);
        let error = match open_plain(&path) {
            Ok((file, metadata)) if metadata.len() == digest.size => return Ok((path, file, metadata)),
            Ok((_, metadata)) => {
                self.discard(&path, &metadata);
                return Err(BlobError::Damaged);
            }
            Err(error) => error,
        };
        match path.symlink_metadata() {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Err(BlobError::Missing),
            // Something else than a file has taken its place.
            Ok(metadata) if !metadata.is_file() => {
                self.discard(&path, &metadata);
                Err(BlobError::Damaged)
            }
            _ => Err(BlobError::Io(error)),
        }
    }

    fn expect(&self, found: Digest, expected: &Digest, path: &Path, metadata: &Metadata) -> Result<(), BlobError> {
        if found == *expected {
            return Ok(());
        }
        self.discard(path, metadata);
        Err(BlobError::Damaged)
    }
}

fn has_size(path: &Path, digest: &Digest) -> Option<Metadata> {
    path.symlink_metadata().ok().filter(|metadata| metadata.is_file() && metadata.len() == digest.size)
}
