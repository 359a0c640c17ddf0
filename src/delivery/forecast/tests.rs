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
    let said = forecast(environment, &delivery.target_of(environment).kind, Duration::from_secs(soak), has_before);
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
    let said = forecast(environment, &delivery.targets[1].kind, Duration::ZERO, true);
    assert_eq!((said.longest, said.back), (Some(Duration::ZERO), Some(Duration::ZERO)));
}
