//! `workflow`: what it prints is what the CI systems read, pinned, with the least rights, and its commands work.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::project::{Project, git};

/// The text as a parser of YAML reads it.
fn yaml(text: &str) -> Value {
    let script = "import sys, json, yaml; print(json.dumps(yaml.load(sys.stdin.read(), yaml.BaseLoader)))";
    let python = ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(|python| Command::new(python).args(["-c", "import yaml"]).output().is_ok_and(|done| done.status.success()))
        .expect("python3 with yaml is on this machine (Debian: python3-yaml)");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("workflow.yml");
    fs::write(&file, text).unwrap();
    let done = Command::new(python).args(["-c", script]).stdin(fs::File::open(file).unwrap()).output().unwrap();
    assert!(done.status.success(), "{}\n{text}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// A program in the place of shipway that writes down how it was called, and does what needs no reports.
fn recorder(folder: &Path) -> String {
    let (calls, program) = (folder.join("calls"), folder.join("recorder"));
    let real = env!("CARGO_BIN_EXE_shipway");
    let script = format!("#!/bin/sh\necho \"$@\" >> '{}'\ncase \"$*\" in *'cache dir') exec '{real}' \"$@\" ;; esac\n", calls.display());
    fs::write(&program, script).unwrap();
    format!("install -D -m 755 {} \"$CARGO_INSTALL_ROOT/bin/shipway\"", program.display())
}

fn shell(project: &Project, script: &str, variables: &[(&str, &Path)]) {
    let mut command = Command::new("bash");
    command.args(["-eo", "pipefail", "-c", script]).current_dir(project.path()).env("SHIPWAY_CACHE_DIR", project.store());
    let done = command.envs(variables.iter().copied()).output().unwrap();
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_workflow_for_github_has_the_least_rights_and_pinned_actions() {
    let said = Project::new("[stages.s]\nsteps = [\"true\"]\n").shipway(["workflow", "github"]).exits(0);
    let workflow = yaml(&said.stdout);
    assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read" }));
    let steps = workflow["jobs"]["shipway"]["steps"].as_array().unwrap();
    let mut used = 0;
    for action in steps.iter().filter_map(|step| step["uses"].as_str()) {
        let (_, pin) = action.split_once('@').unwrap();
        assert!(pin.len() == 40 && pin.bytes().all(|byte| byte.is_ascii_hexdigit()), "{action}");
        used += 1;
    }
    assert_eq!(used, 5);
    assert_eq!((steps[0]["with"]["fetch-depth"].as_str(), steps[0]["with"]["persist-credentials"].as_str()), (Some("0"), Some("false")));
    let named = |name: &str| steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("{name}: {steps:#?}"));
    let (restore, save) = (&named("Restore the results of earlier runs")["with"], &named("Save the results")["with"]);
    assert_eq!((&restore["path"], &restore["key"]), (&save["path"], &save["key"]));
    let prefix = restore["restore-keys"].as_str().unwrap();
    assert!(restore["key"].as_str().unwrap().starts_with(prefix) && prefix.ends_with('-'), "{prefix}");
    for name in ["Save the results", "Keep the reports"] {
        assert!(named(name)["if"].as_str().unwrap().starts_with("always()"), "{name}");
    }
}

#[test]
fn the_commands_of_the_workflow_for_github_work() {
    let project = Project::empty();
    git(project.path(), &["init", "-q"]);
    project.write("services/api/pipeline.toml", "[pipeline]\nname = \"t\"\n[stages.s]\nsteps = [\"true\"]\n");
    let aside = tempfile::tempdir().unwrap();
    let install = recorder(aside.path());
    let said = project.shipway(["-C", "services/api", "workflow", "github", "--install", &install]).exits(0);
    let workflow = yaml(&said.stdout);
    let place = |name: &str| aside.path().join(name);
    let (root, path, output) = (place("program"), place("path"), place("output"));
    let variables: [(&str, &Path); 4] =
        [("CARGO_INSTALL_ROOT", &root), ("GITHUB_PATH", &path), ("GITHUB_OUTPUT", &output), ("RUNNER_TEMP", aside.path())];
    for script in workflow["jobs"]["shipway"]["steps"].as_array().unwrap().iter().filter_map(|step| step["run"].as_str()) {
        // As the runner does between steps.
        let added = fs::read_to_string(&path).unwrap_or_default();
        shell(&project, &format!("PATH={}:$PATH\n{script}", added.trim()), &variables);
    }
    assert_eq!(fs::read_to_string(&output).unwrap().trim(), format!("folder={}", project.store().display()));
    let calls = fs::read_to_string(place("calls")).unwrap();
    let reports = aside.path().join("shipway");
    let reports = reports.display();
    let run = format!("-C services/api run --report junit={reports}/junit.xml --report html={reports}/report.html");
    assert_eq!(calls.lines().collect::<Vec<_>>(), ["-C services/api cache dir", &run]);
}

#[test]
fn the_commands_of_the_workflow_for_gitlab_work() {
    let project = Project::new("[stages.s]\nsteps = [\"true\"]\n");
    let aside = tempfile::tempdir().unwrap();
    let said = project
        .shipway(["workflow", "gitlab", "--install", &format!("{} && test ! -e twice && touch twice", recorder(aside.path()))])
        .exits(0);
    let job = &yaml(&said.stdout)["shipway"];
    assert_eq!(job["variables"]["GIT_DEPTH"], "0");
    let variable = |name: &str| job["variables"][name].as_str().unwrap().replace("$CI_PROJECT_DIR", &project.path().to_string_lossy());
    let (store, root) = (variable("SHIPWAY_CACHE_DIR"), variable("CARGO_INSTALL_ROOT"));
    for path in [&store, &root] {
        let kept = job["cache"]["paths"].as_array().unwrap();
        assert!(kept.iter().any(|kept| Path::new(path).ends_with(kept.as_str().unwrap())), "{path} in {kept:?}");
    }
    let lines = |key: &str| job[key].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let script = [lines("before_script"), lines("script")].concat().join("\n");
    let variables: [(&str, &Path); 2] = [("CARGO_INSTALL_ROOT", Path::new(&root)), ("SHIPWAY_CACHE_DIR", Path::new(&store))];
    shell(&project, &script, &variables);
    // The program that was kept is not installed again.
    shell(&project, &script, &variables);
    let calls = fs::read_to_string(aside.path().join("calls")).unwrap();
    let run = "run --report junit=.shipway/reports/junit.xml --report html=.shipway/reports/report.html";
    assert_eq!(calls.lines().collect::<Vec<_>>(), [run, run]);
    assert_eq!((job["artifacts"]["when"].as_str(), job["cache"]["when"].as_str()), (Some("always"), Some("always")));
    assert_eq!(job["artifacts"]["reports"]["junit"], ".shipway/reports/junit.xml");
    assert!(project.exists(".shipway/reports"));
}

/// The lines that install shipway where nobody said how.
fn unsaid(system: &str) -> String {
    let said = Project::empty().shipway(["workflow", system]).exits(0);
    let workflow = yaml(&said.stdout);
    let steps = workflow["jobs"]["shipway"]["steps"].as_array();
    let step = steps.and_then(|steps| steps.iter().find(|step| step["name"] == "Install shipway"));
    step.map_or(&workflow["shipway"]["before_script"][0], |step| &step["run"]).as_str().unwrap().to_owned()
}

#[test]
fn without_a_command_that_installs_shipway_no_strangers_program_is_taken() {
    for system in ["github", "gitlab"] {
        let script = unsaid(system);
        assert!(!script.contains("cargo install"), "{script}");
        let root = tempfile::tempdir().unwrap();
        let bash = |path: &str| {
            let mut command = Command::new("/bin/bash");
            command.args(["-eo", "pipefail", "-c", &script]).env("PATH", path).env("CARGO_INSTALL_ROOT", root.path());
            command.output().unwrap()
        };
        let absent = bash("/nowhere");
        let said = String::from_utf8_lossy(&absent.stderr);
        assert_eq!(absent.status.code(), Some(1), "{said}");
        assert!(said.contains("write here the command") && said.contains(&format!("shipway workflow {system} --install")), "{said}");
        let there = Path::new(env!("CARGO_BIN_EXE_shipway")).parent().unwrap();
        assert!(bash(&there.to_string_lossy()).status.success());
    }
}

#[test]
fn a_pipeline_of_another_name_is_the_one_that_is_run() {
    let project = Project::empty();
    git(project.path(), &["init", "-q"]);
    project.write("api/all.toml", "[pipeline]\nname = \"t\"\n[stages.s]\nsteps = [\"true\"]\n");
    for system in ["github", "gitlab"] {
        let said = project.shipway(["-C", "api", "-f", "all.toml", "workflow", system]).exits(0);
        assert!(said.stdout.contains("shipway -C api -f all.toml run --report"), "{}", said.stdout);
        let said = project.shipway(["-f", "api/all.toml", "workflow", system]).exits(0);
        assert!(said.stdout.contains("shipway -C api -f all.toml run --report"), "{}", said.stdout);
    }
    let said = project.shipway(["-f", "api/a b.toml", "workflow", "github"]).exits(2);
    assert!(said.stderr.contains("`a b.toml` has a name that would need quoting"), "{}", said.stderr);
}

#[test]
fn nothing_is_overwritten() {
    let project = Project::empty();
    let path = ".github/workflows/shipway.yml";
    project.shipway(["workflow", "github", "-o", path]).exits(0);
    let first = project.read(path);
    assert_eq!(first, project.shipway(["workflow", "github"]).exits(0).stdout);
    let said = project.shipway(["workflow", "gitlab", "-o", path]).exits(2);
    assert!(said.stderr.contains("is there already") && said.stderr.contains("help:"), "{}", said.stderr);
    assert_eq!(project.read(path), first);
    let unfit = project.shipway(["workflow", "gitlab", "--install", "a\nb"]).exits(2);
    assert!(unfit.stderr.contains("not one line"), "{}", unfit.stderr);
}
