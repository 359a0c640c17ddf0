//! Several clones share one ledger by a ref of their remote: one of them moves a release, all know, and none waits for ever.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::project::{Project, Said, finish, git, said, start, until};

/// A site of one page; a release of it works where its page says hello. Whoever verifies waits at the gate.
const SITE: &str = r#"
[stages.build]
steps = ["cp page.txt page.html"]
inputs = ["page.txt"]
outputs = ["page.html"]
[delivery]
share = "git"
store = "OUTSIDE/releases"
[release]
artifacts = ["page.html"]
[environments.staging]
target = "staging"
verify = ["touch $XDG_GATE/come; until [ -e $XDG_GATE/open ]; do sleep 0.02; done; grep -q hello $SHIPWAY_DIR/page.html"]
[environments.production]
from = ["staging"]
target = "production"
approve = { signers = "allowed_signers", not-author = true }
[targets.staging]
kind = "directory"
path = "OUTSIDE/staging"
[targets.production]
kind = "directory"
path = "OUTSIDE/production"
"#;

/// A bare repository, and what the clones of it share beside it.
struct Team {
    outside: tempfile::TempDir,
}

/// One clone, and who works there.
struct Member {
    project: Project,
    outside: PathBuf,
}

impl Team {
    fn new() -> Self {
        let team = Self { outside: tempfile::tempdir().unwrap() };
        let outside = team.outside.path();
        fs::create_dir(outside.join("gate")).unwrap();
        git(outside, &["init", "-q", "--bare", "far"]);
        let first = Project::new(&SITE.replace("OUTSIDE", &outside.to_string_lossy()));
        first.write(".gitignore", "/page.html\n").write("page.txt", "none\n").write("allowed_signers", team.key("bob"));
        for words in [
            &["init", "-q"][..],
            &["add", "-A"],
            &["commit", "-qm", "first"],
            &["push", "-q", &outside.join("far").to_string_lossy(), "main"],
        ] {
            git(first.path(), words);
        }
        team.open();
        team
    }

    /// Makes a key, and returns the line with which its owner may sign.
    fn key(&self, owner: &str) -> String {
        let file = self.outside.path().join(owner);
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", owner, "-f"]).arg(&file).status().unwrap();
        assert!(made.success());
        format!("{owner}@example.org {}", fs::read_to_string(file.with_extension("pub")).unwrap())
    }

    /// One who has made a release, and one who has cloned it since.
    fn of_two(&self) -> (Member, Member) {
        let ann = self.member("ann");
        ann.release("hello 1\n");
        git(ann.project.path(), &["push", "-q"]);
        let bob = self.member("bob");
        (ann, bob)
    }

    fn member(&self, name: &str) -> Member {
        let project = Project::empty();
        git(self.outside.path(), &["clone", "-q", "far", &project.path().to_string_lossy()]);
        git(project.path(), &["config", "user.name", name]);
        git(project.path(), &["config", "user.email", &format!("{name}@example.org")]);
        git(project.path(), &["config", "user.signingkey", &self.outside.path().join(name).to_string_lossy()]);
        Member { project, outside: self.outside.path().to_owned() }
    }

    fn far(&self) -> PathBuf {
        self.outside.path().join("far")
    }

    /// The last entry that the remote has.
    fn head(&self) -> String {
        rev(&self.far(), "refs/shipway/ledger")
    }

    fn gate(&self, name: &str) -> PathBuf {
        self.outside.path().join("gate").join(name)
    }

    /// Nobody waits at the gate any more.
    fn open(&self) {
        fs::write(self.gate("open"), "").unwrap();
    }

    fn close(&self) {
        fs::remove_file(self.gate("open")).unwrap();
        let _never = fs::remove_file(self.gate("come"));
    }

    fn until_somebody_waits(&self) {
        until("somebody waits at the gate", || self.gate("come").exists());
    }

    /// The page that an environment serves.
    fn page(&self, environment: &str) -> Option<String> {
        fs::read_to_string(self.outside.path().join(environment).join("current/page.html")).ok()
    }

    /// What the remote runs before it takes anything.
    fn hook(&self, text: &str) {
        let hook = self.far().join("hooks/pre-receive");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, text).unwrap();
        fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
}

