//! What gets no trace, since it could lie: what changes between the looks of one run, what was touched a moment ago, a result that is found
//! by another key.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::Value;

use crate::project::{Gate, Project, event, until};
use crate::traces::{set_modified, stamp, tool, traces, wait_for};

/// `a` prints more than there is room for on the way out, so that it waits between its looks as long as nobody reads. `beside` reads all
/// that `a` reads and makes, and looks at it again when it has come through the gate; `first` sees to it that it is there before `a` begins.
const RACE: &str = r#"
[stages.first]
cache = false
steps = [": > $XDG_N/begin"]
[stages.beside]
inputs = ["src/a", "src/more"]
tools = ["tool", "made"]
steps = ["read x < $XDG_N/begin || read x < $XDG_N/gate || true"]
[stages.a]
after = ["first"]
inputs = ["src/a", "src/none"]
outputs = ["out/made"]
"#;

const LINES: usize = 200;

struct Race {
    name: &'static str,
    /// The mode of what `a` reads and makes.
    mode: u32,
    /// What happens between two looks at `a`.
    happen: fn(&Project),
    /// How often `a` has run at last.
    runs: usize,
}

const RACES: &[Race] = &[
    Race { name: "an input", mode: 0o755, happen: |project| change(project, "src/a"), runs: 2 },
    Race { name: "an input that can be executed", mode: 0o644, happen: |project| set_mode(project, "src/a", 0o755), runs: 2 },
    Race { name: "an input that was not there", mode: 0o755, happen: |project| change(project, "src/none"), runs: 2 },
    Race { name: "a program", mode: 0o755, happen: |project| tool(project, "tools", "bash"), runs: 2 },
    Race { name: "an output", mode: 0o755, happen: |project| change(project, "out/made"), runs: 1 },
    Race { name: "an output that can be executed", mode: 0o644, happen: |project| set_mode(project, "out/made", 0o755), runs: 1 },
];

fn change(project: &Project, name: &str) {
    project.write(name, "\u{7f}ELF two");
}

