//! `check`: is the file valid, and does it mean what it seems to?

use std::collections::HashSet;

use super::failing::Failing;
use super::flags::Global;
use super::project::Project;
use super::screen::Screen;
use crate::base::diagnostic::Diagnostic;
use crate::base::text::count;
use crate::model::outcome::Exit;
use crate::report::diagnostics;

/// Validates, and warns of what is probably not meant.
pub(super) fn run(global: &Global, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let warnings = warnings(&project);
    let text = diagnostics::render(&warnings, &project.source, screen.err_theme.coloured);
    let _tolerant = std::io::Write::write_all(&mut screen.err, text.as_bytes());
    let pipeline = &project.loaded.pipeline;
    let warned = if warnings.is_empty() { String::new() } else { format!(", {}", count(warnings.len(), "warning")) };
    screen.print(&format!("{} is valid: {}{warned}\n", project.source.name, count(pipeline.stages.len(), "stage")));
    Ok(Exit::Passed)
}

fn warnings(project: &Project) -> Vec<Diagnostic> {
    let pipeline = &project.loaded.pipeline;
    let outputs: Vec<_> = pipeline.stages.iter().flat_map(|stage| &stage.outputs).collect();
    let mut warned = HashSet::new();
    let mut warnings = Vec::new();
    for (stage, places) in pipeline.stages.iter().zip(&project.loaded.input_places) {
        for (input, place) in stage.inputs.iter().flatten().zip(places).filter(|(input, _)| !input.exclude) {
            // What another stage makes need not be there yet.
            let made = outputs.iter().any(|output| output.overlaps(&input.glob));
            if !made && !input.glob.finds_any(&project.root) && warned.insert(place.start) {
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
