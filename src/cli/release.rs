//! `release`: makes a release of what passes; lists and shows those that were made.

use std::collections::HashSet;

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::deploy::settle_all;
use super::depot::Depot;
use super::execute::{Execution, How};
use super::failing::Failing;
use super::flags::{Format, Global};
use super::project::{Project, invocation};
use super::reports::Reports;
use super::screen::Screen;
use super::session::Session;
use super::{signals, twice};
use crate::base::digest::Hash;
use crate::base::size;
use crate::base::text::{count, visible};
use crate::delivery::evidence::{Evidence, Gathering};
use crate::delivery::manifest::{Manifest, Mode};
use crate::delivery::package::{Source, package};
use crate::engine::memory::Memory;
use crate::engine::plan::Plan;
use crate::engine::run::Run;
use crate::git::state::Head;
use crate::ledger::entry::{Deed, Entry, Released};
use crate::ledger::history::History;
use crate::ledger::shared::Reach;
use crate::model::delivery::ReleaseRule;
use crate::model::outcome::Exit;
use crate::model::select::{Request, Selection};

/// The flags of `release`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    how: How,
    /// Also with changes that no commit has; such a release never reaches an environment that needs an approval
    #[arg(long)]
    dirty: bool,
    /// Run again in another place first, and make none where the outputs differ
    #[arg(long)]
    twice: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the releases, the newest first
    List {
        /// For people, or one JSON object
        #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
        format: Format,
    },
    /// Show what a release consists of
    Show {
        /// Its id, the beginning of that, or its name
        #[arg(value_name = "RELEASE")]
        release: String,
        /// For people, or one JSON object
        #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
        format: Format,
    },
}

/// Makes, lists or shows.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    match &arguments.command {
        Some(Command::List { format }) => list(global, *format, screen),
        Some(Command::Show { release, format }) => show(global, release, *format, screen),
        None => make(global, arguments, screen),
    }
}

fn make(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let Some(rule) = &project.pipeline.delivery.release else {
        let help = "say what a release consists of: [release] with artifacts = [\"…\"]";
        return Err(Failing::usage_with_help("the pipeline has no [release]", help));
    };
    let depot = Depot::open(&project, screen)?;
    let head = clean_head(&depot, arguments.dirty)?;
    let stages = rule.needs.iter().map(|id| project.pipeline.stage(*id).name.to_string()).collect();
    let selection = Selection::new(&project.pipeline, &Request { stages, ..Request::default() })?;
    let plan = Plan::new(&project.pipeline, selection, &project.root, &invocation(global), Vec::new())
        .map_err(|error| Failing::usage(error.to_string()))?;
    let how = &arguments.how;
    let session = Session::open(&project, &plan, how.wish(), how.is_coloured(screen))?;
    let run = Run::new().map_err(|error| anyhow::anyhow!("no pipe can be made: {error}"))?;
    signals::listen(run.interrupter()).map_err(|error| anyhow::anyhow!("signals cannot be heard: {error}"))?;
    let reports = Reports::new(&project, &[])?;
    let mut execution = Execution::prepare(&run, global, how, &plan, &session, &reports, screen)?;
    execution.ask_for_nothing();
    execution.gathering = Some(Gathering::default());
    let mut exit = execution.go(run, &project, &[], reports, screen);
    if arguments.twice && exit == Exit::Passed {
        exit = twice::again(&project, &session, &execution, how.format, screen)?;
    }
    let evidence = execution.gathering.take().unwrap_or_default().evidence();
    let makes = || release(&project, rule, &depot, &head, &execution.memory, &evidence, arguments.dirty);
    let released = (exit == Exit::Passed).then(makes).transpose();
    if let Some(trouble) = session.close() {
        screen.warn(&trouble);
    }
    let Some(released) = released? else { return Ok(exit) };
    depot.tell(screen);
    tell(&released, how.format, screen);
    Ok(settle_all(global, &project, &depot, screen))
}

