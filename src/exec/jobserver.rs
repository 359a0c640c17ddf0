//! A GNU jobserver: the processes inside of steps, whoever starts them, are together no more than the machine has processors.
//!
//! A pipe that holds a token for each process that may be started (GNU make's manual, "POSIX Jobserver Interaction"). Made when the first step
//! is about to run that is told of it: other runs make no system call for it. Knows how programs are told; when tokens are taken and given,
//! `tokens` knows.
//!
//! What programs do with it, seen with make 4.3 and 4.4.1, ninja 1.11 to 1.14 and cargo 1.95:
//! - cargo reads `CARGO_MAKEFLAGS` before all else, and gives it on to rustc and build scripts, some of which hand it to a make. Where it is
//!   also called with `-j`, it warns, and does without its own number.
//! - make 4.3 and older know descriptors only, and end with an error where they find a `fifo:`. Called with `-j`, make warns, and goes its own way.
//! - ninja knows `fifo:` only from 1.13 on, and warns of descriptors; before that it knows none. With `-j` it does not look.
//! - make sets the descriptor that it reads to not block, for all who share it: ours is another one of the same pipe.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::OFlags;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd, ioctl_fionread};

use super::executor::StepCommand;
use super::tokens::{Beginning, Tokens};
use crate::base::parallel::processors;
use crate::model::stage::Sharing;

/// What cargo and those around it read.
const CARGO: &str = "CARGO_MAKEFLAGS";

/// What make, ninja and compilers read.
const MAKE: &str = "MAKEFLAGS";

/// The variables that tell of a jobserver. That of a caller is none of a step's, unless it is asked for by its whole name.
pub const OF_CALLER: &[&str] = &[CARGO, MAKE, "MFLAGS"];

/// How cargo is told a number of its own.
const OWN_NUMBER: &str = "CARGO_BUILD_JOBS";

/// The least number of a descriptor that steps inherit: shell scripts take those below for files of their own, and what stands there instead would
/// be taken for a pipe of tokens.
const LEAST_DESCRIPTOR: i32 = 60;

/// More tokens than this no pipe need hold.
const MOST: usize = 4096;

const TOKENS: [u8; MOST] = [b'+'; MOST];

/// What the steps of a run share.
#[derive(Debug)]
pub struct Jobserver {
    jobs: usize,
    tokens: Mutex<Tokens>,
    /// Filled with the books in hand. `None` where the system has no room for it: then steps share nothing.
    pool: OnceLock<Option<Pool>>,
}

/// A stage whose steps run: it has a token for as long as this lives.
#[derive(Debug)]
pub struct Seat<'j>(&'j Jobserver);

#[derive(Debug)]
struct Pool {
    /// Both ends of the pipe; it never blocks.
    own: File,
    /// Both ends again, for steps.
    _inherited: [OwnedFd; 2],
    by_descriptors: OsString,
    by_path: OsString,
}

impl Jobserver {
    /// Returns one for a run of `jobs` stages at once; with fewer of them than processors, one stage may have all of these.
    pub fn new(jobs: usize) -> Self {
        Self { jobs, tokens: Mutex::default(), pool: OnceLock::new() }
    }

    /// Takes a token for a stage whose steps are about to run; never waits for one.
    pub fn begin(&self) -> Seat<'_> {
        let mut tokens = self.tokens();
        match (tokens.begin(), self.pool()) {
            (Some(Beginning::Fill(count)), Some(pool)) => pool.fill(count),
            (Some(Beginning::Take(most)), Some(pool)) => tokens.took(pool.take(most)),
            (None, _) | (_, None) => {}
        }
        Seat(self)
    }

    /// Tells a step of a stage that has begun of it, by its environment, as far as it is to be told and has no number of its own.
    pub fn tell(&self, sharing: Option<Sharing>, command: &mut StepCommand) {
        let is_named = || command.words.iter().any(|word| word.contains("cargo"));
        let Some(sharing) = sharing.or_else(|| is_named().then_some(Sharing::Cargo)) else { return };
        if sharing == Sharing::Off || says_how_many(&command.words) {
            return;
        }
        let Some(pool) = self.opened() else { return };
        let is_set = |env: &BTreeMap<OsString, OsString>, name: &str| env.contains_key(OsStr::new(name));
        if !is_set(&command.env, CARGO) && !is_set(&command.env, OWN_NUMBER) {
            command.env.insert(CARGO.into(), pool.by_descriptors.clone());
        }
        let value = match sharing {
            Sharing::Make => &pool.by_descriptors,
            Sharing::Ninja => &pool.by_path,
            Sharing::Off | Sharing::Cargo => return,
        };
        if !is_set(&command.env, MAKE) {
            command.env.insert(MAKE.into(), value.clone());
        }
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pool(&self) -> Option<&Pool> {
        self.pool.get()?.as_ref()
    }

    /// Returns the pool, opened and filled if it was not.
    fn opened(&self) -> Option<&Pool> {
        if self.pool.get().is_none() {
            let mut tokens = self.tokens();
            let open = || Pool::open().inspect(|pool| pool.fill(tokens.open(self.jobs.max(processors()).min(MOST)))).ok();
            self.pool.get_or_init(open);
        }
        self.pool()
    }
}

