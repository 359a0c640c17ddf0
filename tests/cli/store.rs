//! The store from outside: damaged, misplaced, foreign, shared, and never with a secret.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::project::{Project, brief, event, notices, output, predicted};

/// Outputs of every kind, and a log.
const ALL: &str = r#"
[stages.a]
steps = ["echo a >> $XDG_N/runs; echo said; mkdir -p out/dir/empty; cp src out/plain; echo deep > out/dir/deep; ln -s deep out/dir/link; chmod +x out/dir/deep"]
inputs = ["src"]
outputs = ["out"]
"#;

fn all() -> Project {
    let project = Project::counted(ALL);
    project.write("src", "content of the source\n");
    project
}

#[track_caller]
fn is_whole(project: &Project, what: &str) {
    assert_eq!(project.read("out/plain"), "content of the source\n", "{what}");
    assert_eq!(project.read("out/dir/link"), "deep\n", "{what}");
    assert!(project.join("out/dir/link").is_symlink() && project.join("out/dir/empty").is_dir(), "{what}");
    assert!(project.join("out/dir/deep").metadata().unwrap().permissions().mode() & 0o111 != 0, "{what}");
}

/// Makes the bytes of a store file other ones; blobs are not writable.
fn replace(file: &Path, bytes: &[u8]) {
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap().success());
}

fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
}

