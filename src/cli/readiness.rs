//! Waits until what a target has started can be used.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::Signal;

use super::crew::{Crew, Task};
use super::failing::Failing;
use super::screen::Screen;
use super::signals;
use crate::base::duration::show;
use crate::base::placeholder::fill;
use crate::base::text::visible;
use crate::delivery::command::Told;
use crate::delivery::target::TargetError;
use crate::engine::plan::Plan;
use crate::exec::cancel::Cancel;
use crate::exec::executor::{Executor, GRACE, Owner, StepCommand};
use crate::exec::probe::{self, Found, look_from_outside};
use crate::model::service::{Address, Ready};
use crate::model::stage::{Command, StageId, Step};
use crate::model::target::{Readiness, Sign};

/// How often it is asked: soon at first, then at most so often.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What commands are told, and what says why it never will be ready, where that is so.
type About<'a> = (&'a Told, &'a mut dyn FnMut() -> Option<String>);

/// Waits until `ready` holds for what commands are told so.
pub(super) fn wait(crew: &Crew<'_>, ready: &Readiness, about: About<'_>, screen: &mut Screen) -> Result<(), TargetError> {
    try_wait(crew, ready, about, screen).unwrap_or_else(|failing| {
        let exit = screen.explain(failing);
        Err(TargetError::Unable(format!("whether it is ready cannot be asked (exit code {})", exit.code())))
    })
}

fn try_wait(crew: &Crew<'_>, ready: &Readiness, (told, lost): About<'_>, screen: &mut Screen) -> Result<Result<(), TargetError>, Failing> {
    let cancel = Arc::new(Cancel::new().context("no pipe can be made")?);
    let heard = cancel.clone();
    signals::hear(move |signal| heard.interrupt(signal)).context("signals cannot be heard")?;
    let sign = sign(&ready.sign, told)?;
    let command = if let Sign::Command(command) = &ready.sign { command.clone() } else { Command::Argv(vec!["true".to_owned()]) };
    let step = Step { label: "ready".into(), command, dir: String::new(), env: Told::new(), timeout: None, retries: 0 };
    let pipeline = crew.pipeline(&Task { phase: "ready", steps: &[step], told, lets_stay: false, again: None });
    let plan = Plan::of_task(&pipeline, &crew.project.root, None);
    let session = crew.session(&plan, screen)?;
    let stage = pipeline.stage(StageId(0));
    let deadline = Instant::now() + ready.within;
    let question = StepCommand {
        words: plan.words(StageId(0), &stage.steps[0].command),
        dir: plan.root().to_owned(),
        env: session.caller.of_step(&stage.name, &stage.pass_env, &stage.secrets, [&stage.env, &Told::new()]),
        owner: Owner::Stage(stage.name.clone()),
        deadline: Some(deadline),
        stop: Signal::TERM,
        grace: GRACE,
    };
    let (mut pause, mut missing) = (FIRST_PAUSE, None);
    let waited = loop {
        let found = look_from_outside(&session.executor, &cancel, &sign, Some(&question));
        if let Some(signal) = cancel.signal() {
            break Err(TargetError::Interrupted(signal));
        }
        if let Some(why) = lost() {
            break Err(TargetError::Failed(why));
        }
        let why = match found {
            Found::Ready => break Ok(()),
            Found::NotYet(why) | Found::Foreign(why) => why,
        };
        if missing.is_none() {
            screen.progress(&format!(
                "{}: waits until it is ready, at most {} (not yet: {why})",
                crew.environment.name,
                show(ready.within)
            ));
        }
        if Instant::now() >= deadline {
            // A question that was cut short says less than the answer before it.
            let why = missing.unwrap_or(why);
            break Err(TargetError::Failed(format!("it was not ready after {}: {why}", show(ready.within))));
        }
        missing = Some(why);
        cancel.pause(pause.min(deadline.saturating_duration_since(Instant::now())));
        pause = (pause * 2).min(LONGEST_PAUSE);
    };
    session.executor.finish().iter().for_each(|line| screen.warn(line));
    Ok(waited)
}

/// Returns the sockets of this machine at which somebody answers that it is ready, where that can be learnt.
pub(super) fn who_answers(ready: &Readiness, told: &Told) -> Option<BTreeSet<u64>> {
    probe::who_answers(&sign(&ready.sign, told).ok()?)
}

/// Returns what shows it, with what commands are told in its place.
fn sign(sign: &Sign, told: &Told) -> Result<Ready, Failing> {
    let filled = |text: &str| fill(text, |name| told.get(name).map(String::as_str));
    Ok(match sign {
        Sign::Http(text) => {
            let text = filled(text);
            Ready::Http(Address::parse(&text).map_err(|_| Failing::usage(format!("`{}` is no address that can be asked", visible(&text))))?)
        }
        Sign::Port(text) => {
            let text = filled(text);
            Ready::Port(text.parse().map_err(|_| Failing::usage(format!("`{}` is no port", visible(&text))))?)
        }
        Sign::Command(command) => Ready::Command(command.clone()),
    })
}
