//! What lies where outputs belong: proven on every hit, put right, and never deleted where shipway did not make it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::project::{Project, brief, git, notices, outcome, output, start, until};

/// A folder with a file, one that can be executed, a link, and an empty folder.
const FOLDER: &str = r#"
[stages.a]
steps = ["echo a >> $XDG_N/runs; mkdir -p out/empty; cp src out/plain; echo run > out/tool; chmod +x out/tool; ln -s plain out/link"]
inputs = ["src"]
outputs = ["out"]
"#;

fn folder() -> Project {
    let project = Project::counted(FOLDER);
    project.write("src", "one\n").brief(&[]);
    project
}

fn is_executable(project: &Project, name: &str) -> bool {
    project.join(name).metadata().unwrap().permissions().mode() & 0o111 != 0
}

#[track_caller]
fn is_whole(project: &Project, what: &str) {
    let mut names: Vec<String> =
        fs::read_dir(project.join("out")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["empty", "link", "plain", "tool"], "{what}");
    assert_eq!((project.read("out/plain").as_str(), project.read("out/tool").as_str()), ("one\n", "run\n"), "{what}");
    assert_eq!(fs::read_link(project.join("out/link")).unwrap().to_str(), Some("plain"), "{what}");
    assert!(project.join("out/empty").is_dir() && !project.join("out/empty").is_symlink(), "{what}");
    assert!(is_executable(project, "out/tool") && !is_executable(project, "out/plain"), "{what}");
}

/// Everything that was moved aside: path in the project, content.
fn aside(project: &Project) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![project.join(".shipway/aside")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(project.join(".shipway/aside")).unwrap().iter().skip(2).collect::<std::path::PathBuf>();
            found.push((name.display().to_string(), fs::read_to_string(&path).unwrap_or_default()));
        }
    }
    found.sort();
    found
}

/// A change to outputs: what, how, and what of it is somebody's own and must be kept.
type Change = (&'static str, fn(&Project), &'static [(&'static str, &'static str)]);

fn replaced_by_folder(project: &Project, name: &str) {
    project.remove(name);
    project.write(&format!("{name}/mine"), "mine");
}

const CHANGES: &[Change] = &[
    (
        "one of several is missing",
        |project| {
            project.remove("out/tool");
        },
        &[],
    ),
    (
        "the empty folder is missing",
        |project| {
            project.remove("out/empty");
        },
        &[],
    ),
    (
        "the link is missing",
        |project| {
            project.remove("out/link");
        },
        &[],
    ),
    (
        "all is missing",
        |project| {
            project.remove("out");
        },
        &[],
    ),
    (
        "edited by hand",
        |project| {
            project.write("out/plain", "hand\n");
        },
        &[("out/plain", "hand\n")],
    ),
    (
        "edited by hand, same size",
        |project| {
            project.write("out/plain", "two\n");
        },
        &[("out/plain", "two\n")],
    ),
    (
        "a file of a person",
        |project| {
            project.write("out/mine", "mine");
        },
        &[("out/mine", "mine")],
    ),
    (
        "a file of a person, in a folder",
        |project| {
            project.write("out/empty/mine", "mine");
        },
        &[("out/empty/mine", "mine")],
    ),
    ("a folder in a file's place", |project| replaced_by_folder(project, "out/plain"), &[("out/plain/mine", "mine")]),
    (
        "a file in a folder's place",
        |project| {
            project.remove("out/empty").write("out/empty", "mine");
        },
        &[("out/empty", "mine")],
    ),
    (
        "a file in the whole folder's place",
        |project| {
            project.remove("out").write("out", "mine");
        },
        &[("out", "mine")],
    ),
    (
        "a link in a file's place",
        |project| {
            project.remove("out/plain");
            symlink("../src", project.join("out/plain")).unwrap();
        },
        &[("out/plain", "")],
    ),
    (
        "a link that leads elsewhere",
        |project| {
            project.remove("out/link");
            symlink("tool", project.join("out/link")).unwrap();
        },
        &[("out/link", "")],
    ),
    (
        "a link in a folder's place",
        |project| {
            project.remove("out/empty").write("other/mine", "mine");
            symlink("../other", project.join("out/empty")).unwrap();
        },
        &[("out/empty", "")],
    ),
    (
        "the executable bit is lost",
        |project| fs::set_permissions(project.join("out/tool"), fs::Permissions::from_mode(0o644)).unwrap(),
        &[],
    ),
    (
        "an executable bit too many",
        |project| fs::set_permissions(project.join("out/plain"), fs::Permissions::from_mode(0o755)).unwrap(),
        &[],
    ),
];

