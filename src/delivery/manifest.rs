//! What a release consists of. Its hash is the release's id.
//!
//! Format, version 1: JSON without spaces, keys and artifacts in the order of their bytes; so one release has one text.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::names::name_of;
use crate::base::digest::{Digest, Hash};

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What it consists of, by name.
    pub artifacts: Vec<Artifact>,
    /// The commit that it was made from.
    pub commit: String,
    /// Whether there were changes that no commit has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dirty: bool,
    /// The tree of that commit.
    pub tree: String,
    /// The version of this format.
    version: u32,
}

/// One file, link or empty folder of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// The hash of its content; of a link, of the text where it leads.
    digest: String,
    /// What it is.
    pub mode: Mode,
    /// Its path, relative to the project.
    pub name: String,
    /// How many bytes that are.
    size: u64,
}

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// A file.
    #[serde(rename = "644")]
    File,
    /// A file that can be executed.
    #[serde(rename = "755")]
    Executable,
    /// A symbolic link.
    #[serde(rename = "link")]
    Link,
    /// A folder with nothing in it.
    #[serde(rename = "folder")]
    Folder,
}

impl Artifact {
    /// Returns an artifact.
    pub fn new(name: String, mode: Mode, digest: Digest) -> Self {
        Self { digest: digest.hash.to_string(), mode, name, size: digest.size }
    }

    /// Returns what its content is known by; `None` where what stands there is no hash.
    pub fn digest(&self) -> Option<Digest> {
        Hash::parse(&self.digest).map(|hash| Digest { hash, size: self.size })
    }
}

impl Manifest {
    /// Returns the manifest of these artifacts, made from this commit.
    pub fn new(mut artifacts: Vec<Artifact>, commit: String, tree: String, dirty: bool) -> Self {
        artifacts.sort_by(|a, b| a.name.cmp(&b.name));
        Self { artifacts, commit, dirty, tree, version: 1 }
    }

    /// Returns its text.
    ///
    /// # Panics
    /// Never: all that it has can be written.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest is plain data")
    }

    /// Reads a text; `None` where it is no manifest of this version, or has paths that would lead out of a folder.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(bytes).ok()?;
        let is_good = |name: &str| !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | "..")) && !name.contains('\0');
        let rises = manifest.artifacts.windows(2).all(|pair| pair[0].name < pair[1].name);
        let names: HashSet<&str> = manifest.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
        // What lies below a link would lie wherever that leads.
        let is_below = |name: &str| name.match_indices('/').any(|(at, _)| names.contains(&name[..at]));
        let is_whole = manifest.version == 1
            && rises
            && !names.iter().any(|name| is_below(name))
            && manifest.artifacts.iter().all(|artifact| is_good(&artifact.name) && artifact.digest().is_some());
        is_whole.then_some(manifest)
    }

    /// Returns the release's id.
    pub fn id(&self) -> Hash {
        Hash::of(&self.bytes())
    }

    /// Returns what people may call it.
    pub fn name(&self) -> String {
        name_of(&self.id())
    }

    /// Returns how many bytes all artifacts have.
    pub fn size(&self) -> u64 {
        self.artifacts.iter().map(|artifact| artifact.size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let artifact = |name: &str, mode| Artifact::new(name.to_owned(), mode, Digest::of(name.as_bytes()));
        Manifest::new(vec![artifact("b/x", Mode::Executable), artifact("a", Mode::File)], "c".repeat(40), "d".repeat(40), false)
    }

    #[test]
    fn a_release_has_one_text() {
        let manifest = manifest();
        let text = String::from_utf8(manifest.bytes()).unwrap();
        let expected = format!(
            r#"{{"artifacts":[{{"digest":"{}","mode":"644","name":"a","size":1}},{{"digest":"{}","mode":"755","name":"b/x","size":3}}],"commit":"{}","tree":"{}","version":1}}"#,
            Hash::of(b"a"),
            Hash::of(b"b/x"),
            "c".repeat(40),
            "d".repeat(40)
        );
        assert_eq!(text, expected);
        assert_eq!(Manifest::parse(text.as_bytes()), Some(manifest.clone()));
        assert_eq!(manifest.id(), Hash::of(text.as_bytes()));
        assert_ne!(Manifest { dirty: true, ..manifest.clone() }.id(), manifest.id());
    }

    #[test]
    fn what_leads_out_of_a_folder_is_no_manifest() {
        let text = String::from_utf8(manifest().bytes()).unwrap();
        for (from, to) in [
            ("\"b/x\"", "\"../x\""),
            ("\"b/x\"", "\"/x\""),
            ("\"b/x\"", "\"b//x\""),
            ("\"b/x\"", "\"\""),
            ("\"b/x\"", "\"a\""),
            ("\"b/x\"", "\"a/x\""),
            ("\"version\":1", "\"version\":2"),
            ("\"644\"", "\"4755\""),
            ("\"tree\"", "\"more\":1,\"tree\""),
        ] {
            assert!(text.contains(from));
            assert_eq!(Manifest::parse(text.replace(from, to).as_bytes()), None, "{to}");
        }
    }
}
