//! The run as people see it: on a terminal with a steady region at its foot, elsewhere as plain lines.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::SpooledTempFile;

use super::bars::{Bars, TICK};
use super::dialect::Dialect;
use super::dialect::group::Group;
use super::findings::{self, Bounds};
use super::lines::{Lines, tame};
use super::places::{self, Found};
use super::theme::Theme;
use super::{failure, services};
use crate::base::duration::show;
use crate::base::text::{count, visible};
use crate::model::event::{Event, EventKind, Listener, ServiceChanged, StageFinished, Stream};
use crate::model::findings::{Findings, Totals};
use crate::model::outcome::{Counts, Failure, FailureKind, RunOutcome, StageOutcome};

/// What of the steps' output is shown, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// All of it, at once.
    Stream,
    /// All of it, stage by stage, when a stage has ended.
    Grouped,
    /// Of failed stages, the end, in the failure report.
    Failures,
}

/// How much is said beside the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Failures.
    Quiet,
    /// Stages.
    Normal,
    /// Stages and steps.
    Verbose,
}

/// How the reporter writes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What of the output is shown.
    pub show: Show,
    /// How much else is said.
    pub verbosity: Verbosity,
    /// Whether standard error is a terminal for a steady region.
    pub has_region: bool,
    /// Whether standard output is a terminal, so that output must be tamed.
    pub is_terminal: bool,
    /// Colours of what goes to standard output.
    pub output_theme: Theme,
    /// Colours of what goes to standard error.
    pub theme: Theme,
    /// The language of who reads it.
    pub dialect: Dialect,
    /// Whether it is said at the end what became of how many stages; of a task, which is one stage, that is known by then.
    pub sums: bool,
    /// The project's folder, to tell places in files from other words with colons.
    pub root: PathBuf,
}

/// Memory that one stage's output may take before it goes to a file.
const IN_MEMORY: usize = 256 * 1024;

/// How many lines of a failed stage's output the report repeats where all of it was shown before.
const LINES_AGAIN: usize = 15;

/// How long nothing may be said while something runs: CI systems end what is silent for long.
const SILENCE: Duration = Duration::from_mins(1);

/// How much output is gathered before it is written, while more is waiting.
const GATHERED: usize = 64 * 1024;

/// Hears a run and writes it to two streams, which must not fail.
#[derive(Debug)]
pub struct TerminalReporter<O: Write, E: Write> {
    settings: Settings,
    out: O,
    err: E,
    bars: Option<Bars>,
    /// Text for the two streams that is not written yet, in order.
    pending: Vec<(Stream, Vec<u8>)>,
    pending_size: usize,
    prefixed: bool,
    width: usize,
    lines: BTreeMap<(Arc<str>, Stream), Lines>,
    groups: BTreeMap<Arc<str>, SpooledTempFile>,
    /// What runs, since when, and why.
    running: BTreeMap<Arc<str>, (Instant, Option<String>)>,
    /// Stages whose stored output was announced.
    replayed: BTreeSet<Arc<str>>,
    last_word: Instant,
    failed: Vec<StageFinished>,
    not_run: Vec<StageFinished>,
    flaky: usize,
    /// What was found in stages that failed, or have not ended.
    found: BTreeMap<Arc<str>, Box<Findings>>,
    totals: Totals,
    /// How much is shown of it.
    bounds: Bounds,
}

impl<O: Write, E: Write> TerminalReporter<O, E> {
    /// Returns a reporter that writes the steps' output to the stream it came from, and all else to `err`.
    pub fn new(settings: Settings, out: O, err: E) -> Self {
        Self {
            settings,
            out,
            err,
            bars: None,
            pending: Vec::new(),
            pending_size: 0,
            prefixed: false,
            width: 0,
            lines: BTreeMap::new(),
            groups: BTreeMap::new(),
            running: BTreeMap::new(),
            replayed: BTreeSet::new(),
            last_word: Instant::now(),
            failed: Vec::new(),
            not_run: Vec::new(),
            flaky: 0,
            found: BTreeMap::new(),
            totals: Totals::default(),
            bounds: Bounds::SOME,
        }
    }

