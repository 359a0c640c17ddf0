//! What steps printed, as HTML.

use super::text::{escape, painted};
use crate::base::text::count;
use crate::model::event::Stream;
use crate::report::log::Line;
use crate::report::story::StageStory;

/// Returns all that was kept of a stage's output; nothing where it printed nothing.
pub(super) fn whole(stage: &StageStory) -> String {
    if stage.log.is_empty() {
        return String::new();
    }
    let (head, left_out, tail) = stage.log.parts();
    let several = stage.steps.len() > 1;
    let mut html = String::new();
    let mut step = None;
    for line in head {
        html += &heading(stage, line, several, &mut step);
        html += &row(line);
    }
    if left_out > 0 {
        let lines = count(usize::try_from(left_out).unwrap_or(usize::MAX), "line");
        html += &format!("<span class=\"gap\">{lines} left out here; the record of the run has all</span>\n");
    }
    for line in tail {
        html += &heading(stage, line, several, &mut step);
        html += &row(line);
    }
    let title = if stage.replayed { "Output, when it ran" } else { "Output" };
    let name = escape(&stage.name);
    format!(
        "<h4>{title}</h4>\n<pre class=\"output\" tabindex=\"0\" role=\"region\" aria-label=\"Output of {name}\">{}</pre>\n",
        html.trim_end_matches('\n')
    )
}

/// Returns the last lines that the last step of a stage printed.
pub(super) fn end(stage: &StageStory, lines: usize) -> String {
    let (head, _, tail) = stage.log.parts();
    let last = head.iter().chain(tail.clone()).last().and_then(|line| line.step);
    let all: Vec<&Line> = head.iter().chain(tail).filter(|line| line.step == last).collect();
    let is_blank = |line: &&&Line| line.text.trim().is_empty();
    let all = &all[..all.len() - all.iter().rev().take_while(is_blank).count()];
    all[all.len().saturating_sub(lines)..].iter().map(|line| row(line)).collect()
}

fn row(line: &Line) -> String {
    let text = painted(&line.text);
    match line.stream {
        Stream::Stdout => format!("{text}\n"),
        Stream::Stderr => format!("<span class=\"stderr\">{text}</span>\n"),
    }
}

/// Returns the command before the first line that it printed, where a stage has several.
fn heading(stage: &StageStory, line: &Line, several: bool, step: &mut Option<usize>) -> String {
    if !several || line.step.is_none() || line.step == *step {
        return String::new();
    }
    *step = line.step;
    let command = line.step.and_then(|step| stage.steps.get(step)).map(|step| escape(step.command.lines().next().unwrap_or_default()));
    command.map(|command| format!("<span class=\"command\">$ {command}</span>\n")).unwrap_or_default()
}
