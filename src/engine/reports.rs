//! The report files of a stage: read when its steps have ended, and again, from the store, when its result is reused.
//!
//! Knows which files count (those that this attempt wrote) and with what they are compared; what stands in them, `findings` knows.
//!
//! A metric may be compared with what it was in the last run that passed. That is noted in the store for each stage, and is no part of a
//! key. So a stored result is judged again when it is to be reused: where it is worse than what has been reached since, it is a miss.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::attempt::{Attempt, End};
use super::memory::{Memory, Verdict};
use super::tail::Tail;
use super::turn::Turn;
use crate::base::digest::Hash;
use crate::base::glob::Glob;
use crate::base::program::plain;
use crate::base::stamp::Stamp;
use crate::base::text::visible;
use crate::cache::files::Files;
use crate::cache::outputs::{FoundKind, Lying};
use crate::findings::read::{Context, Reading, read, verdict};
use crate::model::event::EventKind;
use crate::model::findings::Findings;
use crate::model::outcome::FailureKind;
use crate::model::reports::{MetricRule, Reports};
use crate::model::stage::StageId;
use crate::store::baseline::Measures;
use crate::store::local::Store;
use crate::store::result::{OutputKind, StageResult};

/// How far the clock that files get their times from may go in steps, in nanoseconds: on file systems that count seconds (some count in
/// twos), and on all others, where the system's own tick counts.
const COARSE: i64 = 2_000_000_000;
const FINE: i64 = 10_000_000;

/// How long the clock is waited for before an attempt, in milliseconds.
const PATIENCE: u64 = 3000;

/// How many unreadable reports a reason names.
const NAMED: usize = 3;

/// What reading the reports of one stage needs.
pub(super) struct Reporting<'r> {
    reports: &'r Reports,
    context: Context<'r>,
    files: &'r Files,
    baseline: Measures,
}

/// When an attempt began, and what lay there then.
pub(super) struct Before {
    start: i64,
    stamps: BTreeMap<String, Stamp>,
}

impl Reporting<'_> {
    /// Looks at what lies there before an attempt. With `clean = false` that may be reports of an earlier one, written a moment ago: the
    /// attempt then waits until the file system's clock has moved on, so that what it writes itself is seen to be newer.
    pub(super) fn before(&self) -> Before {
        let (paths, _) = self.lying();
        let stamps: BTreeMap<String, Stamp> = paths
            .into_iter()
            .filter_map(|path| Some((path.clone(), Stamp::of(&fs::metadata(self.context.root.join(path)).ok()?))))
            .collect();
        let mut start = self.now();
        let settled = stamps.values().map(|stamp| stamp.latest().saturating_add(step(stamp.latest()))).max().unwrap_or(i64::MIN);
        for _ in 0..PATIENCE / 5 {
            if start > settled || settled > start.saturating_add(COARSE + FINE) {
                break;
            }
            thread::sleep(Duration::from_millis(5));
            start = self.now();
        }
        Before { start, stamps }
    }

    /// Reads what the attempt wrote.
    pub(super) fn after(&self, before: &Before) -> Reading {
        let (paths, problem) = self.lying();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let mut open = |path: &str| {
            let whole = self.context.root.join(path);
            let unreadable = |error: std::io::Error| format!("cannot be read: {}", plain(&error));
            let metadata = fs::metadata(&whole).map_err(unreadable)?;
            if !metadata.is_file() {
                return Err("is no file".to_owned());
            }
            let stamp = Stamp::of(&metadata);
            let reach = if stamp.modified % 1_000_000_000 == 0 { COARSE } else { 0 };
            if stamp.modified.saturating_add(reach) < before.start || before.stamps.get(path) == Some(&stamp) {
                return Err("is older than this run of the stage, which did not write it".to_owned());
            }
            File::open(&whole).map_err(unreadable)
        };
        let mut reading = read(&self.context, self.reports, &paths, &mut open, &|rule| self.earlier(rule));
        reading.problems.extend(problem);
        reading
    }

    /// Returns the files that lie where reports belong, in order, and what is wrong with the rest.
    fn lying(&self) -> (Vec<String>, Option<String>) {
        let globs: Vec<Glob> = self.reports.globs().cloned().collect();
        let lying = match Lying::look(self.context.root, &globs) {
            Ok(lying) => lying,
            Err(error) => return (Vec::new(), Some(format!("its reports cannot be looked at: {error}"))),
        };
        let odd = lying.unnameable().map(|name| format!("the name of the report `{}` is not text in UTF-8", visible(&name)));
        let files = lying.found.into_iter().filter(|(_, found)| matches!(found.kind, FoundKind::File | FoundKind::Link(_)));
        (files.map(|(path, _)| path).collect(), odd)
    }

    fn now(&self) -> i64 {
        let system = || i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX).saturating_sub(2 * FINE);
        self.files.now().unwrap_or_else(system)
    }

    fn earlier(&self, rule: &MetricRule) -> Option<f64> {
        self.baseline.get(&identity(rule)).copied()
    }
}

/// How far the clock that gave this time may go in one step.
fn step(time: i64) -> i64 {
    if time % 1_000_000_000 == 0 { COARSE } else { FINE }
}

/// What a measure is remembered by: the same name for another number is another measure.
fn identity(rule: &MetricRule) -> Hash {
    Hash::of(format!("{}\n{}\n{}", rule.name, rule.file.path(), rule.pointer).as_bytes())
}

