//! A release takes over share by share: real servers in two slots, a front that splits by weight, and whoever looks, pauses, aborts or kills.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use shipway::delivery::load::Load;
use shipway::model::service::Address;

use crate::command_target::Shop;
use crate::killer::{at_each_change, at_every, killed};
use crate::project::{finish, processes, start, until};
use crate::reports::seen;

/// What the shop is told beside the rest.
pub(crate) const ROLLOUT: &str = r#"
rollout = [5, 25, 50, 100]
analysis = { run = ["./slo", "{canary}", "{stable}", "{weight}"], every = "1ms", failures = 1, errors = 1 }
on-abort = ['echo "$SHIPWAY_REASON" >> $RUN/page']
"#;

/// The front's weights, replaced in one move.
const LB: &str = r#"#!/bin/sh -eu
case $1 in
shift)
  echo "$2 $4" >> "$RUN/shifts"
  if [ "$2" = blue ]; then other=green; else other=blue; fi
  printf '%s %s\n%s %s\n' "$2" "$4" "$other" $((100 - $4)) > "$RUN/weights.new"
  mv "$RUN/weights.new" "$RUN/weights";;
which) basename "$(cat "$RUN/$(sed -n 's/ 100$//p' "$RUN/weights").dir")";;
esac
"#;

/// Hangs once, where a file says that this is what hangs.
fn may_hang(script: &str, what: &str) -> String {
    let hangs = format!("if grep -qs \"^{what}$\" \"$RUN/hang\"; then mv \"$RUN/hang\" \"$RUN/hangs\"; exec sleep 987654; fi");
    script.replacen("#!/bin/sh -eu\n", &format!("#!/bin/sh -eu\n{hangs}\n"), 1)
}

/// Says what a file tells it to; without one, yes. Notes where it could ask.
const SLO: &str = r#"#!/bin/sh -eu
echo "$*" >> "$RUN/looks"
if [ -e "$RUN/slo" ]; then . "$RUN/slo"; fi
"#;

/// Splits connections exactly by weight, and tries nothing twice.
const FRONT: &str = r#"
import socket, sys, threading
run, ports = sys.argv[1], {"blue": int(sys.argv[2]), "green": int(sys.argv[3])}
lock, owed = threading.Lock(), {"blue": 0, "green": 0}
def choose():
    weights = dict((slot, int(weight)) for slot, weight in (line.split() for line in open(run + "/weights")))
    with lock:
        for slot, weight in weights.items():
            owed[slot] = owed[slot] + weight if weight else 0
        slot = max((slot for slot in weights if weights[slot]), key=lambda slot: owed[slot])
        owed[slot] -= 100
        return ports[slot]
def serve(client):
    with client:
        request = b""
        while b"\r\n\r\n" not in request:
            request += client.recv(4096)
        try:
            with socket.create_connection(("127.0.0.1", choose())) as server:
                server.sendall(request)
                while part := server.recv(65536):
                    client.sendall(part)
        except OSError:
            pass
listener = socket.create_server(("127.0.0.1", 0), backlog=100)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

/// What splits the traffic of a stage.
pub(crate) struct Front {
    /// The script `lb`, which the target's `shift` and `observe` call.
    pub(crate) script: &'static str,
    /// Starts it for a shop; returns the port that it listens on, too.
    pub(crate) start: fn(&Shop) -> (Child, u16),
}

const SPLITTER: Front = Front { script: LB, start: splitter };

