//! A target that is a process: real servers behind a real listener, and a shipway, a supervisor or a server that fails or is killed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use shipway::delivery::load::Load;
use shipway::model::service::Address;

use crate::killer::{at_each_change, killed};
use crate::project::{Project, Said, finish, git, processes, said, start, tool, until};
use crate::rollout::{ask, nothing_is_lost};

const FILE: &str = r#"
[stages.build]
steps = ["cp page.txt page.html"]
inputs = ["page.txt"]
outputs = ["page.html"]
[release]
artifacts = ["page.html", "server.py"]
[environments.production]
target = "app"
pass-env = ["RUN"]
secrets = ["TOKEN"]
verify = ["grep -q hello $SHIPWAY_DIR/page.html; test $SHIPWAY_PORT = {port}"]
[targets.app]
kind = "process"
start = ["python3", "{dir}/server.py", "{slot}", "{port}"]
listen = "127.0.0.1:LISTEN"
ready = { http = "/up", timeout = "60s" }
drain = "1m"
"#;

/// Serves a page, unless that is sick, dies, or is an echo of raw bytes.
const SERVER: &str = r#"
import http.server, os, signal, socket, sys, time
page, run, port = open("page.html").read(), os.environ["RUN"], int(os.environ["PORT"])
print("starts with", os.environ["TOKEN"], flush=True)
if page.startswith("dies") or os.path.exists(run + "/broken") and open(run + "/broken").read() == page:
    sys.exit("no luck with " + os.environ["TOKEN"])
def says(name):
    return os.path.exists(run + "/" + name) and open(run + "/" + name).read() == page
if says("silent"):
    time.sleep(1000)
if page.startswith("hello stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = page
        if self.path.startswith("/wait"):
            open(run + self.path + ".begun", "w").close()
            while not os.path.exists(run + self.path + ".over"):
                time.sleep(0.005)
        elif self.path == "/env":
            body = "\n".join(sys.argv[1:] + [os.getcwd()] + sorted(name + "=" + value for name, value in os.environ.items()))
        elif page.startswith("hello slow"):
            time.sleep(0.02)
        self.send_response(503 if page.startswith("sick") or says("sick") else 200)
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *words):
        pass
if page.startswith("hello polite"):
    # It keeps connections open, and says on each that it was told to end before it does.
    import threading
    is_over, open_ones = threading.Event(), []
    class Polite(Handler):
        protocol_version = "HTTP/1.1"
        def setup(self):
            open_ones.append(self)
            super().setup()
        def finish(self):
            super().finish()
            open_ones.remove(self)
        def do_GET(self):
            self.close_connection = is_over.is_set()
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            if is_over.is_set():
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(page.encode())
    def end():
        is_over.wait()
        while open_ones:
            time.sleep(0.005)
        os._exit(0)
    Handler = Polite
    signal.signal(signal.SIGTERM, lambda *_: is_over.set())
    threading.Thread(target=end, daemon=True).start()
if page.startswith("hello echo"):
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        client = listener.accept()[0]
        said = b""
        while piece := client.recv(65536):
            said += piece
        client.sendall(b"%d " % len(said) + said[-5:])
        client.close()
if page.startswith("hello early") or page.startswith("hello half"):
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        client = listener.accept()[0]
        client.recv(10)
        if page.startswith("hello early"):
            # It wants no more, and closes while more comes.
            client.sendall(b"HTTP/1.0 413 too large\r\n\r\n" + b"x" * 5000 + b"end")
        else:
            client.sendall(b"the half")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
http.server.ThreadingHTTPServer.request_queue_size = 100
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"#;

/// A rollout in steps, watched by a script that may be told to say no.
const ROLLOUT: &str = r#"
rollout = [5, 50, 100]
pause = "1ms"
analysis = { run = 'echo "{canary} {stable} {weight}" >> $RUN/looks; test ! -e $RUN/no', every = "1ms", failures = 0 }
"#;

struct Shop {
    project: Project,
    outside: tempfile::TempDir,
    port: u16,
}

impl Shop {
    /// A shop whose production has these keys beside the rest; `None` where there is no Python.
    fn new(keys: &str) -> Option<Self> {
        Self::with(|file| file.replace("pass-env", &format!("{keys}\npass-env")))
    }

    /// One whose file is changed first.
    fn with(change: impl Fn(&str) -> String) -> Option<Self> {
        tool("python3")?;
        let outside = tempfile::Builder::new().prefix("shipway-run-").tempdir().unwrap();
        let port = free_port();
        let project = Project::new(&change(FILE).replace("LISTEN", &port.to_string()));
        project.write(".gitignore", "/page.html\n").write("page.txt", "none\n").write("server.py", SERVER);
        git(project.path(), &["init", "-q"]);
        let shop = Self { project, outside, port };
        shop.commit("first");
        Some(shop)
    }

    fn commit(&self, what: &str) {
        git(self.project.path(), &["add", "-A"]);
        git(self.project.path(), &["commit", "-q", "-m", what]);
    }

    /// Changes the file of the pipeline.
    fn change(&self, from: &str, to: &str) {
        let file = self.project.read("pipeline.toml");
        assert!(file.contains(from), "{from}");
        self.project.write("pipeline.toml", file.replace(from, to));
        self.commit("change");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.project.command(words);
        command.env("XDG_DATA_HOME", self.outside.path()).env("HOME", self.outside.path()).env("RUN", self.outside.path());
        command.env("TOKEN", "not to be seen");
        command
    }

    #[track_caller]
    fn shipway(&self, words: &[&str]) -> Said {
        said(self.command(words))
    }

    fn run(&self, name: &str) -> PathBuf {
        self.outside.path().join(name)
    }

    /// Makes a release of a page; returns its id.
    #[track_caller]
    fn release(&self, page: &str) -> String {
        self.project.write("page.txt", page);
        self.commit(page);
        self.shipway(&["release"]).exits(0).stdout.split(' ').next().unwrap().to_owned()
    }

    /// Makes a release of a page, and brings it in; returns what is said.
    #[track_caller]
    fn promote(&self, page: &str, code: i32) -> String {
        self.release(page);
        self.shipway(&["promote", "production"]).exits(code).stderr
    }

