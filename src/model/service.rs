//! A service: what stages need running and ready while their steps run.
//!
//! Every value here is final, as in `stage`; how it is started and ended is told elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::stage::{Command, Step};

/// How long a service may take to be ready where the file does not say.
pub const READY_WITHIN: Duration = Duration::from_secs(30);

/// A long-lived process beside the stages that use it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: Arc<str>,
    /// What is started: its directory is final, its own variables are empty.
    pub start: Step,
    /// How its lines are run: the program and the arguments before the line.
    pub shell: Arc<[String]>,
    /// How it shows that it may be used.
    pub ready: Ready,
    /// Variables that it sets.
    pub env: BTreeMap<String, String>,
    /// Names or patterns of variables that it passes on.
    pub pass_env: Vec<String>,
    /// Names of variables that it passes on and that are masked.
    pub secrets: Vec<String>,
    /// How long it may take to be ready.
    pub timeout: Duration,
    /// What asks it to end.
    pub stop: StopSignal,
}

/// How a service shows that it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ready {
    /// It listens on this TCP port.
    Port(u16),
    /// This address answers with a status from 200 to 399.
    Http(Address),
    /// A line that it prints holds this text.
    Log(String),
    /// This command exits with 0.
    Command(Command),
}

/// A plain `http://` address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// As written.
    pub text: String,
    /// The host, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What is asked for: begins with `/`.
    pub path: String,
}

/// Why a text is no address that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// It begins with `https://`.
    Encrypted,
    /// It does not begin with `http://`.
    Scheme,
    /// It has no host, or one that cannot be one.
    Host,
    /// Its port is no number from 1 to 65535.
    Port,
    /// It holds spaces or characters that are not ASCII.
    Characters,
}

impl Address {
    /// Reads `http://host[:port][/path][?query]` (RFC 3986).
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://")) {
            return Err(AddressError::Encrypted);
        }
        let rest = text.get(..7).filter(|start| start.eq_ignore_ascii_case("http://")).map(|_| &text[7..]).ok_or(AddressError::Scheme)?;
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AddressError::Characters);
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or(AddressError::Host)?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(AddressError::Port)?,
            None if port.is_empty() => 80,
            None => return Err(AddressError::Host),
        };
        let is_v6 = authority.starts_with('[');
        let may_be = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c) || (is_v6 && c == ':');
        if host.is_empty() || !host.chars().all(may_be) {
            return Err(AddressError::Host);
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { text: text.to_owned(), host: host.to_owned(), port, path })
    }

    /// Returns its host and port, as a request names them.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }

    /// Tells whether it is an address of this machine itself, by its name.
    pub fn is_loopback(&self) -> bool {
        let is_v4 = self.host.parse::<std::net::Ipv4Addr>().is_ok_and(|host| host.is_loopback());
        is_v4 || self.host == "::1" || self.host.eq_ignore_ascii_case("localhost")
    }
}

/// A signal that asks a service to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopSignal {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGKILL: without asking.
    Kill,
}

impl StopSignal {
    /// All, by their names in the file.
    pub const ALL: [(&'static str, Self); 7] = [
        ("TERM", Self::Term),
        ("INT", Self::Int),
        ("QUIT", Self::Quit),
        ("HUP", Self::Hup),
        ("USR1", Self::Usr1),
        ("USR2", Self::Usr2),
        ("KILL", Self::Kill),
    ];

    /// Reads a name, with or without `SIG` before it.
    pub fn parse(name: &str) -> Option<Self> {
        let short = name.strip_prefix("SIG").unwrap_or(name);
        Self::ALL.iter().find(|(known, _)| *known == short).map(|(_, signal)| *signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |text: &str| Address::parse(text).map(|address| (address.host, address.port, address.path));
        let is = |host: &str, port, path: &str| Ok((host.to_owned(), port, path.to_owned()));
        assert_eq!(read("http://127.0.0.1:8080/up?x=1#y"), is("127.0.0.1", 8080, "/up?x=1"));
        assert_eq!(read("HTTP://localhost"), is("localhost", 80, "/"));
        assert_eq!(read("http://[::1]:1?a"), is("::1", 1, "/?a"));
        assert_eq!(Address::parse("http://[::1]:1?a").unwrap().authority(), "[::1]:1");
        for (text, error) in [
            ("https://x", AddressError::Encrypted),
            ("x:80", AddressError::Scheme),
            ("ä", AddressError::Scheme),
            ("http://", AddressError::Host),
            ("http://user@x", AddressError::Host),
            ("http://[::1", AddressError::Host),
            ("http://[::1]x", AddressError::Host),
            ("http://a:b:1", AddressError::Port),
            ("http://a:0", AddressError::Port),
            ("http://a:65536", AddressError::Port),
            ("http://a/\r\nX: y", AddressError::Characters),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }

    #[test]
    fn this_machine_is_known_by_name() {
        let is = |text: &str| Address::parse(text).unwrap().is_loopback();
        assert!(is("http://127.0.0.1") && is("http://[::1]:2") && is("http://LOCALHOST/") && is("http://127.9.9.9"));
        assert!(!is("http://example.org") && !is("http://10.0.0.1"));
    }

    #[test]
    fn signals_have_two_names() {
        assert_eq!(StopSignal::parse("SIGINT"), Some(StopSignal::Int));
        assert_eq!(StopSignal::parse("INT"), Some(StopSignal::Int));
        assert_eq!(StopSignal::parse("int"), None);
        assert_eq!(StopSignal::parse("STOP"), None);
    }
}
