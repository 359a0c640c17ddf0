//! Ctrl-C and its kin: the first ends the run with grace, the second at once; one more, seconds later, ends a shipway that hangs and
//! leaves the steps to the guard.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_usize;
use signal_hook::iterator::Signals;
use signal_hook::low_level::exit;

use crate::engine::run::Interrupter;
use crate::exec::cancel::{Cancel, Interruption};

/// How long the end of a run may take after the second signal.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who is told of signals now, in the whole process.
static HEARING: Mutex<Hearing> = Mutex::new(Hearing { end: None, is_cut: false, killed_at: None });

/// The signal that came last; 0 for none. It is written where the signal arrives, before whoever is told of it has a turn.
static CAME: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Who is told of signals.
struct Hearing {
    end: Option<Box<dyn FnMut(i32) -> Interruption + Send>>,
    /// Whether it was told that what it does is over, though no signal came.
    is_cut: bool,
    killed_at: Option<Instant>,
}

impl Hearing {
    fn hear(&mut self, signal: i32) {
        match self.end.as_mut().map_or(Interruption::First, |end| end(signal)) {
            Interruption::First => {}
            Interruption::Second => self.killed_at = Some(Instant::now()),
            // The killing is under way; only where it hangs is more asked for.
            Interruption::Later if self.killed_at.is_some_and(|at| at.elapsed() < PATIENCE) => {}
            Interruption::Later => exit(128 + signal),
        }
    }
}

/// Hears signals from here on. One that the caller of shipway ignores stays ignored, as `nohup` and background jobs of scripts expect.
pub(super) fn listen(interrupter: Interrupter) -> std::io::Result<()> {
    hear(move |signal| interrupter.interrupt(signal))
}

/// The same for whoever has more to end than one run: `end` is told of each signal, and says which time it was. Whoever heard them before
/// hears none any more: one thing is done after the other.
pub(super) fn hear(end: impl FnMut(i32) -> Interruption + Send + 'static) -> std::io::Result<()> {
    let mut hearing = HEARING.lock().unwrap_or_else(PoisonError::into_inner);
    if hearing.end.is_none() {
        let ignored = ignored();
        let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(move |signal| ignored & (1 << (signal - 1)) == 0);
        for signal in wanted.clone() {
            let _for_good = register_usize(signal, CAME.clone(), usize::try_from(signal).unwrap_or_default())?;
        }
        let mut signals = Signals::new(wanted)?;
        // It lives as long as the process: there is nothing to wait for.
        let _forever = thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                HEARING.lock().unwrap_or_else(PoisonError::into_inner).hear(signal);
            }
        })?;
    }
    hearing.end = Some(Box::new(end));
    hearing.is_cut = false;
    hearing.killed_at = None;
    Ok(())
}

/// Ends with grace what is done now, as a first signal would, though none came. What was told so once is not told again: that would be the end
/// without grace.
pub(super) fn cut() {
    let mut hearing = HEARING.lock().unwrap_or_else(PoisonError::into_inner);
    if !hearing.is_cut
        && let Some(end) = hearing.end.as_mut()
    {
        end(SIGTERM);
        hearing.is_cut = true;
    }
}

/// Returns the signal that came last since signals are heard, whoever was told of it.
pub(super) fn came() -> Option<i32> {
    i32::try_from(CAME.load(Ordering::SeqCst)).ok().filter(|signal| *signal != 0)
}

/// Waits that are cut short as steps are.
#[derive(Debug, Default)]
pub(super) struct Rest(Option<Arc<Cancel>>);

impl Rest {
    /// Waits so long, or until a signal comes or it is told that what it waits for is over. Returns the signal, or the one as which it was told so.
    pub(super) fn take(&mut self, time: Duration) -> std::io::Result<Option<i32>> {
        // One that was told to end is over for good.
        let cancel = match self.0.take() {
            Some(cancel) if !cancel.is_stopped() => cancel,
            Some(_) | None => Arc::new(Cancel::new()?),
        };
        // Whatever ran since has heard signals by itself.
        let heard = cancel.clone();
        hear(move |signal| heard.interrupt(signal))?;
        if came().is_none() {
            cancel.pause(time);
        }
        let told = cancel.signal();
        self.0 = Some(cancel);
        Ok(came().or(told))
    }
}

/// Returns the set of signals that are ignored, bit by bit (`proc_pid_status(5)`, `SigIgn`).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
