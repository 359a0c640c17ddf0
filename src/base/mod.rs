//! The ground floor: small tools that know nothing of pipelines.
//!
//! Everything here is usable on its own and imports nothing else of the crate.

pub mod base64;
pub mod buffers;
pub mod diagnostic;
pub mod digest;
pub mod duration;
pub mod files;
pub mod glob;
pub mod journal;
pub mod json;
pub mod json_text;
pub mod nameless;
pub mod nearest;
pub mod parallel;
pub mod placeholder;
pub mod places;
pub mod program;
mod reach;
pub mod secret;
pub mod signal;
pub mod size;
pub mod source;
pub mod stamp;
pub mod state;
pub mod text;
