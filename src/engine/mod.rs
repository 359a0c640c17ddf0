//! Running a plan: what may start, what one stage does, and what it all comes to.
//!
//! ```text
//! Pipeline + Selection --plan--> Plan                   | with --affected: less what does not differ from a commit
//! Plan + checkout --memory--> what is known: key (of inputs, programs, results), stored result, what lies in the outputs
//!                      `--traces--> known as they were last time
//! coordinator (run): schedule --StageId--> worker: turn --known--> restore
//!                       ^                     |      `--else--> attempt --StepCommand--> Executor, then store
//!                       `------- Message -----'      every change --Event--> Listeners
//! a stage with services: beside --> services (who uses what; started once, ended after the last; books in pool)
//! ```
//!
//! One coordinator owns the schedule and the listeners; workers own nothing. The engine prints nothing.

pub mod affected;
mod attempt;
mod behind;
mod beside;
pub mod checkout;
mod commit;
pub mod elsewhere;
pub mod identities;
mod known;
pub mod memory;
mod mention;
mod others;
mod parts;
pub mod plan;
mod reporting;
mod reports;
pub mod run;
pub mod schedule;
pub mod services;

mod emitter;
mod keep;
mod key;
mod outbox;
mod pool;
pub mod predict;
pub mod reason;
mod reuse;
mod tail;
pub mod traces;
mod turn;
mod upheld;
pub mod view;
