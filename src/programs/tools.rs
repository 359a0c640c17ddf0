//! The tools of a stage: the programs that its steps start, and those that it declares.
//!
//! Knows the stage as written; what a program is, `identity` tells, and the questions are asked by the engine.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::identity::{Program, identify};
use super::script::is_shell;
use super::shim::Shim;
use super::words::first_program;
use crate::base::glob::within;
use crate::model::pipeline::Pipeline;
use crate::model::stage::{Command, Stage, StageId, Step};

/// A program that is looked for in PATH, or lies outside the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name or path, as written.
    pub name: String,
    /// The index of the first of what is started that starts it: its directory and its environment say what the name means.
    pub step: usize,
}

/// The programs that the steps of a stage start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs {
    /// Those to be identified, less those that a question of `tools` identifies.
    pub bare: Vec<Named>,
    /// Those within the project, as paths relative to it: inputs, or outputs of this stage or of one it needs.
    pub inside: Vec<String>,
}

/// Returns the programs that are started for `stage`, where `all` are its steps and the starts of its services, `commands` what each really
/// runs and `shell` what reads a string.
///
/// A name stands twice where different programs may be meant by it, since the directory or the PATH differs.
pub fn programs(stage: &Stage, all: &[&Step], commands: &[Command], shell: &[String]) -> Programs {
    let mut programs = Programs::default();
    let is_service = |index: usize| index >= stage.steps.len();
    for (index, (step, command)) in all.iter().zip(commands).enumerate() {
        for name in started(command, shell) {
            let project_path = if name.contains('/') { within(&step.dir, &name).ok() } else { None };
            if let Some(path) = project_path {
                if !programs.inside.contains(&path) {
                    programs.inside.push(path);
                }
                continue;
            }
            let means_the_same = |named: &Named| {
                named.name == name && surroundings(all[named.step]) == surroundings(step) && !is_service(named.step) && !is_service(index)
            };
            if !is_asked(stage, &name) && !programs.bare.iter().any(means_the_same) {
                programs.bare.push(Named { name, step: index });
            }
        }
    }
    programs
}

/// What of a step decides what a name means.
fn surroundings(step: &Step) -> (&str, Option<&String>) {
    (&step.dir, step.env.get("PATH"))
}

/// Returns the programs that a command is sure to start: of a line the shell, unless it is `sh`, and the first of the line.
fn started(command: &Command, shell: &[String]) -> Vec<String> {
    match command {
        Command::Argv(words) => words.first().cloned().into_iter().collect(),
        Command::Shell(line) => {
            let own = shell.first().filter(|shell| *shell != "sh").cloned();
            // What another language, or a shell in another place, makes of the line is not known.
            let first = shell.first().filter(|shell| is_shell(shell)).and_then(|_| first_program(line));
            own.into_iter().chain(first).collect()
        }
    }
}

/// An entry of `tools`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared<'a> {
    /// A name: identified as a step's program is.
    Bare(&'a str),
    /// A command: identified by what it prints.
    Question(&'a [String]),
}

/// Returns what `stage` declares, in its order.
pub fn declared(stage: &Stage) -> Vec<Declared<'_>> {
    let tools = stage.tools.iter().filter_map(|tool| match tool {
        Command::Argv(words) if words.len() > 1 => Some(Declared::Question(words)),
        Command::Argv(words) => words.first().map(|name| Declared::Bare(name)),
        // A string was split into words when the file was read.
        Command::Shell(line) => Some(Declared::Bare(line)),
    });
    tools.collect()
}

/// Tells whether the stage declares a question that identifies the program `name`.
pub fn is_asked(stage: &Stage, name: &str) -> bool {
    declared(stage).iter().any(|tool| match tool {
        Declared::Bare(_) => false,
        Declared::Question(words) => words.first().is_some_and(|first| first == name),
    })
}

/// Returns the shims that stages of the project at `root` use without asking what they start, for this PATH of the caller.
///
/// Stages that are never cached have no use for an identity, and are left out.
pub fn shims(pipeline: &Pipeline, path: Option<&OsStr>, root: &Path) -> Vec<(StageId, Shim)> {
    let mut known: HashMap<(String, Option<OsString>, &str), Program> = HashMap::new();
    let mut shims = Vec::new();
    for id in pipeline.ids().filter(|id| pipeline.stage(*id).cache) {
        let stage = pipeline.stage(id);
        let mut seen = BTreeSet::new();
        for (name, own_path, dir) in names(stage, pipeline) {
            let path = own_path.map(OsString::from).or_else(|| path.map(OsStr::to_owned));
            let program =
                known.entry((name, path, dir)).or_insert_with_key(|(name, path, dir)| identify(name, path.as_deref(), &root.join(dir)));
            if let Program::Shim(shim) = program
                && !is_asked(stage, &shim.name)
                && seen.insert(shim.name.clone())
            {
                shims.push((id, shim.clone()));
            }
        }
    }
    shims
}

