//! Kills shipway at a change of its ledger.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

/// A git that kills whoever calls it at the `KILL_AT`th change of a ref, before or after it.
const KILLER: &str = r#"#!/bin/sh
case " $* " in *" update-ref "*)
  n=$(($(cat "$COUNT" 2>/dev/null || echo 0) + 1)); echo $n > "$COUNT"
  if [ "$n" = "$KILL_AT" ]; then
    [ "$KILL" = before ] || REAL "$@" >/dev/null 2>&1
    kill -$SIGNAL $PPID
    if [ $SIGNAL = 9 ]; then sleep 1; exit 1; fi
    [ "$KILL" = before ] || exit 0
  fi;;
esac
exec REAL "$@"
"#;

/// Runs shipway, which is killed at this change of the ledger, `before` or `after` it; tells whether it was. What is needed for that is put
/// into `folder`.
pub(crate) fn killed(command: Command, folder: &Path, at: usize, when: &str) -> bool {
    signalled(command, folder, at, when, 9).status.signal() == Some(9)
}

/// The same with another signal; returns what came of it.
pub(crate) fn signalled(mut command: Command, folder: &Path, at: usize, when: &str, signal: i32) -> Output {
    let real = Command::new("sh").args(["-c", "command -v git"]).output().unwrap();
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let shim = bin.join("git");
    fs::write(&shim, KILLER.replace("REAL", String::from_utf8(real.stdout).unwrap().trim())).unwrap();
    fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();
    let count = folder.join("count");
    let _none = fs::remove_file(&count);
    let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap()))).unwrap();
    command.env("PATH", path).env("COUNT", count).env("KILL_AT", at.to_string()).env("KILL", when).env("SIGNAL", signal.to_string());
    command.output().unwrap()
}

/// Kills at each change of the ledger, before and after it, until there are no more; `run` does all else, and tells whether it was killed.
/// Returns how often it was.
pub(crate) fn at_each_change(run: impl FnMut(usize, &'static str) -> bool) -> usize {
    at_every(1, run)
}

/// The same at the first change and at every so manyth after it.
pub(crate) fn at_every(nth: usize, mut run: impl FnMut(usize, &'static str) -> bool) -> usize {
    ["before", "after"].into_iter().map(|when| (1..1000).step_by(nth).take_while(|at| run(*at, when)).count()).sum()
}
