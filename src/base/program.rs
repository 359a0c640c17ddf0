//! The program that a name means, and the one that this is.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::digest::Hash;
use super::stamp::Stamp;
use super::text::visible;

/// Returns the absolute path of the program `name`, as a shell in `dir` with this PATH would find it.
///
/// # Errors
/// Why it cannot be started, for people.
pub fn find(name: &str, path: Option<&OsStr>, dir: &Path) -> Result<PathBuf, String> {
    if name.contains('/') {
        let program = dir.join(name);
        return match is_program(&program) {
            Ok(true) => Ok(program),
            Ok(false) => Err(format!("`{}` is not an executable file; `chmod +x` makes it one", visible(name))),
            Err(error) => Err(format!("program `{}` cannot be started: {}", visible(name), plain(&error))),
        };
    }
    let folders = path.map(std::env::split_paths).into_iter().flatten();
    folders
        .map(|folder| dir.join(folder).join(name))
        .find(|program| is_program(program).unwrap_or(false))
        .ok_or_else(|| format!("program `{}` was not found in PATH", visible(name)))
}

fn is_program(path: &Path) -> std::io::Result<bool> {
    path.metadata().map(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Returns what tells this very program from any other, another build of the same version too: what one keeps for itself, no other reads.
pub fn itself() -> Hash {
    let stamp = std::env::current_exe().ok().and_then(|program| program.metadata().ok()).map(|metadata| Stamp::of(&metadata).bytes());
    Hash::of(&[env!("CARGO_PKG_VERSION").as_bytes(), stamp.as_ref().map_or(&[], |stamp| stamp.as_slice())].concat())
}

/// Returns what the system says, without its number.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}
