//! Whatever a step does to escape: when shipway returns nothing of it is left, nothing waits beyond the grace, and the verdict is right.
//!
//! What escapes here would sleep for a thousand seconds, so whoever waits for it is caught. Nothing is timed: steps and tests wait for
//! files that the others write.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::project::{self, Project, event, guard_of, outcome, until};

/// Between TERM and KILL (contract, section 5).
const GRACE: Duration = Duration::from_secs(5);

/// `STAY name word...` does what the words say, in their order, then writes its pid to the file `name` and stays.
const STAY: &str = r#"
use POSIX ();
my ($name, @words) = @ARGV;
sub note { open my $file, '>', "$name.new" or die $!; print $file $$; close $file; rename "$name.new", $name or die $!; }
sub beget { my $child = fork; die $! unless defined $child; return $child; }
for my $word (@words) {
    if ($word eq 'fork') { exit 0 if beget }
    elsif ($word eq 'session') { POSIX::setsid() }
    elsif ($word eq 'group') { setpgrp 0, 0 }
    elsif ($word eq 'deaf') { $SIG{$_} = 'IGNORE' for qw(TERM INT HUP QUIT TTIN TTOU) }
    elsif ($word eq 'telling') { $SIG{TERM} = sub { open my $file, '>', "$name.told" } }
    elsif ($word eq 'silent') { open STDIN, '<', '/dev/null'; open STDOUT, '>', '/dev/null'; open STDERR, '>', '/dev/null' }
    elsif ($word eq 'closed') { close STDIN; close STDOUT; close STDERR }
    elsif ($word eq 'stopped') { note; kill STOP => $$ }
    elsif ($word eq 'subreaper') { syscall($ENV{PRCTL}, 36, 1, 0, 0, 0) == 0 or die $! }
    elsif ($word eq 'sibling') {
        my $child = syscall($ENV{CLONE}, 0x8000 | 17, 0, 0, 0, 0);
        die $! if $child < 0;
        if ($child) { select undef, undef, undef, 0.01 until -e $name; POSIX::_exit(0) }
    }
    elsif ($word eq 'headless') { require threads; threads->create(sub { sleep 1000 while 1 }); note; syscall($ENV{EXIT}, 0) }
    elsif ($word =~ /^deep(\d+)$/) { for (1 .. $1) { if (beget) { sleep 1000 while 1 } POSIX::setsid() } }
    elsif ($word =~ /^wide(\d+)$/) { for (1 .. $1) { if (!beget) { POSIX::setsid(); sleep 1000 while 1 } } }
    elsif ($word eq 'hopping') { note; while (1) { exit 0 if beget; POSIX::setsid() } }
    else { die "$word?" }
}
note;
sleep 1000 while 1;
"#;

/// `AWAIT name...` waits until all these files exist.
const AWAIT: &str = "for file; do until [ -e \"$file\" ]; do sleep 0.01; done; done\n";

/// `GONE name...` fails if a process whose pid is in one of these files lives.
const GONE: &str =
    "for file; do if grep -qa stay.pl /proc/$(cat \"$file\")/cmdline 2>/dev/null; then echo \"$file lives\"; exit 1; fi; done\n";

/// A project whose processes are known by its path, and which leaves none behind.
struct Case {
    project: Project,
    log: TempDir,
}

/// A shipway that runs.
struct Started<'c> {
    case: &'c Case,
    child: Child,
}

/// What a shipway that has ended said.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    signal: Option<i32>,
    events: Vec<Value>,
    stderr: String,
}

/// The words before a command that let it hear all signals.
const HEARING: [&str; 4] = ["perl", "-e", "$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP QUIT); exec { $ARGV[0] } @ARGV or die $!", "--"];

impl Case {
    /// A project with these stages, in which `STAY`, `AWAIT` and `GONE` stand for the scripts above.
    fn new(stages: &str) -> Self {
        let case = Self { project: Project::empty(), log: tempfile::tempdir().unwrap() };
        case.project.write("stay.pl", STAY).write("await.sh", AWAIT).write("gone.sh", GONE);
        case.project.write("pipeline.toml", format!("[pipeline]\nname = \"test\"\n{}", case.fill(stages)));
        case
    }

    /// Puts the scripts into a text.
    fn fill(&self, text: &str) -> String {
        let path = self.project.path().display().to_string();
        let script = |name: &str| format!("{path}/{name}");
        text.replace("STAY", &format!("perl {}", script("stay.pl")))
            .replace("AWAIT", &format!("sh {}", script("await.sh")))
            .replace("GONE", &format!("sh {}", script("gone.sh")))
            .replace("PROJECT", &path)
    }

    /// The program with these arguments, which hears all signals whatever those who run the tests ignore.
    fn command(&self, arguments: &[&str]) -> Command {
        self.wrapped(&HEARING, arguments)
    }

    /// The program as other words start it.
    fn wrapped(&self, words: &[&str], arguments: &[&str]) -> Command {
        let mut command = self.outer(words[0]);
        command.args(&words[1..]).args([env!("CARGO_BIN_EXE_shipway"), "run", "--format", "json"]).args(arguments);
        command
    }

    /// Another program where shipway would be.
    fn outer(&self, program: &str) -> Command {
        let inner = self.project.command([] as [&str; 0]);
        let mut command = Command::new(program);
        command.current_dir(self.project.path()).stdin(Stdio::null()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }

    /// Starts it; what it says goes to files, so that nobody who holds a stream open can hold the test up.
    fn spawn(&self, command: Command) -> Started<'_> {
        self.spawn_to(command, File::create(self.log.path().join("out")).unwrap().into())
    }

