//! What the key holds and what it does not, seen from outside: one change, one look.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::project::{Project, brief, event, finish, git, notices, output, predicted, said, start, until};

#[track_caller]
fn key(project: &Project) -> String {
    let predicted = project.predicted("a");
    predicted["key"].as_str().unwrap_or_else(|| panic!("{predicted}")).to_owned()
}

#[track_caller]
fn key_with(project: &Project, env: &[(&str, &str)]) -> Value {
    let mut command = project.command(["run", "-n", "--format", "json", "a"]);
    command.envs(env.iter().copied());
    predicted(command, "a")["key"].clone()
}

/// go-task#548, #455: command and variables are not in the checksum. moon: arguments are sorted. mise#3499: the definition.
#[test]
fn each_part_of_a_definition_makes_another_key() {
    let variants = [
        "[stages.a]\nsteps = [[\"echo\", \"a\", \"b\"]]",
        "[stages.a]\nsteps = [[\"echo\", \"b\", \"a\"]]",
        "[stages.a]\nsteps = [[\"echo\", \"a b\"]]",
        "[stages.a]\nsteps = [[\"echo\", \"a\", \"b\", \"\"]]",
        "[stages.a]\nsteps = [[\"echo\", \"ab\"]]",
        "[stages.a]\nsteps = [[\"echo\", \"a\"], [\"echo\", \"b\"]]",
        "[stages.a]\nsteps = [[\"echo\", \"b\"], [\"echo\", \"a\"]]",
        "[stages.a]\nsteps = [\"echo a b\"]",
        "[stages.a]\nsteps = [\"echo a  b\"]",
        "shell = [\"sh\", \"-c\"]\n[stages.a]\nsteps = [\"echo a b\"]",
        "[stages.a]\nsteps = [\"echo a b\"]\nenv = { V = \"1\" }",
        "[stages.a]\nsteps = [\"echo a b\"]\nenv = { V = \"2\" }",
        "[stages.a]\nsteps = [\"echo a b\"]\nenv = { V = \"\" }",
        "[stages.a]\nsteps = [\"echo a b\"]\nenv = { W = \"1\" }",
        "[stages.a]\nsteps = [\"echo a b\"]\nenv = { V = \"1\", W = \"2\" }",
        "[stages.a]\nsteps = [\"echo a b\"]\nenv = { V = \"2\", W = \"1\" }",
        "[stages.a]\nsteps = [{ run = \"echo a b\", env = { V = \"1\" } }]",
        "[stages.a]\nsteps = [{ run = \"echo a b\", env = { V = \"1\" } }]\nenv = { V = \"1\" }",
        "[stages.a]\nsteps = [{ run = \"echo a b\", dir = \"sub\" }]",
        "[stages.a]\nsteps = [\"echo a b\"]\ndir = \"sub\"\noutputs = [\"o\"]",
        "[stages.a]\nsteps = [\"echo a b\"]\noutputs = [\"o\"]",
        "[stages.a]\nsteps = [\"echo a b\"]\noutputs = [\"p\"]",
        "[stages.a]\nsteps = [\"echo a b\"]\noutputs = [\"o\", \"p\"]",
        "[stages.a]\nsteps = [\"echo a b\"]\noutputs = [\"o\"]\nclean = false",
        "[stages.a]\nsteps = [\"echo a b\"]\nsecrets = [\"TOKEN\"]",
        "[stages.a]\nsteps = [\"echo a b\"]\npass-env = [\"NOPE\"]",
        "[stages.a]\nsteps = [\"echo a b\"]\ntools = [[\"sh\", \"-c\", \"echo 1\"]]",
        "[stages.a]\nsteps = [\"echo a b\"]\ntools = [[\"sh\", \"-c\", \"echo 2\"]]",
        "[stages.a]\nsteps = [\"echo a b\"]\nneeds = [\"n\"]\n[stages.n]\nsteps = [\"true\"]\ninputs = []",
    ];
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for variant in variants {
        let (stage, rest) =
            variant.split_once("\n[stages.n]").map_or((variant, String::new()), |(stage, rest)| (stage, format!("\n[stages.n]{rest}")));
        let project = Project::new(&format!("{stage}\ninputs = []{rest}\n"));
        fs::create_dir(project.join("sub")).unwrap();
        let key = key_with(&project, &[("TOKEN", "longer")]);
        let key = key.as_str().unwrap_or_else(|| panic!("{variant}")).to_owned();
        if let Some(other) = seen.insert(key, variant) {
            panic!("one key for both:\n{other}\n\n{variant}");
        }
    }
}

