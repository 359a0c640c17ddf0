//! Writes the record of a run while it runs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;

use super::pen::Pen;
use super::{ENDING, RUNS};
use crate::base::state;
use crate::model::event::{Event, EventKind, Listener};

/// How many records are kept, and how many bytes of them.
const MOST_RUNS: usize = 100;
const MOST_BYTES: u64 = 1 << 30;

/// How much is gathered before it is written, while more is waiting.
const GATHERED: usize = 128 * 1024;

/// Old records of more bytes than this are removed beside the run.
const LARGE: u64 = 16 << 20;

/// Listens to a run and keeps it. A run that cannot be recorded goes on all the same.
#[derive(Debug)]
pub struct Recorder {
    out: Option<Pen>,
    /// Events that are not written yet.
    gathered: Vec<u8>,
    error: Option<io::Error>,
    /// Removes old records.
    remover: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Begins the record of a new run of the pipeline in `root`, and removes the oldest records where there are too many. Returns the
    /// run's id with it.
    pub fn begin(root: &Path) -> (Arc<str>, Self) {
        let (id, out, error, remover) = match create(root) {
            Ok((id, file, remover)) => (id, Some(Pen::new(file)), None, remover),
            Err(error) => (new_id(0), None, Some(error), None),
        };
        (id, Self { out, gathered: Vec::new(), error, remover })
    }

    /// Returns why the run is not, or not wholly, recorded, if so. Known for good once the run's last event was heard.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    fn write(&mut self) {
        self.attempt(Pen::write);
    }

    fn attempt(&mut self, write: impl FnOnce(&mut Pen, &mut Vec<u8>) -> io::Result<()>) {
        let Some(out) = &mut self.out else { return };
        if let Err(error) = write(out, &mut self.gathered) {
            self.error = Some(error);
            self.out = None;
        }
    }
}

impl Listener for Recorder {
    fn hear(&mut self, event: &Event) {
        if self.out.is_none() {
            return;
        }
        event.write_json(&mut self.gathered);
        self.gathered.push(b'\n');
        if self.gathered.len() >= GATHERED {
            self.write();
        }
        if matches!(event.kind, EventKind::RunFinished { .. }) {
            self.write();
            self.attempt(|out, _| out.finish());
        }
    }

    fn idle(&mut self) -> Option<Duration> {
        if !self.gathered.is_empty() {
            self.write();
        }
        None
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.idle();
        if let Some(remover) = self.remover.take() {
            let _failed = remover.join();
        }
    }
}

fn create(root: &Path) -> io::Result<(Arc<str>, File, Option<JoinHandle<()>>)> {
    let folder = state::folder(root)?.join(RUNS);
    fs::create_dir_all(&folder)?;
    let remover = prune(&folder)?;
    let mut salt = 0;
    loop {
        let id = new_id(salt);
        match File::options().write(true).create_new(true).open(folder.join(format!("{id}{ENDING}"))) {
            Ok(file) => return Ok((id, file, remover)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => salt += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Returns an id that sorts by time: to the millisecond, and the process for two runs at once.
fn new_id(salt: u32) -> Arc<str> {
    let now = Timestamp::now();
    let second = now.strftime("%Y%m%d-%H%M%S");
    format!("{second}-{:03}-{:x}", now.subsec_millisecond(), std::process::id().wrapping_add(salt)).into()
}

/// Removes the oldest records until few enough are left; on a thread where that takes long.
fn prune(folder: &Path) -> io::Result<Option<JoinHandle<()>>> {
    let mut records: Vec<(PathBuf, u64)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(ENDING) {
            records.push((entry.path(), entry.metadata().map_or(0, |metadata| metadata.len())));
        }
    }
    records.sort_unstable_by(|a, b| b.cmp(a));
    let mut bytes = 0;
    let mut is_surplus = |index: usize, size: u64| {
        bytes += size;
        index + 1 >= MOST_RUNS || bytes > MOST_BYTES
    };
    let surplus: Vec<(PathBuf, u64)> =
        records.into_iter().enumerate().filter(|(index, (_, size))| is_surplus(*index, *size)).map(|(_, record)| record).collect();
    let size: u64 = surplus.iter().map(|(_, size)| size).sum();
    let remove = move || {
        for (path, _) in surplus {
            // Another run may have been faster.
            let _gone = fs::remove_file(path);
        }
    };
    if size > LARGE {
        // Without a thread they are left to the next run.
        return Ok(thread::Builder::new().name("prune".to_owned()).spawn(remove).ok());
    }
    remove();
    Ok(None)
}
