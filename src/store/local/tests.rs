//! Tests of `store.rs`, and of the blobs and records in it.

use std::io::{Read, Seek};

use super::super::blobs::BlobError;
use super::super::records::Lookup;
use super::super::result::{Output, OutputKind, StageResult};
use super::*;
use crate::base::digest::{CHUNK, Digest};

fn new() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

/// Writes over a stored file, which takes a new one, since stored files are not writable.
fn damage(path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

const DAMAGES: [fn(&mut Vec<u8>); 5] = [
    |bytes| bytes[0] ^= 1,
    |bytes| *bytes.last_mut().unwrap() ^= 128,
    |bytes| bytes.truncate(bytes.len() - 1),
    Vec::clear,
    |bytes| bytes.push(0),
];

/// A way to read a blob.
type Reading = fn(&Store, &Digest) -> Result<(), BlobError>;

fn left_over(store: &Store) -> usize {
    fs::read_dir(store.root().join(TEMPORARY)).unwrap().count()
}

fn recorded(store: &Store) -> (Hash, StageResult) {
    let digest = store.put(b"content").unwrap();
    let outputs = [("out", OutputKind::Folder), ("out/a", OutputKind::File { digest, mode: 0o755, modified: 0 })];
    let outputs = outputs.map(|(path, kind)| Output { path: path.to_owned(), kind }).to_vec();
    let log = Some(store.put(b"log").unwrap());
    let result = StageResult { outputs, log, bound_to: None, fingerprint: Digest::of(b"print"), duration_ms: 5 };
    let key = Hash::of(b"print");
    store.record(&key, b"print", &result).unwrap();
    (key, result)
}

#[test]
fn a_store_is_made_where_there_is_nothing() {
    let (_folder, store) = new();
    let root = store.root();
    assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(root.join("shipway-v1").is_file());
    assert!(fs::read(root.join("CACHEDIR.TAG")).unwrap().starts_with(b"Signature: 8a477f597d28d172789f06886806bc55\n"));
    assert!(Store::open(root).is_ok() && Store::open_read_only(root).is_ok());
    let deep = root.join("tmp/a/b/c");
    assert!(matches!(Store::open_read_only(&deep), Err(StoreError::Missing(path)) if path == deep));
    assert!(Store::open(&deep).is_ok());
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (file, foreign, newer, bazel) = ("file", "foreign", "newer", "bazel");
    let path = |name: &str| folder.path().join(name);
    fs::write(path(file), "").unwrap();
    for name in [foreign, newer, bazel] {
        fs::create_dir(path(name)).unwrap();
    }
    fs::write(path(foreign).join("thesis.txt"), "").unwrap();
    fs::write(path(newer).join("shipway-v9"), "").unwrap();
    fs::create_dir(path(newer).join("cas")).unwrap();
    fs::create_dir(path(bazel).join("ac")).unwrap();
    fs::create_dir(path(bazel).join("gc")).unwrap();
    for open in [Store::open, Store::open_read_only] {
        assert!(matches!(open(&path(file)), Err(StoreError::NotAFolder(_))));
        assert!(matches!(open(&path(foreign)), Err(StoreError::Foreign(_))));
        assert!(matches!(open(&path(newer)), Err(StoreError::OtherVersion(_))));
        assert!(open(&path(bazel)).is_ok());
    }
    assert!(matches!(Store::open(&path(file).join("below")), Err(StoreError::Io { .. })));
    assert!(matches!(Store::open(Path::new("/proc/shipway")), Err(StoreError::Io { .. })));
    assert!(Store::open_read_only(&path(file).join("below")).is_err());
    assert_eq!(fs::read_dir(path(foreign)).unwrap().count(), 1);
    let mounted = path("mounted");
    fs::create_dir_all(mounted.join("lost+found")).unwrap();
    assert!(Store::open(&mounted).is_ok());
}

#[test]
fn contents_come_back() {
    let (_folder, store) = new();
    for bytes in [vec![], b"a".to_vec(), vec![7; CHUNK], vec![8; 2 * CHUNK + 1]] {
        let mut seen = Vec::new();
        let mut watch = |chunk: &[u8]| {
            seen.extend_from_slice(chunk);
            Ok(())
        };
        let digest = store.put_reader(&mut &*bytes, &mut watch).unwrap();
        assert_eq!(digest, Digest::of(&bytes));
        assert_eq!(seen, bytes);
        assert_eq!(store.put(&bytes).unwrap(), digest);
        assert!(store.contains(&digest));
        assert_eq!(store.read(&digest).unwrap(), bytes);
        let mut copy = tempfile::tempfile().unwrap();
        store.copy_to(&digest, &copy, &|| false).unwrap();
        copy.rewind().unwrap();
        for mut file in [copy, store.open_verified(&digest).unwrap()] {
            let mut read = Vec::new();
            file.read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes);
        }
        assert!(!store.contains(&Digest { size: digest.size + 1, ..digest }));
    }
    assert!(matches!(store.read(&Digest::of(b"other")), Err(BlobError::Missing)));
    assert_eq!(left_over(&store), 0);
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let (_folder, store) = new();
    let full = |_: &[u8]| Err(io::ErrorKind::StorageFull.into());
    let error = store.put_reader(&mut &b"abc"[..], &mut { full }).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(left_over(&store), 0);
    assert!(!store.contains(&Digest::of(b"abc")));
    fs::remove_dir(store.root().join(TEMPORARY)).unwrap();
    assert!(store.put(b"abc").is_ok());
}

