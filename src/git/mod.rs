//! What git knows, asked of `git` itself.

pub mod aside;
pub mod chain;
pub mod changes;
pub mod home;
pub mod pushed;
pub mod remote;
pub mod repo;
pub mod same;
pub mod script;
pub mod state;
pub mod tracked;
