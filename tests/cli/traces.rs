//! The short way to a known stage: what was seen when it was found good is seen again. Each test shows a way in which that could lie.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::project::{PATIENCE, Project, brief, event, events};

/// `b` reads what `a` makes; both read one file more, and `a` looks for one that is not there.
const CHAIN: &str = r#"
[stages.a]
steps = [["cp", "src/a", "out/a"], "cat src/more >> out/a 2>&- || :", "echo a >> $XDG_N/runs"]
inputs = ["src/a", "src/more"]
outputs = ["out/a"]
pass-env = ["XDG_TEST"]
[stages.b]
needs = ["a"]
steps = [["tool", "-c", "cat out/a deep/b > out/b"], "echo b >> $XDG_N/runs"]
inputs = ["deep/b"]
outputs = ["out/b"]
"#;

/// Puts a program that is no script where `tool` is looked for: a shell of the system, under another name.
fn tool(project: &Project, shell: &str) {
    fs::create_dir_all(project.join("tools")).unwrap();
    fs::copy(Path::new("/bin").join(shell).canonicalize().unwrap(), project.join("tools/tool")).unwrap();
}

fn path(project: &Project) -> String {
    format!("{}:{}", project.join("tools").display(), std::env::var("PATH").unwrap())
}

/// Runs with the project's own program first in PATH.
#[track_caller]
fn run(project: &Project, variables: &[(&str, &str)]) -> String {
    let mut command = project.command(["run", "--format", "json"]);
    command.env("PATH", path(project));
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let events = events(str::from_utf8(&output.stdout).unwrap());
    assert_eq!(output.status.code(), Some(0), "{events:#?}");
    brief(&events)
}

fn traces(project: &Project) -> Vec<u8> {
    fs::read(project.join(".shipway/traces")).unwrap_or_default()
}

/// Runs until both stages have a trace: until the file system's clock has left the files behind.
fn traced() -> Project {
    let project = Project::counted(CHAIN);
    tool(&project, "dash");
    project.write("src/a", "one\n").write("deep/b", "two\n");
    assert_eq!(run(&project, &[]), "a passed, b passed");
    settle(&project);
    project
}

