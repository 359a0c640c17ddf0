//! Tests of `codec.rs`.

use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{prop_assert_eq, proptest};

use super::*;

fn file(path: &str, content: &str, executable: bool) -> Output {
    Output {
        path: path.to_owned(),
        kind: OutputKind::File {
            digest: Digest::of(content.as_bytes()),
            mode: if executable { 0o755 } else { 0o640 },
            modified: 1_700_000_000_000_000_001,
        },
    }
}

fn link(path: &str, target: &str) -> Output {
    Output { path: path.to_owned(), kind: OutputKind::Link { target: target.to_owned() } }
}

fn folder(path: &str) -> Output {
    Output { path: path.to_owned(), kind: OutputKind::Folder }
}

fn result(mut outputs: Vec<Output>) -> StageResult {
    outputs.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    StageResult {
        outputs,
        log: Some(Digest::of(b"log")),
        bound_to: Some("/home/a".to_owned()),
        fingerprint: Digest::of(b"print"),
        duration_ms: 1234,
    }
}

fn sample() -> StageResult {
    result(vec![
        file("bin/app", "app", true),
        link("bin/latest", "app"),
        folder("out"),
        folder("out/empty"),
        file("out/-a", "", false),
        file("out-b", "b", false),
        link("out/z", "../.."),
    ])
}

fn decode(bytes: &[u8], trees: &[(Digest, Vec<u8>)]) -> Result<StageResult, RecordError> {
    StageResult::decode(bytes, &mut |wanted| trees.iter().find(|(digest, _)| digest == wanted).map(|(_, bytes)| bytes.clone()))
}

fn sealed(message: ActionResult) -> Result<StageResult, RecordError> {
    let facts = Facts { version: VERSION, fingerprint: Some(Digest::of(b"").into()), ..Facts::default() };
    decode(&seal(message, facts), &[])
}

#[test]
fn a_result_comes_back() {
    let (bytes, trees) = sample().encode();
    assert_eq!(decode(&bytes, &trees).unwrap(), sample());
    assert_eq!(decode(&bytes, &[]), Err(RecordError::Tree("out".to_owned())));
    assert_eq!(decode(&bytes, &[(trees[0].0, b"x".to_vec())]), Err(RecordError::Tree("out".to_owned())));
    let bare = StageResult { outputs: vec![], log: None, bound_to: None, fingerprint: Digest::of(b""), duration_ms: 0 };
    let (bytes, trees) = bare.encode();
    assert_eq!(decode(&bytes, &trees).unwrap(), bare);
    assert_eq!(sample().blobs().count(), 4);
    // Order does not matter, and a folder that was left out is added.
    let sloppy = StageResult { outputs: vec![file("z", "", false), file("d/e/f", "", false), folder("d"), file("a", "", false)], ..bare };
    let (bytes, trees) = sloppy.encode();
    let paths: Vec<String> = decode(&bytes, &trees).unwrap().outputs.into_iter().map(|output| output.path).collect();
    assert_eq!(paths, ["a", "d", "d/e", "d/e/f", "z"]);
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let (bytes, trees) = sample().encode();
    for at in 0..bytes.len() {
        assert!(decode(&bytes[..at], &trees).is_err(), "cut at {at}");
        for mask in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
            let mut changed = bytes.clone();
            changed[at] ^= mask;
            assert!(decode(&changed, &trees).is_err(), "{at}, {mask}");
        }
    }
    let longer = |more: &[u8]| [bytes.as_slice(), more].concat();
    assert_eq!(decode(&longer(&[0x20, 0]), &trees), Err(RecordError::Altered));
    assert!(decode(&longer(&[0]), &trees).is_err());
}

/// The bytes of a record are a format: a change here needs another `VERSION`.
#[test]
fn the_format_does_not_drift() {
    let (bytes, trees) = result(vec![file("a", "a", true), folder("d"), folder("d/e"), file("d/f", "f", false), link("l", "a")]).encode();
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    assert_eq!(hex(&trees[0].1), GOLDEN_TREE);
    assert_eq!(hex(&bytes), GOLDEN);
}

