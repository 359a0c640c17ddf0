//! Services: ready before the first step, shared, gone after the last user, and never a foreign server taken for ours.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::project::{Project, brief, event, events, finish, notices, outcome, output, processes, start, until};

/// `SERVE word...` does what the words say, in their order, and stays; each start is counted as `start`.
const SERVE: &str = r#"
use strict;
use POSIX ();
use IO::Socket::INET;
$| = 1;
my $aside = $ENV{XDG_N};
my $socket;
sub note { my ($name, $text) = @_; open my $file, '>>', "$aside/$name" or die $!; syswrite $file, "$text\n"; close $file; }
sub nap { select undef, undef, undef, 0.01 }
note('runs', 'start');
for my $word (@ARGV) {
    if ($word =~ /^listen:(\d+)$/) {
        $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $1, Listen => 9, ReuseAddr => 1) or die "listen: $!";
    }
    elsif ($word =~ /^print:(.*)$/) { print "$1\n" }
    elsif ($word =~ /^colour:(.*) (.*)$/) { print STDERR "$1 \e[32m$2\e[0m" }
    elsif ($word =~ /^variable:(.*)$/) { print "$1=$ENV{$1}\n" }
    elsif ($word =~ /^note:(.*)$/) { note($1, $$) }
    elsif ($word =~ /^await:(.*)$/) { nap until -e "$aside/$1" }
    elsif ($word =~ /^exit:(\d+)$/) { exit $1 }
    elsif ($word eq 'daemon') { exit 0 if fork; POSIX::setsid() }
    elsif ($word eq 'session') { POSIX::setsid() }
    elsif ($word eq 'deaf') { $SIG{$_} = 'IGNORE' for qw(TERM INT HUP QUIT) }
    elsif ($word =~ /^tell:(.*)$/) { my $name = $1; $SIG{$name} = sub { note('told', $name); exit 0 } }
    elsif ($word eq 'escape') {
        # Begets one that flees: a child of init, in a session of its own, without its environment, deaf.
        if (!fork) { POSIX::setsid(); exit 0 if fork; $SIG{$_} = 'IGNORE' for qw(TERM INT HUP QUIT); exec 'env', '-i', 'perl', $0, 'stay' }
        wait;
    }
    elsif ($word eq 'worker') { if (!fork) { POSIX::setsid(); exec 'perl', $0, 'stay' } }
    elsif ($word eq 'stay') { sleep 1000 while 1 }
    elsif ($word =~ /^http:(\d+):(\d+)$/) {
        $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $1, Listen => 9, ReuseAddr => 1) or die "listen: $!";
        my $busy = $2;
        while (my $client = $socket->accept) {
            while (my $line = <$client>) { last if $line eq "\r\n" }
            my $status = $busy-- > 0 ? '503 Busy' : '200 OK';
            note('asked', $status);
            print $client "HTTP/1.1 $status\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            close $client;
        }
    }
    else { die "$word?" }
}
sleep 1000 while 1;
"#;

/// `CALL port` fails unless somebody listens there.
const CALL: &str = "use IO::Socket::INET; IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ARGV[0]) or die \"nobody: $!\\n\";\n";

/// A port that no other test uses.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + u16::try_from(std::process::id() % 200).unwrap() * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::SeqCst);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A project with these stages, in which `SERVE` and `CALL` stand for the scripts above, and `PORT` for a port of its own.
struct Case {
    project: Project,
    port: u16,
}

impl Case {
    fn new(stages: &str) -> Self {
        let case = Self { project: Project::counted(""), port: port() };
        case.project.write("serve.pl", SERVE).write("call.pl", CALL);
        case.set(stages);
        case
    }

    fn set(&self, stages: &str) {
        self.project.pipeline(&self.fill(stages));
    }

    fn fill(&self, text: &str) -> String {
        let script = |name: &str| self.project.join(name).display().to_string();
        let serve = format!("\"perl\", \"{}\"", script("serve.pl"));
        text.replace("SERVE", &serve).replace("CALL", &format!("perl {}", script("call.pl"))).replace("PORT", &self.port.to_string())
    }

    fn run(&self, arguments: &[&str]) -> (i32, Vec<Value>) {
        let ran = self.project.events(arguments);
        self.leaves_nothing();
        ran
    }

    #[track_caller]
    fn leaves_nothing(&self) {
        assert_eq!(processes(&self.project.join("serve.pl").display().to_string()), [] as [&str; 0]);
    }

    fn starts(&self) -> usize {
        self.project.count("start")
    }

    fn touch(&self, name: &str) {
        fs::write(self.project.aside(name), "").unwrap();
    }

    /// Runs all, and asserts that the stage `a` fails by its service.
    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> (String, Value, Vec<Value>) {
        let (code, events) = self.run(arguments);
        assert_eq!(code, 1, "{events:#?}");
        let finished = event(&events, "stage-finished", "a").clone();
        assert_eq!(finished["failure"]["kind"], "service", "{finished:#}");
        (finished["reason"].as_str().unwrap().replace(&self.port.to_string(), "PORT"), finished["failure"].clone(), events)
    }
}