    #[track_caller]
    fn status(&self) -> Value {
        let said = self.shipway(&["status", "production", "--format", "json"]).exits(0);
        serde_json::from_str::<Value>(&said.stdout).unwrap()["environments"][0].clone()
    }

    /// What the supervisor says of itself; null where none runs.
    fn supervisor(&self) -> Value {
        let said = self.shipway(&["serve", "production", "--status", "--format", "json"]);
        serde_json::from_str::<Value>(&said.stdout).unwrap()["supervisor"].clone()
    }

    /// The slots, and the shares of new connections that their releases have.
    fn shares(&self) -> Vec<(String, u64)> {
        let sight = self.supervisor();
        let share = |look: &Value| (look["slot"].as_str().unwrap().to_owned(), look["weight"].as_u64().unwrap());
        sight["slots"].as_array().unwrap().iter().map(share).collect()
    }

    /// The processes of releases.
    fn servers(&self) -> Vec<Pid> {
        let mark = self.project.join(".git/shipway/unpacked").to_string_lossy().into_owned();
        let pid = |line: &String| line.split(' ').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        processes(&mark).iter().filter(|line| line.contains("server.py")).filter_map(pid).collect()
    }

    fn supervisor_pid(&self) -> Pid {
        Pid::from_raw(self.supervisor()["pid"].as_i64().unwrap().try_into().unwrap()).unwrap()
    }

    #[track_caller]
    fn serves(&self, page: &str) {
        assert_eq!(ask(self.port).as_deref(), Some(page), "{}", self.supervisor());
    }

