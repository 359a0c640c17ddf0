//! Report files: what tests, scanners and meters found decides, whatever their exit codes say, and is told again on a hit.

use std::fs;

use serde_json::Value;

use crate::project::{Project, event, notices, outcome, tool};

/// The one event with what a stage found.
#[track_caller]
fn found<'e>(events: &'e [Value], stage: &str) -> &'e Value {
    event(events, "findings", stage)
}

#[track_caller]
fn failure<'e>(events: &'e [Value], stage: &str) -> &'e Value {
    &event(events, "stage-finished", stage)["failure"]
}

#[track_caller]
fn reason<'e>(events: &'e [Value], stage: &str) -> &'e str {
    event(events, "stage-finished", stage)["reason"].as_str().unwrap()
}

/// A stage that copies `src` to its report, and exits with what stands in `code`.
const COPIES: &str = r#"
[stages.t]
steps = ["echo t >> $XDG_N/runs; cat j.src > j.xml; exit $(cat code)"]
inputs = ["j.src", "code"]
reports.junit = ["j.xml"]
"#;

const GOOD: &str = "<testsuite name='s'><testcase name='one' time='0.5'/><testcase name='two'><skipped/></testcase></testsuite>";
const BAD: &str = "<testsuite name='s'><testcase name='one'/><testcase name='two'><failure message='no'/></testcase></testsuite>";

fn copies(report: &str, code: &str) -> Project {
    let project = Project::counted(COPIES);
    project.write("j.src", report).write("code", code);
    project
}

#[test]
fn a_failed_test_fails_a_stage_whose_steps_passed() {
    let (code, events) = copies(BAD, "0").events([""; 0]);
    assert_eq!((code, outcome(&events, "t")), (1, "failed"));
    let failure = failure(&events, "t");
    assert_eq!((failure["kind"].as_str(), &failure["code"], failure["step"].as_str()), (Some("report"), &Value::Null, Some("1")));
    assert_eq!(failure["tests"], serde_json::json!(["s two"]));
    assert_eq!(reason(&events, "t"), "1 of 2 tests failed");
    let found = found(&events, "t");
    assert_eq!(found["tests"][1]["status"], "failed");
    assert_eq!(found["totals"]["failed"], 1);
    let at = |kind: &str| events.iter().position(|event| event["event"] == kind);
    assert!(at("findings") < at("stage-finished"), "{events:#?}");
}

#[test]
fn a_step_that_failed_stays_the_reason_and_its_tests_have_names() {
    let (code, events) = copies(BAD, "7").events([""; 0]);
    assert_eq!(code, 1);
    let failure = failure(&events, "t");
    assert_eq!((failure["kind"].as_str(), failure["code"].as_i64()), (Some("exit"), Some(7)));
    assert_eq!(failure["tests"], serde_json::json!(["s two"]));
    // A program that fell over before it wrote its report has one problem, not two.
    let project = Project::new("[stages.t]\nsteps = [\"exit 3\"]\nreports.junit = [\"j.xml\"]\n");
    let (_, events) = project.events([""; 0]);
    assert_eq!(self::failure(&events, "t")["kind"], "exit");
    assert!(reason(&events, "t").starts_with("step `1` exited with code 3") && !notices(&events).contains("j.xml"));
    assert!(!events.iter().any(|event| event["event"] == "findings"));
}

#[test]
fn a_hit_tells_again_what_was_found() {
    let project = copies(GOOD, "0");
    let (_, first) = project.events([""; 0]);
    assert_eq!(outcome(&first, "t"), "passed");
    for remove in [false, true] {
        if remove {
            project.remove("j.xml");
        }
        let (code, again) = project.events([""; 0]);
        assert_eq!((code, outcome(&again, "t")), (0, "cached"));
        let strip = |event: &Value| (event["tests"].clone(), event["totals"].clone());
        assert_eq!(strip(found(&again, "t")), strip(found(&first, "t")));
        assert_eq!(project.read("j.xml"), GOOD);
    }
    assert_eq!(project.count("t"), 1);
    // Another checkout over the same store.
    let twin = project.twin();
    twin.remove("j.xml");
    let (_, there) = twin.events([""; 0]);
    assert_eq!((outcome(&there, "t"), twin.read("j.xml").as_str()), ("cached", GOOD));
    assert_eq!(found(&there, "t")["totals"]["skipped"], 1);
}

