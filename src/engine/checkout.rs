//! What a run knows of the place it runs in: the files of the checkout, its `.shipway/`, and the store.
//!
//! Opened once a run. What cannot be opened costs a notice, and the run goes on without it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::base::glob::{Glob, escape};
use crate::base::program::plain;
use crate::base::state;
use crate::cache::files::Files;
use crate::cache::hold::Holds;
use crate::cache::left::Left;
use crate::inputs::claimed::Claimed;
use crate::inputs::lister::Lister;
use crate::inputs::written;
use crate::model::pipeline::Pipeline;
use crate::store::local::Store;
use crate::store::notes::Notes;

/// What the store may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheMode {
    /// Results are taken from it and put into it.
    ReadWrite,
    /// Results are only taken from it.
    ReadOnly,
    /// Results are only put into it.
    WriteOnly,
    /// It is not used.
    Off,
}

/// How a checkout is opened.
#[derive(Debug, Clone)]
pub struct Access {
    /// The folder of the store; `None` where it is not known where it could be.
    pub store: Option<PathBuf>,
    /// What the store may be used for.
    pub mode: CacheMode,
    /// True: run all, and store anew.
    pub force: bool,
    /// True: hash every file, whatever is known of it.
    pub paranoid: bool,
    /// True: write nothing at all.
    pub only_look: bool,
}

/// A checkout, and the store that it shares with others.
#[derive(Debug)]
pub struct Checkout {
    /// The folder of the pipeline.
    pub root: PathBuf,
    /// Its `.shipway/`, where that can be written to.
    pub state: Option<PathBuf>,
    /// What files hold.
    pub files: Files,
    /// Which files stages read.
    pub lister: Lister,
    /// Which stages are being made.
    pub holds: Option<Holds>,
    /// What stages have left in their outputs.
    pub left: Option<Left>,
    /// The store, where it can be used.
    pub store: Option<Store>,
    /// What the store was given lately.
    pub notes: Option<Notes>,
    /// What the pipeline is called.
    pipeline: String,
    access: Access,
    /// What the store has refused with.
    refusals: Mutex<HashSet<String>>,
}

impl Checkout {
    /// Opens the checkout at `root`, whose pipeline is in `file` (relative to it). Returns what a person should know of it, too.
    pub fn open(root: &Path, file: &str, pipeline: &Pipeline, access: &Access) -> (Self, Vec<String>) {
        let mut notices = Vec::new();
        let state = if access.only_look {
            None
        } else {
            state::folder(root).map_err(|error| notices.push(format!("nothing can be kept in .shipway/: {}", plain(&error)))).ok()
        };
        let holds = state.as_deref().and_then(|state| Holds::open(state).ok());
        let store = Self::open_store(access, &mut notices);
        let notes = store.as_ref().map(|store| Notes::of(store, &pipeline.name));
        let lister = lister(root, file, pipeline, store.as_ref().map(Store::root));
        let checkout = Self {
            root: root.to_owned(),
            files: Files::load(root, state.as_deref(), access.paranoid),
            lister,
            holds,
            left: state.as_deref().map(Left::of),
            store,
            notes,
            pipeline: pipeline.name.clone(),
            state,
            access: access.clone(),
            refusals: Mutex::default(),
        };
        (checkout, notices)
    }

    /// Makes ready for one more run: what lies where, what git tracks and what the store has are looked at anew. The marks of what is being
    /// made stay those of this process, as do its steps. Returns what a person should know.
    pub fn renew(&mut self) -> Vec<String> {
        let mut notices = Vec::new();
        self.files.disturb();
        self.lister = self.lister.anew();
        self.store = Self::open_store(&self.access, &mut notices);
        self.notes = self.store.as_ref().map(|store| Notes::of(store, &self.pipeline));
        self.refusals = Mutex::default();
        notices
    }

    /// Tells whether `.shipway/` is still the one that was opened: somebody may have removed it.
    pub fn is_there(&self) -> bool {
        self.holds.as_ref().is_none_or(Holds::are_there)
    }

