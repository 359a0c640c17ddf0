//! What a checkout and the store know of what was made before: what cannot be read of it costs only what it knew.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::project::{Project, brief, event, notices};

type Harm = fn(&Path);

const NONE: [&str; 0] = [];

/// What may happen to a journal.
const HARMS: [(&str, Harm); 7] = [
    ("gone", |path| fs::remove_file(path).unwrap()),
    ("empty", |path| fs::write(path, "").unwrap()),
    ("foreign", |path| fs::write(path, "another 7\nof another version").unwrap()),
    ("cut", |path| fs::write(path, &fs::read(path).unwrap()[..40]).unwrap()),
    ("damaged", |path| {
        let bytes: Vec<u8> = fs::read(path).unwrap().iter().enumerate().map(|(at, byte)| byte ^ u8::from(at % 20 == 19)).collect();
        fs::write(path, bytes).unwrap();
    }),
    ("a link", |path| {
        fs::remove_file(path).unwrap();
        std::os::unix::fs::symlink("nowhere", path).unwrap();
    }),
    ("a folder", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
];

/// Returns the runs that moved something aside, and how many files each of them moved.
fn aside(project: &Project) -> Vec<usize> {
    let runs = fs::read_dir(project.join(".shipway/aside")).into_iter().flatten();
    runs.map(|run| fs::read_dir(run.unwrap().path().join("a")).unwrap().count()).collect()
}

#[test]
fn what_is_not_known_to_be_ours_is_moved_and_known_from_then_on() {
    for (what, harm) in HARMS {
        let project = Project::new("[stages.a]\ncache = false\noutputs = [\"o\"]\nsteps = [\"date > o\"]\n");
        let path = project.join(".shipway/left.journal");
        project.brief(&[]);
        project.brief(&[]);
        assert_eq!(aside(&project), [0; 0], "{what}");
        harm(&path);
        let (code, events) = project.events(NONE);
        assert_eq!((code, brief(&events).as_str()), (0, "a passed unstored"), "{what}");
        assert!(notices(&events).contains("not made by shipway"), "{what}: {}", notices(&events));
        assert_eq!(aside(&project), [1], "{what}");
        if !path.is_symlink() && !path.is_dir() {
            project.brief(&[]);
            assert_eq!(aside(&project), [1], "{what}");
        }
        assert!(!project.exists(".shipway/nowhere"), "{what}");
    }
}

fn reason(events: &[Value]) -> &str {
    event(events, "stage-started", "a")["reason"].as_str().unwrap()
}

#[test]
fn without_notes_less_is_said_of_a_miss() {
    for (what, harm) in HARMS {
        let project = Project::new("[stages.a]\ninputs = [\"src\"]\noutputs = [\"o\"]\nsteps = [\"cp src o\"]\n");
        project.write("src", "one").brief(&[]);
        let notes: Vec<PathBuf> = project.stored("stages");
        assert_eq!(notes.len(), 1);
        let run = |text: &str| {
            let (code, events) = project.write("src", text).events(NONE);
            assert_eq!((code, brief(&events).as_str()), (0, "a passed"), "{what}");
            assert_eq!(notices(&events), "", "{what}");
            reason(&events).to_owned()
        };
        assert_eq!(run("two"), "src changed", "{what}");
        harm(&notes[0]);
        assert_eq!(run("three"), "no earlier result", "{what}");
        let is_mended = !notes[0].is_symlink() && !notes[0].is_dir();
        assert_eq!(run("four"), if is_mended { "src changed" } else { "no earlier result" }, "{what}");
        project.write("src", "one");
        assert_eq!(project.brief(&[]), "a cached", "{what}");
        project.shipway(["cache", "verify"]).exits(0);
        project.shipway(["cache", "clear"]).exits(0);
    }
}

#[test]
fn what_is_known_does_not_grow_with_the_runs() {
    // A few files with long names are much to know.
    let stage = |name: &str, count: u32| {
        let long = "x".repeat(230);
        format!(
            "[stages.{name}]\noutputs = [\"{name}\"]\ninputs = []\nsteps = [\"mkdir {name}; cd {name}; seq -f {long}%g {count} | xargs touch\"]\n"
        )
    };
    let project = Project::new(&stage("a", 1000));
    let length = || project.join(".shipway/left.journal").metadata().unwrap().len();
    project.brief(&[]);
    let first = length();
    assert!(first > 300_000, "{first}");
    for run in 0..4 {
        project.brief(&["--force"]);
        assert!(length() <= 2 * first + 1000, "{} after run {run}", length());
    }
    assert_eq!(aside(&project), [0; 0]);
    // What is gone, and of a stage that is gone, is forgotten.
    project.remove("a").pipeline(&stage("b", 1150)).brief(&[]);
    assert!(length() < first + first / 2, "{}", length());
}
