//! A pipeline of several files: `include`.

use std::fs;
use std::path::Path;

use crate::project::{Project, brief, event, outcome, output};

/// A file of its own for each service; `web` and `lib` read nothing of each other unless they say so.
fn services() -> Project {
    let project = Project::empty();
    project
        .write(
            "pipeline.toml",
            "[pipeline]\nname = \"shop\"\ninclude = [\"services/*/pipeline.toml\", \"lib/pipeline.toml\"]\n[pools]\none = 1\n\
             [stages.all]\nneeds = [\"api/test\"]\nsteps = [\"cat services/api/out.txt\"]\ninputs = []\n",
        )
        .write(
            "services/api/pipeline.toml",
            "[pipeline]\nname = \"api\"\ndefault = [\"test\"]\nshell = [\"sh\", \"-c\"]\n[defaults]\nenv = { WHO = \"api\" }\npool = \"one\"\n\
             [pools]\none = 3\nown = 2\n\
             [stages.build]\ninputs = [\"src\"]\nsteps = [\"cat src/a > out.txt\", \"echo $WHO in $(basename $PWD)\"]\noutputs = [\"out.txt\"]\n\
             [stages.test]\nneeds = [\"build\"]\nmatrix = { n = [1, 2] }\ninputs = []\nsteps = [\"false; test -s out.txt\"]\n\
             [stages.tidy]\npool = \"own\"\nsteps = [\"true\"]\n",
        )
        .write("services/api/src/a", "a\n")
        .write(
            "services/web/pipeline.toml",
            "[pipeline]\nname = \"web\"\n[stages.test]\nneeds = [\"/lib/build\"]\nafter = [\"/api/test:n=1\"]\ninputs = []\n\
             steps = [\"cat ../../lib/made/x\"]\n",
        )
        .write(
            "lib/pipeline.toml",
            "[pipeline]\nname = \"lib\"\n[stages.build]\ninputs = []\nsteps = [\"mkdir -p made; echo made > made/x\"]\noutputs = [\"made\"]\n",
        );
    project
}

#[test]
fn stages_of_included_files_are_called_after_their_folders() {
    let project = services();
    let list: serde_json::Value = serde_json::from_str(&project.shipway(["list", "--format", "json"]).exits(0).stdout).unwrap();
    let names: Vec<&str> = list["stages"].as_array().unwrap().iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["all", "api/build", "api/test:n=1", "api/test:n=2", "api/tidy", "web/test", "lib/build"]);
    let pools: Vec<_> = list["stages"].as_array().unwrap().iter().map(|stage| stage["pool"].as_str().unwrap_or("-")).collect();
    assert_eq!(pools, ["-", "one", "one", "one", "api/own", "-", "-"], "the root's pool of that name, else the file's own");
    assert_eq!(list["stages"][5]["needs"], serde_json::json!(["lib/build"]));
    assert!(list["stages"].as_array().unwrap().iter().all(|stage| stage["default"] == true), "the root leaves `default` out");

    let (code, events) = project.events(Vec::<&str>::new());
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(output(&events, "api/build", "stdout"), "api in api\n");
    assert_eq!(output(&events, "web/test", "stdout"), "made\n");
    assert_eq!(output(&events, "all", "stdout"), "a\n");
    let again = project.brief(&[]);
    assert!(!again.contains("passed") && again.contains("api/test:n=1 cached"), "{again}");
    for arguments in [&["graph"][..], &["graph", "--format", "mermaid"], &["check"], &["report"], &["why", "api/test"]] {
        let said = project.shipway(arguments).exits(0);
        assert!(arguments[0] == "check" || said.stdout.contains("api/test") || said.stderr.contains("api/test"), "{said:?}");
    }
    assert_eq!(project.brief(&["api/test:n=2"]), "api/build cached, api/test:n=2 cached");
    assert_eq!(
        project.brief(&["--force", "--only", "lib/build", "api/test"]),
        "api/test:n=1 passed, api/test:n=2 passed, lib/build passed"
    );
}