/// What says how, and not what, makes no other key.
#[test]
fn what_does_not_matter_makes_no_other_key() {
    let same = [
        "env = { A = \"1\", B = \"2\" }",
        "env = { B = \"2\", A = \"1\" }",
        "env = { A = \"1\", B = \"2\" }\ntimeout = \"5m\"",
        "env = { A = \"1\", B = \"2\" }\nretries = 3",
        "env = { A = \"1\", B = \"2\" }\ndescription = \"words\"",
        "env = { A = \"1\", B = \"2\" }\npool = \"db\"",
        "env = { A = \"1\", B = \"2\" }\nportable = true",
        "env = { A = \"1\", B = \"2\" }\nafter = [\"n\"]",
    ];
    let keys = same.map(|extra| {
        let project = Project::new(&format!("[pools]\ndb = 1\n[stages.n]\nsteps = [\"true\"]\n[stages.a]\nsteps = [\"echo\"]\n{extra}\n"));
        key(project.write("src", "x"))
    });
    for (key, extra) in keys.iter().zip(same) {
        assert_eq!(*key, keys[0], "{extra}");
    }
    let steps = ["steps = [\"echo\"]", "steps = [{ run = \"echo\", name = \"n\", timeout = \"9s\", retries = 2 }]"];
    let keys = steps.map(|steps| key(&Project::new(&format!("[stages.a]\n{steps}\ninputs = []\n"))));
    assert_eq!(keys[0], keys[1]);
}

/// moon: an unset variable is an empty one.
#[test]
fn a_variable_that_is_passed_counts_by_value_and_presence() {
    let project = Project::new("[stages.a]\nsteps = [\"echo\"]\ninputs = []\npass-env = [\"V\", \"P_*\"]\n");
    let sets: [&[(&str, &str)]; 8] =
        [&[], &[("V", "")], &[("V", "1")], &[("V", "2")], &[("P_A", "")], &[("P_A", "1")], &[("P_B", "1")], &[("P_A", "1"), ("P_B", "1")]];
    let mut keys: Vec<String> = sets.iter().map(|env| key_with(&project, env).to_string()).collect();
    assert_eq!(key_with(&project, &[("OTHER", "1"), ("CI", "true"), ("HOME", "/x")]).to_string(), keys[0], "what is not passed");
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), sets.len());
}

/// Names of variables and of steps never run into each other.
#[test]
fn a_variable_with_a_strange_name_is_not_a_step_s() {
    let stage = |env: &str, step: &str| {
        let project = Project::new(&format!("[stages.a]\nsteps = [{{ run = \"echo\"{step} }}]\ninputs = []\n{env}\n"));
        let said = said(project.command(["run", "-n", "--format", "json"]));
        (said.status.code(), said.stdout)
    };
    let strange = |value: &str| stage(&format!("env = {{ \"V in step 00001\" = \"{value}\" }}"), ", env = { V = \"1\" }");
    let (one, two) = (strange("1"), strange("2"));
    assert!(one.0 == Some(2) || one != two, "two definitions with one key: {one:?}");
}

