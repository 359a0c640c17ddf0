//! The way that a link leads: every link on it, and where it ends.
//!
//! Knows links; knows nothing of what lies behind them.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// More links than this are a circle, to the system as to us.
const MOST: usize = 40;

/// A way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    /// The links on it, the first first; no folder of any of them is a link.
    pub links: Vec<PathBuf>,
    /// Where it ends, whether there is something or not.
    pub end: PathBuf,
}

/// Follows `path`, whose folder is a real one, to its end.
pub fn trail(path: &Path) -> Trail {
    let mut trail = Trail { links: Vec::new(), end: path.parent().unwrap_or(path).to_owned() };
    let mut ahead: VecDeque<OsString> = path.file_name().map(OsString::from).into_iter().collect();
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            trail.end.pop();
            continue;
        }
        trail.end.push(&name);
        let Ok(target) = trail.end.read_link() else { continue };
        if trail.links.len() == MOST {
            break;
        }
        trail.links.push(trail.end.clone());
        trail.end.pop();
        for part in target.components().rev() {
            match part {
                Component::Normal(name) => ahead.push_front(name.to_owned()),
                Component::ParentDir => ahead.push_front("..".into()),
                Component::RootDir => ahead.push_front("/".into()),
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
    }
    trail
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_named() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/file"), "").unwrap();
        symlink("a", root.join("folder")).unwrap();
        symlink("./folder/b", root.join("deep")).unwrap();
        symlink("../../deep/file", root.join("a/b/up")).unwrap();
        symlink(root.join("deep/gone"), root.join("absolute")).unwrap();
        symlink("round", root.join("round")).unwrap();
        let of = |name: &str| {
            let Trail { links, end } = trail(&root.join(name));
            let short = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            (links.iter().map(short).collect::<Vec<_>>().join(" "), short(&end))
        };
        assert_eq!(of("a/b/file"), (String::new(), "a/b/file".to_owned()));
        assert_eq!(of("a/b/up"), ("a/b/up deep folder".to_owned(), "a/b/file".to_owned()));
        assert_eq!(of("absolute"), ("absolute deep folder".to_owned(), "a/b/gone".to_owned()));
        assert_eq!(of("round").1, "round");
    }
}
