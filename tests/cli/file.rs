//! What is wrong with a file: all of it, where, and what to do.

use crate::project::{Project, said};

/// What `check` says of a file; it must be refused.
#[track_caller]
fn refused(text: &str) -> String {
    let project = Project::empty();
    project.write("pipeline.toml", text);
    let said = project.shipway(["check"]).exits(2);
    assert_eq!(said.stdout, "");
    let run = project.shipway(["run"]).exits(2);
    assert_eq!(run.stderr, said.stderr, "run and check say the same");
    said.stderr
}

#[test]
fn an_error_shows_file_line_column_and_a_way_out() {
    let said =
        refused("[pipeline]\nname = \"x\"\n[stages.build]\nsteps = [\"true\"]\n[stages.test]\nneeds = [\"biuld\"]\nsteps = [\"true\"]\n");
    let expected = "\
error: there is no stage `biuld`
 --> pipeline.toml:6:10
  |
6 | needs = [\"biuld\"]
  |          ^^^^^^^ unknown stage
  |
  = help: a stage with a similar name exists: `build`

error: pipeline.toml is not valid: 1 error; nothing has run
";
    assert_eq!(said, expected);
}

#[test]
fn all_errors_are_shown_at_once() {
    let said = refused(
        r#"
[pipeline]
nam = "x"
[defaults]
timeout = 10
needs = ["a"]
[pools]
db = 0
[stages.a]
steps = ["- rm", [], "", 7, { run = "x", nmae = "y" }]
needs = ["b"]
outputs = ["../x", "/etc", "dist"]
env = { A = 1, TOKEN = "x" }
secrets = ["TOKEN"]
[stages.b]
after = ["a"]
steps = ["true"]
outputs = ["dist/app"]
pool = "bd"
dir = "../.."
services = ["postgres"]
[stages.c]
steps = ["echo {matrix.x}"]
inputs = ["dist/app"]
matrix = { y = ["1", "1"], z = [] }
[stages."-d"]
steps = ["true"]
"#,
    );
    let expected = [
        "[pipeline] has no `name`",
        "[pipeline] has no key `nam`",
        "expected a duration such as \"30s\"",
        "[defaults] has no key `needs`",
        "expected a whole number from 1",
        "a step begins with `-`",
        "this list must not be empty",
        "a command is empty",
        "expected a command",
        "a step has no key `nmae`",
        "stages wait for each other in a circle: `a` -> `b` -> `a`",
        "a path leaves the project",
        "a path must be relative to the project",
        "expected a text, found an integer",
        "`TOKEN` is both in `env` and in `secrets`",
        "would write the same output",
        "there is no pool `bd`",
        "there is no service `postgres`",
        "the value `1` stands twice in its axis",
        "`-d` cannot be a name",
    ];
    for message in expected {
        assert!(said.contains(message), "`{message}` is not in:\n{said}");
    }
}

#[test]
fn keys_of_later_work_are_refused() {
    for line in ["sandbox = \"off\"", "run-on = \"local\""] {
        assert!(
            refused(&format!("[pipeline]\nname = \"x\"\n[stages.a]\nsteps = [\"true\"]\n{line}\n")).contains("a stage has no key"),
            "{line}"
        );
    }
    assert!(refused("[pipeline]\nname = \"x\"\n[remote]\n").contains("the file has no key"));
}

#[test]
fn a_literal_input_that_is_an_output_must_be_needed() {
    let said = refused(
        "[pipeline]\nname = \"x\"\n[stages.a]\nsteps = [\"true\"]\noutputs = [\"out\"]\n[stages.b]\nsteps = [\"true\"]\ninputs = [\"out/app\"]\n",
    );
    assert!(said.contains("`out/app` is an output of `a`, which `b` does not need"), "{said}");
    let project = Project::new(
        "[stages.a]\nsteps = [\"true\"]\noutputs = [\"out\"]\n[stages.m]\nneeds = [\"a\"]\nsteps = [\"true\"]\n[stages.b]\nneeds = [\"m\"]\nsteps = [\"true\"]\ninputs = [\"out/app\"]\n",
    );
    project.shipway(["check"]).exits(0);
}

#[test]
fn a_matrix_without_its_value_in_the_output_is_refused() {
    let said = refused("[pipeline]\nname = \"x\"\n[stages.a]\nmatrix = { v = [1, 2] }\nsteps = [\"true\"]\noutputs = [\"out\"]\n");
    assert!(said.contains("put a `{matrix.…}` value into the path"), "{said}");
}

#[test]
fn strange_files_are_refused_in_words() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "the file has no `pipeline`"),
        (b"\x00\x01\x02\xff\xfe", "the file is not text in UTF-8"),
        (b"[pipeline", "not valid TOML"),
        (b"pipeline = 1", "expected a table"),
        (b"\xff\xfe[\x00p\x00", "the file is not text in UTF-8"),
    ];
    for (bytes, message) in cases {
        let project = Project::empty();
        project.write("pipeline.toml", bytes);
        let said = project.shipway(["run"]).exits(2);
        assert!(said.stderr.contains(message), "{}", said.stderr);
    }
    let project = Project::empty();
    std::fs::create_dir(project.join("pipeline.toml")).unwrap();
    assert!(project.shipway(["run"]).exits(2).stderr.contains("it is a folder"));
    let project = Project::empty();
    let said = project.shipway(["run"]).exits(2).stderr;
    assert!(said.contains("there is no pipeline.toml") && said.contains("`shipway init` writes"), "{said}");
    std::os::unix::fs::symlink("nowhere", project.join("pipeline.toml")).unwrap();
    assert!(project.shipway(["run"]).exits(2).stderr.contains("cannot be read"));
}

