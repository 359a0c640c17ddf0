//! Reports that a run leaves behind, and the same ones made later from its record; read by the programs that they are for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::crash::{has, write_err};
use super::project::{Gate, Project, brief, event, finish, git, outcome, start};

/// All forms, each with a path.
const ALL: [&str; 5] = ["html=out/r.html", "json=out/r.json", "junit=out/deep/r.xml", "markdown=out/r.md", "trace=out/r.trace"];

/// Output that would do harm in a page that took it for anything but text.
const HOSTILE: &str = concat!(
    "<script>document.title='owned'</script></pre></code></details><img src=x onerror=\"document.title='owned'\">\n",
    "</style><style>body{display:none}</style><iframe src=x></iframe><!-- ]]> --><svg onload=alert(1)>\n",
    "\u{1b}[31;1mred\u{1b}[0m \u{1b}]8;;javascript:alert(1)\u{7}link\u{1b}]8;;\u{7} \u{1b}[2Jgone \u{202e}turned \u{0}nul &lt;b&gt; \u{1b}[\"><b>x\n",
    "`````\n# heading\n</details>\n@everyone | cell\n",
);

fn arguments<'a>(reports: &[&'a str]) -> Vec<&'a str> {
    std::iter::once("run").chain(reports.iter().flat_map(|report| ["--report", report])).collect()
}

