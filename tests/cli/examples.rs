//! Every project below `examples/` does what its `expected.txt` says.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::project::{Project, outcome};

/// A test for each example, and the list of them. An example whose program is not on this machine is not run.
macro_rules! examples {
    ($($name:ident with $program:literal,)*) => {
        const RUN: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                passes(stringify!($name), $program);
            }
        )*
    };
}

examples! {
    ansible with "ansible-playbook",
    haproxy with "grep",
    hello with "sh",
    monorepo with "python3",
    node with "node",
    postgres with "psql",
    process with "python3",
    python with "python3",
    rust with "cargo",
    site with "sed",
}

/// Types the commands of an example's README, each of which must end with the code that stands behind it; returns where, and what was said.
#[track_caller]
fn typed(example: &str, commands: usize) -> (Project, String) {
    typed_with(example, commands, &[])
}

/// The same with more variables.
#[track_caller]
fn typed_with(example: &str, commands: usize, more: &[(&str, &str)]) -> (Project, String) {
    let readme = fs::read_to_string(examples().join(example).join("README.md")).unwrap();
    let typed = readme.lines().filter_map(|line| line.strip_prefix("    $ "));
    let lines = typed.map(|line| {
        let (command, code) = line.split_once("# exit ").unwrap_or((line, "0"));
        format!(
            "{{ {command}\n}} || code=$?\n[ \"${{code:-0}}\" = {code} ] || {{ echo \"{}: $code\"; exit 1; }}\ncode=\n",
            command.replace('"', "'").replace('$', "")
        )
    });
    let lines: Vec<String> = lines.collect();
    assert_eq!(lines.len(), commands, "the README has its commands");
    let project = Project::empty();
    std::os::unix::fs::symlink(examples(), project.join("examples")).unwrap();
    let mut command = typing(&project);
    command.args(["-c", &format!("exec 2>&1\n{}", lines.concat())]).envs(more.iter().copied());
    let said = command.output().unwrap();
    let out = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{out}");
    (project, out)
}

/// A shell in the folder of a project, in which somebody types who has shipway in PATH.
fn typing(project: &Project) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_shipway")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let like = project.command([] as [&str; 0]);
    let mut command = Command::new("sh");
    command.current_dir(project.path()).stdin(Stdio::null());
    command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("PATH", path).env("HOME", project.path());
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    command
}

#[test]
fn the_site_is_delivered() {
    let (project, out) = typed("site", 24);
    assert_eq!(out.matches("<h1>Hello</h1>").count(), 2, "{out}");
    assert_eq!(project.read("try/sites/production/current/build/index.html"), "<h1>Hello</h1>\n");
}

#[test]
fn a_process_takes_over_from_another() {
    if !is_here("python3") {
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (_project, out) = typed_with("process", 1, &[("SHOP_PORT", &port.to_string())]);
    let told: Vec<&str> = out.lines().filter_map(|line| line.split_once(" visitors were told: ")).map(|(_, greeting)| greeting).collect();
    assert_eq!(told, ["Hello", "Hello", "Hello again", "Hello again", "Hello", "Hello"], "{out}");
    assert!(out.contains("\n18 of 20 visitors were told: Hello\n2 of 20 visitors were told: Hello again\n"), "{out}");
    assert!(out.contains("rolled back") && out.contains("it says Goodbye") && out.contains("production: it has ended;"), "{out}");
}

#[test]
fn ansible_provisions_an_environment() {
    if !is_here("ansible-playbook") {
        return;
    }
    let (project, out) = typed("ansible", 7);
    let recaps = out.lines().filter(|line| line.starts_with("localhost"));
    let changes: Vec<&str> = recaps.map(|line| line.split("changed=").nth(1).unwrap().split(' ').next().unwrap()).collect();
    assert_eq!(changes, ["2", "0", "0"], "all is made, then nothing is, then it fails: {out}");
    assert!(out.contains("SITE_CONFIG names no folder") && out.contains("nothing was changed"), "{out}");
    assert_eq!(project.read("try/config/site.conf"), "# Written by provision.yml.\ntitle = A site\n");
    assert_eq!(project.read("try/sites/production/current/build/index.html"), "<h1>Goodbye</h1>\n");
}

#[test]
fn servers_behind_haproxy_are_delivered() {
    if crate::haproxy::program().is_none() || !is_here("curl") {
        return;
    }
    let project = Project::empty();
    let mut command = typing(&project);
    command.args(["-c", "exec 2>&1; exec \"$0\""]).arg(examples().join("haproxy/try.sh")).env("TMPDIR", project.path());
    let said = command.output().unwrap();
    let out = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success() && out.ends_with("\ntyped 24 commands\n"), "{out}");
    // Each greeting after its curl, and in the look of the environment.
    let greetings: Vec<&str> = out.lines().filter(|line| line.ends_with("world")).collect();
    let again = "Hello again, world";
    assert!(greetings.ends_with(&[again]) && greetings.iter().filter(|line| **line == again).count() >= 3, "{out}");
    assert!(
        out.contains("web: passed: 16 checks, 0 of ") && out.contains("✓ 10 %  ▶ 50 %") && out.contains("50 of 50 requests failed"),
        "{out}"
    );
    leaves_nothing(&project);
}

