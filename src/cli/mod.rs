//! What people type, and what they are told: the only place that knows every other.

mod affected;
mod app;
mod cache;
mod check;
mod ends;
mod execute;
mod failing;
mod flags;
mod generate;
mod graph;
mod hook;
mod hooked;
mod init;
mod list;
mod lookout;
mod origin;
mod project;
mod report;
mod reports;
mod run;
mod runs;
mod screen;
mod session;
mod signals;
mod twice;
mod watch;
mod why;
mod workflow;

pub use app::main;
