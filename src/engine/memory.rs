//! What is known already about the stages of a run: their keys, their stored results, what lies on disk, and R of each that is done.
//!
//! Looks, and changes nothing but the store's books; `turn` acts on what it finds.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::checkout::Checkout;
use super::identities::{Asker, Identities};
use super::known::Known;
use super::parts::Parts;
use super::plan::Plan;
use super::reason;
use crate::base::digest::Hash;
use crate::base::glob::Glob;
use crate::base::parallel::each;
use crate::base::secret::Masker;
use crate::base::text::visible;
use crate::cache::fingerprint::{Fingerprint, Kind};
use crate::cache::hold::Holds;
use crate::cache::outputs::{Lying, behind_link};
use crate::exec::environment::Caller;
use crate::inputs::listing::{InputKind, Listing};
use crate::model::findings::Findings;
use crate::model::stage::StageId;
use crate::store::result::{Output, StageResult};
use crate::store::{local::Store, records::Lookup};

/// What one run knows.
pub struct Memory<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) caller: &'a Caller,
    pub(super) masker: &'a Masker,
    pub(super) checkout: &'a Checkout,
    pub(super) identities: Identities,
    pub(super) is_selected: Vec<bool>,
    /// R of each stage that is done, or that was taken as it lies there.
    pub(super) results: Mutex<Vec<Option<Hash>>>,
    /// How the outputs of these stages lay there when their R became known.
    pub(super) lain: Mutex<HashMap<StageId, Arc<Lying>>>,
    /// What other runs had done in this checkout when R of each stage was last compared with what lies there.
    pub(super) compared: Mutex<Vec<u64>>,
    /// The same when the run began.
    pub(super) others_at_start: u64,
    /// What stages read; until a step has run.
    listings: Mutex<HashMap<StageId, Arc<Listing>>>,
    /// What listings that stages share are in a fingerprint; until a step has run.
    pub(super) parts: Parts,
    is_disturbed: AtomicBool,
    /// What is known by traces, where they are believed.
    pub(super) known: Option<Known>,
}

impl std::fmt::Debug for Memory<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("checkout", self.checkout).finish_non_exhaustive()
    }
}

/// What a look at a stage has found.
#[derive(Debug)]
pub(super) struct Look {
    /// Its fingerprint, where it has one.
    pub(super) fingerprint: Option<Fingerprint>,
    /// Its key.
    pub(super) key: Option<Hash>,
    /// What to do.
    pub(super) verdict: Verdict,
    /// What the reports of a known result say; until it is told.
    pub(super) findings: RefCell<Option<Box<Findings>>>,
}

/// What to do with a stage.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Its result is known, and its outputs are in their place.
    Proven(StageResult),
    /// Its result is known, but its outputs are not in their place.
    Stored(StageResult, Lying),
    /// It has to run, for this reason.
    Run(String),
    /// It has to run, for this reason, if that is one worth a word, and cannot be stored.
    Uncached(Option<String>),
}

impl<'a> Memory<'a> {
    pub(super) fn new(plan: &'a Plan<'a>, caller: &'a Caller, masker: &'a Masker, checkout: &'a Checkout) -> Self {
        let count = plan.pipeline.stages.len();
        let mut is_selected = vec![false; count];
        for id in &plan.stages {
            is_selected[id.index()] = true;
        }
        let others = checkout.holds.as_ref().map_or(0, Holds::others);
        Self {
            plan,
            caller,
            masker,
            checkout,
            identities: Identities::default(),
            is_selected,
            results: Mutex::new(vec![None; count]),
            lain: Mutex::default(),
            compared: Mutex::new(vec![others; count]),
            others_at_start: others,
            listings: Mutex::default(),
            parts: Parts::default(),
            is_disturbed: AtomicBool::new(false),
            known: None,
        }
    }

    /// Adds what the programs said they are, and looks at their files.
    pub(super) fn with(mut self, identities: Identities, jobs: usize) -> Self {
        self.identities = identities;
        if self.checkout.reads() || self.checkout.writes() {
            let programs = self.identities.files();
            self.checkout.files.look_ahead(&programs.iter().map(|path| (path.as_path(), None)).collect::<Vec<_>>(), jobs);
        }
        self
    }

    /// Returns what is to run.
    pub fn plan(&self) -> &'a Plan<'a> {
        self.plan
    }

    /// Returns what to say of programs that do not tell what they are.
    pub fn advice(&self) -> &[String] {
        &self.identities.advice
    }

