//! What is recorded of a failure that users felt.

use serde::{Deserialize, Serialize};

/// A failure that a deployment brought. The digest of its entry is the name of the incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// In which environment.
    pub environment: String,
    /// Which deployment brought it.
    pub deployment: String,
    /// What fails.
    pub reason: String,
}

/// The end of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// In which environment.
    pub environment: String,
    /// The name of the incident.
    pub incident: String,
    /// What ended it.
    pub reason: String,
}
