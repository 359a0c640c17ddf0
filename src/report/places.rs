//! Places in files that a failed step's output names: `file:line`, `file:line:column`, and Python's `File "…", line N`.

use std::path::Path;

/// The most places that are shown.
const MOST: usize = 10;

/// Returns the places in `lines`, in order and each once, whose files exist in `folder` or relative to `root`.
pub fn places(lines: &[String], root: &Path, folder: &Path) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (file, rest) in lines.iter().flat_map(|line| python(line).into_iter().chain(line.split(is_delimiter).filter_map(colon))) {
        let file = Path::new(file).strip_prefix(root).map_or(file, |file| file.to_str().unwrap_or_default());
        let place = format!("{file}:{rest}");
        let exists = !file.starts_with('/') && (root.join(folder).join(file).is_file() || root.join(file).is_file());
        if exists && !found.contains(&place) {
            found.push(place);
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
fn colon(word: &str) -> Option<(&str, String)> {
    let word = word.trim_end_matches([':', '.']);
    let mut parts = word.splitn(4, ':');
    let file = parts.next().filter(|file| !file.is_empty())?;
    let line: u32 = parts.next()?.parse().ok()?;
    let column: Option<u32> = parts.next().and_then(|column| column.parse().ok());
    Some((file, column.map_or_else(|| line.to_string(), |column| format!("{line}:{column}"))))
}

/// Reads `File "…", line N`.
fn python(line: &str) -> Option<(&str, String)> {
    let (file, rest) = line.split_once("File \"")?.1.split_once("\", line ")?;
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!number.is_empty()).then_some((file, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_place_in_the_project_is_shown_from_there() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.rs"), "").unwrap();
        let lines = [format!("Diff in {}/a.rs:487:", root.path().display()), "/etc/passwd:1".to_owned()];
        assert_eq!(places(&lines, root.path(), Path::new(".")), ["a.rs:487"]);
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
        assert_eq!(places(&lines, root.path(), Path::new(".")), ["src/a.rs:3:7", "t.py:12"]);
        assert_eq!(places(&lines, root.path(), Path::new("src")), ["src/a.rs:3:7", "a.rs:9", "t.py:12"]);
    }
}
