//! `workflow`: a CI workflow that calls shipway.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::failing::Failing;
use super::flags::Global;
use super::project::{FILE, Project};
use super::screen::Screen;
use crate::base::digest::Hash;
use crate::base::files::write_new;
use crate::git::repo::Repository;
use crate::model::outcome::Exit;
use crate::starter::wanted::Wanted;
use crate::starter::workflow::{System, workflow};

/// The flags of `workflow`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The CI system
    #[arg(value_name = "SYSTEM")]
    system: Name,
    /// The command that puts shipway into `$CARGO_INSTALL_ROOT/bin`; without it, the workflow fails and asks for it
    #[arg(long, value_name = "COMMAND")]
    install: Option<String>,
    /// Write to this new file instead of standard output
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// GitHub Actions: .github/workflows/shipway.yml
    Github,
    /// GitLab CI/CD: .gitlab-ci.yml
    Gitlab,
}

/// Prints the workflow, or writes it where nothing is yet.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    let system = match arguments.system {
        Name::Github => System::Github,
        Name::Gitlab => System::Gitlab,
    };
    let install = arguments.install.clone();
    let mark = Hash::of(install.as_deref().unwrap_or_default().as_bytes()).to_string();
    let wanted =
        Wanted { dir: dir(global), file: file(global), mark: mark[..12].to_owned(), install, rust: env!("CARGO_PKG_RUST_VERSION") };
    let text = workflow(system, &wanted).map_err(|error| Failing::usage(error.to_string()))?;
    let Some(path) = &arguments.output else {
        screen.print(&text);
        return Ok(Exit::Passed);
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("the folder `{}` cannot be made", folder.display()))?;
    }
    match write_new(path, text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Failing::usage_with_help(
            format!("`{}` is there already", path.display()),
            "without -o the workflow is printed, to be compared with what is there",
        )),
        written => written.with_context(|| format!("`{}` cannot be written", path.display())).map(|()| Exit::Passed).map_err(Failing::from),
    }
}

/// Returns the name of the pipeline's file.
fn file(global: &Global) -> String {
    let name = global.file.as_deref().and_then(|file| file.file_name());
    name.map_or_else(|| FILE.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Returns the folder of the pipeline from the top of its repository; the top where there is no pipeline yet, or no repository.
fn dir(global: &Global) -> String {
    let Ok(folder) = Project::folder(global) else { return String::new() };
    let top = Repository::find(&folder);
    let below = top.as_ref().and_then(|top| folder.strip_prefix(top.root()).ok());
    below.map(|below| below.to_string_lossy().into_owned()).unwrap_or_default()
}
