//! Stages share the processors: what make, cargo and ninja start inside of steps is together no more than was promised, and nothing else changes.
//!
//! No step is timed: each job stays until so many others have run beside it as there may be, so that one more would be seen.

use std::io::Write;
use std::process::Command;

use serde_json::Value;

use crate::project::{Project, event, outcome, output, tool};

/// `perl count.pl MANY` counts that one more runs, in `$XDG_N/now` beside the most that ever did, and stays until that is MANY.
const COUNT: &str = r#"
use strict;
use Fcntl qw(:flock SEEK_SET);
sub change {
    my ($by) = @_;
    open my $file, '+<', "$ENV{XDG_N}/now" or die $!;
    flock $file, LOCK_EX or die $!;
    my ($now, $most) = split ' ', <$file>;
    $now += $by;
    $most = $now if $now > $most;
    seek $file, 0, SEEK_SET;
    print $file "$now $most\n";
    close $file;
    return $most;
}
my $most = change(1);
while ($most < $ARGV[0]) {
    select undef, undef, undef, 0.005;
    $most = change(0);
}
change(-1);
"#;

/// `perl tokens.pl` says how many tokens are in the pipe that `CARGO_MAKEFLAGS` names; with `die` it dies with them.
const TOKENS: &str = r#"
use strict;
use Fcntl;
my ($reader, $writer) = $ENV{CARGO_MAKEFLAGS} =~ /--jobserver-auth=(\d+),(\d+)$/ or die 'no jobserver';
sysopen my $pipe, "/proc/self/fd/$reader", O_RDONLY | O_NONBLOCK or die $!;
my $count = sysread($pipe, my $tokens, 100000) // 0;
syswrite STDOUT, "$count tokens\n";
kill KILL => $$ if @ARGV;
open my $back, '>&=', $writer or die $!;
$count == 0 or syswrite($back, $tokens) == $count or die $!;
"#;

/// Says what a step is told of a jobserver.
const TOLD: &str = "echo ${CARGO_MAKEFLAGS-none}, ${MAKEFLAGS-none}";

/// How many processes there may be in a run of `jobs` stages at once.
fn budget(jobs: usize) -> usize {
    std::thread::available_parallelism().unwrap().get().max(jobs)
}

/// A project in whose makefile `jobs` jobs each stay until `many` run.
fn counting(stages: &str, jobs: usize, many: usize) -> Project {
    let project = Project::counted(stages);
    let names: Vec<String> = (0..jobs).map(|job| format!("job{job}")).collect();
    let names = names.join(" ");
    project.write("jobs.mk", format!("all: {names}\n{names}:\n\t@perl count.pl {many}\n"));
    let edges = format!("build {}: count\n", names.replace(' ', ": count\nbuild "));
    for stage in ["a", "b"] {
        project.write(&format!("{stage}/build.ninja"), format!("rule count\n  command = perl ../count.pl {many}\n{edges}"));
    }
    project.write("count.pl", COUNT);
    std::fs::write(project.aside("now"), "0 0\n").unwrap();
    project
}

/// The stages `a` and `b`, which both run before either goes on to this command.
fn both(command: &str, keys: &str) -> String {
    let other = |other: &str| format!("touch $XDG_N/$SHIPWAY_STAGE; until [ -e $XDG_N/{other} ]; do sleep 0.01; done");
    let stage = |name: &str, beside: &str| format!("[stages.{name}]\nsteps = [\"{}\", \"{command}\"]\n", other(beside));
    format!("[defaults]\ntimeout = \"50s\"\n{keys}\n{}{}", stage("a", "b"), stage("b", "a"))
}

/// What was printed by stages, each its name and its text.
fn printed(events: &[Value], stages: &[&str]) -> Vec<String> {
    stages.iter().map(|stage| format!("{stage}: {}", output(events, stage, "stdout").trim_end())).collect()
}

#[test]
fn two_makes_run_as_many_jobs_as_there_may_be_processes() {
    if tool("make").is_none() {
        return;
    }
    let most = budget(4);
    let project = counting(&both("make -f jobs.mk", "jobserver = \"make\""), 2 * most, most);
    let said = project.shipway(["run", "-j4"]).exits(0);
    assert_eq!(std::fs::read_to_string(project.aside("now")).unwrap(), format!("0 {most}\n"), "{}", said.stderr);
    assert!(!said.stderr.contains("jobserver") && !said.stdout.contains("jobserver"), "{}{}", said.stdout, said.stderr);
}

