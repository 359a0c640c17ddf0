//! `export`: a release as one file, or as a folder.

use std::path::PathBuf;

use clap::Args;

use super::depot::{Depot, elsewhere};
use super::failing::Failing;
use super::flags::Global;
use super::project::Project;
use super::screen::Screen;
use crate::base::text::visible;
use crate::delivery::archive::{ArchiveError, Form, export};
use crate::model::outcome::Exit;

/// The flags of `export`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Its id, the beginning of that, or its name
    #[arg(value_name = "RELEASE")]
    release: String,
    /// Where to: .tar, .tar.gz or .tar.zst; a folder, if its name is no archive's or ends with `/`
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
}

/// Writes the release, the same bytes each time and everywhere.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    let to = &arguments.output;
    let Some(form) = Form::of(to) else {
        let help = "what is written: .tar, .tar.gz (.tgz), .tar.zst (.tzst), or a folder, whose name may end with `/`";
        return Err(Failing::usage_with_help(format!("`{}` is no archive that can be written", visible(&to.to_string_lossy())), help));
    };
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let history = depot.journal.read()?;
    let (released, manifest) = depot.release(&history, &arguments.release)?;
    let (entry, _) = history.release(&released.release)?;
    export(&manifest, &depot.vault, form, to).map_err(|error| match error {
        ArchiveError::Vault(error) => elsewhere(error, entry),
        error @ (ArchiveError::Taken | ArchiveError::InTheWay(_) | ArchiveError::Io(_)) => {
            anyhow::Error::new(error).context(format!("`{}` cannot be written", visible(&to.to_string_lossy()))).into()
        }
    })?;
    screen.say(&format!("wrote {} to {}", released.name, visible(&to.to_string_lossy())));
    Ok(Exit::Passed)
}
