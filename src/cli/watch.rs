//! `watch`: runs, and runs again as what the stages read changes.
//!
//! Every run begins with a look at all that its stages read, with watches in place for whatever happens after it. What is found
//! otherwise than at that look, while the run goes on or later, makes another run; nothing else does.
//!
//! ```text
//! look --> run --> look: the same --> wait for a hint --> look: the same --> wait ...
//!  ^        | changed meanwhile: end it         |                 | changed
//!  `--------+-----------------------------------+-----------------'      pipeline.toml changed: read it anew, first
//! ```

use std::time::Instant;

use clap::Args;
use crossbeam_channel::bounded;

use super::ends::Ends;
use super::execute::{Execution, How};
use super::failing::Failing;
use super::flags::{Format, Global};
use super::lookout::{Definition, Lookout, Scene, Sight};
use super::origin::Origin;
use super::project::{Project, invocation};
use super::reports::Reports;
use super::screen::Screen;
use super::session::{Session, Wish};
use crate::engine::plan::Plan;
use crate::engine::predict::Foresight;
use crate::engine::run::Run;
use crate::engine::traces::Belief;
use crate::model::outcome::Exit;
use crate::model::select::{Request, Selection};
use crate::notice::change::{self, Change};
use crate::notice::vigil::{Activity, Todo};

/// The flags of `watch`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Stages to run; without any, the pipeline's default
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
    #[command(flatten)]
    how: How,
    /// Look for changes every second, where the system does not tell of them: network file systems
    #[arg(long)]
    poll: bool,
}

/// What a watch knows from run to run.
struct Watch<'a> {
    global: &'a Global,
    arguments: &'a Arguments,
    ends: Ends,
    lookout: Lookout,
    /// What makes the next run.
    news: Vec<Change>,
    /// What the last run came to; `None` before the first.
    verdict: Option<Exit>,
    is_trouble_said: bool,
    /// When the steps of the last run ran.
    activity: Activity,
}

/// Runs, again and again, until a signal comes or nobody reads what is written.
pub(super) fn run(global: &Global, arguments: &Arguments, screen: &mut Screen) -> Result<Exit, Failing> {
    let ends = Ends::hear()?;
    // What is wrong from the start ends the command, as it ends any other.
    let mut origin = Origin::default();
    let project = Project::load_from(global, &mut origin)?;
    // The folder that shipway was called in may be replaced by another one of the same name.
    let there = Global { file: Some(project.root.join(&project.file)), ..global.clone() };
    let lookout = Lookout::new(arguments.poll);
    let mut watch =
        Watch { global, arguments, ends, lookout, news: Vec::new(), verdict: None, is_trouble_said: false, activity: Activity::None };
    loop {
        let before = watch.lookout.attend(&Scene { origin: &origin, plan: None, jobs: 1 });
        let mut read_from = origin.clone();
        let loaded = Project::load_from(&there, &mut read_from);
        if read_from != origin {
            // Not all of it was looked at before it was read.
            origin = read_from;
            continue;
        }
        let result = loaded.and_then(|project| watch.keep(&project, &origin, &before.definition, screen));
        let over = match result {
            Ok(over) => over,
            Err(failing) if watch.verdict.is_none() => return Err(failing),
            Err(failing) => watch.await_mending(failing, &origin, &before, screen),
        };
        if let Some(exit) = over {
            return Ok(exit);
        }
    }
}

