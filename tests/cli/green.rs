//! Never a wrong green: what other runners report as passed although nothing passed. Each test is named by what went wrong there.

use std::fs;

use crate::project::{Gate, Project, brief, event, git, notices, outcome, output, processes, start, until};

/// `b` reads what `a` makes.
const CHAIN: &str = r#"
[stages.a]
steps = ["echo a >> $XDG_N/runs; cp src/a out/a"]
inputs = ["src/a"]
outputs = ["out/a"]
[stages.b]
needs = ["a"]
steps = ["echo b >> $XDG_N/runs; cp out/a out/b"]
inputs = []
outputs = ["out/b"]
"#;

fn chain() -> Project {
    let project = Project::counted(CHAIN);
    project.write("src/a", "one\n");
    project
}

/// nx#37110, #36932: a hit without files.
#[test]
fn a_hit_restores_what_is_missing() {
    let project = chain();
    assert_eq!(project.brief(&[]), "a passed, b passed");
    assert_eq!(project.brief(&[]), "a cached, b cached");
    project.remove("out");
    let (code, events) = project.events([""; 0]);
    assert_eq!((code, brief(&events).as_str()), (0, "a cached, b cached"));
    assert_eq!(event(&events, "stage-finished", "a")["reason"], "restored out/a");
    assert_eq!((project.read("out/a"), project.read("out/b")), ("one\n".to_owned(), "one\n".to_owned()));
    assert_eq!((project.count("a"), project.count("b")), (1, 1));
}

/// moon PR#2699: the outputs are deleted, and then the blob is not there.
#[test]
fn a_record_without_its_blobs_is_no_hit() {
    let project = chain();
    project.brief(&[]);
    project.remove("out");
    project.stored("cas").iter().for_each(|blob| fs::remove_file(blob).unwrap());
    let (code, events) = project.events([""; 0]);
    // The first has made the blob that the second needs, again.
    assert_eq!((code, brief(&events).as_str()), (0, "a passed, b cached"));
    assert!(event(&events, "stage-finished", "a")["reason"].as_str().unwrap().starts_with("its stored result was damaged"));
    assert_eq!((project.read("out/b"), project.count("a")), ("one\n".to_owned(), 2));
    project.remove("out");
    assert_eq!(project.brief(&[]), "a cached, b cached");
    assert_eq!(project.count("a"), 2);
}

/// moon PR#2699 again: what lies there is not touched before all blobs are in hand.
#[test]
fn what_lies_there_stays_until_all_blobs_are_in_hand() {
    let project = Project::counted(
        "[stages.a]\nsteps = [\"cp src out/1; cp src out/2; [ ! -e $XDG_N/no ]\"]\ninputs = [\"src\"]\noutputs = [\"out/1\", \"out/2\"]\nclean = false\n",
    );
    project.write("src", "one").brief(&[]);
    project.write("src", "two").brief(&[]);
    project.write("src", "one");
    project.stored("cas").iter().filter(|blob| fs::read(blob).unwrap() == b"one").for_each(|blob| fs::remove_file(blob).unwrap());
    fs::write(project.aside("no"), "").unwrap();
    let (code, events) = project.events([""; 0]);
    assert_eq!((code, outcome(&events, "a")), (1, "failed"), "without the blob the step runs");
}

const HALVES: &str = r#"
[stages.a]
steps = ["echo a >> $XDG_N/runs; echo half > out/a; read x < $XDG_N/gate || true; echo whole > out/a"]
inputs = []
outputs = ["out/a"]
[stages.b]
needs = ["a"]
steps = ["echo b >> $XDG_N/runs; cat out/a"]
inputs = []
[stages.c]
needs = ["b"]
steps = ["true"]
inputs = []
"#;

