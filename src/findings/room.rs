//! How much of a report is kept: a report of any size costs a bounded amount of memory, and is judged as a whole all the same.
//!
//! Knows sizes; the counts that verdicts are made of are kept elsewhere, of everything.

/// The longest message that is kept, in bytes.
const LONGEST_MESSAGE: usize = 16 * 1024;

/// The longest name that is kept, in bytes.
const LONGEST_NAME: usize = 1024;

/// All text of one stage's findings, in bytes.
const ALL_TEXT: usize = 32 << 20;

/// How many tests and problems of one stage are listed.
const MOST: usize = 100_000;

/// How many more are listed where they fail the stage.
const MOST_FAILING: usize = 10_000;

/// What room is left for the findings of one stage.
#[derive(Debug)]
pub(super) struct Room {
    text: usize,
    entries: usize,
    failing: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { text: ALL_TEXT, entries: MOST, failing: MOST_FAILING }
    }
}

impl Room {
    /// Tells whether one more entry is listed, and takes its room.
    pub(super) fn takes(&mut self, fails: bool) -> bool {
        let place = if self.entries == 0 && fails { &mut self.failing } else { &mut self.entries };
        let is_taken = *place > 0;
        *place -= usize::from(is_taken);
        is_taken
    }

    /// Returns a message as it is kept.
    pub(super) fn message(&mut self, text: &str) -> String {
        // Where the room is used up, a first line still helps.
        let most = LONGEST_MESSAGE.min(self.text.max(200));
        self.cut(text.trim_end(), most)
    }

    /// Returns a name as it is kept: always some of it.
    pub(super) fn name(&mut self, text: &str) -> String {
        self.cut(text.trim(), LONGEST_NAME)
    }

    fn cut(&mut self, text: &str, most: usize) -> String {
        let kept = if text.len() <= most { text.to_owned() } else { format!("{}…", &text[..text.floor_char_boundary(most)]) };
        self.text = self.text.saturating_sub(kept.len());
        kept
    }
}

/// Adds `text` to `to`, of which no more than a message is kept.
pub(super) fn append(to: &mut String, text: &str) {
    // Somewhat more, so that the cut is seen.
    let room = (LONGEST_MESSAGE + 4).saturating_sub(to.len());
    to.push_str(&text[..text.floor_char_boundary(room)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_listed_where_the_rest_is_not() {
        let mut room = Room { text: 0, entries: 2, failing: 1 };
        assert_eq!([false, true, false, true, true].map(|fails| room.takes(fails)), [true, true, false, true, false]);
    }

    #[test]
    fn text_is_cut_at_a_character() {
        let mut room = Room::default();
        let long = "ä".repeat(LONGEST_MESSAGE);
        let kept = room.message(&long);
        assert!(kept.ends_with("ä…") && kept.len() <= LONGEST_MESSAGE + 3, "{}", kept.len());
        assert_eq!(room.message("short \n"), "short");
        room.text = 0;
        assert_eq!(room.message(&long).chars().count(), 101);
        assert!(room.name(&long).chars().count() < 600);
        let mut text = String::new();
        (0..10).for_each(|_| append(&mut text, &long));
        assert!(text.len() <= LONGEST_MESSAGE + 4);
    }
}
