//! What of a stage's definition decides what comes out of it, and whether that is the same in two pipelines.
//!
//! Knows two pipelines, such as that of now and that of an earlier commit; knows nothing of files.

use super::pipeline::Pipeline;
use super::reports::{MetricRule, Reports};
use super::service::Service;
use super::stage::{Selector, Stage, StageId, Step};
use crate::base::glob::Glob;

/// Returns what differs between the stage `id` of `ours` and the stage of that name of `theirs`, in a word for people; `None` where they
/// are defined alike. What is in no key (contract, section 4) is no difference: descriptions, timeouts, retries, pools, jobserver.
pub fn difference(ours: &Pipeline, id: StageId, theirs: &Pipeline) -> Option<&'static str> {
    let stage = ours.stage(id);
    let Some(other) = theirs.stages.iter().find(|other| other.name == stage.name) else { return Some("it is new") };
    // Taken apart, so that no key can be added and forgotten here.
    let Stage {
        name: _,
        group: _,
        description: _,
        needs,
        after,
        shell,
        steps,
        inputs,
        outputs,
        dir,
        env,
        pass_env,
        secrets,
        tools,
        cache,
        clean,
        portable,
        timeout: _,
        retries: _,
        pool: _,
        services: _,
        lets_stay: _,
        reports,
        jobserver: _,
    } = stage;
    let differing = [
        ("its `needs` differ", names(ours, needs) != names(theirs, &other.needs)),
        ("its `after` differs", names(ours, after) != names(theirs, &other.after)),
        ("its `shell` differs", shell != &other.shell),
        ("its `steps` differ", !same(steps, &other.steps, are_alike)),
        ("its `inputs` differ", !same_inputs(inputs.as_deref(), other.inputs.as_deref())),
        ("its `outputs` differ", !same(outputs, &other.outputs, is_same_glob)),
        ("its `dir` differs", dir != &other.dir),
        ("its `env` differs", env != &other.env),
        ("its `pass-env` differs", pass_env != &other.pass_env),
        ("its `secrets` differ", secrets != &other.secrets),
        ("its `tools` differ", tools != &other.tools),
        ("its `services` differ", !same(&ours.services_of(stage), &theirs.services_of(other), |a, b| is_same_service(a, b))),
        ("its `reports` differ", !are_alike_reports(reports.as_deref(), other.reports.as_deref())),
        ("its `cache`, `clean` or `portable` differs", (cache, clean, portable) != (&other.cache, &other.clean, &other.portable)),
    ];
    differing.into_iter().find(|(_, differs)| *differs).map(|(what, _)| what)
}

fn names<'p>(pipeline: &'p Pipeline, ids: &[StageId]) -> Vec<&'p str> {
    let mut names: Vec<&str> = ids.iter().map(|id| &*pipeline.stage(*id).name).collect();
    names.sort_unstable();
    names
}

fn same<T>(ours: &[T], theirs: &[T], is_same: impl Fn(&T, &T) -> bool) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| is_same(a, b))
}

fn are_alike(step: &Step, other: &Step) -> bool {
    let Step { label: _, command, dir, env, timeout: _, retries: _ } = step;
    (command, dir, env) == (&other.command, &other.dir, &other.env)
}

fn is_same_service(service: &Service, other: &Service) -> bool {
    let Service { name, start, shell, ready, env, pass_env, secrets, timeout: _, stop: _ } = service;
    are_alike(start, &other.start)
        && (name, shell, ready) == (&other.name, &other.shell, &other.ready)
        && (env, pass_env, secrets) == (&other.env, &other.pass_env, &other.secrets)
}

fn are_alike_reports(reports: Option<&Reports>, other: Option<&Reports>) -> bool {
    let (Some(reports), Some(other)) = (reports, other) else { return reports.is_none() && other.is_none() };
    let Reports { junit, sarif, fail_on, metrics } = reports;
    let is_same_metric = |one: &MetricRule, other: &MetricRule| {
        let MetricRule { name, file, pointer, max, min, regression } = one;
        is_same_glob(file, &other.file)
            && (name, pointer, max, min, regression) == (&other.name, &other.pointer, &other.max, &other.min, &other.regression)
    };
    same(junit, &other.junit, is_same_glob)
        && same(sarif, &other.sarif, is_same_glob)
        && *fail_on == other.fail_on
        && same(metrics, &other.metrics, is_same_metric)
}

fn same_inputs(ours: Option<&[Selector]>, theirs: Option<&[Selector]>) -> bool {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => same(ours, theirs, |a, b| a.exclude == b.exclude && is_same_glob(&a.glob, &b.glob)),
        (None, None) => true,
        _ => false,
    }
}

/// Tells whether two patterns are written alike; an escaped one may have the same path as one that is none.
pub fn is_same_glob(glob: &Glob, other: &Glob) -> bool {
    (glob.path(), glob.is_literal()) == (other.path(), other.is_literal())
}