    /// Waits until all servers that the supervisor has started listen.
    #[track_caller]
    fn both_listen(&self) {
        let sight = self.supervisor();
        let ports = sight["slots"].as_array().unwrap().iter().map(|look| look["port"].as_u64().unwrap().try_into().unwrap());
        ports.for_each(|port: u16| until("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok()));
    }

    /// Clients that ask for the page all the time, over new connections.
    fn load(&self) -> Load {
        Load::begin(&Address::parse(&format!("http://127.0.0.1:{}/", self.port)).unwrap(), None, &[1, 1]).unwrap()
    }

    fn log(&self) -> String {
        self.project.read(".git/shipway/serve/production/log")
    }

    /// How many of so many requests get this page.
    fn split(&self, count: usize, page: &str) -> usize {
        (0..count).filter(|_| ask(self.port).unwrap() == page).count()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _none = self.command(&["serve", "production", "--stop"]).output();
        for pid in self.servers() {
            let _gone = kill_process(pid, Signal::KILL);
        }
        // What nobody may write to would stay.
        let _unforbidden = Command::new("chmod").args(["-R", "u+w"]).arg(self.project.path()).status();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks for a path; what comes is read by whoever wants it.
fn asked(port: u16, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned())
}

#[test]
fn a_first_promotion_needs_nothing_else() {
    let Some(shop) = Shop::new("env = { COLOUR = \"in {slot}\", PORTS = \"{port},{{port}}\" }") else { return };
    assert_eq!((shop.supervisor(), ask(shop.port)), (Value::Null, None));
    let said = shop.shipway(&["serve", "production", "--status"]).exits(1).stderr;
    assert!(said.contains("production: no supervisor runs: `shipway serve production` is one"), "{said}");
    let id = shop.release("hello 1\n");
    let said = shop.shipway(&["promote", "production"]).exits(0).stderr;
    assert!(said.contains("verified"), "{said}");
    shop.serves("hello 1\n");
    // What it is told.
    let told = rest(asked(shop.port, "/env"));
    let port = shop.supervisor()["slots"][0]["port"].to_string();
    let folder = shop.project.join(".git/shipway/unpacked/production").join(&id).canonicalize().unwrap();
    for line in [
        "blue",
        &port,
        folder.to_str().unwrap(),
        "COLOUR=in blue",
        &format!("PORTS={port},{{port}}"),
        &format!("PORT={port}"),
        &format!("SHIPWAY_PORT={port}"),
        &format!("SHIPWAY_RELEASE={id}"),
        "SHIPWAY_ENVIRONMENT=production",
        "TOKEN=not to be seen",
        "LC_ALL=C.UTF-8",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} in {told}");
    }
    // What is hidden stays so.
    until("it has printed", || shop.log().contains("blue: starts with ***"));
    let saved = shop.project.read(".git/shipway/serve/production/saved.json");
    assert!(saved.contains("TOKEN") && !saved.contains("to be seen") && !shop.log().contains("to be seen"), "{saved}{}", shop.log());
    // How it looks.
    let said = shop.shipway(&["serve", "production", "--status"]).exits(0).stdout;
    let name = shop.status()["release"]["name"].as_str().unwrap().to_owned();
    assert!(said.contains(&format!("production  127.0.0.1:{}, by the process ", shop.port)), "{said}");
    assert!(said.contains(&format!("\n  blue   100 %  {name} ({})  127.0.0.1:{port}, ", &id[..12])), "{said}");
    let said = shop.shipway(&["status", "production", "--drift"]).exits(0).stdout;
    assert!(said.contains(" in the slot `blue` since ") && said.contains("; in sync"), "{said}");
    // It is nobody's child, and nobody's terminal ends it.
    let pid = shop.supervisor_pid();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    assert_eq!(fields[3], pid.as_raw_nonzero().to_string(), "a session of its own");
}

#[test]
fn each_step_gives_a_release_its_share_exactly() {
    let Some(shop) = Shop::new(ROLLOUT) else { return };
    shop.promote("hello 1\n", 0);
    shop.release("hello 2\n");
    let load = shop.load();
    shop.change("pause = \"1ms\"", "pause = \"manual\"");
    let said = shop.shipway(&["promote", "production"]).exits(75).stderr;
    assert!(said.contains("waits for somebody who says to go on"), "{said}");
    nothing_is_lost(load);
    for (share, seen) in [(5, 5), (50, 50)] {
        assert_eq!(shop.shares(), [("blue".to_owned(), 100 - share), ("green".to_owned(), share)]);
        // Of whatever has come since the shares were set it has its own up to one, so of what comes now up to two.
        assert!(shop.split(100, "hello 2\n").abs_diff(seen) <= 2);
        // Both can be asked where the analysis is told.
        let look = fs::read_to_string(shop.run("looks")).unwrap().lines().last().unwrap().to_owned();
        let words: Vec<&str> = look.split(' ').collect();
        let asked = |at: &str| ask(at.strip_prefix("127.0.0.1:").unwrap().parse().unwrap());
        assert_eq!((asked(words[0]).as_deref(), asked(words[1]).as_deref()), (Some("hello 2\n"), Some("hello 1\n")), "{look}");
        assert_eq!(words[2], share.to_string());
        shop.shipway(&["resume", "production", "--reason", "fine"]).exits(0);
        let _waits = shop.shipway(&["promote", "production"]);
    }
    assert_eq!((shop.split(10, "hello 2\n"), shop.servers().len()), (10, 1));
    assert_eq!(shop.shares(), [("green".to_owned(), 100)]);
    assert_eq!(shop.status()["verified"], true);
}

#[test]
fn no_request_is_lost_on_the_way_there_and_back() {
    let Some(shop) = Shop::new(ROLLOUT) else { return };
    shop.promote("hello slow 1\n", 0);
    let load = shop.load();
    for page in ["hello slow 2\n", "hello slow 3\n"] {
        shop.promote(page, 0);
    }
    shop.promote("bye\n", 4);
    fs::write(shop.run("no"), "").unwrap();
    let said = shop.promote("hello slow 4\n", 4);
    assert!(said.contains("analysis at 5 %: no"), "{said}");
    shop.shipway(&["rollback", "production", "--reason", "x"]).exits(0);
    nothing_is_lost(load);
    shop.serves("hello slow 2\n");
    assert_eq!(shop.servers().len(), 1);
    // The control: one that ends while it serves.
    let load = shop.load();
    until("a request failed", || {
        for pid in shop.servers() {
            let _gone = kill_process(pid, Signal::KILL);
        }
        load.counted().lost > 0
    });
    load.end();
}

#[test]
fn what_a_client_waits_for_is_not_cut_off_by_a_switch() {
    let Some(shop) = Shop::new("") else { return };
    shop.promote("hello 1\n", 0);
    let slow = asked(shop.port, "/wait");
    until("it is waited for", || shop.run("wait.begun").exists());
    shop.release("hello 2\n");
    let promotes = start(shop.command(&["promote", "production"]));
    until("the new one serves", || shop.shares().contains(&("green".to_owned(), 100)));
    until("the old one is to end", || shop.supervisor()["leaving"][0]["connections"] == 1);
    shop.serves("hello 2\n");
    fs::write(shop.run("wait.over"), "").unwrap();
    assert_eq!(rest(slow), "hello 1\n");
    finish(promotes).exits(0);
    assert_eq!(shop.servers().len(), 1);
    // But not for ever, whatever the old one says to that.
    shop.change("drain = \"1m\"", "drain = \"100ms\"");
    shop.promote("hello stubborn\n", 0);
    let stuck = asked(shop.port, "/wait-for-ever");
    until("it is waited for", || shop.run("wait-for-ever.begun").exists());
    shop.promote("hello 4\n", 0);
    assert_eq!(rest(stuck), "");
    assert_eq!(shop.servers().len(), 1);
}

#[test]
fn a_connection_that_is_kept_open_loses_nothing_where_the_server_says_that_it_closes_it() {
    let Some(shop) = Shop::with(|file| file.replace("\"1m\"", "\"6s\"")) else { return };
    shop.promote("hello polite 1\n", 0);
    let mut kept = TcpStream::connect(("127.0.0.1", shop.port)).unwrap();
    kept.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut line = String::new();
    shop.release("hello polite 2\n");
    let promotes = start(shop.command(&["promote", "production"]));
    let (mut reader, mut answers, mut closes) = (BufReader::new(kept.try_clone().unwrap()), 0, false);
    while !closes {
        kept.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            closes |= line.trim() == "Connection: close";
            length = line.strip_prefix("Content-Length: ").map_or(length, |length| length.trim().parse().unwrap());
            assert!(!line.is_empty(), "it was cut off after {answers} answers");
            if line.trim().is_empty() {
                break;
            }
        }
        let mut page = vec![0; length];
        reader.read_exact(&mut page).unwrap();
        assert_eq!(String::from_utf8(page).unwrap(), "hello polite 1\n");
        answers += 1;
    }
    finish(promotes).exits(0);
    assert!(answers > 1, "{answers}");
    assert_eq!((reader.read_line(&mut line).unwrap(), shop.servers().len()), (0, 1), "and then it is closed");
}

#[test]
fn either_side_may_say_first_that_it_has_said_all() {
    let echo = |file: &str| file.replace("{ http = \"/up\", timeout = \"60s\" }", "{ port = \"{port}\", timeout = \"60s\" }");
    let Some(shop) = Shop::with(echo) else { return };
    shop.promote("hello echo\n", 0);
    let mut stream = TcpStream::connect(("127.0.0.1", shop.port)).unwrap();
    let much = vec![b'x'; 3_000_000];
    stream.write_all(&much).unwrap();
    stream.write_all(b"done.").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "3000005 done.");
    until("it is forgotten", || shop.supervisor()["slots"][0]["connections"] == 0);
}

#[test]
fn blue_and_green_change_places_and_back_at_once() {
    let Some(shop) = Shop::new("keep = \"1h\"") else { return };
    shop.promote("hello 1\n", 0);
    let old = shop.servers();
    let said = shop.promote("hello 2\n", 0);
    assert!(said.contains("is kept until 2"), "{said}");
    shop.serves("hello 2\n");
    assert_eq!((shop.servers().len(), shop.shares()), (2, vec![("blue".to_owned(), 0), ("green".to_owned(), 100)]));
    shop.shipway(&["rollback", "production", "--reason", "slow"]).exits(0);
    shop.serves("hello 1\n");
    assert_eq!(shop.servers(), old, "it was not started again");
    assert_eq!(shop.status()["slot"], "blue");
}

