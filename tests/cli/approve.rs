//! What has to hold before a release comes in: people, commands, windows, and what was verified before.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::project::{Project, Said, git, said};

const FILE: &str = r#"
[stages.build]
steps = ["cp page.txt page.html"]
inputs = ["page.txt"]
outputs = ["page.html"]
[release]
artifacts = ["page.html"]
[environments.production]
target = "site"
RULES
[targets.site]
kind = "directory"
path = "SITE"
"#;

pub(crate) struct Shop {
    pub(crate) project: Project,
    pub(crate) outside: tempfile::TempDir,
}

impl Shop {
    pub(crate) fn new(rules: &str) -> Self {
        let outside = tempfile::tempdir().unwrap();
        let site = outside.path().join("site");
        let project = Project::new(&FILE.replace("SITE", &site.to_string_lossy()).replace("RULES", rules));
        project.write(".gitignore", "/page.html\n").write("page.txt", "hello\n");
        let shop = Self { project, outside };
        git(shop.project.path(), &["init", "-q"]);
        git(shop.project.path(), &["config", "user.name", "Ann"]);
        git(shop.project.path(), &["config", "user.email", "ann@example.org"]);
        shop
    }

    /// Makes a key, and returns the line with which its owner may sign.
    pub(crate) fn key(&self, owner: &str) -> String {
        let file = self.key_file(owner);
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", owner, "-f"]).arg(&file).status().unwrap();
        assert!(made.success());
        let public = fs::read_to_string(file.with_extension("pub")).unwrap();
        format!("{owner} {public}")
    }

    pub(crate) fn key_file(&self, owner: &str) -> PathBuf {
        self.outside.path().join(owner.split('@').next().unwrap())
    }

    pub(crate) fn signs_as(&self, owner: &str) {
        git(self.project.path(), &["config", "user.signingkey", &self.key_file(owner).to_string_lossy()]);
        git(self.project.path(), &["config", "user.email", owner]);
    }

    pub(crate) fn commit(&self) {
        git(self.project.path(), &["add", "-A"]);
        git(self.project.path(), &["-c", "user.email=ann@example.org", "commit", "-q", "-m", "x", "--allow-empty"]);
    }

    #[track_caller]
    pub(crate) fn shipway(&self, words: &[&str]) -> Said {
        said(self.command(words))
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.project.command(words);
        command.env("XDG_DATA_HOME", self.outside.path()).env("HOME", self.outside.path());
        command
    }

    /// Promotes, which must end with this code; returns what is said.
    #[track_caller]
    pub(crate) fn promote(&self, code: i32) -> String {
        self.shipway(&["promote", "production"]).exits(code).stderr
    }

    pub(crate) fn serves(&self) -> bool {
        self.outside.path().join("site/current/page.html").exists()
    }
}

const APPROVE: &str = r#"approve = { signers = "allowed_signers", count = 1, not-author = true, expires = "24h" }"#;

#[test]
fn what_is_approved_comes_in_and_nothing_else() {
    let shop = Shop::new(APPROVE);
    let (ann, bob, _eve) = (shop.key("ann@example.org"), shop.key("bob@example.org"), shop.key("eve@example.org"));
    shop.project.write("allowed_signers", format!("{ann}{bob}"));
    shop.commit();
    shop.shipway(&["release"]).exits(0);
    let said = shop.promote(75);
    assert!(said.contains("waits: approve: 0 of 1 approval given"), "{said}");
    // By the author of the commit.
    shop.signs_as("ann@example.org");
    let said = shop.shipway(&["approve", "production", "--reason", "mine"]).exits(0);
    assert!(said.stderr.contains("it is recorded, and does not count: who wrote the commit"), "{}", said.stderr);
    assert!(shop.promote(75).contains("that of ann@example.org: who wrote the commit does not count"));
    // By somebody who may not.
    shop.signs_as("eve@example.org");
    shop.shipway(&["approve", "production", "--reason", "please"]).exits(0);
    assert!(shop.promote(75).contains("its key is none of those who may sign"));
    assert!(!shop.serves());
    // By somebody who may.
    shop.signs_as("bob@example.org");
    let said = shop.shipway(&["approve", "production", "--reason", "fine"]).exits(0);
    assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    let plan = shop.shipway(&["plan", "production"]).exits(0).stdout;
    assert!(plan.contains("people   1 of bob@example.org, by `allowed_signers`\n"), "{plan}");
    assert!(plan.contains("gate     approve: yes"), "{plan}");
    shop.promote(0);
    assert!(shop.serves());
}

