//! A deployment as one page: the share of the traffic that the new release had over time, and what was done, row by row.
//!
//! The curve is stretched to the width that there is; names and marks stand on it and keep their size, so it is legible on a phone and on paper.

use jiff::Timestamp;

use super::stages::ticks;
use super::text::{each, escape, prose};
use super::{head_of, mark, page};
use crate::base::text::shell_quote;
use crate::report::course::{Course, End, Moment, Sight, What};
use crate::report::words::time;

/// How near to each other, in hundredths of the width, two names of shares may stand.
const NEAR: f64 = 5.0;

/// From where on, in hundredths of the width, the name of a share stands before its place.
const EDGE: f64 = 85.0;

/// Returns the deployment as one page that needs nothing else.
pub fn render(course: &Course) -> String {
    let (class, verdict, reason) = verdict(course);
    let title = format!("{}: {}", course.environment, verdict);
    let body = format!("{}<main>\n{}{}</main>\n", head(course, class, &verdict, reason), curve(course), rows(course));
    page(&title, "course", "Skip to what was done", &body, &format!("deployment <code>{}</code>", escape(short(&course.deployment))))
}

/// Returns the class of how it ended, that in a sentence, and why.
fn verdict(course: &Course) -> (&'static str, String, Option<&str>) {
    let release = &course.release;
    let last = course.shares().last().map_or(0, |(_, share)| *share);
    match &course.end {
        End::Verified => ("passed", format!("{release} serves, verified"), course.reason.as_deref()),
        End::Unchanged(reason) => ("cancelled", format!("{release} did not come in, nothing was changed"), Some(reason)),
        End::Back(reason) => {
            let serves = course.before.as_ref().map_or_else(|| "nothing serves".to_owned(), |before| format!("{before} serves again"));
            ("failed", format!("{release} was taken back, {serves}"), Some(reason))
        }
        End::Lost(reason) => ("failed", format!("{release} was taken back, and that failed"), Some(reason)),
        End::Open if is_back(course) => ("open", format!("{release} is taken back"), course.reason.as_deref()),
        End::Open => ("open", format!("{release} is on its way, with {last} % of the traffic"), course.reason.as_deref()),
    }
}

/// Returns who served before, for a sentence.
fn before(course: &Course) -> &str {
    course.before.as_deref().unwrap_or("nothing")
}

fn is_back(course: &Course) -> bool {
    course.moments.iter().any(|moment| matches!(moment.what, What::Back(_)))
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn head(course: &Course, class: &str, verdict: &str, reason: Option<&str>) -> String {
    let mut html = head_of(&course.environment, class, verdict);
    if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
        html += &format!("<p class=\"reason\">{}</p>\n", prose(reason));
    }
    html += "<dl class=\"facts\">\n";
    let mut fact = |name: &str, value: &str| html += &format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n");
    fact("Took", &time(since(course, course.until)));
    let shown = course.began.strftime("%e %B %Y, %H:%M:%S").to_string();
    let utc = "<abbr title=\"Coordinated Universal Time\">UTC</abbr>";
    fact("Began", &format!("<time datetime=\"{}\">{} {utc}</time>", course.began, shown.trim()));
    fact(if course.is_rollback { "Back to" } else { "Release" }, &escape(&course.release));
    fact("Served before", &course.before.as_deref().map_or_else(|| "nothing".to_owned(), escape));
    fact("As the commit says", &format!("<code>{}</code>", escape(short(&course.commit))));
    fact("Begun by", &escape(&course.by));
    if course.end == End::Open {
        // Whoever looks at one that nobody moves any more wants to know.
        let environment = escape(&shell_quote(&course.environment));
        fact("Goes on by", &format!("<code>shipway promote {environment}</code>"));
        if !is_back(course) {
            fact("Goes back by", &format!("<code>shipway abort {environment} --reason R</code>"));
        }
    }
    html + "</dl>\n</header>\n"
}

/// Returns the time from its beginning until then, in milliseconds.
fn since(course: &Course, at: Timestamp) -> u64 {
    u64::try_from(at.duration_since(course.began).as_millis()).unwrap_or(0)
}

/// Returns where a time stands, in hundredths of the width.
#[expect(clippy::cast_precision_loss, reason = "a picture is not that exact")]
fn across(course: &Course, at: Timestamp) -> f64 {
    let whole = since(course, course.until).max(1);
    since(course, at).min(whole) as f64 / whole as f64 * 100.0
}

