//! A real load balancer, `HAProxy`, steered through its admin socket: whatever becomes of a rollout, no request is lost, and each zero stands
//! beside a control in which some are.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use shipway::delivery::load::{Load, Tally};
use shipway::model::service::Address;

use crate::command_target::Shop;
use crate::project::{finish, processes, start, tool, until};
use crate::rollout::{Front, ROLLOUT, Stage, ask, at_boundaries, is_over, nothing_is_lost, short};
use crate::scale::size;

/// Tries nothing twice, so that nothing is hidden. The addresses of the servers are told by `shift`.
const CONFIG: &str = r"
global
  stats socket RUN/admin level admin
  maxconn 256
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  retries 0
frontend web
  bind fd@0
  use_backend other if { path_beg /other }
  default_backend app
backend app
  http-response set-header X-Slot %s
  server blue 127.0.0.1:1 weight 100 disabled
  server green 127.0.0.1:1 weight 100 disabled
backend other
  server red 127.0.0.1:1 weight 100 disabled
  server black 127.0.0.1:1 weight 100 disabled
";

/// Weights are absolute, who gains gains first, and a server is drained before it is ended. A shift first does what the file `odd` says.
const LB: &str = r#"#!/usr/bin/env python3
import csv, os, socket, sys, time
run = os.environ["RUN"]

def tell(*commands):
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(run + "/admin")
        admin.sendall("; ".join(commands).encode() + b"\n")
        return b"".join(iter(lambda: admin.recv(65536), b"")).decode().strip()

def change(*commands):
    if answer := tell(*commands):
        sys.exit("haproxy says: " + answer)

def note(name, line):
    with open(run + "/" + name, "a") as file:
        file.write(line + "\n")

def servers(backend):
    lines = tell("show stat " + backend + " 4 -1")[2:].splitlines()
    return {row["svname"]: row for row in csv.DictReader(lines)}

OTHERS = {"blue": "green", "green": "blue", "red": "black", "black": "red"}
verb, slot = sys.argv[1:3]
backend = "app" if slot in ("blue", "green", "app") else "other"
if verb == "shift":
    port, weight, other = sys.argv[3], int(sys.argv[4]), OTHERS[slot]
    note("shifts", f"{slot} {weight}")
    if os.path.exists(run + "/odd"):
        exec(open(run + "/odd").read())
    tell(f"set server {backend}/{slot} addr 127.0.0.1 port {port}")
    unit = "%" if os.path.exists(run + "/relative") else ""
    for share, name in sorted([(weight, slot), (100 - weight, other)], reverse=True):
        change(f"set server {backend}/{name} weight {share}{unit}", *[f"set server {backend}/{name} state ready"] * (share > 0))
elif verb == "drain":
    note("drains", slot)
    if not os.path.exists(run + "/hasty"):
        change(f"set server {backend}/{slot} state drain")
        while int(servers(backend)[slot]["scur"]):
            time.sleep(0.005)
        change(f"set server {backend}/{slot} state maint")
elif verb == "which":
    serving = [name for name, row in servers(slot).items() if row["status"] != "MAINT" and row["weight"] == "100"]
    print(*[os.path.basename(open(f"{run}/{name}.dir").read().strip()) for name in serving])
"#;

/// Keeps connections open, and lets whoever asks for something slow wait for a file.
const SERVER: &str = r#"
import http.server, os, sys, time
run, page = os.path.dirname(sys.argv[0]), open(sys.argv[1] + "/page.html").read()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        if self.path == "/slow":
            open(run + "/slow", "w").close()
            while not os.path.exists(run + "/go"):
                time.sleep(0.005)
        self.send_response(503 if page.startswith("sick") else 200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page.encode())
    def log_message(self, *words):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64