    /// Lets it show all that was found in stages that failed.
    #[must_use]
    pub fn with_all_findings(self) -> Self {
        Self { bounds: Bounds::ALL, ..self }
    }

    fn is(&self, verbosity: Verbosity) -> bool {
        self.settings.verbosity >= verbosity
    }

    fn put(&mut self, stream: Stream, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        if text.len() > GATHERED {
            return self.write_pending(Some((stream, text)));
        }
        self.pending_size += text.len();
        match self.pending.last_mut() {
            Some((last, pending)) if *last == stream => pending.extend_from_slice(text),
            _ => self.pending.push((stream, text.to_vec())),
        }
        if self.pending_size > GATHERED {
            self.write_pending(None);
        }
    }

    fn say(&mut self, line: &str) {
        let line = self.settings.dialect.guard_text(line);
        self.put(Stream::Stderr, format!("{line}\n"));
    }

    /// Writes lines that the reader shall obey.
    fn command(&mut self, lines: impl IntoIterator<Item = String>) {
        lines.into_iter().for_each(|line| self.put(Stream::Stderr, line));
    }

    /// Writes what was gathered, and `more` behind it.
    fn write_pending(&mut self, more: Option<(Stream, &[u8])>) {
        self.pending_size = 0;
        self.last_word = Instant::now();
        let pending = std::mem::take(&mut self.pending);
        let Self { out, err, bars, .. } = self;
        let mut write = || {
            for (stream, text) in pending.iter().map(|(stream, text)| (*stream, text.as_slice())).chain(more) {
                // Both are tolerant.
                let _tolerant = match stream {
                    Stream::Stdout => out.write_all(text).and_then(|()| out.flush()),
                    Stream::Stderr => err.write_all(text).and_then(|()| err.flush()),
                };
            }
        };
        match bars {
            Some(bars) => bars.aside(write),
            None => write(),
        }
    }

    fn begin(&mut self, pipeline: &str, stages: &[Arc<str>], jobs: usize) {
        self.totals = Totals::default();
        self.prefixed = stages.len() > 1 && self.settings.show == Show::Stream;
        self.width = stages.iter().map(|name| visible(name).chars().count()).max().unwrap_or(0).min(32);
        if self.is(Verbosity::Normal) {
            if self.settings.has_region {
                self.bars = Some(Bars::new(stages.len(), self.settings.theme.coloured));
            }
            if stages.len() > 1 {
                let line = format!("{}: {}, {} at once", visible(pipeline), count(stages.len(), "stage"), jobs.min(stages.len()));
                let line = self.settings.theme.faint(&line);
                self.say(&line);
            }
        }
    }

    fn output(&mut self, stage: &Arc<str>, stream: Stream, text: &[u8]) {
        match self.settings.show {
            Show::Stream => self.stream(stage, stream, text),
            Show::Grouped => {
                let group = self.groups.entry(stage.clone()).or_insert_with(|| SpooledTempFile::new(IN_MEMORY));
                let head =
                    [u8::from(stream == Stream::Stderr)].into_iter().chain(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
                // Without room in the temporary folder the output is only in the record of the run.
                let _full = group.write_all(&head.collect::<Vec<u8>>()).and_then(|()| group.write_all(text));
            }
            Show::Failures => {
                if let (Some(bars), Some(line)) = (&mut self.bars, text.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty())) {
                    bars.say(stage, &tame(&line[..line.len().min(400)], false));
                }
            }
        }
    }

    /// Writes output as it comes: as it is to a file, line by line to a terminal or where several stages share the screen.
    fn stream(&mut self, stage: &Arc<str>, stream: Stream, text: &[u8]) {
        if !self.prefixed && !self.settings.is_terminal && self.bars.is_none() && self.settings.dialect.is_plain() {
            return self.put(stream, text);
        }
        let mut lines = self.lines.remove(&(stage.clone(), stream)).unwrap_or_default();
        lines.push(text, |line| self.line(stage, stream, line));
        self.lines.insert((stage.clone(), stream), lines);
    }