/// The share of the traffic over time.
fn curve(course: &Course) -> String {
    let shares = course.shares();
    let (mut line, mut names, mut last) = (String::from("M0 100"), String::new(), -NEAR);
    for (at, share) in &shares {
        let (x, y) = (across(course, *at), 100 - share);
        line += &format!("H{x:.2}V{y}");
        if *share > 0 && x - last >= NEAR {
            // At the right edge there is no room behind the place.
            let place = if x > EDGE { format!("right:{:.2}%", 100.0 - x) } else { format!("left:{x:.2}%") };
            names += &format!("<b style=\"{place};bottom:{share}%\">{share} %</b>");
            last = x;
        }
    }
    line += "H100";
    let held = each(course.holds(), |(from, until)| {
        let (left, right) = (across(course, from), across(course, until));
        format!("<i class=\"hold\" style=\"left:{left:.2}%;width:{:.2}%\" title=\"held by somebody\"></i>", right - left)
    });
    let marks = each(&course.moments, |moment| sight(course, moment));
    let turn = if is_back(course) { "The broken line is where it was told to go back." } else { "" };
    let levels = each([0, 25, 50, 75, 100], |level| format!("<span style=\"bottom:{level}%\">{level} %</span>"));
    format!(
        "<section aria-labelledby=\"shares\">\n<h2 id=\"shares\">Share of the traffic</h2>\n<p class=\"hint\">What the new release had over time; a level \
         stretch is a pause. The marks are looks at how it does: {} well, {} not well, {} could not be told. {turn}</p>\n\
         <div class=\"curve\" role=\"img\" aria-label=\"{}\">\n<div class=\"levels\">{levels}</div>\n<div class=\"plot\">{held}\
         <svg viewBox=\"0 0 100 100\" preserveAspectRatio=\"none\"><path class=\"area\" d=\"{line}V100Z\"/><path class=\"way\" d=\"{line}\"/></svg>\
         {names}{marks}</div>\n<div class=\"ticks\">{}</div>\n</div>\n</section>\n",
        mark("passed"),
        mark("failed"),
        mark("flaky"),
        escape(&told(course)),
        ticks(since(course, course.until).max(1).saturating_mul(1000)),
    )
}

/// The curve in words, for whoever does not see it.
fn told(course: &Course) -> String {
    let shares = course.shares();
    let told: Vec<String> = shares[1..].iter().map(|(at, share)| format!("{share} % after {}", time(since(course, *at)))).collect();
    if told.is_empty() { "the new release had no share of the traffic".to_owned() } else { told.join(", ") }
}

/// What stands on the curve for a moment: a look, or the turn back.
fn sight(course: &Course, moment: &Moment) -> String {
    let x = across(course, moment.at);
    match &moment.what {
        What::Look { share, sight, .. } => {
            let (class, _) = seen(*sight);
            format!("<span class=\"sight\" style=\"left:{x:.2}%;bottom:{share}%\">{}</span>", mark(class))
        }
        What::Back(_) | What::Stuck(_) => format!("<i class=\"turn\" style=\"left:{x:.2}%\"></i>"),
        What::Phase { .. } | What::Held(_) | What::GoesOn(_) | What::Left(_) => String::new(),
    }
}

fn seen(sight: Sight) -> (&'static str, &'static str) {
    match sight {
        Sight::Yes => ("passed", "it does well"),
        Sight::No => ("failed", "it does not do well"),
        Sight::Unsure => ("flaky", "that could not be told"),
    }
}

/// What was done, row by row.
fn rows(course: &Course) -> String {
    let rows = each(&course.moments, |moment| row(course, moment));
    format!(
        "<section aria-labelledby=\"course\">\n<h2 id=\"course\" tabindex=\"-1\">What was done</h2>\n<ol class=\"steps course\">\n{rows}</ol>\n</section>\n"
    )
}

