//! The short way to a stage that is known: its trace, which holds if all that was seen when it was found good is seen again.
//!
//! Knows which stages may have a trace, and what it has to tell of. The long way (`memory`, `key`) is taken wherever a trace is missing
//! or does not hold, and alone makes traces: of a result that it has just proven, out of the very fingerprint that it has made, and only
//! of files that the stat cache believes, and of folders that were left alone as long. What a trace does not tell of is either the same for all stages, and part of the ground that
//! the traces stand on, or it keeps a stage from having one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::checkout::Checkout;
use super::known::Known;
use super::memory::{Look, Memory};
use super::mention::is_still;
use super::plan::Plan;
use crate::base::digest::Hash;
use crate::base::glob::Glob;
use crate::base::program::itself;
use crate::base::stamp::{Stamp, is_executable};
use crate::cache::files::Files;
use crate::cache::fingerprint::{Fingerprint, Ingredient, Kind, list};
use crate::cache::hold::Holds;
use crate::cache::outputs::{Found as Thing, FoundKind, Lying};
use crate::cache::trace::{Found, Seen, Sight, Trace, Traces, see, see_names};
use crate::exec::environment::Caller;
use crate::model::stage::{Stage, StageId};
use crate::store::result::{OutputKind, StageResult};

/// The name of the traces' file in `.shipway/`.
const FILE: &str = "traces";

/// What a run may take for known without a closer look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// Nothing: whoever asks wants to know each ingredient.
    Nothing,
    /// What a trace tells of. With `replays`, not where something was printed, since that is to be given out again.
    Traces {
        /// Whether what a stage printed is given out again.
        replays: bool,
    },
}

