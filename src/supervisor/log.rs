//! What a supervisor says and what its releases print: in one file that is bounded, and where somebody watches.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::base::secret::{MaskStream, Masker};
use crate::base::text::visible;

/// When the file is this long, in bytes, it is put aside, where it takes the place of the one before.
const LONGEST: u64 = 8 * 1024 * 1024;

/// The longest line, in bytes; a longer one is broken.
const LINE: usize = 16 * 1024;

/// Where lines go.
pub(super) struct Log {
    path: PathBuf,
    out: Mutex<Out>,
}

struct Out {
    file: File,
    length: u64,
    /// Who watches.
    watcher: Option<Box<dyn Write + Send>>,
}

impl Log {
    /// Opens the log at `path`, behind what stands there; what is said is told to `watcher`, too.
    pub(super) fn open(path: &Path, watcher: Option<Box<dyn Write + Send>>) -> io::Result<Self> {
        let file = append(path)?;
        let length = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), out: Mutex::new(Out { file, length, watcher }) })
    }

    /// Returns the path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a line of `who`. What cannot be written is lost: nothing that serves ends for it.
    pub(super) fn say(&self, who: &str, line: &str) {
        let text = format!("{} {who}: {}\n", Timestamp::now().strftime("%Y-%m-%d %H:%M:%SZ"), visible(line));
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.length >= LONGEST {
            let aside = self.path.with_extension("old");
            if let Ok(file) = fs::rename(&self.path, aside).and_then(|()| append(&self.path)) {
                (out.file, out.length) = (file, 0);
            }
        }
        if out.file.write_all(text.as_bytes()).is_ok() {
            out.length += text.len() as u64;
        }
        if let Some(watcher) = &mut out.watcher {
            let _unwatched = watcher.write_all(text.as_bytes());
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().create(true).append(true).mode(0o600).open(path)
}

/// Makes lines of what a process prints, without its secrets.
#[derive(Debug)]
pub(super) struct Lines {
    masker: Masker,
    mask: MaskStream,
    partial: Vec<u8>,
}

impl Lines {
    pub(super) fn new(masker: Masker) -> Self {
        Self { masker, mask: MaskStream::default(), partial: Vec::new() }
    }

    /// Takes the next piece, and gives each line that is whole by now to `say`.
    pub(super) fn push(&mut self, piece: &[u8], mut say: impl FnMut(&str)) {
        self.partial.extend(self.mask.push(&self.masker, piece.to_vec()));
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n').or((self.partial.len() >= LINE).then_some(LINE - 1)) {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            say(String::from_utf8_lossy(&line).trim_end());
        }
    }

    /// Gives what is left to `say`: there comes no more.
    pub(super) fn finish(&mut self, mut say: impl FnMut(&str)) {
        self.partial.extend(self.mask.finish(&self.masker));
        let rest = std::mem::take(&mut self.partial);
        if !rest.is_empty() {
            say(String::from_utf8_lossy(&rest).trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_hold_no_secret() {
        let (mut lines, mut said) = (Lines::new(Masker::new(["hidden"])), Vec::new());
        for piece in ["a\nb hid", "den c\r\n", "\nd"] {
            lines.push(piece.as_bytes(), |line| said.push(line.to_owned()));
        }
        lines.push(&vec![b'x'; LINE], |line| said.push(line.len().to_string()));
        lines.finish(|line| said.push(line.to_owned()));
        assert_eq!(said, ["a", "b *** c", "", &LINE.to_string(), "x"]);
    }

    #[test]
    fn a_long_log_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = Log::open(&path, None).unwrap();
        log.say("blue", "first");
        log.out.lock().unwrap().length = LONGEST;
        log.say("blue", "second\u{1b}[2J");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("Z blue: second\\u{1b}[2J\n") && text.lines().count() == 1, "{text}");
        assert!(fs::read_to_string(folder.path().join("log.old")).unwrap().ends_with("Z blue: first\n"));
    }
}
