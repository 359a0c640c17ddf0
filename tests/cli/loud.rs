//! Steps that print much: nothing is lost, torn, or in another order, whatever road it takes and however the roads are shared.

use std::fs;

use crate::project::{Project, event, output};

/// Prints so many lines, some to standard error; of all sizes, with bytes that JSON must escape and that are no text.
const PRINT: &str = r#"
my ($lines) = @ARGV;
for my $n (1 .. $lines) {
    my $line = "$n \xc3\xa4\t\"\\\x01 " . ('x' x ($n * 37 % 400)) . ($n % 1000 ? '' : "\xff") . "\n";
    $n % 7 ? print STDOUT $line : print STDERR $line;
}
"#;

/// Returns what it prints, as JSON shows it.
fn printed(lines: usize) -> [String; 2] {
    let mut streams = [String::new(), String::new()];
    for n in 1..=lines {
        let odd = if n % 1000 == 0 { "\u{fffd}" } else { "" };
        streams[usize::from(n % 7 == 0)] += &format!("{n} ä\t\"\\\u{1} {}{odd}\n", "x".repeat(n * 37 % 400));
    }
    streams
}

fn loud(lines: usize, stages: &[&str]) -> Project {
    let stages: Vec<String> =
        stages.iter().map(|name| format!("[stages.{name}]\nsteps = [[\"perl\", \"print.pl\", \"{lines}\"]]\n")).collect();
    let project = Project::new(&stages.concat());
    project.write("print.pl", PRINT);
    project
}

#[test]
fn all_comes_out_and_the_record_has_the_same() {
    // Megabytes, so that pipes grow, pieces are large, and the record is written by its own thread.
    const LINES: usize = 40_000;
    let project = loud(LINES, &["a", "b"]);
    let mut command = project.command(["run", "-j2", "--format", "json"]);
    command.env("SHIPWAY_CACHE", "off");
    let said = crate::project::said(command).exits(0);
    let events = crate::project::events(&said.stdout);
    for stage in ["a", "b"] {
        for (stream, expected) in ["stdout", "stderr"].into_iter().zip(printed(LINES)) {
            assert!(output(&events, stage, stream) == expected, "{stage} {stream}");
        }
    }
    let records: Vec<_> = fs::read_dir(project.join(".shipway/runs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert!(fs::read_to_string(record).unwrap() == said.stdout, "the record is what was printed");
    assert_eq!(event(&events, "stage-finished", "b")["outcome"], "passed");
}

#[test]
fn a_file_gets_the_very_bytes() {
    const LINES: usize = 20_000;
    let project = loud(LINES, &["a"]);
    let expected = std::process::Command::new("perl").arg(project.join("print.pl")).arg(LINES.to_string()).output().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let mut command = project.command(["run", "--output", "stream"]);
    let status = command.stdout(fs::File::create(&file).unwrap()).stderr(std::process::Stdio::null()).status().unwrap();
    assert!(status.success());
    assert!(fs::read(&file).unwrap() == expected.stdout);
    // What was stored of it is the same.
    let again = project.command(["run", "--output", "stream"]).output().unwrap();
    assert!(again.stdout == expected.stdout);
}
