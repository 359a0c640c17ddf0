//! What scanners found, in SARIF 2.1.0 (OASIS standard; the section numbers are its own).
//!
//! Knows the parts of the format that say what is wrong, how bad it is, and where. Of a run that broke the file is refused: a scanner that
//! did not get to its end has found nothing that counts.

use std::collections::HashMap;
use std::io::Read;

use serde::Deserialize;

use super::encoding::whole;
use super::sink::Sink;
use super::uri;
use crate::base::text::visible;
use crate::model::findings::{Level, Place, Problem};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 256 << 20;

/// How many bases of addresses may stand on each other.
const DEEPEST: usize = 8;

#[derive(Deserialize)]
struct Log {
    version: Option<String>,
    runs: Option<Vec<Run>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    results: Option<Vec<Finding>>,
    invocations: Option<Vec<Invocation>>,
    original_uri_base_ids: Option<HashMap<String, Location>>,
    artifacts: Option<Vec<Artifact>>,
}

#[derive(Deserialize)]
struct Tool {
    driver: Component,
    extensions: Option<Vec<Component>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    name: Option<String>,
    rules: Option<Vec<Rule>>,
    global_message_strings: Option<HashMap<String, Message>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: Option<String>,
    default_configuration: Option<Configuration>,
    message_strings: Option<HashMap<String, Message>>,
}

#[derive(Deserialize)]
struct Configuration {
    level: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    text: Option<String>,
    markdown: Option<String>,
    id: Option<String>,
    arguments: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    rule_id: Option<String>,
    rule_index: Option<i64>,
    rule: Option<Reference>,
    kind: Option<String>,
    level: Option<String>,
    message: Option<Message>,
    locations: Option<Vec<Where>>,
    suppressions: Option<Vec<Suppression>>,
    baseline_state: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    id: Option<String>,
    index: Option<i64>,
    tool_component: Option<ComponentReference>,
}

#[derive(Deserialize)]
struct ComponentReference {
    index: Option<i64>,
}

#[derive(Deserialize)]
struct Suppression {
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Where {
    physical_location: Option<Physical>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Option<Location>,
    region: Option<Region>,
}

#[derive(Deserialize)]
struct Artifact {
    location: Option<Location>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    uri: Option<String>,
    uri_base_id: Option<String>,
    index: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: Option<i64>,
    start_column: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: Option<bool>,
    tool_execution_notifications: Option<Vec<Notification>>,
    exit_code_description: Option<String>,
}

#[derive(Deserialize)]
struct Notification {
    level: Option<String>,
    message: Option<Message>,
}

/// Reads one file into `sink`; a problem of level `fail_on` or worse fails the stage.
///
/// # Errors
/// Why it cannot be read, or why it proves nothing; reads on after the name of the file.
pub(super) fn read(bytes: impl Read, fail_on: Option<Level>, sink: &mut Sink<'_, '_>) -> Result<(), String> {
    let text = whole(bytes, LARGEST)?;
    let log: Log = serde_json::from_slice(&text).map_err(|error| format!("is no SARIF: {error}"))?;
    drop(text);
    let runs = log.runs.ok_or("is no SARIF: it has no `runs`")?;
    match log.version.as_deref() {
        Some(version) if version.starts_with("2.1.") => {}
        Some(version) => {
            return Err(format!("is SARIF of version `{}`; 2.1.0 is read here", visible(&version.chars().take(40).collect::<String>())));
        }
        None => return Err("is no SARIF: it has no `version`".to_owned()),
    }
    if runs.is_empty() {
        return Err("tells of no run of a scanner".to_owned());
    }
    let mut broken = None;
    for run in &runs {
        broken = broken.or_else(|| breakdown(run));
        for finding in run.results.iter().flatten() {
            add(run, finding, fail_on, sink);
        }
    }
    broken.map_or(Ok(()), Err)
}

/// Says that the scanner did not get to its end, where it says so itself (3.20.14).
fn breakdown(run: &Run) -> Option<String> {
    let invocation = run.invocations.iter().flatten().find(|invocation| invocation.execution_successful == Some(false))?;
    let notifications = || invocation.tool_execution_notifications.iter().flatten();
    let told = notifications().find(|told| told.level.as_deref() == Some("error")).or_else(|| notifications().next());
    let told = told.and_then(|told| told.message.as_ref()?.text.clone()).or_else(|| invocation.exit_code_description.clone());
    let told = told.map(|text| format!(": {}", text.lines().next().unwrap_or_default().chars().take(300).collect::<String>()));
    Some(format!("says that {} did not get to its end{}", visible(tool(run)), visible(&told.unwrap_or_default())))
}

fn tool(run: &Run) -> &str {
    run.tool.driver.name.as_deref().filter(|name| !name.trim().is_empty()).unwrap_or("the scanner")
}

fn add(run: &Run, finding: &Finding, fail_on: Option<Level>, sink: &mut Sink<'_, '_>) {
    // What was looked at and found good, or was there in an earlier run only, is no problem (3.27.9, 3.27.24).
    let is_problem = finding.kind.as_deref().is_none_or(|kind| kind == "fail") && finding.baseline_state.as_deref() != Some("absent");
    let (component, rule) = rule(run, finding);
    let Some(level) = level(finding, rule).filter(|_| is_problem && !is_suppressed(finding)) else { return };
    // What was there before fails nobody: that is what a baseline is for.
    let fails = fail_on.is_some_and(|least| level >= least) && finding.baseline_state.as_deref() != Some("unchanged");
    sink.totals().add_problem(level, fails);
    if !sink.room.takes(fails) {
        return;
    }
    let place = place(run, finding, sink);
    let rule_id = finding.rule_id.as_deref().or(finding.rule.as_ref().and_then(|rule| rule.id.as_deref()));
    let rule_id = rule_id.or(rule.and_then(|rule| rule.id.as_deref())).unwrap_or_default();
    let text = finding.message.as_ref().map(|message| message_text(message, component, rule)).unwrap_or_default();
    let room = &mut sink.room;
    let (tool, rule, message) = (room.name(tool(run)), room.name(rule_id), room.message(&text));
    sink.findings.problems.push(Problem { tool, rule, level, message, place, fails });
}

/// Returns the rule that a finding breaks, and what it is a part of (3.27.5 to 3.27.7, 3.52).
fn rule<'r>(run: &'r Run, finding: &Finding) -> (&'r Component, Option<&'r Rule>) {
    let reference = finding.rule.as_ref();
    let extension = reference.and_then(|rule| rule.tool_component.as_ref()?.index).and_then(|index| usize::try_from(index).ok());
    let extension = extension.and_then(|index| run.tool.extensions.as_ref()?.get(index));
    let component = extension.unwrap_or(&run.tool.driver);
    let rules = component.rules.as_deref().unwrap_or_default();
    let index = finding.rule_index.or(reference.and_then(|rule| rule.index)).and_then(|index| usize::try_from(index).ok());
    let id = finding.rule_id.as_deref().or(reference.and_then(|rule| rule.id.as_deref()));
    let find = |id: &str| rules.iter().find(|rule| rule.id.as_deref() == Some(id));
    // `CA1000/1` is a part of `CA1000`.
    let by_id = || id.and_then(|id| find(id).or_else(|| find(id.rsplit_once('/')?.0)));
    (component, index.and_then(|index| rules.get(index)).or_else(by_id))
}

