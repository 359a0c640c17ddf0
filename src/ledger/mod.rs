//! What was released, and what became of it: the record of deliveries in the repository (contract, section 8).
//!
//! ```text
//! entry --journal: commit behind the last, ref moved from what was seen--> refs/shipway/ledger --history: fold--> what is where
//! ```
//!
//! Nothing else is stored: who reads all entries knows all. Where clones share it, the remote's is the one that counts: `shared` brings it
//! here, and writes what is only here again behind it.

pub mod entry;
pub mod error;
pub mod history;
pub mod incident;
pub mod incidents;
pub mod journal;
pub mod shared;
pub mod standing;
