//! Which programs a run's stages start, and what tells one from another.
//!
//! Questions (`rustc -vV`) are asked once a run, all at once, before any stage; files are looked at when a key is made, since a step may
//! install a program.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::mention::Mention;
use super::plan::Plan;
use crate::base::digest::Hash;
use crate::base::program::find;
use crate::base::stamp::Stamp;
use crate::base::text::{shell_join, visible};
use crate::cache::files::Files;
use crate::cache::fingerprint;
use crate::exec::cancel::Cancel;
use crate::exec::environment::Caller;
use crate::exec::executor::{Ending, Executor, GRACE, Owner, StepCommand};
use crate::inputs::claimed::Claimed;
use crate::model::event::Stream;
use crate::model::stage::{Command, Stage, StageId, Step};
use crate::programs::identity::{Program, identify};
use crate::programs::shim::{Shim, advice};
use crate::programs::tools::{Declared, Named, Programs, declared, is_asked, programs};

/// How long a question may take.
const LONGEST: Duration = Duration::from_mins(1);

/// How many questions are asked at once: most wait for files, not for a processor.
const AT_ONCE: usize = 8;

/// A declared tool that cannot be asked (contract, section 4: exit 3 before any run).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tool `{tool}` of `{stage}` {reason}")]
pub struct ToolError {
    tool: String,
    stage: String,
    reason: String,
}

/// A command that tells which version of a program this is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Question {
    words: Vec<String>,
    dir: PathBuf,
    env: Vec<(OsString, OsString)>,
}

/// What a mention was found to mean.
#[derive(Debug, Clone)]
struct Meaning {
    program: Program,
    /// The file that the name led to, as it was then.
    file: Option<(PathBuf, Stamp)>,
}

impl Meaning {
    fn of(name: &str, path: Option<&OsStr>, dir: &Path) -> Self {
        Self { file: leads_to(name, path, dir), program: identify(name, path, dir) }
    }

    /// Tells whether the name still means the same: it leads to the same file, and nothing but that file says what it is.
    fn still_holds(&self, name: &str, path: Option<&OsStr>, dir: &Path) -> bool {
        matches!(&self.program, Program::Files(files) if files.len() == 1) && self.file.is_some() && self.file == leads_to(name, path, dir)
    }
}

fn leads_to(name: &str, path: Option<&OsStr>, dir: &Path) -> Option<(PathBuf, Stamp)> {
    let file = find(name, path, dir).ok()?;
    let stamp = Stamp::of(&file.metadata().ok()?);
    Some((file, stamp))
}

/// What is known of the programs of one run.
#[derive(Debug, Default)]
pub struct Identities {
    answers: HashMap<Question, Result<Hash, String>>,
    /// Programs by name, PATH and directory.
    found: Mutex<HashMap<Mention, Meaning>>,
    is_disturbed: AtomicBool,
    /// What stages make.
    claimed: OnceLock<Claimed>,
    /// What to say of shims, each once.
    pub advice: Vec<String>,
}

/// Who asks, for a stage's programs.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) caller: &'a Caller,
}

impl Asker<'_> {
    fn stage(&self, id: StageId) -> &Stage {
        self.plan.pipeline.stage(id)
    }

    /// Returns all that is started for the stage: its steps, then its services.
    pub(super) fn all(&self, id: StageId) -> Vec<&Step> {
        self.plan.pipeline.started_for(self.stage(id))
    }

    /// Returns the programs that are started for the stage.
    pub(super) fn programs(&self, id: StageId) -> Programs {
        programs(self.stage(id), &self.all(id), &self.commands(id), &self.stage(id).shell)
    }

    /// Returns the commands of all that is started for the stage, as they will be run.
    pub(super) fn commands(&self, id: StageId) -> Vec<Command> {
        self.all(id).into_iter().map(|step| self.plan.command(id, step)).collect()
    }

    /// Returns the question in the surroundings of the stage, without what differs from stage to stage for no reason.
    fn question(&self, id: StageId, words: &[String]) -> Question {
        let stage = self.stage(id);
        let none = BTreeMap::new();
        let mut env = self.caller.of_step("", &stage.pass_env, &[], [&stage.env, &none]);
        env.remove(OsStr::new("SHIPWAY_STAGE"));
        Question { words: words.to_vec(), dir: self.plan.root().join(&stage.dir), env: env.into_iter().collect() }
    }

    fn place(&self, id: StageId, step: Option<usize>) -> (Option<OsString>, PathBuf) {
        let stage = self.stage(id);
        let none = BTreeMap::new();
        let service = step.and_then(|step| step.checked_sub(stage.steps.len())).and_then(|index| stage.services.get(index));
        if let Some(service) = service.map(|id| self.plan.pipeline.service(*id)) {
            let env = self.caller.of_service(&service.name, &service.pass_env, &service.secrets, &service.env);
            return (env.get(OsStr::new("PATH")).cloned(), self.plan.root().join(&service.start.dir));
        }
        let step = step.and_then(|step| stage.steps.get(step));
        let env = self.caller.of_step(&stage.name, &stage.pass_env, &stage.secrets, [&stage.env, step.map_or(&none, |step| &step.env)]);
        let dir = step.map_or(&stage.dir, |step| &step.dir);
        (env.get(OsStr::new("PATH")).cloned(), self.plan.root().join(dir))
    }
}

