//! One environment, as commands about it see it: what may come in, and how it is brought there.

use std::cell::RefCell;
use std::fs::File;
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;

use super::crew::Crew;
use super::depot::Depot;
use super::execute::How;
use super::failing::Failing;
use super::flags::Global;
use super::project::Project;
use super::screen::Screen;
use super::signals::{self, Rest};
use super::staff;
use crate::base::digest::Hash;
use crate::base::text::visible;
use crate::delivery::admission::{Asked, Verdict, available, frozen};
use crate::delivery::command::Told;
use crate::delivery::policy;
use crate::delivery::promote::Deployment;
use crate::delivery::rollout::Wait;
use crate::delivery::staff::{Left, Pace};
use crate::git::state::Head;
use crate::ledger::entry::{Cause, Deed, Ending, Released, Started, short};
use crate::ledger::history::History;
use crate::ledger::shared::Reach;
use crate::ledger::standing::{Lease, Standing};
use crate::model::environment::Environment;
use crate::model::outcome::Exit;

/// What a command about one environment works with.
pub(super) struct Site<'s> {
    pub(super) global: &'s Global,
    pub(super) project: &'s Project,
    pub(super) depot: &'s Depot,
    pub(super) environment: &'s Environment,
    /// The commit whose pipeline and scripts say how.
    pub(super) head: Head,
    /// How far what is on its way is moved.
    pub(super) pace: Pace,
    /// Where that is not the commit which is checked out: the file of those who may sign by that one, in which whoever signs has to stand, too.
    pub(super) revised: Option<&'s Path>,
    /// Held while releases are moved there by this process.
    pub(super) _lock: Option<File>,
}

