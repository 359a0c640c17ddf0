//! The steady region at the foot of a terminal: what runs, and how far the run is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::base::duration::show;
use crate::base::text::visible;

/// How often the clock in the region moves on.
pub const TICK: Duration = Duration::from_millis(100);

/// How many stages have a line of their own, where the terminal is high enough.
const MOST: usize = 8;

/// One line for each running stage, and one for the run.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    run: ProgressBar,
    stages: BTreeMap<Arc<str>, Running>,
}

/// A stage that runs.
#[derive(Debug)]
struct Running {
    began: Instant,
    doing: String,
    /// Its line; `None` while there is no room.
    line: Option<ProgressBar>,
}

impl Bars {
    /// Returns the region of a run of `count` stages, on standard error.
    pub fn new(count: usize, coloured: bool) -> Self {
        console::set_colors_enabled_stderr(coloured);
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let run = all.add(ProgressBar::new(count as u64));
        let style = ProgressStyle::with_template("{bar:24.green/dim} {pos}/{len} {elapsed:.dim} {wide_msg:.dim}").expect("a constant");
        run.set_style(style.progress_chars("━━─"));
        Self { all, run, stages: BTreeMap::new() }
    }

    /// Adds a stage that has begun.
    pub fn start(&mut self, stage: &Arc<str>) {
        self.stages.insert(stage.clone(), Running { began: Instant::now(), doing: String::new(), line: None });
        self.fill();
    }

    /// Shows what a stage does now.
    pub fn say(&mut self, stage: &str, text: &str) {
        if let Some(running) = self.stages.get_mut(stage) {
            running.doing = visible(text).into_owned();
        }
    }

    /// Takes away a stage that has ended or never will begin.
    pub fn finish(&mut self, stage: &str) {
        if let Some(line) = self.stages.remove(stage).and_then(|running| running.line) {
            line.finish_and_clear();
            self.all.remove(&line);
        }
        self.run.inc(1);
        self.fill();
    }

    /// Moves the clock on.
    pub fn tick(&self) {
        for (stage, running) in &self.stages {
            if let Some(line) = &running.line {
                line.set_message(format!("{}  {}  {}", visible(stage), clock(running.began.elapsed()), running.doing));
                line.tick();
            }
        }
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

    /// Gives lines to the stages that have run longest without one, as far as there is room.
    fn fill(&mut self) {
        let room = usize::from(Term::stderr().size().0).saturating_sub(3).clamp(1, MOST);
        let mut lines = self.stages.values().filter(|running| running.line.is_some()).count();
        let mut waiting: Vec<(&Arc<str>, &mut Running)> = self.stages.iter_mut().filter(|(_, running)| running.line.is_none()).collect();
        waiting.sort_by_key(|(_, running)| running.began);
        let mut hidden = waiting.len();
        for (_, running) in waiting {
            if lines < room {
                let line = self.all.insert_before(&self.run, ProgressBar::new_spinner());
                line.set_style(ProgressStyle::with_template("{spinner:.cyan} {wide_msg}").expect("a constant"));
                running.line = Some(line);
                lines += 1;
                hidden -= 1;
            }
        }
        self.run.set_message(if hidden > 0 { format!("{hidden} more running") } else { String::new() });
    }
}

/// Returns a time that moves on by seconds.
fn clock(time: Duration) -> String {
    if time.as_secs() == 0 { "0s".to_owned() } else { show(Duration::from_secs(time.as_secs())) }
}
