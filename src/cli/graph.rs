//! `graph`: which stage waits for which, for people and for programs that draw.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::failing::Failing;
use super::flags::Global;
use super::list::waits;
use super::project::Project;
use super::screen::Screen;
use crate::base::text::visible;
use crate::model::outcome::Exit;
use crate::model::pipeline::Pipeline;
use crate::model::stage::StageId;

/// The flags of `graph`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How the graph is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Form,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// Each stage behind those that it waits for
    Text,
    /// For Graphviz
    Dot,
    /// For Markdown that draws Mermaid
    Mermaid,
    /// Stages and edges
    Json,
}

/// Prints the graph. An edge leads from a stage to one that waits for it; those of `after` are dashed.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let pipeline = &project.pipeline;
    let text = match arguments.format {
        Form::Text => text(pipeline),
        Form::Dot => dot(pipeline),
        Form::Mermaid => mermaid(pipeline),
        Form::Json => json(pipeline),
    };
    screen.print(&text);
    Ok(Exit::Passed)
}

fn text(pipeline: &Pipeline) -> String {
    let line = |id: &StageId| {
        let stage = pipeline.stage(*id);
        format!("{}  {}", visible(&stage.name), waits(pipeline, stage)).trim_end().to_owned() + "\n"
    };
    pipeline.graph.order().iter().map(line).collect()
}

/// Returns each edge, and whether it is one of `after` alone.
fn edges(pipeline: &Pipeline) -> impl Iterator<Item = (StageId, StageId, bool)> {
    let of_stage = move |id: StageId| {
        let stage = pipeline.stage(id);
        pipeline.graph.upstream(id).iter().map(move |above| (*above, id, !stage.needs.contains(above)))
    };
    pipeline.ids().flat_map(of_stage)
}

fn dot(pipeline: &Pipeline) -> String {
    let quote = |id: StageId| format!("\"{}\"", visible(&pipeline.stage(id).name).replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = "digraph pipeline {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
    text.extend(pipeline.ids().map(|id| format!("  {};\n", quote(id))));
    text.extend(
        edges(pipeline)
            .map(|(from, to, is_after)| format!("  {} -> {}{};\n", quote(from), quote(to), if is_after { " [style=dashed]" } else { "" })),
    );
    text + "}\n"
}

fn mermaid(pipeline: &Pipeline) -> String {
    let label = |id: StageId| visible(&pipeline.stage(id).name).replace('#', "#35;").replace('"', "#quot;");
    let mut text = "flowchart LR\n".to_owned();
    text.extend(pipeline.ids().map(|id| format!("  s{}[\"{}\"]\n", id.0, label(id))));
    text.extend(edges(pipeline).map(|(from, to, is_after)| format!("  s{} {} s{}\n", from.0, if is_after { "-.->" } else { "-->" }, to.0)));
    text
}

fn json(pipeline: &Pipeline) -> String {
    let name = |id: StageId| &pipeline.stage(id).name;
    let stages: Vec<_> = pipeline.graph.order().iter().map(|id| json!({ "name": name(*id), "needs": names(pipeline, &pipeline.stage(*id).needs), "after": names(pipeline, &pipeline.stage(*id).after) })).collect();
    let edges: Vec<_> = edges(pipeline)
        .map(|(from, to, is_after)| json!({ "from": name(from), "to": name(to), "kind": if is_after { "after" } else { "needs" } }))
        .collect();
    format!("{}\n", json!({ "pipeline": pipeline.name, "stages": stages, "edges": edges }))
}

fn names<'p>(pipeline: &'p Pipeline, ids: &[StageId]) -> Vec<&'p str> {
    ids.iter().map(|id| &*pipeline.stage(*id).name).collect()
}
