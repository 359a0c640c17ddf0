//! What tests, scanners and meters found while a stage ran, as its report files say.
//!
//! Pure data: who read it from which format is not known here.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Everything that the report files of one stage say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Of which stage.
    pub stage: Arc<str>,
    /// The tests, in the order of the files.
    pub tests: Vec<Test>,
    /// What scanners found, in the order of the files.
    pub problems: Vec<Problem>,
    /// What was measured, by name.
    pub metrics: Vec<Metric>,
}

impl Findings {
    /// Returns every text in it that came from outside.
    pub fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let tests = self.tests.iter_mut().flat_map(|test| {
            let place = test.place.as_mut().map(|place| &mut place.file);
            [&mut test.suite, &mut test.name].into_iter().chain(&mut test.message).chain(place)
        });
        let problems = self.problems.iter_mut().flat_map(|problem| {
            let place = problem.place.as_mut().map(|place| &mut place.file);
            [&mut problem.tool, &mut problem.rule, &mut problem.message].into_iter().chain(place)
        });
        let metrics = self.metrics.iter_mut().flat_map(|metric| std::iter::once(&mut metric.name).chain(&mut metric.failure));
        tests.chain(problems).chain(metrics)
    }
}

/// One test that was run, or left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// What it belongs to: a class, a module, a suite; may be empty.
    pub suite: String,
    /// Its name.
    pub name: String,
    /// How it ended.
    pub status: TestStatus,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Why it failed or was left out, as its program says.
    pub message: Option<String>,
    /// Where it is, or where it failed.
    pub place: Option<Place>,
}

impl Test {
    /// Returns the name with what it belongs to.
    pub fn full_name(&self) -> String {
        if self.suite.is_empty() { self.name.clone() } else { format!("{} {}", self.suite, self.name) }
    }
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestStatus {
    /// It passed.
    Passed,
    /// It passed only when it was run again.
    Flaky,
    /// It failed, or broke.
    Failed,
    /// It was not run.
    Skipped,
}

/// A place in a file of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The path, relative to the project where it is within it.
    pub file: String,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
}

/// One thing that a scanner found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The program that found it.
    pub tool: String,
    /// The rule that it breaks; may be empty.
    pub rule: String,
    /// How bad it is.
    pub level: Level,
    /// What it is.
    pub message: String,
    /// Where it is.
    pub place: Option<Place>,
    /// True where it fails the stage.
    pub fails: bool,
}

/// How bad a problem is, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Worth a look.
    Warning,
    /// To be mended.
    Error,
}

/// One number that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What was measured now.
    pub value: f64,
    /// What it was in the last run that passed, where one is known.
    pub before: Option<f64>,
    /// Why it fails the stage, where it does.
    pub failure: Option<String>,
}