impl Attempt<'_> {
    /// Reads the reports of an attempt whose steps have ended so. Returns how the attempt ended, and what was found.
    pub(super) fn with_reports(
        &self,
        id: StageId,
        end: End,
        reporting: &Reporting<'_>,
        before: &Before,
        tail: &Tail,
    ) -> (End, Option<Box<Findings>>) {
        if matches!(end, End::Cancelled) {
            return (end, None);
        }
        let Reading { findings, problems } = reporting.after(before);
        let tests: Vec<String> = findings.failed_tests().map(crate::model::findings::Test::full_name).collect();
        let end = match end {
            // What the step did is worse; a report that a broken program did not write is no news.
            End::Failed(mut failure, reason) => {
                failure.tests = tests;
                End::Failed(failure, reason)
            }
            end @ (End::Passed { .. } | End::Cancelled) => match reason(&problems, &findings) {
                None => end,
                Some(reason) => {
                    let step = self.plan.pipeline.stage(id).steps.last().expect("a stage has a step");
                    let mut failure = self.failure(id, step, FailureKind::Report, tail);
                    failure.tests = tests;
                    End::Failed(Box::new(failure), reason)
                }
            },
        };
        let has_any = findings.totals.tests() + findings.totals.problems() > 0 || !findings.metrics.is_empty();
        (end, has_any.then(|| Box::new(findings)))
    }
}

/// Returns why these reports fail their stage; `None` where they do not.
fn reason(problems: &[String], findings: &Findings) -> Option<String> {
    let mut reasons: Vec<String> = verdict(findings).into_iter().collect();
    reasons.extend(problems.iter().take(NAMED).cloned());
    if problems.len() > NAMED {
        reasons.push(format!("and {} more that cannot be used", problems.len() - NAMED));
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

impl Turn<'_> {
    /// Tells what the reports of a stage say that was made; of one that passed, remembers what was measured.
    pub(super) fn tell_findings(&self, id: StageId, findings: Option<Box<Findings>>, has_passed: bool) {
        let Some(findings) = findings else { return };
        let lonely = if has_passed { self.memory.set_baseline(id, &findings) } else { Vec::new() };
        self.attempt.outbox.tell(EventKind::Findings(findings));
        if !lonely.is_empty() {
            let names: Vec<String> = lonely.iter().map(|name| format!("`{name}`")).collect();
            self.notice(id, format!("no earlier run that passed is known, so there was nothing to compare {} with", names.join(", ")));
        }
    }
}

impl Memory<'_> {
    /// Returns what reading the reports of the stage needs; `None` where it declares none.
    pub(super) fn reporting(&self, id: StageId) -> Option<Reporting<'_>> {
        let stage = self.plan.pipeline.stage(id);
        let reports = stage.reports.as_deref()?;
        let baseline = match &self.checkout.store {
            Some(store) if reports.metrics.iter().any(|rule| rule.regression.is_some()) => store.baseline(&self.history(id)),
            _ => Measures::new(),
        };
        let context = Context { stage: stage.name.clone(), root: &self.checkout.root, dir: Path::new(&stage.dir) };
        Some(Reporting { reports, context, files: &self.checkout.files, baseline })
    }

    /// Reads the reports of a result that is to be reused, from the store. Where they cannot be had, or would fail the stage now, it has to
    /// run.
    pub(super) fn judge_again(&self, id: StageId, verdict: Verdict) -> (Verdict, Option<Box<Findings>>) {
        let (Verdict::Proven(result) | Verdict::Stored(result, _)) = &verdict else { return (verdict, None) };
        let (Some(reporting), Some(store)) = (self.reporting(id), &self.checkout.store) else { return (verdict, None) };
        let Reading { findings, problems } = stored(&reporting, store, result);
        if let Some(problem) = problems.first() {
            return (Verdict::Run(format!("its stored result was damaged: {problem}")), None);
        }
        match reason(&problems, &findings) {
            Some(reason) => (Verdict::Run(format!("its stored result would not pass now: {reason}")), None),
            None => (verdict, Some(Box::new(findings))),
        }
    }

    /// Remembers what was measured, now that the stage has passed. Returns the metrics that should have been compared and had nothing to be
    /// compared with.
    pub(super) fn set_baseline(&self, id: StageId, findings: &Findings) -> Vec<String> {
        let Some(reports) = &self.plan.pipeline.stage(id).reports else { return Vec::new() };
        let compared: Vec<&MetricRule> = reports.metrics.iter().filter(|rule| rule.regression.is_some()).collect();
        let value = |rule: &MetricRule| findings.metrics.iter().find(|metric| metric.name == rule.name);
        let measures: Measures = compared.iter().filter_map(|rule| Some((identity(rule), value(rule)?.value))).collect();
        if let Some(store) = self.checkout.store.as_ref().filter(|_| self.checkout.writes() && !measures.is_empty()) {
            // What cannot be noted is not compared with.
            let _unnoted = store.set_baseline(&self.history(id), &measures);
        }
        let is_lonely = |rule: &&MetricRule| value(rule).is_some_and(|metric| metric.before.is_none());
        compared.into_iter().filter(is_lonely).map(|rule| rule.name.clone()).collect()
    }
}

fn stored(reporting: &Reporting<'_>, store: &Store, result: &StageResult) -> Reading {
    let files: BTreeMap<&str, &OutputKind> = result
        .outputs
        .iter()
        .filter(|output| !matches!(output.kind, OutputKind::Folder) && reporting.reports.holds(Path::new(&output.path)))
        .map(|output| (output.path.as_str(), &output.kind))
        .collect();
    let paths: Vec<&str> = files.keys().copied().collect();
    let mut open = |path: &str| match files.get(path) {
        Some(OutputKind::File { digest, .. }) => store.open_verified(digest).map_err(|error| format!("cannot be had: {error}")),
        Some(OutputKind::Link { .. }) => Err("is a link, which may lead elsewhere by now".to_owned()),
        Some(OutputKind::Folder) | None => Err("is not there".to_owned()),
    };
    read(&reporting.context, reporting.reports, &paths, &mut open, &|rule| reporting.earlier(rule))
}
