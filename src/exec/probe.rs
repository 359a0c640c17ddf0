//! Whether a service can be used, at this instant; or what somebody else has started.
//!
//! A port that somebody else holds must never be mistaken for the service's: it is looked at before the start, and whose a listener is
//! is believed only where it can be told or could be nobody else's.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::cancel::Cancel;
use super::executor::{Ending, OutputSink, StepCommand, StepEnd};
use super::listeners::Listeners;
use super::local::LocalExecutor;
use super::processes::Process;
use super::service::Service;
use crate::base::program::plain;
use crate::base::text::visible;
use crate::model::service::{Address, Ready};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(1);

/// How long an answer may take to begin.
const ANSWER: Duration = Duration::from_secs(5);

/// The longest first line of an answer, in bytes.
const LONGEST_LINE: usize = 1024;

/// What a look at a service has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It can be used.
    Ready,
    /// Not yet; the text says what is missing.
    NotYet(String),
    /// It never will: somebody else is where it should be. The text says who.
    Foreign(String),
}

/// Returns who is already where the service would be, in words; nobody may be there before it is started.
pub fn in_the_way(ready: &Ready) -> Option<String> {
    let port = port(ready)?;
    match Listeners::on_loopback(port) {
        Some(listeners) if listeners.are_none() => None,
        Some(listeners) => Some(format!("port {port} is already in use {}", by(listeners.holder().as_ref()))),
        None => connect(port).is_ok().then(|| format!("port {port} is already in use")),
    }
}

/// Tells whether somebody listens on this port of the machine, for whoever calls it by its own name.
pub fn is_taken(port: u16) -> bool {
    in_the_way(&Ready::Port(port)).is_some()
}

fn by(holder: Option<&Process>) -> String {
    holder.map_or_else(
        || "by a process of another user".to_owned(),
        |process| format!("by process {} `{}`", process.pid, visible(&process.name())),
    )
}

/// Returns the port of this machine that the service is going to listen on, where that is known.
pub fn port(ready: &Ready) -> Option<u16> {
    match ready {
        Ready::Port(port) => Some(*port),
        Ready::Http(address) if address.is_loopback() => Some(address.port),
        Ready::Http(_) | Ready::Log(_) | Ready::Command(_) => None,
    }
}

/// Returns the sockets that listen where somebody answers, by their inodes; `None` where nobody does, only a command or a log could say it, or that
/// cannot be learnt.
pub fn who_answers(ready: &Ready) -> Option<BTreeSet<u64>> {
    let is_answered = match ready {
        Ready::Port(port) => connect(*port).is_ok(),
        Ready::Http(address) => get(address) == Found::Ready,
        Ready::Log(_) | Ready::Command(_) => false,
    };
    let listeners = Listeners::on_loopback(port(ready).filter(|_| is_answered)?)?;
    Some(listeners.inodes()).filter(|inodes| !inodes.is_empty())
}

/// Looks at the service. `has_printed` tells whether the awaited text stood in its log; `command` is what asks, where a command does.
pub fn look(executor: &LocalExecutor, service: &Service, ready: &Ready, has_printed: bool, command: Option<&StepCommand>) -> Found {
    let found = match ready {
        Ready::Port(port) => listens(service, *port),
        Ready::Http(address) => match port(ready).map_or(Found::Ready, |port| listens(service, port)) {
            Found::Ready => get(address),
            not_yet @ (Found::NotYet(_) | Found::Foreign(_)) => not_yet,
        },
        Ready::Log(_) if has_printed => Found::Ready,
        Ready::Log(text) => Found::NotYet(format!("it has not printed `{}`", visible(text))),
        Ready::Command(shown) => {
            command.map_or(Found::Ready, |command| ask(&shown.show(), |output| service.ask(executor, command, output)))
        }
    };
    // What answered while the service was ending may have been anybody.
    if found == Found::Ready && service.is_ending() { Found::NotYet("it has ended".to_owned()) } else { found }
}

/// Looks at what somebody else has started: whose it is that answers is not known. `command` is what asks, where a command does.
pub fn look_from_outside(executor: &LocalExecutor, cancel: &Cancel, ready: &Ready, command: Option<&StepCommand>) -> Found {
    match (ready, command) {
        (Ready::Port(port), _) => {
            connect(*port).map_or_else(|_| Found::NotYet(format!("nothing listens on port {port}")), |_| Found::Ready)
        }
        (Ready::Http(address), _) => get(address),
        (Ready::Command(shown), Some(command)) => ask(&shown.show(), |output| Some(executor.run(command, cancel, &|_| (), output))),
        (Ready::Command(_), None) | (Ready::Log(_), _) => Found::Ready,
    }
}

/// Looks whether it is the service that listens on `port`.
pub fn listens(service: &Service, port: u16) -> Found {
    let listeners = || Listeners::on(port).filter(|listeners| !listeners.are_none());
    let are_its = |listeners: &Listeners| service.family().iter().any(|process| listeners.are_held_by(process.pid));
    if listeners().is_some_and(|listeners| are_its(&listeners)) {
        return Found::Ready;
    }
    if connect(port).is_err() {
        return Found::NotYet(format!("nothing listens on port {port}"));
    }
    // Looked at only now: who has answered was not there before it was looked for.
    match listeners().filter(|listeners| !are_its(listeners)).and_then(|listeners| listeners.holder()) {
        Some(holder) if is_of_a_run(&holder) => Found::Foreign(format!("port {port} was taken first {}", by(Some(&holder)))),
        // Nobody listened before the start: what does now, and is of no run, does so for the service, as what a container engine starts.
        Some(_) | None => Found::Ready,
    }
}

