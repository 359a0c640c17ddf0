//! The short way to a known stage: what was seen when it was found good is seen again. Each test shows a way in which that could lie.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};

use crate::project::{PATIENCE, Project, brief, event, events, output};

/// `b` reads what `a` makes; both read one file more, and `a` looks for one that is not there.
const CHAIN: &str = r#"
[stages.a]
steps = [["cp", "src/a", "out/a"], "cat src/more >> out/a 2>&- || :", "echo a >> $XDG_N/runs"]
inputs = ["src/a", "src/more"]
outputs = ["out/a"]
pass-env = ["XDG_TEST"]
[stages.b]
needs = ["a"]
steps = [["tool", "-c", "cat out/a deep/er/b > out/b"], "echo b >> $XDG_N/runs"]
inputs = ["deep/er/b"]
outputs = ["out/b"]
"#;

/// Puts a program that is no script where `tool` is looked for: a shell of the system, under another name.
pub(crate) fn tool(project: &Project, folder: &str, shell: &str) {
    fs::create_dir_all(project.join(folder)).unwrap();
    fs::copy(Path::new("/bin").join(shell).canonicalize().unwrap(), project.join(folder).join("tool")).unwrap();
}

fn path(project: &Project) -> String {
    format!("{}:{}:{}", project.join("first").display(), project.join("tools").display(), std::env::var("PATH").unwrap())
}

/// Runs with the project's own program first in PATH.
#[track_caller]
fn run(project: &Project, variables: &[(&str, &str)]) -> String {
    run_with(project, &[], variables)
}

#[track_caller]
fn run_with(project: &Project, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = project.command(["run", "--format", "json"].iter().chain(arguments));
    command.env("PATH", path(project));
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let events = events(str::from_utf8(&output.stdout).unwrap());
    assert_eq!(output.status.code(), Some(0), "{events:#?}");
    brief(&events)
}

pub(crate) fn traces(project: &Project) -> Vec<u8> {
    fs::read(project.join(".shipway/traces")).unwrap_or_default()
}

/// Runs until both stages have a trace: until the file system's clock has left the files behind.
fn traced() -> Project {
    let project = Project::counted(CHAIN);
    tool(&project, "tools", "dash");
    project.write("src/a", "one\n").write("deep/er/b", "two\n");
    assert_eq!(run(&project, &[]), "a passed, b passed");
    settle(&project);
    project
}

#[track_caller]
fn settle(project: &Project) {
    let until = Instant::now() + PATIENCE;
    let both =
        |bytes: &[u8]| [&b"src/a"[..], b"deep/er/b", b"out/b"].iter().all(|name| bytes.windows(name.len()).any(|part| part == *name));
    while !both(&traces(project)) {
        assert!(Instant::now() < until, "no traces were made");
        assert_eq!(run(project, &[]), "a cached, b cached");
    }
    assert_eq!(run(project, &[]), "a cached, b cached");
}