    fn spawn_to(&self, mut command: Command, out: Stdio) -> Started<'_> {
        let err = File::create(self.log.path().join("err")).unwrap();
        let child = command.stdout(out).stderr(err).spawn().unwrap();
        Started { case: self, child }
    }

    fn start(&self, arguments: &[&str]) -> Started<'_> {
        self.spawn(self.command(arguments))
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end()
    }

    fn exists(&self, name: &str) -> bool {
        self.project.exists(name)
    }

    #[track_caller]
    fn awaits(&self, name: &str) {
        until(&format!("{name} is there"), || self.exists(name));
    }

    /// Tells whether the process that wrote its pid to the file lives.
    fn lives(&self, name: &str) -> bool {
        let pid = format!("{} ", self.project.read(name));
        self.left().iter().any(|process| process.starts_with(&pid))
    }

    /// All that lives of it.
    fn left(&self) -> Vec<String> {
        project::processes(&self.project.path().display().to_string())
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        let left = self.left();
        assert!(left.is_empty(), "left: {left:#?}");
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        for _ in 0..1000 {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            for process in left {
                let pid = process.split(' ').next().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
                let _gone = kill_process(pid.unwrap(), Signal::KILL);
            }
        }
    }
}

impl Started<'_> {
    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
    }

    /// The process that ends the steps of a shipway that was killed.
    fn guard(&self) -> PathBuf {
        Path::new("/proc").join(guard_of(self.pid()).as_raw_nonzero().to_string())
    }

    fn said(&self) -> String {
        let log = self.case.log.path();
        fs::read_to_string(log.join("events")).or_else(|_| fs::read_to_string(log.join("out"))).unwrap()
    }

    #[track_caller]
    fn await_event(&self, text: &str) {
        until(&format!("{text} is said"), || self.said().contains(text));
    }

    /// Waits for its end, and for nothing else.
    #[track_caller]
    fn end(mut self) -> Ended {
        use std::os::unix::process::ExitStatusExt;
        let mut status = None;
        until("shipway has returned", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let status = status.unwrap();
        // A shipway that was killed may leave half a line.
        let out = self.said();
        let whole = &out[..out.rfind('\n').map_or(0, |end| end + 1)];
        let stderr = fs::read_to_string(self.case.log.path().join("err")).unwrap();
        Ended { code: status.code(), signal: status.signal(), events: project::events(whole), stderr }
    }
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Ended {
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stderr: {}\n{self:#?}", self.stderr);
        let last = self.events.last().unwrap();
        assert_eq!((&last["event"], &last["exit_code"]), (&"run-finished".into(), &code.into()), "{self:#?}");
        self
    }

    #[track_caller]
    fn comes_to(self, outcomes: &[(&str, &str)]) -> Self {
        for (stage, expected) in outcomes {
            assert_eq!(outcome(&self.events, stage), *expected, "{stage} in {self:#?}");
        }
        self
    }

    /// What the run came to.
    fn verdict(&self) -> &Value {
        &self.events.last().unwrap()["outcome"]
    }

    #[track_caller]
    fn finished(&self, stage: &str) -> &Value {
        event(&self.events, "stage-finished", stage)
    }

    #[track_caller]
    fn fails_by(self, stage: &str, kind: &str) -> Self {
        assert_eq!(self.finished(stage)["outcome"], "failed", "{self:#?}");
        assert_eq!(self.finished(stage)["failure"]["kind"], kind, "{self:#?}");
        self
    }

    /// Asserts that a line names the process that was left.
    #[track_caller]
    fn names(self, what: &str) -> Self {
        let mut notices = self.events.iter().filter(|event| event["event"] == "notice");
        assert!(notices.any(|notice| notice["text"].as_str().unwrap().contains(what)), "no notice of `{what}` in {self:#?}");
        self
    }

    fn count(&self, kind: &str, stage: &str) -> usize {
        self.events.iter().filter(|event| event["event"] == kind && event["stage"] == stage).count()
    }
}

/// Runs a stage of one step that passes although it leaves the process `kept` and maybe more, of which nothing stays.
#[track_caller]
fn passes_alone(step: &str) -> (Case, Ended) {
    let case = Case::new(&format!("[stages.a]\nsteps = ['''\n{step}\nAWAIT kept\n''']\n"));
    let ended = case.run(&[]).exits(0).comes_to(&[("a", "passed")]);
    assert!(case.exists("kept"));
    case.nothing_is_left();
    (case, ended)
}

/// The same; and a line names `kept`.
#[track_caller]
fn leaves(step: &str) {
    let (case, ended) = passes_alone(step);
    ended.names(&format!("(pid {})", case.project.read("kept")));
}

/// Tells whether the process of this folder of `/proc` has ended, waited for or not.
fn gone(process: &Path) -> bool {
    fs::read_to_string(process.join("stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// Numbers of system calls, which perl does not know by name; none where this machine is of another kind.
fn system_calls() -> Option<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Some("CLONE=56 PRCTL=157 EXIT=60"),
        "aarch64" => Some("CLONE=220 PRCTL=167 EXIT=93"),
        _ => None,
    }
}

// What a step leaves behind.

#[test]
fn a_background_process_is_ended() {
    leaves("STAY kept &");
}

#[test]
fn a_background_process_that_ignores_term_is_ended() {
    leaves("STAY kept deaf &");
}

#[test]
fn background_grandchildren_are_ended() {
    let case =
        Case::new("[stages.a]\nsteps = ['''\nsh -c 'STAY one & sh -c \"STAY two & STAY three\" & wait' &\nAWAIT one two three\n''']\n");
    case.run(&[]).exits(0).comes_to(&[("a", "passed")]);
    case.nothing_is_left();
}

#[test]
fn a_process_in_its_own_group_is_ended() {
    leaves("STAY kept group &");
}

#[test]
fn a_process_in_its_own_session_is_ended() {
    leaves("setsid STAY kept &\nsetsid STAY more deaf &\nAWAIT more");
}

#[test]
fn a_daemon_that_redirects_its_streams_is_ended() {
    leaves("STAY kept fork session fork silent");
}

#[test]
fn a_daemon_that_closes_its_streams_is_ended() {
    leaves("STAY kept fork session fork closed deaf");
}

#[test]
fn a_daemon_that_holds_the_streams_is_not_waited_for() {
    leaves("echo said; STAY kept fork session fork");
}

#[test]
fn a_process_without_its_environment_is_ended() {
    leaves("env -i PATH=\"$PATH\" setsid STAY kept deaf silent &");
}

#[test]
fn a_stopped_process_is_ended() {
    leaves("STAY kept fork session stopped");
}

#[test]
fn a_process_that_adopts_orphans_itself_is_ended() {
    let Some(calls) = system_calls() else { return };
    let case = Case::new(&format!(
        "[stages.a]\nsteps = ['''\n{calls} STAY reaper fork session subreaper fork &\n{calls} STAY kept subreaper fork session fork &\nAWAIT reaper kept\n''']\n"
    ));
    case.run(&[]).exits(0).comes_to(&[("a", "passed")]);
    case.nothing_is_left();
}

#[test]
fn a_process_that_is_born_as_a_sibling_of_its_step_is_ended() {
    let Some(calls) = system_calls() else { return };
    for word in ["", "session", "group", "fork session"] {
        leaves(&format!("exec env {calls} STAY kept sibling {word} silent"));
    }
}

/// Its first thread has ended, which makes it look like a process that has; the others go on.
#[test]
fn a_process_without_its_first_thread_is_ended() {
    let Some(calls) = system_calls() else { return };
    if !Command::new("perl").args(["-Mthreads", "-e", "1"]).stderr(Stdio::null()).status().unwrap().success() {
        return;
    }
    let (case, _) = passes_alone(&format!("{calls} STAY kept fork session headless"));
    let pid: i32 = case.project.read("kept").parse().unwrap();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    if threads > 0 {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
    assert_eq!(threads, 0, "threads of {pid} live");
}

/// It is never the same process twice.
#[test]
fn a_process_that_begets_its_successor_and_ends_is_ended() {
    passes_alone("STAY kept fork session hopping");
}

#[test]
fn a_deep_chain_of_sessions_is_ended() {
    passes_alone("STAY kept fork session deep300 silent");
}

#[test]
fn many_processes_in_sessions_of_their_own_are_ended() {
    passes_alone("STAY kept fork session wide200 silent");
}

#[test]
fn what_a_failed_step_leaves_is_ended() {
    let case = Case::new("[stages.a]\nsteps = ['STAY kept & setsid STAY fled & AWAIT kept fled; exit 3']\n");
    let ended = case.run(&[]).exits(1).fails_by("a", "exit").names("stay.pl");
    assert_eq!(ended.finished("a")["failure"]["code"], 3);
    case.nothing_is_left();
}

#[test]
fn what_a_step_leaves_is_ended_before_the_next_begins() {
    let case = Case::new(
        "[stages.a]\nsteps = ['STAY kept & setsid STAY fled deaf & env -i PATH=\"$PATH\" setsid STAY bare & AWAIT kept fled bare', 'GONE kept fled bare']\n",
    );
    case.run(&[]).exits(0).comes_to(&[("a", "passed")]);
    case.nothing_is_left();
}

#[test]
fn what_an_attempt_leaves_is_ended_before_the_next_begins() {
    let case = Case::new(
        "[stages.a]\nretries = 1\nsteps = ['if [ -e fled ]; then GONE kept fled; exit; fi; STAY kept & setsid STAY fled & AWAIT kept fled; exit 1']\n",
    );
    case.run(&[]).exits(0).comes_to(&[("a", "passed")]);
    case.nothing_is_left();
}

/// Supervisors wait until `kill -0` fails.
#[test]
fn an_orphan_that_ends_during_its_step_does_not_stay_as_a_zombie() {
    let case = Case::new(
        "[stages.a]\ntimeout = \"20s\"\nsteps = ['STAY kept fork session fork; AWAIT kept; kill -9 $(cat kept); while kill -0 $(cat kept) 2>/dev/null; do sleep 0.01; done']\n",
    );
    case.run(&[]).exits(0).comes_to(&[("a", "passed")]);
    case.nothing_is_left();
}

#[test]
fn daemons_that_restart_each_other_are_ended() {
    // Each looks for the other all the time, and begins it anew in a session of its own.
    let pair = r"
        use POSIX ();
        sub begin { my $child = fork; if ($child == 0) { POSIX::setsid(); exit 0 if fork; watch(@_) } waitpid $child, 0 }
        sub watch {
            my ($own, $other) = @_;
            open my $file, '>', $own; print $file $$; close $file;
            while (1) {
                open my $file, '<', $other; my $pid = <$file>;
                open my $line, '<', '/proc/' . ($pid || 0) . '/cmdline'; my $text = <$line>;
                begin($other, $own) unless $text || !$pid;
                select undef, undef, undef, 0.001;
            }
        }
        begin('one', 'two'); begin('two', 'one');
    ";
    let case = Case::new("[stages.a]\nsteps = [\"perl PROJECT/pair.pl; AWAIT one two\"]\n");
    case.project.write("pair.pl", pair);
    case.run(&[]).exits(0).comes_to(&[("a", "passed")]);
    case.nothing_is_left();
}

// Steps beside each other.

/// `a` leaves what tells nothing of it while `b` runs; `c` shows that `a` is over.
const BESIDE: &str = r#"
[stages.a]
steps = ['env -i PATH="$PATH" setsid STAY bare deaf silent & setsid STAY fled silent & AWAIT bare fled begun']
[stages.b]
steps = ['touch begun; AWAIT go', 'GONE bare']
[stages.c]
needs = ["a"]
steps = ["touch over"]
"#;

#[test]
fn a_process_that_could_be_anybodys_is_ended_with_the_step_beside_it() {
    let case = Case::new(BESIDE);
    let run = case.start(&["-j2"]);
    case.awaits("over");
    assert!(!case.lives("fled"), "its environment shows whose it is");
    case.project.write("go", "");
    run.end().exits(0).comes_to(&[("a", "passed"), ("b", "passed"), ("c", "passed")]);
    case.nothing_is_left();
}

#[test]
fn the_helpers_of_a_stage_that_still_runs_are_left_alone() {
    let case = Case::new(
        r#"
[stages.a]
steps = ["AWAIT kept orphan session daemon bare", "true"]
[stages.b]
steps = ['''
STAY kept &
STAY orphan fork
setsid STAY session &
STAY daemon fork session fork silent
env -i PATH="$PATH" setsid STAY bare silent &
AWAIT go
''']
[stages.c]
needs = ["a"]
steps = ["touch over"]
"#,
    );
    let run = case.start(&["-j2"]);
    case.awaits("over");
    for helper in ["kept", "orphan", "session", "daemon", "bare"] {
        assert!(case.lives(helper), "{helper}");
    }
    case.project.write("go", "");
    run.end().exits(0).comes_to(&[("a", "passed"), ("b", "passed"), ("c", "passed")]);
    case.nothing_is_left();
}

#[test]
fn a_process_that_pretends_to_be_another_stages_is_ended_with_it() {
    let case = Case::new(
        r#"
[stages.a]
steps = ["SHIPWAY_STAGE=b setsid STAY kept silent & AWAIT kept begun"]
[stages.b]
steps = ["touch begun; AWAIT over", "GONE kept"]
[stages.c]
needs = ["a"]
steps = ["touch over"]
"#,
    );
    case.run(&["-j2"]).exits(0).comes_to(&[("b", "passed")]);
    case.nothing_is_left();
}

#[test]
fn the_first_failure_ends_those_beside_it() {
    let case = Case::new(
        r#"
[stages.bad]
steps = ["AWAIT begun; exit 1"]
[stages.beside]
retries = 3
steps = ["trap 'touch trapped; exit 1' TERM; touch begun || :; while :; do sleep 0.01; done", "touch second"]
[stages.later]
needs = ["beside"]
steps = ["touch third"]
"#,
    );
    let ended = case.run(&["-j2"]).exits(1).comes_to(&[("bad", "failed"), ("beside", "cancelled"), ("later", "skipped")]);
    assert_eq!(ended.verdict(), "failed");
    assert_eq!(event(&ended.events, "step-finished", "beside")["status"], "cancelled");
    assert!(case.exists("trapped") && !case.exists("second") && !case.exists("third"));
    case.nothing_is_left();
}

#[test]
fn the_first_failure_ends_all_that_those_beside_it_have_begun() {
    let case = Case::new(
        r#"
[stages.bad]
steps = ["AWAIT child session daemon bare; exit 1"]
[stages.beside]
steps = ['''
STAY child deaf &
setsid STAY session &
STAY daemon fork session fork silent deaf
env -i PATH="$PATH" setsid STAY bare &
wait
''']
"#,
    );
    case.run(&["-j2"]).exits(1).comes_to(&[("bad", "failed"), ("beside", "cancelled")]);
    case.nothing_is_left();
}

/// Whenever it comes, the wish to end is heard by a step that nothing else wakes.
#[test]
fn the_first_failure_ends_those_that_are_just_beginning() {
    let beside: Vec<String> = (0..16).map(|number| format!("beside{number}")).collect();
    let stages: Vec<String> =
        beside.iter().map(|name| format!("[stages.{name}]\nsteps = [[\"perl\", \"-e\", \"sleep 1000\", \"PROJECT\"]]\n")).collect();
    let case = Case::new(&format!("[stages.bad]\nsteps = [[\"false\"]]\n{}", stages.concat()));
    for _ in 0..10 {
        let ended = case.run(&["-j17"]).exits(1).comes_to(&[("bad", "failed")]);
        for name in &beside {
            assert!(["cancelled", "skipped"].contains(&outcome(&ended.events, name)), "{name} in {ended:#?}");
        }
        case.nothing_is_left();
    }
}

// Limits of time.

#[test]
fn a_step_over_its_limit_is_told_and_ended() {
    let case = Case::new(
        "[stages.a]\nsteps = [{ run = \"trap 'touch trapped; exit 0' TERM; while :; do sleep 0.01; done\", timeout = \"3s\" }]\n",
    );
    let ended = case.run(&[]).exits(1).fails_by("a", "timeout");
    assert_eq!(event(&ended.events, "step-finished", "a")["status"], "timed-out");
    assert!(case.exists("trapped"));
    case.nothing_is_left();
}

#[test]
fn a_tree_that_ignores_term_is_killed_after_the_grace() {
    let case =
        Case::new("[stages.a]\nsteps = [{ run = '''\ntrap '' TERM\nsh -c 'sh -c \"STAY deep deaf; :\"; :'\n:\n''', timeout = \"3s\" }]\n");
    let ended = case.run(&[]).exits(1).fails_by("a", "timeout");
    assert!(case.exists("deep"));
    let took = event(&ended.events, "step-finished", "a")["duration_ms"].as_u64().unwrap();
    assert!(Duration::from_millis(took) >= GRACE, "KILL came {took} ms after the start: no grace");
    case.nothing_is_left();
}

#[test]
fn what_ignores_term_below_a_step_that_does_not_has_the_grace_too() {
    let case = Case::new("[stages.bad]\nsteps = [\"AWAIT child; exit 1\"]\n[stages.a]\nsteps = [\"STAY child telling\"]\n");
    case.run(&["-j2"]).exits(1).comes_to(&[("a", "cancelled")]);
    assert!(case.exists("child.told"));
    case.nothing_is_left();
}

#[test]
fn a_stopped_tree_is_ended_at_its_limit() {
    for stop in ["STAY kept stopped", "STAY kept stopped &\nwait", "STAY kept session stopped &\nwait", "STAY kept stopped & kill -STOP $$"]
    {
        let case = Case::new(&format!("[stages.a]\nsteps = [{{ run = '''\n{stop}\n''', timeout = \"1s\" }}]\n"));
        case.run(&[]).exits(1).fails_by("a", "timeout");
        case.nothing_is_left();
    }
}

#[test]
fn a_flood_is_ended_at_its_limit() {
    let case = Case::new("[stages.a]\nsteps = [{ run = \"yes shipway\", timeout = \"2s\" }]\n");
    let ended = case.run(&[]).exits(1).fails_by("a", "timeout");
    assert!(ended.count("output", "a") > 0);
    case.nothing_is_left();
}

#[test]
fn a_flood_left_behind_is_not_waited_for() {
    let case = Case::new(
        "[stages.a]\nsteps = ['''\nsetsid perl -e 'open my $file, \">\", \"begun\"; print \"flood\\n\" while 1' STAY &\nAWAIT begun\n''']\n",
    );
    case.run(&[]).exits(0).comes_to(&[("a", "passed")]);
    case.nothing_is_left();
}

/// Nobody reads what shipway says until its steps have ended.
#[track_caller]
fn floods_unread(limit: &str, end: impl FnOnce(&Started<'_>)) -> Ended {
    let case = Case::new(&format!("[stages.a]\nsteps = [{{ run = \"setsid STAY kept deaf & AWAIT kept; yes PROJECT\", {limit} }}]\n"));
    let mut run = case.spawn_to(case.command(&[]), Stdio::piped());
    let mut reader = run.child.stdout.take().unwrap();
    case.awaits("kept");
    end(&run);
    until("the steps are ended", || case.left().is_empty());
    // It ends with shipway.
    std::io::copy(&mut reader, &mut File::create(case.log.path().join("events")).unwrap()).unwrap();
    run.end()
}

#[test]
fn a_flood_that_nobody_reads_is_ended_at_its_limit() {
    floods_unread("timeout = \"3s\"", |_| {}).exits(1).fails_by("a", "timeout");
}

#[test]
fn ctrl_c_ends_a_flood_that_nobody_reads() {
    let when_full = |run: &Started<'_>| {
        let (mut written, mut looks) = (String::new(), 0);
        until("as much is written as fits", || {
            let now = fs::read_to_string(format!("/proc/{}/io", run.pid())).unwrap();
            looks = if now == written { looks + 1 } else { 0 };
            written = now;
            looks == 100
        });
        run.signal(Signal::INT);
    };
    floods_unread("retries = 0", when_full).exits(130).comes_to(&[("a", "cancelled")]);
}

#[test]
fn every_limit_is_a_failure_by_timeout() {
    let step = Case::new(
        "[stages.a]\nsteps = [{ run = \"STAY kept\", timeout = \"3s\" }, \"touch second\"]\n[stages.b]\nneeds = [\"a\"]\nsteps = [\"true\"]\n",
    );
    let stage = Case::new(
        "[stages.a]\ntimeout = \"3s\"\nsteps = [\"true\", \"STAY kept\", \"touch second\"]\n[stages.b]\nneeds = [\"a\"]\nsteps = [\"true\"]\n",
    );
    let run =
        Case::new("[stages.a]\nsteps = [\"true\", \"STAY kept\", \"touch second\"]\n[stages.b]\nneeds = [\"a\"]\nsteps = [\"true\"]\n");
    for (case, arguments, failed) in [(step, &[][..], "1"), (stage, &[], "2"), (run, &["--timeout", "3s"], "2")] {
        let ended = case.run(arguments).exits(1).fails_by("a", "timeout").comes_to(&[("b", "skipped")]);
        assert_eq!(ended.finished("a")["failure"]["step"], failed);
        assert_eq!(ended.verdict(), "failed");
        assert!(!case.exists("second"));
        case.nothing_is_left();
    }
}

#[test]
fn the_limit_of_a_stage_counts_all_its_steps_and_retries_of_steps() {
    let case =
        Case::new("[stages.a]\ntimeout = \"4s\"\nsteps = [{ run = \"echo >> tries; STAY kept\", timeout = \"1500ms\", retries = 100 }]\n");
    case.run(&[]).exits(1).fails_by("a", "timeout");
    assert!((2..=3).contains(&case.project.read("tries").len()), "{} tries", case.project.read("tries").len());
    case.nothing_is_left();
}

// Retries.

#[test]
fn a_stage_that_passes_at_its_third_attempt_is_flaky() {
    let case = Case::new("[stages.a]\nretries = 3\nsteps = [\"true\", \"echo >> tries; [ $(wc -l < tries) = 3 ]\"]\n");
    let ended = case.run(&[]).exits(0).comes_to(&[("a", "passed")]);
    assert_eq!((&ended.finished("a")["flaky"], &ended.finished("a")["attempts"]), (&true.into(), &3.into()));
    assert_eq!(ended.count("step-started", "a"), 6);
}

#[test]
fn a_step_that_passes_at_its_second_try_makes_its_stage_flaky() {
    let case = Case::new("[stages.a]\nsteps = [\"echo >> first\", { run = \"echo >> tries; [ $(wc -l < tries) = 2 ]\", retries = 3 }]\n");
    let ended = case.run(&[]).exits(0).comes_to(&[("a", "passed")]);
    assert_eq!((&ended.finished("a")["flaky"], &ended.finished("a")["attempts"]), (&true.into(), &1.into()));
    assert_eq!((ended.count("step-started", "a"), case.project.read("first").as_str()), (3, "\n"));
}

#[test]
fn a_step_that_never_passes_is_tried_as_often_as_said() {
    let case = Case::new("[stages.a]\nretries = 1\nsteps = [{ run = \"echo >> tries; exit 7\", retries = 2 }]\n");
    let ended = case.run(&[]).exits(1).fails_by("a", "exit");
    let finished = ended.finished("a");
    assert_eq!((&finished["flaky"], &finished["attempts"], &finished["failure"]["code"]), (&false.into(), &2.into(), &7.into()));
    assert_eq!(case.project.read("tries").len(), 6);
}

#[test]
fn a_try_over_its_limit_is_tried_again() {
    let case = Case::new(
        "[stages.a]\nsteps = [{ run = \"if [ -e kept ]; then GONE kept; exit; fi; STAY kept\", timeout = \"2s\", retries = 3 }]\n",
    );
    let ended = case.run(&[]).exits(0).comes_to(&[("a", "passed")]);
    assert_eq!(ended.finished("a")["flaky"], true);
    case.nothing_is_left();
}

// Interruptions.

/// A step that hears TERM, with a child that flees, and a stage behind it.
const POLITE: &str = r#"
[stages.a]
retries = 3
steps = [{ run = "trap 'touch trapped; exit 0' TERM; setsid STAY fled deaf & AWAIT fled; touch begun || :; while :; do sleep 0.01; done", retries = 3 }, "touch second"]
[stages.b]
needs = ["a"]
steps = ["touch third"]
"#;

#[track_caller]
fn interrupted(signal: Signal, code: i32) {
    let case = Case::new(POLITE);
    let run = case.start(&[]);
    case.awaits("begun");
    run.signal(signal);
    let ended = run.end().exits(code).comes_to(&[("a", "cancelled"), ("b", "skipped")]);
    assert_eq!(ended.verdict(), "cancelled");
    assert_eq!((&ended.finished("a")["attempts"], &ended.finished("a")["failure"]), (&1.into(), &Value::Null));
    assert!(case.exists("trapped") && !case.exists("second") && !case.exists("third"));
    case.nothing_is_left();
}

#[test]
fn ctrl_c_ends_the_run() {
    interrupted(Signal::INT, 130);
}

#[test]
fn term_ends_the_run() {
    interrupted(Signal::TERM, 143);
}

#[test]
fn a_hangup_ends_the_run() {
    interrupted(Signal::HUP, 129);
}

#[test]
fn ctrl_c_twice_kills_at_once() {
    let case =
        Case::new("[stages.a]\nsteps = [\"STAY kept telling & trap '' TERM; AWAIT kept; touch begun; while :; do sleep 0.01; done\"]\n");
    let run = case.start(&[]);
    case.awaits("begun");
    run.signal(Signal::INT);
    case.awaits("kept.told");
    let second = Instant::now();
    run.signal(Signal::INT);
    run.end().exits(130).comes_to(&[("a", "cancelled")]);
    assert!(second.elapsed() < GRACE * 4 / 5, "it waited for the grace");
    case.nothing_is_left();
}

#[test]
fn the_second_signal_may_be_another_and_the_first_gives_the_code() {
    let case = Case::new("[stages.a]\nsteps = [\"STAY kept telling\"]\n");
    let run = case.start(&[]);
    case.awaits("kept");
    run.signal(Signal::TERM);
    case.awaits("kept.told");
    let second = Instant::now();
    run.signal(Signal::INT);
    run.end().exits(143).comes_to(&[("a", "cancelled")]);
    assert!(second.elapsed() < GRACE * 4 / 5, "it waited for the grace");
    case.nothing_is_left();
}

#[test]
fn ctrl_c_kills_after_the_grace_what_ignores_term() {
    let case = Case::new("[stages.a]\nsteps = [\"STAY kept telling\"]\n");
    let run = case.start(&[]);
    case.awaits("kept");
    run.signal(Signal::INT);
    run.end().exits(130).comes_to(&[("a", "cancelled")]);
    assert!(case.exists("kept.told"));
    case.nothing_is_left();
}

#[test]
fn ctrl_c_twice_cuts_the_grace_of_a_step_over_its_limit_short() {
    let case = Case::new("[stages.a]\nsteps = [{ run = \"STAY kept telling\", timeout = \"3s\" }]\n");
    let run = case.start(&[]);
    case.awaits("kept.told");
    let first = Instant::now();
    run.signal(Signal::INT);
    run.await_event("interrupted");
    run.signal(Signal::INT);
    let ended = run.end().exits(130).fails_by("a", "timeout");
    assert_eq!(ended.verdict(), "cancelled");
    assert!(first.elapsed() < GRACE * 4 / 5, "it waited for the grace");
    case.nothing_is_left();
}

#[test]
fn an_interruption_is_heard_by_a_step_that_is_just_beginning() {
    let case = Case::new("[stages.a]\nsteps = [\"kill -INT $PPID; while :; do sleep 0.1; done # PROJECT\"]\n");
    for _ in 0..20 {
        case.run(&[]).exits(130).comes_to(&[("a", "cancelled")]);
        case.nothing_is_left();
    }
}

#[test]
fn an_interruption_that_the_caller_ignores_stays_ignored() {
    for (name, signal) in [("INT", Signal::INT), ("HUP", Signal::HUP)] {
        let case = Case::new("[stages.a]\nsteps = [\"touch begun; AWAIT go\", \"touch second\"]\n");
        let run = case.spawn(case.wrapped(&["sh", "-c", &format!("trap '' {name}; exec \"$@\""), "sh"], &[]));
        case.awaits("begun");
        run.signal(signal);
        run.signal(signal);
        case.project.write("go", "");
        run.end().exits(0).comes_to(&[("a", "passed")]);
        assert!(case.exists("second"));
    }
}

#[test]
fn a_signal_to_the_whole_group_of_shipway_reaches_steps_only_by_shipway() {
    use std::os::unix::process::CommandExt;
    let case = Case::new(
        "[stages.a]\nsteps = [\"trap 'touch int' INT; trap 'touch term; exit 1' TERM; touch begun; while :; do sleep 0.01; done\"]\n",
    );
    let mut command = case.command(&[]);
    command.process_group(0);
    let run = case.spawn(command);
    case.awaits("begun");
    rustix::process::kill_process_group(Pid::from_raw(run.pid()).unwrap(), Signal::INT).unwrap();
    run.end().exits(130).comes_to(&[("a", "cancelled")]);
    assert!(case.exists("term") && !case.exists("int"));
    case.nothing_is_left();
}

// A shipway that is killed.

/// What the guard has to end.
const GUARDED: &str = r#"
[stages.a]
steps = ['''
STAY child deaf &
STAY orphan fork deaf
setsid STAY session deaf &
STAY daemon fork session fork silent deaf
STAY stopped stopped &
AWAIT child orphan session daemon stopped go
''']
[stages.b]
steps = ["STAY alone deaf"]
"#;

const GUARDED_FILES: [&str; 6] = ["child", "orphan", "session", "daemon", "stopped", "alone"];

#[test]
fn the_guard_ends_the_steps_of_a_shipway_that_is_killed() {
    let case = Case::new(GUARDED);
    let run = case.start(&["-j2"]);
    GUARDED_FILES.iter().for_each(|name| case.awaits(name));
    let guard = run.guard();
    run.signal(Signal::KILL);
    assert_eq!(run.end().signal, Some(9));
    until("the steps are ended", || case.left().is_empty());
    until("the guard is gone", || gone(&guard));
}

#[test]
fn a_step_that_kills_shipway_is_ended() {
    let case = Case::new("[stages.a]\nsteps = [\"setsid STAY fled & AWAIT fled; touch begun; kill -9 $PPID; STAY kept deaf\"]\n");
    let run = case.start(&[]);
    case.awaits("begun");
    assert_eq!(run.end().signal, Some(9));
    until("the steps are ended", || case.left().is_empty());
}

#[test]
fn the_guard_ends_with_the_run() {
    let case = Case::new("[stages.a]\nsteps = [\"touch begun; AWAIT go\"]\n");
    let run = case.start(&[]);
    case.awaits("begun");
    let guard = run.guard();
    case.project.write("go", "");
    run.end().exits(0);
    assert!(gone(&guard));
}

#[test]
fn a_run_whose_guard_is_killed_goes_on() {
    let case = Case::new("[stages.a]\nsteps = [\"touch begun; AWAIT go\", \"setsid STAY kept & AWAIT kept\"]\n");
    let run = case.start(&[]);
    case.awaits("begun");
    kill_process(guard_of(run.pid()), Signal::KILL).unwrap();
    case.project.write("go", "");
    run.end().exits(0).comes_to(&[("a", "passed")]);
    case.nothing_is_left();
}

/// Kills the first of two shipways; the steps of the second, which `command` starts, must not notice.
#[track_caller]
fn leaves_the_other_alone(command: impl FnOnce(&Case) -> Command) {
    let (killed, other) = (Case::new(GUARDED), Case::new(GUARDED));
    let run = killed.start(&["-j2"]);
    GUARDED_FILES.iter().for_each(|name| killed.awaits(name));
    let guard = run.guard();
    let beside = other.spawn(command(&other));
    GUARDED_FILES[..5].iter().for_each(|name| other.awaits(name));
    run.signal(Signal::KILL);
    assert_eq!(run.end().signal, Some(9));
    until("the guard is gone", || gone(&guard));
    // In a step of another shipway, that one ends what fled.
    until("nothing is left", || killed.left().is_empty());
    for helper in &GUARDED_FILES[..5] {
        assert!(other.lives(helper), "{helper} of the other was ended");
    }
    other.project.write("go", "");
    beside.end().exits(0).comes_to(&[("a", "passed")]);
    other.nothing_is_left();
}

#[test]
fn the_guard_leaves_the_steps_of_another_shipway_alone() {
    leaves_the_other_alone(|case| case.command(&["a"]));
}

#[test]
fn the_guard_leaves_the_steps_of_another_installation_alone() {
    leaves_the_other_alone(|case| {
        // Copied by another process: were the copy open for writing here, a process begun beside this one could hold it so.
        let copy = case.project.join("shipway");
        assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_shipway")).arg(&copy).status().unwrap().success());
        let mut command = case.outer(copy.to_str().unwrap());
        command.args(["run", "--format", "json", "a"]);
        command
    });
}

#[test]
fn a_shipway_in_a_step_is_ended_with_its_steps() {
    let case = Case::new(
        "[stages.bad]\nsteps = [\"cd inner; AWAIT child orphan session daemon stopped alone; exit 1\"]\n[stages.a]\nsteps = [\"cd inner; exec SHIPWAY run -j2\"]\n",
    );
    let outer = case.project.read("pipeline.toml").replace("SHIPWAY", env!("CARGO_BIN_EXE_shipway"));
    let inner = outer[..outer.find("[stages").unwrap()].to_owned() + &case.fill(GUARDED);
    case.project.write("pipeline.toml", outer).write("inner/pipeline.toml", inner);
    case.run(&["-j2"]).exits(1).comes_to(&[("bad", "failed"), ("a", "cancelled")]);
    case.nothing_is_left();
}

// A terminal.

/// Runs in a terminal of its own, where these keys are typed once the file exists; what it came to, and what the terminal shows.
#[track_caller]
fn in_terminal(case: &Case, typed: Option<(&str, &[u8])>) -> (Ended, String) {
    // The terminal's first process is shipway itself.
    let line = format!("exec {} run --format json > {}", env!("CARGO_BIN_EXE_shipway"), case.log.path().join("events").display());
    let mut command = case.outer("script");
    command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped());
    let mut run = case.spawn(command);
    let mut keyboard = run.child.stdin.take().unwrap();
    if let Some((file, keys)) = typed {
        case.awaits(file);
        keyboard.write_all(keys).unwrap();
    }
    let ended = run.end();
    drop(keyboard);
    let screen = fs::read_to_string(case.log.path().join("out")).unwrap();
    (ended, screen)
}

/// A step that wants something of the terminal fails soon, and its report says that it was the terminal.
#[track_caller]
fn asks_the_terminal(step: &str) {
    let case = Case::new(&format!("[stages.a]\nsteps = ['''\n{step}\n''']\n"));
    let (ended, _) = in_terminal(&case, None);
    let ended = ended.exits(1).comes_to(&[("a", "failed")]);
    let finished = ended.finished("a");
    let report = format!("{} {}", finished["reason"], finished["failure"]["tail"]);
    assert!(report.contains("asked the terminal") || report.contains("/dev/tty"), "{report}");
    case.nothing_is_left();
}

#[test]
fn a_step_that_reads_the_terminal_fails() {
    asks_the_terminal("read answer < /dev/tty");
}

#[test]
fn a_step_that_sets_the_terminal_fails() {
    asks_the_terminal("stty -echo < /dev/tty; STAY kept");
}

#[test]
fn a_child_that_reads_the_terminal_fails_its_step() {
    asks_the_terminal("sh -ec 'read answer < /dev/tty; :' & wait $!");
}

#[test]
fn a_child_in_its_own_group_that_reads_the_terminal_fails_its_step() {
    // As `timeout ssh host` does.
    asks_the_terminal("timeout 1000 cat /dev/tty; :");
}

#[test]
fn a_step_that_stops_itself_in_a_terminal_has_not_asked_it() {
    let case = Case::new("[stages.a]\nsteps = [{ run = \"kill -STOP $$\", timeout = \"2s\" }]\n");
    in_terminal(&case, None).0.exits(1).fails_by("a", "timeout");
    case.nothing_is_left();
}

#[test]
fn ctrl_c_typed_at_the_terminal_ends_the_run() {
    let case = Case::new(POLITE);
    let (ended, _) = in_terminal(&case, Some(("begun", b"\x03")));
    ended.exits(130).comes_to(&[("a", "cancelled"), ("b", "skipped")]);
    assert!(case.exists("trapped"));
    case.nothing_is_left();
}

// What a step is given.

#[test]
fn standard_input_is_empty() {
    let case = Case::new("[stages.a]\nsteps = [\"cat > got; readlink /proc/self/fd/0 > what\"]\n");
    let mut command = case.command(&[]);
    command.stdin(Stdio::piped());
    let mut run = case.spawn(command);
    // It stays open: a step that waited for its end would wait for ever.
    let mut input = run.child.stdin.take().unwrap();
    input.write_all(b"not for steps\n").unwrap();
    run.end().exits(0);
    drop(input);
    assert_eq!((case.project.read("got").as_str(), case.project.read("what").as_str()), ("", "/dev/null\n"));
}

#[test]
fn a_step_is_the_leader_of_its_own_group() {
    let case = Case::new(
        "[stages.a]\nsteps = [\"cut -d' ' -f5 /proc/$$/stat > group; echo $$ > pid\"]\n[stages.b]\nneeds = [\"a\"]\nsteps = [\"cut -d' ' -f5 /proc/$$/stat > other\"]\n",
    );
    case.run(&[]).exits(0);
    assert_eq!(case.project.read("group"), case.project.read("pid"));
    assert_ne!(case.project.read("group"), case.project.read("other"));
}

#[test]
fn a_step_has_the_signals_and_files_of_a_plain_process() {
    // Of the signals the first 28: what lies beyond 31 is the C library's own.
    let look = "sed -nE 's/^(SigIgn|SigBlk).*(.{7})$/\\1 \\2/p' /proc/self/status; ls /proc/self/fd; yes | head -n 1";
    let case = Case::new(&format!("[stages.a]\nsteps = ['''\n{look}\n''']\n"));
    let ended = case.run(&[]).exits(0);
    // What those who run the tests leave open is passed on.
    let plain = case.outer(HEARING[0]).args(&HEARING[1..]).args(["sh", "-c", look]).output().unwrap();
    assert_eq!(project::output(&ended.events, "a", "stdout"), String::from_utf8(plain.stdout).unwrap());
}

#[test]
fn a_step_killed_by_a_signal_fails_by_it() {
    for (step, signal) in
        [("kill -9 $$", 9), ("kill -TERM $$", 15), ("kill -SEGV $$", 11), ("kill -9 0", 9), ("STAY kept & AWAIT kept; kill 0", 15)]
    {
        let case = Case::new(&format!("[stages.a]\nsteps = [\"{step}\"]\n"));
        let ended = case.run(&[]).exits(1).fails_by("a", "signal");
        let failure = &ended.finished("a")["failure"];
        assert_eq!((&failure["signal"], &failure["code"]), (&signal.into(), &Value::Null), "{step}");
        case.nothing_is_left();
    }
}

#[test]
fn a_step_whose_child_is_killed_fails_by_its_own_code() {
    let case = Case::new("[stages.a]\nsteps = [\"sh -c 'kill -9 $$'\"]\n");
    let ended = case.run(&[]).exits(1);
    let failure = &ended.finished("a")["failure"];
    // A shell that replaces itself by its last command is that command.
    assert!(failure["code"] == 137 || failure["signal"] == 9, "{failure}");
}

#[test]
fn a_line_of_text_names_what_was_left() {
    let case = Case::new("[stages.a]\nsteps = [\"setsid STAY kept & AWAIT kept\"]\n");
    let said = case.project.shipway(["run"]).exits(0);
    let shown = said.stdout + &said.stderr;
    assert!(shown.contains("left a process running") && shown.contains(&case.project.read("kept")), "{shown}");
    case.nothing_is_left();
}
