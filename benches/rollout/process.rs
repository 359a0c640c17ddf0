//! Processes behind the listener of shipway's own supervisor.

use std::net::TcpListener;
use std::path::Path;
use std::process::Child;

use crate::place::Setup;

pub(crate) const SETUP: Setup = Setup { name: "`process`", target: || target("10s"), start };

/// The same, but for a release that has no time to say that it ends.
pub(crate) const CONTROL: Setup = Setup { name: "`process`, the control", target: || target("1ms"), start };

fn target(drain: &str) -> String {
    format!(
        r#"kind = "process"
start = ["BENCH", "serve-until-told", "{{dir}}/page"]
listen = "127.0.0.1:FRONT"
drain = "{drain}""#
    )
}

/// The first release starts the supervisor, which is to have the port.
fn start(_folder: &Path, _listener: TcpListener, _ports: [u16; 2]) -> Option<Child> {
    None
}
