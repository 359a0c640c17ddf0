//! Looking out for changes: hears the system's hints, decides when to look, and compares what is there with what was.
//!
//! Knows when a look is due and what it found; knows nothing of how a run is made or shown.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, unbounded};

use super::origin::Origin;
use crate::base::digest::Hash;
use crate::base::glob::Glob;
use crate::config::folder::Found;
use crate::engine::plan::Plan;
use crate::engine::run::{Interrupter, Means};
use crate::engine::view::View;
use crate::notice::change::{Change, How};
use crate::notice::interest::Interests;
use crate::notice::vigil::{Todo, Vigil};
use crate::notice::watcher::{Hint, Watcher};

/// How often a look is taken where the system does not tell of changes; less often where looks take long.
const POLL: Duration = Duration::from_secs(1);

/// A look takes at most this part of the time.
const SHARE: u32 = 10;

/// So often a look is repeated because it found new folders to watch, before other things are done.
const MOST_LOOKS: usize = 20;

/// The files that say what the pipeline is, and what is in them.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    files: BTreeMap<PathBuf, Option<Hash>>,
    /// Where a change of them would show.
    interests: Interests,
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl Definition {
    /// Looks at the files of `origin`, and at those that its patterns mean now.
    pub(super) fn look(origin: &Origin) -> Self {
        let found = origin.find();
        let more = found.iter().flat_map(|(_, found)| &found.files).map(|file| origin.root.join(file));
        let files = origin.files.iter().cloned().chain(more);
        let files = files.map(|file| (file.clone(), fs::read(file).ok().map(|text| Hash::of(&text)))).collect();
        let mut definition = Self { files, interests: Interests::default() };
        definition.interests = definition.interests(&origin.root, &found);
        definition
    }

    fn interests(&self, root: &Path, found: &[(&Glob, Found)]) -> Interests {
        let mut interests = Interests::default();
        for (glob, found) in found {
            interests.trail(root, Path::new(glob.base()));
            found.folders.iter().for_each(|folder| interests.whole(folder));
        }
        interests.ways_from(root);
        for file in self.files.keys() {
            interests.trail(Path::new("/"), file);
            if let Some(folder) = file.parent() {
                // The project may be moved away as a whole, and be put back.
                interests.entry(folder);
            }
        }
        interests
    }

    fn since(&self, before: &Self, root: &Path) -> Vec<Change> {
        let all = before.files.keys().chain(self.files.keys().filter(|file| !before.files.contains_key(*file)));
        let other = all.filter(|file| self.files.get(*file) != before.files.get(*file));
        let how = |file| match (before.files.get(file).copied().flatten(), self.files.get(file).copied().flatten()) {
            (None, _) => How::Added,
            (_, None) => How::Removed,
            _ => How::Changed,
        };
        other.map(|file| Change::new(file.strip_prefix(root).unwrap_or(file).to_string_lossy(), how(file))).collect()
    }
}

/// What a look has found.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) definition: Definition,
    view: View,
}

impl Sight {
    /// Returns what is not as it was `before`.
    pub(super) fn since(&self, before: &Self, root: &Path) -> Vec<Change> {
        let mut changes = self.definition.since(&before.definition, root);
        changes.extend(self.view.since(&before.view));
        changes
    }
}

/// What is looked at.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    /// The files that say what the pipeline is.
    pub(super) origin: &'a Origin,
    /// What would run, and with what; `None` where that is not known.
    pub(super) plan: Option<(&'a Plan<'a>, &'a Means<'a>)>,
    /// How many threads look.
    pub(super) jobs: usize,
}

impl Scene<'_> {
    fn look(&self) -> Sight {
        let definition = Definition::look(self.origin);
        let view = self.plan.map_or_else(View::default, |(plan, means)| View::look(plan, means, self.jobs));
        Sight { definition, view }
    }

    fn is_own(&self, path: &Path) -> bool {
        self.plan.is_some_and(|(plan, means)| View::is_own(plan, means, path))
    }
}