pub(crate) fn set_modified(path: &Path, time: SystemTime) {
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
        "a folder in a folder that is a link now",
        |project| {
            fs::rename(project.join("deep/er"), project.join("deep/real")).unwrap();
            symlink("real", project.join("deep/er")).unwrap();
        },
        "a cached, b passed",
    ),
    (
        "an input that can be executed",
        |project| fs::set_permissions(project.join("deep/er/b"), fs::Permissions::from_mode(0o755)).unwrap(),
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
    ("another program in its place", |project| tool(project, "tools", "bash"), "a cached, b passed"),
    ("another program of the same name, before it in PATH", |project| tool(project, "first", "bash"), "a cached, b passed"),
    (
        "the mark of a stage that was left half made",
        |project| {
            let digits = Sha256::digest(b"b").into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
            let name: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
            project.write(&format!(".shipway/making/{name}"), "-");
        },
        "a cached, b cached",
    ),
    (
        "a pipeline that says something else",
        |project| {
            project.pipeline(&CHAIN.replace("cat out/a deep/er/b", "cat out/a  deep/er/b"));
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
        "traces that lie by their bits",
        |project| {
            lie(project);
            let mut bytes = traces(project);
            *bytes.last_mut().unwrap() ^= 1;
            project.write(".shipway/traces", bytes);
        },
        "a passed, b passed",
    ),
    (
        "traces of another version that lie",
        |project| {
            lie(project);
            forge(project, |bytes| bytes[15] = b'1');
        },
        "a passed, b passed",
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
                assert_eq!(read("out/b"), read("out/a") + &read("deep/er/b"), "{name}");
                assert!(!project.join("out/b").is_symlink(), "{name}");
                let marks = fs::read_dir(project.join(".shipway/making")).unwrap().map(|entry| entry.unwrap().file_name());
                assert!(marks.into_iter().all(|mark| mark.as_encoded_bytes().starts_with(b".")), "{name}");
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
    // The program is looked for along another way.
    settle(&project);
    fs::create_dir_all(project.join("other")).unwrap();
    tool(&project, "other", "bash");
    let other = format!("{}:{}", project.join("other").display(), std::env::var("PATH").unwrap());
    assert_eq!(run(&project, &[("PATH", &other)]), "a cached, b passed");
}

/// Returns what a trace tells of a file.
pub(crate) fn stamp(path: &Path) -> Vec<u8> {
    let metadata = path.symlink_metadata().unwrap();
    let time = |seconds: i64, rest: i64| (seconds * 1_000_000_000 + rest).cast_unsigned();
    let (modified, changed) = (time(metadata.mtime(), metadata.mtime_nsec()), time(metadata.ctime(), metadata.ctime_nsec()));
    let numbers = [metadata.dev(), metadata.ino(), metadata.size(), modified, changed];
    numbers.into_iter().flat_map(u64::to_le_bytes).chain(metadata.mode().to_le_bytes()).collect()
}

/// Changes the traces, and the sum at their end with them.
fn forge(project: &Project, change: impl FnOnce(&mut [u8])) {
    let mut bytes = traces(project);
    let end = bytes.len() - 32;
    change(&mut bytes[..end]);
    let sum = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
    project.write(".shipway/traces", bytes);
}

/// Changes an input of `a`, and lets the traces lie that it is the old one: who says that `a` is known has believed them.
fn lie(project: &Project) {
    change(project, &project.join("src/a"), || fs::write(project.join("src/a"), "eno\n").unwrap());
}

/// Does something to a file, and lets the traces tell that it was so.
fn change(project: &Project, file: &Path, act: impl FnOnce()) {
    let old = stamp(file);
    act();
    forge(project, |bytes| {
        let at = bytes.windows(old.len()).position(|part| part == old).unwrap();
        bytes[at..at + old.len()].copy_from_slice(&stamp(file));
    });
}

fn lying() -> Project {
    let project = traced();
    lie(&project);
    project
}

#[test]
fn only_who_may_believes_a_trace() {
    let cases: [(&[&str], &str); 7] = [
        (&[], "a cached, b cached"),
        (&["a"], "a cached"),
        (&["--paranoid"], "a passed, b passed"),
        (&["--force"], "a passed, b passed"),
        (&["--cache", "off"], "a passed unstored, b passed unstored"),
        (&["--cache", "write-only"], "a passed, b passed"),
        (&["--cache", "read-only"], "a passed unstored, b passed unstored"),
    ];
    thread::scope(|scope| {
        for (arguments, expected) in cases {
            scope.spawn(move || assert_eq!(run_with(&lying(), arguments, &[]), expected, "{arguments:?}"));
        }
        // The words belong to the last step, and to the key.
        scope.spawn(|| assert_eq!(run_with(&traced(), &["b", "--", "more"], &[]), "a cached, b passed"));
        scope.spawn(|| {
            let output = lying().command(["run", "--dry-run", "--format", "json", "a"]).output().unwrap();
            let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(said["stages"][0]["prediction"], "miss");
        });
    });
}

#[test]
fn a_trace_outlasts_the_mark_of_its_record_as_used() {
    let project = lying();
    for record in project.stored("ac") {
        let times = FileTimes::new().set_modified(SystemTime::now() - Duration::from_hours(1));
        change(&project, &record, || File::open(&record).unwrap().set_times(times).unwrap());
    }
    let used = || project.stored("ac").iter().map(|record| stamp(record)).collect::<Vec<_>>();
    let before = used();
    assert_eq!(run(&project, &[]), "a cached, b cached");
    assert_ne!(used(), before);
    assert_eq!(run(&project, &[]), "a cached, b cached");
}

#[test]
fn a_trace_holds_only_while_what_the_stage_needs_is_the_same() {
    let project = traced();
    project.write("src/a", "eno\n");
    let before = traces(&project);
    let until = Instant::now() + PATIENCE;
    // Until `a` has a new trace, and what `b` was found to be is of another time.
    while traces(&project) == before {
        assert!(Instant::now() < until, "no traces were made");
        run_with(&project, &["a"], &[]);
    }
    assert_eq!(run(&project, &[]), "a cached, b passed");
    assert_eq!(project.read("out/b"), "eno\ntwo\n");
}

#[test]
fn a_known_stage_waits_for_what_it_reads_nothing_of() {
    let stage = |name: &str, more: &str| {
        format!("[stages.{name}]\nsteps = [\"cat src/{name} > out/{name}\"]\ninputs = [\"src/{name}\"]\noutputs = [\"out/{name}\"]\n{more}")
    };
    let project = Project::new(&(stage("a", "") + &stage("b", "after = [\"a\"]\n")));
    project.write("src/a", "one\n").write("src/b", "two\n");
    project.brief(&[]);
    wait_for(&project, &["src/a", "src/b"]);
    project.remove("src/a");
    let (code, events) = project.events::<&str>([]);
    assert_eq!((code, brief(&events).as_str()), (1, "a failed, b skipped"));
}

#[test]
fn what_a_known_stage_printed_is_given_out_to_who_wants_it() {
    let project = Project::new("[stages.a]\nsteps = [\"cat src/a\"]\ninputs = [\"src/a\"]\n");
    project.write("src/a", "one\n");
    project.brief(&[]);
    wait_for(&project, &["src/a"]);
    assert_eq!(output(&project.events::<&str>([]).1, "a", "stdout"), "one\n");
    let said = project.shipway(["run", "--output", "stream"]).exits(0);
    assert!(said.stdout.contains("one\n"), "{said:?}");
}

/// Runs until there are traces that tell of all these.
pub(crate) fn wait_for(project: &Project, names: &[&str]) {
    let until = Instant::now() + PATIENCE;
    let has = |bytes: &[u8], name: &str| bytes.windows(name.len()).any(|part| part == name.as_bytes());
    while !names.iter().all(|name| has(&traces(project), name)) {
        assert!(Instant::now() < until, "no traces were made");
        project.shipway(["run", "--quiet"]).exits(0);
    }
}

/// Runs `program` in `root` over `store` until there are traces that stand on something else than `before`. Returns on what.
#[track_caller]
fn ground(project: &Project, program: &Path, root: &Path, store: &Path, before: &[u8]) -> Vec<u8> {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut command = project.command_of(program, ["run", "--quiet"]);
        assert!(command.current_dir(root).env("SHIPWAY_CACHE_DIR", store).status().unwrap().success());
        let bytes = fs::read(root.join(".shipway/traces")).unwrap_or_default();
        let ground = bytes.get(b"shipway traces 2\n".len()..).and_then(|rest| rest.get(..32)).unwrap_or_default();
        if ground != before {
            return ground.to_vec();
        }
        assert!(Instant::now() < until, "no traces were made");
    }
}

#[test]
fn traces_stand_on_the_program_the_store_and_the_place() {
    let project = Project::new("[stages.a]\nsteps = [\"cat src/a\"]\ninputs = [\"src/a\"]\n");
    project.write("src/a", "one\n");
    let aside = tempfile::tempdir().unwrap();
    let (program, copy) = (Path::new(env!("CARGO_BIN_EXE_shipway")), aside.path().join("shipway"));
    fs::copy(program, &copy).unwrap();
    let first = ground(&project, program, project.path(), project.store(), &[]);
    let second = ground(&project, &copy, project.path(), project.store(), &first);
    let store = aside.path().join("store");
    let third = ground(&project, &copy, project.path(), &store, &second);
    let moved = aside.path().join("moved");
    fs::rename(project.path(), &moved).unwrap();
    ground(&project, &copy, &moved, &store, &third);
    fs::rename(&moved, project.path()).unwrap();
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
