//! Processes: starting them, listening to them, and making sure that none is left.
//!
//! ```text
//! StepCommand --local--> process (one step: pipes, deadline, TERM, grace, KILL)
//!                          |-- streams   bytes -> masked text
//!                          |-- sweep     whatever the step left behind, by /proc (processes)
//!                          `-- guard     the same, should shipway itself be killed
//! StepCommand <--jobserver-- how many processes it may start beside those of other steps (tokens: the books)
//! StepCommand --service--> the same on a thread of its own; --probe--> can it be used? (listeners: whose is the port?)
//! ```
//!
//! Knows nothing of stages waiting for each other, of events, or of why something is run.

pub mod cancel;
pub mod detached;
pub mod environment;
pub mod executor;
pub mod guard;
pub mod jobserver;
pub mod local;
pub mod probe;
pub mod processes;
pub mod service;

mod capture;
mod listeners;
mod process;
mod session;
mod streams;
mod sweep;
mod tokens;
mod watch;
