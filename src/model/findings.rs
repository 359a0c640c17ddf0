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
    /// How many there are, also of those that the lists leave out because a report is very large.
    #[serde(default)]
    pub totals: Totals,
}

/// How many tests and problems the report files name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that passed only when they were run again.
    pub flaky: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that were not run.
    pub skipped: u64,
    /// Problems that are errors.
    pub errors: u64,
    /// Problems that are warnings.
    pub warnings: u64,
    /// Problems that are notes.
    pub notes: u64,
    /// Problems, of whatever level, that fail the stage.
    pub failing: u64,
}

impl Totals {
    /// Returns how many tests there are.
    pub fn tests(&self) -> u64 {
        self.passed + self.flaky + self.failed + self.skipped
    }

    /// Returns how many problems there are.
    pub fn problems(&self) -> u64 {
        self.errors + self.warnings + self.notes
    }

    /// Counts one more test.
    pub fn add_test(&mut self, status: TestStatus) {
        match status {
            TestStatus::Passed => self.passed += 1,
            TestStatus::Flaky => self.flaky += 1,
            TestStatus::Failed => self.failed += 1,
            TestStatus::Skipped => self.skipped += 1,
        }
    }

    /// Counts one more problem.
    pub fn add_problem(&mut self, level: Level, fails: bool) {
        match level {
            Level::Error => self.errors += 1,
            Level::Warning => self.warnings += 1,
            Level::Note => self.notes += 1,
        }
        self.failing += u64::from(fails);
    }

    /// Adds those of another stage.
    pub fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.flaky += other.flaky;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.errors += other.errors;
        self.warnings += other.warnings;
        self.notes += other.notes;
        self.failing += other.failing;
    }
}

impl Findings {
    /// Returns findings of `stage` that are empty.
    pub fn none(stage: Arc<str>) -> Self {
        Self { stage, tests: Vec::new(), problems: Vec::new(), metrics: Vec::new(), totals: Totals::default() }
    }

    /// Returns the names of the tests that failed.
    pub fn failed_tests(&self) -> impl Iterator<Item = &Test> {
        self.tests.iter().filter(|test| test.status == TestStatus::Failed)
    }

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