/// go-task#1178: an interrupted run counts as up to date. turborepo#6754: a killed task's partial output is cached.
#[test]
fn an_interrupted_run_is_made_again() {
    let project = Project::counted(HALVES);
    let gate = Gate::new(&project);
    let mut child = start(project.command(["run"]));
    let step = gate.reached();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(step);
    until("the guard has ended the step", || processes(&project.aside("gate").to_string_lossy()).is_empty());
    project.write("out/a", "half\n");
    assert!(project.stored("ac").is_empty(), "nothing is stored of it");
    for only in ["b", "c"] {
        let said = project.shipway(["run", "--only", only]).exits(3);
        assert!(said.stderr.contains("shipway run a") && said.stderr.contains("not ended"), "{}", said.stderr);
    }
    project.shipway(["run", "--skip", "a", "b"]).exits(3);
    assert_eq!(project.count("b"), 0);
    let (code, events) = gate.during(&project, &[], || {});
    assert_eq!((code, brief(&events).as_str()), (0, "a passed, b passed, c passed"));
    assert_eq!(output(&events, "b", "stdout"), "whole\n");
    assert_eq!(project.brief(&[]), "a cached, b cached, c cached");
    assert_eq!(project.brief(&["--only", "c"]), "c cached");
}

/// turborepo#6754, nx#29204: what a failed, killed or timed-out step left is used.
#[test]
fn what_a_failed_step_left_is_never_used() {
    for how in ["exit 3", "kill -KILL $$", "read x < $XDG_N/gate"] {
        let project = Project::counted(&format!(
            r#"
[stages.a]
steps = [{{ run = "echo half > out/a; [ -e $XDG_N/good ] || {how}; echo whole > out/a", timeout = "2s" }}]
inputs = []
outputs = ["out/a"]
[stages.b]
needs = ["a"]
steps = ["echo b >> $XDG_N/runs; cat out/a"]
inputs = []
"#
        ));
        let _gate = Gate::new(&project);
        let (code, events) = project.events([""; 0]);
        assert_eq!((code, brief(&events).as_str()), (1, "a failed, b skipped"), "{how}");
        assert_eq!((project.read("out/a").as_str(), project.stored("ac").len()), ("half\n", 0));
        assert!(project.shipway(["run", "--only", "b"]).exits(3).stderr.contains("shipway run a"));
        project.shipway(["run", "--skip", "a"]).exits(3);
        assert_eq!(project.count("b"), 0, "{how}");
        fs::write(project.aside("good"), "").unwrap();
        let (_, events) = project.events([""; 0]);
        assert_eq!(brief(&events), "a passed, b passed", "{how}");
        assert_eq!(output(&events, "b", "stdout"), "whole\n");
        assert_eq!(notices(&events), "", "what the failed step left was ours");
        assert_eq!(project.brief(&["--only", "b"]), "b cached");
    }
}

/// A stage that passed once and is then broken half-way keeps nothing of either.
#[test]
fn a_failure_over_an_old_result_marks_the_outputs() {
    let project = chain();
    project.brief(&[]);
    project.pipeline(&CHAIN.replace("cp src/a out/a", "echo half > out/a; false"));
    assert_eq!(project.events([""; 0]).0, 1);
    project.shipway(["run", "--only", "b"]).exits(3);
    project.pipeline(CHAIN);
    assert_eq!(project.brief(&[]), "a cached, b cached");
    assert_eq!((project.read("out/a").as_str(), project.count("a")), ("one\n", 2));
    assert_eq!(project.brief(&["--only", "b"]), "b cached");
}