#[test]
fn a_byte_order_mark_is_no_error_and_moves_no_place() {
    let project = Project::empty();
    project.write("pipeline.toml", "\u{feff}[pipeline]\nname = \"x\"\n[stages.a]\nsteps = [\"true\"]\n");
    project.shipway(["run"]).exits(0);
    project.write("pipeline.toml", "\u{feff}[pipelin]\n");
    assert!(project.shipway(["run"]).exits(2).stderr.contains("pipeline.toml:1:"));
}

#[test]
fn an_open_bracket_is_one_error() {
    let said = refused("[pipeline]\nname = \"x\"\n[stages.a]\nsteps = [\"true\",\n\n[stages.b]\nsteps = [\"true\"]\nneeds = [\"a\"]\n");
    assert!(said.starts_with("error: unclosed array, expected `]`\n") && said.contains("1 error;"), "{said}");
    let said = refused("[pipeline]\nname = x\n[stages.a\nsteps = [\"true\"]\n[stages.b]\nneeds = 1\n");
    assert!(said.contains("unclosed table") && said.contains("expected a list of texts, found an integer"), "{said}");
}

#[test]
fn a_very_long_line_is_shown_in_part() {
    let project = Project::empty();
    project.write(
        "pipeline.toml",
        format!("[pipeline]\nname = \"x\"\n[stages.a]\nsteps = [\"true\"]\nneeds = [{}\"b\"]\n", "\"a0\", ".repeat(200_000)),
    );
    let said = project.shipway(["check"]).exits(2);
    assert!(said.stderr.contains("unknown stage"));
    assert!(said.stderr.lines().all(|line| line.len() < 1000));
}

#[test]
fn deep_nesting_is_refused() {
    let project = Project::empty();
    project.write("pipeline.toml", format!("a = {}", "[".repeat(1_000_000)));
    project.shipway(["check"]).exits(2);
    project.write("pipeline.toml", "a.".repeat(500_000) + "a = 1");
    project.shipway(["check"]).exits(2);
}

#[test]
fn check_warns_of_inputs_that_match_nothing() {
    let project = Project::new(
        "[stages.a]\nsteps = [\"true\"]\ninputs = [\"src/**\", \"here\", \"out/x\", \"!gone\"]\nneeds = [\"b\"]\n[stages.b]\nsteps = [\"true\"]\noutputs = [\"out\"]\n",
    );
    project.write("here", "");
    let said = project.shipway(["check"]).exits(0);
    assert_eq!(said.stderr.matches("warning:").count(), 1, "{}", said.stderr);
    assert!(said.stderr.contains("input `src/**` of `a` matches no file"));
    assert_eq!(said.stdout, "pipeline.toml is valid: 2 stages, 1 warning\n");
}

