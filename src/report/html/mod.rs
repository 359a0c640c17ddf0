//! The run as one page of HTML that needs nothing else: no script, no other file, no network.
//!
//! ```text
//! head: how it ended, counts, facts
//! failures: what failed first, the end of its output, the tests, the way on
//! graph: who waits for whom      (layout: where the boxes stand)
//! stages: one row each, with its time in the run; opened: steps, reasons, findings, output
//! ```

pub mod course;

mod failures;
mod findings;
mod graph;
mod layout;
mod output;
mod stages;
mod text;

use std::fmt::Write;

use self::text::{each, escape, prose};
use super::spans::{critical, spans};
use super::story::{StageStory, Story};
use super::words::{self, time};
use crate::model::findings::TestStatus;
use crate::model::outcome::StageOutcome;

const STYLE: &str = include_str!("style.css");

/// No script, no request: whatever the output of a step holds, and even if some of it were taken for HTML.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// The marks of outcomes, 16 by 16: drawn, since fonts differ.
const MARKS: [(&str, &str); 7] = [
    ("passed", r#"<path d="M3.5 8.5 6.8 11.8 12.5 4.8"/>"#),
    ("cached", r#"<path d="M4 6.2h8M4 9.8h8"/>"#),
    ("failed", r#"<path d="m4.4 4.4 7.2 7.2m0-7.2-7.2 7.2"/>"#),
    ("skipped", r#"<path d="M4.5 8h7"/>"#),
    ("cancelled", r#"<path d="M8 3.4v5.4M8 12.1v.5"/>"#),
    ("open", r#"<path d="M4 8h.1M8 8h.1M12 8h.1"/>"#),
    ("flaky", r#"<path d="M3.4 9.4c1.6-3 3-3 4.6-1.4s3 1.6 4.6-1.4"/>"#),
];

/// Returns the run as one page.
pub fn render(story: &Story) -> String {
    let spans = spans(story);
    let path = critical(story, &spans);
    let mut body = head(story);
    body += "<main>\n";
    body += &notices(story);
    body += &failures::section(story);
    body += &graph::section(story, &path);
    body += &stages::section(story, &spans, &path);
    body += "</main>\n";
    let title = format!("{}: {}", story.pipeline, words::verdict(story));
    page(&title, "stages", "Skip to the stages", &body, &format!("run <code>{}</code>", escape(&story.run)))
}

/// Returns a whole page; `skip` leads to the place `main` in it, and `source` says in HTML what it was made from.
fn page(title: &str, main: &str, skip: &str, body: &str, source: &str) -> String {
    let title = escape(title);
    let symbols = each(MARKS, |(name, path)| {
        format!(
            "<symbol id=\"mark-{name}\" viewBox=\"0 0 16 16\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.8\" \
             stroke-linecap=\"round\" stroke-linejoin=\"round\">{path}</symbol>"
        )
    });
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<!doctype html>\n<html lang=\"en\" dir=\"ltr\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"generator\" content=\"shipway {version}\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#{main}\">{skip}</a>\n<svg width=\"0\" height=\"0\" class=\"symbols\" aria-hidden=\"true\">{symbols}</svg>\n\
         {body}<footer><p>Made by shipway {version} from {source}</p></footer>\n</body>\n</html>\n"
    )
}

/// The class, and the mark, of how a stage ended.
fn class(stage: &StageStory) -> &'static str {
    match &stage.finished {
        Some(finished) if finished.flaky && finished.outcome == StageOutcome::Passed => "flaky",
        Some(finished) => finished.outcome.word(),
        None => "open",
    }
}

/// The word that people read for it.
fn word(stage: &StageStory) -> &'static str {
    match class(stage) {
        "skipped" => "not run",
        "open" => "no result",
        other => other,
    }
}

fn mark(class: &str) -> String {
    format!("<svg class=\"mark {class}\" aria-hidden=\"true\"><use href=\"#mark-{class}\"/></svg>")
}

fn head(story: &Story) -> String {
    let class = match words::outcome(story) {
        "interrupted" => "cancelled",
        "unfinished" => "open",
        other => other,
    };
    let mut verdict = words::verdict(story);
    if let Some(first) = verdict.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let mut html = head_of(&story.pipeline, class, &verdict);
    html += &proportions(story);
    html += "<dl class=\"facts\">\n";
    let mut fact = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _infallible = writeln!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    };
    fact("Took", &time(story.duration_ms()));
    if let Some(at) = story.began {
        let shown = at.strftime("%e %B %Y, %H:%M:%S").to_string();
        fact("Began", &format!("<time datetime=\"{at}\">{} <abbr title=\"Coordinated Universal Time\">UTC</abbr></time>", shown.trim()));
    }
    let tests = words::counted_tests(|status| story.tests_that(status));
    if !tests.is_empty() {
        fact("Tests", &words::line(&tests));
    }
    if story.jobs > 0 {
        fact("At once", &story.jobs.to_string());
    }
    if let Some(end) = story.end {
        fact("Exit code", &end.exit_code.to_string());
    }
    fact("Run", &format!("<code>{}</code>", escape(&story.run)));
    html + "</dl>\n</header>\n"
}

/// The beginning of a head: what it is about, and how that ended.
fn head_of(what: &str, class: &str, verdict: &str) -> String {
    format!("<header class=\"{class}\">\n<p class=\"pipeline\">{}</p>\n<h1>{}{}</h1>\n", escape(what), mark(class), escape(verdict))
}

/// How many stages ended how, as a bar and as a list.
fn proportions(story: &Story) -> String {
    let counts = story.counts();
    let open = story.stages.len() - counts.total();
    let all = [
        (counts.failed, "failed", "failed"),
        (counts.cancelled, "cancelled", "cancelled"),
        (counts.passed, "passed", "passed"),
        (counts.cached, "cached", "cached"),
        (counts.skipped, "skipped", "not run"),
        (open, "open", "without result"),
    ];
    let some = || all.iter().filter(|(count, ..)| *count > 0);
    let parts = each(some(), |(count, class, _)| format!("<i class=\"{class}\" style=\"flex-grow:{count}\"></i>"));
    let mut list = each(some(), |(count, class, word)| format!("<li>{}<b>{count}</b> {word}</li>", mark(class)));
    let flaky = story.stages.iter().filter(|stage| class(stage) == "flaky").count();
    if flaky > 0 {
        list += &format!("<li>{}<b>{flaky}</b> of them flaky</li>", mark("flaky"));
    }
    let failed_tests = story.tests_that(TestStatus::Failed);
    if failed_tests > 0 {
        list +=
            &format!("<li>{}<b>{failed_tests}</b> {}</li>", mark("failed"), if failed_tests == 1 { "test failed" } else { "tests failed" });
    }
    format!("<div class=\"proportions\" aria-hidden=\"true\">{parts}</div>\n<ul class=\"tally\">{list}</ul>\n")
}

fn notices(story: &Story) -> String {
    if story.notices.is_empty() {
        return String::new();
    }
    let items = each(&story.notices, |notice| format!("<li>{}</li>\n", prose(notice)));
    format!("<aside class=\"notices\" aria-label=\"Notices\"><ul>\n{items}</ul></aside>\n")
}
