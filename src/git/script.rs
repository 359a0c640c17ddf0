//! The script that git calls as a hook: what it says, and how it comes and goes beside a hook that was there before.
//!
//! Knows files; knows nothing of what is tested. A script that a person has edited is never touched.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::base::digest::Hash;
use crate::base::text::shell_quote;

/// The second line of every script of ours begins so; behind it are digits of the digest of the lines below.
const MARK: &str = "# shipway hook ";

/// The third line tells for which pipeline it is.
const PIPELINE: &str = "# pipeline: ";

/// What is added to the name of a hook that was there before.
const BEFORE: &str = ".before-shipway";

/// One hook of a repository.
#[derive(Debug)]
pub struct Script {
    /// Where git looks for it.
    pub path: PathBuf,
    name: &'static str,
}

/// What lies where git looks for a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// A hook that is not ours.
    Foreign,
    /// Ours, as it was made.
    Ours {
        /// The pipeline that it runs, relative to the repository's files.
        pipeline: String,
    },
    /// Ours, but a person has changed it.
    Edited,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was so before.
    None,
    /// It is so now.
    Done,
    /// It is so now; the hook that was there before is kept, or back again.
    DoneBeside,
    /// It is not, because this lies there.
    Refused(Refusal),
}

/// What stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The script was edited.
    Edited,
    /// The script is for this other pipeline.
    Other(String),
    /// There is a hook that is not ours, and another one was kept before.
    Two,
}

impl Script {
    /// Returns the hook `name` (`pre-push` or `pre-commit`) in the folder of hooks.
    pub fn new(folder: &Path, name: &'static str) -> Self {
        Self { path: folder.join(name), name }
    }

    /// Returns the hook's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns where a hook that was there before is kept.
    pub fn before(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(BEFORE);
        name.into()
    }

    /// Tells whether a hook that was there before is kept.
    pub fn keeps(&self) -> bool {
        self.before().symlink_metadata().is_ok()
    }