Server(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"#;

/// Some clients open a connection for each request, and one keeps its.
const CLIENTS: [u32; 3] = [1, 1, 100];

pub(crate) const HAPROXY: Front = Front { script: LB, start: |shop| haproxy(shop, CONFIG) };

/// The mistake that is easily made: of a configured weight of 0, any percentage is 0.
pub(crate) const WEIGHTLESS: Front = Front { script: LB, start: |shop| haproxy(shop, &CONFIG.replace("weight 100", "weight 0")) };

/// The front as a child that listens on a port from its first moment on.
fn haproxy(shop: &Shop, config: &str) -> (Child, u16) {
    fs::write(shop.run("server.py"), SERVER).unwrap();
    fs::write(shop.run("haproxy.cfg"), config.replace("RUN", shop.outside.path().to_str().unwrap())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut command = Command::new(program().unwrap());
    command.args(["-db", "-f"]).arg(shop.run("haproxy.cfg")).stdin(OwnedFd::from(listener));
    let child = command.stdout(Stdio::null()).stderr(File::create(shop.run("haproxy.log")).unwrap()).spawn().unwrap();
    until("HAProxy can be told something", || UnixStream::connect(shop.run("admin")).is_ok());
    (child, port)
}

/// Where `HAProxy` is: where Debian puts it, or in PATH.
pub(crate) fn program() -> Option<String> {
    let debian = "/usr/sbin/haproxy";
    if Path::new(debian).is_file() { Some(debian.to_owned()) } else { tool("haproxy") }
}

pub(crate) fn drained(file: &str) -> String {
    let file = file.replace("[\"./app\", \"stop\", \"{slot}\"]", "\"./lb drain '{slot}' && ./app stop '{slot}'\"");
    file.replace("[\"./lb\", \"which\"]", "[\"./lb\", \"which\", \"app\"]")
}

/// The file with these lines and a second target `other`, which has slots and an address of its own.
pub(crate) fn second(file: &str, lines: &str) -> String {
    // Both are held until both are known.
    let free = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let [red, black] = free.map(|listener| listener.local_addr().unwrap().port().to_string());
    let (head, target) = file.split_once("[targets.web]").unwrap();
    let other = target.replace("\"app\"", "\"other\"").replace("BLUE", &red).replace("GREEN", &black);
    let other = other.replace("blue =", "red =").replace("green =", "black =");
    format!("{head}{lines}[targets.other]{other}[targets.web]{target}")
}

/// A shop behind `HAProxy` with one release in it; `None` where there is none.
fn stage(keys: &str) -> Option<Stage> {
    program()?;
    Stage::behind(&HAPROXY, keys, drained)
}

impl Stage {
    pub(crate) fn odd(&self, script: &str) {
        fs::write(self.shop.run("odd"), script).unwrap();
    }
}

/// From now on only the release with this page answers.
#[track_caller]
fn is_served(load: &Load, page: &str) {
    let answers = load.measure(200, || true);
    assert_eq!((answers.of(|answer| answer == page), answers.lost), (answers.answered(), 0), "{answers:?}");
    assert!(answers.answered() >= 200);
}

#[test]
fn haproxy_splits_exactly_and_loses_nothing_on_the_way_to_all() {
    let Some(stage) = stage(&format!("{ROLLOUT}pause = \"1ms\"")) else { return };
    // One that keeps its connection would take turns which the others do not see.
    let load = stage.load(&[1, 1]);
    is_served(&load, "hello 0\n");
    stage.shop.release("hello 1\n");
    for weight in [5, 25, 50] {
        stage.step();
        // Whoever gets more gets all of it in the round that goes on: one of a hundred requests.
        load.measure(100, || true);
        let answers = load.measure(400, || true);
        let new = answers.of(|answer| answer == "hello 1\n");
        assert!(new.abs_diff(answers.answered() * weight / 100) <= 2, "{weight} %: {answers:?}");
    }
    stage.shop.shipway(&["promote", "production"]).exits(0);
    is_served(&load, "hello 1\n");
    nothing_is_lost(load);
    assert_eq!(stage.taken("shifts"), ["green 5", "green 25", "green 50", "green 100"]);
    assert_eq!((stage.taken("drains"), stage.shop.running()), (vec!["blue".to_owned()], vec!["green"]));
    let status = stage.shop.status();
    assert_eq!((&status["slot"], &status["verified"]), (&"green".into(), &true.into()));
}

#[test]
fn an_analysis_that_says_no_at_any_weight_costs_nobody_a_request() {
    let Some(stage) = stage(&format!("{ROLLOUT}pause = \"1ms\"")) else { return };
    let load = stage.load(&CLIENTS);
    for weight in [5, 25, 50] {
        stage.says(&format!("[ $3 != {weight} ] || exit 1"));
        let said = stage.shop.promote(&format!("hello to {weight}\n"), 4);
        assert!(said.contains(&format!("analysis at {weight} %: no")), "{said}");
        is_served(&load, "hello 0\n");
        assert_eq!(stage.taken("shifts").last().unwrap(), "blue 100");
        assert_eq!((stage.shop.running(), &stage.shop.status()["verified"]), (vec!["blue"], &true.into()));
    }
    nothing_is_lost(load);
}

#[test]
fn what_is_bad_is_seen_by_no_more_than_the_plan_says() {
    let rollout = ROLLOUT.replace("every = \"1ms\"", "every = \"100ms\"");
    let Some(stage) = stage(&format!("{rollout}pause = \"1m\"")) else { return };
    stage.says("exit 1");
    stage.shop.release("hello 1\n");
    let said = stage.shop.shipway(&["plan", "production"]).exits(0).stdout;
    assert!(
        said.contains(
            "\nrisk     of the requests: 5 %, 25 %, 50 %, each for up to 200ms, or 400ms where the analysis cannot tell; 100 % until `verify` has ended\n"
        ),
        "{said}"
    );
    let load = stage.load(&CLIENTS);
    stage.shop.shipway(&["promote", "production"]).exits(4);
    is_served(&load, "hello 0\n");
    // Never more than that share, and for two looks, which are so far apart.
    assert_eq!((stage.taken("shifts"), stage.taken("looks").len()), (vec!["green 5".to_owned(), "blue 100".to_owned()], 2));
    let counted = load.end();
    let bad = counted.of(|answer| answer == "hello 1\n");
    assert!(bad > 0 && bad * 100 <= counted.answered() * 6, "{counted:?}");
    assert_eq!(counted.lost, 0, "{counted:?}");
}

#[test]
fn blue_and_green_change_places_and_back_without_a_loss() {
    let Some(stage) = stage("rollout = [100]\nkeep = \"1h\"") else { return };
    let load = stage.load(&CLIENTS);
    stage.shop.promote("hello 1\n", 0);
    is_served(&load, "hello 1\n");
    assert_eq!((stage.taken("shifts"), stage.shop.running()), (vec!["green 100".to_owned()], vec!["blue", "green"]));
    // One that does not work goes back by itself.
    let said = stage.shop.promote("bye\n", 4);
    assert!(said.contains("rolled back"), "{said}");
    is_served(&load, "hello 1\n");
    assert_eq!(stage.shop.running(), ["green"], "the one before needed the slot");
    stage.shop.promote("hello 2\n", 0);
    let pid = stage.shop.pid("green");
    stage.taken("shifts");
    // As long as it is kept, one shift leads back.
    stage.shop.shipway(&["rollback", "production", "--reason", "slow"]).exits(0);
    is_served(&load, "hello 1\n");
    assert_eq!((stage.taken("shifts"), stage.shop.pid("green")), (vec!["green 100".to_owned()], pid), "it was not started again");
    assert_eq!(stage.shop.running(), ["green"]);
    nothing_is_lost(load);
}

#[test]
fn what_is_not_kept_any_more_is_started_again_for_a_rollback() {
    let Some(stage) = stage("rollout = [50, 100]\npause = \"1ms\"\nkeep = \"1ms\"") else { return };
    let load = stage.load(&CLIENTS);
    let pid = stage.shop.pid("blue");
    stage.shop.promote("hello 1\n", 0);
    until("the one before is ended", || {
        stage.shop.shipway(&["settle"]).exits(0);
        stage.shop.running() == ["green"]
    });
    is_served(&load, "hello 1\n");
    stage.shop.shipway(&["rollback", "production", "--reason", "slow"]).exits(0);
    is_served(&load, "hello 0\n");
    assert_ne!(stage.shop.pid("blue"), pid);
    assert_eq!(stage.shop.running(), ["blue"]);
    nothing_is_lost(load);
}

#[test]
fn an_abort_loses_nothing_in_any_state() {
    let Some(stage) = stage(&format!("{ROLLOUT}pause = \"manual\"\nkeep = \"1h\"")) else { return };
    let load = stage.load(&CLIENTS);
    let abort = || stage.shop.shipway(&["abort", "production", "--reason", "stop"]).exits(0).stderr;
    for (number, weight) in [5, 25, 50].into_iter().enumerate() {
        stage.shop.promote(&format!("hello at {weight}\n"), 75);
        for _ in 0..number {
            stage.shop.shipway(&["resume", "production", "--reason", "on"]).exits(0);
            stage.shop.shipway(&["promote", "production"]).exits(75);
        }
        assert_eq!(stage.weight(), weight);
        if weight == 25 {
            stage.shop.shipway(&["pause", "production", "--reason", "odd"]).exits(0);
        }
        abort();
        is_served(&load, "hello 0\n");
        assert_eq!(stage.shop.running(), ["blue"], "at {weight} %");
        if weight == 25 {
            stage.shop.shipway(&["resume", "production", "--reason", "on"]).exits(0);
        }
    }
    // Nothing is on its way any more: neither before nor behind what is kept.
    assert!(abort().contains("nothing is on its way"));
    stage.shop.promote("hello 1\n", 75);
    for code in [75, 75, 0] {
        stage.shop.shipway(&["resume", "production", "--reason", "on"]).exits(0);
        stage.shop.shipway(&["promote", "production"]).exits(code);
    }
    assert!(abort().contains("nothing is on its way"));
    is_served(&load, "hello 1\n");
    assert_eq!(stage.shop.running(), ["blue", "green"]);
    nothing_is_lost(load);
}

#[test]
fn an_abort_is_heard_by_whoever_waits_in_a_pause() {
    let Some(stage) = stage("rollout = [50, 100]\npause = \"1h\"") else { return };
    let load = stage.load(&CLIENTS);
    stage.shop.release("hello 1\n");
    let mut child = start(stage.shop.command(&["promote", "production"]));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("▶ 50 %")));
    let answers = load.measure(200, || true);
    assert!(answers.of(|answer| answer == "hello 1\n").abs_diff(100) <= 30, "{answers:?}");
    stage.shop.shipway(&["abort", "production", "--reason", "stop"]).exits(0);
    assert!(lines.any(|line| line.contains("rolled back")));
    assert_eq!(child.wait().unwrap().code(), Some(4));
    is_served(&load, "hello 0\n");
    assert_eq!(stage.shop.running(), ["blue"]);
    nothing_is_lost(load);
}

