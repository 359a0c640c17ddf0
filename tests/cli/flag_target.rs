//! A target that is a feature flag: who sees what, as an evaluator of others says.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use shipway::delivery::flag::Flag;
use shipway::delivery::manifest::Manifest;
use shipway::delivery::target::{Candidate, Slot, Target};
use shipway::delivery::vault::Vault;

use crate::killer::{at_each_change, killed};
use crate::project::{Project, Said, git, missing, said, tool};

const FILE: &str = r#"
[stages.build]
steps = ["cp page.txt page.html"]
inputs = ["page.txt"]
outputs = ["page.html"]
[release]
artifacts = ["page.html"]
[environments.users]
target = "checkout"
verify = ["grep -q hello {dir}/page.html", ["grep", "-q", "\"{slot}\",100", "FLAGS"]]
[targets.checkout]
kind = "flag"
file = "FLAGS"
flag = "checkout"
variant = "VARIANT"
"#;

const FLAGS: &str = r#"{ "flags": {
  "other": { "state": "ENABLED", "variants": { "a": 1, "b": 2 }, "defaultVariant": "a" },
  "checkout": { "state": "ENABLED", "variants": { "off": false, "on": true, "new": true }, "defaultVariant": "off" }
} }
"#;

/// Prints for each file a digit for each of 10,000 users: what they see.
const USERS: &str = r#"
import sys
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
core = FlagdCore()
for path in sys.argv[1:]:
    core.set_flags(open(path).read())
    see = lambda user: core.resolve_boolean_value("checkout", False, EvaluationContext(targeting_key=f"user-{user}"))
    print("".join("1" if see(user).value else "0" for user in range(10_000)))
"#;

/// The Python that has the evaluator.
fn evaluator() -> Option<String> {
    let python = tool("python3")?;
    let has = Command::new(&python).args(["-c", "import openfeature.contrib.tools.flagd.core"]).output().unwrap();
    if !has.status.success() {
        missing("openfeature-flagd-core");
    }
    has.status.success().then_some(python)
}

#[test]
fn ever_more_users_see_it_and_whoever_does_still_does() {
    let Some(python) = evaluator() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flags.json");
    fs::write(&file, FLAGS).unwrap();
    let vault = Vault::new(folder.path().join("vault"));
    let mut target = Flag::new(file.clone(), ("checkout", false), folder.path().join("unpacked"), &vault);
    let manifest = Manifest::new(Vec::new(), String::new(), String::new(), false);
    let release = Candidate { id: "first".to_owned(), manifest, slot: Some(Slot { name: "on".to_owned(), values: BTreeMap::new() }) };
    let weights = [0, 1, 5, 25, 50, 100];
    let files: Vec<PathBuf> = weights.iter().map(|weight| folder.path().join(format!("{weight}.json"))).collect();
    for (weight, copy) in weights.into_iter().zip(&files) {
        target.shift(&release, weight).unwrap();
        fs::copy(&file, copy).unwrap();
    }
    let seen = Command::new(python).args(["-c", USERS]).args(&files).output().unwrap();
    assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
    let seen = String::from_utf8(seen.stdout).unwrap();
    let seen: Vec<&str> = seen.lines().collect();
    assert_eq!(seen.len(), weights.len());
    for (users, weight) in seen.iter().zip(weights) {
        let share = users.matches('1').count();
        assert!(users.len() == 10_000 && share.abs_diff(usize::from(weight) * 100) <= 100, "{share} of 10,000 at {weight} %");
    }
    assert!(!seen[0].contains('1') && !seen[5].contains('0'), "nobody, and everybody");
    for (fewer, more) in seen.iter().zip(&seen[1..]) {
        assert!(fewer.bytes().zip(more.bytes()).all(|(before, after)| before <= after), "somebody does not see it any more");
    }
}

