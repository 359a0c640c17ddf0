//! The parts of a project: in its own folder and in the folders right below it.

use std::collections::BTreeSet;
use std::path::Path;

use super::folder::Folder;
use super::names::valid;
use super::sketch::{Part, Sketch};
use super::{cargo, go, make, node, python};

/// Folders whose projects are not the project's own work, or are part of what is found above.
const LEFT_OUT: &[&str] = &[
    "bench",
    "benches",
    "benchmark",
    "benchmarks",
    "bin",
    "build",
    "coverage",
    "dist",
    "doc",
    "docs",
    "example",
    "examples",
    "fixtures",
    "fuzz",
    "node_modules",
    "out",
    "target",
    "test",
    "test-data",
    "testdata",
    "tests",
    "third_party",
    "third-party",
    "venv",
    "vendor",
];

/// At most this many parts become stages.
const MOST: usize = 12;

/// A project.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name, as a pipeline's name.
    pub name: String,
    /// Its parts, those of its own folder first; a part without stages has notes.
    pub parts: Vec<Part>,
}

/// Looks at the project at `root`. The names of all stages are valid and differ.
pub fn search(root: &Path) -> Found {
    let top = Folder { root, dir: "" };
    let mut parts = parts(&top);
    let (is_cargo, is_node) = (cargo::is_workspace(&top), node::is_workspace(&top));
    for dir in top.names(".").iter().filter(|name| !name.starts_with('.') && !LEFT_OUT.contains(&name.as_str())) {
        let folder = Folder { root, dir };
        if !folder.has_folder(".") || top.ignores(dir) {
            continue;
        }
        let is_member = |part: &Part| (is_cargo && part.word == "rust") || (is_node && part.word == "node");
        // A Makefile below another one is called by it.
        let is_called = |part: &Part| part.word == "make" && !parts.is_empty();
        let below: Vec<Part> = self::parts(&folder).into_iter().filter(|part| !is_member(part) && !is_called(part)).collect();
        parts.extend(below);
    }
    parts.truncate(MOST);
    let own = parts.iter().filter(|part| part.dir.is_empty()).find_map(|part| part.name.as_deref());
    let own = own.map(|name| name.rsplit('/').next().unwrap_or(name));
    let folder = root.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = own.and_then(valid).or_else(|| valid(&folder?)).unwrap_or_else(|| "project".to_owned());
    tell_apart(&mut parts);
    Found { name, parts }
}

/// Returns the parts of one folder. Beside another language a Makefile mostly calls that one's tools, and has no stages.
fn parts(folder: &Folder<'_>) -> Vec<Part> {
    let mut parts: Vec<Part> =
        [cargo::look(folder), node::look(folder), python::look(folder), go::look(folder)].into_iter().flatten().collect();
    if let Some(mut make) = make::look(folder) {
        if parts.iter().any(|part| !part.stages.is_empty()) {
            make.stages.clear();
            make.notes = vec!["it was left out: beside another language it mostly starts the same".to_owned()];
        }
        parts.push(make);
    }
    parts
}

/// Gives the stages of several parts names that say which part they are of.
fn tell_apart(parts: &mut [Part]) {
    let live: Vec<(String, &str)> = parts.iter().filter(|part| !part.stages.is_empty()).map(|part| (part.dir.clone(), part.word)).collect();
    let mut taken = BTreeSet::new();
    for part in parts.iter_mut() {
        let shares = live.iter().filter(|(dir, _)| *dir == part.dir).count() > 1;
        let words = [valid(&part.dir), (shares || part.dir.is_empty()).then(|| part.word.to_owned())];
        let mut prefix = if live.len() > 1 { words.into_iter().flatten().map(|word| word + "-").collect() } else { String::new() };
        while part.stages.iter().any(|stage| taken.contains(&format!("{prefix}{}", stage.name))) {
            prefix += "x-";
        }
        let rename = |name: &mut String| *name = format!("{prefix}{name}");
        for Sketch { name, needs, after, .. } in &mut part.stages {
            std::iter::once(name).chain(needs).chain(after).for_each(rename);
        }
        taken.extend(part.stages.iter().map(|stage| stage.name.clone()));
    }
}
