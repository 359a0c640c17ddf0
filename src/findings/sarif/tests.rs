//! Files as scanners write them, and as they should not.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::findings::place::Places;
use crate::findings::room::Room;
use crate::model::findings::Findings;

fn parse(bytes: &[u8], fail_on: Option<Level>, root: &Path) -> (Findings, Result<(), String>) {
    let mut findings = Findings::none("s".into());
    let folders = [Path::new("sub")];
    let mut sink = Sink { findings: &mut findings, room: Room::default(), places: Places::new(root, &folders) };
    let result = read(bytes, fail_on, &mut sink);
    (findings, result)
}

fn problems(run: &Value) -> Vec<Problem> {
    let log = json!({ "version": "2.1.0", "runs": [run] });
    let (findings, result) = parse(log.to_string().as_bytes(), Some(Level::Error), Path::new("/nowhere"));
    assert_eq!(result, Ok(()));
    findings.problems
}

fn refused(bytes: &[u8]) -> String {
    parse(bytes, None, Path::new("/nowhere")).1.unwrap_err()
}

#[test]
fn a_level_comes_from_the_finding_or_its_rule_or_is_a_warning() {
    let run = json!({
        "tool": { "driver": { "name": "scan", "rules": [
            { "id": "A", "defaultConfiguration": { "level": "error" } },
            { "id": "B", "defaultConfiguration": { "level": "note" } },
            { "id": "C" }
        ] }, "extensions": [{ "name": "more", "rules": [{ "id": "X", "defaultConfiguration": { "level": "error" } }] }] },
        "results": [
            { "ruleId": "A", "message": { "text": "1" } },
            { "ruleIndex": 1, "message": { "text": "2" } },
            { "ruleId": "C", "level": "error", "message": { "text": "3" } },
            { "ruleId": "C", "message": { "text": "4" } },
            { "ruleId": "A/7", "message": { "text": "5" } },
            { "rule": { "index": 0, "toolComponent": { "index": 0 } }, "message": { "text": "6" } },
            { "ruleId": "A", "level": "none", "message": { "text": "not bad" } },
            { "ruleId": "A", "kind": "pass", "message": { "text": "good" } }
        ]
    });
    let told: Vec<String> =
        problems(&run).iter().map(|found| format!("{} {} {:?} {}", found.message, found.rule, found.level, found.fails)).collect();
    let expected = ["1 A Error true", "2 B Note false", "3 C Error true", "4 C Warning false", "5 A/7 Error true", "6 X Error true"];
    assert_eq!(told, expected);
}

#[test]
fn what_was_decided_about_does_not_fail() {
    let found = |more: Value| {
        let mut found = json!({ "level": "error", "message": { "text": "x" } });
        found.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        found
    };
    let run = json!({ "tool": { "driver": { "name": "scan" } }, "results": [
        found(json!({ "suppressions": [{ "kind": "inSource" }] })),
        found(json!({ "suppressions": [{ "kind": "external", "status": "accepted" }] })),
        found(json!({ "suppressions": [{ "kind": "external", "status": "underReview" }] })),
        found(json!({ "suppressions": [] })),
        found(json!({ "baselineState": "absent" })),
        found(json!({ "baselineState": "unchanged" })),
        found(json!({ "baselineState": "new" })),
        found(json!({ "baselineState": "updated" }))
    ] });
    let fails: Vec<bool> = problems(&run).iter().map(|found| found.fails).collect();
    assert_eq!(fails, [true, true, false, true, true]);
}

#[test]
fn messages_are_those_of_the_rule_with_their_arguments() {
    let run = json!({
        "tool": { "driver": { "name": "scan", "rules": [{ "id": "A", "messageStrings": { "default": { "text": "'{0}' {{not}} {1} {2} {x" } } }],
            "globalMessageStrings": { "g": { "text": "for all" } } } },
        "results": [
            { "ruleId": "A", "message": { "id": "default", "arguments": ["a", "{0}"] } },
            { "ruleId": "A", "message": { "id": "g" } },
            { "ruleId": "A", "message": { "id": "gone" } },
            { "ruleId": "A", "message": { "markdown": "*m*" } },
            { "ruleId": "A", "message": { "text": "{0} stays" } },
            { "ruleId": "A" }
        ]
    });
    let told: Vec<String> = problems(&run).into_iter().map(|found| found.message).collect();
    assert_eq!(told, ["'a' {not} {0} {2} {x", "for all", "gone", "*m*", "{0} stays", ""]);
}

