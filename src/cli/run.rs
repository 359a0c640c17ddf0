//! `run`: the named stages and what they need, or the default ones.

use std::mem::ManuallyDrop;

use clap::Args;
use serde_json::json;

use super::affected::narrow;
use super::execute::{Execution, How};
use super::failing::Failing;
use super::flags::{Format, Global};
use super::project::{Project, invocation};
use super::reports::{Reports, Wanted, read_wanted};
use super::screen::Screen;
use super::session::{Session, Wish};
use super::{signals, twice};
use crate::base::text::visible;
use crate::engine::plan::Plan;
use crate::engine::predict::{Foresight, Prediction};
use crate::engine::run::Run;
use crate::engine::traces::Belief;
use crate::model::outcome::Exit;
use crate::model::select::{Request, Selection};

/// The flags of `run`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Stages to run; without any, the pipeline's default
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
    #[command(flatten)]
    how: How,
    /// Show what would run, and why; run and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Run every stage, whatever is known of it, and store its result anew
    #[arg(long)]
    force: bool,
    /// Run again in another place, and fail where the outputs differ
    #[arg(long, conflicts_with = "dry_run")]
    twice: bool,
    /// Run the named stages without what they need, whose outputs are taken as they are
    #[arg(long)]
    only: bool,
    /// Do not run this stage, but what waits for it; may be given again
    #[arg(long, value_name = "STAGE")]
    skip: Vec<String>,
    /// Of these only stages whose files or definition differ from the base, and what depends on them; what they need runs, too
    #[arg(long)]
    affected: bool,
    /// The base is the merge base with this commit or branch; without it, with the remote's default branch
    #[arg(long, value_name = "REV", requires = "affected")]
    base: Option<String>,
    /// Leave a report behind, as html, json, junit, markdown or trace; may be given again
    #[arg(long, value_name = "FORMAT=PATH", value_parser = read_wanted, conflicts_with = "dry_run")]
    report: Vec<Wanted>,
    /// Arguments for the last step of the single selected stage
    #[arg(last = true, value_name = "ARGS")]
    for_last_step: Vec<String>,
}

/// Runs, or with `--dry-run` says what would run.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    // The process ends when the run has: to give a large pipeline back piece by piece would only take time.
    let project = ManuallyDrop::new(Project::load(global)?);
    let pipeline = &project.pipeline;
    let request = Request { stages: arguments.stages.clone(), only: arguments.only, skip: arguments.skip.clone() };
    let selection = Selection::new(pipeline, &request)?;
    let plan = Plan::new(pipeline, selection, &project.root, &invocation(global), arguments.for_last_step.clone())
        .map_err(|error| Failing::usage_with_help(error.to_string(), "name one stage before `--`"))?;
    let narrowed = arguments.affected.then(|| narrow(&project, &plan, arguments.base.as_deref(), arguments.only)).transpose()?;
    let (plan, told) = narrowed.unwrap_or((plan, Vec::new()));
    let how = &arguments.how;
    let reports = Reports::new(&project, &arguments.report)?;
    let wish = Wish { force: arguments.force, only_look: arguments.dry_run, ..how.wish() };
    let session = Session::open(&project, &plan, wish, how.is_coloured(screen))?;
    let run = Run::new().map_err(|error| anyhow::anyhow!("no pipe can be made: {error}"))?;
    if arguments.dry_run {
        told.iter().for_each(|line| screen.say(line));
        let memory = run.prepare(&plan, &session.means(), how.jobs(), Belief::Nothing)?;
        predict(&plan, &memory.predict(), how.format, screen);
        return Ok(Exit::Passed);
    }
    signals::listen(run.interrupter()).map_err(|error| anyhow::anyhow!("signals cannot be heard: {error}"))?;
    let mut execution = Execution::prepare(&run, global, how, &plan, &session, &reports, screen)?;
    let told: Vec<String> = told.into_iter().take(if global.verbose { usize::MAX } else { 1 }).collect();
    let mut exit = execution.go(run, &project, &told, reports, screen);
    if arguments.twice && exit == Exit::Passed {
        exit = twice::again(&project, &session, &execution, how.format, screen)?;
    }
    if let Some(trouble) = session.close() {
        screen.warn(&trouble);
    }
    Ok(exit)
}

/// Says what would run, and why.
fn predict(plan: &Plan<'_>, predictions: &[Prediction], format: Format, screen: &mut Screen) {
    let word = |prediction: &Prediction| match prediction.foresight {
        Some(Foresight::Hit) => Some("hit"),
        Some(Foresight::Miss) => Some("miss"),
        Some(Foresight::Uncached) => Some("uncached"),
        None => None,
    };
    if format == Format::Json {
        let stages: Vec<_> = predictions
            .iter()
            .map(|prediction| {
                let key = prediction.key.map(|key| key.to_string());
                json!({ "stage": prediction.name, "prediction": word(prediction), "reason": prediction.reason, "key": key })
            })
            .collect();
        return screen.print(&format!("{}\n", json!({ "stages": stages })));
    }
    let theme = screen.out_theme;
    for prediction in predictions {
        let reason = prediction.reason.as_deref().map(|reason| format!("  {}", visible(reason))).unwrap_or_default();
        let name = theme.strong(&visible(&prediction.name));
        screen.show(&format!("{name}  {}{}\n", word(prediction).unwrap_or("unknown"), theme.faint(&reason)));
        if prediction.foresight != Some(Foresight::Hit) {
            for step in &plan.pipeline.stage(prediction.stage).steps {
                screen.show(&format!("  $ {}\n", visible(&plan.command(prediction.stage, step).show())));
            }
        }
    }
}
