//! Whose turn the next connection is, by weight.
//!
//! Smooth weighted round robin: each turn everybody is owed their weight, and who is owed most is chosen and pays for the turn. Of any number
//! of turns since the weights were set, each of two has got its share up to one.

/// Who takes part, and what they are owed.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    slot: String,
    weight: i64,
    owed: i64,
}

impl Splitter {
    /// Sets the weights; what was owed by others before is forgotten.
    pub(super) fn set<'s>(&mut self, weights: impl IntoIterator<Item = (&'s str, u8)>) {
        let part = |(slot, weight): (&str, u8)| Part { slot: slot.to_owned(), weight: i64::from(weight), owed: 0 };
        self.parts = weights.into_iter().filter(|(_, weight)| *weight > 0).map(part).collect();
    }

    /// Returns whose turn it is; `None` where nobody has any weight.
    pub(super) fn turn(&mut self) -> Option<&str> {
        let all: i64 = self.parts.iter().map(|part| part.weight).sum();
        self.parts.iter_mut().for_each(|part| part.owed += part.weight);
        let chosen = self.parts.iter_mut().max_by_key(|part| part.owed)?;
        chosen.owed -= all;
        Some(&chosen.slot)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn turns(splitter: &mut Splitter, count: usize) -> Vec<String> {
        (0..count).filter_map(|_| splitter.turn().map(str::to_owned)).collect()
    }

    #[test]
    fn nobody_has_a_turn_without_weight() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.turn(), None);
        splitter.set([("blue", 0), ("green", 0)]);
        assert_eq!(splitter.turn(), None);
        splitter.set([("blue", 0), ("green", 100)]);
        assert_eq!(turns(&mut splitter, 3), ["green"; 3]);
        splitter.set([("blue", 50), ("green", 50)]);
        assert_eq!(turns(&mut splitter, 4).iter().filter(|slot| *slot == "blue").count(), 2);
    }

    proptest! {
        #[test]
        fn each_gets_its_share_up_to_one(weight in 0u8..=100, count in 0usize..1000) {
            let mut splitter = Splitter::default();
            splitter.set([("canary", weight), ("stable", 100 - weight)]);
            let got = turns(&mut splitter, count).iter().filter(|slot| *slot == "canary").count();
            // In hundredths of a turn.
            prop_assert!((got * 100).abs_diff(count * usize::from(weight)) <= 100, "{got} of {count} at {weight} %");
        }
    }
}
