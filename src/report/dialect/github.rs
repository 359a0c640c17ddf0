//! GitHub's workflow commands: `::name property=value,…::data`, one a line (GitHub documentation, "Workflow commands for GitHub Actions").
//!
//! Knows the grammar as the runner reads it: a line whose first word begins with `::`, blanks before it, and the older `##[name …]data`
//! anywhere in a line; a carriage return ends a line too.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::model::event::StageFinished;
use crate::model::findings::{Findings, Level, Place, TestStatus};
use crate::model::outcome::Failure;
use crate::report::lines::tame;
use crate::report::places::Found;

/// How many of each kind are written: GitHub shows no more of one step.
const MOST: usize = 10;

/// How much of a message is written, in characters.
const LONGEST: usize = 4000;

/// How many lines of output an annotation without a place shows.
const LINES: usize = 10;

/// What is known of the change that is looked at.
#[derive(Debug, Clone)]
pub(super) struct Github {
    /// The project's folder within the repository, with a `/` at its end; empty where it is the same.
    above: String,
    findings: BTreeMap<Arc<str>, Findings>,
    errors: usize,
    warnings: usize,
}

impl Github {
    /// Takes the folder that the repository was checked out to.
    pub(super) fn new(workspace: Option<&str>, root: &Path) -> Self {
        let workspace = workspace.map(Path::new).map(|path| path.canonicalize().unwrap_or_else(|_| path.to_owned()));
        let above = workspace.and_then(|workspace| Some(root.strip_prefix(workspace).ok()?.to_str()?.to_owned())).unwrap_or_default();
        let above = if above.is_empty() { above } else { above + "/" };
        Self { above, findings: BTreeMap::new(), errors: 0, warnings: 0 }
    }

    pub(super) fn remember(&mut self, findings: &Findings) {
        self.findings.insert(findings.stage.clone(), findings.clone());
    }

    /// Returns a warning without a place; `None` where there were enough.
    pub(super) fn warning(&mut self, title: &str, text: &str) -> Option<String> {
        self.annotate("warning", None, title, text)
    }

    /// Returns what was found although nothing failed.
    pub(super) fn findings(&mut self, finished: &StageFinished) -> Vec<String> {
        let findings = self.findings.remove(&finished.stage);
        let mut lines: Vec<String> = Vec::new();
        for problem in findings.iter().flat_map(|findings| &findings.problems) {
            let kind = if problem.level == Level::Note { "notice" } else { "warning" };
            lines.extend(self.annotate(kind, problem.place.as_ref(), &words(&[&problem.tool, &problem.rule]), &problem.message));
        }
        if finished.flaky {
            lines.extend(self.annotate("warning", None, &finished.stage, "flaky: it passed only when it was tried again"));
        }
        lines
    }

    /// Returns what makes a stage fail: its failed tests, the problems and numbers that fail it, else the places in its output, else its end.
    pub(super) fn failure(&mut self, finished: &StageFinished, places: &[Found]) -> Vec<String> {
        let findings = self.findings.remove(&finished.stage);
        let reason = finished.reason.as_deref().unwrap_or("it failed");
        let mut lines: Vec<String> = Vec::new();
        if let Some(findings) = &findings {
            for test in findings.tests.iter().filter(|test| test.status == TestStatus::Failed) {
                let message = test.message.as_deref().unwrap_or("it failed");
                lines.extend(self.annotate("error", test.place.as_ref(), &format!("{}: {}", finished.stage, test.full_name()), message));
            }
            for problem in &findings.problems {
                let kind = match problem.level {
                    _ if problem.fails => "error",
                    Level::Note => "notice",
                    Level::Warning | Level::Error => "warning",
                };
                lines.extend(self.annotate(kind, problem.place.as_ref(), &words(&[&problem.tool, &problem.rule]), &problem.message));
            }
            for (metric, failure) in findings.metrics.iter().filter_map(|metric| Some((metric, metric.failure.as_ref()?))) {
                lines.extend(self.annotate("error", None, &format!("{}: {}", finished.stage, metric.name), failure));
            }
        }
        if lines.is_empty() {
            for found in places {
                let place = Place { file: found.file.clone(), line: Some(found.line), column: found.column };
                let message = format!("{}\n{}: {reason}", found.said.trim(), finished.stage);
                lines.extend(self.annotate("error", Some(&place), &finished.stage, &message));
            }
        }
        if lines.is_empty() {
            lines.extend(self.annotate("error", None, &finished.stage, &end(reason, finished.failure.as_ref())));
        }
        lines
    }

    /// Returns one annotation, unless there were enough of its kind.
    fn annotate(&mut self, kind: &str, place: Option<&Place>, title: &str, message: &str) -> Option<String> {
        let written = if kind == "error" { &mut self.errors } else { &mut self.warnings };
        if *written == MOST {
            return None;
        }
        *written += 1;
        let mut properties: Vec<(&str, String)> = Vec::new();
        if let Some(place) = place {
            let is_inside = !place.file.starts_with('/') && !place.file.contains("://");
            properties.push(("file", if is_inside { format!("{}{}", self.above, place.file) } else { place.file.clone() }));
            properties.extend(place.line.map(|line| ("line", line.to_string())));
            properties.extend(place.column.map(|column| ("col", column.to_string())));
        }
        properties.push(("title", title.to_owned()));
        let message: Vec<_> = message.trim().lines().map(|line| tame(line.as_bytes(), false)).collect();
        let message: String = message.join("\n").chars().take(LONGEST).collect();
        Some(command(kind, &properties, &message))
    }
}

