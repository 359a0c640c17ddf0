//! From the fields of an environment, and of those that it is like, to the environment.

use std::time::Duration;

use super::fields::{At, Fields};
use super::include::File;
use super::stages::{Builder, unusable, values};
use super::templates::{KNOWN, OF_ANALYSIS, check, known_with, step, steps};
use crate::base::diagnostic::Diagnostic;
use crate::base::glob::{Glob, within};
use crate::base::{duration, nearest};
use crate::model::environment::{Admission, Analysis, ApprovalRule, Environment, EnvironmentId, Pause, Rollout};
use crate::model::freeze::{Freeze, Moment, Span};
use crate::model::target::{Kind, Target, TargetId};

/// Keys that are not taken from the environment that one is like: they say what lies before an environment, which is another thing for
/// each.
const OWN: &[&str] = &["like", "from", "from-all", "soak"];

/// How often an analysis is asked, and how often in a row it may not be able to tell.
const EVERY: Duration = Duration::from_secs(10);
const ERRORS: u32 = 4;

/// The environments of a file.
pub(super) struct Environments<'f> {
    file: &'f File,
    tables: &'f [(At<String>, Fields)],
    targets: &'f [(At<String>, Target)],
}

impl<'f> Environments<'f> {
    /// Returns those of `file`, whose targets are these.
    pub(super) fn new(file: &'f File, targets: &'f [(At<String>, Target)]) -> Self {
        Self { file, tables: file.fields.tables("environments").unwrap_or_default(), targets }
    }

    /// Returns all that are whole; the problems of the others are told.
    pub(super) fn all(&self, problems: &mut Vec<Diagnostic>) -> Vec<Environment> {
        let likes: Vec<Option<usize>> = self.tables.iter().map(|(_, fields)| self.named(fields, "like", problems)).collect();
        let built = (0..self.tables.len()).filter_map(|place| {
            let merged = self.merged(place, &likes, problems)?;
            self.environment(place, &merged, likes[place], problems)
        });
        let environments: Vec<Environment> = built.collect();
        if environments.len() == self.tables.len() {
            check_order(&environments, self.tables, problems);
        }
        environments
    }

    /// Returns the fields of an environment with all that it takes from others; `None` where these lead in a circle.
    fn merged(&self, place: usize, likes: &[Option<usize>], problems: &mut Vec<Diagnostic>) -> Option<Fields> {
        let mut way = vec![place];
        while let Some(next) = likes[way[way.len() - 1]] {
            if way.contains(&next) {
                // Told once, by the first of the circle.
                if way.iter().min() == Some(&place) && next == place {
                    let names = way.iter().chain([&next]).map(|place| format!("`{}`", self.tables[*place].0.value));
                    let message = format!("environments are like each other in a circle: {}", names.collect::<Vec<_>>().join(" -> "));
                    problems.push(Diagnostic::error(message, self.tables[place].1.span("like"), "leads back"));
                }
                return None;
            }
            way.push(next);
        }
        let mut merged = self.tables[place].1.clone();
        for other in &way[1..] {
            for (key, value) in &self.tables[*other].1.values {
                if !OWN.contains(key) {
                    merged.values.entry(key).or_insert_with(|| value.clone());
                }
            }
        }
        Some(merged)
    }

    /// Returns the place of the environment that `key` names.
    fn named(&self, fields: &Fields, key: &str, problems: &mut Vec<Diagnostic>) -> Option<usize> {
        let name = fields.text(key)?;
        self.find(&At::new(name.to_owned(), fields.span(key)), problems)
    }

    fn find(&self, name: &At<String>, problems: &mut Vec<Diagnostic>) -> Option<usize> {
        let found = self.tables.iter().position(|(other, _)| other.value == name.value);
        if found.is_none() {
            let help = nearest::help("an environment", &name.value, self.tables.iter().map(|(name, _)| name.value.as_str()));
            let message = format!("there is no environment `{}`", name.value.escape_debug());
            problems.push(Diagnostic::error(message, name.span.clone(), "unknown environment").maybe_help(help));
        }
        found
    }

