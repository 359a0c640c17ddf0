//! Writes the record of a run while it runs.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{ENDING, RUNS};
use crate::base::state;
use crate::model::event::{Event, Listener};

/// How many records are kept, and how many bytes of them.
const MOST_RUNS: usize = 100;
const MOST_BYTES: u64 = 1 << 30;

/// Listens to a run and keeps it. A run that cannot be recorded goes on all the same.
#[derive(Debug)]
pub struct Recorder {
    out: Option<BufWriter<File>>,
    error: Option<io::Error>,
}

impl Recorder {
    /// Begins the record of a new run of the pipeline in `root`, and removes the oldest records where there are too many. Returns the
    /// run's id with it.
    pub fn begin(root: &Path) -> (Arc<str>, Self) {
        match create(root) {
            Ok((id, file)) => (id, Self { out: Some(BufWriter::with_capacity(128 * 1024, file)), error: None }),
            Err(error) => (new_id(0), Self { out: None, error: Some(error) }),
        }
    }

    /// Returns why the run is not, or not wholly, recorded, if so.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    fn attempt(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        if let Some(Err(error)) = self.out.as_mut().map(write) {
            self.error = Some(error);
            // What is still in the buffer cannot be written either.
            if let Some(out) = self.out.take() {
                let _parts = out.into_parts();
            }
        }
    }
}

impl Listener for Recorder {
    fn hear(&mut self, event: &Event) {
        self.attempt(|out| writeln!(out, "{}", event.to_json()));
    }

    fn idle(&mut self) -> Option<Duration> {
        self.attempt(BufWriter::flush);
        None
    }
}

fn create(root: &Path) -> io::Result<(Arc<str>, File)> {
    let folder = state::folder(root)?.join(RUNS);
    fs::create_dir_all(&folder)?;
    prune(&folder)?;
    let mut salt = 0;
    loop {
        let id = new_id(salt);
        match File::options().write(true).create_new(true).open(folder.join(format!("{id}{ENDING}"))) {
            Ok(file) => return Ok((id, file)),
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

/// Removes the oldest records until few enough are left.
fn prune(folder: &Path) -> io::Result<()> {
    let mut records: Vec<(PathBuf, u64)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(ENDING) {
            records.push((entry.path(), entry.metadata().map_or(0, |metadata| metadata.len())));
        }
    }
    records.sort_unstable_by(|a, b| b.cmp(a));
    let mut bytes = 0;
    for (index, (path, size)) in records.iter().enumerate() {
        bytes += size;
        if index + 1 >= MOST_RUNS || bytes > MOST_BYTES {
            // Another run may have been faster.
            let _gone = fs::remove_file(path);
        }
    }
    Ok(())
}