impl Site<'_> {
    /// Asks the gates about the release in the contract's order, people last, until one does not say yes; or, with `all`, every one.
    pub(super) fn ask(&self, history: &History, released: &Released, all: bool, screen: &mut Screen) -> Result<Vec<Asked>, Failing> {
        let (environment, admission, now) = (self.environment, &self.environment.admission, Timestamp::now());
        let mut asked: Vec<Asked> = Vec::new();
        let goes_on = |asked: &[Asked]| all || asked.iter().all(|asked| asked.verdict == Verdict::Yes);
        if !admission.freeze.is_empty() {
            asked.push(Asked::new("freeze", frozen(environment, now)));
        }
        if !admission.from.is_empty() && goes_on(&asked) {
            let verdict = available(&self.project.pipeline.delivery, environment, history, &released.release, now);
            asked.push(Asked::new("available", verdict));
        }
        if !admission.policy.is_empty() && goes_on(&asked) {
            let root = &self.project.root;
            let release = self.candidate(&released.release, None).map_err(|error| anyhow::anyhow!(error))?;
            let files = policy::files(root, &admission.policy).context("the files of `policy` cannot be found")?;
            asked.push(Asked::new("policy", policy::ask(root, &files, &self.context(history, released, &release, now)?)));
        }
        if !admission.gates.is_empty() && goes_on(&asked) {
            let crew = self.crew()?;
            let release = self.candidate(&released.release, None).map_err(|error| anyhow::anyhow!(error))?;
            let context = self.context(history, released, &release, now)?;
            for gate in &admission.gates {
                if goes_on(&asked) {
                    asked.push(Asked::new("gate", crew.ask(gate, &release, &context, screen)));
                }
            }
        }
        if let Some(rule) = admission.approve.as_ref().filter(|_| goes_on(&asked)) {
            asked.push(Asked::new("approve", self.is_approved(rule, history, released, now)?));
        }
        if !admission.freeze.is_empty() && !all && goes_on(&asked) {
            // A gate may have taken its time.
            asked.push(Asked::new("freeze", frozen(environment, Timestamp::now())));
        }
        Ok(asked)
    }

    /// Says which gate refuses the release, and returns what to exit with.
    pub(super) fn refuse(&self, history: &History, released: &Released, screen: &mut Screen) -> Result<Option<Exit>, Failing> {
        let refusal = self.ask(history, released, false, screen)?.into_iter().find(|asked| asked.verdict != Verdict::Yes);
        if let Some(signal) = signals::came() {
            // Whatever a gate said that was cut short.
            return Ok(Some(Exit::Interrupted(signal)));
        }
        let Some(Asked { gate, verdict }) = refusal else { return Ok(None) };
        let (exit, verb, why) = match verdict {
            Verdict::Yes => return Ok(None),
            Verdict::NotYet(why) => (Exit::Waiting, "waits", why),
            Verdict::No(why) => (Exit::Failed, "is refused", why),
        };
        screen.say(&format!("{}: {} {verb}: {gate}: {why}", self.environment.name, visible(&released.name)));
        Ok(Some(exit))
    }

    /// Returns the digest of the plan to bring this release here as the commit says (contract, section 8).
    pub(super) fn plan(&self, release: &str) -> String {
        plan_of(release, &self.environment.name, &self.head.commit)
    }

    pub(super) fn crew(&self) -> Result<Crew<'_>, Failing> {
        Ok(Crew { global: self.global, project: self.project, environment: self.environment, how: How::of_environment()? })
    }

    /// The same for a command whose own result goes where the output of steps would: that of those that pass is not shown.
    pub(super) fn quiet_crew(&self) -> Result<Crew<'_>, Failing> {
        let crew = self.crew()?;
        Ok(Crew { how: crew.how.in_the_background(), ..crew })
    }

    /// Announces a deployment, and does it.
    pub(super) fn begin(
        &self,
        released: &Released,
        standing: &Standing,
        cause: Cause,
        reason: Option<&str>,
        accepted_drift: Option<String>,
        screen: &mut Screen,
    ) -> Result<Exit, Failing> {
        let environment = self.environment.name.to_string();
        let (mut slot, before_slot) = self.slots(standing);
        if cause == Cause::Rollback && self.flag().is_some() {
            // It shows what it showed.
            slot = self.depot.journal.read()?.slot_of(&environment, &released.release).or(slot);
        }
        let serving = standing.serves.as_ref().filter(|_| !self.is_out_of_reach(standing)).map(|serving| &serving.release);
        let started = Started {
            release: released.release.clone(),
            // In another slot the same release is another one to go back to.
            before: serving.filter(|before| slot.is_some() || **before != released.release).cloned(),
            slot,
            before_slot,
            commit: self.head.commit.clone(),
            plan: self.plan(&released.release),
            cause,
            target: Some(self.target_name()),
            reason: reason.map(str::to_owned),
            accepted_drift,
            environment,
        };
        // What would be left begun is found before.
        self.crew()?;
        self.refuse_seen_flag()?;
        if cause == Cause::Promote {
            self.refuse_other_listener()?;
        }
        self.end_trial_left(screen)?;
        // The bytes must be here before anything is announced.
        self.candidate(&released.release, None).map_err(|error| anyhow::anyhow!(error))?;
        let reach = if cause == Cause::Rollback { Reach::Here } else { Reach::All };
        let mut is_first = false;
        let history = self.depot.journal.add(reach, &mut |history| {
            let now = history.standing(&self.environment.name);
            is_first = now.ongoing.is_none() && now.serves == standing.serves;
            is_first.then(|| Deed::Started(Box::new(started.clone())))
        })?;
        self.depot.tell(screen);
        let now = history.standing(&self.environment.name);
        let ongoing = match now.ongoing {
            Some(ongoing) if is_first => ongoing,
            other => {
                let lease = other.and_then(|ongoing| ongoing.lease);
                let faster = || format!("{}: somebody else was faster", self.environment.name);
                screen.say(&lease.map_or_else(faster, |lease| locked(self.environment, &lease)));
                return Ok(Exit::Waiting);
            }
        };
        let verb = if cause == Cause::Rollback { "rolls back to" } else { "gets" };
        screen.progress(&format!("{} {verb} {}", self.environment.name, visible(&released.name)));
        self.go_on(&ongoing.deployment, history, screen)
    }

    /// Goes on with a deployment to its end, and says what came of it.
    pub(super) fn go_on(&self, name: &str, history: History, screen: &mut Screen) -> Result<Exit, Failing> {
        let ongoing = history.standing(&self.environment.name).ongoing.filter(|ongoing| ongoing.deployment == name);
        let is_rollback = ongoing.is_some_and(|ongoing| ongoing.started.cause == Cause::Rollback);
        let left = self.move_on(name, history, screen)?;
        self.conclude(left, is_rollback, screen)
    }

    /// The same with one that was told to go back by whoever asks for it: that it does is no error.
    pub(super) fn go_back(&self, name: &str, history: History, screen: &mut Screen) -> Result<Exit, Failing> {
        let left = self.move_on(name, history, screen)?;
        if !matches!(left, Left::Ended(Ending::Unchanged | Ending::RolledBack, _)) {
            return self.conclude(left, false, screen);
        }
        let (_, line) = self.outcome(left, false)?;
        screen.progress(&line);
        Ok(Exit::Passed)
    }

    fn move_on(&self, name: &str, history: History, screen: &mut Screen) -> Result<Left, Failing> {
        let environment = self.environment;
        let ongoing = history.standing(&environment.name).ongoing.filter(|ongoing| ongoing.deployment == name);
        if let Some(why) = ongoing.and_then(|ongoing| self.is_begun_elsewhere(&ongoing)) {
            return Ok(Left::Unable(why));
        }
        let crew = self.crew()?;
        let (left, warnings) = {
            let screen = RefCell::new(&mut *screen);
            let mut target = self.target(&crew, &screen)?;
            let folder = self.target(&crew, &screen)?;
            let verify_as = |commit: &str, told: &Told, screen: &mut Screen| self.verify_as(commit, told, screen);
            let (warnings, rest) = (Vec::new(), Rest::default());
            let mut staff = staff::Crewed { crew: &crew, folder: &*folder, screen: &screen, warnings, verify_as: &verify_as, rest };
            let find = |id: &str, slot: Option<&str>| self.candidate(id, slot);
            if let Some(signal) = self.start_again(name, &history, &mut *target, &screen) {
                return Ok(Left::Interrupted(signal));
            }
            let mut deployment = Deployment {
                environment: &environment.name,
                shape: self.shape(),
                pace: self.pace,
                journal: &self.depot.journal,
                target: &mut *target,
                staff: &mut staff,
                find: &find,
                cut: &signals::cut,
            };
            (deployment.go_on(name, history)?, staff.warnings)
        };
        warnings.iter().for_each(|line| screen.warn(line));
        self.depot.tell(screen);
        Ok(left)
    }

    fn conclude(&self, left: Left, is_rollback: bool, screen: &mut Screen) -> Result<Exit, Failing> {
        let (exit, line) = self.outcome(left, is_rollback)?;
        match exit {
            Exit::Passed => screen.progress(&line),
            Exit::Waiting | Exit::Interrupted(_) => screen.say(&line),
            Exit::Failed | Exit::Usage | Exit::Surroundings | Exit::RolledBack | Exit::RollbackFailed => screen.complain(&line, None),
        }
        Ok(exit)
    }

    /// Returns what to exit with where a deployment, perhaps a rollback, was left so, and what to say of it.
    fn outcome(&self, left: Left, is_rollback: bool) -> Result<(Exit, String), Failing> {
        let environment = &self.environment.name;
        let history = self.depot.journal.read()?;
        let standing = history.standing(environment);
        let serves = standing.serves.map_or_else(|| "nothing".to_owned(), |serving| name_of(&history, &serving.release));
        let (ending, reason) = match left {
            Left::Interrupted(signal) => {
                let ways = format!("`shipway promote {environment}` goes on, `shipway abort {environment} --reason R` goes back");
                return Ok((Exit::Interrupted(signal), format!("{environment}: interrupted; {ways}")));
            }
            Left::Unable(why) => {
                let line = format!("{environment}: goes no further: {}; then `shipway promote {environment}` goes on", visible(&why));
                return Ok((Exit::Surroundings, line));
            }
            Left::Waits(wait) => return Ok((Exit::Waiting, self.waits(wait))),
            Left::Taken(lease) => {
                let unlocked = || format!("{environment}: unlocked by somebody; `shipway promote {environment}` goes on");
                return Ok((Exit::Waiting, lease.map_or_else(unlocked, |lease| locked(self.environment, &lease))));
            }
            Left::Overtaken => {
                let why = "another deployment was begun by somebody who could not know of this one, which ends here";
                return Ok((Exit::Failed, format!("{environment}: {why}; now {serves} serves")));
            }
            Left::Ended(ending, reason) => (ending, reason.unwrap_or_default()),
        };
        Ok(match ending {
            Ending::Verified => {
                let kept = standing.kept.map(|kept| {
                    let before = kept.deployment.started.before.unwrap_or_default();
                    format!("; {} is kept {}", name_of(&history, &before), Wait::Until(kept.until))
                });
                (Exit::Passed, format!("{environment}: {serves} serves, verified{}", kept.unwrap_or_default()))
            }
            // What did not come in is what was to be gone back to.
            Ending::Unchanged | Ending::RolledBack if is_rollback => {
                let help = "mend that, and roll back again; or promote a release that mends what is wrong";
                let line = format!("{environment}: the rollback failed, {serves} serves as before: {}\n  help: {help}", visible(&reason));
                (Exit::RollbackFailed, line)
            }
            Ending::Unchanged => (Exit::Failed, format!("{environment}: nothing was changed, {serves} serves: {}", visible(&reason))),
            Ending::RolledBack => (Exit::RolledBack, format!("{environment}: rolled back, {serves} serves: {}", visible(&reason))),
            Ending::RollbackFailed => {
                let help = "look at the target by hand; `shipway promote` brings a release there";
                (Exit::RollbackFailed, format!("{environment}: the rollback failed: {}\n  help: {help}", visible(&reason)))
            }
        })
    }

    /// Says what a deployment waits for.
    fn waits(&self, wait: Option<Wait>) -> String {
        let name = &self.environment.name;
        match wait {
            Some(wait @ Wait::Until(_)) => format!("{name}: waits {wait}; then `shipway promote {name}` or `shipway settle` goes on"),
            Some(wait @ Wait::Resume) => format!("{name}: waits {wait}: `shipway resume {name} --reason R`, then `shipway promote {name}`"),
            None => format!("{name}: one step is made; `shipway promote {name}` goes on"),
        }
    }
}

