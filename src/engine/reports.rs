//! The report files of a stage: read when its steps have ended, and again, from the store, when its result is reused.
//!
//! Knows when they are read and what comes of it; which of them count, `reporting` knows.
//!
//! A metric may be compared with what it was in the last run that passed. That is noted in the store for each stage, and is no part of a
//! key. So a stored result is judged again when it is to be reused: where it is worse than what has been reached since, it is a miss.

use std::path::Path;

use super::attempt::{Attempt, End};
use super::memory::{Memory, Verdict};
use super::reporting::{Before, Reporting, identity};
use super::tail::Tail;
use super::turn::Turn;
use crate::findings::read::{Context, Reading, verdict};
use crate::model::event::EventKind;
use crate::model::findings::{Findings, Test};
use crate::model::outcome::FailureKind;
use crate::model::reports::MetricRule;
use crate::model::stage::StageId;
use crate::store::baseline::Measures;

/// How many unreadable reports a reason names.
const NAMED: usize = 3;

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
        // What was found before a service ended, which ended the steps, is of use; what others ended is made again.
        if matches!(end, End::Cancelled) && self.plan.pipeline.stage(id).services.is_empty() {
            return (end, None);
        }
        let Reading { findings, problems } = reporting.after(before);
        let tests: Vec<String> = findings.failed_tests().map(Test::full_name).collect();
        let end = match end {
            // What the step did is worse; a report that a broken program did not write is no news.
            End::Failed(mut failure, reason) => {
                failure.tests = tests;
                End::Failed(failure, reason)
            }
            end @ End::Cancelled => end,
            end @ End::Passed { .. } => match reason(&problems, &findings) {
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
        let mut dirs: Vec<&Path> = stage.steps.iter().map(|step| &step.dir).chain([&stage.dir]).map(Path::new).collect();
        dirs.sort_unstable();
        dirs.dedup();
        let context = Context { stage: stage.name.clone(), root: &self.checkout.root, dirs };
        Some(Reporting { reports, context, files: &self.checkout.files, baseline })
    }

    /// Reads the reports of a result that is to be reused, from the store. Where they cannot be had, or would fail the stage now, it has to
    /// run.
    pub(super) fn judge_again(&self, id: StageId, verdict: Verdict) -> (Verdict, Option<Box<Findings>>) {
        let (Verdict::Proven(result) | Verdict::Stored(result, _)) = &verdict else { return (verdict, None) };
        let (Some(reporting), Some(store)) = (self.reporting(id), &self.checkout.store) else { return (verdict, None) };
        let Reading { findings, problems } = reporting.stored(store, result);
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