#[test]
fn an_approval_is_of_one_plan() {
    let shop = Shop::new(APPROVE);
    let (bob, carol) = (shop.key("bob@example.org"), shop.key("carol@example.org"));
    shop.project.write("allowed_signers", format!("{bob}{carol}"));
    shop.commit();
    shop.shipway(&["release"]).exits(0);
    shop.signs_as("bob@example.org");
    shop.shipway(&["approve", "production", "--reason", "fine"]).exits(0);
    // Another commit is another plan.
    git(shop.project.path(), &["commit", "-q", "--amend", "--allow-empty", "-m", "y"]);
    let said = shop.promote(75);
    assert!(said.contains("that of bob@example.org: it is for another plan"), "{said}");
    // Rejected by one, it does not come in, whoever else agrees.
    shop.shipway(&["approve", "production", "--reason", "fine"]).exits(0);
    shop.signs_as("carol@example.org");
    shop.shipway(&["reject", "production", "--reason", "not today"]).exits(0);
    assert!(shop.promote(1).contains("rejected by carol@example.org: not today"));
    shop.shipway(&["approve", "production", "--reason", "now"]).exits(0);
    shop.promote(0);
}

#[test]
fn who_is_removed_from_the_signers_has_not_signed() {
    let shop = Shop::new(APPROVE);
    let (bob, carol) = (shop.key("bob@example.org"), shop.key("carol@example.org"));
    shop.project.write("allowed_signers", format!("{bob}{carol}"));
    shop.commit();
    shop.shipway(&["release"]).exits(0);
    shop.signs_as("bob@example.org");
    shop.shipway(&["approve", "production", "--reason", "fine"]).exits(0);
    shop.project.write("allowed_signers", &carol);
    git(shop.project.path(), &["commit", "-q", "--amend", "-a", "-m", "without bob"]);
    assert!(shop.promote(75).contains("0 of 1 approval given"));
    assert!(!shop.serves());
}

#[test]
fn an_approval_expires() {
    let shop = Shop::new(&APPROVE.replace("24h", "1ms"));
    shop.project.write("allowed_signers", shop.key("bob@example.org"));
    shop.commit();
    shop.shipway(&["release"]).exits(0);
    shop.signs_as("bob@example.org");
    shop.shipway(&["approve", "production", "--reason", "fine"]).exits(0);
    assert!(shop.promote(75).contains("that of bob@example.org: it has expired"));
}

#[test]
fn a_release_with_changes_of_no_commit_is_never_approved() {
    let shop = Shop::new(APPROVE);
    shop.project.write("allowed_signers", shop.key("bob@example.org"));
    shop.commit();
    shop.project.write("page.txt", "changed\n");
    let release = shop.shipway(&["release", "--dirty"]).exits(0).stdout;
    let id = release.split(' ').next().unwrap();
    git(shop.project.path(), &["checkout", "-q", "page.txt"]);
    shop.signs_as("bob@example.org");
    shop.shipway(&["approve", "production", id, "--reason", "fine"]).exits(0);
    let said = shop.shipway(&["promote", "production", id]).exits(1).stderr;
    assert!(said.contains("changes that no commit has, so nobody can know what they agree to"), "{said}");
    let said = shop.promote(1);
    assert!(said.contains("it was made with changes that no commit has\n") && said.contains("no other release is available"), "{said}");
}

#[test]
fn without_a_key_or_a_rule_it_says_what_to_do() {
    let shop = Shop::new(APPROVE);
    shop.project.write("allowed_signers", shop.key("bob@example.org"));
    shop.commit();
    shop.shipway(&["release"]).exits(0);
    let said = shop.shipway(&["approve", "production", "--reason", "x"]).exits(3).stderr;
    assert!(said.contains("git config user.signingkey"), "{said}");
    let free = Shop::new("");
    free.commit();
    free.shipway(&["release"]).exits(0);
    assert!(free.shipway(&["approve", "production", "--reason", "x"]).exits(2).stderr.contains("needs no approval"));
}

