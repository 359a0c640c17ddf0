//! `runs`: the recorded runs.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::failing::Failing;
use super::flags::{Format, Global};
use super::project::Project;
use super::screen::Screen;
use crate::base::duration::show;
use crate::base::text::count;
use crate::model::outcome::{Exit, RunOutcome};
use crate::record::reader::{Overview, records};

/// The flags of `runs`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// For people, or one JSON object
    #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Lists the recorded runs, the newest first.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    let root = Project::folder(global)?;
    let overviews =
        records(&root).and_then(|records| records.iter().map(crate::record::reader::Record::overview).collect::<Result<Vec<_>, _>>());
    let overviews = overviews.context("the recorded runs cannot be read")?;
    if arguments.format == Format::Json {
        screen.print(&format!("{}\n", json!({ "runs": overviews })));
        return Ok(Exit::Passed);
    }
    for overview in &overviews {
        let line = line(overview, screen);
        screen.show(&line);
    }
    if overviews.is_empty() {
        screen.print("no run is recorded here\n");
    }
    Ok(Exit::Passed)
}

fn line(overview: &Overview, screen: &Screen) -> String {
    let theme = screen.out_theme;
    let outcome = match overview.outcome {
        Some(RunOutcome::Passed) => theme.good("passed     "),
        Some(RunOutcome::Failed) => theme.bad("failed     "),
        Some(RunOutcome::Cancelled) => theme.warn("interrupted"),
        None => theme.warn("unfinished "),
    };
    let took = overview.duration_ms.map(|milliseconds| format!(" in {}", show(Duration::from_millis(milliseconds)))).unwrap_or_default();
    let at = overview.at.map(|at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default();
    format!("{}  {at}  {outcome}  {}{took}\n", overview.run, count(overview.stages, "stage"))
}