    pub(super) fn asker(&self) -> Asker<'_> {
        Asker { plan: self.plan, caller: self.caller }
    }

    /// Looks at all files that the keys of the run need, on `jobs` threads: one look a file, however many stages read it.
    pub(super) fn look_ahead(&self, jobs: usize) {
        if !self.checkout.reads() && !self.checkout.writes() {
            return;
        }
        let is_open = |id: &StageId| self.plan.pipeline.stage(*id).cache && self.known(*id).is_none();
        let stages: Vec<StageId> = self.plan.stages.iter().copied().filter(is_open).collect();
        let listings = Mutex::new(Vec::new());
        each(stages.len(), 16, jobs.min(stages.len().div_ceil(16)).max(1), &|range| {
            // A stage whose inputs cannot be listed says so when its turn comes.
            let mut mine: Vec<_> = stages[range].iter().filter_map(|id| self.listing(*id).ok()).collect();
            listings.lock().unwrap_or_else(PoisonError::into_inner).append(&mut mine);
        });
        let mut listings: Vec<Arc<Listing>> = listings.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Many stages may have the very same one.
        listings.sort_unstable_by_key(Arc::as_ptr);
        listings.dedup_by(|one, other| Arc::ptr_eq(one, other));
        let files = listings.iter().flat_map(|listing| &listing.inputs).filter(|input| matches!(input.kind, InputKind::File));
        let paths: Vec<_> = files.map(|input| (input.path.as_path(), input.stamp)).collect();
        self.checkout.files.look_ahead(&paths, jobs);
    }

    /// Forgets what was looked at ahead, because a step may change it.
    pub(super) fn disturb(&self) {
        self.is_disturbed.store(true, Ordering::SeqCst);
        self.checkout.disturb();
        self.identities.disturb();
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.parts.close();
    }

    /// Returns what the stage reads.
    pub(super) fn listing(&self, id: StageId) -> Result<Arc<Listing>, String> {
        if let Some(listing) = self.listings.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(listing.clone());
        }
        // Steps may be running now: what one look has seen is no news for the next.
        let is_disturbed = self.is_disturbed.load(Ordering::SeqCst);
        if is_disturbed {
            self.checkout.lister.forget();
        }
        let stage = self.plan.pipeline.stage(id);
        let inside = self.asker().programs(id).inside;
        let listing = self.checkout.lister.list(&stage.dir, stage.inputs.as_deref(), &inside);
        let listing = listing.map_err(|error| format!("its inputs cannot be listed: {error}"))?;
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked again, since all is forgotten only once: what was seen before a step ran must not be kept after it.
        if !self.is_disturbed.load(Ordering::SeqCst) {
            listings.insert(id, listing.clone());
        }
        Ok(listing)
    }

    /// Looks at a stage, when all that it needs is done.
    pub(super) fn look(&self, id: StageId) -> Look {
        let stage = self.plan.pipeline.stage(id);
        let uncached = |reason: Option<String>| Look {
            fingerprint: None,
            key: None,
            verdict: Verdict::Uncached(reason),
            findings: RefCell::default(),
        };
        if !stage.cache {
            return uncached((!self.plan.is_task()).then(|| "it always runs: `cache = false`".to_owned()));
        }
        let unread = self.checkout.why_unread();
        if !self.checkout.reads() && !self.checkout.writes() && unread.is_some_and(|why| why == "`--cache off`") {
            return uncached(Some("`--cache off`".to_owned()));
        }
        let fingerprint = match self.fingerprint(id) {
            Ok(fingerprint) => fingerprint,
            Err(reason) => return uncached(Some(format!("it is not cached: {reason}"))),
        };
        let key = fingerprint.key();
        let verdict = match &self.checkout.store {
            Some(store) if self.checkout.reads() => self.consult(id, store, &key, &fingerprint),
            _ => Verdict::Run(unread.unwrap_or("no earlier result").to_owned()),
        };
        let (verdict, findings) = self.judge_again(id, verdict);
        Look { fingerprint: Some(fingerprint), key: Some(key), verdict, findings: RefCell::new(findings) }
    }

    fn consult(&self, id: StageId, store: &Store, key: &Hash, fingerprint: &Fingerprint) -> Verdict {
        let stage = self.plan.pipeline.stage(id);
        let result = match self.find(id, store, key, fingerprint) {
            Ok(result) => result,
            Err(reason) => return Verdict::Run(reason.unwrap_or_else(|| reason::nearest(store, &self.noted(id), fingerprint, key))),
        };
        let lying = match Lying::look(&self.checkout.root, &stage.outputs) {
            Ok(lying) => lying,
            Err(error) => return Verdict::Run(format!("its outputs cannot be looked at: {error}")),
        };
        let difference = lying.difference(&self.checkout.root, &result.outputs, &self.checkout.files);
        let is_right = difference.wrong.is_empty() && (!difference.has_extra() || !stage.clean);
        if !stage.clean && difference.has_extra() && self.is_half_made(id) {
            // Nothing of it is removed, so what a part of its making left would be read as if it belonged to the result.
            return Verdict::Run("its last making was not ended, and with `clean = false` what it left stays".to_owned());
        }
        if is_right && (stage.outputs.is_empty() || !self.is_half_made(id)) {
            self.set_lain(id, lying);
            return Verdict::Proven(result);
        }
        match behind_link(&self.checkout.root, &stage.outputs) {
            Some(folder) => Verdict::Run(format!("its outputs lie behind the link `{}`", visible(&folder))),
            None => Verdict::Stored(result, lying),
        }
    }

    /// Returns the stored result of a key that may be used here; else, where there is more to say than that there is none, what.
    fn find(&self, id: StageId, store: &Store, key: &Hash, fingerprint: &Fingerprint) -> Result<StageResult, Option<String>> {
        let stage = self.plan.pipeline.stage(id);
        let root = self.root_text();
        let may_use = |result: &StageResult| stage.portable || result.bound_to.as_ref().is_none_or(|bound| *bound == root);
        let checked = |result: StageResult| {
            if are_of(&result.outputs, &stage.outputs) { Ok(result) } else { Err(Some("its stored result is of other outputs".to_owned())) }
        };
        match store.lookup(key) {
            Lookup::Found(result) if may_use(&result) => {
                store.touch(key);
                checked(result)
            }
            Lookup::Found(result) => match store.lookup(&bound_key(fingerprint.bytes(), &root)) {
                Lookup::Found(own) if may_use(&own) => {
                    store.touch(&bound_key(fingerprint.bytes(), &root));
                    checked(own)
                }
                Lookup::Found(_) | Lookup::Absent | Lookup::Damaged(_) => {
                    let elsewhere = result.bound_to.unwrap_or_default();
                    Err(Some(format!("its stored result holds the path of another checkout, `{}`", visible(&elsewhere))))
                }
            },
            Lookup::Absent => Err(None),
            Lookup::Damaged(reason) => Err(Some(format!("its stored result was damaged: {reason}"))),
        }
    }

    /// Returns the path of the checkout, as results that hold it are bound to it.
    pub(super) fn root_text(&self) -> String {
        self.checkout.root.to_string_lossy().into_owned()
    }

    /// Returns the keys that this stage was stored under lately, the newest first.
    pub(super) fn noted(&self, id: StageId) -> Vec<Hash> {
        self.checkout.notes.as_ref().map_or_else(Vec::new, |notes| notes.noted(&self.plan.pipeline.stage(id).name))
    }

    /// Returns what the store knows this stage's measures by.
    pub(super) fn history(&self, id: StageId) -> String {
        format!("{}/{}", self.plan.pipeline.name, self.plan.pipeline.stage(id).name)
    }

    pub(super) fn is_half_made(&self, id: StageId) -> bool {
        let stage = self.plan.pipeline.stage(id);
        match &self.checkout.holds {
            Some(holds) => holds.is_half_made(&stage.name, &stage.outputs),
            None => Holds::was_left_half_made(&self.checkout.root.join(crate::base::state::STATE), &stage.outputs),
        }
    }

    /// Remembers R of a stage that is done.
    pub(super) fn set_result(&self, id: StageId, outputs: &[Output]) {
        // Where what it needs is not known, neither is this.
        let Some(result) = self.result_of(id, outputs) else { return };
        self.results.lock().unwrap_or_else(PoisonError::into_inner)[id.index()] = Some(result);
    }

    /// Tells whether the outputs of a stage that is done lie there as it made them; without a store nobody remembers how that was.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn lies_as_made(&self, id: StageId) -> std::io::Result<bool> {
        let root = &self.checkout.root;
        let outputs = Lying::look(root, &self.plan.pipeline.stage(id).outputs)?.outputs(root, &self.checkout.files)?;
        let made = self.results.lock().unwrap_or_else(PoisonError::into_inner)[id.index()];
        Ok(made.is_none() || self.result_of(id, &outputs) == made)
    }

    /// Returns R of each stage that this one needs, by name.
    ///
    /// # Errors
    /// Why one is not known, for people.
    pub(super) fn needed(&self, id: StageId) -> Result<Vec<(String, Hash)>, String> {
        let stage = self.plan.pipeline.stage(id);
        let named = |need: &StageId| Ok((self.plan.pipeline.stage(*need).name.to_string(), self.result(*need)?));
        stage.needs.iter().map(named).collect()
    }

    /// Returns R of a stage; of one that is not selected, as its outputs lie there.
    pub(super) fn result(&self, id: StageId) -> Result<Hash, String> {
        let known = |id: StageId| self.results.lock().unwrap_or_else(PoisonError::into_inner)[id.index()];
        if let Some(result) = known(id) {
            return Ok(result);
        }
        let name = |id: StageId| visible(&self.plan.pipeline.stage(id).name).into_owned();
        if self.is_selected[id.index()] {
            return Err(format!("what `{}` gave is not known", name(id)));
        }
        // A loop, since a chain may be longer than a stack.
        let mut open = vec![id];
        while let Some(next) = open.last().copied() {
            let stage = self.plan.pipeline.stage(next);
            if let Some(selected) = stage.needs.iter().find(|need| self.is_selected[need.index()]) {
                return Err(format!("`{}` is left out, while `{}` behind it runs", name(next), name(*selected)));
            }
            let unknown: Vec<StageId> = stage.needs.iter().copied().filter(|need| known(*need).is_none()).collect();
            if unknown.is_empty() {
                let unreadable = |error| format!("the outputs of `{}` cannot be read: {error}", name(next));
                let lying = Lying::look(&self.checkout.root, &stage.outputs).map_err(unreadable)?;
                let outputs = lying.outputs(&self.checkout.root, &self.checkout.files);
                self.set_result(next, &outputs.map_err(unreadable)?);
                self.set_lain(next, lying);
                open.pop();
            } else {
                open.extend(unknown);
            }
        }
        known(id).ok_or_else(|| format!("what `{}` gave is not known", name(id)))
    }

    /// Returns what earlier results of this stage have as outputs.
    pub(super) fn made(&self, id: StageId) -> Vec<Vec<Output>> {
        let Some(store) = &self.checkout.store else { return Vec::new() };
        let root = self.root_text();
        let found = self.noted(id).into_iter().flat_map(|key| {
            let Lookup::Found(result) = store.lookup(&key) else { return Vec::new() };
            // What lay in outputs that were not cleaned may be anybody's.
            let fingerprint = store.read(&result.fingerprint).ok().and_then(Fingerprint::parse);
            if fingerprint.is_none_or(|fingerprint| fingerprint.ingredients().any(|of| of.kind == Kind::Setting && of.name == b"clean")) {
                return Vec::new();
            }
            if result.bound_to.as_ref().is_none_or(|bound| *bound == root) {
                return vec![result.outputs];
            }
            let own = store.read(&result.fingerprint).map(|fingerprint| store.lookup(&bound_key(&fingerprint, &root)));
            match own {
                Ok(Lookup::Found(own)) => vec![result.outputs, own.outputs],
                _ => vec![result.outputs],
            }
        });
        found.collect()
    }
}

/// Returns the key under which a result that is bound to the checkout at `root` is kept.
pub(super) fn bound_key(fingerprint: &[u8], root: &str) -> Hash {
    Hash::of(&bound(fingerprint, root))
}

/// Returns what a result that is bound to the checkout at `root` is kept by, beside those of other checkouts.
pub(super) fn bound(fingerprint: &[u8], root: &str) -> Vec<u8> {
    [format!("shipway bound 1\n{root}\n").as_bytes(), fingerprint].concat()
}

/// Tells whether these are outputs of these patterns: each is meant by one, and each pattern means one.
fn are_of(outputs: &[Output], globs: &[Glob]) -> bool {
    let is_there = |glob: &Glob| {
        if glob.is_literal() {
            outputs.binary_search_by(|output| output.path.as_str().cmp(glob.path())).is_ok()
        } else {
            outputs.iter().any(|output| glob.matches(Path::new(&output.path)))
        }
    };
    let is_meant = |output: &Output| globs.iter().any(|glob| glob.matches(Path::new(&output.path)));
    globs.iter().all(is_there) && outputs.iter().all(is_meant)
}
