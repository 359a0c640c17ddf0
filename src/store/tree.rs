//! Folders as REAPI has them: one `Tree` blob for a declared folder and all that is below it.
//!
//! Knows how a flat list of outputs and a tree are made from each other; knows nothing of records or of disks.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost::Message as _;

use super::reapi::{self, Directory, DirectoryNode, FileNode, NodeProperties, SymlinkNode, Timestamp, Tree, UInt32Value};
use super::result::{Output, OutputKind, PERMISSIONS, RecordError, ancestors, check_path, is_name};
use crate::base::digest::Digest;
use crate::base::stamp::is_executable;

/// How much memory the outputs of one record may take, about. Equal folders are written once but listed each time, so that a few
/// hundred bytes could else unfold without end.
const MOST_BYTES: usize = 512 << 20;

/// What an output takes besides its path, about.
const OVERHEAD: usize = 128;

/// A second, in nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// Outputs sorted into those below a declared folder and the others.
#[derive(Debug, Default)]
pub(super) struct Folded<'a> {
    /// The path of each declared folder, and its encoded `Tree`.
    pub(super) trees: BTreeMap<&'a str, Vec<u8>>,
    /// The files and links that are below no folder of the list, sorted.
    pub(super) loose: Vec<&'a Output>,
}

/// Makes one tree of each folder that is below no other folder of the list. A folder that the list skips is added.
pub(super) fn fold(outputs: &[Output]) -> Folded<'_> {
    let listed: HashSet<&str> = outputs.iter().filter(|output| output.kind == OutputKind::Folder).map(|output| &*output.path).collect();
    let root_of = |path| ancestors(path).find(|folder| listed.contains(folder));
    let mut folded = Folded::default();
    let mut folders: HashMap<&str, Directory> = listed.iter().map(|path| (*path, Directory::default())).collect();
    for output in outputs {
        let Some(root) = root_of(&output.path) else {
            if output.kind != OutputKind::Folder {
                folded.loose.push(output);
            }
            continue;
        };
        for folder in ancestors(&output.path).filter(|folder| folder.len() > root.len()) {
            folders.entry(folder).or_default();
        }
        let (parent, name) = output.path.rsplit_once('/').unwrap_or(("", &output.path));
        let holder = folders.entry(parent).or_default();
        let name = name.to_owned();
        match &output.kind {
            OutputKind::File { digest, mode, modified } => {
                let (is_executable, node_properties) = (is_executable(*mode), Some(properties(*mode, *modified)));
                holder.files.push(FileNode { name, digest: Some((*digest).into()), is_executable, node_properties });
            }
            OutputKind::Link { target } => holder.symlinks.push(SymlinkNode { name, target: target.clone() }),
            OutputKind::Folder => {}
        }
    }
    folded.loose.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let mut order: Vec<&str> = folders.keys().copied().collect();
    order.sort_unstable_by_key(|path| (path.matches('/').count(), *path));
    let done = finish(folders, &order, &root_of);
    folded.trees = plant(&done, &order, &root_of);
    folded
}

/// Encodes every folder, the deepest first, since a folder names the digests of those below it.
fn finish<'a>(
    mut folders: HashMap<&'a str, Directory>,
    order: &[&'a str],
    root_of: &dyn Fn(&'a str) -> Option<&'a str>,
) -> HashMap<&'a str, (Digest, Vec<u8>)> {
    let mut done = HashMap::new();
    for path in order.iter().rev() {
        let mut folder = folders.remove(path).unwrap_or_default();
        folder.files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        folder.directories.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        folder.symlinks.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let bytes = folder.encode_to_vec();
        let digest = Digest::of(&bytes);
        if let (Some(_), Some((parent, name))) = (root_of(path), path.rsplit_once('/')) {
            let node = DirectoryNode { name: name.to_owned(), digest: Some(digest.into()) };
            folders.entry(parent).or_default().directories.push(node);
        }
        done.insert(*path, (digest, bytes));
    }
    done
}

