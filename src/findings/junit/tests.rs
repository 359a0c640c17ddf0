//! Files as test runners write them, and as they should not.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::findings::place::Places;
use crate::findings::room::Room;
use crate::model::findings::Findings;

fn parse_in(bytes: &[u8], root: &Path) -> (Findings, Result<(), String>) {
    let mut findings = Findings::none("s".into());
    let folders = [Path::new("")];
    let mut sink = Sink { findings: &mut findings, room: Room::default(), places: Places::new(root, &folders) };
    let result = read(bytes, &mut sink);
    (findings, result)
}

fn parse(text: &str) -> Findings {
    let (findings, result) = parse_in(text.as_bytes(), Path::new("/nowhere"));
    assert_eq!(result, Ok(()), "{text}");
    findings
}

/// Each test in a line: its status, name, message, place.
fn told(findings: &Findings) -> Vec<String> {
    let line = |test: &Test| {
        let place = test.place.as_ref().map(|place| format!(" @{}:{}", place.file, place.line.unwrap_or(0))).unwrap_or_default();
        let message = test.message.as_ref().map(|message| format!(" | {}", message.replace('\n', "/"))).unwrap_or_default();
        format!("{:?} {}{message}{place}", test.status, test.full_name())
    };
    findings.tests.iter().map(line).collect()
}

fn refused(bytes: &[u8]) -> String {
    parse_in(bytes, Path::new("/nowhere")).1.unwrap_err()
}

/// cargo-nextest 0.9 with retries.
#[test]
fn nextest() {
    let findings = parse(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="3" failures="1" errors="0" uuid="1" timestamp="2026-01-01T00:00:00.000+00:00" time="0.012">
    <testsuite name="a::cli" tests="3" disabled="0" errors="0" failures="1">
        <testcase name="good" classname="a::cli" timestamp="2026-01-01T00:00:00.000+00:00" time="0.004"/>
        <testcase name="shaky" classname="a::cli" time="0.005">
            <flakyFailure timestamp="2026-01-01T00:00:00.000+00:00" time="0.003" message="thread &apos;shaky&apos; panicked at src/lib.rs:9:5" type="test failure with exit code 101">thread 'shaky' panicked at src/lib.rs:9:5:
no luck<system-out>x</system-out></flakyFailure>
        </testcase>
        <testcase name="bad" classname="a::cli" time="1.5">
            <failure message="thread &apos;bad&apos; panicked at src/lib.rs:3:5" type="test failure with exit code 101">thread 'bad' panicked at src/lib.rs:3:5:
assertion failed: 1 &lt; 0</failure>
            <rerunFailure type="test failure with exit code 101">again</rerunFailure>
            <system-out>test bad ... FAILED</system-out>
        </testcase>
    </testsuite>
</testsuites>"#,
    );
    let expected = [
        "Passed a::cli good",
        "Flaky a::cli shaky | thread 'shaky' panicked at src/lib.rs:9:5:/no luck",
        "Failed a::cli bad | thread 'bad' panicked at src/lib.rs:3:5:/assertion failed: 1 < 0",
    ];
    assert_eq!(told(&findings), expected);
    assert_eq!(findings.tests.iter().map(|test| test.duration_ms).collect::<Vec<_>>(), [4, 5, 1500]);
    assert_eq!((findings.totals.passed, findings.totals.flaky, findings.totals.failed), (1, 1, 1));
}

/// Surefire 3 with reruns, in a root without `testsuites`.
#[test]
fn surefire() {
    let findings = parse(
        r#"<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" name="org.ATest" time="1,234.5" tests="3" errors="1" skipped="1" failures="0">
  <properties><property name="java.version" value="21"/></properties>
  <testcase name="skips" classname="org.ATest" time="0"><skipped message="not today"/></testcase>
  <testcase name="breaks" classname="org.ATest" time="1,234.5">
    <error message="boom" type="java.lang.IllegalStateException"><![CDATA[java.lang.IllegalStateException: boom
	at org.ATest.breaks(ATest.java:7)]]></error>
  </testcase>
  <testcase name="again" classname="org.ATest"><flakyError message="once" type="E"><stackTrace>trace</stackTrace><system-err>noise</system-err></flakyError></testcase>
</testsuite>"#,
    );
    let expected = [
        "Skipped org.ATest skips | not today",
        "Failed org.ATest breaks | boom/java.lang.IllegalStateException: boom/\tat org.ATest.breaks(ATest.java:7)",
        "Flaky org.ATest again | once/trace",
    ];
    assert_eq!(told(&findings), expected);
    assert_eq!(findings.tests[1].duration_ms, 1_234_500);
}

