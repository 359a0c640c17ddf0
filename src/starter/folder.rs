//! A folder of the project, as those who look for a language see it.

use std::fs;
use std::path::Path;

/// A file that tells what a project is, is not larger, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// Tells whether a file is called so: `x.rs` for `rs`.
pub(super) fn is_kind(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|own| own == extension)
}

/// A folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folder<'p> {
    /// The project's.
    pub(super) root: &'p Path,
    /// Its path from there; empty for the project itself.
    pub(super) dir: &'p str,
}

impl Folder<'_> {
    /// Returns the text of a file; `None` where there is none that can be read.
    pub(super) fn read(&self, name: &str) -> Option<String> {
        let path = self.path(name);
        let is_readable = path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LARGEST);
        is_readable.then(|| fs::read_to_string(path).ok()).flatten()
    }

    /// Tells whether there is such a file.
    pub(super) fn has(&self, name: &str) -> bool {
        self.path(name).is_file()
    }

    /// Tells whether there is such a folder.
    pub(super) fn has_folder(&self, name: &str) -> bool {
        self.path(name).is_dir()
    }

    /// Tells whether there is anything of that name.
    pub(super) fn has_any(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// Returns those of `names` that are files here.
    pub(super) fn those(&self, names: &[&str]) -> Vec<String> {
        names.iter().filter(|name| self.has(name)).map(|name| (*name).to_owned()).collect()
    }

    /// Returns the names in the folder `name` below this one, sorted; `.` is this one.
    pub(super) fn names(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).into_iter().flatten().filter_map(Result::ok);
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Tells whether a `.gitignore` here or at the project's root names it, as plainly as most do.
    pub(super) fn ignores(&self, name: &str) -> bool {
        let root = Folder { root: self.root, dir: "" };
        let texts = [self.read(".gitignore"), root.read(".gitignore").filter(|_| !self.dir.is_empty())];
        texts.iter().flatten().flat_map(|text| text.lines()).any(|line| line.trim().trim_matches('/') == name)
    }

    /// Tells whether a workflow of GitHub or GitLab at the project's root has this text in it.
    pub(super) fn ci_says(&self, text: &str) -> bool {
        let root = Folder { root: self.root, dir: "" };
        let workflows = root.names(".github/workflows").into_iter().map(|name| format!(".github/workflows/{name}"));
        workflows.chain([".gitlab-ci.yml".to_owned()]).filter_map(|name| root.read(&name)).any(|workflow| workflow.contains(text))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.join(self.dir).join(name)
    }
}
