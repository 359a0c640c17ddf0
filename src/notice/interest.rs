//! Which entries of which folders matter to somebody.
//!
//! Knows paths; knows nothing of how they are watched.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// More links than this are a circle, to the system as to us.
const MOST_LINKS: usize = 40;

/// Folders, and which of their entries matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interests {
    folders: BTreeMap<PathBuf, Names>,
}

/// Which entries of a folder matter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    All,
    These(BTreeSet<OsString>),
}

impl Interests {
    /// All entries of `folder` matter.
    pub fn whole(&mut self, folder: &Path) {
        self.folders.insert(folder.to_owned(), Names::All);
    }

    /// What lies at `path` matters, of its folder nothing else.
    pub fn entry(&mut self, path: &Path) {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
        match self.folders.get_mut(folder) {
            Some(Names::All) => {}
            Some(Names::These(names)) => {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
            None => {
                self.folders.insert(folder.to_owned(), Names::These(BTreeSet::from([name.to_owned()])));
            }
        }
    }

    /// Every folder from `top` to `path` matters, both included: that it is there, and is the same one.
    pub fn way(&mut self, top: &Path, path: &Path) {
        path.ancestors().take_while(|folder| folder.starts_with(top)).for_each(|folder| self.entry(folder));
    }

    /// What the links on the way from the real folder `from` along `path` lead to matters, and each of the links.
    pub fn trail(&mut self, from: &Path, path: &Path) {
        let mut place = from.to_owned();
        let mut ahead: VecDeque<OsString> = path.iter().map(OsString::from).collect();
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            match Path::new(&name).components().next() {
                Some(Component::ParentDir) => drop(place.pop()),
                Some(Component::RootDir) => place = PathBuf::from("/"),
                Some(Component::CurDir) | None => {}
                Some(Component::Normal(_) | Component::Prefix(_)) => place.push(&name),
            }
            let Ok(target) = fs::read_link(&place) else { continue };
            self.entry(&place);
            links += 1;
            if links > MOST_LINKS {
                return;
            }
            place.pop();
            target.iter().rev().for_each(|name| ahead.push_front(name.to_owned()));
        }
        self.entry(&place);
    }

    /// Adds the ways from `top` to all folders below it.
    pub fn ways_from(&mut self, top: &Path) {
        let below: Vec<PathBuf> = self.folders.keys().filter(|folder| folder.starts_with(top)).cloned().collect();
        below.iter().for_each(|folder| self.way(top, folder));
    }

    /// Adds the folders themselves, as entries of those that they lie in, where they do not lie below `top`.
    pub fn selves_outside(&mut self, top: &Path) {
        let outside: Vec<PathBuf> = self.folders.keys().filter(|folder| !folder.starts_with(top)).cloned().collect();
        outside.iter().for_each(|folder| self.entry(folder));
    }

    /// Adds all of `others`.
    pub fn join(&mut self, others: &Self) {
        for (folder, names) in &others.folders {
            match names {
                Names::All => self.whole(folder),
                Names::These(names) => names.iter().for_each(|name| self.entry(&folder.join(name))),
            }
        }
    }

    /// Returns the same of folders that are there: in the place of one that is not, its appearance matters.
    #[must_use]
    pub fn of_what_is_there(&self, is_there: impl Fn(&Path) -> bool) -> Self {
        let mut there = Self::default();
        for (folder, names) in &self.folders {
            let mut missing = folder.as_path();
            while !is_there(missing) {
                let Some(above) = missing.parent() else { break };
                if is_there(above) {
                    there.entry(missing);
                }
                missing = above;
            }
            match (missing == folder, names) {
                (false, _) => {}
                (true, Names::All) => there.whole(folder),
                (true, Names::These(names)) => names.iter().for_each(|name| there.entry(&folder.join(name))),
            }
        }
        there
    }

    /// Returns the folders.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.keys().map(PathBuf::as_path)
    }

    /// Tells whether what lies at `path` matters, or is one of the folders itself.
    pub fn concern(&self, path: &Path) -> bool {
        let in_folder = || match (path.parent().and_then(|folder| self.folders.get(folder)), path.file_name()) {
            (Some(Names::All), _) => true,
            (Some(Names::These(names)), Some(name)) => names.contains(name),
            _ => false,
        };
        self.folders.contains_key(path) || in_folder()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concerned(interests: &Interests, paths: &[&str]) -> Vec<bool> {
        paths.iter().map(|path| interests.concern(Path::new(path))).collect()
    }

    #[test]
    fn only_what_matters_concerns() {
        let mut interests = Interests::default();
        interests.whole(Path::new("/p/src"));
        interests.entry(Path::new("/p/src/already"));
        interests.entry(Path::new("/p/main.c"));
        let paths = ["/p/src/x", "/p/src", "/p/main.c", "/p/other", "/p", "/p/src/x/y", "/"];
        assert_eq!(concerned(&interests, &paths), [true, true, true, false, true, false, false]);
    }

    #[test]
    fn the_way_to_a_folder_matters() {
        let mut interests = Interests::default();
        interests.whole(Path::new("/h/p/a/b"));
        interests.whole(Path::new("/elsewhere/lib"));
        interests.ways_from(Path::new("/h/p"));
        interests.selves_outside(Path::new("/h/p"));
        let paths = ["/h/p/a", "/h/p", "/h/q", "/h/p/c", "/elsewhere/lib", "/elsewhere/bin"];
        assert_eq!(concerned(&interests, &paths), [true, true, false, false, true, false]);
        let mut both = Interests::default();
        both.entry(Path::new("/h/p/a/b/x"));
        both.join(&interests);
        assert!(both.concern(Path::new("/h/p/a/b/y")));
    }

    #[test]
    fn every_link_on_the_way_matters() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        fs::create_dir_all(root.join("v1/lib")).unwrap();
        link("v1", "current");
        link("../current/lib/x", "v1/x");
        link("round", "round");
        let mut interests = Interests::default();
        interests.trail(&root, Path::new("v1/x"));
        interests.trail(&root, Path::new("round"));
        interests.trail(&root, Path::new("dangling/deep"));
        let concerns = |path: &str| interests.concern(&root.join(path));
        for path in ["v1/x", "current", "v1/lib/x", "round", "dangling/deep"] {
            assert!(concerns(path), "{path}");
        }
        assert!(!concerns("v1/y") && !concerns("other"));
    }

    #[test]
    fn what_is_missing_is_awaited_where_it_would_appear() {
        let mut interests = Interests::default();
        interests.whole(Path::new("/p/gen/deep/er"));
        interests.entry(Path::new("/p/src/a"));
        let there = interests.of_what_is_there(|path| ["/", "/p", "/p/src"].map(Path::new).contains(&path));
        assert_eq!(there.folders().collect::<Vec<_>>(), [Path::new("/p"), Path::new("/p/src")]);
        assert_eq!(concerned(&there, &["/p/gen", "/p/src/a", "/p/src/b", "/p/other"]), [true, true, false, false]);
    }
}
