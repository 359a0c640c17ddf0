//! Shims: programs that start another one, which a version manager, a setting or a script picks when they run.
//!
//! Knows the managers by their names and folders, and what to ask a program for its version; starts nothing.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::script;
use crate::base::text::visible;

/// The manager of a shim that is a script of somebody's own.
const SCRIPT: &str = "a script that starts another program";

/// The manager of what lies in a folder `shims` that nobody is known to make.
const SOME_MANAGER: &str = "a version manager";

/// Executables that start another one for each name that leads to them, and who they belong to.
const MASTERS: &[(&str, &str)] = &[
    ("aqua", "aqua"),
    ("aqua-proxy", "aqua"),
    ("asdf", "asdf"),
    ("bazelisk", "bazelisk"),
    ("ccache", "ccache"),
    ("distcc", "distcc"),
    ("elan", "elan"),
    ("icecc", "icecc"),
    ("juliaup", "juliaup"),
    ("julialauncher", "juliaup"),
    ("mise", "mise"),
    ("proto", "proto"),
    ("proto-shim", "proto"),
    ("rustup", "rustup"),
    ("rustup-init", "rustup"),
    ("sccache", "sccache"),
    ("snap", "snap"),
    ("swiftly", "swiftly"),
    ("volta", "volta"),
    ("volta-shim", "volta"),
];

/// Who is known to keep shims in a folder `shims`.
const MANAGERS: &[&str] = &[
    "pyenv", "rbenv", "nodenv", "goenv", "jenv", "plenv", "phpenv", "luaenv", "crenv", "exenv", "swiftenv", "sbtenv", "scalaenv", "tfenv",
    "asdf", "mise", "rtx", "volta", "proto", "aqua", "nodist",
];

/// A program whose content says nothing about what it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shim {
    /// How the shim is called: the program itself, or the interpreter of the script that it is.
    pub name: String,
    /// Whose it is.
    pub manager: String,
    /// What to ask to learn what it starts, as words: the line of `tools` to write.
    pub question: Vec<String>,
    /// True: of a known manager, so that the question is harmless and may be asked without being declared.
    pub is_known: bool,
    /// What counts by its content beside the answer: the scripts on the way to the shim.
    pub files: Vec<PathBuf>,
}

impl Shim {
    /// Returns the shim `name` of a script that picks another program.
    pub(super) fn script(name: &str, file: &Path) -> Self {
        Self { is_known: false, files: vec![file.to_owned()], ..Self::of(name, SCRIPT) }
    }

    fn of(name: &str, manager: &str) -> Self {
        let is_known = manager != SOME_MANAGER;
        Self { name: name.to_owned(), manager: manager.to_owned(), question: question(name), is_known, files: Vec::new() }
    }

    /// Returns what is wrong with it, as one sentence.
    pub fn problem(&self) -> String {
        let name = visible(&self.name);
        if self.manager == SCRIPT {
            format!("`{name}` is {SCRIPT}, so its content does not tell which")
        } else {
            format!("`{name}` is a shim of {}, so its content does not tell which program it starts", self.manager)
        }
    }

    /// Returns the line for `pipeline.toml` that makes up for it.
    pub fn tools_line(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        if self.question.iter().any(|word| word.contains(char::is_whitespace)) {
            let words: Vec<String> = self.question.iter().map(|word| quoted(word)).collect();
            format!("tools = [[{}]]", words.join(", "))
        } else {
            format!("tools = [{}]", quoted(&self.question.join(" ")))
        }
    }
}

/// Returns what is wrong with a shim and what to do about it, as one sentence.
pub fn advice(shim: &Shim) -> String {
    format!("{}: add {}", shim.problem(), shim.tools_line())
}

/// Returns the command that prints which version of `name` is used, as words.
pub fn question(name: &str) -> Vec<String> {
    let base = name.rsplit('/').next().unwrap_or(name);
    let flag = match base {
        "rustc" | "cargo" | "rustdoc" => "-vV",
        "clippy-driver" => "-V",
        "go" | "zig" | "helm" | "openssl" => "version",
        "java" | "javac" | "kotlin" | "kotlinc" | "scala" | "scalac" | "ant" => "-version",
        "ruby" | "perl" | "php" | "lua" | "luac" | "luajit" => "-v",
        _ if base.strip_prefix("python").is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')) => "-VV",
        _ => "--version",
    };
    vec![name.to_owned(), flag.to_owned()]
}

