//! `hook run`: tests what is pushed, or what is to be committed, and nothing else.
//!
//! ```text
//! refs on standard input --git::pushed--> commits | the index --> its tree
//! each: are the files here provably that, and nothing else?  yes: in place    no: in a checkout aside, --git::aside-->
//! either way over the same store, so that what has passed before costs the look-up
//! ```

use std::fs;
use std::io::{IsTerminal, Read};
use std::path::{Component, Path, PathBuf};

use anyhow::Context;

use super::execute::{Done, How, once};
use super::failing::Failing;
use super::flags::Global;
use super::project::{FILE, Project, invocation};
use super::screen::Screen;
use super::session::{Session, store_folder, user_cache};
use crate::base::glob::{Glob, escape};
use crate::base::state::STATE;
use crate::base::text::{count, shell_quote, visible};
use crate::cache::hold::Holds;
use crate::engine::plan::Plan;
use crate::engine::run::Interrupter;
use crate::git::aside::{Aside, AsideError, Wanted};
use crate::git::home::Home;
use crate::git::pushed::{Push, PushedCommit, PushedRef};
use crate::git::repo::GitError;
use crate::git::same::{self, Content};
use crate::git::tracked::{Spared, Tracked};
use crate::model::outcome::Exit;
use crate::model::pipeline::Pipeline;
use crate::model::select::{Request, Selection};

/// Which hook of git this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hook {
    PrePush,
    PreCommit,
}

/// What is to be tested.
struct Subject<'s> {
    content: Content<'s>,
    /// The commit that HEAD is to be, and the tree of files.
    wanted: Wanted<'s>,
    /// What people call it.
    name: String,
}

/// Where it was tested, and what came of it.
struct Tested {
    done: Done,
    folder: PathBuf,
}

/// A run in some folder, or why it cannot be there.
enum Ran {
    Tested(Tested),
    Unfit(String),
}

/// Tests what one call of a hook is about.
struct Bench<'b> {
    global: &'b Global,
    hook: Hook,
    home: Home,
    /// The pipeline's file, relative to the repository's files.
    pipeline: PathBuf,
    how: How,
    aside: Option<Aside>,
    /// The runs that are over: a signal that came later was heard by them alone.
    over: Vec<Interrupter>,
}

