//! A process that outlives the one which starts it.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::session::own_session;

/// Starts `program` in a session of its own, with our environment, nothing to read and nobody who takes what it prints; what it says on
/// standard error can be read as long as anybody cares to.
///
/// # Errors
/// Where it cannot be started.
#[expect(clippy::disallowed_methods, reason = "what is started here is not waited for, as a step is")]
pub fn detach(program: &Path, arguments: &[&OsStr]) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    own_session(&mut command);
    command.spawn()
}