/// mise#4213: a deleted input is not noticed. go-task: names are not in the checksum.
#[test]
fn each_change_of_inputs_makes_another_key() {
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("folder")).unwrap();
    fs::write(outside.path().join("file"), "1").unwrap();
    fs::write(outside.path().join("folder/deep"), "1").unwrap();
    let project = Project::new("[stages.a]\nsteps = [\"echo\"]\ninputs = [\"src/**\", \"lone\"]\n");
    project.write("src/one", "1").write("src/two", "2").write("else/where", "1").write("else/folder/x", "1");
    let link = |target: &Path, name: &str| symlink(target, project.join(name)).unwrap();
    link(Path::new("one"), "src/link");
    link(Path::new("../else/folder"), "src/folder");
    link(&outside.path().join("file"), "src/outside");
    link(&outside.path().join("folder"), "src/far");
    let mode = |name: &str, mode: u32| fs::set_permissions(project.join(name), fs::Permissions::from_mode(mode)).unwrap();
    let relink = |target: &str, name: &str| {
        project.remove(name);
        link(Path::new(target), name);
    };
    let changes: &[(&str, &dyn Fn())] = &[
        ("content", &|| {
            project.write("src/one", "3");
        }),
        ("content of the same size, at once", &|| {
            project.write("src/one", "4");
        }),
        ("executable", &|| mode("src/one", 0o755)),
        ("renamed", &|| fs::rename(project.join("src/two"), project.join("src/three")).unwrap()),
        ("moved down", &|| {
            project.write("src/d/x", "");
            fs::rename(project.join("src/three"), project.join("src/d/three")).unwrap();
        }),
        ("gone", &|| {
            project.remove("src/d/three");
        }),
        ("new", &|| {
            project.write("src/.new", "");
        }),
        ("what was absent is there", &|| {
            project.write("lone", "");
        }),
        ("the text of a link", &|| relink("./one", "src/link")),
        ("a link dangles", &|| relink("nowhere", "src/link")),
        ("what a link leads to", &|| {
            project.write("src/nowhere", "");
        }),
        ("a file in a folder behind a link", &|| {
            project.write("else/folder/x", "2");
        }),
        ("a new file in a folder behind a link", &|| {
            project.write("else/folder/y", "2");
        }),
        ("a file outside the project", &|| fs::write(outside.path().join("file"), "2").unwrap()),
        ("a file in a folder outside the project", &|| fs::write(outside.path().join("folder/deep"), "2").unwrap()),
        ("the mode of a file outside", &|| {
            fs::set_permissions(outside.path().join("folder/deep"), fs::Permissions::from_mode(0o755)).unwrap();
        }),
        ("a file becomes a link to the same content", &|| {
            project.write("else/same", "4");
            relink("../else/same", "src/one");
        }),
        ("a folder becomes empty", &|| {
            project.remove("src/d/x");
        }),
    ];
    let mut seen = vec![key(&project)];
    for (what, change) in changes {
        change();
        let now = key(&project);
        assert!(!seen.contains(&now), "{what}");
        seen.push(now);
    }
    let same: &[(&str, &dyn Fn())] = &[
        ("nothing", &|| {}),
        ("written again", &|| {
            project.write("src/.new", "");
        }),
        ("touched", &|| touch(&project.join("src/.new"), SystemTime::UNIX_EPOCH)),
        ("readable by others", &|| mode("src/.new", 0o600)),
        ("a file that is no input", &|| {
            project.write("README", "x");
        }),
        ("a pipe", &|| assert!(Command::new("mkfifo").arg(project.join("src/pipe")).status().unwrap().success())),
    ];
    for (what, change) in same {
        change();
        assert_eq!(Some(&key(&project)), seen.last(), "{what}");
    }
    let twin = project.twin();
    assert_eq!(Some(&key(&twin)), seen.last(), "in another place");
}

/// A way to write the input, and what it is.
type Write<'w> = (&'w str, &'w dyn Fn(&str));

fn touch(path: &Path, time: SystemTime) {
    let times = fs::FileTimes::new().set_modified(time).set_accessed(time);
    fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}

/// git's racy entries; and everybody who believes times.
#[test]
fn times_hide_no_change() {
    let project =
        Project::counted("[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; cp src out\"]\ninputs = [\"src\"]\noutputs = [\"out\"]\n");
    let path = project.join("src");
    let old = SystemTime::now() - Duration::from_hours(24);
    let ahead = SystemTime::now() + Duration::from_hours(24 * 365 * 5);
    let changes: &[Write<'_>] = &[
        ("at once", &|text| {
            project.write("src", text);
        }),
        ("the time put back", &|text| {
            let time = path.metadata().unwrap().modified().unwrap();
            project.write("src", text);
            touch(&path, time);
        }),
        ("an old time", &|text| {
            project.write("src", text);
            touch(&path, old);
        }),
        ("the same old time", &|text| {
            project.write("src", text);
            touch(&path, old);
        }),
        ("replaced by another file of the same size and time", &|text| {
            project.write("new", text);
            touch(&project.join("new"), old);
            fs::rename(project.join("new"), &path).unwrap();
        }),
        ("far in the future", &|text| {
            project.write("src", text);
            touch(&path, ahead);
        }),
        ("as far in the future", &|text| {
            project.write("src", text);
            touch(&path, ahead);
        }),
        ("before all time", &|text| {
            project.write("src", text);
            touch(&path, SystemTime::UNIX_EPOCH);
        }),
    ];
    project.write("src", "text -1\n").brief(&[]);
    for (round, (what, change)) in changes.iter().enumerate() {
        let text = format!("text {round:2}\n");
        change(&text);
        assert_eq!(project.brief(&[]), "a passed", "{what}");
        assert_eq!(project.read("out"), text, "{what}");
        assert_eq!(project.brief(&[]), "a cached", "{what}");
        assert_eq!(project.brief(&["--paranoid"]), "a cached", "{what}");
    }
    assert_eq!(project.count("a"), changes.len() + 1);
    // The same of an output.
    for time in [None, Some(old), Some(ahead)] {
        let before = project.join("out").metadata().unwrap().modified().unwrap();
        project.write("out", "TEXT  7\n");
        touch(&project.join("out"), time.unwrap_or(before));
        assert_eq!(project.brief(&[]), "a cached");
        assert_eq!(project.read("out"), "text  7\n");
    }
}

