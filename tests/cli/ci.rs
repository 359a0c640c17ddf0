//! What CI systems make of our lines: groups, sections, annotations. Only ours are commands, whatever a step prints.

use std::fs;

use proptest::prelude::*;

use crate::project::{Project, Said, events, said};
use crate::shop::Shop;

/// A command as the runner of GitHub reads it.
#[derive(Debug, PartialEq, Eq)]
struct Command {
    name: String,
    properties: Vec<(String, String)>,
    data: String,
}

/// The commands that the runner knows.
const KNOWN: &[&str] = &[
    "add-mask",
    "add-matcher",
    "add-path",
    "command",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "notice",
    "remove-matcher",
    "save-state",
    "section",
    "set-env",
    "set-output",
    "stop-commands",
    "warning",
];

/// A small model of the runner: a line ends at `\n`, `\r` or both; `::name properties::data` behind blanks, `##[name properties]data`
/// anywhere.
fn commands(text: &str) -> Vec<Command> {
    text.split(['\n', '\r']).filter_map(|line| new(line).or_else(|| old(line))).collect()
}

fn new(line: &str) -> Option<Command> {
    let (head, data) = line.trim_start().strip_prefix("::")?.split_once("::")?;
    command(head, data, ',')
}

fn old(line: &str) -> Option<Command> {
    let (head, data) = line.split_once("##[")?.1.split_once(']')?;
    command(head, data, ';')
}

fn command(head: &str, data: &str, separator: char) -> Option<Command> {
    let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
    let unescape = |text: &str, more: bool| {
        let text = text.replace("%0D", "\r").replace("%0A", "\n");
        let text = if more { text.replace("%3A", ":").replace("%2C", ",") } else { text };
        text.replace("%25", "%")
    };
    let pairs = properties.split(separator).filter_map(|pair| pair.trim().split_once('='));
    let properties = pairs.map(|(name, value)| (name.to_owned(), unescape(value, true))).collect();
    let name = name.to_ascii_lowercase();
    KNOWN.contains(&&*name).then(|| Command { name, properties, data: unescape(data, false) })
}

/// The section marks that GitLab obeys: `start` or `end` and the name.
fn sections(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("section_") {
        let Some((head, rest)) = text[at + 8..].split_once('\r') else { continue };
        let mut parts = head.splitn(3, ':');
        let (Some(which @ ("start" | "end")), Some(time), Some(name)) = (parts.next(), parts.next(), parts.next()) else { continue };
        if rest.starts_with("\u{1b}[0K") && !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit()) {
            let name = name.strip_suffix("[collapsed=true]").unwrap_or(name);
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)), "{name}");
            found.push((which.to_owned(), name.to_owned()));
        }
    }
    found
}

fn github(project: &Project, arguments: &[&str]) -> Said {
    let mut command = project.command(arguments);
    command.env("GITHUB_ACTIONS", "true").env("CI", "true").env("GITHUB_WORKSPACE", project.path());
    said(command)
}

fn gitlab(project: &Project, arguments: &[&str]) -> Said {
    let mut command = project.command(arguments);
    command.env("GITLAB_CI", "true").env("CI", "true");
    said(command)
}

fn names(commands: &[Command]) -> Vec<&str> {
    commands.iter().map(|command| command.name.as_str()).collect()
}

const TWO: &str = "[stages.one]\nsteps = [\"echo from one\"]\n[stages.two]\nafter = [\"one\"]\nsteps = [\"echo from two; echo src/a.rs:3:7 is wrong >&2; exit 4\"]\n";