/// A way to damage a file.
type Damage = (&'static str, fn(&Path, &[u8]));

fn flip(file: &Path, bytes: &[u8], place: usize) {
    let mut bytes = bytes.to_vec();
    bytes[place] ^= 1;
    replace(file, &bytes);
}

const DAMAGES: &[Damage] = &[
    ("the first byte", |file, bytes| flip(file, bytes, 0)),
    ("the second byte", |file, bytes| flip(file, bytes, 1)),
    ("a byte of the middle", |file, bytes| flip(file, bytes, bytes.len() / 2)),
    ("the last byte", |file, bytes| flip(file, bytes, bytes.len() - 1)),
    ("cut by one", |file, bytes| replace(file, &bytes[..bytes.len() - 1])),
    ("cut in half", |file, bytes| replace(file, &bytes[..bytes.len() / 2])),
    ("appended to", |file, bytes| replace(file, &[bytes, b"\0"].concat())),
    ("doubled", |file, bytes| replace(file, &[bytes, bytes].concat())),
    ("emptied", |file, _| replace(file, b"")),
    ("gone", |file, _| fs::remove_file(file).unwrap()),
    ("a link to another file of the store's", |file, _| {
        fs::remove_file(file).unwrap();
        symlink("../../CACHEDIR.TAG", file).unwrap();
    }),
];

/// rushstack#2827: a truncated archive gives an incomplete build and success.
#[test]
fn damage_is_never_a_hit_with_wrong_content() {
    let project = all();
    project.brief(&[]);
    let kept = tempfile::tempdir().unwrap();
    copy(project.store(), kept.path());
    let files: Vec<PathBuf> = project.stored("ac").into_iter().chain(project.stored("cas")).collect();
    assert!(files.len() >= 5, "a record, a fingerprint, a log, a tree, contents: {files:?}");
    let key = project.predicted("a")["key"].as_str().unwrap().to_owned();
    for file in &files {
        let bytes = fs::read(file).unwrap();
        for (name, damage) in DAMAGES {
            empty(project.store());
            copy(kept.path(), project.store());
            let what = format!("{}: {name}", file.display());
            damage(file, &bytes);
            project.remove("out");
            let (code, events) = project.events([""; 0]);
            let did = brief(&events);
            // A fingerprint only tells why.
            let is_fingerprint = *file == project.in_store("cas", &key);
            assert_eq!((code, did.as_str()), (0, if is_fingerprint { "a cached" } else { "a passed" }), "{what}");
            assert_eq!(output(&events, "a", "stdout"), "said\n", "{what}");
            is_whole(&project, &what);
            project.remove("out");
            let (_, events) = project.events([""; 0]);
            assert_eq!((brief(&events).as_str(), output(&events, "a", "stdout").as_str()), ("a cached", "said\n"), "{what}, healed");
            is_whole(&project, &what);
        }
    }
}

/// A folder in a file's place is nobody's to remove; it is no hit either.
#[test]
fn a_folder_in_the_place_of_a_stored_file_is_no_hit() {
    let project = all();
    project.brief(&[]);
    for file in project.stored("ac").into_iter().chain(project.stored("cas")) {
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        for _ in 0..2 {
            project.remove("out").brief(&[]);
            is_whole(&project, &file.display().to_string());
        }
        fs::remove_dir(&file).unwrap();
        fs::write(&file, bytes).unwrap();
    }
}

/// Every byte of a record counts.
#[test]
fn no_byte_of_a_record_can_be_changed() {
    let project = all();
    project.brief(&[]);
    let file = project.stored("ac").remove(0);
    let bytes = fs::read(&file).unwrap();
    for place in 0..bytes.len() {
        flip(&file, &bytes, place);
        let foreseen = project.predicted("a");
        assert_eq!(foreseen["prediction"], "miss", "byte {place}");
        let reason = foreseen["reason"].as_str().unwrap();
        assert!(reason.starts_with("its stored result was damaged"), "byte {place}: {reason}");
    }
    replace(&file, &bytes);
    assert_eq!(project.predicted("a")["prediction"], "hit");
}

/// A record under another key's name is whole, and wrong.
#[test]
fn a_record_in_the_wrong_place_is_no_hit() {
    let project = all();
    project.brief(&[]);
    let first = project.stored("ac").remove(0);
    project.write("src", "other\n");
    let key = project.predicted("a")["key"].as_str().unwrap().to_owned();
    let wrong = project.in_store("ac", &key);
    fs::create_dir_all(wrong.parent().unwrap()).unwrap();
    fs::copy(first, &wrong).unwrap();
    let (_, events) = project.events([""; 0]);
    assert_eq!(brief(&events), "a passed");
    assert_eq!(event(&events, "stage-finished", "a")["reason"], "its stored result was damaged: the record is of another key");
    assert_eq!(project.read("out/plain"), "other\n");
    project.remove("out");
    assert_eq!(project.brief(&[]), "a cached");
    assert_eq!(project.read("out/plain"), "other\n");
}

/// Several damages at once are healed by one run.
#[test]
fn all_that_is_damaged_goes_at_once() {
    let project = Project::counted(
        "[stages.a]\nsteps = [\"echo said; echo 1 > out/1; echo 2 > out/2; echo 3 > out/3\"]\ninputs = []\noutputs = [\"out/*\"]\n",
    );
    project.brief(&[]);
    for blob in project.stored("cas") {
        let bytes = fs::read(&blob).unwrap();
        flip(&blob, &bytes, bytes.len() - 1);
    }
    for did in ["a passed", "a cached"] {
        assert_eq!(project.remove("out").brief(&[]), did);
        assert_eq!(project.read("out/1") + &project.read("out/2") + &project.read("out/3"), "1\n2\n3\n");
    }
}

/// A blob under another's name.
#[test]
fn contents_that_are_exchanged_are_no_hit() {
    let project =
        Project::counted("[stages.a]\nsteps = [\"echo 111 > out/1; echo 222 > out/2\"]\ninputs = []\noutputs = [\"out/1\", \"out/2\"]\n");
    project.brief(&[]);
    let of = |text: &[u8]| project.stored("cas").into_iter().find(|blob| fs::read(blob).unwrap() == text).unwrap();
    let (one, two) = (of(b"111\n"), of(b"222\n"));
    fs::rename(&one, &two).unwrap();
    fs::copy(&two, &one).unwrap();
    project.remove("out/2");
    assert_eq!(project.brief(&[]), "a passed");
    assert_eq!((project.read("out/1").as_str(), project.read("out/2").as_str()), ("111\n", "222\n"));
    project.remove("out");
    assert_eq!(project.brief(&[]), "a cached");
    assert_eq!(project.read("out/2"), "222\n");
}

/// A store that cannot be used costs one notice.
#[test]
fn an_unusable_store_costs_one_notice() {
    type Spoil = (&'static str, fn(&Path));
    let spoil: [Spoil; 3] = [
        ("is not a folder", |path| fs::write(path, "x").unwrap()),
        ("holds files that are not shipway's", |path| {
            fs::create_dir(path).unwrap();
            fs::write(path.join("mine"), "x").unwrap();
        }),
        ("does not exist", |path| symlink("nowhere/at/all", path).unwrap()),
    ];
    for (words, spoil) in spoil {
        let project = all();
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store");
        spoil(&path);
        for runs in 1..=2 {
            let mut command = project.command(["run", "--format", "json"]);
            command.env("SHIPWAY_CACHE_DIR", &path);
            let events = crate::project::events(&crate::project::said(command).exits(0).stdout);
            assert_eq!(brief(&events), "a passed unstored");
            let notices = notices(&events);
            assert!(notices.lines().count() == 1 && notices.contains(words), "{words}: {notices}");
            is_whole(&project, words);
            assert_eq!(project.count("a"), runs);
        }
        assert!(!path.is_dir() || fs::read_dir(&path).unwrap().count() == 1, "nothing was written there");
    }
}

/// turborepo#13651: a cache that worktrees share brings another checkout's paths.
#[test]
fn a_result_that_holds_its_place_is_good_for_that_place_only() {
    let stages = "[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; pwd > out\"]\ninputs = []\noutputs = [\"out\"]\n[stages.b]\nneeds = [\"a\"]\nsteps = [\"echo b >> $XDG_N/runs\"]\ninputs = []\n";
    let one = Project::counted(stages);
    one.brief(&[]);
    let two = one.twin();
    two.remove("out");
    let (_, events) = two.events([""; 0]);
    assert_eq!(brief(&events), "a passed, b passed");
    let reason = event(&events, "stage-finished", "a")["reason"].as_str().unwrap();
    let path = |project: &Project| project.path().canonicalize().unwrap().display().to_string();
    assert_eq!(reason, format!("its stored result holds the path of another checkout, `{}`", path(&one)));
    for project in [&one, &two, &one, &two] {
        assert_eq!(project.brief(&[]), "a cached, b cached");
        project.remove("out");
        assert_eq!(project.brief(&[]), "a cached, b cached");
        assert_eq!(project.read("out"), path(project) + "\n");
    }
    assert_eq!((one.count("a"), one.count("b")), (2, 2));
}

/// The path may stand in the text of a link, or the name of a file; and whoever says `portable` knows better.
#[test]
fn the_place_is_found_wherever_it_stands() {
    for step in ["mkdir out; ln -s $PWD/src out/link", "mkdir -p out$PWD/deep", "mkdir out; head -c 262134 /dev/zero > out/a; pwd >> out/a"]
    {
        let one = Project::counted(&format!("[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; {step}\"]\ninputs = []\noutputs = [\"out\"]\n"));
        one.write("src", "x").brief(&[]);
        let two = one.twin();
        two.remove("out");
        assert_eq!(two.brief(&[]), "a passed", "{step}");
        assert_eq!((one.brief(&[]).as_str(), two.brief(&[]).as_str(), one.count("a")), ("a cached", "a cached", 2));
    }
    let one =
        Project::counted("[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; pwd > out\"]\ninputs = []\noutputs = [\"out\"]\nportable = true\n");
    one.brief(&[]);
    let two = one.twin();
    two.remove("out");
    assert_eq!(two.brief(&[]), "a cached");
    assert_eq!((two.read("out"), one.count("a")), (one.read("out"), 1));
}

/// nx#36675, turborepo#5217: checkouts share what does not depend on their place.
#[test]
fn a_second_checkout_reuses_the_first_ones_results() {
    let one = all();
    one.brief(&[]);
    let two = one.twin();
    two.remove("out");
    assert_eq!(predicted(two.command(["run", "-n", "--format", "json"]), "a")["key"], one.predicted("a")["key"]);
    assert_eq!(two.brief(&[]), "a cached");
    is_whole(&two, "restored");
    two.write("src", "another\n");
    assert_eq!(two.brief(&[]), "a passed");
    assert_eq!(one.brief(&[]), "a cached");
    is_whole(&one, "left alone");
}

const SECRET: &str = "s3cr3t-value-of-the-token";

/// Every file below `folder` that holds one of these texts.
fn holders(folder: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                let holds = |text: &&str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
                if texts.iter().any(holds) {
                    found.push(path);
                }
            }
        }
    }
    found
}