fn rev(repository: &Path, reference: &str) -> String {
    let said = Command::new("git").args(["rev-parse", "--verify", "-q", reference]).current_dir(repository).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

impl Member {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.project.command(words);
        command.env("HOME", &self.outside).env("XDG_GATE", self.outside.join("gate"));
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        command
    }

    #[track_caller]
    fn shipway(&self, words: &[&str]) -> Said {
        said(self.command(words))
    }

    /// Makes a release of a page, which all others get; returns its id.
    #[track_caller]
    fn release(&self, page: &str) -> String {
        self.project.write("page.txt", page);
        git(self.project.path(), &["add", "-A"]);
        git(self.project.path(), &["commit", "-q", "-m", page]);
        let said = self.shipway(&["release"]).exits(0);
        said.stdout.split(' ').next().unwrap().to_owned()
    }

    #[track_caller]
    fn status(&self) -> Value {
        serde_json::from_str(&self.shipway(&["status", "--format", "json"]).exits(0).stdout).unwrap()
    }

    /// What was done, the first first, each with who did it.
    #[track_caller]
    fn log(&self) -> Vec<String> {
        let said = self.shipway(&["log", "--format", "json"]).exits(0).stdout;
        let entry = |line: &str| {
            let entry: Value = serde_json::from_str(line).unwrap();
            format!("{} {}", entry["actor"]["name"].as_str().unwrap(), entry["entry"].as_str().unwrap())
        };
        let mut log: Vec<String> = said.lines().map(entry).collect();
        log.reverse();
        log
    }

    /// Begins to promote, and waits until a step of it waits at the gate.
    fn promotes(&self, team: &Team) -> Child {
        let promote = start(self.command(&["promote", "staging"]));
        team.until_somebody_waits();
        promote
    }

    /// The remote cannot be reached from here, or can again.
    fn is_cut_off(&self, is_so: bool) {
        let far = self.outside.join(if is_so { "nowhere" } else { "far" });
        git(self.project.path(), &["remote", "set-url", "origin", &far.to_string_lossy()]);
    }

    /// Writes an entry as a clone that is gone would have, at this time.
    fn writes(&self, at: &str, entry: &Value) {
        let actor = json!({ "name": "old", "email": "old@example.org", "host": "attic", "clone": "0123456789abcdef" });
        let mut whole = json!({ "v": 1, "at": at, "actor": actor });
        whole.as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
        let (folder, head) = (self.project.path(), rev(self.project.path(), "refs/shipway/ledger"));
        let tree = Command::new("git").args(["hash-object", "-t", "tree", "-w", "/dev/null"]).current_dir(folder).output().unwrap();
        let tree = String::from_utf8(tree.stdout).unwrap().trim().to_owned();
        let message = format!("by hand\n\n{whole}");
        let words = ["-c", "user.name=old", "-c", "user.email=old@example.org", "commit-tree", "-p", &head, "-m", &message, &tree];
        let commit = Command::new("git").args(words).current_dir(folder).output().unwrap();
        let commit = String::from_utf8(commit.stdout).unwrap().trim().to_owned();
        git(folder, &["push", "-q", "origin", &format!("{commit}:refs/shipway/ledger")]);
    }

    fn started(&self, release: &str) -> Value {
        let commit = rev(self.project.path(), "HEAD");
        json!({ "entry": "started", "environment": "staging", "release": release, "commit": commit, "plan": "", "cause": "promote" })
    }
}

#[test]
fn of_eight_clones_that_race_one_promotes() {
    let team = Team::new();
    let names = ["ann", "bea", "cal", "dan", "eve", "fay", "gus", "hal"];
    let first = team.member("ann");
    first.release("hello 1\n");
    git(first.project.path(), &["push", "-q"]);
    let members: Vec<Member> = std::iter::once(first).chain(names[1..].iter().map(|name| team.member(name))).collect();
    team.close();
    let mut promotes: Vec<Option<Child>> = members.iter().map(|member| Some(start(member.command(&["promote", "staging"])))).collect();
    let mut losers = Vec::new();
    until("seven have lost", || {
        for (place, promote) in promotes.iter_mut().enumerate() {
            if promote.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some()) {
                losers.push((place, finish(promote.take().unwrap())));
            }
        }
        losers.len() >= 7
    });
    team.until_somebody_waits();
    let (winner, promote) = promotes.into_iter().enumerate().find_map(|(place, promote)| Some((place, promote?))).unwrap();
    for (place, said) in losers {
        let said = said.exits(75).stderr;
        let expected = format!("locked: held by {0} <{0}@example.org> on ", names[winner]);
        assert!(said.contains(&expected) && said.contains("shipway unlock staging"), "{}: {said}", names[place]);
    }
    let status = members[(winner + 1) % 8].status();
    assert_eq!(status["environments"][0]["ongoing"]["held"]["actor"]["name"], names[winner]);
    let text = members[winner].shipway(&["status"]).exits(0).stdout;
    assert!(text.contains(&format!("is on its way, held by {} <", names[winner])), "{text}");
    team.open();
    finish(promote).exits(0);
    let statuses: Vec<Value> = members.iter().map(Member::status).collect();
    assert!(statuses.iter().all(|status| *status == statuses[0]), "{statuses:#?}");
    assert_eq!((&statuses[0]["environments"][0]["verified"], &statuses[0]["environments"][0]["ongoing"]), (&json!(true), &Value::Null));
    assert_eq!(members[0].log().iter().filter(|entry| entry.ends_with(" started")).count(), 1);
}