#[track_caller]
fn settle(project: &Project) {
    let until = Instant::now() + PATIENCE;
    let both = |bytes: &[u8]| [&b"src/a"[..], b"deep/b", b"out/b"].iter().all(|name| bytes.windows(name.len()).any(|part| part == *name));
    while !both(&traces(project)) {
        assert!(Instant::now() < until, "no traces were made");
        assert_eq!(run(project, &[]), "a cached, b cached");
    }
    assert_eq!(run(project, &[]), "a cached, b cached");
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Something that happens between two runs, and what the second of them then says.
type Case = (&'static str, fn(&Project), &'static str);

const CASES: &[Case] = &[
    ("nothing", |_| (), "a cached, b cached"),
    (
        "another content of the same length with the old time",
        |project| {
            let time = project.join("src/a").metadata().unwrap().modified().unwrap();
            project.write("src/a", "eno\n");
            set_modified(&project.join("src/a"), time);
        },
        "a passed, b passed",
    ),
    (
        "another file of the same length and time, renamed into its place",
        |project| {
            project.write("src/new", "eno\n");
            set_modified(&project.join("src/new"), project.join("src/a").metadata().unwrap().modified().unwrap());
            fs::rename(project.join("src/new"), project.join("src/a")).unwrap();
        },
        "a passed, b passed",
    ),
    ("a touch", |project| set_modified(&project.join("src/a"), SystemTime::now() + Duration::from_hours(1)), "a cached, b cached"),
    (
        "an input that was not there",
        |project| {
            project.write("src/more", "more\n");
        },
        "a passed, b passed",
    ),
    (
        "a folder of an input that is a link now",
        |project| {
            fs::rename(project.join("deep"), project.join("real")).unwrap();
            symlink("real", project.join("deep")).unwrap();
        },
        "a cached, b passed",
    ),
    (
        "an input that can be executed",
        |project| fs::set_permissions(project.join("deep/b"), fs::Permissions::from_mode(0o755)).unwrap(),
        "a cached, b passed",
    ),
    (
        "an output that is gone",
        |project| {
            project.remove("out/a");
        },
        "a cached, b cached",
    ),
    (
        "an output that is another",
        |project| {
            project.write("out/b", "???\n");
        },
        "a cached, b cached",
    ),
    (
        "an output that is a link to its like",
        |project| {
            fs::rename(project.join("out/b"), project.join("like")).unwrap();
            symlink("../like", project.join("out/b")).unwrap();
        },
        "a cached, b cached",
    ),
    ("a store that is gone", |project| fs::remove_dir_all(project.store().join("ac")).unwrap(), "a passed, b passed"),
    (
        "a record that is damaged",
        |project| {
            project.stored("ac").iter().for_each(|record| {
                fs::set_permissions(record, fs::Permissions::from_mode(0o644))
                    .and_then(|()| fs::write(record, vec![b'x'; usize::try_from(record.metadata().unwrap().len()).unwrap()]))
                    .unwrap();
            });
        },
        "a passed, b passed",
    ),
    ("another program of the same name, before it in PATH", |project| tool(project, "bash"), "a cached, b passed"),
    (
        "a pipeline that says something else",
        |project| {
            project.pipeline(&CHAIN.replace("cat out/a deep/b", "cat out/a  deep/b"));
        },
        "a cached, b passed",
    ),
    (
        "a comment in the pipeline",
        |project| {
            project.pipeline(&format!("# nothing\n{CHAIN}"));
        },
        "a cached, b cached",
    ),
    (
        "traces that are cut",
        |project| {
            project.write(".shipway/traces", &traces(project)[..900]);
        },
        "a cached, b cached",
    ),
    (
        "traces with another bit",
        |project| {
            let mut bytes = traces(project);
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            project.write(".shipway/traces", bytes);
        },
        "a cached, b cached",
    ),
    (
        "traces of another version",
        |project| {
            let mut bytes = traces(project);
            bytes[15] = b'2';
            project.write(".shipway/traces", bytes);
        },
        "a cached, b cached",
    ),
    (
        "no traces",
        |project| {
            project.remove(".shipway/traces");
        },
        "a cached, b cached",
    ),
];

#[test]
fn a_trace_holds_only_while_all_is_as_it_was() {
    thread::scope(|scope| {
        for (name, happen, expected) in CASES {
            scope.spawn(move || {
                let project = traced();
                happen(&project);
                assert_eq!(run(&project, &[]), *expected, "{name}");
                // Whatever way was taken: what lies there is what the steps make of what lies there.
                let read = |name: &str| fs::read_to_string(project.join(name)).unwrap_or_default();
                assert_eq!(read("out/a"), read("src/a") + &read("src/more"), "{name}");
                assert_eq!(read("out/b"), read("out/a") + &read("deep/b"), "{name}");
                assert!(!project.join("out/b").is_symlink(), "{name}");
            });
        }
    });
}

#[test]
fn a_trace_holds_only_for_the_same_caller() {
    let project = traced();
    assert_eq!(run(&project, &[("XDG_TEST", "other")]), "a passed, b cached");
    assert_eq!(run(&project, &[]), "a cached, b cached");
    assert_eq!((project.count("a"), project.count("b")), (2, 1));
    // Whoever hashes everything believes no trace, and whoever forces runs all.
    let mut command = project.command(["run", "--paranoid", "--format", "json"]);
    let output = command.env("PATH", path(&project)).output().unwrap();
    assert_eq!(brief(&events(str::from_utf8(&output.stdout).unwrap())), "a cached, b cached");
    let mut command = project.command(["run", "--force", "--format", "json"]);
    let output = command.env("PATH", path(&project)).output().unwrap();
    assert_eq!(brief(&events(str::from_utf8(&output.stdout).unwrap())), "a passed, b passed");
}

#[test]
fn what_was_made_while_the_clock_was_ahead_has_no_trace() {
    let project = Project::counted(
        "[stages.a]\nsteps = [[\"cp\", \"src/a\", \"out/a\"]]\ninputs = [\"src/a\"]\noutputs = [\"out/a\"]\n[stages.z]\nsteps = [[\"cp\", \"src/z\", \"out/z\"]]\ninputs = [\"src/z\"]\noutputs = [\"out/z\"]\n",
    );
    project.write("src/a", "one").write("src/z", "one");
    set_modified(&project.join("src/a"), SystemTime::now() + Duration::from_hours(1));
    project.brief(&[]);
    let until = Instant::now() + PATIENCE;
    let has = |name: &[u8]| traces(&project).windows(name.len()).any(|part| part == name);
    while !has(b"src/z") {
        assert!(Instant::now() < until, "no traces were made");
        assert_eq!(project.brief(&[]), "a cached, z cached");
    }
    assert!(!has(b"src/a"), "the time of the file is of no use, so neither is its trace");
}

#[test]
fn a_known_stage_tells_what_any_cached_one_does() {
    let project = traced();
    let tell = || {
        let output = project.command(["run", "--format", "json"]).env("PATH", path(&project)).output().unwrap();
        events(str::from_utf8(&output.stdout).unwrap())
    };
    let known = tell();
    project.remove(".shipway/traces");
    let found = tell();
    for kind in ["stage-started", "stage-finished"] {
        for stage in ["a", "b"] {
            let plain = |events: &[serde_json::Value]| {
                let mut event: serde_json::Value = event(events, kind, stage).clone();
                ["seq", "at", "duration_ms", "run"].iter().for_each(|key| drop(event.as_object_mut().unwrap().remove(*key)));
                event
            };
            assert_eq!(plain(&known), plain(&found));
        }
    }
}
