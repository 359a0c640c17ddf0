//! A checkout aside of the project, in which what is pushed is tested: made once, then updated by the difference.
//!
//! Knows worktrees, submodules and locks; knows nothing of pipelines.
//!
//! ```text
//! <cache>/checkouts/<hash of repository and pipeline>/lock      whoever holds it has the checkout
//!                                                     shop/     a linked worktree, called as the project is
//! ```
//!
//! Every git that writes here holds the lock too: one that outlives a killed shipway is waited for. So whoever has the lock may take what
//! is left of git's own locks for stale.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::home::{Home, option};
use super::repo::{GitError, Repository, With};
use super::same::STRICT;
use super::tracked::{Spared, Tracked};
use crate::base::digest::Hash;
use crate::base::program::plain;
use crate::base::state::CHECKOUTS;
use crate::base::text::visible;

/// The file whose lock is the checkout's.
const LOCK: &str = "lock";

/// How often a checkout that another has is looked at.
const PATIENCE: Duration = Duration::from_millis(20);

/// Settings for what writes files: all of them, and no hook of the repository runs.
const WRITING: [&str; 6] = ["-c", "core.hooksPath=/dev/null", "-c", "core.sparseCheckout=false", "-c", "advice.detachedHead=false"];

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
pub enum AsideError {
    /// Git does not do its part.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Another has it, and waiting makes no sense.
    #[error("`{0}` is in use by another hook, which may wait for this one")]
    Busy(String),
    /// The file system does not.
    #[error("`{path}` {what}: {error}")]
    Files {
        /// Where.
        path: String,
        /// What cannot be done.
        what: &'static str,
        /// Why, as the system says it.
        error: String,
    },
}

/// A checkout that nobody else uses.
#[derive(Debug)]
pub struct Aside {
    folder: PathBuf,
    lock: File,
}

/// What is to lie in it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'w> {
    /// The commit that HEAD is to be.
    pub head: &'w str,
    /// The tree of files.
    pub tree: &'w str,
}

/// One repository and the folder for its files.
struct Pair<'p> {
    common_dir: &'p Path,
    /// Where its files are in the working tree of the one who pushes, to find the repositories of submodules.
    origin: Option<&'p Path>,
    folder: &'p Path,
}