#[test]
fn places_are_paths_of_the_project() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("sub/src")).unwrap();
    std::fs::write(root.path().join("sub/src/a b.py"), "").unwrap();
    let at = |location: Value| json!({ "message": { "text": "x" }, "locations": [{ "physicalLocation": { "artifactLocation": location, "region": { "startLine": 3, "startColumn": 5 } } }] });
    let address = format!("file://{}/sub/", root.path().display());
    let run = json!({
        "tool": { "driver": { "name": "scan" } },
        "originalUriBaseIds": { "SRC": { "uri": "src/", "uriBaseId": "ROOT" }, "ROOT": { "uri": address }, "A": { "uri": "a", "uriBaseId": "B" }, "B": { "uri": "b", "uriBaseId": "A" } },
        "artifacts": [{ "location": { "uri": "src/a%20b.py" } }],
        "results": [
            at(json!({ "uri": "src/a%20b.py" })),
            at(json!({ "uri": "a%20b.py", "uriBaseId": "SRC" })),
            at(json!({ "uri": format!("{address}src/a%20b.py") })),
            at(json!({ "index": 0 })),
            at(json!({ "uri": "sub/src/a%20b.py", "uriBaseId": "%SRCROOT%" })),
            at(json!({ "uri": "gone.py" })),
            at(json!({ "uri": "x", "uriBaseId": "A" })),
            at(json!({ "index": 7 })),
            json!({ "message": { "text": "nowhere" }, "locations": [] })
        ]
    });
    let log = json!({ "version": "2.1.0", "runs": [run] }).to_string();
    let (findings, result) = parse(format!("\u{feff}{log}").as_bytes(), None, root.path());
    assert_eq!(result, Ok(()));
    let places: Vec<String> = findings
        .problems
        .iter()
        .map(|found| {
            found.place.as_ref().map_or("-".to_owned(), |place| format!("{}:{}:{}", place.file, place.line.unwrap(), place.column.unwrap()))
        })
        .collect();
    let here = "sub/src/a b.py:3:5";
    assert_eq!(places[..5], [here; 5]);
    assert_eq!(places[5], "gone.py:3:5");
    assert!(places[6].ends_with("/x:3:5"), "{}", places[6]);
    assert_eq!(places[7..], ["-", "-"]);
}

#[test]
fn the_threshold_is_the_least_that_fails() {
    let log = json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": { "name": "t" } }, "results": [
        { "level": "error" }, { "level": "warning" }, { "level": "note" }
    ] }] });
    for (fail_on, expected) in [(Some(Level::Error), 1), (Some(Level::Warning), 2), (Some(Level::Note), 3), (None, 0)] {
        let (findings, _) = parse(log.to_string().as_bytes(), fail_on, Path::new("/nowhere"));
        assert_eq!(findings.totals.failing, expected);
        assert_eq!((findings.totals.errors, findings.totals.warnings, findings.totals.notes), (1, 1, 1));
    }
}

#[test]
fn what_proves_nothing_is_refused() {
    for (text, expected) in [
        ("", "is empty"),
        (" \n", "is empty"),
        ("{}", "is no SARIF: it has no `runs`"),
        ("[]", "is no SARIF: invalid length 0, expected struct Log with 2 elements at line 1 column 2"),
        (r#"{"runs": []}"#, "is no SARIF: it has no `version`"),
        (r#"{"version": "2.1.0", "runs": []}"#, "tells of no run of a scanner"),
        (r#"{"version": "1.0.0", "runs": []}"#, "is SARIF of version `1.0.0`; 2.1.0 is read here"),
        (r#"{"version": "2.1.0", "runs": [{}]}"#, "is no SARIF: missing field `tool` at line 1 column 32"),
        (r#"{"version": "2.1.0", "runs": [{"tool"#, "is no SARIF: EOF while parsing a string at line 1 column 36"),
    ] {
        assert_eq!(refused(text.as_bytes()), expected, "{text}");
    }
    let deep = format!("{{\"x\": {}", "[".repeat(100_000));
    assert!(refused(deep.as_bytes()).starts_with("is no SARIF"));
}

#[test]
fn a_scanner_that_broke_is_no_green() {
    let log = json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": { "name": "scan" } }, "results": [{ "level": "note" }], "invocations": [
        { "executionSuccessful": true },
        { "executionSuccessful": false, "toolExecutionNotifications": [{ "message": { "text": "hm" } }, { "level": "error", "message": { "text": "no rules\nat all" } }] }
    ] }] });
    let (findings, result) = parse(log.to_string().as_bytes(), None, Path::new("/nowhere"));
    assert_eq!(result.unwrap_err(), "says that scan did not get to its end: no rules");
    assert_eq!(findings.problems.len(), 1, "what it found is shown all the same");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _either = parse(&bytes, None, Path::new("/nowhere"));
    }

    #[test]
    fn any_texts_are_filled(text in "[{}0-3a]{0,20}", arguments in prop::collection::vec("[{}0-3]{0,3}", 0..3)) {
        fill(&text, &arguments);
    }
}
