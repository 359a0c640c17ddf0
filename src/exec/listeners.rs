//! Who listens on a TCP port of this machine, as `/proc/net/tcp` and `/proc/net/tcp6` show it (`proc_pid_net(5)`).
//!
//! Elsewhere than on Linux nothing is known of it; whose process a listener should be is not this module's to say.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::processes::Process;

/// The states of a socket that listens, and of a connection that is being made, as the tables have them.
const LISTENS: &str = "0A";
const BEGINS: &str = "03";

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Socket {
    address: IpAddr,
    port: u16,
    inode: u64,
}

/// The sockets that listen on one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listeners {
    inodes: HashSet<u64>,
}

impl Listeners {
    /// Returns those that listen on `port` at any address; `None` where that cannot be learnt.
    pub(super) fn on(port: u16) -> Option<Self> {
        Self::find(|socket| socket.port == port)
    }

    /// Returns those of them that answer to whoever calls this machine by its own name; `None` where that cannot be learnt.
    pub(super) fn on_loopback(port: u16) -> Option<Self> {
        Self::find(|socket| socket.port == port && answers_here(socket.address))
    }

    fn find(is_meant: impl Fn(&Socket) -> bool) -> Option<Self> {
        let v4 = all(File::open("/proc/net/tcp").ok()?)?;
        // A machine without IPv6 has no such file.
        let v6 = File::open("/proc/net/tcp6").ok().and_then(all).unwrap_or_default();
        let sockets = v4.into_iter().chain(v6).filter(is_meant);
        Some(Self { inodes: sockets.map(|socket| socket.inode).collect() })
    }

    /// Returns their inodes.
    pub(super) fn inodes(&self) -> BTreeSet<u64> {
        self.inodes.iter().copied().collect()
    }

    /// Tells whether nobody listens.
    pub(super) fn are_none(&self) -> bool {
        self.inodes.is_empty()
    }

    /// Tells whether the process holds one of them; false also where we may not look.
    pub(super) fn are_held_by(&self, pid: i32) -> bool {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
        let inode = |target: &str| target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
        let mut held = entries.filter_map(|entry| fs::read_link(entry.path()).ok()?.to_str().and_then(inode));
        held.any(|inode: u64| self.inodes.contains(&inode))
    }

    /// Returns the first process that holds one of them, as far as we may look.
    pub(super) fn holder(&self) -> Option<Process> {
        Process::all().into_iter().find(|process| self.are_held_by(process.pid))
    }
}

/// Returns the sockets of a table that listen. They come first (`tcp_seq_start` of the kernel), perhaps with connections that are just being made;
/// behind them stands every connection of the machine, tens of thousands on a busy one, which would be asked for one by one.
fn all(table: impl io::Read) -> Option<Vec<Socket>> {
    let mut sockets = Vec::new();
    for line in BufReader::new(table).lines().skip(1) {
        let line = line.ok()?;
        match line.split_ascii_whitespace().nth(3) {
            Some(LISTENS) => sockets.extend(listening(&line)),
            Some(BEGINS) => {}
            Some(_) | None => break,
        }
    }
    Some(sockets)
}

fn answers_here(address: IpAddr) -> bool {
    let here = |v4: Ipv4Addr| v4.is_unspecified() || v4 == Ipv4Addr::LOCALHOST;
    match address {
        IpAddr::V4(v4) => here(v4),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(here),
    }
}

/// Reads a line of the table where it is of a socket that listens: `sl local_address rem_address st …`, the inode in the tenth column.
fn listening(line: &str) -> Option<Socket> {
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, port) = columns.get(1)?.split_once(':')?;
    if *columns.get(3)? != LISTENS {
        return None;
    }
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let mut bytes = [0; 16];
            bytes.iter_mut().zip(words.iter().flatten()).for_each(|(to, from)| *to = *from);
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(Socket { address, port: u16::from_str_radix(port, 16).ok()?, inode: columns.get(9)?.parse().ok()? })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn lines_of_the_table_are_read() {
        let v4 = "   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000 100 0 0 10 0";
        let connected = v4.replace(" 0A ", " 01 ");
        let v6 = "   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 12 1";
        if cfg!(target_endian = "little") {
            assert_eq!(listening(v4), Some(Socket { address: Ipv4Addr::LOCALHOST.into(), port: 5432, inode: 4711 }));
            assert_eq!(listening(v6), Some(Socket { address: Ipv6Addr::LOCALHOST.into(), port: 80, inode: 12 }));
        }
        assert_eq!(listening(&connected), None);
        assert_eq!(listening("  sl  local_address rem_address   st"), None);
    }

    #[test]
    fn a_table_is_read_as_far_as_sockets_listen() {
        let line = |state: &str| format!("   0: 0100007F:1538 00000000:0000 {state} 0:0 0:0 0 0 0 4711 1\n");
        let table = |states: &[&str]| "  sl  local_address\n".to_owned() + &states.iter().map(|state| line(state)).collect::<String>();
        let count = |states: &[&str]| all(table(states).as_bytes()).unwrap().len();
        assert_eq!((count(&[]), count(&["0A", "03", "0A", "01", "06"])), (0, 2));
    }

    #[test]
    fn a_listener_is_found_beside_connections() {
        // Each has two entries of its own in the table.
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || TcpStream::connect(other.local_addr().unwrap()).unwrap();
        let connections: Vec<(TcpStream, TcpStream)> = (0..50).map(|_| (connect(), other.accept().unwrap().0)).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(Listeners::on(listener.local_addr().unwrap().port()).unwrap().are_held_by(i32::try_from(std::process::id()).unwrap()));
        drop(connections);
    }

    #[test]
    fn a_listener_is_found_with_its_process() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let port = listener.local_addr().unwrap().port();
            let found = Listeners::on_loopback(port).unwrap();
            let own = i32::try_from(std::process::id()).unwrap();
            assert!(found.are_held_by(own) && !found.are_held_by(1), "{address}");
            assert_eq!(found.holder().unwrap().pid, own);
            drop(listener);
            // A process that another test starts just now holds it, too, until it becomes another program.
            let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while !Listeners::on(port).unwrap().are_none() {
                assert!(std::time::Instant::now() < until, "{address} is still there");
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn addresses_that_answer_here() {
        let is = |address: &str| answers_here(address.parse().unwrap());
        assert!(is("0.0.0.0") && is("127.0.0.1") && is("::") && is("::1") && is("::ffff:127.0.0.1"));
        assert!(!is("10.0.0.1") && !is("127.0.0.2") && !is("fe80::1"));
    }
}
