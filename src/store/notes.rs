//! The last keys under which each stage of a pipeline was stored, so that a miss can be compared with what was there before.
//!
//! Knows names of stages and keys; nothing that is decided depends on these notes.

use super::local::{Area, Store};
use crate::base::digest::Hash;
use crate::base::journal::Journal;

/// How many keys are kept for each stage.
const MOST_KEYS: usize = 16;

/// The keys of the stages of one pipeline.
#[derive(Debug)]
pub struct Notes {
    journal: Journal,
}

impl Notes {
    /// Returns those of the pipeline of this name; all checkouts have them in common.
    pub fn of(store: &Store, pipeline: &str) -> Self {
        let path = store.place(Area::Stages, &Hash::of(format!("keys\n{pipeline}").as_bytes()));
        Self { journal: Journal::new(path, "shipway keys 2", MOST_KEYS, store.is_writable()) }
    }

    /// Notes that the stage was stored under `key` last. Where that cannot be done, less is said of a miss.
    pub fn note(&self, stage: &str, key: &Hash) {
        let _unsaid = self.journal.append(&Hash::of(stage.as_bytes()), &key.0);
    }

    /// Returns the keys that were noted for the stage, the newest first; none where the notes cannot be read.
    pub fn noted(&self, stage: &str) -> Vec<Hash> {
        let bodies = self.journal.read(&Hash::of(stage.as_bytes())).unwrap_or_default();
        bodies.iter().filter_map(|body| key(body)).collect()
    }

    /// Forgets the keys whose records are gone, when it is time to.
    pub fn tidy(&self, store: &Store) {
        let _another_time = self.journal.compact(&|body| key(body).is_some_and(|key| store.seen(&key).is_some()));
    }
}

fn key(body: &[u8]) -> Option<Hash> {
    body.try_into().ok().map(Hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_distinct_keys_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let notes = Notes::of(&store, "p");
        assert_eq!(notes.noted("a"), []);
        let keys: Vec<Hash> = (0..20_u8).map(|number| Hash([number; 32])).collect();
        for key in keys.iter().chain([&keys[10], &keys[10]]) {
            notes.note("a", key);
        }
        let noted = notes.noted("a");
        assert_eq!(noted.len(), MOST_KEYS);
        assert_eq!(noted[..3], [keys[10], keys[19], keys[18]]);
        assert_eq!((notes.noted("b"), Notes::of(&store, "q").noted("a")), (vec![], vec![]));
        let reader = Store::open_read_only(folder.path()).unwrap();
        let reader = Notes::of(&reader, "p");
        assert_eq!(reader.noted("a"), noted);
        reader.note("a", &keys[0]);
        assert_eq!((reader.noted("a"), Notes::of(&store, "p").noted("a")), (noted.clone(), noted));
    }
}
