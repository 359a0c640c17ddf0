//! Flags that several commands share, and how their values are read.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use crate::base::duration;

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// The pipeline's file; without it, `pipeline.toml` in this folder or the nearest one above
    #[arg(short, long, global = true, value_name = "PIPELINE")]
    pub(super) file: Option<PathBuf>,
    /// Work as if called in DIR
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", env = "SHIPWAY_COLOR", default_value = "auto")]
    pub(super) color: When,
    /// Say nothing but failures
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Say more: each step's command
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
}

/// When something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    Auto,
    Always,
    Never,
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

/// Reads a duration from the command line.
pub(super) fn read_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| format!("a duration is {}", duration::FORM))
}

/// Reads how many stages run at once.
pub(super) fn read_jobs(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a whole number from 1".to_owned())
}

/// Reads a switch from the environment.
pub(super) fn read_switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("1 or true, 0 or false".to_owned()),
    }
}

/// A switch that an environment variable may set.
pub(super) const SWITCH: ArgAction = ArgAction::SetTrue;
