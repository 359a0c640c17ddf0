//! `plan`, `approve` and `reject`: what would be done, and who agrees to it.

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;

use super::choice::choose;
use super::deploy::{clean_head, find};
use super::depot::Depot;
use super::failing::Failing;
use super::flags::Global;
use super::project::Project;
use super::screen::Screen;
use super::signals;
use super::site::{Site, in_slot, name_of};
use crate::base::duration::show;
use crate::base::placeholder::fill;
use crate::base::text::visible;
use crate::delivery::admission::{Verdict, soak_left};
use crate::delivery::approval::sign;
use crate::delivery::command::Told;
use crate::delivery::drift::Drift;
use crate::delivery::forecast::{Forecast, Noticed, Way, forecast, unnoticed};
use crate::delivery::rollout::picture;
use crate::delivery::staff::Pace;
use crate::ledger::entry::{Deed, Released, Signed};
use crate::ledger::history::History;
use crate::ledger::shared::Reach;
use crate::ledger::standing::{Ongoing, Standing};
use crate::model::environment::{ApprovalRule, Environment, Pause};
use crate::model::outcome::Exit;
use crate::model::stage::{Command, Step};
use crate::model::target::{Kind, Readiness, Sign};

/// The flags of `plan`.
#[derive(Debug, Args)]
pub(super) struct Plan {
    /// Where to
    #[arg(value_name = "ENV")]
    environment: String,
    /// Which release; without it, the newest that is available
    #[arg(value_name = "RELEASE")]
    release: Option<String>,
}

/// The flags of `approve` and `reject`.
#[derive(Debug, Args)]
pub(super) struct Judge {
    /// Where to
    #[arg(value_name = "ENV")]
    environment: String,
    /// Which release; without it, the newest that is available
    #[arg(value_name = "RELEASE")]
    release: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "REASON")]
    reason: String,
}

/// A release that may come into an environment.
struct Prospect<'p> {
    site: Site<'p>,
    history: History,
    released: Released,
}

impl<'p> Prospect<'p> {
    /// Returns what is meant; else what to exit with, which is said.
    fn find(
        global: &'p Global,
        project: &'p Project,
        depot: &'p Depot,
        environment: &str,
        release: Option<&str>,
        screen: &mut Screen,
    ) -> Result<Result<Self, Exit>, Failing> {
        let environment = find(project, environment)?;
        let site = Site { global, project, depot, environment, head: clean_head(depot)?, pace: Pace::Due, revised: None, _lock: None };
        let history = depot.journal.read()?;
        Ok(choose(&site, &history, release, true, screen)?.map(|released| Self { site, history, released }))
    }
}

/// Shows what `promote` would do, and what it would wait for. Changes nothing.
pub(super) fn plan(global: &Global, arguments: &Plan, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let found = Prospect::find(global, &project, &depot, &arguments.environment, arguments.release.as_deref(), screen)?;
    let Prospect { site, history, released } = match found {
        Ok(prospect) => prospect,
        Err(exit) => return Ok(exit),
    };
    let approved = site.approved(&history, &released, "plan", screen)?;
    let site = match &approved {
        Some(approved) => approved.site(&site)?,
        None => site,
    };
    let prospect = Prospect { site, history, released };
    let Prospect { site, history, released } = &prospect;
    let environment = site.environment;
    let standing = history.standing(&environment.name);
    let drift = match site.drift(history, &standing, screen)? {
        Ok(drift) => Some(drift).filter(|drift| matches!(drift, Drift::Drifted { .. })),
        Err(exit) => return Ok(exit),
    };
    // What is there needs no way there, unless somebody has moved it.
    let is_there = standing.ongoing.is_none() && drift.is_none() && standing.shows(&released.release) && !site.is_moved(&standing);
    site.say_moved(history, &standing, screen);
    prospect.subject(&standing, is_there).iter().for_each(|line| screen.show(&format!("{line}\n")));
    if let Some(why) = lock(&standing, history) {
        screen.show(&format!("gate     lock: not yet: {why}\n"));
    }
    if is_there {
        return Ok(Exit::Passed);
    }
    if let Some(drift) = drift {
        // What is on its way goes on all the same.
        let is_no_reason = standing.ongoing.is_some() || site.is_only_down(&standing);
        screen.show(&format!("drift    {drift}{}\n", if is_no_reason { "" } else { ": not without --accept-drift" }));
    }
    let asked = site.ask(history, released, true, screen)?;
    if let Some(signal) = signals::came() {
        return Ok(Exit::Interrupted(signal));
    }
    for asked in asked {
        let verdict = match asked.verdict {
            Verdict::Yes => "yes".to_owned(),
            Verdict::NotYet(why) => format!("not yet: {why}"),
            Verdict::No(why) => format!("no: {why}"),
        };
        screen.show(&format!("gate     {}: {verdict}\n", asked.gate));
    }
    if let Some(rule) = &environment.admission.approve {
        screen.show(&format!("people   {}\n", prospect.people(rule)?));
    }
    let lines = [prospect.moves(&standing), prospect.shares(&standing), prospect.times(&standing).to_vec()].concat();
    lines.iter().for_each(|line| screen.show(&format!("{line}\n")));
    Ok(Exit::Passed)
}

