//! Whose file is it: outputs that two stages claim, and inputs that are another stage's output.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound::{Excluded, Included};
use std::path::Path;

use super::stages::Draft;
use crate::base::diagnostic::Diagnostic;
use crate::base::glob::Glob;
use crate::model::stage::StageId;

/// The outputs of all stages by the folder below which they lie, so that related ones are found without comparing all pairs.
struct Index<'d> {
    entries: Vec<(StageId, &'d Glob, &'d std::ops::Range<usize>)>,
    by_base: BTreeMap<&'d str, Vec<usize>>,
}

impl<'d> Index<'d> {
    fn new(drafts: &'d [Draft]) -> Self {
        let mut index = Self { entries: Vec::new(), by_base: BTreeMap::new() };
        for (id, draft) in (0u32..).map(StageId).zip(drafts) {
            for (glob, span) in draft.stage.outputs.iter().zip(&draft.outputs) {
                index.by_base.entry(glob.base()).or_default().push(index.entries.len());
                index.entries.push((id, glob, span));
            }
        }
        index
    }

    /// Returns the outputs whose folder is `base` or one above it.
    fn above(&self, base: &str) -> impl Iterator<Item = usize> {
        let bases =
            std::iter::successors(Some(base), |base| (!base.is_empty()).then(|| base.rfind('/').map_or("", |slash| &base[..slash])));
        bases.filter_map(|base| self.by_base.get(base)).flatten().copied().collect::<Vec<_>>().into_iter()
    }

    /// Returns the outputs whose folder lies below `base`.
    fn below(&self, base: &str) -> impl Iterator<Item = usize> {
        let range: Vec<usize> = if base.is_empty() {
            self.by_base.iter().filter(|(other, _)| !other.is_empty()).flat_map(|(_, entries)| entries).copied().collect()
        } else {
            let (first, end) = (format!("{base}/"), format!("{base}0"));
            self.by_base.range::<str, _>((Included(&*first), Excluded(&*end))).flat_map(|(_, entries)| entries).copied().collect()
        };
        range.into_iter()
    }
}

/// Reports outputs that stand twice, and those that two stages would both write.
pub(super) fn outputs(drafts: &[Draft], problems: &mut Vec<Diagnostic>) {
    let index = Index::new(drafts);
    for (place, (stage, glob, span)) in index.entries.iter().enumerate() {
        for other in index.above(glob.base()).chain(index.below(glob.base())).filter(|other| *other < place) {
            let (owner, theirs, there) = index.entries[other];
            let same = owner == *stage;
            let clash = if same { glob.path() == theirs.path() && there != *span } else { glob.overlaps(theirs) };
            if clash {
                let owner = &drafts[owner.index()].stage.name;
                let name = &drafts[stage.index()].stage.name;
                let message = if same {
                    format!("the output `{}` of `{name}` stands twice", glob.path())
                } else {
                    format!("`{name}` and `{owner}` would write the same output")
                };
                let problem = Diagnostic::error(message, (*span).clone(), format!("an output of `{name}`"));
                let problem = if there == *span { problem } else { problem.and(there.clone(), format!("an output of `{owner}`")) };
                let help = "an output belongs to one stage: let each stage write to a place of its own";
                problems.push(problem.help(if there == *span {
                    "put a `{matrix.…}` value into the path, so that each stage of the matrix has its own"
                } else {
                    help
                }));
            }
        }
    }
}

/// Reports each plain input that is the output of a stage that is not reached through needs.
pub(super) fn literal_inputs(drafts: &[Draft], needs: &[Vec<StageId>], problems: &mut Vec<Diagnostic>) {
    let index = Index::new(drafts);
    if index.entries.is_empty() {
        return;
    }
    for (id, draft) in (0u32..).map(StageId).zip(drafts) {
        let inputs = draft.stage.inputs.iter().flatten().zip(&draft.inputs);
        for (input, span) in inputs.filter(|(input, _)| !input.exclude && input.glob.is_literal()) {
            let path = input.glob.path();
            let owner =
                index.above(path).map(|entry| index.entries[entry]).find(|(owner, glob, _)| *owner != id && glob.matches(Path::new(path)));
            if let Some((owner, _, there)) = owner.filter(|(owner, ..)| !reaches(id, *owner, needs)) {
                let owner = &drafts[owner.index()].stage.name;
                let message = format!("`{path}` is an output of `{owner}`, which `{}` does not need", draft.stage.name);
                let problem = Diagnostic::error(message, span.clone(), "read here").and(there.clone(), "made here");
                let spelled = draft.home.scope.spelled(owner);
                problems.push(problem.help(format!(
                    "add `{spelled}` to the `needs` of `{}`; then its outputs count as inputs by themselves",
                    draft.stage.name
                )));
            }
        }
    }
}

/// Tells whether `from` needs `to`, directly or through others.
fn reaches(from: StageId, to: StageId, needs: &[Vec<StageId>]) -> bool {
    if needs[from.index()].contains(&to) {
        return true;
    }
    let mut seen = HashSet::new();
    let mut open = vec![from];
    while let Some(stage) = open.pop() {
        for next in &needs[stage.index()] {
            if *next == to {
                return true;
            }
            if seen.insert(*next) {
                open.push(*next);
            }
        }
    }
    false
}

/// Reports outputs that would take a file of the pipeline itself.
pub(super) fn included(drafts: &[Draft], files: &[String], problems: &mut Vec<Diagnostic>) {
    for draft in drafts {
        for (glob, span) in draft.stage.outputs.iter().zip(&draft.outputs) {
            if let Some(file) = files.iter().find(|file| glob.matches(Path::new(file))) {
                let message = format!("the output `{}` of `{}` takes in `{file}`", glob.path(), draft.stage.name);
                problems.push(
                    Diagnostic::error(message, span.clone(), "a file of the pipeline itself")
                        .help("an output is removed before its stage runs: name what the stage makes"),
                );
            }
        }
    }
}