/// Returns the commit that is checked out; it must be all that lies there, unless `dirty`.
fn clean_head(depot: &Depot, dirty: bool) -> Result<Head, Failing> {
    let repository = depot.repository();
    let head = repository.head()?.ok_or_else(|| anyhow::anyhow!("a release is made from a commit, and there is none yet"))?;
    if let Some(dirt) = repository.dirt()?.filter(|_| !dirty) {
        let help = "commit it, or put what does not belong to the project into .gitignore; --dirty makes one all the same";
        return Err(anyhow::anyhow!("a release is made from what a commit has, and {dirt}\n  help: {help}").into());
    }
    Ok(head)
}

/// Takes what passed into a release, and records it.
fn release(
    project: &Project,
    rule: &ReleaseRule,
    depot: &Depot,
    head: &Head,
    memory: &Memory<'_>,
    evidence: &Evidence,
    dirty: bool,
) -> Result<Released, Failing> {
    let pipeline = &project.pipeline;
    let stages = &memory.plan().stages;
    let outputs: Vec<_> = stages.iter().flat_map(|id| pipeline.stage(*id).outputs.iter().cloned()).collect();
    let tracked = depot.repository().tracked(&project.root)?.into_iter().filter_map(|path| path.into_os_string().into_string().ok());
    let tracked: HashSet<String> = tracked.collect();
    let is_dirty = dirty && depot.repository().dirt()?.is_some();
    let source = Source { root: &project.root, artifacts: &rule.artifacts, outputs: &outputs, tracked: &tracked, head, dirty: is_dirty };
    let manifest = package(&source, &depot.vault).map_err(anyhow::Error::new)?;
    // What was changed until now, in the files or by a stage, may be in the release.
    if clean_head(depot, is_dirty)? != *head {
        return Err(anyhow::anyhow!("another commit was checked out while the release was made").into());
    }
    for id in
        stages.iter().filter(|id| pipeline.stage(**id).outputs.iter().any(|output| rule.artifacts.iter().any(|glob| glob.overlaps(output))))
    {
        let name = visible(&pipeline.stage(*id).name).into_owned();
        if !memory.lies_as_made(*id).with_context(|| format!("the outputs of `{name}` cannot be read"))? {
            return Err(anyhow::anyhow!("the outputs of `{name}` were changed after it had made them").into());
        }
    }
    let stages = stages.iter().map(|id| pipeline.stage(*id).name.to_string()).collect();
    let evidence = depot.vault.writable().map_err(anyhow::Error::new)?.put(&evidence.bytes()).context("the evidence cannot be kept")?;
    let made = Released {
        release: manifest.id().to_string(),
        name: String::new(),
        pipeline: pipeline.name.clone(),
        commit: head.commit.clone(),
        dirty: manifest.dirty,
        author: head.author.clone(),
        committed_at: Timestamp::from_second(head.committed_at).unwrap_or_default(),
        stages,
        evidence: Some(evidence.hash.to_string()),
        artifacts: manifest.artifacts.len(),
        size: manifest.size(),
        irreversible: rule.irreversible,
    };
    record(depot, &manifest, made)
}

/// Records a release that was made, and gives it a name.
fn record(depot: &Depot, manifest: &Manifest, mut made: Released) -> Result<Released, Failing> {
    depot.journal.add(Reach::Most, &mut |history| {
        made.name = name_in(history, manifest, &made.release);
        let is_known = history.releases().iter().any(|(_, other)| **other == made);
        (!is_known).then(|| Deed::Released(Box::new(made.clone())))
    })?;
    Ok(made)
}

/// Returns what the release is called: what it is called already, else a name that no other has.
fn name_in(history: &History, manifest: &Manifest, id: &str) -> String {
    let releases = history.releases();
    if let Some((_, known)) = releases.iter().find(|(_, known)| known.release == id) {
        return known.name.clone();
    }
    let name = manifest.name();
    let mut names = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
    names.find(|name| !releases.iter().any(|(_, other)| other.name == *name)).unwrap_or(name)
}