/// Runs a program of Python, which is given the path.
#[track_caller]
fn python(program: &str, path: &Path) -> Value {
    let done = Command::new("python3").args(["-c", program]).arg(path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Reads JUnit XML with a real parser: suites, each with the cases' names and what is in them.
#[track_caller]
fn junit(path: &Path) -> Value {
    let program = "
import sys, json, xml.etree.ElementTree as E
root = E.parse(sys.argv[1]).getroot()
assert root.tag == 'testsuites'
suites = {}
for s in root:
    cases = s.findall('testcase')
    assert int(s.get('tests')) == len(cases)
    for kind, tag in [('failures', 'failure'), ('errors', 'error'), ('skipped', 'skipped')]:
        assert int(s.get(kind)) == len(s.findall('testcase/' + tag)), kind
    suites[s.get('name')] = [[c.get('name'), c[0].tag if len(c) else None, (c[0].get('message') or '') if len(c) else '', (c[0].text or '') if len(c) else ''] for c in cases]
for kind in ['tests', 'failures', 'errors', 'skipped']:
    assert int(root.get(kind)) == sum(int(s.get(kind)) for s in root), kind
json.dump(suites, sys.stdout)";
    python(program, path)
}

#[test]
fn a_failed_run_leaves_every_report_and_each_can_be_made_again() {
    let project = Project::new(
        "[stages.good]\nsteps = [\"echo fine\"]\n[stages.bad]\nneeds = [\"good\"]\nsteps = [\"echo so; exit 3\"]\n[stages.late]\nneeds = [\"bad\"]\nsteps = [\"true\"]\n",
    );
    project.shipway(arguments(&ALL)).exits(1);
    for report in ALL {
        let (form, path) = report.split_once('=').unwrap();
        project.shipway(["report", "--format", form, "-o", "again/x"]).exits(0);
        assert_eq!(project.read(path), project.read("again/x"), "{form}");
        assert_eq!(project.read(path), project.shipway(["report", "--format", form]).exits(0).stdout, "{form} on stdout");
    }
    let suites = junit(&project.join("out/deep/r.xml"));
    assert_eq!(suites["good"][0][1], Value::Null);
    assert_eq!((&suites["bad"][0][1], suites["late"][0][1].as_str()), (&json!("failure"), Some("skipped")));
    assert!(suites["bad"][0][3].as_str().unwrap().contains("so\n"), "{suites}");
    let trace: Value = serde_json::from_str(&project.read("out/r.trace")).unwrap();
    let slices: Vec<&Value> = trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] == "X").collect();
    let names: Vec<&str> = slices.iter().map(|slice| slice["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["good", "1", "bad", "1"]);
    assert!(slices.iter().all(|slice| slice["ts"].is_u64() && slice["dur"].is_u64() && slice["tid"].is_u64()), "{slices:?}");
    assert_eq!(trace["otherData"]["critical_path"], json!(["good", "bad"]));
    let page = project.read("out/r.md");
    assert!(page.starts_with("## ❌ `test`: 1 of 3 stages failed\n"), "{page}");
    assert!(page.contains("| ✗ failed | `bad` |") && page.contains("```text\n$ echo so; exit 3\nso\n```"), "{page}");
    let first: Value = serde_json::from_str(project.read("out/r.json").lines().next().unwrap()).unwrap();
    let waits = json!([{"stage": "good", "needs": [], "after": []}, {"stage": "bad", "needs": ["good"], "after": []}, {"stage": "late", "needs": ["bad"], "after": []}]);
    assert_eq!(first["graph"], waits);
}

#[test]
fn an_interrupted_run_leaves_its_reports_and_none_is_green() {
    let project = Project::counted("[stages.slow]\nsteps = [\"read x < $XDG_N/gate || true; sleep 600\"]\n");
    let gate = Gate::new(&project);
    let child = start(project.command(arguments(&ALL)));
    let step = gate.reached();
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let said = finish(child).exits(130);
    drop(step);
    assert!(said.stderr.contains("interrupted"), "{}", said.stderr);
    let suites = junit(&project.join("out/deep/r.xml"));
    assert_eq!((&suites["slow"][0][1], &suites["the run"][0][1]), (&json!("skipped"), &json!("error")));
    assert!(project.read("out/r.html").contains("<h1><svg class=\"mark cancelled\""));
    assert!(project.read("out/r.md").starts_with("## ❌ `test`: interrupted"));
}

#[test]
fn a_report_that_cannot_be_meant_is_refused_before_anything_runs() {
    let project = Project::counted(
        "[stages.a]\ninputs = [\"in.txt\"]\noutputs = [\"dist\"]\nsteps = [\"echo a >> $XDG_N/runs; mkdir -p dist; touch dist/a\"]\n",
    );
    project.write("in.txt", "x").write("folder/x", "");
    let cases = [
        ("htlm=x", "`htlm` is none of html, json, junit, markdown, trace; `html` may be meant"),
        ("html", "FORMAT=PATH"),
        ("html=", "the path is missing"),
        ("html=folder", "is a folder"),
        ("html=folder/../pipeline.toml", "would replace the pipeline"),
        ("html=dist/r.html", "lies in the outputs of `a`"),
        ("html=in.txt", "is an input of `a`"),
        ("html=.shipway/runs/x.jsonl", "not yours to write to"),
    ];
    for (report, reason) in cases {
        let said = project.shipway(["run", "--report", report]).exits(2);
        assert!(said.stderr.contains(reason), "{report}: {}", said.stderr);
    }
    let said = project.shipway(["run", "--report", "html=r", "--report", "junit=./folder/../r"]).exits(2);
    assert!(said.stderr.contains("is named twice"), "{}", said.stderr);
    assert_eq!(project.count("a"), 0);
}

#[test]
fn a_run_of_no_stages_is_reported_as_one() {
    let project = Project::new("[stages.a]\nsteps = [\"true\"]\ninputs = [\"a\"]\n");
    project.write("a", "").write(".gitignore", "r/\n");
    git(project.path(), &["init", "-q"]);
    git(project.path(), &["add", "."]);
    git(project.path(), &["commit", "-qm", "one"]);
    let (markdown, junit) = ("--report=markdown=r/m.md", "--report=junit=r/j.xml");
    project.shipway(["run", "--affected", "--base", "HEAD", markdown, junit]).exits(0);
    let page = project.read("r/m.md");
    assert!(page.starts_with("## ✅ `test`: nothing to run\n\nin "), "{page}");
    assert!(!page.contains("| stage |"), "{page}");
    assert!(project.read("r/j.xml").contains("tests=\"0\" failures=\"0\""));
}

#[test]
fn a_report_that_cannot_be_written_is_said_and_a_pass_is_none() {
    let project = Project::new("[stages.a]\nsteps = [\"test ! -e fail\"]\n");
    project.write("file", "");
    let reports = ["run", "--report", "html=file/r.html", "--report", "junit=r.xml"];
    let said = project.shipway(reports).exits(3);
    assert!(said.stderr.contains("error: the report `file/r.html` cannot be written"), "{}", said.stderr);
    assert!(project.exists("r.xml"), "the other one is written all the same");
    project.write("fail", "");
    assert!(project.shipway(reports).exits(1).stderr.contains("cannot be written"));
}

#[test]
fn a_report_in_the_project_is_no_input_until_somebody_else_writes_it() {
    let project = Project::new("[stages.a]\nsteps = [\"true\"]\n[stages.b]\ninputs = [\"**\", \"!pipeline.toml\"]\nsteps = [\"true\"]\n");
    let reports = ["--report", "html=report.html", "--report", "json=ci/events.json"];
    assert_eq!(project.brief(&reports), "a passed, b passed");
    assert_eq!(project.brief(&reports), "a cached, b cached");
    project.shipway(["report", "--format", "markdown", "-o", "later.md"]).exits(0);
    assert_eq!(project.brief(&[]), "a cached, b cached");
    project.write("report.html", "mine");
    assert_eq!(project.brief(&[]), "a passed, b passed");
    // It counted as theirs when the run began, so it is ours only from the next run on.
    assert_eq!(project.brief(&reports), "a cached, b cached");
    assert!(project.read("report.html").starts_with("<!doctype html>"));
}

#[test]
fn what_a_reused_stage_printed_is_in_the_page_and_not_on_the_screen() {
    let project = Project::new("[stages.a]\nsteps = [\"echo printed-once\"]\n[stages.b]\nsteps = [\"true\"]\n");
    project.shipway(["run"]).exits(0);
    let said = project.shipway(["run", "--report", "html=r.html"]).exits(0);
    assert!(!said.stdout.contains("printed-once") && !said.stderr.contains("printed-once"), "{said:?}");
    assert!(project.read("r.html").contains("<h4>Output, when it ran</h4>"));
    assert!(project.read("r.html").contains("printed-once"));
}

#[test]
fn events_on_stdout_and_reports_go_together() {
    let project = Project::new("[stages.a]\nsteps = [\"echo x\"]\n");
    let (code, events) = project.events(["--report", "json=r.json"]);
    assert_eq!((code, outcome(&events, "a"), &*brief(&events)), (0, "passed", "a passed"));
    assert_eq!(super::project::events(&project.read("r.json")), events);
    assert_eq!(event(&events, "stage-finished", "a")["stored"], true);
}

/// A recorded run as the engine would write it, with findings and with text that means harm wherever text can stand.
fn recorded(hostile: &str) -> Project {
    let project = Project::new("[stages.a]\nsteps = [\"true\"]\n");
    let name = "a:<b>=\"'&";
    let place = json!({ "file": hostile, "line": 3, "column": null });
    let test = |name: &str, status: &str| json!({ "suite": "suite", "name": format!("{name}{hostile}"), "status": status, "duration_ms": 12, "message": hostile, "place": place });
    let findings = json!({
        "event": "findings",
        "stage": name,
        "tests": [test("bad", "failed"), test("good", "passed"), test("shaky", "flaky"), test("later", "skipped")],
        "problems": [{ "tool": hostile, "rule": hostile, "level": "error", "message": hostile, "place": place, "fails": true }],
        "metrics": [{ "name": hostile, "value": 3.5, "before": 3.0, "failure": hostile }],
    });
    let failure = json!({ "step": "1", "kind": "exit", "code": 1, "signal": null, "command": hostile, "dir": hostile,
        "tail": hostile.lines().collect::<Vec<_>>(), "tests": [hostile], "reproduce": hostile });
    let events = [
        json!({ "event": "run-started", "run": "r1", "pipeline": hostile, "stages": [name, "z"], "jobs": 2,
            "graph": [{ "stage": name, "needs": [], "after": [] }, { "stage": "z", "needs": [name], "after": [] }] }),
        json!({ "event": "notice", "stage": null, "text": hostile }),
        json!({ "event": "stage-started", "stage": name, "key": hostile, "reason": hostile }),
        json!({ "event": "step-started", "stage": name, "step": hostile, "command": hostile }),
        json!({ "event": "output", "stage": name, "step": hostile, "stream": "stdout", "text": hostile, "replayed": false }),
        findings,
        json!({ "event": "stage-finished", "stage": name, "outcome": "failed", "key": hostile, "duration_ms": 900, "reason": hostile,
            "stored": false, "flaky": false, "attempts": 1, "failure": failure }),
        json!({ "event": "stage-finished", "stage": "z", "outcome": "skipped", "key": null, "duration_ms": 0, "reason": hostile,
            "stored": false, "flaky": false, "attempts": 0, "failure": null }),
        json!({ "event": "run-finished", "outcome": "failed", "exit_code": 1, "duration_ms": 1000,
            "counts": { "passed": 0, "cached": 0, "failed": 1, "skipped": 1, "cancelled": 0 } }),
    ];
    let mut record = String::new();
    for (number, mut event) in events.into_iter().enumerate() {
        let header = event.as_object_mut().unwrap();
        header.insert("v".to_owned(), json!(1));
        header.insert("seq".to_owned(), json!(number + 1));
        header.insert("at".to_owned(), json!(format!("2026-11-23T10:00:00.{number}Z")));
        record += &format!("{event}\n");
    }
    project.write(".shipway/runs/20261123-100000-000-1.jsonl", record);
    project
}

#[test]
fn hostile_text_stays_text_in_every_form() {
    let project = recorded(HOSTILE);
    for form in ["html", "junit", "markdown", "trace"] {
        project.shipway(["report", "--format", form, "-o", &format!("r.{form}")]).exits(0);
    }
    let suites = junit(&project.join("r.junit"));
    let suite = suites["a:<b>=\"'&"].as_array().unwrap();
    assert_eq!(
        suite.iter().map(|case| &case[1]).collect::<Vec<_>>(),
        [&json!("failure"), &json!("failure"), &Value::Null, &json!("system-out"), &json!("skipped")]
    );
    assert!(suite[1][3].as_str().unwrap().starts_with("<script>document.title='owned'</script>"), "{suites}");
    let page = project.read("r.markdown");
    let fence = page.lines().find(|line| line.ends_with("text") && line.starts_with("```")).unwrap().trim_end_matches("text").to_owned();
    assert_eq!(fence, "``````");
    let mut inside = false;
    for line in page.lines() {
        if line == fence || line == format!("{fence}text") {
            inside = !inside;
        }
        let plain = line.replace("\\<", "");
        assert!(inside || !line.starts_with("# heading"), "{line}");
        assert!(inside || !plain.contains("<script") || plain.contains('`'), "{line}");
    }
    assert!(!inside);
    let trace: Value = serde_json::from_str(&project.read("r.trace")).unwrap();
    assert!(trace["traceEvents"].as_array().unwrap().len() > 3);
}

/// Runs the browser; `None` where there is none.
fn chromium(arguments: &[&str], page: &Path) -> Option<String> {
    if !has("chromium") {
        write_err("skipped: chromium is not installed");
        return None;
    }
    let own = tempfile::Builder::new().prefix("shipway-chromium-").tempdir().unwrap();
    let mut command = Command::new("timeout");
    command.args([
        "-k",
        "5",
        "90",
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ]);
    command.args(["--allow-file-access-from-files", "--virtual-time-budget=10000"]);
    command.arg(format!("--user-data-dir={}", own.path().display())).args(arguments).arg(format!("file://{}", page.display()));
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Looks at a page in a browser, in a window of 390 pixels, at one of its anchors; says what a script of a page around it sees.
pub(crate) fn seen(project: &Project, page: &str, anchor: &str) -> Option<Value> {
    let script = "
addEventListener('load', () => {
  const page = document.getElementById('page').contentDocument;
  const all = (what) => [...page.querySelectorAll(what)];
  const ids = all('[id]').map((x) => x.id);
  const seen = {
    title: page.title,
    scripts: all('script, iframe, img, object, embed, link, base, form, style ~ style').length,
    handlers: all('*').filter((x) => [...x.attributes].some((a) => a.name.startsWith('on'))).length,
    links: all('a').filter((x) => !(x.getAttribute('href') || '').startsWith('#')).length,
    dead: all('a[href^=\"#\"], use').filter((x) => !page.getElementById(x.getAttribute('href').slice(1))).length,
    doubled: ids.length - new Set(ids).size,
    width: page.documentElement.scrollWidth,
    height: page.body.getBoundingClientRect().height,
    open: all('details.stage[open] > summary b').map((x) => x.textContent),
    landmarks: all('header, main, footer').length,
    headings: all('h1').length,
    regions: all('[role=region]').filter((x) => x.tabIndex === 0 && x.getAttribute('aria-label')).length,
    all_regions: all('[role=region]').length,
    text: page.body.innerText,
    red: all('.output .c1.bold').map((x) => x.textContent)[0] || null,
  };
  const out = document.createElement('pre');
  out.id = 'seen';
  out.textContent = encodeURIComponent(JSON.stringify(seen));
  document.body.append(out);
});";
    let frame =
        format!("<!doctype html><body><iframe id=page width=390 height=844 src=\"{page}#{anchor}\"></iframe><script>{script}</script>");
    project.write("around.html", frame);
    let dom = chromium(&["--dump-dom"], &project.join("around.html"))?;
    let text = dom.split("<pre id=\"seen\">").nth(1).unwrap_or_else(|| panic!("{dom}")).split("</pre>").next().unwrap();
    let program = "import sys, urllib.parse; sys.stdout.write(urllib.parse.unquote(open(sys.argv[1]).read()))";
    project.write("seen.txt", text);
    Some(python(program, &project.join("seen.txt")))
}

#[test]
fn a_browser_shows_hostile_text_and_does_nothing_of_it() {
    let project = recorded(HOSTILE);
    project.shipway(["report", "--format", "html", "-o", "r.html"]).exits(0);
    let html = project.read("r.html");
    assert!(html.contains("content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:;"));
    let Some(seen) = seen(&project, "r.html", "stage-0") else { return };
    for nothing in ["scripts", "handlers", "links", "dead", "doubled"] {
        assert_eq!(seen[nothing], 0, "{nothing}: {seen:#}");
    }
    assert!(seen["title"].as_str().unwrap().contains("<script>") && seen["title"] != "owned", "{seen:#}");
    assert_eq!(seen["open"], json!(["a:<b>=\"'&"]), "an anchor opens its stage without any script");
    assert_eq!((&seen["landmarks"], &seen["headings"]), (&json!(3), &json!(1)));
    assert_eq!(seen["regions"], seen["all_regions"], "what can be scrolled can be reached by keyboard");
    assert!(seen["width"].as_u64().unwrap() <= 390 && seen["height"].as_f64().unwrap() > 500.0, "{seen:#}");
    let text = seen["text"].as_str().unwrap();
    assert!(text.contains("<script>document.title='owned'</script></pre>") && text.contains("\\u{202e}turned"), "{text}");
    assert!(!text.contains(['\u{202e}', '\u{0}', '\u{1b}']), "{text}");
    assert_eq!(seen["red"], "red");
}

/// How many colours a picture has, and how bright it is, from 0 to 255.
fn picture(path: &Path) -> (u64, u64) {
    let program = "
import sys, json, zlib, struct
data = open(sys.argv[1], 'rb').read()
assert data[:8] == b'\\x89PNG\\r\\n\\x1a\\n'
at, packed = 8, b''
while at < len(data):
    size, kind = struct.unpack('>I4s', data[at:at + 8])
    body = data[at + 8:at + 8 + size]
    if kind == b'IHDR': width, height, depth, colour, _, _, interlaced = struct.unpack('>IIBBBBB', body)
    if kind == b'IDAT': packed += body
    at += size + 12
assert (depth, interlaced) == (8, 0) and colour in (2, 6)
n = {2: 3, 6: 4}[colour]; row = width * n; raw = zlib.decompress(packed); last = bytearray(row); colours = set(); light = 0
for y in range(height):
    how, line = raw[y * (row + 1)], bytearray(raw[y * (row + 1) + 1:(y + 1) * (row + 1)])
    for x in range(row):
        a = line[x - n] if x >= n else 0; b = last[x]; c = last[x - n] if x >= n else 0
        if how == 1: line[x] = (line[x] + a) & 255
        elif how == 2: line[x] = (line[x] + b) & 255
        elif how == 3: line[x] = (line[x] + (a + b) // 2) & 255
        elif how == 4:
            p = a + b - c; pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
            line[x] = (line[x] + (a if pa <= pb and pa <= pc else b if pb <= pc else c)) & 255
    colours.update(bytes(line[x:x + 3]) for x in range(0, row, n)); light += sum(line[1::n]); last = line
json.dump([len(colours), light // (width * height)], sys.stdout)";
    let found = python(program, path);
    (found[0].as_u64().unwrap(), found[1].as_u64().unwrap())
}

#[test]
fn the_page_is_a_picture_in_light_dark_and_narrow() {
    let project = Project::new(
        "[stages.compile]\nsteps = [\"echo made\"]\n[stages.lint]\nsteps = [\"true\"]\n[stages.test]\nneeds = [\"compile\"]\nsteps = [\"printf '\\\\033[31mred\\\\033[0m'; exit 1\"]\n",
    );
    project.shipway(["run", "-k", "--report", "html=r.html"]).exits(1);
    project
        .write("narrow.html", "<!doctype html><body style='margin:0'><iframe width=390 height=600 style='border:0' src='r.html'></iframe>");
    let shot = |name: &str, page: &str, flags: &[&str]| -> Option<PathBuf> {
        let path = project.join(name);
        let out = format!("--screenshot={}", path.display());
        chromium(&[&["--window-size=700,600", &out], flags].concat(), &project.join(page)).map(|_| path)
    };
    let Some(light) = shot("light.png", "r.html", &[]) else { return };
    let dark = shot("dark.png", "r.html", &["--blink-settings=preferredColorScheme=0"]).unwrap();
    let narrow = shot("narrow.png", "narrow.html", &[]).unwrap();
    let [light, dark, narrow] = [light, dark, narrow].map(|path| {
        assert!(fs::metadata(&path).unwrap().len() > 5000, "{}", path.display());
        picture(&path)
    });
    assert!(light.0 > 100 && dark.0 > 100 && narrow.0 > 100, "{light:?} {dark:?} {narrow:?}");
    assert!(light.1 > 200 && dark.1 < 60 && narrow.1 > 200, "{light:?} {dark:?} {narrow:?}");
}