/// turborepo#10111, moon#1959: a formatter hits, and leaves the file as it was.
#[test]
fn a_formatter_is_stored_only_when_it_changes_nothing() {
    let project = Project::counted(
        r#"
[stages.fmt]
steps = ["echo fmt >> $XDG_N/runs; f=$(tr a-z A-Z < src/a); echo $f > src/a"]
inputs = ["src/**"]
[stages.show]
after = ["fmt"]
steps = ["echo show >> $XDG_N/runs; cat src/a"]
inputs = ["src/**"]
"#,
    );
    project.write("src/a", "one\n");
    let (_, events) = project.events([""; 0]);
    assert_eq!(brief(&events), "fmt passed unstored, show passed");
    assert_eq!(notices(&events), "not stored: while it ran, src/a changed\n");
    assert_eq!(output(&events, "show", "stdout"), "ONE\n");
    assert_eq!(project.brief(&[]), "fmt passed, show cached");
    assert_eq!(project.brief(&[]), "fmt cached, show cached");
    project.write("src/a", "one\n");
    assert_eq!(project.brief(&[]), "fmt passed unstored, show cached");
    assert_eq!(project.read("src/a"), "ONE\n");
    assert_eq!((project.count("fmt"), project.count("show")), (3, 1));
}

/// turborepo#1146, nx#8828, ninja#1162: an input edited while the step runs poisons the cache.
#[test]
fn an_input_edited_while_the_step_runs_keeps_it_out_of_the_store() {
    for (what, said) in [
        ("edit", "src/a changed"),
        ("new", "src/c is new"),
        ("gone", "src/b is gone"),
        ("mode", "src/a can be executed now"),
        ("tool", "check.sh changed"),
    ] {
        let project = Project::counted(
            "[stages.a]\nsteps = [[\"./check.sh\"], \"read x < $XDG_N/gate || true\"]\ninputs = [\"src/**\"]\noutputs = [\"out\"]\n",
        );
        project.write("src/a", "one").write("src/b", "b").script("check.sh", "#!/bin/sh\necho a >> $XDG_N/runs; cp src/a out\n");
        let gate = Gate::new(&project);
        let (code, events) = gate.during(&project, &[], || {
            match what {
                "edit" => project.write("src/a", "two"),
                "new" => project.write("src/c", "c"),
                "gone" => project.remove("src/b"),
                "mode" => project.script("src/a", "one"),
                _ => project.script("check.sh", "#!/bin/sh\necho a >> $XDG_N/runs; cp src/a out;\n"),
            };
        });
        assert_eq!((code, brief(&events).as_str()), (0, "a passed unstored"), "{what}");
        assert!(notices(&events).starts_with(&format!("not stored: while it ran, {said}")), "{}", notices(&events));
        assert!(project.stored("ac").is_empty());
        let (code, events) = gate.during(&project, &[], || {});
        assert_eq!((code, brief(&events).as_str(), project.count("a")), (0, "a passed", 2), "{what}");
        assert_eq!(project.brief(&[]), "a cached");
    }
}

/// just `[cache]`: A, B, A leaves the output of B.
#[test]
fn the_third_of_a_b_a_costs_nothing_and_leaves_the_output_of_a() {
    let project = chain();
    for (text, runs) in [("one\n", 1), ("two\n", 2), ("one\n", 2), ("two\n", 2), ("one\n", 2)] {
        project.write("src/a", text).brief(&[]);
        assert_eq!((project.read("out/a").as_str(), project.read("out/b").as_str()), (text, text));
        assert_eq!((project.count("a"), project.count("b")), (runs, runs));
    }
}

/// ninja#1459: times lie after a checkout.
#[test]
fn branches_back_and_forth_cost_one_run_each() {
    let project = Project::counted("[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; cat src/* > out\"]\noutputs = [\"out\"]\n");
    project.write("src/a", "main\n").write(".gitignore", "/out\n.shipway\n");
    git(project.path(), &["init", "-q"]);
    git(project.path(), &["add", "."]);
    git(project.path(), &["commit", "-qm", "one"]);
    assert_eq!(project.brief(&[]), "a passed");
    git(project.path(), &["checkout", "-qb", "side"]);
    project.write("src/a", "side\n").write("src/b", "new\n");
    git(project.path(), &["add", "."]);
    git(project.path(), &["commit", "-qm", "two"]);
    assert_eq!(project.brief(&[]), "a passed");
    for (branch, out) in [("main", "main\n"), ("side", "side\nnew\n"), ("main", "main\n"), ("side", "side\nnew\n")] {
        git(project.path(), &["checkout", "-q", branch]);
        assert_eq!(project.brief(&[]), "a cached", "{branch}");
        assert_eq!((project.read("out").as_str(), project.count("a")), (out, 2));
    }
}

