//! The picture in `src/lib.rs` cannot rot: imports lead down, never up, sideways or in a circle, and no file is too long.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

/// The floors of the house, the ground first; folders of one floor do not import each other.
const FLOORS: [&[&str]; 6] = [
    &["base"],
    &["model", "git", "store"],
    &["config", "inputs", "programs", "cache", "exec", "findings", "record", "report", "notice", "starter", "ledger"],
    &["engine", "supervisor"],
    &["delivery"],
    &["cli"],
];

/// No file of `src/` is longer, in lines.
const LONGEST: usize = 500;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    assert!(found.len() > 30, "src/ was not found whole");
    found.into_iter().map(|path| (path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(&path).unwrap())).collect()
}

fn floor(folder: &str) -> usize {
    FLOORS.iter().position(|floor| floor.contains(&folder)).unwrap_or_else(|| panic!("the folder `{folder}` is on no floor"))
}

#[test]
fn imports_lead_down() {
    let mut seen = 0;
    for (path, text) in sources() {
        let Some(own) = path.parent().and_then(|folder| folder.iter().next()).and_then(|folder| folder.to_str()) else { continue };
        // Tests of a module may look at anything.
        let code = text.split("#[cfg(test)]").next().unwrap();
        if path.ends_with("tests.rs") {
            continue;
        }
        for target in code.split("crate::").skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_lowercase()).next().unwrap()) {
            seen += 1;
            let allowed = target == own || floor(target) < floor(own);
            assert!(allowed, "{} imports `{target}`, which is not below `{own}`", path.display());
        }
    }
    assert!(seen > 100, "the imports were not found");
}

/// The file that a path of modules leads to, as far as files go: `a::b::Type` to `a/b.rs` or `a/b/mod.rs`.
fn file_of(modules: &[&str], all: &[PathBuf]) -> Option<PathBuf> {
    (1..=modules.len()).rev().find_map(|length| {
        let path = modules[..length].iter().collect::<PathBuf>();
        [path.with_extension("rs"), path.join("mod.rs")].into_iter().find(|file| all.contains(file))
    })
}

/// The files that a file takes something from, by `use` or where it is needed.
fn imports(path: &Path, text: &str, all: &[PathBuf]) -> Vec<PathBuf> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let folder: Vec<&str> = path.parent().unwrap().iter().map(|part| part.to_str().unwrap()).collect();
    let statements =
        code.split('\n').filter_map(|line| line.trim_start().strip_prefix("use ").or(line.trim_start().strip_prefix("pub use ")));
    let mut found = Vec::new();
    for statement in statements {
        let (base, rest) = match statement.split_once("::") {
            Some(("crate", rest)) => (Vec::new(), rest),
            Some(("super", rest)) => (folder.clone(), rest),
            _ => continue,
        };
        let (stem, last) = rest.split_once('{').unwrap_or((rest, ""));
        let last = last.split([',', '}', ';']).map(str::trim);
        for name in last {
            let whole = format!("{stem}{name}");
            let modules: Vec<&str> = base.iter().copied().chain(whole.split("::").map(|part| part.trim_matches([';', ' ']))).collect();
            found.extend(file_of(&modules, all).filter(|file| file != path));
        }
    }
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect();
    for whole in
        code.split("super::").skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && !"_:".contains(c)).next().unwrap())
    {
        let modules: Vec<&str> = folder.iter().copied().chain(whole.split("::")).collect();
        found.extend(file_of(&modules, all).filter(|file| file != path));
    }
    found
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = sources();
    let all: Vec<PathBuf> = sources.iter().map(|(path, _)| path.clone()).collect();
    // What a `mod.rs` hands on is not its own.
    let mut left: Vec<(PathBuf, Vec<PathBuf>)> = sources
        .iter()
        .filter(|(path, _)| !path.ends_with("mod.rs") && !path.ends_with("tests.rs"))
        .map(|(path, text)| (path.clone(), imports(path, text, &all)))
        .collect();
    assert!(left.iter().map(|(_, imports)| imports.len()).sum::<usize>() > 100, "the imports were not found");
    loop {
        let free = left.iter().position(|(path, _)| !left.iter().any(|(_, imports)| imports.contains(path)));
        let Some(free) = free else { break };
        left.remove(free);
    }
    let circle: Vec<String> = left.iter().map(|(path, imports)| format!("{} -> {imports:?}", path.display())).collect();
    assert!(left.is_empty(), "these files import each other in a circle:\n{}", circle.join("\n"));
}

#[test]
fn files_can_be_read_in_a_sitting() {
    for (path, text) in sources() {
        assert!(text.lines().count() <= LONGEST, "{} has more than {LONGEST} lines", path.display());
    }
}

#[test]
fn files_say_what_they_are_for() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{} does not begin with what it is for", path.display());
    }
}
