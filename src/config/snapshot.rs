//! A pipeline as it was read, kept for as long as its files say the same: to read hundreds of stages anew costs more than all else that a
//! run without work does.
//!
//! Knows what was asked of the files while the pipeline was read, and asks it again; knows nothing of what stands in them.
//!
//! Format, version 2: the line `shipway pipeline 2`; the hash of the shipway that wrote it; the hash of the main file's text; and parts,
//! each with its length (four bytes, little endian) and its SHA-256 before it, in postcard's encoding: what was asked, how many stages there
//! are, and the pipeline without them; then the stages, some in each part, since all processors read them at once.

use std::cell::RefCell;
use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::folder::Files;
use crate::base::digest::Hash;
use crate::base::files::write_whole;
use crate::base::glob::Glob;
use crate::base::parallel::gather;
use crate::base::program::itself;
use crate::base::source::Source;
use crate::model::pipeline::Pipeline;
use crate::model::stage::Stage;

const HEADER: &[u8] = b"shipway pipeline 2\n";

/// How many stages a part has.
const SOME: usize = 128;

/// A main file of fewer bytes is read in less time than a snapshot is looked for; what it includes counts by its name.
const LEAST: usize = 16 * 1024;

/// What was asked of the files of a project, and what they said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The hash of each file; `None` where it could not be read.
    files: Vec<(String, Option<[u8; 32]>)>,
    /// What each pattern found; `None` where it could not be looked for.
    patterns: Vec<(Glob, Option<Vec<String>>)>,
}

/// Files that remember what they were asked.
pub struct Witness<'f> {
    files: &'f dyn Files,
    asked: RefCell<Asked>,
}

impl std::fmt::Debug for Witness<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl<'f> Witness<'f> {
    /// Returns `files`, of which nothing was asked yet.
    pub fn new(files: &'f dyn Files) -> Self {
        Self { files, asked: RefCell::default() }
    }

    /// Returns what was asked.
    pub fn into_asked(self) -> Asked {
        self.asked.into_inner()
    }
}

impl Files for Witness<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let read = self.files.read(path);
        self.asked.borrow_mut().files.push((path.to_owned(), read.as_ref().ok().map(|bytes| Hash::of(bytes).0)));
        read
    }

    fn find(&self, glob: &Glob) -> io::Result<Vec<String>> {
        let found = self.files.find(glob);
        self.asked.borrow_mut().patterns.push((glob.clone(), found.as_ref().ok().cloned()));
        found
    }
}

impl Asked {
    /// Keeps the `pipeline` that was read from `main` and the answers, in the file at `path`, if that would save time.
    ///
    /// # Errors
    /// Whatever the file system says; then what was kept before is still there.
    pub fn keep(&self, pipeline: &Pipeline, main: &Source, path: &Path) -> io::Result<()> {
        if main.text.len() < LEAST && self.files.is_empty() {
            return Ok(());
        }
        let mut bytes = head(main);
        let without = Pipeline { stages: Vec::new(), ..pipeline.clone() };
        put(&mut bytes, &(self, pipeline.stages.len(), without))?;
        pipeline.stages.chunks(SOME).try_for_each(|stages| put(&mut bytes, &stages))?;
        write_whole(path, &bytes)
    }

    /// Tells whether the files say the same now.
    fn holds(&self, files: &dyn Files) -> bool {
        self.files.iter().all(|(path, hash)| files.read(path).ok().map(|bytes| Hash::of(&bytes).0) == *hash)
            && self.patterns.iter().all(|(glob, found)| files.find(glob).ok() == *found)
    }
}

/// Returns the pipeline that is kept in the file at `path`, if reading `main` and whatever it includes from `files` would give it again.
pub fn recall(path: &Path, main: &Source, files: &dyn Files) -> Option<Pipeline> {
    let bytes = std::fs::read(path).ok()?;
    let parts = parts(bytes.strip_prefix(head(main).as_slice())?)?;
    let (first, parts) = parts.split_first()?;
    let (asked, count, mut pipeline) = get::<(Asked, usize, Pipeline)>(first)?;
    pipeline.stages.reserve_exact(count.min(bytes.len()));
    for stages in gather(parts.len(), 1, &|part| get(&parts[part.start]).map(shared)) {
        pipeline.stages.append(&mut stages?);
    }
    (pipeline.stages.len() == count && asked.holds(files)).then_some(pipeline)
}

/// Returns the stages with one copy of what neighbours have alike, as there is when they are read from the file.
fn shared(mut stages: Vec<Stage>) -> Vec<Stage> {
    for place in 0..stages.len() {
        if stages[place].group == stages[place].name {
            stages[place].group = stages[place].name.clone();
        }
        if place > 0 && stages[place].shell == stages[place - 1].shell {
            stages[place].shell = stages[place - 1].shell.clone();
        }
    }
    stages
}

