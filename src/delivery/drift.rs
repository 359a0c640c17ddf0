//! Whether what serves is what the record says: somebody may have moved a target by hand.

use serde::Serialize;

use super::target::{Observed, TargetError};
use crate::base::text::visible;
use crate::ledger::entry::short;
use crate::ledger::history::History;

/// What came of the comparison of a target with the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Drift {
    /// What serves is what should.
    InSync,
    /// Something else serves.
    Drifted {
        /// The release that should, for people.
        expected: String,
        /// What does, for people.
        seen: String,
    },
    /// Nobody can tell.
    Unknown {
        /// Why.
        why: String,
    },
}

impl Drift {
    /// Returns that nobody can tell, and why.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into() }
    }

    /// Compares what a target says with the id of the release that should serve there, if any should.
    ///
    /// # Errors
    /// Where it was interrupted.
    pub fn of(observed: Result<Observed, TargetError>, expected: Option<&str>, history: &History) -> Result<Self, TargetError> {
        let seen = match observed {
            Err(TargetError::Failed(why) | TargetError::Unable(why)) => return Ok(Self::unknown(why)),
            Err(interrupted @ TargetError::Interrupted(_)) => return Err(interrupted),
            Ok(Observed::Unknown) if expected.is_none() => return Ok(Self::unknown("no release serves that the target could be told of")),
            Ok(Observed::Unknown) => return Ok(Self::unknown("the target cannot be asked")),
            Ok(Observed::Nothing) if expected.is_none() => return Ok(Self::InSync),
            Ok(Observed::Nothing) => "nothing".to_owned(),
            Ok(Observed::Other(what)) => visible(&what).into_owned(),
            Ok(Observed::Release(text)) => match history.release(&text) {
                Ok((_, seen)) if Some(seen.release.as_str()) == expected => return Ok(Self::InSync),
                // Its bytes may be known here and its entry not.
                Err(_) if Some(text.as_str()) == expected => return Ok(Self::InSync),
                _ => named(&text, history),
            },
        };
        let expected = expected.map_or_else(|| "nothing".to_owned(), |expected| named(expected, history));
        Ok(Self::Drifted { expected, seen })
    }
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InSync => f.write_str("in sync"),
            Self::Drifted { expected, seen } => write!(f, "drifted (expected {expected}, seen {seen})"),
            Self::Unknown { why } => write!(f, "drift unknown ({})", visible(why)),
        }
    }
}

/// Returns what people call the release that `text` means, or the text.
fn named(text: &str, history: &History) -> String {
    match history.release(text) {
        Ok((_, released)) => format!("`{}` ({})", visible(&released.name), short(&released.release)),
        Err(_) => format!("`{}`", visible(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serves_is_compared_with_what_should() {
        let of = |observed, expected| Drift::of(observed, expected, &History::default()).map(|drift| drift.to_string());
        let release = |text: &str| Ok(Observed::Release(text.to_owned()));
        let said = |text: &str| Ok(text.to_owned());
        assert_eq!(of(release("new"), Some("new")), said("in sync"));
        assert_eq!(of(Ok(Observed::Nothing), None), said("in sync"));
        assert_eq!(of(release("old"), Some("new")), said("drifted (expected `new`, seen `old`)"));
        assert_eq!(of(release("old"), None), said("drifted (expected nothing, seen `old`)"));
        assert_eq!(of(Ok(Observed::Nothing), Some("new")), said("drifted (expected `new`, seen nothing)"));
        assert_eq!(of(Ok(Observed::Other("half".to_owned())), Some("new")), said("drifted (expected `new`, seen half)"));
        assert_eq!(of(Ok(Observed::Unknown), Some("new")), said("drift unknown (the target cannot be asked)"));
        assert_eq!(of(Ok(Observed::Unknown), None), said("drift unknown (no release serves that the target could be told of)"));
        assert_eq!(of(Err(TargetError::Failed("x".to_owned())), None), said("drift unknown (x)"));
        assert_eq!(of(Err(TargetError::Interrupted(2)), None), Err(TargetError::Interrupted(2)));
    }
}
