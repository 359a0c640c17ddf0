//! Work on many like things, shared by a few threads.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

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

#[cfg(test)]
mod tests {
    use super::*;

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
