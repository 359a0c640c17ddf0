//! Traces: what was seen when a stage was found good. If all of it is seen again, the stage is still good.
//!
//! A verifying trace in the sense of Mokhov, Mitchell and Peyton Jones, "Build systems à la carte" (2018), §4.2. Knows paths, stamps and
//! keys, and how to look at many of them at once; which stages may have a trace, and what one has to hold, is the engine's to say. Only
//! stamps that the stat cache believes get into a trace, and those of folders by the same rule, so a trace lies no more than the stat cache
//! does.

mod file;
mod quiet;

use std::collections::HashMap;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, open, statat};
use rustix::io::Errno;

use self::quiet::Quiet;

use crate::base::digest::Hash;
use crate::base::parallel::each;
use crate::base::stamp::Stamp;

/// How many paths a thread looks at before it takes more.
const AT_ONCE: usize = 256;

/// What was seen at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// Nothing.
    Absent,
    /// A folder, and no link to one.
    Folder,
    /// A folder as well, in which every name means what it did then.
    Names(Stamp),
    /// A regular file.
    File(Stamp),
}

impl Seen {
    /// Tells whether what is seen now is what was seen `before`.
    fn is_again(&self, before: &Self) -> bool {
        self == before || matches!((self, before), (Self::Names(_), Self::Folder))
    }
}

/// A path, relative to the project unless it lies outside, and what was seen there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sight {
    /// The path.
    pub path: Vec<u8>,
    /// What was there.
    pub seen: Seen,
}

/// What a stage was found to be, and what that was concluded from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// What it came to.
    pub found: Found,
    /// Its outputs: all of what lies where they belong.
    pub outputs: Vec<Sight>,
    /// Everything else that was looked at.
    pub others: Vec<Sight>,
    /// The programs that it starts, as bytes that mean something to who asked; they are looked for anew.
    pub programs: Vec<Vec<u8>>,
}

/// What a stage was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its key.
    pub key: Hash,
    /// Its R.
    pub result: Hash,
    /// A hash of the R of each stage that it needs.
    pub needs: Hash,
    /// What the file system says of its record in the store.
    pub record: Stamp,
    /// Whether it printed something that is kept.
    pub prints: bool,
}

/// The traces of a pipeline's stages, by the place of the stage. What several have seen is kept, and looked at, once.
#[derive(Debug, Default)]
pub struct Traces {
    pub(super) names: Vec<u8>,
    pub(super) sights: Vec<(Range<u32>, Seen)>,
    pub(super) programs: Vec<Range<u32>>,
    pub(super) stages: Vec<Option<Entry>>,
    /// Numbers of sights and programs; each stage, and each quiet folder, has a range of them.
    pub(super) numbers: Vec<u32>,
    quiet: Vec<Quiet>,
}

/// The trace of one stage, as ranges of [`Traces::numbers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) found: Found,
    pub(super) outputs: Range<u32>,
    pub(super) others: Range<u32>,
    pub(super) programs: Range<u32>,
}

impl Traces {
    /// Returns what a stage was found to be, where there is a trace of it.
    pub fn found(&self, stage: usize) -> Option<&Found> {
        self.entry(stage).map(|entry| &entry.found)
    }

    /// Tells whether there is no trace at all.
    pub fn is_empty(&self) -> bool {
        self.stages.iter().all(Option::is_none)
    }

    /// Returns the whole trace of a stage.
    pub fn trace(&self, stage: usize) -> Option<Trace> {
        let entry = self.entry(stage)?;
        let sights = |range: &Range<u32>| {
            self.numbers(range)
                .iter()
                .map(|number| {
                    let (path, seen) = &self.sights[*number as usize];
                    Sight { path: self.name(path).to_vec(), seen: *seen }
                })
                .collect()
        };
        let programs = self.numbers(&entry.programs).iter().map(|number| self.name(&self.programs[*number as usize]).to_vec()).collect();
        Some(Trace { found: entry.found, outputs: sights(&entry.outputs), others: sights(&entry.others), programs })
    }

    /// Looks at all that the traces of `stages` tell of, in the project at `root`, on `jobs` threads. `is_program` is asked once for
    /// each program, `is_kept` for each stage. Tells for each of them whether its trace holds.
    pub fn check(
        &self,
        root: &Path,
        stages: &[usize],
        jobs: usize,
        is_program: &dyn Fn(&[u8]) -> bool,
        is_kept: &(dyn Fn(usize, &Found) -> bool + Sync),
    ) -> Vec<bool> {
        let Some(folder) = folder(root) else { return vec![false; stages.len()] };
        let entries: Vec<Option<&Entry>> = stages.iter().map(|stage| self.entry(*stage)).collect();
        let mut is_asked = vec![false; self.sights.len()];
        let mut programs = vec![None; self.programs.len()];
        for entry in entries.iter().flatten() {
            for number in self.numbers(&entry.outputs).iter().chain(self.numbers(&entry.others)) {
                is_asked[*number as usize] = true;
            }
            for number in self.numbers(&entry.programs) {
                let is_same = &mut programs[*number as usize];
                *is_same = is_same.or_else(|| Some(is_program(self.name(&self.programs[*number as usize]))));
            }
        }
        let is_same: Vec<AtomicBool> = self.sights.iter().map(|_| AtomicBool::new(false)).collect();
        let threads = |count: usize| jobs.clamp(1, 1 + count / AT_ONCE);
        each(self.quiet.len(), AT_ONCE, threads(self.quiet.len()), &|range| {
            for quiet in
                self.quiet[range].iter().filter(|quiet| self.numbers(&quiet.folders).iter().any(|number| is_asked[*number as usize]))
            {
                self.still_in(&folder, quiet).iter().for_each(|number| is_same[*number as usize].store(true, Ordering::Relaxed));
            }
        });
        each(self.sights.len(), AT_ONCE, threads(self.sights.len()), &|range| {
            for number in range {
                let (path, seen) = &self.sights[number];
                let is_open = is_asked[number] && !is_same[number].load(Ordering::Relaxed);
                if is_open && look(&folder, self.name(path)).is_some_and(|now| now.is_again(seen)) {
                    is_same[number].store(true, Ordering::Relaxed);
                }
            }
        });
        let holds: Vec<AtomicBool> = stages.iter().map(|_| AtomicBool::new(false)).collect();
        each(stages.len(), AT_ONCE, threads(stages.len()), &|range| {
            for place in range {
                let Some(entry) = entries[place] else { continue };
                let mut sights = self.numbers(&entry.outputs).iter().chain(self.numbers(&entry.others));
                let is_right = sights.all(|number| is_same[*number as usize].load(Ordering::Relaxed))
                    && self.numbers(&entry.programs).iter().all(|number| programs[*number as usize] == Some(true))
                    && is_kept(stages[place], &entry.found);
                holds[place].store(is_right, Ordering::Relaxed);
            }
        });
        holds.into_iter().map(AtomicBool::into_inner).collect()
    }

