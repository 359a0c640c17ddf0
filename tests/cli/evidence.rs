//! What rules and gates know of the run that made a release, and that it stays what it was.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::approve::Shop;
use crate::project::{git, said};

/// A stage that copies what programs would have found; how long its test took differs each time.
const CHECKED: &str = r#"
[stages.check]
steps = ["mkdir -p out && cp found/* out/ && sed -i s/TIME/0.$(date +%N)/ out/tests.xml"]
inputs = ["found/**"]
reports.junit = ["out/tests.xml"]
reports.sarif = ["out/scan.sarif"]
reports.fail-on = "never"
reports.metrics = { coverage = { file = "out/coverage.json", pointer = "/total" } }
"#;

const TESTS: &str =
    "<testsuite name='s'><testcase name='runs' time='TIME'/><testcase name='later' time='TIME'><skipped/></testcase></testsuite>";

const APPROVE: &str = "approve = { signers = \"allowed_signers\" }\n";

fn scan(level: &str) -> String {
    format!(
        r#"{{"version":"2.1.0","runs":[{{"tool":{{"driver":{{"name":"scan"}}}},"results":[{{"ruleId":"R1","level":"{level}","message":{{"text":"hm"}},"locations":[{{"physicalLocation":{{"artifactLocation":{{"uri":"src/a.c"}},"region":{{"startLine":3}}}}}}]}}]}}]}}"#
    )
}

/// A shop whose releases have such a coverage and a finding of such a level; `rules` are those of its environment.
fn shop(rules: &str, coverage: &str, level: &str) -> Shop {
    let shop = Shop::new(&format!("{rules}\n{CHECKED}"));
    shop.project.write(".gitignore", "/page.html\n/out\n/context.json\n").write("found/tests.xml", TESTS);
    found(&shop, coverage, level);
    shop
}

fn found(shop: &Shop, coverage: &str, level: &str) {
    shop.project.write("found/coverage.json", format!("{{\"total\":{coverage}}}")).write("found/scan.sarif", scan(level));
}

#[track_caller]
fn release(shop: &Shop) -> Value {
    let id = shop.shipway(&["release"]).exits(0).stdout;
    serde_json::from_str(&shop.shipway(&["release", "show", &id[..64], "--format", "json"]).exits(0).stdout).unwrap()
}

const COVERAGE: &str = r#"package coverage

deny contains msg if {
  some metric in input.metrics
  metric.name == "coverage"
  metric.value < 80
  msg := sprintf("coverage is %v", [metric.value])
}

deny contains "coverage was not measured" if not measured

measured if {
  some metric in input.metrics
  metric.name == "coverage"
}
"#;

#[test]
fn a_rule_judges_what_was_measured() {
    let shop = shop("policy = [\"policy/*.rego\"]", "79.5", "note");
    shop.project.write("policy/coverage.rego", COVERAGE);
    shop.commit();
    release(&shop);
    let said = shop.promote(1);
    assert!(said.contains("is refused: policy: coverage.deny: coverage is 79.5"), "{said}");
    found(&shop, "80", "note");
    shop.commit();
    release(&shop);
    shop.promote(0);
    let text = shop.project.read("pipeline.toml");
    let without: String = text.lines().filter(|line| !line.starts_with("reports.metrics")).flat_map(|line| [line, "\n"]).collect();
    shop.project.write("pipeline.toml", without).write("page.txt", "other\n");
    shop.commit();
    release(&shop);
    assert!(shop.promote(1).contains("coverage was not measured"));
}

#[test]
fn a_rule_judges_what_was_found() {
    let shop = shop("policy = [\"policy/*.rego\"]", "90", "error");
    let rule = "package found\n\ndeny contains msg if {\n  some finding in input.findings\n  finding.level == \"error\"\n  msg := sprintf(\"%s in %s:%d\", [finding.rule, finding.file, finding.line])\n}\n";
    shop.project.write("policy/found.rego", rule);
    shop.commit();
    release(&shop);
    let said = shop.promote(1);
    assert!(said.contains("is refused: policy: found.deny: R1 in src/a.c:3"), "{said}");
    found(&shop, "90", "warning");
    shop.commit();
    release(&shop);
    shop.promote(0);
}

#[test]
fn a_rule_judges_tests_and_stages() {
    let shop = shop("policy = [\"policy/*.rego\"]", "90", "note");
    let rule = "package tests\n\ndeny contains test.name if {\n  some test in input.tests\n  test.status == \"skipped\"\n}\n\ndeny contains \"too few\" if sum([stage.tests.passed | some stage in input.stages]) < 2\n";
    shop.project.write("policy/tests.rego", rule);
    shop.commit();
    release(&shop);
    let said = shop.promote(1);
    assert!(said.contains("tests.deny: s later") && said.contains("tests.deny: too few"), "{said}");
    shop.project.write("found/tests.xml", TESTS.replace("<skipped/>", ""));
    shop.commit();
    release(&shop);
    shop.promote(0);
}