#[test]
fn an_included_file_works_alone() {
    let project = services();
    project.shipway(["run"]).exits(0);
    let said = project.shipway(["-C", "services/api", "run", "--format", "json"]).exits(0);
    let events = crate::project::events(&said.stdout);
    assert_eq!(brief(&events), "build passed, test:n=1 passed, test:n=2 passed", "its own default, under names of its own");
    // What that left in `.shipway/` of the folder is no input of anything.
    project.write(
        "services/api/pipeline.toml",
        project.read("services/api/pipeline.toml").replace("[stages.tidy]\n", "[stages.tidy]\ninputs = [\"**\"]\n"),
    );
    project.shipway(["run", "api/tidy"]).exits(0);
    project.shipway(["-C", "services/api", "run", "build"]).exits(0);
    let (_, events) = project.events(["api/tidy"]);
    assert_eq!(outcome(&events, "api/tidy"), "cached");
    // What is counted from the root is not there.
    let said = project.shipway(["-C", "services/web", "run"]).exits(2);
    assert!(said.stderr.contains("there is no stage `/lib/build`") && said.stderr.contains("run it from there"), "{}", said.stderr);
}

#[test]
fn the_command_that_reproduces_a_failure_names_the_whole_stage() {
    let project = services();
    project.write("services/api/src/a", "");
    let (code, events) = project.events(Vec::<&str>::new());
    assert_eq!(code, 1);
    let failed = events.iter().find(|event| !event["failure"].is_null()).unwrap();
    let reproduce = failed["failure"]["reproduce"].as_str().unwrap();
    assert!(reproduce.starts_with("shipway run --only ") && reproduce.contains("api/test:n="), "{reproduce}");
    let stage = failed["stage"].as_str().unwrap();
    let said = project.shipway(["run", "--only", stage]).exits(1);
    assert!(said.stderr.contains(stage), "{}", said.stderr);
}

#[test]
fn only_a_stages_own_definition_and_inputs_are_in_its_key() {
    let project = services();
    let key = |stage: &str| project.predicted(stage)["key"].clone();
    project.shipway(["run"]).exits(0);
    let (lib, build) = (key("lib/build"), key("api/build"));
    for (file, from, to) in [
        ("pipeline.toml", "[stages.all]", "shell = [\"sh\", \"-c\"]\n[stages.all]"),
        ("services/api/pipeline.toml", "[\"true\"]", "[\"true\", \"true\"]"),
        ("services/web/pipeline.toml", "[stages.test]", "[stages.more]\nsteps = [\"true\"]\n[stages.test]"),
    ] {
        let text = project.read(file).replace("[pools]\none = 1\n[stages", "[stages");
        let text = if file == "pipeline.toml" {
            text.replace("]\n[stages", "]\nshell = [\"bash\", \"-c\"]\n[pools]\none = 1\n[stages")
        } else {
            text.replace(from, to)
        };
        project.write(file, text);
        assert_eq!((key("lib/build"), key("api/build")), (lib.clone(), build.clone()), "{file}");
    }
    project.write("services/api/pipeline.toml", project.read("services/api/pipeline.toml").replace("\"sh\", \"-c\"", "\"sh\", \"-ec\""));
    assert_ne!(key("api/build"), build, "the shell of its file");
    assert_eq!(key("lib/build"), lib);
}

#[test]
fn files_of_the_pipeline_are_no_default_inputs_and_no_outputs() {
    let project = services();
    project.write(
        "pipeline.toml",
        "[pipeline]\nname = \"shop\"\ninclude = [\"services/*/pipeline.toml\"]\n[stages.all]\nsteps = [\"true\"]\n",
    );
    project.remove("services/web");
    project.shipway(["run"]).exits(0);
    project.write("services/api/pipeline.toml", project.read("services/api/pipeline.toml") + "# a remark\n");
    assert!(!project.brief(&[]).contains("passed"), "a remark changes nothing");
    for output in ["pipeline.toml", "*.toml", ".", ".shipway/x", "../.shipway/x"] {
        project.write(
            "services/api/pipeline.toml",
            format!("[pipeline]\nname = \"api\"\n[stages.a]\nsteps = [\"true\"]\noutputs = [\"{output}\"]\n"),
        );
        let said = project.shipway(["check"]).exits(2);
        assert!(said.stderr.contains(" --> services/api/pipeline.toml:5:12"), "{output}: {}", said.stderr);
    }
}

