//! Releases: what passes becomes one, under an id that anybody can compute, and never changes again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::project::{Project, Said, git, said, tool};

/// Builds a small site from two sources; a folder is released with it.
pub(crate) const SITE: &str = r#"
[stages.build]
steps = ["mkdir -p out && cat a.txt b.txt > out/page && printf x > out/tool && chmod +x out/tool && ln -sfn page out/link"]
inputs = ["a.txt", "b.txt"]
outputs = ["out"]
[stages.test]
needs = ["build"]
steps = ["grep -q hello out/page"]
inputs = []
[release]
artifacts = ["out", "config/"]
"#;

/// A project in a repository of its own, with a vault of its own.
pub(crate) struct Site {
    pub(crate) project: Project,
    data: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new(stages: &str) -> Self {
        let project = Project::new(stages);
        project.write("a.txt", "hello\n").write("b.txt", "world\n").write("config/prod.toml", "x = 1\n").write(".gitignore", "/out\n");
        let site = Self { project, data: tempfile::tempdir().unwrap() };
        git(site.project.path(), &["init", "-q"]);
        site.commit("first");
        site
    }

    fn commit(&self, what: &str) {
        git(self.project.path(), &["add", "-A"]);
        git(self.project.path(), &["commit", "-q", "-m", what]);
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.project.command(words);
        command.env("XDG_DATA_HOME", self.data.path());
        command
    }

    #[track_caller]
    pub(crate) fn shipway(&self, words: &[&str]) -> Said {
        said(self.command(words))
    }

    /// Makes a release; returns its id and its name.
    #[track_caller]
    pub(crate) fn release(&self) -> (String, String) {
        let said = self.shipway(&["release"]).exits(0);
        let (id, name) = said.stdout.trim_end().split_once(' ').expect("id and name");
        (id.to_owned(), name.to_owned())
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.shipway(words).exits(0).stdout).unwrap()
    }

    /// A place outside the project.
    pub(crate) fn out(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    fn blob(&self, hash: &str) -> PathBuf {
        self.data.path().join("shipway/releases/cas").join(&hash[..2]).join(hash)
    }
}

#[test]
fn a_release_is_named_by_its_manifest() {
    let site = Site::new(SITE);
    let (id, name) = site.release();
    assert_eq!(id.len(), 64);
    let manifest = fs::read(site.blob(&id)).unwrap();
    let sum = Command::new("sha256sum").arg(site.blob(&id)).output().unwrap();
    assert!(String::from_utf8_lossy(&sum.stdout).starts_with(&id), "its id is the hash of its manifest");
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let artifacts: Vec<(&str, &str)> =
        manifest["artifacts"].as_array().unwrap().iter().map(|of| (of["name"].as_str().unwrap(), of["mode"].as_str().unwrap())).collect();
    assert_eq!(artifacts, [("config/prod.toml", "644"), ("out/link", "link"), ("out/page", "644"), ("out/tool", "755")]);
    let shown = site.json(&["release", "show", &name, "--format", "json"]);
    assert_eq!((shown["release"].as_str(), &shown["manifest"]), (Some(&*id), &manifest));
    assert_eq!(site.json(&["release", "show", &id[..8], "--format", "json"])["name"], name);
}

#[test]
fn made_again_it_is_the_same_release_and_no_other() {
    let site = Site::new(SITE);
    let first = site.release();
    assert_eq!(site.release(), first);
    site.project.remove("out").remove(".shipway");
    assert_eq!(site.release(), first, "from the cache");
    assert_eq!(site.json(&["release", "list", "--format", "json"])["releases"].as_array().unwrap().len(), 1);
    // Another checkout of the same commit, built there.
    let there = tempfile::tempdir().unwrap();
    git(there.path(), &["clone", "-q", &site.project.path().to_string_lossy(), "x"]);
    let mut command = site.command(&["release", "--cache", "off"]);
    command.current_dir(there.path().join("x"));
    assert_eq!(said(command).exits(0).stdout.trim_end(), format!("{} {}", first.0, first.1));
    site.project.write("a.txt", "hello again\n");
    site.commit("second");
    let second = site.release();
    assert_ne!(second.0, first.0);
    let listed = site.json(&["release", "list", "--format", "json"]);
    let names: Vec<&str> = listed["releases"].as_array().unwrap().iter().map(|release| release["name"].as_str().unwrap()).collect();
    assert_eq!(names, [second.1, first.1]);
}

