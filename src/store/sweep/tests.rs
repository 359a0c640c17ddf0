//! Tests of `sweep.rs`, `live.rs` and `verify.rs`.

use super::super::notes::Notes;
use super::super::records::Lookup;
use super::super::result::{Output, OutputKind, StageResult};
use super::super::verify::{stat, verify};
use super::*;
use crate::base::digest::Digest;

const LARGE: Limits = Limits { max_size: 1 << 30, max_age: Duration::from_hours(24_000) };

fn new() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

/// Sets when every file of the area was last used.
fn age(store: &Store, area: Area, hash: Option<Hash>, age: Duration) {
    let mut visit = |found: Hash, path: &Path, _: &fs::Metadata| match hash {
        Some(hash) if hash != found => Ok(()),
        _ => File::open(path)?.set_modified(now() - age),
    };
    store.visit(area, &mut visit).unwrap();
}

/// Stores a record that names the given contents, last used so many days ago.
fn add(store: &Store, name: &str, contents: &[&[u8]], days: u32) -> Hash {
    let file = |content: &&[u8]| OutputKind::File { digest: store.put(content).unwrap(), mode: 0o644, modified: 0 };
    let folder = Output { path: format!("{name}-out"), kind: OutputKind::Folder };
    let outputs = contents.iter().enumerate().map(|(at, content)| Output { path: format!("{name}-out/{at}"), kind: file(content) });
    let outputs = [folder].into_iter().chain(outputs).collect();
    let result = StageResult { outputs, log: None, bound_to: None, fingerprint: Digest::of(name.as_bytes()), duration_ms: 0 };
    let key = Hash::of(name.as_bytes());
    store.record(&key, name.as_bytes(), &result).unwrap();
    age(store, Area::Records, Some(key), DAY * days);
    key
}

fn left(store: &Store, keys: &[Hash]) -> Vec<bool> {
    keys.iter().map(|key| matches!(store.lookup(key), Lookup::Found(_))).collect()
}

#[test]
fn the_least_recently_used_goes_first() {
    let (_folder, store) = new();
    let shared = vec![1; 40_000];
    let keys = [
        add(&store, "old", &[&vec![2; 30_000], &shared], 3),
        add(&store, "new", &[&vec![3; 30_000], &shared], 1),
        add(&store, "middle", &[&vec![4; 30_000], &shared], 2),
    ];
    age(&store, Area::Blobs, None, DAY);
    let all = stat(&store).unwrap();
    assert_eq!((all.records, all.blobs), (3, 10));
    assert!(all.oldest < all.newest);
    let swept = sweep(&store, &LARGE).unwrap();
    assert_eq!(swept, Swept { left: all.bytes, ..Swept::default() });
    let swept = sweep(&store, &Limits { max_size: 105_000, ..LARGE }).unwrap();
    assert_eq!(left(&store, &keys), [false, true, true]);
    assert_eq!((swept.records, swept.blobs, swept.left + swept.bytes), (1, 3, all.bytes));
    assert!(swept.bytes > 30_000 && swept.left < 105_000);
    assert!(store.read(&Digest::of(&shared)).is_ok());
    assert_eq!(verify(&store).unwrap().damaged, Vec::<String>::new());
}

#[test]
fn what_is_too_old_or_too_large_goes() {
    let (_folder, store) = new();
    let keys = [add(&store, "old", &[b"a"], 9), add(&store, "new", &[b"b"], 1), add(&store, "huge", &[&vec![1; 50_000]], 0)];
    let notes = |pipeline| Notes::of(&store, pipeline);
    notes("old").note("a", &keys[0]);
    let used = notes("used");
    used.note("a", &keys[0]);
    store.set_baseline("old", &[(keys[0], 1.0)].into()).unwrap();
    age(&store, Area::Stages, None, DAY * 9);
    notes("new").note("a", &keys[1]);
    let limits = Limits { max_size: 40_000, max_age: DAY * 5 };
    sweep(&store, &limits).unwrap();
    assert_eq!(left(&store, &keys), [false, true, false]);
    let noted = || ["old", "used", "new"].map(|pipeline| notes(pipeline).noted("a").len());
    assert_eq!((noted(), store.baseline("old").len()), ([0, 1, 1], 0));
    drop(used);
    sweep(&store, &limits).unwrap();
    assert_eq!(noted(), [0, 0, 1]);
    clear(&store).unwrap();
    assert_eq!(noted(), [0, 0, 0]);
}

#[test]
fn a_live_run_keeps_what_it_uses() {
    let (_folder, store) = new();
    let keys = [add(&store, "unused", &[b"a"], 9), add(&store, "used", &[b"b"], 9)];
    age(&store, Area::Blobs, None, DAY * 9);
    let live = store.live().unwrap();
    store.touch(&keys[1]);
    let fresh = store.put(b"not named yet").unwrap();
    let none = Limits { max_size: 0, max_age: Duration::ZERO };
    assert_eq!(sweep(&store, &none).unwrap().records, 1);
    assert_eq!(left(&store, &keys), [false, true]);
    assert!(store.contains(&fresh) && store.contains(&Digest::of(b"b")) && !store.contains(&Digest::of(b"a")));
    clear(&store).unwrap();
    assert_eq!(left(&store, &keys), [false, true]);
    drop(live);
    sweep(&store, &none).unwrap();
    assert_eq!(left(&store, &keys), [false, false]);
    assert!(!store.contains(&fresh), "nobody is about to name it");
    assert_eq!(stat(&store).unwrap().bytes, 0);
}

