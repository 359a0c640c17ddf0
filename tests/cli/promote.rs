//! Releases come into environments, and go back: the same from whatever instant somebody goes on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::killer::{at_each_change, killed, signalled};
use crate::project::{Project, Said, git, said, until};

/// A site of one page; a release of it works where its page says hello.
const SITE: &str = r#"
[stages.build]
steps = ["cp page.txt page.html"]
inputs = ["page.txt"]
outputs = ["page.html"]
[release]
artifacts = ["page.html"]
[environments.staging]
target = "staging"
verify = ["grep -q hello $SHIPWAY_DIR/page.html"]
[environments.production]
from = ["staging"]
target = "production"
env = { WHERE = "{environment}" }
provision = ["echo provisioned $WHERE >> $HOME/log"]
verify = ["grep -q hello $SITES/production/current/page.html", "echo verified $SHIPWAY_RELEASE >> $HOME/log"]
pass-env = ["SITES"]
[targets.staging]
kind = "directory"
path = "SITES/staging"
[targets.production]
kind = "directory"
path = "SITES/production"
retain = 0
"#;

struct Shop {
    project: Project,
    outside: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        let sites = outside.path().join("sites");
        let project =
            Project::new(&SITE.replace("SITES/", &format!("{}/", sites.display())).replace(&format!("${}/", sites.display()), "$SITES/"));
        project.write(".gitignore", "/page.html\n").write("page.txt", "none\n");
        let shop = Self { project, outside };
        git(shop.project.path(), &["init", "-q"]);
        shop.commit("first");
        shop
    }

    fn commit(&self, what: &str) {
        git(self.project.path(), &["add", "-A"]);
        git(self.project.path(), &["commit", "-q", "-m", what]);
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.project.command(words);
        let outside = self.outside.path();
        command.env("XDG_DATA_HOME", outside).env("SITES", outside.join("sites")).env("HOME", outside);
        command
    }

    #[track_caller]
    fn shipway(&self, words: &[&str]) -> Said {
        said(self.command(words))
    }

    /// Makes a release of a page; returns its id.
    #[track_caller]
    fn release(&self, page: &str) -> String {
        self.project.write("page.txt", page);
        self.commit(page);
        let said = self.shipway(&["release"]).exits(0);
        said.stdout.split(' ').next().unwrap().to_owned()
    }

    /// The page that an environment serves.
    fn page(&self, environment: &str) -> Option<String> {
        fs::read_to_string(self.site(environment).join("current/page.html")).ok()
    }

    fn site(&self, environment: &str) -> PathBuf {
        self.outside.path().join("sites").join(environment)
    }

    #[track_caller]
    fn status(&self, environment: &str) -> Value {
        let said = self.shipway(&["status", environment, "--format", "json"]).exits(0);
        serde_json::from_str::<Value>(&said.stdout).unwrap()["environments"][0].clone()
    }

    /// All that can be seen of an environment: what it serves, which versions lie there, and what is recorded of it.
    fn picture(&self, environment: &str) -> (Option<String>, Vec<String>, Value) {
        let entries = fs::read_dir(self.site(environment).join("versions"));
        let mut versions: Vec<String> =
            entries.into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        versions.sort();
        let mut status = self.status(environment);
        status["since"] = Value::Null;
        (self.page(environment), versions, status)
    }
}

#[test]
fn a_release_goes_from_one_environment_to_the_next() {
    let shop = Shop::new();
    assert!(shop.shipway(&["promote", "staging"]).exits(1).stderr.contains("no release was made yet"));
    let first = shop.release("hello 1\n");
    let refused = shop.shipway(&["promote", "production"]).exits(1);
    assert!(refused.stderr.contains("it was not verified in `staging`"), "{}", refused.stderr);
    assert_eq!(shop.page("production"), None);
    shop.shipway(&["promote", "staging"]).exits(0);
    assert_eq!(shop.page("staging").as_deref(), Some("hello 1\n"));
    shop.shipway(&["promote", "production", &first]).exits(0);
    assert_eq!(shop.page("production").as_deref(), Some("hello 1\n"));
    let status = shop.status("production");
    assert_eq!((status["release"]["id"].as_str(), &status["verified"]), (Some(&*first), &Value::Bool(true)));
    let log = fs::read_to_string(shop.outside.path().join("log")).unwrap();
    assert_eq!(log, format!("provisioned production\nverified {first}\n"));
    let again = shop.shipway(&["promote", "production"]).exits(0);
    assert!(again.stderr.contains("serves there already"), "{}", again.stderr);
    let unknown = shop.shipway(&["log", "nosuch"]).exits(2);
    assert!(unknown.stderr.contains("there is no environment `nosuch`"), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("these exist: `staging`, `production`"), "{}", unknown.stderr);
    let unknown = shop.shipway(&["promote", "producton"]).exits(2);
    assert!(unknown.stderr.contains("an environment with a similar name exists: `production`"), "{}", unknown.stderr);
}

