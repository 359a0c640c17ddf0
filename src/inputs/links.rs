//! What is behind the links among a stage's inputs.
//!
//! Knows how to name what lies outside the project, and that each real folder is entered once; knows nothing of selectors: behind a
//! selected link everything counts.
//!
//! ```text
//! links to follow, the least name first --resolve--> a file or folder
//!     inside the project: named by its real path
//!     outside: named by a link on the way to it, or after the first link that leads to it: LINK//
//! a folder is walked, and the links met there are to be followed too
//! ```

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::folders::{Entry, Kind, is_gone, unreadable};
use super::ground::{Ground, resolve};
use super::listing::{Found, InputKind, Pending};

/// The name of the project itself as a link's end.
const PROJECT: &str = ".";

/// Follows links until none is left.
pub(super) struct Links<'a> {
    ground: &'a Ground,
    found: &'a mut Found,
    /// Files of the project that are never listed.
    never: Option<&'a HashSet<PathBuf>>,
    /// The names given to what lies outside the project, by real path. What is named stays named so: a place that lies in two of them
    /// has the name of the deeper one.
    outside: HashMap<PathBuf, String>,
    entered: HashSet<PathBuf>,
    /// Links that were followed, with whether as a whole.
    done: HashMap<String, bool>,
}

impl<'a> Links<'a> {
    /// Begins with the links that were `found`.
    pub(super) fn new(ground: &'a Ground, found: &'a mut Found, never: Option<&'a HashSet<PathBuf>>) -> Self {
        Self { ground, found, never, outside: HashMap::new(), entered: HashSet::new(), done: HashMap::new() }
    }

    /// Follows all links, also those met on the way.
    pub(super) fn follow(mut self) -> io::Result<()> {
        // The least name first: what is named after a link does not depend on the order in which folders are read.
        while let Some((name, pending)) = self.found.links.pop_first() {
            let is_done = self.done.get(&name).is_some_and(|whole| *whole || !pending.whole);
            if !is_done {
                self.follow_one(&name, &pending)?;
                self.done.insert(name, pending.whole);
            }
        }
        Ok(())
    }

    fn follow_one(&mut self, name: &str, pending: &Pending) -> io::Result<()> {
        let target = match fs::read_link(&pending.link) {
            Ok(target) => target.into_os_string().into_vec(),
            // It is gone, or no link any more.
            Err(error) if is_gone(&error) || error.kind() == io::ErrorKind::InvalidInput => Vec::new(),
            Err(error) => return Err(unreadable("link", &pending.link, &error)),
        };
        let real = resolve(&pending.link)?;
        let leads_to = real.as_ref().and_then(|real| self.name_of(real, name));
        self.found.add(name.to_owned(), pending.link.clone(), InputKind::Link { target, leads_to: leads_to.clone() });
        match (real, leads_to) {
            (Some(real), Some(leads_to)) if pending.whole => self.take(real, leads_to),
            _ => Ok(()),
        }
    }

    /// Returns the name of what lies at `real`; it is named after `link` where it has none yet.
    fn name_of(&mut self, real: &Path, link: &str) -> Option<String> {
        if let Ok(path) = real.strip_prefix(&self.ground.root) {
            return if path.as_os_str().is_empty() { Some(PROJECT.to_owned()) } else { self.found.name(path) };
        }
        let known = real.ancestors().find_map(|folder| Some((folder, self.outside.get(folder)?)));
        let Some((folder, name)) = known else {
            let name = format!("{link}//");
            self.outside.insert(real.to_owned(), name.clone());
            return Some(name);
        };
        let rest = real.strip_prefix(folder).unwrap_or(Path::new(""));
        let name = if rest.as_os_str().is_empty() { PathBuf::from(name) } else { below(name, rest) };
        self.found.name(&name)
    }

    /// Lists what lies at `real`.
    fn take(&mut self, real: PathBuf, name: String) -> io::Result<()> {
        if self.ground.is_real_barred(&real) || self.is_never(&real) {
            return Ok(());
        }
        match real.symlink_metadata() {
            Ok(metadata) if metadata.is_file() => self.found.file(Path::new(&name), real, None),
            Ok(metadata) if metadata.is_dir() => self.walk(real, name)?,
            Ok(_) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(unreadable("path", &real, &error)),
        }
        Ok(())
    }

    fn walk(&mut self, real: PathBuf, name: String) -> io::Result<()> {
        let mut folders = vec![(real, name)];
        while let Some((folder, name)) = folders.pop() {
            if !self.entered.insert(folder.clone()) {
                continue;
            }
            for entry in self.ground.folders.read(&folder)?.iter().filter(|entry| entry.name != ".git") {
                if let Some(inner) = self.meet(entry, &folder, &name) {
                    folders.push(inner);
                }
            }
        }
        Ok(())
    }

    /// Lists one entry of a folder; returns it where it is a folder itself.
    fn meet(&mut self, entry: &Entry, folder: &Path, folder_name: &str) -> Option<(PathBuf, String)> {
        let real = folder.join(&entry.name);
        if entry.kind == Kind::Other || self.ground.is_real_barred(&real) || self.is_never(&real) {
            return None;
        }
        let name = below(folder_name, Path::new(&entry.name));
        if entry.kind == Kind::Link {
            self.found.link(&name, real, true);
            return None;
        }
        let name = self.found.name(&name)?;
        let known = if real == self.ground.root { Some(PROJECT.to_owned()) } else { self.outside.get(&real).cloned() };
        let name = match known {
            Some(known) if known != name => {
                // Without this, a folder that lacks the entry would look the same.
                self.found.add(name, real.clone(), InputKind::Link { target: Vec::new(), leads_to: Some(known.clone()) });
                known
            }
            _ => name,
        };
        if entry.kind == Kind::Folder {
            return Some((real, name));
        }
        self.found.file(Path::new(&name), real, None);
        None
    }

    fn is_never(&self, real: &Path) -> bool {
        self.never.is_some_and(|never| real.strip_prefix(&self.ground.root).is_ok_and(|path| never.contains(path)))
    }
}

/// Returns the name of what lies at `rest` in the folder `name`.
fn below(name: &str, rest: &Path) -> PathBuf {
    if name == PROJECT {
        return rest.to_owned();
    }
    // No joining of paths: it would take `LINK//` for `LINK/`.
    let mut text = std::ffi::OsString::from(name);
    if !name.ends_with("//") {
        text.push("/");
    }
    text.push(rest);
    PathBuf::from(text)
}
