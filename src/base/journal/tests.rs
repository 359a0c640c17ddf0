//! Tests of `journal.rs`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const KIND: &str = "things 1";

/// Tells whether damage is in what lies from here to there.
type IsHit<'h> = &'h dyn Fn(usize, usize) -> bool;

fn name(number: u8) -> Hash {
    Hash::of(&[number])
}

fn new(folder: &Path, most: usize) -> Journal {
    Journal::new(folder.join("a/things"), KIND, most, true)
}

fn last(journal: &Journal, number: u8) -> Option<Vec<u8>> {
    journal.read(&name(number)).unwrap_or_default().into_iter().next()
}

/// Appends so much that it is worth writing anew, and of which little counts.
fn fill(journal: &Journal) {
    for number in 0..10 {
        journal.append(&name(200), &vec![number; 40_000]).unwrap();
    }
}

fn size(journal: &Journal) -> u64 {
    journal.path.metadata().unwrap().len()
}

/// Returns what is whole in `bytes`, by name.
fn whole(bytes: &[u8]) -> BTreeMap<Hash, Vec<u8>> {
    let mut whole = BTreeMap::new();
    visit(bytes, |_, record| {
        if record.is_whole() {
            whole.insert(record.name, record.body.to_vec());
        }
    });
    whole
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let marks = prop::collection::vec(prop::sample::select(vec![0, b'r', b'e', b'c', 1, 255]), 0..40);
    let records = (any::<u8>(), 0..60_usize, prop::collection::vec(any::<u8>(), 0..4));
    let records = records.prop_map(|(number, length, body)| {
        let mut bytes = record(&Hash::of(&[number, 1]), &body).unwrap();
        bytes.truncate(length);
        bytes
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..40), marks, records]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever the file is damaged, all records survive that the damage is not in, and so does what is appended behind.
    #[test]
    fn damage_costs_one_record(bodies in prop::collection::vec(body(), 1..6), bit in 0..8u8, place in any::<prop::sample::Index>()) {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for (number, body) in (0..).zip(&bodies) {
            bytes.extend(record(&name(number), body).unwrap());
            ends.push(bytes.len());
        }
        let survives = |read: &dyn Fn(u8) -> Option<Vec<u8>>, is_hit: IsHit<'_>| {
            for (number, body) in (0..).zip(&bodies) {
                let (start, end) = (usize::from(number).checked_sub(1).map_or(0, |before| ends[before]), ends[usize::from(number)]);
                let expected = (!is_hit(start, end)).then(|| body.clone());
                prop_assert_eq!(read(number), expected, "record {}, {} to {}", number, start, end);
            }
            prop_assert_eq!(read(99), Some(b"behind".to_vec()));
            Ok(())
        };
        let folder = tempfile::tempdir().unwrap();
        let chosen = place.index(bytes.len());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let holed = [&bytes[..at], bytes.get(at + 3..).unwrap_or_default()].concat();
            let damaged: [(&[u8], IsHit<'_>); 3] = [
                (&flipped, &|start, end| start <= at && at < end),
                (&bytes[..at], &|_, end| at < end),
                (&holed, &|start, end| start < at + 3 && at < end),
            ];
            for (bytes, is_hit) in damaged {
                let all = [bytes, &record(&name(99), b"behind").unwrap()].concat();
                let read = whole(&all);
                survives(&|number| read.get(&name(number)).cloned(), is_hit)?;
                if at == chosen {
                    let path = folder.path().join("a/things");
                    fs::create_dir_all(folder.path().join("a")).unwrap();
                    fs::write(&path, [b"things 1 0\n", bytes].concat()).unwrap();
                    let journal = new(folder.path(), 1);
                    prop_assert_eq!(last(&journal, 99), None);
                    journal.append(&name(99), b"behind").unwrap();
                    survives(&|number| last(&journal, number), is_hit)?;
                }
            }
        }
    }

    /// Whoever appends and whoever writes it anew: what counts are the last different bodies of each name.
    #[test]
    fn a_journal_keeps_the_last_bodies(acts in prop::collection::vec((0..2_usize, 0..3u8, 0..6u8, 0..8u8), 1..60), most in 1..4_usize) {
        let folder = tempfile::tempdir().unwrap();
        let open = || new(folder.path(), most);
        let mut journals = [open(), open()];
        let mut model: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
        for (which, number, content, act) in acts {
            match act {
                0 => journals[which] = open(),
                1 => {
                    let is_alone = journals[1 - which].open.lock().unwrap().is_none();
                    prop_assert!(!journals[which].compact(&|_| true).unwrap() || is_alone);
                }
                _ => {
                    let body = vec![content; if act == 2 { 90_000 } else { usize::from(content) }];
                    journals[which].append(&name(number), &body).unwrap();
                    let bodies = model.entry(number).or_default();
                    bodies.retain(|known| *known != body);
                    bodies.insert(0, body);
                    bodies.truncate(most);
                }
            }
            for (number, bodies) in &model {
                prop_assert_eq!(&journals[which].read(&name(*number)).unwrap(), bodies);
            }
        }
    }
}

