//! The folder that holds the store, and how a file gets into it whole.
//!
//! Knows where things lie and whether the folder is ours to use; knows nothing of what is in the files.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{
    Access, AtFlags, CWD, FileType, IFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, access, ioctl_getflags, ioctl_setflags, open,
    statat, utimensat,
};
use tempfile::NamedTempFile;

use crate::base::digest::Hash;
use crate::base::files::write_whole;
use crate::base::nameless;
use crate::base::stamp::Stamp;
use crate::base::state::CHECKOUTS;

/// The file that says that a folder is a store, and of which format.
const MARKER: &str = "shipway-v1";

/// What every marker begins with, of whatever format.
const MARKER_STEM: &str = "shipway-v";

/// Tells programs that make backups to leave the folder out; the first line is prescribed (bford.info/cachedir).
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of shipway. It may be deleted.\n";

/// Of a stored file: nobody writes to it again.
const MODE: u32 = 0o444;

/// Its time is that of the last sweep.
pub(super) const SWEPT: &str = "swept";

/// Where files are written before they have their name.
pub(super) const TEMPORARY: &str = "tmp";

/// A file is marked as used again only if it was last marked longer ago than this, so that a run without work writes next to nothing.
pub(super) const TOUCH_EVERY: Duration = Duration::from_mins(10);

/// A part of the store whose files are named by hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    /// Records, by key.
    Records,
    /// Blobs, by their own hash.
    Blobs,
    /// The last keys of the stages of each pipeline, by a hash of its name, and what each stage measured last, by one of the stage's.
    Stages,
}

impl Area {
    fn folder(self) -> &'static str {
        match self {
            Self::Records => "ac",
            Self::Blobs => "cas",
            Self::Stages => "stages",
        }
    }
}

/// Why a folder cannot be used as a store. Each reads on after "the cache".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is nothing at the path, and nothing may be made.
    #[error("`{}` does not exist", .0.display())]
    Missing(PathBuf),
    /// Something that is no folder lies at the path.
    #[error("`{}` is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// The folder holds other things, and no store.
    #[error("`{}` holds files that are not shipway's", .0.display())]
    Foreign(PathBuf),
    /// The folder is a store of a format that this shipway does not know.
    #[error("`{}` was made by another version of shipway", .0.display())]
    OtherVersion(PathBuf),
    /// The file system refuses.
    #[error("`{}` cannot be used: {error}", .path.display())]
    Io {
        /// The path that was refused.
        path: PathBuf,
        /// What the file system says.
        error: io::Error,
    },
}

/// A store on disk. Any number of processes may use it at once.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    writable: bool,
    /// The bytes written since it was last asked for.
    stored: AtomicU64,
    /// The folder of the records, to look at many of them.
    records: OnceLock<Option<OwnedFd>>,
}

