//! From `[delivery]`, `[release]`, `[environments]` and `[targets]` to what they say together.
//!
//! What an included file says of delivery holds where it is run alone.

use super::environments::Environments;
use super::fields::{At, Fields};
use super::include::Gathered;
use super::stages::{Builder, unusable};
use super::targets;
use crate::base::diagnostic::Diagnostic;
use crate::base::glob::Glob;
use crate::base::{nearest, placeholder};
use crate::model::delivery::{Delivery, ReleaseRule};
use crate::model::stage::{Command, StageId, Step};

/// Placeholders that every step of an environment and of a target may have.
pub(super) const KNOWN: &[&str] = &["release", "environment", "dir", "slot", "weight", "port"];

/// Placeholders of an analysis.
pub(super) const OF_ANALYSIS: &[&str] = &["release", "environment", "dir", "slot", "weight", "port", "canary", "stable"];

/// Returns the names of the stages that a release needs, where the file says that.
pub(super) fn needs(gathered: &Gathered) -> Option<&[At<String>]> {
    gathered.files[0].fields.table("release")?.texts("needs")
}

/// Returns what the first file says of delivery; a release of it needs the stages `needs`.
pub(super) fn delivery(gathered: &Gathered, needs: Vec<StageId>, problems: &mut Vec<Diagnostic>) -> Delivery {
    let file = &gathered.files[0];
    let settings = file.fields.table("delivery");
    let targets = targets::all(file, problems);
    let environments = Environments::new(file, &targets).all(problems);
    let release = file.fields.table("release").map(|fields| release(fields, needs, problems));
    Delivery {
        share: settings.is_some_and(|settings| settings.text("share").is_some()),
        store: settings.and_then(|settings| settings.text("store")).map(str::to_owned),
        release,
        environments,
        targets: targets.into_iter().map(|(_, target)| target).collect(),
    }
}

fn release(fields: &Fields, mut needs: Vec<StageId>, problems: &mut Vec<Diagnostic>) -> ReleaseRule {
    needs.sort_unstable();
    needs.dedup();
    let mut artifacts = Vec::new();
    for text in fields.texts("artifacts").unwrap_or_default() {
        match Glob::new("", &text.value) {
            Ok(glob) => artifacts.push(glob),
            Err(error) => problems.push(unusable(&error, &text.span)),
        }
    }
    ReleaseRule { needs, artifacts, irreversible: fields.flag("irreversible").copied().unwrap_or(false) }
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
