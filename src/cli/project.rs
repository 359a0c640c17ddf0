//! The pipeline that a command is about: found, read, and valid.

use std::path::{Path, PathBuf};

use super::failing::Failing;
use super::flags::Global;
use super::origin::{Noting, Origin};
use crate::base::source::{Source, Sources};
use crate::base::state::STATE;
use crate::base::text::shell_quote;
use crate::config::load_with;
use crate::config::resolve::{Loaded, Places};
use crate::config::snapshot::{Asked, Witness, recall};
use crate::model::pipeline::Pipeline;

/// The name that is looked for.
pub(super) const FILE: &str = "pipeline.toml";

/// A pipeline and its place.
#[derive(Debug)]
pub(super) struct Project {
    /// The folder of the file: what every path in it is relative to.
    pub(super) root: PathBuf,
    /// Where what is kept beside it lies: the records of runs, and the store if the file names a relative folder. It is the same folder, but
    /// for a checkout aside of the project.
    pub(super) kept: PathBuf,
    /// The file's name in that folder.
    pub(super) file: String,
    pub(super) pipeline: Pipeline,
    /// The file's text, and what was asked of others, where the pipeline was read anew.
    unkept: Option<(Source, Asked)>,
}

/// What a pipeline was read from, and where it says what.
#[derive(Debug)]
pub(super) struct Text {
    /// The file, and those that it includes.
    pub(super) sources: Sources,
    pub(super) places: Places,
}

/// The name of what is kept of a pipeline that was read, in `.shipway/`.
const SNAPSHOT: &str = "pipeline";

impl Project {
    /// Finds and reads the pipeline that the command line means.
    pub(super) fn load(global: &Global) -> Result<Self, Failing> {
        Self::load_from(global, &mut Origin::default())
    }

    /// The same; `origin` becomes what it was read from, whatever came of it. Where not even the folder is there, it stays as it is.
    pub(super) fn load_from(global: &Global, origin: &mut Origin) -> Result<Self, Failing> {
        let path = locate(global)?;
        let (main, root, file) = open(&path)?;
        *origin = Origin::new(&root, &file);
        let files = Noting::new(origin);
        if let Some(pipeline) = recall(&root.join(STATE).join(SNAPSHOT), &main, &files) {
            *origin = files.into_origin();
            return Ok(Self { kept: root.clone(), root, file, pipeline, unkept: None });
        }
        read(main, root, file, origin).map(|(project, _)| project)
    }

    /// Reads the pipeline whatever was kept of it, with its text.
    pub(super) fn load_anew(global: &Global) -> Result<(Self, Text), Failing> {
        let (main, root, file) = open(&locate(global)?)?;
        let mut origin = Origin::new(&root, &file);
        read(main, root, file, &mut origin)
    }

    /// Keeps the pipeline in `state`, so that it need not be read again until its files change. What cannot be kept costs only time.
    pub(super) fn keep(&self, state: &Path) {
        if let Some((main, asked)) = &self.unkept {
            let _lost = asked.keep(&self.pipeline, main, &state.join(SNAPSHOT));
        }
    }

    /// Returns only the folder of the pipeline, whose file need not be valid.
    pub(super) fn folder(global: &Global) -> Result<PathBuf, Failing> {
        root(&locate(global)?)
    }
}

/// Opens the file at `path`. Returns its text, its folder, and its name in that.
fn open(path: &Path) -> Result<(Source, PathBuf, String), Failing> {
    let root = root(path)?;
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let here = std::env::current_dir().ok();
    let shown = here.as_deref().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    let main = Source::load(path, &shown.to_string_lossy()).map_err(|error| {
        let reason = if path.is_dir() { "it is a folder".to_owned() } else { error.to_string() };
        Failing::usage_with_help(format!("`{}` cannot be read: {reason}", shown.display()), "-f names another file")
    })?;
    Ok((main, root, file))
}

/// Reads the pipeline that the text `main` of `file` declares; `origin` becomes what it was read from.
fn read(main: Source, root: PathBuf, file: String, origin: &mut Origin) -> Result<(Project, Text), Failing> {
    let files = Noting::new(origin);
    let witness = Witness::new(&files);
    let (sources, loaded) = load_with(main.clone(), &file, &witness);
    let asked = witness.into_asked();
    *origin = files.into_origin();
    match loaded {
        Ok(Loaded { pipeline, places }) => {
            let project = Project { kept: root.clone(), root, file, pipeline, unkept: Some((main, asked)) };
            Ok((project, Text { sources, places }))
        }
        Err(problems) => Err(Failing::File(Box::new(sources), problems)),
    }
}

/// Returns how one stage is run alone from the same place.
pub(super) fn invocation(global: &Global) -> String {
    format!("{} run --only", call(global))
}

/// Returns how shipway is called from the same place: with the flags that say which pipeline is meant.
pub(super) fn call(global: &Global) -> String {
    let flag = |flag: &str, path: &Option<PathBuf>| {
        path.as_ref().map(|path| format!(" {flag} {}", shell_quote(&path.to_string_lossy()))).unwrap_or_default()
    };
    format!("shipway{}{}", flag("-C", &global.directory), flag("-f", &global.file))
}

fn locate(global: &Global) -> Result<PathBuf, Failing> {
    if let Some(file) = &global.file {
        return Ok(file.clone());
    }
    let here = std::env::current_dir().map_err(|error| anyhow::anyhow!("the current folder is not there: {error}"))?;
    let found = here.ancestors().map(|folder| folder.join(FILE)).find(|path| path.symlink_metadata().is_ok());
    found.ok_or_else(|| {
        Failing::usage_with_help(
            format!("there is no {FILE} in `{}` or above", here.display()),
            "`shipway init` writes a first one from what is found here; -f names a file, -C a folder",
        )
    })
}

fn root(path: &Path) -> Result<PathBuf, Failing> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    folder.canonicalize().map_err(|error| Failing::usage(format!("`{}` is not there: {error}", folder.display())))
}