impl Store {
    /// Opens the store in `root`, and makes what is missing of it. A folder that Bazel uses as its disk cache is taken as it is.
    ///
    /// # Errors
    /// The folder cannot be made or written to, is no folder, or holds something else. Reading may still work, see
    /// [`open_read_only`](Self::open_read_only).
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let refused = |path: &Path, error| StoreError::Io { path: path.to_owned(), error };
        if let Some(parent) = root.parent() {
            fs::create_dir_all(parent).map_err(|error| refused(parent, error))?;
        }
        let made = DirBuilder::new().mode(0o700).create(root);
        let is_new = made.is_ok();
        made.or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(refused(root, error)) })?;
        is_store(root)?;
        if !root.join(MARKER).exists() {
            // The marker comes first and appears at once: a second process that opens the folder now must not take it for foreign.
            let marker = File::options().write(true).create(true).truncate(false).open(root.join(MARKER));
            marker.map_err(|error| refused(root, error))?;
        }
        let areas = [Area::Records, Area::Blobs, Area::Stages].map(Area::folder);
        for folder in [root.to_owned(), root.join(TEMPORARY)].into_iter().chain(areas.map(|area| root.join(area))) {
            fs::create_dir_all(&folder).map_err(|error| refused(&folder, error))?;
            access(&folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| refused(&folder, error.into()))?;
        }
        // A store inside a project is neither for git nor for default inputs.
        for (name, text) in [("CACHEDIR.TAG", CACHE_TAG), (".gitignore", b"*\n")] {
            let file = root.join(name);
            if !file.exists() {
                write_whole(&file, text).map_err(|error| refused(&file, error))?;
            }
        }
        if is_new {
            areas.iter().for_each(|area| spread(&root.join(area)));
            // In what was made just now there is nothing to sweep.
            let _swept_at_the_end = File::create(root.join(SWEPT));
        }
        Ok(Self::at(root, true))
    }

    /// Opens the store in `root` for reading; nothing is ever written, marked as used or removed.
    ///
    /// # Errors
    /// There is no store, or it cannot be looked into.
    pub fn open_read_only(root: &Path) -> Result<Self, StoreError> {
        if is_store(root)? { Ok(Self::at(root, false)) } else { Err(StoreError::Missing(root.to_owned())) }
    }

    fn at(root: &Path, writable: bool) -> Self {
        Self { root: root.to_owned(), writable, stored: AtomicU64::new(0), records: OnceLock::new() }
    }

    /// Returns the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the store was opened for writing.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Returns where the file of `hash` lies, or would.
    pub(super) fn place(&self, area: Area, hash: &Hash) -> PathBuf {
        let name = hash.to_string();
        let mut path = self.root.join(area.folder());
        path.push(&name[..2]);
        path.push(name);
        path
    }

    /// Returns what the file system says of the record file of `hash`; `None` where there is none.
    pub(super) fn record_stamp(&self, hash: &Hash) -> Option<Stamp> {
        let open = || open(self.root.join(Area::Records.folder()), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok();
        let (folder, name) = (self.records.get_or_init(open).as_ref()?, hash.digits());
        let path = [&name[..2], b"/", &name].concat();
        let stat = statat(folder, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        FileType::from_raw_mode(stat.st_mode).is_file().then(|| Stamp::of_stat(&stat))
    }

    /// Calls `visit` with each file of `area` that has a hash for a name, and lies where that name belongs. Others are passed over, as are
    /// files that vanish meanwhile.
    pub(super) fn visit(&self, area: Area, visit: &mut dyn FnMut(Hash, &Path, &Metadata) -> io::Result<()>) -> io::Result<()> {
        let top = self.root.join(area.folder());
        for stem in (0..=u8::MAX).map(|byte| format!("{byte:02x}")) {
            let entries = match fs::read_dir(top.join(&stem)) {
                Ok(entries) => entries,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let hash = entry.file_name().to_str().filter(|name| name.starts_with(&stem)).and_then(Hash::parse);
                let (Some(hash), Ok(metadata)) = (hash, entry.metadata()) else { continue };
                if metadata.is_file() {
                    visit(hash, &entry.path(), &metadata)?;
                }
            }
        }
        Ok(())
    }

    /// Fails unless the store was opened for writing.
    pub(super) fn expect_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::ReadOnlyFilesystem.into()) }
    }

    /// Returns a new file without a name of its own yet; dropped, it is gone.
    pub(super) fn temporary(&self) -> io::Result<NamedTempFile> {
        self.expect_writable()?;
        let folder = self.root.join(TEMPORARY);
        let make = || {
            let mut builder = tempfile::Builder::new();
            builder.prefix("").rand_bytes(16).permissions(Permissions::from_mode(MODE)).tempfile_in(&folder)
        };
        let made = match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(&folder).and_then(|()| make()),
            made => made,
        };
        // The error of the crate names a path that nobody has chosen.
        made.map_err(|error| error.raw_os_error().map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error))
    }

    /// Gives a temporary file, written to its end, its name; what had the name before is gone.
    pub(super) fn settle(&self, file: NamedTempFile, to: &Path) -> io::Result<()> {
        let length = file.as_file().metadata()?.len();
        let file = match file.persist(to) {
            Err(refused) if refused.error.kind() == io::ErrorKind::NotFound => refused.file,
            Err(refused) => return Err(refused.error),
            Ok(_) => {
                self.stored.fetch_add(length, Ordering::Relaxed);
                return Ok(());
            }
        };
        // The first file of its folder.
        fs::create_dir_all(to.parent().unwrap_or(&self.root))?;
        file.persist(to).map_err(|refused| refused.error)?;
        self.stored.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    /// Writes a file at `path`, in place of what had the name before: it is there whole or not at all.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.expect_writable()?;
        if nameless::write(path, bytes, MODE, None).is_ok() {
            self.stored.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            return Ok(());
        }
        // Something has the name, or no file can be without one here; what else is wrong will be so again.
        let file = self.temporary()?;
        file.as_file().write_all(bytes)?;
        self.settle(file, path)
    }

    /// Returns how many bytes were written since this was last called.
    pub(super) fn take_stored(&self) -> u64 {
        self.stored.swap(0, Ordering::Relaxed)
    }

    /// Removes the file at `path`, but only if it still is the one that was looked at.
    pub(super) fn discard(&self, path: &Path, seen: &Metadata) {
        let same = path.symlink_metadata().is_ok_and(|now| (now.dev(), now.ino()) == (seen.dev(), seen.ino()));
        if self.writable && same {
            // Another process may have been faster.
            let _gone = fs::remove_file(path);
        }
    }

    /// Marks the file at `path` as used now, unless it was a short while ago. That it cannot be marked only shortens its life. Tells
    /// whether it was marked.
    pub(super) fn touch_file(&self, path: &Path, metadata: &Metadata) -> bool {
        self.writable && !is_recent(&Stamp::of(metadata)) && set_used_now(path).is_ok()
    }
}

