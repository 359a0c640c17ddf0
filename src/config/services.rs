//! From the fields of a service to the service, and from the names in `services` to their places.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::fields::{At, Fields};
use super::include::Gathered;
use super::stages::{Builder, Home, values};
use crate::base::diagnostic::Diagnostic;
use crate::base::nearest;
use crate::model::service::{Address, AddressError, READY_WITHIN, Ready, Service, StopSignal};
use crate::model::stage::{Command, ServiceId, Step};

/// All services: a file's stages use the service of that name in the file that includes it, else its own, as with pools.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) all: Vec<Service>,
    /// Where the name of each stands.
    pub(super) places: Vec<Range<usize>>,
    /// Of each its file, and its name there.
    written: Vec<(usize, String)>,
}

impl Services {
    /// Returns the services of all files, in their order; those of an included file are called as its stages are. One that is not whole has
    /// no place; its problems are told.
    pub(super) fn new(gathered: &Gathered, problems: &mut Vec<Diagnostic>) -> Self {
        let mut services = Self { all: Vec::new(), places: Vec::new(), written: Vec::new() };
        for (place, file) in gathered.files.iter().enumerate() {
            let home = file.home(place);
            for (name, fields) in file.fields.tables("services").unwrap_or_default() {
                if let Some(service) = service(&home, name, fields, problems) {
                    services.all.push(service);
                    services.places.push(name.span.clone());
                    services.written.push((place, name.value.clone()));
                }
            }
        }
        services
    }

    /// Returns the places of the services that the file at `place` calls by these names, each once.
    pub(super) fn find_all(
        &self,
        names: &[At<String>],
        place: usize,
        gathered: &Gathered,
        problems: &mut Vec<Diagnostic>,
    ) -> Vec<ServiceId> {
        let way = gathered.way_to(place);
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let at = |file: &usize| self.written.iter().position(|(other, written)| other == file && *written == name.value);
            if let Some(id) = way.iter().find_map(at).and_then(|place| u32::try_from(place).ok()).map(ServiceId) {
                if !found.contains(&id) {
                    found.push(id);
                }
                continue;
            }
            let declared = way.iter().flat_map(|file| gathered.files[*file].fields.tables("services").unwrap_or_default());
            let known: BTreeSet<&str> = declared.map(|(name, _)| name.value.as_str()).collect();
            // One that is declared, but not whole, was reported where it stands.
            if known.contains(name.value.as_str()) || way.iter().any(|file| gathered.files[*file].broken) {
                continue;
            }
            let help = nearest::help("a service", &name.value, known.iter().copied());
            let help = help.or_else(|| Some(format!("declare it: [services.{}], with `start` and `ready`", name.value)));
            let message = format!("there is no service `{}`", name.value.escape_debug());
            problems.push(Diagnostic::error(message, name.span.clone(), "unknown service").maybe_help(help));
        }
        found
    }
}

fn service(home: &Arc<Home>, name: &At<String>, fields: &Fields, problems: &mut Vec<Diagnostic>) -> Option<Service> {
    let ready = fields.table("ready").and_then(|ready| readiness(ready, problems));
    let stop = stop_signal(fields, problems);
    let secrets = values(fields.texts("secrets"));
    let env: BTreeMap<String, String> =
        fields.pairs("env").unwrap_or_default().iter().map(|(name, value)| (name.value.clone(), value.value.clone())).collect();
    let mut builder = Builder { home: home.clone(), defaults: Fields::default(), problems };
    let dir = builder.directory(fields, &super::matrix::Combination::default());
    builder.check_secrets(fields, &env, &secrets);
    builder.check_names(fields);
    let label: Arc<str> = home.scope.absolute(&name.value).into();
    Some(Service {
        start: Step {
            label: label.clone(),
            command: fields.command("start")?.clone(),
            dir,
            env: BTreeMap::new(),
            timeout: None,
            retries: 0,
        },
        name: label,
        shell: home.shell.clone(),
        ready: ready?,
        env,
        pass_env: values(fields.texts("pass-env")),
        secrets,
        timeout: fields.duration("timeout").copied().unwrap_or(READY_WITHIN),
        stop,
    })
}

fn readiness(fields: &Fields, problems: &mut Vec<Diagnostic>) -> Option<Ready> {
    if let Some(port) = fields.count("port") {
        // What the shape has seen to.
        return u16::try_from(*port).ok().map(Ready::Port);
    }
    if let Some(text) = fields.text("http") {
        return address(text, fields, problems).map(Ready::Http);
    }
    if let Some(text) = fields.text("log") {
        if text.trim().is_empty() || text.contains(['\n', '\r']) {
            let help = "it is a part of one line that the service prints when it can be used";
            let problem = Diagnostic::error("`log` is no part of a line", fields.span("log"), "never found, or found too early");
            problems.push(problem.help(help));
            return None;
        }
        return Some(Ready::Log(text.to_owned()));
    }
    let command: &Command = fields.command("command")?;
    Some(Ready::Command(command.clone()))
}

/// Reads the address that stands at `http`; says why it cannot be asked, where it cannot.
pub(super) fn address(text: &str, fields: &Fields, problems: &mut Vec<Diagnostic>) -> Option<Address> {
    let error = match Address::parse(text) {
        Ok(address) => return Some(address),
        Err(error) => error,
    };
    let (label, help) = match error {
        AddressError::Encrypted => ("encrypted", "only plain http:// is asked; for https:// use `ready = { command = \"curl -fsk …\" }`"),
        AddressError::Scheme => ("not http://", "an address is http://HOST:PORT/PATH, such as http://127.0.0.1:8080/up"),
        AddressError::Host => ("no host", "a host is a name, or an address such as 127.0.0.1 or [::1]"),
        AddressError::Port => ("not a port", "a port is a number from 1 to 65535"),
        AddressError::Characters => ("not ASCII", "write spaces and other characters as %20 and the like"),
    };
    let message = format!("`{}` is no address that can be asked", text.escape_debug());
    problems.push(Diagnostic::error(message, fields.span("http"), label).help(help));
    None
}

fn stop_signal(fields: &Fields, problems: &mut Vec<Diagnostic>) -> StopSignal {
    let Some(name) = fields.text("stop-signal") else { return StopSignal::Term };
    StopSignal::parse(name).unwrap_or_else(|| {
        let help = nearest::help("a signal", name, StopSignal::ALL.iter().map(|(name, _)| *name));
        let message = format!("`{}` is no signal that asks for an end", name.escape_debug());
        problems.push(Diagnostic::error(message, fields.span("stop-signal"), "unknown signal").maybe_help(help));
        StopSignal::Term
    })
}
