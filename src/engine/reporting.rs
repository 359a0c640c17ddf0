//! What reading the report files of one stage needs, and which of them count: those that this attempt wrote.
//!
//! Knows times, stores and limits; what stands in the files, `findings` knows.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::base::digest::Hash;
use crate::base::glob::Glob;
use crate::base::program::plain;
use crate::base::stamp::Stamp;
use crate::base::text::visible;
use crate::cache::files::Files;
use crate::cache::outputs::{FoundKind, Lying};
use crate::findings::read::{Context, Reading, read};
use crate::model::reports::{MetricRule, Reports};
use crate::store::baseline::Measures;
use crate::store::local::Store;
use crate::store::result::{OutputKind, StageResult};

/// How far the clock that files get their times from may go in steps, in nanoseconds: on file systems that count seconds (some count in
/// twos), and on all others, where the system's own tick counts.
const COARSE: i64 = 2_000_000_000;
const FINE: i64 = 10_000_000;

/// How long the clock is waited for before an attempt, in milliseconds.
const PATIENCE: u64 = 3000;

/// What reading the reports of one stage needs.
pub(super) struct Reporting<'r> {
    pub(super) reports: &'r Reports,
    pub(super) context: Context<'r>,
    pub(super) files: &'r Files,
    pub(super) baseline: Measures,
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

    /// Reads the reports that a result holds, from the store.
    pub(super) fn stored(&self, store: &Store, result: &StageResult) -> Reading {
        let files: BTreeMap<&str, &OutputKind> = result
            .outputs
            .iter()
            .filter(|output| !matches!(output.kind, OutputKind::Folder) && self.reports.holds(Path::new(&output.path)))
            .map(|output| (output.path.as_str(), &output.kind))
            .collect();
        let paths: Vec<&str> = files.keys().copied().collect();
        let mut open = |path: &str| match files.get(path) {
            Some(OutputKind::File { digest, .. }) => store.open_verified(digest).map_err(|error| format!("cannot be had: {error}")),
            Some(OutputKind::Link { .. }) => Err("is a link, which may lead elsewhere by now".to_owned()),
            Some(OutputKind::Folder) | None => Err("is not there".to_owned()),
        };
        read(&self.context, self.reports, &paths, &mut open, &|rule| self.earlier(rule))
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
pub(super) fn identity(rule: &MetricRule) -> Hash {
    Hash::of(format!("{}\n{}\n{}", rule.name, rule.file.path(), rule.pointer).as_bytes())
}
