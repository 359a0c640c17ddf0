//! Ctrl-C and its kin: the first ends the run with grace, the second at once; one more, seconds later, ends a shipway that hangs and
//! leaves the steps to the guard.

use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::exit;

use crate::engine::run::Interrupter;
use crate::exec::cancel::Interruption;

/// How long the end of a run may take after the second signal.
const PATIENCE: Duration = Duration::from_secs(3);

/// Hears signals from here on. One that the caller of shipway ignores stays ignored, as `nohup` and background jobs of scripts expect.
pub(super) fn listen(interrupter: Interrupter) -> std::io::Result<()> {
    hear(move |signal| interrupter.interrupt(signal))
}

/// The same for whoever has more to end than one run: `end` is told of each signal, and says which time it was.
pub(super) fn hear(mut end: impl FnMut(i32) -> Interruption + Send + 'static) -> std::io::Result<()> {
    let ignored = ignored();
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let mut signals = Signals::new(wanted)?;
    // It lives as long as the process: there is nothing to wait for.
    let _forever = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut killed_at: Option<Instant> = None;
        for signal in signals.forever() {
            match end(signal) {
                Interruption::First => {}
                Interruption::Second => killed_at = Some(Instant::now()),
                // The killing is under way; only where it hangs is more asked for.
                Interruption::Later if killed_at.is_some_and(|at| at.elapsed() < PATIENCE) => {}
                Interruption::Later => exit(128 + signal),
            }
        }
    })?;
    Ok(())
}

/// Returns the set of signals that are ignored, bit by bit (`proc_pid_status(5)`, `SigIgn`).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