/// nx#36932, mise PR#11786, moon: a hit looks at the names of outputs, or at some of them.
#[test]
fn a_hit_puts_every_change_right_and_loses_nothing() {
    for (what, change, kept) in CHANGES {
        let project = folder();
        change(&project);
        let (code, events) = project.events([""; 0]);
        assert_eq!((code, brief(&events).as_str(), project.count("a")), (0, "a cached", 1), "{what}");
        is_whole(&project, what);
        let kept: Vec<(String, String)> = kept.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let moved: Vec<(String, String)> = aside(&project)
            .into_iter()
            .map(|(name, text)| if what.contains("link") { (name, String::new()) } else { (name, text) })
            .collect();
        assert_eq!(moved, kept, "{what}");
        assert_eq!(notices(&events).contains("moved to .shipway/aside/"), !kept.is_empty(), "{what}: {}", notices(&events));
        assert_eq!(project.read("src"), "one\n", "nothing is written through a link");
        assert!(!project.exists("other") || project.read("other/mine") == "mine");
        let (_, events) = project.events([""; 0]);
        assert_eq!((brief(&events).as_str(), notices(&events).as_str()), ("a cached", ""), "{what}");
    }
}

/// The same before the steps run.
#[test]
fn a_run_starts_clean_and_loses_nothing() {
    for (what, change, kept) in CHANGES {
        let project = folder();
        change(&project);
        project.pipeline(&FOLDER.replace("cp src out/plain", "[ ! -e out/plain ]; [ ! -e out/mine ]; cp src out/plain"));
        let (code, events) = project.events([""; 0]);
        assert_eq!((code, brief(&events).as_str()), (0, "a passed"), "{what}: {events:#?}");
        is_whole(&project, what);
        let names: Vec<String> = aside(&project).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, kept.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>(), "{what}");
        assert_eq!(project.read("src"), "one\n", "{what}");
    }
}

