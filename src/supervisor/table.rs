//! Which release is in which slot, with which share of new connections, and which are about to end.
//!
//! Whatever is to be served later, too, is saved before it takes effect.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::instance::{Counted, Event, Instance, Means, State};
use super::place::Place;
use super::request::{Launch, Look, Request, Sight};
use super::saved::{Kept, Saved};
use super::splitter::Splitter;
use crate::base::program::plain;
use crate::base::text::{count, visible};
use crate::exec::probe::{Found, listens};
use crate::exec::service::Service;

/// How often it is looked whether those that are about to end have lost their connections.
const TICK: Duration = Duration::from_millis(20);

/// The table, which all threads share.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Table>>);

/// A way that a connection may take.
#[derive(Debug)]
pub(super) struct Way {
    /// `None` while nobody can be there.
    pub(super) port: Option<u16>,
    pub(super) counted: Counted,
}

pub(super) struct Table {
    place: Place,
    listen: SocketAddr,
    means: Means,
    /// What is to be served, as it is saved.
    saved: Saved,
    /// What runs, or is started again, by slot.
    instances: BTreeMap<String, Instance>,
    splitter: Splitter,
    leaving: Vec<Leaving>,
    is_ending: bool,
    /// Of the last process.
    number: u64,
}

/// A release that is about to end.
struct Leaving {
    instance: Instance,
    since: Instant,
    was_told: bool,
}

