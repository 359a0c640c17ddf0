//! Who agrees to a plan, shown by signatures that anybody can check (`ssh-keygen -Y`, namespace `shipway`).
//!
//! What is signed is the plan's digest, whether it is agreed to, and when: an old signature is not a new one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use super::admission::Verdict;
use crate::base::program;
use crate::base::text::{count, visible};
use crate::ledger::entry::{Released, Signed};
use crate::ledger::history::History;
use crate::model::environment::ApprovalRule;

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

/// Returns the text that is signed.
fn text(plan: &str, agrees: bool, at: Timestamp) -> String {
    format!("shipway approval 1\n{plan}\n{}\n{at}\n", if agrees { "approve" } else { "reject" })
}

/// Signs the plan with the key that git signs with: a file, or a key that an agent has.
///
/// # Errors
/// Where that cannot be done.
pub fn sign(key: Option<&str>, plan: &str, agrees: bool, at: Timestamp) -> Result<String, SignError> {
    let key = key.filter(|key| !key.is_empty()).ok_or(SignError::NoKey)?;
    let folder = tempfile::tempdir()?;
    let (message, literal) = (folder.path().join("plan"), folder.path().join("key.pub"));
    fs::write(&message, text(plan, agrees, at))?;
    let key = match key.strip_prefix("key::").or_else(|| key.starts_with("ssh-").then_some(key)) {
        Some(text) => {
            fs::write(&literal, format!("{text}\n"))?;
            literal
        }
        None => home(key),
    };
    run(&["-Y", "sign", "-n", NAMESPACE, "-f", &key.to_string_lossy(), &message.to_string_lossy()], b"")?;
    Ok(fs::read_to_string(message.with_extension("sig"))?)
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

/// Returns who signed this, of those in the file `signers`.
///
/// # Errors
/// Why it counts for nothing.
pub fn signer(signed: &Signed, agrees: bool, signers: &Path) -> Result<String, String> {
    let refused = |error: SignError| error.to_string();
    let mut signature = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    signature.write_all(signed.signature.as_bytes()).map_err(|error| error.to_string())?;
    let (signature, signers) = (signature.path().to_string_lossy(), signers.to_string_lossy());
    let found = run(&["-Y", "find-principals", "-s", &signature, "-f", &signers], b"");
    let found = found.map_err(|_| "its key is none of those who may sign".to_owned())?;
    let principal = found.lines().next().unwrap_or_default().to_owned();
    let message = text(&signed.plan, agrees, signed.at);
    let verify = ["-Y", "verify", "-f", &signers, "-I", &principal, "-n", NAMESPACE, "-s", &signature];
    run(&verify, message.as_bytes()).map_err(refused).map_err(|error| format!("it was not made for this: {error}"))?;
    Ok(principal)
}

/// Makes sure that this was signed as it stands there, by whatever key; who may sign is asked where it is to count.
///
/// # Errors
/// Why it was not.
pub fn is_whole(signed: &Signed, agrees: bool) -> Result<(), String> {
    let mut signature = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    signature.write_all(signed.signature.as_bytes()).map_err(|error| error.to_string())?;
    let message = text(&signed.plan, agrees, signed.at);
    let check = ["-Y", "check-novalidate", "-n", NAMESPACE, "-s", &signature.path().to_string_lossy()];
    run(&check, message.as_bytes()).map(drop).map_err(|error| format!("it was not made for this: {error}"))
}

/// What somebody said of a plan, and whether it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opinion {
    /// Who signed it; where that is not known, who recorded it.
    pub who: String,
    /// When it was signed.
    pub when: Timestamp,
    /// Whether it agrees.
    pub verdict: Word,
    /// Whether it counts: it was signed by whom it may, for this plan, lately enough, and is the last word of whoever signed it.
    pub valid: bool,
    /// In the words of whoever signed it.
    pub reason: String,
    /// Why it does not count, in words.
    pub why_not: Option<String>,
}

/// Yes or no to a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// It is agreed to.
    Approved,
    /// It is not.
    Rejected,
}

