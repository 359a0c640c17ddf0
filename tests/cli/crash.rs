//! Killed at any instant: the next run equals one from scratch, and what a person put there is still somewhere.
//!
//! `SHIPWAY_CRASH_ITERATIONS` (500 in the long form) and `SHIPWAY_CRASH_SEED` set how often a run is killed at random, and where the dice
//! begin; `SHIPWAY_CRASH_STRIDE=1` kills at every single system call instead of a few of each kind.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::project::{Project, events, outcome};

/// Real work of every kind of output. `SETTINGS` stands for more tables. A step of which any process is killed fails: otherwise what is
/// half made would be its result.
const WORK: &str = r#"
shell = ["bash", "-euo", "pipefail", "-c"]
SETTINGS
[stages.words]
inputs = ["src/words"]
outputs = ["gen/words.txt", "gen/upper.txt"]
steps = ["cat src/words > gen/words.txt", "tr a-z A-Z < src/words > gen/upper.txt"]
[stages.tree]
needs = ["words"]
inputs = ["src/count"]
outputs = ["out/tree"]
steps = ['''
mkdir -p out/tree/sub/deep out/tree/empty
count=$(cat src/count); all=$(seq "$count")
for i in $all; do { cat gen/words.txt; echo $i; } > out/tree/sub/$i; done
ln -s ../sub out/tree/sub/deep/up
''']
[stages.tool]
inputs = ["src/words"]
outputs = ["bin/tool", "bin/link", "bin/dangling"]
steps = ["words=$(cat src/words); printf '#!/bin/sh\n# %s\nexit 0\n' \"$words\" > bin/tool; chmod +x bin/tool; ln -s tool bin/link; ln -s nowhere bin/dangling"]
[stages.parts]
clean = false
inputs = ["src/parts/**"]
outputs = ["inc"]
steps = ['''
mkdir -p inc
for part in 0 1 2; do cmp -s src/parts/$part inc/$part || { if [ -e src/parts/$part ]; then cp src/parts/$part inc/.new; else : > inc/.new; fi; mv inc/.new inc/$part; }; done
rm -f inc/.new
''']
[stages.dist]
needs = ["words"]
inputs = []
outputs = ["dist/*.txt"]
steps = ["words=$(cat gen/words.txt); for name in $words; do echo $name > dist/$name.txt; done"]
[stages.large]
inputs = ["src/count"]
outputs = ["large.bin"]
steps = ["count=$(head -c 1 src/count); head -c 300000 /dev/zero | tr '\\0' \"$count\" > large.bin"]
[stages.where]
inputs = ["src/words"]
outputs = ["where.txt"]
steps = ["{ pwd; cat src/words; } > where.txt"]
[stages.pack]
needs = ["tree", "tool", "parts", "dist", "large"]
inputs = []
outputs = ["pack.txt"]
steps = ["find out dist inc bin -type f | LC_ALL=C sort | xargs cat large.bin | cksum > pack.txt"]
[stages.check]
needs = ["pack"]
inputs = []
steps = ["bin/link", "test -s pack.txt"]
[stages.always]
cache = false
needs = ["words"]
outputs = ["always.txt"]
steps = ["cat gen/upper.txt > always.txt"]
"#;

/// Where outputs belong.
const OUTPUTS: [&str; 9] = ["gen", "out", "bin", "inc", "dist", "large.bin", "where.txt", "pack.txt", "always.txt"];

const STAGES: [&str; 10] = ["words", "tree", "tool", "parts", "dist", "large", "where", "pack", "check", "always"];

/// Numbers that look like dice, the same for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

fn number(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

/// What the stages read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Sources {
    words: u64,
    count: u64,
    /// Bit by bit, which parts there are.
    parts: u64,
}

impl Sources {
    fn write(&self, project: &Project) {
        let words = ["one two three\n", "four five\n", "six\n", "one five nine ten\n"];
        project.write("src/words", words[usize::try_from(self.words).unwrap()]);
        project.write("src/count", [3, 7, 12][usize::try_from(self.count).unwrap()].to_string());
        for part in 0..3 {
            let name = format!("src/parts/{part}");
            if self.parts & (1 << part) == 0 {
                let _none = fs::remove_file(project.join(&name));
            } else {
                project.write(&name, format!("part {part} of {}\n", self.parts));
            }
        }
    }
}

/// What lies somewhere: kind, mode and content of every path below the outputs. `root` is the project's own path, which outputs may hold.
pub(crate) fn picture(root: &Path, below: &[&str]) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    let mut open: Vec<_> = below.iter().map(|name| root.join(name)).collect();
    while let Some(path) = open.pop() {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        let what = if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            format!("folder {mode:o}")
        } else if metadata.is_symlink() {
            format!("link {}", fs::read_link(&path).unwrap().display())
        } else {
            let bytes = fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes).replace(root.to_str().unwrap(), "ROOT");
            let rest = text.len().saturating_sub(200);
            format!("file {mode:o} {} {:?}", text.len(), text.get(rest..).unwrap_or_default())
        };
        seen.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), what);
    }
    seen
}

