//! Results of tests in the format of `JUnit`, in the dialects of cargo-nextest, pytest, Surefire, jest-junit, go-junit-report, gtest, ctest.
//!
//! Knows elements and attributes. Reads as a stream: entities of a document type are never expanded, nothing outside is loaded, depth and
//! texts are bounded.

use std::io::Read;

use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape_with};
use quick_xml::events::{BytesStart, Event};

use super::encoding::Text;
use super::room::append;
use super::sink::Sink;
use crate::base::text::count;
use crate::model::findings::{Place, Test, TestStatus};

/// How deep elements may lie in each other.
const DEEPEST: usize = 64;

/// The longest tag or text, in bytes.
const LONGEST: u64 = 256 << 20;

/// A buffer that is larger is not kept.
const BUFFER: usize = 1 << 20;

/// What an open element is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Suite,
    Case,
    /// One that says what is wrong.
    Message(Wrong),
    /// One that says nothing to us, as all within it.
    Other,
}

/// What a child of a test says of it, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Skipped,
    /// It failed when it was run before, or again.
    Earlier,
    Failed,
}

#[derive(Debug, Default)]
struct Suite {
    name: String,
    /// How many failures and errors it says it has.
    declared: u64,
    /// Whether one was seen.
    is_troubled: bool,
}

#[derive(Debug, Default)]
struct Case {
    class: String,
    name: String,
    milliseconds: u64,
    file: String,
    line: Option<u32>,
    wrong: Option<Wrong>,
    message: String,
    /// What the message is of.
    message_of: Option<Wrong>,
}

/// Reads one file into `sink`.
///
/// # Errors
/// Why it cannot be read; reads on after the name of the file.
pub(super) fn read(bytes: impl Read, sink: &mut Sink<'_, '_>) -> Result<(), String> {
    let text = Text::new(bytes).map_err(|error| error.to_string())?;
    let mut reader = Reader::from_reader(text);
    reader.config_mut().expand_empty_elements = true;
    let mut parser = Parser { sink, open: Vec::new(), suites: Vec::new(), case: None, has_root: false };
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        if buffer.capacity() > BUFFER {
            buffer = Vec::new();
        }
        reader.get_mut().allow(LONGEST);
        let event = match reader.read_event_into(&mut buffer) {
            Ok(event) => event,
            Err(quick_xml::Error::Io(error)) => return Err(error.to_string()),
            Err(error) => return Err(format!("is no valid XML: near byte {}, {error}", reader.error_position())),
        };
        match event {
            Event::Start(start) => parser.start(&start)?,
            Event::End(_) => parser.end(),
            Event::Text(text) => parser.text(&text)?,
            Event::CData(text) => parser.text(&text)?,
            Event::GeneralRef(entity) => {
                let known = resolve_predefined_entity(&entity).map(str::to_owned);
                let known = known.or_else(|| entity.resolve_char_ref().ok().flatten().map(String::from));
                parser.text(&known.unwrap_or_else(|| '\u{fffd}'.to_string()))?;
            }
            Event::Eof => break,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    match (parser.has_root, parser.open.is_empty()) {
        (false, _) => Err("is empty".to_owned()),
        (true, false) => Err("ends in the middle: whoever wrote it was stopped".to_owned()),
        (true, true) => Ok(()),
    }
}

struct Parser<'s, 'f, 'p> {
    sink: &'s mut Sink<'f, 'p>,
    open: Vec<Element>,
    suites: Vec<Suite>,
    case: Option<Case>,
    has_root: bool,
}

