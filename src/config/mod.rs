//! From the bytes of a `pipeline.toml` to a [`Pipeline`](crate::model::pipeline::Pipeline), or to everything that is wrong with it.
//!
//! ```text
//! bytes --source--> text --read (guided by schema)--> fields --stages, matrix--> flat stages --resolve--> Pipeline
//!                                                             kept while its files say the same: snapshot
//!   ^ included files: include \________________________ all problems, with their places ________________/
//! ```
//!
//! Nothing stops at the first problem. Knows the file format; knows nothing of running.

pub mod folder;
pub mod json_schema;
pub mod named;
pub mod resolve;
pub mod schema;
pub mod snapshot;

mod check;
mod delivery;
mod environments;
mod fields;
mod include;
mod matrix;
mod place;
mod pools;
mod read;
mod reports;
mod scope;
mod services;
mod stages;
mod targets;
mod templates;

pub use resolve::{load, load_with};
