//! What people type, and what they are told: the only place that knows every other.

mod app;
mod check;
mod failing;
mod flags;
mod generate;
mod graph;
mod list;
mod project;
mod report;
mod run;
mod runs;
mod screen;
mod signals;

pub use app::main;
