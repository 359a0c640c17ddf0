//! One connection: a way to a release that takes it, then bytes both ways until both sides have said all.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use super::instance::Counted;
use super::table::{Shared, Way};

/// How long a release that does not take connections, since it has just ended and is started again, is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is asked meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

/// How long one attempt may take.
const CONNECT: Duration = Duration::from_secs(1);

/// How long a client may be silent to whom all was said.
const SILENCE: Duration = Duration::from_mins(1);

/// How much is carried at once, in bytes.
const PIECE: usize = 16 * 1024;

/// The stack of a thread that carries: it holds nothing but calls.
pub(super) const STACK: usize = 128 * 1024;

/// Carries the connection of a client to its end.
pub(super) fn carry(client: &TcpStream, table: &Shared) {
    let Some((release, _counted)) = reach(table) else { return };
    let _slower = client.set_nodelay(true).and_then(|()| release.set_nodelay(true));
    if client.set_read_timeout(Some(SILENCE)).is_err() {
        return;
    }
    let (was_answered, is_deaf) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let answers = thread::Builder::new().name("answer".to_owned()).stack_size(STACK).spawn_scoped(scope, || {
            match pump(&release, client, || false) {
                // One that has closed before it had read all resets what it does not want; what it said before is an answer.
                End::Reset if is_deaf.load(Ordering::SeqCst) => drop(client.shutdown(Shutdown::Write)),
                End::Reset => reset(&release, client),
                End::Deaf => reset(client, &release),
                End::Said => {}
            }
            was_answered.store(true, Ordering::SeqCst);
        });
        if answers.is_ok() {
            match pump(client, &release, || was_answered.load(Ordering::SeqCst)) {
                End::Reset => reset(client, &release),
                End::Deaf => {
                    // It may have answered already; what the client still says is for nobody, but it has to be able to say it.
                    is_deaf.store(true, Ordering::SeqCst);
                    discard(client, || was_answered.load(Ordering::SeqCst));
                }
                End::Said => {}
            }
        }
    });
}

/// How one direction of a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All was said, and that is known to the other side.
    Said,
    /// Who speaks has broken it off.
    Reset,
    /// Who listens does so no more.
    Deaf,
}

/// Finds a release that takes the connection: the one whose turn it is, else the other; else it is waited for one of them.
fn reach(table: &Shared) -> Option<(TcpStream, Counted)> {
    let until = Instant::now() + PATIENCE;
    let mut ways = table.lock().ways(true);
    while !ways.is_empty() {
        for Way { port, counted } in ways {
            if let Some(release) = port.and_then(connect) {
                return Some((release, counted));
            }
        }
        if Instant::now() >= until {
            return None;
        }
        thread::sleep(PAUSE);
        ways = table.lock().ways(false);
    }
    None
}

fn connect(port: u16) -> Option<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let release = TcpStream::connect_timeout(&address, CONNECT).ok()?;
    // The system may connect a socket with itself where nobody listens.
    (release.local_addr().ok()? != address).then_some(release)
}

/// Carries bytes until there are no more, and says so to the other side. Whoever says nothing for long has broken it off where that `is_enough`.
fn pump(mut from: &TcpStream, mut to: &TcpStream, is_enough: impl Fn() -> bool) -> End {
    let mut piece = vec![0; PIECE];
    loop {
        match read(&mut from, &mut piece, &is_enough) {
            Ok(0) => break,
            Ok(length) if to.write_all(&piece[..length]).is_err() => return End::Deaf,
            Ok(_) => {}
            Err(_) => return End::Reset,
        }
    }
    let _gone = to.shutdown(Shutdown::Write);
    End::Said
}

/// Reads what comes, for nobody.
fn discard(mut from: &TcpStream, is_enough: impl Fn() -> bool) {
    let mut piece = vec![0; PIECE];
    while matches!(read(&mut from, &mut piece, &is_enough), Ok(1..)) {}
}

fn read(from: &mut &TcpStream, piece: &mut [u8], is_enough: &impl Fn() -> bool) -> io::Result<usize> {
    loop {
        match from.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) && !is_enough() => {}
            read => return read,
        }
    }
}

/// Breaks the connection off for the other side as `broken` was: what it has is not the whole, and it is to know that.
fn reset(broken: &TcpStream, other: &TcpStream) {
    // It is closed once both directions have ended; to end the other one, neither is read any more.
    let _gone = set_socket_linger(other, Some(Duration::ZERO));
    let _gone = (broken.shutdown(Shutdown::Both), other.shutdown(Shutdown::Read));
}
