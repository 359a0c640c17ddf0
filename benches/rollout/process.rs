//! Processes behind the listener of shipway's own supervisor.

use std::net::TcpListener;
use std::path::Path;
use std::process::Child;

use crate::place::Setup;

pub(crate) const SETUP: Setup = Setup { name: "`process`", target: || target(r#""serve-until-told""#, "10s"), start };

/// The same, but for a release that ends again and again while it serves.
pub(crate) const CONTROL: Setup = Setup { name: "`process`, the control", target: || target(r#""serve-some", "{port}""#, "10s"), start };

fn target(words: &str, drain: &str) -> String {
    format!(
        r#"kind = "process"
start = ["BENCH", {words}, "{{dir}}/page"]
listen = "127.0.0.1:FRONT"
drain = "{drain}""#
    )
}

/// The first release starts the supervisor, which is to have the port.
fn start(_folder: &Path, _listener: TcpListener, _ports: [u16; 2]) -> Option<Child> {
    None
}