/// turborepo, Nx: what git ignores, and what it tracks all the same.
#[test]
fn default_inputs_are_what_git_would_not_ignore() {
    let stage = "[stages.a]\nsteps = [\"echo a >> $XDG_N/runs\"]\n";
    let project = Project::counted(&format!("{stage}[stages.none]\nsteps = [\"echo none >> $XDG_N/runs\"]\ninputs = []\n"));
    project.write("src/a", "1").write("ignored/x", "1").write("kept.log", "1").write(".gitignore", "/ignored\n*.log\n");
    git(project.path(), &["init", "-q"]);
    git(project.path(), &["add", "-f", "src", "kept.log", ".gitignore"]);
    git(project.path(), &["commit", "-qm", "one"]);
    assert_eq!(project.brief(&[]), "a passed, none passed");
    let mut runs = 1;
    let text = |stages: &str| format!("[pipeline]\nname = \"test\"\n{stages}");
    let changes: &[(&str, bool, &dyn Fn())] = &[
        ("an ignored file", false, &|| {
            project.write("ignored/x", "2");
        }),
        ("a new ignored file", false, &|| {
            project.write("ignored/y", "2").write("other.log", "");
        }),
        ("an ignored file that git tracks", true, &|| {
            project.write("kept.log", "2");
        }),
        ("an untracked file", true, &|| {
            project.write("new", "1");
        }),
        ("the same file, tracked", false, &|| git(project.path(), &["add", "new"])),
        ("a commit", false, &|| git(project.path(), &["commit", "-qm", "two"])),
        ("a file is not ignored any more", true, &|| {
            project.write(".gitignore", "*.log\n");
        }),
        ("that file", true, &|| {
            project.write("ignored/x", "3");
        }),
        ("it is ignored again by a file beside it", true, &|| {
            project.write("ignored/.gitignore", "x\ny\n");
        }),
        ("that file again", false, &|| {
            project.write("ignored/x", "4");
        }),
        ("another stage", false, &|| {
            {
                project.write(
                    "pipeline.toml",
                    text(&format!("{stage}[stages.none]\nsteps = [\"echo none >> $XDG_N/runs; true\"]\ninputs = []\n")),
                );
            };
        }),
        ("a tracked file is gone", true, &|| {
            project.remove("kept.log");
        }),
    ];
    for (what, reruns, change) in changes {
        change();
        runs += usize::from(*reruns);
        project.brief(&[]);
        assert_eq!(project.count("a"), runs, "{what}");
    }
    assert_eq!(project.count("none"), 2, "without inputs only the definition counts");
}

#[test]
fn a_name_that_is_no_text_keeps_an_input_out_of_the_store() {
    let project = Project::counted("[stages.a]\nsteps = [\"echo a >> $XDG_N/runs\"]\ninputs = [\"src/**\"]\n");
    project.write("src/a", "");
    fs::write(project.join("src").join(OsStr::from_bytes(b"x\xff")), "").unwrap();
    for runs in 1..=2 {
        let (code, events) = project.events([""; 0]);
        assert_eq!((code, brief(&events).as_str(), project.count("a")), (0, "a passed unstored", runs));
        let reason = event(&events, "stage-finished", "a")["reason"].as_str().unwrap();
        assert!(reason.starts_with("it is not cached: the name of the input `src/x"), "{reason}");
    }
}