const LISTENING: &str = "[services.db]\nstart = [SERVE, \"listen:PORT\"]\nready = { port = PORT }\n";

fn with(services: &str, stages: &str) -> Case {
    Case::new(&format!("{services}{stages}"))
}

#[test]
fn two_stages_share_one_service_which_is_ready_before_the_first_step_and_gone_after_the_last() {
    let stages = "[stages.a]\nservices = [\"db\"]\ninputs = []\nsteps = [\"CALL PORT\"]\n\
                  [stages.b]\nservices = [\"db\"]\ninputs = []\nsteps = [\"CALL PORT\"]\n\
                  [stages.c]\nservices = [\"db\"]\nafter = [\"a\", \"b\"]\ninputs = []\nsteps = [\"CALL PORT\"]\n";
    let case = with(LISTENING, stages);
    let (code, events) = case.run(&["-j", "2"]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(brief(&events), "a passed, b passed, c passed");
    assert_eq!(case.starts(), 1);
    let states: Vec<_> = events.iter().filter(|event| event["event"] == "service").map(|event| &event["state"]).collect();
    assert_eq!(states, ["ready", "ended"]);
    // It is started for none of these.
    case.project.shipway(["run", "--dry-run", "--force"]).exits(0);
    assert_eq!(case.project.brief(&[]), "a cached, b cached, c cached");
    assert_eq!(case.starts(), 1);
    // Two runs one after the other.
    case.run(&["--force"]);
    assert_eq!(case.starts(), 2);
}

#[test]
fn what_a_service_is_counts_in_the_key_of_its_users_and_of_nobody_else() {
    let text = |start: &str, more: &str, ready: &str| {
        format!(
            "[services.db]\nstart = [SERVE, {start}]\nready = {ready}\n{more}\n\
             [stages.a]\nservices = [\"db\"]\ninputs = []\nsteps = [\"true\"]\n[stages.b]\ninputs = []\nsteps = [\"true\"]\n"
        )
    };
    let plain = text("\"print:up\"", "", "{ log = \"up\" }");
    let case = Case::new(&plain);
    assert_eq!(case.project.brief(&[]), "a passed, b passed");
    for changed in [
        text("\"print:up\", \"print:x\"", "", "{ log = \"up\" }"),
        text("\"print:up\"", "env = { MODE = \"x\" }", "{ log = \"up\" }"),
        text("\"print:up\"", "dir = \"sub\"", "{ log = \"up\" }"),
        text("\"print:up\"", "pass-env = [\"CI\"]", "{ log = \"up\" }"),
        text("\"print:up\"", "", "{ command = \"true\" }"),
        text("\"print:up\"", "", "{ log = \"u\" }"),
    ] {
        fs::create_dir_all(case.project.join("sub")).unwrap();
        case.set(&changed);
        assert_eq!(case.project.brief(&[]), "a passed, b cached", "{changed}");
    }
    case.set(&text("\"print:up\"", "timeout = \"9s\"\nstop-signal = \"INT\"", "{ log = \"up\" }"));
    assert_eq!(case.project.brief(&[]), "a cached, b cached");
    case.set(&text("\"print:up\"", "env = { MODE = \"y\" }", "{ log = \"up\" }"));
    let said = case.project.predicted("a");
    assert!(said["reason"].as_str().unwrap().contains("env MODE in service db"), "{said}");
}

#[test]
fn the_program_of_a_service_counts_as_that_of_a_step_does() {
    let case = Case::new(
        "[services.db]\nstart = [\"./db.sh\"]\nready = { log = \"up\" }\n[stages.a]\nservices = [\"db\"]\ninputs = []\nsteps = [\"true\"]\n",
    );
    case.project.script("db.sh", "#!/bin/sh\necho up; exec sleep 1000\n");
    assert_eq!(case.project.brief(&[]), "a passed");
    assert_eq!(case.project.brief(&[]), "a cached");
    case.project.script("db.sh", "#!/bin/sh\necho up; exec sleep 2000\n");
    assert_eq!(case.project.brief(&[]), "a passed");
}

const USES: &str = "[stages.a]\nservices = [\"db\"]\ninputs = []\nsteps = [\"true\"]\n";

#[test]
fn a_service_that_is_never_ready_fails_its_users_and_says_what_is_missing() {
    let case = with("[services.db]\nstart = [SERVE, \"print:hello\"]\nready = { port = PORT }\ntimeout = \"3s\"\n", USES);
    let (reason, failure, _) = case.fails(&[]);
    assert_eq!(reason, "service `db` was not ready after 3s: nothing listens on port PORT");
    assert_eq!(failure["tail"], serde_json::json!(["hello"]));
    assert!(failure["command"].as_str().unwrap().contains("print:hello"));
    case.set(&format!("[services.db]\nstart = [SERVE]\nready = {{ log = \"up\" }}\ntimeout = \"100ms\"\n{USES}"));
    assert_eq!(case.fails(&[]).0, "service `db` was not ready after 100ms: it has not printed `up`");
    case.set(&format!("[services.db]\nstart = [SERVE]\nready = {{ command = \"echo no; exit 3\" }}\ntimeout = \"3s\"\n{USES}"));
    assert_eq!(case.fails(&[]).0, "service `db` was not ready after 3s: `echo no; exit 3` exits with code 3: no");
    case.set(&format!("[services.db]\nstart = [SERVE]\nready = {{ command = \"sleep 1000\" }}\ntimeout = \"200ms\"\n{USES}"));
    assert_eq!(case.fails(&[]).0, "service `db` was not ready after 200ms: `sleep 1000` does not end");
    case.set(&format!(
        "[services.db]\nstart = [SERVE, \"http:PORT:1000000\"]\nready = {{ http = \"http://127.0.0.1:PORT/up\" }}\ntimeout = \"3s\"\n{USES}"
    ));
    let why = "service `db` was not ready after 3s: http://127.0.0.1:PORT/up answers with status 503";
    assert_eq!(case.fails(&[]).0, why);
}

#[test]
fn a_service_that_ends_before_it_is_ready_fails_its_users() {
    let case = with("[services.db]\nstart = [SERVE, \"print:no room\", \"exit:7\"]\nready = { port = PORT }\n", USES);
    let (reason, failure, _) = case.fails(&[]);
    assert_eq!(reason, "service `db` ended with code 7 before it was ready");
    assert_eq!((&failure["code"], &failure["tail"][0]), (&7.into(), &"no room".into()));
    case.set(&format!("[services.db]\nstart = [\"./nothing\"]\nready = {{ port = PORT }}\n{USES}"));
    let reason = case.fails(&[]).0;
    assert!(reason.starts_with("service `db` could not be started: "), "{reason}");
}

#[test]
fn a_service_that_becomes_a_daemon_is_told_to_stay() {
    let case = with("[services.db]\nstart = [SERVE, \"daemon\", \"listen:PORT\"]\nready = { command = \"sleep 1; exit 1\" }\n", USES);
    let reason = case.fails(&[]).0;
    assert_eq!(reason, "service `db` ended with code 0 before it was ready; a service must stay in the foreground, not start a daemon");
    // One that says too late that it has become one.
    case.set(&format!(
        "[services.db]\nstart = [SERVE, \"print:up\", \"await:late\", \"daemon\"]\nready = {{ log = \"up\" }}\n{}",
        USES.replace("true", "touch $XDG_N/late; sleep 1000")
    ));
    let reason = case.fails(&[]).0;
    assert_eq!(reason, "service `db` ended with code 0 while it was used; a service must stay in the foreground, not start a daemon");
}

#[test]
fn a_service_that_ends_while_it_is_used_fails_its_users_and_ends_their_steps() {
    let services =
        "[services.db]\nstart = [SERVE, \"print:broken\", \"listen:PORT\", \"await:fall\", \"exit:9\"]\nready = { port = PORT }\n";
    let stages = "[stages.a]\nservices = [\"db\"]\nsteps = [\"true\", \"touch $XDG_N/one; until [ -e $XDG_N/two ]; do sleep 0.01; done; touch $XDG_N/fall; sleep 1000\"]\n\
                  [stages.b]\nservices = [\"db\"]\nsteps = [\"touch $XDG_N/two; sleep 1000\"]\n[stages.other]\nsteps = [\"true\"]\n";
    let case = with(services, stages);
    let (reason, failure, events) = case.fails(&["-k", "-j", "3"]);
    assert_eq!(reason, "service `db` ended with code 9 while it was used");
    assert_eq!((&failure["step"], &failure["code"], &failure["tail"][0]), (&"2".into(), &9.into(), &"broken".into()));
    assert_eq!(event(&events, "stage-finished", "b")["failure"]["kind"], "service");
    assert_eq!(outcome(&events, "other"), "passed");
    // The first failure halts, and both fail all the same.
    fs::remove_file(case.project.aside("fall")).unwrap();
    let (_, _, events) = case.fails(&["-j", "3"]);
    assert_eq!(outcome(&events, "b"), "failed");
}

#[test]
fn tests_that_failed_before_a_service_ended_have_their_names_all_the_same() {
    let services = "[services.db]\nstart = [SERVE, \"listen:PORT\", \"await:fall\", \"exit:9\"]\nready = { port = PORT }\n";
    let step = "cat j.src > j.xml; touch $XDG_N/fall; END";
    let stage = format!("[stages.a]\nservices = [\"db\"]\nsteps = [\"{step}\"]\nreports.junit = [\"j.xml\"]\n");
    // Whether the step is ended by it, or fails by itself.
    for end in ["sleep 1000", "while perl call.pl PORT 2>&-; do :; done; exit 1"] {
        let case = with(services, &stage.replace("END", end));
        case.project.write("j.src", "<testsuite name='s'><testcase name='one'/><testcase name='two'><failure/></testcase></testsuite>");
        let (reason, failure, events) = case.fails(&[]);
        assert_eq!(reason, "service `db` ended with code 9 while it was used");
        assert_eq!(failure["tests"], serde_json::json!(["s two"]));
        assert_eq!(event(&events, "findings", "a")["totals"]["failed"], 1);
    }
}

#[test]
fn a_step_that_passes_although_its_service_has_ended_is_no_pass() {
    let services = "[services.db]\nstart = [SERVE, \"note:pid\", \"print:up\", \"await:fall\", \"exit:0\"]\nready = { log = \"up\" }\n";
    let gone = "touch $XDG_N/fall; while grep -q '^State:.[^Z]' /proc/$(cat $XDG_N/pid)/status; do sleep 0.01; done 2>/dev/null";
    let case = with(services, &format!("[stages.a]\nservices = [\"db\"]\nsteps = [\"{gone}\"]\n"));
    let (reason, failure, _) = case.fails(&[]);
    assert_eq!(reason, "service `db` ended with code 0 while it was used");
    assert_eq!(failure["step"], "1");
}

#[test]
fn a_retry_starts_a_service_anew_that_has_ended() {
    let services = "[services.db]\nstart = [SERVE, \"listen:PORT\", \"await:fall\", \"exit:9\"]\nready = { port = PORT }\n";
    let steps = "if [ -e $XDG_N/fall ]; then rm $XDG_N/fall; CALL PORT; else touch $XDG_N/fall; sleep 1000; fi";
    let case = with(services, &format!("[stages.a]\nservices = [\"db\"]\nretries = 1\nsteps = [\"{steps}\"]\n"));
    // The second start must not fall by the same file.
    case.set(&case.fill(&format!(
        "[services.db]\nstart = \"if [ -e $XDG_N/fall ]; then exec perl serve.pl listen:PORT; else exec perl serve.pl listen:PORT await:fall exit:9; fi\"\n\
         ready = {{ port = PORT }}\n[stages.a]\nservices = [\"db\"]\nretries = 1\nsteps = [\"{}\"]\n",
        steps.replace("rm $XDG_N/fall; ", "")
    )));
    let (code, events) = case.run(&[]);
    assert_eq!(code, 0, "{events:#?}");
    let finished = event(&events, "stage-finished", "a");
    assert_eq!((&finished["attempts"], &finished["flaky"]), (&2.into(), &true.into()));
    assert_eq!(case.starts(), 2);
    assert!(notices(&events).contains("service `db` ended with code 9 while it was used; trying again"));
}

#[test]
fn a_port_in_use_is_said_and_the_foreign_server_is_not_used() {
    let case = with(LISTENING, USES);
    let foreign = TcpListener::bind(("127.0.0.1", case.port)).unwrap();
    let reason = case.fails(&[]).0;
    let own = fs::read_to_string("/proc/self/comm").unwrap();
    let expected =
        format!("service `db` could not be started: port PORT is already in use by process {} `{}`", std::process::id(), own.trim());
    assert_eq!(reason.replace(&case.port.to_string(), "PORT"), expected);
    assert_eq!(case.starts(), 0);
    case.set(&format!("[services.db]\nstart = [SERVE, \"print:x\"]\nready = {{ http = \"http://localhost:PORT/\" }}\n{USES}"));
    assert_eq!(case.fails(&[]).0, expected);
    drop(foreign);
    case.set(&format!("{LISTENING}{USES}"));
    assert_eq!(case.project.brief(&[]), "a passed");
}

#[test]
fn the_service_of_another_run_that_was_faster_is_not_taken_for_ours() {
    let slow = with("[services.db]\nstart = [SERVE, \"note:begun\"]\nready = { port = PORT }\n", USES);
    let fast = Case { project: Project::counted(""), port: slow.port };
    fast.project.write("serve.pl", SERVE);
    fast.set("[services.db]\nstart = [SERVE, \"listen:PORT\"]\nready = { port = PORT }\n[stages.a]\nservices = [\"db\"]\nsteps = [\"until [ -e $XDG_N/go ]; do sleep 0.01; done\"]\n");
    let mut waiting = slow.project.command(["run", "--format", "json"]);
    waiting.env("SHIPWAY_JOBS", "1");
    let waiting = start(waiting);
    until("our service runs", || slow.project.aside("begun").exists());
    let other = start(fast.project.command(["run", "--format", "json"]));
    let said = finish(waiting).exits(1);
    fast.touch("go");
    finish(other).exits(0);
    let finished = event(&events(&said.stdout), "stage-finished", "a").clone();
    let reason = finished["reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("service `db` cannot be used: port {} was taken first by process ", slow.port)), "{reason}");
    slow.leaves_nothing();
    fast.leaves_nothing();
}

#[test]
fn services_are_ready_by_log_by_http_and_by_command() {
    let services = "[services.log]\nstart = [SERVE, \"colour:it is ready\"]\nready = { log = \"it is ready\" }\n\
                    [services.web]\nstart = [SERVE, \"http:PORT:3\"]\nready = { http = \"http://127.0.0.1:PORT/up\" }\n\
                    [services.asked]\nstart = [SERVE, \"note:up\"]\nready = { command = [\"sh\", \"-c\", \"test -e $XDG_N/up && test $WHO = me\"] }\nenv = { WHO = \"me\" }\n";
    let case = with(services, "[stages.a]\nservices = [\"log\", \"web\", \"asked\"]\nsteps = [\"cat $XDG_N/asked; test -e $XDG_N/up\"]\n");
    let (code, events) = case.run(&[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(output(&events, "a", "stdout"), "503 Busy\n503 Busy\n503 Busy\n200 OK\n");
}

#[test]
fn services_of_a_stage_start_at_the_same_time() {
    let services = "[services.one]\nstart = [SERVE, \"note:one\", \"await:two\", \"print:up\"]\nready = { log = \"up\" }\n\
                    [services.two]\nstart = [SERVE, \"note:two\", \"await:one\", \"print:up\"]\nready = { log = \"up\" }\n";
    let case = with(services, "[stages.a]\nservices = [\"one\", \"two\"]\nsteps = [\"true\"]\n");
    assert_eq!(case.run(&["-j", "1"]).0, 0);
}

#[test]
fn whatever_a_service_does_to_escape_nothing_of_it_is_left() {
    for start in ["\"escape\", \"print:up\"", "\"worker\", \"print:up\"", "\"deaf\", \"escape\", \"worker\", \"print:up\""] {
        let case = with(&format!("[services.db]\nstart = [SERVE, {start}]\nready = {{ log = \"up\" }}\n"), USES);
        let (code, events) = case.run(&[]);
        assert_eq!(code, 0, "{events:#?}");
        assert_eq!(notices(&events), "");
    }
}

#[test]
fn a_service_is_asked_to_end_by_its_signal() {
    for signal in ["INT", "TERM", "USR1"] {
        let services = format!(
            "[services.db]\nstart = [SERVE, \"tell:{signal}\", \"print:up\"]\nready = {{ log = \"up\" }}\nstop-signal = \"{signal}\"\n"
        );
        let case = with(&services, USES);
        assert_eq!(case.run(&[]).0, 0);
        assert_eq!(fs::read_to_string(case.project.aside("told")).unwrap().trim(), signal);
    }
}

#[test]
fn what_a_step_leaves_is_ended_beside_a_service_that_goes_on() {
    let leaves = "sleep 1234 & setsid sleep 1234 &";
    let stages = format!(
        "[stages.a]\nservices = [\"db\"]\nsteps = [\"{leaves}\", \"CALL PORT\"]\n[stages.b]\nafter = [\"a\"]\nsteps = [\"true\"]\n\
         [stages.c]\nafter = [\"b\"]\nservices = [\"db\"]\nsteps = [\"CALL PORT\"]\n"
    );
    let case = with(LISTENING, &stages);
    let (code, events) = case.run(&[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(case.starts(), 1);
    assert!(notices(&events).contains("step `1` left 2 processes running"), "{}", notices(&events));
}

#[test]
fn a_service_is_ended_when_its_last_user_is_done_not_later() {
    let stages = "[stages.a]\nservices = [\"db\"]\nsteps = [\"true\"]\n[stages.b]\nafter = [\"a\"]\nsteps = [\"until [ -e $XDG_N/told ]; do sleep 0.01; done\"]\n";
    let case = with("[services.db]\nstart = [SERVE, \"tell:TERM\", \"print:up\"]\nready = { log = \"up\" }\n", stages);
    assert_eq!(case.run(&[]).0, 0);
}

#[test]
fn two_services_of_one_port_follow_each_other() {
    let services = "[services.one]\nstart = [SERVE, \"listen:PORT\"]\nready = { port = PORT }\n[services.two]\nstart = [SERVE, \"listen:PORT\"]\nready = { port = PORT }\n";
    let stages = "[stages.a]\nmatrix = { db = [\"one\", \"two\"] }\nservices = [\"{matrix.db}\"]\npool = \"db\"\nsteps = [\"CALL PORT\"]\n[pools]\ndb = 1\n";
    let case = with(services, stages);
    let (code, events) = case.run(&["-j", "2"]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(case.starts(), 2);
    let both = format!("{services}[stages.a]\nservices = [\"one\", \"two\"]\nsteps = [\"true\"]\n");
    case.set(&both);
    let reason = case.fails(&[]).0;
    let expected =
        "service `two` cannot be started: port PORT is already in use by the service `one` of this pipeline; give each a port of its own";
    assert_eq!(reason, expected);
}

/// Runs a stage that uses a service, and ends shipway by a signal once `begun` is there.
fn ended(services: &str, steps: &str, begun: &str, signal: Signal) -> (Case, std::process::Output) {
    let case = with(services, &format!("[stages.a]\nservices = [\"db\"]\nsteps = [\"{steps}\"]\n"));
    // It hears all signals, whatever those who run the tests ignore.
    let plain = "$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP QUIT); exec { $ARGV[0] } @ARGV or die $!";
    let inner = case.project.command([] as [&str; 0]);
    let mut command = Command::new("perl");
    command
        .args(["-e", plain, "--", env!("CARGO_BIN_EXE_shipway"), "run", "--format", "json"])
        .current_dir(case.project.path())
        .env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let child = start(command);
    until("all has begun", || case.project.aside(begun).exists());
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
    let output = child.wait_with_output().unwrap();
    (case, output)
}

#[test]
fn ctrl_c_ends_services_too() {
    let services = "[services.db]\nstart = [SERVE, \"worker\", \"print:up\"]\nready = { log = \"up\" }\n";
    let (case, output) = ended(services, "touch $XDG_N/begun; sleep 1000", "begun", Signal::INT);
    assert_eq!(output.status.code(), Some(130));
    case.leaves_nothing();
    let events = events(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(outcome(&events, "a"), "cancelled");
}

#[test]
fn ctrl_c_ends_the_wait_for_a_service() {
    let services = "[services.db]\nstart = [SERVE, \"worker\", \"note:begun\"]\nready = { log = \"up\" }\n";
    let (case, output) = ended(services, "true", "begun", Signal::INT);
    assert_eq!(output.status.code(), Some(130));
    case.leaves_nothing();
    let events = events(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(outcome(&events, "a"), "cancelled");
}

#[test]
fn the_guard_ends_the_services_of_a_shipway_that_is_killed() {
    let services = "[services.db]\nstart = [SERVE, \"deaf\", \"worker\", \"print:up\"]\nready = { log = \"up\" }\n";
    let (case, output) = ended(services, "touch $XDG_N/begun; sleep 1000", "begun", Signal::KILL);
    assert_eq!(output.status.code(), None);
    let mark = case.project.join("serve.pl").display().to_string();
    until("the guard has ended all", || processes(&mark).is_empty());
}

#[test]
fn the_limit_of_the_run_counts_while_a_service_is_awaited() {
    let case = with("[services.db]\nstart = [SERVE]\nready = { log = \"up\" }\n", USES);
    let (code, events) = case.run(&["--timeout", "3s"]);
    assert_eq!(code, 1);
    let finished = event(&events, "stage-finished", "a");
    assert_eq!(finished["failure"]["kind"], "timeout");
    assert_eq!(finished["reason"], "the run's limit of 3s was over while it waited for `db`");
}

#[test]
fn secrets_of_services_are_masked_and_must_be_set() {
    let services = "[services.db]\nstart = [SERVE, \"variable:TOKEN\", \"variable:SHIPWAY_SERVICE\", \"exit:1\"]\nready = { log = \"up\" }\nsecrets = [\"TOKEN\"]\n";
    let case = with(services, USES);
    let said = case.project.shipway(["run"]).exits(2);
    assert!(said.stderr.contains("secret `TOKEN` of `db` is not set"), "{}", said.stderr);
    let mut command = case.project.command(["run", "--format", "json"]);
    command.env("TOKEN", "hunter2000");
    let said = finish(start(command)).exits(1);
    assert!(!said.stdout.contains("hunter2000"));
    let all = events(&said.stdout);
    let tail = &event(&all, "stage-finished", "a")["failure"]["tail"];
    assert_eq!(*tail, serde_json::json!(["TOKEN=***", "SHIPWAY_SERVICE=db"]));
}

#[test]
fn the_log_of_a_service_is_shown_where_a_user_fails_and_else_only_with_verbose() {
    let services = "[services.db]\nstart = [SERVE, \"print:row is locked\", \"print:up\"]\nready = { log = \"up\" }\n";
    let case = with(services, USES);
    let said = case.project.shipway(["run", "--force"]).exits(0);
    assert!(!said.stderr.contains("row is locked") && !said.stderr.contains("service"), "{}", said.stderr);
    let said = case.project.shipway(["run", "--force", "-v"]).exits(0);
    assert!(said.stderr.contains("row is locked") && said.stderr.contains("service db is ready after"), "{}", said.stderr);
    case.set(&format!("{services}{}", USES.replace("true", "false")));
    let said = case.project.shipway(["run"]).exits(1);
    assert!(said.stderr.contains("the last 2 lines of the service db, used by a\n  │ row is locked\n"), "{}", said.stderr);
    case.set("[services.db]\nstart = \"echo no memory; exit 1\"\nready = { log = \"up\" }\n[stages.a]\nservices = [\"db\"]\nsteps = [\"true\"]\n");
    let said = case.project.shipway(["run"]).exits(1);
    assert!(said.stderr.contains("the last 1 line of its service\n  │ no memory\n"), "{}", said.stderr);
}

#[test]
fn run_twice_starts_services_in_both_places() {
    let case = with(
        "[services.db]\nstart = \"perl serve.pl note:where listen:PORT\"\nready = { port = PORT }\n",
        "[stages.a]\nservices = [\"db\"]\noutputs = [\"out\"]\nsteps = [\"CALL PORT; echo x > out\"]\n",
    );
    let said = case.project.shipway(["run", "--twice"]).exits(0);
    assert!(said.stderr.contains("twice the same"), "{}", said.stderr);
    assert_eq!(case.starts(), 2);
    case.leaves_nothing();
}

#[test]
fn what_is_wrong_with_services_is_shown_at_once() {
    let project = Project::new(
        "[stages.a]\nservices = [\"postgers\", \"nearly\"]\nsteps = [\"true\"]\n\
         [services.postgres]\nstart = \"x\"\nready = { port = 70000 }\n\
         [services.both]\nstart = \"x\"\nready = { port = 1, log = \"x\" }\n\
         [services.none]\nstart = \"x\"\nready = {}\n\
         [services.web]\nstart = \"x\"\nready = { http = \"https://localhost/\" }\nstop-signal = \"TREM\"\n\
         [services.nearly]\nready = { log = \"\" }\nstart = \"x\"\n\
         [services.secret]\nstart = \"x\"\nready = { log = \"x\" }\nenv = { T = \"1\" }\nsecrets = [\"T\"]\ndir = \"..\"\n",
    );
    let said = project.shipway(["check"]).exits(2);
    for expected in [
        "there is no service `postgers`",
        "a service with a similar name exists: `postgres`",
        "expected a port: a whole number from 1 to 65535",
        "`ready` needs exactly one of `port`, `http`, `log`, `command`",
        "`https://localhost/` is no address that can be asked",
        "only plain http:// is asked",
        "`TREM` is no signal that asks for an end",
        "a signal with a similar name exists: `TERM`",
        "`log` is no part of a line",
        "`T` is both in `env` and in `secrets`",
    ] {
        assert!(said.stderr.contains(expected), "{expected}:\n{}", said.stderr);
    }
    assert!(!said.stderr.contains("there is no service `nearly`"), "{}", said.stderr);
}

/// Tells whether a server's program is here; whoever reads the log must see what was not tested.
fn is_here(program: &str) -> bool {
    let line = "command -v \"$0\" || ls /usr/lib/postgresql/*/bin/\"$0\"";
    let is_here = Command::new("sh").args(["-c", line, program]).output().unwrap().status.success();
    if !is_here {
        let mut log = std::io::stderr();
        writeln!(log, "not tested: there is no {program} on this machine").unwrap();
    }
    is_here
}

#[test]
fn redis_is_a_service() {
    if !is_here("redis-server") {
        return;
    }
    let services = "[services.cache]\nstart = [\"redis-server\", \"--port\", \"PORT\", \"--save\", \"\"]\nready = { port = PORT }\n";
    let stages = "[stages.a]\nservices = [\"cache\"]\nsteps = [\"redis-cli -p PORT set word tea\"]\n\
                  [stages.b]\nafter = [\"a\"]\nservices = [\"cache\"]\nsteps = [\"test $(redis-cli -p PORT get word) = tea\"]\n";
    let case = with(services, stages);
    let (code, events) = case.run(&[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(processes(&format!("redis-server *:{}", case.port)), [] as [&str; 0]);
    TcpListener::bind(("127.0.0.1", case.port)).unwrap();
}

/// A database server in the test's own folder; as root it runs as somebody else.
const POSTGRES: &str = r#"
[services.postgres]
start = '''
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); as=; dir=$XDG_N/pg; rm -rf $dir; mkdir $dir; chmod 711 $XDG_N
[ $(id -u) != 0 ] || { chown postgres: $dir; as='setpriv --reuid postgres --regid postgres --init-groups'; }
cd $dir; $as $bin/initdb -D $dir/data -U postgres -A trust --locale C --no-sync
exec $as $bin/postgres -D $dir/data -p PORT -k $dir -c listen_addresses=127.0.0.1 -c fsync=off
'''
ready = { port = PORT }
timeout = "1m"
stop-signal = "INT"
"#;

fn postgres(steps: &str) -> Option<Case> {
    let stages =
        format!("[stages.a]\nservices = [\"postgres\"]\nenv = {{ PGHOST = \"127.0.0.1\", PGUSER = \"postgres\" }}\nsteps = {steps}\n");
    (is_here("postgres") && is_here("psql")).then(|| with(POSTGRES, &stages))
}

#[test]
fn postgres_is_a_service() {
    let steps = "[\"psql -p PORT -c 'create table t as select 1'\", \"psql -p PORT -Atc 'select count(*) from t'\"]";
    let Some(case) = postgres(steps) else { return };
    let (code, events) = case.run(&[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(output(&events, "a", "stdout").ends_with("\n1\n"));
    assert_eq!(processes(&case.project.aside("pg").display().to_string()), [] as [&str; 0]);
    assert!(!case.project.aside("pg/data/postmaster.pid").exists(), "it was not shut down in order");
}

#[test]
fn a_postgres_that_is_killed_in_use_fails_its_users_whoever_notices_first() {
    let steps = "[\"kill -9 $(head -n 1 $XDG_N/pg/data/postmaster.pid); psql -p PORT -c 'select pg_sleep(1000)'\"]";
    let Some(case) = postgres(steps) else { return };
    let (reason, failure, _) = case.fails(&[]);
    assert_eq!(reason, "service `postgres` was killed by SIGKILL (signal 9) while it was used");
    assert_eq!((&failure["signal"], &failure["code"]), (&9.into(), &Value::Null));
    assert_eq!(processes(&case.project.aside("pg").display().to_string()), [] as [&str; 0]);
}

#[test]
fn the_guard_ends_a_postgres_whose_workers_are_in_sessions_of_their_own() {
    let Some(case) = postgres("[\"touch $XDG_N/begun; psql -p PORT -c 'select pg_sleep(1000)'\"]") else { return };
    let mut child = start(case.project.command(["run"]));
    until("it is used", || case.project.aside("begun").exists());
    let postmaster = fs::read_to_string(case.project.aside("pg/data/postmaster.pid")).unwrap().lines().next().unwrap().to_owned();
    let workers = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap();
    let all: Vec<&str> = workers.split_whitespace().chain([postmaster.as_str()]).collect();
    assert!(all.len() > 3, "{all:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    let is_postgres = |pid: &&str| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("postgres"));
    until("the guard has ended all", || !all.iter().any(is_postgres));
}

#[test]
fn a_service_that_nobody_uses_is_warned_of_and_never_started() {
    let case = Case::new("[services.db]\nstart = [SERVE]\nready = { port = PORT }\n[stages.a]\nsteps = [\"true\"]\n");
    let said = case.project.shipway(["check"]).exits(0);
    assert!(said.stderr.contains("the service `db` is used by no stage"), "{}", said.stderr);
    assert_eq!(case.run(&[]).0, 0);
    assert_eq!(case.starts(), 0);
}

#[test]
fn an_included_file_uses_the_service_of_the_file_that_includes_it() {
    let service = |word: &str| format!("[services.db]\nstart = [SERVE, {word}\"listen:PORT\"]\nready = {{ port = PORT }}\n");
    let case = Case::new(&format!("include = [\"part/pipeline.toml\"]\n{}", service("")));
    let part = |stages: &str| format!("[pipeline]\nname = \"part\"\n{}{stages}", service("\"note:own\", "));
    case.project.write("part/pipeline.toml", case.fill(&part("[stages.a]\nservices = [\"db\"]\ninputs = []\nsteps = [\"true\"]\n")));
    // Its own one is for where it is run alone.
    let said = case.project.shipway(["check"]).exits(0);
    assert!(!said.stderr.contains("is used by no stage"), "{}", said.stderr);
    let (code, events) = case.run(&[]);
    assert_eq!((code, outcome(&events, "part/a"), case.starts()), (0, "passed", 1));
    assert!(!case.project.aside("own").exists());
    // What the including file says of it counts; what its own one says does not.
    let text = case.project.read("part/pipeline.toml");
    case.project.write("part/pipeline.toml", text.replace("note:own", "note:other"));
    assert_eq!(outcome(&case.run(&[]).1, "part/a"), "cached");
    case.set(&format!("include = [\"part/pipeline.toml\"]\n{}", service("\"note:main\", ")));
    assert_eq!(outcome(&case.run(&[]).1, "part/a"), "passed");
    // A name that both have is proposed once.
    case.project.write("part/pipeline.toml", text.replace("services = [\"db\"]", "services = [\"store\"]"));
    let said = case.project.shipway(["check"]).exits(2);
    assert!(said.stderr.contains("these exist: `db`\n"), "{}", said.stderr);
}

#[test]
fn the_defaults_may_name_services_and_the_schema_knows_them() {
    let case = with(
        LISTENING,
        "[defaults]\nservices = [\"db\"]\n[stages.a]\nsteps = [\"CALL PORT\"]\n[stages.b]\nservices = []\nsteps = [\"true\"]\n",
    );
    assert_eq!(case.run(&["b"]).0, 0);
    assert_eq!(case.starts(), 0);
    assert_eq!(case.run(&["a"]).0, 0);
    let schema: Value = serde_json::from_str(&case.project.shipway(["schema"]).exits(0).stdout).unwrap();
    let ready = &schema["properties"]["services"]["additionalProperties"]["properties"]["ready"];
    assert_eq!((&ready["minProperties"], &ready["properties"]["port"]["maximum"]), (&1.into(), &65535.into()));
}