    fn line(&mut self, stage: &str, stream: Stream, line: &[u8]) {
        let theme = if stream == Stream::Stdout { self.settings.output_theme } else { self.settings.theme };
        let mut text = Vec::with_capacity(line.len() + 40);
        if self.prefixed {
            let name = format!("{:<width$} │ ", visible(stage), width = self.width);
            text.extend_from_slice(theme.faint(&name).as_bytes());
        }
        if !self.settings.dialect.is_plain() {
            text.extend_from_slice(tame(line, true).as_bytes());
            text = self.settings.dialect.guard(&text).into_owned().into_bytes();
        } else if self.settings.is_terminal || self.bars.is_some() {
            text.extend_from_slice(tame(line, theme.coloured).as_bytes());
        } else {
            text.extend_from_slice(line);
        }
        text.push(b'\n');
        // The readers of groups read our two streams in no sure order.
        let is_group = self.settings.show == Show::Grouped && !self.settings.dialect.is_plain();
        self.put(if is_group { Stream::Stderr } else { stream }, text);
    }

    fn end_stage(&mut self, finished: &StageFinished, at: i64) {
        let why = self.running.remove(&finished.stage).and_then(|(_, why)| why);
        self.flaky += usize::from(finished.flaky);
        if let Some(bars) = &mut self.bars {
            bars.finish(&finished.stage);
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(mut lines) = self.lines.remove(&(finished.stage.clone(), stream)) {
                lines.finish(|line| self.line(&finished.stage, stream, line));
            }
        }
        let is_news = match finished.outcome {
            StageOutcome::Skipped => self.is(Verbosity::Verbose),
            StageOutcome::Passed | StageOutcome::Cached | StageOutcome::Failed | StageOutcome::Cancelled => self.is(Verbosity::Normal),
        };
        let title = self.headline(finished, why.as_deref());
        let group = Group {
            stage: &finished.stage,
            title: &title,
            began: at - i64::try_from(finished.duration_ms / 1000).unwrap_or_default(),
            ended: at,
            is_open: finished.outcome == StageOutcome::Failed,
        };
        let opening = self.settings.dialect.open(&group).filter(|_| self.groups.contains_key(&finished.stage));
        let closing = opening.as_ref().and_then(|_| self.settings.dialect.close(&group));
        if opening.is_none() && is_news {
            self.say(&title);
        }
        self.command(opening);
        self.write_group(finished);
        self.command(closing);
        if matches!(finished.outcome, StageOutcome::Passed | StageOutcome::Cached) {
            let found = self.settings.dialect.findings(finished);
            self.command(found);
        }
        match finished.outcome {
            StageOutcome::Failed => self.failed.push(finished.clone()),
            StageOutcome::Skipped | StageOutcome::Cancelled => self.not_run.push(finished.clone()),
            StageOutcome::Passed | StageOutcome::Cached => drop(self.found.remove(&finished.stage)),
        }
    }

    fn service(&mut self, changed: &ServiceChanged) {
        for line in services::lines(changed, self.is(Verbosity::Verbose), self.settings.theme) {
            self.say(&line);
        }
    }

    fn headline(&self, finished: &StageFinished, why: Option<&str>) -> String {
        let theme = self.settings.theme;
        let took =
            if finished.outcome == StageOutcome::Skipped { String::new() } else { show(Duration::from_millis(finished.duration_ms)) };
        let reason = finished.reason.as_deref().map(|reason| format!("  {}", visible(reason))).unwrap_or_default();
        // Of a stage that passed the reason is why it ran; else it is why it ended so.
        let why = why.filter(|why| finished.reason.as_deref() != Some(*why)).map(|why| format!("  (it ran: {})", visible(why)));
        let reason = reason + why.as_deref().unwrap_or_default();
        let reason = if finished.flaky { theme.warn(&format!("{reason} (flaky)")) } else { theme.faint(&reason) };
        format!("{} {:<width$}  {}{reason}", theme.mark(finished.outcome), visible(&finished.stage), theme.faint(&took), width = self.width)
    }