    fn open_store(access: &Access, notices: &mut Vec<String>) -> Option<Store> {
        if access.mode == CacheMode::Off {
            return None;
        }
        let Some(folder) = &access.store else {
            notices.push("results are not kept: neither SHIPWAY_CACHE_DIR nor HOME says where".to_owned());
            return None;
        };
        let opened =
            if access.only_look || access.mode == CacheMode::ReadOnly { Store::open_read_only(folder) } else { Store::open(folder) };
        match opened {
            Ok(store) => Some(store),
            // Nobody who only looks expects anything to be there.
            Err(_) if access.only_look || access.mode == CacheMode::ReadOnly => None,
            // What is there already is still of use.
            Err(error) => {
                notices.push(format!("results are not stored: {error}"));
                Store::open_read_only(folder).ok()
            }
        }
    }

    /// Returns a file that tells other runs here that this one, or a step of it, still lives.
    pub fn run_file(&self) -> Option<std::fs::File> {
        self.holds.as_ref().and_then(|holds| holds.run_file().ok())
    }

    /// Tells whether stored results may be taken.
    pub fn reads(&self) -> bool {
        !self.access.force && self.store.is_some() && matches!(self.access.mode, CacheMode::ReadWrite | CacheMode::ReadOnly)
    }

    /// Tells whether results may be stored.
    pub fn writes(&self) -> bool {
        !self.access.only_look
            && self.store.as_ref().is_some_and(Store::is_writable)
            && matches!(self.access.mode, CacheMode::ReadWrite | CacheMode::WriteOnly)
    }

    /// Tells whether the store refuses with this text for the first time.
    pub fn is_first_of_store(&self, text: &str) -> bool {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned())
    }

    /// Tells whether the stamp of a file may stand for what it holds.
    pub fn believes_stamps(&self) -> bool {
        !self.access.paranoid
    }

    /// Returns why stored results are not taken, where they are not.
    pub fn why_unread(&self) -> Option<&'static str> {
        match self.access.mode {
            _ if self.access.force => Some("`--force`"),
            CacheMode::WriteOnly => Some("`--cache write-only`"),
            CacheMode::Off => Some("`--cache off`"),
            CacheMode::ReadWrite | CacheMode::ReadOnly => None,
        }
    }

    /// Forgets what was looked at ahead, because a step may have changed it.
    pub fn disturb(&self) {
        self.files.disturb();
        self.lister.forget();
    }

    /// Keeps what was learnt of files for later runs, and what else is kept for them short.
    pub fn save(&self) {
        if let Some(state) = &self.state {
            self.files.save(state);
        }
        if let Some(left) = &self.left {
            left.tidy(&self.root);
        }
        if let (Some(notes), Some(store)) = (&self.notes, &self.store) {
            notes.tidy(store);
        }
    }
}

/// Returns what lists the inputs of the pipeline in `file` of the project at `root`; a `store` inside the project is no input, nor is a
/// report of a run that lies where it was written.
pub fn lister(root: &Path, file: &str, pipeline: &Pipeline, store: Option<&Path>) -> Lister {
    let inside = store.and_then(|store| store.strip_prefix(root).ok()).and_then(Path::to_str).map(str::to_owned);
    // An included file that was run alone has left something in its folder.
    let states = pipeline.included.iter().filter_map(|path| Path::new(path).parent()?.join(state::STATE).to_str().map(str::to_owned));
    let reports = written::reports(root).into_iter().filter(|path| !reads(pipeline, path));
    let own: Vec<Glob> = inside.into_iter().chain(states).chain(reports).filter_map(|path| Glob::new("", &escape(&path)).ok()).collect();
    let claimed = Claimed::new(pipeline.stages.iter().flat_map(|stage| &stage.outputs).chain(&own));
    Lister::new(root, file, claimed).without(&pipeline.included)
}

/// Tells whether a stage names this file as an input, not only by a pattern or by its folder.
fn reads(pipeline: &Pipeline, path: &str) -> bool {
    let selectors = pipeline.stages.iter().flat_map(|stage| stage.inputs.iter().flatten());
    selectors.into_iter().any(|selector| !selector.exclude && selector.glob.is_literal() && selector.glob.path() == path)
}