/// gtest: places as attributes, tests that are not run, several failures of one test; ctest: a status.
#[test]
fn gtest_and_ctest() {
    let findings = parse(
        r#"<testsuites tests="3" failures="1" disabled="1" errors="0" time="0." name="AllTests"><testsuite name="Math" tests="3" failures="1">
    <testcase name="Adds" file="math_test.cc" line="4" status="run" result="completed" time="0.001" classname="Math">
      <failure message="math_test.cc:6&#x0A;one" type=""><![CDATA[math_test.cc:6
one]]></failure>
      <failure message="math_test.cc:7&#x0A;two" type=""><![CDATA[math_test.cc:7
two]]></failure>
    </testcase>
    <testcase name="Off" status="notrun" result="suppressed" classname="Math" />
    <testcase name="Broken" status="fail" classname="Math"/></testsuite></testsuites>"#,
    );
    let told = told(&findings);
    assert!(
        told[0].starts_with("Failed Math Adds | math_test.cc:6/one") && told[0].contains("two") && told[0].ends_with("@math_test.cc:4"),
        "{}",
        told[0]
    );
    assert_eq!(told[1..], ["Skipped Math Off", "Failed Math Broken"]);
}

/// jest-junit writes the name twice; go-junit-report writes no message but the text; nested suites.
#[test]
fn jest_and_go_and_nested() {
    let findings = parse(
        r#"<testsuites><testsuite name="outer"><testsuite name="sum"><testcase classname="sum adds" name="sum adds" time="0.003"/></testsuite>
        <testcase name="TestX" classname="pkg" time="0.1"><failure message="Failed" type="">    x_test.go:5: no</failure></testcase>
        <testcase name=" " /></testsuite></testsuites>"#,
    );
    assert_eq!(told(&findings), ["Passed sum sum adds", "Failed pkg TestX | Failed/    x_test.go:5: no", "Passed outer (no name)"]);
}

#[test]
fn places_are_found_in_messages() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("node_modules/x")).unwrap();
    for file in ["test_a.py", "lib.js", "node_modules/x/i.js"] {
        std::fs::write(root.path().join(file), "").unwrap();
    }
    let absolute = root.path().display();
    let text = format!(
        "<testsuite><testcase name='a' classname='test_a'><failure message='assert 1 == 2'>def test():\n&gt; assert 1 == 2\n\ntest_a.py:5: AssertionError</failure></testcase>\
         <testcase name='b'><failure>at y ({absolute}/node_modules/x/i.js:1:1)\nat z ({absolute}/lib.js:7:2)</failure></testcase>\
         <testcase name='c' file='{absolute}/lib.js'><failure>test_a.py:1: x lib.js:9</failure></testcase>\
         <testcase name='d' file='test_a.py' line='0'/>\
         <testcase name='e' file='test_a.py' line='3'><failure>test_a.py:4: x</failure></testcase><testcase name='f' file='test_a.py' line='3'><failure/></testcase></testsuite>"
    );
    let (findings, result) = parse_in(text.as_bytes(), root.path());
    assert_eq!(result, Ok(()));
    let places: Vec<_> = findings.tests.iter().map(|test| test.place.clone().map(|place| (place.file, place.line, place.column))).collect();
    let place = |file: &str, line, column| Some((file.to_owned(), line, column));
    assert_eq!(
        places,
        [
            place("test_a.py", Some(5), None),
            place("lib.js", Some(7), Some(2)),
            place("lib.js", Some(9), None),
            place("test_a.py", None, None),
            place("test_a.py", Some(4), None),
            place("test_a.py", Some(3), None)
        ]
    );
}