/// Returns what holds the environment, before any gate is asked; `None` where nothing does.
fn lock(standing: &Standing, history: &History) -> Option<String> {
    if let Some(ongoing) = &standing.ongoing {
        let (way, actor) = (if ongoing.turned.is_some() { "back from" } else { "on its way:" }, &ongoing.actor);
        let name = name_of(history, &ongoing.started.release);
        return Some(format!("{way} {name}, begun by {} on {}", visible(&actor.name), visible(&actor.host)));
    }
    let (reason, actor, _) = standing.paused.as_ref()?;
    Some(format!("paused by {}: {}; a release that is named comes in", visible(&actor.name), visible(reason)))
}

impl Prospect<'_> {
    /// Returns the deployment that brings the release there, if it has been begun and does not go back.
    fn on_its_way<'s>(&self, standing: &'s Standing) -> Option<&'s Ongoing> {
        standing.ongoing.as_ref().filter(|ongoing| ongoing.turned.is_none() && ongoing.started.release == self.released.release)
    }

    /// Returns what it is about, a line each: first how far that is already.
    fn subject(&self, standing: &Standing, is_there: bool) -> Vec<String> {
        let Self { site, history, released } = self;
        let (environment, name) = (site.environment, visible(&released.name));
        let mut lines = Vec::new();
        if is_there {
            lines.push(format!("nothing  to be done: {name} serves there already, verified"));
        }
        if let Some(ongoing) = self.on_its_way(standing) {
            let share = ongoing.share.as_ref().map(|share| format!(", at {} % of the traffic", share.weight)).unwrap_or_default();
            lines.push(format!("begun    {name} is on its way there{share}: `promote` goes on with it"));
        }
        let serves = standing.serves.as_ref().map_or_else(
            || "nothing serves".to_owned(),
            |serving| format!("{} serves{}", name_of(history, &serving.release), in_slot(serving.slot.as_deref())),
        );
        lines.push(format!("plan     {}", site.plan(&released.release)));
        lines.push(format!("release  {name} ({}), commit {}", &released.release[..12], &released.commit[..12]));
        lines.push(format!("to       {}, where {serves}; as commit {} says", environment.name, &site.head.commit[..12]));
        if let Some(like) = environment.like.map(|id| site.project.pipeline.delivery.environment(id)) {
            let differences = environment.differences(like).iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            let differences = if differences.is_empty() { "nothing".to_owned() } else { differences };
            lines.push(format!("like     {}, but for {differences}", like.name));
        }
        lines
    }

    /// Returns the slot that it comes into, or is in already, and the one of the release before.
    fn slots(&self, standing: &Standing) -> (Option<String>, Option<String>) {
        match self.on_its_way(standing) {
            Some(ongoing) => (ongoing.started.slot.clone(), ongoing.started.before_slot.clone()),
            None => self.site.slots(standing),
        }
    }

    /// Returns who has to agree.
    fn people(&self, rule: &ApprovalRule) -> Result<String, Failing> {
        let may = match self.site.signers(rule)? {
            Some(file) => std::fs::read_to_string(file.path()).with_context(|| format!("`{}` cannot be read", visible(&rule.signers)))?,
            None => String::new(),
        };
        // A line of the file begins with the names of whoever has the key (ssh-keygen(1), ALLOWED SIGNERS).
        let names = may.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| !name.starts_with('#'));
        let is_author = |name: &str| rule.not_author && name == self.released.author;
        let names: Vec<_> = names.filter(|name| !is_author(name)).map(visible).collect();
        let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        Ok(format!("{} of {names}, by `{}`", rule.count, visible(&rule.signers)))
    }

    /// Returns what would be done, a line each.
    fn moves(&self, standing: &Standing) -> Vec<String> {
        let environment: &Environment = self.site.environment;
        let target = self.site.project.pipeline.delivery.target_of(environment);
        let (slot, before_slot) = self.slots(standing);
        let new = self.values(&self.released.release, slot.as_deref());
        let line = |word: &str, step: &Step| format!("{word:<9}$ {}", shown(&step.command, &new));
        let mut lines: Vec<String> = environment.provision.iter().map(|step| line("provision ", step)).collect();
        let behind = if let Kind::Process(process) = &target.kind { format!(", behind {}", process.listen) } else { String::new() };
        lines.push(format!("deploy   to the target `{}`{}{behind}", target.name, in_slot(slot.as_deref())));
        let mut last = Vec::new();
        match &target.kind {
            Kind::Command(commands) => {
                let ends = |release: &String, slot: Option<&str>| {
                    commands.stop.as_ref().map(|stop| format!("{:<9}$ {}", "stop", shown(&stop.command, &self.values(release, slot))))
                };
                // What was not seen to end is before another one comes to its slot.
                let left = slot.as_ref().and_then(|slot| standing.started.get(slot)).filter(|_| self.on_its_way(standing).is_none());
                lines.extend(left.and_then(|left| ends(left, slot.as_deref())));
                lines.push(line("start", &commands.start));
                lines.extend(commands.ready.iter().map(|readiness| ready(readiness, &new)));
                lines.extend(commands.shift.iter().map(|step| line("shift", step)));
                let serving = standing.serves.as_ref().filter(|_| slot.is_some());
                last.extend(serving.and_then(|serving| ends(&serving.release, before_slot.as_deref())));
            }
            Kind::Process(process) => {
                lines.extend([line("start", &process.start), ready(&process.ready, &new)]);
                last.extend(standing.serves.as_ref().map(|_| format!("drain    {}", show(process.drain))));
            }
            Kind::Directory(_) | Kind::Flag(_) => {}
        }
        lines.extend(environment.verify.iter().map(|step| line("verify", step)));
        lines.extend(last);
        lines
    }

    /// Returns what commands would be told of a release in this slot, by the name of a placeholder; but for what is not known before.
    fn values(&self, release: &str, slot: Option<&str>) -> Told {
        let of_slot = self.site.commands().zip(slot).and_then(|(commands, slot)| commands.slots.get(slot));
        let mut values = of_slot.cloned().unwrap_or_default();
        values.extend(slot.map(|slot| ("slot".to_owned(), slot.to_owned())));
        values.insert("release".to_owned(), release.to_owned());
        values.insert("environment".to_owned(), self.site.environment.name.to_string());
        values
    }

    /// Returns the way of the release to all of the traffic.
    fn way(&self, standing: &Standing) -> Way<'_> {
        let is_tried = (standing.serves.is_some() && !self.site.is_out_of_reach(standing)) || self.site.flag().is_some();
        // Without slots what is started replaces what serves, and the file says that.
        Way { weights: if is_tried { &self.site.environment.rollout.weights } else { &[100] }, is_tried }
    }

    /// Returns what share of the traffic it would get for how long, and how much of it could be lost.
    fn shares(&self, standing: &Standing) -> Vec<String> {
        let (environment, Way { weights, is_tried }) = (self.site.environment, self.way(standing));
        let (rollout, (slot, _)) = (&environment.rollout, self.slots(standing));
        let values = self.values(&self.released.release, slot.as_deref());
        let mut lines = Vec::new();
        if weights.len() > 1 {
            let share = self.on_its_way(standing).and_then(|ongoing| ongoing.share.as_ref());
            let pause = match rollout.pause {
                Pause::Manual => "until somebody says to go on".to_owned(),
                Pause::For(time) => zero_or(time),
            };
            lines.push(format!("rollout  {}; each {pause}", picture(weights, share)));
        }
        if let Some(analysis) = rollout.analysis.as_ref().filter(|_| is_tried) {
            let command = shown(&analysis.run.command, &values);
            let count = if analysis.min_samples > 0 { format!(", by {} samples or more", analysis.min_samples) } else { String::new() };
            lines.push(format!("analysis $ {command}, every {}{count}", show(analysis.every)));
        } else if rollout.analysis.is_some() {
            lines.push("analysis none: nothing serves that it could be compared with".to_owned());
        }
        lines.push(format!("risk     of the requests: {}", risks(&unnoticed(environment, self.way(standing)))));
        if let Some(keep) = rollout.keep.filter(|_| standing.serves.is_some()) {
            lines.push(format!("keep     what serves now, for {}", show(keep)));
        }
        lines.extend(rollout.on_abort.iter().map(|step| format!("on-abort $ {}", shown(&step.command, &values))));
        lines
    }

    /// Returns how long that may take, and what the way back would be.
    fn times(&self, standing: &Standing) -> [String; 2] {
        let (site, released) = (&self.site, &self.released);
        let delivery = &site.project.pipeline.delivery;
        let (environment, kind) = (site.environment, &delivery.target_of(site.environment).kind);
        let soak = soak_left(delivery, environment, &self.history, &released.release, Timestamp::now());
        let back = standing.last_verified(Some(&released.release)).map(|verified| &verified.release);
        let Forecast { shortest, longest, back: time } = forecast(environment, kind, soak, self.way(standing), back.is_some());
        let shown = |time: Option<std::time::Duration>| time.map_or_else(|| "unlimited".to_owned(), zero_or);
        let times = format!("time     shortest {}, longest {}", zero_or(shortest), shown(longest));
        let (_, before_slot) = self.slots(standing);
        let back = match back {
            _ if released.irreversible => return [times, "rollback refused: the release is irreversible; roll forward".to_owned()],
            Some(back) => format!("{}{}", name_of(&self.history, back), in_slot(before_slot.as_deref())),
            None => "nothing: no other release was verified there".to_owned(),
        };
        [times, format!("rollback leads to {back}; longest {}", shown(time))]
    }
}