#[test]
fn what_no_commit_has_is_no_release() {
    let site = Site::new(SITE);
    site.project.write("a.txt", "hello changed\n");
    let said = site.shipway(&["release"]).exits(3);
    assert!(said.stderr.contains("`a.txt` is changed"), "{}", said.stderr);
    assert_eq!(said.stdout, "");
    site.project.write("new.txt", "");
    assert!(site.shipway(&["release"]).exits(3).stderr.contains("+1 more"));
    let dirty = site.shipway(&["release", "--dirty"]).exits(0);
    let id = dirty.stdout.split(' ').next().unwrap();
    assert_eq!(site.json(&["release", "show", id, "--format", "json"])["dirty"], true);
    git(site.project.path(), &["checkout", "-q", "a.txt"]);
    site.project.remove("new.txt");
    assert_ne!(site.release().0, id);
}

#[test]
fn a_stage_that_changes_what_is_tracked_makes_no_release() {
    let stages = "[stages.format]\nsteps = [\"echo more >> a.txt\"]\ncache = false\n[release]\nartifacts = [\"config\"]\n";
    let site = Site::new(stages);
    let said = site.shipway(&["release"]).exits(3);
    assert!(said.stderr.contains("`a.txt` is changed"), "{}", said.stderr);
    assert_eq!(site.json(&["release", "list", "--format", "json"])["releases"].as_array().unwrap().len(), 0);
}

#[test]
fn what_fails_is_no_release() {
    let site = Site::new(SITE);
    site.project.write("a.txt", "bye\n");
    site.commit("bad");
    let said = site.shipway(&["release"]).exits(1);
    assert!(said.stderr.contains("✗ test"), "{}", said.stderr);
    assert!(site.shipway(&["release", "list"]).exits(0).stdout.contains("no release was made yet"));
}

#[test]
fn what_nobody_could_make_again_is_no_artifact() {
    let site = Site::new("[stages.a]\nsteps = [\"true\"]\n[release]\nartifacts = [\"junk\"]\n");
    site.project.write(".gitignore", "junk\n");
    site.commit("ignore");
    let said = site.shipway(&["release"]).exits(3);
    assert!(said.stderr.contains("the artifact `junk` is not there"), "{}", said.stderr);
    site.project.write("junk", "x");
    let said = site.shipway(&["release"]).exits(3);
    assert!(said.stderr.contains("`junk` is neither an output"), "{}", said.stderr);
}