#[test]
fn a_suite_that_counts_failures_it_does_not_name_fails() {
    let findings = parse(r#"<testsuites failures="2"><testsuite name="x" errors="2" failures="0"/><testsuite name="y"/></testsuites>"#);
    assert_eq!(told(&findings), ["Failed x (2 failures that the report counts and does not name)"]);
    let findings = parse(r#"<testsuite name="x"><error message="no database"/><testcase name="t"/></testsuite>"#);
    assert_eq!(told(&findings), ["Failed x (the suite itself) | no database", "Passed x t"]);
    // A flaky test is what some count as a failure.
    let findings = parse(r#"<testsuite name="x" failures="1"><testcase name="t"><rerunFailure/></testcase></testsuite>"#);
    assert_eq!(told(&findings), ["Flaky x t"]);
}

#[test]
fn encodings_and_entities() {
    let (findings, result) =
        parse_in(b"\xef\xbb\xbf<testsuite name='&lt;&#228;&unknown;&#xfffffff;'><testcase name='t&amp;u'><failure>&gt;&#x41;&no;</failure></testcase></testsuite>", Path::new("/"));
    assert_eq!(result, Ok(()));
    assert_eq!(findings.tests[0].name, "t&u");
    assert_eq!(findings.tests[0].message.as_deref(), Some(">A\u{fffd}"));
    let (findings, result) = parse_in(
        b"<?xml version='1.0' encoding='ISO-8859-1'?><testsuite name='gr\xf6\xdfe'><testcase name='t'/></testsuite>",
        Path::new("/"),
    );
    assert_eq!((result, findings.tests[0].suite.as_str()), (Ok(()), "größe"));
}

#[test]
fn entities_of_a_document_type_are_not_expanded() {
    let mut text = "<?xml version=\"1.0\"?><!DOCTYPE t [<!ENTITY a0 \"lol\"><!ENTITY x SYSTEM \"file:///etc/passwd\">".to_owned();
    for level in 1..20 {
        text += &format!("<!ENTITY a{level} \"{}\">", format!("&a{};", level - 1).repeat(10));
    }
    text += "]><testsuite name=\"&x;\"><testcase name=\"t&a19;\"><failure>&a19;&x;</failure></testcase></testsuite>";
    assert_eq!(told(&parse(&text)), ["Failed \u{fffd} t\u{fffd} | \u{fffd}\u{fffd}"]);
}

#[test]
fn what_is_no_report_is_refused() {
    for (text, expected) in [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("<?xml version='1.0'?>", "is empty"),
        ("<html/>", "is no report of JUnit: it begins with `<html>`, not with `<testsuites>` or `<testsuite>`"),
        ("ok 1", "is no XML: there is text outside of all elements"),
        ("<testsuite><testcase name='a'>", "ends in the middle: whoever wrote it was stopped"),
        ("<testsuite/><testsuite/>", "goes on after its end"),
    ] {
        assert_eq!(refused(text.as_bytes()), expected, "{text}");
    }
    for text in [
        "<testsuite></testcase>",
        "<testsuite><testcase name='a></testsuite>",
        "<testsuite><![CDATA[x",
        "<testsuite",
        "<testsuite a>",
        "</testsuite>",
    ] {
        assert!(refused(text.as_bytes()).contains("XML"), "{text}: {}", refused(text.as_bytes()));
    }
    let deep = "<testsuite>".repeat(100_000);
    assert_eq!(refused(deep.as_bytes()), "is nested more than 64 deep");
}

#[test]
fn a_large_report_is_counted_whole_and_kept_in_part() {
    struct Endless(u64, Vec<u8>);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.1.is_empty() && self.0 > 0 {
                self.0 -= 1;
                let fault = if self.0 == 0 { "<failure>at last</failure>" } else { "" };
                self.1 = format!("<testcase name='{}'><system-out>{}</system-out>{fault}</testcase>", self.0, "x".repeat(50)).into_bytes();
                if self.0 == 0 {
                    self.1.extend(b"</testsuite>");
                }
            }
            let length = self.1.len().min(buffer.len());
            buffer[..length].copy_from_slice(&self.1[..length]);
            self.1.drain(..length);
            Ok(length)
        }
    }
    let mut findings = Findings::none("s".into());
    let mut sink = Sink { findings: &mut findings, room: Room::default(), places: Places::new(Path::new("/nowhere"), &[]) };
    assert_eq!(read(Endless(200_000, b"<testsuite name='big'>".to_vec()), &mut sink), Ok(()));
    assert_eq!((findings.totals.passed, findings.totals.failed), (199_999, 1));
    assert_eq!(findings.tests.len(), 100_001);
    assert_eq!(findings.tests.last().unwrap().message.as_deref(), Some("at last"));
}

#[test]
fn long_messages_are_cut() {
    let text = format!("<testsuite><testcase name='{0}'><failure>{0}</failure></testcase></testsuite>", "ä".repeat(100_000));
    let test = &parse(&text).tests[0];
    assert!(test.message.as_ref().unwrap().len() < 17_000 && test.message.as_ref().unwrap().ends_with('…'));
    assert!(test.name.len() < 1100);
}

fn element() -> impl Strategy<Value = String> {
    let names = [
        "testsuites",
        "testsuite",
        "testcase",
        "failure",
        "error",
        "skipped",
        "flakyFailure",
        "rerunError",
        "stackTrace",
        "system-out",
        "x",
    ];
    let pieces = (0..names.len(), 0u8..8).prop_map(move |(name, form)| {
        let name = names[name];
        match form {
            0 | 1 => format!("<{name} name='a' failures='1' file='f' line='3' status='fail' time='1e400'>"),
            2 | 3 => format!("</{name}>"),
            4 => format!("<{name} message='m&a;'/>"),
            5 => "text a.rs:3".to_owned(),
            6 => "<![CDATA[c]]>&#1;&b;".to_owned(),
            _ => "<!-- c --><?p i?>".to_owned(),
        }
    });
    prop::collection::vec(pieces, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _either = parse_in(&bytes, Path::new("/nowhere"));
    }

    #[test]
    fn any_elements_are_read_or_refused(text in element()) {
        let (findings, _) = parse_in(format!("<testsuites>{text}").as_bytes(), Path::new("/nowhere"));
        prop_assert_eq!(findings.tests.len() as u64, findings.totals.tests());
    }

    #[test]
    fn what_is_written_is_counted(statuses in prop::collection::vec(0u8..4, 0..30)) {
        let children = ["", "<failure/>", "<skipped/>", "<flakyError/>"];
        let cases: Vec<String> = statuses.iter().map(|status| format!("<testcase name='t'>{}</testcase>", children[usize::from(*status)])).collect();
        let totals = parse(&format!("<testsuite>{}</testsuite>", cases.concat())).totals;
        let number = |status: u8| statuses.iter().map(|one| u64::from(*one == status)).sum::<u64>();
        prop_assert_eq!([totals.passed, totals.failed, totals.skipped, totals.flaky], [number(0), number(1), number(2), number(3)]);
    }
}