impl Shared {
    /// Returns the table of what was served when it was saved, which is started again.
    pub(super) fn restore(place: &Place, listen: SocketAddr, saved: Saved, means: Means) -> Self {
        let (instances, splitter) = (BTreeMap::new(), Splitter::default());
        let mut table =
            Table { place: place.clone(), listen, means, saved, instances, splitter, leaving: Vec::new(), is_ending: false, number: 0 };
        for (slot, Kept { release, launch, .. }) in table.saved.slots.clone() {
            table.begin(&slot, &release, launch);
        }
        table.split();
        Self(Arc::new(Mutex::new(table)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is asked for; the error says why not.
    pub(super) fn answer(&self, request: Request) -> Result<Sight, String> {
        if let Request::Shift { slot, release, weight: 1.. } = &request {
            // Not under the lock: whoever listens may be slow.
            let (service, port) = self.lock().running(slot, release)?;
            if let Found::NotYet(why) | Found::Foreign(why) = listens(&service, port) {
                return Err(why);
            }
        }
        let after = self.lock().after(&request)?;
        if let Some((saved, path)) = after {
            // Nor this: connections go on while the disk is slow.
            saved.save(&path).map_err(|error| format!("`{}` cannot be written: {}", path.display(), plain(&error)))?;
            self.lock().apply(saved, request)?;
        } else if matches!(request, Request::End) {
            self.lock().end();
        }
        let table = self.lock();
        let _unheard = table.means.events.send(Event::Changed);
        Ok(table.sight())
    }
}

impl Table {
    /// Returns the ways that a connection may take, the first one first: whose turn it is, if it is a new one, then all others that have a
    /// share. None where nobody has.
    pub(super) fn ways(&mut self, is_new: bool) -> Vec<Way> {
        let turn = is_new.then(|| self.splitter.turn().map(str::to_owned)).flatten();
        let mut ways: Vec<&Instance> = self.instances.values().filter(|instance| self.saved.weight(&instance.slot) > 0).collect();
        ways.sort_by_key(|instance| Some(&instance.slot) != turn.as_ref());
        let way = |instance: &Instance| Way { port: instance.service().map(|_| instance.port), counted: instance.counted() };
        ways.into_iter().map(way).collect()
    }

    /// Returns what is to be saved once the request is done, and where; `None` where nothing is to be done for it.
    fn after(&self, request: &Request) -> Result<Option<(Saved, PathBuf)>, String> {
        if !matches!(request, Request::Observe | Request::End) {
            self.refuse_at_the_end()?;
        }
        let runs = |slot: &str| self.instances.get(slot).and_then(Instance::service).is_some_and(|service| !service.is_ending());
        let after = self.saved.after(request, runs)?;
        Ok(after.map(|saved| (saved, self.place.saved())))
    }

    /// What is saved is what was served when it was told to end.
    fn refuse_at_the_end(&self) -> Result<(), String> {
        if self.is_ending { Err("the supervisor is about to end".to_owned()) } else { Ok(()) }
    }

    /// Does what is asked for, which was saved.
    fn apply(&mut self, saved: Saved, request: Request) -> Result<(), String> {
        self.refuse_at_the_end()?;
        self.saved = saved;
        if let Request::Start { slot, release, launch } = request {
            let before = self.instances.remove(&slot);
            before.into_iter().for_each(|before| self.leave(before));
            self.begin(&slot, &release, launch);
        }
        let (stay, go): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.instances).into_iter().partition(|(slot, _)| self.saved.slots.contains_key(slot));
        self.instances = stay;
        go.into_values().for_each(|instance| self.leave(instance));
        for instance in self.instances.values_mut() {
            instance.has_served = self.saved.slots.get(&instance.slot).is_some_and(|kept| kept.has_served);
        }
        self.split();
        Ok(())
    }

    fn begin(&mut self, slot: &str, release: &str, launch: Launch) {
        let has_served = self.saved.slots.get(slot).is_some_and(|kept| kept.has_served);
        self.number += 1;
        let instance = Instance::begin(slot, release, launch, has_served, self.number, &self.means);
        self.instances.insert(slot.to_owned(), instance);
    }

    /// Has all end that runs; what is saved stays.
    pub(super) fn end(&mut self) {
        self.is_ending = true;
        std::mem::take(&mut self.instances).into_values().for_each(|instance| self.leave(instance));
    }

    /// Ends all that runs now.
    pub(super) fn kill(&mut self) {
        self.end();
        self.leaving.iter().filter_map(|leaving| leaving.instance.service()).for_each(Service::kill);
    }

    fn leave(&mut self, mut instance: Instance) {
        // It is not started again.
        instance.has_served = false;
        if instance.service().is_none() {
            return;
        }
        let connections = count(instance.connections(), "connection");
        self.means
            .log
            .say(&instance.slot, &format!("{} gets no new connections and ends; it has {connections}", &instance.look(0).release));
        self.leaving.push(Leaving { instance, since: Instant::now(), was_told: false });
    }

    /// Has new connections take their ways by the weights as they are now.
    fn split(&mut self) {
        let weights: Vec<(&str, u8)> = self.saved.slots.iter().map(|(slot, kept)| (slot.as_str(), kept.weight)).collect();
        let shown: Vec<String> = weights.iter().map(|(slot, weight)| format!("{slot} {weight} %")).collect();
        self.means.log.say(
            &self.means.environment,
            &format!("new connections: {}", if shown.is_empty() { "nobody's".to_owned() } else { shown.join(", ") }),
        );
        self.splitter.set(weights);
    }

    /// Returns the process of a release in a slot, and its port.
    fn running(&self, slot: &str, release: &str) -> Result<(Service, u16), String> {
        let instance = self.instances.get(slot).filter(|instance| instance.release == release);
        let instance = instance.ok_or_else(|| format!("the release is not in the slot `{}`", visible(slot)))?;
        match &instance.state {
            State::Up(service) => Ok((service.clone(), instance.port)),
            State::Down(why, _) => Err(why.clone()),
        }
    }

    fn sight(&self) -> Sight {
        let slots = self.instances.values().map(|instance| instance.look(self.saved.weight(&instance.slot))).collect();
        let leaving: Vec<Look> = self.leaving.iter().map(|leaving| leaving.instance.look(0)).collect();
        let (pid, log) = (std::process::id(), self.means.log.path().to_owned());
        Sight { pid, listen: self.listen, log, ending: self.is_ending, slots, leaving }
    }

    /// Notes what has happened.
    pub(super) fn ended(&mut self, number: u64, end: &crate::exec::executor::StepEnd) {
        let Self { instances, leaving, means, .. } = self;
        let all = instances.values_mut().chain(leaving.iter_mut().map(|leaving| &mut leaving.instance));
        for instance in all {
            if instance.ended(number, end, means) {
                return;
            }
        }
    }

    /// Does what is due, and returns when more may be; `None` where only something that happens can make it so.
    pub(super) fn work(&mut self, now: Instant) -> Option<Duration> {
        let Self { instances, leaving, means, number, .. } = self;
        leaving.retain_mut(|leaving| leaving.goes_on(now));
        let again = instances.values_mut().filter_map(|instance| instance.start_again(now, number, means)).min();
        let again = again.map(|at| at.saturating_duration_since(now));
        if leaving.is_empty() { again } else { Some(again.map_or(TICK, |again| again.min(TICK))) }
    }

    /// Tells whether all is to end.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// Tells whether all has ended that was to.
    pub(super) fn is_over(&self) -> bool {
        self.is_ending && self.leaving.is_empty()
    }
}

impl Leaving {
    /// Lets go of connections for half of the time, then tells the process to end; what is left when the time is over ends then. Tells
    /// whether it goes on.
    fn goes_on(&mut self, now: Instant) -> bool {
        let Some(service) = self.instance.service() else { return false };
        let (drain, gone) = (self.instance.launch.drain, now.saturating_duration_since(self.since));
        if !self.was_told && (self.instance.connections() == 0 || gone >= drain / 2) {
            service.stop();
            self.was_told = true;
        }
        if gone >= drain {
            service.kill();
        }
        true
    }
}