impl Identities {
    /// Asks every question that the keys of `stages` need.
    ///
    /// # Errors
    /// Where a declared tool is missing or fails.
    pub(super) fn ask(asker: Asker<'_>, stages: &[StageId], executor: &dyn Executor, cancel: &Cancel) -> Result<Self, ToolError> {
        let mut identities = Self::default();
        let mut questions: BTreeMap<Question, StageId> = BTreeMap::new();
        for id in stages {
            let stage = asker.stage(*id);
            for tool in declared(stage) {
                match tool {
                    Declared::Question(words) => {
                        questions.entry(asker.question(*id, words)).or_insert(*id);
                    }
                    Declared::Bare(name) => {
                        let program = identities.find(asker, *id, &Named { name: name.to_owned(), step: usize::MAX });
                        if program == Program::Absent {
                            let reason = "was not found in PATH".to_owned();
                            return Err(ToolError { tool: name.to_owned(), stage: stage.name.to_string(), reason });
                        }
                    }
                }
            }
            // What is never cached has no use for an identity, and nothing can be stale.
            let shims = if stage.cache { identities.shims(asker, *id) } else { Vec::new() };
            for shim in shims {
                identities.note(&shim);
                if shim.is_known {
                    questions.entry(asker.question(*id, &shim.question)).or_insert(*id);
                }
            }
        }
        identities.answers = answers(asker, &questions, executor, cancel);
        if cancel.is_stopped() {
            // Nothing will run, so nothing is missing.
            return Ok(identities);
        }
        for (question, id) in &questions {
            let stage = asker.stage(*id);
            let is_declared = declared(stage).iter().any(|tool| matches!(tool, Declared::Question(words) if **words == *question.words));
            if let (true, Some(Err(reason))) = (is_declared, identities.answers.get(question)) {
                let tool = shell_join(question.words.iter().map(String::as_str));
                return Err(ToolError { tool, stage: stage.name.to_string(), reason: reason.clone() });
            }
        }
        Ok(identities)
    }

    /// Believes no more that a name means what it meant, because a step may change it.
    pub(super) fn disturb(&self) {
        self.is_disturbed.store(true, Ordering::SeqCst);
    }

