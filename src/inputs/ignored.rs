//! What git would ignore, by the `.gitignore` files of folders.
//!
//! Knows the rules of such files and how those of several folders go together; knows nothing of tracked files. A machine's own exclude
//! file and `.git/info/exclude` are left aside on purpose: the same checkout has the same inputs on every machine.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::folders::{is_gone, unreadable};

/// The name of the files that hold rules.
pub(super) const RULES: &str = ".gitignore";

/// Files of rules that were read, by their content: those of two folders with the same text are the same.
#[derive(Debug, Default)]
pub(super) struct Rules {
    compiled: Mutex<HashMap<Vec<u8>, Arc<Gitignore>>>,
}

/// The rules that hold in a folder: its own, and those of the folders that it lies in.
#[derive(Debug, Clone)]
pub(super) struct Level {
    /// How long the folder's absolute path is.
    length: usize,
    own: Arc<Gitignore>,
    above: Option<Arc<Level>>,
}

impl Rules {
    /// Returns the rules in `folder`, whose file of rules is there; `above` are those of the folders that it lies in.
    pub(super) fn enter(&self, folder: &Path, above: Option<Arc<Level>>) -> io::Result<Option<Arc<Level>>> {
        let file = folder.join(RULES);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if is_gone(&error) => return Ok(above),
            Err(error) => return Err(unreadable("file", &file, &error)),
        };
        let own = Arc::clone(
            self.compiled.lock().unwrap_or_else(PoisonError::into_inner).entry(text).or_insert_with_key(|text| Arc::new(compile(text))),
        );
        if own.is_empty() {
            return Ok(above);
        }
        Ok(Some(Arc::new(Level { length: folder.as_os_str().len(), own, above })))
    }

    /// The same for a folder of which it is not known whether it has such a file. Git does not follow a link of that name.
    pub(super) fn enter_unseen(&self, folder: &Path, above: Option<Arc<Level>>) -> io::Result<Option<Arc<Level>>> {
        let is_file = folder.join(RULES).symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        if is_file { self.enter(folder, above) } else { Ok(above) }
    }
}

impl Level {
    /// Tells whether the entry at the absolute `path`, somewhere below the folder, is ignored, as far as its own name goes: the deepest
    /// file of rules that says anything wins.
    pub(super) fn ignores(&self, path: &Path, is_folder: bool) -> bool {
        let mut level = self;
        loop {
            let below = path.as_os_str().as_bytes().get(level.length..).unwrap_or_default();
            let below = Path::new(OsStr::from_bytes(below.strip_prefix(b"/").unwrap_or(below)));
            let verdict = level.own.matched(below, is_folder);
            if !verdict.is_none() {
                return verdict.is_ignore();
            }
            match &level.above {
                Some(above) => level = above,
                None => return false,
            }
        }
    }
}

/// Reads rules as git does: what cannot be read ignores nothing.
fn compile(text: &[u8]) -> Gitignore {
    // A root of `.` has the paths taken as they are.
    let mut builder = GitignoreBuilder::new(".");
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for line in text.split(|byte| *byte == b'\n') {
        if let Ok(line) = str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)) {
            // An error means that this line says nothing.
            let _unreadable = builder.add_line(None, &without_braces(line));
        }
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

/// Escapes braces: to git they are plain characters.
fn without_braces(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len());
    let mut characters = line.chars();
    let mut in_class = false;
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                escaped.push(c);
                escaped.extend(characters.next());
                continue;
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '{' | '}' if !in_class => escaped.push('\\'),
            _ => {}
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(text: &str) -> Level {
        Level { length: "/p".len(), own: Arc::new(compile(text.as_bytes())), above: None }
    }

    #[test]
    fn rules_are_read_as_git_reads_them() {
        let cases = [
            ("*.o", "/p/a/b.o", false, true),
            ("/x", "/p/a/x", false, false),
            ("a/x", "/p/b/a/x", false, false),
            ("build/", "/p/build", false, false),
            ("build/", "/p/build", true, true),
            ("*\n!keep", "/p/keep", false, false),
            ("x{a,b}", "/p/xa", false, false),
            ("x{a,b}", "/p/x{a,b}", false, true),
            ("x\r\ny", "/p/x", false, true),
            ("\u{feff}x", "/p/x", false, true),
            ("# x\n\\#y", "/p/#y", false, true),
            ("doc/**", "/p/doc", true, false),
            ("**/deep/*", "/p/a/deep/z", false, true),
        ];
        for (text, path, is_folder, expected) in cases {
            assert_eq!(level(text).ignores(Path::new(path), is_folder), expected, "{text:?} {path}");
        }
    }

    #[test]
    fn the_deepest_that_says_anything_wins() {
        let above = Some(Arc::new(level("*.log\nx")));
        let deep = Level { length: "/p/a".len(), own: Arc::new(compile(b"!keep.log")), above };
        assert!(deep.ignores(Path::new("/p/a/y.log"), false));
        assert!(!deep.ignores(Path::new("/p/a/keep.log"), false));
        assert!(deep.ignores(Path::new("/p/a/x"), false));
    }
}
