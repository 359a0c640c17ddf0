//! `cache`: looks after the store.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::failing::Failing;
use super::flags::{Format, Global};
use super::project::Project;
use super::screen::Screen;
use super::session::{limits, store_folder};
use crate::base::size::show;
use crate::base::text::{count, visible};
use crate::model::outcome::Exit;
use crate::model::pipeline::CacheSettings;
use crate::store::local::{Store, StoreError};
use crate::store::sweep::{Swept, clear, sweep};
use crate::store::verify::{stat, verify};

/// What is to be done.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print where the store is
    Dir,
    /// Say how much it holds
    Stat {
        /// For people, or one JSON object
        #[arg(long, env = "SHIPWAY_FORMAT", value_name = "FORMAT", default_value = "text")]
        format: Format,
    },
    /// Remove what was not used for long, until it is within its bounds
    Gc,
    /// Read everything and remove what is damaged; exit 1 if anything was
    Verify,
    /// Remove everything
    Clear,
}

/// Does what the command says.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    let (settings, root) = match Project::folder(global) {
        Ok(root) => (Project::load(global)?.pipeline.cache, root),
        // Outside of any project there is still the user's store.
        Err(_) => (CacheSettings::default(), PathBuf::from(".")),
    };
    let folder = store_folder(&settings, &root);
    let folder = folder.ok_or_else(|| Failing::usage_with_help("nothing says where the store is", "set SHIPWAY_CACHE_DIR or HOME"))?;
    if matches!(arguments.command, Command::Dir) {
        screen.print(&format!("{}\n", folder.display()));
        return Ok(Exit::Passed);
    }
    let reads_only = matches!(arguments.command, Command::Stat { .. });
    let opened = if reads_only || !folder.exists() { Store::open_read_only(&folder) } else { Store::open(&folder) };
    let store = match opened {
        Ok(store) => Some(store),
        Err(StoreError::Missing(_)) => None,
        Err(error) => return Err(anyhow::anyhow!("the store {error}").into()),
    };
    match (&arguments.command, store) {
        (Command::Dir, _) => Ok(Exit::Passed),
        (Command::Stat { format }, store) => describe(*format, &folder, store.as_ref(), &settings, screen),
        (_, None) => {
            screen.print(&format!("there is no store at {} yet\n", folder.display()));
            Ok(Exit::Passed)
        }
        (Command::Gc, Some(store)) => {
            let swept = sweep(&store, &limits(&settings)).context("the store cannot be swept")?;
            report(&swept, screen);
            Ok(Exit::Passed)
        }
        (Command::Clear, Some(store)) => {
            let swept = clear(&store).context("the store cannot be cleared")?;
            report(&swept, screen);
            Ok(Exit::Passed)
        }
        (Command::Verify, Some(store)) => check(&store, screen),
    }
}

fn describe(
    format: Format,
    folder: &std::path::Path,
    store: Option<&Store>,
    settings: &CacheSettings,
    screen: &mut Screen,
) -> Result<Exit, Failing> {
    let held = store.map(stat).transpose().context("the store cannot be read")?.unwrap_or_default();
    let time = |time: Option<std::time::SystemTime>| time.and_then(|time| jiff::Timestamp::try_from(time).ok());
    let (oldest, newest) = (time(held.oldest), time(held.newest));
    if format == Format::Json {
        let object = json!({
            "dir": folder.to_string_lossy(), "results": held.records, "blobs": held.blobs, "bytes": held.bytes,
            "oldest": oldest.map(|time| time.to_string()), "newest": newest.map(|time| time.to_string()),
            "max_size": settings.max_size, "max_age_ms": u64::try_from(settings.max_age.as_millis()).unwrap_or(u64::MAX),
        });
        screen.print(&format!("{object}\n"));
        return Ok(Exit::Passed);
    }
    let bound = show(settings.max_size);
    let age = crate::base::duration::show(settings.max_age);
    screen.print(&format!(
        "{}\n{} in {}, {} of at most {bound}; kept for {age} after their last use\n",
        folder.display(),
        count_of(held.records, "result"),
        count_of(held.blobs, "blob"),
        show(held.bytes),
    ));
    if let (Some(oldest), Some(newest)) = (oldest, newest) {
        let form = "%Y-%m-%d %H:%M:%SZ";
        screen.print(&format!("last used between {} and {}\n", oldest.strftime(form), newest.strftime(form)));
    }
    Ok(Exit::Passed)
}

fn report(swept: &Swept, screen: &mut Screen) {
    if swept.busy {
        return screen.print("another shipway is sweeping the store right now\n");
    }
    screen.print(&format!(
        "removed {} and {}, {}; {} left\n",
        count_of(swept.records, "result"),
        count_of(swept.blobs, "blob"),
        show(swept.bytes),
        show(swept.left)
    ));
}

fn check(store: &Store, screen: &mut Screen) -> Result<Exit, Failing> {
    let verified = verify(store).context("the store cannot be read")?;
    for line in &verified.damaged {
        screen.print(&format!("{}\n", visible(line)));
    }
    screen.print(&format!(
        "{} and {} read: {}\n",
        count_of(verified.records, "result"),
        count_of(verified.blobs, "blob"),
        if verified.damaged.is_empty() { "all whole".to_owned() } else { format!("{} damaged, and removed", verified.damaged.len()) }
    ));
    Ok(if verified.damaged.is_empty() { Exit::Passed } else { Exit::Failed })
}

fn count_of(number: u64, noun: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), noun)
}
