//! One declared stage, several real ones: the combinations of a matrix, and their values put in their places.

use super::fields::{At, Fields};
use crate::base::diagnostic::Diagnostic;
use crate::base::glob::escape;
use crate::base::nearest;

/// The most stages that one matrix may expand to.
const MOST: usize = 10_000;

/// One choice of a value for each axis, in the order of the file; empty for a stage without a matrix.
#[derive(Debug, Clone, Default)]
pub(super) struct Combination {
    values: Vec<(String, String)>,
}

impl Combination {
    /// Returns the full name of the stage `group` with these values.
    pub(super) fn name(&self, group: &str) -> String {
        if self.values.is_empty() {
            return group.to_owned();
        }
        let values: Vec<String> = self.values.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
        format!("{group}:{}", values.join(","))
    }

    /// Returns `text` with `{matrix.AXIS}` replaced.
    pub(super) fn fill(&self, text: &str, at: &std::ops::Range<usize>, problems: &mut Vec<Diagnostic>) -> String {
        self.fill_with(text, at, problems, str::to_owned)
    }

    /// Returns the pattern `text` with `{matrix.AXIS}` replaced by what matches the value and nothing else.
    pub(super) fn fill_pattern(&self, text: &str, at: &std::ops::Range<usize>, problems: &mut Vec<Diagnostic>) -> String {
        self.fill_with(text, at, problems, escape)
    }

    fn fill_with(&self, text: &str, at: &std::ops::Range<usize>, problems: &mut Vec<Diagnostic>, write: impl Fn(&str) -> String) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{matrix.") {
            filled.push_str(before);
            let Some((axis, after)) = behind.split_once('}') else {
                filled.push_str("{matrix.");
                rest = behind;
                continue;
            };
            match self.values.iter().find(|(name, _)| name == axis) {
                Some((_, value)) => filled.push_str(&write(value)),
                None => problems.push(self.unknown_axis(axis, at)),
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }

    fn unknown_axis(&self, axis: &str, at: &std::ops::Range<usize>) -> Diagnostic {
        let help = if self.values.is_empty() {
            Some("this stage has no matrix".to_owned())
        } else {
            nearest::help("an axis", axis, self.values.iter().map(|(name, _)| name.as_str()))
        };
        Diagnostic::error(
            format!("the matrix has no axis `{}`", axis.escape_debug()),
            at.clone(),
            format!("`{{matrix.{}}}` stands here", axis.escape_debug()),
        )
        .maybe_help(help)
    }
}

/// Returns the combinations of the stage's matrix that are not excluded.
pub(super) fn combinations(stage: &At<String>, fields: &Fields, problems: &mut Vec<Diagnostic>) -> Vec<Combination> {
    let Some(axes) = fields.axes("matrix") else {
        if fields.combinations("matrix-exclude").is_some() {
            problems.push(Diagnostic::error(
                "`matrix-exclude` stands without a `matrix`",
                fields.span("matrix-exclude"),
                "nothing to exclude from",
            ));
        }
        return vec![Combination::default()];
    };
    let size = axes.iter().try_fold(1usize, |size, (_, values)| size.checked_mul(values.len())).unwrap_or(usize::MAX);
    if size > MOST {
        problems.push(Diagnostic::error(
            format!("the matrix of `{}` has {size} combinations", stage.value),
            fields.span("matrix"),
            format!("at most {MOST}"),
        ));
        return Vec::new();
    }
    if axes.is_empty() {
        problems.push(Diagnostic::error("a matrix needs at least one axis", fields.span("matrix"), "no axis"));
    }
    let mut all = vec![Combination::default()];
    for (axis, values) in axes {
        repeated(values, problems);
        let longer = |combination: &Combination, value: &At<String>| {
            let mut combination = combination.clone();
            combination.values.push((axis.value.clone(), value.value.clone()));
            combination
        };
        all = all.iter().flat_map(|combination| values.iter().map(move |value| longer(combination, value))).collect();
    }
    exclude(axes, fields, &mut all, problems);
    if all.is_empty() && size > 0 {
        problems.push(Diagnostic::error(
            format!("no combination of the matrix of `{}` is left", stage.value),
            fields.span("matrix-exclude"),
            "all are excluded",
        ));
    }
    all
}

fn repeated(values: &[At<String>], problems: &mut Vec<Diagnostic>) {
    for (index, value) in values.iter().enumerate() {
        if values[..index].iter().any(|earlier| earlier.value == value.value) {
            problems.push(Diagnostic::error(
                format!("the value `{}` stands twice in its axis", value.value.escape_debug()),
                value.span.clone(),
                "again",
            ));
        }
    }
}

/// Takes out what `matrix-exclude` names: all combinations that agree with an entry in each axis that it names.
fn exclude(axes: &[(At<String>, Vec<At<String>>)], fields: &Fields, all: &mut Vec<Combination>, problems: &mut Vec<Diagnostic>) {
    for entry in fields.combinations("matrix-exclude").unwrap_or_default() {
        for (axis, value) in &entry.value {
            match axes.iter().find(|(name, _)| name.value == axis.value) {
                None => {
                    let help = nearest::help("an axis", &axis.value, axes.iter().map(|(name, _)| name.value.as_str()));
                    problems.push(
                        Diagnostic::error(format!("the matrix has no axis `{}`", axis.value), axis.span.clone(), "unknown axis")
                            .maybe_help(help),
                    );
                }
                Some((_, values)) if !values.iter().any(|known| known.value == value.value) => {
                    let help = nearest::help("a value", &value.value, values.iter().map(|known| known.value.as_str()));
                    problems.push(
                        Diagnostic::error(
                            format!("the axis `{}` has no value `{}`", axis.value, value.value.escape_debug()),
                            value.span.clone(),
                            "unknown value",
                        )
                        .maybe_help(help),
                    );
                }
                Some(_) => {}
            }
        }
        let agrees = |combination: &Combination| {
            entry.value.iter().all(|(axis, value)| combination.values.iter().any(|(a, v)| *a == axis.value && *v == value.value))
        };
        all.retain(|combination| entry.value.is_empty() || !agrees(combination));
    }
}
