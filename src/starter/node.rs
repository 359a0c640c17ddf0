//! JavaScript and TypeScript: a package with scripts.

use serde_json::Value;

use super::folder::Folder;
use super::names::is_plain;
use super::node_manager::{Manager, manager};
use super::sketch::{Part, Sketch, words};
use crate::base::text::shell_quote;

/// The scripts that become stages: the stage, the names it may have in `package.json`, and what it shows.
const SCRIPTS: &[(&str, &[&str], &str)] = &[
    ("format", &["format:check", "check:format", "format-check", "prettier:check"], "the code is formatted"),
    ("lint", &["lint"], "the linter has nothing to say"),
    ("typecheck", &["typecheck", "type-check", "check-types", "types:check"], "the types fit"),
    ("test", &["test"], "the tests pass"),
    ("build", &["build"], "what users get"),
];

/// Scripts that installing runs too.
const HOOKS: &[&str] = &["preinstall", "install", "postinstall", "prepare"];

/// Returns what `package.json` says; `None` where there is none.
pub(super) fn look(folder: &Folder<'_>) -> Option<Part> {
    let text = folder.read("package.json")?;
    let part = Part { file: "package.json".to_owned(), word: "node", dir: folder.dir.to_owned(), ..Part::default() };
    let package: Value = match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(package) => package,
        Err(error) => return Some(Part { notes: vec![format!("it is no valid JSON ({error}), so it was left out")], ..part }),
    };
    let name = package.get("name").and_then(Value::as_str).map(str::to_owned);
    let manager = manager(folder, &package);
    let install = install(folder, &package, &manager);
    let mut stages: Vec<Sketch> =
        SCRIPTS.iter().filter_map(|script| stage(folder, &package, &manager, script, install.is_some())).collect();
    let earlier: Vec<String> = stages.iter().map(|stage| stage.name.clone()).filter(|name| name != "build").collect();
    for build in stages.iter_mut().filter(|stage| stage.name == "build") {
        build.after.clone_from(&earlier);
    }
    let what = match &name {
        Some(name) => format!("the {} package `{name}`", manager.program),
        None => format!("a package of {}", manager.program),
    };
    let mut notes = Vec::new();
    if stages.is_empty() {
        notes.push("it has none of the scripts lint, typecheck, test and build, so there is nothing to run".to_owned());
    } else if let Some(install) = install {
        if install.is_uncached && !folder.ignores("node_modules") {
            notes.push("git does not ignore `node_modules`: put it into .gitignore, or all of it counts as inputs".to_owned());
        }
        if !install.outputs.is_empty() && folder.has_any("node_modules") {
            notes.push("the `node_modules` that is there was not made by shipway: the first run moves it to .shipway/aside/".to_owned());
        }
        stages.insert(0, install);
    }
    Some(Part { what, name, stages, notes, ..part })
}

/// Tells whether `package.json` names a workspace, whose members need no stages of their own.
pub(super) fn is_workspace(folder: &Folder<'_>) -> bool {
    folder.read("pnpm-workspace.yaml").is_some_and(|text| text.lines().any(|line| line.starts_with("packages:")))
        || folder
            .read("package.json")
            .and_then(|text| serde_json::from_str::<Value>(&text).ok())
            .is_some_and(|package| package.get("workspaces").is_some())
}

fn script<'p>(package: &'p Value, name: &str) -> Option<&'p str> {
    package.get("scripts")?.get(name)?.as_str().filter(|line| !line.trim().is_empty())
}

fn tools(manager: &Manager) -> Vec<String> {
    if manager.program == "bun" {
        words(&["bun --version"])
    } else {
        vec!["node --version".to_owned(), format!("{} --version", manager.program)]
    }
}

