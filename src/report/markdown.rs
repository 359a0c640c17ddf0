//! The run as Markdown, for a comment on a pull request or the summary of a CI step: what failed first, then every stage.
//!
//! Source of the format: GitHub Flavored Markdown 0.29, which GitLab reads, too. Text from outside stands in code spans and fences longer
//! than any within, else with every mark escaped.

use std::fmt::Write;

use super::story::{StageStory, Story};
use super::words::{self, time};
use crate::base::text::{count, visible};
use crate::model::findings::{Level, TestStatus};
use crate::model::outcome::StageOutcome;

/// No report is longer, in bytes: GitHub takes a comment of 65 536 characters and a summary of 1 MiB.
const LONGEST: usize = 64_000;

/// The most that is shown of each: failures with their output, and of those lines and tests and problems.
const FAILURES: usize = 20;
const LINES: usize = 40;
const TESTS: usize = 30;
const PROBLEMS: usize = 30;

/// A longer text is cut, in characters.
const WIDTH: usize = 400;

/// Text that never becomes longer than its bound: what does not fit is left out whole, and counted.
struct Page {
    text: String,
    left_out: usize,
}

impl Page {
    fn add(&mut self, block: &str) -> bool {
        let fits = self.text.len() + block.len() <= LONGEST;
        if fits {
            self.text.push_str(block);
        } else {
            self.left_out += 1;
        }
        fits
    }
}

/// Returns the run as one page.
pub fn render(story: &Story) -> String {
    let mut page = Page { text: String::new(), left_out: 0 };
    page.add(&head(story));
    for (number, (_, stage)) in story.stages_that(StageOutcome::Failed).enumerate() {
        if number >= FAILURES {
            page.left_out += 1;
        } else if !page.add(&failed(stage, LINES)) {
            page.left_out -= 1;
            page.add(&failed(stage, 5));
        }
    }
    for stage in &story.stages {
        let (tests, problems, metrics) = (tests(stage), problems(stage), metrics(stage));
        [tests, problems, metrics].iter().filter(|block| !block.is_empty()).for_each(|block| {
            page.add(block);
        });
    }
    table(&mut page, story);
    if page.left_out > 0 {
        page.text += &format!("\n_{} left out here; the HTML report has all._\n", are(page.left_out));
    }
    page.text
}

fn are(number: usize) -> String {
    format!("{} {}", count(number, "part"), if number == 1 { "is" } else { "are" })
}

fn head(story: &Story) -> String {
    let mark = if story.has_passed() { "✅" } else { "❌" };
    let mut text = format!("## {mark} {}: {}\n\n", code(&story.pipeline), words::verdict(story));
    let mut facts = vec![format!("in {}", time(story.duration_ms()))];
    if !story.stages.is_empty() {
        facts.insert(0, words::line(&words::counted(story)));
    }
    let tests = words::counted_tests(|status| story.tests_that(status));
    if !tests.is_empty() {
        facts.push(format!("tests: {}", words::line(&tests)));
    }
    if !story.run.is_empty() {
        facts.push(format!("run {}", code(&story.run)));
    }
    let _infallible = writeln!(text, "{}", facts.join(" · "));
    for notice in story.notices.iter().take(10) {
        let _infallible = writeln!(text, "\n> {}", prose(notice));
    }
    text
}

fn failed(stage: &StageStory, lines: usize) -> String {
    let mut text = format!("\n### ✗ {}\n\n{}\n", code(&stage.name), prose(stage.reason().unwrap_or("it failed")));
    let Some(failure) = stage.failure() else { return text };
    let shown = &failure.tail[failure.tail.len().saturating_sub(lines)..];
    let command = failure.command.lines().map(|line| format!("$ {}", shorten(line, WIDTH)));
    let tail = shown.iter().map(|line| shorten(line, WIDTH));
    text += &format!("\n{}", fence(&command.chain(tail).collect::<Vec<_>>().join("\n")));
    if failure.dir != "." {
        text += &format!("\nDirectory: {}\n", code(&failure.dir));
    }
    text + &failure.reproduce.as_ref().map(|command| format!("\nReproduce: {}\n", code(command))).unwrap_or_default()
}