#[test]
fn github_gets_a_group_for_each_stage_and_an_error_at_its_place() {
    let project = Project::new(TWO);
    project.write("src/a.rs", "");
    let said = github(&project, &["run"]).exits(1);
    let found = commands(&said.stderr);
    assert_eq!(names(&found), ["group", "endgroup", "group", "endgroup", "error"], "{}", said.stderr);
    assert!(found[0].data.contains("✓ one") && found[2].data.contains("✗ two"), "{found:?}");
    let expected = [("file", "src/a.rs"), ("line", "3"), ("col", "7"), ("title", "two")];
    assert_eq!(found[4].properties, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(found[4].data.starts_with("src/a.rs:3:7 is wrong\ntwo: "), "{}", found[4].data);
    let folded = said.stderr.split("::group::").nth(1).unwrap().split("::endgroup::").next().unwrap();
    assert!(folded.contains("\nfrom one\n"), "the output of a group is in it: {}", said.stderr);
    assert!(said.stderr.trim_end().lines().last().unwrap().starts_with("failed: "), "the verdict comes last: {}", said.stderr);
}

#[test]
fn a_place_is_told_from_the_top_of_the_repository() {
    let project = Project::empty();
    let stage = "[pipeline]\nname = \"t\"\n[stages.s]\ndir = \"sub\"\nsteps = [\"echo a.rs:3; exit 1\"]\n";
    project.write("services/api/pipeline.toml", stage).write("services/api/sub/a.rs", "");
    let said = github(&project, &["-C", "services/api", "run"]).exits(1);
    let found = commands(&said.stderr);
    assert_eq!(found[0].properties[0], ("file".to_owned(), "services/api/sub/a.rs".to_owned()), "{}", said.stderr);
}

#[test]
fn github_gets_a_summary_of_each_run() {
    let project = Project::new("[stages.good]\nsteps = [\"true\"]\n[stages.bad]\nsteps = [\"echo '```'; exit 3\"]\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary.md");
    let run = |actions: &str| {
        let mut command = project.command(["run", "-j", "1"]);
        command.env("GITHUB_ACTIONS", actions).env("GITHUB_STEP_SUMMARY", &path);
        said(command).exits(1)
    };
    run("false");
    assert!(!path.exists(), "nobody there reads it");
    run("true");
    let once = fs::read_to_string(&path).unwrap();
    assert!(once.contains("bad") && once.contains("exited with code 3"), "{once}");
    run("true");
    let twice = fs::read_to_string(&path).unwrap();
    assert!(
        twice.starts_with(&once) && twice.matches("exited with code 3").count() > once.matches("exited with code 3").count(),
        "{twice}"
    );
}

#[test]
fn github_gets_warnings_for_what_a_person_should_know() {
    let project = Project::new("[stages.s]\nretries = 1\nsteps = [\"test -e done || { touch done; exit 1; }\"]\ninputs = []\n");
    let said = github(&project, &["run"]).exits(0);
    let found = commands(&said.stderr);
    let flaky = found.iter().find(|command| command.name == "warning" && command.data.contains("flaky"));
    assert!(flaky.is_some_and(|command| command.properties == [("title".to_owned(), "s".to_owned())]), "{}", said.stderr);
    assert!(found.iter().all(|command| command.name == "warning"), "{}", said.stderr);
}

#[test]
fn gitlab_gets_a_section_for_each_stage_folded_where_it_passed() {
    let project = Project::new(TWO);
    let said = gitlab(&project, &["run"]).exits(1);
    let expected = [("start", "shipway_one"), ("end", "shipway_one"), ("start", "shipway_two"), ("end", "shipway_two")];
    assert_eq!(sections(&said.stderr), expected.map(|(which, name)| (which.to_owned(), name.to_owned())), "{:?}", said.stderr);
    assert!(said.stderr.contains(":shipway_one[collapsed=true]\r") && said.stderr.contains(":shipway_two\r"), "{:?}", said.stderr);
    assert!(said.stderr.contains("\u{1b}[0K✓ one"), "the title stands behind the mark: {:?}", said.stderr);
    assert!(commands(&said.stderr).is_empty());
}

#[test]
fn elsewhere_nothing_is_a_command() {
    let project = Project::new(TWO);
    for variables in [&[][..], &[("CI", "true"), ("BUILDKITE", "true")], &[("GITHUB_ACTIONS", "false")]] {
        let mut command = project.command(["run"]);
        command.envs(variables.iter().copied());
        let said = said(command).exits(1);
        assert!(commands(&said.stderr).is_empty() && !said.stderr.contains("section_"), "{}", said.stderr);
        assert!(said.stdout.contains("from two\n"), "{}", said.stdout);
    }
}

/// One stage that says all that the runner of GitHub or GitLab would obey; it fails where `fails` is a file.
const EVIL: &str = r###"
[stages.evil]
inputs = ["evil.txt"]
steps = [{ name = "##[error]step", run = "cat evil.txt; cat evil.txt >&2; test ! -e fails" }]
[stages.other]
inputs = []
matrix = { x = ["##[error]x", "::error::y"] }
steps = ['''
: '
::error::in a command
##[error]in a command
'; test ! -e fails''']
"###;

#[test]
fn what_a_step_prints_is_no_command() {
    let project = Project::new(EVIL);
    let text = "::error::one\n  ::warning file=a::two\na\r::add-mask::three\n##[error]four\nx ##[group]five\n::stop-commands::word\n::word::\n\
                \u{1b}[31m::set-output name=a::six\u{1b}[0m\n::ERROR::seven\n:\u{1b}[0m:error::eight\n##vso[task.complete]nine\n\
                section_start:1:a\r\u{1b}[0Kten\nsection_end:1:a\r\u{1b}[0K\n::error::no newline";
    project.write("evil.txt", text).write("fails", "");
    let failing = github(&project, &["run", "-k"]).exits(1);
    let found = commands(&(failing.stdout + &failing.stderr));
    let count = |name: &str| found.iter().filter(|command| command.name == name).count();
    assert_eq!((count("group"), count("endgroup"), count("error"), found.len()), (1, 1, 3, 5), "{found:#?}\n{}", failing.stderr);
    assert!(failing.stderr.contains("\n\\::error::one\n"), "it is broken where people see it: {}", failing.stderr);
    project.remove("fails");
    // Fresh, from the store, one alone, and shown again.
    for arguments in [
        &["run", "--output", "stream"][..],
        &["run", "--output", "stream"],
        &["run", "evil", "--force"],
        &["report"],
        &["-v", "run"],
        &["run", "-n", "--force"],
        &["list"],
        &["why", "evil"],
        &["runs"],
    ] {
        let passing = github(&project, arguments).exits(0);
        let found = commands(&(passing.stdout + &passing.stderr));
        assert_eq!(names(&found), [""; 0], "{arguments:?}: {}", passing.stderr);
        let passing = gitlab(&project, arguments).exits(0);
        assert!(!(passing.stdout + &passing.stderr).contains("section_start:"), "{arguments:?}: {}", passing.stderr);
    }
    let json = github(&project, &["run", "--format", "json"]).exits(0);
    assert_eq!(commands(&json.stdout), []);
    let texts: String = events(&json.stdout).iter().filter_map(|event| event["text"].as_str()).collect();
    assert!(texts.contains("##[error]four\n"), "what programs read is as it was: {texts}");
}

#[test]
fn a_mistake_in_the_file_is_no_command() {
    let project = Project::new("[stages.s]\nsteps = [\"##[error]x\"]\nbad = \"\"\"\n::error::y\n\"\"\"\n");
    let said = github(&project, &["run"]).exits(2);
    assert_eq!(commands(&said.stderr), [], "{}", said.stderr);
}

/// Words that mean something to somebody, in any order.
fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&[u8]> = vec![
        b"::",
        b":",
        b"error",
        b"::error::",
        b"::group::",
        b"##[",
        b"#",
        b"[",
        b"error]",
        b"##vso[",
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\x1b[31m",
        b"\x1b[0m",
        b"\x1b[0K",
        b"\x1b",
        b"section_",
        b"start:1:x",
        b"end:1:x",
        b"section_start:1:x\r\x1b[0K",
        b"\xff",
        b"\0",
        b"\x0b",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\xef\xbb\xbf",
        b"\xc2\xa0",
        b"\xe2\x80\x8b",
        b"\x1b]0;",
        b"\x07",
        b"::add-mask::",
        b"word",
    ];
    prop::collection::vec(prop::sample::select(words), 1..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn only_ours_are_commands(text in nasty()) {
        let project = Project::new("[stages.a]\ncache = false\nsteps = [\"cat text; echo; cat text >&2\"]\n[stages.b]\nafter = [\"a\"]\nsteps = [\"cat text; exit 3\"]\n");
        fs::write(project.join("text"), &text).unwrap();
        for (output, expected) in [("grouped", &["group", "endgroup", "group", "endgroup", "error"][..]), ("stream", &["error"])] {
            let said = github(&project, &["run", "--output", output]).exits(1);
            let found: Vec<Command> = commands(&said.stdout).into_iter().chain(commands(&said.stderr)).collect();
            prop_assert_eq!(names(&found), expected, "{}{}", said.stdout, said.stderr);
            let said = gitlab(&project, &["run", "--output", output]).exits(1);
            let both = said.stdout + &said.stderr;
            prop_assert_eq!(sections(&both).len(), expected.len() / 2 * 2, "{}", both);
            prop_assert_eq!(both.matches("section_start:").count(), expected.len() / 2, "{}", both);
        }
    }
}

#[test]
fn a_place_in_a_checkout_aside_is_told_as_it_is_called_in_the_working_tree() {
    let shop = Shop::without_hook("[stages.x]\nsteps = [\"true\"]\n");
    let stage = "[pipeline]\nname = \"sub\"\n[stages.two]\nsteps = [\"echo src/a.rs:3:7 is wrong >&2; exit 4\"]\n";
    shop.project.write("sub/pipeline.toml", stage).write("sub/src/a.rs", "");
    shop.commit("sub");
    shop.shipway(&["-C", "sub", "hook", "install"]).exits(0);
    shop.project.write("note", "");
    let mut push = shop.git_in(shop.project.path(), &["push", "origin", "main"]);
    push.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", shop.project.path());
    let said = said(push).exits(1);
    assert!(said.stderr.contains("is tested aside") && said.stderr.contains("::error file=sub/src/a.rs,line=3,"), "{}", said.stderr);
}
