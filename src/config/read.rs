//! Walks the parsed TOML along the table of keys, and gathers every problem on the way.
//!
//! Knows forms, not meanings: that `needs` is a list of texts, not that its texts are stages.

#![expect(clippy::wildcard_enum_match_arm, reason = "a value of the wrong form is wrong whichever form it has")]

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fields::{At, Axes, Fields, Pairs, Value};
use super::schema::{STEP, Shape, Table};
use crate::base::diagnostic::Diagnostic;
use crate::base::{duration, nearest, size};
use crate::model::stage::Command;

/// A file as far as it could be read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) fields: Fields,
    /// It has errors of syntax: names may be missing only because they stand in the part that could not be read.
    pub(super) broken: bool,
}

/// Reads the whole file; `problems` says what is wrong.
pub(super) fn read(text: &str, table: &'static Table, problems: &mut Vec<Diagnostic>) -> Read {
    let (parsed, errors) = DeTable::parse_recoverable(text);
    let broken = !errors.is_empty();
    let at = |error: &toml::de::Error| error.span().unwrap_or(0..0);
    let unclosed = errors.iter().find(|error| ["unclosed array", "unclosed inline"].iter().any(|start| error.message().starts_with(start)));
    let cut = errors.iter().map(at).min_by_key(|span| span.start).filter(|_| unclosed.is_some());
    match (unclosed, &cut) {
        (Some(unclosed), Some(cut)) => {
            problems.push(Diagnostic::error(syntax_message(unclosed.message()), cut.clone(), "what was opened before is still open here"));
        }
        _ => {
            problems
                .extend(errors.iter().map(|error| Diagnostic::error(syntax_message(error.message()), at(error), "not valid TOML here")));
        }
    }
    let mut reader = Reader { problems, broken };
    let fields = reader.fields(parsed.get_ref(), 0..text.len().min(1), table);
    if let Some(cut) = cut {
        // What follows an open bracket fits nowhere: one cause, one error.
        problems.retain(|problem| problem.labels[0].span.start <= cut.start);
    }
    Read { fields, broken }
}

/// The parser's message in one line, in our style.
fn syntax_message(message: &str) -> String {
    let line = message.lines().collect::<Vec<_>>().join(", ");
    let mut characters = line.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => "the file is not valid TOML".to_owned(),
    }
}

/// The rule of names, for people.
pub(super) const NAME_RULE: &str =
    "a name begins with a letter or a digit, and goes on with letters, digits, `.`, `_` and `-`, all of ASCII";

/// Tells whether `text` follows the rule of names.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

struct Reader<'p> {
    problems: &'p mut Vec<Diagnostic>,
    /// The file has errors of syntax, so that what is missing may stand in the part that could not be read.
    broken: bool,
}

