//! The commands and their flags.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use super::failing::Failing;
use super::flags::Global;
use super::screen::Screen;
use super::{
    attest, audit, back, cache, check, deploy, export, generate, graph, hook, incident, init, list, planned, release, report, run, runs,
    serve, status, target, unlock, watch, why, workflow,
};
use crate::model::outcome::Exit;

const AFTER_HELP: &str = "\
Exit codes: 0 all passed; 1 a stage failed, or a gate said no; 2 the command line or pipeline.toml is not valid; 3 files, git or a tool \
are broken; 4 a release was taken back; 5 it could not be; 75 it waits for somebody or something; 129, 130, 143 interrupted.

Without a command, `run` is meant: `shipway -k` is `shipway run -k`.";

/// Runs the pipeline that `pipeline.toml` declares: stages as a graph, steps as processes, and a halt at the first failure.
#[derive(Debug, Parser)]
#[command(name = "shipway", version, after_help = AFTER_HELP, subcommand_required = true, disable_help_subcommand = true, max_term_width = 100)]
struct App {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the named stages and what they need, or the default ones
    Run(run::Arguments),
    /// Run, and run again as what the stages read changes
    Watch(watch::Arguments),
    /// Validate pipeline.toml, without running anything
    Check,
    /// List the stages
    List(list::Arguments),
    /// Show which stage waits for which
    Graph(graph::Arguments),
    /// Say why a stage ran or would run, compared with the nearest earlier result
    Why(why::Arguments),
    /// Test what is pushed or committed, from a hook of git
    Hook(hook::Arguments),
    /// Look after the store of results
    Cache(cache::Arguments),
    /// List the recorded runs
    Runs(runs::Arguments),
    /// Report a recorded run
    Report(report::Arguments),
    /// Make a release of what passes, or list or show those that were made
    Release(release::Arguments),
    /// Show what bringing a release into an environment would do and wait for
    Plan(planned::Plan),
    /// Sign that a plan is agreed to
    Approve(planned::Judge),
    /// Sign that a plan is not agreed to
    Reject(planned::Judge),
    /// Bring a release into an environment
    Promote(deploy::Promote),
    /// Do all that is due: what was begun and not ended, and what comes in by itself
    Settle(deploy::Settle),
    /// Take an environment back to a release that was verified there, and hold it
    Rollback(back::Rollback),
    /// Take back what is on its way into an environment
    Abort(deploy::Reasoned),
    /// Have automation leave an environment alone
    Pause(deploy::Reasoned),
    /// Let automation go on
    Resume(deploy::Reasoned),
    /// Let another clone go on with what one has left
    Unlock(deploy::Reasoned),
    /// Link a failure that users feel to the deployment that brought it, or end it
    Incident(incident::Arguments),
    /// Keep the listener of a target of the kind `process`, and the processes behind it
    Serve(serve::Serve),
    /// Show what serves where
    Status(status::Status),
    /// Show what was done, the newest first
    Log(status::Log),
    /// Check the record of deliveries, its signatures, and the bytes of releases
    Audit(audit::Audit),
    /// Show how well delivery goes: the five measures of DORA
    Metrics(audit::Measure),
    /// Try out what moves releases, before it is used
    Target(target::Arguments),
    /// Write a release as one file, or into a folder
    Export(export::Arguments),
    /// Write a signed statement of where a release comes from
    Attest(attest::Attest),
    /// Check what `attest` or `export` has written
    Verify(attest::Verify),
    /// Write a first pipeline.toml from what is found here
    Init,
    /// Print a CI workflow that calls shipway
    Workflow(workflow::Arguments),
    /// Print the JSON Schema of pipeline.toml, for editors
    Schema,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

/// Reads the command line of this process, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    let screen = Screen::new();
    let arguments = with_command(std::env::args_os().collect());
    let exit = match App::try_parse_from(arguments) {
        Ok(app) => app.run(screen),
        Err(error) => screen.usage(&error),
    };
    ExitCode::from(exit.code())
}

impl App {
    fn run(self, mut screen: Screen) -> Exit {
        screen.choose_colours(self.global.color);
        screen.quieten(self.global.quiet);
        let result = self.enter().and_then(|()| self.dispatch(&mut screen));
        screen.conclude(result)
    }

    /// Goes to the folder that the command line names.
    fn enter(&self) -> Result<(), Failing> {
        let Some(directory) = &self.global.directory else {
            return Ok(());
        };
        std::env::set_current_dir(directory)
            .map_err(|error| Failing::usage(format!("`{}` cannot be entered: {error}", directory.display())))
    }

