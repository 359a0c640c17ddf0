//! What tests, scanners and meters found, as people read it: in the report of a failed stage, and as totals at the end of a run.
//!
//! Shows what fails, and a bounded number of it; all of it is in the record of the run.

use super::theme::Theme;
use crate::base::text::{count, visible};
use crate::model::findings::{Findings, Level, Place, Totals};

/// How much is shown.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many tests, and how many problems, of one stage.
    pub entries: usize,
    /// How many lines of a message.
    pub lines: usize,
    /// How many characters of a line.
    pub width: usize,
}

impl Bounds {
    /// What is shown when a run has failed.
    pub const SOME: Self = Self { entries: 20, lines: 6, width: 160 };
    /// What is shown to whoever asks for all.
    pub const ALL: Self = Self { entries: usize::MAX, lines: usize::MAX, width: usize::MAX };
}

/// Returns the lines that show why the findings fail their stage; none where they do not.
pub fn lines(findings: &Findings, bounds: Bounds, theme: Theme) -> Vec<String> {
    let totals = &findings.totals;
    let mut lines = Vec::new();
    if totals.failed > 0 {
        lines.push(theme.faint(&format!("{} of {} failed", totals.failed, count(number(totals.tests()), "test"))));
        for test in findings.failed_tests().take(bounds.entries) {
            lines.push(format!("  {} {}{}", theme.bad("✗"), visible(&test.full_name()), place(test.place.as_ref(), theme)));
            lines.extend(message(test.message.as_deref().unwrap_or_default(), bounds, theme));
        }
        lines.extend(more(totals.failed, findings.failed_tests().count(), bounds, theme));
    }
    if totals.failing > 0 {
        let verb = if totals.failing == 1 { "fails" } else { "fail" };
        lines.push(theme.faint(&format!("{} of {} {verb} the stage", totals.failing, count(number(totals.problems()), "finding"))));
        for problem in findings.problems.iter().filter(|problem| problem.fails).take(bounds.entries) {
            let name =
                [problem.tool.as_str(), problem.rule.as_str()].into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ");
            let level = theme.bad(level(problem.level));
            lines.push(format!("  {level} {}{}", visible(&name), place(problem.place.as_ref(), theme)));
            lines.extend(message(&problem.message, bounds, theme));
        }
        lines.extend(more(totals.failing, findings.problems.iter().filter(|problem| problem.fails).count(), bounds, theme));
    }
    let failing: Vec<&String> = findings.metrics.iter().filter_map(|metric| metric.failure.as_ref()).collect();
    if !failing.is_empty() {
        lines.push(theme.faint(&format!("{} of {} out of bounds", failing.len(), count(findings.metrics.len(), "metric"))));
        lines.extend(failing.into_iter().map(|failure| format!("  {} {}", theme.bad("✗"), visible(failure))));
    }
    lines
}

/// Returns the lines that sum up the findings of a run; none where there are none.
pub fn summary(totals: &Totals, theme: Theme) -> Vec<String> {
    let line = |title: &str, parts: &[(u64, &str, bool)]| {
        let parts: Vec<String> = parts
            .iter()
            .filter(|(number, ..)| *number > 0)
            .map(|(number, word, is_bad)| {
                let text = format!("{number} {word}");
                if *is_bad { theme.bad(&text) } else { text }
            })
            .collect();
        (!parts.is_empty()).then(|| format!("{title}: {}", parts.join(", ")))
    };
    let plural = |number: u64, one: &'static str, many: &'static str| if number == 1 { one } else { many };
    let tests = [
        (totals.failed, "failed", true),
        (totals.flaky, "flaky", false),
        (totals.skipped, "skipped", false),
        (totals.passed, "passed", false),
    ];
    let problems = [
        (totals.errors, plural(totals.errors, "error", "errors"), totals.failing > 0),
        (totals.warnings, plural(totals.warnings, "warning", "warnings"), false),
        (totals.notes, plural(totals.notes, "note", "notes"), false),
    ];
    line("tests", &tests).into_iter().chain(line("findings", &problems)).collect()
}

