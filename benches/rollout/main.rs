//! What a rollout costs whoever asks meanwhile, as a table: `cargo bench --bench rollout`, or with `-- WORD` for the lines that hold a word.
//!
//! Releases come in one after the other, are aborted and rolled back, while clients ask all the time, over connections that they keep and over
//! new ones; nothing between them and the servers tries anything twice. At least a million requests a line, or as many as
//! `SHIPWAY_REQUESTS` says, of eight clients, or of as many as `SHIPWAY_CLIENTS` says. The last lines are the controls: targets that end a release
//! while somebody talks with it.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::exit,
    reason = "a measurement that cannot go on fails, and it starts programs as a user does"
)]

mod figures;
mod haproxy;
mod place;
mod process;
mod server;

use std::io::Write as _;

use figures::{Figures, Strategy};
use place::{Place, Setup};

/// What stands between clients and servers.
const SETUPS: [Setup; 2] = [haproxy::SETUP, process::SETUP];

/// What loses requests.
const CONTROLS: [(Setup, Strategy); 2] = [(haproxy::CONTROL, Strategy::BlueGreen), (process::CONTROL, Strategy::BlueGreen)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // It is also what its targets consist of.
        ["serve", port, page] => return server::serve(port.parse().unwrap(), page),
        ["serve-some", port, page] => return server::serve_some(port.parse().unwrap(), page),
        ["serve-until-told", page] => return server::serve_until_told(std::env::var("PORT").unwrap().parse().unwrap(), page),
        ["haproxy", ref words @ ..] => return haproxy::told(words),
        _ => {}
    }
    // `cargo test --all-targets` starts it, too, and has no time.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return say("not measured: that is for `cargo bench`");
    }
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let requests = std::env::var("SHIPWAY_REQUESTS").map_or(1_000_000, |requests| requests.parse().unwrap());
    let clients = std::env::var("SHIPWAY_CLIENTS").map_or(8, |clients| clients.parse().unwrap());
    say(
        "| behind | rollout | requests | lost | releases | split off by at most | abort until nobody gets it, ms | rollback within `keep`, ms |",
    );
    say("|---|---|---|---|---|---|---|---|");
    let controls = CONTROLS.map(|(control, strategy)| (control, strategy, requests / 100));
    let lines = SETUPS.into_iter().flat_map(|setup| [Strategy::Canary, Strategy::BlueGreen].map(|strategy| (setup, strategy, requests)));
    for (setup, strategy, requests) in lines.chain(controls) {
        let line = format!("{} | {}", setup.name, strategy.name());
        if words.is_empty() || words.iter().any(|word| line.contains(word.as_str())) {
            let figures = figures::measure(&mut Place::new(setup, strategy.keys()), strategy, (clients, requests));
            say(&format!("| {line} | {} |", show(&figures)));
            // A zero beside which nothing else ever stands says nothing.
            assert_eq!(figures.lost > 0, CONTROLS.iter().any(|(control, _)| control.name == setup.name), "lost: {:?}", figures.why);
        }
    }
}

/// The fields of a line; times are medians and the longest.
fn show(figures: &Figures) -> String {
    let times = |times: &[u128]| {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        sorted.last().map_or_else(String::new, |most| format!("{}, at most {most}", sorted[sorted.len() / 2]))
    };
    let off = figures.off.map_or_else(String::new, |off| format!("{off:.1} points"));
    let Figures { requests, lost, releases, aborts, rollbacks, .. } = figures;
    format!("{requests} | {lost} | {releases} | {off} | {} | {}", times(aborts), times(rollbacks))
}

fn say(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}
