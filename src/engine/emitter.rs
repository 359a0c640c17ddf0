//! From what happened to events: numbered, dated, and without secrets.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::base::buffers;
use crate::base::secret::Masker;
use crate::model::event::{Event, EventKind, Listener};

/// Gives each event to every listener.
pub(super) struct Emitter<'l, 'm> {
    listeners: &'l mut [&'m mut dyn Listener],
    masker: &'l Masker,
    seq: u64,
}

impl<'l, 'm> Emitter<'l, 'm> {
    pub(super) fn new(listeners: &'l mut [&'m mut dyn Listener], masker: &'l Masker) -> Self {
        Self { listeners, masker, seq: 0 }
    }

    pub(super) fn emit(&mut self, mut kind: EventKind) {
        self.mask(&mut kind);
        self.seq += 1;
        let event = Event { seq: self.seq, at: Timestamp::now(), kind };
        for listener in &mut *self.listeners {
            listener.hear(&event);
        }
        if let EventKind::Output { text, .. } = event.kind {
            buffers::give(text);
        }
    }

    /// Tells the listeners that nothing is waiting; returns when the first of them wants to be called again.
    pub(super) fn idle(&mut self) -> Option<Duration> {
        self.listeners.iter_mut().filter_map(|listener| listener.idle()).min()
    }

    /// Hides secrets in all text; output comes masked already, stream by stream.
    fn mask(&self, kind: &mut EventKind) {
        let hide = |text: &mut String| {
            if let Cow::Owned(hidden) = self.masker.hide(text) {
                *text = hidden;
            }
        };
        let hide_name = |name: &mut Arc<str>| {
            if let Cow::Owned(hidden) = self.masker.hide(name) {
                *name = hidden.into();
            }
        };
        match kind {
            EventKind::RunStarted { pipeline, stages, graph, .. } => {
                hide(pipeline);
                stages.iter_mut().for_each(hide_name);
                for waits in graph {
                    std::iter::once(&mut waits.stage).chain(&mut waits.needs).chain(&mut waits.after).for_each(hide_name);
                }
            }
            EventKind::StageStarted { stage, .. } => hide_name(stage),
            EventKind::StepStarted { stage, step, command } => {
                [stage, step].into_iter().for_each(hide_name);
                hide(command);
            }
            EventKind::Output { stage, step, .. } | EventKind::StepFinished { stage, step, .. } => {
                [stage, step].into_iter().for_each(hide_name);
            }
            EventKind::Notice { stage, text } => {
                stage.iter_mut().for_each(hide_name);
                hide(text);
            }
            EventKind::Findings(findings) => {
                hide_name(&mut findings.stage);
                findings.texts().for_each(hide);
            }
            EventKind::Service(changed) => {
                [&mut changed.service].into_iter().chain(&mut changed.failed_users).for_each(hide_name);
                changed.reason.iter_mut().chain(&mut changed.log).for_each(hide);
            }
            EventKind::StageFinished(finished) => {
                hide_name(&mut finished.stage);
                finished.reason.iter_mut().for_each(hide);
                if let Some(failure) = &mut finished.failure {
                    hide_name(&mut failure.step);
                    let texts = [&mut failure.command, &mut failure.dir];
                    texts.into_iter().chain(&mut failure.reproduce).chain(&mut failure.tail).chain(&mut failure.tests).for_each(hide);
                }
            }
            EventKind::RunFinished { .. } => {}
        }
    }
}
