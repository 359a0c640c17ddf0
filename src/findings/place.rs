//! Where in the project something is, as programs name it: by a path from their folder, from the project, or from the root.
//!
//! Knows how places are written; of the file system only which files are there.

use std::collections::HashMap;
use std::path::Path;

use crate::base::places::{find, named};
use crate::model::findings::Place;

/// The longest path that is kept, in bytes.
const LONGEST: usize = 4096;

/// How many lines of a message are looked through.
const LINES: usize = 400;

/// How many names of files are remembered.
const MOST: usize = 10_000;

/// Folders whose files nobody mends.
const FOREIGN: [&str; 4] = ["node_modules", "site-packages", ".venv", "vendor"];

/// Finds files of a project, each asked for once.
#[derive(Debug)]
pub(super) struct Places<'p> {
    root: &'p Path,
    folders: &'p [&'p Path],
    known: HashMap<String, Option<String>>,
}

impl<'p> Places<'p> {
    /// Returns what knows no file yet of the project in `root`; programs run in `folders`, relative to it.
    pub(super) fn new(root: &'p Path, folders: &'p [&'p Path]) -> Self {
        Self { root, folders, known: HashMap::new() }
    }

    /// Returns the file of the project that is called `file`.
    fn find(&mut self, file: &str) -> Option<String> {
        if let Some(known) = self.known.get(file) {
            return known.clone();
        }
        let mut folders = self.folders.iter().filter(|_| file.len() <= LONGEST);
        let found = folders.find_map(|folder| find(file, self.root, folder));
        if self.known.len() < MOST {
            self.known.insert(file.to_owned(), found.clone());
        }
        found
    }

    /// Returns the place that a report names: relative to the project where it is in it, else as it is written.
    pub(super) fn declared(&mut self, file: &str, line: Option<u32>, column: Option<u32>) -> Option<Place> {
        if file.trim().is_empty() || file.len() > LONGEST {
            return None;
        }
        let positive = |number: Option<u32>| number.filter(|number| *number > 0);
        let inside = || Path::new(file).strip_prefix(self.root).ok().and_then(Path::to_str).unwrap_or(file).to_owned();
        let written = inside();
        let file = self.find(file).unwrap_or(written);
        Some(Place { file, line: positive(line), column: positive(column) })
    }

    /// Returns the first place that `text` names in a file of the project, which is `only` where that is given.
    pub(super) fn in_text(&mut self, text: &str, only: Option<&str>) -> Option<Place> {
        for place in text.lines().take(LINES).flat_map(named) {
            let is_foreign = place.file.split('/').any(|part| FOREIGN.contains(&part));
            let Some(file) = (if is_foreign { None } else { self.find(place.file) }) else { continue };
            if only.is_none_or(|only| only == file) {
                return Some(Place { file, line: Some(place.line).filter(|line| *line > 0), column: place.column });
            }
        }
        None
    }
}
