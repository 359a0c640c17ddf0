//! The table `reports` of a stage: which report files there are, and what in them fails the stage.
//!
//! Report files are outputs (contract, section 3): those that lie below no declared output are added to them here.

use std::ops::Range;

use super::fields::{At, Fields};
use super::matrix::Combination;
use super::stages::Builder;
use crate::base::diagnostic::Diagnostic;
use crate::base::glob::{Glob, escape, within};
use crate::model::findings::Level;
use crate::model::reports::{MetricRule, Reports};

/// A pattern, and where it stands.
type Placed = (Glob, Range<usize>);

impl Builder<'_> {
    /// Returns the reports of a stage in `dir`; of each key that the stage does not have, what the defaults have. Adds to the outputs.
    pub(super) fn reports(
        &mut self,
        fields: &Fields,
        dir: &str,
        combination: &Combination,
        outputs: &mut Vec<Glob>,
        spans: &mut Vec<Range<usize>>,
    ) -> Option<Box<Reports>> {
        let sources: Vec<Fields> = [fields, &self.defaults].iter().filter_map(|fields| fields.table("reports").cloned()).collect();
        let texts = |key: &str| sources.iter().find_map(|fields| fields.texts(key)).unwrap_or_default();
        let junit = self.report_files(texts("junit"), dir, combination);
        let sarif = self.report_files(texts("sarif"), dir, combination);
        let metrics = sources.iter().find_map(|fields| fields.tables("metrics")).unwrap_or_default();
        let metrics: Vec<(MetricRule, Range<usize>)> =
            metrics.iter().filter_map(|(name, fields)| self.metric(name, fields, dir, combination)).collect();
        let fail_on = match sources.iter().find_map(|fields| fields.text("fail-on")) {
            Some("never") => None,
            Some("note") => Some(Level::Note),
            Some("warning") => Some(Level::Warning),
            Some(_) | None => Some(Level::Error),
        };
        let files =
            junit.iter().chain(&sarif).map(|(glob, span)| (glob, span)).chain(metrics.iter().map(|(rule, span)| (&rule.file, span)));
        for (glob, span) in files {
            if !outputs.iter().any(|output| is_below(glob, output)) {
                outputs.push(glob.clone());
                spans.push(span.clone());
            }
        }
        let globs = |placed: Vec<Placed>| placed.into_iter().map(|(glob, _)| glob).collect::<Vec<_>>();
        let reports =
            Reports { junit: globs(junit), sarif: globs(sarif), fail_on, metrics: metrics.into_iter().map(|(rule, _)| rule).collect() };
        let has_any = reports.globs().next().is_some();
        has_any.then(|| Box::new(reports))
    }

    fn report_files(&mut self, texts: &[At<String>], dir: &str, combination: &Combination) -> Vec<Placed> {
        let mut found = Vec::new();
        for text in texts {
            let filled = combination.fill_pattern(&text.value, &text.span, self.problems);
            let glob = self.path(Glob::new(dir, &filled), &text.span);
            let Some(glob) = glob.filter(|glob| self.may_be_output(glob, &filled, &text.span)) else { continue };
            if found.iter().any(|(other, _): &Placed| other.path() == glob.path()) {
                let message = format!("the report `{}` stands twice", glob.path());
                self.problems.push(Diagnostic::error(message, text.span.clone(), "again"));
                continue;
            }
            found.push((glob, text.span.clone()));
        }
        found
    }

    fn metric(&mut self, name: &At<String>, fields: &Fields, dir: &str, combination: &Combination) -> Option<(MetricRule, Range<usize>)> {
        let (file_span, pointer_span) = (fields.span("file"), fields.span("pointer"));
        let file = fields.text("file").map(|file| combination.fill(file, &file_span, self.problems));
        // A path, in which a star is a star.
        let file = file.and_then(|file| self.path(within(dir, &file).and_then(|path| Glob::new("", &escape(&path))), &file_span));
        let file = file.filter(|file| self.may_be_output(file, "", &file_span));
        let pointer = fields.text("pointer").map(|pointer| combination.fill(pointer, &pointer_span, self.problems));
        let pointer = pointer.filter(|pointer| self.is_pointer(pointer, &pointer_span));
        let (max, min) = (fields.number("max").copied(), fields.number("min").copied());
        if max.zip(min).is_some_and(|(max, min)| min > max) {
            let problem = Diagnostic::error(format!("no value of `{}` could pass", name.value), fields.span("min"), "above `max`");
            self.problems.push(problem.and(fields.span("max"), "below `min`"));
        }
        let regression = fields.text("regression").and_then(|text| {
            let part = percentage(text);
            if part.is_none() {
                let message = format!("`{}` is no percentage", text.escape_debug());
                let problem = Diagnostic::error(message, fields.span("regression"), "not a percentage");
                self.problems.push(problem.help("a regression is a number from 0 and a percent sign: 10%"));
            }
            part
        });
        Some((MetricRule { name: name.value.clone(), file: file?, pointer: pointer?, max, min, regression }, file_span))
    }

    fn is_pointer(&mut self, pointer: &str, span: &Range<usize>) -> bool {
        let is_escaped = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        let (message, help) = if !pointer.is_empty() && !pointer.starts_with('/') {
            ("a pointer begins with `/`", format!("write {:?}", format!("/{}", pointer.replace('.', "/"))))
        } else if !is_escaped {
            ("in a pointer `~` stands before `0` or `1`", "`~0` means `~`, `~1` means `/`".to_owned())
        } else {
            return true;
        };
        self.problems.push(Diagnostic::error(message, span.clone(), "not a JSON pointer").help(help));
        false
    }
}

