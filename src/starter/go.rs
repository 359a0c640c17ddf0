//! Go: a module.

use super::folder::{Folder, is_kind};
use super::names::is_plain;
use super::sketch::{Part, Sketch, words};
use crate::base::text::shell_quote;

/// Returns what `go.mod` says; `None` where there is none.
pub(super) fn look(folder: &Folder<'_>) -> Option<Part> {
    let text = folder.read("go.mod")?;
    let module = text.lines().find_map(|line| line.trim().strip_prefix("module "))?.split("//").next()?.trim().trim_matches('"').to_owned();
    let name = name(&module);
    let stage = |name: &str, description: &str, step: &str| Sketch {
        name: name.to_owned(),
        description: description.to_owned(),
        tools: words(&["go version"]),
        steps: vec![step.to_owned()],
        ..Sketch::default()
    };
    let mut stages = vec![stage("vet", "go vet has nothing to say", "go vet ./..."), stage("test", "the tests pass", "go test ./...")];
    let mut build = stage("build", "all packages build", "go build ./...");
    build.after = words(&["vet", "test"]);
    let programs = programs(folder, &name);
    // A folder of that name that is there may be a source.
    if !programs.is_empty() && (!folder.has_any("bin") || folder.ignores("bin")) {
        build = Sketch { description: "the programs".to_owned(), ..build };
        build.comment =
            words(&["Neither paths of this machine nor the state of git get into the programs: the same sources give the same bytes."]);
        build.steps = programs
            .iter()
            .map(|(name, package)| {
                format!("go build -trimpath -buildvcs=false -o {} {}", shell_quote(&format!("bin/{name}")), shell_quote(package))
            })
            .collect();
        build.outputs = programs.iter().map(|(name, _)| format!("bin/{name}")).collect();
    }
    stages.push(build);
    let dir = folder.dir.to_owned();
    Some(Part {
        what: format!("the Go module `{module}`"),
        file: "go.mod".to_owned(),
        word: "go",
        dir,
        name: Some(name),
        stages,
        notes: Vec::new(),
    })
}

/// Returns the last part of a module's path that is no version.
fn name(module: &str) -> String {
    let is_version = |part: &&str| !(part.starts_with('v') && part.len() > 1 && part[1..].bytes().all(|byte| byte.is_ascii_digit()));
    module.rsplit('/').find(is_version).unwrap_or(module).to_owned()
}

/// Returns the programs of the module: at its root, and in folders of `cmd`.
fn programs(folder: &Folder<'_>, name: &str) -> Vec<(String, String)> {
    let mut programs = Vec::new();
    if is_main(folder, ".") {
        programs.push((name.to_owned(), ".".to_owned()));
    }
    let commands = folder.names("cmd").into_iter().filter(|command| is_main(folder, &format!("cmd/{command}")));
    programs.extend(commands.map(|command| (command.clone(), format!("./cmd/{command}"))));
    programs.dedup_by(|a, b| a.0 == b.0);
    programs.retain(|(name, _)| is_plain(name));
    programs
}

fn is_main(folder: &Folder<'_>, dir: &str) -> bool {
    let is_source = |name: &&String| is_kind(name, "go") && !name.ends_with("_test.go");
    let names = folder.names(dir);
    let mut texts = names.iter().filter(is_source).filter_map(|name| folder.read(&format!("{dir}/{name}")));
    texts.any(|text| text.lines().any(|line| line.trim() == "package main") && !text.contains("//go:build ignore"))
}
