//! Every stage in a row of its own, with its time in the run; opened, all that is known of it.

use std::cmp::Reverse;

use super::text::{each, escape, lines, prose};
use super::{class, findings, mark, output, word};
use crate::model::outcome::{StageOutcome, StepStatus};
use crate::report::spans::Span;
use crate::report::story::{StageStory, Story};
use crate::report::words::time;

/// The most marks on the scale of time.
const TICKS: u64 = 6;

const HINT: &str = "<p class=\"hint\">In the order in which they began. The solid bars are the chain that the run took so long for: each let the next one begin. Open a stage for its steps and output.</p>\n";

/// Returns the section.
pub(super) fn section(story: &Story, spans: &[Span], path: &[usize]) -> String {
    let whole = spans.iter().map(|span| span.end).max().unwrap_or(0).max(story.duration_ms().saturating_mul(1000)).max(1);
    let mut order: Vec<usize> = (0..story.stages.len()).collect();
    let mut times: Vec<Option<&Span>> = vec![None; story.stages.len()];
    spans.iter().for_each(|span| times[span.stage] = Some(span));
    // As they began; what never began comes last.
    order.sort_by_key(|place| {
        (times[*place].map_or(u64::MAX, |span| span.start), Reverse(times[*place].map_or(0, |span| span.end)), *place)
    });
    let mut html = format!(
        "<section class=\"stages\" aria-labelledby=\"stages\">\n<h2 id=\"stages\" tabindex=\"-1\">Stages</h2>\n\
         {}{}",
        if story.stages.len() > 1 { HINT } else { "" },
        scale(whole)
    );
    for place in order {
        html += &row(story, place, times[place], whole, path.contains(&place));
    }
    html + "</section>\n"
}

/// The scale of time, above the bars.
fn scale(whole: u64) -> String {
    format!("<div class=\"scale\" aria-hidden=\"true\"><div class=\"ticks\">{}</div></div>\n", ticks(whole))
}

/// The marks of a scale of so many microseconds.
pub(super) fn ticks(whole: u64) -> String {
    let step = step(whole);
    let marks = (0..=whole / step).map(|number| number * step).filter(|at| *at == 0 || share(*at, whole) < 95.0);
    each(marks, |at| {
        let shown = if at == 0 { "0".to_owned() } else { time(at / 1000) };
        format!("<span style=\"left:{:.2}%\">{shown}</span>", share(at, whole))
    })
}

/// Returns a round time, in microseconds, that the whole is at most [`TICKS`] of.
fn step(whole: u64) -> u64 {
    let round = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000];
    let minutes = [1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440].map(|minutes| minutes * 60_000);
    let steps = round.into_iter().chain(minutes).map(|milliseconds| milliseconds * 1000);
    steps.clone().find(|step| whole / step < TICKS).unwrap_or(whole / 2 + 1)
}

#[expect(clippy::cast_precision_loss, reason = "a picture is not that exact")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64 * 100.0
}

fn row(story: &Story, place: usize, span: Option<&Span>, whole: u64, is_critical: bool) -> String {
    let stage = &story.stages[place];
    let class = class(stage);
    let bar = span.map_or_else(String::new, |span| {
        let critical = if is_critical { " critical" } else { "" };
        let (left, width) = (share(span.start, whole), share(span.end - span.start, whole));
        format!("<i class=\"{class}{critical}\" style=\"left:{left:.2}%;width:{width:.2}%\"></i>")
    });
    let took = if span.is_some() || stage.duration_ms() > 0 { time(stage.duration_ms()) } else { word(stage).to_owned() };
    let reason = stage.reason().map(|reason| format!("<span class=\"reason\">{}</span>", prose(reason))).unwrap_or_default();
    let (name, word) = (escape(&stage.name), word(stage));
    let open = if story.stages.len() == 1 { " open" } else { "" };
    format!(
        "<details class=\"stage\"{open}><summary>{}<span class=\"what\"><span class=\"sr\">{word}: </span><b>{name}</b>{reason}</span>\
         <span class=\"track\">{bar}</span><span class=\"took\">{took}</span></summary>\n<div class=\"body\" id=\"stage-{place}\">\n{}</div></details>\n",
        mark(class),
        body(story, stage)
    )
}

