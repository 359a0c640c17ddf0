//! Legal but unkind: sizes, names, bytes, readers that go away, folders that cannot be written. Never a panic, never a hang, always a
//! documented exit code.

use std::fmt::Write;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::project::{Project, event, events, finish, outcome, output, said, start};

#[test]
fn names_may_hold_anything_that_the_format_allows() {
    let project = Project::new(
        r#"
[stages.a]
description = "tab\t \u001b[2J \"quoted\" 'single' \\ größe 🚢"
matrix = { v = ["a b", "quote\"'", "new\nline", "-dash", "größe", "{x}", "*", "a,b=c"] }
steps = [{ run = ["printf", "%s", "{matrix.v}"], name = "step {matrix.v} \u001b]0;x\u0007", env = { V = "{matrix.v}" } }]
outputs = ["out dir/{matrix.v}/-file 'x'"]
clean = false # what lies there was put there below
[stages.make]
matrix = { v = ["a b", "quote\"'", "new\nline", "-dash", "größe", "{x}", "*", "a,b=c"] }
dir = "out dir 2/{matrix.v}"
steps = [["sh", "-euc", "printf %s \"$0\" > \"./$0\"", "{matrix.v}"]]
outputs = ["{matrix.v}"]
[stages.after]
needs = ["make"]
steps = ["true"]
"#,
    );
    for value in ["a b", "quote\"'", "new\nline", "-dash", "größe", "{x}", "*", "a,b=c"] {
        project.write(&format!("out dir/{value}/-file 'x'"), "").write(&format!("out dir 2/{value}/keep"), "");
    }
    let (code, events) = project.events(Vec::<&str>::new());
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(output(&events, "a:v=new\nline", "stdout"), "new\nline");
    assert_eq!(project.read("out dir 2/*/*"), "*");
    for arguments in [
        &["run"][..],
        &["run", "-v", "--output", "stream"],
        &["list"],
        &["graph"],
        &["graph", "--format", "dot"],
        &["graph", "--format", "mermaid"],
        &["runs"],
        &["report"],
    ] {
        let said = project.shipway(arguments).exits(0);
        assert!(!said.stdout.contains('\u{7}') && !said.stderr.contains('\u{1b}'), "{arguments:?}: {}{}", said.stdout, said.stderr);
    }
    project.shipway(["run", "a:v=new\nline", "--", "-x", "two\nlines"]).exits(0);
}

#[test]
fn a_chain_of_two_thousand_stages_runs() {
    let mut text = "[stages.s0]\nsteps = [[\"true\"]]\n".to_owned();
    for stage in 1..2000 {
        let _infallible = writeln!(text, "[stages.s{stage}]\nneeds = [\"s{}\"]\nsteps = [[\"true\"]]", stage - 1);
    }
    let project = Project::new(&text);
    let (code, events) = project.events(["-j4"]);
    assert_eq!(code, 0);
    assert_eq!(events.last().unwrap()["counts"]["passed"], 2000);
    let text = text.replacen("[[\"true\"]]", "[[\"false\"]]", 1);
    project.write("pipeline.toml", format!("[pipeline]\nname = \"x\"\n{text}"));
    let (code, events) = project.events(["-k"]);
    assert_eq!((code, &events.last().unwrap()["counts"]["skipped"]), (1, &1999.into()));
}

#[test]
fn five_thousand_independent_stages_run() {
    let mut text = String::new();
    for stage in 0..5000 {
        let _infallible = writeln!(text, "[stages.s{stage}]\nsteps = [[\"true\"]]");
    }
    let said = Project::new(&text).shipway(["run", "-q", "-j8"]).exits(0);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""));
}

#[test]
fn a_pipeline_of_ten_megabytes_is_read() {
    let mut text = String::new();
    for stage in 0..60_000 {
        let _infallible = writeln!(
            text,
            "[stages.stage-{stage}]\ndescription = \"{}\"\nsteps = [\"echo {stage} | tee out/{stage}\"]\ninputs = [\"src/{stage}/**\"]\noutputs = [\"out/{stage}\"]",
            "x".repeat(60)
        );
    }
    assert!(text.len() > 10_000_000);
    let project = Project::new(&text);
    assert_eq!(project.shipway(["run", "stage-59999"]).exits(0).stdout, "59999\n");
    project.write("pipeline.toml", format!("[pipeline]\nname = \"x\"\n{}", text.replace("description", "descripton")));
    let said = project.shipway(["run"]).exits(2);
    assert!(said.stderr.contains("and 59000 more") && said.stderr.contains("60000 errors"));
}