/// go-task#2066 and the leaks of caches: the value of a secret gets nowhere.
#[test]
fn a_secret_is_nowhere_in_the_store() {
    let encoded =
        String::from_utf8(Command::new("sh").args(["-c", &format!("printf %s {SECRET} | base64 -w0")]).output().unwrap().stdout).unwrap();
    for (what, step) in [
        ("plain", "printf %s $TOKEN > out/a"),
        ("first chunk", "head -c 262134 /dev/zero > out/a; printf %s $TOKEN >> out/a"),
        ("second chunk", "head -c 524280 /dev/zero > out/a; printf %s $TOKEN >> out/a; head -c 9 /dev/zero >> out/a"),
        ("base64", "printf %s $TOKEN | base64 -w0 > out/a"),
        ("name", "touch out/$TOKEN"),
        ("link", "ln -s $TOKEN out/a"),
    ] {
        let project = Project::counted(&format!(
            "[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; mkdir -p out; {step}; echo it is $TOKEN\"]\ninputs = []\noutputs = [\"out\"]\nsecrets = [\"TOKEN\"]\n"
        ));
        let run = || {
            let mut command = project.command(["run", "--format", "json"]);
            command.env("TOKEN", SECRET);
            let said = crate::project::said(command).exits(0);
            assert!(!said.stdout.contains(SECRET) && !said.stderr.contains(SECRET), "{what}");
            crate::project::events(&said.stdout)
        };
        for runs in 1..=2 {
            let events = run();
            assert_eq!((brief(&events).as_str(), project.count("a")), ("a passed unstored", runs), "{what}");
            assert!(notices(&events).starts_with("not stored: the output `out"), "{what}: {}", notices(&events));
            assert!(notices(&events).contains("holds the value of a secret"), "{what}: {}", notices(&events));
        }
        for folder in [project.store().to_owned(), project.join(".shipway")] {
            // What lies in the project is called so, and `.shipway/` knows it by that name.
            if what != "name" || folder == project.store() {
                assert_eq!(holders(&folder, &[SECRET, &encoded]), Vec::<PathBuf>::new(), "{what}");
            }
        }
    }
}

