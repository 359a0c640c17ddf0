//! What a run costs: time, processor, memory.

use std::fs;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// A tick of the system's account of processor time.
const TICK: Duration = Duration::from_millis(10);

/// What some runs of one kind cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// The median.
    pub(crate) wall: Duration,
    /// The mean, since it is counted in ticks; with that of the steps.
    pub(crate) processor: Duration,
    /// The most that was seen of shipway itself, in KiB.
    pub(crate) memory: u64,
}

/// How often to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Not more runs than that, unless they are very short.
    pub(crate) runs: usize,
    /// No further run after so much time.
    pub(crate) time: Duration,
}

impl Patience {
    /// Runs that take less are made five times as often: they cost nothing, and their processor time is less than a tick.
    const SHORT: Duration = Duration::from_millis(50);

    fn is_over(self, walls: &[Duration]) -> bool {
        let total: Duration = walls.iter().sum();
        let is_short = walls.iter().all(|wall| *wall < Self::SHORT);
        walls.len() >= self.runs * if is_short { 5 } else { 1 } || total >= self.time
    }
}

/// Runs what `prepare` returns again and again; what it does itself is not measured. `check` looks at each run.
pub(crate) fn measure<P>(patience: Patience, place: &mut P, prepare: impl Fn(&mut P) -> Command, check: impl Fn(&P)) -> Cost {
    let (mut walls, mut processor, mut memory) = (Vec::new(), Duration::ZERO, 0);
    while !patience.is_over(&walls) {
        let mut command = prepare(place);
        let before = processor_of_children();
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        let (status, peak) = watched(&mut child);
        walls.push(began.elapsed());
        processor += processor_of_children().saturating_sub(before);
        memory = memory.max(peak);
        assert!(status.success(), "{command:?}: {status}");
        check(place);
    }
    walls.sort_unstable();
    let runs = u32::try_from(walls.len()).unwrap();
    Cost { wall: walls[walls.len() / 2], processor: processor / runs, memory }
}

/// Waits for the end of a process; returns the most memory that it was seen to have. After its end that cannot be asked any more.
fn watched(child: &mut Child) -> (std::process::ExitStatus, u64) {
    let status = format!("/proc/{}/status", child.id());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let look = scope.spawn(|| {
            let mut most = 0;
            while !is_over.load(Ordering::Relaxed) {
                most = peak(&fs::read_to_string(&status).unwrap_or_default()).unwrap_or(0).max(most);
                std::thread::park_timeout(LOOK);
            }
            most
        });
        let ended = child.wait().unwrap();
        is_over.store(true, Ordering::Relaxed);
        look.thread().unpark();
        (ended, look.join().unwrap())
    })
}

/// The most resident memory, in KiB, as a process's `status` says.
fn peak(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// The processor time of all processes below us that have ended.
fn processor_of_children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name, which may hold anything, the third field is next; the times are the 16th and the 17th.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(13).take(2).map(|ticks| ticks.parse::<u32>().unwrap()).sum::<u32>();
    TICK * ticks
}