impl Pool {
    fn open() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        // Opened anew it has flags of its own. Where the system does not show a process its descriptors so, steps share nothing.
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let own = File::options().read(true).write(true).custom_flags(nonblocking).open(path)?;
        let inherited = [fcntl_dupfd_cloexec(&reader, LEAST_DESCRIPTOR)?, fcntl_dupfd_cloexec(&writer, LEAST_DESCRIPTOR)?];
        for descriptor in &inherited {
            fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        let pair = format!("{},{}", inherited[0].as_raw_fd(), inherited[1].as_raw_fd());
        // A path that needs no file, which a shipway that is killed would leave.
        let path = format!("/proc/{}/fd/{}", std::process::id(), own.as_raw_fd());
        Ok(Self {
            own,
            _inherited: inherited,
            by_descriptors: format!("-j --jobserver-fds={pair} --jobserver-auth={pair}").into(),
            by_path: format!("-j --jobserver-auth=fifo:{path}").into(),
        })
    }

    /// Sees to it that exactly `count` tokens are in the pipe.
    fn fill(&self, count: usize) {
        if ioctl_fionread(&self.own).is_ok_and(|there| there == count as u64) {
            return;
        }
        // Twice what the pipe can hold: whoever fills it faster than that is not a client.
        for _ in 0..32 {
            if self.take(MOST) < MOST {
                break;
            }
        }
        self.give(count);
    }

    /// Takes the tokens that are there, at most `most`.
    fn take(&self, most: usize) -> usize {
        let mut taken = [0; MOST];
        // None is there: it does not wait.
        (&self.own).read(&mut taken[..most.min(MOST)]).unwrap_or(0)
    }

    fn give(&self, count: usize) {
        // Full: then somebody has put in what was never there, and the next one that fills it takes that out.
        let _full = (&self.own).write(&TOKENS[..count]);
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut tokens = self.0.tokens();
        if tokens.end()
            && let Some(pool) = self.0.pool()
        {
            pool.give(1);
        }
    }
}

/// Tells whether a command says itself how many processes it may have, by `-j` or `--jobs` of some program in it: that is left as it is.
fn says_how_many(words: &[String]) -> bool {
    let flag = |word: &str| {
        let letters = word.strip_prefix('-').unwrap_or_default().trim_end_matches(|c: char| c.is_ascii_digit());
        let is_cluster = letters.ends_with('j') && letters.bytes().all(|letter| letter.is_ascii_alphabetic());
        is_cluster || word.starts_with("-j") || word.starts_with("--jobs")
    };
    words.iter().flat_map(|word| word.split_ascii_whitespace()).any(flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many tokens a client finds, which it gives back.
    fn found(pool: &Pool) -> usize {
        let found = pool.take(MOST);
        pool.give(found);
        found
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn tokens_move_with_stages_and_what_was_lost_comes_back() {
        let all = processors().max(4);
        let jobserver = Jobserver::new(4);
        let first = jobserver.begin();
        assert!(jobserver.pool().is_none(), "nobody asked for it");
        let pool = jobserver.opened().unwrap();
        assert_eq!(found(pool), all - 1);
        let second = jobserver.begin();
        assert_eq!(found(pool), all - 2);
        // A client of the one has all.
        assert_eq!(pool.take(MOST), all - 2);
        let third = jobserver.begin();
        drop(second);
        assert_eq!(found(pool), 0);
        drop(third);
        assert_eq!(found(pool), 1);
        // It is killed, and another one gave back what it never had.
        pool.give(MOST);
        drop(first);
        let _next = jobserver.begin();
        assert_eq!(found(pool), all - 1);
    }

    #[test]
    fn a_number_of_ones_own_is_seen() {
        let is = |words: &[&str]| says_how_many(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        for words in [&["make", "-j"][..], &["make", "-kj8"], &["sh", "-c", "cd x && make -j$(nproc)"], &["cargo", "b", "--jobs=1"]] {
            assert!(is(words), "{words:?}");
        }
        for words in [&["make", "all"][..], &["cargo", "build", "--json"], &["sh", "-eu", "-c", "run x-j8 --j"], &["ls", "-", "--", "-k8"]]
        {
            assert!(!is(words), "{words:?}");
        }
    }
}