#[test]
fn errors_of_all_files_are_shown_at_once_each_with_its_file() {
    let project = services();
    project
        .write(
            "pipeline.toml",
            "[pipeline]\nname = \"shop\"\ninclude = [\"services/*/pipeline.toml\", \"none/*.toml\", \"lib/pipelin.toml\", \"services\", \"../x\"]\n\
             [stages.all]\nneeds = [\"lib/build\", \"bad/y\", \"raw/z\"]\nsteps = [\"true\"]\noutputs = [\"services/api/out.txt\"]\n",
        )
        .write("services/web/pipeline.toml", "\u{feff}[pipeline]\nname = \"web\"\n[stages.test]\nneeds = [\"lib/build\", \"/api/biuld\"]\nsteps = []\n")
        .write("services/bad/pipeline.toml", "[pipeline]\nname = \"bad\"\n[stages.x]\nsteps = [\"true\"\n")
        .write("services/raw/pipeline.toml", b"\xff\xfe");
    let said = project.shipway(["check"]).exits(2).stderr;
    for message in [
        "`none/*.toml` includes no file\n --> pipeline.toml:3:40\n",
        "there is no file `lib/pipelin.toml`\n --> pipeline.toml:3:55\n",
        "`services` is a folder\n --> pipeline.toml:3:75\n",
        "a path leaves the project\n --> pipeline.toml:3:87\n",
        "this list must not be empty\n --> services/web/pipeline.toml:5:9\n",
        "unclosed array, expected `]`\n --> services/bad/pipeline.toml:4:",
        "the file is not text in UTF-8\n --> services/raw/pipeline.toml:1:1\n",
        "would write the same output\n  --> services/api/pipeline.toml:",
        "::: pipeline.toml:7:12\n",
        "error: pipeline.toml is not valid: 9 errors; nothing has run\n",
    ] {
        assert!(said.contains(message), "{message:?} is not in:\n{said}");
    }
    // Those of files that could not be read may be there: one cause, one error.
    assert_eq!(said.matches("there is no stage").count(), 1, "{said}");
    project.remove("services/bad").remove("services/raw").write(
        "pipeline.toml",
        "[pipeline]\nname = \"shop\"\ninclude = [\"services/*/pipeline.toml\", \"lib/pipeline.toml\"]\n[stages.all]\nneeds = [\"api/tset\"]\nsteps = [\"true\"]\n",
    );
    let said = project.shipway(["check"]).exits(2).stderr;
    for message in [
        "there is no stage `api/tset`\n --> pipeline.toml:5:10\n",
        "a stage with a similar name exists: `api/test`",
        "there is no stage `lib/build`\n --> services/web/pipeline.toml:4:10\n",
        "one that begins with `/` is counted from the root: `/lib/build`",
        "there is no stage `/api/biuld`\n --> services/web/pipeline.toml:4:23\n",
        "a stage with a similar name exists: `/api/build`",
    ] {
        assert!(said.contains(message), "{message:?} is not in:\n{said}");
    }
}

#[test]
fn folders_that_cannot_stand_before_names_are_errors() {
    let file = "[pipeline]\nname = \"x\"\n[stages.a]\nsteps = [\"true\"]\n";
    let root = |include: &str| format!("[pipeline]\nname = \"x\"\ninclude = [{include}]\n[stages.a]\nsteps = [\"true\"]\n");
    let refused = |include: &str, files: &[&str]| {
        let project = Project::empty();
        for path in files {
            project.write(path, file);
        }
        project.write("pipeline.toml", root(include)).shipway(["check"]).exits(2).stderr
    };
    let said = refused("\"*/api/pipeline.toml\"", &["a/api/pipeline.toml", "b/api/pipeline.toml"]);
    assert!(said.contains("the stages of `a/api/pipeline.toml` and of `b/api/pipeline.toml` would both be called `api/…`"), "{said}");
    let said = refused("\"ci/a.toml\", \"ci/b.toml\"", &["ci/a.toml", "ci/b.toml"]);
    assert!(said.contains("the stages of `ci/a.toml` and of `ci/b.toml`"), "{said}");
    let said = refused("\"ci.toml\"", &["ci.toml"]);
    assert!(said.contains("`ci.toml` lies in the folder of a file that leads to it"), "{said}");
    let said = refused("\"my api/p.toml\"", &["my api/p.toml"]);
    assert!(said.contains("the folder of `my api/p.toml` cannot stand before a stage's name"), "{said}");
    let said = refused("\"pipeline.toml\"", &[]);
    assert!(said.contains("files include each other in a circle: `pipeline.toml` -> `pipeline.toml`"), "{said}");
}

