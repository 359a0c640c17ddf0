//! Places in files that a line of text names: `file:line`, `file:line:column`, and Python's `File "…", line N`.
//!
//! Knows how programs write places; whether a file is there is asked by others.

use std::path::Path;

/// A place as a program wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'t> {
    /// The file.
    pub file: &'t str,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: Option<u32>,
}

/// Returns what looks like a place in `line`, in order.
pub fn named(line: &str) -> impl Iterator<Item = Named<'_>> {
    python(line).into_iter().chain(line.split(is_delimiter).filter_map(colon))
}

/// Returns the path, relative to the project in `root`, of the file that a program in `folder` (relative to the project) calls `file`;
/// `None` where there is no such file in the project.
pub fn find(file: &str, root: &Path, folder: &Path) -> Option<String> {
    let inside = Path::new(file).strip_prefix(root).unwrap_or(Path::new(file));
    if inside.as_os_str().is_empty() || inside.is_absolute() {
        return None;
    }
    // What climbs up may lead out.
    let candidates = [folder.join(inside), inside.to_owned()].into_iter().filter_map(|path| super::glob::within("", path.to_str()?).ok());
    candidates.into_iter().find(|path| root.join(path).is_file())
}

fn is_delimiter(c: char) -> bool {
    c.is_whitespace() || "()[]{}<>\"'`,;".contains(c)
}

/// Reads `file:line` or `file:line:column`.
fn colon(word: &str) -> Option<Named<'_>> {
    let word = word.trim_end_matches([':', '.']);
    let mut parts = word.splitn(4, ':');
    let file = parts.next().filter(|file| !file.is_empty())?;
    let line = parts.next()?.parse().ok()?;
    Some(Named { file, line, column: parts.next().and_then(|column| column.parse().ok()) })
}

/// Reads `File "…", line N`.
fn python(line: &str) -> Option<Named<'_>> {
    let (file, rest) = line.split_once("File \"")?.1.split_once("\", line ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some(Named { file, line: rest[..digits].parse().ok()?, column: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_programs_write_them() {
        let place = |file, line, column| Named { file, line, column };
        let read = |line| named(line).collect::<Vec<_>>();
        assert_eq!(read("error at src/a.rs:3:7: oops"), [place("src/a.rs", 3, Some(7))]);
        assert_eq!(read("  File \"t.py\", line 12, in x"), [place("t.py", 12, None)]);
        assert_eq!(read("(a.rs:9) b:x"), [place("a.rs", 9, None)]);
        assert_eq!(read("File \"t.py\", line 99999999999"), []);
    }

    #[test]
    fn files_are_found_from_their_folder_and_from_the_project() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("sub")).unwrap();
        std::fs::write(root.path().join("sub/a"), "").unwrap();
        std::fs::write(root.path().join("b"), "").unwrap();
        let find = |file: &str| find(file, root.path(), Path::new("sub"));
        let absolute = root.path().join("sub/a");
        for (file, found) in [("a", Some("sub/a")), ("./a", Some("sub/a")), ("sub/a", Some("sub/a")), ("b", Some("b")), ("../b", Some("b"))]
        {
            assert_eq!(find(file).as_deref(), found, "{file}");
        }
        assert_eq!(find(absolute.to_str().unwrap()).as_deref(), Some("sub/a"));
        for file in ["", "c", "/etc/passwd", "../../../../../../etc/passwd", "sub", root.path().to_str().unwrap()] {
            assert_eq!(find(file), None, "{file}");
        }
    }
}
