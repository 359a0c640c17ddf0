//! The folder of a supervisor: who holds it, and how it is asked.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::request::{Answer, Question, Request, Sight, VERSION};
use super::saved::Saved;
use crate::base::program::plain;

/// How long an answer may take: a disk may be slow.
const ANSWER: Duration = Duration::from_mins(1);

/// The longest path of a socket, in bytes (`unix(7)`), on every system.
const LONGEST: usize = 100;

/// The folder of one supervisor. It is nobody else's to look into.
#[derive(Debug, Clone)]
pub struct Place(PathBuf);

/// Why nothing was answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Nobody is there.
    #[error("no supervisor runs")]
    Absent,
    /// It will not.
    #[error("{0}")]
    Refused(String),
    /// It cannot be understood.
    #[error("the supervisor cannot be asked: {0}")]
    Broken(String),
}

impl Place {
    /// Returns the place in `folder`, which need not be there.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Returns the path of the log.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub(super) fn saved(&self) -> PathBuf {
        self.0.join("saved.json")
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// Takes the place for this process, as long as the file lives; the error says which process has it.
    pub(super) fn take(&self) -> io::Result<Result<File, String>> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        fs::set_permissions(&self.0, Permissions::from_mode(0o700))?;
        let mut lock = File::options().create(true).truncate(false).read(true).write(true).open(self.0.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {
                lock.set_len(0)?;
                write!(lock, "{}", std::process::id())?;
                Ok(Ok(lock))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.rewind()?;
                lock.read_to_string(&mut holder)?;
                Ok(Err(holder.trim().to_owned()))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Opens the socket to be asked at; whoever holds the place may.
    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        let socket = self.0.join("control");
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = self.with_short(|path| UnixListener::bind(path))?;
        fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    /// Removes the socket.
    pub(super) fn close(&self) {
        // One that stays is removed by whoever comes next.
        let _stays = fs::remove_file(self.0.join("control"));
    }

    /// Calls `act` with a path of the socket that is not too long for the system.
    fn with_short<T>(&self, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        use std::os::fd::AsRawFd;
        let path = self.0.join("control");
        if path.as_os_str().len() <= LONGEST {
            return act(&path);
        }
        let folder = File::open(&self.0)?;
        act(&Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join("control"))
    }

    /// Asks the supervisor; it answers how it looks then.
    ///
    /// # Errors
    /// Where none is there, or it will not.
    pub fn ask(&self, request: &Request) -> Result<Sight, AskError> {
        let stream = match self.with_short(|path| UnixStream::connect(path)) {
            // What is there after a kill hears nobody.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Err(AskError::Absent);
            }
            stream => stream.map_err(|error| AskError::Broken(plain(&error)))?,
        };
        match exchange(&stream, request) {
            Ok(Answer::Done(sight)) => Ok(sight),
            Ok(Answer::Refused(why)) => Err(AskError::Refused(why)),
            // It ended before it had answered.
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => Err(AskError::Absent),
            Err(error) => Err(AskError::Broken(plain(&error))),
        }
    }

    /// Sees to it that no supervisor that is started later has this release in its slot. None runs now.
    ///
    /// # Errors
    /// Where the file cannot be read or written, or a supervisor has just been started.
    pub fn forget(&self, slot: &str, release: &str) -> io::Result<()> {
        if !self.saved().exists() {
            return Ok(());
        }
        let Ok(_held) = self.take()? else { return Err(io::Error::other("a supervisor was started meanwhile")) };
        let mut saved = Saved::load(&self.saved())?;
        match saved.slots.get(slot) {
            Some(kept) if kept.release == release => saved.slots.remove(slot),
            _ => return Ok(()),
        };
        saved.save(&self.saved())
    }

    /// Sees to it that a supervisor which is started later serves nothing. None runs now.
    ///
    /// # Errors
    /// Where the file cannot be removed, or a supervisor has just been started.
    pub fn forget_all(&self) -> io::Result<()> {
        if !self.saved().exists() {
            return Ok(());
        }
        let Ok(_held) = self.take()? else { return Err(io::Error::other("a supervisor was started meanwhile")) };
        fs::remove_file(self.saved())
    }

    /// Tells whether anything was ever to be served here.
    pub fn was_used(&self) -> bool {
        self.saved().exists()
    }

    /// Tells whether a supervisor that is started would serve anything.
    pub fn is_kept(&self) -> bool {
        Saved::load(&self.saved()).is_ok_and(|saved| saved.slots.values().any(|kept| kept.weight > 0))
    }
}

fn exchange(stream: &UnixStream, request: &Request) -> io::Result<Answer> {
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let question = serde_json::to_string(&Question { v: VERSION, request: request.clone() })?;
    let mut writer = stream;
    // Who is gone is gone: what is read says so.
    let _gone = writer.write_all(format!("{question}\n").as_bytes());
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_str(&line).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_holds_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().join("a/b"));
        let held = place.take().unwrap().unwrap();
        assert_eq!(place.take().unwrap().unwrap_err(), std::process::id().to_string());
        assert_eq!(place.folder().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(held);
        assert!(place.take().unwrap().is_ok());
        assert_eq!(place.ask(&Request::Observe), Err(AskError::Absent));
    }

    #[test]
    fn a_place_may_be_deep() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().join("x".repeat(200)));
        let _held = place.take().unwrap().unwrap();
        let listener = place.listen().unwrap();
        let mode = place.folder().join("control").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let asked = std::thread::scope(|scope| {
            scope.spawn(|| drop(listener.accept().unwrap()));
            place.ask(&Request::Observe)
        });
        assert_eq!(asked, Err(AskError::Absent), "it has ended");
        drop(listener);
        assert_eq!(place.ask(&Request::Observe), Err(AskError::Absent), "what is left of it hears nobody");
        place.close();
        assert!(!place.folder().join("control").exists());
    }
}
