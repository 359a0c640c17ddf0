//! The parts of fingerprints that stages have in common: those about the inputs of a listing that they share.
//!
//! Knows which listing a part is of; how it is made is the key's to say. Once a step has run nothing is known here any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache::fingerprint::Fingerprint;
use crate::inputs::listing::Listing;

/// What listings are in a fingerprint. They are few: one for each folder with stages that declare no inputs.
#[derive(Debug, Default)]
pub(super) struct Parts {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    parts: Vec<(Arc<Listing>, Arc<Fingerprint>)>,
    is_closed: bool,
}

impl Parts {
    /// Returns what this very listing is in a fingerprint.
    pub(super) fn get(&self, listing: &Arc<Listing>) -> Option<Arc<Fingerprint>> {
        self.known().parts.iter().find(|(known, _)| Arc::ptr_eq(known, listing)).map(|(_, part)| Arc::clone(part))
    }

    /// Keeps what a listing is in a fingerprint, unless a step may have run since it was looked at.
    pub(super) fn keep(&self, listing: Arc<Listing>, part: &Arc<Fingerprint>) {
        let mut known = self.known();
        if !known.is_closed {
            known.parts.push((listing, Arc::clone(part)));
        }
    }

    /// Forgets all, for good.
    pub(super) fn close(&self) {
        *self.known() = Known { parts: Vec::new(), is_closed: true };
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_once_a_step_has_run() {
        let parts = Parts::default();
        let (one, same) = (Arc::new(Listing::default()), Arc::new(Listing::default()));
        let part = Arc::new(Fingerprint::default());
        parts.keep(one.clone(), &part);
        assert!(parts.get(&one).is_some());
        // Equal is not enough: it was looked at another time.
        assert!(parts.get(&same).is_none());
        parts.close();
        assert!(parts.get(&one).is_none());
        // One that was begun before, and is done after.
        parts.keep(one.clone(), &part);
        assert!(parts.get(&one).is_none());
    }
}
