//! The run as JUnit XML, the dialect that CI systems read: a suite for each stage, with a test case for the stage itself.
//!
//! Source of the format: the schema of the Jenkins xUnit plug-in, and what pytest writes (`file`, `line`).

use std::borrow::Cow;
use std::fmt::{self, Write};

use jiff::Timestamp;

use super::story::{StageStory, Story};
use super::words;
use crate::model::findings::{Test, TestStatus};
use crate::model::outcome::{FailureKind, StageOutcome};

/// How a test case ended, for XML.
enum Case<'a> {
    Passed,
    Flaky,
    Failed { kind: String, message: &'a str, text: String },
    Broken { message: &'a str },
    Skipped { message: &'a str },
}

/// Counts of test cases.
#[derive(Default, Clone, Copy)]
struct Sums {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Sums {
    fn add(&mut self, case: &Case<'_>) {
        self.tests += 1;
        match case {
            Case::Passed | Case::Flaky => {}
            Case::Failed { .. } => self.failures += 1,
            Case::Broken { .. } => self.errors += 1,
            Case::Skipped { .. } => self.skipped += 1,
        }
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"tests="{}" failures="{}" errors="{}" skipped="{}""#, self.tests, self.failures, self.errors, self.skipped)
    }
}

/// Returns the run as one XML document.
pub fn render(story: &Story) -> String {
    let (mut suites, mut all) = (String::new(), Sums::default());
    for stage in &story.stages {
        let mut cases = String::new();
        let mut sums = Sums::default();
        let mut add = |case: Case<'_>, name: &str, class: &str, milliseconds, place: Option<(&str, Option<u32>)>| {
            sums.add(&case);
            write_case(&mut cases, &case, name, class, milliseconds, place);
        };
        // Programs take what has the longest name for the most special: the stage first, then its tests.
        add(case_of_stage(stage), &stage.name, &story.pipeline, stage.duration_ms(), None);
        for test in stage.tests() {
            let class = if test.suite.is_empty() { &*stage.name } else { &test.suite };
            let place = test.place.as_ref().map(|place| (&*place.file, place.line));
            add(case_of_test(test), &test.name, class, test.duration_ms, place);
        }
        suite(&mut suites, &stage.name, sums, stage.duration_ms(), stage.started.or(stage.ended), &cases);
        all = Sums {
            tests: all.tests + sums.tests,
            failures: all.failures + sums.failures,
            errors: all.errors + sums.errors,
            skipped: all.skipped + sums.skipped,
        };
    }
    // Whoever reads nothing but this must not take a run that did not pass for one that did.
    if !story.has_passed() && all.failures == 0 {
        let verdict = words::verdict(story);
        let (case, mut cases) = (Case::Broken { message: &verdict }, String::new());
        write_case(&mut cases, &case, "the run", &story.pipeline, story.duration_ms(), None);
        let sums = Sums { tests: 1, errors: 1, ..Sums::default() };
        suite(&mut suites, "the run", sums, story.duration_ms(), story.began, &cases);
        all.tests += 1;
        all.errors += 1;
    }
    let (name, time) = (attribute(&story.pipeline), seconds(story.duration_ms()));
    let stamp = timestamp(story.began);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{name}\" {all} time=\"{time}\"{stamp}>\n{suites}</testsuites>\n"
    )
}

fn suite(out: &mut String, name: &str, sums: Sums, milliseconds: u64, at: Option<Timestamp>, cases: &str) {
    let (name, time, stamp) = (attribute(name), seconds(milliseconds), timestamp(at));
    // Writing to a string cannot fail.
    let _infallible = writeln!(out, "  <testsuite name=\"{name}\" {sums} time=\"{time}\"{stamp}>\n{cases}  </testsuite>");
}

fn write_case(out: &mut String, case: &Case<'_>, name: &str, class: &str, milliseconds: u64, place: Option<(&str, Option<u32>)>) {
    let _infallible =
        write!(out, r#"    <testcase name="{}" classname="{}" time="{}""#, attribute(name), attribute(class), seconds(milliseconds));
    if let Some((file, line)) = place {
        let line = line.map(|line| format!(r#" line="{line}""#)).unwrap_or_default();
        let _infallible = write!(out, r#" file="{}"{line}"#, attribute(file));
    }
    let inner = match case {
        Case::Passed => return out.push_str("/>\n"),
        Case::Flaky => "<system-out>flaky: it passed only when it was run again</system-out>".to_owned(),
        Case::Failed { kind, message, text } => {
            format!(r#"<failure message="{}" type="{}">{}</failure>"#, attribute(message), attribute(kind), content(text))
        }
        Case::Broken { message } => format!(r#"<error message="{}" type="run"/>"#, attribute(message)),
        Case::Skipped { message } => format!(r#"<skipped message="{}"/>"#, attribute(message)),
    };
    let _infallible = writeln!(out, ">\n      {inner}\n    </testcase>");
}

fn case_of_stage(stage: &StageStory) -> Case<'_> {
    let reason = stage.reason().unwrap_or_default();
    match stage.outcome() {
        Some(StageOutcome::Passed) if stage.finished.as_ref().is_some_and(|finished| finished.flaky) => Case::Flaky,
        Some(StageOutcome::Passed | StageOutcome::Cached) => Case::Passed,
        Some(StageOutcome::Failed) => {
            let kind = stage.failure().map_or_else(|| "failed".to_owned(), |failure| kind(failure.kind));
            Case::Failed { kind, message: reason, text: text_of_failure(stage) }
        }
        Some(StageOutcome::Skipped | StageOutcome::Cancelled) => Case::Skipped { message: reason },
        None => Case::Skipped { message: "it has no outcome: the run was not ended" },
    }
}

/// Returns the word for it, as in JSON.
fn kind(kind: FailureKind) -> String {
    serde_json::to_string(&kind).unwrap_or_default().trim_matches('"').to_owned()
}

fn text_of_failure(stage: &StageStory) -> String {
    let Some(failure) = stage.failure() else { return String::new() };
    let mut text = format!("$ {}\n", failure.command);
    for line in &failure.tail {
        text += &format!("{line}\n");
    }
    text + &failure.reproduce.as_ref().map(|command| format!("\nreproduce: {command}\n")).unwrap_or_default()
}

fn case_of_test(test: &Test) -> Case<'_> {
    let message = test.message.as_deref().unwrap_or_default();
    match test.status {
        TestStatus::Passed => Case::Passed,
        TestStatus::Flaky => Case::Flaky,
        TestStatus::Failed => {
            Case::Failed { kind: "test".to_owned(), message: message.lines().next().unwrap_or_default(), text: message.to_owned() }
        }
        TestStatus::Skipped => Case::Skipped { message },
    }
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

fn timestamp(at: Option<Timestamp>) -> String {
    at.map(|at| format!(" timestamp=\"{}\"", at.strftime("%Y-%m-%dT%H:%M:%SZ"))).unwrap_or_default()
}

/// What may stand between quotes.
fn attribute(text: &str) -> Cow<'_, str> {
    escape(text, true)
}

/// What may stand between tags.
fn content(text: &str) -> Cow<'_, str> {
    escape(text, false)
}

fn escape(text: &str, in_attribute: bool) -> Cow<'_, str> {
    // Colours say nothing here.
    let text = console::strip_ansi_codes(text);
    if !text.chars().any(|c| matches!(c, '<' | '>' | '&' | '"' | '\n' | '\t') || !is_xml(c)) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            // A parser would make a blank of it.
            '\n' if in_attribute => escaped.push_str("&#10;"),
            '\t' if in_attribute => escaped.push_str("&#9;"),
            c if !is_xml(c) => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// Tells whether a character may stand in XML 1.0 at all, and is no control character of later versions.
fn is_xml(c: char) -> bool {
    (matches!(c, '\t' | '\n') || !c.is_control()) && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::super::story::tests::{at, finished, told};
    use super::*;
    use crate::model::event::EventKind;
    use crate::model::findings::Findings;

    #[test]
    fn what_xml_forbids_is_replaced() {
        assert_eq!(
            attribute("a\u{0}\u{b}<\"&>\n\u{ffff}\u{1b}[31mred\u{85}"),
            "a\u{fffd}\u{fffd}&lt;&quot;&amp;&gt;&#10;\u{fffd}red\u{fffd}"
        );
        assert_eq!(content("a\n]]>\tb"), "a\n]]&gt;\tb");
    }

    #[test]
    fn a_stage_without_tests_appears_and_tests_have_places() {
        let test = |name: &str, status| Test {
            suite: "m".into(),
            name: name.into(),
            status,
            duration_ms: 1500,
            message: Some("left <> right\nmore".into()),
            place: Some(crate::model::findings::Place { file: "t.py".into(), line: Some(3), column: None }),
        };
        let tests = vec![test("good", TestStatus::Passed), test("bad", TestStatus::Failed), test("later", TestStatus::Skipped)];
        let findings = Findings { tests, ..Findings::none("a".into()) };
        let story = told(
            &["a", "b"],
            &[],
            vec![
                at(1, EventKind::Findings(Box::new(findings))),
                at(2, finished("a", StageOutcome::Failed, 2)),
                at(3, finished("b", StageOutcome::Skipped, 0)),
            ],
        );
        let xml = render(&story);
        assert!(xml.contains(r#"<testsuites name="shop" tests="5" failures="2" errors="0" skipped="2" "#), "{xml}");
        assert!(xml.contains(r#"<testcase name="bad" classname="m" time="1.500" file="t.py" line="3">"#), "{xml}");
        assert!(xml.contains(r#"<failure message="left &lt;&gt; right" type="test">left &lt;&gt; right"#), "{xml}");
        assert!(xml.contains(r#"<testsuite name="b" tests="1" failures="0" errors="0" skipped="1""#), "{xml}");
    }

    #[test]
    fn a_run_that_did_not_pass_is_never_all_green() {
        let xml = render(&told(&["a"], &[], vec![at(2, finished("a", StageOutcome::Passed, 2))]));
        assert!(xml.contains(r#"failures="0" errors="1""#) && xml.contains("<error message="), "{xml}");
    }
}
