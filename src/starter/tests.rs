//! Whatever a project holds, a valid pipeline comes out of it.

use std::fs;

use proptest::prelude::*;
use serde_json::json;

use super::search::search;
use super::text::pipeline;
use crate::base::source::Source;
use crate::config::load;

/// A name that a folder may have.
fn folder() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,2}", "[^/\\x00]{1,6}", r#"[-. \[\]{}'"\\\n*?!#$é]{1,6}"#]
        .prop_filter("a name", |name| name.len() < 200 && name != "." && name != "..")
}

/// A file that says what a project is, with any words in it.
fn file() -> impl Strategy<Value = (&'static str, String)> {
    let word = || prop_oneof![any::<String>(), "[a-z@/.{}*'\"-]{0,12}"];
    prop_oneof![
        (word(), word(), prop::sample::select(vec!["lint", "test", "build", "type-check"])).prop_map(|(name, line, script)| {
            let package =
                json!({ "name": name, "main": line, "scripts": { script: line, "prepare": name }, "dependencies": { name.clone(): "1" } });
            ("package.json", package.to_string())
        }),
        (word(), word()).prop_map(move |(name, bin)| {
            let json = |text: &str| serde_json::to_string(text).unwrap();
            ("Cargo.toml", format!("[package]\nname = {}\n[[bin]]\nname = {}\n", json(&name), json(&bin)))
        }),
        (word(), word()).prop_map(move |(name, requirement)| {
            let json = |text: &str| serde_json::to_string(text).unwrap();
            let groups = format!("[dependency-groups]\n{} = [{}, \"pytest\"]\n", json(&name), json(&requirement));
            ("pyproject.toml", format!("[project]\nname = {}\n{groups}[tool.ruff]\n[tool.mypy]\n", json(&name)))
        }),
        word().prop_map(|module| ("go.mod", format!("module {module}\n"))),
        word().prop_map(|target| ("Makefile", format!("{target}: x\ntest: y\n"))),
        word().prop_map(|line| ("requirements.txt", line)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_there_gives_a_valid_pipeline(own in prop::collection::vec(file(), 0..3), below in prop::collection::vec((folder(), file()), 0..4)) {
        let project = tempfile::tempdir().unwrap();
        for (dir, (name, text)) in own.into_iter().map(|file| (String::new(), file)).chain(below) {
            let folder = project.path().join(dir);
            // Two folders may have one name, or be a file of the project.
            if fs::create_dir_all(&folder).is_ok() {
                let _taken = fs::write(folder.join(name), text);
            }
        }
        let text = pipeline(&search(project.path()));
        let problems = load(&Source::new("pipeline.toml", text.clone().into_bytes())).err();
        let problems: Vec<String> = problems.into_iter().flatten().map(|problem| problem.message).collect();
        prop_assert!(problems.is_empty(), "{problems:?} in\n{text}");
    }
}