#[test]
fn one_that_does_not_get_ready_leaves_the_old_one_serving() {
    let Some(shop) = Shop::with(|file| file.replace("60s", "3s")) else { return };
    let said = shop.promote("sick\n", 4);
    assert!(said.contains("it was not ready after 3s: http://127.0.0.1:"), "{said}");
    assert_eq!((ask(shop.port), shop.servers().len(), shop.status()["slot"].clone()), (None, 0, Value::Null));
    shop.change("3s", "60s");
    shop.promote("hello 1\n", 0);
    // Whoever has ended is not waited for.
    let said = shop.promote("dies\n", 4);
    assert!(said.contains("it has ended with exit code 1: no luck with *** (see `") && said.contains("rolled back"), "{said}");
    shop.serves("hello 1\n");
    shop.change("\"python3\", \"{dir}/server.py\"", "\"./nothing\"");
    let said = shop.promote("hello 2\n", 4);
    assert!(said.contains("`./nothing`"), "{said}");
    shop.serves("hello 1\n");
    assert_eq!((shop.servers().len(), shop.shares()), (1, vec![("blue".to_owned(), 100)]));
}

#[test]
fn what_is_on_its_way_can_be_aborted() {
    let Some(shop) = Shop::new(&ROLLOUT.replace("\"1ms\"\nanalysis", "\"manual\"\nanalysis")) else { return };
    shop.promote("hello 1\n", 0);
    shop.promote("hello 2\n", 75);
    assert_eq!(shop.shares(), [("blue".to_owned(), 95), ("green".to_owned(), 5)]);
    shop.shipway(&["abort", "production", "--reason", "odd"]).exits(0);
    assert_eq!((shop.split(10, "hello 1\n"), shop.servers().len(), shop.shares()), (10, 1, vec![("blue".to_owned(), 100)]));
}

#[test]
fn an_abort_does_not_wait_for_the_connections_of_the_old_one() {
    let Some(shop) = Shop::with(|file| file.replace("\"1m\"", "\"1h\"")) else { return };
    shop.promote("hello 1\n", 0);
    let slow = asked(shop.port, "/wait");
    until("it is waited for", || shop.run("wait.begun").exists());
    shop.release("hello 2\n");
    let promotes = start(shop.command(&["promote", "production"]));
    until("the old one is to end", || shop.supervisor()["leaving"][0]["connections"] == 1);
    shop.shipway(&["abort", "production", "--reason", "odd"]).exits(0);
    finish(promotes).exits(4);
    shop.serves("hello 1\n");
    fs::write(shop.run("wait.over"), "").unwrap();
    assert_eq!(rest(slow), "hello 1\n");
    until("only one is left", || shop.servers().len() == 1);
    assert_eq!((shop.shares(), shop.status()["slot"].clone()), (vec![("blue".to_owned(), 100)], Value::from("blue")));
}

/// Kills the promotion of one release after the other at each change of the ledger, then acts; `is_new` says whether the new release of this
/// id must serve then, or the one before. Returns how often it was killed.
#[track_caller]
fn at_each_boundary(act: &[&str], is_new: impl Fn(&Shop, &str) -> bool) -> Option<usize> {
    let shop = Shop::new(&ROLLOUT.replace("5, 50", "50"))?;
    shop.promote("hello 0\n", 0);
    let supervisor = shop.supervisor_pid();
    let (mut serving, mut number) = ("hello 0\n".to_owned(), 0);
    let kills = at_each_change(|at, when| {
        number += 1;
        let page = format!("hello {number}\n");
        let id = shop.release(&page);
        let before = shop.status()["slot"].clone();
        if !killed(shop.command(&["promote", "production"]), shop.outside.path(), at, when) {
            serving = ask(shop.port).unwrap();
            return false;
        }
        // At no time is nobody there.
        assert!(ask(shop.port).is_some_and(|now| now == serving || now == page), "{when} change {at}");
        let is_new = is_new(&shop, &id);
        if is_new {
            serving = page;
        }
        let said = shop.shipway(act).exits(0).stderr;
        let status = shop.status();
        let context = format!("{when} change {at}: {status}\n{said}{}", shop.supervisor());
        assert_eq!((shop.split(4, &serving), shop.servers().len()), (4, 1), "{context}");
        assert_eq!(status["slot"] != before, is_new, "{context}");
        assert_eq!(shop.shares(), [(status["slot"].as_str().unwrap().to_owned(), 100)], "{context}");
        assert!(status["ongoing"].is_null() && status["verified"] == true, "{context}");
        true
    });
    assert_eq!(shop.supervisor_pid(), supervisor);
    Some(kills)
}

#[test]
fn a_killed_promotion_goes_on_to_the_same_end() {
    let Some(kills) = at_each_boundary(&["promote", "production"], |_, _| true) else { return };
    assert!(kills >= 20, "{kills} kills");
}

#[test]
fn a_killed_promotion_can_be_aborted_from_everywhere() {
    // Where the end was written already there is nothing to abort.
    let is_over = |shop: &Shop, id: &str| {
        let status = shop.status();
        status["release"]["id"] == id && status["ongoing"].is_null()
    };
    let Some(kills) = at_each_boundary(&["abort", "production", "--reason", "stop"], is_over) else { return };
    assert!(kills >= 20, "{kills} kills");
}

