//! `init`: the file it writes for a project is valid, says what the project has, and runs.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;

use crate::project::{Project, said};

/// Writes the file, checks that nothing is to be said against it, and returns what `init` said.
#[track_caller]
fn init(project: &Project) -> String {
    let said = project.shipway(["init"]).exits(0);
    let check = project.shipway(["check"]).exits(0);
    assert_eq!(check.stderr, "", "{}", project.read("pipeline.toml"));
    said.stderr
}

/// The names of the stages and their steps: `test: cargo test; …`.
#[track_caller]
fn stages(project: &Project) -> Vec<String> {
    let list: Value = serde_json::from_str(&project.shipway(["list", "--format", "json"]).exits(0).stdout).unwrap();
    let stages = list["stages"].as_array().unwrap().iter().map(|stage| {
        let steps: Vec<&str> = stage["steps"].as_array().unwrap().iter().map(|step| step["command"].as_str().unwrap()).collect();
        format!("{}: {}", stage["name"].as_str().unwrap(), steps.join("; "))
    });
    stages.collect()
}

/// Runs it twice where the program is on this machine: it passes, and the second time nothing runs.
#[track_caller]
fn runs(project: &Project, program: &str) {
    if !Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success())
        && !Command::new(program).arg("version").output().is_ok_and(|done| done.status.success())
    {
        return;
    }
    let mut first = project.command(["run"]);
    first.env("CARGO_NET_OFFLINE", "true");
    said(first).exits(0);
    let again = project.brief(&[]);
    assert!(!again.contains("passed") && again.contains("cached"), "{again}\n{}", project.read("pipeline.toml"));
}

const MAIN: &str = "fn main() {\n    println!(\"hello\");\n}\n\n#[test]\nfn one() {\n    assert_eq!(1, 1);\n}\n";

#[test]
fn a_cargo_package() {
    let project = Project::empty();
    project.write("Cargo.toml", "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2021\"\n").write("src/main.rs", MAIN);
    project.write("Cargo.lock", "version = 3\n\n[[package]]\nname = \"hello\"\nversion = \"0.1.0\"\n").write(".gitignore", "/target\n");
    let text = init(&project);
    assert!(text.contains("the Cargo package `hello`") && text.contains("shipway run"), "{text}");
    let expected = [
        "format: cargo fmt --check",
        "lint: cargo clippy --all-targets --locked",
        "test: cargo test --locked",
        "build: cargo build --release --locked",
    ];
    assert_eq!(stages(&project), expected);
    assert!(project.read("pipeline.toml").contains("name = \"hello\"\n"));
    runs(&project, "cargo");
}

#[test]
fn a_cargo_workspace_has_its_members_within() {
    let project = Project::empty();
    project.write("Cargo.toml", "[workspace]\nmembers = [\"one\"]\n").write("one/src/lib.rs", "");
    project.write("one/Cargo.toml", "[package]\nname = \"one\"\nversion = \"0.1.0\"\n");
    project.write(".github/workflows/ci.yml", "run: cargo clippy -- -D warnings\n");
    init(&project);
    let expected =
        ["format: cargo fmt --all --check", "lint: cargo clippy --workspace --all-targets -- -D warnings", "test: cargo test --workspace"];
    assert_eq!(stages(&project), expected);
}