struct Shop {
    project: Project,
    outside: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        let shop = Self { project: Project::new(FILE), outside };
        fs::write(shop.flags(), FLAGS).unwrap();
        shop.project.write(".gitignore", "/page.html\n");
        git(shop.project.path(), &["init", "-q"]);
        shop
    }

    fn flags(&self) -> PathBuf {
        self.outside.path().join("flags.json")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.project.command(words);
        command.env("XDG_DATA_HOME", self.outside.path()).env("HOME", self.outside.path());
        command
    }

    #[track_caller]
    fn shipway(&self, words: &[&str]) -> Said {
        said(self.command(words))
    }

    fn commit(&self) {
        git(self.project.path(), &["add", "-A"]);
        git(self.project.path(), &["commit", "-q", "-m", "x"]);
    }

    /// Makes a release of a page which shows this variant; returns its id.
    #[track_caller]
    fn release(&self, page: &str, variant: &str) -> String {
        let file = FILE.replace("FLAGS", &self.flags().to_string_lossy()).replace("VARIANT", variant);
        let head = "[pipeline]\nname = \"p\"\n";
        self.project.write("page.txt", page).write("pipeline.toml", format!("{head}{file}"));
        self.commit();
        self.shipway(&["release"]).exits(0).stdout.split(' ').next().unwrap().to_owned()
    }

    /// What users see, and the release that the flag says that is of.
    fn seen(&self) -> (Value, Value) {
        let whole: Value = serde_json::from_str(&fs::read_to_string(self.flags()).unwrap()).unwrap();
        let flag = &whole["flags"]["checkout"];
        let shares = flag["targeting"]["fractional"].as_array().map_or(Value::Null, |parts| json!(parts[1..]));
        (shares, flag["metadata"]["shipway.release"].clone())
    }

    #[track_caller]
    fn status(&self) -> Value {
        let said = self.shipway(&["status", "users", "--format", "json"]).exits(0);
        serde_json::from_str::<Value>(&said.stdout).unwrap()["environments"][0].clone()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // What nobody may write to would stay.
        let _unforbidden = Command::new("chmod").args(["-R", "u+w"]).arg(self.project.path()).status();
    }
}

#[test]
fn a_flag_is_released_and_taken_back_like_anything_else() {
    let shop = Shop::new();
    shop.release("bye\n", "on");
    shop.shipway(&["promote", "users"]).exits(4);
    assert_eq!(fs::read_to_string(shop.flags()).unwrap(), FLAGS, "as if it had never been");
    let first = shop.release("hello 1\n", "on");
    shop.shipway(&["promote", "users"]).exits(0);
    let on = (json!([["on", 100], ["off", 0]]), json!(first));
    assert_eq!(shop.seen(), on);
    assert_eq!((&shop.status()["slot"], &shop.status()["verified"]), (&json!("on"), &json!(true)));
    // The next one has a variant of its own.
    shop.release("bye 2\n", "new");
    shop.shipway(&["promote", "users"]).exits(4);
    assert_eq!(shop.seen(), (json!([["on", 100], ["new", 0]]), json!(first)));
    let second = shop.release("hello 2\n", "new");
    shop.shipway(&["promote", "users"]).exits(0);
    assert_eq!(shop.seen(), (json!([["new", 100], ["on", 0]]), json!(second)));
    assert!(shop.shipway(&["status", "--drift"]).exits(0).stdout.contains("; in sync\n"));
    // What it showed, not what the file says now.
    shop.shipway(&["rollback", "users", "--reason", "x"]).exits(0);
    assert_eq!(shop.seen(), (json!([["on", 100], ["new", 0]]), json!(first)));
    assert_eq!(shop.status()["slot"], "on");
    // By hand.
    let text = fs::read_to_string(shop.flags()).unwrap();
    fs::write(shop.flags(), text.replace("[\"on\",100],[\"new\",0]", "[\"on\",50],[\"new\",50]")).unwrap();
    let drift = shop.shipway(&["status", "--drift"]).exits(1).stdout;
    assert!(drift.contains("seen a `targeting` that somebody has changed)"), "{drift}");
    shop.shipway(&["promote", "users", &second]).exits(1);
    shop.shipway(&["promote", "users", &second, "--accept-drift"]).exits(0);
    assert_eq!(shop.seen().0, json!([["new", 100], ["on", 0]]));
    let plan = shop.shipway(&["plan", "users", &first]).exits(0).stdout;
    assert!(plan.contains("deploy   to the target `checkout`"), "{plan}");
}

