//! Results that are known already: the key that stands for one, and what lies where its outputs belong.
//!
//! Knows files, digests and the store; knows nothing of processes or events.
//!
//! ```text
//! files on disk --files (stat cache, table)--> digests --> fingerprint --> key
//!                             \--trace--> what was seen of a good stage, to be seen again
//! outputs on disk --outputs--> what lies there --capture--> store
//!                              what lies there <--restore-- store        custody, by what was left: whose it is; hold: who may
//! ```

pub mod capture;
pub mod custody;
pub mod files;
pub mod fingerprint;
pub mod hold;
mod index;
pub mod left;
pub mod log;
mod mark;
pub mod outputs;
pub mod restore;
mod spare;
mod table;
pub mod trace;
