//! `watch`: whatever happens to the files, the last state of them is run, and then it is quiet.
//!
//! Nothing is timed: tests wait for what is said and for files. That nothing more happens is seen by a last change that is known to make
//! one run: with it there is exactly one more.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use crate::project::{self, Gate, Project, git, processes, until};

const WAITING: &str = "waiting for changes";

/// A watch that goes on.
struct Watching {
    child: Child,
    said: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Watching {
    /// Starts it with one pipe for both streams: what it says is then in the order in which it said it.
    fn start(mut command: Command) -> Self {
        let (mut said_by_it, pipe) = std::io::pipe().unwrap();
        let child = command.stdout(pipe.try_clone().unwrap()).stderr(pipe).spawn().unwrap();
        // The command holds the pipe as well, and its end is to be seen.
        drop(command);
        let said: Arc<Mutex<String>> = Arc::default();
        let heard = said.clone();
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = said_by_it.read(&mut piece) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        });
        Self { child, said, reader: Some(reader) }
    }

    /// Starts a watch of the project, and waits for the end of its first run.
    #[track_caller]
    fn of(project: &Project, arguments: &[&str]) -> Self {
        let mut command = project.command(["watch"]);
        command.args(arguments);
        let watching = Self::start(command);
        watching.rests(1);
        watching
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// How often it has come to rest.
    fn rested(&self) -> usize {
        self.said.lock().unwrap().matches(WAITING).count()
    }

    /// Waits until it has come to rest so often.
    #[track_caller]
    fn rests(&self, times: usize) {
        self.until(&format!("it has come to rest {times} times"), || self.rested() >= times);
    }

    /// Tells whether it is at rest.
    fn is_at_rest(&self) -> bool {
        self.said.lock().unwrap().trim_end().ends_with("Ctrl-C ends")
    }

    #[track_caller]
    fn says(&self, text: &str) {
        self.until(&format!("it says `{text}`"), || self.said.lock().unwrap().contains(text));
    }

    #[track_caller]
    fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let end = std::time::Instant::now() + project::PATIENCE;
        until(what, || {
            assert!(std::time::Instant::now() < end, "waited in vain until {what}; it said:\n{}", self.said());
            condition()
        });
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// How many folders it watches, as the system counts them.
    fn watches(&self) -> usize {
        let folder = format!("/proc/{}/fdinfo", self.pid().as_raw_nonzero());
        let infos = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap_or_default());
        infos.map(|info| info.lines().filter(|line| line.starts_with("inotify wd:")).count()).sum()
    }

    /// Waits for its end; returns its exit code and all that it said.
    fn end(mut self) -> (i32, String) {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status.code().unwrap_or_else(|| panic!("{status}")), self.said())
    }

    /// Ends it as people do.
    #[track_caller]
    fn stop(self) -> String {
        self.signal(Signal::INT);
        let (code, said) = self.end();
        assert_eq!(code, 130, "{said}");
        said
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind.
        let _ended = self.child.kill();
    }
}

/// A stage `all` that gathers the names and texts below `src` in `out`, and counts.
const GATHER: &str = r#"
[stages.all]
steps = ["mkdir -p src; find src -type f | LC_ALL=C sort | while read f; do echo \"$f: $(cat \"$f\")\"; done > out; echo run >> $XDG_N/runs"]
inputs = ["src/**"]
outputs = ["out"]
"#;