/// A folder of programs that comes first in PATH.
struct Programs(tempfile::TempDir);

impl Programs {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, project: &Project) -> Command {
        let mut command = project.command(["run", "--format", "json"]);
        command.env("PATH", format!("{}:{}", self.0.path().display(), std::env::var("PATH").unwrap()));
        command
    }

    #[track_caller]
    fn run(&self, project: &Project) -> Vec<Value> {
        crate::project::events(&said(self.command(project)).exits(0).stdout)
    }
}

/// What none of the peers has: the program itself in the key.
#[test]
fn a_program_counts_by_its_content() {
    for steps in ["[\"mytool\"]", "\"mytool && true\"", "\"V=1 mytool\""] {
        let project = Project::counted(&format!("[stages.a]\nsteps = [{steps}]\ninputs = []\n"));
        let programs = Programs::new();
        for (text, did, prints) in [
            ("#!/bin/sh\necho 1\n", "a passed", "1\n"),
            ("#!/bin/sh\necho 1\n", "a cached", "1\n"),
            ("#!/bin/sh\necho 2\n", "a passed", "2\n"),
            ("#!/bin/sh\necho 1\n", "a cached", "1\n"),
        ] {
            programs.put("mytool", text);
            let events = programs.run(&project);
            assert_eq!((brief(&events).as_str(), output(&events, "a", "stdout").as_str()), (did, prints), "{steps}");
        }
        // Another program of the name comes first.
        let before = Programs::new();
        before.put("mytool", "#!/bin/sh\necho 3\n");
        let mut command = programs.command(&project);
        command.env("PATH", format!("{}:{}:/usr/bin:/bin", before.0.path().display(), programs.0.path().display()));
        assert_eq!(brief(&crate::project::events(&said(command).exits(0).stdout)), "a passed");
    }
}

#[test]
fn what_a_tool_says_of_itself_replaces_its_content() {
    let project = Project::counted("[stages.a]\nsteps = [[\"mytool\", \"run\"]]\ninputs = []\ntools = [\"mytool --version\"]\n");
    let programs = Programs::new();
    let tool = |version: u32, rest: &str| {
        programs.put("mytool", &format!("#!/bin/sh\n[ $1 = run ] || {{ echo {version}; exit; }}\necho a >> $XDG_N/runs{rest}\n"));
    };
    for (version, rest, runs) in [(1, "", 1), (1, "; true", 1), (2, "; true", 2), (1, "", 2)] {
        tool(version, rest);
        programs.run(&project);
        assert_eq!(project.count("a"), runs, "{version}{rest}");
    }
    let events = {
        tool(3, "");
        programs.run(&project)
    };
    assert_eq!(event(&events, "stage-finished", "a")["reason"], "tool `mytool --version` is another");
}

#[test]
fn a_tool_that_is_missing_or_fails_stops_all_before_it_begins() {
    for (tools, words) in [
        ("\"no-such-tool --version\"", "no-such-tool"),
        ("\"no-such-tool\"", "no-such-tool"),
        ("[\"sh\", \"-c\", \"echo why >&2; exit 4\"]", "exited with code 4: why"),
    ] {
        let project = Project::counted(&format!(
            "[stages.z]\nsteps = [\"echo z >> $XDG_N/runs\"]\n[stages.a]\nsteps = [\"echo a >> $XDG_N/runs\"]\ninputs = []\ntools = [{tools}]\n"
        ));
        let said = project.shipway(["run"]).exits(3);
        assert!(said.stderr.contains(words), "{}", said.stderr);
        assert_eq!(project.count("z") + project.count("a"), 0);
        project.shipway(["run", "z"]).exits(0);
    }
}

/// A script that starts whatever it is told says nothing about what that is.
#[test]
fn a_shim_is_no_identity() {
    let project = Project::counted("[stages.a]\nsteps = [[\"wrap\", \"--x\"]]\ninputs = []\n");
    let programs = Programs::new();
    programs.put("wrap", "#!/bin/sh\nreal=$(cat $XDG_N/which)\nexec \"$real\" \"$@\"\n");
    fs::write(project.aside("which"), "true").unwrap();
    for _ in 0..2 {
        let events = programs.run(&project);
        assert_eq!(brief(&events), "a passed unstored");
        assert!(notices(&events).contains("add tools = [\"wrap --version\"]"), "{}", notices(&events));
    }
    project.pipeline("[stages.a]\nsteps = [[\"wrap\", \"--x\"]]\ninputs = []\ntools = [\"wrap --version\"]\n");
    assert_eq!(brief(&programs.run(&project)), "a passed");
    let events = programs.run(&project);
    assert_eq!((brief(&events).as_str(), notices(&events).as_str()), ("a cached", ""));
    // What always runs is never stale.
    project.pipeline("[stages.a]\nsteps = [[\"wrap\", \"--x\"]]\ncache = false\n");
    let events = programs.run(&project);
    assert_eq!((brief(&events).as_str(), notices(&events).as_str()), ("a passed unstored", ""));
}

