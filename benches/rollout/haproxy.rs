//! Servers behind `HAProxy`, which is told through its admin socket.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::place::Setup;

const CONFIG: &str = r"
global
  stats socket RUN/admin level admin
  maxconn 256
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  retries 0
frontend web
  bind fd@0
  default_backend app
backend app
  server blue 127.0.0.1:BLUE weight 100 disabled
  server green 127.0.0.1:GREEN weight 100 disabled
";

pub(crate) const SETUP: Setup =
    Setup { name: "HAProxy", target: || target(r#"["BENCH", "haproxy", "RUN/admin", "shift", "{slot}", "{weight}"]"#), start };

/// The same, but for a `shift` that ends whoever serves first.
pub(crate) const CONTROL: Setup = Setup {
    name: "HAProxy, the control",
    target: || {
        let others = "for pid in RUN/*.pid; do test $pid = RUN/{slot}.pid || {{ kill $(cat $pid); rm $pid; }}; done";
        target(&format!("'''\n{others}\n\"BENCH\" haproxy RUN/admin shift {{slot}} {{weight}}'''"))
    },
    start,
};

/// A target with this `shift`. Each command can be done again.
fn target(shift: &str) -> String {
    let stop = r"
test ! -e RUN/{slot}.pid || kill $(cat RUN/{slot}.pid) 2>/dev/null || true
while test -e RUN/{slot}.pid && kill -0 $(cat RUN/{slot}.pid) 2>/dev/null; do sleep 0.01; done
rm -f RUN/{slot}.pid";
    format!(
        r#"kind = "command"
start = '''
if test "$(cat RUN/{{slot}}.dir 2>/dev/null)" = {{dir}} && kill -0 $(cat RUN/{{slot}}.pid) 2>/dev/null; then exit 0; fi{stop}
echo {{dir}} > RUN/{{slot}}.dir
"BENCH" serve {{port}} {{dir}}/page </dev/null >/dev/null 2>&1 &
echo $! > RUN/{{slot}}.pid'''
ready = {{ port = "{{port}}" }}
shift = {shift}
stop = '''
"BENCH" haproxy RUN/admin drain {{slot}}{stop}'''
slots = {{ blue = {{ port = BLUE }}, green = {{ port = GREEN }} }}"#
    )
}

#[expect(clippy::unnecessary_wraps, reason = "other set-ups have nothing to start")]
fn start(folder: &Path, listener: TcpListener, [blue, green]: [u16; 2]) -> Option<Child> {
    let config = CONFIG.replace("RUN", folder.to_str().unwrap()).replace("BLUE", &blue.to_string());
    fs::write(folder.join("haproxy.cfg"), config.replace("GREEN", &green.to_string())).unwrap();
    let mut haproxy = Command::new("haproxy");
    haproxy.args(["-db", "-f"]).arg(folder.join("haproxy.cfg")).env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin");
    haproxy.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(File::create(folder.join("haproxy.log")).unwrap());
    let child = haproxy.spawn().unwrap();
    while UnixStream::connect(folder.join("admin")).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(child)
}

/// Tells it what a command of the target says.
pub(crate) fn told(words: &[&str]) {
    let [admin, verb, slot, rest @ ..] = words else { panic!("{words:?}") };
    if *verb == "drain" {
        change(admin, &format!("set server app/{slot} state drain"));
        // The fifth field of a server's line is how many sessions it has.
        let sessions = || {
            let stat = ask(admin, "show stat app 4 -1");
            let line = stat.lines().find(|line| line.starts_with(&format!("app,{slot},"))).unwrap();
            line.split(',').nth(4).unwrap().to_owned()
        };
        while sessions() != "0" {
            std::thread::sleep(Duration::from_millis(1));
        }
        return change(admin, &format!("set server app/{slot} state maint"));
    }
    let weight: u8 = rest[0].parse().unwrap();
    let other = if *slot == "blue" { "green" } else { "blue" };
    let mut shares = [(weight, *slot), (100 - weight, other)];
    // Who gains gains first.
    shares.sort_by_key(|(share, _)| std::cmp::Reverse(*share));
    for (share, name) in shares {
        change(admin, &format!("set server app/{name} weight {share}"));
        if share > 0 {
            change(admin, &format!("set server app/{name} state ready"));
        }
    }
}

fn change(admin: &str, command: &str) {
    let answer = ask(admin, command);
    assert_eq!(answer.trim(), "", "{command}");
}

fn ask(admin: &str, command: &str) -> String {
    let mut stream = UnixStream::connect(admin).unwrap();
    stream.write_all(format!("{command}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