impl Reader<'_> {
    fn problem(&mut self, diagnostic: Diagnostic) {
        self.problems.push(diagnostic);
    }

    fn fields(&mut self, table: &DeTable<'_>, span: Range<usize>, schema: &'static Table) -> Fields {
        let mut values = HashMap::with_capacity(table.len());
        for (name, value) in table {
            let Some(key) = schema.key(name.get_ref()) else {
                self.unknown_key(name, schema);
                continue;
            };
            if let Some(read) = self.value(value, name.span(), key.shape) {
                values.insert(key.name, At::new(read, value.span()));
            }
        }
        let broken = self.broken;
        for key in schema.keys.iter().filter(|key| key.required && !broken && !table.contains_key(key.name)) {
            let message = format!("{} has no `{}`", schema.title, key.name);
            self.problem(
                Diagnostic::error(message, span.clone(), format!("`{}` is missing", key.name))
                    .help(format!("`{}` is {}", key.name, key.about)),
            );
        }
        Fields { span, values }
    }

    fn unknown_key(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>, schema: &'static Table) {
        let message = format!("{} has no key `{}`", schema.title, name.get_ref());
        let elsewhere = schema.called_elsewhere(name.get_ref()).map(|key| format!("here it is called `{key}`"));
        let help = elsewhere.or_else(|| nearest::help("a key", name.get_ref(), schema.keys.iter().map(|key| key.name)));
        self.problem(Diagnostic::error(message, name.span(), "unknown key").maybe_help(help));
    }

    /// Says that a value has the wrong form.
    fn wrong<T>(&mut self, value: &Spanned<DeValue<'_>>, expected: &str) -> Option<T> {
        let found = match value.get_ref().type_str() {
            "string" => "text",
            "array" => "list",
            found => found,
        };
        let article = if found.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
        let quoted = match value.get_ref() {
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) if expected == "a text" => {
                Some("put it in quotes".to_owned())
            }
            DeValue::String(text) if expected.starts_with("a list of ") => Some(format!("put it in brackets: [{text:?}]")),
            DeValue::String(text) if expected.starts_with("true or") && ["true", "false"].contains(&&**text) => {
                Some(format!("take away the quotes: {text}"))
            }
            _ => None,
        };
        self.problem(
            Diagnostic::error(format!("expected {expected}, found {article} {found}"), value.span(), format!("expected {expected}"))
                .maybe_help(quoted),
        );
        None
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, name: Range<usize>, shape: Shape) -> Option<Value> {
        Some(match shape {
            Shape::Text => Value::Text(self.text(value)?.value),
            Shape::Name => Value::Text(self.name(value)?),
            Shape::Flag => Value::Flag(value.get_ref().as_bool().or_else(|| self.wrong(value, "true or false"))?),
            Shape::Count => Value::Count(self.whole_number(value, 0)?),
            Shape::Duration => Value::Duration(self.duration(value)?),
            Shape::Size => self.size(value)?,
            Shape::Number => Value::Number(self.number(value)?),
            Shape::Choice(known) => Value::Text(self.choice(value, known)?),
            Shape::Texts => Value::Texts(self.texts(value)?),
            Shape::SomeTexts => Value::Texts(self.some(value, Self::texts)?),
            Shape::Variables => Value::Pairs(self.variables(value)?),
            Shape::Command => Value::Command(self.command(value)?),
            Shape::Commands => {
                Value::Commands(self.list(value, "a list of commands", |reader, item| Some(At::new(reader.command(item)?, item.span())))?)
            }
            Shape::Steps => Value::Steps(self.some(value, |reader, list| reader.list(list, "a list of steps", Self::step))?),
            Shape::AnySteps => Value::Steps(self.list(value, "a list of steps", Self::step)?),
            Shape::Step => Value::Step(self.step(value)?),
            Shape::Counts => Value::Counts(
                self.list(value, "a list of whole numbers", |reader, item| Some(At::new(reader.whole_number(item, 0)?, item.span())))?,
            ),
            Shape::List(schema) => Value::List(self.list(value, "a list of tables", |reader, item| match item.get_ref() {
                DeValue::Table(table) => Some(reader.fields(table, item.span(), schema)),
                _ => reader.wrong(item, "a table"),
            })?),
            Shape::Axes => Value::Axes(self.axes(value)?),
            Shape::Combinations => Value::Combinations(
                self.list(value, "a list of tables", |reader, item| Some(At::new(reader.combination(item)?, item.span())))?,
            ),
            Shape::Sizes => Value::Sizes(self.entries(value, |reader, name, size| {
                let name = reader.checked_name(name)?;
                Some((name, reader.whole_number(size, 1)? as usize))
            })?),
            Shape::Named => Value::Named(self.entries(value, |reader, name, values| {
                let name = reader.checked_name(name)?;
                Some((name, reader.combination(values)?))
            })?),
            Shape::Port => Value::Count(self.port(value)?),
            Shape::PortText => Value::Text(match value.get_ref() {
                DeValue::String(_) => self.text(value)?.value,
                _ => self.port(value)?.to_string(),
            }),
            Shape::OneOf(schema) => Value::Table(self.one_of(value, schema)?),
            Shape::Table(schema) => Value::Table(match value.get_ref() {
                DeValue::Table(table) => self.fields(table, name, schema),
                _ => self.wrong(value, "a table")?,
            }),
            Shape::Tables(schema) => Value::Tables(self.entries(value, |reader, name, item| {
                let name = reader.checked_name(name)?;
                match item.get_ref() {
                    DeValue::Table(table) => {
                        let fields = reader.fields(table, name.span.clone(), schema);
                        Some((name, fields))
                    }
                    _ => reader.wrong(item, "a table"),
                }
            })?),
        })
    }

    fn text(&mut self, value: &Spanned<DeValue<'_>>) -> Option<At<String>> {
        let Some(text) = value.get_ref().as_str() else {
            return self.wrong(value, "a text");
        };
        if text.contains('\0') {
            self.problem(Diagnostic::error("a text holds a NUL character, which no program can be given", value.span(), "here"));
            return None;
        }
        Some(At::new(text.to_owned(), value.span()))
    }

    fn name(&mut self, value: &Spanned<DeValue<'_>>) -> Option<String> {
        let text = self.text(value)?;
        self.check_name(&text)?;
        Some(text.value)
    }

    fn checked_name(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>) -> Option<At<String>> {
        let name = At::new(name.get_ref().to_string(), name.span());
        self.check_name(&name)?;
        Some(name)
    }

    /// Applies the rule of names: `[A-Za-z0-9][A-Za-z0-9._-]*`.
    fn check_name(&mut self, name: &At<String>) -> Option<()> {
        if is_name(&name.value) {
            return Some(());
        }
        self.problem(
            Diagnostic::error(format!("`{}` cannot be a name", name.value.escape_debug()), name.span.clone(), "not a name").help(NAME_RULE),
        );
        None
    }

    fn whole_number(&mut self, value: &Spanned<DeValue<'_>>, least: u32) -> Option<u32> {
        let expected = format!("a whole number from {least}");
        let Some(number) = value.get_ref().as_integer() else {
            return self.wrong(value, &expected);
        };
        match u32::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if number >= least => Some(number),
            _ => {
                self.problem(Diagnostic::error(format!("expected {expected}"), value.span(), "out of range"));
                None
            }
        }
    }

    fn port(&mut self, value: &Spanned<DeValue<'_>>) -> Option<u32> {
        let expected = "a port: a whole number from 1 to 65535";
        let Some(number) = value.get_ref().as_integer() else {
            return self.wrong(value, expected);
        };
        let port = u16::from_str_radix(number.as_str(), number.radix()).ok().filter(|port| *port > 0);
        if port.is_none() {
            self.problem(Diagnostic::error(format!("expected {expected}"), value.span(), "out of range"));
        }
        port.map(u32::from)
    }

    /// Reads a table that must have exactly one of its keys.
    fn one_of(&mut self, value: &Spanned<DeValue<'_>>, schema: &'static Table) -> Option<Fields> {
        let DeValue::Table(table) = value.get_ref() else {
            return self.wrong(value, "a table");
        };
        let fields = self.fields(table, value.span(), schema);
        let known = table.iter().filter(|(name, _)| schema.key(name.get_ref()).is_some_and(|key| !key.is_beside())).count();
        let beside = table.iter().filter(|(name, _)| schema.key(name.get_ref()).is_some_and(super::schema::Key::is_beside)).count();
        let names: Vec<&str> = schema.keys.iter().filter(|key| !key.is_beside()).map(|key| key.name).collect();
        // An unknown key was reported, and is probably the one that is missing.
        if known > 1 || table.len() == beside {
            let message = format!("{} needs exactly one of `{}`", schema.title, names.join("`, `"));
            self.problem(Diagnostic::error(message, value.span(), if known > 1 { "more than one" } else { "none" }));
            return None;
        }
        Some(fields)
    }

    fn number(&mut self, value: &Spanned<DeValue<'_>>) -> Option<f64> {
        let number = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => return self.wrong(value, "a number"),
        };
        let finite = number.filter(|number: &f64| number.is_finite());
        if finite.is_none() {
            self.problem(Diagnostic::error("this number is no limit, since all others lie on one side of it", value.span(), "not a limit"));
        }
        finite
    }

    /// Reads one of a few texts.
    fn choice(&mut self, value: &Spanned<DeValue<'_>>, known: &'static [&'static str]) -> Option<String> {
        let all = known.iter().map(|known| format!("{known:?}")).collect::<Vec<_>>().join(", ");
        let Some(text) = value.get_ref().as_str() else {
            return self.wrong(value, &format!("one of {all}"));
        };
        if known.contains(&text) {
            return Some(text.to_owned());
        }
        let help = nearest::help("a value", text, known.iter().copied()).unwrap_or_else(|| format!("it is one of {all}"));
        self.problem(Diagnostic::error(format!("`{}` is none of {all}", text.escape_debug()), value.span(), "unknown value").help(help));
        None
    }

    fn duration(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Duration> {
        let Some(text) = value.get_ref().as_str() else {
            return self.wrong(value, "a duration such as \"30s\"");
        };
        let parsed = duration::parse(text);
        if parsed.is_none() {
            self.problem(
                Diagnostic::error(format!("`{}` is no duration", text.escape_debug()), value.span(), "not a duration")
                    .help(format!("a duration is {}", duration::FORM)),
            );
        }
        parsed
    }

    fn size(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let Some(text) = value.get_ref().as_str() else {
            return self.wrong(value, "a size such as \"10GiB\"");
        };
        if let Some(bytes) = size::parse(text) {
            return Some(Value::Size(bytes));
        }
        self.problem(
            Diagnostic::error(format!("`{}` is no size", text.escape_debug()), value.span(), "not a size")
                .help("a size is a number and a unit: 500MiB, 10GiB"),
        );
        None
    }

    /// Reads each item of a list; an item that is wrong is left out and reported.
    fn list<T>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
        mut item: impl FnMut(&mut Self, &Spanned<DeValue<'_>>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let DeValue::Array(array) = value.get_ref() else {
            return self.wrong(value, expected);
        };
        Some(array.iter().filter_map(|element| item(self, element)).collect())
    }

    /// Reads a list that must not be empty.
    fn some<T>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        read: impl FnOnce(&mut Self, &Spanned<DeValue<'_>>) -> Option<Vec<T>>,
    ) -> Option<Vec<T>> {
        if value.get_ref().as_array().is_some_and(|array| array.is_empty()) {
            self.problem(Diagnostic::error("this list must not be empty", value.span(), "at least one is needed"));
            return None;
        }
        read(self, value)
    }

    fn texts(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Vec<At<String>>> {
        self.list(value, "a list of texts", Self::text)
    }

    /// Reads each entry of a table, in the order of the file.
    fn entries<T>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        mut entry: impl FnMut(&mut Self, &Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let DeValue::Table(table) = value.get_ref() else {
            return self.wrong(value, "a table");
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        Some(entries.into_iter().filter_map(|(name, value)| entry(self, name, value)).collect())
    }

    fn variables(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Pairs> {
        self.entries(value, |reader, name, value| {
            if name.get_ref().is_empty() || name.get_ref().contains(['=', '\0']) {
                reader.problem(Diagnostic::error(
                    format!("`{}` cannot be a variable's name", name.get_ref().escape_debug()),
                    name.span(),
                    "not a name",
                ));
                return None;
            }
            Some((At::new(name.get_ref().to_string(), name.span()), reader.text(value)?))
        })
    }

    fn command(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Command> {
        let (command, first) = match value.get_ref() {
            DeValue::String(_) => {
                let line = self.text(value)?.value;
                (Command::Shell(line.clone()), line)
            }
            DeValue::Array(_) => {
                let words: Vec<String> = self.some(value, Self::texts)?.into_iter().map(|word| word.value).collect();
                let first = words.first().cloned().unwrap_or_default();
                (Command::Argv(words), first)
            }
            _ => {
                return self.wrong(value, "a command: a text for the shell, or a list of a program and its arguments");
            }
        };
        if first.trim().is_empty() {
            self.problem(Diagnostic::error("a command is empty", value.span(), "nothing to run"));
            return None;
        }
        if first.trim_start().starts_with('-') {
            let help = "to go on after a failure, as `-command` in a makefile does, write `command || true`; an option belongs to the step that takes it";
            self.problem(Diagnostic::error("a step begins with `-`, so it names no program", value.span(), "not a command").help(help));
            return None;
        }
        Some(command)
    }

    fn step(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Fields> {
        if let DeValue::Table(table) = value.get_ref() {
            return Some(self.fields(table, value.span(), &STEP));
        }
        let command = self.command(value)?;
        Some(Fields { span: value.span(), values: HashMap::from([("run", At::new(Value::Command(command), value.span()))]) })
    }

    fn scalar(&mut self, value: &Spanned<DeValue<'_>>) -> Option<At<String>> {
        let text = match value.get_ref() {
            DeValue::String(_) => return self.text(value),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(flag) => flag.to_string(),
            _ => return self.wrong(value, "a text, a decimal number, true or false"),
        };
        Some(At::new(text, value.span()))
    }

    fn axes(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Axes> {
        self.entries(value, |reader, name, values| {
            let name = reader.checked_name(name)?;
            let values = reader.some(values, |reader, list| reader.list(list, "a list of values", Self::scalar))?;
            Some((name, values))
        })
    }

    fn combination(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Pairs> {
        self.entries(value, |reader, name, value| {
            let name = reader.checked_name(name)?;
            Some((name, reader.scalar(value)?))
        })
    }
}