impl Aside {
    /// Returns the folder of the checkout of `home` for the pipeline at `pipeline` (relative to the repository's files), in `cache`.
    pub fn place(home: &Home, cache: &Path, pipeline: &Path) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        let name = [home.common_dir().as_os_str().as_bytes(), pipeline.as_os_str().as_bytes()].join(&0);
        let named = home.root().unwrap_or_else(|| home.common_dir()).file_name().unwrap_or(OsStr::new("checkout"));
        cache.join(CHECKOUTS).join(&Hash::of(&name).to_string()[..16]).join(named)
    }

    /// Takes the checkout at `folder`, and removes those of repositories that are gone. Where another has it, `wait` is asked again and
    /// again whether to wait.
    ///
    /// # Errors
    /// Where the folder cannot be made or locked, or another has it still.
    pub fn take(folder: &Path, mut wait: impl FnMut() -> bool) -> Result<Self, AsideError> {
        let above = folder.parent().unwrap_or(folder);
        fs::create_dir_all(above).map_err(|error| failed(above, "cannot be made", &error))?;
        let path = above.join(LOCK);
        let cannot = |error: &io::Error| failed(&path, "cannot be locked", error);
        let lock = loop {
            let lock = open_lock(&path).map_err(|error| cannot(&error))?;
            match lock.try_lock() {
                // Whoever held it last may have removed it.
                Ok(()) if lock.metadata().is_ok_and(|metadata| metadata.nlink() > 0) => break lock,
                Ok(()) => fs::create_dir_all(above).map_err(|error| failed(above, "cannot be made", &error))?,
                Err(TryLockError::WouldBlock) if wait() => std::thread::sleep(PATIENCE),
                Err(TryLockError::WouldBlock) => return Err(AsideError::Busy(visible(&above.to_string_lossy()).into_owned())),
                Err(TryLockError::Error(error)) => return Err(cannot(&error)),
            }
        };
        let above = above.canonicalize().map_err(|error| failed(above, "cannot be found", &error))?;
        remove_orphans(&above);
        Ok(Self { folder: above.join(folder.file_name().unwrap_or_default()), lock })
    }

    /// Returns the folder of the files, absolute and real.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the tracked files what is wanted, and returns them. What cannot be told to be whole is made anew. `notice` is told which
    /// submodules are absent.
    ///
    /// # Errors
    /// Where git or the file system refuse.
    pub fn update(&self, home: &Home, wanted: Wanted<'_>, notice: &mut dyn FnMut(String)) -> Result<Tracked, AsideError> {
        let pair = Pair { common_dir: home.common_dir(), origin: home.root(), folder: &self.folder };
        let mut tracked = Tracked::default();
        match self.fill(&pair, wanted, Path::new(""), &mut tracked, notice) {
            Ok(()) => return Ok(tracked),
            // Something lies in the way that git does not dare to remove, or its records are damaged.
            Err(_) => remove(&self.folder)?,
        }
        let mut tracked = Tracked::default();
        self.fill(&pair, wanted, Path::new(""), &mut tracked, notice)?;
        Ok(tracked)
    }

    /// Removes what lies in it and neither belongs to it nor is spared.
    ///
    /// # Errors
    /// Where something cannot be removed.
    pub fn clean(&self, tracked: &Tracked, spared: &Spared<'_>) -> Result<(), AsideError> {
        let strays = tracked.strays(&self.folder, spared, usize::MAX);
        let strays = strays.map_err(|error| failed(&self.folder, "cannot be looked at", &error))?;
        strays.iter().try_for_each(|path| remove(&self.folder.join(path)))
    }

    /// Removes it, and what the repository knows of it.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn discard(self, home: &Home) -> Result<(), AsideError> {
        if administration(&self.folder, home.common_dir()).is_some() {
            let words = ["worktree", "remove", "--force", "--force"].map(OsStr::new);
            self.write(home.common_dir(), &[&words[..], &[self.folder.as_os_str()]].concat())?;
        }
        remove(self.folder.parent().unwrap_or(&self.folder))
    }

    fn fill(
        &self,
        pair: &Pair<'_>,
        wanted: Wanted<'_>,
        below: &Path,
        tracked: &mut Tracked,
        notice: &mut dyn FnMut(String),
    ) -> Result<(), AsideError> {
        let admin = self.own(pair, wanted.head)?;
        for name in ["index.lock", "HEAD.lock"] {
            let _absent = fs::remove_file(admin.join(name));
        }
        if fs::read_to_string(admin.join("HEAD")).is_ok_and(|head| head.trim_end() != wanted.head) {
            self.write_in(pair.folder, &["update-ref", "--no-deref", "HEAD", wanted.head])?;
        }
        self.write_in(pair.folder, &["read-tree", "--reset", "-u", wanted.tree])?;
        let mut own = Tracked::default();
        let listing = call_in(pair.folder, &["ls-files", "-z", "--stage", "-v"], &With::default())?;
        own.add(Path::new(""), &listing);
        tracked.add(below, &listing);
        for (path, commit) in own.submodules {
            self.fill_submodule(pair, below, (&path, &commit), tracked, notice)?;
        }
        Ok(())
    }

    fn fill_submodule(
        &self,
        above: &Pair<'_>,
        below: &Path,
        (path, commit): (&Path, &str),
        tracked: &mut Tracked,
        notice: &mut dyn FnMut(String),
    ) -> Result<(), AsideError> {
        let origin = above.origin.map(|origin| origin.join(path));
        let folder = above.folder.join(path);
        let tree = format!("{commit}^{{tree}}");
        let sources = origin.as_deref().and_then(repository_of).into_iter().chain([above.common_dir.join("modules").join(path)]);
        for source in sources.filter(|source| source.join("objects").is_dir()) {
            let words = [&option("--git-dir=", &source), OsStr::new("cat-file"), OsStr::new("-e"), OsStr::new(&tree)];
            if Repository::at(&source).call(&source, &words, &With::default()).is_ok() {
                let pair = Pair { common_dir: &source, origin: origin.as_deref(), folder: &folder };
                return self.fill(&pair, Wanted { head: commit, tree: &tree }, &below.join(path), tracked, notice);
            }
        }
        let shown = below.join(path);
        let (shown, short) = (visible(&shown.to_string_lossy()).into_owned(), commit.get(..12).unwrap_or(commit));
        notice(format!("the submodule `{shown}` is empty there: its commit {short} is not in this repository"));
        Ok(())
    }

    /// Makes the folder a worktree of the repository where it is none, and returns where the repository keeps what is the worktree's own.
    fn own(&self, pair: &Pair<'_>, head: &str) -> Result<PathBuf, AsideError> {
        if let Some(found) = administration(pair.folder, pair.common_dir) {
            return Ok(found);
        }
        remove(pair.folder)?;
        let words = ["worktree", "add", "--force", "--force", "--detach", "--no-checkout"].map(OsStr::new);
        self.write(pair.common_dir, &[&words[..], &[pair.folder.as_os_str(), OsStr::new(head)]].concat())?;
        administration(pair.folder, pair.common_dir)
            .ok_or_else(|| GitError::Failed(format!("`{}` was not made a worktree", visible(&pair.folder.to_string_lossy()))).into())
    }

    /// Runs a git that changes something in the repository at `common_dir`.
    fn write(&self, common_dir: &Path, words: &[&OsStr]) -> Result<(), AsideError> {
        let place = option("--git-dir=", common_dir);
        let words: Vec<&OsStr> = WRITING.iter().map(OsStr::new).chain([place.as_os_str()]).chain(words.iter().copied()).collect();
        Repository::at(common_dir).call(common_dir, &words, &With { held: Some(&self.lock), ..With::default() })?;
        Ok(())
    }

    /// Runs a git that changes something in the checkout at `folder`, one of ours.
    fn write_in(&self, folder: &Path, words: &[&str]) -> Result<(), AsideError> {
        let words: Vec<&str> = WRITING.iter().chain(&STRICT).chain(words).copied().collect();
        call_in(folder, &words, &With { held: Some(&self.lock), ..With::default() })?;
        Ok(())
    }
}

