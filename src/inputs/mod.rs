//! What a stage reads: from its selectors, or git's rules, to a list of files and links.
//!
//! Knows folders, patterns and links; knows nothing of what files hold.

pub mod claimed;
mod folders;
mod ground;
mod ignored;
mod links;
pub mod lister;
pub mod listing;
pub mod naming;
mod selected;
pub mod trail;
mod unignored;
mod walk;
pub mod written;
