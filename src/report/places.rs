//! Places in files that a failed step's output names.

use std::path::Path;

use crate::base::places::{find, named};

/// The most places that are shown.
const MOST: usize = 10;

/// A place in a line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// As it is written there, relative to the project where it is absolute there.
    pub shown: String,
    /// The file, relative to the project.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: Option<u32>,
    /// The line of output that names it.
    pub said: String,
}

/// Returns the places in `lines`, in order and each once, whose files exist in `folder` or relative to `root`.
pub fn places(lines: &[String], root: &Path, folder: &Path) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (said, place) in lines.iter().flat_map(|said| named(said).map(move |place| (said, place))) {
        let Some(file) = find(place.file, root, folder) else { continue };
        let written = Path::new(place.file).strip_prefix(root).map_or(place.file, |file| file.to_str().unwrap_or_default());
        let column = place.column.map(|column| format!(":{column}")).unwrap_or_default();
        let shown = format!("{written}:{}{column}", place.line);
        if !found.iter().any(|found| found.shown == shown) {
            found.push(Found { shown, file, line: place.line, column: place.column, said: said.clone() });
        }
        if found.len() == MOST {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &[String], root: &Path, folder: &str) -> Vec<String> {
        places(lines, root, Path::new(folder)).into_iter().map(|found| found.shown).collect()
    }

    #[test]
    fn an_absolute_place_in_the_project_is_shown_from_there() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.rs"), "").unwrap();
        let lines = [format!("Diff in {}/a.rs:487:", root.path().display()), "/etc/passwd:1".to_owned()];
        assert_eq!(shown(&lines, root.path(), "."), ["a.rs:487"]);
    }

    #[test]
    fn only_files_that_exist_are_places() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("src")).unwrap();
        for file in ["src/a.rs", "t.py"] {
            std::fs::write(root.path().join(file), "").unwrap();
        }
        let lines = [
            "error at src/a.rs:3:7: oops",
            "  --> src/a.rs:3:7",
            "(a.rs:9)",
            "src/b.rs:1",
            "  File \"t.py\", line 12, in x",
            "12:30:05 tick",
        ]
        .map(str::to_owned);
        assert_eq!(shown(&lines, root.path(), "."), ["src/a.rs:3:7", "t.py:12"]);
        assert_eq!(shown(&lines, root.path(), "src"), ["src/a.rs:3:7", "a.rs:9", "t.py:12"]);
        let found = &places(&lines, root.path(), Path::new("src"))[1];
        assert_eq!((found.file.as_str(), found.line, found.column, found.said.as_str()), ("src/a.rs", 9, None, "(a.rs:9)"));
    }
}
