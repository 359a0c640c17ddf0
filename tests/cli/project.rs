//! A small real project in a folder of its own, and the real program run in it.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// No test waits longer for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A project.
pub(crate) struct Project {
    folder: TempDir,
    /// The store, shared with twins only.
    store: Arc<TempDir>,
    /// A folder outside of the project for what steps do there: `$XDG_N`, which is forwarded and in no key.
    aside: Option<Arc<TempDir>>,
}

/// What a finished program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Project {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        let folder = |prefix| tempfile::Builder::new().prefix(prefix).tempdir().unwrap();
        Self { folder: folder("shipway-test-"), store: Arc::new(folder("shipway-store-")), aside: None }
    }

    /// As [`Project::new`], with a folder for the steps to count in: `echo word >> $XDG_N/runs`.
    pub(crate) fn counted(stages: &str) -> Self {
        let aside = tempfile::Builder::new().prefix("shipway-aside-").tempdir().unwrap();
        Self { aside: Some(Arc::new(aside)), ..Self::new(stages) }
    }

    /// Another checkout of the same project, over the same store and the same counter.
    pub(crate) fn twin(&self) -> Self {
        let twin = Self { store: self.store.clone(), aside: self.aside.clone(), ..Self::empty() };
        let copied = Command::new("cp").arg("-a").arg(self.join(".")).arg(twin.path()).status().unwrap();
        assert!(copied.success());
        if twin.exists(".shipway") {
            fs::remove_dir_all(twin.join(".shipway")).unwrap();
        }
        twin
    }

    /// Writes the pipeline anew.
    pub(crate) fn pipeline(&self, stages: &str) -> &Self {
        self.write("pipeline.toml", format!("[pipeline]\nname = \"test\"\n{stages}"))
    }

    /// What lies in the folder of `$XDG_N`.
    pub(crate) fn aside(&self, name: &str) -> PathBuf {
        self.aside.as_ref().unwrap().path().join(name)
    }

    /// How often the steps have counted `word`.
    pub(crate) fn count(&self, word: &str) -> usize {
        let runs = fs::read_to_string(self.aside("runs")).unwrap_or_default();
        runs.lines().filter(|line| *line == word).count()
    }

    pub(crate) fn store(&self) -> &Path {
        self.store.path()
    }

    /// All files of one area of the store: `ac`, `cas` or `stages`.
    pub(crate) fn stored(&self, area: &str) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.store().join(area)).into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect();
        files.sort();
        files
    }

    /// The file of the store that has this hash for a name.
    pub(crate) fn in_store(&self, area: &str, hash: &str) -> PathBuf {
        self.store().join(area).join(&hash[..2]).join(hash)
    }

    pub(crate) fn remove(&self, name: &str) -> &Self {
        let path = self.join(name);
        if path.symlink_metadata().unwrap().is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        self
    }

    /// Runs, and tells in short what became of each stage: `a cached, b passed, c passed unstored`.
    #[track_caller]
    pub(crate) fn brief(&self, arguments: &[&str]) -> String {
        let (code, events) = self.events(arguments);
        assert_eq!(code, 0, "{events:#?}");
        brief(&events)
    }

    /// The key of a stage, and what would become of it, by a dry run.
    #[track_caller]
    pub(crate) fn predicted(&self, stage: &str) -> Value {
        predicted(self.command(["run", "-n", "--format", "json", stage]), stage)
    }

    /// A folder with a pipeline called `test`; `stages` is the rest of the file.
    pub(crate) fn new(stages: &str) -> Self {
        let project = Self::empty();
        project.write("pipeline.toml", format!("[pipeline]\nname = \"test\"\n{stages}"));
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Writes a script that can be started.
    pub(crate) fn script(&self, name: &str, text: &str) -> &Self {
        self.write(name, text);
        fs::set_permissions(self.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.join(name).symlink_metadata().is_ok()
    }

    /// The program with these arguments, not started; its environment is that of a plain shell.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_shipway")), arguments)
    }

    /// The same for another `program`, such as a copy.
    pub(crate) fn command_of<S: AsRef<OsStr>>(&self, program: &Path, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null()).env_clear();
        command.env("SHIPWAY_CACHE_DIR", self.store.path());
        if let Some(aside) = &self.aside {
            command.env("XDG_N", aside.path());
        }
        for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "PYENV_ROOT", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// Runs the program to its end.
    pub(crate) fn shipway<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Said {
        said(self.command(arguments))
    }

    /// Runs `run --format json` with more arguments, and returns its events.
    pub(crate) fn events<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> (i32, Vec<Value>) {
        let mut command = self.command(["run", "--format", "json"]);
        command.args(arguments);
        let said = said(command);
        (said.code(), events(&said.stdout))
    }
}

/// Starts the program with its output in pipes.
pub(crate) fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end of a started program; one that takes too long is a failure of the test.
pub(crate) fn finish(mut child: Child) -> Said {
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |reader: &mut dyn Read| {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let err = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let stdout = read(&mut stdout);
    let stderr = err.join().unwrap();
    Said { status: child.wait().unwrap(), stdout, stderr }
}

pub(crate) fn said(command: Command) -> Said {
    finish(start(command))
}

impl Said {
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("no exit code: {self:?}"))
    }

    /// Asserts the exit code, showing everything where it differs.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