/// Tells whether the process, or one above it, was started by a shipway.
fn is_of_a_run(process: &Process) -> bool {
    let mut above = Some(process.clone());
    while let Some(process) = above {
        if process.owner().is_some() {
            return true;
        }
        above = Process::look(process.parent);
    }
    false
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let at = |host: IpAddr| TcpStream::connect_timeout(&SocketAddr::new(host, port), CONNECT);
    at(Ipv4Addr::LOCALHOST.into()).or_else(|_| at(Ipv6Addr::LOCALHOST.into()))
}

/// Asks an address (RFC 9112): ready is a status from 200 to 399.
fn get(address: &Address) -> Found {
    let name = visible(&address.text);
    match status(address) {
        Ok(200..=399) => Found::Ready,
        Ok(status) => Found::NotYet(format!("{name} answers with status {status}")),
        Err(error) => Found::NotYet(format!("{name} does not answer: {}", plain(&error))),
    }
}

fn status(address: &Address) -> io::Result<u16> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for host in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&host, CONNECT) {
            Ok(stream) => return status_by(&stream, address),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn status_by(mut stream: &TcpStream, address: &Address) -> io::Result<u16> {
    stream.set_write_timeout(Some(ANSWER))?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: shipway\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        address.path,
        address.authority()
    );
    stream.write_all(request.as_bytes())?;
    let (mut line, until) = (Vec::new(), Instant::now() + ANSWER);
    let mut piece = [0; 256];
    while !line.contains(&b'\n') && line.len() < LONGEST_LINE {
        // However slowly it comes: the first line within the time.
        let rest = until.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(rest).filter(|rest| !rest.is_zero()).or(Some(Duration::from_millis(1))))?;
        let length = match stream.read(&mut piece) {
            Ok(length) if length > 0 && !rest.is_zero() => length,
            Ok(0) => return Err(io::Error::other("what it sends is not HTTP")),
            Ok(_) => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        };
        line.extend_from_slice(&piece[..length]);
    }
    let text =
        String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next().filter(|first| first.len() < line.len()).unwrap_or_default());
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.split_ascii_whitespace().nth(1)?.parse().ok());
    status.ok_or_else(|| io::Error::other("what it sends is not HTTP"))
}

/// Runs the command that asks; its last line says why not.
fn ask(shown: &str, run: impl FnOnce(&mut OutputSink<'_>) -> Option<StepEnd>) -> Found {
    let mut printed = Vec::new();
    let end = run(&mut |_, text| {
        printed.extend_from_slice(&text);
        printed.drain(..printed.len().saturating_sub(4096));
        None
    });
    let Some(end) = end else { return Found::NotYet("it has ended".to_owned()) };
    let text = String::from_utf8_lossy(&printed).into_owned();
    let last = text.lines().rfind(|line| !line.trim().is_empty()).map_or_else(String::new, |line| format!(": {}", visible(line.trim())));
    let how = match end.ending {
        Ending::Exited(0) => return Found::Ready,
        Ending::Exited(code) => format!("exits with code {code}"),
        Ending::Signaled(signal) => format!("was killed by signal {signal}"),
        Ending::TimedOut | Ending::Cancelled => "does not end".to_owned(),
        Ending::NotStarted(reason) => return Found::NotYet(reason),
    };
    Found::NotYet(format!("`{}` {how}{last}", visible(shown)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers one caller with this, and returns what it asked.
    fn answered(answer: &'static str) -> (Found, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        let found = get(&Address::parse(&format!("http://127.0.0.1:{port}/up?a=b")).unwrap());
        (found, server.join().unwrap().replace(&port.to_string(), "PORT"))
    }

    #[test]
    fn an_answer_counts_by_its_status() {
        let (found, asked) = answered("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(found, Found::Ready);
        assert!(asked.starts_with("GET /up?a=b HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"), "{asked}");
        assert_eq!(answered("HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n").0, Found::Ready);
        for (answer, why) in [
            ("HTTP/1.1 503 Busy\r\n\r\n", "answers with status 503"),
            ("HTTP/1.1 100 Continue\r\n\r\n", "answers with status 100"),
            ("SSH-2.0-OpenSSH\r\n", "does not answer: what it sends is not HTTP"),
            ("HTTP/1.1 200", "does not answer: what it sends is not HTTP"),
            ("", "does not answer: what it sends is not HTTP"),
        ] {
            let (found, _) = answered(answer);
            assert!(matches!(&found, Found::NotYet(text) if text.ends_with(why)), "{answer}: {found:?}");
        }
    }

    #[test]
    fn who_is_in_the_way_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = in_the_way(&Ready::Port(port)).unwrap();
        let own = std::process::id().to_string();
        assert!(text.starts_with(&format!("port {port} is already in use")), "{text}");
        assert!(!cfg!(target_os = "linux") || text.contains(&own), "{text}");
        drop(listener);
        assert_eq!(in_the_way(&Ready::Port(port)), None);
        assert_eq!(in_the_way(&Ready::Log("x".into())), None);
    }
}
