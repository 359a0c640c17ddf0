//! `hook`: puts shipway into the hooks of a repository, takes it out again, and is what they call.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::failing::Failing;
use super::flags::Global;
use super::hooked::{self, pipeline_of};
use super::project::Project;
use super::screen::Screen;
use super::session::user_cache;
use crate::base::text::visible;
use crate::git::aside::Aside;
use crate::git::home::Home;
use crate::git::script::{Change, Refusal, Script, State};
use crate::model::outcome::Exit;

/// The hooks that there may be.
const NAMES: [&str; 2] = ["pre-push", "pre-commit"];

/// The flags of `hook`.
#[derive(Debug, Args)]
#[command(subcommand_required = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Test what is pushed before every push; a hook that is there already is kept and called first
    Install {
        /// Test what is to be committed before every commit, too
        #[arg(long)]
        pre_commit: bool,
    },
    /// Take the hooks away again, and put back what was there before
    Uninstall,
    /// Show which hooks are installed, and where
    Status,
    /// What the hooks call
    Run {
        #[command(subcommand)]
        which: Which,
    },
}

#[derive(Debug, Subcommand)]
enum Which {
    /// Test the commits that are pushed, as the lines on standard input name them
    PrePush {
        /// The remote's name, or where it has none its address
        remote: Option<String>,
        /// The remote's address
        url: Option<String>,
    },
    /// Test what is to be committed
    PreCommit,
}

/// Does what the command line says.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    match &arguments.command {
        Command::Install { pre_commit } => install(global, *pre_commit, screen),
        Command::Uninstall => uninstall(screen),
        Command::Status => status(screen),
        Command::Run { which: Which::PrePush { remote, url } } => {
            let remote = remote.as_ref().or(url.as_ref()).map(String::as_str).unwrap_or_default();
            hooked::pre_push(global, remote, screen)
        }
        Command::Run { which: Which::PreCommit } => hooked::pre_commit(global, screen),
    }
}

fn install(global: &Global, pre_commit: bool, screen: &mut Screen) -> Result<Exit, Failing> {
    let home = Home::here()?;
    let pipeline = pipeline_of(global, &home)?;
    if let Some(root) = home.root() {
        // A hook that could only ever fail helps nobody.
        Project::load(&Global { file: Some(root.join(&pipeline)), ..global.clone() })?;
    }
    let pipeline = pipeline.to_string_lossy().into_owned();
    let folder = home.hooks()?;
    if folder.ends_with(".husky/_") {
        let help = "add this line to .husky/pre-push: shipway hook run pre-push \"$@\"";
        return Err(Failing::usage_with_help("the hooks of this repository are husky's, which writes them anew again and again", help));
    }
    for name in NAMES.into_iter().take(if pre_commit { 2 } else { 1 }) {
        let script = Script::new(&folder, name);
        let change = script.install(&pipeline).with_context(|| format!("the hook `{}` cannot be written", shown(&script.path)))?;
        match change {
            Change::None => screen.say(&format!("{name}: installed already, in {}", shown(&script.path))),
            Change::Done => screen.say(&format!("{name}: installed in {}", shown(&script.path))),
            Change::DoneBeside => {
                screen.say(&format!("{name}: installed in {}; it calls {} first", shown(&script.path), shown(&script.before())));
            }
            Change::Refused(refusal) => return Err(refused(&script, &refusal)),
        }
    }
    if !folder.starts_with(home.common_dir()) && home.root().is_none_or(|root| !folder.starts_with(root)) {
        screen.warn(&format!("core.hooksPath is `{}`: every repository that uses it has this hook now", shown(&folder)));
    }
    if std::env::var_os("PATH").is_none_or(|path| crate::base::program::find("shipway", Some(&path), Path::new("/")).is_err()) {
        screen.warn("shipway is not in PATH: the hook needs it there");
    }
    Ok(Exit::Passed)
}

fn uninstall(screen: &mut Screen) -> Result<Exit, Failing> {
    let home = Home::here()?;
    let folder = home.hooks()?;
    let mut nothing = true;
    for name in NAMES {
        let script = Script::new(&folder, name);
        let before = script.state().with_context(|| format!("the hook `{}` cannot be read", shown(&script.path)))?;
        let change = script.uninstall().with_context(|| format!("the hook `{}` cannot be removed", shown(&script.path)))?;
        match change {
            Change::None => continue,
            Change::Done => screen.say(&format!("{name}: removed from {}", shown(&script.path))),
            Change::DoneBeside => screen.say(&format!("{name}: removed; what was there before is back in {}", shown(&script.path))),
            Change::Refused(refusal) => return Err(refused(&script, &refusal)),
        }
        nothing = false;
        if let State::Ours { pipeline } = before {
            discard(&home, Path::new(&pipeline), screen);
        }
    }
    if nothing {
        screen.say("no hook of shipway is installed here");
    }
    Ok(Exit::Passed)
}

/// Removes the checkout aside; one that is in use stays, it is only a cache.
fn discard(home: &Home, pipeline: &Path, screen: &mut Screen) {
    let folder = user_cache().map(|cache| Aside::place(home, &cache, pipeline)).filter(|folder| folder.exists());
    let discarded = folder.map(|folder| Aside::take(&folder, || false).and_then(|aside| aside.discard(home)));
    if let Some(Err(error)) = discarded {
        screen.warn(&format!("the checkout that the hook tested in is still there: {error}"));
    }
}

fn status(screen: &mut Screen) -> Result<Exit, Failing> {
    let home = Home::here()?;
    let folder = home.hooks()?;
    for name in NAMES {
        let script = Script::new(&folder, name);
        let state = script.state().with_context(|| format!("the hook `{}` cannot be read", shown(&script.path)))?;
        let first = if script.keeps() { format!(", after {}", shown(&script.before())) } else { String::new() };
        let text = match state {
            State::Absent => "not installed".to_owned(),
            State::Foreign => format!("not installed; {} is another hook", shown(&script.path)),
            State::Ours { pipeline } => format!("installed in {}, runs {}{first}", shown(&script.path), visible(&pipeline)),
            State::Edited => format!("installed in {}, but changed by hand since{first}", shown(&script.path)),
        };
        screen.print(&format!("{name}: {text}\n"));
    }
    Ok(Exit::Passed)
}

fn refused(script: &Script, refusal: &Refusal) -> Failing {
    let (path, before) = (shown(&script.path), shown(&script.before()));
    match refusal {
        Refusal::Edited => Failing::usage_with_help(
            format!("`{path}` was changed by hand since shipway made it, and is left as it is"),
            "move it away, or delete it, and try again",
        ),
        Refusal::Other(other) => Failing::usage_with_help(
            format!("`{path}` runs `{}` already, and there is one pipeline a hook", visible(other)),
            "`shipway hook uninstall` takes it away; a pipeline may `include` others",
        ),
        Refusal::Two => Failing::usage_with_help(
            format!("`{path}` is not the hook that shipway made, and `{before}` is kept already from before"),
            "put one of the two where it belongs, move the other away, and try again",
        ),
    }
}

/// Returns the path as people see it: relative to the current folder where it lies there.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    visible(&path.strip_prefix(&here).unwrap_or(path).to_string_lossy()).into_owned()
}
