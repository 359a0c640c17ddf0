//! Quiet folders: while what the file system says of a folder stays the same, no name in it has come to mean anything else. So what was a
//! folder in it is one still, and need not be looked at: of many small folders that is most of all there is to look at.
//!
//! Knows which file systems tell by a folder's times that a name in it was made, removed or given to something else, as POSIX demands.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, statat};

use super::{Seen, Traces, small};
use crate::base::stamp::Stamp;

/// A quiet folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quiet {
    /// Its path.
    pub(super) path: Range<u32>,
    /// What the file system said of it before its folders were looked at.
    pub(super) stamp: Stamp,
    /// The numbers of the sights of folders in it, as a range of [`Traces::numbers`].
    pub(super) folders: Range<u32>,
}

impl Traces {
    /// Finds the quiet folders of the project that is open at `root`. `is_settled` tells whether times are old enough that whatever happens
    /// from now on has others.
    pub(super) fn find_quiet(&mut self, root: &OwnedFd, is_settled: &dyn Fn(&Stamp) -> bool) {
        let mut inner: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        for (number, (path, seen)) in self.sights.iter().enumerate() {
            let path = self.name(path);
            if *seen == Seen::Folder && !path.starts_with(b"/") {
                let end = path.iter().rposition(|byte| *byte == b'/');
                inner.entry(end.map_or(b".", |end| &path[..end])).or_default().push(small(number));
            }
        }
        let mut found = Vec::new();
        for (path, mut folders) in inner {
            let Some(settled) = settled(root, path, is_settled) else { continue };
            // Behind the look at their folder: had one been given another name since, that would show.
            folders.retain(|number| stamp(root, self.name(&self.sights[*number as usize].0)).is_some());
            found.push((path.to_vec(), settled, folders));
        }
        for (path, stamp, folders) in found {
            let (path, start) = (self.add_name(&path), self.numbers.len());
            self.numbers.extend(folders);
            self.quiet.push(Quiet { path, stamp, folders: small(start)..small(self.numbers.len()) });
        }
    }

    /// Returns the numbers of the sights of folders that need not be looked at, since the quiet folder that they lie in is as it was.
    pub(super) fn still_in(&self, root: &OwnedFd, quiet: &Quiet) -> &[u32] {
        if stamp(root, self.name(&quiet.path)) == Some(quiet.stamp) { self.numbers(&quiet.folders) } else { &[] }
    }
}

/// Returns what the file system says of a folder below `root` that has held the same names for as long as `is_settled` asks; `None` where
/// that cannot be told, now or later.
pub(super) fn settled(root: &OwnedFd, path: &[u8], is_settled: &dyn Fn(&Stamp) -> bool) -> Option<Stamp> {
    let device = stamp(root, b".").filter(|_| tells(root))?.device;
    stamp(root, path).filter(|stamp| stamp.device == device && is_settled(stamp))
}

/// Returns what the file system says of a folder.
fn stamp(root: &OwnedFd, path: &[u8]) -> Option<Stamp> {
    let stat = statat(root, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    FileType::from_raw_mode(stat.st_mode).is_dir().then(|| Stamp::of_stat(&stat))
}

/// Tells whether a folder of this file system says by its times that a name in it has come to mean something else.
#[cfg(target_os = "linux")]
fn tells(folder: impl AsFd) -> bool {
    /// Of ext2 to ext4, XFS, Btrfs, tmpfs, F2FS, bcachefs and ZFS (`statfs(2)`).
    const KNOWN: [i64; 7] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0xF2F5_2010, 0xCA45_1A4E, 0x2FC1_2FC1];
    #[expect(clippy::useless_conversion, reason = "how wide the number is differs from processor to processor")]
    rustix::fs::fstatfs(folder).is_ok_and(|about| KNOWN.contains(&i64::from(about.f_type)))
}

/// Elsewhere nothing is known of them.
#[cfg(not(target_os = "linux"))]
fn tells(_folder: impl AsFd) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::super::{Found, Sight, Trace, folder};
    use super::*;
    use crate::base::digest::Hash;

    fn traces(root: &Path, is_settled: bool) -> Traces {
        let record = Stamp { device: 1, inode: 1, size: 1, modified: 1, changed: 1, mode: 1 };
        let found = Found { key: Hash([1; 32]), result: Hash([1; 32]), needs: Hash([2; 32]), record, prints: false };
        let others = ["a", "a/b", "a/c"].map(|path| Sight { path: path.into(), seen: Seen::Folder }).into();
        let trace = Trace { found, outputs: Vec::new(), others, programs: Vec::new() };
        Traces::merged(&Traces::default(), vec![(0, trace)], 1).with_quiet(root, &|_| is_settled)
    }

    /// Returns the folders that need not be looked at, and whether the trace holds.
    fn found(traces: &Traces, root: &Path) -> (Vec<String>, bool) {
        let open = folder(root).unwrap();
        let still = traces.quiet.iter().flat_map(|quiet| traces.still_in(&open, quiet));
        let names = still.map(|number| String::from_utf8_lossy(traces.name(&traces.sights[*number as usize].0)).into_owned());
        (names.collect(), traces.check(root, &[0], 2, &|_| true, &|_, _| true) == [true])
    }

    #[test]
    fn folders_are_believed_while_no_name_beside_them_changes() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        ["a/b", "a/c"].iter().for_each(|path| fs::create_dir_all(root.join(path)).unwrap());
        assert_eq!(found(&traces(root, false), root), (vec![], true));
        if !tells(folder(root).unwrap()) {
            assert_eq!(found(&traces(root, true), root), (vec![], true));
            return;
        }
        let all = ["a", "a/b", "a/c"].map(str::to_owned).to_vec();
        let before = traces(root, true);
        assert_eq!(found(&before, root), (all.clone(), true));
        fs::write(root.join("a/b/new"), "").unwrap();
        assert_eq!(found(&before, root), (all.clone(), true));
        fs::write(root.join("new"), "").unwrap();
        assert_eq!(found(&before, root), (all[1..].to_vec(), true));
        fs::rename(root.join("a/c"), root.join("a/d")).unwrap();
        symlink("d", root.join("a/c")).unwrap();
        assert_eq!(found(&before, root), (vec![], false));
        // What had not been a folder any more when the one that it lies in was looked at.
        assert_eq!(found(&traces(root, true), root), (all[..2].to_vec(), false));
    }
}
