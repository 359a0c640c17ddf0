//! The fingerprint of a stage, here and now: every ingredient that the contract names (section 4), and no other.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::memory::Memory;
use crate::base::glob::Glob;
use crate::base::program::plain;
use crate::base::text::visible;
use crate::cache::fingerprint::{Fingerprint, Kind, list};
use crate::inputs::listing::{Input, InputKind};
use crate::model::findings::Level;
use crate::model::reports::Reports;
use crate::model::service::Ready;
use crate::model::stage::{Command, StageId};

/// Ingredients that are few, to be put in order.
type Few = BTreeMap<(Kind, Vec<u8>), Vec<u8>>;

/// What a stage or a service says of its variables.
#[derive(Clone, Copy)]
struct Told<'a> {
    env: &'a BTreeMap<String, String>,
    pass_env: &'a [String],
    secrets: &'a [String],
}

/// Why a stage has no key, for people: it runs, and is not stored.
pub(super) type Unkeyed = String;

impl Memory<'_> {
    /// Returns the fingerprint of the stage.
    pub(super) fn fingerprint(&self, id: StageId) -> Result<Fingerprint, Unkeyed> {
        let stage = self.plan.pipeline.stage(id);
        let mut few = Few::new();
        let mut add = |kind: Kind, name: &str, value: Vec<u8>| drop(few.insert((kind, name.as_bytes().to_vec()), value));
        add(Kind::Platform, "os", std::env::consts::OS.into());
        add(Kind::Platform, "architecture", std::env::consts::ARCH.into());
        add(Kind::Stage, &stage.name, Vec::new());
        for name in &stage.secrets {
            add(Kind::Secret, name, Vec::new());
        }
        for output in &stage.outputs {
            add(Kind::Output, output.path(), vec![u8::from(output.is_literal())]);
        }
        if !stage.clean {
            add(Kind::Setting, "clean", b"false".to_vec());
        }
        if let Some(reports) = &stage.reports {
            for (name, value) in settings(reports) {
                add(Kind::Setting, &name, value);
            }
        }
        for (name, value) in self.identities.of(self.asker(), id, &self.checkout.files)? {
            add(Kind::Tool, &name, value);
        }
        for (name, result) in self.needed(id)? {
            add(Kind::Need, &name, result.0.to_vec());
        }
        self.add_borrowed(id, &mut few)?;
        self.add_steps(id, &mut few);
        self.add_variables(id, &mut few);
        self.add_services(id, &mut few);
        let inputs = self.inputs(id)?;
        let mut fingerprint = Fingerprint::default();
        fingerprint.reserve(few.len(), inputs.bytes().len() + few.iter().map(|((_, name), value)| name.len() + value.len()).sum::<usize>());
        for ((kind, name), value) in &few {
            fingerprint.add(*kind, name, value);
        }
        fingerprint.append(&inputs);
        Ok(fingerprint)
    }

    /// Returns the part of the fingerprint that is about the inputs. Those that many stages have alike are looked up once, as long as no
    /// step has run.
    fn inputs(&self, id: StageId) -> Result<Arc<Fingerprint>, Unkeyed> {
        let listing = self.listing(id)?;
        if let Some(known) = self.parts.get(&listing) {
            return Ok(known);
        }
        if let Some(name) = &listing.unnameable {
            return Err(format!("the name of the input `{}` is not text in UTF-8", visible(name)));
        }
        let mut part = Fingerprint::default();
        part.reserve(listing.inputs.len(), listing.inputs.iter().map(|input| input.name.len() + 1 + 32).sum());
        let mut value = Vec::with_capacity(64);
        for input in &listing.inputs {
            value.clear();
            self.value(input, &mut value)?;
            part.add(Kind::Input, input.name.as_bytes(), &value);
        }
        let part = Arc::new(part);
        if self.plan.pipeline.stage(id).inputs.is_none() {
            self.parts.keep(listing, &part);
        }
        Ok(part)
    }

    /// Adds the programs that another stage makes, which this one starts and does not need: no input, and in no R, they count by content.
    fn add_borrowed(&self, id: StageId, few: &mut Few) -> Result<(), Unkeyed> {
        let stage = self.plan.pipeline.stage(id);
        let root = &self.checkout.root;
        for path in self.asker().programs(id).inside {
            let real = root.join(&path).canonicalize().unwrap_or_else(|_| root.join(&path));
            let lies = real.strip_prefix(root).unwrap_or(Path::new(&path));
            let is_known = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(lies));
            if !self.checkout.lister.is_claimed(lies) || is_known(&stage.outputs) || is_known(&self.read_by(id)) {
                continue;
            }
            let value = match self.checkout.files.content(&real) {
                Ok(content) => [b"f", content.digest.hash.0.as_slice()].concat(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => b"-".to_vec(),
                Err(error) => return Err(format!("the program `{}` cannot be read: {}", visible(&path), plain(&error))),
            };
            few.insert((Kind::Tool, path.into_bytes()), value);
        }
        Ok(())
    }

    fn add_steps(&self, id: StageId, few: &mut Few) {
        let stage = self.plan.pipeline.stage(id);
        let commands = self.asker().commands(id);
        if stage.steps.iter().zip(&commands).any(|(_, command)| matches!(command, Command::Shell(_))) {
            let shell = list(stage.shell.iter().map(String::as_bytes));
            few.insert((Kind::Shell, b"shell".to_vec()), shell);
        }
        for (index, (step, command)) in stage.steps.iter().zip(&commands).enumerate() {
            let (form, words) = parts(command);
            let parts = [form, step.dir.as_bytes()].into_iter().chain(words.iter().map(String::as_bytes));
            few.insert((Kind::Step, number(index).into_bytes()), list(parts));
            for (name, value) in &step.env {
                few.insert((Kind::Variable, format!("{name} in step {}", number(index)).into_bytes()), value.clone().into_bytes());
            }
        }
    }

    fn add_variables(&self, id: StageId, few: &mut Few) {
        let stage = self.plan.pipeline.stage(id);
        let told = Told { env: &stage.env, pass_env: &stage.pass_env, secrets: &stage.secrets };
        few.extend(self.variables(told));
    }

    /// Returns the variables that are set, and those that are passed on, by kind and name.
    fn variables(&self, told: Told<'_>) -> Few {
        let mut found = Few::new();
        for (name, value) in told.env {
            found.insert((Kind::Variable, name.clone().into_bytes()), value.clone().into_bytes());
        }
        let is_told = |name: &str| told.env.contains_key(name) || told.secrets.iter().any(|secret| secret == name);
        for pattern in told.pass_env {
            // A pattern is no variable: those that it means now are.
            if !pattern.contains('*') && !is_told(pattern) {
                found.insert((Kind::Passed, pattern.clone().into_bytes()), b"-".to_vec());
            }
        }
        for (name, value) in self.caller.passed(told.pass_env) {
            // A secret is one, whatever pattern means it, too.
            if !name.to_str().is_some_and(is_told) {
                found.insert((Kind::Passed, bytes(name)), passed(value));
            }
        }
        found
    }

    /// Adds what each service is, by its name; its program is among the tools.
    fn add_services(&self, id: StageId, few: &mut Few) {
        for service in self.plan.pipeline.services_of(self.plan.pipeline.stage(id)) {
            let of = |name: &[u8]| [name, b" in service ", service.name.as_bytes()].concat();
            let (form, words) = parts(&service.start.command);
            let (way, told) = match &service.ready {
                Ready::Port(port) => ("port", vec![port.to_string()]),
                Ready::Http(address) => ("http", vec![address.text.clone()]),
                Ready::Log(text) => ("log", vec![text.clone()]),
                Ready::Command(Command::Shell(line)) => ("command line", vec![line.clone()]),
                Ready::Command(Command::Argv(words)) => ("command words", words.clone()),
            };
            let start = list([form, service.start.dir.as_bytes()].into_iter().chain(words.iter().map(String::as_bytes)));
            let ready = list([way.as_bytes()].into_iter().chain(told.iter().map(String::as_bytes)));
            few.insert((Kind::Setting, format!("service {}", service.name).into_bytes()), list([start.as_slice(), ready.as_slice()]));
            let is_line = |command: &Command| matches!(command, Command::Shell(_));
            if is_line(&service.start.command) || matches!(&service.ready, Ready::Command(command) if is_line(command)) {
                few.insert((Kind::Shell, of(b"shell")), list(service.shell.iter().map(String::as_bytes)));
            }
            for name in &service.secrets {
                few.insert((Kind::Secret, of(name.as_bytes())), Vec::new());
            }
            let told = Told { env: &service.env, pass_env: &service.pass_env, secrets: &service.secrets };
            for ((kind, name), value) in self.variables(told) {
                few.insert((kind, of(&name)), value);
            }
        }
    }

    fn value(&self, input: &Input, value: &mut Vec<u8>) -> Result<(), Unkeyed> {
        match &input.kind {
            InputKind::File => match self.checkout.files.content_seen(&input.path, input.stamp) {
                Ok(content) => {
                    value.push(if content.executable { b'x' } else { b'f' });
                    value.extend_from_slice(&content.digest.hash.0);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => value.push(b'-'),
                Err(error) => {
                    return Err(format!("the input `{}` cannot be read: {}", visible(&input.name), plain(&error)));
                }
            },
            InputKind::Link { target, leads_to } => {
                value.push(b'l');
                value.extend(list([target.as_slice()].into_iter().chain(leads_to.as_deref().map(str::as_bytes))));
            }
            InputKind::Absent => value.push(b'-'),
        }
        Ok(())
    }
}