/// Tells whether all that `glob` means lies at or below `output`.
fn is_below(glob: &Glob, output: &Glob) -> bool {
    let path = std::path::Path::new(glob.path());
    let is_same = glob.path() == output.path() && glob.is_literal() == output.is_literal();
    is_same || (glob.is_literal() && output.matches(path)) || output.takes_all_below(std::path::Path::new(glob.base()))
}

/// Reads `10%`: 0.1.
fn percentage(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?.trim();
    let is_plain = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let number: f64 = number.parse().ok().filter(|_| is_plain)?;
    number.is_finite().then_some(number / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::source::Source;
    use crate::config::load;
    use crate::model::stage::Stage;

    fn stages(text: &str) -> Result<Vec<Stage>, Vec<String>> {
        let source = Source::new("pipeline.toml", format!("[pipeline]\nname = \"x\"\n{text}").into_bytes());
        match load(&source) {
            Ok(loaded) => Ok(loaded.pipeline.stages),
            Err(problems) => Err(problems.into_iter().map(|problem| problem.message).collect()),
        }
    }

    fn paths<'g>(globs: impl IntoIterator<Item = &'g Glob>) -> Vec<&'g str> {
        globs.into_iter().map(Glob::path).collect()
    }

    #[test]
    fn reports_are_outputs_where_they_are_not_below_one() {
        let stages = stages(
            "[defaults.reports]\nfail-on = \"note\"\n[stages.a]\nsteps = [\"x\"]\ndir = \"sub\"\nmatrix = { v = [\"1.0\"] }\noutputs = [\"out\", \"t/**\"]\n\
             [stages.a.reports]\njunit = [\"out/j.xml\", \"t/*/j.xml\", \"{matrix.v}.xml\"]\nsarif = [\"scan/*.sarif\"]\n\
             metrics = { one = { file = \"l[1].json\", pointer = \"/a~1b\", max = 2, regression = \"2.5%\" }, two = { file = \"l[1].json\", pointer = \"\", min = -1.5 } }\n",
        );
        let stages = stages.unwrap();
        let reports = stages[0].reports.as_ref().unwrap();
        assert_eq!(paths(&stages[0].outputs), ["sub/out", "sub/t/**", "sub/1.0.xml", "sub/scan/*.sarif", "sub/l[1].json"]);
        assert_eq!(paths(&reports.junit), ["sub/out/j.xml", "sub/t/*/j.xml", "sub/1.0.xml"]);
        assert_eq!(reports.fail_on, Some(Level::Note));
        let [one, two] = reports.metrics.as_slice() else { panic!("two") };
        assert_eq!((one.max, one.regression, one.is_worse_below()), (Some(2.0), Some(0.025), false));
        assert_eq!((two.min, two.file.path(), two.is_worse_below()), (Some(-1.5), "sub/l[1].json", true));
    }

    #[test]
    fn a_stage_without_reports_has_none() {
        let stages = stages("[stages.a]\nsteps = [\"x\"]\n[stages.a.reports]\nfail-on = \"never\"\n").unwrap();
        assert!(stages[0].reports.is_none() && stages[0].outputs.is_empty());
    }

    #[test]
    fn every_mistake_is_told() {
        let problems = stages(
            "[stages.a]\nsteps = [\"x\"]\n[stages.a.reports]\njunit = [\"/j.xml\", \"j.xml\", \"j.xml\", \"pipeline.toml\"]\nfail-on = \"errors\"\n\
             metrics = { m = { file = \"../l\", pointer = \"p95\", max = 1, min = 2, regression = \"ten\" }, n = { file = \"l\", pointer = \"/~2\", max = inf } }\n\
             [stages.b]\nsteps = [\"x\"]\nreports = { sarif = [\"j.xml\"] }\n",
        );
        let expected = [
            "a path must be relative to the project",
            "the report `j.xml` stands twice",
            "`pipeline.toml` cannot be an output",
            "`errors` is none of \"error\", \"warning\", \"note\", \"never\"",
            "a path leaves the project",
            "a pointer begins with `/`",
            "no value of `m` could pass",
            "`ten` is no percentage",
            "in a pointer `~` stands before `0` or `1`",
            "this number is no limit, since all others lie on one side of it",
            "`b` and `a` would write the same output",
        ];
        assert_eq!(problems.unwrap_err(), expected);
    }
}
