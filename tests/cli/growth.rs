//! What a run costs in calls to the system: a measure of speed that is the same on every day, so that it can be judged every day.
//!
//! strace counts them. What differs from run to run, from machine to machine or from build to build is left out: see [`UNCOUNTED`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::crash::write_err;
use crate::project::{Project, said, until};

/// What is known of each case, by kind. The test prints the lines that would belong here now, when it fails and with `--no-capture`.
const KNOWN: &[(&str, &str)] = &[
    (
        "a first run",
        "statx 15633, openat 5342, read 5217, close 5176, others 4416, pread64 2006, getdents64 1876, prlimit64 1208, pwrite64 1208, newfstatat 943",
    ),
    ("a no-op", "newfstatat 2611, others 177"),
    ("one changed file", "newfstatat 2614, others 239, statx 101, close 61"),
];

/// What one more stage costs a no-op, its one file and its one output included.
const STAGE: u64 = 4;

/// Calls may become more by so many percent before somebody has to look, and fewer before somebody has to write it down.
const MORE: u64 = 5;
const FEWER: u64 = 20;

/// The kinds that say nothing of the work: how threads of ours wait for each other and how often they write what they are told, which
/// the scheduler decides; threads and their memory, of which there is more with more processors; signals, which the C library sets
/// anew for each process; and the look at each descriptor before it is closed, which only builds for debugging have.
const UNCOUNTED: &[&str] = &[
    "futex",
    "sched_yield",
    "poll",
    "ppoll",
    "recvfrom",
    "restart_syscall",
    "write",
    "clone",
    "clone3",
    "getrandom",
    "gettid",
    "rseq",
    "set_robust_list",
    "sched_getaffinity",
    "brk",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "fcntl",
];

/// How old a file must be for its times to be believed, with room for a clock that goes in steps.
const SETTLED: Duration = Duration::from_millis(2200);

/// How often a kind of call was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Calls(BTreeMap<String, u64>);

impl Calls {
    /// Reads `kind number, kind number`.
    fn read(text: &str) -> Self {
        let kinds = text.split(", ").filter_map(|kind| kind.split_once(' '));
        Self(kinds.map(|(kind, number)| (kind.to_owned(), number.parse().unwrap())).collect())
    }

    /// Reads the table of `strace -c`: time, seconds, microseconds a call, calls, errors where there were some, kind.
    fn of_table(table: &str) -> Self {
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let counted = rows.filter(|row| row.len() > 4).filter_map(|row| Some((*row.last()?, row[3].parse().ok()?)));
        let kinds = counted.filter(|(kind, _)| *kind != "total" && !UNCOUNTED.contains(kind));
        Self(kinds.map(|(kind, number)| (kind.to_owned(), number)).collect())
    }

    fn sum(&self) -> u64 {
        self.0.values().sum()
    }

    fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// The same, with what is less than two in a hundred put together.
    fn in_short(&self) -> Self {
        let mut short = Self::default();
        for (kind, number) in &self.0 {
            let kind = if number * 50 < self.sum() { "others" } else { kind };
            *short.0.entry(kind.to_owned()).or_default() += number;
        }
        short
    }

    /// What [`Calls::read`] reads, the most first.
    fn show(&self) -> String {
        let mut kinds: Vec<_> = self.0.iter().collect();
        kinds.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
        kinds.iter().map(|(kind, number)| format!("{kind} {number}")).collect::<Vec<_>>().join(", ")
    }

    /// What has become more or fewer since then, a line each, the most first.
    fn difference(&self, then: &Self) -> String {
        let kinds = self.0.keys().chain(then.0.keys().filter(|kind| !self.0.contains_key(*kind)));
        let mut changed: Vec<_> = kinds.map(|kind| (then.of(kind), self.of(kind), kind)).filter(|(then, now, _)| then != now).collect();
        changed.sort_by_key(|(then, now, _)| std::cmp::Reverse(then.abs_diff(*now)));
        changed.iter().fold(String::new(), |mut text, (then, now, kind)| {
            writeln!(text, "  {kind}: {then} then, {now} now").unwrap();
            text
        })
    }

    /// Compares with what is known of a case; returns what there is to say of the difference, if it is one.
    fn judge(&self, case: &str) -> Option<String> {
        let (_, known) = KNOWN.iter().find(|(name, _)| *name == case).unwrap();
        let (calls, known) = (self.in_short(), Self::read(known));
        let (now, then) = (calls.sum(), known.sum());
        let line = format!("    (\"{case}\", \"{}\"),", calls.show());
        write_err(&format!("{case}: {now} calls\n{line}"));
        let wish = match now * 100 {
            more if more > then * (100 + MORE) => "if it is worth that, write it down",
            fewer if fewer < then * (100 - FEWER) => "write that down, so that it stays so",
            _ => return None,
        };
        Some(format!("{case} took {then} calls and takes {now}:\n{}{wish}:\n{line}\n", calls.difference(&known)))
    }
}