fn row(course: &Course, moment: &Moment) -> String {
    let said = |text: &str| if text.is_empty() { String::new() } else { format!("<span class=\"suite\">{}</span>", prose(text)) };
    let took = |done: &Timestamp| time(u64::try_from(done.duration_since(moment.at).as_millis()).unwrap_or(0));
    let (class, name, more, took) = match &moment.what {
        What::Phase { name, done: Some(done), trouble: Some(why), .. } => ("failed", name.clone(), said(why), took(done)),
        What::Phase { name, done: Some(done), .. } => ("passed", name.clone(), String::new(), took(done)),
        What::Phase { name, done: None, .. } if course.end == End::Open && is_last(course, moment) => {
            ("open", name.clone(), said("it was begun"), String::new())
        }
        What::Phase { name, done: None, .. } => ("failed", name.clone(), said("it did not come to its end"), String::new()),
        What::Look { share, sight, said: why } => {
            let (class, words) = seen(*sight);
            let words = why.as_ref().map_or_else(|| words.to_owned(), |why| format!("{words}: {why}"));
            (class, format!("analysis at {share} %"), said(&words), String::new())
        }
        What::Back(reason) => ("failed", format!("goes back; what follows leads to {}", before(course)), said(reason), String::new()),
        What::Stuck(reason) => ("failed", "does not come back".to_owned(), said(reason), String::new()),
        What::Held(reason) => ("cancelled", "paused".to_owned(), said(reason), String::new()),
        What::GoesOn(reason) => ("passed", "resumed".to_owned(), said(reason), String::new()),
        What::Left(reason) => ("cancelled", "left to whoever comes next".to_owned(), said(reason), String::new()),
    };
    let at = time(since(course, moment.at));
    format!(
        "<li>{}<span class=\"name\"><span class=\"sr\">{class}: </span><small>after {at}</small> <b>{}</b>{more}</span><span class=\"took\">{took}</span></li>\n",
        mark(class),
        escape(&name)
    )
}

fn is_last(course: &Course, moment: &Moment) -> bool {
    course.moments.last() == Some(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn shift(at: i64, share: u8) -> Moment {
        let what = What::Phase { name: format!("shift to {share} %"), share: Some(share), done: Some(second(at)), trouble: None };
        Moment { at: second(at), what }
    }

    fn course(moments: Vec<Moment>, end: End) -> Course {
        Course {
            environment: "<x>&".to_owned(),
            release: "brave-otter".to_owned(),
            before: None,
            is_rollback: false,
            reason: None,
            deployment: "0123456789abcdef".to_owned(),
            commit: "c".to_owned(),
            by: "</style>".to_owned(),
            began: second(0),
            until: second(100),
            end,
            moments,
        }
    }

    #[test]
    fn the_curve_goes_with_the_shares() {
        let look = |at, share, sight| Moment { at: second(at), what: What::Look { share, sight, said: Some("<i>".to_owned()) } };
        let hold = |at, what| Moment { at: second(at), what };
        let moments = vec![
            shift(10, 5),
            look(12, 5, Sight::Yes),
            hold(20, What::Held("x".to_owned())),
            hold(30, What::GoesOn("x".to_owned())),
            shift(50, 25),
            look(52, 25, Sight::Unsure),
            look(60, 25, Sight::No),
            hold(60, What::Back("it <fails>".to_owned())),
            shift(70, 0),
        ];
        let html = render(&course(moments, End::Back("it <fails>".to_owned())));
        assert!(html.contains("<path class=\"way\" d=\"M0 100H0.00V100H10.00V95H50.00V75H70.00V100H100\"/>"), "{html}");
        assert!(html.contains("class=\"hold\" style=\"left:20.00%;width:10.00%\""), "{html}");
        assert!(html.contains("class=\"turn\" style=\"left:60.00%\""), "{html}");
        assert_eq!(html.matches("class=\"sight\"").count(), 3);
        assert!(html.contains("aria-label=\"5 % after 10s, 25 % after 50s, 0 % after 1m 10s\""), "{html}");
        assert!(html.contains("<title>&lt;x&gt;&amp;: brave-otter was taken back, nothing serves</title>"), "{html}");
        assert!(!html.contains("it <fails>") && !html.contains("</style></"), "{html}");
        assert!(!html.contains("<script"), "{html}");
    }

    #[test]
    fn what_has_no_time_is_drawn_all_the_same() {
        let empty = Course { until: second(0), ..course(Vec::new(), End::Open) };
        let html = render(&empty);
        assert!(
            html.contains("brave-otter is on its way, with 0 % of the traffic")
                && html.contains("<code>shipway abort ")
                && html.contains("H100"),
            "{html}"
        );
        assert!(!html.contains("NaN"), "{html}");
    }
}
