//! The failure report: why a stage failed and what to do, the same layout everywhere. What matters most stands last, so that it is on
//! the screen: first the end of the output, then the reason, then the way on.

use std::fmt::Write;

use super::findings::{self, Bounds};
use super::theme::Theme;
use crate::base::text::{count, visible};
use crate::model::event::StageFinished;
use crate::model::findings::Findings;
use crate::model::outcome::{Failure, FailureKind};

/// How many stages are named in one line.
const NAMED: usize = 8;

/// What else there is to say of a failed stage: what became of the others because of it, and what was found in it.
#[derive(Debug, Clone, Default)]
pub struct Others<'a> {
    /// Running ones that were ended.
    pub ended: Vec<&'a str>,
    /// Those that were never started.
    pub not_run: Vec<&'a str>,
    /// What its own reports say, and how much of it is shown.
    pub findings: Option<(&'a Findings, Bounds)>,
}

/// Returns the report of one failed stage, with at most `lines` lines of its output; `places` are the `file:line` places in it.
pub fn render(finished: &StageFinished, failure: &Failure, lines: usize, places: &[String], others: &Others<'_>, theme: Theme) -> String {
    let mut text = String::new();
    let stage = visible(&finished.stage);
    let tail = &failure.tail[failure.tail.len().saturating_sub(lines)..];
    if !tail.is_empty() {
        let whose = if failure.kind == FailureKind::Service { "its service" } else { &*stage };
        let title = format!("the last {} of {whose}", count(tail.len(), "line"));
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "{}", theme.faint(&title));
        for line in tail {
            let _infallible = writeln!(text, "  {}", format!("{} {line}", theme.faint("│")).trim_end());
        }
        text.push('\n');
    }
    let found = others.findings.map(|(found, bounds)| findings::lines(found, bounds, theme)).unwrap_or_default();
    for line in &found {
        let _infallible = writeln!(text, "{line}");
    }
    if !found.is_empty() {
        text.push('\n');
    }
    let reason = visible(finished.reason.as_deref().unwrap_or("it failed"));
    let _infallible = writeln!(text, "{} {}: {reason}", theme.mark(finished.outcome), theme.bad(&stage));
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            let _infallible = writeln!(text, "  {} {value}", theme.faint(&format!("{name:<10}")));
        }
    };
    field("command", &below(&failure.command));
    field("directory", &visible(if failure.dir == "." { "" } else { &failure.dir }));
    field("attempts", &if finished.attempts > 1 { finished.attempts.to_string() } else { String::new() });
    field("output", if tail.is_empty() { "none" } else { "" });
    // Where they are not shown above.
    let tests: Vec<&str> = failure.tests.iter().map(String::as_str).filter(|_| found.is_empty()).collect();
    field("tests", &names(&tests));
    field("places", &places.join("  "));
    field("ended", &names(&others.ended));
    field("not run", &names(&others.not_run));
    field("reproduce", &failure.reproduce.as_ref().map(|command| theme.strong(&visible(command))).unwrap_or_default());
    text
}

fn names(stages: &[&str]) -> String {
    let named: Vec<_> = stages.iter().take(NAMED).map(|name| visible(name)).collect();
    let more = stages.len().saturating_sub(NAMED);
    if more > 0 { format!("{} and {more} more", named.join(", ")) } else { named.join(", ") }
}

/// Writes a command of several lines below itself.
fn below(command: &str) -> String {
    command.trim_end().lines().map(visible).collect::<Vec<_>>().join("\n             ")
}