fn set_mode(project: &Project, name: &str, mode: u32) {
    fs::set_permissions(project.join(name), Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_changes_between_two_looks_has_no_trace() {
    thread::scope(|scope| RACES.iter().for_each(|race| drop(scope.spawn(|| race.take_place()))));
}

impl Race {
    fn take_place(&self) {
        let steps = [r#"["tool", "-c", "cp src/a out/made"]"#, r#""echo a >> $XDG_N/runs""#];
        let steps = steps.into_iter().chain([r#""printf %04096d 0""#; LINES]).collect::<Vec<_>>().join(", ");
        let project = Project::counted(&format!("{RACE}steps = [{steps}]\n"));
        project.write("src/a", "\u{7f}ELF one");
        set_mode(&project, "src/a", self.mode);
        tool(&project, "tools", "dash");
        fs::copy(project.join("tools/tool"), project.join("tools/made")).unwrap();
        until("`a` has a trace", || {
            self.run(&project);
            tells(&project, b"src/a")
        });
        let gate = Gate::new(&project);
        mkfifoat(CWD, project.aside("begin"), Mode::RUSR | Mode::WUSR).unwrap();
        let events = self.race(&project, &gate);
        assert_eq!(event(&events, "stage-finished", "a")["outcome"], "cached", "{}", self.name);
        self.run(&project);
        assert_eq!(project.count("a"), self.runs, "{}", self.name);
        assert_eq!(project.read("out/made"), project.read("src/a"), "{}", self.name);
        let mode = |name: &str| project.join(name).metadata().unwrap().permissions().mode() & 0o111;
        assert_eq!(mode("out/made"), mode("src/a"), "{}", self.name);
    }

    /// Runs `a` alone, without what it has printed.
    fn run(&self, project: &Project) {
        let said = command(project, &["run", "--quiet", "--only", "--output", "failures", "a"]).output().unwrap();
        assert_eq!(said.status.code(), Some(0), "{}: {said:?}", self.name);
    }

    /// Runs all, with the change between two looks at `a`.
    fn race(&self, project: &Project, gate: &Gate) -> Vec<Value> {
        let mut child = command(project, &["run", "--format", "json", "--jobs", "2"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        let mut events: Vec<Value> = Vec::new();
        while !events.last().is_some_and(|event| event["event"] == "output" && event["stage"] == "a") {
            events.push(lines.next().unwrap());
        }
        let step = gate.reached();
        (self.happen)(project);
        leave_alone(project);
        drop(step);
        until("`beside` has looked again", || !is_marked(project));
        // Only now there is room for what `a` has still to print, and so for its second look.
        events.extend(lines);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{}: {events:#?}", self.name);
        events
    }
}

fn command(project: &Project, arguments: &[&str]) -> Command {
    let folders = ["out", "tools"].map(|folder| format!("{}:", project.join(folder).display())).concat();
    let mut command = project.command(arguments);
    command.env("PATH", folders + &std::env::var("PATH").unwrap());
    command
}

/// Tells whether a stage is being made.
fn is_marked(project: &Project) -> bool {
    let marks = fs::read_dir(project.join(".shipway/making")).unwrap().map(|mark| mark.unwrap().file_name());
    marks.into_iter().any(|name| !name.as_encoded_bytes().starts_with(b"."))
}

/// Waits until the clock of the file system has left behind all that was written till now.
fn leave_alone(project: &Project) {
    let touch = |name: &str| {
        fs::write(project.aside(name), "").unwrap();
        project.aside(name).metadata().unwrap().modified().unwrap()
    };
    let then = touch("then");
    until("the clock has gone on", || touch("now").duration_since(then).is_ok_and(|time| time > Duration::from_millis(2100)));
}

/// Tells whether there is this in the traces.
fn tells(project: &Project, what: &[u8]) -> bool {
    traces(project).windows(what.len()).any(|part| part == what)
}

#[test]
fn a_stage_has_no_trace_that_could_not_tell_all() {
    let stages = r#"
[services.up]
start = ["sleep", "1000"]
ready = { command = "true" }
[stages.reports]
steps = ["echo '<testsuites/>' > in-reports.xml", "cat in/reports"]
inputs = ["in/reports"]
reports = { junit = ["in-reports.xml"] }
[stages.services]
steps = ["cat in/services"]
inputs = ["in/services"]
services = ["up"]
[stages.without]
steps = ["true"]
inputs = ["in/without", "!in/without"]
[stages.nowhere]
steps = ["cat in/nowhere"]
inputs = ["in/nowhere", "in/no/*"]
[stages.kept]
steps = ["mkdir -p in-kept && cp in/kept in-kept/o"]
inputs = ["in/kept"]
outputs = ["in-kept"]
clean = false
[stages.all]
steps = ["true"]
dir = "in"
[stages.linked]
steps = ["mkdir -p in-linked && ln -sf o in-linked/l && cp in/linked in-linked/o"]
inputs = ["in/linked"]
outputs = ["in-linked"]
[stages.link]
steps = ["true"]
inputs = ["in/link"]
[stages.asked]
steps = ["cat in/asked"]
inputs = ["in/asked"]
tools = ["cat in/other"]
[stages.script]
steps = ["./script in/script"]
inputs = ["in/script"]
[stages.plain]
needs = ["reports", "services", "without", "nowhere", "kept", "all", "linked", "link", "asked", "script"]
steps = ["cp in/plain plain"]
inputs = ["in/plain"]
outputs = ["plain"]
"#;
    let project = Project::new(stages);
    let names = "reports services without nowhere kept other linked to asked script plain".split(' ').map(|name| format!("in/{name}"));
    let names: Vec<String> = names.collect();
    for name in &names {
        project.write(name, name);
    }
    project.script("script", "#!/bin/sh\ncat $1\n");
    symlink("to", project.join("in/link")).unwrap();
    project.brief(&[]);
    wait_for(&project, &["in/plain"]);
    for name in &names[..names.len() - 1] {
        assert!(!tells(&project, name.as_bytes()), "{name}");
    }
}

#[test]
fn what_was_made_while_the_clock_was_ahead_has_no_trace() {
    let project = Project::counted(
        "[stages.a]\nsteps = [[\"cp\", \"src/a\", \"out/a\"]]\ninputs = [\"src/a\"]\noutputs = [\"out/a\"]\n[stages.z]\nsteps = [[\"cp\", \"src/z\", \"out/z\"]]\ninputs = [\"src/z\"]\noutputs = [\"out/z\"]\n",
    );
    project.write("src/a", "one").write("src/z", "one");
    set_modified(&project.join("src/a"), SystemTime::now() + Duration::from_hours(1));
    project.brief(&[]);
    until("`z` has a trace", || {
        assert_eq!(project.brief(&[]), "a cached, z cached");
        tells(&project, b"src/z")
    });
    assert!(!tells(&project, b"src/a"), "the time of the file is of no use, so neither is its trace");
}

/// A folder tells by its times that a name in it was made or removed, but for what happens within one tick of the clock.
#[test]
fn a_folder_whose_time_is_ahead_is_not_believed() {
    let stage = |name: &str, inputs: &str| format!("[stages.{name}]\nsteps = [\"true\"]\ninputs = [\"{inputs}\"]\n");
    let project = Project::new(&(stage("below", "ahead/deep/file") + &stage("names", "ahead/*.x") + &stage("z", "src/*.z")));
    project.write("ahead/deep/file", "one").write("ahead/one.x", "one").write("src/one.z", "one");
    let ahead = FileTimes::new().set_modified(SystemTime::now() + Duration::from_hours(1));
    File::open(project.join("ahead")).unwrap().set_times(ahead).unwrap();
    project.brief(&[]);
    wait_for(&project, &["ahead/deep/file", "src/one.z"]);
    assert!(!tells(&project, b"ahead/one.x"), "nobody could tell whether there are more names");
    assert!(!tells(&project, &stamp(&project.join("ahead"))), "nobody could tell whether the folder in it is the same");
    assert!(tells(&project, &stamp(&project.join("src"))));
}

/// What lies in the store under the key itself is the result of another checkout.
#[test]
fn a_result_that_is_found_by_its_place_has_no_trace() {
    let one = Project::new(
        "[stages.a]\nsteps = [\"pwd > out\"]\ninputs = [\"src/a\"]\noutputs = [\"out\"]\n\
         [stages.z]\nneeds = [\"a\"]\nsteps = [\"cat src/z > z\"]\ninputs = [\"src/z\"]\noutputs = [\"z\"]\n",
    );
    one.write("src/a", "one").write("src/z", "one");
    assert_eq!(one.brief(&[]), "a passed, z passed");
    let two = one.twin();
    two.remove("out").remove("z");
    assert_eq!(two.brief(&[]), "a passed, z passed");
    wait_for(&two, &["src/a", "src/z"]);
    wait_for(&one, &["src/z"]);
    assert!(!tells(&one, b"src/a"));
}