#[test]
fn what_all_write_at_once_is_all_there() {
    let team = Team::new();
    let ann = team.member("ann");
    ann.release("hello 1\n");
    git(ann.project.path(), &["push", "-q"]);
    ann.shipway(&["promote", "staging"]).exits(0);
    let members: Vec<Member> = (0..8).map(|_| team.member("bob")).collect();
    let words = ["approve", "production", "--reason", "fine"];
    let approve: Vec<Child> = members.iter().map(|member| start(member.command(&words))).collect();
    approve.into_iter().for_each(|child| drop(finish(child).exits(0)));
    assert_eq!(ann.log().iter().filter(|entry| *entry == "bob approved").count(), 8);
    ann.shipway(&["audit"]).exits(0);
}

#[test]
fn one_releases_another_approves_a_third_promotes() {
    let team = Team::new();
    let ann = team.member("ann");
    ann.release("hello 1\n");
    git(ann.project.path(), &["push", "-q"]);
    let (bob, cal) = (team.member("bob"), team.member("cal"));
    // Hooks are for what people push.
    cal.project.script(".git/hooks/pre-push", "#!/bin/sh\nexit 1\n");
    cal.shipway(&["promote", "staging"]).exits(0);
    assert!(cal.shipway(&["promote", "production"]).exits(75).stderr.contains("0 of 1 approval given"));
    bob.shipway(&["approve", "production", "--reason", "fine"]).exits(0);
    cal.shipway(&["promote", "production"]).exits(0);
    assert_eq!(team.page("production").as_deref(), Some("hello 1\n"));
    assert_eq!(ann.status(), bob.status());
    let log = ann.log();
    assert_eq!((log.first().map(String::as_str), log.last().map(String::as_str)), (Some("ann released"), Some("cal ended")));
    assert!(log.contains(&"bob approved".to_owned()), "{log:?}");
    ann.shipway(&["audit"]).exits(0);
}

#[test]
fn what_is_written_while_nobody_can_be_reached_is_published_behind_the_others() {
    let team = Team::new();
    let ann = team.member("ann");
    for page in ["hello 1\n", "hello 2\n"] {
        ann.release(page);
        ann.shipway(&["promote", "staging"]).exits(0);
    }
    let bob = team.member("bob");
    ann.is_cut_off(true);
    bob.shipway(&["pause", "production", "--reason", "holidays"]).exits(0);
    // What must be shared waits.
    ann.project.write("page.txt", "hello 3\n");
    git(ann.project.path(), &["commit", "-qam", "hello 3"]);
    let said = ann.shipway(&["release"]).exits(0).stderr;
    assert!(said.contains("the shared ledger cannot be reached: ") && said.contains("is published later"), "{said}");
    let said = ann.shipway(&["promote", "staging"]).exits(75).stderr;
    assert!(said.contains("waits: the shared ledger cannot be reached: "), "{said}");
    assert_eq!(team.page("staging").as_deref(), Some("hello 2\n"));
    assert!(ann.shipway(&["unlock", "staging", "--reason", "x"]).exits(75).stderr.contains("cannot be reached"));
    // What takes back does not.
    ann.shipway(&["rollback", "staging", "--reason", "slow"]).exits(0);
    assert_eq!(team.page("staging").as_deref(), Some("hello 1\n"));
    for look in [&["status"][..], &["log"], &["audit"], &["metrics"], &["plan", "staging"], &["release", "list"]] {
        assert!(ann.shipway(look).exits(0).stderr.contains("warning: the shared ledger cannot be reached: "), "{look:?}");
    }
    let head = team.head();
    ann.is_cut_off(false);
    // Whoever comes next publishes it, also one who only looks.
    assert!(!ann.shipway(&["status"]).exits(0).stderr.contains("warning"));
    assert_ne!(team.head(), head);
    assert_eq!((ann.status(), ann.log()), (bob.status(), bob.log()));
    let log = bob.log();
    let place = |what: &str| log.iter().rposition(|entry| entry == what).unwrap_or_else(|| panic!("{what} in {log:?}"));
    assert!(place("bob paused") < place("ann released") && place("ann released") < place("ann paused"), "{log:?}");
    assert_eq!((log.last().map(String::as_str), bob.status()["environments"][0]["ongoing"].is_null()), (Some("ann ended"), true));
    for member in [&ann, &bob] {
        member.shipway(&["audit"]).exits(0);
    }
    bob.shipway(&["resume", "staging", "--reason", "mended"]).exits(0);
    git(ann.project.path(), &["push", "-q"]);
    git(bob.project.path(), &["pull", "-q"]);
    bob.shipway(&["promote", "staging"]).exits(0);
    assert_eq!(team.page("staging").as_deref(), Some("hello 3\n"));
}