#[test]
fn a_supervisor_that_was_killed_serves_the_same_when_it_is_started_again() {
    let Some(shop) = Shop::new(&ROLLOUT.replace("\"1ms\"\nanalysis", "\"manual\"\nanalysis")) else { return };
    shop.promote("hello 1\n", 0);
    let id = shop.release("hello 2\n");
    shop.shipway(&["promote", "production"]).exits(75);
    let old = shop.servers();
    assert_eq!(old.len(), 2);
    kill_process(shop.supervisor_pid(), Signal::KILL).unwrap();
    until("its servers have ended with it", || shop.servers().is_empty());
    assert_eq!((shop.supervisor(), ask(shop.port)), (Value::Null, None));
    for (words, code) in [(&["status"][..], 0), (&["status", "--drift"], 1)] {
        let said = shop.shipway(words).exits(code).stdout;
        assert!(said.contains(", by the record;") && said.contains("seen nothing: no supervisor runs)"), "{said}");
    }
    shop.shipway(&["serve", "production", "--detach"]).exits(0);
    let said = shop.shipway(&["status", "--drift"]).exits(0).stdout;
    assert!(said.contains("drift unknown (a deployment is on its way)"), "{said}");
    // Whoever comes while they are started waits for them.
    assert!(ask(shop.port).is_some());
    shop.both_listen();
    let seen = shop.split(100, "hello 2\n");
    assert!(seen.abs_diff(5) <= 1, "{seen} of 100");
    assert_eq!((shop.shares(), shop.servers().len()), (vec![("blue".to_owned(), 95), ("green".to_owned(), 5)], 2));
    // In the middle of a rollout whoever goes on with it starts it, before anything is judged.
    kill_process(shop.supervisor_pid(), Signal::KILL).unwrap();
    until("its servers have ended with it", || shop.servers().is_empty());
    shop.shipway(&["promote", "production"]).exits(75);
    assert_eq!(shop.shares(), [("blue".to_owned(), 95), ("green".to_owned(), 5)]);
    // And whoever takes it back does.
    kill_process(shop.supervisor_pid(), Signal::KILL).unwrap();
    until("its servers have ended with it", || shop.servers().is_empty());
    shop.shipway(&["abort", "production", "--reason", "x"]).exits(0);
    assert_eq!((shop.split(10, "hello 1\n"), shop.servers().len()), (10, 1));
    // And so does whoever brings the next one.
    kill_process(shop.supervisor_pid(), Signal::KILL).unwrap();
    until("its servers have ended with it", || shop.servers().is_empty());
    let said = shop.shipway(&["status", "production", "--drift"]).exits(1).stdout;
    assert!(said.contains("seen nothing: no supervisor runs)"), "{said}");
    let said = shop.shipway(&["promote", "production", &id]).exits(75).stderr;
    assert!(said.contains("production: its supervisor had ended, and is started again"), "{said}");
    assert_eq!(shop.shares(), [("blue".to_owned(), 95), ("green".to_owned(), 5)]);
}

#[test]
fn one_supervisor_serves_an_environment_and_leaves_nothing_when_it_ends() {
    let Some(shop) = Shop::new("keep = \"1h\"") else { return };
    shop.promote("hello 1\n", 0);
    shop.promote("hello 2\n", 0);
    let pid = shop.supervisor_pid();
    let said = shop.shipway(&["serve", "production"]).exits(3).stderr;
    assert!(said.contains(&format!("it is served already, by the process {}", pid.as_raw_nonzero())), "{said}");
    let said = shop.shipway(&["serve", "production", "--detach"]).exits(0).stderr;
    assert!(said.contains(&format!("the process {} listens on", pid.as_raw_nonzero())), "{said}");
    let said = shop.shipway(&["serve", "production", "--stop"]).exits(0).stderr;
    assert!(said.contains("ends, with 2 releases") && said.contains("it has ended"), "{said}");
    assert_eq!((shop.servers().len(), ask(shop.port), shop.supervisor()), (0, None, Value::Null));
    shop.shipway(&["serve", "production", "--stop"]).exits(0);
    // In the foreground, as a service manager has it: what was kept is kept, and a signal ends it.
    let mut serves = start(shop.command(&["serve", "production"]));
    until("it listens", || !shop.supervisor().is_null());
    shop.serves("hello 2\n");
    assert_eq!(shop.servers().len(), 2);
    kill_process(Pid::from_child(&serves), Signal::TERM).unwrap();
    let mut said = String::new();
    serves.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(serves.wait().unwrap().code(), Some(0));
    assert!(said.contains("listens on 127.0.0.1:") && said.contains("it has ended"), "{said}");
    assert_eq!(shop.servers().len(), 0);
    // Who is in the way is named.
    let other = TcpListener::bind(("127.0.0.1", shop.port)).unwrap();
    let said = shop.shipway(&["serve", "production", "--detach"]).exits(3).stderr;
    assert!(
        said.contains(&format!("nobody can listen on 127.0.0.1:{}: port {} is already in use by process", shop.port, shop.port)),
        "{said}"
    );
    drop(other);
    let said = shop.shipway(&["serve", "nowhere"]).exits(2).stderr;
    assert!(said.contains("there is no environment `nowhere`"), "{said}");
}

#[test]
fn a_server_that_ends_is_started_again_and_that_is_said() {
    let Some(shop) = Shop::new("") else { return };
    shop.promote("hello 1\n", 0);
    let old = shop.servers()[0];
    kill_process(old, Signal::KILL).unwrap();
    // While it ends it may still be given one; whoever comes then waits for the next.
    until("it has ended", || !shop.servers().contains(&old));
    shop.serves("hello 1\n");
    assert_eq!(shop.supervisor()["slots"][0]["restarts"], 1);
    assert!(shop.log().contains("it was killed by SIGKILL (signal 9)"), "{}", shop.log());
    let said = shop.shipway(&["serve", "production", "--status"]).exits(0).stdout;
    assert!(said.contains(", started again once"), "{said}");
    fs::write(shop.run("broken"), "hello 1\n").unwrap();
    kill_process(shop.servers()[0], Signal::KILL).unwrap();
    until("it was tried more than once", || shop.supervisor()["slots"][0]["restarts"].as_u64() > Some(2));
    // There are short times in which it is just being started.
    until("that is seen", || shop.shipway(&["status", "production", "--drift"]).code() == 1);
    until("why it has ended is said", || {
        let said = shop.shipway(&["status", "production", "--drift"]).stdout;
        said.contains("which does not run: it has ended with exit code 1: no luck with ***")
    });
    fs::remove_file(shop.run("broken")).unwrap();
    until("it serves again", || ask(shop.port).is_some());
    shop.shipway(&["status", "production", "--drift"]).exits(0);
    // That it does not run is no reason to go without one that does.
    fs::write(shop.run("broken"), "hello 1\n").unwrap();
    kill_process(shop.servers()[0], Signal::KILL).unwrap();
    until("it is down", || shop.supervisor()["slots"][0]["down"].as_str().is_some_and(|why| why.contains("exit code 1")));
    shop.promote("hello 2\n", 0);
    shop.serves("hello 2\n");
}

