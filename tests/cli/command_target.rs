//! A target of commands: real servers in two slots, a front that leads to one of them, and a shipway that fails or is killed on the way.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::killer::{at_each_change, killed};
use crate::project::{Project, Said, git, processes, said, start, tool, until};

const FILE: &str = r#"
[stages.build]
steps = ["cp page.txt page.html"]
inputs = ["page.txt"]
outputs = ["page.html"]
[release]
artifacts = ["page.html"]
[environments.production]
target = "web"
pass-env = ["RUN"]
verify = [["./verify", "{slot}"]]
[targets.web]
kind = "command"
start = ["./app", "start", "{slot}", "{dir}", "{port}"]
ready = { http = "http://127.0.0.1:{port}/up", timeout = "READY" }
shift = ["./lb", "shift", "{slot}", "{port}", "{weight}"]
stop = ["./app", "stop", "{slot}"]
observe = ["./lb", "which"]
slots = { blue = { port = BLUE }, green = { port = GREEN } }
"#;

/// Serves a page, unless that is sick; may start a worker that is a child of nobody who started it.
const SERVER: &str = r#"
import http.server, subprocess, sys
page = open(sys.argv[1] + "/page.html").read()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/worker":
            subprocess.call(["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $! > $RUN/worker"])
        self.send_response(503 if page.startswith("sick") else 200)
        self.end_headers()
        self.wfile.write(page.encode())
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"#;

/// What is started stays in the step's own process group, or flees it and forgets whose it is.
const APP: &str = r#"#!/bin/sh -eu
slot=$RUN/$2
lives() { case $(cut -d' ' -f3 "/proc/$(cat "$slot.pid")/stat" 2>/dev/null) in ''|Z|X) return 1;; esac; }
echo "$1 $2" >> "$RUN/calls"
case $1 in
start)
  if [ -e "$slot.pid" ]; then
    if lives && [ "$(cat "$slot.dir")" = "$3" ]; then exit 0; fi
    "$0" stop "$2"
  fi
  echo "$3" > "$slot.dir"
  if [ "$2" = blue ]; then
    python3 "$RUN/server.py" "$3" "$4" </dev/null >"$slot.log" 2>&1 &
  else
    setsid env -i "PATH=$PATH" python3 "$RUN/server.py" "$3" "$4" </dev/null >"$slot.log" 2>&1 &
  fi
  echo $! > "$slot.pid";;
stop)
  [ -e "$slot.pid" ] || exit 0
  kill "$(cat "$slot.pid")" 2>/dev/null || true
  while lives; do sleep 0.01; done
  rm -f "$slot.pid" "$slot.dir";;
esac
"#;

/// The front: a file names the port that it leads to.
const LB: &str = r#"#!/bin/sh -eu
case $1 in
shift)
  if [ -e "$RUN/broken" ] && grep -q "^$2$" "$RUN/broken"; then echo "the front is broken" >&2; exit 1; fi
  if [ "$4" = 100 ]; then
    echo "$2" > "$RUN/slot.new"; mv "$RUN/slot.new" "$RUN/slot"
    echo "$3" > "$RUN/front.new"; mv "$RUN/front.new" "$RUN/front"
  elif [ "$(cat "$RUN/front" 2>/dev/null)" = "$3" ]; then
    rm -f "$RUN/front" "$RUN/slot"
  fi;;
which)
  echo "looking" >&2
  if [ -e "$RUN/lie" ]; then cat "$RUN/lie"; exit 0; fi
  [ -e "$RUN/slot" ] && basename "$(cat "$RUN/$(cat "$RUN/slot").dir")";;
esac
"#;