    fn environment(&self, place: usize, fields: &Fields, like: Option<usize>, problems: &mut Vec<Diagnostic>) -> Option<Environment> {
        let (name, _) = &self.tables[place];
        let home = self.file.home(0);
        let target = self.target(name, fields, problems);
        let admission = self.admission(fields, problems);
        let mut builder = Builder { home: home.clone(), defaults: Fields::default(), problems };
        let secrets = values(fields.texts("secrets"));
        let pairs = fields.pairs("env").unwrap_or_default();
        let of_target = target.map(|id| self.targets[id.0 as usize].1.kind.placeholders());
        // What is said where the target is not known is enough.
        let known = known_with(of_target.unwrap_or_else(|| ["slot", "port"].into()));
        pairs.iter().for_each(|(_, value)| check(&value.value, &value.span, &known, builder.problems));
        let env = pairs.iter().map(|(name, value)| (name.value.clone(), value.value.clone())).collect();
        builder.check_secrets(fields, &env, &secrets);
        builder.check_names(fields);
        let mut list = |key: &str, known: &[&str]| steps(&mut builder, fields.steps(key).unwrap_or_default(), &secrets, known);
        let (provision, verify, on_abort) = (list("provision", &known), list("verify", &known), list("on-abort", &known));
        // Where a release goes is not settled while it is asked whether it may.
        let gates = list("gates", KNOWN);
        let known_before = builder.problems.len();
        let rollout = rollout(&mut builder, fields, on_abort, &known);
        if let Some(target) = target.map(|id| &self.targets[id.0 as usize].1).filter(|_| builder.problems.len() == known_before) {
            let is_own = self.tables[place].1.values.contains_key("pause");
            check_room(&rollout, target, (fields, is_own), builder.problems);
        }
        Some(Environment {
            name: name.value.as_str().into(),
            like: like.and_then(id),
            target: target?,
            is_automatic: fields.text("promote") == Some("auto"),
            shell: home.shell.clone(),
            env,
            pass_env: values(fields.texts("pass-env")),
            secrets,
            timeout: fields.duration("timeout").copied(),
            provision,
            verify,
            admission: Admission { gates, ..admission },
            rollout,
        })
    }

    fn target(&self, name: &At<String>, fields: &Fields, problems: &mut Vec<Diagnostic>) -> Option<TargetId> {
        let Some(target) = fields.text("target") else {
            let help = "`target` names one of [targets], which says how a release gets there";
            let message = format!("the environment `{}` has no `target`", name.value);
            problems.push(Diagnostic::error(message, name.span.clone(), "`target` is missing").help(help));
            return None;
        };
        let found = self.targets.iter().position(|(other, _)| other.value == target);
        let declared: Vec<&str> =
            self.file.fields.tables("targets").unwrap_or_default().iter().map(|(name, _)| name.value.as_str()).collect();
        // One that is declared, but not whole, was reported where it stands.
        if found.is_none() && !declared.contains(&target) {
            let help = nearest::help("a target", target, declared.iter().copied());
            let help = help.or_else(|| Some(format!("declare it: [targets.{target}], with its `kind`")));
            let message = format!("there is no target `{}`", target.escape_debug());
            problems.push(Diagnostic::error(message, fields.span("target"), "unknown target").maybe_help(help));
        }
        found.and_then(|place| u32::try_from(place).ok()).map(TargetId)
    }

    fn admission(&self, fields: &Fields, problems: &mut Vec<Diagnostic>) -> Admission {
        let from: Vec<EnvironmentId> =
            fields.texts("from").unwrap_or_default().iter().filter_map(|name| self.find(name, problems).and_then(id)).collect();
        let is_first = fields.texts("from").is_none_or(<[_]>::is_empty);
        if let Some(key) = ["soak", "from-all"].into_iter().find(|key| is_first && fields.values.contains_key(key)) {
            let message = format!("`{key}` is about where a release was verified before, and there is no `from`");
            problems
                .push(Diagnostic::error(message, fields.span(key), "of no use").help("name the environments before: from = [\"staging\"]"));
        }
        let mut policy = Vec::new();
        for text in fields.texts("policy").unwrap_or_default() {
            match Glob::new(&self.file.folder, &text.value) {
                Ok(glob) => policy.push(glob),
                Err(error) => problems.push(unusable(&error, &text.span)),
            }
        }
        Admission {
            freeze: fields.list("freeze").unwrap_or_default().iter().filter_map(|fields| freeze(fields, problems)).collect(),
            from,
            from_all: fields.flag("from-all").copied().unwrap_or(false),
            soak: fields.duration("soak").copied(),
            policy,
            gates: Vec::new(),
            approve: fields.table("approve").and_then(|fields| self.approval(fields, problems)),
        }
    }