#[test]
fn a_shipway_that_is_killed_anywhere_loses_nothing_when_somebody_goes_on() {
    let Some(stage) = stage(&short()) else { return };
    let (load, nth) = (stage.load(&[100]), size(4, 1));
    let kills = at_boundaries(nth, &stage, "hello", &["promote", "production"], |_, _| true);
    assert!(kills >= 26 / nth, "{kills} kills");
    nothing_is_lost(load);
}

#[test]
fn a_shipway_that_is_killed_anywhere_loses_nothing_when_somebody_aborts() {
    let Some(stage) = stage(&short()) else { return };
    let (load, nth) = (stage.load(&[100]), size(4, 1));
    let kills = at_boundaries(nth, &stage, "hello", &["abort", "production", "--reason", "stop"], is_over);
    assert!(kills >= 26 / nth, "{kills} kills");
    nothing_is_lost(load);
}

#[test]
fn a_shift_that_hangs_fails_half_way_is_slow_or_lies_loses_nothing() {
    let Some(stage) = stage("rollout = [50, 100]\npause = \"1ms\"\ntimeout = \"5s\"") else { return };
    let load = stage.load(&CLIENTS);
    let mark = format!("1000.{}", stage.port);
    let half = "if slot == 'green':\n  tell(f'set server app/green addr 127.0.0.1 port {port}', 'set server app/green state ready')\n  \
                sys.exit('the balancer is gone')";
    let ways = [
        (format!("if slot == 'green': os.execvp('sleep', ['sleep', '{mark}'])"), "shift to 50 %: a step failed"),
        (half.to_owned(), "shift to 50 %: a step failed"),
        ("if slot == 'green': sys.exit(0)".to_owned(), "shift to 100 %: the target says that `"),
    ];
    for (number, (odd, why)) in ways.into_iter().enumerate() {
        stage.odd(&odd);
        let said = stage.shop.promote(&format!("hello to {number}\n"), 4);
        assert!(said.contains(why) && said.contains("rolled back"), "{odd}: {said}");
        is_served(&load, "hello 0\n");
        assert_eq!((stage.shop.running(), processes(&mark)), (vec!["blue"], vec![]), "{odd}");
        assert_eq!(stage.shop.status()["ongoing"], serde_json::Value::Null);
    }
    stage.odd("time.sleep(0.5)");
    stage.shop.promote("hello 1\n", 0);
    is_served(&load, "hello 1\n");
    assert_eq!(stage.shop.running(), ["green"]);
    nothing_is_lost(load);
}