#[test]
fn a_rule_judges_who_has_agreed() {
    let shop = shop(&format!("policy = [\"policy/*.rego\"]\n{APPROVE}"), "90", "note");
    let rule = "package who\n\ndeny contains \"bob has not agreed\" if not agreed\n\nagreed if {\n  some approval in input.approvals\n  approval.who == \"bob@example.org\"\n  approval.verdict == \"approved\"\n  approval.valid\n}\n";
    let signers = format!("{}{}", shop.key("bob@example.org"), shop.key("carol@example.org"));
    shop.project.write("policy/who.rego", rule).write("allowed_signers", signers);
    shop.commit();
    release(&shop);
    shop.signs_as("carol@example.org");
    shop.shipway(&["approve", "production", "--reason", "fine"]).exits(0);
    assert!(shop.promote(1).contains("is refused: policy: who.deny: bob has not agreed"));
    // Somebody who calls themselves bob is not bob.
    shop.key("eve@example.org");
    shop.signs_as("eve@example.org");
    git(shop.project.path(), &["config", "user.email", "bob@example.org"]);
    shop.shipway(&["approve", "production", "--reason", "fine"]).exits(0);
    assert!(shop.promote(1).contains("bob has not agreed"));
    shop.signs_as("bob@example.org");
    shop.shipway(&["approve", "production", "--reason", "fine"]).exits(0);
    shop.promote(0);
}

#[test]
fn a_cached_release_has_the_same_evidence() {
    let shop = shop("", "90", "note");
    shop.commit();
    let fresh = release(&shop);
    assert_eq!(fresh["evidence"].as_str().unwrap().len(), 64);
    assert_eq!(release(&shop), fresh, "nothing to do");
    shop.project.remove("out").remove("page.html").remove(".shipway");
    assert_eq!(release(&shop), fresh, "put back");
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = shop.command(&["release", "--format", "json"]);
    let again = said({
        command.env("SHIPWAY_CACHE_DIR", elsewhere.path());
        command
    });
    let events = crate::project::events(&again.exits(0).stdout);
    assert_eq!(crate::project::outcome(&events, "check"), "passed", "it ran");
    assert_eq!(events.last().unwrap()["evidence"], fresh["evidence"], "made anew");
    let listed: Value = serde_json::from_str(&shop.shipway(&["release", "list", "--format", "json"]).exits(0).stdout).unwrap();
    assert_eq!(listed["releases"].as_array().unwrap().len(), 1);
}

#[test]
fn evidence_cannot_be_changed_unseen() {
    let shop = shop("policy = [\"policy/*.rego\"]", "79", "note");
    shop.project.write("policy/coverage.rego", COVERAGE);
    shop.commit();
    let digest = release(&shop)["evidence"].as_str().unwrap().to_owned();
    shop.shipway(&["audit"]).exits(0);
    let blob = shop.outside.path().join("shipway/releases/cas").join(&digest[..2]).join(&digest);
    let text = fs::read_to_string(&blob).unwrap();
    assert!(text.contains("\"value\":79.0"), "{text}");
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, text.replace("79.0", "99.0")).unwrap();
    let said = shop.shipway(&["audit"]).exits(1).stderr;
    assert!(said.contains("the evidence of the release") && said.contains("tampered with"), "{said}");
    let said = shop.promote(3);
    assert!(said.contains("the evidence of the release") && said.contains("tampered with"), "{said}");
    fs::remove_file(&blob).unwrap();
    assert!(shop.promote(3).contains("made it on"));
    assert!(!shop.serves());
    // What was measured is what it was: made again, it is there again.
    release(&shop);
    assert!(shop.promote(1).contains("coverage is 79"));
}

/// Every path to a value, of a list that of its first element.
fn shape(value: &Value, path: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| shape(value, &format!("{path}.{key}"), into)),
        Value::Array(list) if !list.is_empty() => shape(&list[0], &format!("{path}[]"), into),
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => into.push(path.to_owned()),
    }
}

#[test]
fn a_gate_reads_what_the_readme_shows() {
    let rules = format!(
        "from = [\"staging\"]\nsoak = \"1ms\"\ngates = [\"cat > context.json\"]\npolicy = [\"p.rego\"]\nfreeze = [{{ from = \"2000-01-01\", to = \"2000-01-02\", zone = \"UTC\" }}]\n{APPROVE}[environments.staging]\ntarget = \"staging\"\n[targets.staging]\nkind = \"directory\"\npath = \"out/staging\""
    );
    let shop = shop(&rules, "90", "note");
    shop.project.write("allowed_signers", shop.key("bob@example.org")).write("p.rego", "package p\n\ndeny contains x if some x in []\n");
    shop.commit();
    release(&shop);
    shop.shipway(&["promote", "staging"]).exits(0);
    shop.signs_as("bob@example.org");
    shop.shipway(&["approve", "production", "--reason", "fine"]).exits(0);
    shop.promote(0);
    let context: Value = serde_json::from_str(&shop.project.read("context.json")).unwrap();
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let example = readme.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    let (mut real, mut shown) = (Vec::new(), Vec::new());
    shape(&context, "", &mut real);
    shape(&example, "", &mut shown);
    assert_eq!(real, shown);
    assert_eq!(context["environment"]["from"], serde_json::json!(["staging"]));
    assert_eq!((context["v"].as_i64(), context["approvals"][0]["valid"].as_bool()), (Some(1), Some(true)));
}