#[test]
fn many_append_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::thread::scope(|scope| {
        for writer in 0..4u8 {
            scope.spawn(move || {
                let journal = new(path, 100);
                for number in 0..100u8 {
                    let body = vec![writer; 10 + usize::from(number)];
                    journal.append(&name(writer), &body).unwrap();
                    assert_eq!(journal.read(&name(writer)).unwrap().first(), Some(&body));
                }
            });
        }
    });
    let journal = new(path, 100);
    assert!((0..4).all(|writer| journal.read(&name(writer)).unwrap().len() == 100));
    assert_eq!(size(&journal), (4 * (10..110).map(|body| body + FIXED as u64).sum::<u64>()) + heads(&journal));
}

/// How long the first lines are, of which each that found the file empty has written one.
fn heads(journal: &Journal) -> u64 {
    let bytes = fs::read(&journal.path).unwrap();
    memmem::find_iter(&bytes, journal.head(0).as_bytes()).count() as u64 * journal.head(0).len() as u64
}

#[test]
fn it_is_written_anew_only_by_one_who_is_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, other) = (new(folder.path(), 1), new(folder.path(), 1));
    let all = |_: &[u8]| true;
    assert!(!journal.compact(&all).unwrap(), "it was not used here");
    other.append(&name(1), b"one").unwrap();
    journal.append(&name(2), b"two").unwrap();
    assert!(!journal.compact(&all).unwrap(), "it is small");
    fill(&journal);
    let long = size(&journal);
    assert!(long > 400_000);
    assert!(!journal.compact(&all).unwrap(), "another has it open");
    assert_eq!((size(&journal), last(&other, 2)), (long, Some(b"two".to_vec())));
    drop(other);
    // One who was killed while at it has left something.
    fs::write(beside(&journal.path), "half").unwrap();
    journal.append(&name(3), b"three").unwrap();
    assert!(journal.compact(&all).unwrap());
    assert!(size(&journal) < 41_000 && !beside(&journal.path).exists());
    assert_eq!((last(&journal, 1), last(&journal, 200)), (Some(b"one".to_vec()), Some(vec![9; 40_000])));
    journal.append(&name(1), b"more").unwrap();
    assert_eq!(last(&new(folder.path(), 1), 1), Some(b"more".to_vec()));
    // It has to become twice as long first, and what is of no use does not come back by what was before it.
    let large = Journal::new(folder.path().join("large"), KIND, 1, true);
    large.append(&name(1), b"was").unwrap();
    large.append(&name(1), b"").unwrap();
    large.append(&name(200), &vec![1; 300_000]).unwrap();
    assert!(large.compact(&|body| !body.is_empty()).unwrap());
    let long = size(&large);
    large.append(&name(200), &vec![2; 299_000]).unwrap();
    assert!(!large.compact(&all).unwrap());
    large.append(&name(2), &vec![2; 2000]).unwrap();
    assert_eq!((last(&large, 1), size(&large)), (None, long + 301_000 + 2 * FIXED as u64));
    assert!(large.compact(&all).unwrap());
}

#[test]
fn what_is_of_another_version_is_replaced_by_one_who_is_alone() {
    let folder = tempfile::tempdir().unwrap();
    for foreign in ["things 2 0\n", "things 1", "things 1 x\n", "thing", "x", "things 10 0\n"] {
        let path = folder.path().join("a/things");
        fs::create_dir_all(folder.path().join("a")).unwrap();
        fs::write(&path, foreign).unwrap();
        let (journal, reader) = (new(folder.path(), 1), Journal::new(path.clone(), KIND, 1, false));
        let other = File::open(&path).unwrap();
        other.lock_shared().unwrap();
        assert!(journal.append(&name(1), b"one").is_err() && journal.read(&name(1)).is_err());
        drop(other);
        assert!(reader.read(&name(1)).is_err() && reader.append(&name(1), b"").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
        journal.append(&name(1), b"one").unwrap();
        assert_eq!((last(&journal, 1), last(&reader, 1)), (Some(b"one".to_vec()), Some(b"one".to_vec())));
    }
}

#[test]
fn what_cannot_be_used_costs_only_what_it_knew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/things");
    let (journal, reader) = (new(folder.path(), 1), Journal::new(path.clone(), KIND, 1, false));
    assert!(reader.read(&name(1)).is_err() && !path.exists() && !reader.compact(&|_| true).unwrap());
    journal.append(&name(1), b"one").unwrap();
    // It is gone under its users.
    fs::remove_dir_all(folder.path().join("a")).unwrap();
    journal.append(&name(2), b"two").unwrap();
    assert_eq!((last(&journal, 1), last(&reader, 2)), (None, Some(b"two".to_vec())));
    drop((journal, reader));
    for in_the_way in [|path: &Path| fs::create_dir(path), |path: &Path| std::os::unix::fs::symlink("elsewhere", path)] {
        fs::remove_file(&path).unwrap();
        in_the_way(&path).unwrap();
        let journal = new(folder.path(), 1);
        assert!(journal.append(&name(1), b"one").is_err() && journal.read(&name(1)).is_err());
        assert!(!journal.compact(&|_| true).unwrap() && !folder.path().join("a/elsewhere").exists());
        let _folder = fs::remove_dir(&path).and_then(|()| fs::write(&path, ""));
    }
}

#[test]
fn what_is_used_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let journal = new(folder.path(), 1);
    let path = journal.path.clone();
    remove_unused(&path).unwrap();
    journal.append(&name(1), b"one").unwrap();
    fs::write(beside(&path), "half").unwrap();
    remove_unused(&path).unwrap();
    assert_eq!(last(&journal, 1), Some(b"one".to_vec()));
    drop(journal);
    remove_unused(&path).unwrap();
    assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 0);
}
