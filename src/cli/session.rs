//! The composition root: opens everything that a run, or a look at one, works with, and closes it again.

use std::path::{Path, PathBuf};

use super::failing::Failing;
use super::project::Project;
use crate::base::program::plain;
use crate::base::secret::{Masker, SHORTEST};
use crate::engine::checkout::{Access, CacheMode, Checkout};
use crate::engine::plan::Plan;
use crate::engine::run::{Means, PrepareError};
use crate::engine::services::Services;
use crate::exec::environment::Caller;
use crate::exec::local::LocalExecutor;
use crate::model::pipeline::CacheSettings;
use crate::store::live::Live;
use crate::store::sweep::{Limits, sweep_if_due};

/// How the store is to be used, as the command line says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) mode: CacheMode,
    pub(super) force: bool,
    pub(super) paranoid: bool,
    pub(super) only_look: bool,
    /// Services stay up from one run to the next.
    pub(super) keeps_services: bool,
}

/// What a run works with.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) caller: Caller,
    pub(super) masker: Masker,
    pub(super) checkout: Checkout,
    /// Before the executor: what runs is ended first.
    pub(super) services: Services,
    pub(super) executor: LocalExecutor,
    /// What a person should know before anything runs.
    pub(super) notices: Vec<String>,
    live: Option<Live>,
    limits: Limits,
}

impl Session {
    /// Opens what the run of `plan` needs.
    pub(super) fn open(project: &Project, plan: &Plan<'_>, wish: Wish, coloured: bool) -> Result<Self, Failing> {
        let caller = Caller::new(std::env::vars_os(), coloured);
        // Whoever only looks need not know any secret.
        let values = if wish.only_look { Vec::new() } else { secrets(plan, &caller)? };
        let masker = Masker::new(values.iter().map(String::as_str));
        let pipeline = &project.pipeline;
        let Wish { mode, force, paranoid, only_look, keeps_services } = wish;
        let access = Access { store: store_folder(&pipeline.cache, &project.kept), mode, force, paranoid, only_look };
        let (checkout, notices) = Checkout::open(&project.root, &project.file, pipeline, &access);
        if let Some(state) = &checkout.state {
            project.keep(state);
        }
        let executor = LocalExecutor::new(masker.clone(), checkout.run_file());
        let live = live(&checkout);
        let services = Services::new(executor.clone());
        let services = if keeps_services { services.keep() } else { services };
        Ok(Self { caller, masker, checkout, services, executor, notices, live, limits: limits(&pipeline.cache) })
    }

    pub(super) fn means(&self) -> Means<'_> {
        Means { executor: &self.executor, caller: &self.caller, masker: &self.masker, checkout: &self.checkout, services: &self.services }
    }

    /// Makes ready for one more run of the same pipeline: what was known of files and of the store is looked at anew. Who runs steps stays
    /// the same, and so does what runs beside them.
    pub(super) fn renew(&mut self) {
        self.notices = self.checkout.renew();
        self.live = live(&self.checkout);
    }

    /// Tells whether one more run can be made with it.
    pub(super) fn is_there(&self) -> bool {
        self.checkout.is_there()
    }

    /// Keeps what was learnt, and keeps the store within its bounds. Returns what a person should know of it.
    pub(super) fn close(mut self) -> Option<String> {
        self.pause()
    }

    /// The same for a session that will be renewed.
    pub(super) fn pause(&mut self) -> Option<String> {
        self.checkout.save();
        self.live = None;
        let store = self.checkout.store.as_ref()?;
        sweep_if_due(store, &self.limits).err().map(|error| format!("the store cannot be swept: {}", plain(&error)))
    }
}

/// Registers a run that uses the store.
fn live(checkout: &Checkout) -> Option<Live> {
    checkout.store.as_ref().filter(|store| store.is_writable()).and_then(|store| store.live().ok())
}

/// Returns the folder of the store: `SHIPWAY_CACHE_DIR`, else what the file says, else the user's (contract, section 4).
pub(super) fn store_folder(settings: &CacheSettings, root: &Path) -> Option<PathBuf> {
    let folder = variable("SHIPWAY_CACHE_DIR").or_else(|| settings.dir.as_ref().map(|dir| root.join(dir))).or_else(user_cache)?;
    std::path::absolute(folder).ok()
}

/// Returns our folder in the user's cache directory; `None` where nothing says where that is.
pub(super) fn user_cache() -> Option<PathBuf> {
    let home = || variable("HOME").map(|home| home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }));
    variable("XDG_CACHE_HOME").filter(|folder| folder.is_absolute()).or_else(home).map(|folder| folder.join("shipway"))
}

/// Returns our folder in the user's data directory; `None` where nothing says where that is.
pub(super) fn user_data() -> Option<PathBuf> {
    let home =
        || variable("HOME").map(|home| home.join(if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" }));
    variable("XDG_DATA_HOME").filter(|folder| folder.is_absolute()).or_else(home).map(|folder| folder.join("shipway"))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Returns the bounds of the store.
pub(super) fn limits(settings: &CacheSettings) -> Limits {
    Limits { max_size: settings.max_size, max_age: settings.max_age }
}

/// Returns the values of all secrets of the selected stages.
fn secrets(plan: &Plan<'_>, caller: &Caller) -> Result<Vec<String>, Failing> {
    let mut values = Vec::new();
    let mut problems = Vec::new();
    let mut services = Vec::new();
    let mut wanted = Vec::new();
    for stage in plan.stages.iter().map(|id| plan.pipeline.stage(*id)) {
        wanted.extend(stage.secrets.iter().map(|name| (&stage.name, name)));
        for service in stage.services.iter().filter(|id| !services.contains(id)).collect::<Vec<_>>() {
            services.push(service);
            let service = plan.pipeline.service(*service);
            wanted.extend(service.secrets.iter().map(|name| (&service.name, name)));
        }
    }
    for (stage, name) in wanted {
        match caller.get(name).map(std::ffi::OsStr::to_str) {
            None => problems.push(format!("secret `{name}` of `{stage}` is not set")),
            Some(None) => problems.push(format!("secret `{name}` of `{stage}` is not text in UTF-8, so it could not be masked")),
            Some(Some(value)) if value.trim().is_empty() => problems.push(format!("secret `{name}` of `{stage}` is empty")),
            Some(Some(value)) if value.len() < SHORTEST => problems
                .push(format!("secret `{name}` of `{stage}` is shorter than {SHORTEST} bytes, so masking it would mask ordinary text")),
            Some(Some(value)) => values.push(value.to_owned()),
        }
    }
    if problems.is_empty() {
        Ok(values)
    } else {
        Err(Failing::usage_with_help(problems.join("\n       "), "set it in the environment that shipway is called in"))
    }
}

impl From<PrepareError> for Failing {
    fn from(error: PrepareError) -> Self {
        match &error {
            PrepareError::Tool(_) => Self::Surroundings(anyhow::Error::new(error)),
            PrepareError::HalfMade { stage, .. } => {
                let help = format!("make it whole: shipway run {}", crate::base::text::shell_quote(stage));
                Self::Surroundings(anyhow::anyhow!("{error}\n  help: {help}"))
            }
        }
    }
}
