//! Rust: a package or a workspace of Cargo.

use toml::Table;

use super::folder::{Folder, is_kind};
use super::names::is_plain;
use super::sketch::{Part, Sketch, words};
use crate::base::text::shell_quote;

/// Returns what `Cargo.toml` says; `None` where there is none.
pub(super) fn look(folder: &Folder<'_>) -> Option<Part> {
    let text = folder.read("Cargo.toml")?;
    let part = Part { file: "Cargo.toml".to_owned(), word: "rust", dir: folder.dir.to_owned(), ..Part::default() };
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(_) => return Some(Part { notes: vec!["it is no valid TOML, so it was left out".to_owned()], ..part }),
    };
    let package = table.get("package").and_then(toml::Value::as_table);
    let name = package.and_then(|package| package.get("name")).and_then(toml::Value::as_str).map(str::to_owned);
    let is_workspace = table.contains_key("workspace");
    if name.is_none() && !is_workspace {
        return None;
    }
    let what = match &name {
        _ if is_workspace => "a Cargo workspace".to_owned(),
        Some(name) => format!("the Cargo package `{name}`"),
        None => "a Cargo package".to_owned(),
    };
    let mut stages = vec![format(folder, is_workspace), lint(folder, is_workspace), test(folder, is_workspace)];
    if let Some(name) = name.as_deref().filter(|_| !is_workspace) {
        stages.extend(build(folder, &table, name));
    }
    Some(Part { what, name, stages, ..part })
}

/// Tells whether `Cargo.toml` names a workspace, whose members need no stages of their own.
pub(super) fn is_workspace(folder: &Folder<'_>) -> bool {
    folder.read("Cargo.toml").and_then(|text| text.parse::<Table>().ok()).is_some_and(|table| table.contains_key("workspace"))
}

/// Returns ` --locked` where the lock is part of the project.
fn locked(folder: &Folder<'_>) -> &'static str {
    if folder.has("Cargo.lock") && !folder.ignores("Cargo.lock") { " --locked" } else { "" }
}

fn holds_sources(folder: &Folder<'_>, dir: &str) -> bool {
    let is_source = |name: &String| is_kind(name, "rs");
    let names = folder.names(dir);
    names.iter().any(is_source) || names.iter().any(|name| folder.names(&format!("{dir}/{name}")).iter().any(is_source))
}

fn format(folder: &Folder<'_>, is_workspace: bool) -> Sketch {
    let sources: Vec<String> = ["src", "tests", "examples", "benches"]
        .iter()
        .filter(|name| holds_sources(folder, name))
        .map(|name| format!("{name}/**/*.rs"))
        .chain(folder.those(&["build.rs", "Cargo.toml", "rustfmt.toml", ".rustfmt.toml", "rust-toolchain.toml", "rust-toolchain"]))
        .collect();
    Sketch {
        name: "format".to_owned(),
        description: "the code is formatted".to_owned(),
        tools: words(&["cargo -vV", "rustfmt -V"]),
        steps: vec![if is_workspace { "cargo fmt --all --check" } else { "cargo fmt --check" }.to_owned()],
        // What the members of a workspace are, Cargo knows.
        inputs: (!is_workspace && holds_sources(folder, "src")).then_some(sources),
        ..Sketch::default()
    }
}

fn lint(folder: &Folder<'_>, is_workspace: bool) -> Sketch {
    let all = if is_workspace { " --workspace" } else { "" };
    let is_strict = folder.ci_says("-D warnings") || folder.ci_says("-Dwarnings");
    let strict = if is_strict { " -- -D warnings" } else { "" };
    let comment = if is_strict { "" } else { "Warnings do not fail it; with ` -- -D warnings` at its end they do." };
    Sketch {
        name: "lint".to_owned(),
        description: "clippy has nothing to say".to_owned(),
        comment: Some(comment.to_owned()).filter(|comment| !comment.is_empty()).into_iter().collect(),
        tools: words(&["cargo -vV", "rustc -vV", "cargo clippy -V"]),
        steps: vec![format!("cargo clippy{all} --all-targets{}{strict}", locked(folder))],
        pool: Some("cargo"),
        ..Sketch::default()
    }
}

fn test(folder: &Folder<'_>, is_workspace: bool) -> Sketch {
    let all = if is_workspace { " --workspace" } else { "" };
    Sketch {
        name: "test".to_owned(),
        description: "the tests pass".to_owned(),
        comment: words(&[
            "Without `inputs`, every file counts that git does not ignore. `target` is left to Cargo, which knows what in it is still good.",
        ]),
        tools: words(&["cargo -vV", "rustc -vV"]),
        steps: vec![format!("cargo test{all}{}", locked(folder))],
        pool: Some("cargo"),
        ..Sketch::default()
    }
}

/// Returns the stage that makes the program, where there is one.
fn build(folder: &Folder<'_>, table: &Table, package: &str) -> Option<Sketch> {
    let declared = table.get("bin").and_then(toml::Value::as_array);
    let mut programs: Vec<String> = declared.into_iter().flatten().filter_map(|bin| Some(bin.get("name")?.as_str()?.to_owned())).collect();
    if programs.is_empty() && folder.has("src/main.rs") {
        programs.push(package.to_owned());
    }
    programs.retain(|name| is_plain(name));
    if programs.is_empty() {
        return None;
    }
    // A target or a folder of its own, or a program that only a feature makes, leads elsewhere.
    let is_elsewhere =
        [".cargo/config.toml", ".cargo/config"].iter().filter_map(|name| folder.read(name)).any(|text| text.contains("target"));
    let has_features = declared.into_iter().flatten().any(|bin| bin.get("required-features").is_some());
    let is_known = !is_elsewhere && !has_features;
    let outputs = programs.iter().map(|name| format!("target/release/{name}")).collect();
    let smoke = shell_quote(&programs[0]).into_owned();
    Some(Sketch {
        name: "build".to_owned(),
        description: "the release binary".to_owned(),
        comment: if is_known {
            Vec::new()
        } else {
            vec![format!("outputs = [\"…/{smoke}\"] would put it back without building it again.")]
        },
        after: words(&["test"]),
        tools: words(&["cargo -vV", "rustc -vV"]),
        steps: vec![format!("cargo build --release{}", locked(folder))],
        outputs: if is_known { outputs } else { Vec::new() },
        pool: Some("cargo"),
        ..Sketch::default()
    })
}
