//! The system's watches of folders: the thin part, by `notify`.
//!
//! Knows how to watch exactly the folders that matter, each alone and never with all below it; knows nothing of what is done about a hint.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::interest::Interests;
use super::watches::{Identity, Watches};
use crate::base::program::plain;

/// What the system says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// Something happened to what lies at this path.
    At(PathBuf),
    /// Something came to be, or ceased to be, at this path: what lay there may be another thing now.
    Moved(PathBuf),
    /// Too much happened: anything may have.
    Lost,
}

/// Watches folders, where the system can.
#[derive(Debug)]
pub struct Watcher {
    system: Option<RecommendedWatcher>,
    watches: Watches,
    interests: Interests,
    trouble: Option<String>,
}

impl Watcher {
    /// Returns a watcher that calls `tell` on a thread of its own. Where the system has none to give, says why by [`Watcher::trouble`].
    pub fn new(mut tell: impl FnMut(Hint) + Send + 'static) -> Self {
        let made = notify::recommended_watcher(move |event: notify::Result<Event>| hints(event).into_iter().for_each(&mut tell));
        let (system, trouble) = match made {
            Ok(system) => (Some(system), None),
            Err(error) => (None, Some(explain(&error))),
        };
        Self { system, watches: Watches::default(), interests: Interests::default(), trouble }
    }

    /// Returns a watcher that never hears anything, for whoever looks again and again.
    pub fn deaf() -> Self {
        Self { system: None, watches: Watches::default(), interests: Interests::default(), trouble: None }
    }

    /// Turns to `interests`, and to nothing else. Returns how many folders it did not watch before: what happened in them meanwhile was
    /// not heard, so they are to be looked at again.
    pub fn turn_to(&mut self, interests: &Interests) -> usize {
        let Some(system) = &mut self.system else { return 0 };
        self.interests = interests.of_what_is_there(|path| identity(path).is_some());
        let wanted: HashMap<PathBuf, Identity> =
            self.interests.folders().filter_map(|folder| Some((folder.to_owned(), identity(folder)?))).collect();
        let (stale, fresh) = self.watches.turn_to(&wanted);
        if stale.is_empty() && fresh.is_empty() {
            return 0;
        }
        let mut paths = system.paths_mut();
        for path in &stale {
            // Gone with its folder.
            let _gone = paths.remove(path);
        }
        let mut begun = 0;
        for (path, identity) in fresh {
            match paths.add(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    begun += 1;
                    self.watches.add(path, identity);
                }
                // Its end is told by the folder that it lay in; and what may not be read has no entries that could be inputs.
                Err(error) if is_gone(&error) => {}
                Err(error) => self.trouble = Some(explain(&error)),
            }
        }
        if let Err(error) = paths.commit() {
            self.trouble = Some(explain(&error));
        }
        if self.trouble.is_some() {
            // To hear a part is worse than to look: nobody would know which.
            self.system = None;
            self.watches = Watches::default();
        }
        begun
    }

    /// Takes a hint, and tells whether it matters.
    pub fn hear(&mut self, hint: &Hint) -> bool {
        let (path, is_moved) = match hint {
            Hint::At(path) => (path.as_path(), false),
            Hint::Moved(path) => (path.as_path(), true),
            Hint::Lost => (Path::new("/"), true),
        };
        if is_moved {
            let gone = self.watches.forget(path);
            if let Some(system) = &mut self.system {
                for path in gone {
                    // The system may have done so by itself.
                    let _gone = system.unwatch(&path);
                }
            }
        }
        *hint == Hint::Lost || self.interests.concern(path)
    }

    /// Returns why the system cannot tell of every change, where it cannot: then only a look does.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Tells whether changes are heard of.
    pub fn hears(&self) -> bool {
        self.system.is_some()
    }

    /// Returns how many folders are watched.
    pub fn count(&self) -> usize {
        self.watches.count()
    }
}

