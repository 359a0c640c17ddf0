//! What is special about an environment whose target is a process: the supervisor that keeps its listener.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::crew::Task;
use super::failing::Failing;
use super::screen::Screen;
use super::site::{Site, name_of};
use crate::base::text::visible;
use crate::delivery::command::Told;
use crate::delivery::target::{Target, TargetError};
use crate::exec::probe::is_taken;
use crate::ledger::entry::{Actor, Phase};
use crate::ledger::history::History;
use crate::ledger::standing::{Ongoing, Standing};
use crate::model::environment::Environment;
use crate::model::stage::{Command, Step};
use crate::model::target::{Kind, Process};
use crate::supervisor::place::{AskError, Place};
use crate::supervisor::request::{Request, Sight};

/// The folder of what belongs to trials of targets.
pub(super) const TESTED: &str = "tested";

/// The folder of the supervisors of environments, and that of those of targets that are tried.
const SUPERVISORS: &str = "serve";
const TRIED: &str = "serve-tested";

/// How often it is looked whether one has ended.
const TICK: Duration = Duration::from_millis(10);

/// Returns where the supervisor of an environment is, in our folder; or that of a trial of the target of this name.
pub(super) fn place(own: &Path, environment: &Environment, trial: Option<&str>) -> Place {
    Place::new(trial.map_or_else(|| own.join(SUPERVISORS).join(&*environment.name), |target| own.join(TRIED).join(target)))
}

/// Ends the supervisor of a trial, and all that it serves, for good; tells whether one was there.
pub(super) fn end_trial(place: &Place) -> Result<bool, Failing> {
    let was_there = end(place, |_| {}).map_err(anyhow::Error::new)?;
    place.forget_all().context("what the supervisor of a test has served cannot be forgotten")?;
    Ok(was_there)
}

/// Returns the place of the supervisor of an environment of this name, where one was ever started.
pub(super) fn known(own: &Path, environment: &str) -> Option<Place> {
    let is_name = !environment.is_empty() && environment != "." && environment != ".." && !environment.contains('/');
    let folder = own.join(SUPERVISORS).join(environment);
    (is_name && folder.is_dir()).then(|| Place::new(folder))
}

/// Ends a supervisor and all that it serves, and waits until it has ended; `begins` is told what ends. Tells whether one was there.
///
/// # Errors
/// Where it cannot be asked.
pub(super) fn end(place: &Place, mut begins: impl FnMut(&Sight)) -> Result<bool, AskError> {
    let mut was_there = false;
    loop {
        match place.ask(&Request::End) {
            Ok(sight) if !was_there => begins(&sight),
            Ok(_) => {}
            Err(AskError::Absent) => return Ok(was_there),
            Err(error) => return Err(error),
        }
        was_there = true;
        std::thread::sleep(TICK);
    }
}