#[test]
fn a_make_that_is_not_told_runs_one_job_after_the_other() {
    if tool("make").is_none() {
        return;
    }
    let project = counting("[stages.a]\nsteps = [\"echo [${MAKEFLAGS-}]; make -f jobs.mk\"]\n", 8, 1);
    let (code, events) = project.events(["-j4"]);
    assert_eq!((code, output(&events, "a", "stdout").as_str()), (0, "[]\n"));
    assert_eq!(std::fs::read_to_string(project.aside("now")).unwrap(), "0 1\n");
}

/// That of a system may be too old to know of a jobserver; then it is as parallel as it always was.
#[test]
fn two_ninjas_run_as_many_jobs_as_there_may_be_processes() {
    let Some(ninja) = tool("ninja") else { return };
    let version = Command::new(&ninja).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8_lossy(&version).trim().to_owned();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    if (numbers.next(), numbers.next()) < (Some(1), Some(13)) {
        writeln!(std::io::stderr(), "ninja below a jobserver is not tested: {version} knows of none, 1.13 would").unwrap();
        return;
    }
    let most = budget(4);
    let project = counting(&both(&format!("{ninja} -C $SHIPWAY_STAGE"), "jobserver = \"ninja\""), 2 * most, most);
    let said = project.shipway(["run", "-j4"]).exits(0);
    assert_eq!(std::fs::read_to_string(project.aside("now")).unwrap(), format!("0 {most}\n"), "{}", said.stderr);
}

#[test]
fn cargo_and_what_it_starts_share_too() {
    let project = Project::new(&format!("[stages.a]\nsteps = [\"{TOLD} # cargo\", [\"cargo\", \"build\"]]\ntimeout = \"50s\"\n"));
    project.write("Cargo.toml", "[package]\nname = \"a\"\nedition = \"2021\"\n[workspace]\n").write("src/lib.rs", "");
    // It waits for a token, and gives it back: a cargo of its own would have none to spare.
    project.write(
        "build.rs",
        "use std::io::{Read, Write};\n\
         fn main() {\n\
             let flags = std::env::var(\"CARGO_MAKEFLAGS\").unwrap();\n\
             let (reader, writer) = flags.split_once(\"--jobserver-auth=\").unwrap().1.split_once(',').unwrap();\n\
             let mut token = [0];\n\
             std::fs::File::open(format!(\"/proc/self/fd/{reader}\")).unwrap().read_exact(&mut token).unwrap();\n\
             std::fs::File::options().write(true).open(format!(\"/proc/self/fd/{writer}\")).unwrap().write_all(&token).unwrap();\n\
             println!(\"cargo:warning={flags}, token {}\", token[0]);\n\
         }\n",
    );
    let (code, events) = project.events(["-j4"]);
    assert_eq!(code, 0, "{events:#?}");
    let told = output(&events, "a", "stdout");
    let flags = told.strip_suffix(", none\n").unwrap();
    assert!(flags.starts_with("-j --jobserver-fds="), "{told}");
    let said = output(&events, "a", "stderr");
    assert!(said.contains(&format!("{flags}, token 43\n")), "{flags} in {said}");
}

#[test]
fn tokens_that_a_killed_step_had_come_back() {
    let step = "if [ -e again ]; then perl tokens.pl; else touch again; perl tokens.pl die; fi";
    let project = Project::new(&format!(
        "[defaults]\njobserver = \"cargo\"\n[stages.a]\ncache = false\nretries = 1\nsteps = [{step:?}]\n[stages.b]\nafter = [\"a\"]\nsteps = [\"perl tokens.pl die || true\", \"perl tokens.pl\"]\n[stages.c]\nafter = [\"b\"]\nsteps = [\"perl tokens.pl\"]\n"
    ));
    project.write("tokens.pl", TOKENS);
    // One is that of the stage itself.
    let rest = budget(64) - 1;
    let (code, events) = project.events(["-j64"]);
    assert_eq!(code, 0, "{events:#?}");
    let all = format!("{rest} tokens");
    assert_eq!(printed(&events, &["a", "b", "c"]), [format!("a: {all}\n{all}"), format!("b: {all}\n0 tokens"), format!("c: {all}")]);
}