fn tests(stage: &StageStory) -> String {
    let bad: Vec<_> = stage.tests_that(TestStatus::Failed).chain(stage.tests_that(TestStatus::Flaky)).collect();
    if bad.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n**Tests of {}**: {}\n\n",
        code(&stage.name),
        words::line(&words::counted_tests(|status| stage.tests_that(status).count()))
    );
    for test in bad.iter().take(TESTS) {
        let place = test.place.as_ref().map(|place| format!(" at {}", code(&words::place(place)))).unwrap_or_default();
        let message = test.message.as_deref().and_then(|message| message.lines().find(|line| !line.trim().is_empty()));
        let message = message.map(|message| format!(": {}", prose(message))).unwrap_or_default();
        let flaky = if test.status == TestStatus::Flaky { " (flaky)" } else { "" };
        let _infallible = writeln!(text, "- {}{flaky}{place}{message}", code(&test.full_name()));
    }
    if bad.len() > TESTS {
        let _infallible = writeln!(text, "- and {} more", bad.len() - TESTS);
    }
    text
}

fn problems(stage: &StageStory) -> String {
    let problems = stage.findings.as_ref().map_or(&[][..], |findings| &findings.problems);
    if problems.is_empty() {
        return String::new();
    }
    let mut text = format!("\n**{} of {}**\n\n", count(problems.len(), "problem"), code(&stage.name));
    let mut sorted: Vec<_> = problems.iter().collect();
    sorted.sort_by_key(|problem| std::cmp::Reverse((problem.fails, problem.level)));
    for problem in sorted.iter().take(PROBLEMS) {
        let level = match problem.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        };
        let place = problem.place.as_ref().map(|place| format!(" {}", code(&words::place(place)))).unwrap_or_default();
        let rule = if problem.rule.is_empty() { String::new() } else { format!(" {}", code(&problem.rule)) };
        let _infallible = writeln!(text, "- {level}{place}: {} ({}{rule})", prose(&problem.message), code(&problem.tool));
    }
    if problems.len() > PROBLEMS {
        let _infallible = writeln!(text, "- and {} more", problems.len() - PROBLEMS);
    }
    text
}

fn metrics(stage: &StageStory) -> String {
    let metrics = stage.findings.as_ref().map_or(&[][..], |findings| &findings.metrics);
    if metrics.is_empty() {
        return String::new();
    }
    let mut text = format!("\n**Measured by {}**\n\n| | value | | |\n|---|---:|---|---|\n", code(&stage.name));
    for metric in metrics {
        let failure = metric.failure.as_deref().map(|failure| format!("✗ {}", cell(&prose(failure)))).unwrap_or_default();
        let _infallible = writeln!(text, "| {} | {} | {} | {failure} |", cell(&code(&metric.name)), metric.value, words::change(metric));
    }
    text
}

fn table(page: &mut Page, story: &Story) {
    if story.stages.is_empty() {
        return;
    }
    let is_long = story.stages.len() > 20;
    if is_long {
        page.add(&format!("\n<details><summary>{}</summary>\n", count(story.stages.len(), "stage")));
    }
    page.add("\n| | stage | time | reason |\n|---|---|---:|---|\n");
    let mut order: Vec<&StageStory> = story.stages.iter().collect();
    order.sort_by_key(|stage| rank(stage.outcome()));
    for stage in order {
        let mark = match stage.outcome() {
            Some(StageOutcome::Passed) => "✓ passed",
            Some(StageOutcome::Cached) => "= cached",
            Some(StageOutcome::Failed) => "✗ failed",
            Some(StageOutcome::Skipped) => "- not run",
            Some(StageOutcome::Cancelled) => "! cancelled",
            None => "? unfinished",
        };
        let flaky = if stage.finished.as_ref().is_some_and(|finished| finished.flaky) { ", flaky" } else { "" };
        let took =
            if stage.ended.is_some() && stage.outcome() != Some(StageOutcome::Skipped) { time(stage.duration_ms()) } else { String::new() };
        let reason = cell(&prose(stage.reason().unwrap_or_default()));
        page.add(&format!("| {mark}{flaky} | {} | {took} | {reason} |\n", cell(&code(&stage.name))));
    }
    if is_long {
        page.text += "\n</details>\n";
    }
}

fn rank(outcome: Option<StageOutcome>) -> u8 {
    match outcome {
        Some(StageOutcome::Failed) => 0,
        Some(StageOutcome::Cancelled) => 1,
        None => 2,
        Some(StageOutcome::Passed) => 3,
        Some(StageOutcome::Cached) => 4,
        Some(StageOutcome::Skipped) => 5,
    }
}

/// Returns text as it is, in one line, in a code span that nothing in it can end.
fn code(text: &str) -> String {
    let text = shorten(text, WIDTH);
    if text.is_empty() {
        return "` `".to_owned();
    }
    let ticks = "`".repeat(longest_run(&text) + 1);
    // Blanks at both ends are taken away again; they keep backticks of the text apart from ours.
    let blank = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{ticks}{blank}{text}{blank}{ticks}")
}

