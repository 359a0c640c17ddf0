//! What a Python project asks for: its requirements, and where they are written.

use toml::{Table, Value};

use super::folder::Folder;

/// Files of requirements, as they are mostly called.
const FILES: &[&str] = &[
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-test.txt",
    "requirements_dev.txt",
    "dev-requirements.txt",
    "test-requirements.txt",
    "requirements/dev.txt",
    "requirements/test.txt",
    "requirements/tests.txt",
];

/// The tools that have stages.
pub(super) const TOOLS: &[&str] = &["pytest", "ruff", "mypy", "flake8"];

/// A named list of requirements in `pyproject.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    /// True for an extra of the package, false for one of `[dependency-groups]`.
    pub(super) is_extra: bool,
    pub(super) requirements: Vec<String>,
}

/// Everything that is asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Needs {
    /// Files for `pip install -r`.
    pub(super) files: Vec<String>,
    /// The groups that name one of the [`TOOLS`].
    pub(super) groups: Vec<Group>,
    /// The tools that anything names.
    pub(super) tools: Vec<&'static str>,
    /// True where the package itself can be installed.
    pub(super) is_package: bool,
}

/// Returns what the project asks for.
pub(super) fn needs(folder: &Folder<'_>, project: Option<&Table>) -> Needs {
    let says_any = |text: &str| text.lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
    let files: Vec<String> = folder.those(FILES).into_iter().filter(|file| folder.read(file).is_some_and(|text| says_any(&text))).collect();
    let texts: Vec<String> = files.iter().filter_map(|file| folder.read(file)).collect();
    let groups: Vec<Group> = project.map(groups).unwrap_or_default();
    let lines =
        texts.iter().flat_map(|text| text.lines()).chain(groups.iter().flat_map(|group| group.requirements.iter().map(String::as_str)));
    let named: Vec<String> = lines.map(package).collect();
    let tools = TOOLS.iter().copied().filter(|tool| named.iter().any(|name| name == tool)).collect();
    let has_tool = |group: &Group| group.requirements.iter().any(|line| TOOLS.contains(&&*package(line)));
    let is_package = project
        .is_some_and(|project| project.contains_key("build-system") && (project.contains_key("project") || poetry(project).is_some()))
        || folder.has("setup.py");
    Needs { files, groups: groups.into_iter().filter(has_tool).collect(), tools, is_package }
}

fn poetry(project: &Table) -> Option<&Table> {
    project.get("tool")?.get("poetry")?.as_table()
}

fn groups(project: &Table) -> Vec<Group> {
    let lists = |table: Option<&Value>, is_extra: bool| {
        let read = |(name, list): (&String, &Value)| {
            let requirements = list.as_array()?.iter().filter_map(|line| line.as_str().map(str::to_owned)).collect();
            Some(Group { name: name.clone(), is_extra, requirements })
        };
        table.and_then(Value::as_table).into_iter().flatten().filter_map(read).collect::<Vec<_>>()
    };
    let extras = project.get("project").and_then(|project| project.get("optional-dependencies"));
    let mut groups = lists(project.get("dependency-groups"), false);
    groups.extend(lists(extras, true));
    // Poetry names packages as keys.
    let names = |table: Option<&Value>| table.and_then(Value::as_table).into_iter().flat_map(Table::keys).cloned().collect::<Vec<_>>();
    if let Some(poetry) = poetry(project) {
        let own = poetry.get("group").and_then(Value::as_table).into_iter().flatten();
        groups.extend(own.map(|(name, group)| Group {
            name: name.clone(),
            is_extra: false,
            requirements: names(group.get("dependencies")),
        }));
        groups.push(Group { name: "dev".to_owned(), is_extra: false, requirements: names(poetry.get("dev-dependencies")) });
    }
    groups
}

/// Returns the package that a requirement names, in lower case: `Pytest[x]>=7 ; …` is `pytest`.
fn package(line: &str) -> String {
    line.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_found_wherever_they_are_written() {
        let text = "[project]\nname = \"x\"\n[project.optional-dependencies]\ntest = [\"Pytest[x]>=7; python_version<'4'\"]\ndocs = [\"sphinx\"]\n\
                    [dependency-groups]\ndev = [\"ruff\", { include-group = \"other\" }]\n[tool.poetry.group.types.dependencies]\nmypy = \"*\"\n";
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("requirements-dev.txt"), "# tools\nflake8==7\n").unwrap();
        let needs = needs(&Folder { root: folder.path(), dir: "" }, Some(&text.parse().unwrap()));
        assert_eq!(needs.tools, ["pytest", "ruff", "mypy", "flake8"]);
        assert_eq!(needs.files, ["requirements-dev.txt"]);
        let names: Vec<(&str, bool)> = needs.groups.iter().map(|group| (group.name.as_str(), group.is_extra)).collect();
        assert_eq!(names, [("dev", false), ("test", true), ("types", false)]);
        assert!(!needs.is_package);
    }
}