impl Memory<'_> {
    /// Finds the stages whose traces hold, with all that they wait for, on `jobs` threads. To be asked before any step runs.
    pub(super) fn believe(&mut self, belief: Belief, jobs: usize) {
        let (Belief::Traces { replays }, Some(state), true) = (belief, &self.checkout.state, self.may_believe()) else { return };
        let count = self.plan.pipeline.stages.len();
        let ground = ground(self.plan, self.caller, self.checkout);
        let traces = Traces::load(&state.join(FILE), &ground).unwrap_or_default();
        let stages: Vec<usize> = self.plan.stages.iter().map(|id| id.index()).filter(|stage| traces.found(*stage).is_some()).collect();
        let renewed = Mutex::new(Vec::new());
        // Looked for when it is first asked for: behind the look at all outputs.
        let have_marks = LazyLock::new(|| self.checkout.holds.as_ref().is_none_or(Holds::have_marks));
        let is_kept = |stage: usize, found: &Found| {
            let Some(record) = self.checkout.store.as_ref().and_then(|store| store.keeps(&found.key, &found.record)) else { return false };
            // It was marked as used.
            if record != found.record
                && let Some(mut trace) = traces.trace(stage)
            {
                trace.found.record = record;
                renewed.lock().unwrap_or_else(PoisonError::into_inner).push((stage, trace));
            }
            !*have_marks || !self.is_half_made(StageId(u32::try_from(stage).unwrap_or(u32::MAX)))
        };
        let found = traces.check(&self.checkout.root, &stages, jobs, &is_still, &is_kept);
        let mut holds = vec![false; count];
        stages.into_iter().zip(found).for_each(|(stage, is_held)| holds[stage] = is_held);
        let mut known = Known { ground, traces, is_settled: vec![false; count], began: None, new: renewed };
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        for id in &self.plan.stages {
            let Some(found) = known.traces.found(id.index()).filter(|_| holds[id.index()]) else { continue };
            let graph = &self.plan.pipeline.graph;
            let is_behind = graph.upstream(*id).iter().any(|above| self.is_selected[above.index()] && !known.is_settled[above.index()]);
            let needs = needed(self.plan.pipeline.stage(*id), &results);
            if !is_behind && needs == Some(found.needs) && !(replays && found.prints) {
                known.is_settled[id.index()] = true;
                results[id.index()] = Some(found.result);
            }
        }
        drop(results);
        if known.is_settled.iter().filter(|is_settled| **is_settled).count() < self.plan.stages.len() {
            // There may be new ones.
            known.began = self.checkout.files.now();
        }
        self.known = Some(known);
    }

    fn may_believe(&self) -> bool {
        self.checkout.reads() && self.checkout.writes() && self.checkout.believes_stamps() && !self.plan.has_arguments()
    }

    /// Returns the key of a stage that was known when the run began.
    pub(super) fn known(&self, id: StageId) -> Option<Hash> {
        let known = self.known.as_ref().filter(|known| known.is_settled[id.index()])?;
        known.traces.found(id.index()).map(|found| found.key)
    }

    /// Returns the stages that are not known, each behind those that it waits for.
    pub(super) fn unknown(&self) -> Vec<StageId> {
        self.plan.stages.iter().copied().filter(|id| self.known(*id).is_none()).collect()
    }

    /// Returns how the outputs of a stage lay when it was found to be known.
    pub(super) fn lain_when_known(&self, id: StageId) -> Option<Lying> {
        let known = self.known.as_ref().filter(|known| known.is_settled[id.index()])?;
        let trace = known.traces.trace(id.index())?;
        let found = trace.outputs.into_iter().filter_map(|sight| {
            let (kind, stamp) = match sight.seen {
                Seen::File(stamp) => (FoundKind::File, stamp),
                Seen::Names(stamp) => (FoundKind::Folder, stamp),
                Seen::Folder | Seen::Absent => return None,
            };
            Some((String::from_utf8(sight.path).ok()?, Thing { kind, stamp }))
        });
        Some(Lying { found: found.collect(), ..Lying::default() })
    }

    /// Makes a trace of a stage whose stored result was found to lie in its place.
    pub(super) fn trace(&self, id: StageId, look: &Look, result: &StageResult) {
        let (Some(known), Some(fingerprint)) = (&self.known, &look.fingerprint) else { return };
        if let Some(trace) = self.traced(id, fingerprint, result) {
            known.new.lock().unwrap_or_else(PoisonError::into_inner).push((id.index(), trace));
        }
    }

    /// Returns the trace of a stage, where it may have one.
    fn traced(&self, id: StageId, fingerprint: &Fingerprint, result: &StageResult) -> Option<Trace> {
        let stage = self.plan.pipeline.stage(id);
        let (store, key) = (self.checkout.store.as_ref()?, fingerprint.key());
        // The record is the key's own, and the stage has nothing that is judged or asked anew in each run.
        if result.fingerprint.hash != key || stage.reports.is_some() || !stage.services.is_empty() {
            return None;
        }
        let record = store.seen(&key)?;
        let needs = needed(stage, &self.results.lock().unwrap_or_else(PoisonError::into_inner))?;
        let outputs = self.outputs_seen(stage, result)?;
        let mut others = self.inputs_seen(id, fingerprint)?;
        others.extend(self.folders_beside(id, &outputs)?);
        let mut programs = Vec::new();
        for (mention, files) in self.identities.mentions(self.asker(), id)? {
            for file in &files {
                let (stamp, _) = self.checkout.files.settled(file)?;
                others.push(Sight { path: file.as_os_str().as_bytes().to_vec(), seen: Seen::File(stamp) });
            }
            programs.push(mention.written(&files));
        }
        // After their files were looked at: they are what the key was made of.
        let tools = self.identities.of(self.asker(), id, &self.checkout.files).ok()?;
        let is_tool = |ingredient: &Ingredient<'_>| ingredient.kind == Kind::Tool;
        let of_key: BTreeMap<&[u8], &[u8]> = fingerprint.ingredients().filter(is_tool).map(|tool| (tool.name, tool.value)).collect();
        if !tools.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).eq(of_key) {
            return None;
        }
        let folders = folders(outputs.iter().chain(&others).filter(|sight| !sight.path.starts_with(b"/")));
        for path in folders {
            let seen = see(&self.checkout.root, &path)?;
            others.push(Sight { path, seen });
        }
        let found = Found { key, result: self.result(id).ok()?, needs, record, prints: result.log.is_some() };
        Some(Trace { found, outputs, others, programs })
    }

    /// Returns what lies at the outputs, where they are files and folders. With `clean = false` what else lies in a folder is the stage's own,
    /// so each of them has to be named.
    fn outputs_seen(&self, stage: &Stage, result: &StageResult) -> Option<Vec<Sight>> {
        let declared: BTreeSet<&str> = stage.outputs.iter().filter(|output| output.is_literal()).map(Glob::path).collect();
        let are_named = declared.len() == stage.outputs.len() && result.outputs.iter().map(|output| output.path.as_str()).eq(declared);
        if !are_named && !stage.clean {
            return None;
        }
        let seen = result.outputs.iter().map(|output| {
            if output.kind == OutputKind::Folder {
                return self.names_seen(Path::new(&output.path));
            }
            let OutputKind::File { digest, mode, .. } = &output.kind else { return None };
            let (stamp, content) = self.checkout.files.settled(&self.checkout.root.join(&output.path))?;
            let is_right = content.digest == *digest && is_executable(*mode) == is_executable(stamp.mode);
            is_right.then(|| Sight { path: output.path.clone().into_bytes(), seen: Seen::File(stamp) })
        });
        seen.collect()
    }

    /// Returns the folders that were gone through for patterns of outputs, and are none themselves.
    fn folders_beside(&self, id: StageId, outputs: &[Sight]) -> Option<Vec<Sight>> {
        let lain = self.lain.lock().unwrap_or_else(PoisonError::into_inner);
        let seen: HashSet<&[u8]> = outputs.iter().map(|sight| sight.path.as_slice()).collect();
        let beside = lain.get(&id)?.folders.iter().filter(|folder| !seen.contains(folder.as_os_str().as_bytes()));
        beside.map(|folder| self.names_seen(folder)).collect()
    }

    /// Returns what lies at the inputs, where they are files, named one by one or found in folders.
    fn inputs_seen(&self, id: StageId, fingerprint: &Fingerprint) -> Option<Vec<Sight>> {
        let selectors = self.plan.pipeline.stage(id).inputs.as_ref()?;
        let root = &self.checkout.root;
        let inputs = || fingerprint.ingredients().filter(|ingredient| ingredient.kind == Kind::Input);
        let names: HashSet<&[u8]> = inputs().map(|input| input.name).collect();
        let is_named = |glob: &Glob| names.contains(glob.base().as_bytes());
        let mut others = selectors.iter().filter(|selector| !selector.exclude && !is_named(&selector.glob)).peekable();
        let listing = if others.peek().is_some() { self.listing(id).ok()? } else { Arc::default() };
        // Else it is something that no trace tells of, such as a pipe, or nothing where a folder would be.
        if !others.all(|selector| listing.folders.binary_search(&root.join(selector.glob.base())).is_ok()) {
            return None;
        }
        let folders = listing.folders.iter().map(|folder| self.names_seen(folder.strip_prefix(root).ok()?));
        inputs().map(|input| self.input_seen(&input)).chain(folders).collect()
    }

    /// Returns a folder that has held the same names since before this run.
    fn names_seen(&self, path: &Path) -> Option<Sight> {
        let (began, path) = (self.known.as_ref()?.began, path.as_os_str().as_bytes());
        let path = if path.is_empty() { b"." } else { path };
        let seen = see_names(&self.checkout.root, path, &|stamp| Files::is_settled(stamp, began))?;
        Some(Sight { path: path.to_vec(), seen })
    }

    fn input_seen(&self, input: &Ingredient<'_>) -> Option<Sight> {
        let seen = match input.value.split_first()? {
            (b'-', []) => see(&self.checkout.root, input.name).filter(|seen| *seen == Seen::Absent)?,
            (kind @ (b'f' | b'x'), hash) => {
                let path = self.checkout.root.join(OsStr::from_bytes(input.name));
                let (stamp, content) = self.checkout.files.settled(&path)?;
                let is_like = |stamp: &Stamp| is_executable(stamp.mode) == (*kind == b'x');
                Some(Seen::File(stamp)).filter(|_| content.digest.hash.0 == *hash && is_like(&stamp))?
            }
            _ => return None,
        };
        Some(Sight { path: input.name.to_vec(), seen })
    }

    /// Keeps the traces for later runs, if there are new ones. What cannot be kept costs only time.
    pub(super) fn keep_traces(&self) {
        let (Some(known), Some(state)) = (&self.known, &self.checkout.state) else { return };
        let new = std::mem::take(&mut *known.new.lock().unwrap_or_else(PoisonError::into_inner));
        if new.is_empty() {
            return;
        }
        // Also those that did not hold: whenever one does, all is as it was when its stage was found good.
        let merged = Traces::merged(&known.traces, new, self.is_selected.len());
        // Before anything is looked at.
        let now = self.checkout.files.now();
        let is_settled = |stamp: &Stamp| Files::is_settled(stamp, now);
        let _lost = merged.with_quiet(&self.checkout.root, &is_settled).save(&state.join(FILE), &known.ground);
    }
}