fn words(words: &[&str]) -> String {
    words.iter().copied().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Returns the reason, the last lines, and the command that does it again.
fn end(reason: &str, failure: Option<&Failure>) -> String {
    let Some(failure) = failure else { return reason.to_owned() };
    let tail = failure.tail[failure.tail.len().saturating_sub(LINES)..].join("\n");
    let reproduce = failure.reproduce.as_ref().map(|command| format!("\nreproduce: {command}")).unwrap_or_default();
    format!("{reason}\n{tail}{reproduce}")
}

/// Returns a command as a line.
pub(super) fn command(name: &str, properties: &[(&str, String)], data: &str) -> String {
    let properties: Vec<String> = properties.iter().map(|(name, value)| format!("{name}={}", escape_property(value))).collect();
    let gap = if properties.is_empty() { "" } else { " " };
    format!("::{name}{gap}{}::{}\n", properties.join(","), escape(data))
}

fn escape(data: &str) -> String {
    data.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(value: &str) -> String {
    escape(value).replace(':', "%3A").replace(',', "%2C")
}

/// Returns `line`, which has no control characters, with what the runner would take for a command broken; `None` where there is nothing.
///
/// The runner's own way, to stop commands until a word comes, would not do: it reads our two streams side by side, in no sure order.
pub(super) fn break_commands(line: &str) -> Option<String> {
    let begun = line.trim_start_matches(is_blank);
    let is_new = begun.starts_with("::");
    let is_old = line.contains("##[") || line.contains("##vso[");
    if !is_new && !is_old {
        return None;
    }
    let blanks = &line[..line.len() - begun.len()];
    let broken = format!("{blanks}{}{begun}", if is_new { "\\" } else { "" });
    Some(broken.replace("##[", "##\\[").replace("##vso[", "##\\vso["))
}

/// What runners of any age trim from the beginning of a line.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::findings::{Metric, Problem, Test};
    use crate::model::outcome::StageOutcome;

    #[test]
    fn values_are_escaped_by_the_published_rules() {
        assert_eq!(command("error", &[("file", "a,b:c%".to_owned())], "50%\r\nx::y"), "::error file=a%2Cb%3Ac%25::50%25%0D%0Ax::y\n");
        assert_eq!(command("endgroup", &[], ""), "::endgroup::\n");
    }

    #[test]
    fn commands_are_broken_visibly() {
        let cases = [
            ("::error::x", Some("\\::error::x")),
            ("  \t::add-mask::x", Some("  \t\\::add-mask::x")),
            ("\u{feff}::set-output name=a::b", Some("\u{feff}\\::set-output name=a::b")),
            ("a ##[error]x", Some("a ##\\[error]x")),
            ("###[command]x ##vso[task]", Some("###\\[command]x ##\\vso[task]")),
            ("std::error::Error", None),
            ("a ::error::x", None),
        ];
        for (line, expected) in cases {
            assert_eq!(break_commands(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_place_is_told_from_the_top_of_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(top.join("services/api")).unwrap();
        let mut github = Github::new(top.to_str(), &top.join("services/api"));
        let place = Place { file: "src/a.rs".to_owned(), line: Some(3), column: Some(7) };
        let line = github.annotate("error", Some(&place), "t", "m").unwrap();
        assert_eq!(line, "::error file=services/api/src/a.rs,line=3,col=7,title=t::m\n");
        let elsewhere = Github::new(Some("/nowhere"), &top);
        assert_eq!(elsewhere.above, "");
    }

    fn finished(outcome: StageOutcome) -> StageFinished {
        let stage = "s".into();
        let reason = Some("a report fails it".to_owned());
        StageFinished { stage, outcome, key: None, duration_ms: 0, reason, stored: false, flaky: false, attempts: 1, failure: None }
    }

    fn findings() -> Findings {
        let test = |name: &str, status| Test {
            suite: "suite".to_owned(),
            name: name.to_owned(),
            status,
            duration_ms: 1,
            message: Some("expected\n::error::1\r\x1b[31m2".to_owned()),
            place: Some(Place { file: "t.py".to_owned(), line: Some(3), column: None }),
        };
        let problem =
            |level, fails| Problem { tool: "lint".to_owned(), rule: "E1".to_owned(), level, message: "bad".to_owned(), place: None, fails };
        Findings {
            tests: vec![test("a", TestStatus::Passed), test("b\n::error::x,y", TestStatus::Failed)],
            problems: vec![problem(Level::Error, true), problem(Level::Warning, false), problem(Level::Note, false)],
            metrics: vec![Metric { name: "p95".to_owned(), value: 9.0, before: None, failure: Some("9 is above 8".to_owned()) }],
            ..Findings::none("s".into())
        }
    }

    #[test]
    fn a_failed_stage_is_marked_by_what_its_reports_say() {
        let mut github = Github::new(None, Path::new("/p"));
        github.remember(&findings());
        let expected = [
            "::error file=t.py,line=3,title=s%3A suite b%0A%3A%3Aerror%3A%3Ax%2Cy::expected%0A2\n",
            "::error title=lint E1::bad\n",
            "::warning title=lint E1::bad\n",
            "::notice title=lint E1::bad\n",
            "::error title=s%3A p95::9 is above 8\n",
        ];
        let lines = github.failure(&finished(StageOutcome::Failed), &[]);
        assert_eq!(lines, expected);
        assert_eq!(github.failure(&finished(StageOutcome::Failed), &[]), ["::error title=s::a report fails it\n"]);
    }

    #[test]
    fn a_stage_that_passed_has_warnings_and_there_is_a_most() {
        let mut github = Github::new(None, Path::new("/p"));
        github.remember(&findings());
        let lines = github.findings(&finished(StageOutcome::Passed));
        assert_eq!(lines, ["::warning title=lint E1::bad\n", "::warning title=lint E1::bad\n", "::notice title=lint E1::bad\n"]);
        assert_eq!((0..100).filter_map(|_| github.warning("t", "m")).count(), MOST - 3);
    }
}