/// Tests the commits that are pushed to `remote`, as the lines on standard input say.
pub(super) fn pre_push(global: &Global, remote: &str, screen: &mut Screen) -> Result<Exit, Failing> {
    if is_skipped() {
        return Ok(Exit::Passed);
    }
    if std::io::stdin().is_terminal() {
        let help = "`git push` calls it where `shipway hook install` was run; by hand: git gives lines of `githooks`, pre-push";
        return Err(Failing::usage_with_help("what is pushed is read from standard input", help));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
    let refs = PushedRef::read(&text)
        .map_err(|line| Failing::usage(format!("`{}` is no line that git gives to a pre-push hook", visible(&line))))?;
    if refs.is_empty() {
        return Ok(Exit::Passed);
    }
    let mut bench = Bench::new(global, Hook::PrePush)?;
    let push = Push::new(&bench.home, remote, refs)?;
    for odd in &push.odd {
        bench.say(screen, &format!("`{}` leads to no commit: there is nothing to test", visible(&odd.name)));
    }
    for (index, pushed) in push.commits.iter().enumerate() {
        let tree = format!("{}^{{tree}}", pushed.commit);
        let wanted = Wanted { head: &pushed.commit, tree: &tree };
        let subject = Subject { content: Content::Commit(&pushed.commit), wanted, name: name_of(pushed) };
        let exit = bench.judge(&subject, screen)?;
        if exit != Exit::Passed {
            let rest = push.commits.len() - index - 1;
            if rest > 0 {
                bench.say(screen, &format!("  {} not tested", count(rest, "more commit") + if rest == 1 { " was" } else { " were" }));
            }
            return Ok(exit);
        }
    }
    if push.commits.is_empty() && push.known > 0 {
        bench.say(screen, "pre-push: nothing new for the remote, nothing to test");
    }
    Ok(Exit::Passed)
}

/// Tests what is to be committed.
pub(super) fn pre_commit(global: &Global, screen: &mut Screen) -> Result<Exit, Failing> {
    if is_skipped() {
        return Ok(Exit::Passed);
    }
    let mut bench = Bench::new(global, Hook::PreCommit)?;
    let index = bench.home.index();
    if !index.exists() {
        return Ok(Exit::Passed);
    }
    // Git itself is about to write the index: what is looked at here is a copy, as old as it is, since git compares its age with that of
    // files.
    let folder = tempfile::Builder::new().prefix("shipway-index-").tempdir().context("there is no place for a copy of the index")?;
    let copy = folder.path().join("index");
    let copied = fs::copy(&index, &copy).and_then(|_| {
        let modified = fs::metadata(&index)?.modified()?;
        fs::File::options().write(true).open(&copy)?.set_modified(modified)
    });
    copied.context("the index cannot be copied")?;
    let tree_index = folder.path().join("index-for-tree");
    fs::copy(&copy, &tree_index).context("the index cannot be copied")?;
    let tree = bench.home.tree_of_index(&tree_index)?;
    let head = bench.home.commits(&["HEAD".to_owned()])?.into_iter().next().flatten();
    let head = head.map_or_else(|| bench.home.orphan(&tree), Ok)?;
    let wanted = Wanted { head: &head, tree: &tree };
    bench.judge(&Subject { content: Content::Index(&copy), wanted, name: "what is to be committed".to_owned() }, screen)
}

impl<'b> Bench<'b> {
    fn new(global: &'b Global, hook: Hook) -> Result<Self, Failing> {
        let home = Home::here()?;
        let pipeline = pipeline_of(global, &home)?;
        Ok(Self { global, hook, home, pipeline, how: How::of_environment()?, aside: None, over: Vec::new() })
    }

    /// Tests the subject, and says what to do where it did not pass.
    fn judge(&mut self, subject: &Subject<'_>, screen: &mut Screen) -> Result<Exit, Failing> {
        let act = self.hook.act();
        let skip = format!("SHIPWAY_HOOK=0 git {act}, or git {act} --no-verify");
        let tested = self.test(subject, screen);
        if let (Some(signal), false) = (self.signal(), matches!(tested, Ok(Some(_)))) {
            screen.say(&format!("interrupted: nothing is {}", self.hook.participle()));
            return Ok(Exit::Interrupted(signal));
        }
        let done = match &tested {
            Ok(None) => return Ok(Exit::Passed),
            Ok(Some(Tested { done, .. })) if done.exit == Exit::Passed => return Ok(Exit::Passed),
            Ok(Some(Tested { done, .. })) => Some(done),
            Err(_) => None,
        };
        let theme = screen.err_theme;
        let stopped = format!("nothing is {}", self.hook.participle());
        match done {
            Some(Done { exit: Exit::Interrupted(_), .. }) => screen.say(&format!("{} {stopped}", theme.warn("interrupted:"))),
            Some(_) => screen.say(&format!("{} {} did not pass", theme.bad(&format!("{stopped}:")), subject.name)),
            None => screen.say(&format!("{} {} could not be tested", theme.bad(&format!("{stopped}:")), subject.name)),
        }
        if let Ok(Some(Tested { done, folder })) = &tested {
            let report = if self.records().is_some() {
                format!("shipway report {}", done.id)
            } else {
                format!("shipway -C {} report {}", shell_quote(&folder.to_string_lossy()), done.id)
            };
            screen.say(&format!("  where it ran: {}\n  see it again: {report}", visible(&folder.to_string_lossy())));
        }
        screen.say(&format!("  without it:   {skip}"));
        tested.map(|tested| tested.map_or(Exit::Passed, |tested| tested.done.exit))
    }

    /// Tests the subject where that can be done; `None` where it holds no pipeline.
    fn test(&mut self, subject: &Subject<'_>, screen: &mut Screen) -> Result<Option<Tested>, Failing> {
        let path = self.pipeline.to_string_lossy().into_owned();
        if self.home.object(&format!("{}:{path}", subject.wanted.tree.trim_end_matches("^{tree}")))?.is_none() {
            self.say(screen, &format!("{}: {} holds no {}: passed by", self.hook.name(), subject.name, visible(&path)));
            return Ok(None);
        }
        let reason = match same::change(&self.home, subject.content)? {
            Some(reason) => reason,
            None => match self.test_in_place(subject, screen)? {
                Ran::Unfit(_) if self.signal().is_some() => return Ok(None),
                Ran::Tested(tested) => return Ok(Some(tested)),
                Ran::Unfit(reason) => reason,
            },
        };
        self.say(screen, &format!("{}: {} is tested aside, because {reason}", self.hook.name(), subject.name));
        self.test_aside(subject, screen).map(Some)
    }

    fn test_in_place(&mut self, subject: &Subject<'_>, screen: &mut Screen) -> Result<Ran, Failing> {
        let home = self.home.clone();
        let Some(root) = home.root() else { return Ok(Ran::Unfit("this repository is bare".to_owned())) };
        let ran = self.run_in(root, &mut |spared| Ok(same::addition(&home, subject.content, spared)?), screen)?;
        if let Ran::Tested(tested) = &ran
            && tested.done.exit == Exit::Passed
            && let Some(reason) = same::change(&home, subject.content)?
        {
            return Ok(Ran::Unfit(format!("it changed while it was tested: {reason}")));
        }
        Ok(ran)
    }

    fn test_aside(&mut self, subject: &Subject<'_>, screen: &mut Screen) -> Result<Tested, Failing> {
        if self.aside.is_none() {
            self.aside = Some(self.take_aside(screen)?);
        }
        let aside = self.aside.take().context("the checkout aside is gone")?;
        let mut notices = Vec::new();
        let updated = aside.update(&self.home, subject.wanted, &mut |notice| notices.push(notice));
        notices.iter().for_each(|notice| screen.warn(notice));
        let tracked: Tracked = updated?;
        let mut clean = |spared: &Spared<'_>| {
            aside.clean(&tracked, spared)?;
            Ok(None)
        };
        let ran = self.run_in(aside.folder(), &mut clean, screen)?;
        self.aside = Some(aside);
        match ran {
            Ran::Tested(tested) => Ok(tested),
            Ran::Unfit(reason) => Err(anyhow::anyhow!("the checkout aside cannot be used: {reason}").into()),
        }
    }

    /// Takes the checkout aside for us alone, also from what a killed shipway has left running there.
    fn take_aside(&self, screen: &mut Screen) -> Result<Aside, Failing> {
        let cache = user_cache().context("neither XDG_CACHE_HOME nor HOME says where a checkout aside could be")?;
        let folder = Aside::place(&self.home, &cache, &self.pipeline);
        let shown = visible(&folder.to_string_lossy()).into_owned();
        // A hook that a step's own push has called may be what the other waits for.
        let is_in_step = std::env::var_os("SHIPWAY").is_some();
        let mut said = false;
        let mut wait = |what: &str| {
            if !std::mem::replace(&mut said, true) {
                screen.say(&format!("{}: waits for another {what} in `{shown}`", self.hook.name()));
            }
            !is_in_step && self.signal().is_none()
        };
        let aside = Aside::take(&folder, || wait("hook, which tests"))?;
        let state = aside.folder().join(self.pipeline.parent().unwrap_or(Path::new(""))).join(STATE);
        Holds::await_end(&state, || wait("run"));
        Ok(aside)
    }

    /// Runs the hook's stages in the checkout at `folder`, once `check` has said that nothing there is in the way.
    fn run_in(
        &mut self,
        folder: &Path,
        check: &mut dyn FnMut(&Spared<'_>) -> Result<Option<String>, Failing>,
        screen: &mut Screen,
    ) -> Result<Ran, Failing> {
        let mut project = Project::load(&Global { file: Some(folder.join(&self.pipeline)), ..self.global.clone() })?;
        project.kept = self.records().unwrap_or_else(|| project.root.clone());
        let pipeline = &project.pipeline;
        let request = Request { stages: self.hook.stages(pipeline), ..Request::default() };
        let file = (project.file != FILE).then(|| PathBuf::from(&project.file));
        let again = Global { file, directory: Some(project.root.clone()), ..self.global.clone() };
        let plan = Plan::new(pipeline, Selection::new(pipeline, &request)?, &project.root, &invocation(&again), Vec::new())
            .map_err(|error| Failing::usage(error.to_string()))?;
        let mut outputs: Vec<Glob> = plan.stages.iter().flat_map(|id| pipeline.stage(*id).outputs.clone()).collect();
        let store = store_folder(&pipeline.cache, &project.kept);
        let store = store.as_deref().and_then(|store| store.strip_prefix(&project.root).ok()).and_then(Path::to_str);
        outputs.extend(store.and_then(|store| Glob::new("", &escape(store)).ok()));
        let below = self.pipeline.parent().unwrap_or(Path::new(""));
        if let Some(reason) = check(&Spared { pipeline: below, outputs: &outputs })? {
            return Ok(Ran::Unfit(reason));
        }
        if self.signal().is_some() {
            return Ok(Ran::Unfit("the hook was interrupted".to_owned()));
        }
        let session = Session::open(&project, &plan, self.how.wish(), self.how.is_coloured(screen))?;
        let done = once(self.global, &self.how, &project, &plan, &session, screen)?;
        if let Some(trouble) = session.close() {
            screen.warn(&trouble);
        }
        self.over.push(done.interrupter.clone());
        Ok(Ran::Tested(Tested { done, folder: project.root.clone() }))
    }

    /// Returns the folder that runs are recorded in: the pipeline's in the working tree, where `shipway runs` finds them.
    fn records(&self) -> Option<PathBuf> {
        self.home.root().map(|root| root.join(self.pipeline.parent().unwrap_or(Path::new("")))).filter(|folder| folder.is_dir())
    }

    /// Returns the signal that came after a run was over.
    fn signal(&self) -> Option<i32> {
        self.over.iter().find_map(Interrupter::signal)
    }

    fn say(&self, screen: &mut Screen, line: &str) {
        if !self.global.quiet {
            screen.say(line);
        }
    }
}

impl Hook {
    fn name(self) -> &'static str {
        match self {
            Self::PrePush => "pre-push",
            Self::PreCommit => "pre-commit",
        }
    }

    fn act(self) -> &'static str {
        match self {
            Self::PrePush => "push",
            Self::PreCommit => "commit",
        }
    }

    fn participle(self) -> &'static str {
        match self {
            Self::PrePush => "pushed",
            Self::PreCommit => "committed",
        }
    }

    /// Returns the names of the stages to run; none for the pipeline's default.
    fn stages(self, pipeline: &Pipeline) -> Vec<String> {
        let stages = match self {
            Self::PrePush => &pipeline.hook.pre_push,
            Self::PreCommit => &pipeline.hook.pre_commit,
        };
        stages.iter().flatten().map(|id| pipeline.stage(*id).name.to_string()).collect()
    }
}