/// Returns the form of a command, and its words.
fn parts(command: &Command) -> (&'static [u8], &[String]) {
    match command {
        Command::Shell(line) => (b"shell", std::slice::from_ref(line)),
        Command::Argv(words) => (b"argv", words),
    }
}

/// A passed variable's value is kept as its hash: nothing in a store needs to be readable.
fn passed(value: &OsStr) -> Vec<u8> {
    let hash = crate::base::digest::Hash::of(value.as_encoded_bytes());
    [b"=", hash.0.as_slice()].concat()
}

/// What decides whether reports fail their stage, by name: what has passed under other limits has not passed under these.
fn settings(reports: &Reports) -> Vec<(String, Vec<u8>)> {
    let patterns =
        |globs: &[Glob]| list(globs.iter().flat_map(|glob| [if glob.is_literal() { &b"l"[..] } else { b"p" }, glob.path().as_bytes()]));
    let mut settings = Vec::new();
    for (name, globs) in [("reports.junit", &reports.junit), ("reports.sarif", &reports.sarif)] {
        if !globs.is_empty() {
            settings.push((name.to_owned(), patterns(globs)));
        }
    }
    if !reports.sarif.is_empty() {
        let level = match reports.fail_on {
            None => "never",
            Some(Level::Note) => "note",
            Some(Level::Warning) => "warning",
            Some(Level::Error) => "error",
        };
        settings.push(("reports.fail-on".to_owned(), level.into()));
    }
    for rule in &reports.metrics {
        let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:?}"));
        let limits = [number(rule.max), number(rule.min), number(rule.regression)];
        let parts = [rule.file.path(), &rule.pointer].into_iter().chain(limits.iter().map(String::as_str));
        settings.push((format!("reports.metrics.{}", rule.name), list(parts.map(str::as_bytes))));
    }
    settings
}

fn bytes(name: &OsStr) -> Vec<u8> {
    name.as_encoded_bytes().to_vec()
}

/// The number of a step, from 1, so that the order of the texts is that of the steps.
fn number(index: usize) -> String {
    format!("{:05}", index + 1)
}

#[cfg(test)]
mod tests;
