//! What the stages of a plan read, as it is at one moment, and where a change of it would show.
//!
//! Knows listings, contents and stamps; knows nothing of keys or results. Two views tell whether a run between them saw what is there
//! now: of a file that was changed and changed back only its stamp says so.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::identities::Asker;
use super::plan::Plan;
use super::run::Means;
use crate::base::parallel::each;
use crate::base::stamp::Stamp;
use crate::base::state::STATE;
use crate::cache::files::{Content, Files};
use crate::inputs::lister::Lister;
use crate::inputs::listing::{Input, InputKind, Listing};
use crate::model::stage::StageId;
use crate::notice::change::{Change, How};
use crate::notice::interest::Interests;

/// What stages read, at one moment.
#[derive(Debug, Default)]
pub struct View {
    things: BTreeMap<String, Thing>,
    interests: Interests,
}

/// What lies at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    /// A file; without content where it could not be read.
    File(Option<Content>, Option<Stamp>),
    /// A link, or nothing.
    Other(InputKind),
    /// What a stage reads cannot be listed, for this reason.
    Unlisted(String),
}

impl View {
    /// Looks at all that the stages of `plan` read, on `jobs` threads.
    pub fn look(plan: &Plan<'_>, means: &Means<'_>, jobs: usize) -> Self {
        let lister = means.checkout.lister.anew();
        let (mut view, mut seen, mut listings) = (Self::default(), HashSet::new(), Vec::new());
        for id in &plan.stages {
            match list(*id, plan, means, &lister) {
                // Many stages share one.
                Ok(listing) if seen.insert(Arc::as_ptr(&listing)) => listings.push(listing),
                Ok(_) => {}
                Err(error) => drop(view.things.insert(plan.pipeline.stage(*id).name.to_string(), Thing::Unlisted(error.to_string()))),
            }
        }
        let inputs: BTreeMap<&str, &Input> =
            listings.iter().flat_map(|listing| &listing.inputs).map(|input| (input.name.as_str(), input)).collect();
        let inputs: Vec<&Input> = inputs.into_values().collect();
        view.interests = interests(plan, &lister, &inputs);
        view.things.extend(things(&inputs, &means.checkout.files, jobs));
        view
    }

    /// Returns where a change would show.
    pub fn interests(&self) -> &Interests {
        &self.interests
    }

    /// Tells whether what lies at `path` is of shipway's making: an output of some stage, or its own state. It is no input of any.
    pub fn is_own(plan: &Plan<'_>, means: &Means<'_>, path: &Path) -> bool {
        path.strip_prefix(plan.root()).is_ok_and(|path| path.starts_with(STATE) || means.checkout.lister.is_claimed(path))
    }

    /// Returns what is not as it was `before`.
    pub fn since(&self, before: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, thing) in &self.things {
            let how = match before.things.get(name) {
                None if thing.is_there() => How::Added,
                None => How::Changed,
                Some(earlier) if earlier == thing => continue,
                Some(earlier) => earlier.became(thing),
            };
            changes.push(Change { at: thing.changed(), ..Change::new(name, how) });
        }
        let gone = before.things.iter().filter(|(name, thing)| thing.is_there() && !self.things.contains_key(*name));
        changes.extend(gone.map(|(name, _)| Change::new(name, How::Removed)));
        changes
    }
}

impl Thing {
    fn is_there(&self) -> bool {
        !matches!(self, Self::Other(InputKind::Absent) | Self::File(None, None))
    }

    /// Returns when it was last changed, where it tells.
    fn changed(&self) -> Option<i64> {
        match self {
            Self::File(_, stamp) => stamp.map(|stamp| stamp.changed),
            Self::Other(_) | Self::Unlisted(_) => None,
        }
    }

    /// Tells how this became something that is not equal to it.
    fn became(&self, now: &Self) -> How {
        match (self, now) {
            (Self::File(Some(before), _), Self::File(Some(now), _)) if before == now => How::Touched,
            _ if !self.is_there() => How::Added,
            _ if !now.is_there() => How::Removed,
            _ => How::Changed,
        }
    }
}

fn list(id: StageId, plan: &Plan<'_>, means: &Means<'_>, lister: &Lister) -> std::io::Result<Arc<Listing>> {
    let stage = plan.pipeline.stage(id);
    lister.list(&stage.dir, stage.inputs.as_deref(), &Asker { plan, caller: means.caller }.programs(id).inside)
}

/// Looks at each input.
fn things(inputs: &[&Input], files: &Files, jobs: usize) -> Vec<(String, Thing)> {
    let found = Mutex::new(Vec::with_capacity(inputs.len()));
    each(inputs.len(), 64, jobs.min(inputs.len().div_ceil(64)).max(1), &|range| {
        let look = |input: &&Input| match &input.kind {
            InputKind::File => {
                // A step may write to it at this very moment: the stamp is of before the content, so that the next look sees a change.
                let stamp = fs::symlink_metadata(&input.path).ok().filter(fs::Metadata::is_file).map(|metadata| Stamp::of(&metadata));
                Thing::File(stamp.and_then(|stamp| files.content_of(&input.path, &stamp).ok()), stamp)
            }
            kind @ (InputKind::Link { .. } | InputKind::Absent) => Thing::Other(kind.clone()),
        };
        let mut mine: Vec<(String, Thing)> = inputs[range].iter().map(|input| (input.name.clone(), look(input))).collect();
        found.lock().unwrap_or_else(PoisonError::into_inner).append(&mut mine);
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Returns where to watch for changes of what `plan` reads: in each folder that was read to list it, and at each single thing.
fn interests(plan: &Plan<'_>, lister: &Lister, inputs: &[&Input]) -> Interests {
    let root = plan.root();
    let mut interests = Interests::default();
    lister.folders().iter().for_each(|folder| interests.whole(folder));
    let stages: Vec<_> = plan.stages.iter().map(|id| plan.pipeline.stage(*id)).collect();
    let mut begins = HashSet::new();
    for stage in &stages {
        match &stage.inputs {
            Some(selectors) => begins.extend(selectors.iter().filter(|selector| !selector.exclude).map(|selector| selector.glob.base())),
            None => drop(begins.insert(&stage.dir)),
        }
    }
    begins.iter().filter(|path| !path.is_empty()).for_each(|path| interests.trail(root, Path::new(path)));
    for input in inputs {
        interests.entry(&input.path);
        if let (InputKind::Link { .. }, Some(folder), Some(name)) = (&input.kind, input.path.parent(), input.path.file_name()) {
            interests.trail(folder, Path::new(name));
        }
    }
    if stages.iter().any(|stage| stage.inputs.is_none()) {
        ignoring(&mut interests, root, lister);
    }
    interests.ways_from(root);
    interests.selves_outside(root);
    interests
}

/// Adds what says which files git ignores, as far as that lies outside of the folders that were read.
fn ignoring(interests: &mut Interests, root: &Path, lister: &Lister) {
    let Some(repository) = lister.repository() else {
        // One may be made.
        return interests.entry(&root.join(".git"));
    };
    let top = repository.root();
    interests.entry(&top.join(".git"));
    interests.entry(&repository.index());
    interests.way(top, root);
    root.ancestors().take_while(|folder| folder.starts_with(top)).for_each(|folder| interests.entry(&folder.join(".gitignore")));
}
