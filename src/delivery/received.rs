//! A release that came from elsewhere, as [`export`](super::archive::export) has written it: what lies in it, read from the bytes themselves.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::archive::{Form, SUMS};
use super::manifest::{Artifact, Mode};
use crate::base::digest::{Digest, Hash};

/// The most bytes that a list of hashes may have.
const MOST: u64 = 64 << 20;

/// What lies in it.
#[derive(Debug, Default)]
pub struct Received {
    /// Files, links and empty folders, by name.
    pub artifacts: Vec<Artifact>,
    /// What the list of hashes that goes with them says, by name; `None` where there is none.
    sums: Option<BTreeMap<String, String>>,
}

/// Why it cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ReceivedError {
    /// It is no archive that we write.
    #[error("it is no archive that can be read: .tar, .tar.gz and .tar.zst are, and folders")]
    Form,
    /// It holds something that no release has.
    #[error("`{0}` in it is nothing that a release has")]
    Foreign(String),
    /// The file system refuses, or it is damaged.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Received {
    /// Reads what lies in the archive or the folder `path`.
    ///
    /// # Errors
    /// Where that cannot be done.
    pub fn open(path: &Path) -> Result<Self, ReceivedError> {
        let mut received = Self::default();
        if path.is_dir() {
            received.read_folder(path)?;
        } else {
            let file = BufReader::new(File::open(path)?);
            match Form::of(path) {
                Some(Form::Tar) => received.read_tar(file)?,
                Some(Form::Gzip) => received.read_tar(flate2::bufread::MultiGzDecoder::new(file))?,
                Some(Form::Zstd) => received.read_tar(zstd::Decoder::with_buffer(file)?)?,
                Some(Form::Folder) | None => return Err(ReceivedError::Form),
            }
        }
        received.artifacts.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(twice) = received.artifacts.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(ReceivedError::Foreign(twice[0].name.clone()));
        }
        Ok(received)
    }

    fn read_tar(&mut self, from: impl Read) -> Result<(), ReceivedError> {
        let mut tar = tar::Archive::new(from);
        for entry in tar.entries()? {
            let mut entry = entry?;
            let bytes = entry.path_bytes().into_owned();
            let name = String::from_utf8_lossy(&bytes).trim_end_matches('/').to_owned();
            let (kind, mode) = (entry.header().entry_type(), entry.header().mode()?);
            if name == SUMS {
                self.sums = Some(read_sums(&mut entry)?);
            } else if kind.is_file() {
                let digest = Digest::of_reader(&mut entry, &mut |_| Ok(()))?;
                self.add(name, file_mode(mode), digest);
            } else if kind.is_symlink() {
                let target = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
                self.add(name, Mode::Link, Digest::of(&target));
            } else if kind.is_dir() {
                self.add(name, Mode::Folder, Digest::of(b""));
            } else {
                return Err(ReceivedError::Foreign(name));
            }
        }
        Ok(())
    }

    fn read_folder(&mut self, root: &Path) -> Result<(), ReceivedError> {
        for entry in walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name() {
            let entry = entry.map_err(io::Error::from)?;
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
            let kind = entry.file_type();
            if name == SUMS && kind.is_file() {
                self.sums = Some(read_sums(&mut File::open(path)?)?);
            } else if kind.is_file() {
                let digest = Digest::of_reader(&mut File::open(path)?, &mut |_| Ok(()))?;
                self.add(name, file_mode(path.metadata()?.permissions().mode()), digest);
            } else if kind.is_symlink() {
                self.add(name, Mode::Link, Digest::of(fs::read_link(path)?.as_os_str().as_bytes()));
            } else if kind.is_dir() {
                if fs::read_dir(path)?.next().is_none() {
                    self.add(name, Mode::Folder, Digest::of(b""));
                }
            } else {
                return Err(ReceivedError::Foreign(name));
            }
        }
        Ok(())
    }

    fn add(&mut self, name: String, mode: Mode, digest: Digest) {
        self.artifacts.push(Artifact::new(name, mode, digest));
    }

    /// Makes sure that its files are those that its own list of hashes names: that nothing was damaged on the way. Whoever changes a file on
    /// purpose can change the list as well.
    ///
    /// # Errors
    /// How they differ, for people.
    pub fn check(&self) -> Result<(), String> {
        let sums = self.sums.as_ref().ok_or_else(|| format!("there is no `{SUMS}` in it"))?;
        let files = self.artifacts.iter().filter(|artifact| matches!(artifact.mode, Mode::File | Mode::Executable));
        let found: BTreeMap<&str, Hash> = files.filter_map(|file| Some((file.name.as_str(), file.digest()?.hash))).collect();
        for (name, hash) in sums {
            match found.get(name.as_str()) {
                None => return Err(format!("`{name}` is missing")),
                Some(other) if Hash::parse(hash) != Some(*other) => return Err(format!("`{name}` is not what it was")),
                Some(_) => {}
            }
        }
        found.keys().find(|name| !sums.contains_key(**name)).map_or(Ok(()), |name| Err(format!("`{name}` is not in `{SUMS}`")))
    }
}

fn file_mode(mode: u32) -> Mode {
    if mode & 0o111 == 0 { Mode::File } else { Mode::Executable }
}

/// Reads a list of hashes, in the form of `sha256sum(1)`.
fn read_sums(from: &mut dyn Read) -> io::Result<BTreeMap<String, String>> {
    let mut text = String::new();
    from.take(MOST).read_to_string(&mut text)?;
    let lines = text.lines().filter_map(|line| {
        let (is_marked, line) = line.strip_prefix('\\').map_or((false, line), |line| (true, line));
        let (hash, name) = line.split_once("  ")?;
        Some((if is_marked { unescaped(name) } else { name.to_owned() }, hash.to_owned()))
    });
    Ok(lines.collect())
}

/// Returns a name with what stands for a backslash or an end of line.
fn unescaped(name: &str) -> String {
    let mut out = String::new();
    let mut letters = name.chars();
    while let Some(letter) = letters.next() {
        let meant = if letter == '\\' { letters.next() } else { Some(letter) };
        out.extend(match meant {
            Some('n') if letter == '\\' => Some('\n'),
            Some('r') if letter == '\\' => Some('\r'),
            meant => meant,
        });
    }
    out
}