/// Tells whether the user wants no test this time.
fn is_skipped() -> bool {
    std::env::var_os("SHIPWAY_HOOK").is_some_and(|value| value == "0")
}

/// Returns how people know a commit: the first digits of its name, and the ref that brings it.
fn name_of(pushed: &PushedCommit) -> String {
    let short = pushed.commit.get(..10).unwrap_or(&pushed.commit);
    let name = pushed.refs.first().map(|pushed| pushed.remote_name.as_str()).unwrap_or_default();
    let name = ["refs/heads/", "refs/"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    format!("{short} ({})", visible(name))
}

/// Returns the pipeline's file, relative to the repository's files: it need not be there now, since commits may hold it.
pub(super) fn pipeline_of(global: &Global, home: &Home) -> Result<PathBuf, Failing> {
    let Some(root) = home.root() else {
        return Ok(global.file.clone().unwrap_or_else(|| FILE.into()));
    };
    let here = std::env::current_dir().context("the current folder is not there")?;
    // Files that lie apart from their repository may be pushed from anywhere.
    let here = if here.starts_with(root) { here } else { root.to_owned() };
    let path = global.file.as_ref().map_or_else(
        || {
            let folders = here.ancestors().take_while(|folder| folder.starts_with(root));
            let found = folders.map(|folder| folder.join(FILE)).find(|path| path.symlink_metadata().is_ok());
            found.unwrap_or_else(|| root.join(FILE))
        },
        |file| normal(&here.join(file)),
    );
    let inside = path.strip_prefix(root).ok().filter(|path| path.to_str().is_some_and(|path| !path.contains(char::is_control)));
    inside.map(Path::to_owned).ok_or_else(|| {
        Failing::usage(format!(
            "`{}` does not lie in the repository at `{}`, or has a name that a hook cannot hold",
            visible(&path.to_string_lossy()),
            visible(&root.to_string_lossy())
        ))
    })
}

/// Returns the absolute path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => normal.push(part),
        }
        normal
    })
}

impl From<GitError> for Failing {
    fn from(error: GitError) -> Self {
        Self::Surroundings(anyhow::Error::new(error))
    }
}

impl From<AsideError> for Failing {
    fn from(error: AsideError) -> Self {
        Self::Surroundings(anyhow::Error::new(error))
    }
}