/// Tells whether a file was marked as used a short while ago.
pub(super) fn is_recent(stamp: &Stamp) -> bool {
    let used = Duration::from_nanos(u64::try_from(stamp.modified).unwrap_or(0));
    now().duration_since(SystemTime::UNIX_EPOCH + used).is_ok_and(|since| since < TOUCH_EVERY)
}

/// Returns the present by the machine's clock.
pub(super) fn now() -> SystemTime {
    let since = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(since)
}

/// Sets the times of a file to the file system's present.
pub(super) fn set_used_now(path: &Path) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Ok(utimensat(CWD, path, &Timestamps { last_access: now, last_modification: now }, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Tells the file system that what lies in one folder below `folder` has nothing to do with what lies in the next. Where ext4 looks for room
/// for a file, it looks near the folder, past all that was freed there lately; what is told nothing puts all folders near each other.
fn spread(folder: &Path) {
    // Others than ext4 need not be told, and refuse.
    let _unknown = File::open(folder).and_then(|folder| {
        let flags = ioctl_getflags(&folder)?;
        Ok(ioctl_setflags(&folder, flags | IFlags::TOPDIR)?)
    });
}

/// Opens a file of the store for reading. A link in its place is not followed, and a pipe there does not hold anyone up.
pub(super) fn open_plain(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Whether `root` is a store, or (`false`) an empty folder that may become one.
fn is_store(root: &Path) -> Result<bool, StoreError> {
    let refused = |error: io::Error| {
        let path = root.to_owned();
        if error.kind() == io::ErrorKind::NotFound {
            StoreError::Missing(path)
        } else if error.kind() == io::ErrorKind::NotADirectory {
            StoreError::NotAFolder(path)
        } else {
            StoreError::Io { path, error }
        }
    };
    let (mut ours, mut other_version, mut foreign) = (false, false, false);
    for entry in fs::read_dir(root).map_err(refused)? {
        let name = entry.map_err(refused)?.file_name();
        match name.to_str() {
            Some(MARKER) => return Ok(true),
            Some("ac" | "cas") => ours = true,
            Some(name) if name.starts_with(MARKER_STEM) => other_version = true,
            // The top of a mounted file system has the first, the user's cache directory the second.
            Some("lost+found" | CHECKOUTS) => {}
            _ => foreign = true,
        }
    }
    match (other_version, ours, foreign) {
        (true, ..) => Err(StoreError::OtherVersion(root.to_owned())),
        (false, false, true) => Err(StoreError::Foreign(root.to_owned())),
        (false, ours, _) => Ok(ours),
    }
}

#[cfg(test)]
mod tests;
