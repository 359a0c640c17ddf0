//! A release as one file, or as a folder, for elsewhere: the same bytes wherever and by whomever it is written.
//!
//! Entries are in the order of their names, belong to nobody, and are of one fixed time.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::manifest::{Artifact, Manifest, Mode};
use super::vault::{Vault, VaultError};
use crate::base::digest::Digest;

/// The file that says what each file's content is, in the form of `sha256sum(1)`.
pub(super) const SUMS: &str = "SHA256SUMS";

/// The time of everything: the first that every archiver can write, 1980-01-01, in seconds since 1970.
const TIME: u64 = 315_532_800;

/// How hard an archive is compressed.
const GZIP_LEVEL: u32 = 9;
const ZSTD_LEVEL: i32 = 19;

/// Endings of archives that are not written: a folder of such a name would be taken for one.
const FOREIGN: [&str; 15] =
    [".zip", ".jar", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst", ".lz", ".lz4", ".lzma", ".tbz", ".tbz2", ".txz", ".cpio"];

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `.tar`.
    Tar,
    /// `.tar.gz`.
    Gzip,
    /// `.tar.zst`.
    Zstd,
    /// A folder.
    Folder,
}

impl Form {
    /// Returns what a path's name asks for; `None` where that is an archive of another form. One that ends with `/` is that of a folder.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.to_string_lossy().to_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if ends(&[".tar.gz", ".tgz"]) {
            Some(Self::Gzip)
        } else if ends(&[".tar.zst", ".tzst"]) {
            Some(Self::Zstd)
        } else if ends(&[".tar"]) {
            Some(Self::Tar)
        } else {
            (!ends(&FOREIGN)).then_some(Self::Folder)
        }
    }
}

/// Why a release cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Its bytes cannot be had.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// It has a file of the name that we need.
    #[error("the release has an artifact `{SUMS}`, which is the name of the list of hashes that goes with it")]
    Taken,
    /// Something lies there already.
    #[error("`{}` is there already, and is not empty", .0.display())]
    InTheWay(PathBuf),
    /// The file system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes the release to `to` in this form, whole or not at all; a file that was there is replaced, a folder must be empty.
///
/// # Errors
/// Where its bytes cannot be had or are not what they were, or where `to` cannot be written.
pub fn export(manifest: &Manifest, vault: &Vault, form: Form, to: &Path) -> Result<(), ArchiveError> {
    if manifest.artifacts.iter().any(|artifact| artifact.name == SUMS) {
        return Err(ArchiveError::Taken);
    }
    let beside = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(beside)?;
    if form == Form::Folder {
        return export_folder(manifest, vault, to, beside);
    }
    let file = tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(beside)?;
    let out = io::BufWriter::new(file.as_file());
    match form {
        Form::Gzip => {
            let level = flate2::Compression::new(GZIP_LEVEL);
            // No time, and no word about the system that wrote it.
            let out = flate2::GzBuilder::new().mtime(0).operating_system(255).write(out, level);
            write_tar(manifest, vault, out)?.finish()?.flush()?;
        }
        Form::Zstd => write_tar(manifest, vault, zstd::Encoder::new(out, ZSTD_LEVEL)?)?.finish()?.flush()?,
        Form::Tar | Form::Folder => write_tar(manifest, vault, out)?.flush()?,
    }
    file.as_file().sync_all()?;
    file.persist(to).map_err(|refused| refused.error)?;
    Ok(())
}

fn write_tar<W: Write>(manifest: &Manifest, vault: &Vault, out: W) -> Result<W, ArchiveError> {
    let mut tar = tar::Builder::new(out);
    let sums = sums(manifest);
    // It stands where its name belongs.
    let place = manifest.artifacts.partition_point(|artifact| artifact.name.as_str() < SUMS);
    for (index, artifact) in manifest.artifacts.iter().enumerate() {
        if index == place {
            append_sums(&mut tar, &sums)?;
        }
        append(&mut tar, artifact, vault)?;
    }
    if place == manifest.artifacts.len() {
        append_sums(&mut tar, &sums)?;
    }
    Ok(tar.into_inner()?)
}

fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(TIME);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append_sums<W: Write>(tar: &mut tar::Builder<W>, sums: &str) -> io::Result<()> {
    tar.append_data(&mut header(tar::EntryType::Regular, sums.len() as u64, 0o644), SUMS, sums.as_bytes())
}

fn append<W: Write>(tar: &mut tar::Builder<W>, artifact: &Artifact, vault: &Vault) -> Result<(), ArchiveError> {
    let (digest, mut file) = open(artifact, vault)?;
    match artifact.mode {
        Mode::Folder => tar.append_data(&mut header(tar::EntryType::Directory, 0, 0o755), format!("{}/", artifact.name), io::empty())?,
        Mode::Link => tar.append_link(&mut header(tar::EntryType::Symlink, 0, 0o777), &artifact.name, target(&mut file)?)?,
        Mode::File | Mode::Executable => {
            tar.append_data(&mut header(tar::EntryType::Regular, digest.size, permissions(artifact.mode)), &artifact.name, file)?;
        }
    }
    Ok(())
}

