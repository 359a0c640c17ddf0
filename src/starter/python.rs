//! Python: packages in an environment of the project's own, tests, and the checkers that are configured.

use toml::Table;

use super::folder::Folder;
use super::python_needs::{Group, Needs, TOOLS, needs};
use super::sketch::{Part, Sketch, words};
use crate::base::text::shell_quote;

/// The folder of the environment.
const VENV: &str = ".venv";

/// How packages get into the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Uv,
    Poetry,
    Pip,
}

/// Returns what the files of a Python project say; `None` where there are none.
pub(super) fn look(folder: &Folder<'_>) -> Option<Part> {
    let files = ["pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "tox.ini"];
    let file = folder.those(&files).into_iter().next()?;
    let part = Part { what: "a Python project".to_owned(), file, word: "python", dir: folder.dir.to_owned(), ..Part::default() };
    let project: Option<Table> = match folder.read("pyproject.toml").map(|text| text.parse()) {
        Some(Err(_)) => return Some(Part { notes: vec!["it is no valid TOML, so it was left out".to_owned()], ..part }),
        Some(Ok(table)) => Some(table),
        None => None,
    };
    let project = project.as_ref();
    let name = ["project", "tool.poetry"].iter().find_map(|path| Some(at(project, path)?.get("name")?.as_str()?.to_owned()));
    let needs = needs(folder, project);
    let manager = match () {
        () if folder.has("uv.lock") => Manager::Uv,
        () if folder.has("poetry.lock") => Manager::Poetry,
        () => Manager::Pip,
    };
    let mut checks: Vec<Sketch> = [lint(folder, project, &needs), types(folder, project, &needs)].into_iter().flatten().collect();
    let test = test(folder, project, &needs);
    let mut notes = Vec::new();
    if test.is_none() {
        notes.push("no tests were found".to_owned());
    }
    checks.extend(test);
    let uses_venv = checks.iter().any(|stage| stage.steps.iter().any(|step| step.starts_with(VENV)));
    if uses_venv {
        let mut install = install(folder, &needs, manager, &checks);
        if needs.is_package && is_native(folder, project) {
            install.comment.push("Always run: it builds native code beside the sources, which is no part of the folder.".to_owned());
            (install.inputs, install.is_uncached) = (None, true);
        }
        checks.iter_mut().for_each(|stage| stage.needs = words(&["install"]));
        checks.insert(0, install);
        if needs.is_package && manager == Manager::Pip && is_of_setuptools(project) && !folder.ignores("*.egg-info") {
            notes.push("setuptools writes a `*.egg-info` beside the sources: put it into .gitignore, or it counts as an input".to_owned());
        }
        if folder.has_any(VENV) {
            notes.push(format!("the `{VENV}` that is there was not made by shipway: the first run moves it to .shipway/aside/"));
        }
    }
    let what = name.as_ref().map_or(part.what.clone(), |name| format!("the Python project `{name}`"));
    Some(Part { what, name, stages: checks, notes, ..part })
}

fn at<'p>(project: Option<&'p Table>, path: &str) -> Option<&'p Table> {
    path.split('.').try_fold(project?, |table, key| table.get(key)?.as_table())
}

/// Tells whether a tool is configured in `pyproject.toml`, in a file of its own, or in a section of a shared one.
fn is_configured(folder: &Folder<'_>, project: Option<&Table>, tool: &str, files: &[&str]) -> bool {
    let sections = [format!("[{tool}]"), format!("[tool:{tool}]")];
    let has_section = |name: &&str| folder.read(name).is_some_and(|text| sections.iter().any(|section| text.contains(section.as_str())));
    at(project, "tool").is_some_and(|tools| tools.contains_key(tool))
        || files.iter().any(|file| folder.has(file))
        || ["setup.cfg", "tox.ini"].iter().any(has_section)
}

/// Tells whether setuptools builds the package, as it does where nothing is said.
fn is_of_setuptools(project: Option<&Table>) -> bool {
    at(project, "build-system").and_then(|system| system.get("build-backend")?.as_str()).is_none_or(|name| name.starts_with("setuptools"))
}

