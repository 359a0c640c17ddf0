//! What belongs in a folder of files of a repository, and what else lies there.
//!
//! Knows tracked files, submodules, and what stages are to make; deletes nothing.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::repo::paths;
use crate::base::glob::Glob;
use crate::base::state::STATE;

/// The mode of a submodule in an index.
const SUBMODULE: &[u8] = b"160000";

/// The files of an index, relative to its folder.
#[derive(Debug, Default)]
pub struct Tracked {
    files: HashSet<PathBuf>,
    folders: HashSet<PathBuf>,
    /// The submodules, and the commit of each.
    pub(super) submodules: Vec<(PathBuf, String)>,
    /// Where another repository begins: the folder itself, and each submodule that is there.
    pub(super) repositories: HashSet<PathBuf>,
    /// True where the index tells git to take some files for unchanged, or absent, without a look.
    pub(super) hides: bool,
}

/// What may lie in a folder although no commit holds it: what the stages to be run make, and what shipway keeps.
#[derive(Debug, Clone, Copy)]
pub struct Spared<'s> {
    /// The folder of the pipeline, relative to that of the repository.
    pub pipeline: &'s Path,
    /// What stages make, relative to the folder of the pipeline.
    pub outputs: &'s [Glob],
}

impl Spared<'_> {
    fn holds(&self, path: &Path) -> bool {
        let inside = path.strip_prefix(self.pipeline).ok();
        inside.is_some_and(|path| path.starts_with(STATE) || self.outputs.iter().any(|output| output.matches(path)))
    }

    /// Tells whether something that it holds could lie below `folder`.
    fn reaches_below(&self, folder: &Path) -> bool {
        let inside = folder.strip_prefix(self.pipeline).ok();
        self.pipeline.starts_with(folder)
            || inside.is_some_and(|folder| self.outputs.iter().any(|output| is_above(folder, output) || output.reaches_below(folder)))
    }
}

/// A literal output is below each folder of its path.
fn is_above(folder: &Path, output: &Glob) -> bool {
    output.is_literal() && Path::new(output.path()).starts_with(folder)
}

impl Tracked {
    /// Adds what `git ls-files -z --stage -v` said of the index of the folder `below`.
    pub(super) fn add(&mut self, below: &Path, listing: &[u8]) {
        self.repositories.insert(below.to_owned());
        for entry in paths(listing) {
            // A letter, mode, object, stage, a tab, the path.
            let entry = entry.as_os_str().as_bytes();
            let Some(tab) = entry.iter().position(|byte| *byte == b'\t') else { continue };
            let mut words = entry[..tab].split(|byte| *byte == b' ');
            let mut next = || words.next().unwrap_or_default();
            let (tag, mode, object) = (next(), next(), next());
            let path = below.join(std::ffi::OsStr::from_bytes(&entry[tab + 1..]));
            self.hides |= !tag.first().is_some_and(|tag| *tag == b'H' || *tag == b'M');
            self.folders.extend(
                path.ancestors().skip(1).map(Path::to_owned).take_while(|folder| !self.folders.contains(folder)).collect::<Vec<_>>(),
            );
            if mode == SUBMODULE {
                self.submodules.push((path.clone(), String::from_utf8_lossy(object).into_owned()));
                self.folders.insert(path);
            } else {
                self.files.insert(path);
            }
        }
    }

    /// Returns what lies in the folder `root` and belongs neither to the index nor to what is spared, each folder before what is beside
    /// it and without what is in it; at most `most`.
    ///
    /// # Errors
    /// Where a folder cannot be read; the text names it.
    pub fn strays(&self, root: &Path, spared: &Spared<'_>, most: usize) -> io::Result<Vec<PathBuf>> {
        let mut search = Search { tracked: self, root, spared, most, found: Vec::new() };
        search.look(Path::new(""))?;
        Ok(search.found)
    }
}

struct Search<'s> {
    tracked: &'s Tracked,
    root: &'s Path,
    spared: &'s Spared<'s>,
    most: usize,
    found: Vec<PathBuf>,
}

impl Search<'_> {
    /// Looks at all that lies in `folder`, relative to the root; tells whether something there is no stray.
    fn look(&mut self, folder: &Path) -> io::Result<bool> {
        let whole = self.root.join(folder);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("`{}` cannot be read: {error}", whole.display()));
        let mut belongs = false;
        for entry in fs::read_dir(&whole).map_err(named)? {
            let entry = entry.map_err(named)?;
            let path = folder.join(entry.file_name());
            let is_folder = entry.file_type().map_err(named)?.is_dir();
            if self.is_good(&path, is_folder)? {
                belongs = true;
            } else {
                self.found.push(path);
            }
            if self.found.len() >= self.most {
                break;
            }
        }
        Ok(belongs)
    }

    fn is_good(&mut self, path: &Path, is_folder: bool) -> io::Result<bool> {
        let tracked = self.tracked;
        if !is_folder && tracked.files.contains(path) {
            return Ok(true);
        }
        if path.file_name().is_some_and(|name| name == ".git") && path.parent().is_some_and(|above| tracked.repositories.contains(above)) {
            return Ok(true);
        }
        if is_folder && tracked.folders.contains(path) {
            return self.look(path).map(|_| true);
        }
        if self.spared.holds(path) {
            return Ok(true);
        }
        if !is_folder || !self.spared.reaches_below(path) {
            return Ok(false);
        }
        let before = self.found.len();
        // The folders that hold outputs are made before the outputs are.
        let belongs = self.look(path)? || self.found.len() == before;
        if !belongs {
            self.found.truncate(before);
        }
        Ok(belongs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strays_are_what_nobody_makes_and_no_commit_holds() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path();
        let all =
            ["a", ".git/x", "sub/b", "sub/.shipway/s", "sub/target/dist/bin", "sub/target/debug/o", "sub/dist", "dist", "sub/c/.git/x"];
        for name in all.iter().chain(&["odd/deep/x", "sub/new"]) {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), "").unwrap();
        }
        for folder in ["empty", "sub/out"] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        let mut tracked = Tracked::default();
        tracked.add(Path::new(""), b"H 100644 00 0\ta\0H 100644 00 0\tsub/b\0H 100644 00 0\tsub/out/gone\0");
        assert!(!tracked.hides);
        let outputs = ["target/dist/bin", "dist", "made/x"].map(|text| Glob::new("", text).unwrap());
        let spared = Spared { pipeline: Path::new("sub"), outputs: &outputs };
        let mut found = tracked.strays(root, &spared, usize::MAX).unwrap();
        found.sort();
        let expected = ["dist", "empty", "odd", "sub/c", "sub/new", "sub/target/debug"];
        assert_eq!(found, expected.map(PathBuf::from));
        assert_eq!(tracked.strays(root, &spared, 1).unwrap().len(), 1);
        tracked.add(Path::new(""), b"h 100644 00 0\tsub/new\0");
        assert!(tracked.hides);
    }

    #[test]
    fn submodules_are_repositories_of_their_own() {
        let mut tracked = Tracked::default();
        tracked.add(Path::new(""), b"H 160000 abcdef 0\tvendor/lib\0H 100644 00 0\tx\ty\0");
        assert_eq!(tracked.submodules, [(PathBuf::from("vendor/lib"), "abcdef".to_owned())]);
        assert!(tracked.files.contains(Path::new("x\ty")) && tracked.folders.contains(Path::new("vendor")));
    }
}