/// moon#2723: results of needs are known by their content, and by that alone.
#[test]
fn an_equal_rebuild_stops_there() {
    let project = Project::counted(
        r#"
[stages.a]
steps = ["echo a >> $XDG_N/runs; head -n 1 src/a > out/a"]
inputs = ["src/a"]
outputs = ["out/a"]
[stages.b]
needs = ["a"]
steps = ["echo b >> $XDG_N/runs; echo b > out/b"]
inputs = []
outputs = ["out/b"]
[stages.c]
needs = ["b"]
steps = ["echo c >> $XDG_N/runs; cat out/a"]
inputs = []
[stages.d]
after = ["a"]
steps = ["echo d >> $XDG_N/runs"]
inputs = []
"#,
    );
    project.write("src/a", "one\nx\n");
    assert_eq!(project.brief(&[]), "a passed, b passed, c passed, d passed");
    project.write("src/a", "one\ny\n");
    assert_eq!(project.brief(&[]), "a passed, b cached, c cached, d cached", "the output is the same");
    project.write("src/a", "two\ny\n");
    let (_, events) = project.events([""; 0]);
    assert_eq!(
        brief(&events),
        "a passed, b passed, c passed, d cached",
        "what is needed by what is needed counts, what is only waited for does not"
    );
    assert_eq!(output(&events, "c", "stdout"), "two\n");
    assert_eq!(event(&events, "stage-finished", "c")["reason"], "`b` gave something else");
}

/// `--only` and `--skip` take outputs as they lie there.
#[test]
fn outputs_taken_as_they_are_key_by_their_content() {
    let project = chain();
    project.brief(&[]);
    assert_eq!(project.brief(&["--only", "b"]), "b cached");
    project.write("out/a", "hand\n");
    for (arguments, expected) in [(["--only", "b"], "b passed"), (["--only", "b"], "b cached"), (["--skip", "a"], "b cached")] {
        assert_eq!(project.brief(&arguments), expected);
        assert_eq!((project.read("out/a").as_str(), project.read("out/b").as_str()), ("hand\n", "hand\n"));
    }
    project.remove("out/a");
    assert_eq!(project.events(["--only", "b"]).0, 1, "the step fails, and no old result hides it");
    let (_, events) = project.events([""; 0]);
    assert_eq!(brief(&events), "a cached, b cached");
    assert_eq!((project.read("out/a").as_str(), project.read("out/b").as_str()), ("one\n", "one\n"));
}

/// A pass after a failure is no proof.
#[test]
fn a_flaky_pass_is_not_stored() {
    let project = Project::counted(
        "[stages.a]\nretries = 1\nsteps = [\"echo a >> $XDG_N/runs; [ -e $XDG_N/once ] || { touch $XDG_N/once; exit 1; }\"]\ninputs = []\n[stages.b]\nsteps = [{ run = \"[ -e $XDG_N/twice ] || { touch $XDG_N/twice; exit 1; }\", retries = 1 }]\ninputs = []\n",
    );
    let (code, events) = project.events([""; 0]);
    assert_eq!((code, brief(&events).as_str()), (0, "a passed unstored, b passed unstored"));
    assert_eq!(
        (&event(&events, "stage-finished", "a")["flaky"], &event(&events, "stage-finished", "b")["flaky"]),
        (&true.into(), &true.into())
    );
    assert_eq!(project.brief(&[]), "a passed, b passed");
    assert_eq!(project.brief(&[]), "a cached, b cached");
    assert_eq!(project.count("a"), 3);
}

