//! Small files that are written before they have a name: each is there whole or not at all, and nothing is left of one that is cut short.
//!
//! Knows how a file gets its first name; where the file system has no such files, or something has the name already, it says so.

use std::fs::{self, File, FileTimes};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, OFlags, linkat};
use rustix::io::Errno;

/// Writes a file of this mode, before the umask, and of this time, if one is given, and gives it the name `path`. It lies in its own folder
/// from the start: many file systems look for room near the folder, and a folder for all new files is soon a crowded place.
///
/// # Errors
/// What the file system says, also where something has the name; then nothing is there that was not before.
pub fn write(path: &Path, bytes: &[u8], mode: u32, times: Option<FileTimes>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let mut file = match open(folder, mode) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The first file of its folder.
            fs::create_dir_all(folder)?;
            open(folder, mode)?
        }
        opened => opened?,
    };
    file.write_all(bytes)?;
    if let Some(times) = times {
        file.set_times(times)?;
    }
    match linkat(&file, "", CWD, path, AtFlags::EMPTY_PATH) {
        // To give a name to a bare descriptor was for the privileged before Linux 6.10.
        Err(Errno::NOENT | Errno::PERM) => {
            let own = format!("/proc/self/fd/{}", file.as_raw_fd());
            Ok(linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
        }
        linked => Ok(linked?),
    }
}

fn open(folder: &Path, mode: u32) -> io::Result<File> {
    File::options().write(true).mode(mode).custom_flags(OFlags::TMPFILE.bits().cast_signed()).open(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_and_takes_no_others_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        // Some file systems have no such files.
        if write(&path, b"one", 0o444, None).is_err() {
            return;
        }
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert!(path.metadata().unwrap().permissions().readonly());
        assert_eq!(write(&path, b"two", 0o444, None).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }
}
