//! `check`: is the file valid, and does it mean what it seems to?

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use super::failing::Failing;
use super::flags::Global;
use super::project::Project;
use super::screen::Screen;
use crate::base::diagnostic::Diagnostic;
use crate::base::text::{count, visible};
use crate::config::resolve::Places;
use crate::delivery::policy;
use crate::engine::checkout::lister;
use crate::git::repo::Repository;
use crate::inputs::claimed::Claimed;
use crate::model::outcome::Exit;
use crate::model::service::Service;
use crate::model::stage::{Selector, keep_out};
use crate::programs::shim::Shim;
use crate::programs::tools;
use crate::report::diagnostics;

/// How many stages a warning names.
const MOST_NAMED: usize = 3;

/// Validates, and warns of what is probably not meant.
pub(super) fn run(global: &Global, screen: &mut Screen) -> Result<Exit, Failing> {
    let (project, text) = Project::load_anew(global)?;
    let errors = missing(&project, &text.places)?;
    if !errors.is_empty() {
        return Err(Failing::File(Box::new(text.sources), errors));
    }
    let warnings: Vec<Diagnostic> = inputs(&project, &text.places)
        .into_iter()
        .chain(shims(&project, &text.places))
        .chain(ignored(&project, &text.places))
        .chain(caught(&project, &text.places))
        .chain(unused(&project, &text.places))
        .collect();
    let rendered = diagnostics::render(&warnings, &text.sources, screen.err_theme.coloured);
    if !rendered.is_empty() {
        screen.tell(rendered.strip_suffix('\n').unwrap_or(&rendered));
    }
    let pipeline = &project.pipeline;
    let warned = if warnings.is_empty() { String::new() } else { format!(", {}", count(warnings.len(), "warning")) };
    screen.print(&format!("{} is valid: {}{warned}\n", text.sources.main().name, count(pipeline.stages.len(), "stage")));
    Ok(Exit::Passed)
}

/// Returns what environments name and what is not there: without it no release could ever come in.
fn missing(project: &Project, places: &Places) -> Result<Vec<Diagnostic>, Failing> {
    let mut errors = Vec::new();
    for (signers, place) in &places.named.signers {
        if !project.root.join(signers).is_file() {
            let help = "each line says who may sign, and with which key: NAME KEY (ssh-keygen(1), ALLOWED SIGNERS)";
            let message = format!("there is no file `{}`, so nobody could approve", visible(signers));
            errors.push(Diagnostic::error(message, place.clone(), "no such file").help(help));
        }
    }
    for (pattern, place) in &places.named.policies {
        let found = policy::files(&project.root, std::slice::from_ref(pattern)).context("the files of `policy` cannot be found")?;
        if found.is_empty() {
            let help = "a pattern means files of rules, such as \"policy/*.rego\"; those that end with `_test.rego` do not count";
            let message = format!("`{}` means no file, so every release would be refused", visible(pattern.path()));
            errors.push(Diagnostic::error(message, place.clone(), "no such file").help(help));
        }
    }
    errors.sort_by_key(|error| error.labels[0].span.start);
    Ok(errors)
}

fn inputs(project: &Project, places: &Places) -> Vec<Diagnostic> {
    let pipeline = &project.pipeline;
    let outputs: Vec<_> = pipeline.stages.iter().flat_map(|stage| &stage.outputs).collect();
    let claimed = Claimed::new(outputs.iter().copied());
    let mut warned = HashSet::new();
    let mut warnings = Vec::new();
    for (stage, places) in pipeline.stages.iter().zip(&places.inputs) {
        for (input, place) in stage.inputs.iter().flatten().zip(places).filter(|(input, _)| !input.exclude) {
            // What another stage makes need not be there yet.
            let is_made = || {
                let is_known = input.glob.is_literal() && claimed.holds(Path::new(input.glob.path()));
                is_known || outputs.iter().any(|output| output.overlaps(&input.glob))
            };
            if !input.glob.finds_any(&project.root) && !is_made() && warned.insert(place.start) {
                let message = format!("input `{}` of `{}` matches no file", input.glob.path(), stage.name);
                warnings.push(
                    Diagnostic::warning(message, place.clone(), "no such file")
                        .help("a stage does not notice changes of files that its inputs do not match"),
                );
            }
        }
    }
    warnings
}

/// Warns of files that git tracks although it is told to ignore them: they count as inputs, which few expect.
fn ignored(project: &Project, places: &Places) -> Option<Diagnostic> {
    let pipeline = &project.pipeline;
    let first = pipeline.stages.iter().position(|stage| stage.inputs.is_none())?;
    let files = Repository::find(&project.root)?.tracked_but_ignored(&project.root).ok()?;
    let named: Vec<String> = files.iter().take(MOST_NAMED).map(|path| format!("`{}`", visible(&path.to_string_lossy()))).collect();
    let more = files.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("git tracks {}{more}, although .gitignore names it", named.join(", "));
    let place = places.stages[first].clone();
    let help = "what git tracks is an input of stages without `inputs`: take it out of git (git rm --cached), or out of .gitignore";
    (!files.is_empty()).then(|| Diagnostic::warning(message, place, "reads it, since it declares no `inputs`").help(help))
}