#[test]
fn where_there_are_no_file_descriptors_connections_wait() {
    let Some(shop) = Shop::new("") else { return };
    shop.promote("hello 1\n", 0);
    shop.shipway(&["serve", "production", "--stop"]).exits(0);
    let mut serve = Command::new("sh");
    let like = shop.command(&["serve", "production"]);
    serve.args(["-c", "ulimit -n 160; exec \"$@\"", "sh"]).arg(like.get_program()).args(like.get_args()).current_dir(shop.project.path());
    serve.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut serves = start(serve);
    until("it listens", || !shop.supervisor().is_null());
    // There is room for thirty.
    let open: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(("127.0.0.1", shop.port)).unwrap()).collect();
    until("there is no more room", || shop.log().contains("new connections have to wait: there are 30,"));
    assert!(shop.supervisor()["slots"][0]["connections"].as_u64() <= Some(30));
    drop(open);
    shop.serves("hello 1\n");
    shop.shipway(&["serve", "production", "--stop"]).exits(0);
    assert_eq!(serves.wait().unwrap().code(), Some(0));
}

#[test]
fn another_address_needs_another_start() {
    let Some(shop) = Shop::new("") else { return };
    shop.promote("hello 1\n", 0);
    let (old, new) = (shop.port.to_string(), free_port().to_string());
    shop.change(&old, &new);
    shop.release("hello 2\n");
    let said = shop.shipway(&["promote", "production"]).exits(2).stderr;
    assert!(
        said.contains(&format!("the supervisor of `production` listens on 127.0.0.1:{old}, and the target `app` says 127.0.0.1:{new}")),
        "{said}"
    );
    assert!(said.contains("`shipway serve production --stop`"), "{said}");
    shop.serves("hello 1\n");
    shop.shipway(&["serve", "production", "--stop"]).exits(0);
    shop.shipway(&["serve", "production", "--detach"]).exits(0);
    shop.shipway(&["promote", "production"]).exits(0);
    assert_eq!((ask(shop.port), ask(new.parse().unwrap()).as_deref()), (None, Some("hello 2\n")));
}

#[test]
fn a_plan_says_what_is_started_and_how_long_it_may_take() {
    let Some(shop) = Shop::new(&format!("{ROLLOUT}\ntimeout = \"10s\"")) else { return };
    shop.promote("hello 1\n", 0);
    shop.release("hello 2\n");
    let said = shop.shipway(&["plan", "production"]).exits(0).stdout;
    let lines: Vec<&str> = said.lines().collect();
    for line in [
        "deploy   to the target `app` in the slot `green`, behind 127.0.0.1:LISTEN",
        "start    $ python3 '{dir}/server.py' green '{port}'",
        "ready    http://127.0.0.1:{port}/up, within 1m",
        "drain    1m",
    ] {
        assert!(lines.contains(&&*line.replace("LISTEN", &shop.port.to_string())), "{line}: {said}");
    }
    // A minute to get ready, ten seconds to verify, and a minute to drain.
    assert!(said.contains(" in the slot `blue`; longest 2m 10s"), "{said}");
    assert_eq!(shop.servers().len(), 1, "nothing was done");
}

impl Shop {
    /// The servers and the supervisor of a test, as long as they run.
    fn tested(&self) -> Vec<String> {
        let (files, trial) = (self.project.join(".git/shipway/tested"), self.project.path().to_string_lossy());
        let supervisors = processes(&trial).into_iter().filter(|line| line.contains("--trial"));
        processes(&files.to_string_lossy()).into_iter().chain(supervisors).collect()
    }

    fn entries(&self) -> String {
        self.shipway(&["log", "--format", "json"]).exits(0).stdout
    }
}

#[test]
fn a_process_can_be_tested_before_its_first_use() {
    let Some(shop) = Shop::new("") else { return };
    shop.release("hello 0\n");
    shop.release("hello 1\n");
    let entries = shop.entries();
    let test = ["target", "test", "app", "--requests", "200"];
    let said = shop.shipway(&test).exits(0);
    let line = |start: &str| said.stdout.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {}", said.stdout));
    assert!(said.stdout.contains(&format!("asked for at http://127.0.0.1:{}/", shop.port)), "{}", said.stdout);
    assert!(line("✓ shift `green` to 50 %, twice").contains(" connections"), "{}", said.stdout);
    assert!(line("✓ observe that `green` serves").len() > 5 && line("✓ stop `green`, twice").contains(" 0.0 % of 2"));
    assert!(said.stderr.contains("app: passed: 16 checks, 0 of "), "{}", said.stderr);
    assert_eq!((shop.tested(), shop.entries()), (vec![], entries), "nothing is left, and nothing recorded");
    // Then it is used, and cannot be tested any more; a copy of it can, beside it.
    shop.shipway(&["promote", "production"]).exits(0);
    let said = shop.shipway(&test).exits(1);
    assert!(said.stderr.contains("`app` is in use: "), "{}", said.stderr);
    let file = shop.project.read("pipeline.toml");
    let copy = file[file.find("[targets.app]").unwrap()..].replace("targets.app", "targets.copy");
    shop.project.write("pipeline.toml", file + &copy.replace(&shop.port.to_string(), &free_port().to_string()));
    shop.commit("copy");
    let load = shop.load();
    let (servers, shares) = (shop.servers(), shop.shares());
    shop.shipway(&["target", "test", "copy", "--requests", "200", "--environment", "production"]).exits(0);
    assert_eq!((shop.servers(), shop.shares(), shop.tested()), (servers, shares, vec![]));
    nothing_is_lost(load);
}

#[test]
fn a_test_of_a_process_says_what_is_wrong_and_ends_what_it_began() {
    let Some(shop) = Shop::new("") else { return };
    shop.release("hello 0\n");
    shop.release("dies\n");
    let test = ["target", "test", "app", "--requests", "200"];
    let said = shop.shipway(&test).exits(1);
    assert!(said.stdout.contains("✗ start `green`, twice") && said.stdout.contains("no luck with ***"), "{}", said.stdout);
    assert!(shop.tested().is_empty());
    // Nobody is asked where nobody listens for users.
    let elsewhere = format!("http://127.0.0.1:{}/", free_port());
    let said = shop.shipway(&[&test[..], &["--url", &elsewhere]].concat()).exits(1);
    let failed: Vec<&str> = said.stdout.lines().filter(|line| line.starts_with("✗ ")).collect();
    assert!(failed.len() == 1 && failed[0].contains("nobody answers"), "{}", said.stdout);
    assert!(shop.tested().is_empty());
    // What a killed one leaves the next one ends, whatever it tests.
    shop.release("hello 1\n");
    shop.release("hello 2\n");
    let mut child = start(shop.command(&["target", "test", "app", "--requests", "1000000"]));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "app: start `blue`"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(shop.tested().len(), 2, "{:?}", shop.tested());
    shop.release("hello 3\n");
    shop.release("hello 4\n");
    shop.shipway(&test).exits(0);
    assert!(shop.tested().is_empty());
    let mut child = start(shop.command(&["target", "test", "app", "--requests", "1000000"]));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "app: start `blue`"));
    child.kill().unwrap();
    child.wait().unwrap();
    let said = shop.shipway(&["promote", "production"]).exits(0).stderr;
    assert!(said.contains("what a test of `app` that was killed has left is ended"), "{said}");
    shop.serves("hello 4\n");
}