/// Puts the encoded folders together, one tree for each root: the upper folders first, each content once.
fn plant<'a>(
    done: &HashMap<&'a str, (Digest, Vec<u8>)>,
    order: &[&'a str],
    root_of: &dyn Fn(&'a str) -> Option<&'a str>,
) -> BTreeMap<&'a str, Vec<u8>> {
    let mut trees: BTreeMap<&str, (Tree, HashSet<Digest>)> = BTreeMap::new();
    for path in order {
        let (digest, bytes) = &done[path];
        let (tree, seen) = trees.entry(root_of(path).unwrap_or(path)).or_default();
        if root_of(path).is_none() {
            tree.root = Some(bytes.clone());
        } else if seen.insert(*digest) {
            tree.children.push(bytes.clone());
        }
    }
    trees.into_iter().map(|(path, (tree, _))| (path, tree.encode_to_vec())).collect()
}

/// Lists the folder `root` and everything that its tree says is below it, in no order.
///
/// # Errors
/// The bytes are no tree, a folder of it is missing, a name or a digest is none, or the list grows beyond all measure.
pub(super) fn unfold(root: &str, bytes: &[u8], outputs: &mut Vec<Output>, used: &mut usize) -> Result<(), RecordError> {
    let broken = || RecordError::Tree(root.to_owned());
    let tree = Tree::decode(bytes)?;
    let children: HashMap<Digest, &Vec<u8>> = tree.children.iter().map(|child| (Digest::of(child), child)).collect();
    let mut open = vec![(root.to_owned(), tree.root.as_ref().ok_or_else(broken)?)];
    while let Some((folder, bytes)) = open.pop() {
        let directory = Directory::decode(bytes.as_slice())?;
        let mut found = Vec::with_capacity(directory.files.len() + directory.symlinks.len());
        for node in directory.files {
            let path = below(&folder, &node.name)?;
            let kind = file(&path, node.digest.as_ref(), node.is_executable, node.node_properties.as_ref())?;
            found.push(Output { path, kind });
        }
        for node in directory.symlinks {
            found.push(Output { path: below(&folder, &node.name)?, kind: link(&folder, node.target)? });
        }
        for node in directory.directories {
            let path = below(&folder, &node.name)?;
            let digest = node.digest.and_then(|digest| digest.parse()).ok_or_else(|| RecordError::Digest(path.clone()))?;
            spend(used, &path)?;
            open.push((path, children.get(&digest).ok_or_else(broken)?));
        }
        for output in &found {
            spend(used, &output.path)?;
        }
        outputs.append(&mut found);
        outputs.push(Output { path: folder, kind: OutputKind::Folder });
    }
    Ok(())
}

/// Returns what is kept of a file besides its content.
pub(super) fn properties(mode: u32, modified: i64) -> NodeProperties {
    let nanos = i32::try_from(modified.rem_euclid(SECOND)).unwrap_or_default();
    let mtime = Timestamp { seconds: modified.div_euclid(SECOND), nanos };
    NodeProperties { mtime: Some(mtime), unix_mode: Some(UInt32Value { value: mode }) }
}

/// Returns the file that a record tells of at `path`, unless no file can be like that.
pub(super) fn file(
    path: &str,
    digest: Option<&reapi::Digest>,
    executable: bool,
    properties: Option<&NodeProperties>,
) -> Result<OutputKind, RecordError> {
    let digest = digest.and_then(reapi::Digest::parse).ok_or_else(|| RecordError::Digest(path.to_owned()))?;
    let modified = |time: &Timestamp| {
        let rest = Some(i64::from(time.nanos)).filter(|rest| (0..SECOND).contains(rest))?;
        time.seconds.checked_mul(SECOND)?.checked_add(rest)
    };
    let mode = |mode: &UInt32Value| Some(mode.value).filter(|mode| mode & !PERMISSIONS == 0 && is_executable(*mode) == executable);
    let both = properties.and_then(|of| Some((of.unix_mode.as_ref().and_then(mode)?, of.mtime.as_ref().and_then(modified)?)));
    let (mode, modified) = both.ok_or_else(|| RecordError::Properties(path.to_owned()))?;
    Ok(OutputKind::File { digest, mode, modified })
}