#[test]
fn without_its_remote_a_promotion_waits_and_an_abort_does_not() {
    let team = Team::new();
    let ann = team.member("ann");
    ann.release("hello 1\n");
    ann.shipway(&["promote", "staging"]).exits(0);
    ann.release("hello 2\n");
    team.close();
    let promote = ann.promotes(&team);
    fs::rename(team.far(), team.outside.path().join("aside")).unwrap();
    team.open();
    let said = finish(promote).exits(75).stderr;
    assert!(said.contains("waits: the shared ledger cannot be reached: "), "{said}");
    ann.shipway(&["promote", "staging"]).exits(75);
    ann.shipway(&["abort", "staging", "--reason", "no time"]).exits(0);
    assert_eq!(team.page("staging").as_deref(), Some("hello 1\n"));
    fs::rename(team.outside.path().join("aside"), team.far()).unwrap();
    ann.shipway(&["settle"]).exits(0);
    let bob = team.member("bob");
    let status = bob.status();
    assert_eq!((&status["environments"][0]["ongoing"], &status["environments"][0]["verified"]), (&Value::Null, &json!(true)));
    assert_eq!((status, bob.log().last().map(String::as_str)), (ann.status(), Some("ann ended")));
}

#[test]
fn a_ledger_that_was_replaced_is_refused() {
    let team = Team::new();
    let (ann, bob) = (team.member("ann"), team.member("bob"));
    ann.release("hello 1\n");
    ann.shipway(&["pause", "production", "--reason", "x"]).exits(0);
    bob.shipway(&["status"]).exits(0);
    let head = team.head();
    let far = team.far();
    let tree = Command::new("git").args(["hash-object", "-t", "tree", "-w", "/dev/null"]).current_dir(&far).output().unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    let who = ["-c", "user.name=x", "-c", "user.email=x@y"];
    let orphan = Command::new("git").args(who).args(["commit-tree", "-m", "x", tree.trim()]).current_dir(&far).output().unwrap();
    let orphan = String::from_utf8(orphan.stdout).unwrap().trim().to_owned();
    for to in [&rev(&far, "refs/shipway/ledger~1"), &orphan] {
        git(&far, &["update-ref", "refs/shipway/ledger", to]);
        for member in [&ann, &bob] {
            let said = member.shipway(&["promote", "staging"]).exits(3).stderr;
            let expected = format!("the shared ledger was replaced: `origin` had {head}, and now has {to}");
            assert!(said.contains(&expected), "{said}");
        }
        assert_eq!(team.page("staging"), None);
        assert_eq!(team.head(), *to, "nothing is mended behind anybody's back");
    }
    git(&far, &["update-ref", "-d", "refs/shipway/ledger"]);
    assert!(ann.shipway(&["promote", "staging"]).exits(3).stderr.contains("and now has none"));
    // As the help says.
    git(bob.project.path(), &["push", "-q", "--force", "origin", &format!("{head}:refs/shipway/ledger")]);
    // The ledger here, too.
    git(ann.project.path(), &["update-ref", "refs/shipway/ledger", &rev(&far, "refs/shipway/ledger~1")]);
    let said = ann.shipway(&["promote", "staging"]).exits(3).stderr;
    assert!(said.contains(&format!("the ledger here was replaced: it has lost {head}")), "{said}");
    git(ann.project.path(), &["update-ref", "refs/shipway/ledger", &head]);
    ann.shipway(&["promote", "staging"]).exits(0);
    assert_eq!(team.page("staging").as_deref(), Some("hello 1\n"));
}

