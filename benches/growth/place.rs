//! A folder with a project that is made for measuring, and shipway in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A project, and a store for it alone.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
    /// How often something was changed or moved away.
    changes: u32,
}

impl Place {
    /// Writes a pipeline with these stages.
    pub(crate) fn new(stages: &str) -> Self {
        let place = Self { folder: tempfile::Builder::new().prefix("shipway-growth-").tempdir().unwrap(), changes: 0 };
        fs::create_dir(place.project()).unwrap();
        place.write("pipeline.toml", &format!("[pipeline]\nname = \"growth\"\n{stages}"));
        place
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Writes a file into the project, and the folders above it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.project().join(name);
        if !path.parent().is_some_and(Path::exists) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        fs::write(path, text).unwrap();
    }

    /// Gives a file a content that it never had.
    pub(crate) fn change(&mut self, name: &str) {
        self.changes += 1;
        self.write(name, &format!("change {}", self.changes));
    }

    /// Makes a repository with all files committed.
    pub(crate) fn commit(&self) {
        for arguments in [&["init", "-q"][..], &["add", "-A"], &["-c", "user.name=g", "-c", "user.email=g@g", "commit", "-qm", "All"]] {
            let mut git = Command::new("git");
            git.args(arguments).current_dir(self.project()).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
            assert!(git.status().unwrap().success());
        }
    }

    /// Moves away all that shipway and the steps have written. Nothing is removed before all is measured: for minutes after that, some
    /// file systems search long for a place for a new file, since they take none that was free only a moment ago.
    pub(crate) fn forget(&mut self) {
        self.changes += 1;
        let old = self.folder.path().join(format!("old-{}", self.changes));
        fs::create_dir(&old).unwrap();
        let written = [("store", self.store()), ("kept", self.project().join(".shipway")), ("out", self.project().join("out"))];
        for (name, path) in written.into_iter().filter(|(_, path)| path.exists()) {
            fs::rename(path, old.join(name)).unwrap();
        }
    }

    /// shipway with these arguments, not started; the environment is that of a plain shell.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipway"));
        command.args(arguments).current_dir(self.project()).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("SHIPWAY_CACHE_DIR", self.store());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// How many stages passed and were cached, of how many, by the record of the last run.
    pub(crate) fn counts(&self) -> [u64; 3] {
        let folder = self.project().join(".shipway/runs");
        let record = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
        let events = fs::read(record).unwrap();
        let last = events.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap();
        let last: serde_json::Value = serde_json::from_slice(last).unwrap();
        assert_eq!((&last["event"], &last["exit_code"]), (&"run-finished".into(), &0.into()), "{last}");
        let count = |name: &str| last["counts"][name].as_u64().unwrap();
        let [passed, cached] = ["passed", "cached"].map(count);
        [passed, cached, passed + cached + count("failed") + count("skipped") + count("cancelled")]
    }
}
