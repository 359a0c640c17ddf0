//! Which release comes into an environment: the one that somebody names, else the newest that may.

use jiff::Timestamp;

use super::failing::Failing;
use super::project::Project;
use super::screen::Screen;
use super::site::Site;
use crate::base::text::visible;
use crate::delivery::admission::{Verdict, available};
use crate::ledger::entry::Released;
use crate::ledger::history::History;
use crate::ledger::standing::Standing;
use crate::model::environment::Environment;
use crate::model::outcome::Exit;

/// Returns the release that was named, else the newest that is available, or with `may_wait` will be; else what to exit with, which is said.
pub(super) fn choose(
    site: &Site<'_>,
    history: &History,
    named: Option<&str>,
    may_wait: bool,
    screen: &mut Screen,
) -> Result<Result<Released, Exit>, Failing> {
    if let Some(text) = named {
        return Ok(Ok(history.release(text)?.1.clone()));
    }
    let Newest { found, passed } = newest(site.project, site.environment, history, may_wait);
    let name = &site.environment.name;
    passed.iter().for_each(|line| screen.say(&format!("{name}: passes by {line}")));
    Ok(found.map_err(|(exit, why)| {
        screen.say(&format!("{name}: {why}"));
        exit
    }))
}

/// Tells whether something is to be done in an environment without anybody who asks for it.
pub(super) fn is_due(project: &Project, history: &History, environment: &Environment) -> bool {
    let standing = history.standing(&environment.name);
    if standing.ongoing.is_some() {
        return true;
    }
    if !environment.is_automatic || standing.paused.is_some() {
        return false;
    }
    let newest = newest(project, environment, history, false).found;
    newest.is_ok_and(|newest| !serves(&standing, &newest))
}

/// What there is where nobody names a release.
struct Newest {
    /// It; else what to exit with, and why.
    found: Result<Released, (Exit, String)>,
    /// Newer ones, each with why it comes in only by its name.
    passed: Vec<String>,
}

/// Looks for the newest release that is available, or with `may_wait` else the newest that will be.
fn newest(project: &Project, environment: &Environment, history: &History, may_wait: bool) -> Newest {
    let standing = history.standing(&environment.name);
    let (mut passed, mut waits) = (Vec::new(), None);
    let mut first: Option<(Exit, String)> = None;
    for (_, released) in history.releases() {
        let name = visible(&released.name);
        if let Some(why) = reservation(&standing, environment, released) {
            passed.push(format!("{name}: {why}"));
            continue;
        }
        let (exit, why) = match available(&project.pipeline.delivery, environment, history, &released.release, Timestamp::now()) {
            Verdict::Yes => return Newest { found: Ok(released.clone()), passed },
            Verdict::NotYet(why) => {
                waits.get_or_insert_with(|| (released.clone(), passed.len()));
                (Exit::Waiting, format!("waits: {name}: {why}"))
            }
            Verdict::No(why) => (Exit::Failed, format!("no release is available: {name}: {why}")),
        };
        // One that will be available is more to say than one that is not.
        if first.as_ref().is_none_or(|(earlier, _)| *earlier == Exit::Failed && exit == Exit::Waiting) {
            first = Some((exit, why));
        }
    }
    if let Some((released, newer)) = waits.filter(|_| may_wait) {
        passed.truncate(newer);
        return Newest { found: Ok(released), passed };
    }
    let none = || match passed.len() {
        0 => (Exit::Failed, "no release was made yet: `shipway release` makes one".to_owned()),
        _ => (Exit::Failed, "no other release is available".to_owned()),
    };
    Newest { found: Err(first.unwrap_or_else(none)), passed }
}

/// Returns why a release comes in only where somebody names it, who then knows what they do; `None` where that is not so. One that serves is
/// no reason to bring an older one.
fn reservation(standing: &Standing, environment: &Environment, released: &Released) -> Option<String> {
    if serves(standing, released) {
        return None;
    }
    let why = if released.dirty {
        "it was made with changes that no commit has".to_owned()
    } else {
        let (_, why) = standing.failed.iter().rfind(|(failed, _)| *failed == released.release)?;
        format!("it failed there: {}", visible(why.lines().next().unwrap_or_default()))
    };
    // What nobody can approve does not come in by its name either.
    let is_hopeless = released.dirty && environment.admission.approve.is_some();
    Some(if is_hopeless { why } else { format!("{why}; name it to try it all the same") })
}

/// Tells whether the release serves, and works.
fn serves(standing: &Standing, released: &Released) -> bool {
    standing.serves.as_ref().is_some_and(|serving| serving.release == released.release && serving.is_verified)
}