#[test]
fn what_a_killed_clone_holds_is_unlocked() {
    let team = Team::new();
    let (ann, bob) = team.of_two();
    assert!(bob.shipway(&["unlock", "staging", "--reason", "x"]).exits(0).stderr.contains("nothing is held there"));
    team.close();
    let mut promote = ann.promotes(&team);
    promote.kill().unwrap();
    promote.wait().unwrap();
    for words in [&["promote", "staging"][..], &["settle", "staging"]] {
        let said = bob.shipway(words).exits(75).stderr;
        assert!(said.contains("staging: locked: held by ann <ann@example.org> on "), "{said}");
    }
    let said = bob.shipway(&["unlock", "staging", "--reason", "the laptop is gone"]).exits(0).stderr;
    assert!(said.contains("staging: unlocked; it was held by ann <"), "{said}");
    assert!(said.contains("`shipway promote staging` goes on, `shipway abort staging --reason R` goes back"), "{said}");
    team.open();
    bob.shipway(&["promote", "staging"]).exits(0);
    assert_eq!(team.page("staging").as_deref(), Some("hello 1\n"));
    let log = ann.shipway(&["log"]).exits(0).stdout;
    assert!(log.contains("staging: unlocked: the laptop is gone\n") && log.contains("bob  staging: held\n"), "{log}");
    // The same clone goes on with its own at once.
    ann.release("hello 2\n");
    team.close();
    let mut promote = ann.promotes(&team);
    promote.kill().unwrap();
    promote.wait().unwrap();
    team.open();
    ann.shipway(&["promote", "staging"]).exits(0);
    assert_eq!(ann.log().last().map(String::as_str), Some("ann ended"));
}

#[test]
fn whoever_is_interrupted_leaves_it_to_the_next_clone() {
    let team = Team::new();
    let (ann, bob) = team.of_two();
    team.close();
    let promote = ann.promotes(&team);
    kill_process(Pid::from_child(&promote), Signal::INT).unwrap();
    let said = finish(promote).exits(130).stderr;
    assert!(said.contains("staging: interrupted; `shipway promote staging` goes on"), "{said}");
    let ongoing = &bob.status()["environments"][0]["ongoing"];
    assert_eq!((ongoing.is_object(), &ongoing["held"]), (true, &Value::Null), "it is on its way, and nobody has it");
    assert!(ann.shipway(&["log"]).exits(0).stdout.contains("staging: unlocked: it was interrupted\n"));
    team.open();
    bob.shipway(&["promote", "staging"]).exits(0);
    assert_eq!(team.page("staging").as_deref(), Some("hello 1\n"));
    // Without the remote it is still interrupted, and said to the others later.
    bob.release("hello 2\n");
    team.close();
    let promote = bob.promotes(&team);
    fs::rename(team.far(), team.outside.path().join("aside")).unwrap();
    kill_process(Pid::from_child(&promote), Signal::INT).unwrap();
    finish(promote).exits(130);
    fs::rename(team.outside.path().join("aside"), team.far()).unwrap();
    team.open();
    bob.shipway(&["status"]).exits(0);
    assert_eq!(ann.status()["environments"][0]["ongoing"]["held"], Value::Null);
}

#[test]
fn whoever_lost_its_hold_stops() {
    let team = Team::new();
    let (ann, bob) = team.of_two();
    team.close();
    let promote = ann.promotes(&team);
    bob.shipway(&["unlock", "staging", "--reason", "too slow"]).exits(0);
    team.open();
    assert!(finish(promote).exits(75).stderr.contains("staging: unlocked by somebody"));
    assert_eq!(bob.log().last().map(String::as_str), Some("bob unlocked"), "nothing is said by who may not");
    bob.shipway(&["promote", "staging"]).exits(0);
    // One that another clone has taken over meanwhile.
    let cal = team.member("cal");
    bob.release("hello 2\n");
    git(bob.project.path(), &["push", "-q"]);
    git(cal.project.path(), &["pull", "-q"]);
    team.close();
    let promote = bob.promotes(&team);
    cal.shipway(&["unlock", "staging", "--reason", "too slow"]).exits(0);
    fs::remove_file(team.gate("come")).unwrap();
    let mut other = cal.promotes(&team);
    other.kill().unwrap();
    other.wait().unwrap();
    team.open();
    assert!(finish(promote).exits(75).stderr.contains("staging: locked: held by cal <"));
    cal.shipway(&["promote", "staging"]).exits(0);
    assert_eq!(team.page("staging").as_deref(), Some("hello 2\n"));
}

