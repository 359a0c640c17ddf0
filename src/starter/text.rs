//! A first pipeline as text: with a word of explanation, as a person would write it.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::search::Found;
use super::sketch::{Part, Sketch};

/// A longer list is written a line an entry, in characters.
const WIDTH: usize = 120;

const HEAD: &str = "\
# What `shipway run` does here, in a git hook and in CI. `shipway check` says whether this file is valid.
#
# A stage whose steps, tools, inputs and needed outputs are as they were when it last passed is not run again. Without
# `inputs`, all files count that git does not ignore: right, if not always fast. `inputs = [\"src/**\"]` narrows them.
";

/// What stands there where nothing was found.
const EXAMPLE: &str = "
# Nothing was found that says what to run. These two stages are an example: put your own in their place.

[stages.greet]
description = \"writes a greeting\"
steps = [\"echo Hello > build/greeting.txt\"]
inputs = []
outputs = [\"build/greeting.txt\"]

[stages.read]
description = \"reads the greeting\"
needs = [\"greet\"]
steps = [\"grep -x Hello build/greeting.txt\"]
inputs = [] # the greeting comes by `needs`
";

/// Returns the text of a `pipeline.toml`.
pub fn pipeline(found: &Found) -> String {
    let mut text = format!("{HEAD}\n[pipeline]\nname = {}\n", quote(&found.name));
    let parts: Vec<&Part> = found.parts.iter().filter(|part| !part.stages.is_empty()).collect();
    if parts.is_empty() {
        return text + EXAMPLE;
    }
    for part in &parts {
        if parts.len() > 1 {
            // Writing to a string cannot fail.
            let _infallible = write!(text, "\n# {}\n", title(part));
        }
        part.stages.iter().for_each(|stage| self::stage(&mut text, stage, &part.dir));
    }
    let pools: BTreeSet<&str> = parts.iter().flat_map(|part| &part.stages).filter_map(|stage| stage.pool).collect();
    if !pools.is_empty() {
        text += "\n[pools] # how many stages of a pool run at once: more would wait for each other, or write the same files\n";
        pools.iter().for_each(|pool| text += &format!("{pool} = 1\n"));
    }
    text
}

/// Returns what a part is, and where: `The Cargo package `x` in api`.
fn title(part: &Part) -> String {
    let mut what: String = part.what.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some(first) = what.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if part.dir.is_empty() { what } else { format!("{what} in {}", part.dir.escape_debug()) }
}

fn stage(text: &mut String, stage: &Sketch, dir: &str) {
    *text += "\n";
    stage.comment.iter().for_each(|line| *text += &format!("# {line}\n"));
    *text += &format!("[stages.{}]\ndescription = {}\n", key(&stage.name), quote(&stage.description));
    let mut field = |name: &str, value: String| *text += &format!("{name} = {value}\n");
    let mut list = |name: &str, values: &[String]| {
        if !values.is_empty() {
            field(name, array(name, values));
        }
    };
    list("needs", &stage.needs);
    list("after", &stage.after);
    list("tools", &stage.tools);
    list("steps", &stage.steps);
    list("inputs", stage.inputs.as_deref().unwrap_or_default());
    list("outputs", &stage.outputs);
    if !dir.is_empty() {
        field("dir", quote(dir));
    }
    if !stage.env.is_empty() {
        let entries: Vec<String> = stage.env.iter().map(|(name, value)| format!("{name} = {}", quote(value))).collect();
        field("env", format!("{{ {} }}", entries.join(", ")));
    }
    if stage.is_uncached {
        field("cache", "false".to_owned());
    }
    if let Some(pool) = stage.pool {
        field("pool", quote(pool));
    }
}

fn array(name: &str, values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| quote(value)).collect();
    let line = format!("[{}]", values.join(", "));
    if name.len() + 3 + line.chars().count() <= WIDTH { line } else { format!("[\n  {},\n]", values.join(",\n  ")) }
}

/// A name with a dot is a key of its own, not a path.
fn key(name: &str) -> String {
    if name.contains('.') { quote(name) } else { name.to_owned() }
}

/// Returns text as a string of TOML, with as few backslashes as can be.
fn quote(text: &str) -> String {
    let is_plain = |c: char| !c.is_control();
    if text.contains(['"', '\\']) && !text.contains('\'') && text.chars().all(is_plain) {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_plain(c) => quoted.push(c),
            c => quoted += &format!("\\u{:04X}", u32::from(c)),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_back(text in any::<String>()) {
            let table: toml::Table = format!("x = {}", quote(&text)).parse().unwrap();
            prop_assert_eq!(table["x"].as_str(), Some(text.as_str()));
        }
    }
}
