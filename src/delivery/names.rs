//! Names for releases that people can say and remember: an adjective and an animal, chosen by the id.

use crate::base::digest::Hash;

const ADJECTIVES: [&str; 64] = [
    "agile", "amber", "apt", "azure", "bold", "brave", "brief", "bright", "brisk", "calm", "clear", "clever", "cosy", "crisp", "daring",
    "deft", "eager", "early", "easy", "fair", "fancy", "fine", "firm", "fleet", "fond", "frank", "free", "fresh", "gentle", "glad",
    "golden", "grand", "happy", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucky", "mellow", "merry",
    "mild", "modest", "neat", "nimble", "noble", "patient", "polite", "proud", "quick", "quiet", "rapid", "ready", "silver", "smart",
    "snug", "steady", "sunny", "swift", "tidy", "warm",
];

const ANIMALS: [&str; 64] = [
    "badger", "bat", "bear", "beaver", "bee", "bison", "bobcat", "camel", "cat", "cicada", "cobra", "cod", "crab", "crane", "cricket",
    "crow", "deer", "dingo", "dolphin", "donkey", "dove", "eagle", "eel", "elk", "falcon", "ferret", "finch", "fox", "gecko", "goat",
    "goose", "gull", "hare", "hawk", "heron", "horse", "ibex", "jay", "koala", "lark", "lemur", "lion", "llama", "lynx", "marten", "mole",
    "moose", "moth", "mouse", "newt", "otter", "owl", "panda", "pony", "puffin", "quail", "raven", "robin", "seal", "stork", "swan",
    "tiger", "trout", "wren",
];

/// Returns the name that a release with this id has, unless another one has it.
pub(super) fn name_of(id: &Hash) -> String {
    let pick = |place: usize| usize::from(id.0[place]) % 64;
    format!("{}-{}", ADJECTIVES[pick(0)], ANIMALS[pick(1)])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_word_stands_twice() {
        for words in [ADJECTIVES, ANIMALS] {
            assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
            assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
        }
        assert_eq!(name_of(&Hash([5; 32])), "brave-bison");
    }
}
