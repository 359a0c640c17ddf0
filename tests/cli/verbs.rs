//! What each verb of delivery does in each state of an environment: the table of the README is what comes of trying them all.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use serde_json::Value;

use crate::killer::killed;
use crate::project::{Project, git, said, start, until};

/// A site of one page; it works where it says hello and nothing is broken, and its check takes as long as somebody holds it.
const SITE: &str = r#"
[stages.build]
steps = ["cp page.txt page.html"]
inputs = ["page.txt"]
outputs = ["page.html"]
[release]
artifacts = ["page.html"]
[environments.production]
target = "site"
approve = { signers = "allowed_signers" }
verify = [
  "touch $HOME/verifying; while [ -e $HOME/hold ]; do sleep 0.02; done",
  "grep -q hello $SHIPWAY_DIR/page.html && test ! -e $HOME/broken",
]
[targets.site]
kind = "directory"
path = "sites/production"
"#;

/// What is another thing where two releases have room beside each other: each page lies in a file of its slot's name.
const ROOM: [(&str, &str); 2] = [
    ("verify = [", "rollout = [50, 100]\npause = \"manual\"\nkeep = \"1h\"\nverify = ["),
    (
        "kind = \"directory\"\npath = \"sites/production\"\n",
        "kind = \"command\"\nstart = \"cat {dir}/page.html > $HOME/{slot}\"\nshift = \"echo {slot} {weight} > $HOME/weights\"\n\
         stop = \"rm -f $HOME/{slot}\"\nslots = { blue = {}, green = {} }\n",
    ),
];

