//! When a burst of hints is over.
//!
//! Knows time, as it is told; has no clock.

use std::time::{Duration, Instant};

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

    /// Returns when to look: when nothing has happened for the time `calm`, and at the latest after the time `longest`, however much
    /// happens; `None` while nothing has happened.
    pub(super) fn due(&self, calm: Duration, longest: Duration) -> Option<Instant> {
        self.burst.map(|(first, last)| (last + calm).min(first + longest))
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

    const CALM: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_millis(500);

    #[test]
    fn a_burst_is_one() {
        let (mut quiet, start) = (Quiet::default(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(quiet.due(CALM, LONGEST), None);
        for time in [0, 20, 60] {
            quiet.hint(at(time));
        }
        assert_eq!(quiet.due(CALM, LONGEST), Some(at(110)));
        quiet.over();
        assert_eq!(quiet.due(CALM, LONGEST), None);
        // A steady stream does not starve.
        (0..100).for_each(|time| quiet.hint(at(1000 + 10 * time)));
        assert_eq!(quiet.due(CALM, LONGEST), Some(at(1500)));
        assert_eq!(quiet.due(CALM, 4 * LONGEST), Some(at(2040)));
    }

    proptest! {
        #[test]
        fn no_hint_waits_long(gaps in prop::collection::vec(0..200u64, 1..50)) {
            let (mut quiet, start) = (Quiet::default(), Instant::now());
            let mut now = start;
            let mut oldest = None;
            for gap in gaps {
                now += Duration::from_millis(gap);
                if let Some(due) = quiet.due(CALM, LONGEST).filter(|due| *due <= now) {
                    prop_assert!(due - oldest.unwrap() <= LONGEST);
                    quiet.over();
                    oldest = None;
                }
                quiet.hint(now);
                oldest = oldest.or(Some(now));
            }
            prop_assert!(quiet.due(CALM, LONGEST).is_some());
        }
    }
}
