//! Moves what was read of one file to where that file stands among all.
//!
//! Knows every form of value, since each may hold places; knows no key.

use std::ops::Range;

use super::fields::{At, Fields, Value};
use crate::base::diagnostic::Diagnostic;

/// Moves the places of `problems` by `start`.
pub(super) fn move_problems(problems: &mut [Diagnostic], start: usize) {
    problems.iter_mut().flat_map(|problem| &mut problem.labels).for_each(|label| span(&mut label.span, start));
}

/// Moves all places in `fields` by `start`.
pub(super) fn move_fields(fields: &mut Fields, start: usize) {
    span(&mut fields.span, start);
    for at in fields.values.values_mut() {
        span(&mut at.span, start);
        value(&mut at.value, start);
    }
}

fn value(of: &mut Value, start: usize) {
    match of {
        Value::Text(_) | Value::Flag(_) | Value::Count(_) | Value::Duration(_) | Value::Size(_) | Value::Number(_) | Value::Command(_) => {}
        Value::Texts(texts) => texts.iter_mut().for_each(|text| move_at(text, start)),
        Value::Pairs(entries) => pairs(entries, start),
        Value::Commands(commands) => commands.iter_mut().for_each(|command| move_at(command, start)),
        Value::Steps(steps) => steps.iter_mut().for_each(|step| move_fields(step, start)),
        Value::Axes(axes) => {
            for (name, values) in axes {
                move_at(name, start);
                values.iter_mut().for_each(|value| move_at(value, start));
            }
        }
        Value::Combinations(combinations) => {
            for combination in combinations {
                move_at(combination, start);
                pairs(&mut combination.value, start);
            }
        }
        Value::Named(tables) => {
            for (name, values) in tables {
                move_at(name, start);
                pairs(values, start);
            }
        }
        Value::Sizes(sizes) => sizes.iter_mut().for_each(|(name, _)| move_at(name, start)),
        Value::Counts(counts) => counts.iter_mut().for_each(|count| move_at(count, start)),
        Value::List(tables) => tables.iter_mut().for_each(|fields| move_fields(fields, start)),
        Value::Table(fields) | Value::Step(fields) => move_fields(fields, start),
        Value::Tables(tables) => {
            for (name, fields) in tables {
                move_at(name, start);
                move_fields(fields, start);
            }
        }
    }
}

fn pairs(entries: &mut [(At<String>, At<String>)], start: usize) {
    for (name, value) in entries {
        move_at(name, start);
        move_at(value, start);
    }
}

fn move_at<T>(at: &mut At<T>, start: usize) {
    span(&mut at.span, start);
}

fn span(span: &mut Range<usize>, start: usize) {
    *span = span.start + start..span.end + start;
}