fn body(story: &Story, stage: &StageStory) -> String {
    let mut html = "<h3 class=\"sr\">".to_owned() + &escape(&stage.name) + "</h3>\n<dl class=\"facts\">\n";
    let mut fact = |name: &str, value: &str| html += &format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n");
    let flaky = if class(stage) == "flaky" { ": it passed only when it was tried again" } else { "" };
    fact("Outcome", &format!("{}{flaky}", word(stage)));
    let reason = stage.finished.as_ref().and_then(|finished| finished.reason.as_deref());
    if let Some(reason) = reason {
        fact("Reason", &prose(reason));
    }
    if let Some(why) = stage.why.as_deref().filter(|why| Some(*why) != reason) {
        fact("Why it ran", &prose(why));
    }
    if let Some(finished) = stage.finished.as_ref().filter(|finished| finished.attempts > 1) {
        fact("Attempts", &finished.attempts.to_string());
    }
    if stage.finished.as_ref().is_some_and(|finished| finished.stored) {
        fact("Result", "stored");
    }
    for (name, others) in [("Needs", &stage.needs), ("After", &stage.after)] {
        if !others.is_empty() {
            let links: Vec<String> =
                others.iter().map(|other| format!("<a href=\"#stage-{other}\">{}</a>", escape(&story.stages[*other].name))).collect();
            fact(name, &links.join(", "));
        }
    }
    if let Some(key) = &stage.key {
        fact("Key", &format!("<code class=\"key\">{}</code>", escape(key)));
    }
    html += "</dl>\n";
    if !stage.notices.is_empty() {
        let items = each(&stage.notices, |notice| format!("<li>{}</li>\n", prose(notice)));
        html += &format!("<ul class=\"notices\">\n{items}</ul>\n");
    }
    html += &steps(stage);
    if stage.outcome() == Some(StageOutcome::Failed)
        && let Some(command) = stage.failure().and_then(|failure| failure.reproduce.as_deref())
    {
        html += &format!("<h4>Reproduce</h4>\n<pre class=\"copy\">{}</pre>\n", lines(command));
    }
    html + &findings::whole(stage) + &output::whole(stage)
}

fn steps(stage: &StageStory) -> String {
    if stage.steps.is_empty() {
        return String::new();
    }
    let mut html = "<h4>Steps</h4>\n<ol class=\"steps\">\n".to_owned();
    for (place, step) in stage.steps.iter().enumerate() {
        let (class, took) = match step.end {
            Some((StepStatus::Passed, took)) => ("passed", time(took)),
            Some((StepStatus::Failed, took)) => ("failed", time(took)),
            Some((StepStatus::TimedOut, took)) => ("failed", format!("{}, timed out", time(took))),
            Some((StepStatus::Cancelled, took)) => ("cancelled", time(took)),
            None => ("open", String::new()),
        };
        let attempt = stage.steps[..=place].iter().filter(|other| other.step == step.step).count();
        let again = if attempt > 1 { format!(" <small>attempt {attempt}</small>") } else { String::new() };
        let is_number = step.step.bytes().all(|byte| byte.is_ascii_digit());
        let name = if is_number && again.is_empty() { String::new() } else { format!("<b>{}</b>{again}", escape(&step.step)) };
        html += &format!(
            "<li>{}<span class=\"name\"><span class=\"sr\">{class}: </span>{name}<code>{}</code></span><span class=\"took\">{took}</span></li>\n",
            mark(class),
            lines(&step.command)
        );
    }
    html + "</ol>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_few_round_marks() {
        for whole in [1, 1000, 999_999, 65_000_000, 3_600_000_000, 86_400_000_000, u64::MAX] {
            assert!(whole / step(whole) < TICKS, "{whole}");
        }
        assert_eq!(step(4_200_000), 1_000_000);
    }
}
