//! What a run does: order, halting, selection, environment, outputs.

use serde_json::{Value, json};

use crate::project::{Project, event, outcome, output};

/// Three stages in a row, the middle one failing, and one beside them.
const ROW: &str = r#"
[stages.a]
steps = ["echo a >> log"]
[stages.b]
needs = ["a"]
steps = ["echo b >> log; echo why >&2; exit 7"]
[stages.c]
needs = ["b"]
steps = ["echo c >> log"]
[stages.d]
after = ["a"]
steps = ["echo d >> log"]
"#;

#[test]
fn stages_run_in_order_and_the_first_failure_halts() {
    let project = Project::new(ROW);
    let (code, events) = project.events(["-j1", "c"]);
    assert_eq!(code, 1);
    assert_eq!(project.read("log"), "a\nb\n");
    assert_eq!((outcome(&events, "a"), outcome(&events, "b"), outcome(&events, "c")), ("passed", "failed", "skipped"));
    let failure = &event(&events, "stage-finished", "b")["failure"];
    let expected = json!({
        "step": "1", "kind": "exit", "code": 7, "signal": null, "command": "echo b >> log; echo why >&2; exit 7", "dir": ".",
        "tail": ["why"], "tests": [], "reproduce": "shipway run --only b",
    });
    assert_eq!(*failure, expected);
    let last = events.last().unwrap();
    assert_eq!(last["event"], "run-finished");
    assert_eq!((&last["outcome"], &last["exit_code"]), (&json!("failed"), &json!(1)));
    assert_eq!(last["counts"], json!({ "passed": 1, "cached": 0, "failed": 1, "skipped": 1, "cancelled": 0 }));
}

