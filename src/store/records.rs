//! The records in the store, each under the key of its stage.
//!
//! Knows that a record is written after all it names, and doubted when it is read; knows nothing of how a key comes about.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use super::blobs::BlobError;
use super::local::{Area, Store, is_recent, open_plain};
use super::result::StageResult;
use crate::base::{
    self,
    digest::{Digest, Hash},
};

/// The longest record that is read, in bytes.
const LONGEST: u64 = 256 << 20;

/// What the store says about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// There is a record, and it is good. Whether the blobs of its outputs are there is not looked at.
    Found(StageResult),
    /// There is no record.
    Absent,
    /// There was a record that cannot be used, for the reason given. It is evicted, unless it only could not be read now.
    Damaged(String),
}

/// What a record file is known by without being read. Marking it as used does not change it, writing it anew does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The number of the file on its device.
    pub inode: u64,
    /// The size in bytes.
    pub size: u64,
    /// When the file was made, in nanoseconds since 1970; zero where the file system does not say. Numbers of files are used again.
    pub born: u64,
}

/// A good record, and the file it was read from.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) result: StageResult,
    pub(super) trees: Vec<Digest>,
    pub(super) metadata: Metadata,
}

/// Why a record cannot be had though it is there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It is not believed, and evicted.
    #[error("{0}")]
    Damaged(String),
    /// The file system refuses it, or a blob of a tree; another time it may not, so it stays.
    #[error("the record cannot be read: {0}")]
    Io(#[source] io::Error),
}

impl Loaded {
    /// Returns every blob that the record cannot do without, as often as it is named.
    pub(super) fn named(&self) -> impl Iterator<Item = &Digest> {
        self.result.blobs().chain(&self.trees).chain([&self.result.fingerprint])
    }
}

impl Store {
    /// Returns the result that is recorded under `key`.
    pub fn lookup(&self, key: &Hash) -> Lookup {
        match self.load(key) {
            Ok(Some(loaded)) => Lookup::Found(loaded.result),
            Ok(None) => Lookup::Absent,
            Err(trouble) => Lookup::Damaged(trouble.to_string()),
        }
    }

    /// Returns what the record file of `key` is known by; `None` where there is none.
    pub fn stamp(&self, key: &Hash) -> Option<Stamp> {
        let metadata = self.place(Area::Records, key).symlink_metadata().ok()?;
        let since = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let born = since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0);
        Some(Stamp { inode: metadata.ino(), size: metadata.len(), born })
    }

    /// Returns what the file system says of the record file of `key`; `None` where there is none.
    pub fn seen(&self, key: &Hash) -> Option<base::stamp::Stamp> {
        self.record_stamp(key)
    }

    /// Marks the record of `key` as used as [`Store::touch`] does, if the file system still says `seen` of it. Returns what it says now.
    pub fn keeps(&self, key: &Hash, seen: &base::stamp::Stamp) -> Option<base::stamp::Stamp> {
        let found = self.record_stamp(key).filter(|found| found == seen)?;
        if is_recent(&found) || !self.is_writable() {
            return Some(found);
        }
        self.touch(key);
        self.seen(key)
    }

    /// Marks the record of `key` as used now, unless it was in the last ten minutes.
    pub fn touch(&self, key: &Hash) {
        let path = self.place(Area::Records, key);
        if let Ok(metadata) = path.symlink_metadata() {
            self.touch_file(&path, &metadata);
        }
    }

    /// Stores the fingerprint and the trees of `result`, and then the record itself under `key`, all of it or nothing.
    ///
    /// # Errors
    /// What the file system says; `InvalidInput` where the fingerprint is not the one of `key` or of `result`, `NotFound` where a blob of
    /// the outputs or the log has not been stored.
    pub fn record(&self, key: &Hash, fingerprint: &[u8], result: &StageResult) -> io::Result<()> {
        let digest = Digest::of(fingerprint);
        if digest.hash != *key || digest != result.fingerprint {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the key is not of this fingerprint"));
        }
        self.put(fingerprint)?;
        let (bytes, trees) = result.encode();
        for (_, tree) in &trees {
            self.put(tree)?;
        }
        if let Some(blob) = result.blobs().find(|blob| !self.contains(blob)) {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("the blob {} is not in the cache", blob.hash)));
        }
        self.write(&self.place(Area::Records, key), &bytes)
    }

    /// Removes the record of `key`, if there is one and the store may be written to.
    pub fn evict(&self, key: &Hash) {
        if self.is_writable() {
            // That it stays only means that it is found again.
            let _gone = fs::remove_file(self.place(Area::Records, key));
        }
    }

    /// Reads the record of `key`; one that cannot be believed is evicted.
    pub(super) fn load(&self, key: &Hash) -> Result<Option<Loaded>, Trouble> {
        let path = self.place(Area::Records, key);
        let (file, metadata) = match (open_plain(&path), path.symlink_metadata()) {
            (Ok(opened), _) => opened,
            (Err(_), Err(gone)) if gone.kind() == io::ErrorKind::NotFound => return Ok(None),
            (Err(_), Ok(metadata)) if !metadata.is_file() => {
                self.discard(&path, &metadata);
                return Err(Trouble::Damaged("the record is not a file".to_owned()));
            }
            (Err(error), _) => return Err(Trouble::Io(error)),
        };
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(LONGEST)).unwrap_or(0) + 1);
        file.take(LONGEST).read_to_end(&mut bytes).map_err(Trouble::Io)?;
        match self.decode(key, &bytes) {
            Ok((result, trees)) => Ok(Some(Loaded { result, trees, metadata })),
            Err(trouble) => {
                if matches!(trouble, Trouble::Damaged(_)) {
                    self.discard(&path, &metadata);
                }
                Err(trouble)
            }
        }
    }

    fn decode(&self, key: &Hash, bytes: &[u8]) -> Result<(StageResult, Vec<Digest>), Trouble> {
        let mut trees = Vec::new();
        let mut refused = None;
        let result = StageResult::decode(bytes, &mut |digest| {
            trees.push(*digest);
            match self.read(digest) {
                Ok(tree) => return Some(tree),
                Err(BlobError::Io(error)) => refused = Some(error),
                Err(BlobError::Missing | BlobError::Damaged) => {}
            }
            None
        });
        match (result, refused) {
            (_, Some(error)) => Err(Trouble::Io(error)),
            (Err(error), None) => Err(Trouble::Damaged(format!("the record {error}"))),
            // A record that was moved here from another key is whole, but wrong.
            (Ok(result), None) if result.fingerprint.hash != *key => Err(Trouble::Damaged("the record is of another key".to_owned())),
            (Ok(result), None) => Ok((result, trees)),
        }
    }
}
