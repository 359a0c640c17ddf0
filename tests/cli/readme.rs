//! What README.md says is so: each block of commands is run in a fresh folder and prints what stands there; each file in it is valid.
//!
//! Marks in HTML comments before a block say what it is: `file: NAME` is written to the folder, `stage` is a part of a stage,
//! `add: NAME` is put at the end of a file, `valid: NAME` is a pipeline that `check` accepts, `fresh` before another mark begins a new folder, and `run` and `test` are the two commands of the first screen,
//! which `.ci/run` and a person run.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::project::Project;

/// Where the reader works.
const FOLDER: &str = "hello";

/// A block of the README, with what the comment before it says.
struct Block {
    line: usize,
    mark: String,
    language: String,
    text: String,
}

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

fn blocks(readme: &str) -> Vec<Block> {
    let (mut blocks, mut mark, mut open) = (Vec::new(), String::new(), None::<Block>);
    for (number, line) in readme.lines().enumerate() {
        match &mut open {
            Some(block) if line == "```" => {
                blocks.push(Block {
                    text: std::mem::take(&mut block.text),
                    mark: block.mark.clone(),
                    language: block.language.clone(),
                    ..*block
                });
                open = None;
            }
            Some(block) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {
                if let Some(language) = line.strip_prefix("```") {
                    let (mark, language) = (std::mem::take(&mut mark), language.to_owned());
                    open = Some(Block { line: number + 1, mark, language, text: String::new() });
                } else if let Some(comment) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
                    if !mark.is_empty() {
                        mark.push_str(", ");
                    }
                    mark.push_str(comment);
                } else if !line.is_empty() {
                    mark.clear();
                }
            }
        }
    }
    assert!(open.is_none(), "README.md has a block without an end");
    blocks
}

/// The folder of a reader who follows the README, with the program in PATH and a name for git.
struct Reader {
    project: Project,
}

impl Reader {
    fn new() -> Self {
        let project = Project::empty();
        fs::create_dir(project.join(FOLDER)).unwrap();
        Self { project }
    }

    /// Runs one command line as the reader's shell does; returns both streams as they came.
    fn types(&self, line: &str) -> String {
        let program = Path::new(env!("CARGO_BIN_EXE_shipway"));
        let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let like = self.project.command([] as [&str; 0]);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec 2>&1\n{line}")]).current_dir(self.project.join(FOLDER)).stdin(Stdio::null()).env_clear();
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("PATH", path);
        for (name, value) in [("AUTHOR_NAME", "t"), ("AUTHOR_EMAIL", "t@t"), ("COMMITTER_NAME", "t"), ("COMMITTER_EMAIL", "t@t")] {
            command.env(format!("GIT_{name}"), value);
        }
        command
            .env("XDG_CACHE_HOME", self.project.join("cache"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null");
        let done = command.output().unwrap();
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Types each command of a console block, and compares what comes with what stands below it. `…` stands for any lines.
    fn follows(&self, block: &Block) {
        let mut rest = block.text.lines().peekable();
        while let Some(line) = rest.next() {
            let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("README.md:{}: {line:?} is no command", block.line));
            let mut expected = Vec::new();
            while let Some(line) = rest.next_if(|line| !line.starts_with("$ ")) {
                expected.push(timeless(line.trim_end()));
            }
            let printed = self.types(command);
            let lines: Vec<String> = printed.lines().map(|line| timeless(line.trim_end())).collect();
            assert!(
                is_like(&lines, &expected),
                "README.md:{}: `{command}` prints\n{printed}\nand not\n{}",
                block.line,
                expected.join("\n")
            );
        }
    }
}

/// Whether `lines` are `expected`, in which a line of only `…` means any number of lines.
fn is_like(lines: &[String], expected: &[String]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((first, more)) if first.trim().ends_with('…') && first.trim().chars().count() <= 3 => {
            (0..=lines.len()).any(|skipped| is_like(&lines[skipped..], more))
        }
        Some((first, more)) => lines.first() == Some(first) && is_like(&lines[1..], more),
    }
}

/// A line with `T` for each duration and `H` for each piece of a hash or an id: they differ from run to run.
pub(crate) fn timeless(line: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let (mut text, mut word) = (String::new(), String::new());
    for c in line.chars().chain(['\n']) {
        if is_word(c) {
            word.push(c);
            continue;
        }
        let digits = word.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let is_duration = digits.parse::<f64>().is_ok() && matches!(&word[digits.len()..], "ms" | "s" | "m");
        let is_hash =
            word.len() >= 7 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) && word.bytes().any(|byte| byte.is_ascii_digit());
        text.push_str(if is_duration {
            "T"
        } else if is_hash {
            "H"
        } else {
            &word
        });
        word.clear();
        text.push(c);
    }
    text.trim_end().to_owned()
}

