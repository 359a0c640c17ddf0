//! Reads the records of past runs.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::{ENDING, RUNS};
use crate::base::state::STATE;
use crate::model::event::{Event, EventKind};
use crate::model::outcome::{Counts, RunOutcome};

/// How much of the end of a record is looked at for its last event.
const LAST_BYTES: u64 = 8 * 1024;

/// A recorded run.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its id.
    pub id: String,
    path: PathBuf,
}

/// A recorded run in a line.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// Its id.
    pub run: String,
    /// When it began.
    pub at: Option<Timestamp>,
    /// The pipeline's name.
    pub pipeline: String,
    /// How many stages were selected.
    pub stages: usize,
    /// How it ended; null where it runs still, or was killed.
    pub outcome: Option<RunOutcome>,
    /// What shipway exited with.
    pub exit_code: Option<u8>,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// How many stages ended how.
    pub counts: Option<Counts>,
}

/// Returns the records of the pipeline in `root`, the newest first.
///
/// # Errors
/// Where they cannot be read; that there are none is no error.
pub fn records(root: &Path) -> io::Result<Vec<Record>> {
    let entries = match fs::read_dir(root.join(STATE).join(RUNS)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut records = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(id) = name.strip_suffix(ENDING).filter(|_| path.is_file()) {
            records.push(Record { id: id.to_owned(), path });
        }
    }
    records.sort_unstable_by(|a, b| b.id.cmp(&a.id));
    Ok(records)
}

impl Record {
    /// Gives each event to `hear`. A record that ends in the middle of a line, as that of a killed run may, is read up to there.
    ///
    /// # Errors
    /// Where it cannot be read, or holds something else than events.
    pub fn replay(&self, mut hear: impl FnMut(Event)) -> io::Result<()> {
        let mut reader = BufReader::new(File::open(&self.path)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            reader.read_until(b'\n', &mut line)?;
            if line.pop() != Some(b'\n') {
                return Ok(());
            }
            let text = str::from_utf8(&line).map_err(io::Error::other)?;
            hear(Event::from_json(text).map_err(io::Error::other)?);
        }
    }

    /// Returns the run in a line, from its first and its last event.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn overview(&self) -> io::Result<Overview> {
        let mut file = File::open(&self.path)?;
        let mut overview = Overview {
            run: self.id.clone(),
            at: None,
            pipeline: String::new(),
            stages: 0,
            outcome: None,
            exit_code: None,
            duration_ms: None,
            counts: None,
        };
        let mut first = Vec::new();
        BufReader::new(&file).read_until(b'\n', &mut first)?;
        let first = String::from_utf8_lossy(&first);
        if let Ok(Event { at, kind: EventKind::RunStarted { pipeline, stages, .. }, .. }) = Event::from_json(first.trim_end()) {
            overview = Overview { at: Some(at), pipeline, stages: stages.len(), ..overview };
        }
        let size = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(size.saturating_sub(LAST_BYTES)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        let end = String::from_utf8_lossy(&end);
        if let Some(Ok(Event { kind: EventKind::RunFinished { outcome, exit_code, duration_ms, counts }, .. })) =
            end.trim_end().rsplit('\n').next().map(Event::from_json)
        {
            overview = Overview {
                outcome: Some(outcome),
                exit_code: Some(exit_code),
                duration_ms: Some(duration_ms),
                counts: Some(counts),
                ..overview
            };
        }
        Ok(overview)
    }
}