#[test]
fn whoever_was_overtaken_says_so() {
    let team = Team::new();
    let ann = team.member("ann");
    for page in ["hello 1\n", "hello 2\n"] {
        ann.release(page);
        ann.shipway(&["promote", "staging"]).exits(0);
    }
    ann.release("hello 3\n");
    git(ann.project.path(), &["push", "-q"]);
    let bob = team.member("bob");
    bob.shipway(&["status"]).exits(0);
    bob.is_cut_off(true);
    team.close();
    let promote = ann.promotes(&team);
    // It cannot know.
    let other = team.outside.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("open"), "").unwrap();
    let mut rollback = bob.command(&["rollback", "staging", "--reason", "slow"]);
    rollback.env("XDG_GATE", other);
    said(rollback).exits(0);
    bob.is_cut_off(false);
    bob.shipway(&["status"]).exits(0);
    team.open();
    let said = finish(promote).exits(1).stderr;
    assert!(said.contains("another deployment was begun by somebody who could not know of this one"), "{said}");
    assert_eq!(team.page("staging").as_deref(), Some("hello 1\n"));
    let status = ann.status();
    assert_eq!((&status["environments"][0]["verified"], &status["environments"][0]["ongoing"]), (&json!(true), &Value::Null));
    assert_eq!(status, bob.status());
}

#[test]
fn a_hold_ends_by_itself() {
    let team = Team::new();
    let ann = team.member("ann");
    let release = ann.release("hello 1\n");
    ann.writes(&jiff::Timestamp::now().to_string(), &ann.started(&release));
    let said = ann.shipway(&["promote", "staging"]).exits(75).stderr;
    assert!(said.contains("staging: locked: held by old <old@example.org> on attic until "), "{said}");
    assert_eq!(team.page("staging"), None);
    ann.shipway(&["unlock", "staging", "--reason", "x"]).exits(0);
    ann.shipway(&["abort", "staging", "--reason", "x"]).exits(0);
    assert_eq!(ann.status()["environments"][0]["ongoing"], Value::Null);
    ann.writes("2020-01-01T00:00:00Z", &ann.started(&release));
    ann.shipway(&["promote", "staging"]).exits(0);
    assert_eq!(team.page("staging").as_deref(), Some("hello 1\n"));
    assert!(ann.log().contains(&"ann held".to_owned()), "{:?}", ann.log());
}

#[test]
fn whoever_holds_it_goes_back_when_another_clone_aborts() {
    let team = Team::new();
    let ann = team.member("ann");
    ann.release("hello 1\n");
    ann.shipway(&["promote", "staging"]).exits(0);
    ann.release("hello 2\n");
    git(ann.project.path(), &["push", "-q"]);
    let bob = team.member("bob");
    team.close();
    let promote = ann.promotes(&team);
    let said = bob.shipway(&["abort", "staging", "--reason", "wrong day"]).exits(75).stderr;
    assert!(said.contains("told to go back") && said.contains("held by ann <"), "{said}");
    team.open();
    let said = finish(promote).exits(4).stderr;
    assert!(said.contains("rolled back") && said.contains("wrong day"), "{said}");
    assert_eq!(team.page("staging").as_deref(), Some("hello 1\n"));
    assert!(bob.shipway(&["abort", "staging", "--reason", "x"]).exits(0).stderr.contains("nothing is on its way"));
}

#[test]
fn where_nobody_can_be_told_an_abort_goes_back_by_itself() {
    let team = Team::new();
    let ann = team.member("ann");
    ann.release("hello 1\n");
    ann.shipway(&["promote", "staging"]).exits(0);
    ann.release("hello 2\n");
    git(ann.project.path(), &["push", "-q"]);
    let bob = team.member("bob");
    team.close();
    let mut promote = ann.promotes(&team);
    bob.shipway(&["status"]).exits(0);
    promote.kill().unwrap();
    promote.wait().unwrap();
    team.open();
    bob.is_cut_off(true);
    bob.shipway(&["abort", "staging", "--reason", "wrong day"]).exits(0);
    assert_eq!(team.page("staging").as_deref(), Some("hello 1\n"));
    bob.is_cut_off(false);
    bob.shipway(&["status"]).exits(0);
    let status = ann.status();
    assert_eq!((status["environments"][0]["ongoing"].is_null(), status["environments"][0]["verified"].as_bool()), (true, Some(true)));
    assert_eq!(status, bob.status());
}