/// Returns what an event of the system means.
fn hints(event: notify::Result<Event>) -> Vec<Hint> {
    // An error of a later moment is about a watch that was lost.
    let Ok(event) = event else { return vec![Hint::Lost] };
    if event.need_rescan() {
        return vec![Hint::Lost];
    }
    let hint = match event.kind {
        // Reading changes nothing. What was written through memory is told of only when the file is closed.
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Hint::At,
        EventKind::Access(_) => return Vec::new(),
        EventKind::Modify(ModifyKind::Name(_)) | EventKind::Create(_) | EventKind::Remove(_) | EventKind::Any | EventKind::Other => {
            Hint::Moved
        }
        EventKind::Modify(_) => Hint::At,
    };
    event.paths.into_iter().map(hint).collect()
}

/// Returns what tells the folder at `path` from others; `None` where there is none.
fn identity(path: &Path) -> Option<Identity> {
    let metadata = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_dir)?;
    Some((metadata.dev(), metadata.ino()))
}

fn is_gone(error: &notify::Error) -> bool {
    if let notify::ErrorKind::Io(error) = &error.kind {
        return matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied);
    }
    matches!(error.kind, notify::ErrorKind::PathNotFound)
}

/// Says why the system cannot watch, and what helps.
fn explain(error: &notify::Error) -> String {
    if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) {
        return "the system's limit of watched folders is reached, fs.inotify.max_user_watches: \
                `sudo sysctl fs.inotify.max_user_watches=524288` raises it"
            .to_owned();
    }
    let notify::ErrorKind::Io(reason) = &error.kind else { return error.to_string() };
    if reason.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
        return "the system's limit of watchers is reached, fs.inotify.max_user_instances: \
                `sudo sysctl fs.inotify.max_user_instances=1024` raises it"
            .to_owned();
    }
    plain(reason)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam_channel::{Receiver, unbounded};

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    fn watch(interests: &Interests) -> (Watcher, Receiver<Hint>) {
        let (sender, hints) = unbounded();
        let mut watcher = Watcher::new(move |hint| sender.send(hint).unwrap());
        assert!(watcher.turn_to(interests) > 0);
        assert!(watcher.hears(), "{:?}", watcher.trouble());
        (watcher, hints)
    }

    /// Waits until a hint that matters comes, and returns its path.
    fn next(watcher: &mut Watcher, hints: &Receiver<Hint>) -> PathBuf {
        loop {
            let hint = hints.recv_timeout(PATIENCE).unwrap();
            if watcher.hear(&hint) {
                let (Hint::At(path) | Hint::Moved(path)) = hint else { panic!("{hint:?}") };
                return path;
            }
        }
    }

    #[test]
    fn what_matters_is_heard_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("src")).unwrap();
        let mut interests = Interests::default();
        interests.whole(&root.join("src"));
        interests.entry(&root.join("main"));
        let (mut watcher, hints) = watch(&interests);
        assert_eq!(watcher.count(), 2);
        fs::write(root.join("other"), "").unwrap();
        fs::write(root.join("main"), "").unwrap();
        assert_eq!(next(&mut watcher, &hints), root.join("main"));
        fs::rename(root.join("other"), root.join("src/new")).unwrap();
        while next(&mut watcher, &hints) != root.join("src/new") {}
        // A look is no change.
        while hints.try_recv().is_ok() {}
        let _text = fs::read(root.join("src/new")).unwrap();
        fs::write(root.join("src/end"), "").unwrap();
        assert_eq!(next(&mut watcher, &hints), root.join("src/end"));
    }

    #[test]
    fn a_folder_that_was_made_again_is_heard_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let src = root.join("src");
        fs::create_dir(&src).unwrap();
        let mut interests = Interests::default();
        interests.whole(&src);
        interests.way(&root, &src);
        let (mut watcher, hints) = watch(&interests);
        for round in 0..50 {
            if round % 2 == 0 {
                fs::remove_dir_all(&src).unwrap();
            } else {
                fs::rename(&src, root.join(format!("old{round}"))).unwrap();
            }
            fs::create_dir(&src).unwrap();
            let file = src.join(format!("f{round}"));
            fs::write(&file, "").unwrap();
            // As whoever watches does: what was watched only now is looked at.
            while next(&mut watcher, &hints) != file {
                if watcher.turn_to(&interests) > 0 && file.exists() {
                    break;
                }
            }
        }
    }
}
