//! What serves on one machine: a listener that stays, the processes of at most two releases behind it, and new connections split by weight.
//!
//! ```text
//! clients --front--> connection: a way by the splitter --> a release's process on a port of its own (instance)
//! shipway --place, request--> control --> table: what is where, saved before it takes effect --> front, instances
//! ```
//!
//! Knows nothing of ledgers, phases or pipelines: which release is whose slot, and how much of the traffic it has, it is told.

pub mod place;
pub mod request;
pub mod run;

mod connection;
mod control;
mod front;
mod instance;
mod log;
mod saved;
mod splitter;
mod table;