/// Returns all that is true of every stage of a run, and that traces do not tell of: who made them, of which pipeline, where, and with which
/// variables.
fn ground(plan: &Plan<'_>, caller: &Caller, checkout: &Checkout) -> Hash {
    let pipeline = plan.pipeline;
    // Those of services count for nothing here: who uses one has no trace.
    let patterns: BTreeSet<&String> = pipeline.stages.iter().flat_map(|stage| &stage.pass_env).collect();
    let patterns: Vec<String> = patterns.into_iter().cloned().collect();
    let mut parts: Vec<Vec<u8>> = vec![
        // Another shipway may see another way.
        itself().0.to_vec(),
        pipeline.digest.0.to_vec(),
        checkout.root.as_os_str().as_bytes().to_vec(),
        checkout.store.as_ref().map_or_else(Vec::new, |store| store.root().as_os_str().as_bytes().to_vec()),
    ];
    let path = [(OsStr::new("PATH"), caller.get("PATH").unwrap_or_default())];
    for (name, value) in path.into_iter().chain(caller.passed(&patterns)) {
        parts.extend([name.as_bytes().to_vec(), value.as_bytes().to_vec()]);
    }
    Hash::of(&list(parts.iter().map(Vec::as_slice)))
}

/// Returns a hash of the R of each stage that this one needs; `None` where one is not known.
fn needed(stage: &Stage, results: &[Option<Hash>]) -> Option<Hash> {
    let hashes: Option<Vec<[u8; 32]>> = stage.needs.iter().map(|need| results[need.index()].map(|result| result.0)).collect();
    Some(Hash::of(&hashes?.concat()))
}

/// Returns the folders above these paths, each once, but those of which more was seen.
fn folders<'s>(sights: impl Iterator<Item = &'s Sight> + Clone) -> BTreeSet<Vec<u8>> {
    let seen: HashSet<&[u8]> = sights.clone().filter(|sight| matches!(sight.seen, Seen::Names(_))).map(|sight| &*sight.path).collect();
    let above = sights.flat_map(|sight| Path::new(OsStr::from_bytes(&sight.path)).ancestors().skip(1));
    let above = above.map(|folder| folder.as_os_str().as_bytes()).filter(|folder| !folder.is_empty() && !seen.contains(folder));
    above.map(<[u8]>::to_vec).collect()
}