const GOLDEN_TREE: &str = "0aa5010a5a0a016612440a40323532663130633833363130656263613161303539633062616538323535656261326639356265346431\
    643762636661383964373234386138326439663131311001320f12080880e2cfaa0610011a0308a00312470a016512420a4065336230\
    633434323938666331633134396166626634633839393666623932343237616534316534363439623933346361343935393931623738\
    3532623835351200";
const GOLDEN: &str = "125c0a016112440a40636139373831313263613162626463616661633233316233396132336463346461373836656666383134376334\
    65373262393830373738356166656534386262100120013a0f12080880e2cfaa0610011a0308ed031a4a0a01641a450a403931303538\
    313930623332363839313335313564373339636538643939313039386466303866313233313066636633343836343531626161656338\
    393238663510aa014ae9015ae6010a25747970652e676f6f676c65617069732e636f6d2f736869707761792e76312e5265636f726412\
    bc010802122010e7c48a5da9c07de19effc87cc75d2a70888ce2d2e1704bf28f39b4efc69f4b1a440a40636539353361306562303832\
    343636313762376638343934383663346232366137616633376539643265386630653133623361653162663064613861373061321005\
    22440a403833366666313834653762343162316531336362356664383966613164653938646262616239396539643239313839313366\
    663433623836613563376332313310032a072f686f6d652f6130d20962060a016c120161";

#[test]
fn hostile_records_are_refused() {
    let digest = || Some(Digest::of(b"").into());
    let file = |path: &str, digest| OutputFile {
        path: path.to_owned(),
        digest,
        is_executable: false,
        node_properties: Some(tree::properties(0o644, 0)),
    };
    let files = |paths: &[&str]| {
        let files = paths.iter().map(|path| file(path, digest()));
        sealed(ActionResult { output_files: files.collect(), ..ActionResult::default() })
    };
    assert!(files(&["a", "b/c"]).is_ok());
    for path in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "a\0"] {
        assert_eq!(files(&[path]), Err(RecordError::Path(path.to_owned())), "{path:?}");
    }
    assert_eq!(files(&["b", "a"]), Err(RecordError::Order("a".to_owned())));
    assert_eq!(files(&["a", "a"]), Err(RecordError::Order("a".to_owned())));
    assert_eq!(files(&["a", "a/b"]), Err(RecordError::Below("a/b".to_owned())));
    let links = vec![OutputSymlink { path: "a".to_owned(), target: "/tmp".to_owned() }];
    let below = vec![file("a/b/c", digest())];
    let message = ActionResult { output_files: below, output_symlinks: links.clone(), ..ActionResult::default() };
    assert_eq!(sealed(message), Err(RecordError::Below("a/b/c".to_owned())));
    let same = vec![file("a", digest())];
    let message = ActionResult { output_files: same, output_symlinks: links.clone(), ..ActionResult::default() };
    assert_eq!(sealed(message), Err(RecordError::Order("a".to_owned())));
    for target in ["", "a\0b"] {
        let output_symlinks = vec![OutputSymlink { path: "a".to_owned(), target: target.to_owned() }];
        let message = ActionResult { output_symlinks, ..ActionResult::default() };
        assert_eq!(sealed(message), Err(RecordError::Target("a".to_owned())));
    }
    for (hash, size_bytes) in [("0".repeat(64), -1), ("0".repeat(63), 1), ("A".repeat(64), 1)] {
        let digest = Some(reapi::Digest { hash, size_bytes });
        let output_files = vec![file("a", digest)];
        assert_eq!(sealed(ActionResult { output_files, ..ActionResult::default() }), Err(RecordError::Digest("a".to_owned())));
    }
    let second = 1_000_000_000;
    let properties = |mode: Option<u32>, mtime: Option<(i64, i32)>| reapi::NodeProperties {
        mtime: mtime.map(|(seconds, nanos)| reapi::Timestamp { seconds, nanos }),
        unix_mode: mode.map(|value| reapi::UInt32Value { value }),
    };
    for (mode, mtime) in [
        (None, Some((0, 0))),
        (Some(0o644), None),
        (Some(0o755), Some((0, 0))),
        (Some(0o4644), Some((0, 0))),
        (Some(0o644), Some((0, -1))),
        (Some(0o644), Some((0, second))),
        (Some(0o644), Some((i64::MAX, 0))),
    ] {
        let output_files = vec![OutputFile { node_properties: Some(properties(mode, mtime)), ..file("a", digest()) }];
        assert_eq!(sealed(ActionResult { output_files, ..ActionResult::default() }), Err(RecordError::Properties("a".to_owned())));
    }
    let output_files = vec![OutputFile { node_properties: None, ..file("a", digest()) }];
    assert_eq!(sealed(ActionResult { output_files, ..ActionResult::default() }), Err(RecordError::Properties("a".to_owned())));
    let message = ActionResult { output_file_symlinks: links, ..ActionResult::default() };
    assert_eq!(sealed(message), Err(RecordError::Unexpected("links of the old kind")));
    assert_eq!(sealed(ActionResult { stdout_raw: vec![1], ..ActionResult::default() }), Err(RecordError::Unexpected("standard output")));
    assert_eq!(sealed(ActionResult { exit_code: 1, ..ActionResult::default() }), Err(RecordError::ExitCode(1)));
}