/// Looks out for changes.
#[derive(Debug)]
pub(super) struct Lookout {
    watcher: Watcher,
    hints: Receiver<Hint>,
    pub(super) vigil: Vigil,
    /// When the next look is due where nothing tells of changes.
    next: Option<Instant>,
}

impl Lookout {
    /// Returns a lookout that hears what the system says of changes; or with `polls` one that looks again and again.
    pub(super) fn new(polls: bool) -> Self {
        let (sender, hints) = unbounded();
        // Nobody hears when all is over.
        let watcher = if polls { Watcher::deaf() } else { Watcher::new(move |hint| drop(sender.send(hint))) };
        Self { watcher, hints, vigil: Vigil::default(), next: None }
    }

    /// Returns why it has to look again and again, where it wanted to hear.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.watcher.trouble()
    }

    /// Returns how many folders are watched; `None` where it looks again and again.
    pub(super) fn watched(&self) -> Option<usize> {
        self.watcher.hears().then(|| self.watcher.count())
    }

    /// Looks at the scene, and makes sure that whatever happens to it after the look is heard.
    pub(super) fn attend(&mut self, scene: &Scene<'_>) -> Sight {
        self.vigil.look();
        let began = Instant::now();
        let mut sight = scene.look();
        let mut looks = 1;
        // What happened in a folder before it was watched is seen only by another look.
        while self.turn_to(&sight) > 0 {
            if looks == MOST_LOOKS {
                self.vigil.hint(Instant::now());
                break;
            }
            sight = scene.look();
            looks += 1;
        }
        let now = Instant::now();
        self.next = (!self.watcher.hears()).then(|| now + POLL.max((now - began) * SHARE));
        sight
    }

    fn turn_to(&mut self, sight: &Sight) -> usize {
        let mut interests = sight.definition.interests.clone();
        interests.join(sight.view.interests());
        self.watcher.turn_to(&interests)
    }

    /// Waits until a look is due, and returns true; false as soon as something comes, or nothing can come any more, from `over`.
    pub(super) fn wait(&mut self, scene: &Scene<'_>, over: &Receiver<()>) -> bool {
        loop {
            let due = match (self.vigil.due(), self.next) {
                (Some(due), Some(next)) => Some(due.min(next)),
                (due, next) => due.or(next),
            };
            if due.is_some_and(|due| due <= Instant::now()) {
                return true;
            }
            let (hints, mut select) = (self.hints.clone(), Select::new());
            let over_index = select.recv(over);
            // Without a system that tells, nobody ever sends.
            let hears = self.watcher.hears();
            if hears {
                select.recv(&hints);
            }
            let ready = match due {
                Some(due) => select.ready_deadline(due).ok(),
                None => Some(select.ready()),
            };
            match ready {
                Some(index) if index == over_index => return false,
                Some(_) => hints.try_iter().for_each(|hint| self.hear(&hint, scene)),
                None => return true,
            }
        }
    }

    /// Waits until a burst that goes on is over: what is begun in the middle of it would be pointless at once.
    pub(super) fn settle(&mut self, scene: &Scene<'_>, over: &Receiver<()>) {
        while let Ok(hint) = self.hints.try_recv() {
            self.hear(&hint, scene);
        }
        if self.vigil.due().is_some() {
            self.next = None;
            self.wait(scene, over);
        }
    }

    fn hear(&mut self, hint: &Hint, scene: &Scene<'_>) {
        let matters = self.watcher.hear(hint);
        let is_own = match hint {
            Hint::At(path) | Hint::Moved(path) => scene.is_own(path),
            Hint::Lost => false,
        };
        if matters && !is_own {
            self.vigil.hint(Instant::now());
        }
    }

    /// Ends the run that began when the scene was as `seen`, as soon as it is no longer so; until `over` is closed.
    pub(super) fn oversee(&mut self, scene: &Scene<'_>, seen: &Sight, root: &Path, run: &Interrupter, over: &Receiver<()>) {
        while self.wait(scene, over) {
            let changes = self.attend(scene).since(seen, root);
            if self.vigil.looked(&changes, || true) == Todo::Cancel {
                run.outdate();
                // What comes now is looked at when the run has ended.
                let _over = over.recv();
                return;
            }
        }
    }
}