/// A state, as the table calls it, and how it is made.
type State = (&'static str, fn(&Shop));

const STATES: [State; 9] = [
    ("nothing serves", |_| ()),
    ("A serves", Shop::a_serves),
    ("B waits", |shop| shop.b_is_released("hello B\n")),
    ("B may come", Shop::b_may_come),
    ("B on its way", |shop| {
        shop.b_may_come();
        shop.is_killed(4, "shift to 100 %");
    }),
    ("B going back", |shop| {
        shop.b_is_released("bye\n");
        shop.does("approve", 0);
        shop.is_killed(8, "start");
    }),
    ("paused", |shop| {
        shop.b_may_come();
        shop.does("pause", 0);
    }),
    ("rollback failed", |shop| {
        shop.b_may_come();
        shop.project.write("home/broken", "");
        shop.does("promote", 5);
        shop.project.remove("home/broken");
    }),
    ("locked", Shop::b_may_come),
];

/// The same where there is room for two.
const STATES_WITH_ROOM: [State; 2] = [
    ("at a share", |shop| {
        shop.b_may_come();
        shop.does("promote", 75);
    }),
    ("A kept", |shop| {
        shop.b_may_come();
        shop.does("promote", 75);
        shop.does("resume", 0);
        shop.does("promote", 0);
    }),
];

/// The verbs, as the table calls them.
const VERBS: [&str; 12] =
    ["plan", "promote", "promote RELEASE", "settle", "approve", "reject", "rollback", "abort", "pause", "resume", "unlock", "status"];

/// A project with all that belongs to it in its own folder, so that a copy of that is another of it in the same state.
struct Shop {
    project: Project,
}

impl Shop {
    fn new(file: &str) -> Self {
        let project = Project::new(file);
        project.write(".gitignore", "/page.html\n/sites/\n/home/\n").write("page.txt", "hello A\n").write("home/.keep", "");
        let shop = Self { project };
        let key = shop.project.join("home/key");
        assert!(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap().success());
        shop.project.write("allowed_signers", format!("t@t {}", shop.project.read("home/key.pub")));
        git(shop.project.path(), &["init", "-q"]);
        git(shop.project.path(), &["config", "user.email", "t@t"]);
        shop.commits();
        shop
    }

    fn twin(&self) -> Self {
        let twin = Self { project: self.project.twin() };
        git(twin.project.path(), &["config", "user.signingkey", twin.project.join("home/key").to_str().unwrap()]);
        // A copy has other times than what git remembers.
        git(twin.project.path(), &["status", "--porcelain"]);
        twin
    }

    fn commits(&self) {
        git(self.project.path(), &["config", "user.signingkey", self.project.join("home/key").to_str().unwrap()]);
        git(self.project.path(), &["add", "-A"]);
        git(self.project.path(), &["commit", "-q", "-m", "x"]);
    }

    fn command(&self, verb: &str) -> Command {
        let mut words: Vec<&str> = verb.split(' ').collect();
        if verb != "release" {
            words.insert(1, "production");
        }
        let newest = self.newest();
        if let Some(word) = words.iter_mut().find(|word| **word == "RELEASE") {
            *word = newest.as_deref().unwrap_or("brave-otter");
        }
        if ["approve", "reject", "rollback", "abort", "pause", "resume", "unlock"].contains(&words[0]) {
            words.extend(["--reason", "r"]);
        }
        let mut command = self.project.command(words);
        let home = self.project.join("home");
        command.env("HOME", &home).env("XDG_DATA_HOME", home.join("data"));
        command
    }

    #[track_caller]
    fn does(&self, verb: &str, code: i32) {
        said(self.command(verb)).exits(code);
    }

    /// The record, the newest entry first.
    fn record(&self) -> String {
        let log = Command::new("git").args(["log", "--format=%s", "refs/shipway/ledger"]).current_dir(self.project.path()).output();
        String::from_utf8(log.unwrap().stdout).unwrap()
    }

    fn newest(&self) -> Option<String> {
        let record = self.record();
        let released = record.lines().find_map(|line| line.strip_prefix("release "));
        released.and_then(|line| line.split(' ').next()).map(str::to_owned)
    }

    fn a_serves(&self) {
        self.does("release", 0);
        self.does("approve", 0);
        self.does("promote", 0);
    }

    fn b_is_released(&self, page: &str) {
        self.a_serves();
        self.project.write("page.txt", page);
        self.commits();
        self.does("release", 0);
    }

    fn b_may_come(&self) {
        self.b_is_released("hello B\n");
        self.does("approve", 0);
    }

    /// Promotes, and is killed after this change of the ledger, which says that `phase` begins.
    fn is_killed(&self, at: usize, phase: &str) {
        assert!(killed(self.command("promote"), &self.project.join("home"), at, "after"));
        assert!(self.record().starts_with(&format!("production: {phase} begins\n")));
    }

    /// What serves, by its page; where two do, both.
    fn serves(&self) -> String {
        let status = said({
            let mut command = self.command("status");
            command.args(["--format", "json"]);
            command
        });
        let status: Value = serde_json::from_str(&status.exits(0).stdout).unwrap();
        let name = |page: String| page.trim().trim_start_matches("hello ").replace("bye", "B");
        let page = |place: &str| fs::read_to_string(self.project.join(place)).ok().map(name);
        let serves = match page("home/weights") {
            Some(weights) => {
                let (slot, weight) = weights.split_once(' ').unwrap();
                let other = if slot == "blue" { "green" } else { "blue" };
                let all = [(other, weight != "100"), (slot, weight != "0")];
                let all = all.into_iter().filter(|(_, has_share)| *has_share).map(|(slot, _)| page(&format!("home/{slot}")).unwrap());
                Some(all.collect::<Vec<_>>().join("+"))
            }
            None => page("sites/production/current/page.html"),
        };
        assert_eq!(status["environments"][0]["release"].is_null(), serves.is_none(), "{status}");
        serves.unwrap_or("–".to_owned())
    }

    /// Does what the verb says; returns its exit code and what serves then.
    fn tries(&self, verb: &str) -> String {
        let code = said(self.command(verb)).status.code().unwrap();
        format!("{code} {}", self.serves())
    }

    /// The same while another process moves a release there.
    fn tries_beside(&self, verb: &str) -> String {
        let (hold, verifying) = (self.project.join("home/hold"), self.project.join("home/verifying"));
        fs::write(&hold, "").unwrap();
        fs::remove_file(&verifying).unwrap();
        let other = start(self.command("promote"));
        until("the other process holds it", || verifying.exists());
        let code = if ["abort", "rollback"].contains(&verb) {
            let child = start(self.command(verb));
            until("it is told to go back", || self.record().contains("goes back"));
            fs::remove_file(&hold).unwrap();
            code(child)
        } else {
            let code = said(self.command(verb)).status.code().unwrap();
            fs::remove_file(&hold).unwrap();
            code
        };
        self::code(other);
        format!("{code} {}", self.serves())
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // What nobody may write to would stay.
        let _unforbidden = Command::new("chmod").args(["-R", "u+w"]).arg(self.project.path()).status();
    }
}

fn code(child: Child) -> i32 {
    child.wait_with_output().unwrap().status.code().unwrap()
}

#[test]
fn each_verb_does_in_each_state_what_the_readme_says() {
    let with_room = ROOM.iter().fold(SITE.to_owned(), |file, (from, to)| file.replacen(from, to, 1));
    let (first, roomy) = (Shop::new(SITE), Shop::new(&with_room));
    let states: Vec<(&Shop, State)> =
        STATES.iter().map(|state| (&first, *state)).chain(STATES_WITH_ROOM.iter().map(|state| (&roomy, *state))).collect();
    let columns: Vec<Vec<String>> = std::thread::scope(|scope| {
        let columns: Vec<_> = states
            .iter()
            .map(|(first, (state, make))| {
                scope.spawn(move || {
                    let shop = first.twin();
                    make(&shop);
                    let tries = |verb: &&str| {
                        let shop = shop.twin();
                        if *state == "locked" { shop.tries_beside(verb) } else { shop.tries(verb) }
                    };
                    VERBS.iter().map(tries).collect()
                })
            })
            .collect();
        columns.into_iter().map(|column| column.join().unwrap()).collect()
    });
    let names: Vec<&str> = states.iter().map(|(_, (name, _))| *name).collect();
    let mut table = format!("| | {} |\n|{}\n", names.join(" | "), "---|".repeat(names.len() + 1));
    for (row, verb) in VERBS.iter().enumerate() {
        let cells: Vec<&str> = columns.iter().map(|column| column[row].as_str()).collect();
        table.push_str(&format!("| `{verb}` | {} |\n", cells.join(" | ")));
    }
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    assert!(readme.contains(&table), "the README's table is another one than this:\n{table}");
}
