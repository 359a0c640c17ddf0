//! A broken place: a store or a `.shipway/` that cannot be used, a full disk, outputs in the way. Nothing half made, nothing lost.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::crash::{picture, write_err};
use crate::project::{Project, Said, finish, outcome, said, start, until};

#[test]
fn what_cannot_be_moved_aside_is_never_deleted() {
    let project = Project::new("[stages.a]\ninputs = []\noutputs = [\"out\"]\nsteps = [\"mkdir -p out; echo x > out/x\"]\n");
    project.write("out/mine", "a person's").write(".shipway/aside", "in the way");
    let said = project.shipway(["run"]).exits(1);
    assert!(said.stderr.contains("out/mine"), "{}", said.stderr);
    assert_eq!(project.read("out/mine"), "a person's");
    fs::remove_file(project.join(".shipway/aside")).unwrap();
    let said = project.shipway(["run"]).exits(0);
    assert!(said.stderr.contains("moved to"), "{}", said.stderr);
    let run = fs::read_dir(project.join(".shipway/aside")).unwrap().next().unwrap().unwrap().file_name();
    assert_eq!(project.read(&format!(".shipway/aside/{}/a/out/mine", run.display())), "a person's");
}

/// Two stages, one behind the other, and what they make.
const PAIR: &str = r#"
[stages.a]
inputs = ["src"]
outputs = ["out/a"]
steps = ["mkdir out/a; cp src out/a/one; head -c 2000000 /dev/zero | tr '\\0' x > out/a/two"]
[stages.b]
needs = ["a"]
inputs = []
outputs = ["b.txt"]
steps = ["cat out/a/one > b.txt; cksum < out/a/two >> b.txt"]
"#;

const MADE: [&str; 2] = ["out", "b.txt"];

fn pair() -> (Project, std::collections::BTreeMap<String, String>) {
    let fresh = Project::new(PAIR);
    fresh.write("src", "source").shipway(["run"]).exits(0);
    let project = Project::new(PAIR);
    project.write("src", "source");
    (project, picture(fresh.path(), &MADE))
}

/// Runs `script` where mounts are seen by nobody else, with `$0` the program and `$1` an empty folder; `None` where that is not allowed.
fn mounted(project: &Project, script: &str) -> Option<Said> {
    let may = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        write_err("skipped: nothing can be mounted here");
        return None;
    }
    let inner = project.command([] as [&str; 0]);
    let mut command = Command::new("unshare");
    command.current_dir(project.path()).stdin(Stdio::null()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let place = tempfile::tempdir().unwrap();
    command.args(["-m", "sh", "-euc", script, env!("CARGO_BIN_EXE_shipway")]).arg(place.path());
    Some(said(command))
}

/// How many lines tell a person of something.
fn notices(said: &Said) -> usize {
    said.stderr.lines().filter(|line| line.starts_with('!')).count()
}

#[test]
fn a_full_store_costs_notices_and_no_more() {
    let (project, wanted) = pair();
    let full = "mount -t tmpfs -o size=200k none $1; SHIPWAY_CACHE_DIR=$1/store exec $0 run";
    let Some(said) = mounted(&project, full) else { return };
    let said = said.exits(0);
    assert!(said.stderr.contains("not stored") && said.stderr.to_lowercase().contains("no space"), "{}", said.stderr);
    assert_eq!(picture(project.path(), &MADE), wanted);
    let nothing =
        "mount -t tmpfs -o size=4k none $1; head -c 4096 /dev/zero > $1/x || :; mkdir $1/s || :; SHIPWAY_CACHE_DIR=$1/s exec $0 run";
    let said = mounted(&project, nothing).unwrap().exits(0);
    assert!(notices(&said) >= 1, "{}", said.stderr);
    assert_eq!(picture(project.path(), &MADE), wanted);
}

#[test]
fn a_store_that_is_read_only_is_read() {
    let (project, wanted) = pair();
    project.shipway(["run"]).exits(0);
    let script = "mount --bind $SHIPWAY_CACHE_DIR $1; mount -o remount,bind,ro $1; export SHIPWAY_CACHE_DIR=$1";
    let Some(said) = mounted(&project, &format!("{script}; rm -r out; $0 run; echo other > src; $0 run")) else { return };
    let said = said.exits(0);
    assert_eq!(said.stderr.matches("results are not stored").count(), 2, "{}", said.stderr);
    assert_eq!(notices(&said), 2, "once a run: {}", said.stderr);
    assert!(said.stderr.contains("restored out/a"), "{}", said.stderr);
    assert_eq!(project.read("out/a/one"), "other\n");
    project.write("src", "source").shipway(["run"]).exits(0);
    assert_eq!(picture(project.path(), &MADE), wanted);
}

