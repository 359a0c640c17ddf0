//! What was stored comes back: random trees, and what lies there meanwhile.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;
use crate::base::glob::Glob;
use crate::base::secret::Masker;
use crate::base::stamp::Stamp;
use crate::cache::capture::capture;
use crate::cache::files::Files;

#[derive(Debug, Clone)]
enum Node {
    File(Vec<u8>, u32, i64),
    Link(String),
    Folder(Vec<(String, Node)>),
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[abc]{1,2}", Just("-rf".to_owned()), Just("a b\n".to_owned()), Just("größe".to_owned()), Just(".dot".to_owned())]
}

fn nodes() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        (
            prop::collection::vec(any::<u8>(), 0..20),
            prop::sample::select(vec![0o644, 0o755, 0o600, 0o500, 0o444]),
            -9_999_999_999..i64::from(u32::MAX) * 1_000_000_000
        )
            .prop_map(|(bytes, mode, modified)| Node::File(bytes, mode, modified)),
        "(\\.\\./)?[abc]".prop_map(Node::Link),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop::collection::btree_map(name(), inner, 0..4).prop_map(|nodes| Node::Folder(nodes.into_iter().collect()))
    })
}

fn lay(node: &Node, at: &Path) {
    match node {
        Node::File(bytes, mode, modified) => {
            fs::write(at, bytes).unwrap();
            fs::set_permissions(at, Permissions::from_mode(*mode)).unwrap();
            File::open(at).unwrap().set_times(times(*modified)).unwrap();
        }
        Node::Link(target) => symlink(target, at).unwrap(),
        Node::Folder(nodes) => {
            fs::create_dir(at).unwrap();
            nodes.iter().for_each(|(name, node)| lay(node, &at.join(name)));
        }
    }
}

/// A checkout with one output, `out`, and its store.
struct Place {
    _folder: tempfile::TempDir,
    root: PathBuf,
    store: Store,
    files: Files,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("project");
        fs::create_dir_all(root.join(".shipway")).unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let files = Files::load(&root, None, true);
        Self { _folder: folder, root, store, files }
    }

    fn lying(&self) -> Lying {
        Lying::look(&self.root, &[Glob::new("", "out").unwrap()]).unwrap()
    }

    fn stored(&self) -> Vec<Output> {
        capture(&self.root, &self.lying(), &self.store, &Masker::new([])).unwrap().outputs
    }

    fn outputs(&self) -> Vec<Output> {
        self.lying().outputs(&self.root, &self.files).unwrap()
    }

    fn restore(&self, outputs: &[Output]) -> Vec<String> {
        let state = self.root.join(".shipway");
        let custody = Custody {
            root: &self.root,
            state: Some(&state),
            left: None,
            stage: "a",
            run: "r",
            clean: true,
            files: &self.files,
            killed: None,
            made: &|| vec![outputs.to_vec()],
        };
        let lying = self.lying();
        let difference = lying.difference(&self.root, outputs, &self.files);
        restore(&custody, &self.store, &lying, &difference, true, &|| false).unwrap().0
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_was_stored_comes_back_whatever_lies_there(stored in nodes(), meanwhile in prop::option::of(nodes())) {
        let place = Place::new();
        let out = place.root.join("out");
        lay(&stored, &out);
        let outputs = place.stored();
        prop_assert_eq!(&outputs, &place.outputs());
        fs::rename(&out, place.root.join("was")).unwrap();
        if let Some(meanwhile) = &meanwhile {
            lay(meanwhile, &out);
        }
        let found = place.outputs();
        let aside = place.restore(&outputs);
        let now = place.outputs();
        prop_assert!(now.len() == outputs.len() && now.iter().zip(&outputs).all(|(now, then)| now.path == then.path && now.kind.is_like(&then.kind)));
        let is_restored = |output: &&Output| !found.iter().any(|found| found.path == output.path && found.kind.is_like(&output.kind));
        for output in outputs.iter().filter(is_restored) {
            let OutputKind::File { mode, modified, .. } = &output.kind else { continue };
            let stamp = Stamp::of(&place.root.join(&output.path).symlink_metadata().unwrap());
            prop_assert_eq!((stamp.mode & 0o777, stamp.modified), (*mode, *modified));
        }
        // What is neither wanted nor known was moved, not removed.
        let foreign: Vec<&Output> = found.iter().filter(|found| !outputs.iter().any(|output| output.path == found.path && output.kind.is_like(&found.kind)) && found.kind != OutputKind::Folder).collect();
        prop_assert_eq!(aside.iter().filter(|path| !path.ends_with('/')).count(), foreign.len());
        for output in foreign {
            prop_assert!(place.root.join(".shipway/aside/r/a").join(&output.path).symlink_metadata().is_ok(), "{}", output.path);
        }
        prop_assert!(place.restore(&outputs).is_empty());
    }
}

