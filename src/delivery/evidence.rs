//! What is known of the run that made a release: its stages, their tests, findings and measures; what rules and gates judge it by.
//!
//! Format, version 1: JSON without spaces, keys and lists in order. It holds nothing by which a stage that ran differs from the same one
//! taken from the store: no times, nor which of the two it was. So a release that is made again has the same evidence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::event::{Event, EventKind, Listener};
use crate::model::findings::{Findings, Level, TestStatus, Totals};

/// What a run has shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// What scanners found.
    pub findings: Vec<Finding>,
    /// What was measured.
    pub metrics: Vec<Measure>,
    /// The stages that passed.
    pub stages: Vec<Passed>,
    /// The tests that did not simply pass.
    pub tests: Vec<Noted>,
    /// The version of this format.
    version: u32,
}

/// A stage that passed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passed {
    /// Its name.
    name: String,
    /// How many problems its scanners found, of each level.
    findings: Levels,
    /// Whether it passed only after a retry.
    flaky: bool,
    /// Its cache key; null where nothing of it is cached.
    key: Option<String>,
    /// How its tests ended.
    tests: Counts,
}

/// How many problems there are of each level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Levels {
    error: u64,
    note: u64,
    warning: u64,
}

/// How many tests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    failed: u64,
    flaky: u64,
    passed: u64,
    skipped: u64,
}

/// A test that did not simply pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noted {
    stage: String,
    /// With what it belongs to.
    name: String,
    status: String,
}

/// What a scanner found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    stage: String,
    file: Option<String>,
    line: Option<u32>,
    level: Level,
    message: String,
    rule: String,
    tool: String,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    stage: String,
    name: String,
    value: f64,
}

/// Listens to a run for what will be evidence.
#[derive(Debug, Default)]
pub struct Gathering {
    /// By stage; a later word replaces an earlier one.
    passed: BTreeMap<String, (bool, Option<String>)>,
    findings: BTreeMap<String, Findings>,
}

impl Listener for Gathering {
    fn hear(&mut self, event: &Event) {
        if let EventKind::Findings(findings) = &event.kind {
            self.findings.insert(findings.stage.to_string(), (**findings).clone());
        }
        if let EventKind::StageFinished(finished) = &event.kind {
            self.passed.insert(finished.stage.to_string(), (finished.flaky, finished.key.clone()));
        }
    }
}

impl Gathering {
    /// Returns what a run in which all stages passed has shown.
    pub fn evidence(self) -> Evidence {
        let mut evidence = Evidence { findings: Vec::new(), metrics: Vec::new(), stages: Vec::new(), tests: Vec::new(), version: 1 };
        for (name, (flaky, key)) in self.passed {
            let totals = self.findings.get(&name).map_or_else(Totals::default, |findings| findings.totals);
            let tests = Counts { failed: totals.failed, flaky: totals.flaky, passed: totals.passed, skipped: totals.skipped };
            let findings = Levels { error: totals.errors, note: totals.notes, warning: totals.warnings };
            evidence.stages.push(Passed { name, findings, flaky, key, tests });
        }
        for (stage, findings) in self.findings {
            evidence.add(&stage, findings);
        }
        // Programs that do many things at once write what they find in any order.
        evidence.tests.sort();
        evidence.findings.sort();
        evidence
    }
}

impl Evidence {
    fn add(&mut self, stage: &str, findings: Findings) {
        let stage = || stage.to_owned();
        let noted = findings.tests.iter().filter_map(|test| {
            let status = match test.status {
                TestStatus::Passed => return None,
                TestStatus::Flaky => "flaky",
                TestStatus::Failed => "failed",
                TestStatus::Skipped => "skipped",
            };
            Some(Noted { stage: stage(), name: test.full_name(), status: status.to_owned() })
        });
        self.tests.extend(noted);
        self.findings.extend(findings.problems.into_iter().map(|problem| {
            let (file, line) = problem.place.map_or((None, None), |place| (Some(place.file), place.line));
            let (message, rule, tool) = (problem.message, problem.rule, problem.tool);
            Finding { stage: stage(), file, line, level: problem.level, message, rule, tool }
        }));
        // What it was before is no property of this release.
        self.metrics.extend(findings.metrics.into_iter().map(|metric| Measure { stage: stage(), name: metric.name, value: metric.value }));
    }

