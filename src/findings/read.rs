//! All report files of a stage, read and judged.
//!
//! Knows which files are which, and what fails a stage; the bytes come from whoever calls.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::place::Places;
use super::room::Room;
use super::sink::Sink;
use super::{junit, metrics, sarif};
use crate::base::glob::Glob;
use crate::base::text::{count, visible};
use crate::model::findings::Findings;
use crate::model::reports::{MetricRule, Reports};

/// Whose reports these are, and where.
#[derive(Debug, Clone)]
pub struct Context<'c> {
    /// The stage.
    pub stage: Arc<str>,
    /// The project.
    pub root: &'c Path,
    /// Where its programs work, relative to the project.
    pub dirs: Vec<&'c Path>,
}

/// What came of reading the reports of a stage.
#[derive(Debug)]
pub struct Reading {
    /// All that could be read.
    pub findings: Findings,
    /// What could not be, each in words.
    pub problems: Vec<String>,
}

/// Reads the reports. `paths` are the report files that there are, in order and relative to the project; `open` opens one of them, or says
/// why it cannot be read; `before` tells what a metric was in the last run that passed.
pub fn read(
    context: &Context<'_>,
    reports: &Reports,
    paths: &[&str],
    open: &mut dyn FnMut(&str) -> Result<File, String>,
    before: &dyn Fn(&MetricRule) -> Option<f64>,
) -> Reading {
    let mut findings = Findings::none(context.stage.clone());
    let mut problems = Vec::new();
    let places = Places::new(context.root, &context.dirs);
    let mut sink = Sink { findings: &mut findings, room: Room::default(), places };
    let mut each = |globs: &[Glob], endings: &[&str], read: &mut dyn FnMut(&str, File) -> Result<(), String>| {
        for path in chosen(globs, endings, paths, &mut problems) {
            if let Err(problem) = open(path).and_then(|file| read(path, file)) {
                problems.push(format!("the report `{}` {problem}", visible(path)));
            }
        }
    };
    each(&reports.junit, &["xml"], &mut |_, file| junit::read(file, &mut sink));
    each(&reports.sarif, &["sarif", "json"], &mut |_, file| sarif::read(file, reports.fail_on, &mut sink));
    // Several metrics may stand in one file.
    let mut files: Vec<Glob> = Vec::new();
    for rule in &reports.metrics {
        if !files.iter().any(|file| file.path() == rule.file.path()) {
            files.push(rule.file.clone());
        }
    }
    each(&files, &[], &mut |path, file| {
        let rules = reports.metrics.iter().filter(|rule| rule.file.path() == path);
        metrics::read(file, rules, before, sink.findings)
    });
    // As they are declared.
    let place = |name: &str| reports.metrics.iter().position(|rule| rule.name == name);
    findings.metrics.sort_by_key(|metric| place(&metric.name));
    Reading { findings, problems }
}

/// Returns the files that the patterns mean, each once. A folder, or a pattern that names no ending, means those with one of `endings`.
fn chosen<'p>(globs: &[Glob], endings: &[&str], paths: &[&'p str], problems: &mut Vec<String>) -> Vec<&'p str> {
    let mut chosen: Vec<&'p str> = Vec::new();
    for glob in globs {
        let is_meant = |path: &&&str| {
            let path = Path::new(**path);
            let is_named = glob.matches_itself(path) && !glob.path().ends_with('*');
            let has_ending = || path.extension().is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)));
            is_named || (glob.matches(path) && has_ending())
        };
        let found: Vec<&'p str> = paths.iter().filter(is_meant).copied().collect();
        if found.is_empty() {
            let what = if paths.iter().any(|path| glob.matches(Path::new(path))) {
                "holds no file of this kind"
            } else if glob.is_literal() {
                "was not written"
            } else {
                "matches nothing"
            };
            problems.push(format!("the report `{}` {what}", visible(glob.path())));
        }
        let new: Vec<&str> = found.into_iter().filter(|path| !chosen.contains(path)).collect();
        chosen.extend(new);
    }
    chosen
}

/// Returns in one line why these findings fail their stage; `None` where they do not.
pub fn verdict(findings: &Findings) -> Option<String> {
    let totals = &findings.totals;
    let mut reasons = Vec::new();
    if totals.failed > 0 {
        reasons.push(format!("{} of {} failed", totals.failed, count(number(totals.tests()), "test")));
    }
    if totals.failing > 0 {
        let verb = if totals.failing == 1 { "fails" } else { "fail" };
        reasons.push(format!("{} of {} {verb} it", totals.failing, count(number(totals.problems()), "finding")));
    }
    reasons.extend(findings.metrics.iter().filter_map(|metric| metric.failure.clone()));
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn number(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_means_the_files_of_its_kind() {
        let globs = |texts: &[&str]| texts.iter().map(|text| Glob::new("", text).unwrap()).collect::<Vec<_>>();
        let paths = ["out/a.xml", "out/b.txt", "out/sub/c.XML", "x.xml"];
        let choose = |texts: &[&str]| {
            let mut problems = Vec::new();
            let chosen = chosen(&globs(texts), &["xml"], &paths, &mut problems);
            (chosen.join(" "), problems.join(", "))
        };
        let good = |chosen: &str| (chosen.to_owned(), String::new());
        assert_eq!(choose(&["out"]), good("out/a.xml out/sub/c.XML"));
        assert_eq!(choose(&["out/**"]), good("out/a.xml out/sub/c.XML"));
        assert_eq!(choose(&["out/*.xml", "out"]), good("out/a.xml out/sub/c.XML"));
        assert_eq!(choose(&["out/b.txt"]), good("out/b.txt"));
        assert_eq!(
            choose(&["out/b.*", "y.xml", "z/*.xml"]).1,
            "the report `out/b.*` holds no file of this kind, the report `y.xml` was not written, the report `z/*.xml` matches nothing"
        );
        assert_eq!(chosen(&globs(&["out/b.txt"]), &["xml"], &paths, &mut Vec::new()), ["out/b.txt"]);
    }
}