    /// Adds the quiet folders of the project at `root`. `is_settled` tells whether times are old enough that whatever happens from now on has
    /// others.
    #[must_use]
    pub fn with_quiet(mut self, root: &Path, is_settled: &dyn Fn(&Stamp) -> bool) -> Self {
        if let Some(root) = folder(root) {
            self.find_quiet(&root, is_settled);
        }
        self
    }

    /// Returns the traces of `old`, and those of `new`, which are later, of `count` stages.
    pub fn merged(old: &Self, new: Vec<(usize, Trace)>, count: usize) -> Self {
        let mut traces = Self { stages: vec![None; count], ..Self::default() };
        let mut known = Interned::default();
        let kept = (0..count).filter_map(|stage| Some((stage, old.trace(stage)?)));
        for (stage, trace) in kept.chain(new) {
            traces.add(&mut known, stage, trace);
        }
        traces
    }

    fn add(&mut self, known: &mut Interned, stage: usize, trace: Trace) {
        let outputs = self.add_sights(known, trace.outputs);
        let others = self.add_sights(known, trace.others);
        let start = self.numbers.len();
        for program in trace.programs {
            let number = known.programs.get(&program).copied().unwrap_or_else(|| {
                let name = self.add_name(&program);
                self.programs.push(name);
                known.programs.insert(program, small(self.programs.len() - 1));
                small(self.programs.len() - 1)
            });
            self.numbers.push(number);
        }
        let programs = small(start)..small(self.numbers.len());
        self.stages[stage] = Some(Entry { found: trace.found, outputs, others, programs });
    }

    fn add_sights(&mut self, known: &mut Interned, sights: Vec<Sight>) -> Range<u32> {
        let start = self.numbers.len();
        for sight in sights {
            let number = known.sights.get(&sight).copied().unwrap_or_else(|| {
                let name = self.add_name(&sight.path);
                self.sights.push((name, sight.seen));
                known.sights.insert(sight, small(self.sights.len() - 1));
                small(self.sights.len() - 1)
            });
            self.numbers.push(number);
        }
        small(start)..small(self.numbers.len())
    }

    fn add_name(&mut self, name: &[u8]) -> Range<u32> {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        small(start)..small(self.names.len())
    }

    fn entry(&self, stage: usize) -> Option<&Entry> {
        self.stages.get(stage).and_then(Option::as_ref)
    }

    fn name(&self, range: &Range<u32>) -> &[u8] {
        &self.names[range.start as usize..range.end as usize]
    }

    fn numbers(&self, range: &Range<u32>) -> &[u32] {
        &self.numbers[range.start as usize..range.end as usize]
    }
}

/// What has a number already.
#[derive(Default)]
struct Interned {
    sights: HashMap<Sight, u32>,
    programs: HashMap<Vec<u8>, u32>,
}

/// Four billion paths do not fit into a pipeline.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Returns what is seen at a path now, without following a link at its end; `None` for what no trace tells of.
fn look(folder: &OwnedFd, path: &[u8]) -> Option<Seen> {
    match statat(folder, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            let kind = FileType::from_raw_mode(stat.st_mode);
            let file = kind.is_file().then(|| Seen::File(Stamp::of_stat(&stat)));
            file.or_else(|| kind.is_dir().then(|| Seen::Names(Stamp::of_stat(&stat))))
        }
        Err(Errno::NOENT | Errno::NOTDIR) => Some(Seen::Absent),
        Err(_) => None,
    }
}

/// Returns what is seen now at a path relative to `root`, which may be absolute itself; `None` for what no trace tells of.
pub fn see(root: &Path, path: &[u8]) -> Option<Seen> {
    let seen = look(&folder(root)?, path)?;
    Some(if seen.is_again(&Seen::Folder) { Seen::Folder } else { seen })
}

/// Returns what is seen now at a folder that has held the same names for as long as `is_settled` asks of times; `None` where it has not, or
/// where nobody could tell whether it will.
pub fn see_names(root: &Path, path: &[u8], is_settled: &dyn Fn(&Stamp) -> bool) -> Option<Seen> {
    quiet::settled(&folder(root)?, path, is_settled).map(Seen::Names)
}

fn folder(root: &Path) -> Option<OwnedFd> {
    open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}