#[test]
fn a_store_that_is_removed_while_a_run_lasts_costs_no_more_than_a_notice() {
    let (project, _) = pair();
    let text = project
        .read("pipeline.toml")
        .replace("mkdir out/a;", "rm -r $STORE; mkdir out/a;")
        .replace("[stages.a]", "[stages.a]\npass-env = [\"STORE\"]");
    project.write("pipeline.toml", text);
    let mut command = project.command(["run"]);
    let store = command.get_envs().find(|(name, _)| *name == "SHIPWAY_CACHE_DIR").unwrap().1.unwrap().to_owned();
    command.env("STORE", &store);
    said(command).exits(0);
    assert!(project.exists("b.txt"));
    fs::create_dir_all(store).unwrap();
}

#[test]
fn a_checkout_that_cannot_be_written_to_but_for_outputs_runs_with_a_notice() {
    let (project, wanted) = pair();
    project.write(".shipway", "a file in its place");
    let said = project.shipway(["run"]).exits(0);
    assert_eq!(said.stderr.matches(".shipway").count(), 1, "one notice: {}", said.stderr);
    assert_eq!(picture(project.path(), &MADE), wanted);
    let said = project.shipway(["run"]).exits(0);
    assert!(said.stderr.contains("2 cached"), "{}", said.stderr);
    assert_eq!(project.read(".shipway"), "a file in its place");
    fs::remove_file(project.join(".shipway")).unwrap();
    fs::remove_dir_all(project.join("out")).unwrap();
    let script = "mkdir .shipway; mount -t tmpfs -o ro none .shipway; exec $0 run";
    let Some(said) = mounted(&project, script) else { return };
    let said = said.exits(0);
    assert_eq!(said.stderr.matches(".shipway").count(), 1, "one notice: {}", said.stderr);
    assert_eq!(picture(project.path(), &MADE), wanted);
}

#[test]
fn an_output_that_cannot_be_written_is_a_failure_with_a_reason() {
    let (project, wanted) = pair();
    project.shipway(["run"]).exits(0);
    let Some(said) = mounted(&project, "rm out/a/one; mount --bind out out; mount -o remount,bind,ro out; exec $0 run") else { return };
    let said = said.exits(1);
    assert!(said.stderr.contains("ead-only file system"), "{}", said.stderr);
    project.shipway(["run"]).exits(0);
    assert_eq!(picture(project.path(), &MADE), wanted);
}

#[test]
fn a_restore_that_finds_the_disk_full_leaves_nothing_half_made() {
    let (project, wanted) = pair();
    project.shipway(["run"]).exits(0);
    fs::remove_dir_all(project.join("out")).unwrap();
    // Where fetched files wait, and where outputs lie.
    for folder in [".shipway/fetched", "out"] {
        let script = format!("mkdir -p {folder}; mount -t tmpfs -o size=100k none {folder}; $0 run; code=$?; ls -A {folder}; exit $code");
        let Some(said) = mounted(&project, &script.replace("$0 run; code=$?", "code=0; $0 run || code=$?")) else { return };
        assert!([0, 1].contains(&said.code()), "{folder}: {}", said.stderr);
        assert!(said.stderr.to_lowercase().contains("no space"), "{folder}: {}", said.stderr);
        project.shipway(["run"]).exits(0);
        assert_eq!(picture(project.path(), &MADE), wanted, "{folder}");
    }
}

/// Interrupts a run that is in the middle of copying a large file to where `file` grows.
#[track_caller]
fn interrupted_while_copying(signal: Signal, code: i32, restores: bool) {
    let text = "[stages.a]\ninputs = []\noutputs = [\"large\"]\nsteps = [\"yes large | head -c 60M > large; touch made\"]\n";
    let (project, wanted) = (Project::new(text), 60 << 20);
    if restores {
        project.shipway(["run"]).exits(0);
        fs::remove_file(project.join("large")).unwrap();
    }
    let child = start(project.command(["run"]));
    if restores {
        until("it fetches", || project.exists(".shipway/fetched") && fs::read_dir(project.join(".shipway/fetched")).unwrap().count() > 0);
    } else {
        until("the step is over", || project.exists("made"));
    }
    kill_process(Pid::from_child(&child), signal).unwrap();
    let ended = finish(child);
    assert!([0, code].contains(&ended.code()), "{}", ended.stderr);
    let (now, events) = project.events([] as [&str; 0]);
    assert_eq!((now, project.join("large").metadata().unwrap().len()), (0, wanted), "{events:#?}");
    let (_, again) = project.events([] as [&str; 0]);
    assert_eq!(outcome(&again, "a"), "cached");
}

#[test]
fn ctrl_c_while_a_large_output_is_restored() {
    interrupted_while_copying(Signal::INT, 130, true);
}

#[test]
fn term_while_a_large_output_is_stored() {
    interrupted_while_copying(Signal::TERM, 143, false);
}
