//! The fingerprint of a stage, here and now: every ingredient that the contract names (section 4), and no other.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::memory::Memory;
use crate::base::glob::Glob;
use crate::base::program::plain;
use crate::base::text::visible;
use crate::cache::fingerprint::{Fingerprint, Kind, list};
use crate::inputs::listing::{Input, InputKind};
use crate::model::stage::{Command, StageId};
use crate::programs::tools::programs;

/// Ingredients that are few, to be put in order.
type Few = BTreeMap<(Kind, Vec<u8>), Vec<u8>>;

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
        for (name, value) in self.identities.of(self.asker(), id, &self.checkout.files)? {
            add(Kind::Tool, &name, value);
        }
        for (name, result) in self.needed(id)? {
            add(Kind::Need, &name, result.0.to_vec());
        }
        self.add_borrowed(id, &mut few)?;
        self.add_steps(id, &mut few);
        self.add_variables(id, &mut few);
        let listing = self.listing(id)?;
        if let Some(name) = &listing.unnameable {
            return Err(format!("the name of the input `{}` is not text in UTF-8", visible(name)));
        }
        let mut fingerprint = Fingerprint::default();
        for ((kind, name), value) in &few {
            fingerprint.add(*kind, name, value);
        }
        let mut value = Vec::with_capacity(64);
        for input in &listing.inputs {
            value.clear();
            self.value(input, &mut value)?;
            fingerprint.add(Kind::Input, input.name.as_bytes(), &value);
        }
        Ok(fingerprint)
    }

    /// Adds the programs that another stage makes, which this one starts and does not need: no input, and in no R, they count by content.
    fn add_borrowed(&self, id: StageId, few: &mut Few) -> Result<(), Unkeyed> {
        let stage = self.plan.pipeline.stage(id);
        let root = &self.checkout.root;
        for path in programs(stage, &self.asker().commands(id), &stage.shell).inside {
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
        if commands.iter().any(|command| matches!(command, Command::Shell(_))) {
            let shell = list(stage.shell.iter().map(String::as_bytes));
            few.insert((Kind::Shell, b"shell".to_vec()), shell);
        }
        for (index, (step, command)) in stage.steps.iter().zip(&commands).enumerate() {
            let (form, words) = match command {
                Command::Shell(line) => (&b"shell"[..], std::slice::from_ref(line)),
                Command::Argv(words) => (&b"argv"[..], words.as_slice()),
            };
            let parts = [form, step.dir.as_bytes()].into_iter().chain(words.iter().map(String::as_bytes));
            few.insert((Kind::Step, number(index).into_bytes()), list(parts));
            for (name, value) in &step.env {
                few.insert((Kind::Variable, format!("{name} in step {}", number(index)).into_bytes()), value.clone().into_bytes());
            }
        }
    }

    fn add_variables(&self, id: StageId, few: &mut Few) {
        let stage = self.plan.pipeline.stage(id);
        for (name, value) in &stage.env {
            few.insert((Kind::Variable, name.clone().into_bytes()), value.clone().into_bytes());
        }
        for pattern in &stage.pass_env {
            // A pattern is no variable: those that it means now are.
            if !pattern.contains('*') && !stage.env.contains_key(pattern) && !stage.secrets.contains(pattern) {
                few.insert((Kind::Passed, pattern.clone().into_bytes()), b"-".to_vec());
            }
        }
        for (name, value) in self.caller.passed(&stage.pass_env) {
            // A secret is one, whatever pattern means it, too.
            let is_told = |name: &str| stage.env.contains_key(name) || stage.secrets.iter().any(|secret| secret == name);
            if !name.to_str().is_some_and(is_told) {
                few.insert((Kind::Passed, bytes(name)), passed(value));
            }
        }
    }

    fn value(&self, input: &Input, value: &mut Vec<u8>) -> Result<(), Unkeyed> {
        match &input.kind {
            InputKind::File => match self.checkout.files.content(&input.path) {
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

/// A passed variable's value is kept as its hash: nothing in a store needs to be readable.
fn passed(value: &OsStr) -> Vec<u8> {
    let hash = crate::base::digest::Hash::of(value.as_encoded_bytes());
    [b"=", hash.0.as_slice()].concat()
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