#[test]
fn a_killed_promotion_of_a_flag_ends_on_one_side() {
    for (act, variant) in [(&["promote", "users"][..], "new"), (&["abort", "users", "--reason", "x"], "on")] {
        let kills = at_each_change(|at, when| {
            let shop = Shop::new();
            let first = shop.release("hello 1\n", "on");
            shop.shipway(&["promote", "users"]).exits(0);
            let second = shop.release("hello 2\n", "new");
            if !killed(shop.command(&["promote", "users"]), shop.outside.path(), at, when) {
                return false;
            }
            let said = shop.shipway(act);
            let (shares, release) = shop.seen();
            let verified = shop.status()["verified"] == true && shop.status()["ongoing"].is_null();
            // Told to go back after its end, there is nothing to go back from.
            let is_new = shares == json!([["new", 100], ["on", 0]]) && release == json!(second);
            let is_old = release == json!(first) && shares[0] == json!(["on", 100]);
            let is_right = if variant == "new" { is_new } else { is_old || said.stderr.contains("nothing is on its way") };
            assert!(is_right && verified && (is_new || is_old), "{when} change {at}, then {act:?}: {shares}\n{}", said.stderr);
            true
        });
        assert!(kills >= 12, "{kills} kills");
    }
}

#[test]
fn a_flag_that_git_sees_is_refused_before_anything_is_announced() {
    let shop = Shop::new();
    shop.project.write("flags.json", FLAGS);
    let inside = |what: &str| {
        let file = FILE.replace("FLAGS", "flags.json").replace("VARIANT", "on");
        shop.project.write("page.txt", what).write("pipeline.toml", format!("[pipeline]\nname = \"p\"\n{file}"));
        shop.commit();
        shop.shipway(&["release"]).exits(0);
    };
    inside("hello 1\n");
    let said = shop.shipway(&["promote", "users"]).exits(2).stderr;
    assert!(said.contains("`flags.json` is a file that git sees"), "{said}");
    assert_eq!(shop.shipway(&["log", "users"]).exits(0).stdout, "");
    git(shop.project.path(), &["rm", "-q", "--cached", "flags.json"]);
    shop.project.write(".gitignore", "/page.html\n/flags.json\n");
    inside("hello 2\n");
    shop.shipway(&["promote", "users"]).exits(0);
    assert!(shop.project.read("flags.json").contains("[\"on\",100]"));
}

#[test]
fn a_flag_is_shown_to_ever_more_users_from_its_first_release_on() {
    let shop = Shop::new();
    let id = shop.release("hello 1\n", "on");
    let keys = "rollout = [5, 100]\npause = \"manual\"\nanalysis = { run = [\"test\", \"{canary}-{stable}\", \"=\", \"on-\"] }\nverify";
    shop.project.write("pipeline.toml", shop.project.read("pipeline.toml").replace("verify", keys));
    shop.commit();
    let plan = shop.shipway(&["plan", "users"]).exits(0).stdout;
    assert!(plan.contains("rollout  · 5 %  · 100 %"), "{plan}");
    shop.shipway(&["promote", "users"]).exits(75);
    assert_eq!(shop.seen().0, json!([["on", 5], ["off", 95]]));
    shop.shipway(&["abort", "users", "--reason", "x"]).exits(0);
    assert_eq!(fs::read_to_string(shop.flags()).unwrap(), FLAGS, "as if it had never been");
    shop.shipway(&["promote", "users", &id]).exits(75);
    shop.shipway(&["resume", "users", "--reason", "fine"]).exits(0);
    shop.shipway(&["promote", "users"]).exits(0);
    assert_eq!(shop.seen().0, json!([["on", 100], ["off", 0]]));
}
