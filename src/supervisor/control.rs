//! Answers requests, one after the other.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use super::request::{Answer, Question, VERSION};
use super::table::Shared;
use crate::base::program::plain;

/// How long whoever asks may take to.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest request, in bytes: an environment and a command.
const LONGEST: u64 = 16 * 1024 * 1024;

/// After the system could not give a file descriptor, this is waited.
const PAUSE: Duration = Duration::from_millis(20);

/// Answers for as long as the process lives.
pub(super) fn answer_all(listener: &UnixListener, table: &Shared) {
    for stream in listener.incoming() {
        match stream {
            // Who is gone is gone.
            Ok(stream) => drop(answer(&stream, table)),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn answer(stream: &UnixStream, table: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    BufReader::new(stream.take(LONGEST)).read_until(b'\n', &mut line)?;
    let answer = match serde_json::from_slice(&line) {
        Ok(Question { v: VERSION, request }) => table.answer(request).map_or_else(Answer::Refused, Answer::Done),
        Ok(Question { v, .. }) => Answer::Refused(format!("it speaks version {VERSION}, and was asked in version {v}: start it again")),
        Err(error) => Answer::Refused(format!("it does not understand what it is asked: {}", plain(&io::Error::other(error)))),
    };
    let mut writer = stream;
    writer.write_all(format!("{}\n", serde_json::to_string(&answer)?).as_bytes())
}
