//! What report files say: the formats of test runners, scanners and meters, read from bytes that nobody vouches for.
//!
//! ```text
//! bytes --encoding--> text --junit--> tests     \
//! bytes ----------------------sarif--> problems  > read: Findings, and what in them fails the stage
//! bytes --------------------metrics--> numbers  /
//! ```
//!
//! Knows formats and limits; knows nothing of stages, stores, or where the bytes come from.

pub mod read;

mod encoding;
mod junit;
mod metrics;
mod place;
mod room;
mod sarif;
mod sink;
mod uri;