    fn write_group(&mut self, finished: &StageFinished) {
        let Some(mut group) = self.groups.remove(&finished.stage) else {
            return;
        };
        if group.seek(SeekFrom::Start(0)).is_err() {
            return;
        }
        let mut group = std::io::BufReader::new(group);
        let (mut head, mut text) = ([0; 5], Vec::new());
        let mut is_whole = [true; 2];
        while group.read_exact(&mut head).is_ok() {
            text.resize(u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize, 0);
            if group.read_exact(&mut text).is_err() {
                break;
            }
            let stream = if head[0] == 1 { Stream::Stderr } else { Stream::Stdout };
            is_whole[usize::from(head[0] == 1)] = text.last() == Some(&b'\n');
            self.stream(&finished.stage, stream, &text);
        }
        for (stream, _) in [Stream::Stdout, Stream::Stderr].into_iter().zip(is_whole).filter(|(_, is_whole)| !is_whole) {
            if !self.lines.contains_key(&(finished.stage.clone(), stream)) {
                self.put(stream, "\n");
            }
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(mut lines) = self.lines.remove(&(finished.stage.clone(), stream)) {
                lines.finish(|line| self.line(&finished.stage, stream, line));
            }
        }
    }

    fn end(&mut self, outcome: RunOutcome, duration_ms: u64, counts: Counts) {
        if let Some(bars) = self.bars.take() {
            bars.clear();
        }
        let theme = self.settings.theme;
        let report: String = self.failed.iter().filter_map(|finished| Some(format!("\n{}", self.failure(finished)?))).collect();
        for finished in std::mem::take(&mut self.failed) {
            let places = self.places(&finished);
            let lines = self.settings.dialect.failure(&finished, &places);
            self.command(lines);
        }
        if !report.is_empty() {
            self.say(&report);
        }
        if self.is(Verbosity::Normal) || outcome != RunOutcome::Passed {
            for line in findings::summary(&self.totals, theme) {
                self.say(&line);
            }
            if self.settings.sums {
                let line = summary(outcome, duration_ms, counts, self.flaky, theme);
                self.say(&line);
            }
        }
        self.write_pending(None);
    }

    fn places(&self, finished: &StageFinished) -> Vec<Found> {
        let find = |failure: &Failure| places::places(&failure.tail, &self.settings.root, Path::new(&failure.dir));
        finished.failure.as_ref().map(find).unwrap_or_default()
    }

    fn failure(&self, finished: &StageFinished) -> Option<String> {
        let failure = finished.failure.as_ref()?;
        let places: Vec<String> = self.places(finished).into_iter().map(|found| found.shown).collect();
        // With several failures each names what it is the reason of.
        let because = format!("`{}`", finished.stage);
        let is_alone = self.failed.len() == 1;
        let concerns = |other: &&StageFinished| is_alone || other.reason.as_deref().is_some_and(|reason| reason.contains(&because));
        let names =
            |outcome| self.not_run.iter().filter(|other| other.outcome == outcome).filter(concerns).map(|other| &*other.stage).collect();
        let findings = self.found.get(&finished.stage).map(|found| (&**found, self.bounds));
        let others = failure::Others { ended: names(StageOutcome::Cancelled), not_run: names(StageOutcome::Skipped), findings };
        // What a service printed was not.
        let is_shown_above = self.settings.show != Show::Failures && self.is(Verbosity::Normal) && failure.kind != FailureKind::Service;
        let lines = if is_shown_above { LINES_AGAIN } else { usize::MAX };
        Some(failure::render(finished, failure, lines, &places, &others, self.settings.theme))
    }

