//! The way through a tree of folders: level by level, so that the many of a level are looked at side by side.
//!
//! Knows folders and what was found in them; knows nothing of what is looked for.

use std::io;

use super::listing::Found;
use crate::base::parallel::gather;

/// So many folders are looked at by one thread at once.
const SOME: usize = 16;

/// Looks at one folder: adds the folders in it that are to be looked at too, and what else it found.
pub(super) type Look<'l, F> = dyn Fn(&F, &mut Vec<F>, &mut Found) -> io::Result<()> + Sync + 'l;

/// Calls `look` with the folder `start`, and with each that it adds to its list; what is found is added to `found`.
pub(super) fn walk<F: Send + Sync>(start: F, found: &mut Found, look: &Look<'_, F>) -> io::Result<()> {
    let mut level = vec![start];
    while !level.is_empty() {
        let parts = gather(level.len(), SOME, &|range| {
            let (mut inner, mut found) = (Vec::new(), Found::default());
            level[range].iter().try_for_each(|folder| look(folder, &mut inner, &mut found)).map(|()| (inner, found))
        });
        let mut next = Vec::new();
        for part in parts {
            let (mut inner, more) = part?;
            next.append(&mut inner);
            found.merge(more);
        }
        level = next;
    }
    Ok(())
}
