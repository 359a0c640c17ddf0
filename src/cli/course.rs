//! A deployment as a page: of one that this command has moved, or of any that is recorded.

use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;

use super::depot::Depot;
use super::failing::Failing;
use super::flags::Global;
use super::project::Project;
use super::reports::{make_folder, remember};
use super::screen::Screen;
use crate::base::files::write_whole;
use crate::base::text::visible;
use crate::delivery::course::course;
use crate::ledger::entry::Deed;
use crate::ledger::history::History;
use crate::model::outcome::Exit;
use crate::report::html;

/// Reads `html=PATH`.
pub(super) fn read_page(text: &str) -> Result<PathBuf, String> {
    match text.split_once('=') {
        Some(("html", path)) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err("the page of a deployment is html=PATH".to_owned()),
    }
}

/// Writes the page of a deployment: the last one into the environment of this name, or the one that an entry of the log began.
pub(super) fn report(global: &Global, text: &str, output: Option<&Path>, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let history = depot.journal.read()?;
    let deployment = match last(&history, text) {
        Some(deployment) => deployment.to_owned(),
        None if project.pipeline.delivery.named(text).is_some() => {
            return Err(Failing::usage(format!("nothing was brought to `{}` yet", visible(text))));
        }
        None => history.any_deployment(text)?,
    };
    let page = page(&history, &deployment).with_context(|| format!("the deployment {deployment} is not recorded"))?;
    match output {
        None => screen.print(&page),
        Some(path) => write(&project, &page, path)?,
    }
    Ok(Exit::Passed)
}

/// Writes the page of the last deployment into an environment, after a command that may have moved it and ended so.
pub(super) fn leave(project: &Project, depot: &Depot, environment: &str, path: &Path, exit: Exit, screen: &mut Screen) -> Exit {
    let page = depot.journal.read().ok().and_then(|history| page(&history, last(&history, environment)?));
    let Some(page) = page else {
        screen.warn(&format!("{environment}: nothing was brought there yet, so there is no page of it"));
        return exit;
    };
    if let Err(failing) = write(project, &page, path) {
        let unwritten = screen.explain(failing);
        // A worse verdict stands.
        return if exit == Exit::Passed { unwritten } else { exit };
    }
    if depot.repository().sees(path).unwrap_or(false) {
        let help = "the next promotion wants a clean tree: name a place outside of the repository, or one that it ignores";
        screen.warn(&format!("`{}` is a file that git sees: {help}", visible(&path.to_string_lossy())));
    }
    exit
}

fn page(history: &History, deployment: &str) -> Option<String> {
    course(history, deployment, Timestamp::now()).map(|course| html::course::render(&course))
}

fn write(project: &Project, page: &str, path: &Path) -> Result<(), Failing> {
    let written = make_folder(path).and_then(|()| write_whole(path, page.as_bytes()));
    written.with_context(|| format!("the page of the deployment cannot be written to `{}`", path.display()))?;
    remember(&project.root, &[path]);
    Ok(())
}

/// Returns the name of the last deployment into the environment of this name.
fn last<'h>(history: &'h History, environment: &str) -> Option<&'h str> {
    let begun = history.entries.iter().rfind(|recorded| {
        let Deed::Started(started) = &recorded.entry.deed else { return false };
        started.environment == environment
    });
    begun.map(|recorded| recorded.digest.as_str())
}
