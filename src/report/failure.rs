//! The failure report: what failed, where, why, and what to do; the same layout everywhere.

use std::fmt::Write;

use super::theme::Theme;
use crate::base::text::visible;
use crate::model::event::StageFinished;
use crate::model::outcome::Failure;

/// How many stages that did not run are named.
const NAMED: usize = 8;

/// Returns the report of one failed stage.
///
/// `places` are the `file:line` places in its output, `not_run` the stages that did not run because of it.
pub fn render(finished: &StageFinished, failure: &Failure, places: &[String], not_run: &[&str], theme: Theme) -> String {
    let mut text = String::new();
    let reason = finished.reason.as_deref().unwrap_or("it failed");
    let title = format!("{} {}", theme.mark(finished.outcome), theme.bad(&visible(&finished.stage)));
    // Writing to a string cannot fail.
    let _infallible = writeln!(text, "{title}: {}", visible(reason));
    let mut field = |name: &str, value: &str| {
        let _infallible = writeln!(text, "  {} {value}", theme.faint(&format!("{name:<10}")));
    };
    field("command", &indent(&failure.command));
    if failure.dir != "." {
        field("directory", &visible(&failure.dir));
    }
    if finished.attempts > 1 {
        field("attempts", &finished.attempts.to_string());
    }
    if failure.tail.is_empty() {
        field("output", &theme.faint("none"));
    } else {
        field("output", &theme.faint(&format!("the last {}", crate::base::text::count(failure.tail.len(), "line"))));
        for line in &failure.tail {
            let _infallible = writeln!(text, "    {} {line}", theme.faint("│"));
        }
    }
    let mut field = |name: &str, value: &str| {
        let _infallible = writeln!(text, "  {} {value}", theme.faint(&format!("{name:<10}")));
    };
    if !failure.tests.is_empty() {
        field("tests", &failure.tests.join(", "));
    }
    if !places.is_empty() {
        field("places", &places.join("  "));
    }
    if !not_run.is_empty() {
        let named: Vec<_> = not_run.iter().take(NAMED).map(|name| visible(name)).collect();
        let more = not_run.len().saturating_sub(NAMED);
        field("not run", &if more > 0 { format!("{} and {more} more", named.join(", ")) } else { named.join(", ") });
    }
    field("reproduce", &theme.strong(&visible(&failure.reproduce)));
    text
}

/// Writes a command of several lines below itself.
fn indent(command: &str) -> String {
    command.trim_end().lines().map(visible).collect::<Vec<_>>().join("\n             ")
}