/// Returns the shim that the program `name` is, where it is one of a manager. It was found at `found`, which leads to `real`.
pub(super) fn managed(name: &str, found: &Path, real: &Path) -> Option<Shim> {
    let own = found.file_name()?.to_str()?;
    let manager = master(own, real).or_else(|| shims_folder(found, real)).or_else(|| corepack(own, real))?;
    // What is called by the manager's own name is the manager.
    (own != manager).then(|| Shim::of(name, manager))
}

/// Returns whose it is when it is a link to an executable with many names, or a copy of one.
fn master(own: &str, real: &Path) -> Option<&'static str> {
    let file = real.file_name()?.to_str()?;
    let is_it = |master: &str| if own == file { is_same(&real.with_file_name(master), real) } else { master == file };
    MASTERS.iter().find(|(master, _)| *master != own && is_it(master)).map(|(_, manager)| *manager)
}

/// Tells whether the two are one file, or the second is a copy of the first.
fn is_same(master: &Path, file: &Path) -> bool {
    // There is hardly ever a master: it is looked for first.
    let Ok(one) = master.metadata() else { return false };
    let Ok(other) = file.metadata() else { return false };
    if (one.dev(), one.ino()) == (other.dev(), other.ino()) {
        return true;
    }
    one.is_file() && one.len() > 0 && one.len() == other.len() && has_same_content(master, file).unwrap_or(false)
}

fn has_same_content(one: &Path, other: &Path) -> std::io::Result<bool> {
    let (mut one, mut other) = (BufReader::new(File::open(one)?), BufReader::new(File::open(other)?));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let length = left.len().min(right.len());
        if left[..length] != right[..length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(left.len() == right.len());
        }
        one.consume(length);
        other.consume(length);
    }
}

/// Returns whose it is when it lies below a folder `shims`.
fn shims_folder(found: &Path, real: &Path) -> Option<&'static str> {
    let path = [found, real].into_iter().find(|path| path.parent().is_some_and(|folder| folder.iter().any(|part| part == "shims")))?;
    let called = |manager: &str| {
        let is_part = |part: &str| part.strip_prefix('.').unwrap_or(part) == manager;
        path.iter().filter_map(|part| part.to_str()).any(is_part)
    };
    let by_name = MANAGERS.iter().find(|manager| called(manager)).copied();
    Some(by_name.or_else(|| by_content(real)).unwrap_or(SOME_MANAGER))
}

/// Returns the manager that the script of a shim calls, where its folder does not tell.
fn by_content(real: &Path) -> Option<&'static str> {
    let text = script::head(real);
    let text = String::from_utf8_lossy(&text);
    text.starts_with("#!").then(|| {
        let words = || text.split(|c: char| !c.is_ascii_alphanumeric());
        MANAGERS.iter().find(|manager| words().any(|word| word == **manager)).copied()
    })?
}

/// Returns whose it is when it is one of the names under which corepack picks a package manager for node.
fn corepack(own: &str, real: &Path) -> Option<&'static str> {
    let is_name = matches!(own, "yarn" | "yarnpkg" | "pnpm" | "pnpx" | "npm" | "npx");
    (is_name && real.iter().any(|part| part == "corepack")).then_some("corepack")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_is_asked() {
        for (name, asked) in [
            ("cargo", "-vV"),
            ("rustfmt", "--version"),
            ("clippy-driver", "-V"),
            ("python", "-VV"),
            ("python3.11", "-VV"),
            ("python-config", "--version"),
            ("pip", "--version"),
            ("npx", "--version"),
            ("go", "version"),
            ("javac", "-version"),
            ("perl", "-v"),
            ("gcc", "--version"),
            ("/usr/bin/python3", "-VV"),
        ] {
            assert_eq!(question(name), [name, asked]);
        }
    }

    #[test]
    fn the_advice_is_a_line_to_copy() {
        assert_eq!(
            advice(&Shim::of("cargo", "rustup")),
            "`cargo` is a shim of rustup, so its content does not tell which program it starts: add tools = [\"cargo -vV\"]"
        );
        assert_eq!(
            advice(&Shim::script("/a b/x", Path::new("/a b/x"))),
            "`/a b/x` is a script that starts another program, so its content does not tell which: add tools = [[\"/a b/x\", \"--version\"]]"
        );
        assert_eq!(Shim::of("a\"b\\c", "rustup").tools_line(), r#"tools = ["a\"b\\c --version"]"#);
    }
}