    /// Returns the files whose content will be asked for, for whoever looks ahead.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let files = found.values().flat_map(|meaning| match &meaning.program {
            Program::Files(files) => files.clone(),
            Program::Shim(shim) => shim.files.clone(),
            Program::Absent => Vec::new(),
        });
        files.collect()
    }

    /// Returns the stage's tools and what identifies them, by name.
    ///
    /// # Errors
    /// Why there is no telling, for people: then the stage has no key.
    pub(super) fn of(&self, asker: Asker<'_>, id: StageId, files: &Files) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let stage = asker.stage(id);
        let mut tools: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        let mut add = |name: &str, value: Vec<u8>| {
            let values = tools.entry(name.to_owned()).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        };
        for tool in declared(stage) {
            if let Declared::Question(words) = tool {
                add(&shell_join(words.iter().map(String::as_str)), self.answer(asker, id, words)?);
            }
        }
        for named in named(asker, id) {
            match self.find(asker, id, &named) {
                Program::Absent => add(&named.name, b"-".to_vec()),
                Program::Files(paths) => add(&named.name, contents(&paths, files)?),
                Program::Shim(shim) => {
                    if !shim.files.is_empty() {
                        add(&named.name, contents(&shim.files, files)?);
                    }
                    match is_asked(stage, &shim.name) {
                        true => {}
                        false if shim.is_known => add(&shim.name, self.answer(asker, id, &shim.question).map_err(|_| advice(&shim))?),
                        false => return Err(advice(&shim)),
                    }
                }
            }
        }
        for named in self.scripts(asker, id) {
            match self.find(asker, id, &named) {
                // The script itself is an input.
                Program::Files(paths) if paths.len() > 1 => {
                    add(&format!("interpreter of {}", shown(asker, &named)), contents(&paths[1..], files)?);
                }
                Program::Shim(shim) if shim.is_known && !shim.files.is_empty() && !is_asked(stage, &shim.name) => {
                    add(&shim.name, self.answer(asker, id, &shim.question).map_err(|_| advice(&shim))?);
                }
                Program::Absent | Program::Files(_) | Program::Shim(_) => {}
            }
        }
        let joined = |values: Vec<Vec<u8>>| fingerprint::list(values.iter().map(Vec::as_slice));
        Ok(tools.into_iter().map(|(name, values)| (name, joined(values))).collect())
    }

    fn answer(&self, asker: Asker<'_>, id: StageId, words: &[String]) -> Result<Vec<u8>, String> {
        match self.answers.get(&asker.question(id, words)) {
            Some(Ok(hash)) => Ok([b"a", hash.0.as_slice()].concat()),
            Some(Err(reason)) => Err(format!("`{}` {reason}", shell_join(words.iter().map(String::as_str)))),
            None => Err(format!("`{}` was not asked", shell_join(words.iter().map(String::as_str)))),
        }
    }

    fn find(&self, asker: Asker<'_>, id: StageId, named: &Named) -> Program {
        let key = mention(asker, id, named);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let is_disturbed = self.is_disturbed.load(Ordering::SeqCst);
        let meaning = || Meaning::of(&key.name, key.path.as_deref(), &key.dir);
        let entry = found.entry(key.clone()).or_insert_with(meaning);
        if is_disturbed && !entry.still_holds(&key.name, key.path.as_deref(), &key.dir) {
            *entry = meaning();
        }
        entry.program.clone()
    }

    /// Returns how the stage mentions its programs, and the files that each leads to; `None` where one of them is known by something else.
    pub(super) fn mentions(&self, asker: Asker<'_>, id: StageId) -> Option<Vec<(Mention, Vec<PathBuf>)>> {
        let is_asked = declared(asker.stage(id)).iter().any(|tool| matches!(tool, Declared::Question(_)));
        if is_asked || !asker.programs(id).inside.is_empty() {
            return None;
        }
        let files = |named: Named| match self.find(asker, id, &named) {
            Program::Files(files) => Some((mention(asker, id, &named), files)),
            Program::Absent | Program::Shim(_) => None,
        };
        named(asker, id).into_iter().map(files).collect()
    }

    fn shims(&self, asker: Asker<'_>, id: StageId) -> Vec<Shim> {
        let stage = asker.stage(id);
        let shims = named(asker, id).into_iter().filter_map(|named| match self.find(asker, id, &named) {
            Program::Shim(shim) if !is_asked(stage, &shim.name) => Some(shim),
            Program::Shim(_) | Program::Absent | Program::Files(_) => None,
        });
        // What a script of the project hands on to is its own to say; only what interprets it is looked at.
        let interpreters = self.scripts(asker, id).into_iter().filter_map(|named| match self.find(asker, id, &named) {
            Program::Shim(shim) if shim.is_known && !shim.files.is_empty() && !is_asked(stage, &shim.name) => Some(shim),
            Program::Shim(_) | Program::Absent | Program::Files(_) => None,
        });
        shims.chain(interpreters).collect()
    }

    /// Returns the programs of the project that the stage starts, without those that a stage makes.
    fn scripts(&self, asker: Asker<'_>, id: StageId) -> Vec<Named> {
        let pipeline = asker.plan.pipeline;
        let inside = asker.programs(id).inside;
        let claimed = || Claimed::new(pipeline.stages.iter().flat_map(|stage| &stage.outputs));
        let is_made = |path: &String| self.claimed.get_or_init(claimed).holds(Path::new(path));
        let path = |path: String| asker.plan.root().join(path).to_string_lossy().into_owned();
        inside.into_iter().filter(|path| !is_made(path)).map(|inside| Named { name: path(inside), step: usize::MAX }).collect()
    }

    fn note(&mut self, shim: &Shim) {
        let text = advice(shim);
        if !self.advice.contains(&text) {
            self.advice.push(text);
        }
    }
}

