//! Reporters: they hear events and write them for people and programs. None of them knows the engine.

pub mod bars;
pub mod course;
pub mod diagnostics;
pub mod dialect;
pub mod failure;
pub mod findings;
pub mod form;
pub mod html;
pub mod json;
pub mod junit;
pub mod lines;
pub mod log;
pub mod markdown;
pub mod places;
pub mod roomy;
mod services;
pub mod spans;
pub mod step_summary;
pub mod story;
pub mod terminal;
pub mod theme;
pub mod tolerant;
pub mod trace;
mod words;
