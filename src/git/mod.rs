//! What git knows, asked of `git` itself.

pub mod changes;
pub mod repo;