#[test]
fn what_an_earlier_run_left_is_removed_without_a_word() {
    let project = Project::counted(
        "[stages.a]\nsteps = [\"for f in $(cat src); do echo $f > out/$f; done\"]\ninputs = [\"src\"]\noutputs = [\"out/*\"]\n",
    );
    let lying = || {
        let mut names: Vec<_> = fs::read_dir(project.join("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    project.write("src", "a b\n").brief(&[]);
    project.write("src", "b c\n");
    let (_, events) = project.events([""; 0]);
    assert_eq!((notices(&events).as_str(), lying()), ("", vec!["b".into(), "c".into()]));
    project.write("src", "a b\n");
    let (_, events) = project.events([""; 0]);
    assert_eq!((brief(&events).as_str(), notices(&events).as_str(), lying()), ("a cached", "", vec!["a".into(), "b".into()]));
    project.remove(".shipway").write("src", "b c\n");
    let (_, events) = project.events([""; 0]);
    assert_eq!(
        (brief(&events).as_str(), notices(&events).as_str(), lying()),
        ("a cached", "", vec!["b".into(), "c".into()]),
        "the store knows them, too"
    );
}

#[test]
fn without_clean_what_lies_in_outputs_stays() {
    let project = Project::counted(
        "[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; cp src out/$(cat src)\"]\ninputs = [\"src\"]\noutputs = [\"out\"]\nclean = false\n",
    );
    project.write("out/mine", "mine").write("src", "one").brief(&[]);
    project.write("src", "two").brief(&[]);
    assert!(project.exists("out/one") && project.exists("out/two") && project.exists("out/mine"));
    assert_eq!(project.brief(&[]), "a cached");
    project.write("out/two", "hand").write("out/new", "new");
    let (_, events) = project.events([""; 0]);
    assert_eq!((brief(&events).as_str(), notices(&events).as_str()), ("a cached", ""));
    assert_eq!((project.read("out/two").as_str(), project.read("out/new").as_str()), ("two", "new"));
    assert_eq!((aside(&project), project.count("a")), (vec![], 2));
}

/// What a stage without `clean` has in its outputs is its own, also for those who read them.
#[test]
fn without_clean_all_that_lies_there_counts_for_those_who_need_it() {
    let project = Project::counted(
        "[stages.a]\nsteps = [\"mkdir -p out; cp src out/a\"]\ninputs = [\"src\"]\noutputs = [\"out\"]\nclean = false\n[stages.b]\nneeds = [\"a\"]\nsteps = [\"ls out\"]\ninputs = []\n",
    );
    project.write("src", "one").brief(&[]);
    project.write("out/extra", "x");
    for did in ["a cached, b passed", "a cached, b cached"] {
        assert_eq!(project.brief(&[]), did);
    }
    project.remove("out/a");
    assert_eq!(project.predicted("b")["prediction"], "hit");
    let (_, events) = project.events([""; 0]);
    assert_eq!((brief(&events).as_str(), output(&events, "b", "stdout").as_str()), ("a cached, b cached", "a\nextra\n"));
}

/// A link as an output stays a link, and nothing behind it is touched.
#[test]
fn an_output_that_leads_outside_is_never_written_through() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), "precious").unwrap();
    let place = outside.path().display();
    let project = Project::counted(&format!(
        "[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; ln -s {place}/precious out; ln -s {place} dir; ln -s nowhere dangling\"]\ninputs = []\noutputs = [\"out\", \"dir\", \"dangling\"]\n"
    ));
    project.brief(&[]);
    let are_links = || {
        let target = |name: &str| fs::read_link(project.join(name)).unwrap().display().to_string();
        assert_eq!((target("out"), target("dir"), target("dangling")), (format!("{place}/precious"), place.to_string(), "nowhere".into()));
    };
    are_links();
    project.remove("out").remove("dir").remove("dangling");
    assert_eq!(project.brief(&[]), "a cached");
    are_links();
    fs::write(outside.path().join("precious"), "edited").unwrap();
    assert_eq!(project.brief(&[]), "a cached", "what lies behind it is no output");
    assert_eq!(project.brief(&["--force"]), "a passed");
    are_links();
    assert_eq!(fs::read_to_string(outside.path().join("precious")).unwrap(), "edited");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

/// A file output whose place was taken by a link to somebody's file.
#[test]
fn restoring_replaces_a_link_and_not_what_it_leads_to() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "precious").unwrap();
    let project =
        Project::counted("[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; cp src out/a\"]\ninputs = [\"src\"]\noutputs = [\"out/a\"]\n");
    project.write("src", "one").brief(&[]);
    for arguments in [&[][..], &["--force"]] {
        project.remove("out/a");
        symlink(outside.path(), project.join("out/a")).unwrap();
        project.brief(arguments);
        assert!(!project.join("out/a").is_symlink() && project.read("out/a") == "one");
        assert_eq!(fs::read_to_string(outside.path()).unwrap(), "precious");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    project.remove("out");
    symlink(elsewhere.path(), project.join("out")).unwrap();
    let (code, events) = project.events([""; 0]);
    assert_eq!((code, brief(&events).as_str()), (0, "a passed unstored"));
    assert!(notices(&events).contains("lie behind the link `out`"), "{}", notices(&events));
}