#[test]
fn nothing_is_replaced_before_all_is_at_hand() {
    let place = Place::new();
    lay(
        &Node::Folder(vec![("a".into(), Node::File(b"one".to_vec(), 0o644, 1)), ("b".into(), Node::File(b"two".to_vec(), 0o644, 1))]),
        &place.root.join("out"),
    );
    let outputs = place.stored();
    fs::write(place.root.join("out/a"), "mine").unwrap();
    fs::remove_file(place.root.join("out/b")).unwrap();
    let hash = Digest::of(b"two").hash.to_string();
    let blob = place.store.root().join("cas").join(&hash[..2]).join(&hash);
    fs::remove_file(blob).unwrap();
    let state = place.root.join(".shipway");
    let custody = Custody {
        root: &place.root,
        state: Some(&state),
        left: None,
        stage: "a",
        run: "r",
        clean: true,
        files: &place.files,
        killed: None,
        made: &Vec::new,
    };
    let lying = place.lying();
    let difference = lying.difference(&place.root, &outputs, &place.files);
    let refused = restore(&custody, &place.store, &lying, &difference, true, &|| false);
    assert!(matches!(refused, Err(RestoreError::Damaged(reason)) if reason.contains("out/b")));
    assert_eq!(fs::read_to_string(place.root.join("out/a")).unwrap(), "mine");
}

#[test]
fn a_link_is_never_written_through() {
    let place = Place::new();
    fs::write(place.root.join("outside"), "mine").unwrap();
    lay(&Node::File(b"made".to_vec(), 0o644, 1), &place.root.join("out"));
    let outputs = place.stored();
    fs::remove_file(place.root.join("out")).unwrap();
    symlink("outside", place.root.join("out")).unwrap();
    place.restore(&outputs);
    assert_eq!(fs::read_to_string(place.root.join("outside")).unwrap(), "mine");
    assert!(!place.root.join("out").is_symlink());
}

#[test]
fn one_who_is_stopped_replaces_nothing() {
    let place = Place::new();
    lay(&Node::File(b"made".to_vec(), 0o644, 1), &place.root.join("out"));
    let outputs = place.stored();
    fs::write(place.root.join("out"), "mine").unwrap();
    let state = place.root.join(".shipway");
    let custody = Custody {
        root: &place.root,
        state: Some(&state),
        left: None,
        stage: "a",
        run: "r",
        clean: true,
        files: &place.files,
        killed: None,
        made: &Vec::new,
    };
    let lying = place.lying();
    let difference = lying.difference(&place.root, &outputs, &place.files);
    assert!(matches!(restore(&custody, &place.store, &lying, &difference, true, &|| true), Err(RestoreError::Stopped)));
    assert_eq!(fs::read_to_string(place.root.join("out")).unwrap(), "mine");
}

#[test]
fn what_a_killed_run_had_fetched_is_in_nobodys_way() {
    let file = |text: &str| Node::File(text.as_bytes().to_vec(), 0o444, 1);
    let large = "x".repeat(usize::try_from(SMALL).unwrap());
    let several =
        |text: &str| Node::Folder(vec![("a".into(), file(text)), ("b".into(), file("two")), ("c".into(), Node::Link("a".into()))]);
    for stored in [file("made"), file(&large), Node::Link("nowhere".into()), several("one"), several(&large)] {
        let place = Place::new();
        lay(&stored, &place.root.join("out"));
        let outputs = place.stored();
        let fetched = place.root.join(".shipway/fetched");
        fs::create_dir_all(&fetched).unwrap();
        let left = fetched.join(Hash::of(b"a").to_string());
        for left_over in [None, Some(file("")), Some(Node::Link("nowhere".into())), Some(Node::Folder(vec![("0".into(), file("half"))]))] {
            fs::rename(place.root.join("out"), tempfile::tempdir().unwrap().path().join("was")).unwrap();
            if let Some(left_over) = &left_over {
                lay(left_over, &left);
            }
            place.restore(&outputs);
            let now = place.outputs();
            assert!(
                now.len() == outputs.len() && now.iter().zip(&outputs).all(|(now, then)| now.kind.is_like(&then.kind)),
                "{left_over:?}"
            );
            assert_eq!(fs::read_dir(&fetched).map_or(0, Iterator::count), 0, "{left_over:?}");
        }
    }
}
