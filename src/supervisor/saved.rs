//! What a supervisor serves, in a file: written whole before it takes effect, so that whoever is started after it serves the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::request::{Launch, Request, VERSION};
use crate::base::text::visible;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    v: u32,
    /// The releases, by slot.
    pub(super) slots: BTreeMap<String, Kept>,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) release: String,
    /// Without the values of secrets.
    pub(super) launch: Launch,
    pub(super) weight: u8,
    /// Whether it ever had connections: then it is started again whenever it ends.
    pub(super) has_served: bool,
}

impl Saved {
    /// Returns what these releases are, as the file has it.
    pub(super) fn of(slots: BTreeMap<String, Kept>) -> Self {
        Self { v: VERSION, slots }
    }

    /// Returns the share of new connections of a slot, in percent.
    pub(super) fn weight(&self, slot: &str) -> u8 {
        self.slots.get(slot).map_or(0, |kept| kept.weight)
    }

    /// Returns what is served once a request is done; `None` where nothing is to be done for it. `runs` tells whether the release in a slot
    /// does. The error says why it cannot be done.
    pub(super) fn after(&self, request: &Request, runs: impl Fn(&str) -> bool) -> Result<Option<Self>, String> {
        let mut next = self.clone();
        match request {
            Request::Observe | Request::End => return Ok(None),
            Request::Start { slot, release, launch } => {
                let (own, other) = match self.slots.get(slot) {
                    Some(kept) if kept.release == *release => (Some(kept), None),
                    other => (None, other),
                };
                if own.is_some() && runs(slot) {
                    return Ok(None);
                }
                if let Some(other) = other.filter(|other| other.weight > 0) {
                    return Err(format!("the slot `{}` serves {}", visible(slot), visible(&other.release)));
                }
                let (weight, has_served) = own.map_or((0, false), |own| (own.weight, own.has_served));
                let kept = Kept { release: release.clone(), launch: launch.without_secrets(), weight, has_served };
                next.slots.insert(slot.clone(), kept);
                return Ok(Some(next));
            }
            Request::Shift { slot, release, weight } => {
                if self.slots.get(slot).is_none_or(|kept| kept.release != *release) {
                    // What is not there has no share.
                    let why = || format!("the release is not in the slot `{}`", visible(slot));
                    return if *weight == 0 { Ok(None) } else { Err(why()) };
                }
                next.shift(slot, *weight)?;
            }
            Request::Stop { slot, release } => {
                if self.slots.get(slot).is_some_and(|kept| kept.release == *release) {
                    next.slots.remove(slot);
                }
            }
        }
        Ok(Some(next).filter(|next| next != self))
    }

    /// Gives a slot its share; of the others the one that has most gets what is left.
    fn shift(&mut self, slot: &str, weight: u8) -> Result<(), String> {
        let left = 100_u8.checked_sub(weight).ok_or_else(|| format!("{weight} % is more than all"))?;
        let others = self.slots.iter().filter(|(name, _)| *name != slot);
        let heaviest = others.max_by_key(|(_, kept)| kept.weight).map(|(name, _)| name.clone());
        for (name, kept) in &mut self.slots {
            kept.weight = match name {
                name if name == slot => weight,
                name if Some(name) == heaviest.as_ref() => left,
                _ => 0,
            };
            kept.has_served |= kept.weight > 0;
        }
        Ok(())
    }

    /// Reads the file; one that is not there says that nothing is served.
    pub(super) fn load(path: &Path) -> io::Result<Self> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::of(BTreeMap::new())),
            text => text?,
        };
        let saved: Self = serde_json::from_slice(&text).map_err(io::Error::other)?;
        if saved.v == VERSION { Ok(saved) } else { Err(io::Error::other("it was written by another version")) }
    }

    /// Writes the file, and waits until it is on the disk.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(path);
        let mut file = tempfile::Builder::new().prefix(".saved-").tempfile_in(folder)?;
        serde_json::to_writer(&mut file, self)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    fn launch() -> Launch {
        Launch {
            words: vec!["serve".to_owned(), "\0".to_owned()],
            dir: PathBuf::from("/"),
            env: BTreeMap::from([("PORT".to_owned(), "\0".to_owned())]),
            secrets: BTreeMap::from([("KEY".to_owned(), Some("hidden".to_owned()))]),
            drain: Duration::from_secs(30),
        }
    }

    fn start(slot: &str, release: &str) -> Request {
        Request::Start { slot: slot.to_owned(), release: release.to_owned(), launch: launch() }
    }

    fn shift(slot: &str, release: &str, weight: u8) -> Request {
        Request::Shift { slot: slot.to_owned(), release: release.to_owned(), weight }
    }

    fn stop(slot: &str, release: &str) -> Request {
        Request::Stop { slot: slot.to_owned(), release: release.to_owned() }
    }

    fn weights(saved: &Saved) -> Vec<(&str, &str, u8)> {
        saved.slots.iter().map(|(slot, kept)| (slot.as_str(), kept.release.as_str(), kept.weight)).collect()
    }

    #[test]
    fn each_request_leads_on_and_again_nowhere() {
        let mut saved = Saved::of(BTreeMap::new());
        for (request, expected) in [
            (start("blue", "a"), vec![("blue", "a", 0)]),
            (shift("blue", "a", 5), vec![("blue", "a", 5)]),
            (shift("blue", "a", 100), vec![("blue", "a", 100)]),
            (start("green", "b"), vec![("blue", "a", 100), ("green", "b", 0)]),
            (shift("green", "b", 5), vec![("blue", "a", 95), ("green", "b", 5)]),
            (shift("green", "b", 100), vec![("blue", "a", 0), ("green", "b", 100)]),
            (start("blue", "c"), vec![("blue", "c", 0), ("green", "b", 100)]),
            (stop("blue", "c"), vec![("green", "b", 100)]),
            (shift("green", "b", 0), vec![("green", "b", 0)]),
        ] {
            saved = saved.after(&request, |_| true).unwrap().unwrap();
            assert_eq!(weights(&saved), expected);
            assert_eq!(saved.after(&request, |_| true), Ok(None), "{request:?}");
        }
        assert!(saved.slots["green"].has_served);
        assert_eq!(saved.after(&stop("green", "a"), |_| true), Ok(None), "another one is there");
        assert_eq!(saved.after(&shift("blue", "a", 0), |_| true), Ok(None), "it is not there");
        assert!(saved.after(&start("green", "b"), |_| false).unwrap().is_some(), "it does not run");
        saved.after(&shift("blue", "a", 5), |_| true).unwrap_err();
        saved.after(&shift("green", "b", 101), |_| true).unwrap_err();
        let serving = saved.after(&shift("green", "b", 100), |_| true).unwrap().unwrap();
        assert_eq!(serving.after(&start("green", "c"), |_| true), Err("the slot `green` serves b".to_owned()));
    }

    #[test]
    fn what_is_saved_is_what_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saved.json");
        assert_eq!(Saved::load(&path).unwrap(), Saved::of(BTreeMap::new()));
        let saved = Saved::of(BTreeMap::new()).after(&start("blue", "a"), |_| false).unwrap().unwrap();
        saved.save(&path).unwrap();
        assert_eq!(Saved::load(&path).unwrap(), saved);
        assert!(!fs::read_to_string(&path).unwrap().contains("hidden"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "what a release is told is nobody else's");
        fs::write(&path, "{\"v\":1").unwrap();
        Saved::load(&path).unwrap_err();
        fs::write(&path, "{\"v\":2,\"slots\":{}}").unwrap();
        assert!(Saved::load(&path).unwrap_err().to_string().contains("another version"));
    }
}
