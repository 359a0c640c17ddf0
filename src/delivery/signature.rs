//! Signatures by SSH keys that anybody can check (`ssh-keygen -Y`, namespace `shipway`).
//!
//! What is signed begins with what it is, so that one for something else is none.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::base::program;
use crate::base::text::visible;

/// What signatures are for: one made for something else is none (ssh-keygen(1), `-n`).
const NAMESPACE: &str = "shipway";

/// Why nothing can be signed or checked.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// There is no key.
    #[error("there is no key to sign with")]
    NoKey,
    /// The key cannot be used, or there is no `ssh-keygen`.
    #[error("{0}")]
    Failed(String),
    /// The file system refuses.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Signs a message with the key that git signs with: a file, or a key that an agent has. Returns the signature as ssh-keygen(1) writes it.
///
/// # Errors
/// Where that cannot be done.
pub fn sign(key: Option<&str>, message: &[u8]) -> Result<String, SignError> {
    let key = key.filter(|key| !key.is_empty()).ok_or(SignError::NoKey)?;
    let folder = tempfile::tempdir()?;
    let (file, literal) = (folder.path().join("message"), folder.path().join("key.pub"));
    fs::write(&file, message)?;
    let key = match key.strip_prefix("key::").or_else(|| key.starts_with("ssh-").then_some(key)) {
        Some(text) => {
            fs::write(&literal, format!("{text}\n"))?;
            literal
        }
        None => home(key),
    };
    run(&["-Y", "sign", "-n", NAMESPACE, "-f", &key.to_string_lossy(), &file.to_string_lossy()], b"")?;
    Ok(fs::read_to_string(file.with_extension("sig"))?)
}

/// Returns the path that git means, which may begin with `~/`.
fn home(key: &str) -> PathBuf {
    let home = key.strip_prefix("~/").zip(std::env::var_os("HOME"));
    home.map_or_else(|| PathBuf::from(key), |(rest, home)| Path::new(&home).join(rest))
}

/// Runs `ssh-keygen`.
fn run(words: &[&str], input: &[u8]) -> Result<String, SignError> {
    let path = std::env::var_os("PATH");
    let keygen = program::find("ssh-keygen", path.as_deref(), Path::new("/")).map_err(SignError::Failed)?;
    let call = duct::cmd(keygen, words).stdin_bytes(input).stdout_capture().stderr_capture().unchecked();
    let output = call.run()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let line = complaint.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(SignError::Failed(format!("ssh-keygen: {}", visible(line))))
}

/// Returns who signed the message, of those in the file `signers`.
///
/// # Errors
/// Why it counts for nothing.
pub fn signer(signature: &str, message: &[u8], signers: &Path) -> Result<String, String> {
    let file = put(signature)?;
    let (signature, signers) = (file.path().to_string_lossy(), signers.to_string_lossy());
    let found = run(&["-Y", "find-principals", "-s", &signature, "-f", &signers], b"");
    let found = found.map_err(|_| "its key is none of those who may sign".to_owned())?;
    let principal = found.lines().next().unwrap_or_default().to_owned();
    let verify = ["-Y", "verify", "-f", &signers, "-I", &principal, "-n", NAMESPACE, "-s", &signature];
    run(&verify, message).map_err(|error| format!("it was not made for this: {error}"))?;
    Ok(principal)
}

/// Makes sure that the message was signed, by whatever key.
///
/// # Errors
/// Why it was not.
pub fn is_whole(signature: &str, message: &[u8]) -> Result<(), String> {
    let file = put(signature)?;
    let check = ["-Y", "check-novalidate", "-n", NAMESPACE, "-s", &file.path().to_string_lossy()];
    run(&check, message).map(drop).map_err(|error| format!("it was not made for this: {error}"))
}

fn put(signature: &str) -> Result<NamedTempFile, String> {
    let mut file = NamedTempFile::new().map_err(|error| error.to_string())?;
    file.write_all(signature.as_bytes()).map_err(|error| error.to_string())?;
    Ok(file)
}
