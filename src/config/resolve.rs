//! Names become places: the last step from a file to a [`Pipeline`].

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::check;
use super::delivery;
use super::fields::{At, Fields};
use super::folder::{Files, Nothing};
use super::include::{Gathered, gather};
use super::matrix::combinations;
use super::named::Named;
use super::pools::Pools;
use super::scope::Scope;
use super::services::Services;
use super::stages::{Builder, Draft};
use crate::base::diagnostic::Diagnostic;
use crate::base::nearest;
use crate::base::source::{Source, Sources};
use crate::model::graph::Graph;
use crate::model::pipeline::{CacheSettings, HookSettings, Pipeline};
use crate::model::stage::{PoolId, ServiceId, StageId};

/// How many problems a file may have before the nearest names are no longer looked for.
const MOST_HELPS: usize = 100;

/// How many circles are reported at most.
const MOST_CIRCLES: usize = 20;

/// A valid pipeline, and where in its files it says so.
#[derive(Debug)]
pub struct Loaded {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Where that stands.
    pub places: Places,
}

/// Where in its files a pipeline says what it says.
#[derive(Debug)]
pub struct Places {
    /// Where in the files each input of each stage stands.
    pub inputs: Vec<Vec<Range<usize>>>,
    /// Where in the files the name of each stage stands.
    pub stages: Vec<Range<usize>>,
    /// Where in the files the name of each service stands.
    pub services: Vec<Range<usize>>,
    /// The files that environments name.
    pub named: Named,
}

/// Returns the pipeline that `source` declares, which includes no other file.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn load(source: &Source) -> Result<Loaded, Vec<Diagnostic>> {
    load_with(source.clone(), "pipeline.toml", &Nothing).1
}

/// Returns the pipeline that `source`, called `name` in the project's folder, declares together with what it includes from `files`; or
/// everything that is wrong with them, in the order of the files. Places are places in the sources.
pub fn load_with(source: Source, name: &str, files: &dyn Files) -> (Sources, Result<Loaded, Vec<Diagnostic>>) {
    let mut problems = Vec::new();
    let gathered = gather(source, name, files, &mut problems);
    let loaded = resolve(&gathered, &mut problems).filter(|_| problems.is_empty());
    problems.sort_by(|a, b| (a.labels[0].span.start, &a.message).cmp(&(b.labels[0].span.start, &b.message)));
    problems.dedup();
    (gathered.sources, loaded.ok_or(problems))
}

fn resolve(gathered: &Gathered, problems: &mut Vec<Diagnostic>) -> Option<Loaded> {
    let drafts = drafts(gathered, problems);
    let names = Names::new(&drafts, gathered, problems);
    let pools = Pools::new(gathered);
    let needs: Vec<Vec<StageId>> = drafts.iter().map(|draft| names.find_all(&draft.needs, &draft.home.scope, problems)).collect();
    let after: Vec<Vec<StageId>> = drafts.iter().map(|draft| names.find_all(&draft.after, &draft.home.scope, problems)).collect();
    let own_pools: Vec<Option<PoolId>> =
        drafts.iter().map(|draft| pools.find(draft.pool.as_ref(), draft.home.file, gathered, problems)).collect();
    let included: Vec<String> = gathered.files.iter().skip(1).map(|file| file.path.clone()).collect();
    let services = Services::new(gathered, problems);
    let own_services: Vec<Vec<ServiceId>> =
        drafts.iter().map(|draft| services.find_all(&draft.services, draft.home.file, gathered, problems)).collect();
    let graph = graph(&drafts, &needs, &after, problems);
    check::outputs(&drafts, problems);
    check::included(&drafts, &included, problems);
    check::literal_inputs(&drafts, &needs, problems);
    let default = default(gathered, &names, problems);
    let hook = hook(gathered, &names, problems);
    let needed = delivery::needs(gathered).map(|named| names.find_all(named, &gathered.files[0].scope, problems));
    let delivery = delivery::delivery(gathered, needed.unwrap_or_else(|| default.clone()), problems);
    let input_places: Vec<_> = drafts.iter().map(|draft| draft.inputs.clone()).collect();
    let stage_places: Vec<_> = drafts.iter().map(|draft| draft.span.clone()).collect();
    let stages =
        drafts.into_iter().zip(needs).zip(after).zip(own_pools).zip(own_services).map(|((((draft, needs), after), pool), services)| {
            let mut stage = draft.stage;
            (stage.needs, stage.after, stage.pool, stage.services) = (needs, after, pool, services);
            stage
        });
    let main = &gathered.files[0].fields;
    let name = main.table("pipeline")?.text("name")?.to_owned();
    let (stages, services, service_places, pools) = (stages.collect(), services.all, services.places, pools.all);
    let digest = gathered.sources.digest(&included);
    let pipeline = Pipeline { name, digest, default, included, stages, services, pools, graph: graph?, cache: cache(main), hook, delivery };
    let named = Named::of(&gathered.files[0]);
    let places = Places { inputs: input_places, stages: stage_places, services: service_places, named };
    Some(Loaded { pipeline, places })
}

