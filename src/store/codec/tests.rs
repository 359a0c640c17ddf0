//! Tests of `codec.rs`.

use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{prop_assert_eq, proptest};

use super::*;

fn file(path: &str, content: &str, executable: bool) -> Output {
    Output { path: path.to_owned(), kind: OutputKind::File { digest: Digest::of(content.as_bytes()), executable } }
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
    let (bytes, trees) = result(vec![file("a", "a", true), folder("d"), folder("d/e"), link("l", "a")]).encode();
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    assert_eq!(hex(&trees[0].1), GOLDEN_TREE);
    assert_eq!(hex(&bytes), GOLDEN);
}

const GOLDEN_TREE: &str = "0a4912470a016512420a406533623063343432393866633163313439616662663463383939366662393234323761653431653436343962\
    39333463613439353939316237383532623835351200";
const GOLDEN: &str = "124b0a016112440a4063613937383131326361316262646361666163323331623339613233646334646137383665666638313437633465\
    373262393830373738356166656534386262100120011a490a01641a440a40316138356234616162386264663966643735303934363065\
    63303136626666376534633264316131333263333932393562363765646638613435666235653866104d4ae9015ae6010a25747970652e\
    676f6f676c65617069732e636f6d2f736869707761792e76312e5265636f726412bc0108011220125809562c7c00fffd65bc90ca052aa9\
    b2cb6b7494d201ad80260baadd1455fb1a440a406365393533613065623038323436363137623766383439343836633462323661376166\
    3337653964326538663065313362336165316266306461386137306132100522440a403833366666313834653762343162316531336362\
    356664383966613164653938646262616239396539643239313839313366663433623836613563376332313310032a072f686f6d652f61\
    30d20962060a016c120161";

#[test]
fn hostile_records_are_refused() {
    let digest = || Some(Digest::of(b"").into());
    let files = |paths: &[&str]| {
        let files = paths.iter().map(|path| OutputFile { path: (*path).to_owned(), digest: digest(), is_executable: false });
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
    let below = vec![OutputFile { path: "a/b/c".to_owned(), digest: digest(), is_executable: false }];
    let message = ActionResult { output_files: below, output_symlinks: links.clone(), ..ActionResult::default() };
    assert_eq!(sealed(message), Err(RecordError::Below("a/b/c".to_owned())));
    let same = vec![OutputFile { path: "a".to_owned(), digest: digest(), is_executable: false }];
    let message = ActionResult { output_files: same, output_symlinks: links.clone(), ..ActionResult::default() };
    assert_eq!(sealed(message), Err(RecordError::Order("a".to_owned())));
    for target in ["", "a\0b"] {
        let output_symlinks = vec![OutputSymlink { path: "a".to_owned(), target: target.to_owned() }];
        let message = ActionResult { output_symlinks, ..ActionResult::default() };
        assert_eq!(sealed(message), Err(RecordError::Target("a".to_owned())));
    }
    for (hash, size_bytes) in [("0".repeat(64), -1), ("0".repeat(63), 1), ("A".repeat(64), 1)] {
        let digest = Some(reapi::Digest { hash, size_bytes });
        let output_files = vec![OutputFile { path: "a".to_owned(), digest, is_executable: false }];
        assert_eq!(sealed(ActionResult { output_files, ..ActionResult::default() }), Err(RecordError::Digest("a".to_owned())));
    }
    let message = ActionResult { output_file_symlinks: links, ..ActionResult::default() };
    assert_eq!(sealed(message), Err(RecordError::Unexpected("links of the old kind")));
    assert_eq!(sealed(ActionResult { stdout_raw: vec![1], ..ActionResult::default() }), Err(RecordError::Unexpected("standard output")));
    assert_eq!(sealed(ActionResult { exit_code: 1, ..ActionResult::default() }), Err(RecordError::ExitCode(1)));
}

#[test]
fn records_of_others_are_refused() {
    assert_eq!(decode(b"", &[]), Err(RecordError::Foreign));
    let newer = Facts { version: 2, ..Facts::default() };
    assert_eq!(decode(&seal(ActionResult::default(), newer), &[]), Err(RecordError::Version(2)));
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
        (any::<u8>(), any::<bool>()).prop_map(|(byte, executable)| OutputKind::File { digest: Digest::of(&[byte]), executable }),
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