#[test]
fn an_abort_ends_a_shift_that_hangs_and_loses_nothing() {
    let Some(stage) = stage("rollout = [50, 100]\npause = \"1ms\"") else { return };
    let load = stage.load(&CLIENTS);
    let mark = format!("1000.{}", stage.port);
    stage.odd(&format!("if slot == 'green': os.execvp('sleep', ['sleep', '{mark}'])"));
    stage.shop.release("hello 1\n");
    let promote = start(stage.shop.command(&["promote", "production"]));
    until("the shift hangs", || !processes(&mark).is_empty());
    stage.shop.shipway(&["abort", "production", "--reason", "stop"]).exits(0);
    finish(promote).exits(4);
    is_served(&load, "hello 0\n");
    assert_eq!((stage.shop.running(), processes(&mark)), (vec!["blue"], vec![]));
    nothing_is_lost(load);
}

/// Asks for something slow, and promotes the next release meanwhile; returns what came.
fn slow_request(stage: &Stage) -> Tally {
    let address = format!("http://127.0.0.1:{}/slow", stage.port);
    let load = Load::begin(&Address::parse(&address).unwrap(), None, &[1]).unwrap();
    until("the request has come", || stage.shop.run("slow").exists());
    stage.shop.release("hello 1\n");
    let promote = start(stage.shop.command(&["promote", "production"]));
    until("the new one serves", || ask(stage.port).as_deref() == Some("hello 1\n"));
    until("the old one is to be ended", || stage.shop.run("drains").exists());
    if stage.shop.run("hasty").exists() {
        until("the request is lost", || load.counted().lost > 0);
    } else {
        assert_eq!(stage.shop.running(), ["blue", "green"], "it waits for its last request");
    }
    fs::write(stage.shop.run("go"), "").unwrap();
    finish(promote).exits(0);
    assert_eq!(stage.shop.running(), ["green"]);
    load.end()
}

