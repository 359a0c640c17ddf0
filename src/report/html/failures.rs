//! What failed, before all else: why, the end of the output, the tests, and how to do it again.

use super::text::{escape, lines, prose};
use super::{findings, mark, output};
use crate::base::text::count;
use crate::model::outcome::StageOutcome;
use crate::report::story::{StageStory, Story};

/// How much of the output is shown here, in lines, and how many failures are shown whole.
const LINES: usize = 30;
const MOST: usize = 20;

/// How many stages are named that did not run because of failures.
const NAMED: usize = 12;

/// Returns the section; nothing where nothing failed.
pub(super) fn section(story: &Story) -> String {
    let failed: Vec<(usize, &StageStory)> = story.stages_that(StageOutcome::Failed).collect();
    if failed.is_empty() {
        return String::new();
    }
    let mut html = "<section class=\"failures\" aria-labelledby=\"failures\">\n<h2 id=\"failures\">What failed</h2>\n".to_owned();
    html += &failed.iter().take(MOST).map(|(place, stage)| article(*place, stage)).collect::<String>();
    if failed.len() > MOST {
        html += &format!("<p>and {} more, below</p>\n", failed.len() - MOST);
    }
    html += &consequences(story);
    html + "</section>\n"
}

fn article(place: usize, stage: &StageStory) -> String {
    let name = escape(&stage.name);
    let reason = prose(stage.reason().unwrap_or("it failed"));
    let mut html = format!(
        "<article>\n<h3>{}<a href=\"#stage-{place}\">{name}</a></h3>\n<p class=\"reason\">{reason}</p>\n{}",
        mark("failed"),
        findings::bad_tests(stage)
    );
    let Some(failure) = stage.failure() else { return html + "</article>\n" };
    let mut tail = output::end(stage, LINES);
    if tail.is_empty() {
        tail = failure.tail[failure.tail.len().saturating_sub(LINES)..].iter().map(|line| escape(line) + "\n").collect();
    }
    let command = lines(&failure.command);
    let ends = if tail.is_empty() { "<i>it printed nothing</i>" } else { tail.trim_end_matches('\n') };
    html += &format!(
        "<pre class=\"ran\"><span class=\"command\">$ {command}</span></pre>\n<pre class=\"output end\" tabindex=\"0\" role=\"region\" aria-label=\"The end of the output of {name}\"><span>{ends}</span></pre>\n"
    );
    html += "<dl class=\"facts\">\n";
    if failure.dir != "." {
        html += &format!("<div><dt>Directory</dt><dd><code>{}</code></dd></div>\n", escape(&failure.dir));
    }
    if let Some(command) = &failure.reproduce {
        html += &format!("<div><dt>Reproduce</dt><dd><code class=\"copy\">{}</code></dd></div>\n", lines(command));
    }
    html + "</dl>\n</article>\n"
}

/// What did not run, or not to its end.
fn consequences(story: &Story) -> String {
    let list = |outcome, noun: &str| {
        let stages: Vec<String> =
            story.stages_that(outcome).map(|(place, stage)| format!("<a href=\"#stage-{place}\">{}</a>", escape(&stage.name))).collect();
        if stages.is_empty() {
            return String::new();
        }
        let more = if stages.len() > NAMED { format!(" and {} more", stages.len() - NAMED) } else { String::new() };
        let named = stages.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        format!("<p class=\"consequences\">{} {noun}: {named}{more}</p>\n", count(stages.len(), "stage"))
    };
    list(StageOutcome::Cancelled, "ended because of that") + &list(StageOutcome::Skipped, "did not run")
}