#[test]
fn a_step_is_told_what_it_may_be_told() {
    let project = Project::new(&format!(
        "[stages.plain]\nsteps = [{TOLD:?}]\n\
         [stages.named]\nsteps = [\"{TOLD} cargo\"]\n\
         [stages.cargo]\nsteps = [{TOLD:?}]\njobserver = \"cargo\"\n\
         [stages.make]\nsteps = [{TOLD:?}]\njobserver = \"make\"\n\
         [stages.ninja]\nsteps = [{TOLD:?}]\njobserver = \"ninja\"\n\
         [stages.off]\nsteps = [{TOLD:?}]\njobserver = \"off\"\n\
         [stages.one]\nsteps = [\"{TOLD} -j1\"]\njobserver = \"make\"\n\
         [stages.limited]\nsteps = [{TOLD:?}]\nenv = {{ CARGO_BUILD_JOBS = \"1\", MAKEFLAGS = \"k\" }}\njobserver = \"make\"\n\
         [stages.own]\nsteps = [{TOLD:?}]\npass-env = [\"CARGO_MAKEFLAGS\", \"M*\"]\njobserver = \"cargo\"\n\
         [stages.all]\nsteps = [{TOLD:?}]\npass-env = [\"*\"]\njobserver = \"cargo\"\n\
         [services.s]\nstart = \"{TOLD}; exec sleep 1000\"\nready = {{ log = \"none, none\" }}\n[stages.served]\nservices = [\"s\"]\nsteps = [\"true\"]\n"
    ));
    let mut command = project.command(["run", "--format", "json", "-k"]);
    command.env("CARGO_MAKEFLAGS", "of the caller").env("MAKEFLAGS", "of the caller");
    let said = crate::project::said(command).exits(0);
    let events = crate::project::events(&said.stdout);
    let of = |stage: &str| output(&events, stage, "stdout").trim_end().to_owned();
    let pair = of("cargo").strip_suffix(", none").unwrap().to_owned();
    assert!(pair.starts_with("-j --jobserver-fds="), "{pair}");
    assert_eq!(of("make"), format!("{pair}, {pair}"));
    let path = of("ninja").strip_prefix(&format!("{pair}, -j --jobserver-auth=fifo:")).unwrap().to_owned();
    assert!(path.starts_with("/proc/"), "{path}");
    assert_eq!(
        ["plain", "named", "off", "one", "limited", "own", "all"].map(of),
        [
            "none, none",
            &format!("{pair}, none cargo"),
            "none, none",
            "none, none -j1",
            "none, k",
            "of the caller, none",
            &format!("{pair}, none")
        ]
    );
    // Its service said what it waited for.
    assert_eq!(outcome(&events, "served"), "passed");
}

#[test]
fn no_result_depends_on_it() {
    let project = Project::new("[stages.a]\ninputs = []\nsteps = [\"true\"]\n");
    let (_, first) = project.events([""; 0]);
    for keys in ["jobserver = \"make\"", "jobserver = \"ninja\"", "jobserver = \"off\"", "jobserver = \"cargo\""] {
        project.pipeline(&format!("[stages.a]\ninputs = []\nsteps = [\"true\"]\n{keys}\n"));
        let (_, events) = project.events(["-j7"]);
        assert_eq!(outcome(&events, "a"), "cached", "{keys}");
        assert_eq!(event(&events, "stage-finished", "a")["key"], event(&first, "stage-finished", "a")["key"]);
    }
}

#[test]
fn a_shipway_in_a_step_has_one_of_its_own() {
    let shipway = env!("CARGO_BIN_EXE_shipway");
    let project = Project::new(&format!(
        "[stages.a]\njobserver = \"cargo\"\nenv = {{ SHIPWAY_JOBS = \"65\", SHIPWAY_CACHE = \"off\" }}\nsteps = [\"perl tokens.pl\", {{ run = [\"{shipway}\", \"run\"], dir = \"inner\" }}, \"perl tokens.pl\"]\n"
    ));
    project.write("tokens.pl", TOKENS);
    project.write(
        "inner/pipeline.toml",
        "[pipeline]\nname = \"inner\"\n[stages.b]\njobserver = \"cargo\"\npass-env = [\"CARGO_*\"]\nsteps = [\"perl ../tokens.pl\"]\n",
    );
    let (code, events) = project.events(["-j64"]);
    assert_eq!(code, 0, "{events:#?}");
    let (outer, inner) = (budget(64) - 1, budget(65) - 1);
    assert_eq!(output(&events, "a", "stdout"), format!("{outer} tokens\n{inner} tokens\n{outer} tokens\n"));
}

#[test]
fn another_word_is_refused() {
    let said = |value: &str| {
        let project = Project::new(&format!("[stages.a]\njobserver = {value}\nsteps = [\"true\"]\n"));
        project.shipway(["check"]).exits(2).stderr
    };
    let all = "\"cargo\", \"make\", \"ninja\", \"off\"";
    let (near, form) = (said("\"mak\""), said("true"));
    assert!(near.contains(&format!("`mak` is none of {all}\n")) && near.contains("`make`"), "{near}");
    assert!(form.contains(&format!("expected one of {all}, found a boolean\n")), "{form}");
}
