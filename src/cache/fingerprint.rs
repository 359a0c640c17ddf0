//! The fingerprint: everything that a stage's result depends on, as one canonical list of bytes whose SHA-256 is the cache key.
//!
//! Knows how the list is written, read and compared; what belongs into it is the engine's to say (contract, section 4).
//!
//! Format, version 1: the line `shipway fingerprint 1`, then each ingredient as its kind (one byte), its name and its value, both
//! with their length (four bytes, little endian) before them. Ingredients stand in ascending order of kind and name, each once: two
//! different lists never have the same bytes.

use std::cmp::Ordering;

use crate::base::digest::Hash;

/// What every fingerprint begins with: another version is another key.
const HEADER: &[u8] = b"shipway fingerprint 1\n";

/// What an ingredient is. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The operating system and the processor's architecture.
    Platform = 1,
    /// The stage's name, which its steps can read.
    Stage = 2,
    /// The shell that runs steps written as one string.
    Shell = 3,
    /// A step: its command and its directory.
    Step = 4,
    /// A variable that the stage or one of its steps sets.
    Variable = 5,
    /// A variable that is passed on from the caller.
    Passed = 6,
    /// A secret, by name alone.
    Secret = 7,
    /// A program, by what identifies it.
    Tool = 8,
    /// A pattern of outputs.
    Output = 9,
    /// A setting that changes what a step finds.
    Setting = 10,
    /// What came out of a stage that this one needs.
    Need = 11,
    /// A file, a link, or the absence of one.
    Input = 12,
}

const KINDS: [Kind; 12] = [
    Kind::Platform,
    Kind::Stage,
    Kind::Shell,
    Kind::Step,
    Kind::Variable,
    Kind::Passed,
    Kind::Secret,
    Kind::Tool,
    Kind::Output,
    Kind::Setting,
    Kind::Need,
    Kind::Input,
];

/// A list of ingredients, in the making or whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    bytes: Vec<u8>,
    /// Kind and name of the last ingredient, by its place.
    last: Option<usize>,
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self { bytes: HEADER.to_vec(), last: None }
    }
}

/// One ingredient of a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ingredient<'f> {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub name: &'f [u8],
    /// What it is worth.
    pub value: &'f [u8],
}

/// How an ingredient differs from an earlier fingerprint's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'f> {
    /// It was not there.
    New(Ingredient<'f>),
    /// It is not there any more.
    Gone(Ingredient<'f>),
    /// It had another value, which comes first.
    Changed(Ingredient<'f>, Ingredient<'f>),
}

impl Fingerprint {
    /// Adds an ingredient. Whoever builds a fingerprint adds them in ascending order of kind and name.
    ///
    /// # Panics
    /// Where one is out of order or stands twice: the key would not be canonical.
    pub fn add(&mut self, kind: Kind, name: &[u8], value: &[u8]) {
        let place = self.bytes.len();
        let is_in_order =
            self.last.and_then(|last| read(&self.bytes[last..])).is_none_or(|(last, _)| (last.kind, last.name) < (kind, name));
        assert!(is_in_order, "an ingredient is out of order: {kind:?} {}", String::from_utf8_lossy(name));
        self.bytes.push(kind as u8);
        for part in [name, value] {
            let length = u32::try_from(part.len()).expect("an ingredient is smaller than 4 GiB");
            self.bytes.extend_from_slice(&length.to_le_bytes());
            self.bytes.extend_from_slice(part);
        }
        self.last = Some(place);
    }

    /// Makes room for so many ingredients whose names and values are so many bytes together.
    pub fn reserve(&mut self, count: usize, bytes: usize) {
        self.bytes.reserve(count * (1 + 4 + 4) + bytes);
    }

    /// Adds all ingredients of `part`, which come after all that were added before.
    ///
    /// # Panics
    /// As [`Fingerprint::add`].
    pub fn append(&mut self, part: &Self) {
        let Some(first) = part.ingredients().next() else { return };
        let place = self.bytes.len();
        self.add(first.kind, first.name, first.value);
        let begun = self.bytes.len() - place;
        self.bytes.extend_from_slice(&part.bytes[HEADER.len() + begun..]);
        self.last = part.last.map(|last| place + last - HEADER.len());
    }

    /// Returns the canonical bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the cache key.
    pub fn key(&self) -> Hash {
        Hash::of(&self.bytes)
    }

    /// Reads what [`Fingerprint::bytes`] returned; `None` where it is anything else.
    pub fn parse(bytes: Vec<u8>) -> Option<Self> {
        let mut rest = bytes.strip_prefix(HEADER)?;
        let mut last: Option<(usize, Ingredient<'_>)> = None;
        while !rest.is_empty() {
            let place = bytes.len() - rest.len();
            let (ingredient, behind) = read(rest)?;
            if last.is_some_and(|(_, last)| (last.kind, last.name) >= (ingredient.kind, ingredient.name)) {
                return None;
            }
            last = Some((place, ingredient));
            rest = behind;
        }
        let last = last.map(|(place, _)| place);
        Some(Self { bytes, last })
    }

    /// Returns the ingredients in their order.
    pub fn ingredients(&self) -> impl Iterator<Item = Ingredient<'_>> {
        let mut rest = &self.bytes[HEADER.len()..];
        std::iter::from_fn(move || {
            let (ingredient, behind) = read(rest)?;
            rest = behind;
            Some(ingredient)
        })
    }

    /// Returns how this differs from `earlier`, in the order of the ingredients.
    pub fn changes<'f>(&'f self, earlier: &'f Self) -> Vec<Change<'f>> {
        let (mut now, mut then) = (self.ingredients().peekable(), earlier.ingredients().peekable());
        let mut changes = Vec::new();
        loop {
            let order = match (now.peek(), then.peek()) {
                (None, None) => return changes,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(now), Some(then)) => (now.kind, now.name).cmp(&(then.kind, then.name)),
            };
            match order {
                Ordering::Less => changes.extend(now.next().map(Change::New)),
                Ordering::Greater => changes.extend(then.next().map(Change::Gone)),
                Ordering::Equal => {
                    let pair = then.next().zip(now.next()).filter(|(then, now)| then.value != now.value);
                    changes.extend(pair.map(|(then, now)| Change::Changed(then, now)));
                }
            }
        }
    }
}

