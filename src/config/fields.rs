//! What was read of the file: values of the right form by key, each with its place.
//!
//! Knows forms; what a value means others say.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use crate::model::stage::Command;

/// Something of the file and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<T> At<T> {
    pub(super) fn new(value: T, span: Range<usize>) -> Self {
        Self { value, span }
    }
}

/// Names and texts, each with its place, in the order of the file.
pub(super) type Pairs = Vec<(At<String>, At<String>)>;

/// Axes of a matrix and their values, in the order of the file.
pub(super) type Axes = Vec<(At<String>, Vec<At<String>>)>;

/// A value of the right form.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Flag(bool),
    Count(u32),
    Duration(Duration),
    Size(u64),
    Number(f64),
    Texts(Vec<At<String>>),
    Pairs(Pairs),
    Command(Command),
    Commands(Vec<At<Command>>),
    Steps(Vec<Fields>),
    Axes(Axes),
    Combinations(Vec<At<Pairs>>),
    Sizes(Vec<(At<String>, usize)>),
    Named(Vec<(At<String>, Pairs)>),
    Counts(Vec<At<u32>>),
    Step(Fields),
    List(Vec<Fields>),
    Table(Fields),
    Tables(Vec<(At<String>, Fields)>),
}

/// The keys of one table that were given and are of the right form.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    pub(super) span: Range<usize>,
    pub(super) values: HashMap<&'static str, At<Value>>,
}

/// Writes an accessor that returns the value of one form, and `None` where the key was left out.
macro_rules! accessor {
    ($name:ident, $variant:ident, $type:ty) => {
        pub(super) fn $name(&self, key: &str) -> Option<&$type> {
            match self.values.get(key) {
                Some(At { value: Value::$variant(value), .. }) => Some(value),
                _ => None,
            }
        }
    };
}

impl Fields {
    accessor!(text, Text, str);
    accessor!(flag, Flag, bool);
    accessor!(count, Count, u32);
    accessor!(duration, Duration, Duration);
    accessor!(texts, Texts, [At<String>]);
    accessor!(pairs, Pairs, [(At<String>, At<String>)]);
    accessor!(command, Command, Command);
    accessor!(commands, Commands, [At<Command>]);
    accessor!(steps, Steps, [Fields]);
    accessor!(axes, Axes, [(At<String>, Vec<At<String>>)]);
    accessor!(combinations, Combinations, [At<Pairs>]);
    accessor!(size, Size, u64);
    accessor!(number, Number, f64);
    accessor!(sizes, Sizes, [(At<String>, usize)]);
    accessor!(named, Named, [(At<String>, Pairs)]);
    accessor!(counts, Counts, [At<u32>]);
    accessor!(step, Step, Fields);
    accessor!(list, List, [Fields]);
    accessor!(table, Table, Fields);
    accessor!(tables, Tables, [(At<String>, Fields)]);

    /// Returns where the value of `key` stands.
    pub(super) fn span(&self, key: &str) -> Range<usize> {
        self.values.get(key).map_or_else(|| self.span.clone(), |value| value.span.clone())
    }
}