fn splitter(shop: &Shop) -> (Child, u16) {
    let [blue, green] = shop.ports.map(|port| port.to_string());
    let mut front = Command::new("python3");
    front.args(["-c", FRONT]).arg(shop.outside.path()).args([&blue, &green]).stdout(Stdio::piped());
    let mut front = front.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(front.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (front, line.trim().parse().unwrap())
}

pub(crate) struct Stage {
    pub(crate) shop: Shop,
    front: Child,
    pub(crate) port: u16,
}

impl Stage {
    /// A shop whose production has these keys beside the rest, with one release in it; `None` where there is no Python.
    fn new(keys: &str) -> Option<Self> {
        Self::of(ROLLOUT, keys)
    }

    fn of(rollout: &str, keys: &str) -> Option<Self> {
        Self::behind(&SPLITTER, &format!("{rollout}{keys}"), str::to_owned)
    }

    /// A shop in which nobody knows what serves: a release has half of the traffic, and could not be taken back, since the shift failed once.
    fn lost(keys: &str) -> Option<Self> {
        let stage = Self::of("\nrollout = [50, 100]\n", keys)?;
        let lb = stage.shop.project.read("lb").replace("shift)\n", "shift)\n  if [ -e \"$RUN/broken\" ]; then exit 1; fi\n");
        stage.shop.project.script("lb", &lb);
        stage.shop.release("hello 1\n");
        stage.shop.shipway(&["promote", "production", "--step"]).exits(75);
        fs::write(stage.shop.run("broken"), "").unwrap();
        stage.shop.shipway(&["abort", "production", "--reason", "bad"]).exits(5);
        fs::remove_file(stage.shop.run("broken")).unwrap();
        assert_eq!(stage.split(10, "hello 1\n"), 5, "it still has its half");
        Some(stage)
    }

    /// The same behind another front, and with a file that is changed first.
    pub(crate) fn behind(front: &Front, keys: &str, change: impl Fn(&str) -> String) -> Option<Self> {
        let stage = Self::empty(front, keys, change)?;
        stage.shop.promote("hello 0\n", 0);
        assert_eq!(stage.taken("shifts"), ["blue 100"], "the first of all");
        Some(stage)
    }

    /// The same without a release in it.
    pub(crate) fn empty(front: &Front, keys: &str, change: impl Fn(&str) -> String) -> Option<Self> {
        let shop = Shop::with(|file| change(&file.replace("pass-env", &format!("{keys}\npass-env"))))?;
        shop.project.script("lb", front.script).script("slo", SLO);
        shop.project.script("verify", "#!/bin/sh -eu\ngrep -q hello \"$SHIPWAY_DIR/page.html\"\n");
        let (front, port) = (front.start)(&shop);
        let stage = Self { shop, front, port };
        stage.shop.commit("rollout");
        Some(stage)
    }

    /// Clients that ask the front all the time, each over connections of so many requests.
    pub(crate) fn load(&self, clients: &[u32]) -> Load {
        Load::begin(&Address::parse(&format!("http://127.0.0.1:{}/", self.port)).unwrap(), None, clients).unwrap()
    }

    /// The lines of a file, which is removed.
    pub(crate) fn taken(&self, name: &str) -> Vec<String> {
        let path = self.shop.run(name);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _none = fs::remove_file(path);
        text.lines().map(str::to_owned).collect()
    }

    /// How often each answer comes when the front is asked as often.
    pub(crate) fn split(&self, count: usize, page: &str) -> usize {
        (0..count).filter(|_| ask(self.port).unwrap() == page).count()
    }

    pub(crate) fn says(&self, script: &str) {
        fs::write(self.shop.run("slo"), script).unwrap();
    }

    /// How many entries the ledger has.
    pub(crate) fn entries(&self) -> String {
        let said = Command::new("git").args(["rev-list", "--count", "refs/shipway/ledger"]).current_dir(self.shop.project.path()).output();
        String::from_utf8(said.unwrap().stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn weight(&self) -> Value {
        self.shop.status()["ongoing"]["weight"].clone()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _gone = self.front.kill();
        let _waited = self.front.wait();
    }
}

/// Asks the front; `None` where nobody answers.
pub(crate) fn ask(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, page) = answer.split_once("\r\n\r\n")?;
    (head.split(' ').nth(1) == Some("200")).then(|| page.to_owned())
}

/// Ends the clients; none of their requests may have been lost.
#[track_caller]
pub(crate) fn nothing_is_lost(load: Load) {
    let counted = load.end();
    assert!(counted.answered() > 0 && counted.lost == 0, "{counted:?}");
}

#[test]
fn each_step_gives_a_release_its_share_of_the_traffic() {
    let Some(stage) = Stage::new("pause = \"1ms\"") else { return };
    let clients = stage.load(&[1, 1]);
    stage.shop.release("hello 1\n");
    // The first one begins, too.
    for (weight, picture) in
        [(5, "▶ 5 %  · 25 %  · 50 %  · 100 %"), (25, "✓ 5 %  ▶ 25 %  · 50 %  · 100 %"), (50, "✓ 25 %  ▶ 50 %  · 100 %")]
    {
        let said = stage.step();
        assert!(said.contains(picture), "{said}");
        assert_eq!(stage.weight(), weight);
        let said = stage.shop.shipway(&["status", "production"]).exits(0).stdout;
        assert!(said.contains(picture), "{said}");
    }
    nothing_is_lost(clients);
    for (weight, new) in [(5, 10), (25, 50), (50, 100)] {
        fs::write(stage.shop.run("weights"), format!("green {weight}\nblue {}\n", 100 - weight)).unwrap();
        // What was owed to somebody by the weights before is given within some requests.
        let seen = stage.split(200, "hello 1\n");
        assert!(seen.abs_diff(new) <= 3, "{seen} of 200 at {weight} %");
    }
    stage.shop.shipway(&["promote", "production", "--step"]).exits(0);
    assert_eq!(stage.taken("shifts"), ["green 5", "green 25", "green 50", "green 100"]);
    assert_eq!((stage.split(10, "hello 1\n"), stage.shop.running()), (10, vec!["green"]));
    assert_eq!(stage.taken("page"), [""; 0]);
}

impl Stage {
    /// Makes a step, with what is split before and after it being as it is; returns what is said.
    #[track_caller]
    pub(crate) fn step(&self) -> String {
        loop {
            let before = self.weight();
            let said = self.shop.shipway(&["promote", "production", "--step"]).exits(75).stderr;
            // A pause may not have been over yet.
            if self.weight() != before {
                return said;
            }
        }
    }
}

#[test]
fn without_a_step_it_goes_to_its_end_by_itself() {
    let Some(stage) = Stage::new("pause = \"1ms\"") else { return };
    let clients = stage.load(&[1, 1]);
    let said = stage.shop.promote("hello 1\n", 0);
    assert!(said.contains("▶ 5 %") && said.contains("✓ 50 %  ▶ 100 %") && said.contains("serves, verified"), "{said}");
    nothing_is_lost(clients);
    assert_eq!(stage.taken("shifts"), ["green 5", "green 25", "green 50", "green 100"]);
    let [blue, green] = stage.shop.ports;
    let looks = stage.taken("looks");
    for weight in [5, 25, 50] {
        assert!(looks.contains(&format!("127.0.0.1:{green} 127.0.0.1:{blue} {weight}")), "{looks:?}");
    }
    // A rollback skips all of that.
    stage.shop.shipway(&["rollback", "production", "--reason", "slow"]).exits(0);
    assert_eq!((stage.taken("shifts"), stage.taken("looks")), (vec!["blue 100".to_owned()], vec![]));
}

#[test]
fn an_analysis_that_says_no_turns_it_back_at_each_weight() {
    let Some(stage) = Stage::new("pause = \"1ms\"") else { return };
    for (number, weight) in [5, 25, 50].into_iter().enumerate() {
        stage.says(&format!("[ $3 != {weight} ] || {{ echo \"p99 is 3s\"; exit 1; }}"));
        let said = stage.shop.promote(&format!("hello {}\n", number + 1), 4);
        let reason = format!("analysis at {weight} %: no (2 times): `./slo");
        assert!(said.contains(&reason) && said.contains("says no: p99 is 3s"), "{said}");
        let shifts = stage.taken("shifts");
        assert_eq!((shifts[shifts.len() - 2..].to_vec()), [format!("green {weight}"), "blue 100".to_owned()]);
        assert_eq!((stage.split(10, "hello 0\n"), stage.shop.running()), (10, vec!["blue"]));
        let page = stage.taken("page");
        assert!(page.len() == 1 && page[0].starts_with(&reason), "{page:?}");
        assert_eq!(stage.shop.status()["verified"], true);
    }
    // What is told may fail.
    fs::create_dir(stage.shop.run("page")).unwrap();
    let said = stage.shop.promote("hello 4\n", 4);
    assert!(said.contains("on-abort: a step failed") && said.contains("rolled back"), "{said}");
    assert_eq!(stage.split(10, "hello 0\n"), 10);
}

/// Says one thing after the other, and the last again and again.
fn in_turn(words: &[&str]) -> String {
    let cases: Vec<String> = words.iter().enumerate().map(|(place, word)| format!("{}) {word};;", place + 1)).collect();
    let (cases, last) = (cases.join(" "), words.last().unwrap());
    format!("n=$(($(cat $RUN/n 2>/dev/null || echo 0) + 1)); echo $n > $RUN/n\ncase $n in {cases} *) {last};; esac")
}

#[test]
fn what_cannot_be_told_and_what_is_bad_have_budgets_of_their_own() {
    let Some(stage) = Stage::new("pause = \"1ms\"") else { return };
    let (yes, no, unsure) = ("exit 0", "exit 1", "exit 75");
    let ways: [(&[&str], i32, &str); 5] = [
        (&[no, yes], 0, ""),
        (&[unsure, no, unsure, yes], 0, ""),
        (&[no, unsure, no], 4, "no (2 times)"),
        (&[unsure, unsure], 4, "could not tell (2 times)"),
        (&["kill -9 $$", "sleep 1000"], 4, "takes too long"),
    ];
    for (number, (words, code, reason)) in ways.into_iter().enumerate() {
        stage.says(&in_turn(words));
        let _none = fs::remove_file(stage.shop.run("n"));
        if reason == "takes too long" {
            let file =
                stage.shop.project.read("pipeline.toml").replace("run = [\"./slo\", ", "run = { timeout = \"300ms\", run = [\"./slo\", ");
            stage.shop.project.write("pipeline.toml", file.replace("\"{weight}\"], every", "\"{weight}\"] }, every"));
        }
        let said = stage.shop.promote(&format!("hello {}\n", number + 1), code);
        assert!(said.contains(reason), "{words:?}: {said}");
    }
}

#[test]
fn the_same_answer_again_counts_again() {
    let rollout = ROLLOUT.replace("failures = 1, errors = 1", "failures = 2, errors = 3");
    let Some(stage) = Stage::of(&rollout, "pause = \"1h\"") else { return };
    for (page, word, reason) in [("hello 1\n", "echo bad; exit 1", "no (3 times)"), ("hello 2\n", "exit 75", "could not tell (4 times)")] {
        stage.says(word);
        let said = stage.shop.promote(page, 4);
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn too_few_samples_are_no_answer() {
    let Some(stage) = Stage::new("pause = \"1ms\"") else { return };
    let file = stage.shop.project.read("pipeline.toml").replace("errors = 1", "errors = 1, min-samples = 300");
    stage.shop.project.write("pipeline.toml", file);
    let ways = [
        ("exit 0", 4, "it does not say by how many samples it judges"),
        ("echo samples=299; exit 1", 4, "it judges by 299 samples, and 300 are needed"),
        ("echo samples=1000; echo samples=nan", 4, "it does not say by how many samples it judges"),
    ];
    for (number, (word, code, reason)) in ways.into_iter().chain([("echo samples=300", 0, "serves, verified")]).enumerate() {
        stage.says(word);
        let said = stage.shop.promote(&format!("hello {}\n", number + 1), code);
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn a_manual_pause_waits_for_a_word() {
    let Some(stage) = Stage::new("pause = \"manual\"") else { return };
    let said = stage.shop.promote("hello 1\n", 75);
    assert!(said.contains("waits for somebody who says to go on: `shipway resume production --reason R`, then"), "{said}");
    assert_eq!((stage.weight(), stage.taken("looks").len()), (5.into(), 1));
    let entries = stage.entries();
    for words in [&["promote", "production"][..], &["settle", "production"], &["promote", "production", "--step"]] {
        stage.shop.shipway(words).exits(75);
        // One look each time that somebody asks, and nothing is recorded.
        assert_eq!((stage.weight(), stage.taken("looks").len()), (5.into(), 1), "{words:?}");
    }
    assert_eq!(stage.entries(), entries);
    stage.shop.shipway(&["settle"]).exits(0);
    for weight in [25, 50] {
        stage.shop.shipway(&["resume", "production", "--reason", "fine"]).exits(0);
        stage.shop.shipway(&["settle", "production"]).exits(75);
        assert_eq!(stage.weight(), weight);
    }
    stage.shop.shipway(&["resume", "production", "--reason", "fine"]).exits(0);
    stage.shop.shipway(&["settle", "production"]).exits(0);
    assert_eq!(stage.split(10, "hello 1\n"), 10);
}

#[test]
fn a_pause_that_is_not_over_holds_no_process_and_records_nothing() {
    let Some(stage) = Stage::new("pause = \"1h\"") else { return };
    stage.shop.release("hello 1\n");
    let said = stage.shop.shipway(&["promote", "production", "--step"]).exits(75).stderr;
    assert!(said.contains("waits until 2"), "{said}");
    let entries = stage.entries();
    for words in [&["settle", "production"][..], &["promote", "production", "--step"]] {
        stage.shop.shipway(words).exits(75);
    }
    assert_eq!((stage.entries(), stage.weight()), (entries, 5.into()));
    // Only what is bad is noted, so that it counts for whoever comes next.
    stage.says("exit 1");
    stage.shop.shipway(&["settle", "production"]).exits(75);
    let said = stage.shop.shipway(&["settle", "production"]).exits(4).stderr;
    assert!(said.contains("no (2 times)"), "{said}");
    assert_eq!((stage.split(10, "hello 0\n"), stage.taken("page").len()), (10, 1));
}

#[test]
fn settle_goes_on_when_it_is_due() {
    let Some(stage) = Stage::new("pause = \"1ms\"") else { return };
    stage.shop.release("hello 1\n");
    stage.shop.shipway(&["promote", "production", "--step"]).exits(75);
    while stage.shop.shipway(&["settle", "production"]).code() == 75 {}
    assert_eq!((stage.split(10, "hello 1\n"), stage.shop.running()), (10, vec!["green"]));
    assert_eq!(stage.taken("shifts"), ["green 5", "green 25", "green 50", "green 100"]);
}

#[test]
fn whoever_pauses_holds_it_at_its_weight() {
    let Some(stage) = Stage::new("pause = \"1ms\"") else { return };
    stage.shop.release("hello 1\n");
    stage.shop.shipway(&["promote", "production", "--step"]).exits(75);
    stage.shop.shipway(&["pause", "production", "--reason", "odd"]).exits(0);
    for words in [&["promote", "production"][..], &["settle", "production"]] {
        stage.shop.shipway(words).exits(75);
        assert_eq!(stage.weight(), 5);
    }
    stage.shop.shipway(&["resume", "production", "--reason", "fine"]).exits(0);
    stage.shop.shipway(&["promote", "production"]).exits(0);
    assert_eq!(stage.split(10, "hello 1\n"), 10);
}

#[test]
fn whoever_waits_hears_an_abort_and_a_signal() {
    let Some(stage) = Stage::new("pause = \"1h\"") else { return };
    stage.shop.project.write("pipeline.toml", stage.shop.project.read("pipeline.toml").replace("every = \"1ms\"", "every = \"1h\""));
    let begin = |line: &str| {
        let mut child = start(stage.shop.command(&["promote", "production"]));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|said| said.contains(line)), "{line}");
        (child, lines)
    };
    stage.shop.release("hello 1\n");
    let (mut child, mut lines) = begin("▶ 5 %  · 25 %  · 50 %  · 100 %; waits until 2");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(lines.any(|line| line.contains("production: interrupted; `shipway promote production` goes on")));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // The next one waits, too, and goes back by itself.
    let (mut child, mut lines) = begin("going on with what was begun");
    stage.shop.shipway(&["abort", "production", "--reason", "stop it"]).exits(0);
    assert!(lines.any(|line| line.contains("rolled back")));
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert_eq!((stage.split(10, "hello 0\n"), stage.taken("page")), (10, vec!["stop it".to_owned()]));
}

#[test]
fn an_abort_ends_whatever_hangs() {
    let Some(stage) = Stage::new("") else { return };
    let project = &stage.shop.project;
    for (name, what) in [("app", "$1 $2"), ("lb", "$1"), ("slo", "slo"), ("verify", "verify")] {
        project.script(name, &may_hang(&project.read(name), what));
    }
    stage.shop.commit("it may hang");
    for what in ["start green", "shift", "slo", "verify"] {
        stage.shop.release(&format!("hello {what}\n"));
        fs::write(stage.shop.run("hang"), what).unwrap();
        let child = start(stage.shop.command(&["promote", "production"]));
        until(&format!("{what} hangs"), || stage.shop.run("hangs").exists());
        fs::remove_file(stage.shop.run("hangs")).unwrap();
        stage.shop.shipway(&["abort", "production", "--reason", "it hangs"]).exits(0);
        let said = finish(child);
        assert_eq!(said.code(), 4, "{what}: {}", said.stderr);
        assert!(said.stderr.contains("production: told to go back: it hangs\n"), "{what}: {}", said.stderr);
        assert_eq!((stage.split(10, "hello 0\n"), stage.taken("page")), (10, vec!["it hangs".to_owned()]), "{what}");
        assert_eq!(processes("987654"), [""; 0], "{what}");
    }
}

#[test]
fn what_is_kept_takes_over_again_in_one_shift() {
    let Some(stage) = Stage::new("pause = \"1ms\"\nkeep = \"1h\"") else { return };
    let said = stage.shop.promote("hello 1\n", 0);
    assert!(said.contains("is kept until 2"), "{said}");
    assert_eq!(stage.shop.running(), ["blue", "green"]);
    assert_eq!(stage.shop.status()["kept"]["slot"], "blue");
    assert!(stage.shop.shipway(&["promote", "production"]).exits(0).stderr.contains("serves there already"));
    stage.shop.shipway(&["settle"]).exits(0);
    let (pid, _) = (stage.shop.pid("blue"), stage.taken("shifts"));
    let clients = stage.load(&[1, 1]);
    stage.shop.shipway(&["rollback", "production", "--reason", "slow"]).exits(0);
    nothing_is_lost(clients);
    assert_eq!((stage.taken("shifts"), stage.shop.pid("blue")), (vec!["blue 100".to_owned()], pid), "it was not started again");
    assert_eq!((stage.split(10, "hello 0\n"), stage.shop.running()), (10, vec!["blue"]));
    // What comes next needs the slot of what is kept.
    stage.shop.shipway(&["resume", "production", "--reason", "x"]).exits(0);
    stage.shop.promote("hello 2\n", 0);
    stage.shop.promote("hello 3\n", 0);
    assert_eq!((stage.split(10, "hello 3\n"), stage.shop.running()), (10, vec!["blue", "green"]));
}

#[test]
fn what_was_kept_is_ended_when_it_is_due() {
    let Some(stage) = Stage::new("pause = \"1ms\"\nkeep = \"1ms\"") else { return };
    let pid = stage.shop.pid("blue");
    stage.shop.promote("hello 1\n", 0);
    while stage.shop.running().len() == 2 {
        stage.shop.shipway(&["settle"]).exits(0);
    }
    assert_eq!((stage.shop.running(), &stage.shop.status()["kept"]), (vec!["green"], &Value::Null));
    assert_eq!(stage.shop.status()["verified"], true);
    stage.shop.shipway(&["rollback", "production", "--reason", "slow"]).exits(0);
    assert_eq!((stage.split(10, "hello 0\n"), stage.shop.running()), (10, vec!["blue"]));
    assert_ne!(stage.shop.pid("blue"), pid, "it was started again");
}

/// What the shop of [`at_boundaries`] is told.
pub(crate) fn short() -> String {
    ROLLOUT.replace("5, 25, 50", "50") + "pause = \"1ms\"\nkeep = \"1ms\""
}

/// Kills the promotion of one release after the other at every `nth` change of the ledger, then acts; `is_new` says whether the new release of
/// this id must serve then, or the one before. Returns how often it was killed.
#[track_caller]
pub(crate) fn at_boundaries(nth: usize, stage: &Stage, page: &str, act: &[&str], is_new: impl Fn(&Stage, &str) -> bool) -> usize {
    stage.says("[ $3 != 50 ] || grep -q hello \"$(cat $RUN/$SHIPWAY_SLOT.dir)/page.html\"");
    let (mut serving, mut number) = ("hello 0\n".to_owned(), 0);
    at_every(nth, |at, when| {
        number += 1;
        let page = format!("{page} {number}\n");
        let (id, _) = stage.shop.release(&page);
        let before = stage.shop.status()["slot"].clone();
        if !killed(stage.shop.command(&["promote", "production"]), stage.shop.outside.path(), at, when) {
            serving = ask(stage.port).unwrap();
            return false;
        }
        let is_new = is_new(stage, &id);
        if is_new {
            serving = page;
        }
        let is_turned = act[0] == "abort" && !is_new && !stage.shop.status()["ongoing"].is_null();
        stage.taken("page");
        let said = stage.shop.shipway(act);
        let status = stage.shop.status();
        let context = format!("{when} change {at}: {status}\n{}", said.stderr);
        assert_eq!(said.code(), 0, "{context}");
        assert_eq!(stage.split(20, &serving), 20, "{context}");
        assert_eq!(status["slot"] != before, is_new, "{context}");
        assert!(status["ongoing"].is_null() && status["verified"] == true, "{context}");
        // Whoever goes back says so once, whoever does not says nothing.
        assert_eq!(stage.taken("page").len(), usize::from(is_turned), "{context}");
        while stage.shop.running().len() > 1 {
            stage.shop.shipway(&["settle"]).exits(0);
        }
        assert_eq!(stage.shop.running(), [status["slot"].as_str().unwrap()], "{context}");
        true
    })
}

/// Whether the release of this id serves already, and there is nothing to abort: its end was written, though the one before may not have ended.
pub(crate) fn is_over(stage: &Stage, id: &str) -> bool {
    let status = stage.shop.status();
    status["release"]["id"] == id && status["verified"] == true
}

#[test]
fn a_killed_rollout_goes_on_to_the_same_end() {
    let Some(stage) = Stage::of(&short(), "") else { return };
    let kills = at_boundaries(1, &stage, "hello", &["promote", "production"], |_, _| true);
    assert!(kills >= 26, "{kills} kills");
}

#[test]
fn a_killed_rollout_can_be_aborted_from_everywhere() {
    let Some(stage) = Stage::of(&short(), "") else { return };
    let kills = at_boundaries(1, &stage, "hello", &["abort", "production", "--reason", "stop"], is_over);
    assert!(kills >= 26, "{kills} kills");
}

#[test]
fn whatever_is_killed_on_its_way_back_is_told_of_at_least_once() {
    let Some(stage) = Stage::of(&ROLLOUT.replace("5, 25, 50", "50"), "pause = \"1ms\"") else { return };
    stage.says("exit 1");
    let mut number = 0;
    let kills = at_each_change(|at, when| {
        number += 1;
        stage.shop.release(&format!("hello {number}\n"));
        stage.taken("page");
        let was_killed = killed(stage.shop.command(&["promote", "production"]), stage.shop.outside.path(), at, when);
        if was_killed {
            let code = stage.shop.shipway(&["promote", "production"]).code();
            assert!(code == 4 || stage.shop.status()["ongoing"].is_null(), "{when} change {at}");
        }
        let page = stage.taken("page");
        // Again only where it was not noted that it was done.
        assert!((1..=2).contains(&page.len()) && page.iter().all(|line| *line == page[0]), "{when} change {at}: {page:?}");
        assert_eq!((stage.split(10, "hello 0\n"), stage.shop.running()), (10, vec!["blue"]), "{when} change {at}");
        was_killed
    });
    assert!(kills >= 30, "{kills} kills");
}

#[test]
fn a_rollback_that_fails_is_told_too() {
    let Some(stage) = Stage::new("pause = \"1ms\"") else { return };
    stage.says("exit 1");
    stage.shop.project.script("lb", &LB.replace("shift)\n", "shift)\n  if [ \"$2\" = blue ]; then echo \"no way back\"; exit 1; fi\n"));
    let said = stage.shop.promote("hello 1\n", 5);
    assert!(said.contains("the rollback failed: shift to 100 %"), "{said}");
    let page = stage.taken("page");
    assert!(page.len() == 1 && page[0].contains("says no") && page[0].contains("; the rollback failed: shift to 100 %"), "{page:?}");
}

#[test]
fn a_rollback_that_changes_nothing_has_failed() {
    let Some(stage) = Stage::new("pause = \"1ms\"") else { return };
    let (_, name) = stage.shop.release("hello 1\n");
    stage.shop.shipway(&["promote", "production"]).exits(0);
    let app = stage.shop.project.read("app").replace("start)\n", "start)\n  if [ \"$2\" = blue ]; then echo \"no room\"; exit 1; fi\n");
    stage.shop.project.script("app", &app);
    stage.shop.commit("no way back");
    let said = stage.shop.shipway(&["rollback", "production", "--reason", "slow"]).exits(5).stderr;
    let expected =
        format!("error: production: the rollback failed, {name} serves as before: start: a step failed: no room (see: shipway report ");
    assert!(said.contains(&expected), "{said}");
    assert_eq!(stage.split(10, "hello 1\n"), 10);
}

#[test]
fn a_rollback_leads_to_what_it_names_whatever_is_on_its_way() {
    let Some(stage) = Stage::new("pause = \"manual\"") else { return };
    let first = stage.shop.status()["release"]["id"].as_str().unwrap().to_owned();
    let skip = |page: &str| {
        stage.shop.release(page);
        for code in [75, 75, 75, 0] {
            stage.shop.shipway(&["promote", "production"]).exits(code);
            stage.shop.shipway(&["resume", "production", "--reason", "fine"]).exits(0);
        }
    };
    skip("hello 1\n");
    stage.shop.promote("hello 2\n", 75);
    // Back from what is on its way, and then on to what is named.
    stage.shop.shipway(&["rollback", "production", "--to", &first, "--reason", "both"]).exits(0);
    assert_eq!((stage.split(10, "hello 0\n"), stage.shop.running().len()), (10, 1));
    let said = stage.shop.shipway(&["log"]).exits(0).stdout;
    assert_eq!(said.matches("production: paused").count(), 1, "{said}");
    // Where what is named is what served before, nothing more is to be done.
    stage.shop.shipway(&["resume", "production", "--reason", "fine"]).exits(0);
    stage.shop.promote("hello 3\n", 75);
    stage.shop.shipway(&["rollback", "production", "--to", &first, "--reason", "bad"]).exits(0);
    assert_eq!((stage.split(10, "hello 0\n"), stage.shop.status()["verified"].clone()), (10, true.into()));
    let said = stage.shop.shipway(&["log"]).exits(0).stdout;
    assert_eq!(said.matches(": roll back to ").count(), 1, "{said}");
}

#[test]
fn what_cannot_be_undone_is_not_rolled_back_at_a_share() {
    let Some(stage) = Stage::new("pause = \"manual\"") else { return };
    let file = stage.shop.project.read("pipeline.toml").replace("[release]\n", "[release]\nirreversible = true\n");
    stage.shop.project.write("pipeline.toml", file);
    stage.shop.promote("hello 1\n", 75);
    let said = stage.shop.shipway(&["rollback", "production", "--reason", "bad"]).exits(1).stderr;
    assert!(
        said.contains(" is irreversible, so no rollback leads behind it") && said.contains("`shipway abort production --reason R`"),
        "{said}"
    );
    assert_eq!(stage.weight(), 5);
    stage.shop.shipway(&["abort", "production", "--reason", "bad"]).exits(0);
    assert_eq!(stage.split(10, "hello 0\n"), 10);
}

#[test]
fn what_nobody_knows_is_not_said_to_serve() {
    let Some(stage) = Stage::lost("pause = \"1ms\"") else { return };
    assert_eq!(stage.shop.status()["verified"], false);
    let said = stage.shop.shipway(&["plan", "production"]).exits(0).stdout;
    assert!(!said.contains("nothing  to be done"), "{said}");
    stage.shop.shipway(&["settle"]).exits(0);
    assert_eq!(stage.split(10, "hello 1\n"), 5, "that is for people to decide");
    stage.shop.shipway(&["promote", "production"]).exits(0);
    assert_eq!((stage.split(10, "hello 0\n"), stage.shop.status()["verified"].clone()), (10, true.into()));
}

#[test]
fn whoever_has_what_share_is_known_again_before_anything_ends() {
    let Some(stage) = Stage::lost("pause = \"manual\"") else { return };
    stage.taken("shifts");
    let load = stage.load(&[1]);
    let said = stage.shop.promote("hello 2\n", 75);
    assert!(said.contains("▶ 50 %"), "{said}");
    assert_eq!(stage.taken("shifts"), ["blue 100", "green 50"], "who is ended has nothing by then");
    stage.shop.shipway(&["resume", "production", "--reason", "fine"]).exits(0);
    stage.shop.shipway(&["promote", "production"]).exits(0);
    assert_eq!(stage.split(10, "hello 2\n"), 10);
    nothing_is_lost(load);
}

#[test]
fn a_plan_says_who_could_see_what_is_bad_for_how_long() {
    let Some(stage) = Stage::new("pause = \"2m\"\nkeep = \"30m\"") else { return };
    let file = stage.shop.project.read("pipeline.toml").replace("every = \"1ms\"", "every = \"10s\"");
    stage.shop.project.write("pipeline.toml", file);
    stage.shop.release("hello 1\n");
    let said = stage.shop.shipway(&["plan", "production"]).exits(0).stdout;
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.contains(&"rollout  · 5 %  · 25 %  · 50 %  · 100 %; each 2m"), "{said}");
    let risk = "risk     of the requests: 5 %, 25 %, 50 %, each for up to 20s, or 40s where the analysis cannot tell; 100 % until `verify` has ended";
    assert!(lines.contains(&risk), "{said}");
    assert!(lines.contains(&"keep     what serves now, for 30m"), "{said}");
    assert!(lines.iter().any(|line| line.starts_with("time     shortest 6m, longest unlimited")), "{said}");
    // Of what is on its way it says how far it is; of another release, that it would come from the start.
    let (first, name) = stage.shop.release("hello 2\n");
    stage.shop.shipway(&["promote", "production", &first, "--step"]).exits(75);
    let said = stage.shop.shipway(&["plan", "production", &first]).exits(0).stdout;
    assert!(
        said.starts_with(&format!("begun    {name} is on its way there, at 5 % of the traffic: `promote` goes on with it\n")),
        "{said}"
    );
    assert!(said.contains("\nrollout  ▶ 5 %  · 25 %  · 50 %  · 100 %; each 2m\n"), "{said}");
    stage.shop.release("hello 3\n");
    let said = stage.shop.shipway(&["plan", "production"]).exits(0).stdout;
    assert!(said.starts_with("plan ") && said.contains("\nrollout  · 5 %  · 25 %  · 50 %  · 100 %; each 2m\n"), "{said}");
}

#[test]
fn blue_and_green_change_places_at_once() {
    let at_once = ROLLOUT.replace("5, 25, 50, 100", "100");
    let Some(stage) = Stage::of(&at_once, "keep = \"1h\"") else { return };
    stage.shop.release("hello 1\n");
    let said = stage.shop.shipway(&["plan", "production"]).exits(0).stdout;
    assert!(said.contains("\nrisk     of the requests: 100 % for up to 2ms, or 4ms where the analysis cannot tell\n"), "{said}");
    stage.shop.shipway(&["promote", "production", "--step"]).exits(0);
    let [blue, green] = stage.shop.ports;
    assert_eq!(
        (stage.taken("shifts"), stage.taken("looks"), stage.shop.running()),
        (vec!["green 100".to_owned()], vec![format!("127.0.0.1:{green} 127.0.0.1:{blue} 100")], vec!["blue", "green"])
    );
    // It is looked at with all of the traffic, which is the only share that it has.
    stage.says("exit 1");
    let said = stage.shop.promote("hello 2\n", 4);
    assert!(said.contains("analysis at 100 %: no (2 times)"), "{said}");
    assert_eq!((stage.split(10, "hello 1\n"), stage.shop.running(), stage.taken("page").len()), (10, vec!["green"], 1));
    fs::remove_file(stage.shop.run("slo")).unwrap();
    // One that does not work is taken back, and that is told.
    let said = stage.shop.promote("bye\n", 4);
    assert!(said.contains("rolled back"), "{said}");
    assert_eq!((stage.split(10, "hello 1\n"), stage.shop.running()), (10, vec!["green"]));
    let page = stage.taken("page");
    assert!(page.len() == 1 && page[0].starts_with("verify: a step failed"), "{page:?}");
}

#[test]
fn a_release_can_be_looked_at_before_users_see_it() {
    let Some(stage) = Stage::of(&ROLLOUT.replace("5, 25, 50, 100", "0, 100"), "pause = \"manual\"") else { return };
    stage.says("exit 1");
    let load = stage.load(&[1]);
    let said = stage.shop.promote("hello 1\n", 75);
    assert!(said.contains("production: ▶ 0 %  · 100 %; waits for somebody who says to go on"), "{said}");
    let said = stage.shop.shipway(&["promote", "production"]).exits(4).stderr;
    assert!(said.contains("analysis at 0 %: no (2 times)"), "{said}");
    assert_eq!((stage.taken("shifts"), stage.shop.running()), (vec!["green 0".to_owned(), "blue 100".to_owned()], vec!["blue"]));
    assert_eq!(load.counted().of(|answer| answer == "hello 1\n"), 0);
    stage.says("exit 0");
    stage.shop.release("hello 2\n");
    let said = stage.shop.shipway(&["plan", "production"]).exits(0).stdout;
    assert!(said.contains("\nrollout  · 0 %  · 100 %; each until somebody says to go on\n"), "{said}");
    assert!(said.contains("\nrisk     of the requests: 100 % until `verify` has ended\n"), "{said}");
    stage.shop.shipway(&["promote", "production"]).exits(75);
    assert_eq!((stage.weight(), stage.split(10, "hello 0\n")), (0.into(), 10));
    stage.shop.shipway(&["resume", "production", "--reason", "fine"]).exits(0);
    stage.shop.shipway(&["promote", "production"]).exits(0);
    assert_eq!(stage.split(10, "hello 2\n"), 10);
    nothing_is_lost(load);
}

#[test]
fn without_an_analysis_only_the_pause_holds_it() {
    let rollout = "\nrollout = [50, 100]\n";
    let Some(stage) = Stage::of(rollout, "pause = \"manual\"") else { return };
    stage.shop.promote("hello 1\n", 75);
    let seen = stage.split(100, "hello 1\n");
    assert!(seen.abs_diff(50) <= 1, "{seen} of 100");
    stage.shop.shipway(&["promote", "production"]).exits(75);
    stage.shop.shipway(&["resume", "production", "--reason", "fine"]).exits(0);
    stage.shop.shipway(&["promote", "production"]).exits(0);
    assert_eq!((stage.split(10, "hello 1\n"), stage.shop.running()), (10, vec!["green"]));
}

#[test]
fn what_waits_goes_back_and_what_is_kept_is_over() {
    let Some(stage) = Stage::new("pause = \"manual\"\nkeep = \"1h\"") else { return };
    for verb in ["abort", "rollback"] {
        stage.shop.promote(&format!("hello to {verb}\n"), 75);
        assert_eq!(stage.weight(), 5);
        stage.shop.shipway(&[verb, "production", "--reason", verb]).exits(0);
        assert_eq!((stage.split(10, "hello 0\n"), stage.shop.running(), stage.taken("page")), (10, vec!["blue"], vec![verb.to_owned()]));
    }
    stage.shop.shipway(&["resume", "production", "--reason", "what was taken back is mended"]).exits(0);
    stage.shop.promote("hello 1\n", 75);
    for _ in 0..3 {
        stage.shop.shipway(&["resume", "production", "--reason", "fine"]).exits(0);
        let _waits = stage.shop.shipway(&["promote", "production"]);
    }
    assert_eq!((stage.split(10, "hello 1\n"), stage.shop.running()), (10, vec!["blue", "green"]));
    let said = stage.shop.shipway(&["abort", "production", "--reason", "x"]).exits(0).stderr;
    assert!(said.contains("nothing is on its way"), "{said}");
    assert_eq!((stage.split(10, "hello 1\n"), stage.taken("page")), (10, vec![]));
}

#[test]
fn a_page_shows_how_it_went() {
    let Some(stage) = Stage::new("pause = \"1ms\"") else { return };
    let count = "n=$(($(cat $RUN/n 2>/dev/null || echo 0) + 1)); echo $n > $RUN/n";
    stage.says(&format!("{count}; [ $n != 1 ] || exit 75; [ $3 != 25 ] || {{ echo '<slow>'; exit 1; }}"));
    stage.shop.release("hello 1\n");
    let page = stage.shop.run("course.html");
    let wanted = format!("html={}", page.display());
    stage.shop.shipway(&["promote", "production", "--report", &wanted]).exits(4);
    let html = fs::read_to_string(&page).unwrap();
    let title = html.split("<title>").nth(1).unwrap().split("</title>").next().unwrap();
    assert!(title.starts_with("production: ") && title.ends_with(" serves again") && title.contains(" was taken back, "), "{title}");
    // Of each share what was seen with it, the last of which is why it goes back.
    for (count, what) in [(3, "class=\"sight\""), (1, "class=\"turn\""), (1, "that could not be told"), (1, "<b>on-abort</b>")] {
        assert_eq!(html.matches(what).count(), count, "{what} in {html}");
    }
    assert!(html.contains("aria-label=\"5 % after ") && html.contains(", 25 % after ") && html.contains(", 0 % after "), "{html}");
    assert!(html.contains("&lt;slow&gt;") && !html.contains("<slow>") && !html.contains("<script"), "{html}");
    // Any other time, by the environment or by the entry that began it.
    let started = stage.shop.shipway(&["log", "production", "--format", "json"]).exits(0).stdout;
    let entry = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let started = started.lines().map(entry).find(|entry| entry["entry"] == "started").unwrap()["commit_of_entry"].clone();
    for name in ["production", &started.as_str().unwrap()[..12]] {
        assert_eq!(stage.shop.shipway(&["report", "--deployment", name, "--format", "html"]).exits(0).stdout, html, "{name}");
    }
    let said = stage.shop.shipway(&["report", "--deployment", "production"]).exits(2).stderr;
    assert!(said.contains("a deployment is written as a page"), "{said}");
    let said = stage.shop.shipway(&["report", "--deployment", "nosuch", "--format", "html"]).exits(2).stderr;
    assert!(said.contains("there is no deployment `nosuch`"), "{said}");
    // One that waits, too; and what would be in the way of the next is told.
    stage.says("exit 0");
    stage.shop.release("hello 2\n");
    let said = stage.shop.shipway(&["promote", "production", "--step", "--report", "html=course.html"]).exits(75).stderr;
    assert!(said.contains("warning: `course.html` is a file that git sees: the next promotion wants a clean tree"), "{said}");
    assert!(stage.shop.project.read("course.html").contains(" is on its way, with 5 % of the traffic</h1>"));
    let said = stage.shop.shipway(&["promote", "production", "--report", "junit=x"]).exits(2).stderr;
    assert!(said.contains("the page of a deployment is html=PATH"), "{said}");
    // On a phone, by keyboard, without a script.
    let Some(seen) = seen(&stage.shop.project, "course.html", "course") else { return };
    for nothing in ["scripts", "handlers", "dead", "doubled"] {
        assert_eq!(seen[nothing], 0, "{nothing}: {seen:#}");
    }
    assert_eq!((&seen["landmarks"], &seen["headings"]), (&Value::from(3), &Value::from(1)));
    assert!(seen["width"].as_u64().unwrap() <= 390 && seen["text"].as_str().unwrap().contains("shift to 5 %"), "{seen:#}");
}
