//! Traces on disk. A file that is damaged, of another version or made on other ground holds none.
//!
//! Format, version 2: the line `shipway traces 2`; the hash of the ground; how many names' bytes, sights, programs, numbers, quiet folders
//! and stages there are (four bytes each); these, in this order; and the SHA-256 of all before it. A sight is its path (start and end in the names,
//! four bytes each), a letter (`-` nothing, `d` a folder, `n` its names, `f` a file) and the stamp (44 bytes); a program is its place in the names; a
//! quiet folder is its place in the names, its stamp, and a range of numbers; a stage is a byte (0: no trace; else 1, and 2 where it prints), and its key, R, needs (32 bytes each), record (a
//! stamp) and ranges of outputs, others and programs. All numbers are little endian.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use super::quiet::Quiet;
use super::{Entry, Found, Seen, Traces};
use crate::base::digest::{CHUNK, Hash, Hasher};
use crate::base::files::write_whole;
use crate::base::stamp::Stamp;

const HEADER: &[u8] = b"shipway traces 2\n";

impl Traces {
    /// Reads the traces in the file at `path` that were made on `ground`: all that is true of every one of them, and of no file.
    pub fn load(path: &Path, ground: &Hash) -> Option<Self> {
        let file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        parse(file, length, ground)
    }

    /// Writes the traces.
    ///
    /// # Errors
    /// Whatever the file system says; then the old file is still there.
    pub fn save(&self, path: &Path, ground: &Hash) -> io::Result<()> {
        write_whole(path, &self.bytes(ground))
    }

    fn bytes(&self, ground: &Hash) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(self.names.len() + self.sights.len() * 53 + self.stages.len() * 165 + self.numbers.len() * 4 + 128);
        out.extend_from_slice(HEADER);
        out.extend_from_slice(&ground.0);
        for count in [self.names.len(), self.sights.len(), self.programs.len(), self.numbers.len(), self.quiet.len(), self.stages.len()] {
            out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        }
        out.extend_from_slice(&self.names);
        for (path, seen) in &self.sights {
            put_range(&mut out, path);
            let (letter, stamp) = match seen {
                Seen::Absent => (b'-', None),
                Seen::Folder => (b'd', None),
                Seen::Names(stamp) => (b'n', Some(stamp)),
                Seen::File(stamp) => (b'f', Some(stamp)),
            };
            out.push(letter);
            out.extend_from_slice(&stamp.map_or([0; Stamp::LENGTH], Stamp::bytes));
        }
        self.programs.iter().for_each(|name| put_range(&mut out, name));
        self.numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        for Quiet { path, stamp, folders } in &self.quiet {
            put_range(&mut out, path);
            out.extend_from_slice(&stamp.bytes());
            put_range(&mut out, folders);
        }
        for entry in &self.stages {
            let Some(Entry { found, outputs, others, programs }) = entry else {
                out.push(0);
                continue;
            };
            out.push(1 | (u8::from(found.prints) << 1));
            [found.key, found.result, found.needs].iter().for_each(|hash| out.extend_from_slice(&hash.0));
            out.extend_from_slice(&found.record.bytes());
            [outputs, others, programs].into_iter().for_each(|range| put_range(&mut out, range));
        }
        let sum = Hash::of(&out);
        out.extend_from_slice(&sum.0);
        out
    }
}

fn put_range(out: &mut Vec<u8>, range: &Range<u32>) {
    out.extend_from_slice(&range.start.to_le_bytes());
    out.extend_from_slice(&range.end.to_le_bytes());
}

/// Reads traces from `length` bytes. Nothing of them is believed before the sum at their end is right.
fn parse(mut from: impl Read, length: u64, ground: &Hash) -> Option<Traces> {
    let left = length.checked_sub(32)?;
    let summed = Summed { from: from.by_ref().take(left), hasher: Hasher::default() };
    let mut rest = Rest { from: BufReader::with_capacity(CHUNK, summed), left: usize::try_from(left).ok()? };
    // What was made on other ground need not be read to its end.
    if rest.bytes(HEADER.len())? != HEADER || rest.hash()? != *ground {
        return None;
    }
    let traces = rest.traces()?;
    let is_whole = rest.left == 0;
    let (found, mut sum) = (rest.from.into_inner().hasher.hash(), [0; 32]);
    from.read_exact(&mut sum).ok()?;
    (is_whole && found.0 == sum).then_some(traces)
}

/// Hashes what is read.
struct Summed<R> {
    from: R,
    hasher: Hasher,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        self.hasher.add(&buffer[..length]);
        Ok(length)
    }
}

/// What is still to be read.
struct Rest<R> {
    from: BufReader<R>,
    left: usize,
}

impl<R: Read> Rest<R> {
    fn traces(&mut self) -> Option<Traces> {
        let mut counts = [0; 6];
        for count in &mut counts {
            *count = self.number()?;
        }
        let [names, sights, programs, numbers, quiet, stages] = counts;
        let names = self.bytes(names as usize)?;
        let mut traces = Traces { names, ..Traces::default() };
        traces.sights.reserve_exact(self.bounded(sights));
        for _ in 0..sights {
            let path = self.range(traces.names.len())?;
            let (letter, stamp) = (self.byte()?, self.stamp()?);
            let seen = match letter {
                b'-' => Seen::Absent,
                b'd' => Seen::Folder,
                b'n' => Seen::Names(stamp),
                b'f' => Seen::File(stamp),
                _ => return None,
            };
            traces.sights.push((path, seen));
        }
        for _ in 0..programs {
            traces.programs.push(self.range(traces.names.len())?);
        }
        traces.numbers.reserve_exact(self.bounded(numbers));
        for _ in 0..numbers {
            traces.numbers.push(self.number()?);
        }
        for _ in 0..quiet {
            let (path, stamp) = (self.range(traces.names.len())?, self.stamp()?);
            let folders = self.numbers(&traces, traces.sights.len())?;
            traces.quiet.push(Quiet { path, stamp, folders });
        }
        traces.stages.reserve_exact(self.bounded(stages));
        for _ in 0..stages {
            traces.stages.push(match self.byte()? {
                0 => None,
                flags @ (1 | 3) => Some(self.entry(flags & 2 != 0, &traces)?),
                _ => return None,
            });
        }
        Some(traces)
    }