/// Whatever an example began below the folder of a project is over, and its own folder there is gone.
#[track_caller]
fn leaves_nothing(project: &Project) {
    let left: Vec<String> = entries(project.path()).iter().map(|path| name(path)).filter(|name| name.starts_with("tmp.")).collect();
    assert!(left.is_empty(), "{left:?}");
    let running = crate::project::processes(project.path().to_str().unwrap());
    assert!(running.is_empty(), "{running:?}");
}

#[test]
fn whoever_interrupts_an_example_or_reads_no_more_of_it_leaves_nothing() {
    if !is_here("python3") {
        return;
    }
    for is_interrupted in [true, false] {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let project = Project::empty();
        let mut command = typing(&project);
        command.args(["-c", "exec \"$0\""]).arg(examples().join("process/demo.sh"));
        command.env("TMPDIR", project.path()).env("SHOP_PORT", port.to_string());
        let mut demo = command.stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains(" visitors were told: ")), "it serves");
        if is_interrupted {
            // As a terminal does it.
            kill_process_group(Pid::from_child(&demo), Signal::INT).unwrap();
            lines.for_each(drop);
            assert_eq!(demo.wait().unwrap().code(), Some(130));
        } else {
            drop(lines);
            assert!(!demo.wait().unwrap().success());
        }
        leaves_nothing(&project);
    }
}

#[test]
fn every_example_is_whole_and_run() {
    let folders: Vec<String> = entries(&examples()).into_iter().filter(|path| path.is_dir()).map(|path| name(&path)).collect();
    assert_eq!(folders, RUN, "the folders of examples/ and the tests of this file");
    for folder in folders {
        for file in ["pipeline.toml", "README.md", "expected.txt"] {
            let text = fs::read_to_string(examples().join(&folder).join(file)).unwrap_or_else(|error| panic!("{folder}/{file}: {error}"));
            assert!(!text.trim().is_empty(), "{folder}/{file} is empty");
        }
    }
}

/// Runs a clean copy of an example; all that the run leaves behind must be ignored by git.
#[track_caller]
fn passes(example: &str, program: &str) {
    if !is_here(program) {
        // Past the harness, which would swallow it: whoever reads the log must see what was not tested.
        let mut log = std::io::stderr();
        writeln!(log, "example `{example}` is not run: there is no {program} on this machine").unwrap();
        return;
    }
    let project = Project::empty();
    let original = tree(&examples().join(example));
    for (file, text) in &original {
        project.write(file, text);
        let mode = fs::metadata(examples().join(example).join(file)).unwrap().permissions();
        fs::set_permissions(project.join(file), mode).unwrap();
    }
    project.shipway(["check"]).exits(0);

    let (code, events) = project.events(["--jobs", "2"]);
    let failures: Vec<_> = events.iter().filter(|event| !event["failure"].is_null()).collect();
    assert_eq!(code, 0, "{failures:#?}");
    let stages = events[0]["stages"].as_array().unwrap().iter().map(|stage| stage.as_str().unwrap());
    let outcomes: Vec<_> = stages.map(|stage| format!("{stage} {}", outcome(&events, stage))).collect();
    let expected = project.read("expected.txt");
    assert_eq!(outcomes, expected.lines().collect::<Vec<_>>(), "{example}/expected.txt");
    let left = tree(project.path());
    let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&left), names(&original), "files that git would see");
    assert!(left == original, "the run has changed its sources");

    let (_, again) = project.events(Vec::<&str>::new());
    let run: Vec<&Value> = again
        .iter()
        .filter(|event| event["event"] == "notice" || (event["event"] == "stage-finished" && event["outcome"] != "cached"))
        .collect();
    assert!(run.is_empty(), "nothing has changed: {run:#?}");
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Files by their path, with what is in them.
type Tree = BTreeMap<String, Vec<u8>>;

/// The files below a folder without those that `examples/.gitignore` names.
fn tree(root: &Path) -> Tree {
    let ignored = fs::read_to_string(examples().join(".gitignore")).unwrap();
    let ignored: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(ignored.iter().all(|line| line.ends_with('/')), "this test knows names of folders only: {ignored:?}");
    let mut found = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if !path.is_dir() {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
            } else if !ignored.contains(&&*format!("{}/", name(&path))) {
                folders.push(path);
            }
        }
    }
    found
}

/// What lies in a folder, by name.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn is_here(program: &str) -> bool {
    let lookup = Command::new("sh").args(["-c", "command -v \"$0\"", program]).stdin(Stdio::null()).stdout(Stdio::null()).status();
    lookup.unwrap().success()
}
