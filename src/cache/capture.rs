//! From outputs on disk into the store: each file is read once, hashed, copied, and looked through for what must not be shared.
//!
//! Knows what makes a result unfit to be stored; the caller says it to people.

use std::io;
use std::path::Path;

use memchr::memmem::Finder;

use super::outputs::{FoundKind, Lying, named};
use crate::base::secret::Masker;
use crate::base::stamp::Stamp;
use crate::base::text::visible;
use crate::store::local::Store;
use crate::store::result::{Output, OutputKind};

/// What was captured.
#[derive(Debug)]
pub struct Captured {
    /// The outputs; their files are in the store.
    pub outputs: Vec<Output>,
    /// Whether one of them holds the checkout's absolute path.
    pub holds_root: bool,
}

/// Why outputs were not captured.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// They are unfit to be stored; the text says why.
    #[error("{0}")]
    Unfit(String),
    /// They, or the store, cannot be read or written.
    #[error("{0}")]
    Broken(io::Error),
}

/// What is wrong with an output that nobody else may see.
const SECRET: &str = "holds the value of a secret";

/// Puts all that lies there into the store. `root` is the checkout, `masker` knows the values that must not get there.
///
/// # Errors
/// Where the outputs are unfit, or something cannot be read or written. What was put before stays; nothing names it.
pub fn capture(root: &Path, lying: &Lying, store: &Store, masker: &Masker) -> Result<Captured, Refusal> {
    if let Some(name) = lying.unnameable() {
        return Err(Refusal::Unfit(format!("the name of the output `{}` is not text in UTF-8", visible(&name))));
    }
    let mut search = Search::new(root, masker);
    let mut captured = Captured { outputs: Vec::with_capacity(lying.found.len()), holds_root: false };
    for (path, found) in &lying.found {
        search.look(path.as_bytes());
        if search.found_secret {
            return Err(unfit(path, SECRET));
        }
        let kind = match &found.kind {
            FoundKind::File => file(root, path, &found.stamp, store, &mut search)?,
            FoundKind::Folder => OutputKind::Folder,
            FoundKind::Link(Some(target)) => {
                search.look(target.as_bytes());
                OutputKind::Link { target: target.clone() }
            }
            FoundKind::Link(None) => return Err(unfit(path, "leads to a name that is not text in UTF-8")),
            FoundKind::Other => return Err(unfit(path, "is neither a file nor a folder nor a link")),
        };
        if search.found_secret {
            return Err(unfit(path, SECRET));
        }
        captured.outputs.push(Output { path: path.clone(), kind });
    }
    captured.holds_root = search.found_root;
    Ok(captured)
}

fn file(root: &Path, path: &str, stamp: &Stamp, store: &Store, search: &mut Search<'_>) -> Result<OutputKind, Refusal> {
    let whole = root.join(path);
    let broken = |error: io::Error| Refusal::Broken(named(&whole, &error));
    let mut file = std::fs::File::open(&whole).map_err(broken)?;
    let digest = store.put_reader(&mut file, &mut |chunk| {
        search.look_on(chunk);
        // Refused here, the content never gets a name in the store.
        if search.found_secret { Err(io::Error::other(SECRET)) } else { Ok(()) }
    });
    if search.found_secret {
        return Err(unfit(path, SECRET));
    }
    let digest = digest.map_err(Refusal::Broken)?;
    search.end();
    // What a process that was left behind, or a person, writes meanwhile is nobody's result.
    if file.metadata().map(|metadata| Stamp::of(&metadata)).map_err(broken)? != *stamp {
        return Err(unfit(path, "changed while it was stored"));
    }
    Ok(OutputKind::file(digest, stamp))
}

fn unfit(path: &str, why: &str) -> Refusal {
    Refusal::Unfit(format!("the output `{}` {why}", visible(path)))
}

/// Looks for the checkout's path and for secrets in what comes in pieces.
struct Search<'s> {
    root: Finder<'s>,
    masker: &'s Masker,
    /// The end of the last piece, for what stands across two.
    tail: Vec<u8>,
    overlap: usize,
    found_root: bool,
    found_secret: bool,
}

impl<'s> Search<'s> {
    fn new(root: &'s Path, masker: &'s Masker) -> Self {
        let root = root.as_os_str().as_encoded_bytes();
        let overlap = root.len().max(masker.longest()).saturating_sub(1);
        Self { root: Finder::new(root), masker, tail: Vec::new(), overlap, found_root: false, found_secret: false }
    }

    fn look(&mut self, text: &[u8]) {
        self.found_root = self.found_root || self.root.find(text).is_some();
        self.found_secret = self.found_secret || self.masker.is_in(text);
    }

    fn look_on(&mut self, piece: &[u8]) {
        let mut seam = std::mem::take(&mut self.tail);
        seam.extend_from_slice(&piece[..piece.len().min(self.overlap)]);
        self.look(&seam);
        self.look(piece);
        // A short piece, which the seam holds whole, leaves a part of those before it within reach.
        let last = if piece.len() < self.overlap { seam.as_slice() } else { piece };
        self.tail = last[last.len().saturating_sub(self.overlap)..].to_vec();
    }

    fn end(&mut self) {
        self.tail.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[abc/]{0,60}", sizes in prop::collection::vec(1usize..9, 1..8)) {
            let masker = Masker::new(["abca"]);
            let mut search = Search::new(Path::new("/ab/c"), &masker);
            let mut rest = text.as_bytes();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, behind) = rest.split_at((*size).min(rest.len()));
                search.look_on(piece);
                rest = behind;
            }
            prop_assert_eq!(search.found_root, text.contains("/ab/c"));
            prop_assert_eq!(search.found_secret, masker.is_in(text.as_bytes()));
        }
    }
}
