//! The commands around the store: `cache`, `why`, `run --dry-run`, `run --twice`, and what `check` says of inputs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use proptest::prelude::*;
use serde_json::Value;

use crate::project::{Project, Said, outcome};

/// Two stages that read files and each other.
const PAIR: &str = r#"
[stages.greet]
inputs = ["name.txt", "more/**"]
outputs = ["build/greeting.txt"]
steps = ['cat name.txt more/* > build/greeting.txt']
[stages.shout]
needs = ["greet"]
inputs = []
outputs = ["build/shout.txt"]
steps = ['tr a-z A-Z < build/greeting.txt > build/shout.txt']
"#;

fn pair() -> Project {
    let project = Project::new(PAIR);
    project.write("name.txt", "ada\n").write("more/one", "lovelace\n");
    project
}

fn blobs(project: &Project) -> Vec<PathBuf> {
    let stat: Value = serde_json::from_str(&project.shipway(["cache", "stat", "--format", "json"]).exits(0).stdout).unwrap();
    let mut found = Vec::new();
    for folder in fs::read_dir(PathBuf::from(stat["dir"].as_str().unwrap()).join("cas")).unwrap() {
        found.extend(fs::read_dir(folder.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    assert_eq!(stat["blobs"].as_u64().unwrap(), found.len() as u64);
    found
}

fn predictions(project: &Project) -> Vec<(String, Option<String>)> {
    let said = project.shipway(["run", "-n", "--format", "json"]).exits(0);
    let object: Value = serde_json::from_str(&said.stdout).unwrap();
    let stages = object["stages"].as_array().unwrap().iter();
    stages.map(|stage| (stage["stage"].as_str().unwrap().to_owned(), stage["prediction"].as_str().map(str::to_owned))).collect()
}

#[track_caller]
fn predicts(project: &Project, expected: &[(&str, Option<&str>)]) {
    let expected: Vec<(String, Option<String>)> =
        expected.iter().map(|(stage, word)| ((*stage).to_owned(), word.map(str::to_owned))).collect();
    assert_eq!(predictions(project), expected);
}

#[test]
fn a_prediction_is_what_happens_then_and_writes_nothing() {
    let project = pair();
    predicts(&project, &[("greet", Some("miss")), ("shout", None)]);
    assert!(!project.exists(".shipway") && !project.exists("build"));
    project.shipway(["run"]).exits(0);
    predicts(&project, &[("greet", Some("hit")), ("shout", Some("hit"))]);
    fs::remove_file(project.join("build/shout.txt")).unwrap();
    predicts(&project, &[("greet", Some("hit")), ("shout", Some("hit"))]);
    assert!(!project.exists("build/shout.txt"));
    project.write("name.txt", "grace\n");
    predicts(&project, &[("greet", Some("miss")), ("shout", None)]);
    let (code, events) = project.events(Vec::<&str>::new());
    assert_eq!((code, outcome(&events, "greet"), outcome(&events, "shout")), (0, "passed", "passed"));
    assert_eq!(project.read("build/shout.txt"), "GRACE\nLOVELACE\n");
}

#[test]
fn why_gives_the_whole_difference() {
    let project = pair();
    let said = |stage: &str| project.shipway(["why", stage]).exits(0).stdout;
    assert_eq!(said("greet"), "greet would run: no earlier result\nthere is no earlier result of it to compare with\n");
    project.shipway(["run"]).exits(0);
    assert_eq!(said("greet"), "greet would not run: its result is known\nthere is no other result of it to compare with\n");
    project.write("name.txt", "grace\n").write("more/two", "");
    fs::remove_file(project.join("more/one")).unwrap();
    let text = said("greet");
    assert!(text.starts_with("greet would run: more/one is gone, +2 more\ncompared with its nearest earlier result ("), "{text}");
    assert!(text.ends_with("):\n  more/one is gone\n  more/two is new\n  name.txt changed\n"), "{text}");
    let text = said("shout");
    assert!(text.contains("shout may run: it depends on what `greet` gives\n  greet runs first: more/one is gone, +2 more\n"), "{text}");
    let said = project.shipway(["run"]).exits(0);
    assert!(said.stderr.contains("more/one is gone, +2 more") && said.stderr.contains("`greet` gave something else"), "{}", said.stderr);
    project.shipway(["why", "nobody"]).exits(2);
}

#[test]
fn the_store_is_looked_after() {
    let project = pair();
    let dir = project.shipway(["cache", "dir"]).exits(0).stdout;
    assert!(PathBuf::from(dir.trim_end()).is_absolute());
    project.shipway(["run"]).exits(0);
    assert!(project.shipway(["cache", "stat"]).exits(0).stdout.contains("2 results"));
    assert!(project.shipway(["cache", "verify"]).exits(0).stdout.contains("all whole"));
    assert!(project.shipway(["cache", "gc"]).exits(0).stdout.starts_with("removed 0 results"));
    let blob = blobs(&project).remove(0);
    let mut bytes = fs::read(&blob).unwrap();
    bytes.push(b'x');
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, bytes).unwrap();
    let said = project.shipway(["cache", "verify"]).exits(1);
    assert!(said.stdout.contains("damaged, and removed"), "{}", said.stdout);
    project.shipway(["cache", "verify"]).exits(0);
    project.shipway(["cache", "clear"]).exits(0);
    assert!(blobs(&project).is_empty());
    let (_, events) = project.events(Vec::<&str>::new());
    assert_eq!((outcome(&events, "greet"), outcome(&events, "shout")), ("passed", "passed"));
}

#[test]
fn the_store_is_bounded() {
    let project = Project::new(
        "[cache]\nmax-size = \"64KiB\"\n[stages.a]\ninputs = [\"n\"]\noutputs = [\"out\"]\nsteps = [\"cat n > out; head -c 40000 /dev/urandom >> out\"]\n",
    );
    for number in 0..4 {
        project.write("n", number.to_string());
        project.shipway(["run"]).exits(0);
    }
    project.shipway(["cache", "gc"]).exits(0);
    let stat: Value = serde_json::from_str(&project.shipway(["cache", "stat", "--format", "json"]).exits(0).stdout).unwrap();
    assert!(stat["bytes"].as_u64().unwrap() <= 65536, "{stat}");
    let (_, events) = project.events(Vec::<&str>::new());
    assert_eq!(outcome(&events, "a"), "cached", "the newest result stays");
}

#[test]
fn twice_finds_what_is_not_reproducible() {
    let project = pair();
    assert!(project.shipway(["run", "--twice"]).exits(0).stderr.contains("twice the same: 2 stages"));
    let project = Project::new("[stages.a]\ninputs = []\noutputs = [\"out\"]\nsteps = [\"date +%s%N > out\"]\n");
    let said: Said = project.shipway(["run", "--twice"]).exits(1);
    assert!(said.stderr.contains("`a` gave something else the second time: out differs at offset "), "{}", said.stderr);
    let project = Project::new("[stages.a]\ninputs = []\nsteps = [\"cat ignored.txt\"]\n");
    project.write("ignored.txt", "").write(".gitignore", "ignored.txt\n");
    let said: Said = project.shipway(["run", "--twice"]).exits(1);
    assert!(said.stderr.contains("they read more than they declare"), "{}", said.stderr);
}

#[test]
fn check_warns_of_files_that_are_tracked_and_ignored() {
    let project = Project::new("[stages.a]\nsteps = [\"true\"]\n");
    project.write("kept.log", "").write(".gitignore", "*.log\n");
    let git = |words: &[&str]| assert!(Command::new("git").args(words).current_dir(project.path()).output().unwrap().status.success());
    git(&["init", "-q"]);
    git(&["add", "-f", "."]);
    let said = project.shipway(["check"]).exits(0);
    assert!(said.stderr.contains("git tracks `kept.log`, although .gitignore names it"), "{}", said.stderr);
    git(&["rm", "-q", "--cached", "kept.log"]);
    assert!(!project.shipway(["check"]).exits(0).stderr.contains("warning"));
}

#[test]
fn each_stage_that_ran_says_why_also_when_it_failed() {
    let project = Project::new("[stages.a]\ninputs = [\"n\"]\nsteps = [\"grep -q 1 n\"]\n");
    project.write("n", "1");
    project.shipway(["run"]).exits(0);
    project.write("n", "2");
    let said = project.shipway(["run"]).exits(1);
    assert!(said.stderr.contains("(it ran: n changed)"), "{}", said.stderr);
}

#[test]
fn check_warns_of_patterns_that_mean_ignored_files() {
    let project =
        Project::new("[stages.a]\ninputs = [\"src/**\"]\nsteps = [\"mkdir -p src/__pycache__; date +%N > src/__pycache__/x.pyc\"]\n");
    project.write("src/x.py", "").write(".gitignore", "__pycache__/\n");
    assert!(!project.shipway(["check"]).exits(0).stderr.contains("warning"));
    let said = project.shipway(["run"]).exits(0);
    assert!(said.stderr.contains("keep it out of its inputs: \"!**/__pycache__/**\""), "{}", said.stderr);
    let said = project.shipway(["check"]).exits(0);
    assert!(said.stderr.contains("input `src/**` of `a` means `src/__pycache__/x.pyc`, which git ignores"), "{}", said.stderr);
    let text = project.read("pipeline.toml").replace("\"src/**\"", "\"src/**\", \"!**/__pycache__/**\"");
    project.write("pipeline.toml", text);
    assert!(!project.shipway(["check"]).exits(0).stderr.contains("warning"));
    project.shipway(["run"]).exits(0);
    assert!(project.shipway(["run"]).exits(0).stderr.contains("1 cached"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_ran_once_is_all_hits_the_second_time(
        edges in prop::collection::vec((0usize..8, 0usize..8, any::<bool>()), 0..16),
        forms in prop::collection::vec(0usize..4, 8),
        gone in prop::collection::vec(any::<bool>(), 8),
    ) {
        let mut text = String::new();
        for (stage, form) in forms.iter().enumerate() {
            let above = |wanted: bool| {
                let of = edges.iter().filter(|(a, b, needs)| a.max(b) == &stage && a != b && *needs == wanted);
                let mut names: Vec<String> = of.map(|(a, b, _)| format!("\"s{}\"", a.min(b))).collect();
                names.sort();
                names.dedup();
                names.join(", ")
            };
            let (outputs, step) = match form {
                0 => (String::new(), "true".to_owned()),
                1 => (format!("\"out/f{stage}\""), format!("cat in/* > out/f{stage}")),
                2 => (format!("\"out/d{stage}\""), format!("mkdir -p out/d{stage}/empty; ln -s empty out/d{stage}/link; cp in/a out/d{stage}/a")),
                _ => (format!("\"out/g{stage}-*\""), format!("touch out/g{stage}-1 out/g{stage}-2; chmod +x out/g{stage}-1")),
            };
            text += &format!(
                "[stages.s{stage}]\nneeds = [{}]\nafter = [{}]\ninputs = [\"in/**\"]\noutputs = [{outputs}]\nsteps = [\"{step}\"]\n",
                above(true),
                above(false)
            );
        }
        let project = Project::new(&text);
        project.write("in/a", "a").write("in/b", "b");
        project.shipway(["run"]).exits(0);
        for (stage, _) in gone.iter().enumerate().filter(|(_, gone)| **gone) {
            let _not_all_have_outputs = fs::remove_dir_all(project.join(&format!("out/d{stage}")));
            let _not_all_have_outputs = fs::remove_file(project.join(&format!("out/f{stage}")));
        }
        let (code, events) = project.events(Vec::<&str>::new());
        prop_assert_eq!(code, 0);
        for stage in 0..forms.len() {
            prop_assert_eq!(outcome(&events, &format!("s{stage}")), "cached");
        }
    }
}