#[test]
fn a_stage_that_is_not_cached_always_runs_and_its_outputs_count() {
    let project = chain();
    project.pipeline(&CHAIN.replace("outputs = [\"out/a\"]", "outputs = [\"out/a\"]\ncache = false"));
    assert_eq!(project.brief(&[]), "a passed unstored, b passed");
    assert_eq!(project.brief(&[]), "a passed unstored, b cached");
    project.write("src/a", "two\n");
    assert_eq!(project.brief(&[]), "a passed unstored, b passed");
    project.write("src/a", "one\n");
    assert_eq!(project.brief(&[]), "a passed unstored, b cached");
    assert_eq!((project.count("a"), project.count("b"), project.read("out/b").as_str()), (4, 2, "one\n"));
}

/// wireit#577: no way to force a run. pnpm#14692: `--no-cache` that still needs the cache.
#[test]
fn the_store_is_used_as_the_mode_says() {
    let project = chain();
    assert_eq!(project.brief(&["--cache", "read-only"]), "a passed unstored, b passed unstored");
    assert_eq!(project.brief(&["--cache", "off"]), "a passed unstored, b passed unstored");
    assert!(project.stored("ac").is_empty());
    assert_eq!(project.brief(&["--cache", "write-only"]), "a passed, b passed");
    assert_eq!(project.brief(&["--cache", "write-only"]), "a passed, b passed");
    assert_eq!(project.brief(&["--cache", "read-only"]), "a cached, b cached");
    project.remove("out");
    assert_eq!(project.brief(&["--cache", "read-only"]), "a cached, b cached");
    assert_eq!((project.read("out/b").as_str(), project.count("a")), ("one\n", 4));
    assert_eq!(project.brief(&["--force"]), "a passed, b passed");
    assert_eq!(project.brief(&[]), "a cached, b cached");
    let mut twin = project.command(["run", "--format", "json"]);
    twin.env("SHIPWAY_CACHE", "off");
    assert_eq!(brief(&crate::project::events(&crate::project::said(twin).exits(0).stdout)), "a passed unstored, b passed unstored");
    let mut wrong = project.command(["run"]);
    wrong.env("SHIPWAY_CACHE", "of");
    crate::project::said(wrong).exits(2);
    assert_eq!(project.count("a"), 6);
}

/// A forced run that fails must not leave the old green behind for what comes after.
#[test]
fn a_forced_run_that_fails_is_no_hit_afterwards_for_only() {
    let project = chain();
    project.pipeline(&CHAIN.replace("cp src/a out/a", "cp src/a out/a; [ ! -e $XDG_N/no ]"));
    project.brief(&[]);
    fs::write(project.aside("no"), "").unwrap();
    assert_eq!(project.events(["--force", "a"]).0, 1);
    project.shipway(["run", "--only", "b"]).exits(3);
}

/// Names that look alike, and the same name in two pipelines.
#[test]
fn stages_never_share_a_record_by_name() {
    let body = "steps = [\"echo $SHIPWAY_STAGE >> $XDG_N/runs\"]\ninputs = []\n";
    let project = Project::counted(&format!(
        "[stages.t]\nmatrix = {{ a = [\"b\"] }}\n{body}[stages.t-a-b]\n{body}[stages.\"t.a.b\"]\n{body}[stages.ta]\n{body}"
    ));
    assert_eq!(project.brief(&[]), "t-a-b passed, t.a.b passed, t:a=b passed, ta passed");
    assert_eq!(project.brief(&[]), "t-a-b cached, t.a.b cached, t:a=b cached, ta cached");

    let project = chain();
    project.brief(&[]);
    project.write("other.toml", format!("[pipeline]\nname = \"other\"\n{}", CHAIN.replace("cp src/a out/a", "echo x > out/a")));
    let other = || {
        let said = crate::project::said(project.command(["run", "-f", "other.toml", "--format", "json"])).exits(0);
        brief(&crate::project::events(&said.stdout))
    };
    assert_eq!(other(), "a passed, b passed");
    assert_eq!(project.read("out/b"), "x\n");
    assert_eq!(project.brief(&[]), "a cached, b cached");
    assert_eq!(project.read("out/b"), "one\n");
    assert_eq!(other(), "a cached, b cached");
    assert_eq!((project.read("out/b").as_str(), project.count("a")), ("x\n", 2));
}

