//! The books of a jobserver: how many of its tokens belong in the pipe.
//!
//! Every stage whose steps run has a token that is in no pipe, since the protocol gives each client one for nothing (GNU make's manual, "Job
//! Slots"). So one is taken out when a stage begins. Where none is there, the stage begins all the same: that is a debt, which whoever ends pays.
//! With N tokens and S stages there are never more than N + S - 1 processes, and N where no debt is open.

/// Who runs, and who owes.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    running: usize,
    /// How many tokens there are; none while there is no pipe.
    all: usize,
    debts: usize,
}

/// What to do with the pipe when a stage begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Nobody else has any: exactly so many belong there, whatever was lost with clients that were killed.
    Fill(usize),
    /// As many as are there, at most this many, are taken out.
    Take(usize),
}

impl Tokens {
    /// Begins to keep books of `all` tokens, at least one; returns how many of them belong in the pipe, which nobody has used yet.
    pub(super) fn open(&mut self, all: usize) -> usize {
        self.all = all.max(1);
        self.debts = self.running.saturating_sub(self.all);
        self.all.saturating_sub(self.running)
    }

    /// Begins a stage. Until [`Tokens::took`] it and all others before it that have none owe one. Without a pipe there is nothing to do.
    pub(super) fn begin(&mut self) -> Option<Beginning> {
        self.running += 1;
        if self.all == 0 {
            return None;
        }
        if self.running == 1 {
            self.debts = 0;
            return Some(Beginning::Fill(self.all - 1));
        }
        self.debts += 1;
        Some(Beginning::Take(self.debts))
    }

    /// Notes that `count` tokens were taken out.
    pub(super) fn took(&mut self, count: usize) {
        self.debts = self.debts.saturating_sub(count);
    }

    /// Ends a stage; tells whether its token goes into the pipe. That of the last one need not: the next one fills the pipe.
    pub(super) fn end(&mut self) -> bool {
        self.running = self.running.saturating_sub(1);
        if self.running == 0 || self.all == 0 {
            return false;
        }
        let is_owed = self.debts > 0;
        self.debts = self.debts.saturating_sub(1);
        !is_owed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whoever_ends_pays_what_another_owes() {
        let mut tokens = Tokens::default();
        assert_eq!(tokens.begin(), None);
        assert_eq!(tokens.open(2), 1);
        assert_eq!(tokens.begin(), Some(Beginning::Take(1)));
        // A client of the first one has it.
        tokens.took(0);
        assert_eq!(tokens.begin(), Some(Beginning::Take(2)));
        tokens.took(1);
        assert!(!tokens.end());
        assert!(tokens.end());
        assert!(!tokens.end());
        assert_eq!(tokens.begin(), Some(Beginning::Fill(1)));
    }

    /// The pipe and its clients, as they would be.
    #[derive(Debug, Default)]
    struct World {
        tokens: Tokens,
        running: usize,
        pipe: usize,
        taken: usize,
        lost: usize,
    }

    impl World {
        fn act(&mut self, act: u8, all: usize) {
            match act {
                0 => {
                    match self.tokens.begin() {
                        Some(Beginning::Fill(count)) => (self.pipe, self.taken, self.lost) = (count, 0, 0),
                        Some(Beginning::Take(most)) => {
                            let got = most.min(self.pipe);
                            self.pipe -= got;
                            self.tokens.took(got);
                        }
                        None => {}
                    }
                    self.running += 1;
                }
                1 if self.running > 0 => {
                    self.pipe += usize::from(self.tokens.end());
                    self.running -= 1;
                    if self.running == 0 {
                        // Its clients ended with it.
                        (self.lost, self.taken) = (self.lost + self.taken, 0);
                    }
                }
                2 if self.running > 0 && self.tokens.all == 0 => self.pipe = self.tokens.open(all),
                3 if self.running > 0 && self.pipe > 0 => (self.pipe, self.taken) = (self.pipe - 1, self.taken + 1),
                4 if self.taken > 0 => (self.pipe, self.taken) = (self.pipe + 1, self.taken - 1),
                5 if self.taken > 0 => (self.lost, self.taken) = (self.lost + 1, self.taken - 1),
                _ => {}
            }
        }
    }

    proptest! {
        /// Stages begin and end, a pipe is opened, clients take tokens, give them back, and are killed with some, in any order.
        #[test]
        fn there_are_never_more_processes_than_promised(all in 1usize..6, acts in prop::collection::vec(0u8..6, 0..60)) {
            let mut world = World::default();
            for act in acts {
                world.act(act, all);
                let World { tokens, running, pipe, taken, lost } = &world;
                if tokens.all > 0 && *running > 0 {
                    prop_assert_eq!(running + taken + pipe + lost, all + tokens.debts, "{:?}", world);
                    prop_assert!(tokens.debts < *running, "{:?}", world);
                }
            }
        }
    }
}