#[test]
fn what_is_automatic_comes_in_by_itself_unless_it_failed() {
    let shop = Shop::new();
    let file = shop.project.read("pipeline.toml");
    let automatic = file.replace("[environments.staging]\n", "[environments.staging]\npromote = \"auto\"\n");
    shop.project
        .write("pipeline.toml", automatic.replace("from = [\"staging\"]\n", "from = [\"staging\"]\nsoak = \"2s\"\npromote = \"auto\"\n"));
    let first = shop.release("hello 1\n");
    assert_eq!(shop.page("staging").as_deref(), Some("hello 1\n"), "by the release itself");
    let soaked = |page: &str| {
        shop.shipway(&["settle"]).exits(0);
        shop.page("production").as_deref() == Some(page)
    };
    assert_eq!(shop.page("production"), None, "it soaks");
    let plan = shop.shipway(&["plan", "production"]).exits(0).stdout;
    assert!(plan.contains("gate     available: not yet: it soaks") || plan.contains("gate     available: yes"), "{plan}");
    until("it has soaked", || soaked("hello 1\n"));
    // One that fails is tried once.
    shop.project.write("page.txt", "bye\n");
    shop.commit("bye");
    shop.shipway(&["release"]).exits(4);
    let before = shop.shipway(&["log"]).stdout.lines().count();
    shop.shipway(&["settle"]).exits(0);
    assert_eq!(shop.shipway(&["log"]).stdout.lines().count(), before, "nothing is due");
    assert_eq!(shop.status("staging")["release"]["id"], first);
    // A paused one is left alone.
    shop.shipway(&["pause", "staging", "--reason", "x"]).exits(0);
    shop.release("hello 2\n");
    assert_eq!(shop.page("staging").as_deref(), Some("hello 1\n"));
    shop.shipway(&["resume", "staging", "--reason", "x"]).exits(0);
    shop.shipway(&["settle", "staging"]).exits(0);
    assert_eq!(shop.page("staging").as_deref(), Some("hello 2\n"));
}