fn place(place: Option<&Place>, theme: Theme) -> String {
    let Some(place) = place else { return String::new() };
    let number = |number: Option<u32>| number.map(|number| format!(":{number}")).unwrap_or_default();
    let column = place.line.and(place.column);
    format!("  {}", theme.strong(&format!("{}{}{}", visible(&place.file), number(place.line), number(column))))
}

fn message(text: &str, bounds: Bounds, theme: Theme) -> Vec<String> {
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let cut = |line: &&str| {
        let line = visible(&line.replace('\t', "    ")).into_owned();
        if line.chars().count() > bounds.width { line.chars().take(bounds.width - 1).chain(['…']).collect() } else { line }
    };
    let mut lines: Vec<String> = all.iter().take(bounds.lines).map(cut).map(|line| format!("      {line}")).collect();
    if all.len() > bounds.lines {
        lines.push(format!("      {}", theme.faint(&format!("… {}", count(all.len() - bounds.lines, "more line")))));
    }
    lines
}

fn more(all: u64, listed: usize, bounds: Bounds, theme: Theme) -> Option<String> {
    let more = number(all).saturating_sub(listed.min(bounds.entries));
    let where_to_look = if bounds.entries < listed { "; `shipway report` shows all" } else { ", too many to be kept" };
    (more > 0).then(|| format!("  {}", theme.faint(&format!("and {more} more{where_to_look}"))))
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    }
}

fn number(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::findings::{Metric, Problem, Test, TestStatus};

    const PLAIN: Theme = Theme { coloured: false };

    #[test]
    fn what_fails_is_shown_with_its_place_and_bounded() {
        let mut findings = Findings::none("s".into());
        let place = Some(Place { file: "a\u{1b}.py".to_owned(), line: Some(3), column: None });
        for number in 0..25 {
            let status = if number == 0 { TestStatus::Passed } else { TestStatus::Failed };
            let message = (number == 1).then(|| "one\n\n\ttwo\u{1b}[2J\n3\n4\n5\n6\n7".to_owned());
            findings.tests.push(Test {
                suite: "t".to_owned(),
                name: number.to_string(),
                status,
                duration_ms: 0,
                message,
                place: place.clone(),
            });
            findings.totals.add_test(status);
        }
        let problem =
            |level, fails| Problem { tool: "scan".to_owned(), rule: "R1".to_owned(), level, message: "bad".to_owned(), place: None, fails };
        findings.problems = vec![problem(Level::Note, false), problem(Level::Error, true)];
        findings.problems.iter().for_each(|problem| findings.totals.add_problem(problem.level, problem.fails));
        findings.metrics =
            vec![Metric { name: "m".to_owned(), value: 3.0, before: None, failure: Some("`m` is 3, above its limit of 2".to_owned()) }];
        let lines = lines(&findings, Bounds::SOME, PLAIN);
        assert_eq!(
            lines[..10],
            [
                "24 of 25 tests failed",
                "  ✗ t 1  a\\u{1b}.py:3",
                "      one",
                "          two\\u{1b}[2J",
                "      3",
                "      4",
                "      5",
                "      6",
                "      … 1 more line",
                "  ✗ t 2  a\\u{1b}.py:3",
            ]
        );
        assert_eq!(
            lines[lines.len() - 6..],
            [
                "  and 4 more; `shipway report` shows all",
                "1 of 2 findings fails the stage",
                "  error scan R1",
                "      bad",
                "1 of 1 metric out of bounds",
                "  ✗ `m` is 3, above its limit of 2",
            ]
        );
        let all = super::lines(&findings, Bounds::ALL, PLAIN);
        assert!(all.contains(&"      7".to_owned()) && all.contains(&"  ✗ t 24  a\\u{1b}.py:3".to_owned()), "{all:#?}");
        assert_eq!(summary(&findings.totals, PLAIN), ["tests: 24 failed, 1 passed", "findings: 1 error, 1 note"]);
        assert!(super::lines(&Findings::none("s".into()), Bounds::SOME, PLAIN).is_empty() && summary(&Totals::default(), PLAIN).is_empty());
    }
}