#[test]
fn a_remote_that_does_not_want_is_not_one_that_is_away() {
    let team = Team::new();
    let ann = team.member("ann");
    for page in ["hello 1\n", "hello 2\n"] {
        ann.release(page);
        ann.shipway(&["promote", "staging"]).exits(0);
    }
    team.hook("#!/bin/sh\necho nothing on Fridays >&2\nexit 1\n");
    let declined = "the remote declines what is to be written to the shared ledger: pre-receive hook declined: nothing on Fridays";
    ann.project.write("page.txt", "hello 3\n");
    git(ann.project.path(), &["commit", "-qam", "hello 3"]);
    let first = ann.shipway(&["release", "list"]).exits(0).stdout.lines().last().unwrap().split(' ').next().unwrap().to_owned();
    for words in [&["pause", "staging", "--reason", "x"][..], &["release"], &["promote", "staging", &first]] {
        let said = ann.shipway(words).exits(3).stderr;
        assert!(said.contains(declined), "{words:?}: {said}");
    }
    assert_eq!(ann.status()["environments"][0]["paused"], Value::Null);
    // What takes back is not asked for.
    let said = ann.shipway(&["rollback", "staging", "--reason", "slow"]).exits(0).stderr;
    assert!(said.contains(declined), "{said}");
    assert_eq!(team.page("staging").as_deref(), Some("hello 1\n"));
    team.hook("#!/bin/sh\n");
    let bob = team.member("bob");
    ann.shipway(&["status"]).exits(0);
    assert_eq!(bob.status(), ann.status());
    assert_eq!(bob.status()["environments"][0]["paused"]["reason"], "slow");
}

#[test]
fn the_ways_to_a_remote_are_those_that_the_user_has_and_nobody_is_asked() {
    let team = Team::new();
    let ann = team.member("ann");
    let way = team.outside.path().join("ssh");
    fs::write(&way, "#!/bin/sh\necho \"$1 $GIT_TERMINAL_PROMPT\" >> \"$HOME/ways\"; shift; exec sh -c \"$*\"\n").unwrap();
    fs::set_permissions(&way, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    git(ann.project.path(), &["remote", "set-url", "origin", &format!("ssh://far.example.org{}", team.far().display())]);
    let mut pause = ann.command(&["pause", "staging", "--reason", "x"]);
    pause.env("GIT_SSH_COMMAND", way).env("GIT_SSH_VARIANT", "simple");
    let said = said(pause).exits(0).stderr;
    assert!(!said.contains("warning"), "{said}");
    let ways = fs::read_to_string(team.outside.path().join("ways")).unwrap();
    assert_eq!(ways, "far.example.org 0\n".repeat(2), "one look and one push");
    assert_eq!(team.member("bob").log(), ["ann paused"]);
}

#[test]
fn it_says_what_is_missing() {
    let team = Team::new();
    let ann = team.member("ann");
    git(ann.project.path(), &["remote", "remove", "origin"]);
    let said = ann.shipway(&["status"]).exits(3).stderr;
    assert!(said.contains("git remote add origin URL"), "{said}");
    let alone = Project::new(
        "[environments.e]\ntarget = \"t\"\n[targets.t]\nkind = \"directory\"\npath = \"../t\"\n[stages.s]\nsteps = [\"true\"]\n",
    );
    git(alone.path(), &["init", "-q"]);
    let said = alone.shipway(["unlock", "e", "--reason", "x"]).exits(0).stderr;
    assert!(said.contains("the lock of this repository ends with its process"), "{said}");
}

/// A git that kills whoever calls it at the `KILL_AT`th change of a ref here or there, before or after it.
const KILLER: &str = r#"#!/bin/sh
case " $* " in *" update-ref "*|*" push "*)
  n=$(($(cat "$COUNT" 2>/dev/null || echo 0) + 1)); echo $n > "$COUNT"
  if [ "$n" = "$KILL_AT" ]; then
    [ "$KILL" = before ] || REAL "$@" >/dev/null 2>&1
    kill -9 $PPID; exit 1
  fi;;
esac
exec REAL "$@"
"#;

impl Member {
    /// Runs, and is killed at this change of a ref; tells whether it was.
    fn killed(&self, words: &[&str], at: usize, when: &str) -> bool {
        let real = Command::new("sh").args(["-c", "command -v git"]).output().unwrap();
        let bin = self.outside.join("bin");
        fs::create_dir_all(&bin).unwrap();
        let shim = bin.join("git");
        fs::write(&shim, KILLER.replace("REAL", String::from_utf8(real.stdout).unwrap().trim())).unwrap();
        fs::set_permissions(&shim, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let count = self.outside.join("count");
        let _none = fs::remove_file(&count);
        let mut command = self.command(words);
        let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap()))).unwrap();
        command.env("PATH", path).env("COUNT", count).env("KILL_AT", at.to_string()).env("KILL", when);
        std::os::unix::process::ExitStatusExt::signal(&command.output().unwrap().status) == Some(9)
    }
}