/// Runs a git in the checkout at `folder`; named, so that a damaged one never leads to a repository further up.
fn call_in(folder: &Path, words: &[&str], with: &With<'_>) -> Result<Vec<u8>, GitError> {
    let place: [OsString; 2] = [option("--git-dir=", &folder.join(".git")), option("--work-tree=", folder)];
    let words: Vec<&OsStr> = place.iter().map(OsString::as_os_str).chain(words.iter().map(OsStr::new)).collect();
    Repository::at(folder).call(folder, &words, with)
}

fn open_lock(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).read(true).write(true).open(path)
}

/// Removes the checkouts beside `own` whose repository is not there any more; what cannot be removed stays for the next time.
fn remove_orphans(own: &Path) {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    for folder in entries(own.parent().unwrap_or(own)).filter(|folder| folder != own && folder.join(LOCK).is_file()) {
        let gone = |folder: PathBuf| {
            let text = fs::read_to_string(folder.join(".git")).unwrap_or_default();
            let admin = text.strip_prefix("gitdir: ").map(|path| PathBuf::from(path.trim_end_matches('\n')));
            admin.is_some_and(|admin| admin.ancestors().nth(2).is_some_and(|repository| !repository.exists()))
        };
        if !entries(&folder).any(gone) {
            continue;
        }
        if let Ok(lock) = open_lock(&folder.join(LOCK))
            && lock.try_lock().is_ok()
        {
            let _later = remove(&folder);
        }
    }
}

/// Returns where the repository at `common_dir` keeps what is of the worktree in `folder` alone; `None` where that is no worktree of it.
fn administration(folder: &Path, common_dir: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(folder.join(".git")).ok()?;
    let path = folder.join(text.strip_prefix("gitdir: ")?.trim_end_matches('\n')).canonicalize().ok()?;
    let is_its = path.parent()? == common_dir.canonicalize().ok()?.join("worktrees");
    // A worktree that was moved or made anew leads to another folder.
    let back = PathBuf::from(fs::read_to_string(path.join("gitdir")).ok()?.trim_end_matches('\n'));
    let leads_back = back.canonicalize().ok()? == folder.join(".git").canonicalize().ok()?;
    (is_its && leads_back && path.join("HEAD").is_file()).then_some(path)
}

/// Returns the repository of the files in `folder`, as far as its worktrees share it.
fn repository_of(folder: &Path) -> Option<PathBuf> {
    let git = folder.join(".git");
    let git_dir = match fs::read_to_string(&git) {
        Ok(text) => folder.join(text.strip_prefix("gitdir: ")?.trim_end_matches('\n')).canonicalize().ok()?,
        Err(_) => git.canonicalize().ok()?,
    };
    match fs::read_to_string(git_dir.join("commondir")) {
        Ok(text) => git_dir.join(text.trim_end_matches('\n')).canonicalize().ok(),
        Err(_) => Some(git_dir),
    }
}

/// Removes what lies at `path`, whatever it is; that nothing does is fine. Folders that may not be written to are opened first.
fn remove(path: &Path) -> Result<(), AsideError> {
    let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
    let removed = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    let removed = match removed {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && metadata.is_dir() => {
            open_folders(path);
            fs::remove_dir_all(path)
        }
        removed => removed,
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, "cannot be removed", &error)),
        _ => Ok(()),
    }
}

fn open_folders(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _foreign = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        open_folders(&entry.path());
    }
}

fn failed(path: &Path, what: &'static str, error: &io::Error) -> AsideError {
    AsideError::Files { path: visible(&path.to_string_lossy()).into_owned(), what, error: plain(error) }
}