    /// Returns its text.
    ///
    /// # Panics
    /// Never: all that it has can be written.
    pub fn bytes(&self) -> Vec<u8> {
        let value = serde_json::to_value(self).expect("evidence is plain data");
        value.to_string().into_bytes()
    }

    /// Reads a text; `None` where it is no evidence of this version.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|evidence: &Self| evidence.version == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::StageFinished;
    use crate::model::findings::{Metric, Place, Problem, Test};
    use crate::model::outcome::StageOutcome;

    fn findings(before: Option<f64>, duration_ms: u64, is_reversed: bool) -> Findings {
        let test =
            |name: &str, status| Test { suite: "s".to_owned(), name: name.to_owned(), status, duration_ms, message: None, place: None };
        let mut tests = vec![test("a", TestStatus::Passed), test("c", TestStatus::Skipped), test("b", TestStatus::Skipped)];
        if is_reversed {
            tests.reverse();
        }
        let place = Some(Place { file: "src/a.py".to_owned(), line: Some(3), column: Some(1) });
        let problem = Problem {
            tool: "ruff".to_owned(),
            rule: "E501".to_owned(),
            level: Level::Warning,
            message: "long".to_owned(),
            place,
            fails: false,
        };
        let metrics = vec![Metric { name: "coverage".to_owned(), value: 83.5, before, failure: None }];
        let totals = Totals { passed: 1, skipped: 2, warnings: 1, ..Totals::default() };
        Findings { stage: "test".into(), tests, problems: vec![problem], metrics, totals }
    }

    fn gathered(findings: Findings, outcome: StageOutcome, duration_ms: u64) -> Evidence {
        let finished = StageFinished { key: Some("00".to_owned()), duration_ms, ..StageFinished::without_run("test".into(), outcome) };
        let mut gathering = Gathering::default();
        for kind in [EventKind::Findings(Box::new(findings)), EventKind::StageFinished(Box::new(finished))] {
            gathering.hear(&Event { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, kind });
        }
        gathering.evidence()
    }

    #[test]
    fn a_stage_from_the_store_gives_the_same_evidence() {
        let fresh = gathered(findings(None, 5, false), StageOutcome::Passed, 100);
        let cached = gathered(findings(Some(80.0), 7, true), StageOutcome::Cached, 0);
        assert_eq!(fresh.bytes(), cached.bytes());
        let text = String::from_utf8(fresh.bytes()).unwrap();
        let expected = concat!(
            r#"{"findings":[{"file":"src/a.py","level":"warning","line":3,"message":"long","rule":"E501","stage":"test","tool":"ruff"}],"#,
            r#""metrics":[{"name":"coverage","stage":"test","value":83.5}],"#,
            r#""stages":[{"findings":{"error":0,"note":0,"warning":1},"flaky":false,"key":"00","name":"test","#,
            r#""tests":{"failed":0,"flaky":0,"passed":1,"skipped":2}}],"#,
            r#""tests":[{"name":"s b","stage":"test","status":"skipped"},{"name":"s c","stage":"test","status":"skipped"}],"version":1}"#
        );
        assert_eq!(text, expected);
        assert_eq!(Evidence::parse(text.as_bytes()), Some(fresh.clone()));
        for (from, to) in [("\"version\":1", "\"version\":2"), ("\"tests\"", "\"texts\""), ("\"level\":\"warning\"", "\"level\":\"bad\"")] {
            assert_eq!(Evidence::parse(text.replace(from, to).as_bytes()), None, "{to}");
        }
    }
}