/// Returns the digest of the plan to bring this release there as this commit says.
pub(super) fn plan_of(release: &str, environment: &str, commit: &str) -> String {
    Hash::of(format!("shipway plan 1\n{release}\n{environment}\n{commit}\n").as_bytes()).to_string()
}

/// Says that another clone moves a release into the environment.
pub(super) fn locked(environment: &Environment, lease: &Lease) -> String {
    let name = &environment.name;
    format!("{name}: locked: {}; where nothing is moved there any more, `shipway unlock {name} --reason R`", holder(lease))
}

/// Says who moves a release, and until when.
pub(super) fn holder(lease: &Lease) -> String {
    let Lease { actor, until } = lease;
    let (name, email, host) = (visible(&actor.name), visible(&actor.email), visible(&actor.host));
    format!("held by {name} <{email}> on {host} until {}", until.strftime("%Y-%m-%d %H:%M:%SZ"))
}

/// Returns what a release is called.
pub(super) fn name_of(history: &History, id: &str) -> String {
    history.release(id).map_or_else(|_| short(id).to_owned(), |(_, released)| visible(&released.name).into_owned())
}

/// Returns the words for where a release is, of a target with slots.
pub(super) fn in_slot(slot: Option<&str>) -> String {
    slot.map(|slot| format!(" in the slot `{}`", visible(slot))).unwrap_or_default()
}
