//! `target test`: a target is tried under load before its first use, and whatever it does wrong is named.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::haproxy::{HAPROXY, WEIGHTLESS, drained, program, second};
use crate::project::{Project, Said, start};
use crate::rollout::{Front, Stage, ask};

/// A shop behind a front, with nothing in it but these releases.
fn stage(front: &Front, pages: &[&str], change: impl Fn(&str) -> String) -> Option<Stage> {
    program()?;
    let stage = Stage::empty(front, "", |file| change(&drained(file)))?;
    pages.iter().for_each(|page| drop(stage.shop.release(page)));
    Some(stage)
}

const PAGES: [&str; 2] = ["hello 0\n", "hello 1\n"];

impl Stage {
    fn test(&self, more: &[&str]) -> Said {
        let url = format!("http://127.0.0.1:{}/", self.port);
        self.shop.shipway(&[&["target", "test", "web", "--url", &url, "--requests", "200"], more].concat())
    }

    /// Tests the target, in which something is wrong; returns the names of the checks that fail, with what is said of them. Nothing may be
    /// left running.
    #[track_caller]
    fn wrong(&self, more: &[&str]) -> Vec<(String, String)> {
        let said = self.test(&[&["--format", "json"], more].concat()).exits(1);
        assert!(self.shop.running().is_empty(), "{}", said.stderr);
        let object: Value = serde_json::from_str(said.stdout.lines().last().unwrap()).unwrap();
        assert_eq!((&object["passed"], &object["left"]), (&false.into(), &Value::Array(Vec::new())), "{object}");
        let failed = object["checks"].as_array().unwrap().iter().filter(|check| check["verdict"] == "failed");
        failed.map(|check| (check["check"].as_str().unwrap().to_owned(), check["said"].as_str().unwrap().to_owned())).collect()
    }
}

#[test]
fn a_target_that_does_all_as_it_should_passes_and_is_left_as_it_was() {
    let Some(stage) = stage(&HAPROXY, &PAGES, str::to_owned) else { return };
    let entries = stage.entries();
    let said = stage.test(&[]).exits(0);
    let line = |start: &str| said.stdout.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {}", said.stdout));
    assert!(line("✓ start `blue`, twice").len() > 5 && line("✓ observe that `green` serves").len() > 5);
    assert!(line("✓ shift `green` to 0 %, twice").contains(" 0.0 % of 2"), "{}", said.stdout);
    assert!(line("✓ shift `green` to 100 %, twice").contains(" 100.0 % of 2"), "{}", said.stdout);
    assert!(line("✓ stop `green`, twice").contains(" 0.0 % of 2"), "{}", said.stdout);
    assert_eq!(said.stdout.lines().filter(|line| line.starts_with("✓ ")).count(), said.stdout.lines().count() - 1, "{}", said.stdout);
    assert!(said.stderr.contains("web: passed: 16 checks, 0 of "), "{}", said.stderr);
    assert_eq!((stage.shop.running(), stage.entries()), (vec![], entries), "nothing is left, and nothing recorded");
    assert_eq!(fs::read_dir(stage.shop.project.join(".git/shipway/tested/web")).unwrap().count(), 0);
    // Then it is used.
    stage.taken("shifts");
    stage.shop.shipway(&["promote", "production"]).exits(0);
    assert_eq!((ask(stage.port).as_deref(), stage.shop.running()), (Some("hello 1\n"), vec!["blue"]));
}

#[test]
fn weights_that_are_relative_to_nothing_are_found() {
    let Some(stage) = stage(&WEIGHTLESS, &PAGES, str::to_owned) else { return };
    fs::write(stage.shop.run("relative"), "").unwrap();
    let wrong = stage.wrong(&[]);
    // Of what nobody answers from the beginning nothing else could be said.
    assert!(wrong.len() == 1 && wrong[0].0 == "start `blue`", "{wrong:?}");
    assert!(wrong[0].1.starts_with("nobody answers; ") && wrong[0].1.contains("lost: status 503"), "{wrong:?}");
}

#[test]
fn a_shift_that_does_nothing_or_the_half_of_it_is_found() {
    let Some(stage) = stage(&HAPROXY, &PAGES, str::to_owned) else { return };
    stage.odd("if slot == 'green': sys.exit(0)");
    let wrong = stage.wrong(&[]);
    let of = |wrong: &[(String, String)], name: &str| {
        wrong.iter().find(|(check, _)| check == name).map_or_else(|| panic!("{name}: {wrong:?}"), |(_, said)| said.clone())
    };
    assert!(of(&wrong, "shift `green` to 100 %, twice").starts_with("no other answer comes than before"));
    assert!(of(&wrong, "shift `green` to 50 %, twice").ends_with(", and not 50 %"));
    assert!(of(&wrong, "observe that `green` serves").contains("drifted (expected `"));
    stage.odd("if weight == 50: weight = 10");
    let wrong = stage.wrong(&[]);
    let said = of(&wrong, "shift `green` to 50 %, twice");
    assert!(said.ends_with(", and not 50 %") && wrong.len() == 1, "{wrong:?}");
}

#[test]
fn what_cannot_be_done_twice_or_fails_is_named_and_all_is_ended() {
    let twice = "start = \"test ! -e $RUN/{slot}.pid; ./app start {slot} {dir} {port}\"";
    let once = |file: &str| file.replace("start = [\"./app\", \"start\", \"{slot}\", \"{dir}\", \"{port}\"]", twice);
    let Some(stage) = stage(&HAPROXY, &PAGES, once) else { return };
    let wrong = stage.wrong(&[]);
    assert_eq!(wrong.len(), 1, "nothing is tried after it: {wrong:?}");
    assert!(wrong[0].0 == "start `blue`, twice" && wrong[0].1.starts_with("when it was done again: a step failed"), "{wrong:?}");
}

