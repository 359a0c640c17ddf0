//! `list`: the stages.

use std::borrow::Cow;

use clap::Args;
use serde_json::json;

use super::failing::Failing;
use super::flags::{Format, Global};
use super::project::Project;
use super::screen::Screen;
use crate::base::text::visible;
use crate::model::outcome::Exit;
use crate::model::pipeline::Pipeline;
use crate::model::stage::{Stage, StageId};

/// The flags of `list`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// For people, or one JSON object
    #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Lists the stages in the order of the file; a star marks those that run by default.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let pipeline = &project.pipeline;
    let text = match arguments.format {
        Format::Json => format!(
            "{}\n",
            json!({ "pipeline": pipeline.name, "stages": pipeline.ids().map(|id| object(pipeline, id)).collect::<Vec<_>>() })
        ),
        Format::Text => {
            let text = table(pipeline, screen);
            screen.show(&text);
            return Ok(Exit::Passed);
        }
    };
    screen.print(&text);
    Ok(Exit::Passed)
}

fn table(pipeline: &Pipeline, screen: &Screen) -> String {
    let theme = screen.out_theme;
    let width = pipeline.stages.iter().map(|stage| visible(&stage.name).chars().count()).max().unwrap_or(0);
    let line = |(id, stage): (StageId, &Stage)| {
        let star = if pipeline.is_default(id) { "*" } else { " " };
        let waits = waits(pipeline, stage);
        let description = stage.description.as_deref().map(visible).unwrap_or_default();
        let gap = if waits.is_empty() || description.is_empty() { "" } else { "  " };
        format!("{star} {}  {description}{gap}{}", theme.strong(&format!("{:<width$}", visible(&stage.name))), theme.faint(&waits))
            .trim_end()
            .to_owned()
            + "\n"
    };
    pipeline.ids().zip(&pipeline.stages).map(line).collect()
}

/// Returns the names of stages; where all stages of a matrix are among them, the name of the matrix.
fn names_of<'p>(pipeline: &'p Pipeline, ids: &[StageId]) -> Vec<Cow<'p, str>> {
    let is_whole = |group: &str| pipeline.ids().filter(|id| *pipeline.stage(*id).group == *group).all(|id| ids.contains(&id));
    let name = |id: &StageId| {
        let stage = pipeline.stage(*id);
        visible(if stage.name != stage.group && is_whole(&stage.group) { &stage.group } else { &stage.name })
    };
    let mut names: Vec<_> = ids.iter().map(name).collect();
    names.dedup();
    names
}

/// Returns what a stage waits for, in words.
pub(super) fn waits(pipeline: &Pipeline, stage: &Stage) -> String {
    let names = |word: &str, ids: &[StageId]| {
        let names = names_of(pipeline, ids);
        if names.is_empty() { None } else { Some(format!("{word} {}", names.join(", "))) }
    };
    [names("needs", &stage.needs), names("after", &stage.after)].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn object(pipeline: &Pipeline, id: StageId) -> serde_json::Value {
    let stage = pipeline.stage(id);
    let names = |ids: &[StageId]| ids.iter().map(|id| &*pipeline.stage(*id).name).collect::<Vec<_>>();
    json!({
        "name": stage.name,
        "description": stage.description,
        "default": pipeline.is_default(id),
        "needs": names(&stage.needs),
        "after": names(&stage.after),
        "steps": stage.steps.iter().map(|step| json!({ "name": step.label, "command": step.command.show() })).collect::<Vec<_>>(),
        "outputs": stage.outputs.iter().map(crate::base::glob::Glob::path).collect::<Vec<_>>(),
        "pool": stage.pool.map(|pool| &pipeline.pool(pool).name),
    })
}
