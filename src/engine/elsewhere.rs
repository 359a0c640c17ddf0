//! The same plan a second time, in another place: what has to be there, and whether the same came out.
//!
//! Knows which files a plan reads; runs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::path::Path;

use super::memory::Memory;
use super::plan::Plan;
use crate::base::digest::CHUNK;
use crate::cache::files::Files;
use crate::cache::outputs::{FoundKind, Lying};
use crate::inputs::listing::InputKind;
use crate::model::stage::StageId;
use crate::store::result::{Output, OutputKind};

/// What came out differently for a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which stage.
    pub stage: String,
    /// The first path that differs, and how.
    pub first: String,
    /// How many more differ.
    pub more: usize,
}

impl Memory<'_> {
    /// Copies to `there` all that the plan's stages read: what git would not ignore, their own inputs, the file of the pipeline, and the
    /// outputs of stages that are needed and not part of the plan.
    ///
    /// # Errors
    /// Where something cannot be read or written.
    pub fn copy_to(&self, there: &Path, file: &str) -> io::Result<()> {
        let root = self.plan.root();
        let mut links = BTreeMap::new();
        let mut files = BTreeSet::from([file.to_owned()]);
        let own = self.plan.stages.iter().map(|id| self.listing(*id).map_err(io::Error::other));
        for listing in [self.checkout.lister.list("", None, &[])].into_iter().chain(own) {
            for input in &listing?.inputs {
                match &input.kind {
                    // Two slashes: it lies outside, and is still there.
                    _ if input.name.contains("//") => {}
                    InputKind::File => drop(files.insert(input.name.clone())),
                    InputKind::Link { target, .. } => drop(links.insert(input.name.clone(), target.clone())),
                    InputKind::Absent => {}
                }
            }
        }
        for id in self.left_out() {
            for (path, found) in Lying::look(root, &self.plan.pipeline.stage(id).outputs)?.found {
                match found.kind {
                    FoundKind::File => drop(files.insert(path)),
                    FoundKind::Link(target) => drop(links.insert(path, target.unwrap_or_default().into_bytes())),
                    FoundKind::Folder => fs::create_dir_all(there.join(path))?,
                    FoundKind::Other => {}
                }
            }
        }
        for path in files {
            make_room(&there.join(&path))?;
            fs::copy(root.join(&path), there.join(&path))?;
        }
        for (path, target) in links.into_iter().filter(|(_, target)| !target.is_empty()) {
            make_room(&there.join(&path))?;
            let target: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(&target);
            match symlink(target, there.join(&path)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns the stages that are not part of the plan and whose outputs it reads.
    fn left_out(&self) -> BTreeSet<StageId> {
        let mut open: Vec<StageId> = self.plan.stages.clone();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            for need in self.plan.pipeline.stage(id).needs.iter().filter(|need| seen.insert(**need)) {
                open.push(*need);
            }
        }
        seen.retain(|id| !self.plan.stages.contains(id));
        seen
    }
}

fn make_room(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Compares the outputs of each stage of the plan here and there.
///
/// # Errors
/// Where outputs cannot be read.
pub fn compare(plan: &Plan<'_>, there: &Path) -> io::Result<Vec<Difference>> {
    let outputs = |root: &Path, id: StageId| {
        let stage = plan.pipeline.stage(id);
        let mut lying = Lying::look(root, &stage.outputs)?;
        if let Some(reports) = &stage.reports {
            // They tell how long everything took, and differ each time.
            lying.found.retain(|path, _| !reports.holds(Path::new(path)));
        }
        lying.outputs(root, &Files::load(root, None, true))
    };
    let mut differences = Vec::new();
    for id in &plan.stages {
        let (one, other) = (outputs(plan.root(), *id)?, outputs(there, *id)?);
        let pairs = differing(&one, &other);
        if let Some((first, more)) = pairs.split_first() {
            let stage = plan.pipeline.stage(*id).name.to_string();
            differences.push(Difference { stage, first: first.describe(plan.root(), there)?, more: more.len() });
        }
    }
    Ok(differences)
}

/// A path that has not the same in both places.
struct Pair<'o> {
    path: &'o str,
    here: Option<&'o OutputKind>,
    there: Option<&'o OutputKind>,
}

fn differing<'o>(here: &'o [Output], there: &'o [Output]) -> Vec<Pair<'o>> {
    let kinds = |outputs: &'o [Output]| outputs.iter().map(|output| (output.path.as_str(), &output.kind)).collect::<BTreeMap<_, _>>();
    let (here, there) = (kinds(here), kinds(there));
    let paths: BTreeSet<&str> = here.keys().chain(there.keys()).copied().collect();
    let pairs = paths.into_iter().map(|path| Pair { path, here: here.get(path).copied(), there: there.get(path).copied() });
    pairs.filter(|pair| !pair.here.zip(pair.there).is_some_and(|(here, there)| here.is_like(there))).collect()
}

impl Pair<'_> {
    /// Returns in words how they differ; of two files also where they begin to.
    fn describe(&self, here: &Path, there: &Path) -> io::Result<String> {
        let path = self.path;
        Ok(match (self.here, self.there) {
            (Some(OutputKind::File { digest: one, .. }), Some(OutputKind::File { digest: other, .. })) if one == other => {
                format!("{path} can be executed in one place only")
            }
            (Some(OutputKind::File { digest: one, .. }), Some(OutputKind::File { digest: other, .. })) => {
                let offset = first_difference(&here.join(path), &there.join(path))?;
                let sizes =
                    if one.size == other.size { String::new() } else { format!(" ({} bytes here, {} there)", one.size, other.size) };
                format!("{path} differs at offset {offset}{sizes}")
            }
            (Some(_), Some(_)) => format!("{path} differs"),
            (Some(_), None) => format!("{path} was made here only"),
            (None, _) => format!("{path} was made there only"),
        })
    }
}

/// Returns how many bytes two files have in common at their beginning.
fn first_difference(one: &Path, other: &Path) -> io::Result<u64> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    let mut offset = 0;
    loop {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        (&one).take(CHUNK as u64).read_to_end(&mut here)?;
        (&other).take(CHUNK as u64).read_to_end(&mut there)?;
        let same = here.iter().zip(&there).take_while(|(one, other)| one == other).count();
        offset += same as u64;
        if same < here.len().max(there.len()) || here.is_empty() {
            return Ok(offset);
        }
    }
}
