//! What is said beforehand, for files of some lines.

use super::*;
use crate::base::source::Source;
use crate::config::load;
use crate::model::delivery::Delivery;

const FILE: &str = r#"
[pipeline]
name = "shop"
[stages.test]
steps = ["true"]
[environments.production]
target = "web"
KEYS
[targets.web]
kind = "command"
COMMANDS
[targets.site]
kind = "directory"
path = "site"
"#;

fn delivery(keys: &str, commands: &str) -> Delivery {
    let text = FILE.replace("KEYS", keys).replace("COMMANDS", commands);
    load(&Source::new("pipeline.toml", text.into_bytes())).unwrap().pipeline.delivery
}

/// The seconds of a forecast: shortest, longest, the way back.
fn seconds(keys: &str, commands: &str, soak: u64, has_before: bool) -> (u64, Option<u64>, Option<u64>) {
    let delivery = delivery(keys, commands);
    let environment = delivery.named("production").unwrap();
    let way = Way { weights: &environment.rollout.weights, is_tried: has_before };
    let said = forecast(environment, &delivery.target_of(environment).kind, Duration::from_secs(soak), way, has_before);
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
    (said.shortest.as_secs(), seconds(said.longest), seconds(said.back))
}

#[test]
fn the_longest_time_is_the_sum_of_all_limits() {
    let commands = r#"
start = { run = "a", timeout = "10s" }
ready = { port = 1, timeout = "20s" }
shift = { run = "b", timeout = "1s", retries = 1 }
stop = { run = "c", timeout = "100s" }
observe = { run = "d", timeout = "3s" }
"#;
    let keys = r#"
provision = [{ run = "e", timeout = "1000s" }]
verify = [{ run = "f", timeout = "5s" }, { run = "g", timeout = "7s" }]
gates = [{ run = "h", timeout = "10000s" }]
"#;
    let back = 10 + 20 + (2 + 3) + 12 + 100;
    assert_eq!(seconds(keys, commands, 0, true), (0, Some(back + 1000 + 10_000), Some(back)));
    // Nothing is before it: it loses its traffic, and is ended.
    assert_eq!(seconds(keys, commands, 50, false), (50, Some(50 + back + 1000 + 10_000), Some(5 + 100)));
}

#[test]
fn one_step_without_a_limit_is_enough() {
    let commands = r#"start = { run = "a", timeout = "10s" }"#;
    assert_eq!(seconds("", commands, 0, true), (0, Some(10), Some(10)));
    assert_eq!(seconds("verify = [\"true\"]", commands, 0, true), (0, None, None));
    assert_eq!(seconds("provision = [\"true\"]", commands, 0, true), (0, None, Some(10)));
    // The limit of the environment is one of each phase: the start, and the verification of two steps.
    let steps = "timeout = \"60s\"\nverify = [\"true\", { run = \"true\", timeout = \"1s\" }]";
    assert_eq!(seconds(steps, commands, 0, true), (0, Some(70), Some(70)));
}

#[test]
fn a_directory_takes_no_time_of_its_own() {
    let delivery = delivery("", "start = \"a\"");
    let environment = delivery.named("production").unwrap();
    let way = Way { weights: &[100], is_tried: true };
    let said = forecast(environment, &delivery.targets[1].kind, Duration::ZERO, way, true);
    assert_eq!((said.longest, said.back), (Some(Duration::ZERO), Some(Duration::ZERO)));
}

#[test]
fn pauses_are_waited_for_and_looks_have_a_limit() {
    let commands = "start = { run = \"a\", timeout = \"10s\" }\nshift = { run = \"b\", timeout = \"1s\" }\n[targets.web.slots.a]\nport = 1\n\
                    [targets.web.slots.b]\nport = 2";
    let keys = "rollout = [5, 50, 100]\npause = \"100s\"";
    assert_eq!(seconds(keys, commands, 0, true), (200, Some(213), Some(11)));
    let manual = "rollout = [5, 50, 100]\npause = \"manual\"";
    assert_eq!(seconds(manual, commands, 0, true), (0, None, Some(11)));
    let analysis = "analysis = { run = { run = \"c\", timeout = \"3s\" }, every = \"20s\", failures = 1, errors = 2 }";
    // At each of two shares, beside the pause: the look that the pause ends in, and six more.
    assert_eq!(seconds(&format!("{keys}\n{analysis}"), commands, 0, true), (200, Some(213 + 2 * (3 + 6 * 20)), Some(11)));
    // A single share is looked at, too; but not where there is nothing to compare with.
    let at_once = "analysis = { run = { run = \"c\", timeout = \"3s\" }, every = \"20s\", failures = 1, errors = 2 }";
    assert_eq!(seconds(at_once, commands, 0, true), (0, Some(11 + 3 + 6 * 20), Some(11)));
    assert_eq!(seconds(at_once, commands, 0, false), (0, Some(11), Some(1)));
}

#[test]
fn each_share_says_when_somebody_notices() {
    use Noticed::{Never, Told, Verified, Within};
    let commands = "start = \"a\"\nshift = \"b\"\n[targets.web.slots.a]\nport = 1\n[targets.web.slots.b]\nport = 2";
    let noticed = |keys: &str, is_tried| {
        let delivery = delivery(keys, commands);
        let environment = delivery.named("production").unwrap();
        unnoticed(environment, Way { weights: &environment.rollout.weights, is_tried })
    };
    let analysis = "analysis = { run = \"c\", every = \"20s\", failures = 1, errors = 2 }";
    let seconds = Duration::from_secs;
    // Two noes, each behind two answers that it cannot tell.
    let (looks, pause) = (Told(seconds(40), seconds(120)), Within(seconds(100)));
    let timed = "rollout = [0, 5, 100]\npause = \"100s\"";
    assert_eq!(noticed(&format!("{timed}\n{analysis}"), true), [(5, looks), (100, Never)]);
    assert_eq!(noticed(&format!("{timed}\nverify = [\"true\"]"), true), [(5, pause), (100, Verified)]);
    let limited = "verify = [{ run = \"true\", timeout = \"7s\" }]";
    assert_eq!(noticed(&format!("{timed}\n{limited}"), true), [(5, pause), (100, Within(seconds(7)))]);
    let manual = format!("rollout = [5, 100]\npause = \"manual\"\n{analysis}");
    assert_eq!(noticed(&manual, true), [(5, Never), (100, Never)], "it is asked only when somebody comes");
    assert_eq!(noticed(analysis, true), [(100, looks)]);
    // As long as the pause lasts too few samples are no answer.
    let few = analysis.replace("errors = 2", "errors = 2, min-samples = 300");
    assert_eq!(noticed(&format!("{timed}\n{few}"), true)[0], (5, Told(seconds(40), seconds(100 + 120))));
    assert_eq!(noticed(&analysis.replace("errors = 2", "errors = 0"), true), [(100, Within(seconds(40)))]);
    assert_eq!(noticed(&format!("{analysis}\nverify = [\"true\"]"), false), [(100, Verified)], "there is nothing to compare it with");
}