#[test]
fn a_report_that_is_damaged_in_the_store_is_a_miss() {
    let project = copies(GOOD, "0");
    project.brief(&[]);
    // The outputs are all in their place, but what they said cannot be proven.
    for blob in project.stored("cas").iter().filter(|blob| fs::read(blob).unwrap() == GOOD.as_bytes()) {
        fs::remove_file(blob).unwrap();
        fs::write(blob, GOOD.replace("one", "xxx")).unwrap();
    }
    let (code, events) = project.events([""; 0]);
    assert_eq!((code, outcome(&events, "t"), project.count("t")), (0, "passed", 2));
    assert!(
        reason(&events, "t").starts_with("its stored result was damaged: the report `j.xml` cannot be had"),
        "{}",
        reason(&events, "t")
    );
    assert_eq!(found(&events, "t")["tests"][0]["name"], "one");
    assert_eq!(project.brief(&[]), "t cached");
}

#[test]
fn a_report_that_is_missing_or_no_report_fails() {
    for (step, reports, expected) in [
        ("true", r#"junit = ["j.xml"]"#, "the report `j.xml` was not written"),
        ("true", r#"junit = ["out/*.xml"]"#, "the report `out/*.xml` matches nothing"),
        ("mkdir j.xml", r#"junit = ["j.xml"]"#, "the report `j.xml` was not written"),
        ("echo x > j.xml", r#"junit = ["j.xml"]"#, "the report `j.xml` is no XML: there is text outside of all elements"),
        (": > j.xml", r#"junit = ["j.xml"]"#, "the report `j.xml` is empty"),
        (
            "echo '<testsuite><testcase>' > j.xml",
            r#"junit = ["j.xml"]"#,
            "the report `j.xml` ends in the middle: whoever wrote it was stopped",
        ),
        ("ln -s gone j.xml", r#"junit = ["j.xml"]"#, "the report `j.xml` cannot be read: no such file or directory"),
        ("mkfifo j.xml", r#"junit = ["j.xml"]"#, "the report `j.xml` was not written"),
        (
            "echo '<testsuite/>' > j.xml; touch -d '1 hour ago' j.xml",
            r#"junit = ["j.xml"]"#,
            "the report `j.xml` is older than this run of the stage, which did not write it",
        ),
        ("echo '{}' > s.sarif", r#"sarif = ["s.sarif"]"#, "the report `s.sarif` is no SARIF: it has no `runs`"),
        ("true", r#"sarif = ["s.sarif"]"#, "the report `s.sarif` was not written"),
        ("true", r#"metrics = { m = { file = "m.json", pointer = "/a" } }"#, "the report `m.json` was not written"),
        (
            "echo '{\"a\": \"1\"}' > m.json",
            r#"metrics = { m = { file = "m.json", pointer = "/a" } }"#,
            "the report `m.json` has a text at `/a`, where the metric `m` is to be a number",
        ),
    ] {
        let project = Project::empty();
        let step = serde_json::to_string(step).unwrap();
        project.pipeline(&format!("[stages.t]\nsteps = [{step}]\ninputs = []\n[stages.t.reports]\n{reports}\n"));
        let (code, events) = project.events([""; 0]);
        assert_eq!((code, failure(&events, "t")["kind"].as_str()), (1, Some("report")), "{step}: {events:#?}");
        assert_eq!(reason(&events, "t"), expected, "{step}");
        assert_eq!(failure(&events, "t")["tests"], serde_json::json!([]));
    }
}

#[test]
fn a_report_that_lay_there_before_proves_nothing() {
    for clean in [true, false] {
        let project = Project::new(&format!("[stages.t]\nsteps = [\"true\"]\nclean = {clean}\nreports.junit = [\"j.xml\"]\n"));
        project.write("j.xml", GOOD);
        let (code, events) = project.events([""; 0]);
        assert_eq!((code, failure(&events, "t")["kind"].as_str()), (1, Some("report")));
        let expected = if clean {
            "the report `j.xml` was not written"
        } else {
            "the report `j.xml` is older than this run of the stage, which did not write it"
        };
        assert_eq!(reason(&events, "t"), expected);
        assert_eq!(project.exists("j.xml"), !clean);
    }
    // The same from the attempt before: the first wrote a good report and failed, the second wrote none.
    let project = Project::counted(
        "[stages.t]\nsteps = [\"if [ -e $XDG_N/tried ]; then exit 0; fi; touch $XDG_N/tried; cp src j.xml; exit 1\"]\ninputs = [\"src\"]\nclean = false\nretries = 1\nreports.junit = [\"j.xml\"]\n",
    );
    let (code, events) = project.write("src", GOOD).events([""; 0]);
    assert_eq!((code, reason(&events, "t")), (1, "the report `j.xml` is older than this run of the stage, which did not write it"));
    // And one that is written anew each time, however fast, is new.
    let project = Project::counted(
        "[stages.t]\nsteps = [\"cat src > j.xml; echo t >> $XDG_N/runs; [ $(wc -l < $XDG_N/runs) = 5 ]\"]\ninputs = [\"src\"]\nclean = false\nretries = 4\nreports.junit = [\"j.xml\"]\n",
    );
    let (code, events) = project.write("src", GOOD).events([""; 0]);
    assert_eq!((code, outcome(&events, "t"), project.count("t")), (0, "passed", 5), "{events:#?}");
}

#[test]
fn each_attempt_reads_its_own_report() {
    let project = Project::counted(
        "[stages.t]\nsteps = [\"echo t >> $XDG_N/runs; cat $(wc -l < $XDG_N/runs).src > j.xml\"]\ninputs = [\"*.src\"]\nretries = 2\nreports.junit = [\"j.xml\"]\n",
    );
    let (code, events) = project.write("1.src", BAD).write("2.src", GOOD).events([""; 0]);
    assert_eq!((code, outcome(&events, "t"), project.count("t")), (0, "passed", 2));
    let finished = event(&events, "stage-finished", "t");
    assert_eq!(
        (&finished["flaky"], &finished["attempts"], &finished["stored"]),
        (&Value::Bool(true), &Value::from(2), &Value::Bool(false))
    );
    assert_eq!(found(&events, "t")["totals"]["failed"], 0);
    assert!(notices(&events).contains("1 of 2 tests failed; trying again"));
}

#[test]
fn report_files_are_outputs_and_no_inputs() {
    let project = Project::counted(
        "[stages.t]\nsteps = [\"echo t >> $XDG_N/runs; mkdir -p out; cp src out/j.xml\"]\noutputs = [\"out\"]\nreports.junit = [\"out/j.xml\"]\n[stages.u]\nneeds = [\"t\"]\nsteps = [\"echo u >> $XDG_N/runs; cp m.src m.json\"]\nreports.metrics = { m = { file = \"m.json\", pointer = \"\" } }\n",
    );
    project.write("src", GOOD).write("m.src", "1");
    assert_eq!(project.brief(&[]), "t passed, u passed");
    assert_eq!(project.brief(&[]), "t cached, u cached", "neither report is an input of its stage or of another");
    project.remove("out").remove("m.json");
    assert_eq!(project.brief(&[]), "t cached, u cached");
    assert_eq!((project.read("out/j.xml"), project.read("m.json")), (GOOD.to_owned(), "1".to_owned()));
    // What needs them sees them change.
    project.write("src", GOOD.replace("0.5", "0.6"));
    assert_eq!(project.brief(&[]), "t passed, u passed");
    project.pipeline("[stages.a]\nsteps = [\"x\"]\noutputs = [\"out\"]\n[stages.b]\nsteps = [\"x\"]\nreports.sarif = [\"out/s.sarif\"]\n");
    let said = project.shipway(["check"]).exits(2);
    assert!(said.stderr.contains("would write the same output"), "{}", said.stderr);
}

/// A stage with every kind of report.
fn limits(reports: &str) -> Project {
    let project = Project::counted(&format!("{LIMITED}{reports}"));
    project.write("s.src", SARIF).write("m.src", r#"{"p95": 150, "p50": 20}"#).write("j.src", GOOD);
    project
}

const LIMITED: &str = "[stages.t]\nsteps = [\"echo t >> $XDG_N/runs; for x in s m j; do cp $x.src $x.out; done\"]\ninputs = [\"*.src\"]\noutputs = [\"*.out\"]\n[stages.t.reports]\n";

/// A warning and a note.
const SARIF: &str = r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "scan"}}, "results": [
    {"ruleId": "R1", "message": {"text": "hm"}, "locations": [{"physicalLocation": {"artifactLocation": {"uri": "s.src"}, "region": {"startLine": 2}}}]},
    {"ruleId": "R2", "level": "note", "message": {"text": "ah"}}]}]}"#;

#[test]
fn stricter_limits_are_not_answered_from_the_store() {
    let loose = "sarif = [\"s.out\"]\nmetrics = { m = { file = \"m.out\", pointer = \"/p95\", max = 200 } }\n";
    for (strict, expected) in [
        (loose.replace("200", "149.5"), "`m` is 150, above its limit of 149.5"),
        (loose.replace("max = 200", "min = 151"), "`m` is 150, below its limit of 151"),
        (loose.replace("/p95\", max = 200", "/p50\", min = 21"), "`m` is 20, below its limit of 21"),
        (format!("{loose}fail-on = \"warning\"\n"), "1 of 2 findings fails it"),
        (format!("{loose}fail-on = \"note\"\n"), "2 of 2 findings fail it"),
        (format!("{loose}junit = [\"s.out\"]\n"), "the report `s.out` is no XML: there is text outside of all elements"),
    ] {
        let project = limits(loose);
        assert_eq!(project.brief(&[]), "t passed");
        assert_eq!(project.brief(&[]), "t cached");
        project.pipeline(&format!("{LIMITED}{strict}"));
        assert_eq!(project.predicted("t")["prediction"], "miss", "{strict}");
        let (code, events) = project.events([""; 0]);
        assert_eq!((code, reason(&events, "t"), project.count("t")), (1, expected, 2), "{strict}");
        assert_eq!(failure(&events, "t")["kind"], "report");
        // And back.
        project.pipeline(&format!("{LIMITED}{loose}"));
        assert_eq!(project.brief(&[]), "t cached");
    }
    let never = limits(&format!("{loose}fail-on = \"never\"\n"));
    never.write("s.src", SARIF.replace("note", "error"));
    let (code, events) = never.events([""; 0]);
    assert_eq!((code, &found(&events, "t")["problems"][1]["fails"]), (0, &Value::Bool(false)));
}

const REGRESSION: &str = "[stages.t]\nsteps = [\"echo t >> $XDG_N/runs; cp m.src m.json\"]\ninputs = [\"m.src\"]\nreports.metrics = { p95 = { file = \"m.json\", pointer = \"/p95\", regression = \"10%\" } }\n";

#[test]
fn a_metric_is_compared_with_the_last_run_that_passed() {
    let project = Project::counted(REGRESSION);
    let run = |value: &str| {
        project.write("m.src", format!("{{\"p95\": {value}}}"));
        project.events([""; 0])
    };
    let (code, events) = run("100");
    assert_eq!((code, &found(&events, "t")["metrics"][0]["before"]), (0, &Value::Null));
    assert!(notices(&events).contains("there was nothing to compare `p95` with"), "{}", notices(&events));
    let (code, events) = run("110");
    assert_eq!((code, found(&events, "t")["metrics"][0]["before"].as_f64()), (0, Some(100.0)));
    assert_eq!(notices(&events), "");
    // One that failed moves nothing.
    for _ in 0..2 {
        let (code, events) = run("121.5");
        assert_eq!((code, reason(&events, "t")), (1, "`p95` is 121.5, more than 10% worse than 110 in the last run that passed"));
    }
    assert_eq!(run("50").0, 0);
    // What passed once would not pass now: a hit would be a wrong green.
    project.write("m.src", "{\"p95\": 100}");
    assert_eq!(project.predicted("t")["prediction"], "miss");
    let before = project.count("t");
    let (code, events) = project.events([""; 0]);
    assert_eq!(
        (code, reason(&events, "t"), project.count("t")),
        (1, "`p95` is 100, more than 10% worse than 50 in the last run that passed", before + 1)
    );
    let started = event(&events, "stage-started", "t")["reason"].as_str().unwrap();
    assert!(started.starts_with("its stored result would not pass now: `p95` is 100"), "{started}");
    // A fresh checkout over the same store knows it as well.
    let twin = project.twin();
    assert_eq!(twin.events([""; 0]).0, 1);
    // A hit is a run that passed, too.
    let (code, events) = run("50");
    assert_eq!((code, outcome(&events, "t")), (0, "cached"));
    // Without a store there is nothing to compare with, and that is said.
    let (code, events) = project.write("m.src", "{\"p95\": 999}").events(["--cache", "off"]);
    assert_eq!(code, 0);
    assert!(notices(&events).contains("there was nothing to compare"), "{}", notices(&events));
}

#[test]
fn a_stage_that_is_never_cached_is_compared_as_well() {
    let project = Project::counted(&format!("{REGRESSION}cache = false\n").replace("regression", "min = 1, regression"));
    for (value, expected) in [("100", 0), ("91", 0), ("81", 1), ("82", 0), ("8200", 0), ("7379", 1)] {
        project.write("m.src", format!("{{\"p95\": {value}}}"));
        assert_eq!(project.events([""; 0]).0, expected, "{value}: with a lower limit less is worse");
    }
    // Another number under the same name is compared with nothing.
    let other = "{\"p95\": 1, \"p50\": 1}";
    project.write("m.src", other).pipeline(&format!("{REGRESSION}cache = false\n").replace("/p95", "/p50"));
    assert_eq!(project.events([""; 0]).0, 0);
}

#[test]
fn people_see_what_failed_by_name() {
    let project = copies(BAD, "0");
    let many: String = (0..30).fold(String::new(), |all, number| {
        all + &format!("<testcase name='t{number}'><failure message='why {number}'>\nj.src:{number}: here\u{202e}</failure></testcase>")
    });
    project.write(
        "j.src",
        format!("<testsuite name='s'><testcase name='good'/>{many}<testcase name='luck'><flakyFailure/></testcase></testsuite>"),
    );
    let said = project.shipway(["run"]).exits(1);
    for part in [
        "30 of 32 tests failed",
        "✗ s t3  j.src:3",
        "why 3",
        "and 10 more; `shipway report` shows all",
        "tests: 30 failed, 1 flaky, 1 passed",
        "✗ t: 30 of 32 tests failed",
    ] {
        assert!(said.stderr.contains(part), "{part} in {}", said.stderr);
    }
    assert!(!said.stderr.contains("t25") && !said.stderr.contains('\u{202e}'), "{}", said.stderr);
    let all = project.shipway(["report"]).exits(0).stdout;
    assert!(all.contains("✗ s t29  j.src:29") && !all.contains("shows all"), "{all}");

    let project =
        limits("sarif = [\"s.out\"]\nfail-on = \"warning\"\nmetrics = { m = { file = \"m.out\", pointer = \"/p95\", max = 100 } }\n");
    let said = project.shipway(["run"]).exits(1);
    for part in ["warning scan R1  s.src:2", "hm", "✗ `m` is 150, above its limit of 100", "findings: 1 warning, 1 note"] {
        assert!(said.stderr.contains(part), "{part} in {}", said.stderr);
    }
    assert!(!said.stderr.contains("ah\n"), "what does not fail is not in the way: {}", said.stderr);
}

#[test]
fn a_secret_in_a_report_is_masked_and_not_stored() {
    let project = Project::new(
        "[stages.t]\nsteps = [\"echo \\\"<testsuite><testcase name='t'><skipped message='$TOKEN'/></testcase></testsuite>\\\" > j.xml\"]\nsecrets = [\"TOKEN\"]\ninputs = []\nreports.junit = [\"j.xml\"]\n",
    );
    let mut command = project.command(["run", "--format", "json"]);
    command.env("TOKEN", "hunter2hunter2");
    let said = crate::project::said(command).exits(0);
    let events = crate::project::events(&said.stdout);
    assert_eq!(found(&events, "t")["tests"][0]["message"], "***");
    assert!(!said.stdout.contains("hunter2") && notices(&events).contains("not stored"), "{}", said.stdout);
}

#[test]
fn reports_do_not_make_two_runs_different() {
    let project = Project::new(
        "[stages.t]\nsteps = [\"date +%N > out; echo '<testsuite><testcase name=\\\"t\\\"/></testsuite>' > j.xml; date +'<!-- %N -->' >> j.xml; echo a > out\"]\ninputs = []\noutputs = [\"out\"]\nreports.junit = [\"j.xml\"]\n",
    );
    project.shipway(["run", "--twice"]).exits(0);
}

#[test]
fn pytest_writes_what_is_read() {
    let Some(pytest) = tool("pytest") else { return };
    let project = Project::new(&format!(
        "[stages.t]\nsteps = [[\"{pytest}\", \"-q\", \"-p\", \"no:cacheprovider\", \"--junitxml=out/junit.xml\", \"-o\", \"junit_family=FAMILY\"]]\nenv = {{ PYTHONDONTWRITEBYTECODE = \"1\" }}\ndir = \"sub\"\ninputs = [\"*.py\"]\nreports.junit = [\"out/*.xml\"]\n"
    ));
    project.write(
        "sub/test_sums.py",
        "import pytest\n\ndef test_good():\n    assert 1\n\n@pytest.mark.parametrize('n', [1, 2])\ndef test_bad(n):\n    print('<noise> & ]]>')\n    assert n == 1, 'größe & <b>'\n\n@pytest.fixture\ndef broken():\n    raise RuntimeError('no')\n\ndef test_error(broken):\n    pass\n\n@pytest.mark.skip(reason='later')\ndef test_skipped():\n    pass\n",
    );
    for family in ["xunit1", "xunit2"] {
        let text = project.read("pipeline.toml");
        project.write("pipeline.toml", text.replace("FAMILY", family).replace("xunit1", family));
        let (code, events) = project.events([""; 0]);
        assert_eq!((code, failure(&events, "t")["kind"].as_str()), (1, Some("exit")));
        assert_eq!(failure(&events, "t")["tests"], serde_json::json!(["test_sums test_bad[2]", "test_sums test_error"]));
        let found = found(&events, "t");
        let statuses: Vec<&str> = found["tests"].as_array().unwrap().iter().map(|test| test["status"].as_str().unwrap()).collect();
        assert_eq!(statuses, ["passed", "passed", "failed", "failed", "skipped"]);
        let bad = &found["tests"][2];
        assert_eq!(bad["place"]["file"], "sub/test_sums.py");
        assert!(bad["message"].as_str().unwrap().contains("größe & <b>"), "{bad}");
        if family == "xunit2" {
            assert_eq!(bad["place"]["line"], 9);
        }
    }
}

#[test]
fn nextest_writes_what_is_read() {
    let Some(nextest) = tool("cargo-nextest") else { return };
    let project = Project::new(&format!(
        "[stages.t]\nsteps = [\"{nextest} nextest run --offline --no-fail-fast || true\"]\npass-env = [\"CARGO_HOME\", \"RUSTUP_HOME\"]\ntools = [\"cargo -V\"]\noutputs = [\"target\"]\nreports.junit = [\"target/nextest/default/junit.xml\"]\n"
    ));
    project.write("Cargo.toml", "[package]\nname = \"sums\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n");
    project.write(".config/nextest.toml", "[profile.default]\nretries = 1\n[profile.default.junit]\npath = \"junit.xml\"\n");
    project.write(
        "src/lib.rs",
        "#[test]\nfn good() {}\n#[test]\nfn bad() {\n    assert_eq!(1, 2, \"a < b & c\");\n}\n#[test]\nfn shaky() {\n    let mark = std::path::Path::new(\"target/tried\");\n    if !mark.exists() {\n        std::fs::write(mark, \"\").unwrap();\n        panic!(\"no luck\");\n    }\n}\n",
    );
    let (code, events) = project.events([""; 0]);
    assert_eq!((code, failure(&events, "t")["kind"].as_str()), (1, Some("report")), "{events:#?}");
    assert_eq!(failure(&events, "t")["tests"], serde_json::json!(["sums bad"]));
    let found = found(&events, "t");
    assert_eq!(
        (&found["totals"]["passed"], &found["totals"]["failed"], &found["totals"]["flaky"]),
        (&Value::from(1), &Value::from(1), &Value::from(1))
    );
    let bad = found["tests"].as_array().unwrap().iter().find(|test| test["name"] == "bad").unwrap();
    assert_eq!((bad["place"]["file"].as_str(), bad["place"]["line"].as_u64()), (Some("src/lib.rs"), Some(5)), "{bad}");
    assert!(bad["message"].as_str().unwrap().contains("a < b & c"), "{bad}");
}

#[test]
fn ruff_writes_what_is_read() {
    let Some(ruff) = tool("ruff") else { return };
    let project = Project::new(&format!(
        "[stages.t]\nsteps = [[\"{ruff}\", \"check\", \"--no-cache\", \"--exit-zero\", \"--output-format\", \"sarif\", \"--output-file\", \"ruff.sarif\", \"src\"]]\ninputs = [\"src/**\"]\nreports.sarif = [\"ruff.sarif\"]\n"
    ));
    project.write("src/a b.py", "import os\n\nprint(undefined)\n");
    let (code, events) = project.events([""; 0]);
    assert_eq!((code, failure(&events, "t")["kind"].as_str()), (1, Some("report")), "{events:#?}");
    let problems = found(&events, "t")["problems"].as_array().unwrap();
    let mut told: Vec<String> = problems
        .iter()
        .map(|problem| {
            format!(
                "{} {} {} {}:{}",
                problem["tool"], problem["rule"], problem["fails"], problem["place"]["file"], problem["place"]["line"]
            )
        })
        .collect();
    told.sort();
    assert_eq!(told, [r#""ruff" "F401" true "src/a b.py":1"#, r#""ruff" "F821" true "src/a b.py":3"#]);
    project.write("src/a b.py", "print(1)\n");
    assert_eq!(project.brief(&[]), "t passed");
    assert_eq!(project.brief(&[]), "t cached");
}

/// A real server on loopback, a real load on it, and what was measured as JSON.
const LOAD: &str = r#"
import http.server, json, sys, threading, time, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
times, failed = [], 0
for _ in range(40):
    began = time.monotonic()
    try:
        failed += urllib.request.urlopen("http://127.0.0.1:%d/" % server.server_port).read() != b"ok"
    except OSError:
        failed += 1
    times.append((time.monotonic() - began) * 1000)
times.sort()
json.dump({"requests": len(times), "failed": failed, "latency_ms": {"p50": times[20], "p95": times[38]}}, open("load.json", "w"))
"#;

#[test]
fn a_load_that_was_measured_is_judged() {
    let Some(python) = tool("python3") else { return };
    let stage = |max: &str| {
        format!(
            "[stages.t]\nsteps = [[\"{python}\", \"load.py\"]]\ntools = [[\"{python}\", \"-V\"]]\ninputs = [\"load.py\"]\n[stages.t.reports.metrics]\np95_ms = {{ file = \"load.json\", pointer = \"/latency_ms/p95\", max = {max} }}\nrequests = {{ file = \"load.json\", pointer = \"/requests\", min = 40 }}\nfailed = {{ file = \"load.json\", pointer = \"/failed\", max = 0 }}\n"
        )
    };
    let project = Project::new(&stage("60_000"));
    project.write("load.py", LOAD);
    let (code, events) = project.events([""; 0]);
    assert_eq!(code, 0, "{events:#?}");
    let metrics = found(&events, "t")["metrics"].as_array().unwrap();
    let names: Vec<&str> = metrics.iter().map(|metric| metric["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["p95_ms", "requests", "failed"]);
    assert!(metrics[0]["value"].as_f64().unwrap() > 0.0 && metrics[1]["value"] == 40.0);
    project.pipeline(&stage("0.0"));
    let (code, events) = project.events([""; 0]);
    assert_eq!(code, 1);
    assert!(reason(&events, "t").starts_with("`p95_ms` is ") && reason(&events, "t").ends_with("above its limit of 0"));
}

#[test]
fn a_load_tool_is_judged_by_what_it_measured_of_a_service() {
    let (Some(siege), Some(python)) = (tool("siege"), tool("python3")) else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let stage = |min: u32| {
        format!(
            r#"
[services.site]
start = ["{python}", "-m", "http.server", "{port}", "--bind", "127.0.0.1", "--directory", "site"]
ready = {{ http = "http://127.0.0.1:{port}/index.html" }}
[stages.load]
services = ["site"]
inputs = ["site/**"]
env = {{ HOME = "." }}
steps = ["{siege} --config > config.txt", "{siege} --json-output --quiet -c 2 -r 10 http://127.0.0.1:{port}/index.html > load.json"]
[stages.load.reports.metrics]
answered = {{ file = "load.json", pointer = "/successful_transactions", min = {min} }}
failed = {{ file = "load.json", pointer = "/failed_transactions", max = 0 }}
"#
        )
    };
    let project = Project::new(&stage(20));
    project.write("site/index.html", "hello");
    let (code, events) = project.events([""; 0]);
    assert_eq!(code, 0, "{events:#?}");
    let metrics = found(&events, "load")["metrics"].as_array().unwrap();
    assert_eq!((&metrics[0]["value"], &metrics[1]["value"]), (&Value::from(20.0), &Value::from(0.0)), "{metrics:?}");
    // What passed under a lower limit is no hit under a higher one.
    project.pipeline(&stage(21));
    let (code, events) = project.events([""; 0]);
    assert_eq!((code, failure(&events, "load")["kind"].as_str()), (1, Some("report")));
    assert_eq!(reason(&events, "load"), "`answered` is 20, below its limit of 21");
}
