//! What git knows, asked of `git` itself.

pub mod repo;
