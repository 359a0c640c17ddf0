//! The ground floor: small tools that know nothing of pipelines.
//!
//! Everything here is usable on its own and imports nothing else of the crate.

pub mod diagnostic;
pub mod duration;
pub mod files;
pub mod glob;
pub mod nearest;
pub mod secret;
pub mod source;
pub mod text;