#[test]
fn a_gate_says_yes_not_yet_or_no() {
    let shop = Shop::new("gates = [\"./ticket.sh\"]");
    shop.project.script("ticket.sh", "#!/bin/sh\ncat > context.json\necho see ticket 7\nexit $(cat answer)\n");
    shop.project.write(".gitignore", "/page.html\nanswer\ncontext.json\n").write("answer", "75");
    shop.commit();
    shop.shipway(&["release"]).exits(0);
    let said = shop.promote(75);
    assert!(said.contains("waits: gate: `./ticket.sh` says not yet: see ticket 7"), "{said}");
    shop.project.write("answer", "9");
    let said = shop.promote(1);
    assert!(said.contains("is refused: gate: `./ticket.sh` says no: see ticket 7"), "{said}");
    // What is shown of it can be had again, by a command that changes nothing.
    let again = said.lines().find_map(|line| line.trim().strip_prefix("reproduce  shipway ")).unwrap().to_owned();
    let said = shop.shipway(&again.split(' ').collect::<Vec<_>>()).exits(0);
    assert!(again.starts_with("plan production ") && said.stderr.contains("✗ production gate: "), "{again}: {}", said.stderr);
    assert!(said.stdout.contains("gate     gate: no: `./ticket.sh` says no: see ticket 7"), "{}", said.stdout);
    assert!(!shop.serves());
    shop.project.write("answer", "0");
    shop.promote(0);
    let context: serde_json::Value = serde_json::from_str(&shop.project.read("context.json")).unwrap();
    assert_eq!(
        (context["environment"]["name"].as_str(), context["artifacts"][0]["name"].as_str()),
        (Some("production"), Some("page.html"))
    );
    assert_eq!(context["release"]["release"].as_str().unwrap().len(), 64);
}

#[test]
fn a_plan_says_how_an_environment_differs_from_the_one_it_is_like() {
    let shop = Shop::new(
        "verify = [\"true\"]\n[environments.staging]\nlike = \"production\"\ntarget = \"other\"\nenv = { A = \"1\" }\n[targets.other]\nkind = \"directory\"\npath = \"OTHER\"",
    );
    shop.commit();
    shop.shipway(&["release"]).exits(0);
    let plan = shop.shipway(&["plan", "staging"]).exits(0).stdout;
    assert!(plan.contains("like     production, but for `target`, `env`\n"), "{plan}");
    assert!(plan.contains("verify   $ true\n"), "{plan}");
    assert!(!shop.serves(), "a plan changes nothing");
}

#[test]
fn nothing_comes_in_while_it_is_frozen() {
    let shop = Shop::new("freeze = [{ from = \"2000-01-01\", to = \"2999-01-01\", zone = \"UTC\" }]");
    shop.commit();
    shop.shipway(&["release"]).exits(0);
    let said = shop.promote(75);
    assert!(said.contains("waits: freeze: nothing comes in until"), "{said}");
    assert!(!shop.serves());
    let free = Shop::new("freeze = [{ from = \"2000-01-01\", to = \"2001-01-01\", zone = \"UTC\" }]");
    free.commit();
    free.shipway(&["release"]).exits(0);
    free.promote(0);
}

#[test]
fn what_a_policy_denies_does_not_come_in() {
    let shop = Shop::new("policy = [\"policy/*.rego\"]");
    shop.commit();
    shop.shipway(&["release"]).exits(0);
    assert!(shop.promote(1).contains("is refused: policy: `policy` means no file"));
    let rule = "package shop\n\ndeny contains msg if {\n  not \"audit\" in input.release.stages\n  msg := \"no audit has passed\"\n}\n";
    shop.project.write("policy/audit.rego", rule);
    shop.commit();
    assert!(shop.promote(1).contains("is refused: policy: shop.deny: no audit has passed"));
    assert!(!shop.serves());
    shop.project.write("policy/audit.rego", rule.replace("audit\"", "build\""));
    shop.commit();
    shop.promote(0);
}

#[test]
fn a_paused_environment_waits_for_whoever_names_no_release() {
    let shop = Shop::new("");
    shop.commit();
    let released = shop.shipway(&["release"]).exits(0).stdout;
    shop.shipway(&["pause", "production", "--reason", "holidays"]).exits(0);
    assert!(shop.promote(75).contains("paused by Ann: holidays"));
    shop.shipway(&["promote", "production", &released[..64]]).exits(0);
    shop.shipway(&["resume", "production", "--reason", "back"]).exits(0);
    shop.promote(0);
}

