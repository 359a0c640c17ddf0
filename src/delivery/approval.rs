//! Who agrees to a plan, shown by signatures that anybody can check (`ssh-keygen -Y`, namespace `shipway`).
//!
//! What is signed is the plan's digest, whether it is agreed to, and when: an old signature is not a new one.

use std::path::Path;

use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use super::admission::Verdict;
use super::signature::{self, SignError};
use crate::base::text::{count, visible};
use crate::ledger::entry::{Released, Signed};
use crate::ledger::history::History;
use crate::model::environment::ApprovalRule;

/// Returns the text that is signed.
fn text(plan: &str, agrees: bool, at: Timestamp) -> String {
    format!("shipway approval 1\n{plan}\n{}\n{at}\n", if agrees { "approve" } else { "reject" })
}

/// Signs the plan with the key that git signs with: a file, or a key that an agent has.
///
/// # Errors
/// Where that cannot be done.
pub fn sign(key: Option<&str>, plan: &str, agrees: bool, at: Timestamp) -> Result<String, SignError> {
    signature::sign(key, text(plan, agrees, at).as_bytes())
}

/// Returns who signed this, of those in the file `signers`.
///
/// # Errors
/// Why it counts for nothing.
pub fn signer(signed: &Signed, agrees: bool, signers: &Path) -> Result<String, String> {
    signature::signer(&signed.signature, text(&signed.plan, agrees, signed.at).as_bytes(), signers)
}

/// Makes sure that this was signed as it stands there, by whatever key; who may sign is asked where it is to count.
///
/// # Errors
/// Why it was not.
pub fn is_whole(signed: &Signed, agrees: bool) -> Result<(), String> {
    signature::is_whole(&signed.signature, text(&signed.plan, agrees, signed.at).as_bytes())
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
