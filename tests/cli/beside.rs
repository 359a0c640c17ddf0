//! Several shipways at once, in one checkout and over one store.

use std::fs;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};

use crate::crash::picture;
use crate::project::{Project, Said, event, events, finish, guard_of, outcome, start, until};

/// Every step takes a folder named like its stage, and fails where it is there already.
const EXCLUSIVE: &str = r#"
[pipeline]
name = "test"
default = ["all"]
[cache]
max-size = "64KiB"
[stages.base]
inputs = ["src"]
outputs = ["base"]
steps = ["mkdir busy-base", "mkdir base; for i in 1 2 3 4; do head -c 20000 /dev/zero | tr '\\0' $i > base/$i; cat src >> base/$i; done", "rmdir busy-base"]
[stages.left]
needs = ["base"]
inputs = []
outputs = ["left.txt"]
steps = ["mkdir busy-left", "cat base/1 base/2 | cksum > left.txt", "rmdir busy-left"]
[stages.right]
needs = ["base"]
inputs = []
outputs = ["right"]
steps = ["mkdir busy-right", "mkdir right; cp base/3 right/three; cp base/4 right/four", "rmdir busy-right"]
[stages.all]
needs = ["left", "right"]
inputs = []
outputs = ["all.txt"]
steps = ["mkdir busy-all", "cat left.txt right/* | cksum > all.txt", "rmdir busy-all"]
[stages.alone]
inputs = []
outputs = ["alone.txt"]
steps = ["mkdir busy-alone", "echo alone > alone.txt", "rmdir busy-alone"]
"#;

const MADE: [&str; 5] = ["base", "left.txt", "right", "all.txt", "alone.txt"];

fn project() -> Project {
    let project = Project::empty();
    project.write("pipeline.toml", EXCLUSIVE).write("src", "source\n");
    project
}

/// Starts a run in `project` over the store of `store`.
fn begin(project: &Project, store: &Project, arguments: &[&str]) -> Child {
    let mut command = project.command(["run", "--format", "json"]);
    let inner = store.command([] as [&str; 0]);
    let folder = inner.get_envs().find(|(name, _)| *name == "SHIPWAY_CACHE_DIR").and_then(|(_, value)| value).unwrap();
    command.env("SHIPWAY_CACHE_DIR", folder).args(arguments);
    start(command)
}

#[test]
fn runs_side_by_side_never_disturb_each_other() {
    let (here, there, fresh) = (project(), project(), project());
    finish(begin(&fresh, &fresh, &["all", "alone"])).exits(0);
    let wanted = picture(fresh.path(), &MADE);
    for round in 0..3 {
        let selections: [&[&str]; 8] =
            [&["all"], &["--force"], &["left"], &["right", "alone"], &["--force", "base"], &["alone"], &["all", "alone"], &[]];
        let runs: Vec<Child> = selections.iter().map(|arguments| begin(&here, &here, arguments)).collect();
        let others: Vec<Child> =
            [&["all"] as &[&str], &["--force", "alone", "all"]].map(|arguments| begin(&there, &here, arguments)).into();
        for _ in 0..8 {
            here.shipway(["cache", "gc"]).exits(0);
        }
        for child in runs.into_iter().chain(others) {
            let said = finish(child);
            assert_eq!(said.code(), 0, "round {round}\n{}\n{}", said.stdout, said.stderr);
        }
        for project in [&here, &there] {
            finish(begin(project, &here, &["all", "alone"])).exits(0);
            assert_eq!(picture(project.path(), &MADE), wanted, "round {round}");
        }
        if round == 1 {
            for name in MADE {
                let path = here.join(name);
                let _one_of_both = (fs::remove_file(&path), fs::remove_dir_all(&path));
            }
        }
    }
}

#[test]
fn what_one_run_makes_the_others_reuse() {
    let project = Project::empty();
    project.write("pipeline.toml", EXCLUSIVE.replace("64KiB", "1GiB")).write("src", "source\n");
    let runs: Vec<Child> = (0..8).map(|_| begin(&project, &project, &["all"])).collect();
    let ended: Vec<Said> = runs.into_iter().map(|child| finish(child).exits(0)).collect();
    for stage in ["base", "left", "right", "all"] {
        let made = ended.iter().filter(|said| outcome(&events(&said.stdout), stage) == "passed").count();
        assert_eq!(made, 1, "{stage}");
    }
}

/// `user` reads `base` and waits for `slow`, which waits for a person; `base` stops in the middle where there is a file `break`.
const SHARED: &str = r#"
[stages.base]
inputs = []
outputs = ["base.txt"]
steps = ["if [ -e break ]; then echo half > base.txt; touch reached; sleep 1000; fi; if [ -e other ]; then echo other > base.txt; else echo whole > base.txt; fi"]
[stages.slow]
after = ["base"]
inputs = []
steps = ["touch begun; until [ -e go ]; do sleep 0.01; done"]
[stages.user]
needs = ["base"]
after = ["slow"]
inputs = []
outputs = ["user.txt"]
steps = ["cat base.txt > user.txt"]
"#;

/// A run that has done with `base`, and has not begun with `user`.
fn between(project: &Project) -> Child {
    project.shipway(["run", "base"]).exits(0);
    let run = start(project.command(["run", "--format", "json", "-j2"]));
    until("the slow stage has begun", || project.exists("begun"));
    run
}