/// A shop whose production is verified by a script, and a release of its first commit, `allowed_signers` being these.
fn scripted(rules: &str, signers: &[&str]) -> Shop {
    let shop = Shop::new(&format!("verify = [[\"./verify.sh\"]]\n{rules}"));
    let lines: String = signers.iter().map(|owner| shop.key(owner)).collect();
    shop.project.write("allowed_signers", lines).script("verify.sh", "#!/bin/sh\necho first > $HOME/by\n");
    shop.commit();
    shop.shipway(&["release"]).exits(0);
    shop
}

fn approves(shop: &Shop, who: &str) {
    shop.signs_as(who);
    shop.shipway(&["approve", "production", "--reason", "fine"]).exits(0);
}

impl Shop {
    fn rewrite(&self, what: &str, from: &str, to: &str) {
        let text = self.project.read(what);
        assert!(text.contains(from), "{text}");
        self.project.write(what, text.replace(from, to));
        self.commit();
    }

    /// Which script has verified the release.
    fn by(&self) -> String {
        fs::read_to_string(self.outside.path().join("by")).unwrap_or_default()
    }

    fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    fn worktrees(&self) -> usize {
        self.git(&["worktree", "list"]).lines().count()
    }

    fn git(&self, words: &[&str]) -> String {
        let output = Command::new("git").args(words).current_dir(self.project.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

#[test]
fn what_was_approved_is_done_as_its_commit_says() {
    let shop = scripted(APPROVE, &["bob@example.org"]);
    let approved = shop.head();
    approves(&shop, "bob@example.org");
    shop.rewrite("verify.sh", "first", "second");
    let plan = shop.shipway(&["plan", "production"]).exits(0).stdout;
    assert!(plan.contains(&format!("as commit {} says", &approved[..12])) && plan.contains("approve: yes"), "{plan}");
    let said = shop.promote(0);
    assert!(said.contains(&format!("as the commit {} says, which was approved", &approved[..12])), "{said}");
    assert_eq!(shop.by(), "first\n");
    let log = shop.shipway(&["log", "--format", "json"]).exits(0).stdout;
    assert!(log.lines().any(|line| line.contains("\"started\"") && line.contains(&approved)), "{log}");
    assert_eq!(shop.worktrees(), 1, "nothing is left aside");
    assert!(shop.project.exists("verify.sh") && shop.head() != approved, "and nothing changed here");
    // Approved again, as it is now, it is done as it is now.
    shop.project.write("page.txt", "other\n");
    shop.commit();
    shop.shipway(&["release"]).exits(0);
    approves(&shop, "bob@example.org");
    shop.promote(0);
    assert_eq!(shop.by(), "second\n");
}

#[test]
fn who_may_not_sign_any_more_has_not_approved_an_earlier_commit() {
    let shop = scripted(APPROVE, &["bob@example.org", "carol@example.org"]);
    approves(&shop, "bob@example.org");
    let carol = shop.project.read("allowed_signers").lines().last().unwrap().to_owned() + "\n";
    shop.project.write("allowed_signers", carol);
    shop.commit();
    let said = shop.promote(75);
    assert!(
        said.contains("does not count: 0 of 1 approval given (that of bob@example.org: its key is none of those who may sign)"),
        "{said}"
    );
    assert!(!shop.serves());
}

#[test]
fn rules_of_an_earlier_commit_do_not_count_who_may_not_sign_any_more() {
    let shop = Shop::new(&format!("policy = [\"p.rego\"]\n{APPROVE}"));
    let (bob, carol) = (shop.key("bob@example.org"), shop.key("carol@example.org"));
    let rule = "package p\n\ndeny contains \"bob has not agreed\" if not agreed\n\nagreed if {\n  some approval in input.approvals\n  approval.who == \"bob@example.org\"\n  approval.valid\n}\n";
    shop.project.write("allowed_signers", format!("{bob}{carol}")).write("p.rego", rule);
    shop.commit();
    shop.shipway(&["release"]).exits(0);
    approves(&shop, "bob@example.org");
    approves(&shop, "carol@example.org");
    shop.project.write("allowed_signers", &carol);
    shop.commit();
    let said = shop.promote(1);
    assert!(said.contains("which was approved") && said.contains("bob has not agreed"), "{said}");
    assert!(!shop.serves());
    shop.project.write("allowed_signers", format!("{bob}{carol}"));
    shop.commit();
    shop.promote(0);
}

#[test]
fn who_could_not_sign_yet_has_not_approved_an_earlier_commit() {
    let shop = scripted(APPROVE, &["bob@example.org"]);
    let eve = shop.key("eve@example.org");
    approves(&shop, "eve@example.org");
    let signers = shop.project.read("allowed_signers") + &eve;
    shop.project.write("allowed_signers", signers);
    shop.commit();
    let said = shop.promote(75);
    assert!(said.contains("does not count: 0 of 1 approval given"), "{said}");
    assert!(!shop.serves());
}

#[test]
fn what_is_demanded_since_is_demanded_of_an_earlier_commit() {
    let shop = scripted(APPROVE, &["bob@example.org", "carol@example.org"]);
    approves(&shop, "bob@example.org");
    shop.rewrite("pipeline.toml", "count = 1", "count = 2");
    let said = shop.promote(75);
    assert!(said.contains("does not count: 1 of 2 approvals given"), "{said}");
    assert!(!shop.serves());
    // What is said of what is checked out comes first.
    approves(&shop, "carol@example.org");
    assert!(shop.promote(75).contains("1 of 2 approvals given"));
    shop.signs_as("bob@example.org");
    shop.shipway(&["reject", "production", "--reason", "no"]).exits(0);
    assert!(shop.promote(1).contains("rejected by bob@example.org: no"));
}

#[test]
fn what_was_approved_on_another_branch_does_not_come_in() {
    let shop = Shop::new(APPROVE);
    shop.project.write("allowed_signers", shop.key("bob@example.org"));
    shop.commit();
    git(shop.project.path(), &["branch", "other"]);
    shop.commit();
    let approved = shop.head();
    shop.shipway(&["release"]).exits(0);
    approves(&shop, "bob@example.org");
    git(shop.project.path(), &["checkout", "-q", "other"]);
    shop.project.write("other.txt", "");
    shop.commit();
    let said = shop.promote(75);
    let expected = format!("an approval by the commit {} does not count: what is checked out does not contain it", &approved[..12]);
    assert!(said.contains(&expected), "{said}");
    assert!(!shop.serves());
}

#[test]
fn what_was_begun_goes_on_as_its_commit_says() {
    let shop = scripted("", &[]);
    let kills =
        "n=$(cat $HOME/kills 2>/dev/null || echo 0)\n[ $n = 2 ] || { echo $((n + 1)) > $HOME/kills; kill -9 $PPID; sleep 60; }\necho";
    shop.rewrite("verify.sh", "echo", kills);
    let begun = shop.head();
    let killed = || {
        let killed = shop.shipway(&["promote", "production"]);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9), "{killed:?}");
        killed.stderr
    };
    killed();
    shop.rewrite("verify.sh", "first", "second");
    let as_begun = format!("as the commit {} says, by which it was begun", &begun[..12]);
    assert!(killed().contains(&as_begun));
    let said = shop.promote(0);
    assert!(said.contains(&as_begun), "{said}");
    assert_eq!(shop.by(), "first\n");
    assert_eq!(shop.worktrees(), 1, "nothing is left aside");
}

#[test]
fn what_was_begun_as_a_commit_that_is_lost_can_be_aborted() {
    let shop = scripted("", &[]);
    shop.rewrite("verify.sh", "echo", "[ -e $HOME/killed ] || { touch $HOME/killed; kill -9 $PPID; sleep 60; }\necho");
    let killed = shop.shipway(&["promote", "production"]);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9), "{killed:?}");
    for words in
        [&["commit", "-q", "--amend", "-m", "another"][..], &["reflog", "expire", "--expire=now", "--all"], &["gc", "-q", "--prune=now"]]
    {
        shop.git(words);
    }
    let said = shop.shipway(&["promote", "production"]).exits(3).stderr;
    assert!(said.contains("which cannot be had") && said.contains("help: `shipway abort production --reason R` goes back"), "{said}");
    shop.shipway(&["abort", "production", "--reason", "R"]).exits(0);
}

#[test]
fn whoever_may_sign_no_more_leaves_the_record_as_it_was() {
    let shop = Shop::new(APPROVE);
    let (bob, eve) = (shop.key("bob@example.org"), shop.key("eve@example.org"));
    shop.project.write("allowed_signers", &bob);
    shop.commit();
    shop.shipway(&["release"]).exits(0);
    shop.signs_as("bob@example.org");
    shop.shipway(&["approve", "production", "--reason", "fine"]).exits(0);
    shop.promote(0);
    shop.project.write("allowed_signers", &eve);
    shop.commit();
    shop.shipway(&["audit"]).exits(0);
}
