//! One ref of another repository that several clones go by: looked at, brought here, and moved only from what was seen.
//!
//! Knows the ways to a remote and what it answers; what the ref leads to, others say.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::repo::{GitError, Repository, command, environment};
use crate::base::duration::show;
use crate::base::program::plain;
use crate::base::text::visible;

/// Variables of git, by how they begin, that say how others are reached: a machine without people sets them.
const WAYS: [&str; 10] = [
    "GIT_SSH",
    "GIT_SSL_",
    "GIT_HTTP_",
    "GIT_PROXY_",
    "GIT_ASKPASS",
    "GIT_ALLOW_PROTOCOL",
    "GIT_PROTOCOL",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_KEY_",
    "GIT_CONFIG_VALUE_",
];

/// How ssh is called unless somebody says how: it asks nobody, and leaves no process behind for others to use.
const SSH: &str = "ssh -o BatchMode=yes -o ControlMaster=no";

/// How long a remote may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What git says of a ref that is not where it was seen, here and there.
const MOVED: [&str; 8] = [
    "stale info",
    "fetch first",
    "non-fast-forward",
    "needs force",
    "failed to update ref",
    "cannot lock ref",
    "reference already exists",
    "incorrect old value",
];

/// Why a remote did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// It is not there, or does not let us in.
    #[error("the remote cannot be reached: {0}")]
    Unreachable(String),
    /// Git here does not do what it should.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// What a remote answers to a change of a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// The ref leads there now.
    Done,
    /// It did not lead to where it was seen; in git's words.
    Moved(String),
    /// The remote does not want it; why, for people.
    Declined(String),
}

/// What git said, and whether it did what it should.
struct Answer {
    is_good: bool,
    out: String,
    err: String,
}

