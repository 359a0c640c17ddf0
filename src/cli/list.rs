//! `list`: the stages.

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
    let pipeline = &project.loaded.pipeline;
    let text = match arguments.format {
        Format::Json => format!(
            "{}\n",
            json!({ "pipeline": pipeline.name, "stages": pipeline.ids().map(|id| object(pipeline, id)).collect::<Vec<_>>() })
        ),
        Format::Text => table(pipeline, screen),
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

/// Returns what a stage waits for, in words.
pub(super) fn waits(pipeline: &Pipeline, stage: &Stage) -> String {
    let names = |word: &str, ids: &[StageId]| {
        let names: Vec<_> = ids.iter().map(|id| visible(&pipeline.stage(*id).name)).collect();
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