#[test]
fn records_of_others_are_refused() {
    assert_eq!(decode(b"", &[]), Err(RecordError::Foreign));
    let newer = Facts { version: 3, ..Facts::default() };
    assert_eq!(decode(&seal(ActionResult::default(), newer), &[]), Err(RecordError::Version(3)));
    let bare = Facts { version: VERSION, ..Facts::default() };
    assert_eq!(decode(&seal(ActionResult::default(), bare), &[]), Err(RecordError::Digest("the fingerprint".to_owned())));
}

/// A folder's content by name; at the top, the project's.
#[derive(Debug, Clone)]
enum Entry {
    Leaf(OutputKind),
    Inner(BTreeMap<String, Entry>),
}

fn names() -> impl Strategy<Value = String> {
    let odd = vec!["-rf", "a\nb", "ä", "\u{1f600}", "a", "a-", "a.", "..a", " ", "\\", "a b"];
    prop_oneof![
        proptest::sample::select(odd).prop_map(str::to_owned),
        "[^/\0]{1,6}".prop_filter("no name", |name| name != "." && name != "..")
    ]
}

fn entries() -> impl Strategy<Value = Entry> {
    let leaf = prop_oneof![
        (any::<u8>(), 0..=0o777u32, any::<i64>()).prop_map(|(byte, mode, modified)| OutputKind::File {
            digest: Digest::of(&[byte]),
            mode,
            modified
        }),
        "[^\0]{1,9}".prop_map(|target| OutputKind::Link { target }),
    ];
    let leaf = leaf.prop_map(Entry::Leaf);
    let inner = prop_oneof![leaf.clone(), Just(Entry::Inner(BTreeMap::new()))];
    inner.prop_recursive(5, 40, 5, |entry| proptest::collection::btree_map(names(), entry, 0..5).prop_map(Entry::Inner))
}

fn list(path: &str, entry: &Entry, outputs: &mut Vec<Output>) {
    match entry {
        Entry::Leaf(kind) => outputs.push(Output { path: path.to_owned(), kind: kind.clone() }),
        Entry::Inner(below) => {
            outputs.push(folder(path));
            for (name, entry) in below {
                list(&format!("{path}/{name}"), entry, outputs);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_result_comes_back(
        top in proptest::collection::btree_map(names(), entries(), 0..6),
        deep: bool,
        log: Option<u8>,
        bound_to in proptest::option::of(".{0,5}"),
        duration_ms: u64,
    ) {
        let mut outputs = Vec::new();
        for (name, entry) in &top {
            list(&if deep { format!("not/listed/{name}") } else { name.clone() }, entry, &mut outputs);
        }
        let log = log.map(|byte| Digest::of(&[byte]));
        let result = StageResult { log, bound_to, duration_ms, ..result(outputs) };
        let (bytes, trees) = result.encode();
        prop_assert_eq!(decode(&bytes, &trees).unwrap(), result);
    }

    #[test]
    fn garbage_is_refused(bytes: Vec<u8>) {
        assert!(decode(&bytes, &[]).is_err());
    }
}
