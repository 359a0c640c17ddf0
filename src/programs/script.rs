//! Programs that are text: the interpreter that their first line names, and whether they only hand on to another program.
//!
//! Knows how a kernel and `env` read a first line; looks for no program and starts none.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// How much of a file is looked at: what hands on is short.
const MOST: u64 = 256 << 10;

/// How much of a file a shell looks at to tell a script from a binary.
const PROBE: usize = 256;

/// Shells whose scripts can be understood.
const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "ash", "mksh"];

/// Options of `env` that take a word of their own.
const ENV_OPTIONS: &[&str] = &["-u", "--unset", "-C", "--chdir", "-a", "--argv0"];

/// Returns the beginning of a file, of a binary no more than shows that it is one; nothing where it cannot be read.
pub(super) fn head(file: &Path) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PROBE);
    let Ok(mut file) = File::open(file) else { return bytes };
    // What was read before an error is as good as any.
    let _partial = file.by_ref().take(PROBE as u64).read_to_end(&mut bytes);
    if is_text(&bytes) {
        let _partial = file.take(MOST).read_to_end(&mut bytes);
    }
    bytes
}

/// Tells whether a file that begins so is one that shells take for a script.
fn is_text(head: &[u8]) -> bool {
    head.starts_with(b"#!") || (!head.is_empty() && !head[..head.len().min(PROBE)].contains(&0))
}

/// What runs a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Interpreter {
    /// It is no script.
    None,
    /// The shell that started it, since no first line names another.
    Shell,
    /// The file of this path.
    File(String),
    /// The program that PATH gives for this name.
    Name(String),
}

impl Interpreter {
    /// Returns what runs the file with this beginning.
    pub(super) fn of(head: &[u8]) -> Self {
        let Some(line) = head.strip_prefix(b"#!") else {
            return if is_text(head) { Self::Shell } else { Self::None };
        };
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let mut words = line.split_whitespace();
        let Some(file) = words.next() else { return Self::Shell };
        if base(file) == "env" { started_by_env(words).map_or(Self::None, Self::Name) } else { Self::File(file.to_owned()) }
    }

    /// Tells whether it is a shell.
    pub(super) fn is_shell(&self) -> bool {
        match self {
            Self::None => false,
            Self::Shell => true,
            Self::File(name) | Self::Name(name) => is_shell(name),
        }
    }
}

/// Tells whether the program of this name or path reads the language of a POSIX shell.
pub(super) fn is_shell(name: &str) -> bool {
    SHELLS.contains(&base(name))
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn started_by_env<'w>(mut words: impl Iterator<Item = &'w str>) -> Option<String> {
    while let Some(word) = words.next() {
        if ENV_OPTIONS.contains(&word) {
            words.next();
        } else if let Some(split) = word.strip_prefix("-S").filter(|split| !split.is_empty()) {
            return Some(split.to_owned());
        } else if !word.starts_with('-') && !word.contains('=') {
            return Some(word.to_owned());
        }
    }
    None
}

/// Tells whether a shell script with this beginning hands its arguments on to a program that takes its place.
///
/// That is: `exec … "$@"`, or `"$@"` behind a program whose name is a path or computed. A function of the script (`main "$@"`) and a
/// builtin (`echo "$@"`) are none.
pub(super) fn hands_on(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head).replace("\\\n", " ");
    text.lines().any(line_hands_on)
}

fn line_hands_on(line: &str) -> bool {
    let mut program: Option<&str> = None;
    for word in line.split_whitespace() {
        if word.starts_with('#') {
            return false;
        }
        let bare = word.trim_matches([';', '&', '|', '(', ')']);
        let takes_all = ["$@", "${@", "$*", "${*"].iter().any(|all| word.contains(all));
        match program {
            // In a function, `"$@"` runs what the script says; at the left edge, what its caller says.
            None if takes_all && line.starts_with(word) => return true,
            None if bare.is_empty() || opens(bare) => {}
            None => program = started_by(bare),
            Some(name) if takes_all && (name == "exec" || (!name.contains("$@") && name.contains(['$', '/']))) => return true,
            Some(_) => {}
        }
        if word.ends_with([';', '&', '|', ')']) && !word.contains("$(") || matches!(word, "{" | "(") {
            program = None;
        }
    }
    false
}

/// Words behind which a program may stand.
fn opens(word: &str) -> bool {
    matches!(word, "if" | "then" | "else" | "elif" | "while" | "until" | "do" | "!" | "{" | "}" | "time" | "command" | "nohup")
}

/// Returns the program that the first word of a command starts: of `x=$(y` that is `y`, of `x=y` none yet.
fn started_by(word: &str) -> Option<&str> {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match word.split_once('=') {
        Some((name, value)) if is_name(name) => value.trim_start_matches('"').strip_prefix("$("),
        _ => Some(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_a_script() {
        let file = |path: &str| Interpreter::File(path.to_owned());
        let name = |name: &str| Interpreter::Name(name.to_owned());
        for (head, interpreter) in [
            ("#!/bin/sh\n", file("/bin/sh")),
            ("#! /bin/sh -eu", file("/bin/sh")),
            ("#!/usr/bin/env node\nx", name("node")),
            ("#!/usr/bin/env -S node --x\n", name("node")),
            ("#!/usr/bin/env -Snode --x\n", name("node")),
            ("#!/usr/bin/env -S -i -u X A=b node\n", name("node")),
            ("#!/usr/bin/env\n", Interpreter::None),
            ("#!\n", Interpreter::Shell),
            ("echo x\n", Interpreter::Shell),
            ("\u{7f}ELF\0\0", Interpreter::None),
            ("", Interpreter::None),
        ] {
            assert_eq!(Interpreter::of(head.as_bytes()), interpreter, "{head}");
        }
    }

    #[test]
    fn what_hands_on() {
        for text in [
            "exec \"$x\" \"$@\"",
            "set -e\n  exec node cli.js \"$@\"\n",
            "[ -x y ] && exec ./y \"$@\"",
            "if x; then exec y \"$@\"; fi",
            "exec \\\n  y \\\n  \"$@\"",
            "exec y ${1+\"$@\"}",
            "exec y $*",
            "exec y \"${@}\"",
            "\"$JAVA\" -jar x.jar \"$@\"",
            "A=b ${JAVA} \"$@\"",
            "/opt/x/bin/y \"$@\"; exit $?",
            "\"$(dirname \"$0\")/y\" \"$@\"",
            "\"$@\"",
        ] {
            assert!(hands_on(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "main \"$@\"",
            "# exec y \"$@\"",
            "echo \"$@\" >&2",
            "for x in \"$@\"; do y; done",
            "exec y",
            "exec 3>&1; main \"$@\"",
            "set -- \"$@\" x",
            "run() { \"$@\"; }",
            "  \"$@\"",
            "$x; echo \"$@\"",
            "exec $x # \"$@\"",
            "x=$(eval $y '\"$@\"' 2>&1)",
        ] {
            assert!(!hands_on(text.as_bytes()), "{text}");
        }
    }
}