    /// No count is believed beyond what is there.
    fn bounded(&self, count: u32) -> usize {
        (count as usize).min(self.left)
    }

    fn bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        self.left = self.left.checked_sub(length)?;
        let mut bytes = vec![0; length];
        self.from.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.left = self.left.checked_sub(N)?;
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn hash(&mut self) -> Option<Hash> {
        self.array().map(Hash)
    }

    fn stamp(&mut self) -> Option<Stamp> {
        self.array().map(|bytes| Stamp::read(&bytes))
    }

    /// Reads a range that lies within `length`.
    fn range(&mut self, length: usize) -> Option<Range<u32>> {
        let range = self.number()?..self.number()?;
        (range.start <= range.end && range.end as usize <= length).then_some(range)
    }

    fn entry(&mut self, prints: bool, traces: &Traces) -> Option<Entry> {
        let (key, result, needs) = (self.hash()?, self.hash()?, self.hash()?);
        let record = self.stamp()?;
        let found = Found { key, result, needs, record, prints };
        let outputs = self.numbers(traces, traces.sights.len())?;
        let others = self.numbers(traces, traces.sights.len())?;
        let programs = self.numbers(traces, traces.programs.len())?;
        Some(Entry { found, outputs, others, programs })
    }

    /// Reads a range of numbers that are all below `limit`.
    fn numbers(&mut self, traces: &Traces, limit: usize) -> Option<Range<u32>> {
        let range = self.range(traces.numbers.len())?;
        traces.numbers(&range).iter().all(|number| (*number as usize) < limit).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cache::trace::{Sight, Trace};

    fn sight(path: &str, seen: Seen) -> Sight {
        Sight { path: path.into(), seen }
    }

    fn stamp(inode: u64) -> Stamp {
        Stamp { device: 1, inode, size: 3, modified: -4, changed: 5, mode: 0o100_644 }
    }

    fn trace(number: u8) -> Trace {
        let record = stamp(u64::from(number));
        let found = Found { key: Hash([number; 32]), result: Hash([1; 32]), needs: Hash([2; 32]), record, prints: number == 2 };
        Trace {
            found,
            outputs: vec![sight(&format!("out{number}"), Seen::File(stamp(u64::from(number))))],
            others: vec![
                sight("a", Seen::Folder),
                sight("a/b", Seen::File(stamp(9))),
                sight("c", Seen::Absent),
                sight("d", Seen::Names(stamp(7))),
            ],
            programs: vec![b"cc".to_vec()],
        }
    }

    fn parse_all(bytes: &[u8], ground: &Hash) -> Option<Traces> {
        parse(bytes, bytes.len() as u64, ground)
    }

    #[test]
    fn traces_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let (path, ground) = (folder.path().join("traces"), Hash::of(b"ground"));
        fs::create_dir(folder.path().join("a")).unwrap();
        let traces = Traces::merged(&Traces::default(), vec![(0, trace(1)), (2, trace(2))], 4);
        let traces = traces.with_quiet(folder.path(), &|_| true);
        // What both have seen is kept once.
        assert_eq!((traces.sights.len(), traces.programs.len()), (6, 1));
        traces.save(&path, &ground).unwrap();
        let read = Traces::load(&path, &ground).unwrap();
        assert_eq!(read.quiet, traces.quiet);
        assert_eq!([0, 1, 2, 3, 4].map(|stage| read.trace(stage)), [Some(trace(1)), None, Some(trace(2)), None, None]);
        assert!(Traces::load(&path, &Hash::of(b"elsewhere")).is_none());
        assert!(Traces::load(&folder.path().join("none"), &ground).is_none());
        let merged = Traces::merged(&read, vec![(1, trace(3)), (2, trace(4))], 4);
        assert_eq!([0, 1, 2, 3].map(|stage| merged.trace(stage)), [Some(trace(1)), Some(trace(3)), Some(trace(4)), None]);
    }

    #[test]
    fn a_damaged_file_holds_no_traces() {
        let (ground, folder) = (Hash::of(b"ground"), tempfile::tempdir().unwrap());
        fs::create_dir(folder.path().join("a")).unwrap();
        let traces = Traces::merged(&Traces::default(), vec![(0, trace(1)), (1, trace(2))], 2);
        let bytes = traces.with_quiet(folder.path(), &|_| true).bytes(&ground);
        assert!(parse_all(&bytes, &ground).is_some());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert!(parse_all(&flipped, &ground).is_none(), "byte {at}");
            assert!(parse_all(&bytes[..at], &ground).is_none(), "cut at {at}");
            // Not even with a sum that is right does it lead out of what is there.
            let end = flipped.len() - 32;
            let sum = Hash::of(&flipped[..end]);
            flipped[end..].copy_from_slice(&sum.0);
            if let Some(traces) = parse_all(&flipped, &ground) {
                assert!([0, 1].iter().all(|stage| traces.trace(*stage).is_none_or(|trace| trace.others.len() <= traces.numbers.len())));
            }
        }
    }
}
