//! Names become places: the last step from a file to a [`Pipeline`].

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::check;
use super::matrix::combinations;
use super::read::{At, Fields, Read, read};
use super::schema::FILE;
use super::stages::{Builder, Draft};
use crate::base::diagnostic::Diagnostic;
use crate::base::nearest;
use crate::base::source::Source;
use crate::model::graph::Graph;
use crate::model::pipeline::{CacheSettings, Pipeline, Pool};
use crate::model::stage::{PoolId, StageId};

/// How many problems a file may have before the nearest names are no longer looked for.
const MOST_HELPS: usize = 100;

/// How many circles are reported at most.
const MOST_CIRCLES: usize = 20;

/// A valid pipeline, and where in its file it says so.
#[derive(Debug)]
pub struct Loaded {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Where in the file each input of each stage stands.
    pub input_places: Vec<Vec<Range<usize>>>,
    /// Where in the file the name of each stage stands.
    pub stage_places: Vec<Range<usize>>,
}

/// Returns the pipeline that `source` declares.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn load(source: &Source) -> Result<Loaded, Vec<Diagnostic>> {
    if let Some(damage) = &source.damage {
        return Err(vec![damage.clone()]);
    }
    let mut problems = Vec::new();
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let Read { fields, broken } = read(text, &FILE, &mut problems);
    let shift = source.text.len() - text.len();
    let loaded = if broken { None } else { resolve(&fields, &mut problems) };
    let moved = |span: &Range<usize>| span.start + shift..span.end + shift;
    match loaded {
        Some(mut loaded) if problems.is_empty() => {
            loaded.input_places.iter_mut().flatten().chain(&mut loaded.stage_places).for_each(|place| *place = moved(place));
            Ok(loaded)
        }
        _ => {
            for label in problems.iter_mut().flat_map(|problem| &mut problem.labels) {
                label.span = moved(&label.span);
            }
            problems.sort_by(|a, b| (a.labels[0].span.start, &a.message).cmp(&(b.labels[0].span.start, &b.message)));
            problems.dedup();
            Err(problems)
        }
    }
}

fn resolve(fields: &Fields, problems: &mut Vec<Diagnostic>) -> Option<Loaded> {
    let drafts = drafts(fields, problems);
    let names = Names::new(&drafts, problems);
    let pools: Vec<Pool> =
        fields.sizes("pools").unwrap_or_default().iter().map(|(name, size)| Pool { name: name.value.clone(), size: *size }).collect();
    let needs: Vec<Vec<StageId>> = drafts.iter().map(|draft| names.find_all(&draft.needs, problems)).collect();
    let after: Vec<Vec<StageId>> = drafts.iter().map(|draft| names.find_all(&draft.after, problems)).collect();
    let own_pools: Vec<Option<PoolId>> = drafts.iter().map(|draft| find_pool(draft.pool.as_ref(), &pools, problems)).collect();
    let graph = graph(&drafts, &needs, &after, problems);
    check::outputs(&drafts, problems);
    check::literal_inputs(&drafts, &needs, problems);
    let empty = Fields::default();
    let header = fields.table("pipeline").unwrap_or(&empty);
    let mut default = match header.texts("default") {
        Some(default) => names.find_all(default, problems),
        None => names.all(),
    };
    default.sort_unstable();
    default.dedup();
    if let Some([]) = header.texts("default") {
        problems.push(Diagnostic::error(
            "`default` is empty, so nothing would run",
            header.span("default"),
            "name a stage, or leave `default` out to run all",
        ));
    }
    let shell = header
        .texts("shell")
        .map_or_else(|| ["sh", "-eu", "-c"].map(str::to_owned).to_vec(), |words| words.iter().map(|word| word.value.clone()).collect());
    let input_places = drafts.iter().map(|draft| draft.inputs.clone()).collect();
    let stage_places = drafts.iter().map(|draft| draft.span.clone()).collect();
    let stages = drafts.into_iter().zip(needs).zip(after).zip(own_pools).map(|(((draft, needs), after), pool)| {
        let mut stage = draft.stage;
        (stage.needs, stage.after, stage.pool) = (needs, after, pool);
        stage
    });
    let name = header.text("name")?.to_owned();
    let pipeline = Pipeline { name, default, shell, stages: stages.collect(), pools, graph: graph?, cache: cache(fields) };
    Some(Loaded { pipeline, input_places, stage_places })
}

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

fn drafts(fields: &Fields, problems: &mut Vec<Diagnostic>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let defaults = fields.table("defaults").cloned().unwrap_or_default();
    for (name, stage) in fields.tables("stages").unwrap_or_default() {
        let combinations = combinations(name, stage, problems);
        let mut builder = Builder { defaults: defaults.clone(), problems };
        drafts.extend(combinations.iter().map(|combination| builder.draft(name, stage, combination)));
    }
    drafts
}

/// What every name means: one stage, or all those of a matrix.
struct Names<'d> {
    meanings: HashMap<&'d str, Vec<StageId>>,
    count: u32,
}

impl<'d> Names<'d> {
    fn new(drafts: &'d [Draft], problems: &mut Vec<Diagnostic>) -> Self {
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
        Self { meanings, count }
    }

    fn all(&self) -> Vec<StageId> {
        (0..self.count).map(StageId).collect()
    }

    fn find_all(&self, names: &[At<String>], problems: &mut Vec<Diagnostic>) -> Vec<StageId> {
        let mut found: Vec<StageId> = Vec::with_capacity(names.len());
        for name in names {
            if let Some(ids) = self.meanings.get(name.value.as_str()) {
                found.extend(ids);
                continue;
            }
            let problem =
                Diagnostic::error(format!("there is no stage `{}`", name.value.escape_debug()), name.span.clone(), "unknown stage");
            let expands = name.value.contains("{matrix.");
            let expands = expands.then(|| "names of stages are not expanded: the name of a matrix means all of its stages".to_owned());
            // Where all is wrong a comparison of all with all helps nobody.
            let known = (problems.len() < MOST_HELPS).then(|| self.meanings.keys().copied().collect::<BTreeSet<_>>());
            problems.push(problem.maybe_help(expands.or_else(|| nearest::help("a stage", &name.value, known?))));
        }
        found
    }
}

fn find_pool(name: Option<&At<String>>, pools: &[Pool], problems: &mut Vec<Diagnostic>) -> Option<PoolId> {
    let name = name?;
    let place = pools.iter().position(|pool| pool.name == name.value);
    if place.is_none() {
        let help = nearest::help("a pool", &name.value, pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>());
        let help = help.or_else(|| Some(format!("declare it: [pools] {} = 1", name.value)));
        problems.push(
            Diagnostic::error(format!("there is no pool `{}`", name.value.escape_debug()), name.span.clone(), "unknown pool")
                .maybe_help(help),
        );
    }
    place.and_then(|place| u32::try_from(place).ok()).map(PoolId)
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
        let named = draft.needs.iter().chain(&draft.after).find(|edge| *edge.value == *target.name || *edge.value == *target.group);
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
