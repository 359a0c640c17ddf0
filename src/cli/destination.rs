//! The target of an environment: what it is, where the next release comes to, and what moves it there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::crew::Crew;
use super::depot::elsewhere;
use super::failing::Failing;
use super::hands::Crewed;
use super::screen::Screen;
use super::signals::Rest;
use super::site::{Site, name_of};
use crate::base::digest::Hash;
use crate::base::text::visible;
use crate::delivery::command::Command;
use crate::delivery::directory::Directory;
use crate::delivery::flag::Flag;
use crate::delivery::process::Process;
use crate::delivery::rollout::Shape;
use crate::delivery::target::{Candidate, Slot, Target};
use crate::ledger::history::History;
use crate::ledger::standing::{Serving, Standing};
use crate::model::stage::Step;
use crate::model::target::{Commands, Kind};
use crate::supervisor::place::Place;

/// The folder of releases that targets of commands are told of.
const UNPACKED: &str = "unpacked";

impl Site<'_> {
    /// Returns which phases there are.
    pub(super) fn shape(&self) -> Shape<'_> {
        let environment = self.environment;
        let replaces = self.commands().is_some_and(|commands| commands.slots.is_empty());
        let (provisions, verifies) = (!environment.provision.is_empty(), !environment.verify.is_empty());
        Shape { provisions, verifies, replaces, has_default: self.flag().is_some(), rollout: &environment.rollout }
    }

    pub(super) fn commands(&self) -> Option<&Commands> {
        if let Kind::Command(commands) = self.kind() { Some(commands) } else { None }
    }

    /// Returns the slot that the next release comes into, and the one that it leaves to the release before; `None` where there are none. Of a
    /// flag these are its variants.
    pub(super) fn slots(&self, standing: &Standing) -> (Option<String>, Option<String>) {
        let serving = standing.serves.as_ref().filter(|_| !self.is_out_of_reach(standing));
        if let Some(flag) = self.flag() {
            return (Some(flag.variant.clone()), serving.and_then(|serving| serving.slot.clone()));
        }
        let kind = self.kind();
        // Where nobody knows what serves, whoever has the most of the traffic may be what was to go.
        let seen = self.serving_slot().filter(|_| standing.lost.is_none());
        let slot = kind.slot_beside(seen.as_deref().or(serving.and_then(|serving| serving.slot.as_deref())));
        // What came before there were slots goes back into the other one.
        let before = serving.and_then(|_| kind.slot_beside(slot));
        (slot.map(str::to_owned), before.map(str::to_owned))
    }

    /// Returns a release, in the slot of this name.
    pub(super) fn candidate(&self, id: &str, slot: Option<&str>) -> Result<Candidate, String> {
        let slot = slot.map(|name| {
            if self.flag().is_some() {
                return Ok(Slot { name: name.to_owned(), values: BTreeMap::new() });
            }
            if self.process().is_some() {
                return Ok(Slot { name: name.to_owned(), values: self.values_of(id, name) });
            }
            let values = self.commands().and_then(|commands| commands.slots.get(name));
            let values = values.ok_or_else(|| format!("the target has no slot `{}` any more", visible(name)))?;
            Ok::<_, String>(Slot { name: name.to_owned(), values: values.clone() })
        });
        let slot = slot.transpose()?;
        let hash = Hash::parse(id).ok_or_else(|| format!("`{}` is no id of a release", visible(id)))?;
        let manifest = self.depot.vault.manifest(&hash).map_err(|error| {
            let history = self.depot.journal.read().unwrap_or_default();
            match history.release(id) {
                Ok((entry, _)) => match elsewhere(error, entry) {
                    Failing::Surroundings(error) => format!("{error:#}"),
                    Failing::Usage { message, .. } | Failing::Waiting(message) => message,
                    Failing::File(..) => String::new(),
                },
                Err(_) => error.to_string(),
            }
        })?;
        Ok(Candidate { id: id.to_owned(), manifest, slot })
    }

    /// Returns the target by kind and name.
    pub(super) fn target_name(&self) -> String {
        let target = self.project.pipeline.delivery.target_of(self.environment);
        format!("{} {}", target.kind.word(), target.name)
    }

    /// Tells whether what serves does so by a target of another name or kind than the environment has now.
    pub(super) fn is_moved(&self, standing: &Standing) -> bool {
        standing.serves.as_ref().and_then(|serving| serving.target.as_ref()).is_some_and(|target| *target != self.target_name())
    }

    /// Tells whether it is one of another kind: nothing of the one that the environment has now reaches what serves.
    pub(super) fn is_out_of_reach(&self, standing: &Standing) -> bool {
        let kind = standing.serves.as_ref().and_then(|serving| serving.target.as_deref()?.split(' ').next());
        kind.is_some_and(|kind| kind != self.kind().word())
    }

    /// Says of what is out of reach that nothing ends it.
    pub(super) fn say_moved(&self, history: &History, standing: &Standing, screen: &mut Screen) {
        if let Some(Serving { release, target: Some(target), .. }) = standing.serves.as_ref().filter(|_| self.is_out_of_reach(standing)) {
            let (name, release) = (&self.environment.name, name_of(history, release));
            screen.warn(&format!("{release} serves by the target of `{name}` before (`{}`): nothing moves or ends it", visible(target)));
        }
    }

    /// Returns what the target is.
    pub(super) fn kind(&self) -> &Kind {
        &self.project.pipeline.delivery.target_of(self.environment).kind
    }

    pub(super) fn target<'t>(&'t self, crew: &'t Crew<'t>, screen: &'t RefCell<&mut Screen>) -> Result<Box<dyn Target + 't>, Failing> {
        // Of each environment its own: what one does not need any more another may.
        let supervisor = (self.place()?, self.serve(None)?);
        Ok(self.target_in(self.depot.folder()?.join(UNPACKED).join(&*self.environment.name), supervisor, crew, screen))
    }

    /// The same, with the files of releases in `folder` where the target does not say where they lie, and with this supervisor, which the step
    /// starts, where it needs one.
    pub(super) fn target_in<'t>(
        &'t self,
        folder: PathBuf,
        supervisor: (Place, Step),
        crew: &'t Crew<'t>,
        screen: &'t RefCell<&mut Screen>,
    ) -> Box<dyn Target + 't> {
        match self.kind() {
            Kind::Directory(directory) => {
                let root = self.project.kept.join(Path::new(&directory.path));
                Box::new(Directory::new(root, directory.retain as usize, &self.depot.vault))
            }
            Kind::Command(commands) => {
                let hands = Box::new(Crewed { crew, screen, rest: Rest::default() });
                Box::new(Command::new(commands, &self.environment.name, folder, &self.depot.vault, hands))
            }
            Kind::Flag(flag) => {
                let ongoing = self.depot.journal.read().ok().and_then(|history| history.standing(&self.environment.name).ongoing);
                let takes_over = ongoing.is_some_and(|ongoing| ongoing.started.accepted_drift.is_some());
                Box::new(Flag::new(self.project.kept.join(&flag.file), (&flag.flag, takes_over), folder, &self.depot.vault))
            }
            Kind::Process(process) => {
                let files = (folder, &self.depot.vault);
                let hands = Box::new(Crewed { crew, screen, rest: Rest::default() });
                Box::new(Process::new(process, &self.environment.name, files, supervisor, hands))
            }
        }
    }
}
