//! The steady region at the foot of a terminal: what runs, and how far the run is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::base::text::visible;

/// How often the clock in the region moves on.
pub const TICK: Duration = Duration::from_millis(100);

/// How many stages have a line of their own.
const MOST: usize = 8;

/// One line for each running stage, and one for the run.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    run: ProgressBar,
    stages: BTreeMap<Arc<str>, ProgressBar>,
}

impl Bars {
    /// Returns the region of a run of `count` stages, on standard error.
    pub fn new(count: usize, coloured: bool) -> Self {
        console::set_colors_enabled_stderr(coloured);
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let run = all.add(ProgressBar::new(count as u64));
        run.set_style(
            ProgressStyle::with_template("{bar:24.green/dim} {pos}/{len} {elapsed:.dim}{wide_msg:.dim}")
                .expect("a constant")
                .progress_chars("━━─"),
        );
        Self { all, run, stages: BTreeMap::new() }
    }

    /// Adds a stage that has begun.
    pub fn start(&mut self, stage: &Arc<str>) {
        if self.stages.len() < MOST {
            let bar = self.all.insert_before(&self.run, ProgressBar::new_spinner());
            bar.set_style(ProgressStyle::with_template("{spinner:.cyan} {prefix} {elapsed:.dim} {wide_msg:.dim}").expect("a constant"));
            bar.set_prefix(visible(stage).into_owned());
            self.stages.insert(stage.clone(), bar);
        }
    }

    /// Shows what a stage does now.
    pub fn say(&self, stage: &str, text: &str) {
        if let Some(bar) = self.stages.get(stage) {
            bar.set_message(visible(text).into_owned());
        }
    }

    /// Takes away a stage that has ended; `counted` where it had begun or never will.
    pub fn finish(&mut self, stage: &str) {
        if let Some(bar) = self.stages.remove(stage) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        self.run.inc(1);
    }

    /// Moves the clock on.
    pub fn tick(&self) {
        self.stages.values().for_each(ProgressBar::tick);
        self.run.tick();
    }

    /// Does `write` while the region is out of the way.
    pub fn aside(&self, write: impl FnOnce()) {
        self.all.suspend(write);
    }

    /// Takes the region away.
    pub fn clear(&self) {
        self.run.finish_and_clear();
        // A terminal that has gone needs no clearing.
        let _gone = self.all.clear();
    }
}
