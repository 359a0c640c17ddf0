//! The folder of everything that shipway keeps inside a project.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::write_whole;

/// Its name. Deleting it loses only time, the records of past runs, and what was moved aside (contract, section 4).
pub const STATE: &str = ".shipway";

/// The folder of the checkouts that hooks test in, in the user's cache directory; the store may lie around it.
pub const CHECKOUTS: &str = "checkouts";

/// What a run's guard writes into the run's file, there, when it has ended the last step of a shipway that was killed.
pub const LAST_WORD: &[u8] = b"ended";

/// Returns the folder in the project at `root`, made where it is missing; it ignores itself for git.
///
/// # Errors
/// Where it cannot be made.
pub fn folder(root: &Path) -> io::Result<PathBuf> {
    let folder = root.join(STATE);
    let ignore = folder.join(".gitignore");
    if !ignore.exists() {
        fs::create_dir_all(&folder)?;
        write_whole(&ignore, b"*\n")?;
    }
    Ok(folder)
}
