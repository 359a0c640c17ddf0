//! How time and memory grow with a project, as a table: `cargo bench --bench growth`, or with `-- WORD` for the lines that hold a word.
//!
//! Each run is verified by its record. `SHIPWAY_SCALE=full` adds the largest sizes, which take a quarter of an hour. Times are medians of
//! five runs or of as many as a few seconds hold, processor time is the mean with that of the steps, memory the most that was seen.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement that cannot go on fails, and it starts shipway as a user does"
)]

mod cases;
mod measure;
mod place;

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use cases::Case;
use measure::{Cost, Patience, measure};
use place::Place;

/// How old a file must be for its times to be believed, with room for a clock that goes in steps.
const SETTLED: Duration = Duration::from_millis(2200);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` starts it, too, and has no time.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return say("not measured: that is for `cargo bench`");
    }
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |line: &str| words.is_empty() || words.iter().any(|word| line.contains(word.as_str()));
    let is_full = std::env::var("SHIPWAY_SCALE").is_ok_and(|size| size == "full");
    let patience = Patience { runs: 5, time: Duration::from_secs(8) };
    say("| of | how many | first run, ms | CPU | MiB | nothing to do, ms | CPU | MiB | one file changed, ms | CPU | MiB |");
    say("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut places = Vec::new();
    for case in cases::all(is_full) {
        if is_wanted(&format!("{} {}", case.size, case.name)) {
            let mut place = (case.make)(case.size);
            let costs = run(&case, &mut place, patience).map(show);
            places.push(place);
            say(&format!("| {} | {} | {} |", case.name, case.size, costs.join(" | ")));
        }
    }
    if is_wanted("check") {
        say("");
        say("| `check`, never read before: stages | ms | CPU | MiB | KiB a stage |");
        say("|---|---|---|---|---|");
        for size in [1000, 10_000, 100_000] {
            let cost = check(size, patience);
            say(&format!("| {size} | {} | {} |", show(cost), tenths(u128::from(cost.memory) * 10 / size as u128)));
        }
    }
}

/// Measures a first run, one that has nothing to do, and one after a change.
fn run(case: &Case, place: &mut Place, patience: Patience) -> [Cost; 3] {
    let command = |place: &mut Place| place.command(&["run", "-q"]);
    let expect = |place: &Place, passed: u64| {
        let cached = case.stages - passed;
        assert_eq!(place.counts(), [passed, cached, case.stages], "{} {}: passed, cached, all", case.size, case.name);
    };
    let forgotten = |place: &mut Place| {
        place.forget();
        command(place)
    };
    let changed = |place: &mut Place| {
        place.change(&case.changed);
        command(place)
    };
    std::thread::sleep(SETTLED);
    let first = measure(patience, place, forgotten, |place| expect(place, case.stages));
    std::thread::sleep(SETTLED);
    // It learns what was too young to be believed.
    assert!(command(place).status().unwrap().success());
    let nothing = measure(patience, place, command, |place| expect(place, 0));
    [first, nothing, measure(patience, place, changed, |place| expect(place, case.again))]
}

/// Measures `check` of a file that was never read before.
fn check(size: usize, patience: Patience) -> Cost {
    let mut place = cases::stages(size);
    let said = place.command(&["check"]).stdout(Stdio::piped()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), format!("pipeline.toml is valid: {size} stages\n"));
    let forgotten = |place: &mut Place| {
        place.forget();
        place.command(&["check"])
    };
    measure(patience, &mut place, forgotten, |_| ())
}

/// Milliseconds of both kinds, and mebibytes.
fn show(cost: Cost) -> String {
    let [wall, processor] = [cost.wall, cost.processor].map(|time| tenths(time.as_micros() / 100));
    format!("{wall} | {processor} | {}", tenths(u128::from(cost.memory) * 10 / 1024))
}

fn tenths(number: u128) -> String {
    format!("{}.{}", number / 10, number % 10)
}

fn say(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}
