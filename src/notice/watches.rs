//! Which folders are watched, and which of them no longer are what they were.
//!
//! Knows paths and inodes; watches nothing itself. A watch belongs to a folder and not to its path: the folder may have been moved away,
//! and another one may have taken its place.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Device and inode.
pub(super) type Identity = (u64, u64);

/// The folders that are watched.
#[derive(Debug, Default)]
pub(super) struct Watches {
    known: BTreeMap<PathBuf, Identity>,
}

impl Watches {
    /// Returns the watches to end, then those to begin, so that exactly `wanted` are watched. To be carried out in this order: to begin one
    /// anew where the same folder has another watch would give that one back, and its end would be the end of both.
    pub(super) fn turn_to(&mut self, wanted: &HashMap<PathBuf, Identity>) -> (Vec<PathBuf>, Vec<(PathBuf, Identity)>) {
        let stale: Vec<PathBuf> =
            self.known.iter().filter(|(path, identity)| wanted.get(*path) != Some(identity)).map(|(path, _)| path.clone()).collect();
        for path in &stale {
            self.known.remove(path);
        }
        let mut fresh: Vec<(PathBuf, Identity)> =
            wanted.iter().filter(|(path, _)| !self.known.contains_key(*path)).map(|(path, identity)| (path.clone(), *identity)).collect();
        fresh.sort_unstable();
        (stale, fresh)
    }

    /// Notes that a folder is watched now.
    pub(super) fn add(&mut self, path: PathBuf, identity: Identity) {
        self.known.insert(path, identity);
    }

    /// Forgets what lies at `path` or below, because something else may be there now. Returns the watches to end.
    pub(super) fn forget(&mut self, path: &Path) -> Vec<PathBuf> {
        let gone: Vec<PathBuf> =
            self.known.range(path.to_owned()..).map(|(known, _)| known).take_while(|known| known.starts_with(path)).cloned().collect();
        for path in &gone {
            self.known.remove(path);
        }
        gone
    }

    /// Returns how many folders are watched.
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(folders: &[(&str, u64)]) -> HashMap<PathBuf, Identity> {
        folders.iter().map(|(path, inode)| (PathBuf::from(path), (1, *inode))).collect()
    }

    fn turn(watches: &mut Watches, folders: &[(&str, u64)]) -> (Vec<String>, Vec<String>) {
        let (stale, fresh) = watches.turn_to(&wanted(folders));
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let begun = fresh.iter().map(|(path, _)| text(path)).collect();
        fresh.into_iter().for_each(|(path, identity)| watches.add(path, identity));
        (stale.iter().map(text).collect(), begun)
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_folder_that_was_replaced_is_watched_anew() {
        let mut watches = Watches::default();
        assert_eq!(turn(&mut watches, &[("/a", 1), ("/a/b", 2)]), (vec![], words(&["/a", "/a/b"])));
        assert_eq!(turn(&mut watches, &[("/a", 1), ("/a/b", 2)]), (vec![], vec![]));
        // Moved away, and another one in its place.
        assert_eq!(turn(&mut watches, &[("/a", 1), ("/a/b", 3), ("/c", 2)]), (words(&["/a/b"]), words(&["/a/b", "/c"])));
        // Removed and made again, which may give the same inode.
        assert_eq!(watches.forget(Path::new("/a")), [PathBuf::from("/a"), PathBuf::from("/a/b")]);
        assert_eq!(turn(&mut watches, &[("/a", 1), ("/c", 2)]), (vec![], words(&["/a"])));
        assert!(watches.forget(Path::new("/x")).is_empty());
        assert_eq!(watches.count(), 2);
    }

    #[test]
    fn a_name_that_only_begins_alike_is_another() {
        let mut watches = Watches::default();
        turn(&mut watches, &[("/a", 1), ("/a-b", 2), ("/a/c", 3)]);
        assert_eq!(watches.forget(Path::new("/a")).len(), 2);
    }

    proptest! {
        #[test]
        fn what_is_wanted_is_what_is_watched(rounds in prop::collection::vec(prop::collection::btree_map(0..8u8, 0..4u64, 0..8), 1..8)) {
            let mut watches = Watches::default();
            // What the system would watch: a watch belongs to a folder.
            let mut system: HashMap<Identity, PathBuf> = HashMap::new();
            for (round, folders) in rounds.iter().enumerate() {
                // No folder lies at two paths.
                let folders: HashMap<u64, u8> = folders.iter().map(|(path, inode)| (*inode, *path)).collect();
                let wanted: HashMap<PathBuf, Identity> =
                    folders.iter().map(|(inode, path)| (PathBuf::from(format!("/{path}")), (round as u64 / 3, *inode))).collect();
                let (stale, fresh) = watches.turn_to(&wanted);
                system.retain(|_, path| !stale.contains(path));
                for (path, identity) in fresh {
                    system.insert(identity, path.clone());
                    watches.add(path, identity);
                }
                let expected: HashMap<Identity, PathBuf> = wanted.into_iter().map(|(path, identity)| (identity, path)).collect();
                prop_assert_eq!(&system, &expected);
            }
        }
    }
}