/// Returns what runs when no stage is named. What an included file says of that holds where it is run alone.
fn default(gathered: &Gathered, names: &Names<'_>, problems: &mut Vec<Diagnostic>) -> Vec<StageId> {
    let mut of_main = None;
    for (place, file) in gathered.files.iter().enumerate() {
        let Some((header, named)) = file.fields.table("pipeline").and_then(|header| Some((header, header.texts("default")?))) else {
            continue;
        };
        let found = names.find_all(named, &file.scope, problems);
        if named.is_empty() {
            problems.push(Diagnostic::error(
                "`default` is empty, so nothing would run",
                header.span("default"),
                "name a stage, or leave `default` out to run all",
            ));
        }
        if place == 0 {
            of_main = Some(found);
        }
    }
    let mut default = of_main.unwrap_or_else(|| names.all());
    default.sort_unstable();
    default.dedup();
    default
}

/// Returns what the first file says of the store: there is one for all.
fn cache(fields: &Fields) -> CacheSettings {
    let empty = Fields::default();
    let fields = fields.table("cache").unwrap_or(&empty);
    let default = CacheSettings::default();
    CacheSettings {
        dir: fields.text("dir").map(str::to_owned),
        max_size: fields.size("max-size").copied().unwrap_or(default.max_size),
        max_age: fields.duration("max-age").copied().unwrap_or(default.max_age),
    }
}

/// Returns what the hooks of git test. What an included file says of that holds where it is run alone.
fn hook(gathered: &Gathered, names: &Names<'_>, problems: &mut Vec<Diagnostic>) -> HookSettings {
    let mut of_main = HookSettings::default();
    for (place, file) in gathered.files.iter().enumerate() {
        let Some(fields) = file.fields.table("hook") else { continue };
        let mut stages = |key: &str| {
            let list = fields.texts(key)?;
            if list.is_empty() {
                problems.push(Diagnostic::error(
                    format!("`{key}` is empty, so nothing would be tested"),
                    fields.span(key),
                    "name a stage, or leave it out to run the pipeline's default",
                ));
            }
            Some(names.find_all(list, &file.scope, problems))
        };
        let settings = HookSettings { pre_push: stages("pre-push"), pre_commit: stages("pre-commit") };
        if place == 0 {
            of_main = settings;
        }
    }
    of_main
}

fn drafts(gathered: &Gathered, problems: &mut Vec<Diagnostic>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (place, file) in gathered.files.iter().enumerate().filter(|(_, file)| !file.broken) {
        let home = file.home(place);
        let defaults = file.fields.table("defaults").cloned().unwrap_or_default();
        for (name, stage) in file.fields.tables("stages").unwrap_or_default() {
            let combinations = combinations(name, stage, problems);
            let mut builder = Builder { home: home.clone(), defaults: defaults.clone(), problems };
            drafts.extend(combinations.iter().map(|combination| builder.draft(name, stage, combination)));
        }
    }
    drafts
}

/// What every name means: one stage, or all those of a matrix.
struct Names<'d> {
    meanings: HashMap<&'d str, Vec<StageId>>,
    gathered: &'d Gathered,
    count: u32,
}

impl<'d> Names<'d> {
    fn new(drafts: &'d [Draft], gathered: &'d Gathered, problems: &mut Vec<Diagnostic>) -> Self {
        let mut meanings: HashMap<&str, Vec<StageId>> = HashMap::with_capacity(drafts.len());
        let mut count = 0;
        for draft in drafts {
            let id = StageId(count);
            count += 1;
            let (name, group) = (&*draft.stage.name, &*draft.stage.group);
            meanings.entry(group).or_default().push(id);
            if name != group && meanings.insert(name, vec![id]).is_some() {
                problems.push(Diagnostic::error(
                    format!("two stages are called `{}`", name.escape_debug()),
                    draft.span.clone(),
                    "values of its matrix that are written alike",
                ));
            }
        }
        Self { meanings, gathered, count }
    }