pub(crate) fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// What became of each stage, sorted: `a cached, b passed, c passed unstored`.
pub(crate) fn brief(events: &[Value]) -> String {
    let finished = events.iter().filter(|event| event["event"] == "stage-finished");
    let mut stages: Vec<String> = finished
        .map(|event| {
            let unstored = if event["outcome"] == "passed" && event["stored"] == false { " unstored" } else { "" };
            format!("{} {}{unstored}", event["stage"].as_str().unwrap(), event["outcome"].as_str().unwrap())
        })
        .collect();
    stages.sort();
    stages.join(", ")
}

/// All notices, a line each.
pub(crate) fn notices(events: &[Value]) -> String {
    let notices = events.iter().filter(|event| event["event"] == "notice");
    notices.flat_map(|event| [event["text"].as_str().unwrap(), "\n"]).collect()
}

/// What a dry run in JSON says of a stage.
#[track_caller]
pub(crate) fn predicted(command: Command, stage: &str) -> Value {
    let said = said(command).exits(0);
    let all: Value = serde_json::from_str(&said.stdout).unwrap();
    let found = all["stages"].as_array().unwrap().iter().find(|found| found["stage"] == stage);
    found.unwrap_or_else(|| panic!("{stage} in {all}")).clone()
}

/// Runs a git command that must succeed, without anybody's settings.
pub(crate) fn git(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"]).args(arguments).current_dir(folder);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let done = command.output().unwrap();
    assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A named pipe at `$XDG_N/gate`: a step that does `read x < $XDG_N/gate || true` waits there.
pub(crate) struct Gate(PathBuf);

impl Gate {
    pub(crate) fn new(project: &Project) -> Self {
        let path = project.aside("gate");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        Self(path)
    }

    /// Waits until a step has come; it stays until the file is dropped.
    #[track_caller]
    pub(crate) fn reached(&self) -> fs::File {
        use std::os::unix::fs::OpenOptionsExt;
        let mut open = None;
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        until("a step has come to the gate", || {
            open = fs::File::options().write(true).custom_flags(flags).open(&self.0).ok();
            open.is_some()
        });
        open.unwrap()
    }

    /// Runs the project, and does something while a step is at the gate.
    #[track_caller]
    pub(crate) fn during(&self, project: &Project, arguments: &[&str], act: impl FnOnce()) -> (i32, Vec<Value>) {
        let mut command = project.command(["run", "--format", "json"]);
        command.args(arguments);
        let child = start(command);
        let step = self.reached();
        act();
        drop(step);
        let said = finish(child);
        (said.code(), events(&said.stdout))
    }
}

/// The one event of this kind about this stage.
#[track_caller]
pub(crate) fn event<'e>(events: &'e [Value], kind: &str, stage: &str) -> &'e Value {
    let found: Vec<&Value> = events.iter().filter(|event| event["event"] == kind && event["stage"] == stage).collect();
    assert_eq!(found.len(), 1, "{kind} {stage} in {events:#?}");
    found[0]
}

/// What a stage came to.
#[track_caller]
pub(crate) fn outcome<'e>(events: &'e [Value], stage: &str) -> &'e str {
    event(events, "stage-finished", stage)["outcome"].as_str().unwrap()
}

/// All output of a stage on one stream.
pub(crate) fn output(events: &[Value], stage: &str, stream: &str) -> String {
    let wanted = events.iter().filter(|event| event["event"] == "output" && event["stage"] == stage && event["stream"] == stream);
    wanted.map(|event| event["text"].as_str().unwrap()).collect()
}

/// Waits until `condition` holds, looking often; a test that waits in vain fails.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::yield_now();
        let _woken = rustix::event::poll(&mut [], Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 2_000_000 }));
    }
}

/// The processes, ours excluded, whose command line holds `mark`.
pub(crate) fn processes(mark: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let ended = fs::read_to_string(entry.path().join("stat"))
            .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')));
        if line.contains(mark) && !ended {
            found.push(format!("{pid} {line}"));
        }
    }
    found
}

/// Returns the guard of a shipway that runs a step: a child of the thread that began its first one.
#[track_caller]
pub(crate) fn guard_of(shipway: i32) -> Pid {
    let threads = fs::read_dir(format!("/proc/{shipway}/task")).unwrap().map(|thread| thread.unwrap().path());
    let children: String = threads.filter_map(|thread| fs::read_to_string(thread.join("children")).ok()).collect();
    let is_guard = |pid: &&str| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("__guard"));
    let guard = children.split_ascii_whitespace().find(is_guard).expect("a guard stands");
    Pid::from_raw(guard.parse().unwrap()).unwrap()
}

/// Where `.ci/run` puts programs that are only for tests.
pub(crate) fn tool(name: &str) -> Option<String> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin").join(name);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = [own].into_iter().chain(std::env::split_paths(&path).map(|folder| folder.join(name)));
    let found = places.find(|place| place.is_file()).map(|place| place.to_str().unwrap().to_owned());
    if found.is_none() {
        missing(name);
    }
    found
}

/// Says that a program is not here, which is a failure where `.ci/run` has put all there.
pub(crate) fn missing(name: &str) {
    assert!(
        std::env::var_os("SHIPWAY_TEST_TOOLS").is_none_or(|value| value.is_empty()),
        "there is no {name} on this machine, and `.ci/run` should have put it there"
    );
    // Past the harness, which would swallow it.
    let mut log = std::io::stderr();
    writeln!(log, "what {name} does is not tested: there is none on this machine; `.ci/run` gets one").unwrap();
}