/// Returns each name to be identified, with the PATH that the file sets for it and the directory.
fn names<'s>(stage: &'s Stage, pipeline: &'s Pipeline) -> Vec<(String, Option<&'s String>, &'s str)> {
    let all = pipeline.started_for(stage);
    let commands: Vec<Command> = all.iter().map(|step| step.command.clone()).collect();
    let own = stage.env.get("PATH");
    let started = programs(stage, &all, &commands, &stage.shell).bare.into_iter().map(|named| {
        let step = all[named.step];
        let service = named.step.checked_sub(stage.steps.len()).and_then(|index| stage.services.get(index));
        let around = service.map_or(own, |id| pipeline.service(*id).env.get("PATH"));
        (named.name, step.env.get("PATH").or(around), step.dir.as_str())
    });
    let declared = declared(stage).into_iter().filter_map(|tool| match tool {
        Declared::Bare(name) => Some((name.to_owned(), own, stage.dir.as_str())),
        Declared::Question(_) => None,
    });
    started.chain(declared).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn argv(words: &[&str]) -> Command {
        Command::Argv(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn line(line: &str) -> Command {
        Command::Shell(line.to_owned())
    }

    fn stage(steps: &[(&str, Command)], tools: &[Command]) -> (Stage, Vec<Command>) {
        let steps: Vec<Step> = steps
            .iter()
            .map(|(dir, command)| Step {
                label: "1".into(),
                command: command.clone(),
                dir: (*dir).to_owned(),
                env: BTreeMap::new(),
                timeout: None,
                retries: 0,
            })
            .collect();
        let commands = steps.iter().map(|step| step.command.clone()).collect();
        let stage = Stage {
            name: "s".into(),
            group: "s".into(),
            description: None,
            needs: Vec::new(),
            after: Vec::new(),
            shell: ["sh", "-eu", "-c"].map(str::to_owned).into(),
            steps,
            inputs: None,
            outputs: Vec::new(),
            reports: None,
            dir: String::new(),
            env: BTreeMap::new(),
            pass_env: Vec::new(),
            secrets: Vec::new(),
            tools: tools.to_vec(),
            cache: true,
            clean: true,
            portable: false,
            timeout: None,
            retries: 0,
            pool: None,
            services: Vec::new(),
            lets_stay: false,
            jobserver: None,
        };
        (stage, commands)
    }

    fn all(stage: &Stage) -> Vec<&Step> {
        stage.steps.iter().collect()
    }

    fn shell(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn bare(programs: &Programs) -> Vec<(&str, usize)> {
        programs.bare.iter().map(|named| (named.name.as_str(), named.step)).collect()
    }

    #[test]
    fn the_programs_of_steps() {
        let steps = [
            ("", argv(&["cargo", "build"])),
            ("", line("cargo test && x")),
            ("", line("echo x")),
            ("ci", argv(&["./run.sh"])),
            ("ci", line("../ci/run.sh a")),
            ("ci", argv(&["../../out/x"])),
            ("ci", argv(&["cargo"])),
            ("", argv(&["/bin/ls"])),
            ("", argv(&["rustc", "x"])),
        ];
        let (stage, commands) = stage(&steps, &[argv(&["rustc", "-vV"]), argv(&["cargo"])]);
        let found = programs(&stage, &all(&stage), &commands, &shell(&["sh", "-eu", "-c"]));
        assert_eq!(bare(&found), [("cargo", 0), ("../../out/x", 5), ("cargo", 6), ("/bin/ls", 7)]);
        assert_eq!(found.inside, ["ci/run.sh"]);
        assert_eq!(declared(&stage), [Declared::Question(&shell(&["rustc", "-vV"])), Declared::Bare("cargo")]);
        assert!(is_asked(&stage, "rustc") && !is_asked(&stage, "cargo"));
    }

    #[test]
    fn a_shell_of_its_own_is_a_program() {
        let (stage, commands) = stage(&[("", argv(&["a"])), ("", line("make x")), ("", line("true"))], &[]);
        for (words, expected) in [
            (&["bash", "-c"][..], &[("a", 0), ("bash", 1), ("make", 1)][..]),
            (&["/bin/bash", "-c"], &[("a", 0), ("/bin/bash", 1), ("make", 1)]),
            (&["python3", "-c"], &[("a", 0), ("python3", 1)]),
            (&["docker", "run", "x", "sh", "-c"], &[("a", 0), ("docker", 1)]),
        ] {
            assert_eq!(bare(&programs(&stage, &all(&stage), &commands, &shell(words))), expected);
        }
        assert_eq!(programs(&stage, &all(&stage), &commands, &shell(&["tools/bash", "-c"])).inside, ["tools/bash"]);
    }

    #[test]
    fn the_path_of_a_step_tells_programs_apart() {
        let (mut stage, commands) = stage(&[("", line("x")), ("", line("x"))], &[]);
        stage.steps[1].env.insert("PATH".into(), "/opt".into());
        assert_eq!(bare(&programs(&stage, &all(&stage), &commands, &shell(&["sh", "-c"]))), [("x", 0), ("x", 1)]);
    }
}