/// Warns of patterns that mean files which git ignores: mostly what tools write for themselves, which changes the key each time.
fn caught(project: &Project, places: &Places) -> Vec<Diagnostic> {
    let pipeline = &project.pipeline;
    let lister = lister(&project.root, &project.file, pipeline, None);
    // What cannot be listed a run will say.
    let Ok(known) = lister.list("", None, &[]) else { return Vec::new() };
    let is_file = |name: &str| name == project.file || pipeline.included.iter().any(|file| file == name);
    let is_known = |name: &str| is_file(name) || known.inputs.binary_search_by(|input| input.name.as_str().cmp(name)).is_ok();
    let mut warned = HashSet::new();
    let mut warnings = Vec::new();
    for (stage, places) in pipeline.stages.iter().zip(&places.inputs) {
        let selectors = stage.inputs.as_deref().unwrap_or_default();
        for (index, place) in
            places.iter().enumerate().filter(|(index, _)| !selectors[*index].exclude && !selectors[*index].glob.is_literal())
        {
            let own: Vec<Selector> = selectors
                .iter()
                .enumerate()
                .filter(|(other, selector)| *other == index || (selector.exclude && *other > index))
                .map(|(_, selector)| selector.clone())
                .collect();
            let Ok(listing) = lister.list(&stage.dir, Some(&own), &[]) else { continue };
            let is_caught = |name: &&str| !name.contains("//") && !is_known(name);
            let mut caught = listing.inputs.iter().map(|input| input.name.as_str()).filter(is_caught);
            if let Some(first) = caught.next().filter(|_| warned.insert(place.start)) {
                let more = caught.count();
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let message = format!(
                    "input `{}` of `{}` means `{}`{more}, which git ignores",
                    selectors[index].glob.path(),
                    stage.name,
                    visible(first)
                );
                let help = format!(
                    "what a tool writes for itself makes the stage run again: keep it out with \"{}\"",
                    keep_out(first, &stage.dir)
                );
                warnings.push(Diagnostic::warning(message, place.clone(), "ignored files count here").help(help));
            }
        }
    }
    warnings
}

/// Warns of services that no stage names; not of one in whose place the stages of its file use that of a file that includes it.
fn unused(project: &Project, places: &Places) -> Vec<Diagnostic> {
    let pipeline = &project.pipeline;
    let used: HashSet<_> = pipeline.stages.iter().flat_map(|stage| &stage.services).map(|id| id.0 as usize).collect();
    let names: HashSet<&str> = pipeline.services.iter().map(|service| &*service.name).collect();
    let is_replaced = |name: &str| name.rsplit_once('/').is_some_and(|(scope, own)| above(scope, own).any(|name| names.contains(&*name)));
    let unused = pipeline.services.iter().zip(&places.services).enumerate();
    let unused = unused.filter(|(index, (service, _))| !used.contains(index) && !is_replaced(&service.name));
    let warning = |(_, (service, place)): (usize, (&Service, &std::ops::Range<usize>))| {
        let message = format!("the service `{}` is used by no stage", visible(&service.name));
        let own = service.name.rsplit('/').next().unwrap_or_default();
        let help = format!("a stage names what has to run beside it: services = [\"{}\"]", visible(own));
        Diagnostic::warning(message, place.clone(), "never started").help(help)
    };
    unused.map(warning).collect()
}

/// Returns how files that include the one of this scope, directly or through others, would call their own service of the same name.
fn above<'s>(scope: &'s str, own: &'s str) -> impl Iterator<Item = String> + 's {
    let outer = std::iter::successors(Some(scope), |scope| scope.rsplit_once('/').map(|(outer, _)| outer)).skip(1);
    outer.map(move |outer| format!("{outer}/{own}")).chain([own.to_owned()])
}

fn shims(project: &Project, places: &Places) -> Vec<Diagnostic> {
    let pipeline = &project.pipeline;
    let path = std::env::var_os("PATH");
    let mut users: BTreeMap<String, (Shim, usize, Vec<Arc<str>>)> = BTreeMap::new();
    for (id, shim) in tools::shims(pipeline, path.as_deref(), &project.root) {
        let name = pipeline.stage(id).group.clone();
        let (_, _, stages) = users.entry(shim.name.clone()).or_insert_with(|| (shim, id.index(), Vec::new()));
        // Those of a matrix follow each other, and have one place in the file.
        if stages.last() != Some(&name) {
            stages.push(name);
        }
    }
    let warning = |(shim, first, stages): (Shim, usize, Vec<Arc<str>>)| {
        let mut names: Vec<String> = stages.iter().take(MOST_NAMED).map(|name| format!("`{}`", visible(name))).collect();
        names.extend(stages.len().checked_sub(MOST_NAMED + 1).map(|more| format!("{} more", more + 1)));
        let last = names.pop().unwrap_or_default();
        let label = if names.is_empty() { format!("used by {last}") } else { format!("used by {} and {last}", names.join(", ")) };
        Diagnostic::warning(shim.problem(), places.stages[first].clone(), label)
            .help(format!("so that another version is noticed, add to the stage: {}", shim.tools_line()))
    };
    users.into_values().map(warning).collect()
}