    fn dispatch(&self, screen: &mut Screen) -> Result<Exit, Failing> {
        match &self.command {
            Command::Run(arguments) => run::run(&self.global, arguments, screen),
            Command::Watch(arguments) => watch::run(&self.global, arguments, screen),
            Command::Check => check::run(&self.global, screen),
            Command::List(arguments) => list::run(&self.global, arguments, screen),
            Command::Graph(arguments) => graph::run(&self.global, arguments, screen),
            Command::Why(arguments) => why::run(&self.global, arguments, screen),
            Command::Hook(arguments) => hook::run(&self.global, arguments, screen),
            Command::Cache(arguments) => cache::run(&self.global, arguments, screen),
            Command::Runs(arguments) => runs::run(&self.global, arguments, screen),
            Command::Report(arguments) => report::run(&self.global, arguments, screen),
            Command::Release(arguments) => release::run(&self.global, arguments, screen),
            Command::Plan(arguments) => planned::plan(&self.global, arguments, screen),
            Command::Approve(arguments) => planned::judge(&self.global, arguments, true, screen),
            Command::Reject(arguments) => planned::judge(&self.global, arguments, false, screen),
            Command::Promote(arguments) => deploy::promote(&self.global, arguments, screen),
            Command::Settle(arguments) => deploy::settle(&self.global, arguments, screen),
            Command::Rollback(arguments) => back::rollback(&self.global, arguments, screen),
            Command::Abort(arguments) => back::abort(&self.global, arguments, screen),
            Command::Pause(arguments) => deploy::hold(&self.global, arguments, true, screen),
            Command::Resume(arguments) => deploy::hold(&self.global, arguments, false, screen),
            Command::Unlock(arguments) => unlock::unlock(&self.global, arguments, screen),
            Command::Incident(arguments) => incident::run(&self.global, arguments, screen),
            Command::Serve(arguments) => serve::serve(&self.global, arguments, screen),
            Command::Status(arguments) => status::status(&self.global, arguments, screen),
            Command::Log(arguments) => status::log(&self.global, arguments, screen),
            Command::Audit(arguments) => audit::audit(&self.global, arguments, screen),
            Command::Metrics(arguments) => audit::metrics(&self.global, arguments, screen),
            Command::Target(arguments) => target::run(&self.global, arguments, screen),
            Command::Export(arguments) => export::run(&self.global, arguments, screen),
            Command::Attest(arguments) => attest::attest(&self.global, arguments, screen),
            Command::Verify(arguments) => attest::verify(&self.global, arguments, screen),
            Command::Init => init::run(&self.global, screen),
            Command::Workflow(arguments) => workflow::run(&self.global, arguments, screen),
            Command::Schema => {
                generate::schema(screen);
                Ok(Exit::Passed)
            }
            Command::Completions { shell } => {
                generate::completions(App::command(), *shell, screen);
                Ok(Exit::Passed)
            }
            Command::Man => generate::manual(App::command(), screen).map(|()| Exit::Passed),
        }
    }
}

/// Puts `run` where no command was given: before the first flag that is not for every command, else at the end.
fn with_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let mut place = 1;
    while let Some(argument) = arguments.get(place) {
        let text = argument.to_string_lossy();
        place += match &*text {
            "-h" | "--help" | "-V" | "--version" => return arguments,
            "--file" | "--directory" | "--color" => 2,
            "--quiet" | "--verbose" => 1,
            flag if ["--file=", "--directory=", "--color="].iter().any(|global| flag.starts_with(global)) => 1,
            flag if flag.starts_with('-') && !flag.starts_with("--") => match flag[1..].trim_start_matches(['q', 'v']) {
                "" if flag.len() > 1 => 1,
                "f" | "C" => 2,
                rest if rest.starts_with(['f', 'C']) => 1,
                _ => break,
            },
            flag if flag.starts_with('-') => break,
            _ => return arguments,
        };
    }
    if place > arguments.len() {
        // The value of the last flag is missing, which clap says.
        return arguments;
    }
    arguments.insert(place, "run".into());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        App::command().debug_assert();
    }

    #[test]
    fn without_a_command_run_is_meant() {
        let cases: &[(&[&str], &[&str])] = &[
            (&[], &["run"]),
            (&["-k"], &["run", "-k"]),
            (&["-C", "x", "-q"], &["-C", "x", "-q", "run"]),
            (&["-fx", "-j4"], &["-fx", "run", "-j4"]),
            (&["--", "a"], &["run", "--", "a"]),
            (&["check"], &["check"]),
            (&["-q", "list"], &["-q", "list"]),
            (&["--help"], &["--help"]),
            (&["-C"], &["-C"]),
            (&["-qf", "x", "list"], &["-qf", "x", "list"]),
            (&["-qk"], &["run", "-qk"]),
            (&["-vCx"], &["-vCx", "run"]),
        ];
        for (given, expected) in cases {
            let whole = |words: &[&str]| [&["shipway"], words].concat().into_iter().map(OsString::from).collect::<Vec<_>>();
            assert_eq!(with_command(whole(given)), whole(expected));
        }
    }
}
