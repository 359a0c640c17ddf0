//! Which stages of a run were known before anything ran.
//!
//! Books only: `traces` fills them.

use std::sync::Mutex;

use crate::base::digest::Hash;
use crate::cache::trace::{Trace, Traces};

/// The traces of a run.
#[derive(Debug)]
pub(super) struct Known {
    /// What all of them stand on.
    pub(super) ground: Hash,
    /// Those of earlier runs.
    pub(super) traces: Traces,
    /// Which stages need not be looked at, since their traces hold and so do those of all that they wait for.
    pub(super) is_settled: Vec<bool>,
    /// The file system's time before anything was looked at; what has been the same since long before it was the same at every look.
    pub(super) began: Option<i64>,
    /// Those that this run has made.
    pub(super) new: Mutex<Vec<(usize, Trace)>>,
}
