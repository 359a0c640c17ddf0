//! Rollouts under load, and what was seen of them.

use std::time::Instant;

use shipway::delivery::load::{Load, Tally};

use crate::place::Place;

/// By how many new connections a share is measured.
const CONNECTIONS: u64 = 2000;

/// By how many it is told that nobody gets a release any more.
const GLANCE: u64 = 50;

/// How many requests each client makes over one connection.
const CLIENTS: [u32; 8] = [1, 1, 100, 100, 100, 100, 1000, 1000];

/// How releases take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    Canary,
    BlueGreen,
}

impl Strategy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Canary => "`[10, 50, 100]`",
            Self::BlueGreen => "`[100]`, `keep`",
        }
    }

    /// The keys of its environment.
    pub(crate) fn keys(self) -> &'static str {
        match self {
            Self::Canary => "rollout = [10, 50, 100]\npause = \"manual\"",
            Self::BlueGreen => "rollout = [100]\nkeep = \"1h\"",
        }
    }
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) lost: u64,
    /// Why the last one was lost.
    pub(crate) why: Option<String>,
    /// How many releases came in.
    pub(crate) releases: u32,
    /// How far a share was from what it should be, at most, in percent of the traffic.
    pub(crate) off: Option<f64>,
    /// From the call until nobody got the release any more, in milliseconds.
    pub(crate) aborts: Vec<u128>,
    pub(crate) rollbacks: Vec<u128>,
}

/// Brings in releases, and takes some back, until there were so many requests.
pub(crate) fn measure(place: &mut Place, strategy: Strategy, (clients, requests): (usize, u64)) -> Figures {
    place.release();
    place.shipway(&["promote", "production"], 0);
    let load = Load::begin(&place.address, None, &CLIENTS[..clients.min(CLIENTS.len())]).unwrap();
    let mut figures = Figures::default();
    while load.counted().answered() < requests {
        match strategy {
            Strategy::Canary => canary(place, &load, &mut figures),
            Strategy::BlueGreen => blue_green(place, &load, &mut figures),
        }
    }
    let Tally { lost, answers, why } = load.end();
    Figures { requests: answers.values().sum::<u64>() + lost, lost, why, ..figures }
}

/// One release that is aborted at each share, and one that goes to its end.
fn canary(place: &mut Place, load: &Load, figures: &mut Figures) {
    for aborted_at in [Some(10), Some(50), None] {
        let page = place.release();
        figures.releases += 1;
        for weight in [10, 50] {
            place.shipway(&["promote", "production"], 75);
            let answers = load.measure(CONNECTIONS, || true);
            let new = answers.of(|answer| answer == page);
            #[expect(clippy::cast_precision_loss, reason = "counts of requests are small")]
            let off = (new as f64 * 100.0 / answers.answered() as f64 - f64::from(weight)).abs();
            assert!(off < 10.0, "{page} at {weight} %: {answers:?}");
            figures.off = Some(figures.off.unwrap_or_default().max(off));
            if aborted_at == Some(weight) {
                figures.aborts.push(until_gone(place, load, "abort", &page));
                break;
            }
            place.shipway(&["resume", "production", "--reason", "on"], 0);
        }
        if aborted_at.is_none() {
            place.shipway(&["promote", "production"], 0);
        }
    }
}

/// One release that comes in and is rolled back, and one that stays.
fn blue_green(place: &mut Place, load: &Load, figures: &mut Figures) {
    for is_rolled_back in [true, false] {
        let page = place.release();
        figures.releases += 1;
        place.shipway(&["promote", "production"], 0);
        let answers = load.measure(GLANCE, || true);
        assert_eq!(answers.of(|answer| answer == page), answers.answered(), "{page}: {answers:?}");
        if is_rolled_back {
            figures.rollbacks.push(until_gone(place, load, "rollback", &page));
            place.shipway(&["resume", "production", "--reason", "on"], 0);
        }
    }
}

/// Takes back the release with this page; returns how long somebody got it, in milliseconds.
fn until_gone(place: &Place, load: &Load, verb: &str, page: &str) -> u128 {
    let began = Instant::now();
    let mut child = place.command(&[verb, "production", "--reason", "measured"]).spawn().unwrap();
    let gone = loop {
        let now = began.elapsed();
        if load.measure(GLANCE, || true).of(|answer| answer == page) == 0 {
            break now;
        }
    };
    assert!(child.wait().unwrap().success());
    gone.as_millis()
}
