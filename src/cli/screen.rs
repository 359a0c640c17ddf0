//! Standard output and standard error, and how commands speak on them.

use std::ffi::OsString;
use std::io::{self, IsTerminal, LineWriter, Stderr, Write};
use std::path::Path;

use clap::error::{ContextKind, ContextValue};

use super::failing::Failing;
use super::flags::When;
use crate::base::text::shell_quote;
use crate::model::outcome::Exit;
use crate::report::diagnostics;
use crate::report::dialect::Dialect;
use crate::report::roomy::Roomy;
use crate::report::theme::Theme;
use crate::report::tolerant::Tolerant;

/// The two streams, which may be a terminal, a file, a pipe, or closed.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) out: Tolerant<LineWriter<Roomy>>,
    pub(super) err: Tolerant<Stderr>,
    pub(super) out_theme: Theme,
    pub(super) err_theme: Theme,
    /// The language of who reads it; here nobody is commanded.
    pub(super) dialect: Dialect,
    /// Nothing is to be said but failures, and what is waited for.
    is_quiet: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        let plain = Theme { coloured: false };
        Self {
            out: Tolerant::new(LineWriter::new(Roomy::new(io::stdout()))),
            err: Tolerant::new(io::stderr()),
            out_theme: plain,
            err_theme: plain,
            dialect: Dialect::of(|name| std::env::var(name).ok(), Path::new("/")).silent(),
            is_quiet: false,
        }
    }

    /// From here on says nothing about what goes on, where it is to be quiet.
    pub(super) fn quieten(&mut self, is_quiet: bool) {
        self.is_quiet = is_quiet;
    }

    /// Decides on colours: by the flag, else `NO_COLOR`, else `CLICOLOR_FORCE`, else where a terminal is.
    pub(super) fn choose_colours(&mut self, when: When) {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let choose = |is_terminal: bool| Theme {
            coloured: match when {
                When::Always => true,
                When::Never => false,
                When::Auto if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) => false,
                When::Auto => is_set("CLICOLOR_FORCE") || (is_terminal && !dumb),
            },
        };
        self.out_theme = choose(io::stdout().is_terminal());
        self.err_theme = choose(io::stderr().is_terminal());
    }

    /// Writes a result.
    pub(super) fn print(&mut self, text: &str) {
        let _tolerant = self.out.write_all(text.as_bytes());
    }

    /// Writes a result for people, which may hold words of others.
    pub(super) fn show(&mut self, text: &str) {
        let text = self.dialect.guard_text(text);
        let _tolerant = self.out.write_all(text.as_bytes());
    }

    /// Writes what clap has to say: help and versions are results, all else is an error of usage.
    pub(super) fn usage(mut self, error: &clap::Error) -> Exit {
        let is_result = !error.use_stderr();
        let rendered = error.render();
        if is_result {
            let text = if io::stdout().is_terminal() { rendered.ansi().to_string() } else { rendered.to_string() };
            self.print(&text);
        } else {
            let text = if io::stderr().is_terminal() { rendered.ansi().to_string() } else { rendered.to_string() };
            self.tell(text.trim_end_matches('\n'));
            if let Some(hint) = hint(error) {
                let _tolerant = writeln!(self.err, "\n  {} {hint}", self.err_theme.strong("help:"));
            }
        }
        self.conclude(Ok(if is_result { Exit::Passed } else { Exit::Usage }))
    }

    /// Writes an error and what to do about it.
    pub(super) fn complain(&mut self, message: &str, help: Option<&str>) {
        let theme = self.err_theme;
        let help = help.map(|help| format!("\n  {} {help}", theme.strong("help:"))).unwrap_or_default();
        self.tell(&format!("{} {message}{help}", theme.bad("error:")));
    }

    /// Writes to standard error what may hold words of others.
    pub(super) fn tell(&mut self, text: &str) {
        let _tolerant = writeln!(self.err, "{}", self.dialect.guard_text(text));
    }

    /// Writes a line about what was done.
    pub(super) fn say(&mut self, message: &str) {
        self.tell(message);
    }

    /// Writes a line about what goes on, or went well.
    pub(super) fn progress(&mut self, message: &str) {
        if !self.is_quiet {
            self.say(message);
        }
    }

    /// Writes a warning.
    pub(super) fn warn(&mut self, message: &str) {
        self.tell(&format!("{} {message}", self.err_theme.warn("warning:")));
    }

    /// Says why a command failed, and returns what to exit with.
    pub(super) fn explain(&mut self, failing: Failing) -> Exit {
        match failing {
            Failing::Usage { message, help } => {
                self.complain(&message, help.as_deref());
                Exit::Usage
            }
            Failing::File(sources, problems) => {
                let text = diagnostics::render(&problems, &sources, self.err_theme.coloured);
                self.tell(text.trim_end_matches('\n'));
                self.tell("");
                self.complain(
                    &format!(
                        "{} is not valid: {}; nothing has run",
                        sources.main().name,
                        crate::base::text::count(problems.len(), "error")
                    ),
                    None,
                );
                Exit::Usage
            }
            Failing::Surroundings(error) => {
                self.complain(&format!("{error:#}"), None);
                Exit::Surroundings
            }
            Failing::Waiting(why) => {
                self.say(&why);
                Exit::Waiting
            }
        }
    }

    /// Says why a command failed, if it did, and returns what to exit with.
    pub(super) fn conclude(mut self, result: Result<Exit, Failing>) -> Exit {
        let exit = result.unwrap_or_else(|failing| self.explain(failing));
        let _tolerant = self.out.flush();
        match self.out.into_error() {
            // Whoever reads the result would take a part of it for the whole.
            Some(error) if exit == Exit::Passed => {
                let _tolerant = writeln!(self.err, "{} the result could not be written: {error}", self.err_theme.bad("error:"));
                Exit::Surroundings
            }
            _ => exit,
        }
    }
}

/// Returns what clap does not know: that a stage may have been meant, and that a value came from the environment.
fn hint(error: &clap::Error) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    if let Some(name) = context(ContextKind::InvalidSubcommand).filter(|_| error.kind() == clap::error::ErrorKind::InvalidSubcommand) {
        return Some(format!("to run a stage of that name: shipway run {}", shell_quote(&name)));
    }
    let value = OsString::from(context(ContextKind::InvalidValue)?);
    let is_typed = std::env::args_os().any(|argument| argument == value);
    let twins = ["CACHE", "COLOR", "FORMAT", "JOBS", "KEEP_GOING", "OUTPUT", "TIMEOUT"].map(|name| format!("SHIPWAY_{name}"));
    let name = twins.into_iter().find(|name| !is_typed && std::env::var_os(name).as_ref() == Some(&value))?;
    Some(format!("the environment variable {name} holds this value"))
}