/// What a run from scratch makes of these sources, in a fresh folder with a fresh store.
fn from_scratch(sources: &Sources) -> BTreeMap<String, String> {
    let fresh = Project::new(&WORK.replace("SETTINGS", ""));
    sources.write(&fresh);
    fresh.shipway(["run"]).exits(0);
    picture(fresh.path(), &OUTPUTS)
}

/// A checkout that is killed again and again.
struct Victim {
    project: Project,
    sources: Sources,
    /// What a person put where outputs belong, and has to be somewhere still.
    placed: Vec<String>,
    known: HashMap<Sources, BTreeMap<String, String>>,
    /// Whether the store keeps all that was made.
    keeps_all: bool,
}

impl Victim {
    fn new(settings: &str) -> Self {
        let project = Project::new(&WORK.replace("SETTINGS", settings));
        let sources = Sources { words: 0, count: 0, parts: 7 };
        sources.write(&project);
        Self { project, sources, placed: Vec::new(), known: HashMap::new(), keeps_all: settings.is_empty() }
    }

    /// Does what people do between runs.
    fn meddle(&mut self, dice: &mut Dice) {
        for _ in 0..dice.roll(3) {
            match dice.roll(8) {
                0 => self.sources.words = dice.roll(4),
                1 => self.sources.count = dice.roll(3),
                2 => self.sources.parts = 1 + dice.roll(7),
                3 | 4 => {
                    let doomed = ["gen", "out/tree/sub/2", "bin/link", "large.bin", "pack.txt", "dist"];
                    let path = self.project.join(doomed[usize::try_from(dice.roll(6)).unwrap()]);
                    let _one_of_both = (fs::remove_file(&path), path.is_dir() && fs::remove_dir_all(&path).is_ok());
                    let kept = contents(self.project.path());
                    self.placed.retain(|placed| kept.contains(placed));
                }
                5 | 6 => {
                    let places = ["out/tree/mine", "dist/mine.txt", "gen/words.txt", "bin/tool", "large.bin", "pack.txt"];
                    let place = places[usize::try_from(dice.roll(6)).unwrap()];
                    // What lies there already, and is a person's own, is theirs to overwrite.
                    let old = fs::read_to_string(self.project.join(place)).unwrap_or_default();
                    let text = format!("a person wrote this, for the {}th time", self.placed.len());
                    let path = self.project.join(place);
                    if path.parent().unwrap().is_dir() && (fs::remove_file(&path).is_ok() || !path.exists()) {
                        self.placed.retain(|placed| *placed != old);
                        self.project.write(place, &text);
                        self.placed.push(text);
                    }
                }
                _ => {}
            }
        }
        self.sources.write(&self.project);
    }

    /// Runs to the end, twice; the outputs must be those of a run from scratch, and the second run must have nothing to do.
    #[track_caller]
    fn recovers(&mut self, context: &str) {
        let said = self.project.shipway(["run", "--format", "json"]);
        assert_eq!(said.code(), 0, "{context}\n{}\n{}", said.stdout, said.stderr);
        let ended = events(&said.stdout);
        for stage in STAGES {
            assert!(["passed", "cached"].contains(&outcome(&ended, stage)), "{context}: {stage}");
        }
        let sources = self.sources.clone();
        let wanted = self.known.entry(sources).or_insert_with_key(from_scratch);
        let found = picture(self.project.path(), &OUTPUTS);
        assert_eq!(found, *wanted, "{context}\n{}", said.stdout);
        let (code, again) = self.project.events([] as [&str; 0]);
        assert_eq!(code, 0, "{context}");
        for stage in STAGES[..9].iter().filter(|_| self.keeps_all) {
            assert_eq!(outcome(&again, stage), "cached", "{context}: {stage} {again:#?}");
        }
        assert_eq!(picture(self.project.path(), &OUTPUTS), found, "{context}");
        let kept = contents(self.project.path());
        for placed in &self.placed {
            assert!(kept.contains(placed), "{context}: lost what a person wrote: {placed}\n{}", said.stdout);
        }
    }

    fn is_recorded(&self) -> bool {
        self.project.exists(".shipway/files")
    }
}

/// The contents of all small files of a project.
fn contents(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() && entry.metadata().unwrap().len() < 100 {
                found.extend(fs::read_to_string(entry.path()));
            }
        }
    }
    found
}

fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn quiet(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().unwrap()
}