#[test]
fn many_write_the_same_at_once() {
    let (_folder, store) = new();
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..40_u32 {
                    let own = [thread.to_le_bytes(), number.to_le_bytes()].concat();
                    store.put(&number.to_le_bytes()).unwrap();
                    store.put_reader(&mut &number.to_be_bytes()[..], &mut |_| Ok(())).unwrap();
                    let digest = store.put(&own).unwrap();
                    assert_eq!(store.read(&digest).unwrap(), own);
                }
                recorded(store)
            });
        }
    });
    for number in 0..40_u32 {
        assert_eq!(store.read(&Digest::of(&number.to_le_bytes())).unwrap(), number.to_le_bytes());
        assert_eq!(store.read(&Digest::of(&number.to_be_bytes())).unwrap(), number.to_be_bytes());
    }
    assert!(matches!(store.lookup(&Hash::of(b"print")), Lookup::Found(_)));
    assert_eq!(left_over(&store), 0);
}

#[test]
fn a_damaged_blob_is_noticed_and_evicted() {
    let (_folder, store) = new();
    let digest = Digest::of(b"content");
    let path = store.place(Area::Blobs, &digest.hash);
    let ways: [Reading; 3] = [
        |store, digest| store.read(digest).map(|_| ()),
        |store, digest| store.copy_to(digest, &tempfile::tempfile().unwrap(), &|| false),
        |store, digest| store.open_verified(digest).map(|_| ()),
    ];
    let read_only = Store::open_read_only(store.root()).unwrap();
    for read in ways {
        for change in DAMAGES {
            store.put(b"content").unwrap();
            damage(&path, change);
            assert!(matches!(read(&read_only, &digest), Err(BlobError::Damaged)));
            assert!(matches!(read(&store, &digest), Err(BlobError::Damaged)));
            assert!(matches!(read(&store, &digest), Err(BlobError::Missing)));
        }
    }
    store.put(b"content").unwrap();
    damage(&path, Vec::clear);
    store.put(b"content").unwrap();
    assert_eq!(store.read(&digest).unwrap(), b"content");
    let elsewhere = store.root().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(!store.contains(&digest));
    assert!(matches!(store.read(&digest), Err(BlobError::Damaged)));
    assert!(elsewhere.exists() && path.symlink_metadata().is_err());
}