/// What `sha256sum` says of the file.
pub(crate) fn sum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn an_export_has_the_same_bytes_everywhere() {
    let site = Site::new(SITE);
    let (id, name) = site.release();
    for ending in ["tar", "tar.gz", "tar.zst"] {
        let (one, other) = (site.out(&format!("one.{ending}")), site.out(&format!("other.{ending}")));
        site.shipway(&["export", &name, "-o", &one.to_string_lossy()]).exits(0);
        // By somebody else: another mask, zone, place.
        let shipway = env!("CARGO_BIN_EXE_shipway");
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("umask 077; exec {shipway} -C {} export {id} -o {}", site.project.path().display(), other.display())]);
        let data = site.data.path();
        assert!(shell.env("XDG_DATA_HOME", data).env("TZ", "Asia/Tokyo").current_dir("/").status().unwrap().success());
        assert_eq!(sum(&one), sum(&other), "{ending}");
    }
    let folder = site.out("folder");
    site.shipway(&["export", &name, "-o", &folder.to_string_lossy()]).exits(0);
    let unpacked = site.out("unpacked");
    fs::create_dir(&unpacked).unwrap();
    assert!(Command::new("tar").arg("-xf").arg(site.out("one.tar.gz")).arg("-C").arg(&unpacked).status().unwrap().success());
    for place in [&folder, &unpacked] {
        let check = Command::new("sha256sum").args(["--strict", "-c", "SHA256SUMS"]).current_dir(place).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        assert_eq!(fs::read_link(place.join("out/link")).unwrap(), Path::new("page"));
        assert!(Command::new(place.join("out/tool")).status().is_err(), "an empty program cannot run, but may be started");
    }
    assert!(Command::new("diff").arg("-r").arg(&folder).arg(&unpacked).status().unwrap().success());
    let again = site.shipway(&["export", &name, "-o", &folder.to_string_lossy()]).exits(3);
    assert!(again.stderr.contains("is not empty"), "{}", again.stderr);
    // What looks like an archive and is a folder would be a surprise, unless it says so.
    for ending in ["zip", "tar.xz", "gz"] {
        let said = site.shipway(&["export", &name, "-o", &site.out(&format!("x.{ending}")).to_string_lossy()]).exits(2).stderr;
        assert!(said.contains("is no archive that can be written") && said.contains(".tar.zst (.tzst)"), "{said}");
        assert!(!site.out(&format!("x.{ending}")).exists());
    }
    site.shipway(&["export", &name, "-o", &format!("{}/", site.out("v1.zip").display())]).exits(0);
    site.shipway(&["export", &name, "-o", &site.out("v1.2").to_string_lossy()]).exits(0);
    assert!(site.out("v1.zip/SHA256SUMS").is_file() && site.out("v1.2/SHA256SUMS").is_file());
}

#[test]
fn a_byte_that_was_flipped_is_named() {
    let site = Site::new(SITE);
    let (id, name) = site.release();
    let shown = site.json(&["release", "show", &name, "--format", "json"]);
    let hashes: Vec<String> =
        shown["manifest"]["artifacts"].as_array().unwrap().iter().map(|of| of["digest"].as_str().unwrap().to_owned()).collect();
    let to = site.out("out.tar");
    for hash in hashes.iter().chain([&id]) {
        let blob = site.blob(hash);
        let whole = fs::read(&blob).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::remove_file(&blob).unwrap();
            fs::write(&blob, flipped).unwrap();
            let said = site.shipway(&["export", &name, "-o", &to.to_string_lossy()]).exits(3);
            assert!(said.stderr.contains("tampered with"), "{}", said.stderr);
            assert!(!to.exists());
            if hash == &id && at > 20 {
                break;
            }
        }
        fs::remove_file(&blob).unwrap();
        let said = site.shipway(&["export", &name, "-o", &to.to_string_lossy()]).exits(3);
        assert!(said.stderr.contains("are not in") && said.stderr.contains("made it on"), "{}", said.stderr);
        fs::write(&blob, whole).unwrap();
    }
    site.shipway(&["export", &name, "-o", &to.to_string_lossy()]).exits(0);
}

#[test]
fn the_ledger_is_a_chain_of_commits() {
    let site = Site::new(SITE);
    site.release();
    site.project.write("a.txt", "hello again\n");
    site.commit("second");
    site.release();
    let log =
        Command::new("git").args(["log", "--format=%s|%an", "refs/shipway/ledger"]).current_dir(site.project.path()).output().unwrap();
    let log = String::from_utf8(log.stdout).unwrap();
    assert_eq!(log.lines().count(), 2, "{log}");
    assert!(log.lines().all(|line| line.starts_with("release ")), "{log}");
    // Something that is no entry is not passed over.
    git(site.project.path(), &["update-ref", "refs/shipway/ledger", "HEAD"]);
    let said = site.shipway(&["release", "list"]).exits(3);
    assert!(said.stderr.contains("the ledger is damaged"), "{}", said.stderr);
}