/// Kills shipway where it is told to, once, and notes its guard. The server has got a worker since that guard stands.
const VERIFY: &str = r#"#!/bin/sh -eu
if [ -e "$RUN/kill" ]; then
  for child in $(cat /proc/$PPID/task/*/children); do
    if grep -q __guard "/proc/$child/cmdline"; then echo "$child" > "$RUN/guard"; fi
  done
  [ "$1" = green ] || python3 -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$SHIPWAY_PORT/worker')"
  rm "$RUN/kill"; kill -9 $PPID; sleep 5
fi
grep -q hello "$SHIPWAY_DIR/page.html"
[ "$SHIPWAY_SLOT" = "$1" ] && [ "$SHIPWAY_WEIGHT" = 100 ] && [ -n "$SHIPWAY_PORT" ]
"#;

/// A shop with servers in two slots, and a front that leads to one of them.
pub(crate) struct Shop {
    pub(crate) project: Project,
    pub(crate) outside: tempfile::TempDir,
    pub(crate) ports: [u16; 2],
}

impl Shop {
    /// A shop; `None` where there is no Python.
    fn new() -> Option<Self> {
        Self::with(str::to_owned)
    }

    /// One whose file is changed first.
    pub(crate) fn with(change: impl Fn(&str) -> String) -> Option<Self> {
        tool("python3")?;
        let outside = tempfile::Builder::new().prefix("shipway-run-").tempdir().unwrap();
        // Both are held until both are known.
        let free = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
        let ports = free.map(|listener| listener.local_addr().unwrap().port());
        let file = change(FILE).replace("BLUE", &ports[0].to_string()).replace("GREEN", &ports[1].to_string()).replace("READY", "60s");
        let project = Project::new(&file);
        project.write(".gitignore", "/page.html\n").write("page.txt", "none\n");
        project.script("app", APP).script("lb", LB).script("verify", VERIFY);
        fs::write(outside.path().join("server.py"), SERVER).unwrap();
        git(project.path(), &["init", "-q"]);
        let shop = Self { project, outside, ports };
        shop.commit("first");
        Some(shop)
    }

    pub(crate) fn commit(&self, what: &str) {
        git(self.project.path(), &["add", "-A"]);
        git(self.project.path(), &["commit", "-q", "-m", what]);
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.project.command(words);
        command.env("XDG_DATA_HOME", self.outside.path()).env("HOME", self.outside.path()).env("RUN", self.outside.path());
        command
    }

    #[track_caller]
    pub(crate) fn shipway(&self, words: &[&str]) -> Said {
        said(self.command(words))
    }

    pub(crate) fn run(&self, name: &str) -> PathBuf {
        self.outside.path().join(name)
    }

    /// Makes a release of a page; returns its id and its name.
    #[track_caller]
    pub(crate) fn release(&self, page: &str) -> (String, String) {
        self.project.write("page.txt", page);
        self.commit(page);
        let said = self.shipway(&["release"]).exits(0);
        let mut words = said.stdout.trim_end().split(' ');
        (words.next().unwrap().to_owned(), words.next().unwrap().to_owned())
    }

    /// Makes a release of a page, and brings it in; returns what is said.
    #[track_caller]
    pub(crate) fn promote(&self, page: &str, code: i32) -> String {
        self.release(page);
        self.shipway(&["promote", "production"]).exits(code).stderr
    }

    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        let said = self.shipway(&["status", "production", "--format", "json"]).exits(0);
        serde_json::from_str::<Value>(&said.stdout).unwrap()["environments"][0].clone()
    }

    /// The page that the front leads to.
    fn page(&self) -> Option<String> {
        ask(&self.run("front"))
    }

    /// The slots whose servers run.
    pub(crate) fn running(&self) -> Vec<&'static str> {
        let servers = processes(&self.run("server.py").to_string_lossy());
        let slots = ["blue", "green"].into_iter().zip(self.ports);
        slots.filter(|(_, port)| servers.iter().any(|line| line.trim_end().ends_with(&format!(" {port}")))).map(|(slot, _)| slot).collect()
    }

    pub(crate) fn pid(&self, slot: &str) -> i32 {
        fs::read_to_string(self.run(&format!("{slot}.pid"))).unwrap().trim().parse().unwrap()
    }

    /// All that can be seen: what the front leads to, what runs, what is recorded, and how many releases are unpacked.
    #[track_caller]
    fn picture(&self) -> (Option<String>, Vec<&'static str>, Value, usize) {
        let mut status = self.status();
        status["since"] = Value::Null;
        let unpacked = fs::read_dir(self.project.join(".git/shipway/unpacked/production")).into_iter().flatten().count();
        (self.page(), self.running(), status, unpacked)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        for line in processes(&self.run("server.py").to_string_lossy()) {
            let pid = line.split(' ').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw).unwrap();
            let _gone = kill_process(pid, Signal::KILL);
        }
        // What nobody may write to would stay.
        let _unforbidden = Command::new("chmod").args(["-R", "u+w"]).arg(self.project.path()).status();
    }
}

/// Asks the server that `front` names; one that has just ended is asked for again by who took over, as a balancer does.
fn ask(front: &Path) -> Option<String> {
    let mut refused = None;
    loop {
        let port: u16 = fs::read_to_string(front).ok()?.trim().parse().ok()?;
        if refused == Some(port) {
            return None;
        }
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
            refused = Some(port);
            continue;
        };
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, page) = answer.split_once("\r\n\r\n")?;
        return head.split(' ').nth(1).filter(|status| *status == "200").map(|_| page.to_owned());
    }
}

/// Clients that ask all the time.
struct Clients {
    is_over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    fn of(shop: &Shop) -> Self {
        let (is_over, asked, failed) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let threads = (0..2).map(|_| {
            let (is_over, asked, failed, front) = (is_over.clone(), asked.clone(), failed.clone(), shop.run("front"));
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    failed.fetch_add(usize::from(ask(&front).is_none()), Ordering::Relaxed);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let threads = threads.collect();
        Self { is_over, asked, failed, threads }
    }

    /// Ends them; returns how many requests there were, and how many failed.
    fn end(self) -> (usize, usize) {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        (self.asked.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

#[test]
fn releases_take_turns_in_two_slots() {
    let Some(shop) = Shop::new() else { return };
    for (page, slot) in [("hello 1\n", "blue"), ("hello 2\n", "green"), ("hello 3\n", "blue")] {
        let said = shop.promote(page, 0);
        assert!(!said.contains("left a process running"), "{said}");
        assert_eq!((shop.page().as_deref(), shop.running()), (Some(page), vec![slot]));
        let status = shop.status();
        assert_eq!((&status["slot"], &status["verified"]), (&Value::from(slot), &Value::from(true)));
    }
    let said = shop.shipway(&["status"]).exits(0).stdout;
    assert!(said.contains(" in the slot `blue` since "), "{said}");
    assert_eq!(shop.picture().3, 2, "what serves, and what a rollback leads to");
    shop.shipway(&["rollback", "production", "--reason", "slow"]).exits(0);
    assert_eq!((shop.page().as_deref(), shop.running()), (Some("hello 2\n"), vec!["green"]));
    // Nobody may write to what is served.
    let folder = fs::read_to_string(shop.run("green.dir")).unwrap();
    let mode = fs::metadata(Path::new(folder.trim()).join("page.html")).unwrap().permissions();
    assert!(mode.readonly());
}

#[test]
fn one_that_never_gets_ready_leaves_the_old_one_serving() {
    let short = |file: &str| file.replace("READY", "5s");
    let Some(shop) = Shop::with(short) else { return };
    let said = shop.promote("sick\n", 4);
    assert!(said.contains("it was not ready after 5s: http://127.0.0.1:"), "{said}");
    assert_eq!((shop.page(), shop.running()), (None, vec![]), "the first of all");
    assert_eq!(shop.status()["slot"], Value::Null);
    let said = shop.promote("hello 1\n", 0);
    assert!(said.contains("verified"), "{said}");
    let before = shop.status()["slot"].clone();
    let said = shop.promote("sick 2\n", 4);
    assert!(said.contains("rolled back"), "{said}");
    assert_eq!((shop.page().as_deref(), shop.running().len()), (Some("hello 1\n"), 1));
    assert_eq!(shop.status()["slot"], before);
}

#[test]
fn what_could_not_be_ended_is_before_another_one_comes_to_its_slot() {
    let Some(shop) = Shop::with(|file| file.replace("observe = ", "# observe = ")) else { return };
    // A start that does not replace what has its port, and a stop that may fail: the old server would answer that the new one is ready.
    let replaces = "  if [ -e \"$slot.pid\" ]; then\n    if lives && [ \"$(cat \"$slot.dir\")\" = \"$3\" ]; then exit 0; fi\n    \"$0\" stop \"$2\"\n  fi\n";
    let app = shop.project.read("app").replace(replaces, "  [ -e \"$slot.pid\" ] && exit 0\n");
    shop.project.script("app", &app.replace("stop)\n", "stop)\n  if [ -e \"$RUN/stuck\" ]; then echo \"it is stuck\"; exit 1; fi\n"));
    shop.commit("app");
    shop.promote("hello 0\n", 0);
    fs::write(shop.run("stuck"), "").unwrap();
    let said = shop.promote("hello 1\n", 0);
    assert!(said.contains("it is stuck"), "{said}");
    assert_eq!((shop.page().as_deref(), shop.running()), (Some("hello 1\n"), vec!["blue", "green"]));
    let (bad, _) = shop.release("hello 2\n");
    let said = shop.shipway(&["promote", "production"]).exits(4).stderr;
    assert!(said.contains(" may still run in its slot, and could not be ended: ") && said.contains("it is stuck"), "{said}");
    assert_eq!((shop.page().as_deref(), shop.running()), (Some("hello 1\n"), vec!["blue", "green"]));
    fs::remove_file(shop.run("stuck")).unwrap();
    shop.shipway(&["promote", "production", &bad]).exits(0);
    assert_eq!((shop.page().as_deref(), shop.running()), (Some("hello 2\n"), vec!["blue"]));
    let said = shop.shipway(&["log"]).exits(0).stdout;
    assert_eq!(said.matches("production: stop did not work: ").count(), 2, "{said}");
}

#[test]
fn no_request_is_lost_on_the_way_there_and_back() {
    let Some(shop) = Shop::new() else { return };
    shop.promote("hello 1\n", 0);
    let clients = Clients::of(&shop);
    let said = shop.promote("bye\n", 4);
    assert!(said.contains("production: rolled back"), "{said}");
    assert_eq!((shop.page().as_deref(), shop.running()), (Some("hello 1\n"), vec!["blue"]));
    shop.promote("hello 2\n", 0);
    shop.shipway(&["rollback", "production", "--reason", "x"]).exits(0);
    let (asked, failed) = clients.end();
    assert!(asked > 0);
    assert_eq!(failed, 0, "of {asked} requests");
    // The control: one that is ended while it serves.
    let clients = Clients::of(&shop);
    shop.running().iter().for_each(|slot| kill_process(Pid::from_raw(shop.pid(slot)).unwrap(), Signal::KILL).unwrap());
    until("a request failed", || clients.failed.load(Ordering::Relaxed) > 0);
    clients.end();
    // It is started again by whoever goes on there.
    shop.shipway(&["resume", "production", "--reason", "x"]).exits(0);
    shop.promote("hello 3\n", 0);
    assert_eq!((shop.page().as_deref(), shop.running().len()), (Some("hello 3\n"), 1));
}

#[test]
fn going_back_starts_what_does_not_run_any_more() {
    let Some(shop) = Shop::new() else { return };
    shop.promote("hello 1\n", 0);
    kill_process(Pid::from_raw(shop.pid("blue")).unwrap(), Signal::KILL).unwrap();
    shop.promote("bye\n", 4);
    assert_eq!((shop.page().as_deref(), shop.running()), (Some("hello 1\n"), vec!["blue"]));
}

#[test]
fn a_rollback_that_was_begun_is_gone_on_with_and_not_undone() {
    for word in ["rollback", "abort"] {
        let Some(shop) = Shop::new() else { return };
        shop.promote("hello 0\n", 0);
        shop.promote("hello 1\n", 0);
        fs::write(shop.run("kill"), "").unwrap();
        assert_eq!(shop.command(&["rollback", "production", "--reason", "slow"]).output().unwrap().status.code(), None, "it was killed");
        let said = shop.shipway(&[word, "production", "--reason", "slow"]).exits(0).stderr;
        assert!(said.contains(" serves, verified"), "{said}");
        assert_eq!((shop.page().as_deref(), shop.running().len()), (Some("hello 0\n"), 1));
        assert_eq!(shop.status()["verified"], true);
    }
}

#[test]
fn what_was_verified_is_not_taken_back_while_the_one_before_is_ended() {
    let Some(shop) = Shop::with(|file| file.replace("pass-env", "keep = \"2s\"\npass-env")) else { return };
    let killed = "stop)\n  if [ -e \"$RUN/killstop\" ]; then rm \"$RUN/killstop\"; kill -9 $PPID; sleep 5; fi\n";
    shop.project.script("app", &APP.replace("stop)\n", killed));
    shop.commit("app");
    shop.promote("hello 0\n", 0);
    for (word, page) in [("abort", "hello 1\n"), ("rollback", "hello 1\n")] {
        shop.promote(if word == "abort" { page } else { "hello 2\n" }, 0);
        fs::write(shop.run("killstop"), "").unwrap();
        until("it is due, and killed", || shop.command(&["settle"]).output().unwrap().status.code().is_none());
        shop.shipway(&[word, "production", "--reason", "x"]).exits(0);
        assert_eq!((shop.page().as_deref(), shop.status()["verified"].clone()), (Some(page), true.into()), "{word}");
        let said = shop.shipway(&["log"]).exits(0).stdout;
        assert!(!said.contains("goes back"), "{said}");
    }
}

#[test]
fn a_plan_says_that_what_is_kept_is_ended_before_it_is_started_again() {
    let Some(shop) = Shop::with(|file| file.replace("pass-env", "keep = \"1h\"\npass-env")) else { return };
    let (first, _) = shop.release("hello 0\n");
    shop.shipway(&["promote", "production"]).exits(0);
    shop.promote("hello 1\n", 0);
    let said = shop.shipway(&["plan", "production", &first]).exits(0).stdout;
    assert!(said.contains("stop     $ ./app stop blue\nstart    $ ./app start blue "), "{said}");
    fs::remove_file(shop.run("calls")).unwrap();
    shop.shipway(&["promote", "production", &first]).exits(0);
    assert!(fs::read_to_string(shop.run("calls")).unwrap().starts_with("stop blue\nstart blue\n"));
}

#[test]
fn whoever_answers_before_it_is_started_is_not_taken_for_a_release() {
    let Some(shop) = Shop::with(|file| file.replace("observe = ", "# observe = ")) else { return };
    shop.promote("hello 0\n", 0);
    // Somebody tries something out in the slot that is free.
    fs::create_dir(shop.run("other")).unwrap();
    fs::write(shop.run("other/page.html"), "hello from somebody\n").unwrap();
    let mut other = Command::new("python3");
    let mut other = other.arg(shop.run("server.py")).arg(shop.run("other")).arg(shop.ports[1].to_string()).spawn().unwrap();
    until("it listens", || TcpStream::connect(("127.0.0.1", shop.ports[1])).is_ok());
    let said = shop.promote("hello 1\n", 4);
    assert!(
        said.contains(&format!("start: whoever answers on port {} did so before the release was started there", shop.ports[1])),
        "{said}"
    );
    assert_eq!(shop.page().as_deref(), Some("hello 0\n"));
    other.kill().unwrap();
    other.wait().unwrap();
    shop.release("hello 2\n");
    shop.shipway(&["promote", "production"]).exits(0);
    assert_eq!(shop.page().as_deref(), Some("hello 2\n"));
}

#[test]
fn what_serves_by_another_target_is_not_said_to_serve_by_this_one() {
    let Some(shop) = Shop::new() else { return };
    shop.promote("hello 0\n", 0);
    let site = shop.run("site");
    let file = shop
        .project
        .read("pipeline.toml")
        .replacen("target = \"web\"", "target = \"site\"", 1)
        .replace("verify = [[\"./verify\", \"{slot}\"]]", "");
    shop.project.write("pipeline.toml", format!("{file}\n[targets.site]\nkind = \"directory\"\npath = \"{}\"\n", site.display()));
    shop.commit("site");
    let said = shop.shipway(&["plan", "production"]).exits(0);
    assert!(
        !said.stdout.contains("nothing  to be done") && said.stderr.contains("(`command web`): nothing moves or ends it"),
        "{}",
        said.stderr
    );
    let said = shop.shipway(&["promote", "production"]).exits(0).stderr;
    assert!(said.contains("(`command web`): nothing moves or ends it"), "{said}");
    assert_eq!(fs::read_to_string(site.join("current/page.html")).unwrap(), "hello 0\n");
    let said = shop.shipway(&["promote", "production"]).exits(0).stderr;
    assert!(said.contains("serves there already, verified"), "{said}");
}

#[test]
fn a_shift_that_fails_is_taken_back() {
    let Some(shop) = Shop::new() else { return };
    shop.promote("hello 1\n", 0);
    fs::write(shop.run("broken"), "green\n").unwrap();
    let said = shop.promote("hello 2\n", 4);
    assert!(said.contains("shift to 100 %: a step failed"), "{said}");
    assert_eq!((shop.page().as_deref(), shop.running()), (Some("hello 1\n"), vec!["blue"]));
    // Where it does not work in either direction nobody knows what serves.
    fs::write(shop.run("broken"), "green\nblue\n").unwrap();
    let said = shop.promote("hello 3\n", 5);
    assert!(said.contains("the rollback failed: shift to 100 %"), "{said}");
    fs::remove_file(shop.run("broken")).unwrap();
    shop.promote("hello 4\n", 0);
    assert_eq!((shop.page().as_deref(), shop.running().len()), (Some("hello 4\n"), 1));
}

#[test]
fn a_shift_that_lies_is_found_out() {
    let Some(shop) = Shop::new() else { return };
    let (first, name) = shop.release("hello 1\n");
    fs::write(shop.run("lie"), "\n").unwrap();
    let said = shop.shipway(&["promote", "production"]).exits(4).stderr;
    assert!(said.contains("shift to 100 %: the target says that nothing serves"), "{said}");
    assert_eq!((shop.page(), shop.running()), (None, vec![]));
    // By its name it is known, too.
    fs::write(shop.run("lie"), format!("serving\n{name}\n\n")).unwrap();
    shop.shipway(&["promote", "production", &first]).exits(0);
    let said = shop.promote("hello 2\n", 4);
    assert!(said.contains(&format!("the target says that `{name}` ({}) serves", &first[..12])), "{said}");
    assert_eq!((shop.page().as_deref(), shop.running().len()), (Some("hello 1\n"), 1));
}

#[test]
fn what_was_changed_by_hand_is_unpacked_anew() {
    let Some(shop) = Shop::new() else { return };
    shop.promote("hello 1\n", 0);
    shop.promote("hello 2\n", 0);
    let folder = shop.project.join(".git/shipway/unpacked/production");
    for release in fs::read_dir(&folder).unwrap() {
        let page = release.unwrap().path().join("page.html");
        fs::set_permissions(&page, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        fs::write(&page, "hello 3\n").unwrap();
    }
    shop.shipway(&["rollback", "production", "--reason", "x"]).exits(0);
    assert_eq!(shop.page().as_deref(), Some("hello 1\n"));
}

#[test]
fn without_slots_what_is_started_replaces_what_serves() {
    let one = |file: &str| {
        let file = file.replace("slots = { blue = { port = BLUE }, green = { port = GREEN } }\n", "").replace("{slot}", "blue");
        file.replace("{port}", "BLUE").replace("[\"./verify\", \"blue\"]", "\"grep -q hello {dir}/page.html\"").replace("READY", "5s")
    };
    let Some(shop) = Shop::with(one) else { return };
    let said = shop.promote("sick\n", 4);
    assert!(said.contains("nothing serves"), "{said}");
    assert_eq!((shop.page(), shop.running()), (None, vec![]));
    for page in ["hello 1\n", "hello 2\n"] {
        shop.promote(page, 0);
        assert_eq!((shop.page().as_deref(), shop.running()), (Some(page), vec!["blue"]));
    }
    assert_eq!(shop.status()["slot"], Value::Null);
    for page in ["sick 2\n", "bye\n"] {
        let said = shop.promote(page, 4);
        assert!(said.contains("rolled back"), "{said}");
        assert_eq!((shop.page().as_deref(), shop.running()), (Some("hello 2\n"), vec!["blue"]));
    }
}

/// Kills the promotion of one release after the other at each change of the ledger, then acts; `is_new` says whether the new release of this
/// id must serve then, or the one before. Returns how often it was killed.
#[track_caller]
fn at_each_boundary(page: &str, act: &[&str], is_new: impl Fn(&Shop, &str) -> bool) -> Option<usize> {
    let shop = Shop::new()?;
    shop.promote("hello 0\n", 0);
    let (mut serving, mut number) = ("hello 0\n".to_owned(), 0);
    Some(at_each_change(|at, when| {
        number += 1;
        let page = format!("{page} {number}\n");
        let (id, _) = shop.release(&page);
        let before = shop.status()["slot"].clone();
        if !killed(shop.command(&["promote", "production"]), shop.outside.path(), at, when) {
            serving = shop.page().unwrap();
            return false;
        }
        let is_new = is_new(&shop, &id);
        if is_new {
            serving = page;
        }
        let said = shop.shipway(act).stderr;
        let (now, running, status, unpacked) = shop.picture();
        let context = format!("{when} change {at}, {unpacked} unpacked: {status}\n{said}");
        assert_eq!(now.as_deref(), Some(&*serving), "{context}");
        assert_eq!((running, is_new), (vec![status["slot"].as_str().unwrap()], status["slot"] != before), "{context}");
        assert!(status["ongoing"].is_null() && status["verified"] == true && unpacked <= 2, "{context}");
        true
    }))
}

#[test]
fn a_killed_promotion_goes_on_to_the_same_end() {
    let Some(kills) = at_each_boundary("hello", &["promote", "production"], |_, _| true) else { return };
    assert!(kills >= 18, "{kills} kills");
}

#[test]
fn a_killed_promotion_can_be_aborted_from_everywhere() {
    // Where the end was written already there is nothing to abort.
    let is_over = |shop: &Shop, id: &str| {
        let status = shop.status();
        status["release"]["id"] == id && status["ongoing"].is_null()
    };
    let Some(kills) = at_each_boundary("hello", &["abort", "production", "--reason", "stop"], is_over) else { return };
    assert!(kills >= 18, "{kills} kills");
}

#[test]
fn a_killed_way_back_goes_on_to_the_same_end() {
    let Some(kills) = at_each_boundary("bye", &["settle"], |_, _| false) else { return };
    assert!(kills >= 28, "{kills} kills");
}

#[test]
fn what_was_started_outlives_a_shipway_that_is_killed_in_a_later_step() {
    let Some(shop) = Shop::new() else { return };
    // In the first slot it is in the group of its step, in the second it fled it and shows no owner.
    for (page, slot) in [("hello 1\n", "blue"), ("hello 2\n", "green")] {
        shop.release(page);
        fs::write(shop.run("kill"), "").unwrap();
        let killed = shop.shipway(&["promote", "production"]);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9), "{}", killed.stderr);
        let pid = shop.pid(slot);
        let guard = fs::read_to_string(shop.run("guard")).unwrap();
        let guard = format!("{} ", guard.trim());
        until("its guard has ended", || !processes("__guard").iter().any(|line| line.starts_with(&guard)));
        assert!(shop.running().contains(&slot), "the guard has ended it");
        if slot == "blue" {
            let worker = fs::read_to_string(shop.run("worker")).unwrap().trim().parse().ok().and_then(Pid::from_raw).unwrap();
            assert!(processes("sleep 1000").iter().any(|line| line.starts_with(&format!("{worker} "))), "the guard has ended its worker");
            kill_process(worker, Signal::KILL).unwrap();
        }
        shop.shipway(&["promote", "production"]).exits(0);
        assert_eq!((shop.pid(slot), shop.running()), (pid, vec![slot]), "it was not started again");
    }
}

#[test]
fn whoever_waits_until_it_is_ready_can_be_interrupted() {
    let Some(shop) = Shop::new() else { return };
    shop.promote("hello 1\n", 0);
    shop.release("sick\n");
    let mut child = start(shop.command(&["promote", "production"]));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("production: waits until it is ready, at most 1m (not yet: http://127.0.0.1:")));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(lines.any(|line| {
        line.contains("production: interrupted; `shipway promote production` goes on, `shipway abort production --reason R` goes back")
    }));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let status = shop.status();
    assert_eq!((&status["slot"], &status["ongoing"]["slot"]), (&Value::from("blue"), &Value::from("green")));
    shop.shipway(&["abort", "production", "--reason", "sick"]).exits(0);
    assert_eq!((shop.page().as_deref(), shop.running()), (Some("hello 1\n"), vec!["blue"]));
}

#[test]
fn a_command_may_say_that_it_is_ready() {
    // It asks the server by itself, and is told of the slot.
    let asks = "{ command = \"test {slot} = $SHIPWAY_SLOT; test -e $RUN/{slot}.ready || { echo not there; exit 1; }\", timeout = \"5s\" }";
    let with = |file: &str| {
        let (head, rest) = file.split_once("ready = ").unwrap();
        format!("{head}ready = {}{}", asks.replace("{ echo", "{{ echo").replace("1; }", "1; }}"), &rest[rest.find('\n').unwrap()..])
    };
    let Some(shop) = Shop::with(with) else { return };
    let said = shop.promote("hello 1\n", 4);
    assert!(said.contains("it was not ready after 5s: `test ") && said.contains("exits with code 1: not there"), "{said}");
    assert!(shop.running().is_empty());
    fs::write(shop.run("blue.ready"), "").unwrap();
    shop.promote("hello 2\n", 0);
    // What counts is what the command says, and that says nothing of the server.
    until("the server listens", || shop.page().is_some());
    assert_eq!((shop.page().as_deref(), shop.running()), (Some("hello 2\n"), vec!["blue"]));
}

#[test]
fn a_plan_says_how_long_it_may_take_and_where_a_rollback_leads() {
    let limited = |file: &str| file.replace("pass-env", "timeout = \"10s\"\npass-env");
    let Some(shop) = Shop::with(limited) else { return };
    shop.promote("hello 1\n", 0);
    shop.release("hello 2\n");
    let said = shop.shipway(&["plan", "production"]).exits(0).stdout;
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.contains(&"deploy   to the target `web` in the slot `green`"), "{said}");
    let green = shop.ports[1];
    for line in [
        format!("start    $ ./app start green '{{dir}}' {green}"),
        format!("ready    http://127.0.0.1:{green}/up, within 1m"),
        format!("shift    $ ./lb shift green {green} '{{weight}}'"),
        "verify   $ ./verify green".to_owned(),
        "stop     $ ./app stop blue".to_owned(),
    ] {
        assert!(lines.contains(&&*line), "{line} in {said}");
    }
    // Five commands of at most ten seconds, and a minute to get ready.
    assert!(lines.contains(&"time     shortest 0s, longest 1m 50s"), "{said}");
    assert!(said.contains(" in the slot `blue`; longest 1m 50s"), "{said}");
    assert_eq!(shop.running(), ["blue"], "nothing was done");
}

#[test]
fn a_target_of_commands_is_asked_what_serves() {
    let Some(shop) = Shop::new() else { return };
    let drift = |code: i32| shop.shipway(&["status", "production", "--drift"]).exits(code).stdout;
    assert!(drift(0).contains("drift unknown (no release serves that the target could be told of)"));
    let (first, _) = shop.release("hello 1\n");
    let said = shop.shipway(&["promote", "production"]).exits(0).stderr;
    assert!(!said.contains("drift"), "nothing is unknown that somebody could tell: {said}");
    let said = shop.promote("hello 2\n", 0);
    assert!(!said.contains("drift") && drift(0).contains("; in sync\n"), "{said}");
    let said = shop.shipway(&["status", "--drift", "--format", "json"]).exits(0).stdout;
    assert_eq!(
        serde_json::from_str::<Value>(&said).unwrap()["environments"][0]["drift"]["verdict"],
        "in-sync",
        "what it prints is no result"
    );
    fs::write(shop.run("lie"), &first).unwrap();
    assert!(drift(1).contains(&format!("({}))\n", &first[..12])));
    let said = shop.promote("hello 3\n", 1);
    assert!(said.contains("production: drifted (expected `"), "{said}");
    // One that cannot answer is no reason to go without a release that may mend it.
    fs::remove_file(shop.run("lie")).unwrap();
    fs::create_dir(shop.run("lie")).unwrap();
    assert!(drift(0).contains("drift unknown (a step failed"));
    fs::remove_dir(shop.run("lie")).unwrap();
    shop.shipway(&["promote", "production"]).exits(0);
    assert_eq!(shop.page().as_deref(), Some("hello 3\n"));
}
