//! The reports that shipway wrote into the project: no input of any stage, as long as they are the very files that it wrote.
//!
//! Knows paths and stamps; knows nothing of what a report holds. A file that somebody else wrote in the same place, or changed since, is an
//! input like any other.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::base::files::write_whole;
use crate::base::stamp::Stamp;
use crate::base::state::{self, STATE};

/// The file of the list in `.shipway/`: a JSON object of paths relative to the project, each with the numbers of its stamp.
const LIST: &str = "reports";

/// More are not kept in mind; the first by name are forgotten first.
const MOST: usize = 1000;

type Numbers = (u64, u64, u64, i64, i64, u32);

/// Returns the paths, relative to `root`, of the reports that are there as they were written. Where the list cannot be read there are none:
/// that costs time only.
pub fn reports(root: &Path) -> Vec<String> {
    let mut list = read(root);
    list.retain(|path, numbers| stamp(&root.join(path)) == Some(*numbers));
    list.into_keys().collect()
}

/// Keeps in mind that the files at these `paths`, relative to `root`, were just written.
///
/// # Errors
/// Where the list cannot be written.
pub fn remember(root: &Path, paths: &[&str]) -> io::Result<()> {
    let mut list = read(root);
    list.retain(|path, numbers| stamp(&root.join(path)) == Some(*numbers));
    list.extend(paths.iter().filter_map(|path| Some(((*path).to_owned(), stamp(&root.join(path))?))));
    while list.len() > MOST {
        list.pop_first();
    }
    let text = serde_json::to_vec(&list).map_err(io::Error::other)?;
    write_whole(&state::folder(root)?.join(LIST), &text)
}

fn read(root: &Path) -> BTreeMap<String, Numbers> {
    fs::read(root.join(STATE).join(LIST)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn stamp(path: &Path) -> Option<Numbers> {
    let metadata = path.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
    let stamp = Stamp::of(&metadata);
    Some((stamp.device, stamp.inode, stamp.size, stamp.modified, stamp.changed, stamp.mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_until_somebody_writes_there() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a.html", "b.xml"] {
            write_whole(&root.path().join(name), b"report").unwrap();
            remember(root.path(), &[name]).unwrap();
        }
        assert_eq!(reports(root.path()), ["a.html", "b.xml"]);
        fs::write(root.path().join("a.html"), "source").unwrap();
        fs::remove_file(root.path().join("b.xml")).unwrap();
        assert!(reports(root.path()).is_empty());
        fs::write(root.path().join(STATE).join(LIST), "no list").unwrap();
        assert!(reports(root.path()).is_empty());
    }
}
