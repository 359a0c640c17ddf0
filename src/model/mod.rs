//! The nouns: pure data, without any input or output.

pub mod definition;
pub mod delivery;
pub mod environment;
pub mod event;
pub mod findings;
pub mod freeze;
pub mod graph;
pub mod outcome;
pub mod pipeline;
pub mod reports;
pub mod select;
pub mod service;
pub mod stage;
pub mod target;
