//! `report`: a recorded run, again.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::course;
use super::failing::Failing;
use super::flags::Global;
use super::project::Project;
use super::reports::{make_folder, remember};
use super::screen::Screen;
use crate::base::files::write_whole_with;
use crate::base::nearest;
use crate::model::event::Listener;
use crate::model::outcome::Exit;
use crate::record::reader::{Record, records};
use crate::report::dialect::Dialect;
use crate::report::form::Form;
use crate::report::json::JsonReporter;
use crate::report::story::Story;
use crate::report::terminal::{Settings, Show, TerminalReporter, Verbosity};
use crate::report::theme::Theme;

/// The flags of `report`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The run's id, as `runs` shows it; without it, the last one
    run: Option<String>,
    /// Of a deployment instead, as a page: the last one into this environment, or one by its entry in the log
    #[arg(long, value_name = "ENV|ID", conflicts_with = "run")]
    deployment: Option<String>,
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Shape,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// As the run itself wrote it, stage by stage
    Text,
    /// One event a line
    Json,
    /// One page for people, which needs nothing else
    Html,
    /// JUnit XML: a suite for each stage
    Junit,
    /// Markdown, short enough for a comment
    Markdown,
    /// Chrome trace events, for Perfetto
    Trace,
}

/// Writes the report.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    if let Some(deployment) = &arguments.deployment {
        if arguments.format != Shape::Html {
            let help = "--format html; `shipway log` has it as text and as JSON";
            return Err(Failing::usage_with_help("a deployment is written as a page", help));
        }
        return course::report(global, deployment, arguments.output.as_deref(), screen);
    }
    let root = Project::folder(global)?;
    let record = find(records(&root).context("the recorded runs cannot be read")?, arguments.run.as_deref())?;
    let theme = if arguments.output.is_none() { screen.out_theme } else { Theme { coloured: false } };
    // What is shown again is no news for the CI system, and what steps said is none of its commands.
    let dialect = if arguments.output.is_none() { screen.dialect.clone() } else { Dialect::plain() };
    let write = |out: &mut dyn Write| -> std::io::Result<()> {
        let form = match arguments.format {
            Shape::Json => return replay(&record, &mut JsonReporter::new(out)),
            Shape::Text => {
                let settings = Settings {
                    show: Show::Grouped,
                    verbosity: Verbosity::Normal,
                    has_region: false,
                    is_terminal: true,
                    output_theme: theme,
                    theme,
                    dialect: dialect.clone(),
                    sums: true,
                    root: root.clone(),
                };
                let out = std::cell::RefCell::new(out);
                return replay(&record, &mut TerminalReporter::new(settings, Shared(&out), Shared(&out)).with_all_findings());
            }
            Shape::Html => Form::Html,
            Shape::Junit => Form::Junit,
            Shape::Markdown => Form::Markdown,
            Shape::Trace => Form::Trace,
        };
        let mut story = if form.shows_output() { Story::default() } else { Story::without_output() };
        replay(&record, &mut story)?;
        out.write_all(form.render(&story).unwrap_or_default().as_bytes())
    };
    let Some(path) = &arguments.output else {
        write(&mut screen.out).with_context(|| format!("the record of run {} cannot be read", record.id))?;
        return Ok(Exit::Passed);
    };
    // A record that cannot be read leaves what was there.
    let written = make_folder(path).and_then(|()| write_whole_with(path, |out| write(out)));
    written.with_context(|| format!("run {} cannot be written to `{}`", record.id, path.display()))?;
    remember(&root, &[path]);
    Ok(Exit::Passed)
}

fn find(records: Vec<Record>, wanted: Option<&str>) -> Result<Record, Failing> {
    let Some(wanted) = wanted else {
        return records.into_iter().next().ok_or_else(|| Failing::usage_with_help("no run is recorded here", "`shipway run` makes one"));
    };
    if let Some(found) = records.iter().position(|record| record.id == wanted) {
        return Ok(records[found].clone());
    }
    let matching: Vec<&Record> = records.iter().filter(|record| record.id.starts_with(wanted)).collect();
    match matching.as_slice() {
        [record] => Ok((*record).clone()),
        [] => Err(Failing::Usage {
            message: format!("there is no run `{wanted}`"),
            help: nearest::help("a run", wanted, records.iter().map(|record| record.id.as_str())),
        }),
        several => Err(Failing::usage_with_help(format!("`{wanted}` means {} runs", several.len()), "write more of the id")),
    }
}

fn replay(record: &Record, listener: &mut dyn Listener) -> std::io::Result<()> {
    record.replay(|event| listener.hear(&event))?;
    let _later = listener.idle();
    Ok(())
}

/// One writer for both streams.
struct Shared<'c, 'w>(&'c std::cell::RefCell<&'w mut dyn Write>);

impl Write for Shared<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.borrow_mut().flush()
    }
}