/// Returns the stage that gets the packages, where there are any.
fn install(folder: &Folder<'_>, package: &Value, manager: &Manager) -> Option<Sketch> {
    let is_workspace = is_workspace(folder);
    let has_packages = |key: &str| package.get(key).and_then(Value::as_object).is_some_and(|packages| !packages.is_empty());
    if !is_workspace && !["dependencies", "devDependencies", "optionalDependencies"].into_iter().any(has_packages) {
        return None;
    }
    let mut inputs = words(&["package.json"]);
    inputs.extend(manager.lock.map(str::to_owned));
    inputs.extend(folder.those(&[
        ".npmrc",
        ".yarnrc",
        ".yarnrc.yml",
        ".pnpmfile.cjs",
        "pnpm-workspace.yaml",
        "bunfig.toml",
        ".node-version",
        ".nvmrc",
    ]));
    inputs.extend(
        ["patches", ".yarn/releases", ".yarn/patches"].iter().filter(|name| folder.has_folder(name)).map(|name| format!("{name}/**")),
    );
    let hooks: Vec<&str> = HOOKS.iter().copied().filter(|hook| script(package, hook).is_some_and(|line| !is_harmless(line))).collect();
    let mut comment = Vec::new();
    // A member's packages may lie beside it, and which do only the manager knows.
    let is_scattered = is_workspace || !manager.has_folder;
    if is_scattered {
        comment.push("Always run: its packages lie in several places. What waits for it is reused all the same.".to_owned());
    } else if !hooks.is_empty() {
        comment.push(format!("Always run: it also starts the script {}, which may read and make anything.", hooks.join(", ")));
    }
    let is_uncached = is_scattered || !hooks.is_empty();
    Some(Sketch {
        name: "install".to_owned(),
        description: "the packages".to_owned(),
        comment,
        tools: tools(manager),
        steps: vec![manager.install.to_owned()],
        inputs: if is_uncached { None } else { Some(inputs) },
        outputs: if is_uncached { Vec::new() } else { words(&["node_modules"]) },
        is_uncached,
        ..Sketch::default()
    })
}

/// Tells whether a script only sets up git's hooks or patches packages.
fn is_harmless(line: &str) -> bool {
    let known =
        ["husky", "npx husky", "simple-git-hooks", "npx simple-git-hooks", "lefthook install", "npx lefthook install", "patch-package"];
    line.split("&&").all(|part| known.iter().any(|known| part.trim() == *known || part.trim() == format!("{known} install")))
}

/// Returns the stage that runs a script, where `package.json` has it.
fn stage(
    folder: &Folder<'_>,
    package: &Value,
    manager: &Manager,
    (stage, scripts, description): &(&str, &[&str], &str),
    is_installed: bool,
) -> Option<Sketch> {
    let (name, line) = scripts.iter().find_map(|name| Some((*name, script(package, name)?)))?;
    // What `npm init` writes.
    if line.contains("no test specified") {
        return None;
    }
    let outputs = if *stage == "build" { built(folder, package) } else { Vec::new() };
    let comment = if *stage == "build" && outputs.is_empty() {
        words(&["`outputs`, the files or folders that it writes, would put them back without building again."])
    } else {
        Vec::new()
    };
    Some(Sketch {
        name: (*stage).to_owned(),
        description: (*description).to_owned(),
        comment,
        needs: if is_installed { words(&["install"]) } else { Vec::new() },
        tools: tools(manager),
        steps: vec![manager.run(&shell_quote(name))],
        outputs,
        // Some test programs wait for changes where nobody says that they must not.
        env: if *stage == "test" { vec![("CI".to_owned(), "true".to_owned())] } else { Vec::new() },
        ..Sketch::default()
    })
}

/// Returns the folder that users' programs load from, where git ignores it: then the build makes it.
fn built(folder: &Folder<'_>, package: &Value) -> Vec<String> {
    let entries = ["main", "module", "types", "typings", "browser", "bin", "exports"].iter().filter_map(|key| package.get(key));
    let mut paths = Vec::new();
    entries.for_each(|entry| collect(entry, &mut paths));
    let folders = paths.iter().filter_map(|path| path.trim_start_matches("./").split_once('/')).map(|(folder, _)| folder);
    let mut made: Vec<String> =
        folders.filter(|name| *name != "node_modules" && is_plain(name) && folder.ignores(name)).map(str::to_owned).collect();
    made.sort();
    made.dedup();
    made
}

fn collect<'p>(value: &'p Value, found: &mut Vec<&'p str>) {
    match value {
        Value::String(path) => found.push(path),
        Value::Object(values) => values.values().for_each(|value| collect(value, found)),
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