#[test]
fn long_lines_and_binary_output_come_through() {
    let project = Project::new(
        r#"
[stages.long]
steps = ["head -c 1048576 /dev/zero | tr '\\0' x; echo; exit 1"]
[stages.binary]
steps = ["head -c 300000 /dev/urandom; printf '\\377\\376\\000'; exit 1"]
"#,
    );
    assert_eq!(project.shipway(["run", "long"]).exits(1).stdout.len(), 1_048_577);
    let (code, all) = project.events(["-k"]);
    assert_eq!(code, 1);
    assert_eq!(output(&all, "long", "stdout").len(), 1_048_577);
    assert_eq!(outcome(&all, "binary"), "failed");
    for how in ["stream", "grouped", "failures"] {
        project.shipway(["run", "-k", "--output", how]).exits(1);
    }
    let mut command = project.command(["run", "binary"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    assert_eq!(command.status().unwrap().code(), Some(1));
}

#[test]
fn a_million_lines_cost_no_memory() {
    let project =
        Project::new("[stages.a]\nsteps = [[\"seq\", \"1000000\"], \"grep VmHWM /proc/$PPID/status\"]\n[stages.b]\nsteps = [\"true\"]\n");
    for (how, format) in [("stream", "text"), ("grouped", "text"), ("stream", "json")] {
        let said = project.shipway(["run", "--force", "--output", how, "--format", format]).exits(0);
        let text = if format == "json" { output(&events(&said.stdout), "a", "stdout") } else { said.stdout };
        assert!(text.contains("999999\n"));
        let peak = text.lines().rev().find(|line| line.contains("VmHWM")).unwrap();
        let kibibytes: u64 = peak.split_whitespace().rev().nth(1).unwrap().parse().unwrap();
        assert!(kibibytes < 64 * 1024, "{how} {format}: {peak}");
    }
}

#[test]
fn a_reader_that_goes_away_does_not_change_the_verdict() {
    let project =
        Project::new("[stages.a]\nsteps = [[\"seq\", \"200000\"], \"touch done\"]\n[stages.b]\nneeds = [\"a\"]\nsteps = [\"exit 1\"]\n");
    for (arguments, code) in [(&["run", "a"][..], 0), (&["run", "--format", "json"], 1), (&["run", "--output", "stream"], 1)] {
        let mut child = start(project.command(arguments));
        drop(child.stdout.take());
        let (reader, writer) = std::io::pipe().unwrap();
        child.stdout = Some(std::process::ChildStdout::from(std::os::fd::OwnedFd::from(reader)));
        drop(writer);
        finish(child).exits(code);
        assert!(project.exists("done"));
        std::fs::remove_file(project.join("done")).unwrap();
    }
}

#[test]
fn a_result_that_cannot_be_written_is_not_green() {
    let project = Project::new("[stages.a]\nsteps = [\"echo x\"]\n");
    for arguments in [&["run"][..], &["run", "--format", "json"], &["list"], &["schema"], &["--help"]] {
        let mut command = project.command(arguments);
        command.stdout(File::options().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("could not be written"));
    }
    let mut command = project.command(["run", "--output", "grouped"]);
    command.stderr(File::options().write(true).open("/dev/full").unwrap()).stdout(Stdio::null());
    assert_eq!(command.status().unwrap().code(), Some(0), "what only people read is no result");
}

#[test]
fn a_folder_that_cannot_be_written_costs_one_notice() {
    let project = Project::new("[stages.a]\nsteps = [\"true\"]\n");
    // A file where the folder should be fails for root too.
    project.write(".shipway", "in the way");
    let said = project.shipway(["run"]).exits(0);
    assert_eq!(said.stderr.matches("this run is not recorded").count(), 1, "{}", said.stderr);
    assert_eq!(project.read(".shipway"), "in the way");
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let project = Project::new("[stages.a]\nsteps = [\"true\"]\n");
    std::fs::set_permissions(project.join("pipeline.toml"), Permissions::from_mode(0o000)).unwrap();
    let said = project.shipway(["run"]);
    // Root may read everything.
    assert!(
        said.code() == 2 && said.stderr.contains("cannot be read") || rustix::process::geteuid().is_root() && said.code() == 0,
        "{said:?}"
    );
}

#[test]
fn output_cannot_speak_to_the_terminal() {
    let project = Project::new("[stages.a]\nsteps = ['''printf 'one\\033[2J\\033]0;title\\007two\\033[31mred\\n'; exit 1''']\n");
    let mut command = project.command(["run", "-q", "--color", "always"]);
    command.env("TERM", "xterm");
    let said = said(command).exits(1);
    assert!(said.stderr.contains("│\u{1b}[0m onetwored"), "{:?}", said.stderr);
}

#[test]
fn a_step_that_floods_both_streams_loses_nothing() {
    let project = Project::new("[stages.a]\nsteps = [\"seq 100000 & seq 100000 >&2 & wait\"]\n");
    let (code, all) = project.events(["a"]);
    assert_eq!(code, 0);
    let expected: String = (1..=100_000).fold(String::new(), |mut text, number| {
        let _infallible = writeln!(text, "{number}");
        text
    });
    assert_eq!(output(&all, "a", "stdout"), expected);
    assert_eq!(output(&all, "a", "stderr"), expected);
    assert_eq!(event(&all, "stage-finished", "a")["outcome"], "passed");
}
