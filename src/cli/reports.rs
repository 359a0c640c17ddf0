//! The reports that a run is to leave behind: `--report FORMAT=PATH`.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::failing::Failing;
use super::project::Project;
use crate::base::files::{write_whole, write_whole_with};
use crate::base::nearest;
use crate::base::program::plain;
use crate::base::state::STATE;
use crate::inputs::claimed::Claimed;
use crate::inputs::written;
use crate::model::event::{Event, Listener};
use crate::report::form::{FORMS, Form};
use crate::report::json::JsonReporter;
use crate::report::story::Story;
use crate::report::tolerant::Tolerant;

/// One report that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    form: Form,
    /// As given: relative to the current folder.
    path: PathBuf,
}

/// Reads `FORMAT=PATH`.
pub(super) fn read_wanted(text: &str) -> Result<Wanted, String> {
    let names: Vec<&str> = FORMS.iter().map(|(name, _)| *name).collect();
    let Some((name, path)) = text.split_once('=') else {
        return Err(format!("a report is FORMAT=PATH, with one of {}", names.join(", ")));
    };
    let Some(form) = Form::named(name) else {
        let near = nearest::nearest(name, names.iter().copied()).map(|near| format!("; `{near}` may be meant")).unwrap_or_default();
        return Err(format!("`{name}` is none of {}{near}", names.join(", ")));
    };
    if path.is_empty() {
        return Err("the path is missing".to_owned());
    }
    Ok(Wanted { form, path: PathBuf::from(path) })
}

/// Listens to a run, and writes its reports when it is over.
#[derive(Debug)]
pub(super) struct Reports {
    root: PathBuf,
    wanted: Vec<Wanted>,
    story: Option<Story>,
    /// The events, gathered in a temporary file.
    events: Option<JsonReporter<Tolerant<File>>>,
    /// Why there is no such file.
    trouble: Option<io::Error>,
}

impl Reports {
    /// Prepares to write the `wanted` reports of a run of `project`.
    pub(super) fn new(project: &Project, wanted: &[Wanted]) -> Result<Self, Failing> {
        check(project, wanted)?;
        let mut reports = Self { root: project.root.clone(), wanted: wanted.to_vec(), story: None, events: None, trouble: None };
        let told = |wanted: &&Wanted| wanted.form != Form::Json;
        if wanted.iter().filter(told).any(|wanted| wanted.form.shows_output()) {
            reports.story = Some(Story::default());
        } else if wanted.iter().any(|wanted| told(&wanted)) {
            reports.story = Some(Story::without_output());
        }
        if wanted.iter().any(|wanted| wanted.form == Form::Json) {
            match tempfile::tempfile() {
                Ok(file) => reports.events = Some(JsonReporter::new(Tolerant::new(file))),
                Err(error) => reports.trouble = Some(error),
            }
        }
        Ok(reports)
    }

    /// Tells whether what a stage printed when its result was stored is to be in a report.
    pub(super) fn want_output(&self) -> bool {
        self.wanted.iter().any(|wanted| wanted.form.shows_output())
    }

    /// Writes each report, whole or not at all; returns what could not be.
    pub(super) fn write(self) -> Vec<String> {
        let Self { root, wanted, story, events, trouble } = self;
        let mut events = match (events, trouble) {
            (Some(events), _) => events.into_inner().into_inner(),
            (None, Some(error)) => Err(error),
            (None, None) => Err(io::Error::other("no event was gathered")),
        };
        let mut troubles = Vec::new();
        let mut written = Vec::new();
        for Wanted { form, path } in &wanted {
            let rendered = story.as_ref().and_then(|story| form.render(story));
            let done = make_folder(path).and_then(|()| match (rendered, &mut events) {
                (Some(text), _) => write_whole(path, text.as_bytes()),
                (None, Ok(file)) => {
                    file.seek(SeekFrom::Start(0))?;
                    write_whole_with(path, |out| io::copy(file, out).map(|_| ()))
                }
                (None, Err(error)) => Err(io::Error::other(error.to_string())),
            });
            match done {
                Ok(()) => written.push(path.as_path()),
                Err(error) => troubles.push(format!("the report `{}` cannot be written: {}", path.display(), plain(&error))),
            }
        }
        remember(&root, &written);
        troubles
    }
}

impl Listener for Reports {
    fn hear(&mut self, event: &Event) {
        if let Some(story) = &mut self.story {
            story.tell(event);
        }
        if let Some(events) = &mut self.events {
            events.hear(event);
        }
    }

    fn idle(&mut self) -> Option<Duration> {
        None
    }
}

/// Makes the folder that `path` is to lie in.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(Ok(()), fs::create_dir_all)
}

/// Keeps in mind which of these files lie in the project, so that they are no inputs of it.
pub(super) fn remember(root: &Path, paths: &[&Path]) {
    let places: Vec<String> = paths.iter().filter_map(|path| within(root, path)).collect();
    if !places.is_empty() {
        // Without the list a stage may run once more than it must.
        let _costs_time = written::remember(root, &places.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// Refuses places where a report would be in the way.
fn check(project: &Project, wanted: &[Wanted]) -> Result<(), Failing> {
    let stages = &project.pipeline.stages;
    let mut seen: Vec<PathBuf> = Vec::new();
    for Wanted { path, .. } in wanted {
        let refuse = |why: &str, help: &str| Err(Failing::usage_with_help(format!("the report `{}` {why}", path.display()), help));
        if path.is_dir() {
            return refuse("is a folder", "name a file in it");
        }
        let place = real(path);
        if seen.contains(&place) {
            return refuse("is named twice", "each report is a file of its own");
        }
        seen.push(place);
        let Some(inside) = within(&project.root, path) else { continue };
        if inside == project.file {
            return refuse("would replace the pipeline", "name another file");
        }
        if Path::new(&inside).iter().any(|name| name == STATE || name == ".git") {
            return refuse("lies in a folder that is not yours to write to", "name a file outside of .shipway and .git");
        }
        if let Some(stage) = stages.iter().find(|stage| Claimed::new(&stage.outputs).holds(Path::new(&inside))) {
            return refuse(&format!("lies in the outputs of `{}`", stage.name), "name a file outside of all outputs");
        }
        let names =
            |selector: &crate::model::stage::Selector| !selector.exclude && selector.glob.is_literal() && selector.glob.path() == inside;
        if let Some(stage) = stages.iter().find(|stage| stage.inputs.iter().flatten().any(names)) {
            return refuse(&format!("is an input of `{}`", stage.name), "name a file that no stage reads");
        }
    }
    Ok(())
}

/// Returns the place of `path` in the project at `root`, where it is in it.
fn within(root: &Path, path: &Path) -> Option<String> {
    real(path).strip_prefix(root).ok().and_then(Path::to_str).map(str::to_owned)
}

/// Returns where `path` is or would be, with the links in it followed.
fn real(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = whole.ancestors().find_map(|part| part.canonicalize().ok().map(|real| (part, real)));
    let Some((part, mut real)) = existing else { return whole };
    for component in whole.strip_prefix(part).unwrap_or(Path::new("")).components() {
        match component {
            Component::ParentDir => {
                real.pop();
            }
            Component::Normal(name) => real.push(name),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    real
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_format_and_a_path() {
        let wanted = read_wanted("html=a=b.html").unwrap();
        assert_eq!((wanted.form, wanted.path), (Form::Html, PathBuf::from("a=b.html")));
        assert!(read_wanted("htlm=x").unwrap_err().contains("`html`"));
        assert!(read_wanted("html").is_err() && read_wanted("html=").is_err());
    }
}
