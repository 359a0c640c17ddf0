//! `attest` and `verify`: where a release comes from, for whoever has not the record, and whether that is so.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::depot::{Depot, elsewhere};
use super::failing::Failing;
use super::flags::Global;
use super::project::Project;
use super::reports::make_folder;
use super::screen::Screen;
use crate::base::files::write_whole;
use crate::base::text::{count, visible};
use crate::delivery::archive::Form;
use crate::delivery::attestation::{Envelope, Statement, attest as state};
use crate::delivery::received::{Received, ReceivedError};
use crate::delivery::signature::signer;
use crate::ledger::entry::short;
use crate::model::outcome::Exit;

/// The flags of `attest`.
#[derive(Debug, Args)]
pub(super) struct Attest {
    /// Its id, the beginning of that, or its name
    #[arg(value_name = "RELEASE")]
    release: String,
    /// Where to
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// The flags of `verify`.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// What `attest` or `export` has written
    #[arg(value_name = "FILE")]
    received: PathBuf,
    /// Who may sign, in the form of ssh-keygen(1); needed for what `attest` has written
    #[arg(long, value_name = "SIGNERS")]
    signers: Option<PathBuf>,
    /// What it is to be true of, as `export` has written it; without it, the release that is kept here
    #[arg(long, value_name = "PATH", requires = "signers")]
    artifact: Option<PathBuf>,
}

/// Writes a signed statement of where the release comes from.
pub(super) fn attest(global: &Global, arguments: &Attest, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let history = depot.journal.read()?;
    let (released, manifest) = depot.release(&history, &arguments.release)?;
    let (entry, _) = history.release(&released.release)?;
    let name = visible(&released.name);
    if released.dirty {
        let help = "release what is committed";
        return Err(Failing::usage_with_help(
            format!("{name} was made with changes that no commit has, so nobody can say from what"),
            help,
        ));
    }
    let key = depot.repository().signing_key()?;
    let envelope = state(released, &manifest, entry.at, key.as_deref())?;
    let to = &arguments.output;
    let written = make_folder(to).and_then(|()| write_whole(to, envelope.text().as_bytes()));
    written.with_context(|| format!("`{}` cannot be written", visible(&to.to_string_lossy())))?;
    screen.say(&format!("wrote where {name} comes from to {}", visible(&to.to_string_lossy())));
    Ok(Exit::Passed)
}

/// Checks what came from elsewhere.
pub(super) fn verify(global: &Global, arguments: &Verify, screen: &mut Screen) -> Result<Exit, Failing> {
    let file = &arguments.received;
    let is_archive = file.is_dir() || matches!(Form::of(file), Some(Form::Tar | Form::Gzip | Form::Zstd));
    match (is_archive, &arguments.signers) {
        (true, None) => verify_sums(file, screen),
        (true, Some(_)) => {
            let help = "name what `attest` has written, and the archive as --artifact";
            Err(Failing::usage_with_help("nobody has signed an archive", help))
        }
        (false, Some(signers)) => verify_statement(global, file, signers, arguments.artifact.as_deref(), screen),
        (false, None) => Err(Failing::usage_with_help(
            "who may sign is not said",
            "--signers FILE; each line of it: NAME KEY (ssh-keygen(1), ALLOWED SIGNERS)",
        )),
    }
}

/// Checks an archive by the list of hashes in it.
fn verify_sums(file: &Path, screen: &mut Screen) -> Result<Exit, Failing> {
    let received = receive(file)?;
    let shown = visible(&file.to_string_lossy()).into_owned();
    if let Err(why) = received.check() {
        screen.complain(&format!("{shown}: {why}"), None);
        return Ok(Exit::Failed);
    }
    let whole = count(received.artifacts.len(), "artifact");
    screen.print(&format!("{shown}: {whole}, all as its own list of hashes says; where they come from nobody has signed\n"));
    Ok(Exit::Passed)
}

/// Checks a signed statement, and what it is to be true of.
fn verify_statement(global: &Global, file: &Path, signers: &Path, artifact: Option<&Path>, screen: &mut Screen) -> Result<Exit, Failing> {
    let shown = |path: &Path| visible(&path.to_string_lossy()).into_owned();
    let bytes = std::fs::read(file).with_context(|| format!("`{}` cannot be read", shown(file)))?;
    if !signers.is_file() {
        return Err(anyhow::anyhow!("there is no file `{}`", shown(signers)).into());
    }
    let opened = Envelope::parse(&bytes).and_then(|envelope| envelope.open(|signature, message| signer(signature, message, signers)));
    let (statement, who) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            screen.complain(&format!("{}: {}", shown(file), visible(&error.to_string())), None);
            return Ok(Exit::Failed);
        }
    };
    let (checked, what) = match artifact {
        Some(path) => (statement.check(receive(path)?.artifacts), shown(path)),
        None => (kept(global, &statement, screen)?, "what is kept here".to_owned()),
    };
    let name = format!("{} ({})", visible(&statement.name), short(&statement.release));
    if let Err(why) = checked {
        screen.complain(&format!("{what} is not {name}: {}", visible(&why)), None);
        return Ok(Exit::Failed);
    }
    screen.print(&format!("{what} is {name} from commit {}, says {}\n", short(&statement.commit), visible(&who)));
    Ok(Exit::Passed)
}

/// Checks the release of a statement that is kept here, every byte of it.
fn kept(global: &Global, statement: &Statement, screen: &mut Screen) -> Result<Result<(), String>, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let history = depot.journal.read()?;
    let (released, manifest) = depot.release(&history, &statement.release)?;
    let (entry, _) = history.release(&released.release)?;
    for (artifact, digest) in manifest.artifacts.iter().filter_map(|artifact| Some((artifact, artifact.digest()?))) {
        depot.vault.open_verified(&artifact.name, &digest).map_err(|error| elsewhere(error, entry))?;
    }
    Ok(statement.check(manifest.artifacts))
}

fn receive(path: &Path) -> Result<Received, Failing> {
    let shown = visible(&path.to_string_lossy()).into_owned();
    Received::open(path).map_err(|error| match error {
        error @ ReceivedError::Form => Failing::usage(format!("`{shown}`: {error}")),
        error @ (ReceivedError::Foreign(_) | ReceivedError::Io(_)) => {
            anyhow::Error::new(error).context(format!("`{shown}` cannot be looked at")).into()
        }
    })
}