#[test]
fn a_value_of_the_matrix_cannot_empty_a_step() {
    let said = refused("[pipeline]\nname = \"x\"\n[stages.a]\nmatrix = { c = [\"\", \"-x\", \"true\"] }\nsteps = [\"{matrix.c}\"]\n");
    assert!(said.contains("with a value of the matrix this step is ``") && said.contains("this step is `-x`"), "{said}");
}

#[test]
fn outputs_of_different_kinds_may_share_a_folder() {
    let project = Project::new(
        "[stages.a]\nsteps = [\"true\"]\noutputs = [\"dist/**/*.js\"]\n[stages.b]\nsteps = [\"true\"]\noutputs = [\"dist/**/*.css\"]\n",
    );
    project.shipway(["check"]).exits(0);
}

#[test]
fn check_warns_of_shims_and_names_the_line_to_write() {
    let stages = |tools: &str| {
        let stage = |name: &str| format!("[stages.{name}]\nsteps = [\"python3 x.py\"]\n{tools}\n");
        ["a", "b", "c", "d", "e"].map(stage).concat() + "[stages.off]\nsteps = [[\"ruby\"]]\ncache = false\n"
    };
    let project = Project::new(&stages(""));
    project.script(".pyenv/shims/python3", "#!/bin/sh\nexit 1\n").script(".pyenv/shims/ruby", "#!/bin/sh\nexit 1\n");
    let check = |project: &Project| {
        let mut command = project.command(["check"]);
        command.env("PATH", format!("{}:/usr/bin:/bin", project.join(".pyenv/shims").display()));
        said(command).exits(0)
    };
    let expected = "\
warning: `python3` is a shim of pyenv, so its content does not tell which program it starts
 --> pipeline.toml:3:9
  |
3 | [stages.a]
  |         ^ used by `a`, `b`, `c` and 2 more
  |
  = help: so that another version is noticed, add to the stage: tools = [\"python3 -VV\"]
";
    let warned = check(&project);
    assert!(warned.stderr.trim_end() == expected.trim_end(), "{}", warned.stderr);
    assert_eq!(warned.stdout, "pipeline.toml is valid: 6 stages, 1 warning\n");
    let asked = Project::new(&stages("tools = [\"python3 -VV\"]"));
    asked.script(".pyenv/shims/python3", "#!/bin/sh\nexit 1\n");
    assert_eq!(check(&asked).stderr, "");
}

#[test]
fn names_that_no_variable_has_are_refused_once_and_where_they_stand() {
    let project = Project::new(
        "[defaults]\npass-env = [\"D=1\"]\n[stages.a]\nsteps = [\"true\"]\nsecrets = [\"OK\", \"S=1\"]\n[stages.b]\nsteps = [\"true\"]\npass-env = [\"CI\", \"P=1\", \"X_*\"]\n",
    );
    let said = project.shipway(["check"]).exits(2).stderr;
    for (name, place) in [("D=1", "pipeline.toml:4:13"), ("S=1", "pipeline.toml:7:18"), ("P=1", "pipeline.toml:10:19")] {
        assert_eq!(said.matches(&format!("`{name}` cannot be")).count(), 1, "{said}");
        assert!(said.contains(place), "{place}: {said}");
    }
    assert!(said.contains("3 errors") && said.contains("env = { NAME"), "{said}");
}

#[test]
fn words_of_other_tools_are_told_by_their_names_here() {
    let project = Project::new(
        "[stages.a]\ncommand = \"x\"\ndepends_on = []\nsteps = [{ cmd = \"x\" }]\n[services.s]\nrun = \"x\"\nenvironment = {}\n[tasks]\n",
    );
    let said = project.shipway(["check"]).exits(2).stderr;
    let told =
        [("command", "steps"), ("depends_on", "needs"), ("cmd", "run"), ("run", "start"), ("environment", "env"), ("tasks", "stages")];
    for (word, key) in told {
        let part = said.split("error: ").find(|part| part.contains(&format!("has no key `{word}`")));
        assert!(part.is_some_and(|part| part.contains(&format!("here it is called `{key}`"))), "{word}: {said}");
    }
}