#[test]
fn every_block_of_the_readme_is_true() {
    let (mut reader, mut commands, mut files) = (Reader::new(), 0, 0);
    for block in blocks(&readme()) {
        let mark = block.mark.strip_prefix("fresh, ").unwrap_or(&block.mark);
        if mark.len() < block.mark.len() {
            reader = Reader::new();
        }
        let (verb, name) = mark.split_once(": ").unwrap_or((mark, ""));
        match (block.language.as_str(), verb) {
            (_, "run" | "test") => {}
            (_, "valid") => {
                Project::empty().write(name, &block.text).shipway(["-f", name, "check"]).exits(0);
                files += 1;
            }
            (_, "file") => {
                reader.project.write(&format!("{FOLDER}/{name}"), &block.text);
                files += 1;
            }
            (_, "add") => {
                let path = format!("{FOLDER}/{name}");
                let text = reader.project.read(&path) + "\n" + &block.text;
                reader.project.write(&path, text);
                files += 1;
            }
            ("toml", "stage") => {
                let project = Project::new(&format!("[stages.x]\n{}", block.text));
                project.shipway(["check"]).exits(0);
                files += 1;
            }
            ("toml", "target") => {
                let project = Project::new(&format!("[stages.x]\nsteps = [\"true\"]\n[targets.x]\nkind = \"command\"\n{}", block.text));
                project.shipway(["check"]).exits(0);
                files += 1;
            }
            ("toml", "process") => {
                let project = Project::new(&format!("[stages.x]\nsteps = [\"true\"]\n[targets.x]\nkind = \"process\"\n{}", block.text));
                project.shipway(["check"]).exits(0);
                files += 1;
            }
            ("toml", "environment") => {
                let target = "kind = \"command\"\nstart = \"true\"\nshift = \"true\"\nslots = { blue = {}, green = {} }";
                let rest =
                    format!("[stages.x]\nsteps = [\"true\"]\n[targets.x]\n{target}\n[environments.x]\ntarget = \"x\"\n{}", block.text);
                Project::new(&rest).shipway(["check"]).exits(0);
                files += 1;
            }
            ("console", _) => {
                reader.follows(&block);
                commands += 1;
            }
            ("text", _) => {}
            ("json", _) => drop(serde_json::from_str::<serde_json::Value>(&block.text).unwrap()),
            (language, _) => {
                panic!("README.md:{}: nobody knows what this block of {language:?} with the mark {:?} is", block.line, block.mark)
            }
        }
    }
    assert!(commands >= 5 && files >= 3, "{commands} blocks of commands and {files} files were found");
}

/// The names that follow `mark` in a text, as far as they look like names.
fn names<'t>(text: &'t str, mark: &str) -> Vec<&'t str> {
    let found = text.split(mark).skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap());
    found.filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_readme_names_every_key_command_and_flag() {
    let (readme, project) = (readme(), Project::empty());
    let schema: serde_json::Value = serde_json::from_str(&project.shipway(["schema"]).exits(0).stdout).unwrap();
    let (mut open, mut keys) = (vec![&schema], Vec::new());
    while let Some(value) = open.pop() {
        if let Some(properties) = value.get("properties").and_then(serde_json::Value::as_object) {
            keys.extend(properties.keys());
        }
        open.extend(value.as_object().into_iter().flat_map(serde_json::Map::values));
        open.extend(value.as_array().into_iter().flatten());
    }
    assert!(keys.len() > 50, "{keys:?}");
    let is_named =
        |key: &str| readme.contains(&format!("`{key}`")) || readme.contains(&format!("`[{key}")) || readme.contains(&format!("{key} ="));
    let missing: Vec<&&String> = keys.iter().filter(|key| !is_named(key)).collect();
    assert!(missing.is_empty(), "keys: {missing:?}");
    let help = project.shipway(["--help"]).exits(0).stdout;
    let commands = names(help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap(), "\n  ");
    let table = readme.split("## Every command").nth(1).unwrap().split("\n## ").next().unwrap();
    assert!(commands.len() > 10, "{commands:?}");
    let missing: Vec<&&str> = commands.iter().filter(|command| !table.contains(&format!("`{command}"))).collect();
    assert!(missing.is_empty(), "commands: {missing:?}");
    let help = project.shipway(["run", "--help"]).exits(0).stdout;
    // Those with a letter are named by it.
    let flags = names(&help, "\n      --");
    let missing: Vec<&&str> = flags.iter().filter(|flag| !table.contains(&format!("--{flag}"))).collect();
    assert!(flags.len() > 8 && missing.is_empty(), "flags: {missing:?} of {flags:?}");
}

#[test]
fn durations_and_hashes_do_not_matter() {
    assert_eq!(
        timeless("✓ a  12ms  in 1.5s, 3 passed, 2m at 93c0ec348ff3: v0.1 (2 of 3)"),
        "✓ a  T  in T, 3 passed, T at H: v0.1 (2 of 3)"
    );
    let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert!(is_like(&lines("a b c"), &lines("a … c")) && is_like(&lines("a c"), &lines("a … c")));
    assert!(!is_like(&lines("a b"), &lines("a … c")) && !is_like(&lines("a b"), &lines("a")));
}
