//! A program as a step mentions it: its name, and what decides what the name means.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::cache::fingerprint::{list, unlist};
use crate::programs::identity::{Program, identify};

/// A program as it is mentioned.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Mention {
    /// As written.
    pub(super) name: String,
    /// The variable PATH.
    pub(super) path: Option<OsString>,
    /// The directory of the step.
    pub(super) dir: PathBuf,
}

impl Mention {
    /// Returns it together with the files that it leads to, as bytes for [`is_still`].
    pub(super) fn written(&self, files: &[PathBuf]) -> Vec<u8> {
        let path = self.path.as_ref().map_or_else(Vec::new, |path| [b"=", path.as_bytes()].concat());
        let parts = [self.name.as_bytes(), &path, self.dir.as_os_str().as_bytes()];
        list(parts.into_iter().chain(files.iter().map(|file| file.as_os_str().as_bytes())))
    }
}

/// Tells whether what [`Mention::written`] has written still leads to the same files.
pub(super) fn is_still(written: &[u8]) -> bool {
    let parts = unlist(written);
    let [name, path, dir, files @ ..] = parts.as_slice() else { return false };
    let Ok(name) = str::from_utf8(name) else { return false };
    let path = path.strip_prefix(b"=").map(|path| OsString::from_vec(path.to_vec()));
    let same = |found: &[PathBuf]| found.iter().map(|file| file.as_os_str().as_bytes()).eq(files.iter().copied());
    matches!(identify(name, path.as_deref(), Path::new(OsStr::from_bytes(dir))), Program::Files(found) if same(&found))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_is_the_same_while_its_name_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let make = |name: &str| {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), "\u{7f}ELF").unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        };
        make("b/tool");
        let path = std::env::join_paths([root.join("a"), root.join("b")]).unwrap();
        let mention = Mention { name: "tool".to_owned(), path: Some(path), dir: root.clone() };
        let written = mention.written(&[root.join("b/tool")]);
        assert!(is_still(&written));
        assert!(!is_still(&mention.written(&[root.join("a/tool")])) && !is_still(&mention.written(&[])) && !is_still(b""));
        // One that comes before it in PATH.
        make("a/tool");
        assert!(!is_still(&written));
        fs::remove_file(root.join("a/tool")).unwrap();
        assert!(is_still(&written));
        fs::remove_file(root.join("b/tool")).unwrap();
        assert!(!is_still(&written));
    }
}