impl Repository {
    /// Returns the remote that others are reached by: that of the branch which is checked out, else `origin`, else the only one; `None` where
    /// that does not tell.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn remote(&self) -> Result<Option<String>, GitError> {
        let branch = match self.ask(self.root(), &["symbolic-ref", "--quiet", "--short", "HEAD"]) {
            Ok(name) => Some(String::from_utf8_lossy(&name).trim().to_owned()),
            // A commit is checked out, and no branch.
            Err(GitError::Failed(_)) => None,
            Err(error) => return Err(error),
        };
        let of_branch = branch.map(|branch| self.setting(&format!("branch.{branch}.remote"))).transpose()?.flatten();
        // A dot is this repository itself.
        if let Some(remote) = of_branch.filter(|remote| remote != ".") {
            return Ok(Some(remote));
        }
        let listing = self.ask(self.root(), &["remote"])?;
        let listing = String::from_utf8_lossy(&listing);
        let remotes: Vec<&str> = listing.lines().collect();
        let origin = remotes.iter().find(|remote| **remote == "origin");
        let only = remotes.first().filter(|_| remotes.len() == 1);
        Ok(origin.or(only).map(|remote| (*remote).to_owned()))
    }

    /// Returns the commit that `reference` leads to in the remote, which is here then, with all that stands before it; `None` where there is
    /// no such ref. No ref is changed here.
    ///
    /// # Errors
    /// Where the remote cannot be reached, or git is missing or unwilling.
    pub fn remote_head(&self, remote: &str, reference: &str) -> Result<Option<String>, RemoteError> {
        let answer = self.reach(&["ls-remote", "--refs", "--", remote, reference])?.good()?;
        let head = answer.lines().find_map(|line| line.split_once('\t').filter(|(_, name)| *name == reference));
        let Some((head, _)) = head else { return Ok(None) };
        let is_here = || self.ask(self.root(), &["cat-file", "-e", &format!("{head}^{{commit}}")]).is_ok();
        if !is_here() {
            let quiet = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-prune", "--refmap="];
            self.reach(&[&quiet[..], &["--", remote, reference]].concat())?.good()?;
        }
        if is_here() { Ok(Some(head.to_owned())) } else { Err(RemoteError::Unreachable("it changes while it is read".to_owned())) }
    }

    /// Makes `reference` lead to the commit `to` in the remote, if it leads to `from` there, or is not there where that is `None`. No hook of
    /// this repository is run: one of them may be ours.
    ///
    /// # Errors
    /// Where the remote cannot be reached, or git is missing or unwilling. Unless it never was reached, the ref may lead there all the same.
    pub fn push(&self, remote: &str, reference: &str, from: Option<&str>, to: &str) -> Result<Pushed, RemoteError> {
        let lease = format!("--force-with-lease={reference}:{}", from.unwrap_or_default());
        let alone = ["push", "--no-verify", "--porcelain", "--no-signed", "--no-follow-tags", "--recurse-submodules=no"];
        let answer = self.reach(&[&alone[..], &[&lease, "--", remote, &format!("{to}:{reference}")]].concat())?;
        let Some(refusal) = answer.out.lines().find_map(|line| line.strip_prefix("!\t")) else {
            return answer.good().map(|_| Pushed::Done);
        };
        let said = refusal.rsplit('\t').next().unwrap_or_default();
        if said.starts_with("[remote failure]") {
            return Err(RemoteError::Unreachable(visible(said).into_owned()));
        }
        let reason = said.split_once('(').map_or(said, |(_, reason)| reason.trim_end_matches(')'));
        if MOVED.iter().any(|moved| reason.contains(moved)) {
            return Ok(Pushed::Moved(visible(reason).into_owned()));
        }
        let words = answer.err.lines().filter_map(|line| line.strip_prefix("remote:")).map(str::trim).filter(|line| !line.is_empty());
        let told: Vec<&str> = std::iter::once(reason).chain(words.take(3)).collect();
        Ok(Pushed::Declined(visible(&told.join(": ")).into_owned()))
    }

    /// Returns what `git` with these words says, which talks to a remote. It asks nobody, it does not wait for ever, and a signal that the
    /// terminal sends to us does not cut it short.
    fn reach(&self, words: &[&str]) -> Result<Answer, RemoteError> {
        let trouble = |error: std::io::Error| GitError::Missing(plain(&error));
        // Files, not pipes: a process that git leaves behind would hold those open.
        let (out, err) = (tempfile::tempfile().map_err(trouble)?, tempfile::tempfile().map_err(trouble)?);
        // No housekeeping on this way, which would go on behind our back.
        let words = [&["-c", "maintenance.auto=false", "-c", "gc.auto=0"], words].concat();
        let words: Vec<&OsStr> = words.into_iter().map(OsStr::new).collect();
        let call = command(self.root(), &words, self.ways()?)?
            .stdin_null()
            .stdout_file(out.try_clone().map_err(trouble)?)
            .stderr_file(err.try_clone().map_err(trouble)?)
            .unchecked()
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            });
        let handle = call.start().map_err(trouble)?;
        let Some(output) = handle.wait_timeout(PATIENCE).map_err(trouble)? else {
            let groups = handle.pids().into_iter().filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
            for group in groups {
                let _gone = kill_process_group(group, Signal::KILL);
            }
            handle.wait().map_err(trouble)?;
            return Err(RemoteError::Unreachable(format!("it has not answered for {}", show(PATIENCE))));
        };
        if output.status.code().is_none() {
            return Err(GitError::Failed("it was killed".to_owned()).into());
        }
        Ok(Answer { is_good: output.status.success(), out: text(out).map_err(trouble)?, err: text(err).map_err(trouble)? })
    }

    /// Returns the variables that git gets where it talks to a remote.
    fn ways(&self) -> Result<Vec<(OsString, OsString)>, GitError> {
        let mut environment = environment(std::env::vars_os());
        let is_way = |name: &OsStr| WAYS.iter().any(|way| name.to_string_lossy().starts_with(way));
        environment.extend(std::env::vars_os().filter(|(name, _)| is_way(name)));
        environment.push(("GIT_TERMINAL_PROMPT".into(), "0".into()));
        let is_said = environment.iter().any(|(name, _)| name == "GIT_SSH_COMMAND" || name == "GIT_SSH");
        if !is_said && self.setting("core.sshCommand")?.is_none() {
            environment.push(("GIT_SSH_COMMAND".into(), SSH.into()));
        }
        Ok(environment)
    }
}

impl Answer {
    /// Returns what git wrote; where it did not do what it should, the remote cannot be reached.
    fn good(self) -> Result<String, RemoteError> {
        if self.is_good {
            return Ok(self.out);
        }
        let is_said = |line: &&str| !line.trim().is_empty() && !line.to_lowercase().starts_with("warning:");
        let line = self.err.lines().find(is_said).unwrap_or("git said nothing");
        Err(RemoteError::Unreachable(visible(line.trim_start_matches("fatal: ")).into_owned()))
    }
}

