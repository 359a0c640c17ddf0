//! A first pipeline and a CI workflow for a project that has none: what its files say that it is, as stages, as text.
//!
//! Reads the project's files and starts nothing; whether the text is valid the reader of pipelines says.

mod cargo;
mod folder;
mod github;
mod gitlab;
mod go;
mod make;
mod names;
mod node;
mod node_manager;
mod python;
mod python_needs;
pub mod search;
pub mod sketch;
#[cfg(test)]
mod tests;
pub mod text;
pub mod wanted;
pub mod workflow;
