//! The mark of a stage whose making was begun and not ended: whose outputs are not to be used.
//!
//! Knows what is written in it; who writes it, and when it goes, is `hold`'s to say.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::glob::{Glob, escape};
use crate::base::stamp::Stamp;

/// What is written in a mark, behind one byte that says how far the making came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Who makes, or made, the stage.
    pub(super) process: i32,
    /// The file of its run.
    pub(super) run: String,
    /// The stage.
    pub(super) stage: String,
    /// The patterns of the outputs that may be half made. They stay when the stage gets another name, or other outputs.
    pub(super) outputs: Vec<Pattern>,
}

/// A pattern of outputs, as [`Glob`] has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pattern {
    path: String,
    is_literal: bool,
}

impl Pattern {
    pub(super) fn of(glob: &Glob) -> Self {
        Self { path: glob.path().to_owned(), is_literal: glob.is_literal() }
    }

    fn overlaps(&self, other: &Glob) -> bool {
        let text = if self.is_literal { escape(&self.path) } else { self.path.clone() };
        // What cannot be read any more may mean anything.
        Glob::new("", &text).map_or(true, |glob| glob.overlaps(other))
    }
}

/// The making has not come to its steps: what lies in the outputs may be anybody's.
const BEGUN: &[u8; 1] = b"-";

/// The outputs were cleared, and are the steps' to fill.
const CLEARED: &[u8; 1] = b"c";

/// A mark that was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) mark: Mark,
    /// When the outputs were cleared for the steps, by the file system's clock, in nanoseconds since 1970.
    pub(super) cleared: Option<i64>,
}

/// Reads the mark at `path`; `None` where it says nothing.
///
/// # Errors
/// Where there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Found>> {
    File::open(path).map(|mut file| read_from(&mut file))
}

/// Reads the mark in an open file.
pub(super) fn read_from(file: &mut File) -> Option<Found> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let (state, text) = bytes.split_first_chunk::<1>()?;
    let mark = serde_json::from_slice(text).ok()?;
    let time = || Some(Stamp::of(&file.metadata().ok()?).modified);
    Some(Found { mark, cleared: (state == CLEARED).then(time).flatten() })
}

impl Mark {
    /// Writes the mark of a making that begins, over whatever the file has. It never becomes shorter, since to shorten a file and to let it
    /// grow again is far slower than to write over it.
    pub(super) fn write(&self, file: &File) -> io::Result<()> {
        let mut bytes = BEGUN.to_vec();
        serde_json::to_writer(&mut bytes, self).map_err(io::Error::other)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        if bytes.len() < length {
            bytes.resize(length, b' ');
        }
        file.write_all_at(&bytes, 0)
    }

    /// Tells whether it is about some of these outputs.
    pub(super) fn is_about(&self, outputs: &[Glob]) -> bool {
        self.outputs.iter().any(|marked| outputs.iter().any(|output| marked.overlaps(output)))
    }

    /// Takes these outputs, which are whole, out of it; tells whether any were in it.
    pub(super) fn take_out(&mut self, whole: &[Pattern]) -> bool {
        let before = self.outputs.len();
        self.outputs.retain(|output| !whole.contains(output));
        self.outputs.len() < before
    }
}

/// Notes in a mark that the outputs were cleared just now.
pub(super) fn set_cleared(file: &File) -> io::Result<()> {
    file.write_all_at(CLEARED, 0)
}