    fn approval(&self, fields: &Fields, problems: &mut Vec<Diagnostic>) -> Option<ApprovalRule> {
        let signers = within(&self.file.folder, fields.text("signers")?);
        let signers = signers.map_err(|error| problems.push(unusable(&error, &fields.span("signers")))).ok()?;
        let count = fields.count("count").copied().unwrap_or(1);
        let rule = ApprovalRule {
            signers,
            count,
            not_author: fields.flag("not-author").copied().unwrap_or(false),
            expires: fields.duration("expires").copied(),
        };
        (count > 0).then_some(rule)
    }
}

fn id(place: usize) -> Option<EnvironmentId> {
    u32::try_from(place).ok().map(EnvironmentId)
}

fn freeze(fields: &Fields, problems: &mut Vec<Diagnostic>) -> Option<Freeze> {
    let mut moment = |key: &str| {
        let text = fields.text(key)?;
        let moment = Moment::parse(text);
        if moment.is_none() {
            let help = "a moment is \"Fri 15:00\" of each week, or once \"2026-12-20\" or \"2026-12-20 15:00\"";
            let message = format!("`{}` is no moment", text.escape_debug());
            problems.push(Diagnostic::error(message, fields.span(key), "not a moment").help(help));
        }
        moment
    };
    let (from, to) = (moment("from"), moment("to"));
    let zone = fields.text("zone")?;
    if jiff::tz::TimeZone::get(zone).is_err() {
        let help = "a zone is a name of the IANA database: Europe/Paris, America/New_York, UTC";
        let message = format!("there is no time zone `{}`", zone.escape_debug());
        problems.push(Diagnostic::error(message, fields.span("zone"), "unknown zone").help(help));
        return None;
    }
    let span = match (from?, to?) {
        (Moment::OfWeek(from), Moment::OfWeek(to)) if from != to => Span::Weekly(from, to),
        (Moment::Day(from), Moment::Day(to)) if from < to => Span::Once(from, to),
        (Moment::Day(_), Moment::Day(_)) | (Moment::OfWeek(_), Moment::OfWeek(_)) => {
            problems.push(Diagnostic::error("a freeze ends before it begins", fields.span("to"), "not after `from`"));
            return None;
        }
        (Moment::OfWeek(_), Moment::Day(_)) | (Moment::Day(_), Moment::OfWeek(_)) => {
            let message = "one end of a freeze is of each week, the other is not";
            problems.push(Diagnostic::error(message, fields.span("to"), "of another form than `from`"));
            return None;
        }
    };
    Some(Freeze { span, zone: zone.to_owned() })
}

fn rollout(builder: &mut Builder<'_>, fields: &Fields, on_abort: Vec<crate::model::stage::Step>, known: &[&str]) -> Rollout {
    let analysis = fields.table("analysis").and_then(|fields| {
        Some(Analysis {
            run: step(builder, fields, "run", &[known, OF_ANALYSIS].concat())?,
            every: fields.duration("every").copied().unwrap_or(EVERY),
            failures: fields.count("failures").copied().unwrap_or(0),
            errors: fields.count("errors").copied().unwrap_or(ERRORS),
            min_samples: fields.count("min-samples").copied().unwrap_or(0),
        })
    });
    Rollout {
        weights: weights(fields, builder.problems),
        pause: pause(fields, builder.problems),
        analysis,
        keep: fields.duration("keep").copied(),
        on_abort,
    }
}

