//! Numbers in JSON files, and whether they keep within their limits.
//!
//! Knows pointers (RFC 6901) and limits; what a number was before is the caller's to know.

use std::io::Read;

use serde_json::Value;

use super::encoding::whole;
use crate::base::text::visible;
use crate::model::findings::{Findings, Metric};
use crate::model::reports::MetricRule;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// Reads the numbers that `rules` name in one file.
///
/// # Errors
/// Why the file cannot be read, or what is not there; reads on after the name of the file.
pub(super) fn read<'r>(
    bytes: impl Read,
    rules: impl Iterator<Item = &'r MetricRule>,
    before: &dyn Fn(&MetricRule) -> Option<f64>,
    findings: &mut Findings,
) -> Result<(), String> {
    let text = whole(bytes, LARGEST)?;
    let json: Value = serde_json::from_slice(&text).map_err(|error| format!("is no valid JSON: {error}"))?;
    let mut problems = Vec::new();
    for rule in rules {
        match number(&json, rule) {
            Ok(value) => findings.metrics.push(judge(rule, value, before(rule))),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join(", and ")) }
}

fn number(json: &Value, rule: &MetricRule) -> Result<f64, String> {
    let at = if rule.pointer.is_empty() { "as a whole".to_owned() } else { format!("at `{}`", visible(&rule.pointer)) };
    let found = match json.pointer(&rule.pointer) {
        Some(Value::Number(number)) => match number.as_f64().filter(|number| number.is_finite()) {
            Some(number) => return Ok(number),
            None => "a number that is too large",
        },
        Some(Value::String(_)) => "a text",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "true or false",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
        None => "nothing",
    };
    Err(format!("has {found} {at}, where the metric `{}` is to be a number", rule.name))
}

fn judge(rule: &MetricRule, value: f64, before: Option<f64>) -> Metric {
    let mut reasons = Vec::new();
    if let Some(max) = rule.max.filter(|max| value > *max) {
        reasons.push(format!("above its limit of {max}"));
    }
    if let Some(min) = rule.min.filter(|min| value < *min) {
        reasons.push(format!("below its limit of {min}"));
    }
    if let (Some(part), Some(before)) = (rule.regression, before)
        && is_worse(rule, value, before, part)
    {
        let percent = part * 100.0;
        reasons.push(format!("more than {percent}% worse than {before} in the last run that passed"));
    }
    let failure = (!reasons.is_empty()).then(|| format!("`{}` is {value}, {}", rule.name, reasons.join(" and ")));
    Metric { name: rule.name.clone(), value, before, failure }
}

fn is_worse(rule: &MetricRule, value: f64, before: f64, part: f64) -> bool {
    let margin = before.abs() * part;
    if rule.is_worse_below() { value < before - margin } else { value > before + margin }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::glob::Glob;

    fn rule(pointer: &str, max: Option<f64>, min: Option<f64>, regression: Option<f64>) -> MetricRule {
        MetricRule { name: "m".to_owned(), file: Glob::new("", "f").unwrap(), pointer: pointer.to_owned(), max, min, regression }
    }

    fn measured(text: &[u8], rule: &MetricRule, before: Option<f64>) -> Result<Metric, String> {
        let mut findings = Findings::none("s".into());
        read(text, [rule].into_iter(), &|_| before, &mut findings)?;
        Ok(findings.metrics.remove(0))
    }

    fn failure(value: f64, rule: &MetricRule, before: Option<f64>) -> Option<String> {
        measured(value.to_string().as_bytes(), rule, before).unwrap().failure
    }

    #[test]
    fn pointers_find_numbers() {
        for (text, pointer, value) in [
            (r#"{"a/b": {"~": [1, 2.5]}}"#, "/a~1b/~0/1", 2.5),
            ("\u{feff}{\"\": -1e3}", "/", -1000.0),
            ("7", "", 7.0),
            (r#"{"p95": 18446744073709551615}"#, "/p95", 18_446_744_073_709_551_615.0),
        ] {
            let measured = measured(text.as_bytes(), &rule(pointer, None, None, None), None).unwrap();
            assert!((measured.value - value).abs() < f64::EPSILON && measured.failure.is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_told() {
        for (text, expected) in [
            (r#"{"p": "12ms"}"#, "has a text at `/p`, where the metric `m` is to be a number"),
            ("{}", "has nothing at `/p`, where the metric `m` is to be a number"),
            (r#"{"p": null}"#, "has null at `/p`, where the metric `m` is to be a number"),
            ("", "is empty"),
            ("{", "is no valid JSON: EOF while parsing an object at line 1 column 1"),
            (r#"{"p": 1e999}"#, "is no valid JSON: number out of range at line 1 column 11"),
            (r#"{"p": NaN}"#, "is no valid JSON: expected value at line 1 column 7"),
        ] {
            assert_eq!(measured(text.as_bytes(), &rule("/p", None, None, None), None).unwrap_err(), expected);
        }
    }

    #[test]
    fn limits_hold_and_the_limit_itself_passes() {
        let both = rule("", Some(200.0), Some(10.0), None);
        assert_eq!(failure(200.0, &both, None), None);
        assert_eq!(failure(10.0, &both, None), None);
        assert_eq!(failure(200.5, &both, None).unwrap(), "`m` is 200.5, above its limit of 200");
        assert_eq!(failure(9.0, &both, None).unwrap(), "`m` is 9, below its limit of 10");
    }

    #[test]
    fn a_regression_is_judged_in_the_direction_of_the_limit() {
        let more = rule("", None, None, Some(0.1));
        assert_eq!(failure(110.0, &more, Some(100.0)), None);
        assert_eq!(failure(50.0, &more, Some(100.0)), None);
        assert_eq!(failure(111.0, &more, Some(100.0)).unwrap(), "`m` is 111, more than 10% worse than 100 in the last run that passed");
        assert_eq!(failure(111.0, &more, None), None);
        assert!(failure(-80.0, &more, Some(-100.0)).is_some());
        assert!(failure(0.1, &more, Some(0.0)).is_some());
        let less = rule("", None, Some(0.0), Some(0.1));
        assert_eq!(failure(90.0, &less, Some(100.0)), None);
        assert!(failure(89.0, &less, Some(100.0)).is_some() && failure(900.0, &less, Some(100.0)).is_none());
        assert!(failure(111.0, &rule("", Some(500.0), Some(0.0), Some(0.1)), Some(100.0)).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), pointer in "(/[a~01]{0,3}){0,3}") {
            let _either = measured(&bytes, &rule(&pointer, Some(1.0), Some(0.0), Some(0.1)), Some(1.0));
        }
    }
}
