//! Looking the store over: how much it holds, and whether all of it is whole.
//!
//! Knows what a good record and a good blob are; decides nothing about what is worth keeping.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::local::{Area, Store, open_plain};
use super::sweep;
use crate::base::digest::{Digest, Hash};

/// What the store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stat {
    /// The records.
    pub records: u64,
    /// The blobs.
    pub blobs: u64,
    /// The bytes of both.
    pub bytes: u64,
    /// When the record was last used that was used least recently.
    pub oldest: Option<SystemTime>,
    /// When a record was last used.
    pub newest: Option<SystemTime>,
}

/// What was looked over, and what was wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// The records that were looked at.
    pub records: u64,
    /// The blobs that were looked at.
    pub blobs: u64,
    /// A line for each that was damaged; these are evicted, unless the store is read-only or the file could not be read.
    pub damaged: Vec<String>,
}

/// Counts what the store holds.
///
/// # Errors
/// What the file system says.
pub fn stat(store: &Store) -> io::Result<Stat> {
    let mut stat = Stat::default();
    store.visit(Area::Records, &mut |_, _, metadata| {
        let used = metadata.modified()?;
        stat.records += 1;
        stat.bytes += metadata.len();
        stat.oldest = Some(stat.oldest.map_or(used, |oldest| oldest.min(used)));
        stat.newest = Some(stat.newest.map_or(used, |newest| newest.max(used)));
        Ok(())
    })?;
    store.visit(Area::Blobs, &mut |_, _, metadata| {
        stat.blobs += 1;
        stat.bytes += metadata.len();
        Ok(())
    })?;
    Ok(stat)
}

/// Reads every blob and every record, and evicts what is not what it should be, as well as records that name a blob that is not there.
///
/// # Errors
/// What the file system says, except of a single file that cannot be read: that one is damaged.
pub fn verify(store: &Store) -> io::Result<Verified> {
    // A sweep in between would look like damage.
    let _lock = if store.is_writable() { Some(sweep::wait(store)?) } else { None };
    let mut verified = Verified::default();
    let mut bad = HashSet::new();
    store.visit(Area::Blobs, &mut |hash, path, _| {
        verified.blobs += 1;
        if let Some(reason) = damage_of(store, &hash, path) {
            bad.insert(hash);
            verified.damaged.push(format!("blob {hash}: {reason}"));
        }
        Ok(())
    })?;
    let mut keys = Vec::new();
    store.visit(Area::Records, &mut |key, _, _| {
        keys.push(key);
        Ok(())
    })?;
    for key in keys {
        let loaded = match store.load(&key) {
            Ok(None) => continue,
            Ok(Some(loaded)) => loaded,
            Err(trouble) => {
                verified.records += 1;
                verified.damaged.push(format!("record {key}: {trouble}"));
                continue;
            }
        };
        verified.records += 1;
        if let Some(blob) = loaded.named().find(|blob| bad.contains(&blob.hash) || !store.contains(blob)) {
            verified.damaged.push(format!("record {key}: the blob {} is missing or damaged", blob.hash));
            store.discard(&store.place(Area::Records, &key), &loaded.metadata);
        }
    }
    Ok(verified)
}

/// Returns what is wrong with a blob, and evicts it then.
fn damage_of(store: &Store, hash: &Hash, path: &Path) -> Option<String> {
    let (mut file, metadata) = match open_plain(path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(format!("it cannot be read: {error}")),
    };
    match Digest::of_reader(&mut file, &mut |_| Ok(())) {
        Ok(found) if found.hash == *hash => None,
        Ok(_) => {
            store.discard(path, &metadata);
            Some("its content is not what its name says".to_owned())
        }
        Err(error) => Some(format!("it cannot be read: {error}")),
    }
}