fn weights(fields: &Fields, problems: &mut Vec<Diagnostic>) -> Vec<u8> {
    let Some(counts) = fields.counts("rollout") else { return vec![100] };
    let weights: Vec<u8> = counts.iter().filter_map(|count| u8::try_from(count.value).ok().filter(|weight| *weight <= 100)).collect();
    let rises = weights.windows(2).all(|pair| pair[0] < pair[1]);
    if weights.len() == counts.len() && rises && weights.last() == Some(&100) {
        return weights;
    }
    let help = "shares of the traffic in percent, each more than the one before, the last 100: [5, 25, 50, 100]; a first one of 0 is looked at \
                before users see it";
    problems.push(Diagnostic::error("`rollout` does not lead to 100", fields.span("rollout"), "not a rollout").help(help));
    vec![100]
}

fn pause(fields: &Fields, problems: &mut Vec<Diagnostic>) -> Pause {
    match fields.text("pause") {
        None => Pause::For(Duration::ZERO),
        Some("manual") => Pause::Manual,
        Some(text) => Pause::For(duration::parse(text).unwrap_or_else(|| {
            let message = format!("`{}` is no pause", text.escape_debug());
            let help = format!("a pause is \"manual\", or {}", duration::FORM);
            problems.push(Diagnostic::error(message, fields.span("pause"), "not a pause").help(help));
            Duration::ZERO
        })),
    }
}

/// Says which keys ask for two releases at a time where the target has room for one.
/// `has_pause` tells whether the environment has a `pause` of its own, which no other one is like.
fn check_room(rollout: &Rollout, target: &Target, (fields, has_pause): (&Fields, bool), problems: &mut Vec<Diagnostic>) {
    let name = &target.name;
    let (weights, keep) = match &target.kind {
        Kind::Directory(_) => (Some(format!("the target `{name}` is a directory, whose link leads to one release")), None),
        Kind::Command(commands) if commands.slots.is_empty() => {
            let why = format!("the target `{name}` has no `slots`, so what is started takes the place of what serves");
            (Some(why.clone()), Some(why))
        }
        Kind::Command(commands) if commands.shift.is_none() => {
            (Some(format!("the target `{name}` has no `shift`, so nothing gives a release its share of the traffic")), None)
        }
        Kind::Command(_) | Kind::Process(_) | Kind::Flag(_) => (None, None),
    };
    if rollout.pause == Pause::Manual && rollout.weights == [100] && has_pause {
        let message = "nothing waits for `resume`: the release gets all of the traffic at once";
        let help = if weights.is_none() { "rollout = [0, 100] starts it and waits before users see it" } else { "take it out" };
        problems.push(Diagnostic::error(message, fields.span("pause"), "of no use").help(help));
    }
    if let Some(why) = weights.filter(|_| rollout.weights != [100]) {
        problems.push(Diagnostic::error(why, fields.span("rollout"), "needs two at a time").help("rollout = [100]"));
    }
    if let Some(why) = keep.filter(|_| rollout.keep.is_some()) {
        problems.push(Diagnostic::error(why, fields.span("keep"), "nothing is kept").help("take it out, or give the target two slots"));
    }
}

/// Says which environments wait for each other in a circle.
fn check_order(environments: &[Environment], tables: &[(At<String>, Fields)], problems: &mut Vec<Diagnostic>) {
    let reaches_itself = |start: usize| {
        let mut seen = vec![false; environments.len()];
        let mut open: Vec<usize> = environments[start].admission.from.iter().map(|id| id.0 as usize).collect();
        while let Some(place) = open.pop() {
            if place == start {
                return true;
            }
            if !std::mem::replace(&mut seen[place], true) {
                open.extend(environments[place].admission.from.iter().map(|id| id.0 as usize));
            }
        }
        false
    };
    if let Some(place) = (0..environments.len()).find(|place| reaches_itself(*place)) {
        let message = format!("`{}` is available only where it was verified in itself", environments[place].name);
        problems.push(Diagnostic::error(message, tables[place].1.span("from"), "leads back"));
    }
}
