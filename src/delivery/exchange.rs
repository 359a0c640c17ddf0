//! One connection to a server, and what is asked and answered over it: HTTP/1.1 as far as a `GET` needs it (RFC 9112).
//!
//! Tries nothing twice, and takes no part of an answer for the whole.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::model::service::Address;

/// How long a connection may take to be made, and each piece of an answer to come.
pub(super) const LONGEST: Duration = Duration::from_secs(10);

/// The longest line of a head, in bytes, and the most lines.
const LONGEST_LINE: u64 = 16 * 1024;
const MOST_LINES: usize = 256;

/// The longest body, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The fields of a head; names in lower case.
type Fields = Vec<(String, String)>;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    address: &'a Address,
    stream: BufReader<TcpStream>,
}

/// A whole answer with a status from 200 to 299.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    fields: Fields,
    pub(super) body: Vec<u8>,
    /// Whether more can be asked over the connection.
    pub(super) stays: bool,
}

impl Answer {
    /// Returns the value of a field of its head, by its name in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }
}

impl<'a> Connection<'a> {
    /// Connects to the first of the server's addresses that takes it.
    ///
    /// # Errors
    /// Where none does.
    pub(super) fn open(address: &'a Address) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for host in (address.host.as_str(), address.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&host, LONGEST) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(LONGEST))?;
                    stream.set_write_timeout(Some(LONGEST))?;
                    return Ok(Self { address, stream: BufReader::new(stream) });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks for what the address names; `is_last` says that nothing more is asked over the connection.
    ///
    /// # Errors
    /// Where the answer is not whole, or has another status.
    pub(super) fn ask(&mut self, is_last: bool) -> io::Result<Answer> {
        let (path, host) = (&self.address.path, self.address.authority());
        let then = if is_last { "close" } else { "keep-alive" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: shipway\r\nAccept: */*\r\nConnection: {then}\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer(is_last).map_err(|error| {
            let is_late = error.kind() == io::ErrorKind::WouldBlock;
            if is_late { io::Error::new(io::ErrorKind::TimedOut, "the answer takes too long") } else { error }
        })
    }

    fn answer(&mut self, is_last: bool) -> io::Result<Answer> {
        let (status, is_old, fields) = loop {
            let head = self.head()?;
            // An answer on the way to the answer.
            if !(100..200).contains(&head.0) {
                break head;
            }
        };
        if !(200..300).contains(&status) {
            return Err(io::Error::other(format!("status {status}")));
        }
        let length = field(&fields, "content-length").map(|length| length.parse().map_err(|_| foreign())).transpose()?;
        let is_chunked = field(&fields, "transfer-encoding").is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked"));
        let body = match length {
            _ if status == 204 => Vec::new(),
            _ if is_chunked => self.chunks()?,
            Some(length) => self.exactly(length)?,
            None => self.rest()?,
        };
        let says = |word: &str| field(&fields, "connection").is_some_and(|value| value.to_ascii_lowercase().contains(word));
        let is_bounded = is_chunked || length.is_some() || status == 204;
        let stays = !is_last && is_bounded && !says("close") && (!is_old || says("keep-alive"));
        Ok(Answer { fields, body, stays })
    }

    /// Reads a head: its status, whether it is of HTTP/1.0, its fields.
    fn head(&mut self) -> io::Result<(u16, bool, Fields)> {
        let first = self.line()?;
        let rest = first.strip_prefix("HTTP/1.").ok_or_else(foreign)?;
        let status = rest.split_ascii_whitespace().nth(1).and_then(|status| status.parse().ok()).ok_or_else(foreign)?;
        let is_old = rest.starts_with('0');
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status, is_old, fields));
            }
            let (name, value) = line.split_once(':').filter(|_| fields.len() < MOST_LINES).ok_or_else(foreign)?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads a line, without its end.
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed before the answer"));
        }
        let text = line.strip_suffix(b"\n").ok_or_else(short)?;
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| foreign())?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            if body.len() as u64 + size > LARGEST {
                return Err(large());
            }
            body.extend(self.exactly(size)?);
            if !self.line()?.is_empty() {
                return Err(foreign());
            }
        }
    }

    fn exactly(&mut self, length: u64) -> io::Result<Vec<u8>> {
        if length > LARGEST {
            return Err(large());
        }
        let mut body = Vec::new();
        self.stream.by_ref().take(length).read_to_end(&mut body)?;
        if body.len() as u64 == length { Ok(body) } else { Err(short()) }
    }

    /// Reads what comes until the server closes the connection.
    fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        self.stream.by_ref().take(LARGEST + 1).read_to_end(&mut body)?;
        if body.len() as u64 > LARGEST { Err(large()) } else { Ok(body) }
    }
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

fn foreign() -> io::Error {
    io::Error::other("what it sends is not HTTP")
}

fn short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is not whole")
}

fn large() -> io::Error {
    io::Error::other("the answer is too large")
}
