//! The last keys under which each stage was stored, so that a miss can be compared with what was there before.
//!
//! Knows names of stages and keys; nothing that is decided depends on these notes.

use std::io;
use std::path::Path;

use super::local::{Area, Store};
use crate::base::digest::Hash;

/// How many keys are kept for each stage.
const MOST_KEYS: usize = 16;

/// The first line of a file of notes, with the version of its format.
const HEAD: &str = "shipway keys 1";

impl Store {
    /// Notes that the stage was stored under `key` last. `stage` is whatever tells this stage from all others of all projects.
    ///
    /// # Errors
    /// What the file system says.
    pub fn note(&self, stage: &str, key: &Hash) -> io::Result<()> {
        let path = self.place(Area::Stages, &Hash::of(stage.as_bytes()));
        let mut keys = read(&path);
        if keys.first() == Some(key) {
            if let Ok(metadata) = path.symlink_metadata() {
                self.touch_file(&path, &metadata);
            }
            return self.expect_writable();
        }
        keys.retain(|noted| noted != key);
        keys.insert(0, *key);
        keys.truncate(MOST_KEYS);
        let lines: Vec<String> = keys.iter().map(Hash::to_string).collect();
        self.write(&path, format!("{HEAD}\n{}\n", lines.join("\n")).as_bytes())
    }

    /// Returns the keys that were noted for the stage, the newest first; none where the notes cannot be read.
    pub fn noted(&self, stage: &str) -> Vec<Hash> {
        read(&self.place(Area::Stages, &Hash::of(stage.as_bytes())))
    }
}

fn read(path: &Path) -> Vec<Hash> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.strip_prefix(HEAD).and_then(|rest| rest.strip_prefix('\n')).unwrap_or_default();
    lines.lines().map(Hash::parse).collect::<Option<Vec<_>>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_distinct_keys_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.noted("a"), []);
        let keys: Vec<Hash> = (0..20_u8).map(|number| Hash([number; 32])).collect();
        for key in keys.iter().chain([&keys[10], &keys[10]]) {
            store.note("a", key).unwrap();
        }
        let noted = store.noted("a");
        assert_eq!(noted.len(), MOST_KEYS);
        assert_eq!(noted[..3], [keys[10], keys[19], keys[18]]);
        assert_eq!(store.noted("b"), []);
        let path = store.place(Area::Stages, &Hash::of(b"a"));
        for damage in ["", HEAD, "shipway keys 2\n", &format!("{HEAD}\nx\n")] {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, damage).unwrap();
            assert_eq!(store.noted("a"), [], "{damage:?}");
        }
        store.note("a", &keys[0]).unwrap();
        assert_eq!(store.noted("a"), [keys[0]]);
        let reader = Store::open_read_only(folder.path()).unwrap();
        assert_eq!(reader.noted("a"), [keys[0]]);
        assert!(reader.note("a", &keys[0]).is_err() && reader.note("a", &keys[1]).is_err());
    }
}