#[test]
fn an_npm_package_has_stages_for_the_scripts_it_has() {
    let project = Project::empty();
    let scripts = r#"{ "lint": "node --check index.js", "test": "node test.js", "build": "node build.js", "start": "node index.js", "type-check": "node -e 0" }"#;
    project.write(
        "package.json",
        format!(r#"{{ "name": "@scope/pkg", "main": "./dist/index.js", "scripts": {scripts}, "dependencies": {{ "dep": "file:dep" }} }}"#),
    );
    project
        .write("dep/package.json", r#"{ "name": "dep", "version": "1.0.0", "main": "dep.js" }"#)
        .write("dep/dep.js", "module.exports = 7\n");
    project.write("index.js", "").write("test.js", "if (require('dep') !== 7 || process.env.CI !== 'true') process.exit(1)\n");
    project
        .write("build.js", "const fs = require('fs'); fs.mkdirSync('dist', { recursive: true }); fs.writeFileSync('dist/index.js', '')\n");
    project.write(".gitignore", "node_modules\ndist/\n");
    init(&project);
    let expected = [
        "install: npm install --no-audit --no-fund --no-package-lock",
        "lint: npm run lint",
        "typecheck: npm run type-check",
        "test: npm test",
        "build: npm run build",
    ];
    // `dep` is a package of its own, without scripts.
    assert_eq!(stages(&project), expected);
    let text = project.read("pipeline.toml");
    assert!(
        text.contains("name = \"pkg\"\n") && text.contains("outputs = [\"dist\"]") && text.contains("outputs = [\"node_modules\"]"),
        "{text}"
    );
    runs(&project, "npm");
}

#[test]
fn the_lock_file_says_which_package_manager_it_is() {
    let cases = [
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile", "pnpm run lint"),
        ("yarn.lock", "yarn install --frozen-lockfile", "yarn run lint"),
        ("package-lock.json", "npm ci --no-audit --no-fund", "npm run lint"),
        ("bun.lock", "bun install --frozen-lockfile", "bun run lint"),
    ];
    for (lock, install, lint) in cases {
        let project = Project::empty();
        project.write("package.json", r#"{ "scripts": { "lint": "x" }, "devDependencies": { "x": "1" } }"#).write(lock, "");
        project.shipway(["init"]).exits(0);
        assert_eq!(stages(&project), [format!("install: {install}"), format!("lint: {lint}")], "{lock}");
        assert!(project.read("pipeline.toml").contains(&format!("inputs = [\"package.json\", \"{lock}\"]")), "{lock}");
    }
}

#[test]
fn a_python_project_without_packages_needs_no_environment() {
    let project = Project::empty();
    project.write("pyproject.toml", "[project]\nname = \"tally\"\nversion = \"1\"\n");
    let test = "import unittest\n\n\nclass Test(unittest.TestCase):\n    def test_one(self):\n        self.assertEqual(1, 1)\n";
    project.write("tests/test_one.py", test);
    init(&project);
    assert_eq!(stages(&project), ["test: python3 -m unittest discover -s tests"]);
    runs(&project, "python3");
}

#[test]
fn a_python_project_has_stages_for_the_tools_it_names() {
    let project = Project::empty();
    let groups = "[dependency-groups]\ntests = [\"pytest>=7\", \"freezegun\"]\n[tool.ruff.format]\n[tool.mypy]\nfiles = [\"src\"]\n";
    let text = format!("[build-system]\nrequires = []\n[project]\nname = \"tool\"\n{groups}");
    project.write("pyproject.toml", &text).write("tests/unit/test_one.py", "").write("src/tool/__init__.py", "");
    init(&project);
    let expected = [
        "install: python3 -m venv .venv; .venv/bin/python -m pip install --quiet --disable-pip-version-check -e . freezegun mypy 'pytest>=7' ruff",
        "lint: .venv/bin/ruff check --no-fix --no-cache; .venv/bin/ruff format --check --no-cache",
        "types: .venv/bin/mypy --cache-dir=/dev/null",
        "test: .venv/bin/python -m pytest -p no:cacheprovider",
    ];
    assert_eq!(stages(&project), expected);
    // Where git ignores the caches of the tools, they are no inputs.
    project.remove("pipeline.toml").write(".gitignore", ".venv/\n.mypy_cache/\n.ruff_cache\n/.pytest_cache\n");
    init(&project);
    assert_eq!(stages(&project)[2..], ["types: .venv/bin/mypy", "test: .venv/bin/python -m pytest"]);
    project.remove("pipeline.toml").write("uv.lock", "");
    project.shipway(["init"]).exits(0);
    assert_eq!(stages(&project)[0], "install: uv sync --locked --group tests");
    project.remove("pipeline.toml").remove("uv.lock").write("poetry.lock", "");
    project.shipway(["init"]).exits(0);
    assert_eq!(stages(&project)[0], "install: poetry install --no-interaction --with tests");
}

#[test]
fn what_setuptools_leaves_among_the_sources_is_told() {
    let project = Project::empty();
    let says = |project: &Project| project.shipway(["init"]).exits(0).stderr.contains("`*.egg-info`");
    project.write("setup.py", "setup()\n").write("test_x.py", "import pytest\n");
    assert!(says(&project));
    project.remove("pipeline.toml").write(".gitignore", ".venv/\n*.egg-info/\n");
    assert!(!says(&project));
    let backend = "[build-system]\nrequires = []\nbuild-backend = \"hatchling.build\"\n[project]\nname = \"x\"\n";
    project.remove("pipeline.toml").remove(".gitignore").remove("setup.py").write("pyproject.toml", backend);
    assert!(!says(&project));
}

#[test]
fn what_makes_more_than_its_folder_is_never_taken_from_the_store() {
    let project = Project::empty();
    let package =
        |prepare: &str| format!(r#"{{ "scripts": {{ "test": "x", "prepare": "{prepare}" }}, "devDependencies": {{ "x": "1" }} }}"#);
    project.write("package.json", package("tsc")).write(".gitignore", "node_modules\n");
    init(&project);
    assert!(project.read("pipeline.toml").contains("cache = false"));
    project.remove("pipeline.toml").write("package.json", package("husky install"));
    init(&project);
    assert!(!project.read("pipeline.toml").contains("cache = false"));
    let native = Project::empty();
    native.write("setup.py", "setup(ext_modules=[Extension('x', ['x.c'])])\n").write("test_x.py", "import pytest\n");
    init(&native);
    assert!(native.read("pipeline.toml").contains("cache = false"));
}

#[test]
fn a_go_module_with_programs() {
    let project = Project::empty();
    project
        .write("go.mod", "module example.org/shop/v2 // the shop\n\ngo 1.18\n")
        .write("cmd/buy/main.go", "package main\n\nfunc main() {}\n");
    project.write("shop.go", "package shop\n\nfunc One() int { return 1 }\n").write(".gitignore", "bin/\n");
    project.write(
        "shop_test.go",
        "package shop\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) {\n\tif One() != 1 {\n\t\tt.Fail()\n\t}\n}\n",
    );
    init(&project);
    let expected = ["vet: go vet ./...", "test: go test ./...", "build: go build -trimpath -buildvcs=false -o bin/buy ./cmd/buy"];
    assert_eq!(stages(&project), expected);
    assert!(project.read("pipeline.toml").contains("name = \"shop\"\n"));
    runs(&project, "go");
}

#[test]
fn a_makefile_has_stages_for_the_targets_it_has() {
    let project = Project::empty();
    project
        .write("Makefile", "all: out\nout:\n\ttouch out\ntest: all\n\ttest -e out\nclean:\n\trm -f out\nlint = no\n")
        .write(".gitignore", "out\n");
    init(&project);
    assert_eq!(stages(&project), ["build: make all", "test: make test"]);
    assert!(project.read("pipeline.toml").contains("\nmake = 1\n"), "two in one folder would build the same files");
    runs(&project, "make");
}

#[test]
fn several_parts_have_stages_that_say_whose_they_are() {
    let project = Project::empty();
    project.write("Cargo.toml", "[package]\nname = \"shop\"\nversion = \"0.1.0\"\n").write("src/lib.rs", "");
    project.write("package.json", r#"{ "scripts": { "test": "true" } }"#).write("Makefile", "test:\n\tcargo test\n");
    project.write("backend/requirements.txt", "").write("backend/test_one.py", "import unittest\n");
    project.write("web app/package.json", r#"{ "scripts": { "lint": "true" } }"#);
    project.write("examples/x/go.mod", "module x\n").write("vendor/package.json", r#"{ "scripts": { "test": "false" } }"#);
    let text = init(&project);
    let expected = [
        "rust-format: cargo fmt --check",
        "rust-lint: cargo clippy --all-targets",
        "rust-test: cargo test",
        "node-test: npm test",
        "backend-test: python3 -m unittest discover -s .",
        "web-app-lint: npm run lint",
    ];
    assert_eq!(stages(&project), expected);
    assert!(text.contains("Makefile: it was left out"), "{text}");
    let file = project.read("pipeline.toml");
    assert!(file.contains("dir = \"backend\"") && file.contains("dir = \"web app\""), "{file}");
}

#[test]
fn what_is_there_is_never_overwritten() {
    let project = Project::empty();
    project.write("pipeline.toml", "mine");
    let said = project.shipway(["init"]).exits(2);
    assert!(said.stderr.contains("`pipeline.toml` is there already") && said.stderr.contains("help: -f"), "{}", said.stderr);
    assert_eq!(project.read("pipeline.toml"), "mine");
    project.remove("pipeline.toml");
    symlink("nowhere", project.join("pipeline.toml")).unwrap();
    project.shipway(["init"]).exits(2);
    assert!(!project.exists("nowhere"));
    project.shipway(["-f", "other.toml", "init"]).exits(0);
    project.shipway(["-f", "other.toml", "check"]).exits(0);
    project.shipway(["-f", "no/such/folder.toml", "init"]).exits(2);
}

#[test]
fn what_it_says_to_do_next_is_about_the_file_that_it_wrote() {
    let project = Project::empty();
    project.write("api/Makefile", "test:\n\t@true\n");
    crate::project::git(project.path(), &["init", "-q"]);
    let said = project.shipway(["-C", "api", "-f", "all.toml", "init"]).exits(0).stderr;
    let commands: Vec<&str> = said.split('`').filter(|part| part.starts_with("shipway ")).collect();
    let call = "shipway -C api -f all.toml";
    assert_eq!(commands, [format!("{call} run"), format!("{call} hook install"), format!("{call} workflow github|gitlab")]);
    for command in commands {
        let words = command.split(' ').skip(1).map(|word| word.split('|').next().unwrap());
        project.shipway(words.collect::<Vec<_>>()).exits(0);
    }
}

#[test]
fn where_nothing_is_found_there_is_an_example_that_runs() {
    let project = Project::empty();
    let text = init(&project);
    assert!(text.contains("nothing here says what to run"), "{text}");
    assert_eq!(project.brief(&[]), "greet passed, read passed");
}

#[test]
fn what_cannot_be_read_is_left_out_and_said_so() {
    let project = Project::empty();
    project.write("package.json", "{ \"scripts\": ").write("Cargo.toml", "[package\n").write("pyproject.toml", [0xff, 0xfe]);
    project.write("Makefile", "check:\n\ttrue\n");
    let text = init(&project);
    assert_eq!(stages(&project), ["check: make check"]);
    assert!(text.contains("package.json: it is no valid JSON") && text.contains("Cargo.toml: it is no valid TOML"), "{text}");
}

#[test]
fn scripts_that_are_none_are_left_out() {
    for package in
        [r#"{ "scripts": { "test": "echo \"Error: no test specified\" && exit 1", "lint": "", "build": 3 } }"#, "[]", "{}", "null"]
    {
        let project = Project::empty();
        project.write("package.json", package);
        let text = init(&project);
        assert!(text.contains("none of the scripts") || text.contains("nothing here says"), "{package}: {text}");
        assert!(project.read("pipeline.toml").contains("example"), "{package}");
    }
}

#[test]
fn names_that_no_stage_may_have_are_made_fit() {
    let project = Project::empty();
    project.write("package.json", "{ \"name\": \"\\n\\\"日本\", \"scripts\": { \"test\": \"true\" } }");
    for dir in ["we\"ird [x] 'dir'", "a b", "a-b", "日本", "back\\slash", "line\nfeed"] {
        project.write(&format!("{dir}/go.mod"), "module example.org/x\n");
    }
    init(&project);
    let names: Vec<String> = stages(&project).iter().map(|stage| stage.split(':').next().unwrap().to_owned()).collect();
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((sorted.len(), names.len()), (19, 19), "{names:?}");
}