/// Returns what was written to the file.
fn text(mut file: File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::chain::Who;
    use super::*;

    const LEDGER: &str = "refs/shipway/test";

    fn git(folder: &Path, words: &[&str]) {
        duct::cmd("git", words).dir(folder).stdout_null().run().unwrap();
    }

    /// A bare repository, and a clone of it.
    fn pair() -> (tempfile::TempDir, Repository) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        git(&root, &["init", "-q", "--bare", "far"]);
        git(&root, &["init", "-q", "near"]);
        let near = Repository::at(&root.join("near"));
        assert_eq!(near.remote().unwrap(), None);
        git(near.root(), &["remote", "add", "far", "../far"]);
        (folder, near)
    }

    #[test]
    fn a_remote_is_moved_only_from_what_was_seen() {
        let (_folder, near) = pair();
        let remote = || near.remote().unwrap();
        assert_eq!(remote().as_deref(), Some("far"));
        git(near.root(), &["remote", "add", "second", "../second"]);
        assert_eq!(remote(), None);
        git(near.root(), &["remote", "add", "origin", "../origin"]);
        assert_eq!(remote().as_deref(), Some("origin"));
        git(near.root(), &["symbolic-ref", "HEAD", "refs/heads/topic"]);
        git(near.root(), &["config", "branch.topic.remote", "second"]);
        assert_eq!(remote().as_deref(), Some("second"));
        let who = Who { name: "Ann".to_owned(), email: "ann@example.org".to_owned() };
        assert_eq!(near.remote_head("far", LEDGER).unwrap(), None);
        let first = near.write_link(None, "one", &who, 1).unwrap();
        let second = near.write_link(Some(&first), "two", &who, 2).unwrap();
        let other = near.write_link(Some(&first), "other", &who, 2).unwrap();
        assert_eq!(near.push("far", LEDGER, None, &first).unwrap(), Pushed::Done);
        assert!(matches!(near.push("far", LEDGER, None, &second).unwrap(), Pushed::Moved(_)));
        assert_eq!(near.push("far", LEDGER, Some(&first), &second).unwrap(), Pushed::Done);
        assert!(matches!(near.push("far", LEDGER, Some(&first), &other).unwrap(), Pushed::Moved(_)));
        assert_eq!(near.push("far", LEDGER, Some(&first), &second).unwrap(), Pushed::Done, "it leads there already");
        assert_eq!(near.remote_head("far", LEDGER).unwrap(), Some(second.clone()));
        // Another clone gets all that stands before it.
        git(near.root().parent().unwrap(), &["clone", "-q", "far", "third"]);
        let third = Repository::at(&near.root().with_file_name("third"));
        assert_eq!(third.remote_head("origin", LEDGER).unwrap(), Some(second.clone()));
        assert_eq!(third.links(None, &second).unwrap().len(), 2);
        assert_eq!(third.leads_to(LEDGER).unwrap(), None);
    }

    #[test]
    fn a_remote_that_is_not_there_and_one_that_does_not_want_are_two_things() {
        let (_folder, near) = pair();
        let far = near.root().with_file_name("far");
        let who = Who { name: "Ann".to_owned(), email: "ann@example.org".to_owned() };
        let first = near.write_link(None, "one", &who, 1).unwrap();
        let hook = far.join("hooks/pre-receive");
        fs::create_dir_all(far.join("hooks")).unwrap();
        fs::write(&hook, "#!/bin/sh\necho not on Fridays >&2\nexit 1\n").unwrap();
        fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let declined = near.push("far", LEDGER, None, &first).unwrap();
        assert_eq!(declined, Pushed::Declined("pre-receive hook declined: not on Fridays".to_owned()));
        fs::rename(&far, far.with_file_name("gone")).unwrap();
        assert!(matches!(near.push("far", LEDGER, None, &first), Err(RemoteError::Unreachable(_))));
        let error = near.remote_head("far", LEDGER).unwrap_err();
        assert!(error.to_string().contains("cannot be reached: "), "{error}");
    }
}