#[test]
fn whoever_interrupts_a_test_of_a_process_finds_nothing_left() {
    let Some(shop) = Shop::new("") else { return };
    shop.release("hello 1\n");
    let mut child = start(shop.command(&["target", "test", "app", "--requests", "1000000"]));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "app: start `blue`"));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest: Vec<String> = lines.collect();
    assert_eq!(rest.last().map(String::as_str), Some("app: interrupted"), "{rest:?}");
    assert_eq!((child.wait().unwrap().code(), shop.tested()), (Some(130), vec![]));
}

/// Waits in `verify` as long as a file says so, and then asks as a user does.
const HELD: &str = r#"verify = ["grep -q hello $SHIPWAY_DIR/page.html || exit 1; touch $RUN/begun; while test -e $RUN/hold; do sleep 0.01; done; python3 ask.py"]"#;

#[test]
fn a_supervisor_that_ended_is_started_again_before_anything_is_judged() {
    let Some(shop) =
        Shop::with(|file| file.replace("verify = [\"grep -q hello $SHIPWAY_DIR/page.html; test $SHIPWAY_PORT = {port}\"]", HELD))
    else {
        return;
    };
    let ask = format!("import urllib.request as u\nassert b'hello' in u.urlopen('http://127.0.0.1:{}/').read()\n", shop.port);
    shop.project.write("ask.py", ask);
    shop.commit("ask");
    shop.promote("hello 0\n", 0);
    // The machine starts again while a release with all of the traffic is looked at, and while the one before is that came back.
    for (page, code, served) in [("hello 1\n", 0, "hello 1\n"), ("bye\n", 4, "hello 1\n")] {
        let _none = fs::remove_file(shop.run("begun"));
        fs::write(shop.run("hold"), "").unwrap();
        shop.release(page);
        let mut child = start(shop.command(&["promote", "production"]));
        until("it is looked at", || shop.run("begun").exists());
        child.kill().unwrap();
        child.wait().unwrap();
        kill_process(shop.supervisor_pid(), Signal::KILL).unwrap();
        until("its servers end with it", || shop.servers().is_empty());
        fs::remove_file(shop.run("hold")).unwrap();
        let said = shop.shipway(&["promote", "production"]).exits(code).stderr;
        assert!(!said.contains("the rollback failed"), "{said}");
        shop.serves(served);
    }
}

#[test]
fn what_is_promoted_again_is_started_as_the_file_says_now() {
    let Some(shop) = Shop::new("keep = \"1h\"\nenv = { COLOUR = \"red\" }") else { return };
    let first = shop.release("hello 0\n");
    shop.shipway(&["promote", "production"]).exits(0);
    shop.promote("hello 1\n", 0);
    shop.change("COLOUR = \"red\"", "COLOUR = \"blue\"");
    // A rollback is to what is warm.
    shop.shipway(&["rollback", "production", "--reason", "slow"]).exits(0);
    assert!(rest(asked(shop.port, "/env")).contains("COLOUR=red"));
    shop.shipway(&["resume", "production", "--reason", "fine"]).exits(0);
    shop.promote("hello 2\n", 0);
    shop.shipway(&["promote", "production", &first]).exits(0);
    assert!(rest(asked(shop.port, "/env")).contains("COLOUR=blue"));
}

#[test]
fn one_that_is_not_ready_any_more_gets_no_more() {
    let Some(shop) = Shop::new("rollout = [50, 100]\npause = \"2s\"") else { return };
    shop.promote("hello 0\n", 0);
    shop.change("timeout = \"60s\"", "timeout = \"1s\"");
    shop.release("hello 1\n");
    let mut child = start(shop.command(&["promote", "production"]));
    until("it has its half", || shop.shares().iter().any(|(slot, share)| slot == "green" && *share == 50));
    // It ends, and what is started in its place is sick.
    fs::write(shop.run("sick"), "hello 1\n").unwrap();
    let sight = shop.supervisor();
    let port = sight["slots"].as_array().unwrap().iter().find(|look| look["slot"] == "green").unwrap()["port"].to_string();
    let line = processes(&format!("server.py green {port}")).pop().unwrap();
    kill_process(Pid::from_raw(line.split(' ').next().unwrap().parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4));
    shop.serves("hello 0\n");
}

#[test]
fn what_serves_no_more_is_not_said_to() {
    let Some(shop) = Shop::new("") else { return };
    shop.promote("hello 0\n", 0);
    // It hangs before it listens.
    fs::write(shop.run("silent"), "hello 0\n").unwrap();
    shop.servers().into_iter().for_each(|pid| kill_process(pid, Signal::KILL).unwrap());
    until("it is started again", || shop.supervisor()["slots"][0]["restarts"] == 1 && !shop.servers().is_empty());
    let said = shop.shipway(&["status", "production", "--drift"]).exits(1).stdout;
    assert!(said.contains("which does not listen on its port "), "{said}");
    shop.change("timeout = \"60s\"", "timeout = \"1s\"");
    let said = shop.shipway(&["promote", "production"]).exits(4).stderr;
    assert!(said.contains("it was not ready after 1s") && !said.contains("serves there already"), "{said}");
    fs::remove_file(shop.run("silent")).unwrap();
    let said = shop.shipway(&["promote", "production", shop.status()["release"]["name"].as_str().unwrap()]).exits(0).stderr;
    assert!(said.contains(" serves, verified"), "{said}");
    shop.serves("hello 0\n");
}