#[test]
fn dead_runs_are_forgotten() {
    let (folder, store) = new();
    let live = [store.live().unwrap(), store.live().unwrap()];
    fs::write(folder.path().join("live/4711-dead"), "").unwrap();
    assert!(store.in_use_since().unwrap().is_some());
    assert_eq!(fs::read_dir(folder.path().join("live")).unwrap().count(), 2);
    drop(live);
    assert_eq!(store.in_use_since().unwrap(), None);
    assert_eq!(fs::read_dir(folder.path().join("live")).unwrap().count(), 0);
}

#[test]
fn what_nobody_names_goes_and_what_is_unknown_stays() {
    let (folder, store) = new();
    let key = add(&store, "a", &[b"a"], 0);
    let dangling = store.put(b"dangling").unwrap();
    age(&store, Area::Blobs, None, DAY / 12);
    let _run = store.live().unwrap();
    let recent = store.put(b"recent").unwrap();
    let unknown = ["cas/readme", "cas/ab/readme", "ac/ab", "tmp/new", "readme"].map(|name| folder.path().join(name));
    let old = folder.path().join("tmp/old");
    for path in unknown.iter().chain([&old]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    File::open(&old).unwrap().set_modified(now() - DAY * 2).unwrap();
    let swept = sweep(&store, &LARGE).unwrap();
    assert_eq!((swept.records, swept.blobs, swept.bytes), (0, 1, dangling.size));
    assert!(!store.contains(&dangling) && store.contains(&recent) && !old.exists());
    assert!(unknown.iter().all(|path| path.exists()));
    assert_eq!(left(&store, &[key]), [true]);
}

#[test]
fn only_one_sweeps_at_a_time() {
    let (_folder, store) = new();
    let key = add(&store, "a", &[b"a"], 9);
    let lock = wait(&store).unwrap();
    let none = Limits { max_size: 0, max_age: Duration::ZERO };
    assert_eq!(sweep(&store, &none).unwrap(), Swept { busy: true, ..Swept::default() });
    assert_eq!(left(&store, &[key]), [true]);
    drop(lock);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| sweep(&store, &none).unwrap());
        }
    });
    assert_eq!(left(&store, &[key]), [false]);
    let read_only = Store::open_read_only(store.root()).unwrap();
    assert!(sweep(&read_only, &none).is_err() && clear(&read_only).is_err() && read_only.live().is_err());
}

#[test]
fn it_is_time_once_a_day_or_when_much_was_stored() {
    let (folder, store) = new();
    let limits = Limits { max_size: 20_000, ..LARGE };
    let other = Store::open(&folder.path().join("tmp/new")).unwrap();
    other.put(&[1; 1000]).unwrap();
    assert_eq!(sweep_if_due(&other, &limits).unwrap(), None, "it was made just now");
    let _run = store.live().unwrap();
    store.put(&[1; 5000]).unwrap();
    assert!(sweep_if_due(&store, &limits).unwrap().is_some(), "it has never been done");
    assert_eq!(sweep_if_due(&store, &limits).unwrap(), None);
    store.put(&[1; 5000]).unwrap();
    store.put(&[2; 600]).unwrap();
    assert_eq!(sweep_if_due(&store, &limits).unwrap(), None);
    store.put(&[3; 600]).unwrap();
    assert!(sweep_if_due(&store, &limits).unwrap().is_some());
    store.add_stored(1001).unwrap();
    assert!(sweep_if_due(&store, &limits).unwrap().is_some());
    for ago in [now() - DAY * 2, now() + DAY * 2] {
        assert_eq!(sweep_if_due(&store, &limits).unwrap(), None);
        File::open(folder.path().join(SWEPT)).unwrap().set_modified(ago).unwrap();
        assert!(sweep_if_due(&store, &limits).unwrap().is_some());
    }
}

#[test]
fn every_flipped_byte_is_found() {
    let (_folder, store) = new();
    let key = add(&store, "a", &[b"abc"], 0);
    let mut files = Vec::new();
    for area in [Area::Records, Area::Blobs] {
        let mut visit = |_, path: &Path, _: &fs::Metadata| {
            files.push((path.to_owned(), fs::read(path)?));
            Ok(())
        };
        store.visit(area, &mut visit).unwrap();
    }
    assert_eq!(files.len(), 4);
    assert_eq!(verify(&store).unwrap(), super::super::verify::Verified { records: 1, blobs: 3, damaged: vec![] });
    let restore = |path: &Path, bytes: &[u8]| {
        remove(path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let read_only = Store::open_read_only(store.root()).unwrap();
    for (path, bytes) in &files {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            restore(path, &changed);
            assert!(!verify(&read_only).unwrap().damaged.is_empty() && path.exists());
            let damaged = verify(&store).unwrap().damaged;
            assert!(!damaged.is_empty() && !path.exists(), "{} at {at}", path.display());
            assert_eq!(store.lookup(&key), Lookup::Absent);
            assert_eq!(verify(&store).unwrap().damaged, Vec::<String>::new());
            files.iter().for_each(|(path, bytes)| restore(path, bytes));
        }
    }
    assert_eq!(left(&store, &[key]), [true]);
    remove(&store.place(Area::Blobs, &Hash::of(b"abc"))).unwrap();
    assert_eq!(verify(&store).unwrap().damaged.len(), 1);
    assert_eq!(left(&store, &[key]), [false]);
}
