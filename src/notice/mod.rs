//! Noticing that something changed: which entries of which folders matter, when it is time to look, and what to do about what was seen.
//!
//! Knows paths and time; knows nothing of stages, or of what files hold. What the system tells is only a hint to look: the truth is what
//! a look finds, so a hint too many does no harm, and one that comes late is as good as one in time.
//!
//! ```text
//! notify --Hint--> watcher --does it matter?--> vigil: quiet (is the burst over?) --> a look --Change--> run | cancel | rest | stop
//!                     ^                                                               |
//!                     `----------------------- interest: what to watch ---------------'
//! ```

pub mod change;
pub mod interest;
mod quiet;
mod rounds;
pub mod vigil;
pub mod watcher;
mod watches;
