//! Steps and texts of delivery, which may have placeholders.
//!
//! Knows which names there are; what they stand for is known when a release is delivered.

use super::fields::Fields;
use super::stages::Builder;
use crate::base::diagnostic::Diagnostic;
use crate::base::{nearest, placeholder};
use crate::model::stage::{Command, Step};

/// Placeholders that every step of an environment and of a target may have.
pub(super) const KNOWN: &[&str] = &["release", "environment", "dir", "weight"];

/// Placeholders that an analysis has beside those of other steps.
pub(super) const OF_ANALYSIS: &[&str] = &["canary", "stable"];

/// Returns the placeholders that every step may have, and these.
pub(super) fn known_with<'k>(more: impl IntoIterator<Item = &'k str>) -> Vec<&'k str> {
    KNOWN.iter().copied().chain(more).collect()
}

/// Builds steps whose texts may have the placeholders `known`.
pub(super) fn steps(builder: &mut Builder<'_>, steps: &[Fields], secrets: &[String], known: &[&str]) -> Vec<Step> {
    for step in steps {
        check_command(step.command("run"), step, "run", known, builder.problems);
        for (_, value) in step.pairs("env").unwrap_or_default() {
            check(&value.value, &value.span, known, builder.problems);
        }
    }
    let folder = builder.home.folder.clone();
    builder.steps(steps, &folder, secrets, &super::matrix::Combination::default())
}

/// Builds one step, which is called as its key is, unless it has a name.
pub(super) fn step(builder: &mut Builder<'_>, fields: &Fields, key: &str, known: &[&str]) -> Option<Step> {
    let step = fields.step(key)?;
    let built = steps(builder, std::slice::from_ref(step), &[], known).pop();
    built.map(|built| if step.text("name").is_none() { Step { label: key.into(), ..built } } else { built })
}

/// Says which placeholders of a command are unknown.
pub(super) fn check_command(command: Option<&Command>, fields: &Fields, key: &str, known: &[&str], problems: &mut Vec<Diagnostic>) {
    let span = fields.span(key);
    match command {
        Some(Command::Shell(line)) => check(line, &span, known, problems),
        Some(Command::Argv(words)) => words.iter().for_each(|word| check(word, &span, known, problems)),
        None => {}
    }
}

/// Says which placeholders of a text are unknown.
pub(super) fn check(text: &str, span: &std::ops::Range<usize>, known: &[&str], problems: &mut Vec<Diagnostic>) {
    for (name, at) in placeholder::names(text) {
        if known.contains(&name) {
            continue;
        }
        let is_variable = text[..at.start].ends_with('$');
        let help = if is_variable {
            format!("a variable of the shell is written ${name}, or ${{{{{name}}}}}: braces that mean themselves are written twice")
        } else {
            let known = nearest::help("a placeholder", name, known.iter().copied()).unwrap_or_default();
            format!("{known}; braces that mean themselves are written twice: {{{{{name}}}}}")
        };
        let message = format!("there is no placeholder `{{{name}}}`");
        problems.push(Diagnostic::error(message, span.clone(), "unknown placeholder").help(help));
    }
}