#[test]
fn a_slow_request_ends_where_it_began() {
    let Some(stage) = stage("rollout = [100]") else { return };
    let counted = slow_request(&stage);
    assert_eq!((counted.of(|answer| answer == "hello 0\n"), counted.lost), (1, 0), "{counted:?}");
}

#[test]
fn without_a_drain_a_slow_request_is_lost() {
    let Some(stage) = stage("rollout = [100]") else { return };
    fs::write(stage.shop.run("hasty"), "").unwrap();
    let counted = slow_request(&stage);
    assert_eq!((counted.of(|answer| answer == "hello 0\n"), counted.lost), (0, 1), "{counted:?}");
}

#[test]
fn whoever_stops_before_the_shift_loses_requests() {
    let Some(stage) = stage("rollout = [100]") else { return };
    let load = stage.load(&CLIENTS);
    let failed = "int(servers('app')['blue']['econ'])";
    stage.odd(&format!("import subprocess\nsubprocess.run(['./app', 'stop', other])\nwhile not {failed}: time.sleep(0.005)"));
    stage.shop.promote("hello 1\n", 0);
    is_served(&load, "hello 1\n");
    let counted = load.end();
    assert!(counted.lost > 0 && counted.why.as_deref() == Some("status 503"), "{counted:?}");
}

#[test]
fn two_environments_change_at_once() {
    if program().is_none() {
        return;
    }
    let with = |file: &str| second(&drained(file), "[environments.other]\nlike = \"production\"\ntarget = \"other\"\n");
    let Some(stage) = Stage::behind(&HAPROXY, "rollout = [25, 50, 100]\npause = \"1ms\"", with) else { return };
    stage.shop.shipway(&["promote", "other"]).exits(0);
    let other = Address::parse(&format!("http://127.0.0.1:{}/other", stage.port)).unwrap();
    let loads = [stage.load(&CLIENTS), Load::begin(&other, None, &CLIENTS).unwrap()];
    loads.iter().for_each(|load| is_served(load, "hello 0\n"));
    stage.shop.release("hello 1\n");
    let both = ["production", "other"].map(|environment| start(stage.shop.command(&["promote", environment])));
    both.into_iter().for_each(|child| drop(finish(child).exits(0)));
    loads.iter().for_each(|load| is_served(load, "hello 1\n"));
    let status = stage.shop.shipway(&["status"]).exits(0).stdout;
    assert_eq!(status.matches(", verified").count(), 2, "{status}");
    assert_eq!((stage.shop.running(), status.contains("`red`")), (vec!["green"], true));
    loads.into_iter().for_each(nothing_is_lost);
    stage.shop.shipway(&["audit"]).exits(0);
}