    fn all(&self) -> Vec<StageId> {
        (0..self.count).map(StageId).collect()
    }

    /// Returns the stages that a file of this scope means by these names.
    fn find_all(&self, names: &[At<String>], scope: &Scope, problems: &mut Vec<Diagnostic>) -> Vec<StageId> {
        let mut found: Vec<StageId> = Vec::with_capacity(names.len());
        for name in names {
            let full = scope.absolute(&name.value);
            if let Some(ids) = self.meanings.get(full.as_str()) {
                found.extend(ids);
            } else if !self.may_be_unread(&full) {
                problems.push(self.unknown(name, scope, problems.len()));
            }
        }
        found
    }

    /// Tells whether a stage of this full name could stand in a file, or in a part of one, that could not be read: one cause, one error.
    fn may_be_unread(&self, full: &str) -> bool {
        let Some(home) = self.gathered.home_of(full) else { return false };
        home.broken || (self.gathered.incomplete && home.scope.spelled(full).contains('/'))
    }

    fn unknown(&self, name: &At<String>, scope: &Scope, problems: usize) -> Diagnostic {
        let problem = Diagnostic::error(format!("there is no stage `{}`", name.value.escape_debug()), name.span.clone(), "unknown stage");
        if name.value.contains("{matrix.") {
            return problem.help("names of stages are not expanded: the name of a matrix means all of its stages");
        }
        if self.meanings.contains_key(name.value.as_str()) {
            let written = scope.spelled(&name.value);
            return problem
                .help(format!("a name means a stage of its own file; one that begins with `/` is counted from the root: `{written}`"));
        }
        if name.value.starts_with('/') && self.gathered.files.len() == 1 {
            return problem.help("`/` means a stage of the pipeline that includes this file: run it from there");
        }
        // Where all is wrong a comparison of all with all helps nobody.
        let known = (problems < MOST_HELPS).then(|| self.meanings.keys().map(|full| scope.spelled(full)).collect::<BTreeSet<_>>());
        problem.maybe_help(known.and_then(|known| nearest::help("a stage", &name.value, known.iter().map(String::as_str))))
    }
}

/// Returns the graph; each circle is reported, then opened to find the next.
fn graph(drafts: &[Draft], needs: &[Vec<StageId>], after: &[Vec<StageId>], problems: &mut Vec<Diagnostic>) -> Option<Graph> {
    let mut edges: Vec<Vec<StageId>> = needs.iter().zip(after).map(|(needs, after)| [needs.as_slice(), after].concat()).collect();
    for round in 0..=MOST_CIRCLES {
        let circle = match Graph::new(edges.clone()) {
            Ok(graph) => return (round == 0).then_some(graph),
            Err(circle) => circle,
        };
        let last = circle[circle.len() - 1];
        edges[last.index()].retain(|edge| *edge != circle[0]);
        problems.push(describe(&circle, drafts));
    }
    None
}

fn describe(circle: &[StageId], drafts: &[Draft]) -> Diagnostic {
    let name = |id: &StageId| &drafts[id.index()].stage.name;
    let path: Vec<String> = circle.iter().chain(circle.first()).map(|id| format!("`{}`", name(id))).collect();
    let mut places = circle.iter().enumerate().map(|(index, id)| {
        let next = &circle[(index + 1) % circle.len()];
        let draft = &drafts[id.index()];
        let target = &drafts[next.index()].stage;
        let is_target = |edge: &&At<String>| {
            let full = draft.home.scope.absolute(&edge.value);
            full == *target.name || full == *target.group
        };
        let named = draft.needs.iter().chain(&draft.after).find(is_target);
        (named.map_or(draft.span.clone(), |edge| edge.span.clone()), format!("`{}` waits for `{}`", name(id), name(next)))
    });
    let message = if circle.len() == 1 {
        format!("the stage {} waits for itself", path[0])
    } else {
        format!("stages wait for each other in a circle: {}", path.join(" -> "))
    };
    let (span, label) = places.next().expect("a circle has a stage");
    places.take(9).fold(Diagnostic::error(message, span, label), |problem, (span, label)| problem.and(span, label))
}