/// An output is missing although the stage passed before.
#[test]
fn a_missing_output_is_a_failure_and_not_stored() {
    let project = Project::counted(
        "[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; touch out/1; [ -e $XDG_N/no ] || touch out/2\"]\ninputs = []\noutputs = [\"out/1\", \"out/2\"]\n",
    );
    fs::write(project.aside("no"), "").unwrap();
    for runs in 1..=2 {
        let (code, events) = project.events([""; 0]);
        assert_eq!((code, outcome(&events, "a"), project.count("a")), (1, "failed", runs));
        assert!(project.stored("ac").is_empty());
    }
    fs::remove_file(project.aside("no")).unwrap();
    assert_eq!(project.brief(&[]), "a passed");
    project.remove("out/2");
    assert_eq!(project.brief(&[]), "a cached");
    assert!(project.exists("out/2"));
}

/// Pipes and sockets are nothing that can be kept.
#[test]
fn an_output_that_is_no_file_is_not_stored() {
    let project = Project::counted(
        "[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; mkdir -p out; mkfifo out/pipe\"]\ninputs = []\noutputs = [\"out\"]\n",
    );
    for runs in 1..=2 {
        let (code, events) = project.events([""; 0]);
        assert_eq!((code, brief(&events).as_str(), project.count("a")), (0, "a passed unstored", runs));
        assert_eq!(notices(&events), "not stored: the output `out/pipe` is neither a file nor a folder nor a link\n");
    }
}

#[test]
fn names_of_every_kind_are_restored() {
    let names = ["with space", "new\nline", "-dash", "ünï→", "*", "back\\slash", ".hidden", "q\"'$x"];
    let project =
        Project::counted("[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; cp -r src/. out/\"]\ninputs = [\"src\"]\noutputs = [\"out/**\"]\n");
    for name in names {
        project.write(&format!("src/{name}"), name).write(&format!("src/deep {name}/{name}"), name);
    }
    assert_eq!(project.brief(&[]), "a passed");
    project.remove("out");
    assert_eq!(project.brief(&[]), "a cached");
    for name in names {
        assert_eq!(
            (project.read(&format!("out/{name}")).as_str(), project.read(&format!("out/deep {name}/{name}")).as_str()),
            (name, name)
        );
    }
    project.write("src/new\nline", "changed");
    assert_eq!(project.brief(&[]), "a passed");
    assert_eq!(project.read("out/new\nline"), "changed");
}

#[test]
fn a_name_that_is_no_text_runs_and_is_not_stored() {
    let project = Project::counted(
        "[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; mkdir -p out; touch out/$(printf 'x\\\\377')\"]\ninputs = []\noutputs = [\"out\"]\n",
    );
    for runs in 1..=2 {
        let (code, events) = project.events([""; 0]);
        assert_eq!((code, brief(&events).as_str(), project.count("a")), (0, "a passed unstored", runs));
        assert!(notices(&events).contains("is not text in UTF-8"), "{}", notices(&events));
    }
}

#[test]
fn what_a_killed_step_left_is_removed_and_what_a_person_put_there_then_is_not() {
    let project = Project::new(
        "[stages.a]\ninputs = [\"n\"]\noutputs = [\"out\"]\nsteps = [\"mkdir -p out; cat n > out/a; touch begun; if grep -q 1 n; then sleep 600; fi\"]\n",
    );
    project.write("n", "1");
    let mut run = start(project.command(["run"]));
    until("the step has begun", || project.exists("begun"));
    run.kill().unwrap();
    run.wait().unwrap();
    until("the guard has ended the step", || {
        let runs = fs::read_dir(project.join(".shipway/making")).unwrap().map(|entry| entry.unwrap());
        runs.filter(|entry| entry.file_name().to_string_lossy().starts_with(".run-"))
            .all(|entry| fs::read(entry.path()).unwrap() == b"ended")
    });
    project.write("out/mine", "mine").write("n", "2");
    let said = project.shipway(["run"]).exits(0);
    assert!(said.stderr.contains("`out/mine` lay in its outputs and was not made by shipway"), "{}", said.stderr);
    assert!(!said.stderr.contains("out/a"), "{}", said.stderr);
    assert_eq!((project.read("out/a").as_str(), project.exists("out/mine")), ("2", false));
}