#[test]
fn what_does_not_work_is_taken_back() {
    let shop = Shop::new();
    let first = shop.release("hello 1\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    let bad = shop.release("bye\n");
    let said = shop.shipway(&["promote", "staging"]).exits(4);
    assert!(said.stderr.contains("error: staging: rolled back"), "{}", said.stderr);
    // What ran is named, for no reason but that it had to, and by no command that could not do it again.
    assert!(said.stderr.contains("\n✗ staging verify: "), "{}", said.stderr);
    assert!(!said.stderr.contains("always runs") && !said.stderr.contains("reproduce"), "{}", said.stderr);
    assert_eq!(shop.page("staging").as_deref(), Some("hello 1\n"));
    let status = shop.status("staging");
    assert_eq!((status["release"]["id"].as_str(), &status["verified"]), (Some(&*first), &Value::Bool(true)));
    assert!(shop.shipway(&["promote", "production", &bad]).exits(1).stderr.contains("it was not verified in `staging`"));
    // The first release of all, too: then nothing serves again.
    let empty = Shop::new();
    empty.release("bye\n");
    empty.shipway(&["promote", "staging"]).exits(4);
    assert_eq!(empty.page("staging"), None);
    assert_eq!(empty.status("staging")["release"], Value::Null);
}

#[test]
fn what_failed_and_what_no_commit_has_comes_in_only_by_its_name() {
    let shop = Shop::new();
    shop.release("bye\n");
    shop.shipway(&["promote", "staging"]).exits(4);
    let said = shop.shipway(&["promote", "staging"]).exits(1).stderr;
    assert!(said.contains(": it failed there: verify: a step failed") && said.contains("staging: no other release is available"), "{said}");
    let first = shop.release("hello 1\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    let bad = shop.release("bye again\n");
    shop.shipway(&["promote", "staging"]).exits(4);
    shop.project.write("page.txt", "hello dirty\n");
    let dirty = shop.shipway(&["release", "--dirty"]).exits(0).stdout;
    git(shop.project.path(), &["checkout", "-q", "page.txt"]);
    let entries = shop.shipway(&["log"]).stdout.lines().count();
    let said = shop.shipway(&["promote", "staging"]).exits(0).stderr;
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("staging: passes by ") && lines[0].contains(": it was made with changes that no commit has; name it"),
        "{said}"
    );
    assert!(lines[1].starts_with("staging: passes by ") && lines[1].contains(": it failed there: verify: a step failed"), "{said}");
    assert!(lines[2].ends_with(" serves there already, verified") && lines.len() == 3, "the one that failed first is older: {said}");
    let plan = shop.shipway(&["plan", "staging"]).exits(0);
    assert!(plan.stderr.contains("passes by ") && plan.stdout.contains(&format!("({})", &first[..12])), "{plan:?}");
    assert_eq!(shop.shipway(&["log"]).stdout.lines().count(), entries);
    shop.shipway(&["promote", "staging", &bad]).exits(4);
    shop.shipway(&["promote", "staging", dirty.split(' ').next().unwrap()]).exits(0);
    // Nothing older takes the place of what serves.
    assert!(shop.shipway(&["promote", "staging"]).exits(0).stderr.contains("serves there already, verified"));
    assert_eq!(shop.page("staging").as_deref(), Some("hello dirty\n"));
}

#[test]
fn a_rollback_leads_to_the_last_that_was_verified_and_holds() {
    let shop = Shop::new();
    for page in ["hello 1\n", "hello 2\n", "hello 3\n"] {
        shop.release(page);
        shop.shipway(&["promote", "staging"]).exits(0);
        shop.shipway(&["promote", "production"]).exits(0);
    }
    let said = shop.shipway(&["rollback", "production", "--reason", "slow"]).exits(0).stderr;
    assert!(said.contains("production: paused until `shipway resume production --reason R`\n"), "{said}");
    let said = shop.shipway(&["promote", "production"]).exits(75).stderr;
    assert!(said.contains("slow: `shipway resume production --reason R` ends that, and whoever names a release need not wait\n"), "{said}");
    assert_eq!(shop.page("production").as_deref(), Some("hello 2\n"));
    assert_eq!(shop.status("production")["paused"]["reason"], "slow");
    let plan = shop.shipway(&["plan", "production"]).exits(0).stdout;
    assert!(plan.contains("gate     lock: not yet: paused by"), "{plan}");
    shop.shipway(&["resume", "production", "--reason", "mended"]).exits(0);
    assert_eq!(shop.status("production")["paused"], Value::Null);
    // To one that was removed from the target: its bytes are in the store.
    let first = shop.shipway(&["release", "list", "--format", "json"]).exits(0);
    let first = serde_json::from_str::<Value>(&first.stdout).unwrap()["releases"][2]["release"].as_str().unwrap().to_owned();
    assert!(!shop.site("production").join("versions").join(&first).exists(), "retain = 0");
    shop.shipway(&["rollback", "production", "--to", &first, "--reason", "older"]).exits(0);
    assert_eq!(shop.page("production").as_deref(), Some("hello 1\n"));
    let log = shop.shipway(&["log", "production"]).exits(0).stdout;
    assert!(log.lines().next().unwrap().ends_with("production: verified"), "{log}");
    assert!(log.contains("production: roll back to"), "{log}");
}

#[test]
fn a_plan_of_what_serves_there_already_says_that_and_no_more() {
    let shop = Shop::new();
    shop.release("hello 1\n");
    let before = shop.shipway(&["plan", "staging"]).exits(0).stdout;
    assert!(before.starts_with("plan ") && before.contains("\nverify   $ "), "{before}");
    shop.shipway(&["promote", "staging"]).exits(0);
    let said = shop.shipway(&["plan", "staging"]).exits(0).stdout;
    let words: Vec<&str> = said.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(words, ["nothing", "plan", "release", "to"], "{said}");
    assert!(
        said.starts_with("nothing  to be done: ") && said.lines().next().unwrap().ends_with(" serves there already, verified"),
        "{said}"
    );
    // What somebody has moved has a way to go.
    let current = shop.site("staging").join("current");
    fs::remove_file(&current).unwrap();
    let said = shop.shipway(&["plan", "staging"]).exits(0).stdout;
    assert!(!said.contains("nothing  to be done") && said.contains("\nverify   $ "), "{said}");
}

#[test]
fn nobody_is_told_to_declare_what_a_step_of_delivery_starts() {
    let shop = Shop::new();
    let shims = shop.outside.path().join(".pyenv/shims");
    fs::create_dir_all(&shims).unwrap();
    fs::write(shims.join("judge"), "#!/bin/sh\necho judged\n").unwrap();
    fs::set_permissions(shims.join("judge"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let file = shop.project.read("pipeline.toml").replace("verify = [\"grep -q hello $SHIPWAY_DIR/page.html\"]", "verify = [[\"judge\"]]");
    shop.project.write("pipeline.toml", file);
    shop.release("hello 1\n");
    let path = format!("{}:{}", shims.display(), std::env::var("PATH").unwrap());
    let mut command = shop.command(&["promote", "staging"]);
    let said = said({
        command.env("PATH", path);
        command
    });
    let said = said.exits(0);
    assert!(said.stdout.contains("judged") && !said.stderr.contains("shim") && !said.stdout.contains("shim"), "{said:?}");
}

#[test]
fn what_a_later_commit_verifies_is_no_reason_not_to_go_back() {
    let shop = Shop::new();
    let file = shop
        .project
        .read("pipeline.toml")
        .replace("verify = [\"grep -q hello $SHIPWAY", "verify = [\"test ! -e $HOME/broken; grep -q hello $SHIPWAY");
    shop.project.write("pipeline.toml", &file);
    let ids = ["hello 1\n", "hello 2\n"].map(|page| {
        let id = shop.release(page);
        shop.shipway(&["promote", "staging"]).exits(0);
        id
    });
    // One that no release passes, which is seen with the first of them.
    shop.project.write("pipeline.toml", file.replace("verify = [\"test ! -e", "verify = [\"false\", \"test ! -e"));
    shop.release("hello 3\n");
    let said = shop.shipway(&["promote", "staging"]).exits(4).stderr;
    assert!(said.contains("says, by which it was verified before") && said.contains("which have shown it before, it works"), "{said}");
    let is_good = |page: &str| {
        let status = shop.status("staging");
        assert_eq!(
            (shop.page("staging").as_deref(), &status["verified"], &status["ongoing"]),
            (Some(page), &Value::Bool(true), &Value::Null)
        );
    };
    is_good("hello 2\n");
    shop.shipway(&["rollback", "staging", "--reason", "slow"]).exits(0);
    is_good("hello 1\n");
    // Where it does not work by either, nobody says that it does.
    fs::write(shop.outside.path().join("broken"), "").unwrap();
    let said = shop.shipway(&["rollback", "staging", "--to", &ids[1], "--reason", "try"]).exits(5).stderr;
    assert!(said.contains("the rollback failed: verify: a step failed") && said.contains("; as the commit "), "{said}");
    assert_eq!(shop.status("staging")["verified"], false);
}

#[test]
fn one_rollback_after_the_other_leads_ever_further_back() {
    let shop = Shop::new();
    for page in ["hello 1\n", "hello 2\n", "hello 3\n"] {
        shop.release(page);
        shop.shipway(&["promote", "staging"]).exits(0);
    }
    for page in ["hello 2\n", "hello 1\n"] {
        shop.shipway(&["rollback", "staging", "--reason", "x"]).exits(0);
        assert_eq!(shop.page("staging").as_deref(), Some(page));
    }
    shop.shipway(&["rollback", "staging", "--reason", "x"]).exits(1);
    // What is verified again is good again.
    let second = shop.shipway(&["release", "list", "--format", "json"]).exits(0).stdout;
    let second = serde_json::from_str::<Value>(&second).unwrap()["releases"][1]["name"].as_str().unwrap().to_owned();
    shop.shipway(&["promote", "staging", &second]).exits(0);
    shop.release("hello 4\n");
    shop.shipway(&["resume", "staging", "--reason", "x"]).exits(0);
    shop.shipway(&["promote", "staging"]).exits(0);
    shop.shipway(&["rollback", "staging", "--reason", "x"]).exits(0);
    assert_eq!(shop.page("staging").as_deref(), Some("hello 2\n"));
}

#[test]
fn what_was_left_begun_does_not_take_the_place_of_what_is_named() {
    let shop = Shop::new();
    shop.release("hello 1\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    shop.release("hello 2\n");
    assert!(killed(shop.command(&["promote", "staging"]), shop.outside.path(), 4, "after"));
    shop.shipway(&["promote", "staging", "nosuch"]).exits(2);
    let third = shop.release("hello 3\n");
    shop.shipway(&["promote", "staging", &third]).exits(0);
    assert_eq!(shop.page("staging").as_deref(), Some("hello 3\n"));
    // A rollback of what is on its way holds the environment like any other.
    shop.release("hello 4\n");
    assert!(killed(shop.command(&["promote", "staging"]), shop.outside.path(), 4, "after"));
    let said = shop.shipway(&["rollback", "staging", "--reason", "x"]).exits(0).stderr;
    // What was asked for is no error.
    assert!(said.contains("\nstaging: rolled back, ") && said.ends_with(" serves: x\n") && !said.contains("error"), "{said}");
    assert_eq!(shop.page("staging").as_deref(), Some("hello 3\n"));
    assert!(shop.shipway(&["promote", "staging"]).exits(75).stderr.contains("paused by"));
}

#[test]
fn without_anything_to_go_back_to_a_rollback_says_so() {
    let shop = Shop::new();
    shop.release("hello 1\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    let said = shop.shipway(&["rollback", "staging", "--reason", "x"]).exits(1);
    assert!(said.stderr.contains("there is nothing to go back to"), "{}", said.stderr);
    assert!(shop.shipway(&["abort", "staging", "--reason", "x"]).exits(0).stderr.contains("nothing is on its way"));
}

#[test]
fn what_was_tampered_with_is_not_deployed() {
    let shop = Shop::new();
    shop.release("hello 1\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    let second = shop.release("hello 2\n");
    let shown = shop.shipway(&["release", "show", &second, "--format", "json"]).exits(0).stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let digest = shown["manifest"]["artifacts"][0]["digest"].as_str().unwrap();
    let blob = shop.outside.path().join("shipway/releases/cas").join(&digest[..2]).join(digest);
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, "hello 3\n").unwrap();
    let said = shop.shipway(&["promote", "staging"]).exits(4);
    assert!(said.stderr.contains("tampered with"), "{}", said.stderr);
    assert_eq!(shop.page("staging").as_deref(), Some("hello 1\n"));
}

/// Kills a promotion at each change of the ledger, before and after it, then acts.
#[track_caller]
fn at_each_boundary(page: &str, act: &[&str], is_right: impl Fn(&Shop, &(Option<String>, Vec<String>, Value)) -> bool) {
    let kills = at_each_change(|at, when| {
        let shop = Shop::new();
        shop.release("hello 1\n");
        shop.shipway(&["promote", "staging"]).exits(0);
        shop.release(page);
        if !killed(shop.command(&["promote", "staging"]), shop.outside.path(), at, when) {
            return false;
        }
        let said = shop.shipway(act);
        let picture = shop.picture("staging");
        assert!(is_right(&shop, &picture), "{when} change {at}, then {act:?}: {picture:?}\n{}", said.stderr);
        true
    });
    assert!(kills >= 12, "{kills} kills");
}

#[test]
fn a_killed_promotion_goes_on_to_the_same_end() {
    let shop = Shop::new();
    shop.release("hello 1\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    shop.release("hello 2\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    let expected = shop.picture("staging");
    at_each_boundary("hello 2\n", &["promote", "staging"], |_, picture| {
        (&picture.0, picture.1.len(), &picture.2["verified"], &picture.2["ongoing"])
            == (&expected.0, expected.1.len(), &expected.2["verified"], &expected.2["ongoing"])
    });
}

#[test]
fn a_signal_between_two_phases_is_heard() {
    // The changes of a promotion after its beginning; once the last phase has begun it comes to its end.
    for at in 2..=9 {
        let shop = Shop::new();
        shop.release("hello 1\n");
        let output = signalled(shop.command(&["promote", "staging"]), shop.outside.path(), at, "after", 2);
        let is_over = shop.status("staging")["ongoing"].is_null();
        let expected = if is_over { 0 } else { 130 };
        assert_eq!(output.status.code(), Some(expected), "{at}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(is_over, at >= 8, "{at}: {}", shop.shipway(&["log"]).stdout);
        shop.shipway(&["promote", "staging"]).exits(0);
        assert_eq!(shop.page("staging").as_deref(), Some("hello 1\n"));
    }
}

#[test]
fn a_killed_promotion_can_be_aborted_from_everywhere() {
    at_each_boundary("hello 2\n", &["abort", "staging", "--reason", "stop"], |shop, picture| {
        // Where the end was written already there is nothing to abort.
        let page = picture.0.as_deref();
        let is_over = shop.shipway(&["log", "staging"]).stdout.lines().next().is_some_and(|line| line.ends_with("staging: verified"));
        let is_old = page == Some("hello 1\n");
        picture.2["ongoing"].is_null() && picture.2["verified"] == true && (is_old || (is_over && page == Some("hello 2\n")))
    });
}

#[test]
fn a_killed_rollback_goes_on_to_the_same_end() {
    at_each_boundary("bye\n", &["promote", "staging"], |_, picture| {
        picture.0.as_deref() == Some("hello 1\n") && picture.2["ongoing"].is_null() && picture.2["verified"] == true
    });
}

/// Reads through `current` while it is switched; returns how many reads there were, and how many failed.
fn read_while(current: &std::path::Path, switch: impl FnOnce()) -> (usize, usize) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut reads, mut failed) = (0, 0);
            while !is_over.load(Ordering::Relaxed) || reads < 100_000 {
                reads += 1;
                failed += usize::from(fs::read(current.join("page.html")).is_err());
            }
            (reads, failed)
        });
        switch();
        is_over.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    })
}

#[test]
fn no_reader_finds_a_site_missing_while_it_is_switched() {
    let shop = Shop::new();
    shop.release("hello 1\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    let second = shop.release("hello 2\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    let current = shop.site("staging").join("current");
    let switches = if std::env::var("SHIPWAY_SCALE").is_ok_and(|scale| scale == "full") { 100 } else { 5 };
    let (reads, failed) = read_while(&current, || {
        for _ in 0..switches {
            shop.shipway(&["rollback", "staging", "--reason", "x"]).exits(0);
            shop.shipway(&["promote", "staging", &second]).exits(0);
        }
    });
    assert!(reads >= 100_000);
    assert_eq!(failed, 0, "of {reads} reads");
    // The control: a link that is removed and made again.
    let versions: Vec<PathBuf> = fs::read_dir(shop.site("staging").join("versions")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let (_, failed) = read_while(&current, || {
        for version in versions.iter().cycle().take(2_000) {
            fs::remove_file(&current).unwrap();
            symlink(version, &current).unwrap();
        }
    });
    assert!(failed > 0, "the test would not see a gap");
}

#[test]
fn the_record_tells_how_well_delivery_goes() {
    let shop = Shop::new();
    let metrics = |words: &[&str]| -> Value {
        let said = shop.shipway(&[&["metrics", "--format", "json"], words].concat()).exits(0);
        serde_json::from_str(&said.stdout).unwrap()
    };
    assert_eq!((&metrics(&[])["deployments"], &metrics(&[])["change_fail_rate"]), (&Value::from(0), &Value::Null));
    for page in ["hello 1\n", "hello 2\n", "hello 3\n"] {
        shop.release(page);
        shop.shipway(&["promote", "staging"]).exits(0);
        shop.shipway(&["promote", "production"]).exits(0);
    }
    shop.shipway(&["rollback", "production", "--reason", "slow"]).exits(0);
    let last = shop.release("hello 4\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    shop.shipway(&["promote", "production", &last]).exits(0);
    // Of four deployments one was taken back, and the one after it mended that.
    let measured = metrics(&[]);
    assert_eq!(measured["environments"], serde_json::json!(["production"]));
    assert_eq!((&measured["deployments"], &measured["change_fail_rate"]), (&Value::from(4), &Value::from(0.25)));
    assert_eq!(measured["rework_rate"], 0.25);
    assert!(measured["recovery_seconds"].is_i64() && measured["lead_time_seconds"].is_i64(), "{measured}");
    assert_eq!(metrics(&["--since", "1ms"])["deployments"], 0);
    for since in ["30d", "2w"] {
        assert_eq!(metrics(&["--since", since])["deployments"], 4, "{since}");
    }
    let said = shop.shipway(&["metrics", "--since", "30 days"]).exits(2).stderr;
    assert!(said.contains("a duration is a number and a unit: 300ms, 30s, 10m, 2h, 7d or 2w"), "{said}");
    let said = shop.shipway(&["metrics"]).exits(0).stdout;
    assert!(said.contains("change fail rate       25 %"), "{said}");
}

#[test]
fn an_audit_finds_what_was_changed_behind_our_back() {
    let shop = Shop::new();
    let first = shop.release("hello 1\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    let said = shop.shipway(&["audit"]).exits(0).stdout;
    assert!(said.starts_with("looked at "), "{said}");
    let shown = shop.shipway(&["release", "show", &first, "--format", "json"]).exits(0).stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let digest = shown["manifest"]["artifacts"][0]["digest"].as_str().unwrap();
    let blob = shop.outside.path().join("shipway/releases/cas").join(&digest[..2]).join(digest);
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, "hello 2\n").unwrap();
    let audit = shop.shipway(&["audit", "--format", "json"]).exits(1).stdout;
    let audit: Value = serde_json::from_str(&audit).unwrap();
    assert!(audit["troubles"][0].as_str().unwrap().contains("tampered with"), "{audit}");
    // A commit of the record itself.
    let last = Command::new("git").args(["rev-parse", "refs/shipway/ledger"]).current_dir(shop.project.path()).output().unwrap();
    let last = String::from_utf8(last.stdout).unwrap();
    let object = shop.project.join(&format!(".git/objects/{}/{}", &last[..2], last[2..].trim()));
    fs::set_permissions(&object, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&object, "broken").unwrap();
    shop.shipway(&["audit"]).exits(3);
}

#[test]
fn what_was_moved_by_hand_is_seen_and_kept_unless_that_is_accepted() {
    let shop = Shop::new();
    shop.shipway(&["status", "--drift"]).exits(0);
    let first = shop.release("hello 1\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    let second = shop.release("hello 2\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    let drift = |code: i32| -> Value {
        let said = shop.shipway(&["status", "staging", "--drift", "--format", "json"]).exits(code);
        serde_json::from_str::<Value>(&said.stdout).unwrap()["environments"][0]["drift"].clone()
    };
    assert_eq!(drift(0), serde_json::json!({ "verdict": "in-sync" }));
    let asked = shop.shipway(&["status", "--drift"]).exits(0).stdout;
    assert_eq!(asked.matches("; in sync\n").count(), 2, "{asked}");
    assert_eq!(shop.status("staging").get("drift"), None, "only where it is asked for");
    let current = shop.site("staging").join("current");
    let lead_to = |release: &str| {
        fs::remove_file(&current).unwrap();
        symlink(format!("versions/{release}"), &current).unwrap();
    };
    lead_to(&first);
    // It is seen without being asked, and then nobody calls it verified.
    let text = shop.shipway(&["status", "staging"]).exits(0).stdout;
    assert!(text.contains(", by the record; drifted (expected `") && !text.contains("verified"), "{text}");
    let status = shop.status("staging");
    assert_eq!((&status["verified"], &status["drift"]["verdict"]), (&Value::Bool(false), &Value::from("drifted")));
    let text = shop.shipway(&["status", "--drift"]).exits(1).stdout;
    let words = [format!("({})", &second[..12]), format!("({})", &first[..12])];
    assert!(text.contains("drifted (expected `") && words.iter().all(|word| text.contains(word)), "{text}");
    assert_eq!(drift(1)["verdict"], "drifted");
    let plan = shop.shipway(&["plan", "staging"]).exits(0).stdout;
    assert!(plan.contains("drift    drifted (expected `") && plan.contains("not without --accept-drift\n"), "{plan}");
    // Neither the same nor another one takes its place by mistake.
    for release in [Some(second.as_str()), None, Some(first.as_str())] {
        let words: Vec<&str> = ["promote", "staging"].into_iter().chain(release).collect();
        let said = shop.shipway(&words).exits(1).stderr;
        assert!(said.contains("staging: drifted (expected `") && said.contains("--accept-drift"), "{said}");
        assert_eq!(shop.page("staging").as_deref(), Some("hello 1\n"));
    }
    shop.shipway(&["promote", "staging", "--accept-drift"]).exits(0);
    assert_eq!(shop.page("staging").as_deref(), Some("hello 2\n"));
    assert_eq!(drift(0)["verdict"], "in-sync");
    let log = shop.shipway(&["log", "staging", "--format", "json"]).exits(0).stdout;
    let accepted = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|entry| entry["entry"] == "started").unwrap();
    assert!(accepted["accepted-drift"].as_str().unwrap().contains(&first[..12]), "{accepted}");
    assert!(shop.shipway(&["log"]).exits(0).stdout.contains(&format!("({}) served there\n", &first[..12])));
    // What serves where nothing should was brought there by somebody else, and what was taken away is not there.
    fs::create_dir_all(shop.site("production")).unwrap();
    symlink("mine", shop.site("production").join("current")).unwrap();
    let said = shop.shipway(&["promote", "production"]).exits(1).stderr;
    assert!(said.contains("production: drifted (expected nothing, seen `mine`)"), "{said}");
    fs::remove_file(&current).unwrap();
    assert_eq!(drift(1)["seen"], "nothing");
}

#[test]
fn an_incident_is_linked_to_the_deployment_that_serves() {
    let shop = Shop::new();
    let none = shop.shipway(&["incident", "open", "staging", "--reason", "x"]).exits(1).stderr;
    assert!(none.contains("nothing serves in `staging`") && none.contains("--deployment ID"), "{none}");
    for page in ["hello 1\n", "hello 2\n"] {
        shop.release(page);
        shop.shipway(&["promote", "staging"]).exits(0);
        shop.shipway(&["promote", "production"]).exits(0);
    }
    let entries = || -> Vec<Value> {
        let log = shop.shipway(&["log", "production", "--format", "json"]).exits(0).stdout;
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let id = shop.shipway(&["incident", "open", "production", "--reason", "carts are empty"]).exits(0).stdout;
    let id = id.trim();
    assert_eq!(id.len(), 12, "{id}");
    let status = shop.status("production");
    let open = &status["incidents"][0];
    assert!(open["id"].as_str().unwrap().starts_with(id) && open["reason"] == "carts are empty", "{status}");
    let text = shop.shipway(&["status"]).exits(0).stdout;
    assert!(text.contains(&format!("; incident {id} since ")) && text.contains(": carts are empty\n"), "{text}");
    assert!(shop.shipway(&["log"]).exits(0).stdout.contains("production: incident by deployment "));
    // By its entry in the log, another one: the first, which had come to an end.
    let first = entries().into_iter().rfind(|entry| entry["entry"] == "started").unwrap();
    let commit = &first["commit_of_entry"].as_str().unwrap()[..12];
    let other = shop.shipway(&["incident", "open", "production", "--deployment", commit, "--reason", "y"]).exits(0).stdout;
    assert_ne!(open["deployment"], shop.status("production")["incidents"][1]["deployment"]);
    let metrics = || -> Value { serde_json::from_str(&shop.shipway(&["metrics", "--format", "json"]).exits(0).stdout).unwrap() };
    assert_eq!((&metrics()["change_fail_rate"], &metrics()["recovery_seconds"]), (&Value::from(1.0), &Value::Null));
    for id in [id, other.trim()] {
        let said = shop.shipway(&["incident", "close", id, "--reason", "mended"]).exits(0).stderr;
        assert!(said.contains(&format!("incident {id} closed: ")), "{said}");
    }
    assert_eq!(shop.status("production")["incidents"], serde_json::json!([]));
    assert!(metrics()["recovery_seconds"].is_i64());
    let before = entries().len();
    let again = shop.shipway(&["incident", "close", id, "--reason", "mended"]).exits(0).stderr;
    assert!(again.contains("already closed") && entries().len() == before, "{again}");
    let unknown = shop.shipway(&["incident", "close", "abcdef", "--reason", "x"]).exits(2).stderr;
    assert!(unknown.contains("there is no incident `abcdef`"), "{unknown}");
    // After a rollback it is about the one that brought what serves again.
    shop.shipway(&["rollback", "production", "--reason", "x"]).exits(0);
    shop.shipway(&["incident", "open", "production", "--reason", "z"]).exits(0);
    let started = entries().into_iter().filter(|entry| entry["entry"] == "started").count();
    assert_eq!(started, 3);
    let opened = entries().into_iter().filter(|entry| entry["entry"] == "incident-opened").map(|entry| entry["deployment"].clone());
    let opened: Vec<Value> = opened.collect();
    assert_eq!(opened[0], opened[1], "the first deployment again");
}

#[test]
fn what_is_refused_in_one_environment_keeps_no_other_from_what_is_due() {
    let shop = Shop::new();
    let file = shop.project.read("pipeline.toml");
    let file = file.replace("[environments.staging]\n", "[environments.staging]\npromote = \"auto\"\ngates = [\"exit 1\"]\n");
    shop.project.write("pipeline.toml", file.replace("from = [\"staging\"]\n", "promote = \"auto\"\n"));
    shop.project.write("page.txt", "hello 1\n");
    shop.commit("hello 1");
    shop.shipway(&["release"]).exits(1);
    assert_eq!((shop.page("staging"), shop.page("production").as_deref()), (None, Some("hello 1\n")));
    shop.shipway(&["settle"]).exits(1);
}

#[test]
fn no_rollback_leads_behind_what_cannot_be_undone() {
    let shop = Shop::new();
    let file = shop.project.read("pipeline.toml");
    let first = shop.release("hello 1\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    shop.project.write("pipeline.toml", file.replace("[release]\n", "[release]\nirreversible = true\n"));
    shop.release("hello 2\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    shop.project.write("pipeline.toml", file);
    shop.release("hello 3\n");
    shop.shipway(&["promote", "staging"]).exits(0);
    let said = shop.shipway(&["rollback", "staging", "--to", &first, "--reason", "x"]).exits(1).stderr;
    assert!(said.contains(" is irreversible, so no rollback leads behind it"), "{said}");
    assert_eq!(shop.page("staging").as_deref(), Some("hello 3\n"));
    shop.shipway(&["rollback", "staging", "--reason", "x"]).exits(0);
    assert_eq!(shop.page("staging").as_deref(), Some("hello 2\n"));
}
