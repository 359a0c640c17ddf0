//! The short way to a known stage whose inputs and outputs are patterns and folders: it lasts as long as the folders hold the same names.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;

use crate::project::Project;
use crate::traces::wait_for;

/// `a` reads two kinds of files below `src` and all below `lib`, and makes a folder and what a pattern means.
const STAGES: &str = r#"
[stages.a]
steps = [
    "mkdir -p out/deep && find src lib -type f -name '*.[tl]' ! -name 'no.t' | sort | xargs cat > out/deep/all",
    "mkdir -p gen/more && cp out/deep/all gen/more/all.g",
]
inputs = ["src/**/*.t", "!src/**/no.t", "lib"]
outputs = ["out", "gen/**/*.g"]
[stages.b]
needs = ["a"]
steps = ["cat out/deep/all > b"]
inputs = []
outputs = ["b"]
"#;

fn traced() -> Project {
    let project = Project::new(STAGES);
    for name in ["src/one.t", "src/deep/two.t", "src/no.t", "src/other", "lib/deep/three.l"] {
        project.write(name, format!("{name}\n"));
    }
    assert_eq!(project.brief(&[]), "a passed, b passed");
    wait_for(&project, &["src/deep/two.t", "lib/deep/three.l", "out/deep/all", "gen/more/all.g"]);
    project
}

fn add(project: &Project, name: &str) {
    project.write(name, "new\n");
}

fn rename(project: &Project, from: &str, to: &str) {
    fs::rename(project.join(from), project.join(to)).unwrap();
}

fn remove(project: &Project, name: &str) {
    project.remove(name);
}

/// Something that happens between two runs, and whether `a` has to run because of it.
type Case = (&'static str, fn(&Project), bool);

const CASES: &[Case] = &[
    ("nothing", |_| (), false),
    ("a file of another kind", |project| add(project, "src/deep/more.x"), false),
    ("a file that is left out", |project| add(project, "src/deep/no.t"), false),
    ("a file that is meant", |project| add(project, "src/more.t"), true),
    ("a file that is meant, in a folder", |project| add(project, "src/deep/more.t"), true),
    ("a file that is meant, in a new folder", |project| add(project, "src/new/er/more.t"), true),
    ("a file in a folder that is read", |project| add(project, "lib/deep/more.l"), true),
    ("a file that says something else", |project| add(project, "src/deep/two.t"), true),
    ("a file that is gone", |project| remove(project, "src/deep/two.t"), true),
    ("a file by another name", |project| rename(project, "src/deep/two.t", "src/deep/zwei.t"), true),
    ("a folder by another name", |project| rename(project, "src/deep", "src/tief"), true),
    ("a folder that is gone", |project| remove(project, "lib/deep"), true),
    (
        "a folder that is a link now",
        |project| {
            rename(project, "src/deep", "tief");
            symlink("../tief", project.join("src/deep")).unwrap();
        },
        true,
    ),
    (
        "a link to what was there",
        |project| {
            rename(project, "src/one.t", "one.t");
            symlink("../one.t", project.join("src/one.t")).unwrap();
        },
        true,
    ),
    ("a stranger in a folder of outputs", |project| add(project, "out/stranger"), false),
    ("a stranger in a folder deep in outputs", |project| add(project, "out/deep/stranger"), false),
    ("a folder in outputs", |project| fs::create_dir(project.join("out/new")).unwrap(), false),
    ("a stranger that the pattern of outputs means", |project| add(project, "gen/more/stranger.g"), false),
    ("another one", |project| add(project, "gen/stranger.g"), false),
    ("a link in outputs", |project| symlink("all", project.join("out/deep/link")).unwrap(), false),
    ("an output that is gone", |project| remove(project, "out/deep/all"), false),
    ("a folder of outputs that is gone", |project| remove(project, "out"), false),
    ("an output that is another", |project| add(project, "gen/more/all.g"), false),
];

fn files(folder: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    entries.map(|entry| entry.path().strip_prefix(folder).unwrap().display().to_string()).collect()
}

#[test]
fn a_trace_of_folders_holds_only_while_they_hold_the_same() {
    thread::scope(|scope| {
        for (name, happen, runs) in CASES {
            scope.spawn(move || {
                let project = traced();
                happen(&project);
                let before = project.read("b");
                let said = project.brief(&[]);
                assert!(said == "a cached, b cached" || (*runs && said.starts_with("a passed, b ")), "{name}: {said}");
                assert_eq!(said.starts_with("a passed"), *runs, "{name}");
                // Whatever way was taken: what lies there is what a run makes, and nothing else.
                assert_eq!(files(&project.join("out")), ["", "deep", "deep/all"], "{name}");
                assert_eq!(files(&project.join("gen")), ["", "more", "more/all.g"], "{name}");
                assert_eq!(project.read("gen/more/all.g"), project.read("out/deep/all"), "{name}");
                assert_eq!(project.read("b"), project.read("out/deep/all"), "{name}");
                assert!(*runs || project.read("b") == before, "{name}");
            });
        }
    });
}

#[test]
fn what_reads_known_folders_runs_beside_them() {
    let stages = r#"
[stages.a]
steps = ["mkdir -p out/empty && cp src/a out/file"]
inputs = ["src/a"]
outputs = ["out"]
[stages.b]
needs = ["a"]
steps = ["[ ! -e $XDG_N/rude ] || rmdir out/empty", "cat out/file src/b > b"]
inputs = ["src/b"]
outputs = ["b"]
"#;
    let project = Project::counted(stages);
    project.write("src/a", "one\n").write("src/b", "one\n");
    assert_eq!(project.brief(&[]), "a passed, b passed");
    wait_for(&project, &["src/a", "src/b"]);
    // `a` is known by its trace; that its folder lies there as it did is asked again before what `b` makes is kept.
    project.write("src/b", "two\n");
    assert_eq!(project.brief(&[]), "a cached, b passed");
    fs::write(project.aside("rude"), "").unwrap();
    project.write("src/b", "three\n");
    assert_eq!(project.brief(&[]), "a cached, b passed unstored");
    assert_eq!(project.brief(&["--force", "a"]), "a passed");
}