/// nx#3800: what was printed vanishes on a hit.
#[test]
fn what_was_printed_is_printed_again() {
    let project = Project::counted(
        "[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; echo out $PWD.; printf 'err\\\\377' >&2\", { run = \"head -c 3000000 /dev/zero | tr '\\\\0' x; echo; pwd >&2\", name = \"two\" }]\ninputs = []\n",
    );
    let root = |project: &Project| project.path().canonicalize().unwrap().display().to_string();
    let check = |project: &Project, replayed: bool| {
        let (_, events) = project.events([""; 0]);
        let root = root(project);
        let text = |step: &str, stream: &str| -> String {
            let events = events.iter().filter(|event| event["event"] == "output" && event["step"] == step && event["stream"] == stream);
            events
                .map(|event| {
                    assert_eq!(event["replayed"], replayed);
                    event["text"].as_str().unwrap()
                })
                .collect()
        };
        assert_eq!((text("1", "stdout"), text("1", "stderr")), (format!("out {root}.\n"), "err\u{fffd}".to_owned()));
        assert!(text("two", "stdout") == "x".repeat(3_000_000) + "\n" && text("two", "stderr") == format!("{root}\n"), "of its step");
    };
    check(&project, false);
    check(&project, true);
    let twin = project.twin();
    check(&twin, true);
    assert_eq!(project.count("a"), 1);
    let said = twin.command(["run", "--output", "stream"]).output().unwrap();
    assert!(said.stdout.starts_with(format!("out {}.\n", root(&twin)).as_bytes()) && said.stdout.len() > 3_000_000);
    assert!(said.stderr.windows(4).any(|bytes| bytes == b"err\xff"), "the bytes themselves");
    assert_eq!(twin.shipway(["run", "--output", "failures"]).exits(0).stdout, "");
}

/// What the stage cache of a checkout says is never believed unseen: without `.shipway/`, or with nonsense in it, only time is lost.
#[test]
fn a_lost_or_damaged_folder_of_ours_costs_only_time() {
    let project = chain();
    project.brief(&[]);
    project.remove(".shipway");
    assert_eq!(project.brief(&[]), "a cached, b cached");
    let mut folders = vec![project.join(".shipway")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != ".gitignore" {
                let mut bytes = fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1);
                fs::write(path, bytes).unwrap();
            }
        }
    }
    project.write("src/a", "two\n");
    assert_eq!(project.brief(&[]), "a passed, b passed");
    assert_eq!((project.read("out/b").as_str(), project.count("a")), ("two\n", 2));
    assert_eq!(project.brief(&[]), "a cached, b cached");
}

/// turborepo#1146 once more: what a stage needs changes while it runs.
#[test]
fn an_output_of_a_need_edited_while_the_step_runs_keeps_it_out_of_the_store() {
    for own in [false, true] {
        let edit = if own { "echo hand > out/a; " } else { "" };
        let project = Project::counted(&CHAIN.replace("cp out/a out/b", &format!("read x < $XDG_N/gate || true; {edit}cp out/a out/b")));
        project.write("src/a", "one\n");
        let gate = Gate::new(&project);
        let (code, events) = gate.during(&project, &[], || {
            if !own {
                project.write("out/a", "hand\n");
            }
        });
        assert_eq!((code, brief(&events).as_str()), (0, "a passed, b passed unstored"), "{own}");
        assert!(notices(&events).starts_with("not stored: while it ran, "), "{}", notices(&events));
        if !own {
            let (_, events) = gate.during(&project, &[], || {});
            assert_eq!((brief(&events).as_str(), project.read("out/b").as_str()), ("a cached, b passed", "one\n"));
        }
    }
}