/// Tells whether installing the package builds more than Python.
fn is_native(folder: &Folder<'_>, project: Option<&Table>) -> bool {
    let builders = ["maturin", "scikit", "mesonpy", "meson-python", "cython", "setuptools-rust", "pybind11", "nanobind", "cffi"];
    let system = at(project, "build-system").map(|system| format!("{system:?}").to_lowercase()).unwrap_or_default();
    let setup = folder.read("setup.py").unwrap_or_default();
    setup.contains("ext_modules") || setup.contains("Extension(") || builders.iter().any(|builder| system.contains(builder))
}

fn stage(name: &str, description: &str, steps: Vec<String>) -> Sketch {
    let env = vec![("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned())];
    Sketch { name: name.to_owned(), description: description.to_owned(), tools: words(&["python3 -VV"]), steps, env, ..Sketch::default() }
}

/// Returns the words that keep a tool from writing its cache, where git does not ignore that: files that appear among the inputs of other
/// stages keep their results from being stored, and what passed is not run again anyway.
fn unless_ignored(folder: &Folder<'_>, cache: &str, words: &'static str) -> &'static str {
    if folder.ignores(cache) { "" } else { words }
}

fn lint(folder: &Folder<'_>, project: Option<&Table>, needs: &Needs) -> Option<Sketch> {
    let mut steps = Vec::new();
    if needs.tools.contains(&"ruff") || is_configured(folder, project, "ruff", &["ruff.toml", ".ruff.toml"]) {
        // What mends the sources would change what was tested.
        let cache = unless_ignored(folder, ".ruff_cache", " --no-cache");
        steps.push(format!("{VENV}/bin/ruff check --no-fix{cache}"));
        let formats = at(project, "tool.ruff.format").is_some()
            || folder.read(".pre-commit-config.yaml").is_some_and(|text| text.contains("id: ruff-format"))
            || folder.ci_says("ruff format");
        if formats {
            steps.push(format!("{VENV}/bin/ruff format --check{cache}"));
        }
    } else if needs.tools.contains(&"flake8") || is_configured(folder, project, "flake8", &[".flake8"]) {
        steps.push(format!("{VENV}/bin/flake8 --extend-exclude {VENV}"));
    }
    (!steps.is_empty()).then(|| stage("lint", "the linter has nothing to say", steps))
}

fn types(folder: &Folder<'_>, project: Option<&Table>, needs: &Needs) -> Option<Sketch> {
    let is_configured = is_configured(folder, project, "mypy", &["mypy.ini", ".mypy.ini"]);
    if !is_configured && !needs.tools.contains(&"mypy") {
        return None;
    }
    let has_files = at(project, "tool.mypy").is_some_and(|mypy| ["files", "packages", "modules"].iter().any(|key| mypy.contains_key(*key)))
        || ["mypy.ini", ".mypy.ini", "setup.cfg"].iter().filter_map(|name| folder.read(name)).any(|text| text.contains("files ="));
    let what = if has_files { String::new() } else { format!(" {}", sources(folder)) };
    Some(stage(
        "types",
        "the types fit",
        vec![format!("{VENV}/bin/mypy{}{what}", unless_ignored(folder, ".mypy_cache", " --cache-dir=/dev/null"))],
    ))
}

/// Returns where the sources are: `src`, else the folder that is a package, else all but the environment.
fn sources(folder: &Folder<'_>) -> String {
    if folder.has_folder("src") {
        return "src".to_owned();
    }
    let is_package = |name: &String| !matches!(name.as_str(), "tests" | "test" | "docs") && folder.has(&format!("{name}/__init__.py"));
    folder.names(".").into_iter().find(is_package).map_or_else(|| format!(". --exclude {VENV}"), |name| shell_quote(&name).into_owned())
}

fn test(folder: &Folder<'_>, project: Option<&Table>, needs: &Needs) -> Option<Sketch> {
    let is_pytest =
        needs.tools.contains(&"pytest") || is_configured(folder, project, "pytest", &["pytest.ini", "conftest.py", "tests/conftest.py"]);
    let first = ["tests", "test", "."].into_iter().find(|dir| holds_tests(folder, dir))?;
    let files = folder.names(first).into_iter().filter(|name| is_test(name)).filter_map(|name| folder.read(&format!("{first}/{name}")));
    let uses_pytest = || files.into_iter().any(|text| text.contains("import pytest"));
    let step = if is_pytest || uses_pytest() {
        format!("{VENV}/bin/python -m pytest{}", unless_ignored(folder, ".pytest_cache", " -p no:cacheprovider"))
    } else if needs.is_package || !needs.files.is_empty() {
        format!("{VENV}/bin/python -m unittest discover -s {first}")
    } else {
        format!("python3 -m unittest discover -s {first}")
    };
    Some(stage("test", "the tests pass", vec![step]))
}

/// Tells whether there are tests in a folder, or in a folder of it.
fn holds_tests(folder: &Folder<'_>, dir: &str) -> bool {
    let names = folder.names(dir);
    let is_below = |name: &String| folder.names(&format!("{dir}/{name}")).iter().any(|name| is_test(name));
    names.iter().any(|name| is_test(name)) || (dir != "." && names.iter().any(is_below))
}

fn is_test(name: &str) -> bool {
    let is_python = name.strip_suffix(".py");
    is_python.is_some_and(|stem| stem.starts_with("test_") || stem.ends_with("_test") || stem == "tests")
}

/// Returns the stage that makes the environment, with what `checks` start.
fn install(folder: &Folder<'_>, needs: &Needs, manager: Manager, checks: &[Sketch]) -> Sketch {
    let mut inputs =
        folder.those(&["pyproject.toml", "setup.py", "setup.cfg", "uv.lock", "poetry.lock", ".python-version", "README.md", "README.rst"]);
    let started = |tool: &&str| {
        checks.iter().flat_map(|stage| &stage.steps).any(|step| step.contains(&format!("/{tool}")) || step.contains(&format!("-m {tool}")))
    };
    let mut missing: Vec<&str> = TOOLS.iter().copied().filter(started).filter(|tool| !needs.tools.contains(tool)).collect();
    let (steps, tools, env) = match manager {
        Manager::Uv => {
            let flag = |group: &Group| format!(" --{} {}", if group.is_extra { "extra" } else { "group" }, shell_quote(&group.name));
            let groups = needs.groups.iter().map(flag).collect::<Vec<_>>().concat();
            (vec![format!("uv sync --locked{groups}")], words(&["python3 -VV", "uv --version"]), Vec::new())
        }
        Manager::Poetry => {
            let groups: Vec<&str> =
                needs.groups.iter().filter(|group| !group.is_extra && group.name != "dev").map(|group| group.name.as_str()).collect();
            let with = if groups.is_empty() { String::new() } else { format!(" --with {}", shell_quote(&groups.join(","))) };
            let env = vec![("POETRY_VIRTUALENVS_IN_PROJECT".to_owned(), "true".to_owned())];
            (vec![format!("poetry install --no-interaction{with}")], words(&["python3 -VV", "poetry --version"]), env)
        }
        Manager::Pip => {
            inputs.extend(needs.files.iter().cloned());
            let steps = vec![format!("python3 -m venv {VENV}"), pip(needs, &missing)];
            missing.clear();
            (steps, words(&["python3 -VV"]), Vec::new())
        }
    };
    let mut comment = words(&["Its scripts name this folder, so that it is put back only here; another checkout makes its own."]);
    if !missing.is_empty() {
        comment.push(format!("No requirement names {}, which a stage below starts: add it where the others are.", missing.join(" and ")));
    }
    Sketch {
        comment,
        inputs: Some(inputs),
        outputs: words(&[VENV]),
        tools,
        env,
        ..stage("install", "the packages, in an environment of their own", steps)
    }
}

/// Returns the line that gets all that is asked for, the package itself as a link to its sources.
fn pip(needs: &Needs, missing: &[&str]) -> String {
    let mut line = format!("{VENV}/bin/python -m pip install --quiet --disable-pip-version-check");
    needs.files.iter().for_each(|file| line += &format!(" -r {file}"));
    if needs.is_package {
        let extras: Vec<&str> = needs.groups.iter().filter(|group| group.is_extra).map(|group| group.name.as_str()).collect();
        line += &format!(" -e {}", shell_quote(&if extras.is_empty() { ".".to_owned() } else { format!(".[{}]", extras.join(",")) }));
    }
    // What is no package has no extras to ask for.
    let listed =
        needs.groups.iter().filter(|group| !group.is_extra || !needs.is_package).flat_map(|group| &group.requirements).map(String::as_str);
    let mut named: Vec<&str> = listed.chain(missing.iter().copied()).collect();
    named.sort_unstable();
    named.dedup();
    named.iter().for_each(|requirement| line += &format!(" {}", shell_quote(requirement)));
    line
}
