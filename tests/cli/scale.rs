//! Large things: many files, one large file, long chains and wide graphs. Counts and memory are judged, never time.
//!
//! `SHIPWAY_SCALE=full` takes the sizes of the contract's promises; without it they are small enough for every day.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::crash::write_err;
use crate::project::{Project, events};

pub(crate) fn size(daily: usize, full: usize) -> usize {
    if std::env::var("SHIPWAY_SCALE").is_ok_and(|size| size == "full") { full } else { daily }
}

/// What a finished run said of its stages: passed, cached, all others.
fn counts(events: &[Value]) -> (u64, u64, u64) {
    let counts = &events.last().unwrap()["counts"];
    let count = |name: &str| counts[name].as_u64().unwrap();
    (count("passed"), count("cached"), count("failed") + count("skipped") + count("cancelled"))
}

#[track_caller]
fn runs(project: &Project, what: &str) -> (u64, u64, u64) {
    let began = Instant::now();
    let said = project.shipway(["run", "--format", "json", "-j2"]).exits(0);
    write_err(&format!("{what}: {:?}", began.elapsed()));
    counts(&events(&said.stdout))
}

/// Runs with these arguments; returns the most memory that shipway itself had at once, in KiB.
fn peak(project: &Project, arguments: &[&str]) -> u64 {
    let inner = project.command(["run"]);
    let mut command = Command::new("perl");
    command.current_dir(project.path()).env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // Of a process that has ended and was not waited for nothing is to be seen any more, so it is looked at while it lives.
    let script = "if (my $pid = fork) { my $most = 0; while (1) { if (open my $f, '<', \"/proc/$pid/status\") { local $/; my $text = <$f>; $most = $1 if $text =~ /VmHWM:\\s+(\\d+)/ && $1 > $most } use POSIX ':sys_wait_h'; my $gone = waitpid($pid, WNOHANG); last if $gone; select undef, undef, undef, 0.002 } print \"$most\\n\"; exit($? >> 8) } open STDOUT, '>&', \\*STDERR; exec @ARGV or die $!";
    command.args(["-e", script, env!("CARGO_BIN_EXE_shipway"), "run", "-q"]).args(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    text.trim().parse().unwrap()
}

#[test]
fn many_inputs_of_one_stage() {
    let many = size(3000, 100_000);
    let project = Project::new("[stages.a]\ninputs = [\"src/**\"]\nsteps = [\"true\"]\n");
    for number in 0..many {
        let name = format!("src/{}/{number}", number / 500);
        if number % 500 == 0 {
            fs::create_dir_all(project.join(&format!("src/{}", number / 500))).unwrap();
        }
        fs::write(project.join(&name), format!("content of {number}")).unwrap();
    }
    assert_eq!(runs(&project, "many inputs, first"), (1, 0, 0));
    assert_eq!(runs(&project, "many inputs, again"), (0, 1, 0));
    let last = format!("src/{}/{}", (many - 1) / 500, many - 1);
    project.write(&last, "another content");
    assert_eq!(runs(&project, "many inputs, one changed"), (1, 0, 0));
    fs::remove_file(project.join(&last)).unwrap();
    assert_eq!(runs(&project, "many inputs, one removed"), (1, 0, 0));
    project.write(&last, "another content");
    assert_eq!(runs(&project, "many inputs, put back"), (0, 1, 0));
}

#[test]
fn a_large_output_is_stored_and_restored_in_little_memory() {
    let mebibytes = size(64, 1024);
    // Hard to compress, and quick to make.
    let step = format!("yes 'line of a large output' | head -c {mebibytes}M > large");
    let project =
        Project::new(&format!("[cache]\nmax-size = \"8GiB\"\n[stages.a]\ninputs = []\noutputs = [\"large\"]\nsteps = [\"{step}\"]\n"));
    let stored = peak(&project, &[]);
    let before = project.join("large").metadata().unwrap().len();
    assert_eq!(before, (mebibytes as u64) << 20);
    fs::remove_file(project.join("large")).unwrap();
    let restored = peak(&project, &[]);
    assert_eq!(project.join("large").metadata().unwrap().len(), before);
    let proven = peak(&project, &[]);
    write_err(&format!("{mebibytes} MiB: {stored} KiB to store, {restored} KiB to restore, {proven} KiB to prove"));
    for most in [stored, restored, proven] {
        assert!(most > 0 && most < 64 << 10, "{most} KiB");
    }
}

#[test]
fn a_long_chain() {
    let long = size(100, 2000);
    let mut stages = String::new();
    for number in 0..long {
        let needs = if number == 0 { String::new() } else { format!("needs = [\"s{}\"]\n", number - 1) };
        let step = if number == 0 { "echo 0 > out/s0".to_owned() } else { format!("cp out/s{} out/s{number}", number - 1) };
        write!(stages, "[stages.s{number}]\n{needs}inputs = []\noutputs = [\"out/s{number}\"]\nsteps = [\"{step}\"]\n").unwrap();
    }
    let project = Project::new(&stages);
    let all = long as u64;
    assert_eq!(runs(&project, "chain, first"), (all, 0, 0));
    assert_eq!(runs(&project, "chain, again"), (0, all, 0));
    fs::remove_dir_all(project.join("out")).unwrap();
    assert_eq!(runs(&project, "chain, restored"), (0, all, 0));
    assert_eq!(project.read(&format!("out/s{}", long - 1)), "0\n");
}

#[test]
fn many_layers() {
    let (layers, wide) = (size(10, 100), size(10, 100));
    let mut stages = String::new();
    for layer in 0..layers {
        for place in 0..wide {
            let needs: Vec<String> =
                if layer == 0 { Vec::new() } else { (0..3).map(|next| format!("\"s{}-{}\"", layer - 1, (place + next) % wide)).collect() };
            let own = format!("s{layer}-{place}");
            write!(
                stages,
                "[stages.{own}]\nneeds = [{}]\ninputs = []\noutputs = [\"out/{own}\"]\nsteps = [\"echo {own} > out/{own}\"]\n",
                needs.join(", ")
            )
            .unwrap();
        }
    }
    let project = Project::new(&stages);
    let all = (layers * wide) as u64;
    assert_eq!(runs(&project, "layers, first"), (all, 0, 0));
    assert_eq!(runs(&project, "layers, again"), (0, all, 0));
}