fn tell(released: &Released, format: Format, screen: &mut Screen) {
    if format == Format::Json {
        let mut line = json!({ "v": 1, "at": Timestamp::now().to_string(), "event": "released" });
        line.as_object_mut().into_iter().for_each(|line| line.extend(object(released)));
        return screen.print(&format!("{line}\n"));
    }
    let what = format!("{}, {}", count(released.artifacts, "artifact"), size::show(released.size));
    let dirty = if released.dirty { ", with changes that no commit has" } else { "" };
    screen.say(&format!("released {}: {what}, from commit {}{dirty}", released.name, short(&released.commit)));
    screen.print(&format!("{} {}\n", released.release, released.name));
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn object(released: &Released) -> serde_json::Map<String, Value> {
    match serde_json::to_value(released) {
        Ok(Value::Object(object)) => object,
        _ => serde_json::Map::new(),
    }
}

fn list(global: &Global, format: Format, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let history = Depot::open(&project, screen)?.journal.read()?;
    let releases = history.releases();
    if format == Format::Json {
        let releases: Vec<Value> = releases.iter().map(|(entry, released)| described(entry, released)).collect();
        screen.print(&format!("{}\n", json!({ "releases": releases })));
        return Ok(Exit::Passed);
    }
    let width = releases.iter().map(|(_, released)| released.name.len()).max().unwrap_or(0);
    for (entry, released) in &releases {
        let (theme, what) = (screen.out_theme, format!("{}, {}", count(released.artifacts, "artifact"), size::show(released.size)));
        let name = theme.strong(&format!("{:<width$}", visible(&released.name)));
        let at = entry.at.strftime("%Y-%m-%d %H:%M:%SZ");
        let dirty = if released.dirty { "  dirty" } else { "" };
        screen.show(&format!("{name}  {}  {at}  commit {}  {what}{dirty}\n", short(&released.release), short(&released.commit)));
    }
    if releases.is_empty() {
        screen.print("no release was made yet\n");
    }
    Ok(Exit::Passed)
}

fn described(entry: &Entry, released: &Released) -> Value {
    let mut described = object(released);
    described.insert("at".to_owned(), json!(entry.at.to_string()));
    described.insert("actor".to_owned(), json!(entry.actor));
    Value::Object(described)
}

fn show(global: &Global, text: &str, format: Format, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let history = depot.journal.read()?;
    let (released, manifest) = depot.release(&history, text)?;
    let (entry, _) = history.release(&released.release)?;
    let hash = |digest: Option<Hash>| digest.map(|hash| hash.to_string()).unwrap_or_default();
    if format == Format::Json {
        let mut described = described(entry, released);
        described["manifest"] = serde_json::to_value(&manifest).unwrap_or_default();
        screen.print(&format!("{described}\n"));
        return Ok(Exit::Passed);
    }
    let theme = screen.out_theme;
    let dirty = if released.dirty { " with changes that no commit has" } else { "" };
    let lines = [
        format!("{}  {}", theme.strong(&visible(&released.name)), released.release),
        format!("commit   {}{dirty}", released.commit),
        format!("tree     {}", manifest.tree),
        format!(
            "made     {} by {} <{}> on {}",
            entry.at.strftime("%Y-%m-%d %H:%M:%SZ"),
            visible(&entry.actor.name),
            visible(&entry.actor.email),
            visible(&entry.actor.host)
        ),
        format!("passed   {}", visible(&released.stages.join(", "))),
    ];
    lines.iter().for_each(|line| screen.show(&format!("{line}\n")));
    for artifact in &manifest.artifacts {
        let digest = artifact.digest();
        let kind = match artifact.mode {
            Mode::File => "",
            Mode::Executable => "  executable",
            Mode::Link => "  link",
            Mode::Folder => "  folder",
        };
        let size = size::show(digest.map_or(0, |digest| digest.size));
        screen.show(&format!("{}  {:>9}  {}{kind}\n", hash(digest.map(|digest| digest.hash)), size, visible(&artifact.name)));
    }
    Ok(Exit::Passed)
}
