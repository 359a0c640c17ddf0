//! Which programs a stage starts, and which file or question tells one from another.
//!
//! Knows shell lines, PATH, scripts and version managers; starts nothing.

pub mod identity;
mod script;
pub mod shim;
pub mod tools;
pub mod words;
