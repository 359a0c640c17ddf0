//! A project with one environment, whose target is servers behind something.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use shipway::model::service::Address;
use tempfile::TempDir;

/// What stands between clients and servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    /// The target's part of the file. `BENCH` is this program, `RUN` a folder, `FRONT` the port that clients reach, `BLUE` and `GREEN` are ports
    /// that are free.
    pub(crate) target: fn() -> String,
    /// Starts what has to run before the first release, if anything: with a folder, the listener that clients reach, and the two ports.
    pub(crate) start: fn(&Path, TcpListener, [u16; 2]) -> Option<Child>,
}

/// The project.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
    front: Option<Child>,
    pub(crate) address: Address,
    releases: u32,
}

impl Place {
    /// A project whose environment has these keys beside its target.
    pub(crate) fn new(setup: Setup, keys: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("shipway-rollout-").tempdir().unwrap();
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, blue, green] = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        let [listener, ..] = listeners;
        let front = (setup.start)(folder.path(), listener, [blue, green]);
        let address = Address::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
        let place = Self { folder, front, address, releases: 0 };
        fs::create_dir(place.project()).unwrap();
        let program = std::env::current_exe().unwrap();
        let target = (setup.target)().replace("BENCH", program.to_str().unwrap()).replace("RUN", place.folder.path().to_str().unwrap());
        let target = target.replace("BLUE", &blue.to_string()).replace("GREEN", &green.to_string()).replace("FRONT", &port.to_string());
        let stage = "[stages.page]\ninputs = [\"page\"]\nsteps = [\"true\"]\n[release]\nartifacts = [\"page\"]";
        let file = format!(
            "[pipeline]\nname = \"rollout\"\n{stage}\n[environments.production]\ntarget = \"web\"\n{keys}\n[targets.web]\n{target}\n\
             [delivery]\nstore = \"../releases\"\n"
        );
        fs::write(place.project().join("pipeline.toml"), file).unwrap();
        fs::write(place.project().join(".gitignore"), ".shipway/\n").unwrap();
        place.git(&["init", "-q"]);
        place
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// Makes a release; returns the page that tells it apart.
    pub(crate) fn release(&mut self) -> String {
        self.releases += 1;
        let page = format!("release {}", self.releases);
        fs::write(self.project().join("page"), &page).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", &page]);
        self.shipway(&["release"], 0);
        page
    }

    /// shipway with these arguments, not started; the environment is that of a plain shell.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipway"));
        command.args(arguments).current_dir(self.project()).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.env("HOME", self.folder.path()).env("SHIPWAY_CACHE_DIR", self.folder.path().join("store"));
        let said = File::options().create(true).append(true).open(self.folder.path().join("said")).unwrap();
        command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        command
    }

    /// Runs it to its end, with this exit code.
    pub(crate) fn shipway(&self, arguments: &[&str], code: i32) {
        let status = self.command(arguments).status().unwrap();
        let said = || fs::read_to_string(self.folder.path().join("said")).unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}: {}", said());
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=r", "-c", "user.email=r@r"]).args(arguments).current_dir(self.project());
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        assert!(git.status().unwrap().success(), "{arguments:?}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _supervisor = self.command(&["serve", "production", "--stop"]).status();
        if let Some(front) = &mut self.front {
            let _gone = front.kill();
            let _waited = front.wait();
        }
        let stop = "for pid in \"$0\"/*.pid; do [ ! -e \"$pid\" ] || kill \"$(cat \"$pid\")\" 2>/dev/null; done; chmod -R u+w \"$0\"";
        let _ended = Command::new("sh").args(["-c", stop]).arg(self.folder.path()).status();
    }
}