/// What is judged: which release is to come where, by which plan.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// What has to hold.
    pub rule: &'q ApprovalRule,
    /// The files of those who may sign: whoever signs has to stand in each.
    pub signers: &'q [&'q Path],
    /// The environment.
    pub environment: &'q str,
    /// The release.
    pub released: &'q Released,
    /// The plan's digest.
    pub plan: &'q str,
    /// When.
    pub now: Timestamp,
}

impl Question<'_> {
    /// Returns what was said of bringing the release there, the first first.
    pub fn opinions(&self, history: &History) -> Vec<Opinion> {
        let mut opinions: Vec<Opinion> = Vec::new();
        for recorded in &history.entries {
            let Some((signed, agrees)) = recorded.entry.deed.signed() else { continue };
            if signed.environment != self.environment || signed.release != self.released.release {
                continue;
            }
            let by = &recorded.entry.actor.email;
            let (who, why_not) = match self.judge(signed, agrees) {
                Ok(who) => (who, None),
                Err((who, why)) => (who.unwrap_or_else(|| by.clone()), Some(why)),
            };
            if why_not.is_none() {
                // Of each the last word.
                for earlier in opinions.iter_mut().filter(|earlier| earlier.valid && earlier.who == who) {
                    (earlier.valid, earlier.why_not) = (false, Some("it was not the last word".to_owned()));
                }
            }
            let verdict = if agrees { Word::Approved } else { Word::Rejected };
            opinions.push(Opinion { who, when: signed.at, verdict, valid: why_not.is_none(), reason: signed.reason.clone(), why_not });
        }
        opinions
    }

    /// Returns who signed this; or why it does not count, and whose it is where that is known.
    fn judge(&self, signed: &Signed, agrees: bool) -> Result<String, (Option<String>, String)> {
        if signed.plan != self.plan {
            return Err((None, "it is for another plan".to_owned()));
        }
        let named = self.signers.iter().map(|signers| signer(signed, agrees, signers));
        let named = named.collect::<Result<Vec<String>, String>>().map_err(|why| (None, why))?;
        let is_author = named.contains(&self.released.author);
        let who = named.into_iter().next().ok_or_else(|| (None, "nobody may sign".to_owned()))?;
        if agrees && self.rule.not_author && is_author {
            return Err((Some(who), "who wrote the commit does not count".to_owned()));
        }
        if agrees && is_over(self.rule, signed.at, self.now) {
            return Err((Some(who), "it has expired".to_owned()));
        }
        Ok(who)
    }

    /// Tells whether enough of those who have to agree do.
    pub fn ask(&self, history: &History) -> Verdict {
        if self.released.dirty {
            return Verdict::No("it was made with changes that no commit has, so nobody can know what they agree to".to_owned());
        }
        let opinions = self.opinions(history);
        let valid = |word: Word| opinions.iter().filter(move |opinion| opinion.valid && opinion.verdict == word);
        if let Some(Opinion { who, reason, .. }) = valid(Word::Rejected).next() {
            return Verdict::No(format!("rejected by {}: {}", visible(who), visible(reason)));
        }
        let (given, wanted) = (valid(Word::Approved).count(), self.rule.count as usize);
        if given >= wanted {
            return Verdict::Yes;
        }
        let worthless = |opinion: &Opinion| Some(format!("that of {}: {}", visible(&opinion.who), opinion.why_not.as_ref()?));
        let worthless: Vec<String> = opinions.iter().filter_map(worthless).collect();
        let why = if worthless.is_empty() { String::new() } else { format!(" ({})", worthless.join("; ")) };
        Verdict::NotYet(format!("{given} of {} given{why}: shipway approve {}", count(wanted, "approval"), self.environment))
    }
}

fn is_over(rule: &ApprovalRule, at: Timestamp, now: Timestamp) -> bool {
    let Some(expires) = rule.expires else { return false };
    let span = i64::try_from(expires.as_millis()).unwrap_or(i64::MAX).milliseconds();
    // One from the future is not believed either.
    at.checked_add(span).is_ok_and(|end| end <= now) || at > now.checked_add(5.minutes()).unwrap_or(now)
}