/// Returns a link to `target`, unless no link can have that text.
pub(super) fn link(path: &str, target: String) -> Result<OutputKind, RecordError> {
    if target.is_empty() || target.contains('\0') { Err(RecordError::Target(path.to_owned())) } else { Ok(OutputKind::Link { target }) }
}

fn below(folder: &str, name: &str) -> Result<String, RecordError> {
    let path = format!("{folder}/{name}");
    if is_name(name) { check_path(&path).map(|()| path) } else { Err(RecordError::Path(path)) }
}

fn spend(used: &mut usize, path: &str) -> Result<(), RecordError> {
    *used = used.saturating_add(path.len() + OVERHEAD);
    if *used > MOST_BYTES { Err(RecordError::TooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unfolded(tree: &Tree) -> Result<Vec<Output>, RecordError> {
        let mut outputs = Vec::new();
        unfold("out", &tree.encode_to_vec(), &mut outputs, &mut 0).map(|()| outputs)
    }

    fn node(name: &str, bytes: &[u8]) -> DirectoryNode {
        DirectoryNode { name: name.to_owned(), digest: Some(Digest::of(bytes).into()) }
    }

    #[test]
    fn equal_folders_are_written_once() {
        let paths = ["out", "out-side", "out/a", "out/a/empty", "out/b", "out/b/empty"];
        let outputs = paths.map(|path| Output { path: path.to_owned(), kind: OutputKind::Folder });
        let folded = fold(&outputs);
        assert_eq!(folded.trees.keys().collect::<Vec<_>>(), [&"out", &"out-side"]);
        assert_eq!(Tree::decode(&*folded.trees["out"]).unwrap().children.len(), 2);
    }

    #[test]
    fn hostile_trees_are_refused() {
        assert_eq!(unfolded(&Tree::default()), Err(RecordError::Tree("out".to_owned())));
        for name in ["", ".", "..", "a/b", "../x", "/etc", "a\0"] {
            let directory = Directory { directories: vec![node(name, b"")], ..Directory::default() };
            let tree = Tree { root: Some(directory.encode_to_vec()), children: vec![Vec::new()] };
            assert_eq!(unfolded(&tree), Err(RecordError::Path(format!("out/{name}"))));
        }
        let missing = Directory { directories: vec![node("a", b"x")], ..Directory::default() };
        assert_eq!(unfolded(&Tree { root: Some(missing.encode_to_vec()), children: vec![] }), Err(RecordError::Tree("out".to_owned())));
        let negative =
            FileNode { name: "f".to_owned(), digest: Some(reapi::Digest { hash: "0".repeat(64), size_bytes: -1 }), ..FileNode::default() };
        let root = Directory { files: vec![negative], ..Directory::default() }.encode_to_vec();
        assert_eq!(unfolded(&Tree { root: Some(root), children: vec![] }), Err(RecordError::Digest("out/f".to_owned())));
    }

    #[test]
    fn a_tree_that_unfolds_without_end_is_refused() {
        let mut children = vec![Vec::new()];
        for _ in 0..60 {
            let last = children.last().unwrap();
            let names = ["a".repeat(60), "b".repeat(60)];
            let directories = names.iter().map(|name| node(name, last)).collect();
            children.push(Directory { directories, ..Directory::default() }.encode_to_vec());
        }
        let root = children.pop();
        let mut used = MOST_BYTES - (1 << 20);
        let tree = Tree { root, children }.encode_to_vec();
        assert_eq!(unfold("out", &tree, &mut Vec::new(), &mut used), Err(RecordError::TooLarge));
    }
}