/// A program of the project is an input, whatever `inputs` says.
#[test]
fn a_script_of_the_project_counts_as_an_input() {
    let project = Project::counted("[stages.a]\nsteps = [[\"./ci/run.sh\"], \"./ci/second.sh\"]\ninputs = []\n");
    project.script("ci/run.sh", "#!/bin/sh\necho a >> $XDG_N/runs\n").script("ci/second.sh", "#!/bin/sh\n");
    assert_eq!(project.brief(&[]), "a passed");
    assert_eq!(project.brief(&[]), "a cached");
    project.script("ci/run.sh", "#!/bin/sh\necho a >> $XDG_N/runs; true\n");
    assert_eq!(project.brief(&[]), "a passed");
    project.script("ci/second.sh", "#!/bin/sh\ntrue\n");
    assert_eq!(project.brief(&[]), "a passed");
}

/// The stage that makes a program, and the one that runs it.
#[test]
fn a_program_that_a_stage_makes_is_part_of_what_it_gives() {
    let project = Project::counted(
        "[stages.make]\nsteps = [\"cp src bin/app; chmod +x bin/app\"]\ninputs = [\"src\"]\noutputs = [\"bin/app\"]\n[stages.a]\nneeds = [\"make\"]\nsteps = [[\"./bin/app\"]]\ninputs = []\n",
    );
    for (text, did) in
        [("1", "a passed, make passed"), ("1", "a cached, make cached"), ("2", "a passed, make passed"), ("1", "a cached, make cached")]
    {
        project.write("src", format!("#!/bin/sh\necho {text}\n"));
        let (_, events) = project.events([""; 0]);
        assert_eq!((brief(&events).as_str(), output(&events, "a", "stdout")), (did, format!("{text}\n")));
    }
}

#[test]
fn a_program_that_another_stage_makes_counts_also_where_it_is_not_needed() {
    let project = Project::new(
        "[stages.make]\ninputs = [\"v\"]\noutputs = [\"tools/foo\"]\nsteps = [\"printf '#!/bin/sh\\\\nexit %s\\\\n' $(cat v) > tools/foo; chmod +x tools/foo\"]\n\
         [stages.use]\nafter = [\"make\"]\ninputs = []\nsteps = [\"tools/foo\"]\n",
    );
    project.write("v", "0");
    assert_eq!(project.brief(&[]), "make passed, use passed");
    assert_eq!(project.brief(&[]), "make cached, use cached");
    project.write("v", "1");
    project.shipway(["run"]).exits(1);
}

#[test]
fn a_program_that_was_restored_is_looked_at_again() {
    let project = Project::empty();
    let path = project.path().canonicalize().unwrap();
    project.write(
        "pipeline.toml",
        format!(
            "[pipeline]\nname = \"x\"\n[stages.make]\ninputs = [\"v\"]\noutputs = [\"tools/foo\"]\n\
             steps = [\"printf '#!/bin/sh\\\\nexit %s\\\\n' $(cat v) > tools/foo; chmod +x tools/foo\"]\n\
             [stages.use]\nafter = [\"make\"]\ninputs = []\nenv = {{ PATH = \"{}/tools:/usr/bin:/bin\" }}\nsteps = [\"foo\"]\n",
            path.display()
        ),
    );
    project.write("v", "1");
    project.shipway(["run", "make"]).exits(0);
    project.write("v", "0");
    project.shipway(["run"]).exits(0);
    project.write("v", "1");
    project.shipway(["run"]).exits(1);
}

