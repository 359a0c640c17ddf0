//! What a stage reads, as a list that is the same wherever the project lies.
//!
//! Knows names and kinds of inputs; knows nothing of how they are found.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::base::stamp::Stamp;

/// The inputs of a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// All of them, sorted by name; no name twice.
    pub inputs: Vec<Input>,
    /// A name that is not UTF-8, shown as well as it can be: the stage cannot be stored.
    pub unnameable: Option<String>,
    /// The folders that were gone through for what selectors mean, by their real paths and sorted: while they hold the same names, so
    /// does this. Of a default listing, which hangs on more, they are not kept.
    pub folders: Vec<PathBuf>,
}

/// One input.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name in the key, without any absolute path. What lies in the project and is reached without a link has its path relative to
    /// the project; what lies outside is named by the link that led there: `LINK//` for a file, `LINK//path/below` in a folder. No path
    /// in the project holds two slashes, so the two never meet.
    pub name: String,
    /// Where it lies, absolute; of a file the real path, of a link the link itself.
    pub path: PathBuf,
    /// What it is.
    pub kind: InputKind,
    /// What was seen of it on the way, so that nobody has to look again; no part of what it is.
    pub stamp: Option<Stamp>,
}

impl PartialEq for Input {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.path, &self.kind) == (&other.name, &other.path, &other.kind)
    }
}

impl Eq for Input {}

/// What an input is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputKind {
    /// A regular file.
    File,
    /// A symbolic link; or, with an empty target, a place outside the project that is listed under another name.
    Link {
        /// The text of the link.
        target: Vec<u8>,
        /// The name of what it leads to at last (`.` for the project itself); `None` where it dangles or goes round in a circle.
        leads_to: Option<String>,
    },
    /// Named, but not there.
    Absent,
}

/// A link that is still to be followed.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// The link itself, its folders being real.
    pub(super) link: PathBuf,
    /// True where all behind it counts, false where a selector goes through it and says what of it.
    pub(super) whole: bool,
}

/// What was found so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    inputs: Vec<Input>,
    unnameable: Option<OsString>,
    folders: Vec<PathBuf>,
    pub(super) links: BTreeMap<String, Pending>,
}

impl Found {
    /// Adds the regular file `path` by `name`.
    pub(super) fn file(&mut self, name: &Path, path: PathBuf, stamp: Option<Stamp>) {
        if let Some(name) = self.name(name) {
            self.inputs.push(Input { name, path, kind: InputKind::File, stamp });
        }
    }

    /// Adds a folder that was gone through.
    pub(super) fn folder(&mut self, real: &Path) {
        self.folders.push(real.to_owned());
    }

    /// Adds a path at which there is nothing.
    pub(super) fn absent(&mut self, name: &str, path: PathBuf) {
        self.add(name.to_owned(), path, InputKind::Absent);
    }

    /// Adds a link, to be followed later.
    pub(super) fn link(&mut self, name: &Path, link: PathBuf, whole: bool) {
        if let Some(name) = self.name(name) {
            let known = self.links.entry(name).or_insert(Pending { link, whole });
            known.whole |= whole;
        }
    }

    /// Adds what was found elsewhere.
    pub(super) fn merge(&mut self, other: Self) {
        let Self { mut inputs, unnameable, mut folders, links } = other;
        self.folders.append(&mut folders);
        if self.inputs.is_empty() {
            self.inputs = inputs;
        } else {
            self.inputs.append(&mut inputs);
        }
        if let Some(name) = unnameable {
            self.name(&name);
        }
        for (name, pending) in links {
            let known = self.links.entry(name).or_insert_with(|| pending.clone());
            known.whole |= pending.whole;
        }
    }

    /// Adds an input by its final name.
    pub(super) fn add(&mut self, name: String, path: PathBuf, kind: InputKind) {
        self.inputs.push(Input { name, path, kind, stamp: None });
    }

    /// Returns `name` as text, or notes that it cannot be named: of several the first, so that it is always the same.
    pub(super) fn name(&mut self, name: &(impl AsRef<OsStr> + ?Sized)) -> Option<String> {
        let name = name.as_ref();
        let text = name.to_str().map(str::to_owned);
        if text.is_none() && self.unnameable.as_deref().is_none_or(|known| name < known) {
            self.unnameable = Some(name.to_owned());
        }
        text
    }

    /// Returns the list, once no link is left to follow.
    pub(super) fn finish(mut self) -> Listing {
        // Stable, since what was named in order is found in order: then there is nothing to do.
        self.inputs.sort_by(|a, b| a.name.cmp(&b.name));
        self.inputs.dedup_by(|a, b| a.name == b.name);
        self.folders.sort_unstable();
        self.folders.dedup();
        let unnameable = self.unnameable.map(|name| name.to_string_lossy().into_owned());
        Listing { inputs: self.inputs, unnameable, folders: self.folders }
    }
}
