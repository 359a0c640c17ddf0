//! Traffic: clients that ask an address all the time, and count which answers come and which requests are lost.
//!
//! Knows nothing of releases: what is answered tells who answers.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::exchange::{Answer, Connection};
use crate::base::digest::Hash;
use crate::base::program::plain;
use crate::model::service::Address;

/// So many different answers are told apart, in so many bytes each; of a longer one the hash is.
const MOST_ANSWERS: usize = 64;
const LONGEST_ANSWER: usize = 1024;

/// What counts for all further answers.
const OTHERS: &str = "other answers";

/// A measurement ends when so many requests were lost in it: how it goes is known then.
const MOST_LOST: u64 = 20;

/// How often a measurement is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// How long a client waits after a request that was lost, so that who refuses at once is not asked for nothing else.
const PAUSE: Duration = Duration::from_millis(5);

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often each answer came.
    pub answers: BTreeMap<String, u64>,
    /// How many requests got no whole answer with a status from 200 to 299.
    pub lost: u64,
    /// Why the last one was lost.
    pub why: Option<String>,
}

impl Tally {
    /// Returns how many requests were answered.
    pub fn answered(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Returns how often one of the answers came for which this holds.
    pub fn of(&self, is: impl Fn(&str) -> bool) -> u64 {
        self.answers.iter().filter(|(answer, _)| is(answer)).map(|(_, count)| count).sum()
    }

    fn count(&mut self, came: &Result<String, String>) {
        match came {
            Ok(answer) => {
                let has_room = self.answers.len() < MOST_ANSWERS || self.answers.contains_key(answer);
                *self.answers.entry(if has_room { answer.clone() } else { OTHERS.to_owned() }).or_default() += 1;
            }
            Err(why) => {
                self.lost += 1;
                self.why = Some(why.clone());
            }
        }
    }
}

/// What the clients count together.
#[derive(Debug, Default)]
struct Counts {
    all: Tally,
    /// Of the first request of each connection that was opened in the measurement of this number.
    measured: Tally,
    measurement: u64,
}

#[derive(Debug)]
struct Shared {
    address: Address,
    header: Option<String>,
    counts: Mutex<Counts>,
    is_over: AtomicBool,
}

/// Clients that ask all the time, until they are ended.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins to ask: a client for each of `clients`, which makes so many requests over each of its connections. The body tells answers apart,
    /// or the field `header` of the head.
    ///
    /// # Errors
    /// Where the system has no threads left.
    pub fn begin(address: &Address, header: Option<&str>, clients: &[u32]) -> io::Result<Self> {
        let header = header.map(str::to_ascii_lowercase);
        let shared = Arc::new(Shared { address: address.clone(), header, counts: Mutex::default(), is_over: AtomicBool::new(false) });
        let mut load = Self { shared, clients: Vec::new() };
        for requests in clients {
            let (shared, requests) = (load.shared.clone(), *requests);
            load.clients.push(thread::Builder::new().name("client".to_owned()).spawn(move || shared.ask_on(requests))?);
        }
        Ok(load)
    }

    /// Measures who answers from now on: counts the first request of each connection that is opened from here on, until there were
    /// `requests`, most of what comes is lost, or `goes_on` says no. What is open already may lead where it led.
    pub fn measure(&self, requests: u64, mut goes_on: impl FnMut() -> bool) -> Tally {
        let before = {
            let mut counts = self.shared.counts();
            counts.measurement += 1;
            counts.measured = Tally::default();
            counts.all.lost
        };
        loop {
            let counts = self.shared.counts();
            let (measured, lost) = (&counts.measured, counts.all.lost - before);
            if measured.answered() + measured.lost >= requests || lost >= MOST_LOST || !goes_on() {
                return measured.clone();
            }
            drop(counts);
            thread::sleep(LOOK);
        }
    }

    /// Returns what was counted by now, of all requests.
    pub fn counted(&self) -> Tally {
        self.shared.counts().all.clone()
    }

    /// Ends the clients, once each has its last answer; returns what was counted, of all requests.
    pub fn end(mut self) -> Tally {
        self.stop();
        self.counted()
    }

    fn stop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.clients.drain(..).for_each(|client| drop(client.join()));
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Opens one connection after the other, each for so many requests.
    fn ask_on(&self, requests: u32) {
        while !self.is_over() {
            let measurement = self.counts().measurement;
            if !self.ask_over_one(requests, measurement) {
                thread::sleep(PAUSE);
            }
        }
    }

    /// Asks over one connection, which is opened in this measurement; tells whether every request was answered.
    fn ask_over_one(&self, requests: u32, measurement: u64) -> bool {
        let mut connection = Connection::open(&self.address);
        for number in 1..=requests {
            let is_last = number == requests || self.is_over();
            let answer =
                connection.as_mut().map_err(|error| plain(error)).and_then(|open| open.ask(is_last).map_err(|error| plain(&error)));
            self.count(&answer.as_ref().map(|answer| self.name(answer)).map_err(String::clone), measurement, number == 1);
            match answer {
                Ok(answer) if answer.stays => {}
                Ok(_) => break,
                Err(_) => return false,
            }
        }
        true
    }

    /// Returns what tells the answer apart from others.
    fn name(&self, answer: &Answer) -> String {
        if let Some(header) = &self.header {
            return answer.field(header).unwrap_or_default().to_owned();
        }
        let is_long = answer.body.len() > LONGEST_ANSWER;
        if is_long { Hash::of(&answer.body).to_string() } else { String::from_utf8_lossy(&answer.body).into_owned() }
    }

    fn count(&self, came: &Result<String, String>, measurement: u64, is_first: bool) {
        let mut counts = self.counts();
        counts.all.count(came);
        if is_first && counts.measurement == measurement {
            counts.measured.count(came);
        }
    }
}

#[cfg(test)]
mod tests;