#[test]
fn what_interprets_a_script_of_the_project_counts() {
    let project = Project::new("[stages.a]\ninputs = []\npass-env = [\"PATH\"]\nsteps = [[\"./s\"]]\n");
    project.script("s", "#!/usr/bin/env interp\n").script("bin/interp", "#!/bin/sh\nexit 0\n");
    let run = || {
        let mut command = project.command(["run"]);
        command.env("PATH", format!("{}:/usr/bin:/bin", project.join("bin").display()));
        said(command)
    };
    run().exits(0);
    assert!(run().exits(0).stderr.contains("1 cached"));
    project.script("bin/interp", "#!/bin/sh\nexit 1\n");
    run().exits(1);
}

#[test]
fn what_a_link_among_outputs_leads_to_counts_for_those_who_need_it() {
    let project = Project::new(
        "[stages.a]\ninputs = [\"i\"]\noutputs = [\"current\"]\nsteps = [\"mkdir -p builds/1; cat i > builds/1/f; ln -sfn builds/1 current\"]\n\
         [stages.b]\nneeds = [\"a\"]\ninputs = []\nsteps = [\"grep -q 1 current/f\"]\n",
    );
    project.write("i", "1");
    assert_eq!(project.brief(&[]), "a passed, b passed");
    assert_eq!(project.brief(&[]), "a cached, b cached");
    project.write("builds/1/f", "2");
    project.shipway(["run"]).exits(1);
    fs::remove_dir_all(project.join("builds")).unwrap();
    project.shipway(["run"]).exits(1);
}

#[test]
fn another_pipeline_waits_for_outputs_that_are_being_made() {
    let project = Project::empty();
    let stage = |name: &str, step: &str| {
        format!("[pipeline]\nname = \"x\"\n[stages.{name}]\ninputs = []\noutputs = [\"out\"]\nsteps = [\"{step}\"]\n")
    };
    project.write("one.toml", stage("one", "mkdir out; touch out/f begun; while ! test -e go; do sleep 0.01; done; test -e out/f"));
    project.write("two.toml", stage("two", "mkdir out; touch out/g"));
    let one = start(project.command(["-f", "one.toml", "run"]));
    until("the first has begun", || project.exists("begun"));
    let two = start(project.command(["-f", "two.toml", "run", "--format", "json"]));
    until("the second waits", || {
        let runs = fs::read_dir(project.join(".shipway/runs")).unwrap();
        runs.filter_map(|run| fs::read_to_string(run.unwrap().path()).ok()).any(|text| text.contains("waits for another run"))
    });
    project.write("go", "");
    finish(one).exits(0);
    finish(two).exits(0);
    assert!(project.exists("out/g") && !project.exists("out/f"));
}

#[test]
fn a_script_that_a_stage_makes_itself_is_no_tool_of_it() {
    let project = Project::new(
        "[stages.a]\ninputs = []\noutputs = [\"venv\"]\nsteps = [\"mkdir -p venv/bin; printf '#!/usr/bin/env cat\\n' > venv/bin/x; chmod +x venv/bin/x\", [\"venv/bin/x\"]]\n",
    );
    assert_eq!(project.brief(&[]), "a passed");
    assert_eq!(project.brief(&[]), "a cached");
    fs::remove_dir_all(project.join("venv")).unwrap();
    assert_eq!(project.brief(&[]), "a cached");
}

#[test]
fn exclusions_alone_are_refused_and_never_proposed() {
    let project = Project::new("[stages.a]\nsteps = [\"date +%N > made\"]\n");
    project.write("main.c", "1");
    let said = project.shipway(["run"]).exits(0);
    assert!(said.stderr.contains("made is new; if it writes that itself, name it in `outputs` or in .gitignore"), "{}", said.stderr);
    project.write(".gitignore", "made\n");
    project.shipway(["run"]).exits(0);
    assert!(project.shipway(["run"]).exits(0).stderr.contains("1 cached"));
    let text = project.read("pipeline.toml");
    project.write("pipeline.toml", format!("{text}inputs = [\"!made\"]\n"));
    let said = project.shipway(["run"]).exits(2);
    assert!(said.stderr.contains("`inputs` only says what does not count") && said.stderr.contains("[\"**\", \"!…\"]"), "{}", said.stderr);
    project.write("pipeline.toml", format!("{text}inputs = [\"**\", \"!made\"]\n"));
    project.shipway(["run"]).exits(0);
    project.write("main.c", "2");
    assert!(project.shipway(["run"]).exits(0).stderr.contains("main.c changed"));
}
