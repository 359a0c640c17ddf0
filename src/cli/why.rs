//! `why`: the reason why a stage ran or would run, whole.

use clap::Args;

use super::failing::Failing;
use super::flags::Global;
use super::project::{Project, invocation};
use super::screen::Screen;
use super::session::{Session, Wish};
use crate::base::text::visible;
use crate::engine::checkout::CacheMode;
use crate::engine::memory::Memory;
use crate::engine::plan::Plan;
use crate::engine::predict::{Foresight, Prediction};
use crate::engine::run::Run;
use crate::engine::traces::Belief;
use crate::model::outcome::Exit;
use crate::model::select::{Request, Selection};

/// The flags of `why`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The stage
    #[arg(value_name = "STAGE")]
    stage: String,
    /// Hash every file, whatever its times say
    #[arg(long)]
    paranoid: bool,
}

/// Says of each stage that the name means whether it would run, and compares it with the nearest earlier result. Runs and writes nothing.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let request = Request { stages: vec![arguments.stage.clone()], ..Request::default() };
    let selection = Selection::new(&project.pipeline, &request)?;
    let targets = selection.targets.clone();
    let plan = Plan::new(&project.pipeline, selection, &project.root, &invocation(global), Vec::new())
        .map_err(|error| Failing::usage(error.to_string()))?;
    let wish = Wish { mode: CacheMode::ReadOnly, force: false, paranoid: arguments.paranoid, only_look: true, keeps_services: false };
    let session = Session::open(&project, &plan, wish, false)?;
    let run = Run::new().map_err(|error| anyhow::anyhow!("no pipe can be made: {error}"))?;
    let means = session.means();
    let jobs = crate::base::parallel::processors();
    let memory = run.prepare(&plan, &means, jobs, Belief::Nothing)?;
    let predictions = memory.predict();
    for prediction in predictions.iter().filter(|prediction| targets.contains(&prediction.stage)) {
        explain(&memory, prediction, &predictions, screen);
    }
    Ok(Exit::Passed)
}

fn explain(memory: &Memory<'_>, prediction: &Prediction, all: &[Prediction], screen: &mut Screen) {
    let theme = screen.out_theme;
    let name = theme.strong(&visible(&prediction.name));
    let reason = prediction.reason.as_deref().map(|reason| format!(": {}", visible(reason))).unwrap_or_default();
    let would = match prediction.foresight {
        Some(Foresight::Hit) => format!("would not run: its result is known{reason}"),
        Some(Foresight::Miss | Foresight::Uncached) => format!("would run{reason}"),
        None => format!("may run{reason}"),
    };
    screen.show(&format!("{name} {would}\n"));
    if prediction.foresight.is_none() {
        // What decides is the first stage behind which nothing can be known.
        for other in all.iter().filter(|other| matches!(other.foresight, Some(Foresight::Miss | Foresight::Uncached))) {
            let reason = other.reason.as_deref().unwrap_or("it has no result");
            screen.show(&format!("  {} runs first: {}\n", visible(&other.name), visible(reason)));
        }
    }
    let is_hit = prediction.foresight == Some(Foresight::Hit);
    let Some(difference) = memory.compare(prediction) else {
        let which = if is_hit { "no other result" } else { "no earlier result" };
        if prediction.key.is_some() {
            screen.show(&format!("there is {which} of it to compare with\n"));
        }
        return;
    };
    let which = if is_hit { "its result before that" } else { "its nearest earlier result" };
    screen.show(&format!("compared with {which} ({}):\n", &difference.earlier.to_string()[..12]));
    for line in &difference.lines {
        screen.show(&format!("  {}\n", visible(line)));
    }
    if difference.lines.is_empty() {
        screen.show("  nothing differs\n");
    }
}