/// A log with a secret is stored masked; another value of the secret is the same key.
#[test]
fn the_log_is_stored_without_the_secret() {
    let project =
        Project::counted("[stages.a]\nsteps = [\"echo a >> $XDG_N/runs; echo it is $TOKEN\"]\ninputs = []\nsecrets = [\"TOKEN\"]\n");
    for (value, did) in [(SECRET, "a passed"), (SECRET, "a cached"), ("another-value", "a cached")] {
        let mut command = project.command(["run", "--format", "json"]);
        command.env("TOKEN", value);
        let said = crate::project::said(command).exits(0);
        let events = crate::project::events(&said.stdout);
        assert_eq!(brief(&events), did);
        assert_eq!(output(&events, "a", "stdout"), "it is ***\n");
    }
    assert_eq!(holders(project.store(), &[SECRET]), Vec::<PathBuf>::new());
    assert_eq!(holders(&project.join(".shipway"), &[SECRET]), Vec::<PathBuf>::new());
}

/// What is a secret is in no key, whatever pattern of `pass-env` means it, too.
#[test]
fn a_secret_is_in_no_key() {
    for pass in ["", "pass-env = [\"TO*\"]", "pass-env = [\"TOKEN\"]"] {
        let project = Project::new(&format!("[stages.a]\nsteps = [\"echo\"]\ninputs = []\nsecrets = [\"TOKEN\"]\n{pass}\n"));
        let key = |value: &str| {
            let mut command = project.command(["run", "-n", "--format", "json"]);
            command.env("TOKEN", value).env("TO_BE", "1");
            predicted(command, "a")["key"].clone()
        };
        assert!(key("one-value").is_string(), "{pass}");
        assert_eq!(key("one-value"), key("another-value"), "{pass}");
    }
}
