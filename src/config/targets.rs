//! From the fields of a target to the target.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::fields::{At, Fields};
use super::include::File;
use super::stages::Builder;
use super::templates::{KNOWN, check, check_command, step};
use crate::base::diagnostic::Diagnostic;
use crate::model::target::{Commands, Directory, Flag, Kind, Process, Readiness, SLOTS, Slot, Target};

/// How many versions a directory keeps beside those in use.
const RETAIN: u32 = 5;

/// How long connections of the release before may last.
const DRAIN: Duration = Duration::from_secs(30);

/// The keys of each kind: those it must have, and those it may have.
const KEYS: &[(&str, &[&str], &[&str])] = &[
    ("directory", &["path"], &["retain"]),
    ("process", &["start", "listen"], &["ready", "drain"]),
    ("command", &["start"], &["ready", "shift", "stop", "observe", "slots"]),
    ("flag", &["file", "flag", "variant"], &[]),
];

/// Returns the targets of a file, and where the name of each stands. One that is not whole is left out; its problems are told.
pub(super) fn all(file: &File, problems: &mut Vec<Diagnostic>) -> Vec<(At<String>, Target)> {
    let home = file.home(0);
    let mut targets = Vec::new();
    for (name, fields) in file.fields.tables("targets").unwrap_or_default() {
        let mut builder = Builder { home: home.clone(), defaults: Fields::default(), problems };
        if let Some(kind) = kind(&mut builder, name, fields) {
            targets.push((name.clone(), Target { name: name.value.as_str().into(), kind }));
        }
    }
    targets
}

fn kind(builder: &mut Builder<'_>, name: &At<String>, fields: &Fields) -> Option<Kind> {
    let (kind, needed, allowed) = KEYS.iter().find(|(kind, ..)| fields.text("kind") == Some(kind))?;
    for key in needed.iter().filter(|key| !fields.values.contains_key(*key)) {
        let message = format!("the target `{}` has no `{key}`, which one of the kind `{kind}` needs", name.value);
        builder.problems.push(Diagnostic::error(message, name.span.clone(), format!("`{key}` is missing")));
    }
    let mut foreign: Vec<&str> =
        fields.values.keys().copied().filter(|key| *key != "kind" && !needed.contains(key) && !allowed.contains(key)).collect();
    foreign.sort_unstable();
    for key in foreign {
        let known = needed.iter().chain(*allowed).map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        let message = format!("a target of the kind `{kind}` has no key `{key}`");
        builder.problems.push(Diagnostic::error(message, fields.span(key), "of another kind").help(format!("its keys are {known}")));
    }
    let text = |key: &str| fields.text(key).map(str::to_owned);
    Some(match *kind {
        "directory" => Kind::Directory(Directory { path: text("path")?, retain: fields.count("retain").copied().unwrap_or(RETAIN) }),
        "process" => Kind::Process(Process {
            start: step(builder, fields, "start", KNOWN)?,
            listen: listen(fields, builder.problems)?,
            ready: readiness(fields, builder.problems).unwrap_or_else(|| Readiness::Http("/".to_owned())),
            drain: fields.duration("drain").copied().unwrap_or(DRAIN),
        }),
        "command" => Kind::Command(Box::new(Commands {
            start: step(builder, fields, "start", KNOWN)?,
            ready: readiness(fields, builder.problems),
            shift: step(builder, fields, "shift", KNOWN),
            stop: step(builder, fields, "stop", KNOWN),
            observe: step(builder, fields, "observe", KNOWN),
            slots: slots(fields, builder.problems),
        })),
        _ => Kind::Flag(Flag { file: text("file")?, flag: text("flag")?, variant: text("variant")? }),
    })
}

fn listen(fields: &Fields, problems: &mut Vec<Diagnostic>) -> Option<SocketAddr> {
    let text = fields.text("listen")?;
    let address = text.parse().ok();
    if address.is_none() {
        let message = format!("`{}` is no address to listen on", text.escape_debug());
        let help = "an address is HOST:PORT with a number for the host: 127.0.0.1:8080, [::1]:8080";
        problems.push(Diagnostic::error(message, fields.span("listen"), "not an address").help(help));
    }
    address
}

fn readiness(fields: &Fields, problems: &mut Vec<Diagnostic>) -> Option<Readiness> {
    let ready = fields.table("ready")?;
    if let Some(port) = ready.count("port") {
        return u16::try_from(*port).ok().map(Readiness::Port);
    }
    if let Some(text) = ready.text("http") {
        check(text, &ready.span("http"), KNOWN, problems);
        return Some(Readiness::Http(text.to_owned()));
    }
    let command = ready.command("command")?;
    check_command(Some(command), ready, "command", KNOWN, problems);
    Some(Readiness::Command(command.clone()))
}

fn slots(fields: &Fields, problems: &mut Vec<Diagnostic>) -> BTreeMap<String, Slot> {
    let Some(tables) = fields.tables("slots") else {
        return SLOTS.iter().map(|name| ((*name).to_owned(), Slot { port: None })).collect();
    };
    if tables.len() != 2 {
        let help = "one serves while the other is filled: slots = { blue = { port = 8081 }, green = { port = 8082 } }";
        let message = format!("a target has two slots, not {}", tables.len());
        problems.push(Diagnostic::error(message, fields.span("slots"), "not two").help(help));
    }
    let port = |fields: &Fields| fields.count("port").and_then(|port| u16::try_from(*port).ok());
    tables.iter().map(|(name, fields)| (name.value.clone(), Slot { port: port(fields) })).collect()
}
