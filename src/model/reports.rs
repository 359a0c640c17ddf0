//! Which report files a stage writes, and what in them fails it, as declared.
//!
//! Knows paths and limits; knows nothing of what stands in the files.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::findings::Level;
use crate::base::glob::Glob;

/// The table `reports` of a stage.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Reports {
    /// Results of tests, in the format of `JUnit`.
    pub junit: Vec<Glob>,
    /// Findings of scanners, in SARIF 2.1.0.
    pub sarif: Vec<Glob>,
    /// The least level of a problem that fails the stage; `None`: none does.
    pub fail_on: Option<Level>,
    /// What is measured.
    pub metrics: Vec<MetricRule>,
}

/// A number in a JSON file, and its limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MetricRule {
    /// Its name.
    pub name: String,
    /// The file: a path, no pattern.
    pub file: Glob,
    /// Where in the file it stands (RFC 6901).
    pub pointer: String,
    /// The stage fails above this.
    pub max: Option<f64>,
    /// The stage fails below this.
    pub min: Option<f64>,
    /// By which part of what it was in the last run that passed it may be worse: 0.1 for `10%`.
    pub regression: Option<f64>,
}

impl Reports {
    /// Returns every path and pattern.
    pub fn globs(&self) -> impl Iterator<Item = &Glob> {
        self.junit.iter().chain(&self.sarif).chain(self.metrics.iter().map(|metric| &metric.file))
    }

    /// Tells whether `path`, relative to the project, is one of the report files.
    pub fn holds(&self, path: &Path) -> bool {
        self.globs().any(|glob| glob.matches(path))
    }
}

impl MetricRule {
    /// Tells whether less is worse. With an upper limit, or none at all, more is.
    pub fn is_worse_below(&self) -> bool {
        self.max.is_none() && self.min.is_some()
    }
}