    /// Returns what lies there.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn state(&self) -> io::Result<State> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(read(&bytes)),
            // A link that leads nowhere is somebody's all the same.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(if self.path.symlink_metadata().is_ok() { State::Foreign } else { State::Absent })
            }
            Err(error) => Err(error),
        }
    }

    /// Puts the script there, so that it runs `pipeline`. There is a whole hook at every instant where there was one before.
    ///
    /// # Errors
    /// Where files cannot be written; then what was there is there still.
    pub fn install(&self, pipeline: &str) -> io::Result<Change> {
        let text = text(self.name, pipeline);
        let is_new = match self.state()? {
            State::Edited => return Ok(Change::Refused(Refusal::Edited)),
            State::Ours { pipeline: other } if other != pipeline => return Ok(Change::Refused(Refusal::Other(other))),
            State::Ours { .. } if fs::read(&self.path)? == text.as_bytes() && is_executable(&self.path) => return Ok(Change::None),
            State::Ours { .. } | State::Absent => true,
            State::Foreign => self.keep()?,
        };
        if !is_new {
            return Ok(Change::Refused(Refusal::Two));
        }
        let folder = self.path.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder)?;
        let mode = fs::Permissions::from_mode(0o777);
        let mut file = tempfile::Builder::new().prefix(".shipway-").permissions(mode).tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(if self.keeps() { Change::DoneBeside } else { Change::Done })
    }

    /// Takes the script away; what was there before is there again, byte for byte.
    ///
    /// # Errors
    /// Where files cannot be moved.
    pub fn uninstall(&self) -> io::Result<Change> {
        match (self.state()?, self.keeps()) {
            (State::Edited, _) => Ok(Change::Refused(Refusal::Edited)),
            (State::Ours { .. } | State::Absent, true) => fs::rename(self.before(), &self.path).map(|()| Change::DoneBeside),
            (State::Ours { .. }, false) => fs::remove_file(&self.path).map(|()| Change::Done),
            (State::Foreign, true) if !self.is_kept_twice()? => Ok(Change::Refused(Refusal::Two)),
            // An installation that was ended in the middle.
            (State::Foreign, true) => fs::remove_file(self.before()).map(|()| Change::None),
            (State::Foreign | State::Absent, false) => Ok(Change::None),
        }
    }

    /// Keeps the hook that is there; tells whether its place is free then for the script to replace it.
    fn keep(&self) -> io::Result<bool> {
        if self.keeps() {
            return self.is_kept_twice();
        }
        // A second name for it, so that its first can be taken over in one step.
        match fs::hard_link(&self.path, self.before()) {
            Ok(()) => Ok(true),
            Err(_) => fs::rename(&self.path, self.before()).map(|()| true),
        }
    }

    fn is_kept_twice(&self) -> io::Result<bool> {
        let (one, two) = (self.path.symlink_metadata()?, self.before().symlink_metadata()?);
        Ok((one.dev(), one.ino()) == (two.dev(), two.ino()))
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

fn read(bytes: &[u8]) -> State {
    let Ok(text) = str::from_utf8(bytes) else { return State::Foreign };
    let mut lines = text.splitn(3, '\n').skip(1);
    let Some(digits) = lines.next().and_then(|line| line.strip_prefix(MARK)) else {
        return if text.contains(MARK) { State::Edited } else { State::Foreign };
    };
    let rest = lines.next().unwrap_or_default();
    match rest.lines().next().and_then(|line| line.strip_prefix(PIPELINE)) {
        Some(pipeline) if text.starts_with("#!/bin/sh\n") && digits == digest(rest) => State::Ours { pipeline: pipeline.to_owned() },
        _ => State::Edited,
    }
}

fn digest(rest: &str) -> String {
    Hash::of(rest.as_bytes()).to_string()[..16].to_owned()
}

/// Returns the script. What git gives it is read once and given to both hooks; `exec`, so that what ends the script ends shipway.
fn text(name: &str, pipeline: &str) -> String {
    let (what, act) = if name == "pre-push" { ("pushed", "push") } else { ("committed", "commit") };
    let file = shell_quote(pipeline);
    let rest = format!(
        r#"{PIPELINE}{pipeline}
# Tests what is {what}. Made by `shipway hook install`, taken back by `shipway hook uninstall`.
given=$(cat; echo .)
given=${{given%.}}
before="${{0%/*}}/{name}{BEFORE}"
if [ -x "$before" ]; then
  printf %s "$given" 2>/dev/null | "$before" "$@" || exit
fi
if [ "${{SHIPWAY_HOOK-}}" = 0 ]; then
  exit 0
fi
if ! command -v shipway >/dev/null 2>&1; then
  echo "error: shipway is not in PATH, so what is {what} cannot be tested; nothing is {what}" >&2
  echo "  without the test: SHIPWAY_HOOK=0 git {act}, or git {act} --no-verify" >&2
  exit 1
fi
exec shipway -f {file} hook run {name} "$@" <<END
$given
END
"#
    );
    format!("#!/bin/sh\n{MARK}{}\n{rest}", digest(&rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_script_tells_whether_it_is_as_it_was_made() {
        let text = text("pre-push", "it's/pipeline.toml");
        assert_eq!(read(text.as_bytes()), State::Ours { pipeline: "it's/pipeline.toml".to_owned() });
        assert!(text.contains(r"-f 'it'\''s/pipeline.toml' hook run pre-push"), "{text}");
        for edited in [format!("{text}exit 0\n"), text.replace("exit 1", "exit 0"), text.replacen("#!/bin/sh", "#!/bin/dash", 1)] {
            assert_eq!(read(edited.as_bytes()), State::Edited);
        }
        assert_eq!(read(format!("# mine\n{text}").as_bytes()), State::Edited);
        assert_eq!(read(b"#!/bin/sh\nexit 0\n"), State::Foreign);
        assert_eq!(read(b"\xff"), State::Foreign);
    }

    #[test]
    fn an_installation_that_was_ended_in_the_middle_can_go_on_or_back() {
        let folder = tempfile::tempdir().unwrap();
        let script = Script::new(folder.path(), "pre-push");
        put(&script.path, "#!/bin/sh\n", 0o750);
        fs::hard_link(&script.path, script.before()).unwrap();
        assert_eq!(script.uninstall().unwrap(), Change::None);
        assert!(!script.keeps());
        fs::hard_link(&script.path, script.before()).unwrap();
        assert_eq!(script.install("pipeline.toml").unwrap(), Change::DoneBeside);
        assert_eq!(script.uninstall().unwrap(), Change::DoneBeside);
        assert_eq!(fs::read_to_string(&script.path).unwrap(), "#!/bin/sh\n");
        assert_eq!(script.path.metadata().unwrap().mode() & 0o777, 0o750);
    }

    #[test]
    fn nobodys_hook_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let script = Script::new(folder.path(), "pre-push");
        assert_eq!(script.install("a.toml").unwrap(), Change::Done);
        assert_eq!(script.install("a.toml").unwrap(), Change::None);
        assert_eq!(script.install("b.toml").unwrap(), Change::Refused(Refusal::Other("a.toml".to_owned())));
        put(&script.before(), "kept", 0o755);
        put(&script.path, "new", 0o755);
        assert_eq!(script.install("a.toml").unwrap(), Change::Refused(Refusal::Two));
        assert_eq!(script.uninstall().unwrap(), Change::Refused(Refusal::Two));
        assert_eq!(fs::read_to_string(&script.path).unwrap() + &fs::read_to_string(script.before()).unwrap(), "newkept");
        fs::remove_file(&script.path).unwrap();
        std::os::unix::fs::symlink("nowhere", &script.path).unwrap();
        fs::remove_file(script.before()).unwrap();
        assert_eq!(script.install("a.toml").unwrap(), Change::DoneBeside);
        assert_eq!(fs::read_link(script.before()).unwrap(), Path::new("nowhere"));
    }
}