impl Parser<'_, '_, '_> {
    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        if self.open.len() == DEEPEST {
            return Err(format!("is nested more than {DEEPEST} deep"));
        }
        let local = start.local_name();
        let name = local.as_ref();
        let element = match (self.open.last(), name) {
            (None, _) if self.has_root => return Err("goes on after its end".to_owned()),
            (None | Some(Element::Suite), "testsuites" | "testsuite") => Element::Suite,
            (None, _) => {
                let name: String = name.chars().take(40).collect();
                return Err(format!("is no report of JUnit: it begins with `<{name}>`, not with `<testsuites>` or `<testsuite>`"));
            }
            (Some(Element::Suite), "testcase") => Element::Case,
            (Some(Element::Suite | Element::Case), "failure" | "error") => Element::Message(Wrong::Failed),
            (Some(Element::Case), "flakyFailure" | "flakyError" | "rerunFailure" | "rerunError") => Element::Message(Wrong::Earlier),
            (Some(Element::Case), "skipped") => Element::Message(Wrong::Skipped),
            (Some(Element::Message(wrong)), "stackTrace") => Element::Message(*wrong),
            _ => Element::Other,
        };
        self.has_root = true;
        match element {
            Element::Suite => self.suites.push(suite(start)?),
            Element::Case => self.case = Some(case(start)?),
            Element::Message(wrong) if name != "stackTrace" => self.wrong(wrong, start)?,
            Element::Message(_) | Element::Other => {}
        }
        self.open.push(element);
        Ok(())
    }

    /// Takes down that something is wrong with the test, or with the suite itself.
    fn wrong(&mut self, wrong: Wrong, start: &BytesStart<'_>) -> Result<(), String> {
        let of_suite = self.open.last() == Some(&Element::Suite);
        if of_suite {
            self.case = Some(Case { name: "(the suite itself)".to_owned(), ..Case::default() });
        }
        let (mut message, mut kind) = (String::new(), String::new());
        attributes(start, |name, value| match name {
            "message" => append(&mut message, value),
            "type" => append(&mut kind, value),
            _ => {}
        })?;
        let Some(case) = &mut self.case else { return Ok(()) };
        case.wrong = case.wrong.max(Some(wrong));
        if case.message_of < Some(wrong) {
            (case.message_of, case.message) = (Some(wrong), String::new());
        } else if wrong == Wrong::Failed {
            append(&mut case.message, "\n");
        }
        if case.message_of == Some(wrong) {
            append(&mut case.message, if message.trim().is_empty() { &kind } else { &message });
            append(&mut case.message, "\n");
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        match (self.open.last(), &mut self.case) {
            (None, _) if !text.trim().is_empty() => Err("is no XML: there is text outside of all elements".to_owned()),
            (Some(Element::Message(wrong)), Some(case)) if case.message_of == Some(*wrong) => {
                append(&mut case.message, text);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self) {
        let ended = self.open.pop();
        let is_in_suite = self.open.last() == Some(&Element::Suite);
        match ended {
            Some(Element::Suite) => self.end_suite(),
            Some(Element::Case) => self.end_case(),
            // A suite that failed by itself.
            Some(Element::Message(_)) if is_in_suite => self.end_case(),
            Some(Element::Message(_) | Element::Other) | None => {}
        }
    }

    fn end_case(&mut self) {
        let Some(case) = self.case.take() else { return };
        let status = match case.wrong {
            Some(Wrong::Failed) => TestStatus::Failed,
            Some(Wrong::Earlier) => TestStatus::Flaky,
            Some(Wrong::Skipped) => TestStatus::Skipped,
            None => TestStatus::Passed,
        };
        if matches!(status, TestStatus::Failed | TestStatus::Flaky) {
            self.suites.iter_mut().for_each(|suite| suite.is_troubled = true);
        }
        let suite = self.suites.iter().rev().map(|suite| suite.name.as_str()).find(|name| !name.is_empty()).unwrap_or_default();
        // Some write the name of the test as its class, too.
        let suite = if case.class.is_empty() || case.class == case.name { suite } else { &case.class }.to_owned();
        self.sink.totals().add_test(status);
        if !self.sink.room.takes(status == TestStatus::Failed) {
            return;
        }
        let message = message(&case.message);
        let place = self.place(&case, status);
        let room = &mut self.sink.room;
        let test = Test {
            suite: room.name(&suite),
            name: room.name(if case.name.trim().is_empty() { "(no name)" } else { &case.name }),
            status,
            duration_ms: case.milliseconds,
            message: message.map(|message| room.message(message)),
            place,
        };
        self.sink.findings.tests.push(test);
    }

    /// Returns where a test is, and of one that failed where it did if its message says so.
    fn place(&mut self, case: &Case, status: TestStatus) -> Option<Place> {
        let places = &mut self.sink.places;
        let declared = places.declared(&case.file, case.line, None);
        if !matches!(status, TestStatus::Failed | TestStatus::Flaky) {
            return declared;
        }
        // The attributes say where the test begins (and some count lines from 0), the message where it failed.
        let only = declared.as_ref().map(|place| place.file.as_str());
        places.in_text(&case.message, only).or(declared)
    }

    /// Ends a suite. One that counts failures and names none failed all the same: its program could not say where.
    fn end_suite(&mut self) {
        let Some(suite) = self.suites.pop() else { return };
        if suite.declared > 0 && !suite.is_troubled {
            let number = usize::try_from(suite.declared).unwrap_or(usize::MAX);
            let name = format!("({} that the report counts and does not name)", count(number, "failure"));
            self.suites.push(suite);
            self.case = Some(Case { name, wrong: Some(Wrong::Failed), ..Case::default() });
            self.end_case();
            self.suites.pop();
        }
    }
}

fn suite(start: &BytesStart<'_>) -> Result<Suite, String> {
    let mut suite = Suite::default();
    attributes(start, |name, value| match name {
        "name" => append(&mut suite.name, value),
        "failures" | "errors" => suite.declared = suite.declared.saturating_add(value.trim().parse().unwrap_or(0)),
        _ => {}
    })?;
    Ok(suite)
}

fn case(start: &BytesStart<'_>) -> Result<Case, String> {
    let mut case = Case::default();
    attributes(start, |name, value| match name {
        "name" => append(&mut case.name, value),
        "classname" | "class" => append(&mut case.class, value),
        "file" => append(&mut case.file, value),
        "line" | "lineno" => case.line = value.trim().parse().ok(),
        "time" => case.milliseconds = milliseconds(value),
        // Of gtest and ctest.
        "status" | "result" => {
            let wrong = match value.to_ascii_lowercase().as_str() {
                "fail" | "failed" | "failure" | "error" => Some(Wrong::Failed),
                "notrun" | "disabled" | "skipped" | "suppressed" => Some(Wrong::Skipped),
                _ => None,
            };
            case.wrong = case.wrong.max(wrong);
        }
        _ => {}
    })?;
    case.class.truncate(case.class.trim_end().len());
    Ok(case)
}

fn attributes(start: &BytesStart<'_>, mut each: impl FnMut(&str, &str)) -> Result<(), String> {
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| format!("is no valid XML: in `<{}>`, {error}", start.name().as_ref()))?;
        let resolve = |entity: &str| resolve_predefined_entity(entity).or(Some("\u{fffd}"));
        // What is written wrongly is shown as it is written.
        let value = unescape_with(&attribute.value, resolve).unwrap_or_else(|_| attribute.value.as_ref().into());
        each(attribute.key.local_name().as_ref(), &value);
    }
    Ok(())
}

/// Reads a number of seconds, which some write with a comma between the thousands.
fn milliseconds(seconds: &str) -> u64 {
    let seconds: f64 = seconds.trim().replace(',', "").parse().unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast to an integer keeps within its bounds")]
    let milliseconds = (seconds * 1000.0).round() as u64;
    milliseconds
}

/// Returns what is told of a test: where the text repeats the message, the text alone.
fn message(gathered: &str) -> Option<&str> {
    let text = gathered.trim_matches(['\n', '\r']).trim_end();
    let repeated = text.split_once('\n').filter(|(first, rest)| rest.trim_start().starts_with(first.trim()) && !first.trim().is_empty());
    let text = repeated.map_or(text, |(_, rest)| rest.trim_start_matches(['\n', '\r']));
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests;