#[test]
fn a_record_comes_back_or_is_evicted() {
    let (_folder, store) = new();
    assert_eq!(store.lookup(&Hash::of(b"print")), Lookup::Absent);
    let (key, result) = recorded(&store);
    let path = store.place(Area::Records, &key);
    assert_eq!(store.lookup(&key), Lookup::Found(result.clone()));
    for change in DAMAGES {
        damage(&path, change);
        assert!(matches!(store.lookup(&key), Lookup::Damaged(reason) if reason.starts_with("the record ")));
        assert_eq!(store.lookup(&key), Lookup::Absent);
        recorded(&store);
    }
    let (_, trees) = result.encode();
    let tree = store.place(Area::Blobs, &trees[0].0.hash);
    fs::remove_file(&tree).unwrap();
    assert!(matches!(store.lookup(&key), Lookup::Damaged(reason) if reason.contains("\"out\"")));
    assert_eq!(store.lookup(&key), Lookup::Absent);
    recorded(&store);
    damage(&tree, |bytes| bytes[3] ^= 1);
    assert!(matches!(store.lookup(&key), Lookup::Damaged(_)));
    assert!(!tree.exists());
    recorded(&store);
    store.evict(&key);
    assert_eq!(store.lookup(&key), Lookup::Absent);
}

#[test]
fn a_record_is_never_without_what_it_names() {
    let (_folder, store) = new();
    let (key, result) = recorded(&store);
    let refused = |key: &Hash, fingerprint: &[u8]| store.record(key, fingerprint, &result).unwrap_err().kind();
    assert_eq!(refused(&Hash::of(b"other"), b"print"), io::ErrorKind::InvalidInput);
    assert_eq!(refused(&Hash::of(b"other"), b"other"), io::ErrorKind::InvalidInput);
    let other = store.place(Area::Records, &Hash::of(b"other"));
    fs::create_dir_all(other.parent().unwrap()).unwrap();
    fs::copy(store.place(Area::Records, &key), &other).unwrap();
    assert!(matches!(store.lookup(&Hash::of(b"other")), Lookup::Damaged(reason) if reason == "the record is of another key"));
    store.evict(&key);
    fs::remove_file(store.place(Area::Blobs, &Hash::of(b"content"))).unwrap();
    assert_eq!(refused(&key, b"print"), io::ErrorKind::NotFound);
    assert_eq!(store.lookup(&key), Lookup::Absent);
}

#[test]
fn a_stamp_outlives_a_touch_but_not_a_new_record() {
    let (_folder, store) = new();
    assert_eq!(store.stamp(&Hash::of(b"print")), None);
    let (key, _) = recorded(&store);
    let path = store.place(Area::Records, &key);
    let stamp = store.stamp(&key).unwrap();
    let age = || now().duration_since(path.metadata().unwrap().modified().unwrap()).unwrap_or_default();
    let set_age = |age| File::open(&path).unwrap().set_modified(now() - age).unwrap();
    for (before, expected) in [(TOUCH_EVERY / 2, TOUCH_EVERY / 2), (TOUCH_EVERY * 2, Duration::ZERO)] {
        set_age(before);
        store.touch(&key);
        assert!(age() >= expected && age() < expected + Duration::from_mins(1));
    }
    assert_eq!(store.stamp(&key), Some(stamp));
    let kept = File::open(&path).unwrap();
    recorded(&store);
    assert_ne!(store.stamp(&key), Some(stamp));
    drop(kept);
    let read_only = Store::open_read_only(store.root()).unwrap();
    set_age(TOUCH_EVERY * 2);
    read_only.touch(&key);
    assert!(age() > TOUCH_EVERY);
    read_only.evict(&key);
    assert!(read_only.put(b"x").is_err() && read_only.put(b"content").is_err());
    assert!(matches!(read_only.lookup(&key), Lookup::Found(_)));
}
