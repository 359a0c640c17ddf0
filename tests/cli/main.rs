//! shipway from outside: the real program on small real projects.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails, and it starts programs as a user does"
)]

mod examples;
mod file;
mod hostile;
mod processes;
mod project;
mod run;
