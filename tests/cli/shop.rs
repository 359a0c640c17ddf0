//! A project in a repository with a remote, and a user who pushes with real git.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::project::{Project, Said, said};

/// Passes where the file `state` says so; notes where it ran and what it saw.
pub(crate) const STAGE: &str = r#"
[stages.test]
steps = ["echo test >> $XDG_N/runs; pwd -P >> $XDG_N/where; ls -A | tr '\\n' ' ' >> $XDG_N/seen; grep -q good state"]
"#;

/// A project in a repository with a bare remote called `origin`.
pub(crate) struct Shop {
    pub(crate) project: Project,
    /// HOME, with settings for git and the user's cache.
    pub(crate) home: TempDir,
    pub(crate) remotes: TempDir,
}

impl Shop {
    pub(crate) fn new(stages: &str) -> Self {
        let shop = Self::without_hook(stages);
        shop.shipway(&["hook", "install"]).exits(0);
        assert!(shop.hook("pre-push").exists());
        shop
    }

    pub(crate) fn without_hook(stages: &str) -> Self {
        let folder = |prefix| tempfile::Builder::new().prefix(prefix).tempdir().unwrap();
        let shop = Self { project: Project::counted(stages), home: folder("shipway-home-"), remotes: folder("shipway-remotes-") };
        let settings =
            "[user]\nname = t\nemail = t@t\n[init]\ndefaultBranch = main\n[protocol \"file\"]\nallow = always\n[push]\ndefault = current\n";
        fs::write(shop.home.path().join(".gitconfig"), settings).unwrap();
        shop.git(&["init"]);
        shop.git(&["init", "--bare", &shop.remote()]);
        shop.git(&["remote", "add", "origin", &shop.remote()]);
        shop.project.write("state", "good\n");
        shop.commit("first");
        shop
    }

    pub(crate) fn remote(&self) -> String {
        self.remotes.path().join("shop.git").to_str().unwrap().to_owned()
    }

    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let path = Path::new(env!("CARGO_BIN_EXE_shipway")).parent().unwrap().to_str().unwrap().to_owned();
        vec![
            ("PATH", format!("{path}:{}", std::env::var("PATH").unwrap())),
            ("HOME", self.home.path().to_str().unwrap().to_owned()),
            ("XDG_CACHE_HOME", self.cache().to_str().unwrap().to_owned()),
        ]
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    /// A git command in the project or another folder, as a user types it.
    pub(crate) fn git_in(&self, folder: &Path, arguments: &[&str]) -> Command {
        let like = self.project.command([] as [&str; 0]);
        let mut command = Command::new("git");
        command.args(arguments).current_dir(folder).env_clear();
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?)))).envs(self.variables());
        command
    }

    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> Said {
        said(self.git_in(self.project.path(), arguments)).exits(0)
    }

    #[track_caller]
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "--no-verify", "-m", message]);
        self.git(&["rev-parse", "HEAD"]).stdout.trim().to_owned()
    }

    /// Pushes, and tells what was said.
    #[track_caller]
    pub(crate) fn push(&self, arguments: &[&str], passes: bool) -> String {
        self.push_in(self.project.path(), arguments, passes)
    }

    #[track_caller]
    pub(crate) fn push_in(&self, folder: &Path, arguments: &[&str], passes: bool) -> String {
        let said = said(self.git_in(folder, &[&["push"], arguments].concat()));
        assert_eq!(said.status.success(), passes, "{}{}", said.stdout, said.stderr);
        said.stdout + &said.stderr
    }

    /// What the remote has under this name; empty where nothing.
    pub(crate) fn there(&self, name: &str) -> String {
        self.git(&["ls-remote", "origin", name]).stdout.split('\t').next().unwrap_or_default().to_owned()
    }

    pub(crate) fn hook(&self, name: &str) -> PathBuf {
        self.project.join(".git/hooks").join(name)
    }

    pub(crate) fn tests(&self) -> usize {
        self.project.count("test")
    }

    /// The folder that the last test ran in.
    pub(crate) fn last_place(&self) -> PathBuf {
        fs::read_to_string(self.project.aside("where")).unwrap().lines().last().unwrap().into()
    }

    pub(crate) fn is_in_place(&self) -> bool {
        self.last_place() == self.project.path().canonicalize().unwrap()
    }

    pub(crate) fn shipway(&self, arguments: &[&str]) -> Said {
        let mut command = self.project.command(arguments);
        command.envs(self.variables());
        said(command)
    }

    pub(crate) fn commit_of(&self, name: &str) -> String {
        self.git(&["rev-parse", name]).stdout.trim().to_owned()
    }
}
