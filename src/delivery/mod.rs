//! From what passed to where it serves (contract, section 8): releases, and what becomes of them.
//!
//! ```text
//! artifacts on disk --package--> bytes in the vault + manifest, whose hash is the release --archive--> one file for elsewhere
//!                                                                              --attestation--> signed, so that what is received is known again
//! bytes in the vault --unpacked--> a folder --promote: rollout says what is next, directory, process or command does it, staff the rest--> where it serves
//! a target, two releases --drill under load--> what was seen --verdict--> whether the target can be trusted with that
//! ```
//!
//! Stands on the engine, which has made and tested what is released here.

pub mod admission;
pub mod analysis;
pub mod approval;
pub mod archive;
pub mod attestation;
pub mod command;
pub mod course;
pub mod directory;
pub mod drift;
pub mod drill;
pub mod evidence;
pub mod flag;
pub mod forecast;
pub mod freeze;
pub mod hold;
pub mod load;
pub mod manifest;
pub mod metrics;
pub mod package;
pub mod policy;
pub mod process;
pub mod promote;
pub mod received;
pub mod rollout;
pub mod signature;
pub mod staff;
pub mod target;
pub mod vault;
pub mod verdict;

mod exchange;
mod names;
mod perform;
mod recall;
mod share;
mod unpacked;