#[test]
fn without_a_repository_a_commit_or_a_release_it_says_what_to_do() {
    let project = Project::new("[stages.a]\nsteps = [\"true\"]\n[release]\nartifacts = [\"x\"]\n");
    assert!(project.shipway(["release"]).exits(3).stderr.contains("needs a git repository"));
    git(project.path(), &["init", "-q"]);
    assert!(project.shipway(["release"]).exits(3).stderr.contains("there is none yet"));
    assert!(project.shipway(["export", "x", "-o", "y"]).exits(2).stderr.contains("no release was made yet"));
    let none = Project::new("[stages.a]\nsteps = [\"true\"]\n");
    assert!(none.shipway(["release"]).exits(2).stderr.contains("the pipeline has no [release]"));
}

#[test]
fn a_release_in_json_is_one_event_more() {
    let site = Site::new(SITE);
    let said = site.shipway(&["release", "--format", "json"]).exits(0);
    let last: Value = serde_json::from_str(said.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((last["event"].as_str(), last["v"].as_i64()), (Some("released"), Some(1)));
    assert_eq!(last["release"].as_str().unwrap().len(), 64);
}

/// Makes a release twice behind these words of a shell.
#[track_caller]
fn twice(site: &Site, before: &str) -> Said {
    let like = site.command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{before}; exec {} release --twice", env!("CARGO_BIN_EXE_shipway"))]).current_dir(site.project.path());
    shell.stdin(std::process::Stdio::null()).env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    said(shell)
}

fn one_stage(step: &str) -> Site {
    let stage = format!("[stages.build]\nsteps = ['''{step}''']\ninputs = [\"a.txt\"]\noutputs = [\"out\"]\n");
    Site::new(&format!("{stage}[release]\nartifacts = [\"out\"]\n"))
}

#[test]
fn what_does_not_come_out_the_same_twice_is_no_release() {
    for (step, what) in [
        ("mkdir -p out && printf '%s %s' here \"${TMPDIR:-none}\" > out/page", "out/page differs at offset 5 ("),
        (
            "mkdir -p d out && : > d/f && tar --mtime=@0 --sort=name -cf out/page d/f && rm -r d",
            // Where tar(5) has the mode.
            "out/page differs at offset 10",
        ),
        ("mkdir -p out && printf 'made at %s' $(date +%s) > out/page", "out/page differs at offset "),
        (
            "mkdir -p out && : > out/page && case $(umask) in 0022) ;; *) chmod +x out/page; esac",
            "out/page can be executed in one place only",
        ),
        ("mkdir -p out && : > out/page-$(umask)", "out/page-0022 was made here only, +1 more"),
    ] {
        let site = one_stage(step);
        let said = twice(&site, "umask 022").exits(1);
        let expected = format!("`build` gave something else the second time: {what}");
        assert!(said.stderr.contains(&expected), "{step}: {}", said.stderr);
        assert_eq!(said.stdout, "");
        assert_eq!(site.json(&["release", "list", "--format", "json"])["releases"].as_array().unwrap().len(), 0);
    }
}

#[test]
fn what_keeps_the_day_does_not_come_out_the_same_twice() {
    if tool("faketime").is_none() {
        return;
    }
    for step in
        ["mkdir -p out && date +%F > out/page", "mkdir -p out && python3 -c 'import datetime; print(datetime.date.today())' > out/page"]
    {
        let site = one_stage(step);
        let said = twice(&site, "umask 022").exits(1);
        assert!(said.stderr.contains("`build` gave something else the second time: out/page differs at offset "), "{}", said.stderr);
    }
    let said = twice(&one_stage("mkdir -p out && : > out/page"), "umask 022").exits(0);
    assert!(said.stderr.contains("twice the same: 1 stage, the second time a day later by its clock"), "{}", said.stderr);
}

#[test]
fn what_comes_out_the_same_twice_is_a_release() {
    let step = "mkdir -p out && f=$(mktemp) && date > $f && rm $f && tar --mtime=@0 --mode=0644 --owner=0 --group=0 -cf out/page a.txt";
    for mask in ["022", "027"] {
        let site = one_stage(step);
        let said = twice(&site, &format!("umask {mask}")).exits(0);
        assert!(said.stderr.contains("twice the same: 1 stage"), "{}", said.stderr);
        let (id, name) = site.release();
        assert_eq!(said.stdout.trim_end(), format!("{id} {name}"));
    }
}
