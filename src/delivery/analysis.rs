//! What the answers of an analysis come to.
//!
//! Knows budgets; knows nothing of commands, or of who asks when.

use super::rollout::Wait;
use crate::ledger::entry::Answer;
use crate::ledger::standing::Share;
use crate::model::environment::Analysis;

/// What somebody said who has looked how a release does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// How it does.
    pub answer: Answer,
    /// How many samples that is judged by, where it was said.
    pub samples: Option<u64>,
    /// More about it, for people.
    pub said: String,
}

/// What a look comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It does well, and nothing else is waited for.
    Passed,
    /// It is looked at again; what is noted of this look, if anything, so that it counts for whoever goes on.
    Again(Option<(Answer, String)>),
    /// It goes back, for this reason.
    Back(String),
}

/// Judges a look at a release that has this share, while `wait` is waited for.
pub fn judge(look: &Look, analysis: &Analysis, share: &Share, wait: Option<Wait>) -> Judged {
    let is_enough = analysis.min_samples == 0 || look.samples.is_some_and(|samples| samples >= u64::from(analysis.min_samples));
    if is_enough && look.answer == Answer::Yes {
        // A yes is noted only where it changes what was noted before.
        let is_news = share.errors > 0;
        return if wait.is_none() { Judged::Passed } else { Judged::Again(is_news.then(|| (Answer::Yes, look.said.clone()))) };
    }
    let least = analysis.min_samples;
    let few = match look.samples {
        None => format!("it does not say by how many samples it judges, as a line `samples=N`, and {least} are needed"),
        Some(samples) => format!("it judges by {samples} samples, and {least} are needed"),
    };
    if is_enough && look.answer == Answer::No {
        let count = share.failures + 1;
        let is_over = share.failures >= analysis.failures;
        return if is_over { Judged::Back(format!("no{}: {}", times(count), look.said)) } else { noted(Answer::No, &look.said) };
    }
    let said = if is_enough || look.answer == Answer::Unsure { look.said.clone() } else { few };
    if look.samples.is_some() && !is_enough && look.answer != Answer::Unsure && wait.is_some() {
        // There may be more as time goes by.
        return Judged::Again(None);
    }
    let is_over = share.errors >= analysis.errors;
    if is_over { Judged::Back(format!("could not tell{}: {said}", times(share.errors + 1))) } else { noted(Answer::Unsure, &said) }
}

fn noted(answer: Answer, said: &str) -> Judged {
    Judged::Again(Some((answer, said.to_owned())))
}

fn times(count: u32) -> String {
    if count > 1 { format!(" ({count} times)") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::model::stage::{Command, Step};

    fn analysis(failures: u32, errors: u32, min_samples: u32) -> Analysis {
        let command = Command::Shell(String::new());
        let run = Step { label: "run".into(), command, dir: String::new(), env: BTreeMap::new(), timeout: None, retries: 0 };
        Analysis { run, every: Duration::from_secs(1), failures, errors, min_samples }
    }

    fn share(failures: u32, errors: u32) -> Share {
        Share { weight: 5, since: Timestamp::UNIX_EPOCH, is_resumed: false, failures, errors, looked: None }
    }

    fn look(answer: Answer, samples: Option<u64>) -> Look {
        Look { answer, samples, said: "why".to_owned() }
    }

    #[test]
    fn a_no_is_counted_and_one_too_many_is_enough() {
        for (before, over) in [(0, false), (1, false), (2, true)] {
            let judged = judge(&look(Answer::No, None), &analysis(2, 4, 0), &share(before, 0), None);
            assert_eq!(matches!(judged, Judged::Back(_)), over, "{judged:?}");
            assert!(over || judged == noted(Answer::No, "why"));
        }
        assert_eq!(judge(&look(Answer::No, None), &analysis(0, 4, 0), &share(0, 0), None), Judged::Back("no: why".to_owned()));
    }

    #[test]
    fn what_cannot_be_told_has_a_budget_of_its_own() {
        for (before, over) in [(0, false), (1, true)] {
            let judged = judge(&look(Answer::Unsure, None), &analysis(0, 1, 0), &share(7, before), None);
            assert_eq!(matches!(judged, Judged::Back(_)), over, "{judged:?}");
        }
    }

    #[test]
    fn a_yes_passes_once_nothing_is_waited_for() {
        let analysis = analysis(1, 1, 0);
        assert_eq!(judge(&look(Answer::Yes, None), &analysis, &share(1, 1), None), Judged::Passed);
        assert_eq!(judge(&look(Answer::Yes, None), &analysis, &share(0, 0), Some(Wait::Resume)), Judged::Again(None));
        let noted = Judged::Again(Some((Answer::Yes, "why".to_owned())));
        assert_eq!(judge(&look(Answer::Yes, None), &analysis, &share(0, 1), Some(Wait::Resume)), noted, "it ends a row");
    }

    #[test]
    fn too_few_samples_are_never_an_answer() {
        let analysis = analysis(0, 1, 300);
        for answer in [Answer::Yes, Answer::No] {
            for samples in [None, Some(0), Some(299)] {
                let judged = judge(&look(answer, samples), &analysis, &share(0, 0), None);
                assert!(matches!(judged, Judged::Again(Some((Answer::Unsure, _)))), "{judged:?}");
                assert!(matches!(judge(&look(answer, samples), &analysis, &share(0, 1), None), Judged::Back(_)));
            }
            // More may come.
            assert_eq!(judge(&look(answer, Some(299)), &analysis, &share(0, 1), Some(Wait::Resume)), Judged::Again(None));
        }
        assert_eq!(judge(&look(Answer::Yes, Some(300)), &analysis, &share(0, 0), None), Judged::Passed);
        assert!(matches!(judge(&look(Answer::No, Some(300)), &analysis, &share(0, 0), None), Judged::Back(_)));
    }
}
