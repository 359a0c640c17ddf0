//! Places in files that a failed step's output names: `file:line`, `file:line:column`, and Python's `File "…", line N`.

use std::path::Path;

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
    /// The column, where one is named.
    pub column: Option<u32>,
    /// The line of output that names it.
    pub said: String,
}

/// Returns the places in `lines`, in order and each once, whose files exist in `folder` or relative to `root`.
pub fn places(lines: &[String], root: &Path, folder: &Path) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let named = |said| python(said).into_iter().chain(str::split(said, is_delimiter).filter_map(colon)).map(move |place| (said, place));
    for (said, (file, line, column)) in lines.iter().flat_map(|line| named(line.as_str())) {
        let file = Path::new(file).strip_prefix(root).map_or(file, |file| file.to_str().unwrap_or_default());
        let shown = format!("{file}:{line}{}", column.map(|column| format!(":{column}")).unwrap_or_default());
        if file.starts_with('/') || found.iter().any(|found| found.shown == shown) {
            continue;
        }
        let candidates = [folder.join(file), Path::new(file).to_owned()];
        if let Some(file) = candidates.iter().find(|file| root.join(file).is_file()) {
            let file = file.strip_prefix(".").unwrap_or(file).to_string_lossy().into_owned();
            found.push(Found { shown, file, line, column, said: said.to_owned() });
        }
        if found.len() == MOST {
            break;
        }
    }
    found
}

fn is_delimiter(c: char) -> bool {
    c.is_whitespace() || "()[]{}<>\"'`,;".contains(c)
}

/// Reads `file:line` or `file:line:column`.
fn colon(word: &str) -> Option<(&str, u32, Option<u32>)> {
    let word = word.trim_end_matches([':', '.']);
    let mut parts = word.splitn(4, ':');
    let file = parts.next().filter(|file| !file.is_empty())?;
    let line: u32 = parts.next()?.parse().ok()?;
    let column: Option<u32> = parts.next().and_then(|column| column.parse().ok());
    Some((file, line, column))
}

/// Reads `File "…", line N`.
fn python(line: &str) -> Option<(&str, u32, Option<u32>)> {
    let (file, rest) = line.split_once("File \"")?.1.split_once("\", line ")?;
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((file, number.parse().ok()?, None))
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
