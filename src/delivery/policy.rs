//! Rules over a release, in Rego: whatever a rule `deny` of a file holds keeps the release out.
//!
//! The engine that reads them is a library, and part of shipway unless it is built without the feature `policy`.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::admission::Verdict;
use crate::base::glob::Glob;

/// Returns the files that the patterns mean below `root`, sorted; those of tests are left out, as `opa` does by their names.
///
/// # Errors
/// Where a folder cannot be read.
pub fn files(root: &Path, patterns: &[Glob]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for pattern in patterns {
        for entry in walkdir::WalkDir::new(root.join(pattern.base())).sort_by_file_name() {
            let entry = match entry {
                Ok(entry) => entry,
                // Nothing there: told by whoever finds no file.
                Err(error) if error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound) => continue,
                Err(error) => return Err(error.into()),
            };
            let path = entry.path();
            let is_test = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("_test.rego"));
            if !is_test && entry.file_type().is_file() && path.strip_prefix(root).is_ok_and(|path| pattern.matches(path)) {
                found.push(path.to_owned());
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Asks the rules in `files` about `input`. A file without a rule `deny` is a mistake, and so keeps the release out too.
#[cfg(feature = "policy")]
pub fn ask(root: &Path, files: &[PathBuf], input: &Value) -> Verdict {
    use crate::base::text::visible;

    if files.is_empty() {
        return Verdict::No("`policy` means no file".to_owned());
    }
    match denials(root, files, input) {
        Ok(denials) if denials.is_empty() => Verdict::Yes,
        Ok(denials) => Verdict::No(denials.join("; ")),
        Err(error) => Verdict::No(format!("the rules cannot be asked: {}", visible(error.trim()).replace('\n', " "))),
    }
}

/// Refuses: this shipway was built without what reads rules.
#[cfg(not(feature = "policy"))]
pub fn ask(_: &Path, _: &[PathBuf], _: &Value) -> Verdict {
    Verdict::No("this shipway was built without the feature `policy`, so it cannot ask rules".to_owned())
}

/// Returns what the rules deny, each with the rule's name.
#[cfg(feature = "policy")]
fn denials(root: &Path, files: &[PathBuf], input: &Value) -> Result<Vec<String>, String> {
    use crate::base::text::visible;

    let mut engine = regorus::Engine::new();
    engine.set_rego_v0(false);
    let mut packages = Vec::new();
    for file in files {
        let shown = file.strip_prefix(root).unwrap_or(file).display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| format!("`{shown}`: {error}"))?;
        let package = engine.add_policy(shown, text).map_err(|error| format!("{error:#}"))?;
        if !packages.contains(&package) {
            packages.push(package);
        }
    }
    engine.set_input_json(&input.to_string()).map_err(|error| format!("{error:#}"))?;
    let mut denials = Vec::new();
    let mut has_rule = false;
    for package in packages {
        let rule = format!("{package}.deny");
        let denied = match engine.eval_rule(rule.clone()) {
            Ok(denied) => denied,
            // Helpers of other packages need not have one.
            Err(error) if error.to_string().contains("not a valid rule path") => continue,
            Err(error) => return Err(format!("{error:#}")),
        };
        has_rule = true;
        if denied == regorus::Value::Undefined {
            // Its conditions do not hold.
            continue;
        }
        let name = rule.trim_start_matches("data.").to_owned();
        let denied: Value =
            serde_json::from_str(&denied.to_json_str().map_err(|error| format!("{error:#}"))?).map_err(|error| error.to_string())?;
        let messages: Vec<String> = match denied {
            Value::Array(messages) => messages.iter().map(message).collect(),
            Value::Bool(true) => vec!["denied".to_owned()],
            Value::Null | Value::Bool(false) => Vec::new(),
            other @ (Value::String(_) | Value::Number(_) | Value::Object(_)) => vec![message(&other)],
        };
        denials.extend(messages.iter().map(|message| format!("{name}: {}", visible(message))));
    }
    if has_rule { Ok(denials) } else { Err("no file has a rule `deny`".to_owned()) }
}

/// Returns what a rule says: a text, or the `msg` of an object.
#[cfg(feature = "policy")]
fn message(denied: &Value) -> String {
    let text = denied.as_str().or_else(|| denied["msg"].as_str());
    text.map_or_else(|| denied.to_string(), str::to_owned)
}

#[cfg(test)]
#[cfg(feature = "policy")]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn asked(rules: &[(&str, &str)], input: &Value) -> Verdict {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in rules {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let files = files(folder.path(), &[Glob::new("", "*.rego").unwrap()]).unwrap();
        ask(folder.path(), &files, input)
    }

    const SIZE: &str = "package shop.size\n\ndeny contains msg if {\n  some artifact in input.artifacts\n  artifact.size > 10\n  msg := sprintf(\"%s is too large\", [artifact.name])\n}\n";

    #[test]
    fn a_rule_whose_conditions_do_not_hold_denies_nothing() {
        let rules = [("a.rego", "package a\ndeny if input.failed > 5\n")];
        assert_eq!(asked(&rules, &json!({ "failed": 0 })), Verdict::Yes);
        assert_eq!(asked(&rules, &json!({ "failed": 6 })), Verdict::No("a.deny: denied".to_owned()));
    }

    #[test]
    fn what_a_rule_denies_stays_out_under_its_name() {
        let input = |size: u64| json!({ "artifacts": [{ "name": "a", "size": size }, { "name": "b", "size": 1 }] });
        assert_eq!(asked(&[("size.rego", SIZE)], &input(5)), Verdict::Yes);
        assert_eq!(asked(&[("size.rego", SIZE)], &input(50)), Verdict::No("shop.size.deny: a is too large".to_owned()));
        let object = "package x\ndeny contains { \"msg\": \"why\" }\n";
        assert_eq!(asked(&[("x.rego", object)], &json!({})), Verdict::No("x.deny: why".to_owned()));
        assert_eq!(asked(&[("x.rego", "package x\ndeny := true\n")], &json!({})), Verdict::No("x.deny: denied".to_owned()));
    }

    #[test]
    fn rules_that_cannot_be_asked_let_nothing_in() {
        for rules in [
            &[][..],
            &[("broken.rego", "package x\ndeny if {\n")],
            &[("none.rego", "package x\nallow := true\n")],
            &[("typo.rego", "package x\ndeny contains msg if { msg := undefined_thing }\n")],
            &[("x_test.rego", SIZE)],
        ] {
            assert!(matches!(asked(rules, &json!({})), Verdict::No(_)), "{rules:?}");
        }
    }
}