#[test]
fn a_stop_that_ends_more_than_its_slot_loses_requests() {
    let both = |file: &str| file.replace("./app stop '{slot}'", "./app stop blue && ./app stop green");
    let Some(stage) = stage(&HAPROXY, &PAGES, both) else { return };
    let wrong = stage.wrong(&[]);
    assert!(wrong[0].0 == "stop `green`, twice" && wrong[0].1.contains("lost: status 503"), "{wrong:?}");
}

#[test]
fn a_target_that_cannot_say_what_serves_is_not_said_to_tell_the_truth() {
    let mute = |file: &str| file.replace("observe = ", "# observe = ");
    let Some(stage) = stage(&HAPROXY, &PAGES, mute) else { return };
    let said = stage.test(&[]).exits(0);
    assert!(said.stdout.contains("- observe that `green` serves"), "{}", said.stdout);
}

#[test]
fn one_release_in_two_slots_is_told_apart_by_a_header() {
    let Some(stage) = stage(&HAPROXY, &PAGES[..1], str::to_owned) else { return };
    let wrong = stage.wrong(&[]);
    assert!(wrong.iter().any(|(_, said)| said.contains("or both releases answer the same")), "{wrong:?}");
    stage.test(&["--header", "X-Slot"]).exits(0);
    assert!(stage.shop.running().is_empty());
}

#[test]
fn what_is_in_use_is_not_touched_and_a_copy_of_it_can_be_tested() {
    let Some(stage) = stage(&HAPROXY, &PAGES, |file| second(file, "")) else { return };
    stage.shop.shipway(&["promote", "production"]).exits(0);
    stage.taken("shifts");
    let said = stage.test(&[]).exits(1);
    assert!(said.stderr.contains("`web` is in use: ") && said.stderr.contains(" serves in `production`"), "{}", said.stderr);
    assert!(said.stderr.contains("help: test it before its first use, or a copy of it"), "{}", said.stderr);
    assert_eq!((stage.taken("shifts"), ask(stage.port).as_deref()), (vec![], Some("hello 1\n")));
    // Nobody uses the copy: whose variables its commands get is to be said.
    let url = format!("http://127.0.0.1:{}/other", stage.port);
    let test = ["target", "test", "other", "--url", &url, "--requests", "200"];
    let said = stage.shop.shipway(&test).exits(2);
    assert!(said.stderr.contains("no environment uses the target `other`"), "{}", said.stderr);
    let unpacked = || fs::read_dir(stage.shop.project.join(".git/shipway/unpacked/production")).unwrap().count();
    let before = unpacked();
    stage.shop.shipway(&[&test[..], &["--environment", "production"]].concat()).exits(0);
    assert_eq!(unpacked(), before, "what serves keeps its files");
    assert_eq!((ask(stage.port).as_deref(), stage.shop.running()), (Some("hello 1\n"), vec!["blue"]));
}

/// Begins a test that takes for ever; returns it while clients ask, and what it says from there on.
fn begun(stage: &Stage) -> (Child, impl Iterator<Item = String>) {
    let url = format!("http://127.0.0.1:{}/", stage.port);
    let mut child = start(stage.shop.command(&["target", "test", "web", "--url", &url, "--requests", "1000000"]));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "web: start `blue`"));
    (child, lines)
}

#[test]
fn whoever_interrupts_it_finds_nothing_left() {
    let Some(stage) = stage(&HAPROXY, &PAGES, str::to_owned) else { return };
    let (mut child, mut lines) = begun(&stage);
    let said = stage.shop.shipway(&["promote", "production"]).exits(75);
    assert!(said.stderr.contains("production: locked: "), "{}", said.stderr);
    stage.test(&[]).exits(75);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(lines.any(|line| line == "web: interrupted"));
    assert_eq!((child.wait().unwrap().code(), stage.shop.running()), (Some(130), vec![]));
}

#[test]
fn what_a_killed_test_leaves_the_next_one_ends() {
    let Some(stage) = stage(&HAPROXY, &PAGES, str::to_owned) else { return };
    let (mut child, _) = begun(&stage);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(stage.shop.running(), ["blue"]);
    stage.test(&[]).exits(0);
    assert!(stage.shop.running().is_empty());
}

#[test]
fn what_cannot_be_tested_is_said() {
    let target = "[environments.x]\ntarget = \"site\"\n[targets.site]\nkind = \"directory\"\npath = \"../site\"\n";
    let project = Project::new(&format!("[stages.x]\nsteps = [\"true\"]\n{target}"));
    crate::project::git(project.path(), &["init", "-q"]);
    let url = "http://127.0.0.1:1/";
    for (words, why) in [
        (&["site"][..], "the target `site` cannot be tested under load"),
        (&["site", "--url", "ftp://x"], "an address is http://HOST:PORT/PATH"),
        (&["site", "--url", url], "the target `site` cannot be tested under load"),
        (&["sit", "--url", url], "a target with a similar name exists: `site`"),
        (&["site", "--url", url, "--requests", "0"], "0 is not in 1.."),
    ] {
        let said = project.shipway([&["target", "test"], words].concat()).exits(2);
        assert!(said.stderr.contains(why), "{words:?}: {}", said.stderr);
    }
    let Some(stage) = stage(&HAPROXY, &[], str::to_owned) else { return };
    let said = stage.shop.shipway(&["target", "test", "web"]).exits(2);
    assert!(said.stderr.contains("it is not known where clients are to ask"), "{}", said.stderr);
    let said = stage.test(&[]).exits(2);
    assert!(said.stderr.contains("there is nothing to test the target with"), "{}", said.stderr);
}
