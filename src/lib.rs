//! shipway runs the pipeline that a `pipeline.toml` declares.
//!
//! The house, from the street to the ground. Imports lead down, never up and never in a circle; `tests/layers.rs` sees to it.
//!
//! ```text
//! floor 5  main.rs
//! floor 4  cli/       what people type and are told; the only place that knows every other
//! floor 3  engine/    plan, schedule, attempt, run: what may start, what one stage does
//! floor 2  config/  exec/  record/  report/      siblings; none imports another
//!          file     steps  runs     what
//!          to       as     of the   people
//!          model    procs  past     see
//! floor 1  model/     the nouns: pipeline, stage, graph, event, outcome; pure data
//! floor 0  base/      digits and letters: paths, durations, text, secrets, diagnostics
//! ```
//!
//! How a pipeline flows through it:
//!
//! ```text
//! pipeline.toml --config::load--> Pipeline             | or every problem of the file, exit 2
//! Pipeline + what was asked for --model::select, engine::plan--> Plan
//! Plan --engine::run: schedule, workers, exec--> events --> report::terminal | report::json | record::writer
//! the last event --> model::outcome::Exit --> exit code
//! ```

pub mod base;
pub mod cache;
pub mod cli;
pub mod config;
pub mod engine;
pub mod exec;
pub mod git;
pub mod inputs;
pub mod model;
pub mod programs;
pub mod record;
pub mod report;
pub mod store;