#[test]
fn events_have_the_form_of_the_contract() {
    let project = Project::new("[stages.a]\nsteps = [[\"printf\", \"x y\"], { run = \"echo z >&2\", name = \"second\" }]\n");
    let (code, events) = project.events(["a"]);
    assert_eq!(code, 0);
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let expected = [
        "run-started",
        "stage-started",
        "step-started",
        "output",
        "step-finished",
        "step-started",
        "output",
        "step-finished",
        "stage-finished",
        "run-finished",
    ];
    assert_eq!(names, expected);
    for (seq, event) in (1..).zip(&events) {
        assert_eq!((&event["v"], &event["seq"]), (&json!(1), &json!(seq)));
        assert!(event["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }
    assert_eq!(events[0]["stages"], json!(["a"]));
    assert_eq!(events[2]["command"], "printf 'x y'");
    let keys = |event: &Value| event.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&events[3]), "at event replayed seq stage step stream text v");
    assert_eq!((&events[6]["step"], &events[6]["stream"], &events[6]["text"]), (&json!("second"), &json!("stderr"), &json!("z\n")));
    assert_eq!(keys(&events[8]), "at attempts duration_ms event failure flaky key outcome reason seq stage stored v");
}

#[test]
fn keep_going_runs_all_that_does_not_depend_on_a_failure() {
    let project = Project::new(ROW);
    let (code, events) = project.events(["-k"]);
    assert_eq!(code, 1);
    assert_eq!((outcome(&events, "c"), outcome(&events, "d")), ("skipped", "passed"));
    let said = project.shipway(["run", "-k", "--color", "never"]).exits(1);
    assert!(said.stderr.contains("not run    c\n") && said.stderr.contains("reproduce  shipway run --only b\n"), "{}", said.stderr);
    assert!(said.stderr.ends_with('\n') && said.stderr.lines().last().unwrap().starts_with("failed: 1 failed, 2 passed, 1 not run in "));
}

#[test]
fn each_failure_is_reported_when_going_on() {
    let project = Project::new("[stages.a]\nsteps = [\"echo one; exit 1\"]\n[stages.b]\nsteps = [\"echo two; exit 2\"]\n");
    let said = project.shipway(["-k"]).exits(1);
    for text in ["✗ a: step `1` exited with code 1", "│ one", "✗ b: step `1` exited with code 2", "│ two", "shipway run --only b"] {
        assert!(said.stderr.contains(text), "{text} in {}", said.stderr);
    }
}

#[test]
fn the_failed_step_stops_its_stage() {
    let project = Project::new("[stages.a]\nsteps = [\"true\", { run = \"false\", name = \"no\" }, \"touch never\"]\n");
    let (_, events) = project.events(["a"]);
    assert_eq!(event(&events, "stage-finished", "a")["failure"]["step"], "no");
    assert!(!project.exists("never"));
}

#[test]
fn only_and_skip_leave_stages_out() {
    let project = Project::new(ROW);
    project.shipway(["run", "--only", "c"]).exits(0);
    assert_eq!(project.read("log"), "c\n");
    project.shipway(["run", "-j1", "--skip", "b", "c"]).exits(0);
    assert_eq!(project.read("log"), "c\nc\n", "what only a skipped stage needs is not needed");
    let said = project.shipway(["run", "--only", "c", "--skip", "c"]).exits(2);
    assert!(said.stderr.contains("no stage is left to run"), "{}", said.stderr);
}

#[test]
fn nothing_to_run_is_never_green() {
    assert!(Project::new("").shipway(["run"]).exits(2).stderr.contains("the pipeline has no stages"));
    let said = Project::new(ROW).shipway(["run", "aa"]).exits(2);
    assert_eq!(said.stderr, "error: there is no stage `aa`\n  help: these exist: `a`, `b`, `c`, `d`\n");
}

#[test]
fn default_names_what_runs_without_names() {
    let project = Project::new("default = [\"b\"]\n[stages.a]\nsteps = [\"touch a\"]\n[stages.b]\nsteps = [\"touch b\"]\n");
    project.shipway(Vec::<&str>::new()).exits(0);
    assert!(!project.exists("a") && project.exists("b"));
}

#[test]
fn the_environment_is_strict() {
    let project = Project::new(
        "[stages.a]\nsteps = [{ run = [\"env\"], env = { STEP = \"s\", B = \"step\" } }]\nenv = { A = \"1\", B = \"stage\" }\npass-env = [\"P_*\", \"B\"]\n",
    );
    let mut command = project.command(["run", "a"]);
    command
        .env("CI", "true")
        .env("P_1", "p")
        .env("GIT_DIR", "x")
        .env("B", "caller")
        .env("TERM", "xterm")
        .env("HOME", "/home/x")
        .env("XDG_DATA_HOME", "/d")
        .env("PATH", "/usr/bin:/bin");
    let said = crate::project::said(command).exits(0);
    let mut lines: Vec<&str> =
        said.stdout.lines().filter(|line| !["CARGO_HOME", "RUSTUP_HOME", "PYENV_ROOT"].iter().any(|name| line.starts_with(name))).collect();
    lines.sort_unstable();
    let expected = [
        "A=1",
        "B=step",
        "HOME=/home/x",
        "LC_ALL=C.UTF-8",
        "PATH=/usr/bin:/bin",
        "P_1=p",
        "SHIPWAY=1",
        "SHIPWAY_STAGE=a",
        "STEP=s",
        "TERM=dumb",
        "TZ=UTC",
        "XDG_DATA_HOME=/d",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn steps_run_where_they_say() {
    let project = Project::new(
        "[stages.a]\ndir = \"sub\"\nsteps = [[\"pwd\"], { run = \"pwd\", dir = \"deep\" }, { run = [\"./here.sh\"], dir = \"deep\" }]\noutputs = [\"made/by/a\"]\n",
    );
    project.write("sub/deep/x", "").script("sub/deep/here.sh", "#!/bin/sh\necho here; touch ../made/by/a\n");
    let root = project.path().canonicalize().unwrap();
    let said = project.shipway(["run"]).exits(0);
    assert_eq!(said.stdout, format!("{0}/sub\n{0}/sub/deep\nhere\n", root.display()));
    assert!(project.exists("sub/made/by/a"), "the folder of an output is there when a step starts");
}

#[test]
fn the_shell_can_be_chosen() {
    let project = Project::new("shell = [\"perl\", \"-e\"]\n[stages.a]\nsteps = [\"print 6*7\"]\n");
    assert_eq!(project.shipway(["run"]).exits(0).stdout, "42");
}

#[test]
fn the_default_shell_stops_at_errors_and_unset_variables() {
    let project = Project::new("[stages.a]\nsteps = [\"false; touch x\"]\n[stages.b]\nsteps = [\"echo $NOPE; touch x\"]\n");
    project.shipway(["run", "-k"]).exits(1);
    assert!(!project.exists("x"));
}

#[test]
fn arguments_go_to_the_last_step_of_one_stage() {
    let project = Project::new(
        "[stages.n]\nsteps = [\"true\"]\n[stages.a]\nneeds = [\"n\"]\nsteps = [\"echo first\", \"echo last\"]\n[stages.v]\nsteps = [[\"printf\", \"<%s>\"]]\n",
    );
    let said = project.shipway(["run", "--output", "stream", "--only", "a", "--", "x y", "it's"]).exits(0);
    assert_eq!(said.stdout, "first\nlast x y it's\n");
    assert_eq!(project.shipway(["run", "v", "--", "a b", "-n"]).exits(0).stdout, "<a b><-n>");
    assert!(project.shipway(["run", "--", "x"]).exits(2).stderr.contains("arguments after `--` go to one stage, but 3 are selected"));
    project.write("pipeline.toml", "[pipeline]\nname = \"x\"\n[stages.a]\nsteps = [\"false\"]\n");
    let (_, events) = project.events(["a", "--", "a b"]);
    assert_eq!(event(&events, "stage-finished", "a")["failure"]["reproduce"], "shipway run --only a -- 'a b'");
}

#[test]
fn outputs_must_be_there_afterwards() {
    for (output, made, kind) in [("out/app", "touch out/ap", "missing-output"), ("out/*.js", "touch out/a.css", "missing-output")] {
        let project = Project::new(&format!("[stages.a]\nsteps = [\"{made}\"]\noutputs = [\"{output}\"]\n"));
        let (code, events) = project.events(["a"]);
        assert_eq!(code, 1);
        let finished = event(&events, "stage-finished", "a");
        assert_eq!(finished["failure"]["kind"], kind);
        assert!(finished["reason"].as_str().unwrap().contains(output));
    }
    let project = Project::new("[stages.a]\nsteps = [\"mkdir -p out/d; touch out/a.js\"]\noutputs = [\"out/*.js\", \"out/d\"]\n");
    project.shipway(["run"]).exits(0);
}

#[test]
fn a_step_that_cannot_start_says_why() {
    let project = Project::new(
        r#"
[stages.missing]
steps = [["no-such-program"]]
[stages.plain]
steps = [["./plain"]]
[stages.garbage]
steps = [["./garbage"]]
[stages.dir]
dir = "nowhere"
steps = ["true"]
"#,
    );
    project.write("plain", "x").script("garbage", "\x01\x02");
    let (code, events) = project.events(["-k"]);
    assert_eq!(code, 1);
    for (stage, words) in
        [("missing", "was not found in PATH"), ("plain", "chmod +x"), ("garbage", "begins with `#!`"), ("dir", "does not exist")]
    {
        let finished = event(&events, "stage-finished", stage);
        assert_eq!(finished["failure"]["kind"], "spawn");
        assert!(finished["reason"].as_str().unwrap().contains(words), "{finished}");
    }
}

#[test]
fn a_matrix_runs_each_combination() {
    let project = Project::new(
        r#"
[stages.t]
matrix = { v = ["3.11", 2], db = ["a b", "c"] }
matrix-exclude = [{ v = 2, db = "c" }]
steps = [["sh", "-c", "echo {matrix.v} {matrix.db} $V"]]
env = { V = "<{matrix.db}>" }
outputs = []
[stages.all]
needs = ["t"]
steps = ["true"]
[stages.one]
needs = ["t:v=2,db=a b"]
steps = ["true"]
"#,
    );
    let (code, events) = project.events(["-j1", "all"]);
    assert_eq!(code, 0);
    assert_eq!(events[0]["stages"], json!(["t:v=3.11,db=a b", "t:v=3.11,db=c", "t:v=2,db=a b", "all"]));
    assert_eq!(output(&events, "t:v=3.11,db=a b", "stdout"), "3.11 a b <a b>\n");
    let (_, events) = project.events(["one"]);
    assert_eq!(events[0]["stages"], json!(["t:v=2,db=a b", "one"]));
    let (_, events) = project.events(["t"]);
    assert_eq!(events[0]["stages"].as_array().unwrap().len(), 3);
}

#[test]
fn a_pool_bounds_how_many_run_at_once() {
    let project = Project::new(
        r#"
[pools]
db = 1
[stages.t]
matrix = { n = [1, 2, 3, 4, 5, 6] }
pool = "db"
steps = ["mkdir lock && rmdir lock"]
"#,
    );
    project.shipway(["run", "-j6"]).exits(0);
}

#[test]
fn secrets_are_masked_in_everything_that_leaves() {
    let secret = "s3cr3t/+\"value\"";
    let project = Project::new(
        r#"
[stages.a]
secrets = ["TOKEN"]
steps = ['''printf '%s' "$TOKEN" | base64; printf '%s\n' "$TOKEN"; printf 's3cr'; printf '3t/+"value"\n' >&1; exit 1''']
"#,
    );
    let run = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env("TOKEN", secret);
        crate::project::said(command)
    };
    let encoded = "czNjcjN0Lysid";
    for arguments in
        [&["run"][..], &["run", "--format", "json"], &["run", "a", "--", secret], &["run", "--format", "json", "a", "--", secret]]
    {
        let said = run(arguments).exits(1);
        for text in [&said.stdout, &said.stderr] {
            assert!(!text.contains("s3cr3t") && !text.contains(encoded), "{text}");
        }
        assert!(said.stdout.contains("***"));
    }
    for entry in std::fs::read_dir(project.join(".shipway/runs")).unwrap() {
        let record = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!record.contains("s3cr3t") && !record.contains(encoded) && record.contains("***"));
    }
}

#[test]
fn a_secret_that_is_not_there_stops_before_anything_runs() {
    let project = Project::new(
        "[stages.a]\nsteps = [\"touch ran\"]\n[stages.b]\nneeds = [\"a\"]\nsecrets = [\"TOKEN\", \"OTHER\"]\nsteps = [\"true\"]\n",
    );
    for value in [None, Some(""), Some("abc")] {
        let mut command = project.command(["run"]);
        command.envs(value.map(|value| ("TOKEN", value)));
        let said = crate::project::said(command).exits(2);
        assert!(said.stderr.contains("`TOKEN`") && said.stderr.contains("`OTHER`"), "{}", said.stderr);
    }
    assert!(!project.exists("ran"));
    project.shipway(["run", "a"]).exits(0);
}

#[test]
fn a_blank_secret_is_refused_and_a_name_is_masked() {
    let project = Project::new("[stages.a]\nsecrets = [\"TOKEN\"]\nsteps = [{ run = \"exit 1\", name = \"n-s3cr3t-value\" }]\n");
    let run = |value: &str| {
        let mut command = project.command(["run", "--format", "json"]);
        command.env("TOKEN", value);
        crate::project::said(command)
    };
    assert!(run("    ").exits(2).stderr.contains("is empty"));
    let said = run("s3cr3t-value").exits(1);
    assert!(!said.stdout.contains("s3cr3t") && said.stdout.contains("n-***"), "{}", said.stdout);
}

#[test]
fn a_way_out_of_the_project_cannot_be_hidden() {
    let project = Project::empty();
    for output in [r"\\../outside/file", r".\\./outside/file", r"\\/tmp/outside/file"] {
        project.write("p/pipeline.toml", format!("[pipeline]\nname = \"x\"\n[stages.a]\nsteps = [\"true\"]\noutputs = [\"{output}\"]\n"));
        project.shipway(["-C", "p", "run"]).exits(2);
    }
    assert!(!project.exists("outside"));
}

#[test]
fn dry_run_writes_nothing() {
    let project = Project::new(ROW);
    let said = project.shipway(["run", "-n", "c", "--format", "json"]).exits(0);
    let object: Value = serde_json::from_str(&said.stdout).unwrap();
    let names: Vec<&Value> = object["stages"].as_array().unwrap().iter().map(|stage| &stage["stage"]).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(object["stages"][0]["prediction"], "miss");
    assert_eq!(object["stages"][0]["reason"], "no earlier result");
    assert!(!project.exists("log") && !project.exists(".shipway"));
}

#[test]
fn flags_that_say_how_have_an_environment_twin() {
    let project = Project::new(ROW);
    let with = |name: &str, value: &str| {
        let mut command = project.command(["run"]);
        command.env(name, value);
        crate::project::said(command)
    };
    assert!(with("SHIPWAY_FORMAT", "json").exits(1).stdout.starts_with("{\"v\":1"));
    assert!(with("SHIPWAY_KEEP_GOING", "1").exits(1).stderr.contains("✓ d"));
    assert!(with("SHIPWAY_COLOR", "always").exits(1).stderr.contains("\u{1b}["));
    assert!(with("SHIPWAY_OUTPUT", "stream").exits(1).stderr.contains("b │ why"));
    for (name, value) in
        [("SHIPWAY_KEEP_GOING", "yes"), ("SHIPWAY_JOBS", "0"), ("SHIPWAY_JOBS", "x"), ("SHIPWAY_TIMEOUT", "10"), ("SHIPWAY_FORMAT", "xml")]
    {
        with(name, value).exits(2);
    }
}

#[test]
fn the_file_is_found_from_below_and_by_name() {
    let project = Project::new("[stages.a]\nsteps = [\"pwd\"]\n");
    project.write("deep/er/x", "").write("other.toml", "[pipeline]\nname = \"o\"\n[stages.o]\nsteps = [\"false\"]\n");
    let root = format!("{}\n", project.path().canonicalize().unwrap().display());
    let mut command = project.command(["run"]);
    command.current_dir(project.join("deep/er"));
    assert_eq!(crate::project::said(command).exits(0).stdout, root);
    assert_eq!(project.shipway(["-C", "deep", "run"]).exits(0).stdout, root);
    assert_eq!(project.shipway(["run", "-C", "deep", "-f", "../pipeline.toml"]).exits(0).stdout, root);
    let said = project.shipway(["-f", "other.toml"]).exits(1);
    assert!(said.stderr.contains("shipway -f other.toml run --only o"), "{}", said.stderr);
    assert!(project.shipway(["-C", "nowhere", "run"]).exits(2).stderr.contains("`nowhere` cannot be entered"));
}

#[test]
fn runs_are_recorded_and_reported() {
    let project = Project::new(ROW);
    assert_eq!(project.shipway(["runs"]).exits(0).stdout, "no run is recorded here\n");
    assert!(project.shipway(["report"]).exits(2).stderr.contains("no run is recorded here"));
    let first = project.shipway(["run", "-j1", "--format", "json", "c"]).exits(1).stdout;
    assert_eq!(project.shipway(["report", "--format", "json"]).exits(0).stdout, first);
    project.shipway(["run", "a"]).exits(0);
    let runs: Value = serde_json::from_str(&project.shipway(["runs", "--format", "json"]).exits(0).stdout).unwrap();
    let runs = runs["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &runs[0]["outcome"], &runs[1]["outcome"]), (2, &json!("passed"), &json!("failed")));
    let id = runs[1]["run"].as_str().unwrap();
    assert_eq!(project.shipway(["report", id, "--format", "json"]).exits(0).stdout, first);
    project.shipway(["report", id, "--format", "json", "-o", "out.jsonl"]).exits(0);
    assert_eq!(project.read("out.jsonl"), first);
    assert!(project.shipway(["report", id]).exits(0).stdout.contains("reproduce  shipway run --only b"));
    assert_eq!(project.read(".shipway/.gitignore"), "*\n");
    project.shipway(["report", "2"]).exits(2);
    project.shipway(["report", "x"]).exits(2);
}

#[test]
fn a_record_that_was_cut_off_is_read_up_to_there() {
    let project = Project::new(ROW);
    let (_, events) = project.events(["a"]);
    let id = events[0]["run"].as_str().unwrap();
    let path = format!(".shipway/runs/{id}.jsonl");
    let whole = project.read(&path);
    project.write(&path, &whole[..whole.len() - 40]);
    let runs: Value = serde_json::from_str(&project.shipway(["runs", "--format", "json"]).exits(0).stdout).unwrap();
    assert_eq!(runs["runs"][0]["outcome"], Value::Null);
    let cut = project.shipway(["report", "--format", "json"]).exits(0).stdout;
    assert_eq!(cut.lines().count(), events.len() - 1);
}

#[test]
fn the_graph_is_drawn_for_people_and_programs() {
    let project = Project::new(ROW);
    assert_eq!(project.shipway(["graph"]).exits(0).stdout, "a\nb  needs a\nd  after a\nc  needs b\n");
    assert!(project.shipway(["graph", "--format", "mermaid"]).exits(0).stdout.contains("s0 -.-> s3"));
    assert!(project.shipway(["graph", "--format", "dot"]).exits(0).stdout.contains("\"a\" -> \"d\" [style=dashed];"));
    let graph: Value = serde_json::from_str(&project.shipway(["graph", "--format", "json"]).exits(0).stdout).unwrap();
    assert_eq!(graph["edges"][0], json!({ "from": "a", "to": "b", "kind": "needs" }));
    let list: Value = serde_json::from_str(&project.shipway(["list", "--format", "json"]).exits(0).stdout).unwrap();
    assert_eq!(list["stages"][1]["needs"], json!(["a"]));
}

#[test]
fn the_schema_knows_the_keys_of_the_reader() {
    let project = Project::new(ROW);
    let schema: Value = serde_json::from_str(&project.shipway(["schema"]).exits(0).stdout).unwrap();
    let stage = &schema["properties"]["stages"]["additionalProperties"];
    // Each key that the schema names is one that the reader takes, in whatever form.
    for key in stage["properties"].as_object().unwrap().keys() {
        project.write("pipeline.toml", format!("[pipeline]\nname = \"x\"\n[stages.a]\n{key} = 2026-01-01\n"));
        let said = project.shipway(["check"]).exits(2).stderr;
        assert!(!said.contains("has no key"), "{said}");
    }
    assert_eq!(stage["required"], json!(["steps"]));
}

#[test]
fn completions_and_the_manual_are_made() {
    let project = Project::empty();
    for shell in ["bash", "zsh", "fish"] {
        assert!(project.shipway(["completions", shell]).exits(0).stdout.contains("keep-going"), "{shell}");
    }
    let page = project.shipway(["man"]).exits(0).stdout;
    for text in [".TH shipway", "shipway run", "keep\\-going", "Exit codes"] {
        assert!(page.contains(text), "{text}");
    }
}

/// Whoever made a stage looks by itself for the next one: what others hear must keep its order all the same.
#[test]
fn a_stage_starts_only_behind_the_ends_of_what_it_needs() {
    use std::fmt::Write;
    let (mut text, layers, width) = (String::new(), 12, 6);
    for (layer, place) in (0..layers).flat_map(|layer| (0..width).map(move |place| (layer, place))) {
        let needs =
            if layer == 0 { String::new() } else { format!("\"s{}-{place}\", \"s{}-{}\"", layer - 1, layer - 1, (place + 1) % width) };
        write!(text, "[stages.s{layer}-{place}]\nneeds = [{needs}]\nsteps = [[\"true\"]]\ncache = false\ninputs = []\n").unwrap();
    }
    let project = Project::new(&text);
    for jobs in ["-j1", "-j2", "-j5"] {
        let (code, events) = project.events([jobs]);
        assert_eq!(code, 0);
        let seq = |kind: &str, stage: &str| event(&events, kind, stage)["seq"].as_u64().unwrap();
        let of_kind = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
        assert_eq!((of_kind("stage-started"), of_kind("stage-finished")), (layers * width, layers * width));
        assert_eq!(events.last().unwrap()["counts"]["passed"], layers * width);
        for waits in events[0]["graph"].as_array().unwrap() {
            let stage = waits["stage"].as_str().unwrap();
            for need in waits["needs"].as_array().unwrap() {
                assert!(seq("stage-finished", need.as_str().unwrap()) < seq("stage-started", stage), "{jobs} {need} {stage}");
            }
        }
    }
}

/// Programs are looked for when they are started: one that an earlier step puts in front is the one.
#[test]
fn a_program_that_a_step_installs_is_the_one_that_is_started() {
    let project = Project::new("[stages.a]\ncache = false\nsteps = [[\"greet\"], \"cp second first/greet\", [\"greet\"]]\n");
    project.script("second", "#!/bin/sh\necho new\n").write("first/.keep", "").script("last/greet", "#!/bin/sh\necho old\n");
    let mut command = project.command(["run", "--format", "json"]);
    command.env("PATH", format!("{0}/first:{0}/last:{1}", project.path().display(), std::env::var("PATH").unwrap()));
    let events = crate::project::events(&crate::project::said(command).exits(0).stdout);
    assert_eq!(output(&events, "a", "stdout"), "old\nnew\n");
}
