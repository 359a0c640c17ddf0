//! Make: the targets that a Makefile has.

use super::folder::Folder;
use super::sketch::{Part, Sketch, words};

/// The targets that become stages, and what they show.
const TARGETS: &[(&str, &str)] =
    &[("lint", "the linter has nothing to say"), ("build", "all is built"), ("check", "the checks pass"), ("test", "the tests pass")];

/// Returns what a Makefile says; `None` where there is none.
pub(super) fn look(folder: &Folder<'_>) -> Option<Part> {
    let file = ["GNUmakefile", "makefile", "Makefile"].into_iter().find(|name| folder.has(name))?;
    let text = folder.read(file)?;
    let known = targets(&text);
    let is_known = |name: &str| known.iter().any(|target| target == name);
    let mut wanted: Vec<(&str, String, &str)> = TARGETS
        .iter()
        .filter(|(name, _)| is_known(name))
        .map(|(name, description)| (*name, format!("make {name}"), *description))
        .collect();
    // What is built by default is what there is to build.
    if !is_known("build") && (is_known("all") || wanted.is_empty()) {
        let step = if is_known("all") { "make all" } else { "make" };
        wanted.insert(0, ("build", step.to_owned(), "all is built"));
    }
    let stages: Vec<Sketch> = wanted
        .into_iter()
        .map(|(name, step, description)| Sketch {
            name: name.to_owned(),
            description: description.to_owned(),
            tools: if is_c(folder) { words(&["cc --version"]) } else { Vec::new() },
            steps: vec![step],
            // Two `make` in one folder would build the same files.
            pool: Some("make"),
            ..Sketch::default()
        })
        .collect();
    let mut notes = vec![];
    if is_c(folder) && !["*.o", "*.[oa]", "*.[ao]"].iter().any(|pattern| folder.ignores(pattern)) {
        notes.push("what `make` writes beside the sources counts as an input unless .gitignore names it (such as `*.o`)".to_owned());
    }
    let what = "a Makefile".to_owned();
    Some(Part { what, file: file.to_owned(), word: "make", dir: folder.dir.to_owned(), name: None, stages, notes })
}

fn is_c(folder: &Folder<'_>) -> bool {
    let is_source = |name: &String| [".c", ".cc", ".cpp", ".cxx"].iter().any(|ending| name.ends_with(ending));
    folder.names(".").iter().chain(&folder.names("src")).any(is_source)
}

/// Returns the names before the colon of each rule.
fn targets(text: &str) -> Vec<String> {
    let rules = text.lines().filter(|line| !line.starts_with(['\t', '#', ' ', '.']));
    let named = rules.filter_map(|line| {
        let (names, rest) = line.split_once(':')?;
        // `NAME := value` and `NAME ::= value` are no rules.
        let is_rule = !rest.starts_with('=') && !rest.starts_with(":=") && !names.contains('=');
        is_rule.then(|| names.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    });
    named.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_from_variables() {
        let text = "CC := cc\nX ::= y\nA=b:c\nall: a b\n\ttest: no\nlint check::\n\t@true\n.PHONY: phony\n# build:\n";
        assert_eq!(targets(text), ["all", "lint", "check"]);
    }
}