#[test]
fn files_include_files_but_not_in_a_circle() {
    let project = Project::empty();
    let file = |include: &str, step: &str| {
        format!("[pipeline]\nname = \"x\"\ninclude = [{include}]\n[stages.a]\ninputs = []\nsteps = [\"{step}\"]\n")
    };
    project
        .write("pipeline.toml", file("\"one/pipeline.toml\", \"one/pipe*.toml\"", "true"))
        .write("one/pipeline.toml", file("\"**/pipeline.toml\"", "true").replace("inputs", "needs = [\"two/a\", \"/a\"]\ninputs"))
        .write("one/sub/two/pipeline.toml", file("", "basename $PWD"));
    let (code, events) = project.events(Vec::<&str>::new());
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(output(&events, "one/two/a", "stdout"), "two\n");
    let order: Vec<_> =
        events.iter().filter(|event| event["event"] == "stage-finished").map(|event| event["stage"].as_str().unwrap()).collect();
    assert_eq!(order.last(), Some(&"one/a"));
    event(&events, "stage-finished", "a");

    project.write("one/sub/two/pipeline.toml", file("\"../../pipeline.toml\"", "true"));
    let said = project.shipway(["run"]).exits(2).stderr;
    let circle = "files include each other in a circle: `one/pipeline.toml` -> `one/sub/two/pipeline.toml` -> `one/pipeline.toml`";
    assert!(said.contains(circle) && said.contains(" --> one/sub/two/pipeline.toml:3:12"), "{said}");

    project.write("one/sub/two/pipeline.toml", file("", "true"));
    project.write("pipeline.toml", file("\"one/pipeline.toml\", \"one/sub/two/pipeline.toml\"", "true"));
    let said = project.shipway(["run"]).exits(2).stderr;
    assert!(said.contains("`one/sub/two/pipeline.toml` is included twice") && said.contains("included here already"), "{said}");
}

#[test]
fn a_circle_of_stages_through_two_files_shows_both() {
    let project = services();
    project.write(
        "lib/pipeline.toml",
        "[pipeline]\nname = \"lib\"\n[stages.build]\nneeds = [\"/web/test\"]\nsteps = [\"true\"]\noutputs = [\"made\"]\n",
    );
    let said = project.shipway(["check"]).exits(2).stderr;
    assert!(said.contains("`web/test` -> `lib/build` -> `web/test`"), "{said}");
    assert!(said.contains("services/web/pipeline.toml:4:10") && said.contains("lib/pipeline.toml:4:10"), "{said}");
}

#[test]
fn from_a_folder_below_the_nearest_file_counts() {
    let project = services();
    project.write("services/api/src/deep/x", "");
    let said = project.shipway(["-C", "services/api/src/deep", "list"]).exits(0);
    assert!(said.stdout.contains("* test:n=1") && !said.stdout.contains("api/"), "{}", said.stdout);
    let said = project.shipway(["-C", "services/api", "-f", "../../pipeline.toml", "run", "api/build"]).exits(0);
    assert!(said.stderr.contains("api/build"), "{}", said.stderr);
}

#[test]
fn a_pipeline_is_kept_for_the_shipway_that_has_read_it() {
    let (project, aside) = (services(), tempfile::tempdir().unwrap());
    let (program, copy) = (Path::new(env!("CARGO_BIN_EXE_shipway")), aside.path().join("shipway"));
    fs::copy(program, &copy).unwrap();
    let kept = |program: &Path| {
        assert!(project.command_of(program, ["run", "--quiet"]).status().unwrap().success());
        fs::read(project.join(".shipway/pipeline")).unwrap()
    };
    let first = kept(program);
    assert_eq!(kept(program), first);
    let second = kept(&copy);
    assert_ne!(second, first);
    assert_ne!(kept(program), second);
}