/// Returns in words when it is noticed that a release does not work, at each of its shares.
fn risks(unnoticed: &[(u8, Noticed)]) -> String {
    let alike = unnoticed.chunk_by(|(_, one), (_, other)| one == other).map(|alike| {
        let weights: Vec<String> = alike.iter().map(|(weight, _)| format!("{weight} %")).collect();
        let when = match alike[0].1 {
            Noticed::Within(time) => format!("for up to {}", zero_or(time)),
            Noticed::Told(time, most) => format!("for up to {}, or {} where the analysis cannot tell", zero_or(time), zero_or(most)),
            Noticed::Verified => "until `verify` has ended".to_owned(),
            Noticed::Never => "until somebody notices".to_owned(),
        };
        let each = if alike.len() > 1 { ", each " } else { " " };
        format!("{}{each}{when}", weights.join(", "))
    });
    alike.collect::<Vec<_>>().join("; ")
}

/// Returns a command for people, with what is known for its placeholders.
fn shown(command: &Command, values: &Told) -> String {
    visible(&command.with_texts(|text| filled(text, values)).show()).into_owned()
}

fn filled(text: &str, values: &Told) -> String {
    fill(text, |name| values.get(name).map(String::as_str))
}

/// Returns how something shows that it is ready, as a line.
fn ready(ready: &Readiness, values: &Told) -> String {
    let sign = match &ready.sign {
        Sign::Http(text) => visible(&filled(text, values)).into_owned(),
        Sign::Port(text) => format!("port {}", visible(&filled(text, values))),
        Sign::Command(command) => format!("$ {}", shown(command, values)),
    };
    format!("ready    {sign}, within {}", show(ready.within))
}

