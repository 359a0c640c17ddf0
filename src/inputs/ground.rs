//! The project as those see it who look for inputs: its root, its folders, and what is never an input.
//!
//! Knows where links lead; knows nothing of selectors or of git.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::claimed::Claimed;
use super::folders::{Folders, Kind, is_gone, unreadable};
use super::listing::Found;
use crate::base::stamp::Stamp;

/// What all listings of a run share.
#[derive(Debug)]
pub(super) struct Ground {
    /// The project, absolute and real.
    pub(super) root: PathBuf,
    pub(super) claimed: Arc<Claimed>,
    pub(super) folders: Folders,
}

/// Where a path leads once the links in it are followed.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its path; no folder in it is a link.
    pub(super) real: PathBuf,
    pub(super) kind: Kind,
    /// What was seen of it, where it was looked at.
    pub(super) stamp: Option<Stamp>,
}

impl Place {
    /// Returns the place of the entry `name` of this folder; the folder itself where the name is empty.
    pub(super) fn entry(&self, name: &str) -> io::Result<Option<Self>> {
        if name.is_empty() {
            return Ok(Some(self.clone()));
        }
        let real = self.real.join(name);
        Ok(look(&real)?.map(|(kind, stamp)| Self { real, kind, stamp: Some(stamp) }))
    }
}

impl Ground {
    /// Tells whether `path`, relative to the project, is no input whoever asks: an output, or our own folder.
    pub(super) fn is_barred(&self, path: &Path) -> bool {
        path.starts_with(".shipway") || self.claimed.holds(path)
    }

    /// The same for the real path of what was reached through a link; what lies outside the project is free, and so is git's folder
    /// outside. Inside, nothing reaches git's folder but its own name.
    pub(super) fn is_real_barred(&self, real: &Path) -> bool {
        real.strip_prefix(&self.root).is_ok_and(|path| self.is_barred(path) || path.iter().any(|name| name == ".git"))
    }

    /// Follows `path`, relative to the project, to its end. The links in it are added to `found`, since what they say counts too.
    /// `None` where there is nothing.
    pub(super) fn follow(&self, path: &str, found: &mut Found) -> io::Result<Option<Place>> {
        let mut place = Place { real: self.root.clone(), kind: Kind::Folder, stamp: None };
        let mut end = 0;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            end += name.len() + usize::from(end > 0);
            let Some(entry) = place.entry(name)? else { return Ok(None) };
            place = entry;
            if place.kind == Kind::Link {
                found.link(Path::new(&path[..end]), place.real.clone(), false);
                let Some(real) = resolve(&place.real)? else { return Ok(None) };
                let Some((kind, stamp)) = look(&real)? else { return Ok(None) };
                place = Place { real, kind, stamp: Some(stamp) };
            }
        }
        Ok(Some(place))
    }
}

fn look(path: &Path) -> io::Result<Option<(Kind, Stamp)>> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(Some((metadata.file_type().into(), Stamp::of(&metadata)))),
        Err(error) if leads_nowhere(&error) => Ok(None),
        Err(error) => Err(unreadable("path", path, &error)),
    }
}

/// Returns the real path behind `link`; `None` where it dangles or goes round in a circle.
pub(super) fn resolve(link: &Path) -> io::Result<Option<PathBuf>> {
    match link.canonicalize() {
        Ok(real) => Ok(Some(real)),
        Err(error) if leads_nowhere(&error) => Ok(None),
        Err(error) => Err(unreadable("what is behind link", link, &error)),
    }
}

fn leads_nowhere(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    is_gone(error) || matches!(number, Some(rustix::io::Errno::LOOP | rustix::io::Errno::NAMETOOLONG))
}