/// What `all` would gather now.
fn gathered(project: &Project) -> String {
    fn walk(folder: &Path, name: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                walk(&entry.path(), &name, found);
            } else {
                found.push(format!("{name}: {}\n", fs::read_to_string(entry.path()).unwrap().trim_end()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&project.join("src"), "src", &mut found);
    found.sort_by(|a, b| a.split(": ").next().cmp(&b.split(": ").next()));
    found.concat()
}

/// What was gathered; nothing while it is being made.
fn out(project: &Project) -> String {
    fs::read_to_string(project.join("out")).unwrap_or_else(|_| "nothing yet".to_owned())
}

/// Waits until the output is that of the inputs, and asserts that then nothing more is run: a last change makes exactly one more run.
#[track_caller]
fn comes_to_rest(project: &Project, watching: &Watching) {
    let is_right = || out(project) == gathered(project);
    watching.until("the output is that of the inputs", is_right);
    let rested = watching.rested();
    let runs = project.count("run");
    project.write("src/last", format!("{rested}"));
    watching.until("the last change was run", || is_right() && project.count("run") > runs);
    // The run whose output is right may have been about to end when it was seen.
    watching.until("it rests", || watching.is_at_rest());
    assert!(project.count("run") <= runs + 1, "{}", watching.said());
}

#[test]
fn it_runs_at_the_start_and_again_for_each_change() {
    let project = Project::counted(GATHER);
    project.write("src/a", "1");
    let watching = Watching::of(&project, &[]);
    assert_eq!(project.read("out"), "src/a: 1\n");
    project.write("src/a", "2");
    watching.rests(2);
    assert_eq!(project.read("out"), "src/a: 2\n");
    project.write("unrelated", "x").write("src/b", "3");
    watching.rests(3);
    // What was run before is taken from the store, and what was removed is seen.
    project.remove("src/b");
    watching.rests(4);
    assert_eq!(project.read("out"), "src/a: 2\n");
    assert_eq!(project.count("run"), 3);
    let said = watching.stop();
    for text in ["── src/a changed\n", "── src/b added\n", "── src/b removed\n"] {
        assert_eq!(said.matches(text).count(), 1, "{text} in {said}");
    }
    assert_eq!(said.matches(WAITING).count(), 4, "{said}");
}

#[test]
fn what_concerns_nothing_selected_makes_no_run() {
    let project =
        Project::counted(&format!("{GATHER}\n[stages.other]\nsteps = [\"echo other >> $XDG_N/runs\"]\ninputs = [\"other/**\"]\n"));
    project.write("src/a", "1").write("other/a", "1");
    let watching = Watching::of(&project, &["all"]);
    project.write("other/a", "2").write("src/a", "1").write("out.tmp", "x").write(".shipway/x", "y");
    comes_to_rest(&project, &watching);
    assert_eq!((project.count("run"), project.count("other")), (2, 0));
    watching.stop();
}

#[test]
fn after_a_burst_the_last_state_is_run_and_then_it_is_quiet() {
    let project = Project::counted(GATHER);
    project.write("src/a", "1");
    let watching = Watching::of(&project, &[]);
    // The same for every run of the test, but without a pattern: a generator of numbers.
    let mut dice = 1_u64;
    let mut roll = |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    for number in 0..1000 {
        let folder = ["", "/x", "/x/y", "/new/deep/er", "/z"][usize::try_from(roll(5)).unwrap()];
        let path = project.join(&format!("src{folder}"));
        match roll(8) {
            0 if !folder.is_empty() => drop(fs::remove_dir_all(&path)),
            1 if !folder.is_empty() => drop(fs::rename(&path, project.join(&format!("src/moved{}", roll(3))))),
            2 => drop(fs::remove_file(path.join(format!("f{}", roll(6))))),
            3 => {
                // As editors do: a new file takes the place of the old one.
                project.write(&format!("src{folder}/.f.new"), format!("{number}"));
                fs::rename(path.join(".f.new"), path.join(format!("f{}", roll(6)))).unwrap_or_default();
            }
            _ => drop(project.write(&format!("src{folder}/f{}", roll(6)), format!("{number}"))),
        }
    }
    comes_to_rest(&project, &watching);
    watching.stop();
}

#[test]
fn who_answers_each_output_with_a_change_is_heard_each_time() {
    let project = Project::counted(GATHER);
    let watching = Watching::of(&project, &[]);
    for round in 0..15 {
        project.write("src/a", format!("{round}"));
        watching.until("it is run", || out(&project) == format!("src/a: {round}\n"));
    }
    assert!(!watching.stop().contains("in every run"));
}

#[test]
fn folders_that_come_and_go_are_seen() {
    let project = Project::counted(&GATHER.replace("src/**", "src/gen/deep/**").replace("find src", "find src/gen/deep"));
    project.write("src/other", "");
    let watching = Watching::of(&project, &[]);
    for round in 0..5 {
        project.write("src/gen/deep/x/a", format!("{round}"));
        watching.until("it is seen", || out(&project) == format!("src/gen/deep/x/a: {round}\n"));
        if round % 2 == 0 {
            project.remove("src");
        } else {
            fs::rename(project.join("src"), project.join(&format!("old{round}"))).unwrap();
        }
        watching.until("its end is seen", || out(&project).is_empty());
        watching.until("it rests", || watching.is_at_rest());
    }
    watching.stop();
}

#[test]
fn the_project_itself_may_be_replaced() {
    let project = Project::counted(GATHER);
    let inner = |name: &str| project.join(name);
    fs::create_dir_all(inner("p/src")).unwrap();
    fs::rename(inner("pipeline.toml"), inner("p/pipeline.toml")).unwrap();
    project.write("p/src/a", "1");
    let mut command = project.command(["watch"]);
    command.current_dir(inner("p"));
    let watching = Watching::start(command);
    watching.rests(1);
    assert!(Command::new("cp").arg("-r").arg(inner("p")).arg(inner("q")).status().unwrap().success());
    fs::rename(inner("p"), inner("old")).unwrap();
    project.write("q/src/a", "2");
    fs::rename(inner("q"), inner("p")).unwrap();
    let made = || fs::read_to_string(inner("p/out")).unwrap_or_default();
    watching.until("the new one is run", || made() == "src/a: 2\n");
    project.write("old/src/a", "4").write("p/src/a", "3");
    watching.until("the new one is watched", || made() == "src/a: 3\n");
    watching.stop();
}

#[test]
fn what_links_lead_to_is_watched() {
    let project = Project::counted(GATHER);
    project.write("src/a", "1");
    for (name, text) in [("v1/lib", "one"), ("v2/lib", "two")] {
        fs::create_dir_all(project.aside(name).parent().unwrap()).unwrap();
        fs::write(project.aside(name), text).unwrap();
    }
    symlink("v1", project.aside("current")).unwrap();
    symlink(project.aside("current/lib"), project.join("src/lib")).unwrap();
    project.pipeline(&GATHER.replace("-type f", "-type f -o -type l"));
    let watching = Watching::of(&project, &[]);
    fs::write(project.aside("v1/lib"), "ONE").unwrap();
    watching.until("the file is seen", || out(&project) == "src/a: 1\nsrc/lib: ONE\n");
    symlink("v2", project.aside("new")).unwrap();
    fs::rename(project.aside("new"), project.aside("current")).unwrap();
    watching.until("the link is seen", || out(&project) == "src/a: 1\nsrc/lib: two\n");
    watching.stop();
}

#[test]
fn a_change_while_a_step_runs_ends_it() {
    let project = Project::counted(
        r#"
[stages.first]
steps = ["cat src > out; cp out $XDG_N/begun; if test $(cat src) -lt 3; then read x < $XDG_N/gate || true; fi; cp src $XDG_N/done"]
inputs = ["src"]
outputs = ["out"]
[stages.second]
needs = ["first"]
steps = ["cat out > last; echo run >> $XDG_N/runs"]
outputs = ["last"]
inputs = []
"#,
    );
    let gate = Gate::new(&project);
    project.write("src", "1");
    let watching = Watching::start(project.command(["watch"]));
    let first = gate.reached();
    // The first is at the gate, and would stay there for ever.
    project.write("unrelated", "1").write("src", "2");
    watching.until("the second has begun", || fs::read_to_string(project.aside("begun")).is_ok_and(|text| text == "2"));
    let second = gate.reached();
    project.write("src", "3");
    watching.rests(1);
    drop((first, second));
    assert_eq!((project.read("last"), project.count("run")), ("3".to_owned(), 1));
    assert_eq!(fs::read_to_string(project.aside("done")).unwrap(), "3");
    let said = watching.stop();
    assert_eq!(said.matches("ended: what was read has changed meanwhile").count(), 2, "{said}");
    assert!(said.contains("src changed"), "{said}");
}

#[test]
fn a_change_of_a_finished_stage_ends_the_run_too() {
    let project = Project::counted(
        r#"
[stages.first]
steps = ["cat src > out"]
inputs = ["src"]
outputs = ["out"]
[stages.second]
needs = ["first"]
steps = ["if test $(cat out) = 1; then read x < $XDG_N/gate || true; fi; cat out > last"]
outputs = ["last"]
inputs = []
"#,
    );
    let gate = Gate::new(&project);
    project.write("src", "1");
    let watching = Watching::start(project.command(["watch"]));
    let step = gate.reached();
    project.write("src", "2");
    watching.rests(1);
    drop(step);
    assert_eq!(project.read("last"), "2");
    watching.stop();
}

#[test]
fn its_own_outputs_make_no_run() {
    let project = Project::counted(
        r#"
[stages.make]
steps = ["mkdir -p build/deep; cat src > build/deep/a; date +%N > build/time; cp build/time beside; echo run >> $XDG_N/runs"]
outputs = ["build", "beside"]
cache = false
"#,
    );
    project.write("src", "1");
    let watching = Watching::of(&project, &[]);
    project.write("src", "2");
    watching.rests(2);
    project.write("src", "3");
    watching.rests(3);
    assert_eq!(project.count("run"), 3, "{}", watching.said());
    watching.stop();
}

#[test]
fn a_step_that_tidies_what_it_reads_comes_to_rest() {
    let project = Project::counted(
        r#"
[stages.tidy]
steps = ["for f in src/*; do tr a-z A-Z < $f > $XDG_N/new; cmp -s $XDG_N/new $f || cp $XDG_N/new $f; done; echo run >> $XDG_N/runs"]
inputs = ["src/**"]
[stages.use]
after = ["tidy"]
steps = ["cat src/* > out"]
inputs = ["src/**"]
outputs = ["out"]
"#,
    );
    project.write("src/a", "one");
    let watching = Watching::of(&project, &[]);
    assert_eq!(project.read("out"), "ONE");
    let runs = project.count("run");
    assert!(runs <= 2, "{}", watching.said());
    project.write("src/a", "two");
    watching.rests(2);
    assert_eq!(project.read("out"), "TWO");
    assert!(project.count("run") <= runs + 2, "{}", watching.said());
    assert!(!watching.stop().contains("in every run"));
}

#[test]
fn a_step_that_always_writes_what_it_reads_is_named_and_left_alone() {
    let project = Project::counted("[stages.loop]\nsteps = [\"date +%s%N > stamp; echo run >> $XDG_N/runs\"]\n");
    project.write("src", "1");
    let watching = Watching::of(&project, &[]);
    watching.says("stamp changed in every run while it went on");
    let (said, runs) = (watching.said(), project.count("run"));
    assert!((3..=40).contains(&runs), "{said}");
    // It is left alone until somebody changes something.
    project.write("src", "2");
    watching.until("it runs", || project.count("run") > runs);
    watching.stop();
}

#[test]
fn a_broken_pipeline_is_shown_and_awaited() {
    let project = Project::counted(GATHER);
    project.write("src/a", "1");
    let watching = Watching::of(&project, &[]);
    let good = project.read("pipeline.toml");
    project.write("pipeline.toml", format!("{good}\nnonsense"));
    watching.says("pipeline.toml is not valid: 1 error");
    watching.rests(2);
    project.write("src/a", "2").remove("pipeline.toml");
    watching.says("`pipeline.toml` cannot be read");
    watching.rests(3);
    project.write("new", good.replace("inputs = [\"src/**\"]", "inputs = [\"src/**\", \"more\"]"));
    fs::rename(project.join("new"), project.join("pipeline.toml")).unwrap();
    watching.rests(4);
    assert_eq!(project.read("out"), "src/a: 2\n");
    // What the new one reads is watched.
    let runs = project.count("run");
    project.write("more", "x");
    watching.until("it runs", || project.count("run") == runs + 1);
    watching.stop();
}

#[test]
fn included_files_come_are_mended_and_go() {
    let file = |step: &str| format!("[pipeline]\nname = \"part\"\n[stages.s]\ninputs = []\nsteps = [\"{step}\"]\n");
    let project = Project::new("include = [\"parts/*/pipeline.toml\"]\n");
    project.write("parts/a/pipeline.toml", file("echo a >> ../../ran"));
    let watching = Watching::of(&project, &[]);
    // A folder that the pattern reaches is nothing yet; the file in it is.
    fs::create_dir(project.join("parts/b")).unwrap();
    project.write("parts/b/pipeline.toml", file("echo b >> ../../ran"));
    watching.says("parts/b/pipeline.toml added");
    watching.rests(2);
    assert_eq!(project.read("ran"), "a\nb\n");
    // One that comes broken is read again when it is mended.
    project.write("parts/c/pipeline.toml", "nonsense");
    watching.rests(3);
    project.write("parts/c/pipeline.toml", file("echo c >> ../../ran"));
    watching.rests(4);
    assert_eq!(project.read("ran"), "a\nb\nc\n");
    // So is one that is included by name.
    let main = project.read("pipeline.toml");
    project.write("more/d/pipeline.toml", "nonsense");
    project.write("pipeline.toml", main.replace("include = [", "include = [\"more/d/pipeline.toml\", "));
    watching.rests(5);
    project.write("more/d/pipeline.toml", file("echo d >> ../../ran"));
    watching.rests(6);
    assert_eq!(project.read("ran"), "a\nb\nc\nd\n");
    project.remove("parts/b/pipeline.toml");
    watching.says("parts/b/pipeline.toml removed");
    watching.rests(7);
    let said = watching.stop();
    assert_eq!(said.matches("pipeline.toml is not valid").count(), 2, "{said}");
}

#[test]
fn a_service_stays_until_what_starts_it_changes() {
    let script = |says: &str| format!("#!/bin/sh\necho start >> $XDG_N/runs; echo {says} > $XDG_N/says; echo up; exec sleep 1000\n");
    for start in ["[\"./serve.sh\"]", "\"exec sh 'serve.sh'\""] {
        let project = Project::counted(&format!(
            "[services.s]\nstart = {start}\nready = {{ log = \"up\" }}\n[stages.a]\nservices = [\"s\"]\n\
             inputs = [\"in\", \"serve.sh\"]\nsteps = [\"cat $XDG_N/says in; grep -q fine in\"]\n"
        ));
        project.write("in", "fine 1\n").write("serve.sh", script("one"));
        fs::set_permissions(project.join("serve.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        let watching = Watching::of(&project, &[]);
        watching.says("one\nfine 1\n");
        project.write("in", "wrong 2\n");
        watching.rests(2);
        project.write("in", "fine 3\n");
        watching.rests(3);
        watching.says("one\nfine 3\n");
        assert_eq!(project.count("start"), 1);
        // What is known of the new one must come from the new one.
        project.write("serve.sh", script("two"));
        watching.rests(4);
        watching.says("two\nfine 3\n");
        assert_eq!(project.count("start"), 2);
        watching.stop();
    }
}

#[test]
fn what_passes_beside_a_service_of_an_earlier_run_is_not_stored() {
    let project = Project::counted(
        "[services.s]\nstart = [\"./serve.sh\"]\nready = { log = \"up\" }\n\
         [stages.a]\nservices = [\"s\"]\nsteps = [\"echo a >> $XDG_N/runs; grep -q fine $XDG_N/says\"]\n",
    );
    // The command names the script, and nobody the module that it reads.
    project.script("serve.sh", "#!/bin/sh\necho start >> $XDG_N/runs; cp module $XDG_N/says; echo up; exec sleep 1000\n");
    project.write("module", "fine\n");
    let watching = Watching::of(&project, &[]);
    watching.rests(1);
    project.write("module", "wrong\n");
    watching.rests(2);
    let said = watching.stop();
    assert!(said.contains("not stored: the service `s` was started for an earlier run"), "{said}");
    assert_eq!((project.count("a"), project.count("start")), (2, 1), "{said}");
    // The one that is there now would fail it, and does.
    project.shipway(["run"]).exits(1);
    project.write("module", "fine\n");
    assert_eq!(project.brief(&[]), "a cached");
}

#[test]
fn a_service_that_a_stage_has_built_anew_is_started_anew() {
    let project = Project::counted(
        "[stages.build]\ninputs = [\"src\"]\noutputs = [\"app\"]\nsteps = [\"cp src app; chmod +x app\"]\n\
         [services.s]\nstart = [\"./app\"]\nready = { log = \"up\" }\n\
         [stages.a]\nneeds = [\"build\"]\nservices = [\"s\"]\ninputs = []\nsteps = [\"cat $XDG_N/says\"]\n",
    );
    let source = |says: &str| format!("#!/bin/sh\necho {says} > $XDG_N/says; echo up; exec sleep 1000\n");
    project.write("src", source("one"));
    let watching = Watching::of(&project, &[]);
    watching.says("one\n");
    project.write("src", source("two"));
    watching.rests(2);
    watching.says("two\n");
    watching.stop();
}

#[test]
fn what_is_wrong_at_the_start_ends_it() {
    let project = Project::new("[stages.a]\nsteps = [\"true\"]\n");
    project.shipway(["watch", "b"]).exits(2);
    project.pipeline("[stages.a]\nsteps = [\"true\"]\ntools = [\"no-such-tool\"]\n").shipway(["watch"]).exits(3);
    project.pipeline("[stages.a]\nsteps = true\n").shipway(["watch"]).exits(2);
}

#[test]
fn another_branch_is_run() {
    let project = Project::counted(&GATHER.replace("inputs = [\"src/**\"]\n", ""));
    project.write("src/a", "main").write("src/only/here", "x").write(".gitignore", "*.log\nout\n");
    git(project.path(), &["init"]);
    git(project.path(), &["add", "."]);
    git(project.path(), &["commit", "-m", "x"]);
    git(project.path(), &["checkout", "-b", "other"]);
    project.write("src/a", "other").write("src/new/deep", "y").remove("src/only");
    git(project.path(), &["add", "."]);
    git(project.path(), &["commit", "-m", "y"]);
    let watching = Watching::of(&project, &[]);
    for branch in ["main", "other", "main"] {
        git(project.path(), &["checkout", branch]);
        watching.until(branch, || out(&project) == gathered(&project) && out(&project).contains(&format!("src/a: {branch}")));
    }
    watching.until("it rests", || watching.is_at_rest());
    // An ignored file is none of its business until git tracks it.
    project.write("src/x.log", "1");
    git(project.path(), &["add", "-f", "src/x.log"]);
    watching.until("the tracked file is seen", || out(&project).contains("src/x.log: 1"));
    watching.stop();
}

#[test]
fn ignored_folders_cost_no_watches_unless_they_are_meant() {
    let project = Project::counted(&GATHER.replace("inputs = [\"src/**\"]\n", ""));
    project.write("src/a", "1").write(".gitignore", "node_modules\nout\n");
    for number in 0..300 {
        project.write(&format!("node_modules/m{number}/index.js"), "");
    }
    let watching = Watching::of(&project, &[]);
    assert!((2..20).contains(&watching.watches()), "{}", watching.watches());
    let runs = project.count("run");
    project.pipeline(&GATHER.replace("src/**", "src/**\", \"node_modules/**"));
    watching.until("it runs", || project.count("run") == runs + 1);
    watching.rests(2);
    assert!(watching.watches() > 300, "{}", watching.watches());
    project.write("node_modules/m7/index.js", "x");
    watching.until("it runs", || project.count("run") == runs + 2);
    watching.stop();
}

#[test]
fn where_nothing_tells_of_changes_they_are_looked_for() {
    let project = Project::counted(GATHER);
    project.write("src/a", "1");
    let watching = Watching::of(&project, &["--poll"]);
    assert_eq!(watching.watches(), 0);
    comes_to_rest(&project, &watching);
    watching.stop();
}

#[test]
fn where_too_much_is_watched_already_it_says_so_and_looks() {
    let project = Project::counted(GATHER);
    project.write("src/a", "1").write("src/b/c/d", "1");
    let watch = project.command(["watch"]);
    // A user of its own has a limit of its own.
    let mut command = Command::new("unshare");
    let script = "echo 2 > /proc/sys/user/max_inotify_watches && exec \"$0\" watch";
    command.args(["-Ur", "sh", "-c", script]).arg(watch.get_program()).current_dir(project.path()).env_clear();
    command.envs(watch.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let may = Command::new("unshare").args(["-Ur", "sh", "-c", "echo 2 > /proc/sys/user/max_inotify_watches"]).output().unwrap();
    if !may.status.success() {
        // Where users of their own are not allowed, looking again and again is still tested by the test before.
        assert!(!may.stderr.is_empty());
        return;
    }
    let watching = Watching::start(command);
    watching.rests(1);
    watching.says("fs.inotify.max_user_watches");
    comes_to_rest(&project, &watching);
    assert_eq!(watching.said().matches("are looked for every second").count(), 1);
    watching.stop();
}

#[test]
fn a_signal_ends_it_while_it_waits() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let project = Project::counted(GATHER);
        let watching = Watching::of(&project, &[]);
        watching.signal(signal);
        assert_eq!(watching.end().0, code);
    }
}

/// A step that stays, and what is in its command line; it does `told` when it is asked to end. What it starts is asked, too, and may end.
fn staying(project: &Project, told: &str) -> String {
    let mark = project.aside("mark").to_str().unwrap().to_owned();
    project.pipeline(&format!(
        "[stages.a]\nsteps = [\"trap 'touch $XDG_N/told || :; {told}' TERM; touch $XDG_N/begun || :; while :; do sleep 0.01 || :; done # {mark}\"]\n"
    ));
    mark
}

#[test]
fn a_signal_ends_it_while_it_runs() {
    let project = Project::counted("");
    let mark = staying(&project, "exit 0");
    let watching = Watching::start(project.command(["watch"]));
    watching.until("the step has begun", || project.aside("begun").exists());
    assert!(!processes(&mark).is_empty());
    watching.signal(Signal::INT);
    let (code, said) = watching.end();
    assert_eq!(code, 130, "{said}");
    assert!(project.aside("told").exists(), "{said}");
    assert_eq!(processes(&mark), Vec::<String>::new());
}

#[test]
fn a_second_signal_kills_what_does_not_end() {
    let project = Project::counted("");
    let mark = staying(&project, "");
    let watching = Watching::start(project.command(["watch"]));
    watching.until("the step has begun", || project.aside("begun").exists());
    watching.signal(Signal::INT);
    watching.until("the step was told", || project.aside("told").exists());
    watching.signal(Signal::INT);
    let (code, said) = watching.end();
    assert_eq!(code, 130, "{said}");
    assert!(said.contains("interrupted again: killing 1 stage"), "{said}");
    assert_eq!(processes(&mark), Vec::<String>::new());
}

#[test]
fn it_ends_when_nobody_reads_it() {
    let project = Project::counted(GATHER);
    for fails in [false, true] {
        let stages = GATHER.replace("echo run", if fails { "exit 1; echo run" } else { "echo run" });
        project.pipeline(&stages).write("src/a", "1");
        let mut child = project::start(project.command(["watch", "--format", "json"]));
        let mut out = child.stdout.take().unwrap();
        let mut said = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&said).contains("run-finished") {
            let length = out.read(&mut piece).unwrap();
            assert!(length > 0);
            said.extend_from_slice(&piece[..length]);
        }
        drop(out);
        assert_eq!(child.wait().unwrap().code(), Some(i32::from(fails)));
    }
}

#[test]
fn in_json_runs_follow_each_other() {
    let project = Project::counted(GATHER);
    project.write("src/a", "1");
    let watching = Watching::start(project.command(["watch", "--format", "json"]));
    for round in 1..=3 {
        watching.until("it has run", || watching.said().matches("run-finished").count() == round);
        project.write("src/a", format!("{}", round + 1));
    }
    watching.until("it has run", || watching.said().matches("run-finished").count() == 4);
    let events = project::events(&watching.stop());
    let starts: Vec<_> = events.iter().filter(|event| event["event"] == "run-started").collect();
    assert_eq!(starts.len(), 4);
    assert!(starts.iter().all(|start| start["seq"] == 1));
    assert!(events.last().unwrap()["event"] == "run-finished");
}

#[test]
fn the_state_of_shipway_may_be_removed() {
    let project = Project::counted(GATHER);
    project.write("src/a", "1");
    let watching = Watching::of(&project, &[]);
    project.remove(".shipway").write("src/a", "2");
    watching.rests(2);
    assert_eq!(project.read("out"), "src/a: 2\n");
    assert!(project.exists(".shipway"));
    let said = watching.stop();
    assert!(!said.contains("cannot be marked") && !said.contains("not recorded"), "{said}");
}