/// Returns a time for people; none is `0s`.
fn zero_or(time: std::time::Duration) -> String {
    if time.is_zero() { "0s".to_owned() } else { show(time) }
}

/// Signs that a plan is agreed to, or that it is not.
pub(super) fn judge(global: &Global, arguments: &Judge, agrees: bool, screen: &mut Screen) -> Result<Exit, Failing> {
    let project = Project::load(global)?;
    let depot = Depot::open(&project, screen)?;
    let found = Prospect::find(global, &project, &depot, &arguments.environment, arguments.release.as_deref(), screen)?;
    let Prospect { site, released, .. } = match found {
        Ok(prospect) => prospect,
        Err(exit) => return Ok(exit),
    };
    let environment = site.environment;
    let Some(rule) = &environment.admission.approve else {
        return Err(Failing::usage_with_help(
            format!("`{}` needs no approval", environment.name),
            "`approve = { signers = \"allowed_signers\" }` says who has to agree",
        ));
    };
    let (plan, at) = (site.plan(&released.release), Timestamp::now());
    let key = depot.repository().signing_key()?;
    let signature = sign(key.as_deref(), &plan, agrees, at)?;
    let signed = Signed {
        environment: environment.name.to_string(),
        release: released.release.clone(),
        commit: site.head.commit.clone(),
        plan: plan.clone(),
        at,
        signature,
        reason: arguments.reason.clone(),
    };
    let deed = if agrees { Deed::Approved(signed) } else { Deed::Rejected(signed) };
    let history = depot.journal.add(Reach::Most, &mut |_| Some(deed.clone()))?;
    depot.tell(screen);
    let signers = site.signers(rule)?;
    let opinions = site.question(rule, &site.all(signers.as_ref()), &released, &plan, at).opinions(&history);
    if let Some(why) = opinions.last().and_then(|own| own.why_not.as_ref()) {
        screen.warn(&format!("it is recorded, and does not count: {}", visible(why)));
    }
    let word = if agrees { "approved" } else { "rejected" };
    screen.say(&format!("{}: {word} {}", environment.name, visible(&released.name)));
    Ok(Exit::Passed)
}