impl Watch<'_> {
    /// Says what is wrong with the pipeline, and waits until its files change. Returns what to exit with where it is over.
    fn await_mending(&mut self, failing: Failing, origin: &Origin, before: &Sight, screen: &mut Screen) -> Option<Exit> {
        if !self.news.is_empty() {
            self.say_start(screen);
        }
        let verdict = screen.explain(failing);
        self.verdict = Some(verdict);
        self.say_waiting(verdict, screen);
        let scene = Scene { origin, plan: None, jobs: 1 };
        loop {
            if let Some(exit) = self.ends.exit(verdict) {
                return Some(exit);
            }
            self.news = self.lookout.attend(&scene).since(before, &origin.root);
            if !self.news.is_empty() {
                return None;
            }
            self.lookout.wait(&scene, &self.ends.over);
        }
    }

    /// Runs the stages of one state of the pipeline's files, until these are not as they were `before`: then there is nothing to exit with.
    fn keep(&mut self, project: &Project, origin: &Origin, before: &Definition, screen: &mut Screen) -> Result<Option<Exit>, Failing> {
        let pipeline = &project.pipeline;
        let request = Request { stages: self.arguments.stages.clone(), only: false, skip: Vec::new() };
        let plan = Plan::new(pipeline, Selection::new(pipeline, &request)?, &project.root, &invocation(self.global), Vec::new())
            .map_err(|error| Failing::usage(error.to_string()))?;
        let how = &self.arguments.how;
        let wish = Wish { keeps_services: true, ..how.wish() };
        let mut session: Option<Session> = None;
        loop {
            // What runs steps lives on from run to run; not where its `.shipway/` has been removed.
            let mut open = match session.take().filter(Session::is_there) {
                Some(mut session) => {
                    session.renew();
                    session
                }
                None => Session::open(project, &plan, wish, how.is_coloured(screen))?,
            };
            let seen = self.look(origin, &plan, &open);
            if seen.definition != *before {
                break;
            }
            let verdict = self.run_once((project, origin), &plan, &open, &seen, screen)?;
            self.verdict = Some(verdict);
            if let Some(trouble) = open.pause() {
                screen.warn(&trouble);
            }
            if let Some(exit) = self.ends.exit(verdict) {
                return Ok(Some(exit));
            }
            let is_over = self.rest(origin, &plan, &mut open, seen, screen);
            if let Some(exit) = self.ends.exit(verdict) {
                return Ok(Some(exit));
            }
            if is_over {
                break;
            }
            session = Some(open);
        }
        Ok(None)
    }

    fn look(&mut self, origin: &Origin, plan: &Plan<'_>, session: &Session) -> Sight {
        let means = session.means();
        self.lookout.attend(&Scene { origin, plan: Some((plan, &means)), jobs: self.arguments.how.jobs() })
    }

    /// Runs the plan once, and ends the run where what it began with changes.
    fn run_once(
        &mut self,
        (project, origin): (&Project, &Origin),
        plan: &Plan<'_>,
        session: &Session,
        seen: &Sight,
        screen: &mut Screen,
    ) -> Result<Exit, Failing> {
        let (how, global) = (&self.arguments.how, self.global);
        let run = Run::new().map_err(|error| anyhow::anyhow!("no pipe can be made: {error}"))?;
        let interrupter = run.interrupter();
        self.ends.hand_to(Some(interrupter.clone()));
        if let Some(exit) = self.ends.exit(Exit::Passed) {
            return Ok(exit);
        }
        self.say_start(screen);
        let notices: Vec<String> = self.trouble().into_iter().collect();
        let (is_first, reports) = (self.verdict.is_none(), Reports::new(project, &[])?);
        let lookout = &mut self.lookout;
        lookout.vigil.begin();
        let means = session.means();
        let scene = Scene { origin, plan: Some((plan, &means)), jobs: how.jobs() };
        let (done, over) = bounded(0);
        let ran = std::thread::scope(|scope| {
            scope.spawn(|| lookout.oversee(&scene, seen, plan.root(), &interrupter, &over));
            let ran = Execution::prepare(&run, global, how, plan, session, &reports, screen).map(|mut ready| {
                let exit = ready.go(run, project, &notices, reports, screen);
                (exit, ready.steps.activity())
            });
            drop(done);
            ran
        });
        self.ends.hand_to(None);
        let (exit, activity) = match ran {
            // What is missing may come.
            Err(failing) if !is_first => (screen.explain(failing), Activity::None),
            ran => ran?,
        };
        self.activity = activity;
        Ok(exit)
    }

    /// Waits until there is a reason for another run. Returns true where the pipeline's files changed.
    fn rest(&mut self, origin: &Origin, plan: &Plan<'_>, session: &mut Session, mut seen: Sight, screen: &mut Screen) -> bool {
        let mut has_run = true;
        loop {
            let now = self.look(origin, plan, session);
            let changes = now.since(&seen, plan.root());
            if now.definition != seen.definition {
                self.lookout.vigil.end(Instant::now(), Activity::None, &[], || true);
                self.news = changes;
                return true;
            }
            let how = &self.arguments.how;
            let proven = || is_proven(plan, session, how);
            let vigil = &mut self.lookout.vigil;
            let todo = if has_run { vigil.end(Instant::now(), self.activity, &changes, proven) } else { vigil.looked(&changes, proven) };
            let means = session.means();
            let scene = Scene { origin, plan: Some((plan, &means)), jobs: 1 };
            if todo == Todo::Run {
                self.news = changes;
                self.lookout.settle(&scene, &self.ends.over);
                return false;
            }
            if todo == Todo::Stop {
                screen.warn(&restless(&changes));
            }
            if !changes.is_empty() {
                seen = now;
            }
            if has_run {
                self.say_waiting(self.verdict.unwrap_or(Exit::Passed), screen);
            }
            has_run = false;
            if !self.lookout.wait(&scene, &self.ends.over) {
                return true;
            }
        }
    }

    /// Returns, once, why changes are not heard of, where they should be.
    fn trouble(&mut self) -> Option<String> {
        let trouble = self.lookout.trouble().filter(|_| !self.is_trouble_said)?;
        let text = format!("changes are not heard of, so they are looked for every second: {trouble}");
        self.is_trouble_said = true;
        Some(text)
    }

    fn is_told(&self) -> bool {
        self.arguments.how.format == Format::Text && !self.global.quiet
    }

    fn say_start(&self, screen: &mut Screen) {
        let news = match (self.news.as_slice(), self.lookout.watched()) {
            ([], Some(folders)) => format!("watching {}", crate::base::text::count(folders, "folder")),
            ([], None) => "looking for changes every second".to_owned(),
            (news, _) => change::say(news),
        };
        self.say_rule(&news, screen);
    }

    fn say_waiting(&self, verdict: Exit, screen: &mut Screen) {
        let theme = screen.err_theme;
        let verdict = match verdict {
            Exit::Passed => theme.good("passed"),
            Exit::Failed => theme.bad("failed"),
            Exit::Usage | Exit::Surroundings | Exit::RolledBack | Exit::RollbackFailed | Exit::Waiting => theme.bad("cannot run"),
            Exit::Interrupted(_) => theme.warn("interrupted"),
        };
        self.say_rule(&format!("{verdict}; waiting for changes, Ctrl-C ends"), screen);
    }

    fn say_rule(&self, text: &str, screen: &mut Screen) {
        if self.is_told() {
            let time = jiff::ZonedDateTime::now().strftime("%H:%M:%S").to_string();
            let rule = screen.err_theme.faint(&format!("── {time} ──"));
            screen.say(&format!("{rule} {text}"));
        }
    }
}

/// Tells whether a run would find all its results known: then nothing that was written holds anything new.
fn is_proven(plan: &Plan<'_>, session: &mut Session, how: &How) -> bool {
    session.renew();
    let proven = Run::new().ok().is_some_and(|run| {
        let memory = run.prepare(plan, &session.means(), how.jobs(), Belief::Nothing);
        memory.is_ok_and(|memory| memory.predict().iter().all(|stage| stage.foresight == Some(Foresight::Hit)))
    });
    // What the store needs to know of a run is of no use to one that waits.
    let _said = session.pause();
    proven
}

/// Says that runs change what they read.
fn restless(changes: &[Change]) -> String {
    format!(
        "{} in every run while it went on: if a step writes it, declare it as an output, or keep it out of `inputs`; \
         what changed in the last run was not run again",
        change::say(changes)
    )
}