#[test]
fn what_another_run_leaves_half_made_meanwhile_is_not_used() {
    let project = Project::new(SHARED);
    let run = between(&project);
    project.write("break", "");
    let mut other = start(project.command(["run", "--force", "base"]));
    until("the other run is in the middle", || project.exists("reached"));
    kill_process(Pid::from_child(&other), Signal::KILL).unwrap();
    other.wait().unwrap();
    fs::remove_file(project.join("break")).unwrap();
    project.write("go", "");
    let said = finish(run).exits(1);
    let ended = events(&said.stdout);
    assert_eq!(outcome(&ended, "user"), "failed");
    let reason = event(&ended, "stage-finished", "user")["reason"].as_str().unwrap();
    assert!(reason.contains("another run has begun to make `base` anew"), "{reason}");
    project.shipway(["run"]).exits(0);
    assert_eq!((project.read("base.txt").as_str(), project.read("user.txt").as_str()), ("whole\n", "whole\n"));
}

#[test]
fn what_another_run_makes_anew_meanwhile_is_known_by_what_it_is() {
    let project = Project::new(SHARED);
    let run = between(&project);
    project.write("other", "");
    project.shipway(["run", "--force", "base"]).exits(0);
    project.write("go", "");
    let said = finish(run).exits(0);
    let (first, other) = (event(&events(&said.stdout), "stage-finished", "user")["key"].clone(), project.read("user.txt"));
    assert_eq!(other, "other\n");
    fs::remove_file(project.join("other")).unwrap();
    project.shipway(["run", "--force", "base"]).exits(0);
    let (code, ended) = project.events([] as [&str; 0]);
    assert_eq!((code, project.read("user.txt").as_str()), (0, "whole\n"));
    assert_ne!(event(&ended, "stage-finished", "user")["key"], first);
}

/// Starts what its arguments say, and takes in what that leaves: so a guard that is stopped is not hung up on.
const SUBREAPER: &str = "syscall($ENV{PRCTL}, 36, 1, 0, 0, 0) == 0 or die $!; if (my $child = fork) { open my $file, '>', 'pid.new'; print $file $child; close $file; rename 'pid.new', 'pid'; sleep 1000 while 1 } exec @ARGV";

#[test]
fn a_stage_is_not_made_while_steps_of_a_killed_shipway_live() {
    let project = Project::new(
        "[stages.a]\ninputs = []\noutputs = [\"a.txt\"]\nsteps = [\"if [ -e go ]; then echo new > a.txt; else touch begun; while :; do echo old > a.txt; sleep 0.01; done; fi\"]\n",
    );
    let inner = project.command([] as [&str; 0]);
    let mut command = Command::new("perl");
    command.current_dir(project.path()).env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PRCTL", if cfg!(target_arch = "x86_64") { "157" } else { "167" });
    let mut reaper = command.args(["-e", SUBREAPER, env!("CARGO_BIN_EXE_shipway"), "run"]).spawn().unwrap();
    until("the step runs", || project.exists("begun") && project.exists("pid"));
    let shipway = project.read("pid").parse().unwrap();
    let guard = guard_of(shipway);
    kill_process(guard, Signal::STOP).unwrap();
    kill_process(Pid::from_raw(shipway).unwrap(), Signal::KILL).unwrap();
    project.write("go", "");
    let mut next = prints(project.command(["run"]), "waits for another run", &project.join("said"));
    kill_process(guard, Signal::CONT).unwrap();
    assert_eq!(next.wait().unwrap().code(), Some(0), "{}", project.read("said"));
    assert_eq!(project.read("a.txt"), "new\n");
    reaper.kill().unwrap();
    reaper.wait().unwrap();
}

/// Waits until the program, which `command` starts, prints `text`; returns it, still running.
fn prints(mut command: Command, text: &str, file: &std::path::Path) -> Child {
    let out = fs::File::create(file).unwrap();
    let child = command.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
    until(text, || fs::read_to_string(file).is_ok_and(|said| said.contains(text)));
    child
}

#[test]
fn a_step_that_calls_shipway_for_its_own_stage_fails() {
    let project = Project::new(&format!(
        "[stages.a]\ninputs = []\noutputs = [\"a.txt\"]\nsteps = [\"{} run --format json a\", \"echo a > a.txt\"]\n[stages.b]\nneeds = [\"a\"]\nsteps = [\"true\"]\n",
        env!("CARGO_BIN_EXE_shipway")
    ));
    let said = project.shipway(["run"]).exits(1);
    let shown = said.stdout + &said.stderr;
    assert!(shown.contains("it would wait for ever: shipway was called here by a step of `a`"), "{shown}");
}

#[test]
fn ctrl_c_ends_the_wait_for_another_run() {
    let project = Project::new(
        "[stages.a]\ninputs = []\noutputs = [\"a.txt\"]\nsteps = [\"touch begun; until [ -e go ]; do sleep 0.01; done; echo a > a.txt\"]\n",
    );
    let maker = start(project.command(["run"]));
    until("the step runs", || project.exists("begun"));
    let mut waiter = prints(project.command(["run", "--format", "text"]), "waits for another run", &project.join("said"));
    kill_process(Pid::from_child(&waiter), Signal::INT).unwrap();
    assert_eq!(waiter.wait().unwrap().code(), Some(130));
    project.write("go", "");
    finish(maker).exits(0);
    assert_eq!(project.read("a.txt"), "a\n");
    let (code, ended) = project.events([] as [&str; 0]);
    assert_eq!((code, outcome(&ended, "a")), (0, "cached"));
}
