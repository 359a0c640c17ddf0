//! The summary that GitHub shows above the log of a job: a file that each step may append Markdown to.
//!
//! Knows the file and its bounds, and that GitHub calls us; what is in the summary is `markdown`'s to say.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::markdown;
use super::story::Story;
use crate::model::event::{Event, Listener};

/// How large the file of one step may be, in bytes (GitHub documentation, "Step isolation and limits"): of a larger one nothing is shown.
pub const LARGEST: usize = 1024 * 1024;

/// What stands where the rest had no room.
const CUT: &str = "\n\n*The rest had no room here.*\n";

/// Gathers a run for the summary; where nobody shows one, it does nothing.
#[derive(Debug, Default)]
pub struct StepSummary {
    place: Option<(PathBuf, Box<Story>)>,
}

impl StepSummary {
    /// Returns the summary for whoever has set these variables.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is_github = variable("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        let path = variable("GITHUB_STEP_SUMMARY").filter(|path| is_github && !path.is_empty());
        Self { place: path.map(|path| (path.into(), Box::default())) }
    }

    /// Writes it.
    ///
    /// # Errors
    /// As [`append`].
    pub fn write(&self) -> io::Result<()> {
        self.place.as_ref().map_or(Ok(()), |(path, story)| append(path, &markdown::render(story)))
    }
}

impl Listener for StepSummary {
    fn hear(&mut self, event: &Event) {
        if let Some((_, story)) = &mut self.place {
            story.tell(event);
        }
    }
}

/// Appends `text` to the summary at `path`, whole, or as many whole lines of it as there is room for and a line that says so.
///
/// # Errors
/// Whatever the file system says.
pub fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(LARGEST);
    // What an earlier command left without a newline would swallow a heading.
    let gap = if length > 0 && !ends_a_line(&mut file)? { "\n" } else { "" };
    let text = format!("{gap}{text}{}", if text.ends_with('\n') { "" } else { "\n" });
    let room = LARGEST.saturating_sub(length);
    if text.len() <= room {
        return file.write_all(text.as_bytes());
    }
    let Some(room) = room.checked_sub(CUT.len()) else { return Ok(()) };
    let end = text.as_bytes()[..room].iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    file.write_all(format!("{}{CUT}", &text[..end]).as_bytes())
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary");
        fs::write(&path, "before").unwrap();
        append(&path, "# one").unwrap();
        append(&path, "# two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\n# one\n# two\n");
    }

    #[test]
    fn it_never_grows_beyond_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary");
        append(&path, "a line\n").unwrap();
        append(&path, &"größe größe\n".repeat(LARGEST / 10)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.len() <= LARGEST && text.len() > LARGEST - 100, "{}", text.len());
        assert!(text.starts_with("a line\ngröße") && text.ends_with(CUT));
        append(&path, "more\n").unwrap();
        append(&path, &"more\n".repeat(LARGEST)).unwrap();
        assert!(fs::metadata(&path).unwrap().len() <= LARGEST as u64);
        assert!(append(&folder.path().join("no/summary"), "x").is_err());
    }
}