#[test]
fn what_an_attempt_left_is_removed_before_the_next() {
    let project = Project::new(
        "[stages.a]\ninputs = []\noutputs = [\"out\"]\nretries = 1\nsteps = [\"test ! -e out; mkdir out; touch out/x; test -e again || { touch again; exit 1; }\"]\n",
    );
    let said = project.shipway(["run"]).exits(0);
    assert!(!said.stderr.contains("not made by shipway"), "{}", said.stderr);
}

#[test]
fn a_mark_is_about_outputs_whatever_their_stage_is_called() {
    let stages = |name: &str, step: &str| {
        format!(
            "[pipeline]\nname = \"x\"\n[stages.{name}]\ninputs = [\"n\"]\noutputs = [\"out\"]\nsteps = [\"mkdir -p out; cat n > out/a; {step}\"]\n\
             [stages.b]\nneeds = [\"{name}\"]\ninputs = []\nsteps = [\"cat out/a\"]\n"
        )
    };
    let project = Project::empty();
    project.write("pipeline.toml", stages("a", "true")).write("n", "1");
    project.shipway(["run"]).exits(0);
    project.write("pipeline.toml", stages("a", "false")).write("n", "2");
    project.shipway(["run"]).exits(1);
    project.write("pipeline.toml", stages("z", "true"));
    let said = project.shipway(["run", "--only", "b"]).exits(3);
    assert!(said.stderr.contains("shipway run z"), "{}", said.stderr);
    project.shipway(["run", "z"]).exits(0);
    project.shipway(["run", "--only", "b"]).exits(0);
}

#[test]
fn what_has_no_name_in_utf_8_does_not_belong_there_either() {
    let project = Project::new(
        "[stages.a]\ninputs = [\"i\"]\noutputs = [\"out\"]\nsteps = [\"mkdir -p out; cat i > out/f\"]\n[stages.b]\nneeds = [\"a\"]\ninputs = []\n\
         steps = [\"test $(ls out | wc -l) = 1\"]\n",
    );
    project.write("i", "1");
    project.shipway(["run"]).exits(0);
    let odd = project.path().join(std::ffi::OsStr::from_bytes(b"out/b\xff"));
    fs::write(&odd, "mine").unwrap();
    let said = project.shipway(["run"]).exits(0);
    assert!(said.stderr.contains("was not made by shipway"), "{}", said.stderr);
    assert!(!odd.exists());
    project.shipway(["run", "--force"]).exits(0);
}

#[test]
fn outputs_that_are_not_cleaned_are_nobodys_when_they_are_again() {
    for cache in ["true", "false"] {
        let stage = |clean: &str| {
            format!(
                "[pipeline]\nname = \"x\"\n[stages.a]\ninputs = [\"i\"]\noutputs = [\"out\"]\ncache = {cache}\nclean = {clean}\nsteps = [\"mkdir -p out; cat i > out/x\"]\n"
            )
        };
        let project = Project::empty();
        project.write("pipeline.toml", stage("false")).write("i", "1").write("out/notes", "precious");
        project.shipway(["run"]).exits(0);
        project.write("pipeline.toml", stage("true"));
        let said = project.shipway(["run"]).exits(0);
        assert!(said.stderr.contains("`out/notes`"), "{cache}: {}", said.stderr);
        let mut folders = vec![project.join(".shipway/aside")];
        let mut found = false;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                found |= path.ends_with("out/notes") && fs::read_to_string(&path).unwrap() == "precious";
                folders.extend(path.is_dir().then_some(path));
            }
        }
        assert!(found, "{cache}");
    }
}