/// Reads the first ingredient, and what stands behind it.
fn read(bytes: &[u8]) -> Option<(Ingredient<'_>, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let kind = *KINDS.iter().find(|known| **known as u8 == *kind)?;
    let (name, rest) = part(rest)?;
    let (value, rest) = part(rest)?;
    Some((Ingredient { kind, name, value }, rest))
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

/// A list of texts as one value: each with its length before it.
pub fn list<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut value = Vec::new();
    for part in parts {
        value.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        value.extend_from_slice(part);
    }
    value
}

/// Reads what [`list`] wrote; what cannot be read is left out.
pub fn unlist(mut value: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some((first, rest)) = part(value) {
        parts.push(first);
        value = rest;
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Parts = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

    fn build(parts: &Parts) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        for ((kind, name), value) in parts {
            fingerprint.add(KINDS[usize::from(*kind)], name, value);
        }
        fingerprint
    }

    fn parts() -> impl Strategy<Value = Parts> {
        prop::collection::btree_map((0u8..12, prop::collection::vec(0u8..3, 0..3)), prop::collection::vec(0u8..3, 0..3), 0..8)
    }

    #[test]
    fn the_bytes_are_exactly_these() {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(Kind::Platform, b"os", b"linux");
        fingerprint.add(Kind::Input, b"src/a.rs", b"f");
        let expected = b"shipway fingerprint 1\n\x01\x02\0\0\0os\x05\0\0\0linux\x0c\x08\0\0\0src/a.rs\x01\0\0\0f";
        assert_eq!(fingerprint.bytes(), expected);
        assert_eq!(fingerprint.key().to_string(), "d4474ed0e6829875876d9340726dd64ed16c636b6d9dd77ef569eb022fa98595");
    }

    #[test]
    fn a_list_keeps_its_parts_apart() {
        assert_ne!(list([&b"ab"[..], b"c"]), list([&b"a"[..], b"bc"]));
        assert_eq!(unlist(&list([&b"ab"[..], b"", b"c"])), [&b"ab"[..], b"", b"c"]);
    }

    #[test]
    #[should_panic(expected = "out of order")]
    fn an_ingredient_out_of_order_is_refused() {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(Kind::Input, b"b", b"");
        fingerprint.add(Kind::Input, b"a", b"");
    }

    proptest! {
        #[test]
        fn two_different_lists_never_have_the_same_bytes(one in parts(), other in parts()) {
            prop_assert_eq!(one == other, build(&one).bytes() == build(&other).bytes());
            prop_assert_eq!(one == other, build(&one).key() == build(&other).key());
        }

        #[test]
        fn what_was_written_is_read_back(parts in parts()) {
            let fingerprint = build(&parts);
            prop_assert_eq!(Fingerprint::parse(fingerprint.bytes().to_vec()), Some(fingerprint));
        }

        #[test]
        fn in_two_parts_it_is_the_same(parts in parts(), at in any::<prop::sample::Index>()) {
            let at = at.index(parts.len() + 1);
            let half = |is_second: bool| parts.clone().into_iter().enumerate().filter(move |(place, _)| (*place >= at) == is_second);
            let mut first = build(&half(false).map(|(_, part)| part).collect());
            first.append(&build(&half(true).map(|(_, part)| part).collect()));
            prop_assert_eq!(first, build(&parts));
        }

        #[test]
        fn damage_is_never_read_as_the_same(parts in parts(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let fingerprint = build(&parts);
            let mut bytes = fingerprint.bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_ne!(Fingerprint::parse(bytes), Some(fingerprint));
        }

        #[test]
        fn the_difference_leads_from_one_to_the_other(one in parts(), other in parts()) {
            let (then, now) = (build(&one), build(&other));
            let mut parts = one;
            for change in now.changes(&then) {
                match change {
                    Change::New(new) | Change::Changed(_, new) => { parts.insert((new.kind as u8 - 1, new.name.to_vec()), new.value.to_vec()); }
                    Change::Gone(gone) => { parts.remove(&(gone.kind as u8 - 1, gone.name.to_vec())); }
                }
            }
            prop_assert_eq!(parts, other);
        }
    }
}