#[test]
fn a_run_that_is_killed_at_random_leaves_nothing_wrong() {
    let (rounds, seed) = (number("SHIPWAY_CRASH_ITERATIONS", 25), number("SHIPWAY_CRASH_SEED", 1));
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut victim = Victim::new("");
    let began = Instant::now();
    victim.project.shipway(["run"]).exits(0);
    let whole = began.elapsed();
    victim.recovers("before any kill");
    let mut killed = 0;
    for round in 0..rounds {
        victim.meddle(&mut dice);
        for _ in 0..=dice.roll(3) {
            let force: &[&str] = if dice.roll(4) == 0 { &["--force"] } else { &[] };
            let mut command = victim.project.command(["run"]);
            command.args(force);
            let mut child = quiet(command);
            // Most often early: a run that has little to do is over soon.
            let part = f64::from(u32::try_from(dice.roll(1000)).unwrap()) / 1000.0;
            pause(whole.mul_f64(part * part));
            let pid = Pid::from_child(&child);
            let _over = if dice.roll(2) == 0 { kill_process(pid, Signal::KILL) } else { kill_process_group(pid, Signal::KILL) };
            killed += u64::from(child.wait().unwrap().code().is_none());
        }
        victim.recovers(&format!("SHIPWAY_CRASH_SEED={seed}, round {round}"));
    }
    assert!(victim.is_recorded());
    assert!(rounds == 0 || killed > 0, "nothing was ever killed");
    let aside = fs::read_dir(victim.project.join(".shipway/aside")).map_or(0, Iterator::count);
    write_err(&format!("{rounds} rounds, {killed} kills, seed {seed}, {:?}, {aside} runs moved something aside", began.elapsed()));
}

/// Says something beside the results of tests, also where they pass.
pub(crate) fn write_err(text: &str) {
    use std::io::Write;
    let _unseen = writeln!(std::io::stderr(), "{text}");
}

pub(crate) fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Kills shipway at every so-maniest system call of some kinds. `prepare` makes ready what `arguments` then run over; each kill is followed
/// by a run to the end.
#[track_caller]
fn killed_at_every_call(settings: &str, arguments: &[&str], prepare: &dyn Fn(&Victim, usize)) {
    if !has("strace") {
        return write_err("skipped: strace is not installed");
    }
    let stride = usize::try_from(number("SHIPWAY_CRASH_STRIDE", 0)).unwrap();
    let mut victim = Victim::new(settings);
    victim.recovers("before any kill");
    let mut total = 0;
    for calls in ["openat", "rename,renameat,renameat2", "unlink,unlinkat,rmdir", "mkdir,mkdirat", "write,pwrite64", "flock,utimensat"] {
        let mut at = 1;
        loop {
            prepare(&victim, at);
            let inner = victim.project.command(["run"]);
            let mut command = Command::new("strace");
            command.current_dir(victim.project.path()).env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let inject = format!("inject={calls}:signal=KILL:when={at}");
            command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject]);
            command.args([env!("CARGO_BIN_EXE_shipway"), "run"]).args(arguments);
            let ended = quiet(command).wait().unwrap();
            victim.recovers(&format!("killed at call {at} of {calls}"));
            total += 1;
            // Beyond the last call nothing is killed.
            if ended.success() {
                break;
            }
            at += if stride == 0 { 3 + at * 2 } else { stride };
        }
    }
    write_err(&format!("killed at {total} calls"));
}

#[test]
fn a_first_run_that_is_killed_at_any_call_leaves_nothing_wrong() {
    killed_at_every_call("", &["--force"], &|victim, at| {
        if at % 2 == 0 {
            for name in OUTPUTS.iter().chain(&[".shipway"]) {
                let path = victim.project.join(name);
                let _one_of_both = (fs::remove_file(&path), fs::remove_dir_all(&path));
            }
        }
    });
}

#[test]
fn a_sweep_that_is_killed_at_any_call_leaves_nothing_wrong() {
    killed_at_every_call("[cache]\nmax-size = \"64KiB\"\n", &["--force", "-q"], &|_, _| {});
}

#[test]
fn a_restore_that_is_killed_at_any_call_leaves_nothing_wrong() {
    killed_at_every_call("", &[], &|victim, _| {
        for name in OUTPUTS {
            let path = victim.project.join(name);
            let _one_of_both = (fs::remove_file(&path), fs::remove_dir_all(&path));
        }
    });
}

#[test]
fn what_lies_in_outputs_that_are_not_cleaned_is_known_to_those_who_read_it() {
    let project = Project::new(
        "[stages.a]\nclean = false\ninputs = [\"src\"]\noutputs = [\"out\"]\nsteps = [\"mkdir -p out; cp src out/$(cat src)\"]\n[stages.b]\nneeds = [\"a\"]\ninputs = [\"other\"]\noutputs = [\"b.txt\"]\nsteps = [\"ls out > b.txt\"]\n",
    );
    project.write("src", "one").write("other", "1").shipway(["run"]).exits(0);
    project.write("src", "two").shipway(["run"]).exits(0);
    project.write("src", "one").write("other", "2").shipway(["run"]).exits(0);
    assert_eq!(project.read("b.txt"), "one\ntwo\n");
    // The same sources without what the second run has left.
    fs::remove_file(project.join("out/two")).unwrap();
    project.shipway(["run"]).exits(0);
    assert_eq!(project.read("b.txt"), "one\n");
}