/// Kills what writes again and adds at each change of a ref, before or after it; the next command mends it.
#[track_caller]
fn at_each_change(when: &str) {
    let mut kills = 0;
    for at in 1.. {
        let team = Team::new();
        let (ann, bob) = (team.member("ann"), team.member("bob"));
        ann.shipway(&["pause", "staging", "--reason", "1"]).exits(0);
        bob.shipway(&["status"]).exits(0);
        ann.is_cut_off(true);
        ann.shipway(&["resume", "staging", "--reason", "2"]).exits(0);
        ann.shipway(&["pause", "staging", "--reason", "3"]).exits(0);
        bob.shipway(&["pause", "production", "--reason", "4"]).exits(0);
        ann.is_cut_off(false);
        // Its own two go behind the other's one, and then a third one is added.
        if !ann.killed(&["resume", "staging", "--reason", "5"], at, when) {
            break;
        }
        kills += 1;
        ann.shipway(&["resume", "staging", "--reason", "5"]).exits(0);
        let expected = ["ann paused", "bob paused", "ann resumed", "ann paused", "ann resumed"];
        assert_eq!(bob.log(), expected, "killed {when} change {at}");
        assert_eq!(ann.log(), expected, "killed {when} change {at}");
        assert_eq!(rev(ann.project.path(), "refs/shipway/ledger"), team.head(), "killed {when} change {at}");
        ann.shipway(&["audit"]).exits(0);
    }
    assert!(kills >= 6, "{kills} kills");
}

#[test]
fn killed_before_any_change_of_a_ref_the_next_one_mends_it() {
    at_each_change("before");
}

#[test]
fn killed_after_any_change_of_a_ref_the_next_one_mends_it() {
    at_each_change("after");
}

#[test]
fn another_clone_goes_on_from_wherever_one_was_killed() {
    // Each change of a ref by a promotion; a part of them, unless all is asked for.
    let is_whole = std::env::var("SHIPWAY_SCALE").is_ok_and(|scale| scale == "full");
    let mut kills = 0;
    for when in ["before", "after"] {
        for at in (1..).step_by(if is_whole { 1 } else { 9 }) {
            let team = Team::new();
            let ann = team.member("ann");
            ann.release("hello 1\n");
            ann.shipway(&["promote", "staging"]).exits(0);
            ann.release("hello 2\n");
            git(ann.project.path(), &["push", "-q"]);
            let bob = team.member("bob");
            if !ann.killed(&["promote", "staging"], at, when) {
                break;
            }
            kills += 1;
            bob.shipway(&["unlock", "staging", "--reason", "it was killed"]).exits(0);
            bob.shipway(&["promote", "staging"]).exits(0);
            assert_eq!(team.page("staging").as_deref(), Some("hello 2\n"), "killed {when} change {at}");
            let status = ann.status();
            let place = &status["environments"][0];
            assert_eq!((&place["verified"], &place["ongoing"]), (&json!(true), &Value::Null), "killed {when} change {at}");
            assert_eq!((&status, ann.log()), (&bob.status(), bob.log()), "killed {when} change {at}");
        }
    }
    assert!(kills >= if is_whole { 40 } else { 5 }, "{kills} kills");
}

#[test]
fn a_rollout_that_waits_is_left_to_whoever_comes_next() {
    let team = Team::new();
    let ann = team.member("ann");
    let rollout = r#"
[environments.canary]
target = "web"
rollout = [50, 100]
pause = "manual"
[targets.web]
kind = "command"
start = "true"
shift = "true"
slots = { blue = {}, green = {} }
"#;
    ann.project.write("pipeline.toml", ann.project.read("pipeline.toml") + rollout);
    ann.release("hello 1\n");
    ann.shipway(&["promote", "canary"]).exits(0);
    ann.release("hello 2\n");
    git(ann.project.path(), &["push", "-q"]);
    ann.shipway(&["promote", "canary"]).exits(75);
    let bob = team.member("bob");
    let entries = bob.log();
    assert_eq!(entries.last().map(String::as_str), Some("ann unlocked"));
    assert!(bob.shipway(&["promote", "canary"]).exits(75).stderr.contains("waits for somebody who says to go on"));
    assert_eq!(bob.log(), entries, "who only asks takes nothing");
    bob.shipway(&["resume", "canary", "--reason", "fine"]).exits(0);
    bob.shipway(&["promote", "canary"]).exits(0);
    assert_eq!(ann.log()[entries.len()..entries.len() + 2], ["bob resumed", "bob held"]);
    assert!(ann.shipway(&["promote", "canary"]).exits(0).stderr.contains("serves there already"));
}