impl Site<'_> {
    /// Returns the process, where the target is one.
    pub(super) fn process(&self) -> Option<&Process> {
        if let Kind::Process(process) = self.kind() { Some(process) } else { None }
    }

    /// Returns where its supervisor is.
    pub(super) fn place(&self) -> Result<Place, Failing> {
        Ok(place(&self.depot.folder()?, self.environment, None))
    }

    /// Returns the step that starts its supervisor, or that of a trial of the target of this name.
    pub(super) fn serve(&self, trial: Option<&str>) -> Result<Step, Failing> {
        let text = |path: PathBuf| {
            path.into_os_string().into_string().map_err(|path| anyhow::anyhow!("`{}` is not text in UTF-8", path.display()))
        };
        let program = text(std::env::current_exe().context("it is not known which program this is")?)?;
        let file = text(self.project.root.join(&self.project.file))?;
        let words = [&*program, "--file", &*file, "serve", &*self.environment.name, "--detach"];
        let words = words.into_iter().chain(trial.iter().flat_map(|target| ["--trial", *target]));
        let command = Command::Argv(words.map(str::to_owned).collect());
        Ok(Step { label: "serve".into(), command, dir: String::new(), env: BTreeMap::new(), timeout: None, retries: 0 })
    }

    /// Returns the slot of the release that has the most of the traffic, as the supervisor says, if there is one.
    pub(super) fn serving_slot(&self) -> Option<String> {
        self.process()?;
        let sight = self.place().ok()?.ask(&Request::Observe).ok()?;
        sight.heaviest().map(|look| look.slot.clone())
    }

    /// Returns what steps are told of a release in a slot: the port of its process, if it runs.
    pub(super) fn values_of(&self, release: &str, slot: &str) -> BTreeMap<String, String> {
        let sight = self.place().ok().and_then(|place| place.ask(&Request::Observe).ok());
        let look = sight.as_ref().and_then(|sight| sight.in_slot(slot)).filter(|look| look.release == release && look.down.is_none());
        look.map(|look| ("port".to_owned(), look.port.to_string())).into_iter().collect()
    }

    /// Refuses a supervisor that listens elsewhere than the file says.
    pub(super) fn refuse_other_listener(&self) -> Result<(), Failing> {
        let Some(process) = self.process() else { return Ok(()) };
        match self.place()?.ask(&Request::Observe) {
            Ok(sight) if sight.listen != process.listen && !sight.ending => {
                let (name, target) = (&self.environment.name, &self.project.pipeline.delivery.target_of(self.environment).name);
                let message =
                    format!("the supervisor of `{name}` listens on {}, and the target `{target}` says {}", sight.listen, process.listen);
                let help = format!(
                    "`shipway serve {name} --stop` ends it and all that it serves, `shipway serve {name} --detach` starts it again"
                );
                Err(Failing::usage_with_help(message, help))
            }
            _ => Ok(()),
        }
    }

    /// Tells whether what should serve only does not run: nobody has moved it, and it is no reason to go without one that does.
    pub(super) fn is_only_down(&self, standing: &Standing) -> bool {
        let sight = self.process().and_then(|_| self.place().ok()?.ask(&Request::Observe).ok());
        let heaviest = sight.as_ref().and_then(Sight::heaviest);
        heaviest.is_some_and(|look| {
            (look.down.is_some() || !is_taken(look.port)) && standing.serves.as_ref().is_some_and(|serving| serving.release == look.release)
        })
    }

    /// Says where the supervisor is of what is on its way, where that is another clone's: what is done here would be no matter for its users.
    pub(super) fn is_begun_elsewhere(&self, ongoing: &Ongoing) -> Option<String> {
        self.elsewhere(&ongoing.actor).filter(|_| ongoing.begun.contains(&Phase::Start))
    }

    /// The same of what serves.
    pub(super) fn is_served_elsewhere(&self, history: &History, standing: &Standing) -> Option<String> {
        let serving = standing.serves.as_ref()?;
        let begun = history.entries.iter().find(|recorded| recorded.digest == serving.deployment)?;
        self.elsewhere(&begun.entry.actor)
    }

    fn elsewhere(&self, actor: &Actor) -> Option<String> {
        self.process()?;
        let is_other = actor.clone.is_some() && actor.clone != self.depot.journal.actor().clone;
        let is_unknown = || self.place().is_ok_and(|place| !place.was_used() && place.ask(&Request::Observe) == Err(AskError::Absent));
        let Actor { name, email, host, .. } = actor;
        let who = || format!("{} <{}> on {}", visible(name), visible(email), visible(host));
        let help = || format!("go on there; where that is gone, `shipway serve {} --detach` starts one here", self.environment.name);
        (is_other && is_unknown()).then(|| format!("its supervisor is in the clone of {}: {}", who(), help()))
    }

    /// Ends what a killed test of the target has left, which has the listener.
    pub(super) fn end_trial_left(&self, screen: &mut Screen) -> Result<(), Failing> {
        let target = &self.project.pipeline.delivery.target_of(self.environment).name;
        if self.process().is_none() {
            return Ok(());
        }
        let place = place(&self.depot.folder()?, self.environment, Some(&**target));
        if !place.was_used() {
            return Ok(());
        }
        // One that is at work is nobody's to end.
        let Some(_lock) = self.depot.lock(&format!("{TESTED}/{target}"))? else { return Ok(()) };
        if end_trial(&place)? {
            screen.say(&format!("{}: what a test of `{target}` that was killed has left is ended", self.environment.name));
        }
        Ok(())
    }

    /// Sees to it that whatever has a share of the traffic runs, of a rollout that is on its way or goes back: its supervisor may have ended since, and
    /// what looks at it would judge that. Returns the signal that came meanwhile.
    pub(super) fn start_again(&self, name: &str, history: &History, target: &mut dyn Target, screen: &RefCell<&mut Screen>) -> Option<i32> {
        let ongoing = history.standing(&self.environment.name).ongoing.filter(|ongoing| ongoing.deployment == name)?;
        if self.process().is_none() || self.depot.journal.held_elsewhere(&ongoing).is_some() {
            return None;
        }
        let (stays, goes) = ongoing.ways();
        let (first, second) = match (&ongoing.turned, &ongoing.share) {
            (Some(back), _) if back.done.contains(&Phase::Shift(100)) => (stays, None),
            (None, Some(share)) if share.weight == 100 => (stays, None),
            (None, Some(_)) => (goes, stays),
            (Some(_), _) | (None, None) => (None, None),
        };
        for (release, slot) in first.into_iter().chain(second) {
            match self.candidate(release, slot).map_err(TargetError::Failed).and_then(|candidate| target.start(&candidate)) {
                Ok(()) => {}
                // Whatever looks at it is to say what that means.
                Err(TargetError::Failed(why) | TargetError::Unable(why)) => {
                    screen.borrow_mut().warn(&format!("{}: {why}", name_of(history, release)));
                }
                Err(TargetError::Interrupted(signal)) => return Some(signal),
            }
        }
        None
    }

    /// Tells whether its supervisor has ended that would serve something.
    pub(super) fn is_gone(&self) -> Result<bool, Failing> {
        let Some(_) = self.process() else { return Ok(false) };
        let place = self.place()?;
        Ok(place.is_kept() && place.ask(&Request::Observe) == Err(AskError::Absent))
    }

    /// Starts the supervisor again where it has ended and something should serve: nobody has moved that by hand.
    pub(super) fn revive(&self, standing: &Standing, screen: &mut Screen) -> Result<(), Failing> {
        if standing.serves.is_none() || !self.is_gone()? {
            return Ok(());
        }
        screen.progress(&format!("{}: its supervisor had ended, and is started again", self.environment.name));
        let (step, told) = (self.serve(None)?, Told::new());
        let task = Task { phase: &step.label, steps: std::slice::from_ref(&step), told: &told, lets_stay: true, again: None };
        let crew = self.crew()?;
        let mut revived = crew.run(&task, screen).map(drop);
        if let (Ok(()), Some(serving)) = (&revived, &standing.serves) {
            // Whoever goes on from here takes what serves for ready.
            let screen = RefCell::new(&mut *screen);
            let mut target = self.target(&crew, &screen)?;
            let candidate = self.candidate(&serving.release, serving.slot.as_deref()).map_err(TargetError::Failed);
            revived = candidate.and_then(|candidate| target.start(&candidate));
        }
        if let Err(TargetError::Failed(why) | TargetError::Unable(why)) = revived {
            screen.warn(&format!("{}: it cannot be started: {why}", self.environment.name));
        }
        Ok(())
    }
}