/// A part as it lies there, and its SHA-256.
type Part<'b> = (&'b [u8; 32], &'b [u8]);

fn put(bytes: &mut Vec<u8>, what: &impl Serialize) -> io::Result<()> {
    let part = postcard::to_allocvec(what).map_err(io::Error::other)?;
    bytes.extend(u32::try_from(part.len()).map_err(io::Error::other)?.to_le_bytes());
    bytes.extend(Hash::of(&part).0);
    bytes.extend(part);
    Ok(())
}

fn get<T: DeserializeOwned>((sum, part): &Part<'_>) -> Option<T> {
    if Hash::of(part).0 == **sum { postcard::from_bytes(part).ok() } else { None }
}

/// Takes the parts asunder.
fn parts(mut bytes: &[u8]) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        parts.push((sum, part));
        bytes = rest;
    }
    Some(parts)
}

fn head(main: &Source) -> Vec<u8> {
    [HEADER, itself().0.as_slice(), main.digest().0.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::folder::Folder;
    use crate::config::load_with;

    const TEXT: &str = "[pipeline]\nname = \"x\"\ninclude = [\"*/pipeline.toml\", \"more/main.toml\"]\n[stages.a]\nsteps = [[\"true\"], \"b\"]\ninputs = [\"a*\", \"!ab\"]\noutputs = [\"o\"]\nenv = { A = \"1\" }\ntimeout = \"3s\"\n";
    const PART: &str = "[pipeline]\nname = \"part\"\n[stages.b]\nsteps = [\"true\"]\nreports = { junit = [\"r.xml\"] }\n";

    fn place() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        ["part", "more"].iter().for_each(|name| fs::create_dir(folder.path().join(name)).unwrap());
        fs::write(folder.path().join("part/pipeline.toml"), PART).unwrap();
        fs::write(folder.path().join("more/main.toml"), "[pipeline]\nname = \"more\"\n[stages.c]\nsteps = [\"true\"]\n").unwrap();
        folder
    }

    fn keep(folder: &Path, main: &Source) -> Pipeline {
        let files = Folder::new(folder);
        let witness = Witness::new(&files);
        let (_, loaded) = load_with(main.clone(), "pipeline.toml", &witness);
        let pipeline = loaded.unwrap().pipeline;
        witness.into_asked().keep(&pipeline, main, &folder.join("kept")).unwrap();
        pipeline
    }

    #[test]
    fn a_pipeline_is_the_same_when_it_is_recalled() {
        let folder = place();
        let (root, main) = (folder.path(), Source::new("pipeline.toml", TEXT.into()));
        let pipeline = keep(root, &main);
        let recalled = recall(&root.join("kept"), &main, &Folder::new(root)).unwrap();
        assert_eq!(format!("{recalled:?}"), format!("{pipeline:?}"));
        assert_eq!(recalled.stages.len(), 3);
    }

    #[test]
    fn nothing_is_recalled_once_a_file_says_something_else() {
        let (main, other) = (Source::new("p", TEXT.into()), Source::new("p", format!("{TEXT}# more\n").into()));
        let changes: [&dyn Fn(&Path); 5] = [
            &|root| fs::write(root.join("part/pipeline.toml"), format!("{PART}#")).unwrap(),
            &|root| fs::remove_file(root.join("more/main.toml")).unwrap(),
            &|root| fs::create_dir(root.join("new")).and_then(|()| fs::write(root.join("new/pipeline.toml"), PART)).unwrap(),
            &|root| fs::rename(root.join("part"), root.join("other")).unwrap(),
            &|root| fs::write(root.join("kept"), "").unwrap(),
        ];
        for (number, change) in changes.iter().enumerate() {
            let folder = place();
            let root = folder.path();
            keep(root, &main);
            assert!(recall(&root.join("kept"), &main, &Folder::new(root)).is_some());
            assert!(recall(&root.join("kept"), &other, &Folder::new(root)).is_none());
            change(root);
            assert!(recall(&root.join("kept"), &main, &Folder::new(root)).is_none(), "change {number}");
        }
    }

    #[test]
    fn a_damaged_snapshot_is_not_recalled() {
        let folder = place();
        let (root, main) = (folder.path(), Source::new("p", TEXT.into()));
        keep(root, &main);
        let bytes = fs::read(root.join("kept")).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            fs::write(root.join("kept"), &flipped).unwrap();
            assert!(recall(&root.join("kept"), &main, &Folder::new(root)).is_none(), "byte {at}");
            // Also where nothing is cut but whole parts.
            fs::write(root.join("kept"), &bytes[..at]).unwrap();
            assert!(recall(&root.join("kept"), &main, &Folder::new(root)).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn what_is_soon_read_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let main = Source::new("p", b"[pipeline]\nname = \"x\"\n[stages.a]\nsteps = [\"true\"]\n".to_vec());
        keep(folder.path(), &main);
        assert!(!folder.path().join("kept").exists());
    }
}
