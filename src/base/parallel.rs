//! Work on many like things, shared by a few threads.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// More threads than these would only wait for each other in the file system.
const MOST: usize = 8;

/// Calls `work` with ranges of `0..count`, of `size` each, on `threads` threads.
pub fn each(count: usize, size: usize, threads: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
    let next = AtomicUsize::new(0);
    let go = || {
        loop {
            let start = next.fetch_add(size, Ordering::Relaxed);
            if start >= count {
                return;
            }
            work(start..(start + size).min(count));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(go);
        }
        go();
    });
}

/// Calls `work` with ranges of `0..count`, of `size` each, on as many threads as are of use, and returns what came of each, in order.
pub fn gather<T: Send>(count: usize, size: usize, work: &(dyn Fn(Range<usize>) -> T + Sync)) -> Vec<T> {
    if count <= size {
        return if count == 0 { Vec::new() } else { vec![work(0..count)] };
    }
    let parts = Mutex::new(Vec::with_capacity(count.div_ceil(size)));
    each(count, size, processors().min(MOST).min(count.div_ceil(size)), &|range| {
        let start = range.start;
        let part = work(range);
        parts.lock().unwrap_or_else(PoisonError::into_inner).push((start, part));
    });
    let mut parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
    parts.sort_unstable_by_key(|(start, _)| *start);
    parts.into_iter().map(|(_, part)| part).collect()
}

/// Returns how many threads can work at once. Asked of the system once.
pub fn processors() -> usize {
    static KNOWN: OnceLock<usize> = OnceLock::new();
    *KNOWN.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_in_order() {
        for count in [0, 1, 7, 8, 500] {
            let parts = gather(count, 7, &|range| range.collect::<Vec<_>>());
            assert_eq!(parts.concat(), (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn each_index_comes_once() {
        for (count, size, threads) in [(0, 3, 2), (1, 3, 2), (100, 7, 1), (100, 7, 3)] {
            let seen: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            each(count, size, threads, &|range| {
                for index in range {
                    seen[index].fetch_add(1, Ordering::Relaxed);
                }
            });
            assert!(seen.iter().all(|times| times.load(Ordering::Relaxed) == 1));
        }
    }
}