/// Returns the names that the stage's steps start, and those that it declares without a question.
fn named(asker: Asker<'_>, id: StageId) -> Vec<Named> {
    let stage = asker.stage(id);
    let mut names = asker.programs(id).bare;
    names.extend(declared(stage).into_iter().filter_map(|tool| match tool {
        Declared::Bare(name) => Some(Named { name: name.to_owned(), step: usize::MAX }),
        Declared::Question(_) => None,
    }));
    names
}

fn mention(asker: Asker<'_>, id: StageId, named: &Named) -> Mention {
    let (path, dir) = asker.place(id, Some(named.step));
    Mention { name: named.name.clone(), path, dir }
}

/// Returns the path of a program of the project, relative to it: no place of a project is in a key.
fn shown(asker: Asker<'_>, named: &Named) -> String {
    let path = Path::new(&named.name);
    path.strip_prefix(asker.plan.root()).unwrap_or(path).to_string_lossy().into_owned()
}

fn contents(paths: &[PathBuf], files: &Files) -> Result<Vec<u8>, String> {
    let mut value = b"f".to_vec();
    for path in paths {
        let content = files.content(path).map_err(|error| format!("`{}` cannot be read: {error}", visible(&path.to_string_lossy())))?;
        value.extend_from_slice(&content.digest.hash.0);
    }
    Ok(value)
}

fn answers(
    asker: Asker<'_>,
    questions: &BTreeMap<Question, StageId>,
    executor: &dyn Executor,
    cancel: &Cancel,
) -> HashMap<Question, Result<Hash, String>> {
    let waiting = Mutex::new(questions.iter());
    let answers = Mutex::new(HashMap::with_capacity(questions.len()));
    let go = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((question, id)) = next else { return };
            let answer = put(question, asker.stage(*id), executor, cancel);
            answers.lock().unwrap_or_else(PoisonError::into_inner).insert(question.clone(), answer);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..questions.len().min(AT_ONCE) {
            scope.spawn(go);
        }
        go();
    });
    answers.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Asks one question; the answer is what it prints.
fn put(question: &Question, stage: &Stage, executor: &dyn Executor, cancel: &Cancel) -> Result<Hash, String> {
    let command = StepCommand {
        words: question.words.clone(),
        dir: question.dir.clone(),
        env: question.env.iter().cloned().collect(),
        owner: Owner::Stage(stage.name.clone()),
        stop: Signal::TERM,
        grace: GRACE,
        deadline: Some(Instant::now() + LONGEST),
    };
    let mut printed = [Vec::new(), Vec::new()];
    let end = executor.execute(&command, cancel, &mut |stream, text| {
        printed[usize::from(stream == Stream::Stderr)].extend_from_slice(&text);
        None
    });
    let last = || {
        let text = String::from_utf8_lossy(&printed[1]).into_owned();
        let line = text.lines().rfind(|line| !line.trim().is_empty()).map(|line| format!(": {}", visible(line.trim()))).unwrap_or_default();
        line.chars().take(200).collect::<String>()
    };
    match end.ending {
        Ending::Exited(0) => Ok(Hash::of(&fingerprint::list(printed.iter().map(Vec::as_slice)))),
        Ending::Exited(code) => Err(format!("exited with code {code}{}", last())),
        Ending::Signaled(signal) => Err(format!("was killed by signal {signal}{}", last())),
        Ending::TimedOut => Err("gave no answer within a minute".to_owned()),
        Ending::Cancelled => Err("was not asked to the end: the run was interrupted".to_owned()),
        Ending::NotStarted(reason) => Err(format!("could not be started: {reason}")),
    }
}
