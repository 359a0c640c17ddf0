//! A small real project in a folder of its own, and the real program run in it.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// No test waits longer for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A project.
pub(crate) struct Project {
    folder: TempDir,
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
        Self { folder: tempfile::Builder::new().prefix("shipway-test-").tempdir().unwrap() }
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipway"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null()).env_clear();
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