#[test]
fn a_supervisor_that_is_asked_for_while_another_one_ends_is_there_afterwards() {
    let Some(shop) = Shop::new("") else { return };
    shop.promote("hello 0\n", 0);
    let slow = asked(shop.port, "/wait1");
    until("it is asked", || shop.run("wait1.begun").exists());
    let mut stop = start(shop.command(&["serve", "production", "--stop"]));
    until("it is about to end", || shop.supervisor()["ending"] == true);
    let mut again = start(shop.command(&["serve", "production", "--detach"]));
    fs::write(shop.run("wait1.over"), "").unwrap();
    assert_eq!(rest(slow), "hello 0\n");
    assert_eq!((stop.wait().unwrap().code(), again.wait().unwrap().code()), (Some(0), Some(0)));
    shop.both_listen();
    shop.serves("hello 0\n");
}

#[test]
fn what_a_server_says_before_it_closes_comes_through_and_a_break_is_a_break() {
    let Some(shop) = Shop::with(|file| file.replace("ready = { http = \"/up\", timeout = \"60s\" }", "")) else { return };
    shop.promote("hello early\n", 0);
    for _ in 0..20 {
        let mut stream = TcpStream::connect(("127.0.0.1", shop.port)).unwrap();
        let mut writer = stream.try_clone().unwrap();
        // The server is not going to read that.
        let upload = std::thread::spawn(move || drop(writer.write_all(&vec![b'u'; 4_000_000])));
        // What comes behind the answer is a reset, as it is without anybody between them.
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.0 413 ") && answer.ends_with(b"xend"), "{}", answer.len());
        drop(stream);
        upload.join().unwrap();
    }
    shop.promote("hello half\n", 0);
    let mut stream = TcpStream::connect(("127.0.0.1", shop.port)).unwrap();
    stream.write_all(b"0123456789").unwrap();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_supervisor_is_ended_though_the_file_knows_its_environment_no_more() {
    let Some(shop) = Shop::new("") else { return };
    shop.promote("hello 0\n", 0);
    shop.change("[environments.production]", "[environments.live]");
    let said = shop.shipway(&["serve", "production", "--status"]).exits(0).stdout;
    assert!(said.contains(&format!("127.0.0.1:{}", shop.port)), "{said}");
    shop.shipway(&["serve", "production", "--stop"]).exits(0);
    assert!(shop.servers().is_empty());
    shop.shipway(&["serve", "none", "--stop"]).exits(2);
}

#[test]
fn a_way_back_that_lacks_something_is_gone_once_it_is_there() {
    let Some(shop) = Shop::new("rollout = [50, 100]\npause = \"manual\"") else { return };
    shop.promote("hello 0\n", 0);
    shop.promote("hello 1\n", 75);
    let mut without = shop.command(&["abort", "production", "--reason", "slow"]);
    without.env_remove("TOKEN");
    let said = said(without).exits(3).stderr;
    assert!(said.contains("production: goes no further: ") && said.contains("then `shipway promote production` goes on"), "{said}");
    // What lies about is no commit: the one by which it was begun says how.
    shop.project.write("notes.txt", "to be mended");
    shop.shipway(&["abort", "production", "--reason", "slow"]).exits(0);
    assert_eq!((shop.split(10, "hello 0\n"), shop.status()["verified"].clone()), (10, true.into()));
}

#[test]
fn another_clone_does_not_say_of_a_supervisor_that_it_has_moved_it() {
    let Some(shop) = Shop::with(|file| {
        format!("[delivery]\nshare = \"git\"\n{}", file.replace("pass-env", "rollout = [50, 100]\npause = \"manual\"\npass-env"))
    }) else {
        return;
    };
    let (remote, other) = (shop.run("remote.git"), shop.run("other"));
    git(shop.project.path(), &["init", "-q", "--bare", &remote.to_string_lossy()]);
    git(shop.project.path(), &["remote", "add", "origin", &remote.to_string_lossy()]);
    shop.promote("hello 0\n", 0);
    shop.promote("hello 1\n", 75);
    git(shop.project.path(), &["push", "-q", "origin", "HEAD:main"]);
    git(shop.project.path(), &["clone", "-q", "-b", "main", &remote.to_string_lossy(), &other.to_string_lossy()]);
    let elsewhere = |words: &[&str]| {
        let mut command = shop.command(words);
        command.current_dir(&other);
        said(command)
    };
    for words in [&["abort", "production", "--reason", "x"][..], &["promote", "production"]] {
        let said = elsewhere(words).exits(3).stderr;
        assert!(said.contains("its supervisor is in the clone of ") && said.contains("go on there"), "{said}");
    }
    assert_eq!(shop.split(10, "hello 1\n"), 5);
    // There it is known, and done.
    shop.shipway(&["settle", "production"]).exits(4);
    assert_eq!(shop.split(10, "hello 0\n"), 10);
    let said = elsewhere(&["rollback", "production", "--reason", "x"]).exits(1).stderr;
    assert!(said.contains("there is nothing to go back to"), "{said}");
}

#[test]
fn what_a_failed_way_back_has_left_is_put_right_by_the_next_promotion() {
    let Some(shop) = Shop::new("rollout = [60, 100]\npause = \"1ms\"") else { return };
    shop.promote("hello 0\n", 0);
    shop.release("hello 1\n");
    shop.shipway(&["promote", "production", "--step"]).exits(75);
    // The one before ends, and cannot be started.
    fs::write(shop.run("broken"), "hello 0\n").unwrap();
    let port = shop.supervisor()["slots"].as_array().unwrap().iter().find(|look| look["slot"] == "blue").unwrap()["port"].to_string();
    let line = processes(&format!("server.py blue {port}")).pop().unwrap();
    kill_process(Pid::from_raw(line.split(' ').next().unwrap().parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    shop.shipway(&["abort", "production", "--reason", "bad"]).exits(5);
    fs::remove_file(shop.run("broken")).unwrap();
    assert!(shop.split(10, "hello 1\n") > 0 && shop.status()["verified"] == false);
    shop.shipway(&["promote", "production"]).exits(0);
    assert_eq!((shop.split(10, "hello 0\n"), shop.status()["verified"].clone(), shop.servers().len()), (10, true.into(), 1));
}