/// So many stages of so many files, with an output each.
fn project(stages: usize, files: usize) -> Project {
    let project = Project::empty();
    let mut text = String::new();
    for stage in 0..stages {
        write!(
            text,
            "[stages.s{stage}]\ninputs = [\"src/{stage}/**\"]\noutputs = [\"out/{stage}\"]\nsteps = [\"echo {stage} > out/{stage}\"]\n"
        )
        .unwrap();
        let folder = project.join(&format!("src/{stage}"));
        fs::create_dir_all(&folder).unwrap();
        (0..files).for_each(|file| fs::write(folder.join(file.to_string()), format!("{stage} {file}")).unwrap());
    }
    project.pipeline(&text);
    project
}

/// How to run it: one stage at a time, since a look is worth nothing once a step has begun, and which looks come before that should not be
/// a matter of luck; and with few folders to look for programs in.
fn command(project: &Project) -> Command {
    let mut command = project.command(["run", "-q", "-j1"]);
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
}

/// Runs, and counts the calls of shipway itself: programs that it starts are let go when they begin.
#[track_caller]
fn counted(project: &Project) -> Calls {
    let table = tempfile::NamedTempFile::new().unwrap();
    let inner = command(project);
    let mut command = Command::new("strace");
    command.current_dir(project.path()).env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.args(["-f", "-b", "execve", "-c", "-o"]).arg(table.path()).arg(inner.get_program()).args(inner.get_args());
    said(command).exits(0);
    let calls = Calls::of_table(&fs::read_to_string(table.path()).unwrap());
    assert!(calls.sum() > 100, "{calls:?}");
    calls
}

/// Waits until the file system's clock has left behind all that was written by now.
fn settle() {
    let probe = tempfile::NamedTempFile::new().unwrap();
    let touched = || {
        fs::write(probe.path(), ".").unwrap();
        probe.path().metadata().unwrap().modified().unwrap()
    };
    let begin = touched();
    until("the files have settled", || touched().duration_since(begin).is_ok_and(|age| age > SETTLED));
}

/// The calls of a no-op of each of these projects.
#[track_caller]
fn no_ops(projects: &[Project]) -> Vec<Calls> {
    for project in projects {
        said(command(project)).exits(0);
    }
    settle();
    for project in projects {
        said(command(project)).exits(0);
    }
    projects.iter().map(counted).collect()
}

/// From each size to the next: how many more there are, and the calls of both.
fn steps<'c>(sizes: &'c [usize], calls: &'c [Calls]) -> impl Iterator<Item = (u64, [&'c Calls; 2])> {
    sizes.windows(2).zip(calls.windows(2)).map(|(sizes, calls)| ((sizes[1] - sizes[0]) as u64, [&calls[0], &calls[1]]))
}

fn is_counted() -> bool {
    let has = crate::crash::has("strace");
    if !has {
        write_err("skipped: strace is not installed");
    }
    has
}

#[test]
fn runs_do_not_cost_more_than_they_did() {
    if !is_counted() {
        return;
    }
    let project = project(200, 10);
    settle();
    let first = counted(&project);
    // What was written meanwhile is believed only later; then there is nothing left to learn.
    settle();
    said(command(&project)).exits(0);
    let nothing = counted(&project);
    project.write("src/0/0", "changed");
    let changed = counted(&project);
    let cases = [first.judge("a first run"), nothing.judge("a no-op"), changed.judge("one changed file")];
    let complaints: String = cases.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
fn one_more_stage_costs_the_same_however_many_there_are() {
    if !is_counted() {
        return;
    }
    let sizes = [10, 100, 1000];
    let calls = no_ops(&sizes.map(|stages| project(stages, 1)));
    for (more, [few, many]) in steps(&sizes, &calls) {
        let (cost, line) = (many.sum() - few.sum(), many.difference(few));
        write_err(&format!("{more} more stages: {cost} calls"));
        // One in a hundred is for folders, which are read in pieces.
        assert!(cost * 100 <= more * STAGE * 101, "{more} more stages cost {cost} calls, {STAGE} each were known:\n{line}");
        assert!(cost * 100 >= more * STAGE * 80, "{more} more stages cost only {cost} calls, not {STAGE} each; write that down:\n{line}");
    }
}

#[test]
fn one_more_file_costs_one_look_however_many_there_are() {
    if !is_counted() {
        return;
    }
    let sizes = [10, 100, 1000, 10_000];
    let calls = no_ops(&sizes.map(|files| project(1, files)));
    for (more, [few, many]) in steps(&sizes, &calls) {
        let looks = |calls: &Calls| ["statx", "stat", "lstat", "newfstatat"].iter().map(|kind| calls.of(kind)).sum::<u64>();
        let line = many.difference(few);
        assert_eq!(looks(many) - looks(few), more, "{more} more files:\n{line}");
        // A piece of a folder holds a thousand names and more.
        let others = many.sum() - few.sum() - more;
        assert!(others <= more / 500 + 1, "{more} more files:\n{line}");
    }
}
