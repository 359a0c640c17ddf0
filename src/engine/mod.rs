//! Running a plan: what may start, what one stage does, and what it all comes to.
//!
//! ```text
//! Pipeline + Selection --plan--> Plan
//! coordinator (run): schedule --StageId--> worker: attempt --StepCommand--> Executor
//!                       ^                     |
//!                       `------- Message -----'      every change --Event--> Listeners
//! ```
//!
//! One coordinator owns the schedule and the listeners; workers own nothing. The engine prints nothing.

mod attempt;
pub mod plan;
pub mod run;
pub mod schedule;

mod emitter;
mod outbox;
mod tail;
