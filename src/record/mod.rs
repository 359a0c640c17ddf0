//! The runs of the past: each is the JSON lines of its events, one file under `.shipway/runs/`.
//!
//! What is recorded is exactly what `--format json` prints, so every report can be made later.

pub mod reader;
pub mod writer;

mod pen;

/// The folder of the records in `.shipway/`.
pub const RUNS: &str = "runs";

/// How the file of a record ends.
const ENDING: &str = ".jsonl";
