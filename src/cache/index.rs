//! Which row of a table has a name: a map from hashes of names to numbers of rows.
//!
//! Knows hashes and numbers; the names themselves stay where they are, so that a hundred thousand of them need no memory of their own.

use std::hash::{BuildHasher, RandomState};

/// The half of a hash that is looked at, and the number of the row from 1; 0 where there is none.
type Slot = (u32, u32);

/// Rows by the hashes of their names. A row is never taken out: whoever owns the rows knows which are of use.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// At most half of them are taken.
    slots: Vec<Slot>,
    taken: usize,
    state: RandomState,
}

impl Index {
    /// Returns an index for so many rows.
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self { slots: vec![(0, 0); (rows * 2).next_power_of_two()], ..Self::default() }
    }

    /// Returns what a name is looked for by.
    pub(super) fn hash(&self, name: &[u8]) -> u32 {
        (self.state.hash_one(name) >> 32) as u32
    }

    /// Returns the row of this hash for which `is_it` holds.
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let (theirs, number) = self.slots[at];
            let row = (number as usize).checked_sub(1)?;
            if theirs == hash && is_it(row) {
                return Some(row);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a row, which is not there yet; one whose number is out of all bounds is not found again.
    pub(super) fn add(&mut self, hash: u32, row: usize) {
        let Ok(number) = u32::try_from(row + 1) else { return };
        if (self.taken + 1) * 2 > self.slots.len() {
            let wider = vec![(0, 0); (self.slots.len() * 2).max(16)];
            let old = std::mem::replace(&mut self.slots, wider);
            old.into_iter().filter(|(_, number)| *number != 0).for_each(|slot| self.put(slot));
        }
        self.put((hash, number));
        self.taken += 1;
    }

    fn put(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = slot.0 as usize & mask;
        while self.slots[at].1 != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_name_alone() {
        for capacity in [0, 3, 5000] {
            let mut index = if capacity == 0 { Index::default() } else { Index::with_capacity(capacity) };
            let names: Vec<String> = (0..3000).map(|number| format!("name/{number}")).collect();
            let find = |index: &Index, name: &str| index.find(index.hash(name.as_bytes()), |row| names[row] == name);
            for (row, name) in names.iter().enumerate() {
                assert_eq!(find(&index, name), None);
                index.add(index.hash(name.as_bytes()), row);
                assert_eq!(find(&index, name), Some(row));
            }
            assert!(names.iter().enumerate().all(|(row, name)| find(&index, name) == Some(row)));
            assert_eq!(find(&index, "name/3000"), None);
        }
    }

    #[test]
    fn rows_of_one_hash_are_told_apart() {
        let mut index = Index::default();
        (0..100).for_each(|row| index.add(7, row));
        assert!((0..100).all(|row| index.find(7, |found| found == row) == Some(row)));
        assert_eq!(index.find(7, |_| false), None);
        assert_eq!(index.find(8, |_| true), None);
    }
}
