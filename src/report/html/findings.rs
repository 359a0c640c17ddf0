//! Tests, problems and measurements of a stage, as HTML.

use std::cmp::Reverse;

use super::mark;
use super::text::{escape, lines, prose};
use crate::base::text::count;
use crate::model::findings::{Level, Metric, Problem, Test, TestStatus};
use crate::report::story::StageStory;
use crate::report::words::{self, time};

/// The most that is shown of each.
const BAD_TESTS: usize = 500;
const GOOD_TESTS: usize = 1000;
const PROBLEMS: usize = 500;

/// A longer message is cut, in characters.
const MESSAGE: usize = 8000;

/// Returns all findings of a stage; nothing where there are none.
pub(super) fn whole(stage: &StageStory) -> String {
    let Some(findings) = &stage.findings else { return String::new() };
    let mut html = String::new();
    if !findings.tests.is_empty() {
        let counts = words::line(&words::counted_tests(|status| stage.tests_that(status).count()));
        html += &format!("<h4>Tests <small>{counts}</small></h4>\n");
        html += &bad_tests(stage);
        let good = stage.tests_that(TestStatus::Skipped).chain(stage.tests_that(TestStatus::Passed));
        let good: Vec<&Test> = good.collect();
        if !good.is_empty() {
            let items: String = good.iter().take(GOOD_TESTS).map(|test| item(test)).collect();
            let rest = more(good.len(), GOOD_TESTS);
            let what = format!("{} that did not fail", count(good.len(), "test"));
            html += &format!("<details class=\"inner\"><summary>{what}</summary>\n<ul class=\"tests\">\n{items}{rest}</ul></details>\n");
        }
    }
    if !findings.problems.is_empty() {
        html += &problems(&findings.problems);
    }
    if !findings.metrics.is_empty() {
        html += &metrics(&findings.metrics);
    }
    html
}

/// Returns the tests of a stage that failed or were flaky.
pub(super) fn bad_tests(stage: &StageStory) -> String {
    let bad: Vec<&Test> = stage.tests_that(TestStatus::Failed).chain(stage.tests_that(TestStatus::Flaky)).collect();
    if bad.is_empty() {
        return String::new();
    }
    let items: String = bad.iter().take(BAD_TESTS).map(|test| item(test)).collect();
    format!("<ul class=\"tests\">\n{items}{}</ul>\n", more(bad.len(), BAD_TESTS))
}

fn more(all: usize, shown: usize) -> String {
    if all > shown { format!("<li>and {} more</li>\n", all - shown) } else { String::new() }
}

fn item(test: &Test) -> String {
    let class = match test.status {
        TestStatus::Passed => "passed",
        TestStatus::Flaky => "flaky",
        TestStatus::Failed => "failed",
        TestStatus::Skipped => "skipped",
    };
    let suite = if test.suite.is_empty() { String::new() } else { format!("<span class=\"suite\">{}</span> ", escape(&test.suite)) };
    let place =
        test.place.as_ref().map(|place| format!(" <code class=\"place\">{}</code>", escape(&words::place(place)))).unwrap_or_default();
    let took =
        if test.status == TestStatus::Skipped { String::new() } else { format!("<span class=\"took\">{}</span>", time(test.duration_ms)) };
    let message = test.message.as_deref().filter(|message| !message.trim().is_empty());
    let message = message.map(|message| format!("<pre>{}</pre>", lines(&cut(message)))).unwrap_or_default();
    let name = escape(&test.name);
    let said = if class == "passed" { String::new() } else { format!("<span class=\"sr\">{class}: </span>") };
    format!("<li>{}{took}<span class=\"name\">{said}{suite}<b>{name}</b></span>{place}{message}</li>\n", mark(class))
}

fn cut(text: &str) -> String {
    let text = console::strip_ansi_codes(text);
    if text.chars().count() <= MESSAGE { text.into_owned() } else { text.chars().take(MESSAGE).chain(['…']).collect() }
}

fn problems(problems: &[Problem]) -> String {
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort_by_key(|problem| Reverse((problem.fails, problem.level)));
    let item = |problem: &&Problem| {
        let (class, word) = match problem.level {
            Level::Error => ("failed", "error"),
            Level::Warning => ("cancelled", "warning"),
            Level::Note => ("skipped", "note"),
        };
        let place = problem
            .place
            .as_ref()
            .map(|place| format!("<code class=\"place\">{}</code> ", escape(&words::place(place))))
            .unwrap_or_default();
        let source = format!("{} {}", escape(&problem.tool), escape(&problem.rule));
        let message = prose(&cut(&problem.message));
        format!(
            "<li>{}<span class=\"name\"><span class=\"sr\">{word}: </span>{place}{message} <span class=\"source\">{}</span></span></li>\n",
            mark(class),
            source.trim()
        )
    };
    let items: String = sorted.iter().take(PROBLEMS).map(item).collect();
    let (all, rest) = (problems.len(), more(problems.len(), PROBLEMS));
    format!("<h4>Problems <small>{all}</small></h4>\n<ul class=\"tests\">\n{items}{rest}</ul>\n")
}

fn metrics(metrics: &[Metric]) -> String {
    let row = |metric: &Metric| {
        let failure = metric.failure.as_deref().map(|failure| format!("{}{}", mark("failed"), prose(failure))).unwrap_or_default();
        let (name, value, change) = (escape(&metric.name), metric.value, words::change(metric));
        format!("<tr><th scope=\"row\">{name}</th><td class=\"number\">{value}</td><td>{change}</td><td>{failure}</td></tr>\n")
    };
    let rows: String = metrics.iter().map(row).collect();
    format!(
        "<h4>Measured</h4>\n<table class=\"metrics\"><thead class=\"sr\"><tr><th>Name</th><th>Value</th><th>Change</th><th>Why it fails</th></tr></thead>\n<tbody>\n{rows}</tbody></table>\n"
    )
}