/// Returns the list of hashes.
fn sums(manifest: &Manifest) -> String {
    let files = manifest.artifacts.iter().filter(|artifact| matches!(artifact.mode, Mode::File | Mode::Executable));
    let line = |artifact: &Artifact| {
        let hash = artifact.digest().map(|digest| digest.hash.to_string()).unwrap_or_default();
        let name = artifact.name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        // A backslash before the line says that some stand in it (sha256sum(1)).
        let mark = if name == artifact.name { "" } else { "\\" };
        format!("{mark}{hash}  {name}\n")
    };
    files.map(line).collect()
}

fn permissions(mode: Mode) -> u32 {
    if mode == Mode::Executable { 0o755 } else { 0o644 }
}

fn open(artifact: &Artifact, vault: &Vault) -> Result<(Digest, File), ArchiveError> {
    let digest = artifact.digest().unwrap_or(Digest::of(b""));
    Ok((digest, vault.open_verified(&artifact.name, &digest)?))
}

fn target(file: &mut File) -> io::Result<PathBuf> {
    let mut target = Vec::new();
    file.read_to_end(&mut target)?;
    Ok(std::ffi::OsString::from_vec(target).into())
}

fn export_folder(manifest: &Manifest, vault: &Vault, to: &Path, beside: &Path) -> Result<(), ArchiveError> {
    let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir_in(beside)?;
    unpack(manifest, vault, folder.path())?;
    let mut file = File::create(folder.path().join(SUMS))?;
    file.write_all(sums(manifest).as_bytes())?;
    settle(&file, 0o644)?;
    match fs::rename(folder.path(), to) {
        Ok(()) => {
            drop(folder.keep());
            Ok(())
        }
        Err(_) if to.symlink_metadata().is_ok() => Err(ArchiveError::InTheWay(to.to_owned())),
        Err(error) => Err(error.into()),
    }
}

/// Writes the release's artifacts below `folder`, which is there and empty.
///
/// # Errors
/// Where its bytes cannot be had or are not what they were, or where the folder cannot be written to.
pub fn unpack(manifest: &Manifest, vault: &Vault, folder: &Path) -> Result<(), ArchiveError> {
    for artifact in &manifest.artifacts {
        let path = folder.join(&artifact.name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        let (_, mut from) = open(artifact, vault)?;
        match artifact.mode {
            Mode::Folder => fs::create_dir_all(&path)?,
            Mode::Link => symlink(target(&mut from)?, &path)?,
            Mode::File | Mode::Executable => {
                let mut file = File::create_new(&path)?;
                io::copy(&mut from, &mut file)?;
                settle(&file, permissions(artifact.mode))?;
            }
        }
    }
    Ok(())
}

/// Gives a file its permissions, whatever the mask is, and its time.
fn settle(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(TIME);
    file.set_times(FileTimes::new().set_modified(time).set_accessed(time))
}

/// Tells whether exactly the release's artifacts lie below `folder`, with the bytes that they had.
///
/// # Errors
/// Where it cannot be read.
pub fn is_unpacked(manifest: &Manifest, folder: &Path) -> io::Result<bool> {
    let mut seen = 0;
    for entry in walkdir::WalkDir::new(folder).min_depth(1) {
        let entry = entry?;
        let name = entry.path().strip_prefix(folder).ok().and_then(Path::to_str).unwrap_or_default();
        let Ok(place) = manifest.artifacts.binary_search_by(|artifact| artifact.name.as_str().cmp(name)) else {
            if entry.file_type().is_dir() {
                continue;
            }
            return Ok(false);
        };
        seen += 1;
        let artifact = &manifest.artifacts[place];
        let metadata = entry.path().symlink_metadata()?;
        let kind = metadata.file_type();
        let is_right = match artifact.mode {
            Mode::Folder => kind.is_dir(),
            Mode::Link => {
                kind.is_symlink() && artifact.digest() == Some(Digest::of(fs::read_link(entry.path())?.as_os_str().as_encoded_bytes()))
            }
            Mode::File | Mode::Executable => {
                let is_executable = metadata.permissions().mode() & 0o111 != 0;
                let found = |file: File| Digest::of_reader(&mut &file, &mut |_| Ok(()));
                kind.is_file()
                    && is_executable == (artifact.mode == Mode::Executable)
                    && artifact.digest() == Some(File::open(entry.path()).and_then(found)?)
            }
        };
        if !is_right {
            return Ok(false);
        }
    }
    Ok(seen == manifest.artifacts.len())
}
