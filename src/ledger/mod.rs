//! What was released, and what became of it: the record of deliveries in the repository (contract, section 8).
//!
//! ```text
//! entry --journal: commit behind the last, ref moved from what was seen--> refs/shipway/ledger --history: fold--> what is where
//! ```
//!
//! Nothing else is stored: who reads all entries knows all.

pub mod entry;
pub mod history;
pub mod journal;
pub mod standing;
