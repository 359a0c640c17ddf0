//! When a burst of hints is over.
//!
//! Knows time, as it is told; has no clock.

use std::time::{Duration, Instant};

/// How long nothing must have happened before it is time to look: an editor's save, or a tool's, is several changes.
const CALM: Duration = Duration::from_millis(50);

/// How long a look is put off at most, however much happens.
const LONGEST: Duration = Duration::from_millis(500);

/// Waits for the end of a burst.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    burst: Option<(Instant, Instant)>,
}

impl Quiet {
    /// Something happened at `now`.
    pub(super) fn hint(&mut self, now: Instant) {
        let first = self.burst.map_or(now, |(first, _)| first);
        self.burst = Some((first, now));
    }

    /// Returns when to look; `None` while nothing has happened. `doublings` make the longest time longer.
    pub(super) fn due(&self, doublings: u32) -> Option<Instant> {
        self.burst.map(|(first, last)| (last + CALM).min(first + LONGEST * 2u32.pow(doublings.min(6))))
    }

    /// The look begins: what happens from here on is another burst.
    pub(super) fn over(&mut self) {
        self.burst = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_one() {
        let (mut quiet, start) = (Quiet::default(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(quiet.due(0), None);
        for time in [0, 20, 60] {
            quiet.hint(at(time));
        }
        assert_eq!(quiet.due(0), Some(at(110)));
        quiet.over();
        assert_eq!(quiet.due(0), None);
        // A steady stream does not starve.
        (0..100).for_each(|time| quiet.hint(at(1000 + 10 * time)));
        assert_eq!(quiet.due(0), Some(at(1500)));
        assert_eq!(quiet.due(2), Some(at(2040)));
    }

    proptest! {
        #[test]
        fn no_hint_waits_long(gaps in prop::collection::vec(0..200u64, 1..50)) {
            let (mut quiet, start) = (Quiet::default(), Instant::now());
            let mut now = start;
            let mut oldest = None;
            for gap in gaps {
                now += Duration::from_millis(gap);
                if let Some(due) = quiet.due(0).filter(|due| *due <= now) {
                    prop_assert!(due - oldest.unwrap() <= LONGEST);
                    quiet.over();
                    oldest = None;
                }
                quiet.hint(now);
                oldest = oldest.or(Some(now));
            }
            prop_assert!(quiet.due(0).is_some());
        }
    }
}