/// Returns text as [`escape`] does, its words between backticks as code.
fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if text.contains("``") || parts.len().is_multiple_of(2) || text.len() > WIDTH {
        return escape(text);
    }
    let mark = |(place, part): (usize, &&str)| if place % 2 == 1 { code(part) } else { escape(part) };
    parts.iter().enumerate().map(mark).collect()
}

/// Returns text in a fence that nothing in it can end.
fn fence(text: &str) -> String {
    let ticks = "`".repeat((longest_run(text) + 1).max(3));
    format!("{ticks}text\n{text}\n{ticks}\n")
}

fn longest_run(text: &str) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// Returns text in one line, with everything that Markdown, HTML or a forge would act on made plain.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in shorten(text, WIDTH).chars() {
        if c == '@' {
            // Behind the comment no name follows that somebody could be called by.
            escaped.push_str("@<!-- -->");
            continue;
        }
        if c.is_ascii_punctuation() && !matches!(c, ',' | '/' | '\'' | '"' | ';' | '?' | '%' | '|') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    // A table would end its cell, an HTML block would begin at the start of a line only.
    escaped.replace('|', "\\|")
}

/// Returns what is Markdown already for a cell of a table: there a bar ends the cell, in code spans, too.
fn cell(markdown: &str) -> String {
    let mut cell = String::with_capacity(markdown.len());
    let mut before = ' ';
    for c in markdown.chars() {
        if c == '|' && before != '\\' {
            cell.push('\\');
        }
        cell.push(c);
        before = c;
    }
    cell
}

fn shorten(text: &str, width: usize) -> String {
    // Tabs are harmless, and output is full of them.
    let text = visible(&console::strip_ansi_codes(text).replace('\t', "    ")).into_owned();
    if text.chars().count() <= width { text } else { text.chars().take(width).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::story::tests::{at, finished, told};
    use super::*;
    use crate::model::event::{EventKind, StageFinished};
    use crate::model::outcome::{Failure, FailureKind};

    pub(super) fn failing(tail: Vec<String>) -> EventKind {
        let EventKind::StageFinished(end) = finished("a", StageOutcome::Failed, 5) else { panic!("another event") };
        let failure = Failure {
            step: "1".into(),
            kind: FailureKind::Exit,
            code: Some(1),
            signal: None,
            command: "x".into(),
            dir: ".".into(),
            tail,
            tests: vec![],
            reproduce: Some("shipway run --only a".into()),
        };
        EventKind::StageFinished(Box::new(StageFinished { reason: Some("<b>@all</b> | `x`".into()), failure: Some(failure), ..*end }))
    }

    #[test]
    fn no_fence_is_ended_from_within() {
        let tail = vec!["```".to_owned(), "````` </details> <script>".to_owned(), "# heading".to_owned()];
        let page = render(&told(&["a"], &[], vec![at(5, failing(tail))]));
        assert!(page.contains("\n``````text\n$ x\n```\n````` </details> <script>\n# heading\n``````\n"), "{page}");
        assert!(page.contains("\\<b\\>@<!-- -->all\\</b\\> \\| `x`"), "{page}");
    }

    #[test]
    fn a_page_is_never_too_long() {
        let stages: Vec<String> = (0..3000).map(|number| format!("stage-{number}-{}", "x".repeat(80))).collect();
        let names: Vec<&str> = stages.iter().map(String::as_str).collect();
        let mut events: Vec<_> = names.iter().map(|name| at(9, finished(name, StageOutcome::Passed, 1))).collect();
        events.push(at(5, failing((0..50).map(|_| "y".repeat(2000)).collect())));
        let page = render(&told(&names, &[], events));
        assert!(page.len() < 65_536, "{}", page.len());
        assert!(page.contains("left out here") && page.contains("✗ failed"), "{page}");
    }

    proptest! {
        #[test]
        fn a_code_span_holds_its_text(text in "[`|a \\\\<&@*]{0,12}") {
            let span = code(&text);
            let ticks = span.chars().take_while(|c| *c == '`').count();
            prop_assert!(span.ends_with(&"`".repeat(ticks)));
            let inner = &span[ticks..span.len() - ticks];
            prop_assert!(longest_run(inner) != ticks || inner.is_empty());
            prop_assert!(!inner.starts_with('`') && !inner.ends_with('`'));
        }
    }
}