    /// Says that what runs still runs, where nothing else tells; returns when to ask again.
    fn assure(&mut self) -> Duration {
        let silence = self.last_word.elapsed();
        if silence < SILENCE {
            return SILENCE.saturating_sub(silence);
        }
        let running: Vec<String> =
            self.running.iter().map(|(stage, (began, _))| format!("{} ({})", visible(stage), show(began.elapsed()))).collect();
        if !running.is_empty() && self.is(Verbosity::Normal) {
            let line = self.settings.theme.faint(&format!("… still running: {}", running.join(", ")));
            self.say(&line);
            self.write_pending(None);
        }
        self.last_word = Instant::now();
        SILENCE
    }
}

/// Returns the last line of a run.
fn summary(outcome: RunOutcome, duration_ms: u64, counts: Counts, flaky: usize, theme: Theme) -> String {
    let parts = [
        (counts.failed, "failed"),
        (counts.cancelled, "cancelled"),
        (counts.passed, "passed"),
        (counts.cached, "cached"),
        (counts.skipped, "not run"),
        (flaky, "flaky"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}")).collect();
    let word = match outcome {
        RunOutcome::Passed => theme.good("passed"),
        RunOutcome::Failed => theme.bad("failed"),
        RunOutcome::Cancelled => theme.warn("interrupted"),
    };
    let parts = if parts.is_empty() { "nothing to run".to_owned() } else { parts.join(", ") };
    format!("{word}: {parts} in {}", show(Duration::from_millis(duration_ms)))
}

impl<O: Write, E: Write> Listener for TerminalReporter<O, E> {
    fn hear(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { pipeline, stages, jobs, .. } => self.begin(pipeline, stages, *jobs),
            EventKind::StageStarted { stage, reason, .. } => {
                self.running.insert(stage.clone(), (Instant::now(), reason.clone()));
                if let Some(bars) = &mut self.bars {
                    bars.start(stage);
                } else if self.is(Verbosity::Normal) && self.prefixed {
                    let line = self.settings.theme.faint(&format!("> {}", visible(stage)));
                    self.say(&line);
                }
            }
            EventKind::StepStarted { stage, command, .. } => {
                if let Some(bars) = &mut self.bars {
                    bars.say(stage, command);
                }
                if self.is(Verbosity::Verbose) {
                    let line = self.settings.theme.faint(&format!("{} $ {}", visible(stage), visible(command)));
                    self.say(&line);
                }
            }
            // For those who write reports of it; here only new output is of interest, unless all is wanted as it comes.
            EventKind::Output { replayed: true, .. } if self.settings.show != Show::Stream => {}
            EventKind::Output { stage, stream, text, replayed, .. } if self.settings.verbosity > Verbosity::Quiet => {
                if *replayed && self.is(Verbosity::Normal) && self.replayed.insert(stage.clone()) {
                    let line =
                        format!("{} {}  what it printed when it ran:", self.settings.theme.mark(StageOutcome::Cached), visible(stage));
                    self.say(&line);
                }
                self.output(stage, *stream, text);
            }
            EventKind::Findings(findings) => {
                self.settings.dialect.remember(findings);
                self.totals.add(&findings.totals);
                self.found.insert(findings.stage.clone(), findings.clone());
            }
            EventKind::Output { .. } | EventKind::StepFinished { .. } => {}
            EventKind::Notice { stage, text } => {
                if let Some(line) = self.settings.dialect.notice(stage.as_deref(), text) {
                    return self.command([line]);
                }
                let stage = stage.as_deref().map(|stage| format!("{}: ", visible(stage))).unwrap_or_default();
                let line = self.settings.theme.warn(&format!("! {stage}{}", visible(text)));
                self.say(&line);
            }
            EventKind::Service(changed) => self.service(changed),
            EventKind::StageFinished(finished) => self.end_stage(finished, event.at.as_second()),
            EventKind::RunFinished { outcome, duration_ms, counts, .. } => self.end(*outcome, *duration_ms, *counts),
        }
    }

    fn idle(&mut self) -> Option<Duration> {
        if !self.pending.is_empty() {
            self.write_pending(None);
        }
        match &self.bars {
            Some(bars) => {
                bars.tick();
                Some(TICK)
            }
            None => Some(self.assure()),
        }
    }
}