/// Returns how bad a finding is; `None` where it is not bad at all (3.27.10).
fn level(finding: &Finding, rule: Option<&Rule>) -> Option<Level> {
    let default = || rule.and_then(|rule| rule.default_configuration.as_ref()?.level.as_deref());
    match finding.level.as_deref().or_else(default) {
        Some("none") => None,
        Some("note") => Some(Level::Note),
        Some("error") => Some(Level::Error),
        Some(_) | None => Some(Level::Warning),
    }
}

/// Tells whether somebody has decided that it does not count (3.27.23, 3.35.3).
fn is_suppressed(finding: &Finding) -> bool {
    let suppressions = finding.suppressions.as_deref().unwrap_or_default();
    !suppressions.is_empty() && suppressions.iter().all(|one| one.status.as_deref().is_none_or(|status| status == "accepted"))
}

/// Returns the text of a message, which may be one of its rule's with places to be filled in (3.11.5 to 3.11.11).
fn message_text(message: &Message, component: &Component, rule: Option<&Rule>) -> String {
    let by_id = |id: &String| {
        let own = rule.and_then(|rule| rule.message_strings.as_ref()?.get(id));
        own.or_else(|| component.global_message_strings.as_ref()?.get(id))
    };
    let known = message.id.as_ref().and_then(by_id);
    let text = message.text.as_deref().or(known.and_then(|known| known.text.as_deref()));
    let text = text.or(message.markdown.as_deref()).or(known.and_then(|known| known.markdown.as_deref()));
    let text = text.or(message.id.as_deref()).unwrap_or_default();
    fill(text, message.arguments.as_deref().unwrap_or_default())
}

/// Puts arguments into the places `{0}`, `{1}`, …; a doubled brace is a brace.
fn fill(text: &str, arguments: &[String]) -> String {
    if arguments.is_empty() {
        return text.to_owned();
    }
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']).filter(|_| filled.len() < 1 << 20) {
        filled.push_str(&rest[..at]);
        let (brace, behind) = rest[at..].split_at(1);
        let place = behind.split_once('}').filter(|_| brace == "{");
        let argument = place.and_then(|(number, after)| Some((arguments.get(number.parse::<usize>().ok()?)?, after)));
        if let Some((argument, after)) = argument {
            filled.push_str(argument);
            rest = after;
        } else {
            filled.push_str(brace);
            rest = behind.strip_prefix(brace).unwrap_or(behind);
        }
    }
    filled + rest
}

fn place(run: &Run, finding: &Finding, sink: &mut Sink<'_, '_>) -> Option<Place> {
    let physical = finding.locations.as_ref()?.first()?.physical_location.as_ref()?;
    let location = physical.artifact_location.as_ref()?;
    let artifact = || {
        let index = usize::try_from(location.index?).ok()?;
        run.artifacts.as_ref()?.get(index)?.location.as_ref()
    };
    let location = if location.uri.is_some() { location } else { artifact()? };
    let mut address = location.uri.clone()?;
    let mut base = location.uri_base_id.as_ref();
    for _ in 0..DEEPEST {
        // A base that is not told is where the scanner ran.
        let Some(known) = base.and_then(|base| run.original_uri_base_ids.as_ref()?.get(base)) else { break };
        address = uri::join(known.uri.as_deref().unwrap_or_default(), &address);
        base = known.uri_base_id.as_ref();
    }
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    let region = physical.region.as_ref();
    let (line, column) = (region.and_then(|region| number(region.start_line)), region.and_then(|region| number(region.start_column)));
    sink.places.declared(&uri::path(&address), line, column)
}

#[cfg(test)]
mod tests;
