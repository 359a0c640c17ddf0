//! shipway runs the pipeline that a `pipeline.toml` declares.
//!
//! The house, from the street to the ground. Imports lead down, never up and never in a circle; `tests/layers.rs` sees to it.
//!
//! ```text
//! floor 6  main.rs
//! floor 5  cli/       what people type and are told; the only place that knows every other
//! floor 4  delivery/  releases, what has to hold before one comes in, how it is brought there and back
//! floor 3  engine/    plan, schedule, key, turn, attempt, run: what may start, what is reused, what one stage does
//!          supervisor/  a listener that stays, and the processes of releases behind it
//! floor 2  config/  inputs/   programs/  cache/       exec/  findings/  record/  report/  notice/    starter/    ledger/   siblings;
//!          file     which     what       keys, and    steps  what       runs     what     what       a first     releases  none imports
//!          to       files a   starts,    what lies    as     report     of the   people   changes    pipeline,   and what  another
//!          model    stage     which one  in outputs   procs  files      past     see      meanwhile  for a       became
//!                   reads     it is                          say                                     project     of them
//! floor 1  model/     the nouns: pipeline, stage, graph, event, outcome; pure data
//!          store/     what came out of stages: records, blobs       git/  what git knows, hooks, checkouts aside
//! floor 0  base/      digits and letters: paths, digests, durations, text, secrets, diagnostics
//! ```
//!
//! How a pipeline flows through it:
//!
//! ```text
//! pipeline.toml --config::load--> Pipeline             | or every problem of the file, exit 2
//! Pipeline + what was asked for --model::select, engine::plan--> Plan
//! a stage's turn: inputs + programs --engine::key--> Fingerprint --> key
//!                 known key  --store--> StageResult --cache::restore--> outputs in their place
//!                 else exec: steps as processes --findings--> tests, problems, metrics --cache::capture--> store
//! Plan --engine::run: schedule, workers, turns--> events --> report::terminal | report::json | record::writer
//! events, now or from record::reader --report::story--> a story --> report::html | junit | markdown | trace
//! the last event --> model::outcome::Exit --> exit code
//! what passed --delivery::package--> release --admission, policy, approval--> promote: phase by phase, each in the ledger --> environment
//! ```

pub mod base;
pub mod cache;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod engine;
pub mod exec;
pub mod findings;
pub mod git;
pub mod inputs;
pub mod ledger;
pub mod model;
pub mod notice;
pub mod programs;
pub mod record;
pub mod report;
pub mod starter;
pub mod store;
pub mod supervisor;