#[test]
fn patterns_of_outputs_mean_nothing_of_git_nor_the_pipeline() {
    let project = Project::new(
        "[stages.a]\ninputs = []\noutputs = [\"**/build/**\", \"**/*.toml\"]\nsteps = [\"mkdir -p sub/build; touch sub/build/o sub/x.toml\"]\n",
    );
    git(project.path(), &["init", "-q"]);
    git(project.path(), &["commit", "-q", "--allow-empty", "-m", "x"]);
    git(project.path(), &["branch", "build/x"]);
    project.shipway(["run"]).exits(0);
    project.shipway(["run", "--force"]).exits(0);
    assert!(project.exists(".git/refs/heads/build/x") && project.exists("pipeline.toml"));
    for output in [".git/x", ".shipway", ".shipway/runs/**", "pipeline.toml", "sub/.git/**"] {
        project.write("p.toml", format!("[pipeline]\nname = \"x\"\n[stages.a]\nsteps = [\"true\"]\noutputs = [\"{output}\"]\n"));
        assert!(project.shipway(["-f", "p.toml", "check"]).exits(2).stderr.contains("cannot be an output"));
    }
}

#[test]
fn a_portable_result_is_bound_again_when_that_is_taken_back() {
    let text = |portable: bool| format!("[stages.a]\ninputs = []\nportable = {portable}\noutputs = [\"o\"]\nsteps = [\"pwd > o\"]\n");
    let project = Project::new(&text(true));
    let twin = project.twin();
    project.shipway(["run"]).exits(0);
    twin.shipway(["run"]).exits(0);
    assert_eq!(twin.read("o"), project.read("o"));
    let own = format!("[pipeline]\nname = \"test\"\n{}", text(false));
    twin.write("pipeline.toml", own);
    let said = twin.shipway(["run"]).exits(0);
    assert!(said.stderr.contains("holds the path of another checkout"), "{}", said.stderr);
    assert_ne!(twin.read("o"), project.read("o"));
}

/// Python writes into a folder of modules whenever it takes what it compiled there for older than its source.
#[test]
fn what_is_derived_from_restored_files_is_still_good() {
    let project = Project::new(
        r#"
[stages.modules]
inputs = ["greet.txt"]
outputs = ["lib"]
steps = ["mkdir lib", "cp greet.txt lib/greet.py", "chmod 600 lib/greet.py", "touch -d 2001-01-01 lib/greet.py", "python3 -m compileall -q lib"]
[stages.package]
needs = ["modules"]
inputs = ["version"]
outputs = ["package.txt"]
env = { PYTHONPATH = "lib" }
steps = ["python3 -c 'import greet; print(greet.WORD, open(\"version\").read())' > package.txt"]
"#,
    );
    project.write("greet.txt", "WORD = 'hello'\n").write("version", "1");
    assert_eq!(project.brief(&[]), "modules passed, package passed");
    for (version, expected) in [("2", "modules cached, package passed"), ("1", "modules cached, package cached")] {
        project.write("version", version).remove("lib");
        assert_eq!(project.brief(&[]), expected);
        assert_eq!(project.brief(&[]), "modules cached, package cached");
        assert_eq!(project.join("lib/greet.py").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// A stage without outputs knows nothing of what lies there; what nobody has changed since is still shipway's.
#[test]
fn what_a_stage_left_before_it_had_no_outputs_is_its_own_only_unchanged() {
    let with = |outputs: &str, step: &str| format!("[stages.a]\ncache = false\n{outputs}steps = [\"{step}\"]\n");
    let project = Project::new(&with("outputs = [\"o\"]\n", "echo one > o"));
    let left = || project.join(".shipway/left.journal").metadata().map_or(0, |metadata| metadata.len());
    for (meanwhile, expected) in [(None, vec![]), (Some("mine\n"), vec![("o".to_owned(), "mine\n".to_owned())])] {
        project.pipeline(&with("outputs = [\"o\"]\n", "echo one > o")).brief(&[]);
        let before = left();
        assert!(before > 0);
        project.pipeline(&with("", "true")).brief(&[]);
        assert_eq!(left(), before);
        if let Some(text) = meanwhile {
            project.write("o", text);
        }
        project.pipeline(&with("outputs = [\"o\"]\n", "echo two > o")).brief(&[]);
        assert_eq!(aside(&project), expected);
        assert_eq!(project.read("o"), "two\n");
    }
}
