//! What is listed and what is not, on real files.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::*;
use crate::base::glob::Glob;
use crate::inputs::listing::{Input, InputKind};

mod against_others;
mod linked;

/// A project in a folder of its own, `project`, so that there is an outside.
struct Tree {
    _temporary: tempfile::TempDir,
    top: PathBuf,
    root: PathBuf,
}

impl Tree {
    /// Makes files, which hold their own names.
    fn new(files: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let top = temporary.path().canonicalize().unwrap();
        let tree = Self { root: top.join("project"), top, _temporary: temporary };
        fs::create_dir(&tree.root).unwrap();
        files.iter().for_each(|file| tree.write(file, file));
        tree
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, name: &str, target: &str) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn git(&self, words: &[&str]) {
        let settings = ["-c", "user.name=x", "-c", "user.email=x@y", "-c", "core.excludesFile=/dev/null"];
        let run = duct::cmd("git", settings.iter().chain(words)).dir(&self.root).env_remove("GIT_DIR").env_remove("GIT_INDEX_FILE");
        run.stdout_null().stderr_null().run().unwrap();
    }

    fn lister(&self, claimed: &[&str]) -> Lister {
        let globs: Vec<Glob> = claimed.iter().map(|text| Glob::new("", text).unwrap()).collect();
        Lister::new(&self.root, "pipeline.toml", Claimed::new(&globs))
    }

    /// Lists what the lines of `inputs` mean.
    fn select(&self, lines: &[&str]) -> Vec<String> {
        shown(&self.lister(&[]).list("", Some(&selectors(lines)), &[]).unwrap())
    }

    /// Lists what a stage in `dir` reads that declares nothing.
    fn default(&self, dir: &str) -> Vec<String> {
        shown(&self.lister(&[]).list(dir, None, &[]).unwrap())
    }
}

fn selectors(lines: &[&str]) -> Vec<Selector> {
    let read = |line: &&str| match line.strip_prefix('!') {
        Some(rest) => Selector { glob: Glob::new("", rest).unwrap(), exclude: true },
        None => Selector { glob: Glob::new("", line).unwrap(), exclude: false },
    };
    lines.iter().map(read).collect()
}

/// Shows a listing, one input a line: `name`, `name -> target = what it leads to`, `name is absent`.
fn shown(listing: &Listing) -> Vec<String> {
    assert_eq!(listing.unnameable, None);
    assert!(listing.inputs.is_sorted_by(|a, b| a.name < b.name));
    let show = |input: &Input| match &input.kind {
        InputKind::File => {
            assert_eq!(input.path.canonicalize().unwrap(), input.path);
            assert!(input.path.is_file());
            input.name.clone()
        }
        InputKind::Absent => format!("{} is absent", input.name),
        InputKind::Link { target, leads_to } => {
            format!("{} -> {} = {}", input.name, String::from_utf8_lossy(target), leads_to.as_deref().unwrap_or("nothing"))
        }
    };
    listing.inputs.iter().map(show).collect()
}

#[test]
fn later_selectors_win() {
    let tree = Tree::new(&["src/a.rs", "src/b.md", "src/deep/c.md", "Cargo.toml", "README.md"]);
    assert_eq!(tree.select(&["src/**", "Cargo.*", "!src/**/*.md"]), ["Cargo.toml", "src/a.rs"]);
    assert_eq!(tree.select(&["src", "!src/**/*.md", "src/deep"]), ["src/a.rs", "src/deep/c.md"]);
    assert_eq!(tree.select(&["!src", "src/a.rs"]), ["src/a.rs"]);
    assert_eq!(tree.select(&["src/a.rs", "!."]), [""; 0]);
    assert_eq!(tree.select(&[".", "!src"]), ["Cargo.toml", "README.md"]);
    assert_eq!(tree.select(&[]), [""; 0]);
}

#[test]
fn selectors_see_ignored_and_dotted_files() {
    let tree = Tree::new(&[".gitignore", ".env", "out/.x/y", "-dash", "größe", "new\nline", "a*b"]);
    tree.git(&["init"]);
    tree.write(".gitignore", "*");
    assert_eq!(tree.select(&["**"]), ["-dash", ".env", ".gitignore", "a*b", "größe", "new\nline", "out/.x/y"]);
    assert_eq!(tree.select(&["*.env", r"a\*b"]), [".env", "a*b"]);
}

#[test]
fn a_named_file_that_is_not_there_is_a_value() {
    let tree = Tree::new(&["a/file"]);
    assert_eq!(tree.select(&["x", "a/y", "a/file/z", "no*"]), ["a/file/z is absent", "a/y is absent", "x is absent"]);
    assert_eq!(tree.select(&["x", "!x", "a/y", "!a"]), [""; 0]);
    let listing = tree.lister(&["x", "b*"]).list("", Some(&selectors(&["x/y", "bc", "z"])), &[]).unwrap();
    assert_eq!(shown(&listing), ["z is absent"]);
}

#[test]
fn folders_of_git_and_our_own_are_no_inputs() {
    let tree = Tree::new(&[".git/HEAD", ".git/refs/x", "sub/.git/y", "sub/z", ".shipway/r", "sub/.shipway/s", "wt/.git", "wt/f"]);
    assert_eq!(tree.select(&["."]), ["sub/.shipway/s", "sub/z", "wt/f"]);
    assert_eq!(tree.select(&["**/y", "**/.git"]), [""; 0]);
    assert_eq!(tree.select(&[".git/HEAD", "sub/.git/*"]), [".git/HEAD", "sub/.git/y"]);
    assert_eq!(tree.select(&[".shipway", ".shipway/r", ".shipway/*", ".shipway/none"]), [""; 0]);
    assert_eq!(tree.default(""), ["sub/.shipway/s", "sub/z", "wt/f"]);
}

#[test]
fn what_is_declared_as_output_is_no_input() {
    let tree = Tree::new(&["dist/app", "out/a.js", "out/a.ts", "src/gen/x", "src/y", "pipeline.toml"]);
    let lister = tree.lister(&["dist", "out/*.js", "**/gen"]);
    let listing = lister.list("", Some(&selectors(&["**", "dist/app"])), &["dist/app".to_owned()]).unwrap();
    assert_eq!(shown(&listing), ["out/a.ts", "pipeline.toml", "src/y"]);
    assert_eq!(shown(&lister.list("", None, &["dist/app".to_owned()]).unwrap()), ["out/a.ts", "src/y"]);
}

#[test]
fn sockets_pipes_and_empty_folders_are_passed_by() {
    let tree = Tree::new(&["a"]);
    fs::create_dir_all(tree.root.join("empty/folder")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(tree.root.join("socket")).unwrap());
    assert_eq!(tree.select(&["**", "socket", "empty"]), ["a"]);
    assert_eq!(tree.default(""), ["a"]);
}

#[test]
fn programs_count_like_named_files() {
    let tree = Tree::new(&["bin/tool", "src/a", ".gitignore"]);
    tree.write(".gitignore", "bin");
    let programs = ["bin/tool".to_owned(), "bin/gone".to_owned()];
    let lister = tree.lister(&[]);
    let listing = lister.list("", Some(&selectors(&["src", "!**"])), &programs).unwrap();
    assert_eq!(shown(&listing), ["bin/gone is absent", "bin/tool"]);
    assert_eq!(shown(&lister.list("", None, &programs[..1]).unwrap()), [".gitignore", "bin/tool", "src/a"]);
    assert_eq!(shown(&lister.list("src", None, &[]).unwrap()), ["src/a"]);
}

#[test]
fn a_name_that_is_no_text_is_told() {
    let tree = Tree::new(&["a/b", "other/c"]);
    fs::create_dir(tree.root.join(OsStr::from_bytes(b"a/\xff"))).unwrap();
    fs::write(tree.root.join(OsStr::from_bytes(b"a/\xff/x.rs")), "").unwrap();
    let lister = tree.lister(&[]);
    for lines in [["**/*.rs", "a/b"], ["a", "a/b"]] {
        let listing = lister.list("", Some(&selectors(&lines)), &[]).unwrap();
        assert_eq!(listing.unnameable.as_deref(), Some("a/\u{fffd}/x.rs"));
        assert_eq!(listing.inputs.len(), 1);
    }
    assert_eq!(lister.list("", None, &[]).unwrap().unnameable.as_deref(), Some("a/\u{fffd}/x.rs"));
    assert_eq!(lister.list("", Some(&selectors(&["other", "*/*.c"])), &[]).unwrap().unnameable, None);
}

#[test]
fn ignored_files_are_no_default_inputs() {
    let tree = Tree::new(&["a.log", "keep.log", "build/x", "src/a.log", "src/b", "src/deep/keep.log", "src/deep/tmp/x", "pipeline.toml"]);
    tree.write(".gitignore", "*.log\n!/keep.log\nbuild/\n");
    tree.write("src/deep/.gitignore", "!keep.log\n/tmp\n");
    let expected = [".gitignore", "keep.log", "src/b", "src/deep/.gitignore", "src/deep/keep.log"];
    assert_eq!(tree.default(""), expected);
    tree.git(&["init"]);
    fs::write(tree.root.join(".git/info/exclude"), "src\n").unwrap();
    assert_eq!(tree.default(""), expected);
    assert_eq!(tree.default("src/deep"), expected[3..]);
    assert_eq!(tree.default("build"), [""; 0]);
    assert_eq!(tree.default("gone"), [""; 0]);
    assert_eq!(tree.lister(&[]).git_trouble(), None);
}

#[test]
fn tracked_files_count_though_they_are_ignored() {
    let tree = Tree::new(&["build/kept/a", "build/b", "build/c", "x.log", "y.log"]);
    tree.git(&["init"]);
    tree.git(&["add", "build/kept/a", "build/c", "x.log"]);
    tree.write(".gitignore", "build\n*.log\n");
    fs::remove_file(tree.root.join("build/c")).unwrap();
    assert_eq!(tree.default(""), [".gitignore", "build/kept/a", "x.log"]);
    assert_eq!(tree.default("build"), ["build/kept/a"]);
    tree.git(&["add", ".gitignore"]);
    tree.git(&["commit", "-m", "x"]);
    tree.git(&["worktree", "add", "../other"]);
    let other = Lister::new(&tree.top.join("other"), "pipeline.toml", Claimed::default());
    fs::write(tree.top.join("other/y.log"), "").unwrap();
    assert_eq!(shown(&other.list("", None, &[]).unwrap()), [".gitignore", "build/c", "build/kept/a", "x.log"]);
    fs::write(tree.root.join(".git/index"), "broken").unwrap();
    let lister = tree.lister(&[]);
    assert_eq!(shown(&lister.list("", None, &[]).unwrap()), [".gitignore"]);
    assert!(lister.git_trouble().unwrap().starts_with("git failed: "), "{:?}", lister.git_trouble());
}

#[test]
fn rules_above_the_project_hold_up_to_the_repository() {
    let tree = Tree::new(&["app/a.log", "app/b", "app/sub/c.tmp", "vendored/x/y.log", "vendored/x/z"]);
    fs::write(tree.top.join(".gitignore"), "b\n").unwrap();
    tree.git(&["init"]);
    tree.write(".gitignore", "*.log\nvendored\n");
    tree.write("app/.gitignore", "*.tmp\n");
    let list = |root: &str, dir: &str| {
        shown(&Lister::new(&tree.root.join(root), "pipeline.toml", Claimed::default()).list(dir, None, &[]).unwrap())
    };
    assert_eq!(list("app", ""), [".gitignore", "b"]);
    assert_eq!(list("app", "sub"), [""; 0]);
    // A project that lies in an ignored folder has inputs all the same.
    assert_eq!(list("vendored/x", ""), ["y.log", "z"]);
    tree.git(&["add", "-f", "app/a.log"]);
    assert_eq!(list("app", ""), [".gitignore", "a.log", "b"]);
}

#[test]
fn what_was_read_is_remembered_until_it_is_forgotten() {
    let tree = Tree::new(&["src/a", "src/b"]);
    let lister = tree.lister(&[]);
    let both = |expected: &[&str]| {
        assert_eq!(shown(&lister.list("", None, &[]).unwrap()), expected);
        assert_eq!(shown(&lister.list("", Some(&selectors(&["src/*"])), &[]).unwrap()), expected);
    };
    both(&["src/a", "src/b"]);
    fs::remove_file(tree.root.join("src/b")).unwrap();
    tree.write("src/c", "");
    lister.forget();
    both(&["src/a", "src/c"]);
}

#[test]
fn only_folders_that_a_pattern_reaches_are_read() {
    let tree = Tree::new(&["src/a.rs", "src/deep/b.rs", "lib/c.rs", "lib/d/e.rs"]);
    let lister = tree.lister(&[]);
    let listing = lister.list("", Some(&selectors(&["src/*.rs", "l*/*.rs", "!lib/c.rs"])), &[]).unwrap();
    assert_eq!(shown(&listing), ["src/a.rs"]);
    for (folder, was_read) in [("src", true), ("lib", true), ("src/deep", false), ("lib/d", false)] {
        fs::write(tree.root.join(folder).join("new"), "").unwrap();
        let is_remembered = lister.ground.folders.read(&tree.root.join(folder)).unwrap().iter().all(|entry| entry.name != "new");
        assert_eq!(is_remembered, was_read, "{folder}");
    }
}

#[test]
fn a_folder_that_cannot_be_read_is_named() {
    let error = super::super::folders::unreadable("folder", Path::new("/a\nb"), &io::Error::from(io::ErrorKind::PermissionDenied));
    assert_eq!(error.to_string(), "folder `/a\\nb` cannot be read: permission denied");
}

#[test]
fn what_several_threads_find_is_all_there_in_order() {
    let tree = Tree::new(&[".gitignore"]);
    tree.write(".gitignore", "*.o\n");
    let mut files = vec![".gitignore".to_owned()];
    for folder in 0..70 {
        for file in 0..40 {
            files.push(format!("f{folder}/g{}/{file}", folder % 7));
            tree.write(files.last().unwrap(), "");
        }
        tree.write(&format!("f{folder}/x.o"), "");
        tree.link(&format!("f{folder}/link"), "../.gitignore");
        files.push(format!("f{folder}/link"));
    }
    files.sort();
    let lister = tree.lister(&[]);
    let names = |listing: &Listing| listing.inputs.iter().map(|input| input.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&lister.list("", None, &[]).unwrap()), files);
    assert_eq!(names(&lister.list("", Some(&selectors(&["**", "!**/*.o"])), &[]).unwrap()), files);
    // Each by its name, some twice, and two that are not there.
    let mut lines: Vec<&str> = files.iter().rev().chain(&files[..500]).map(String::as_str).collect();
    lines.extend(["f3/none", "none/at/all"]);
    let listing = lister.list("", Some(&selectors(&lines)), &[]).unwrap();
    let absent: Vec<&str> =
        listing.inputs.iter().filter(|input| input.kind == InputKind::Absent).map(|input| input.name.as_str()).collect();
    assert_eq!(absent, ["f3/none", "none/at/all"]);
    assert_eq!(listing.inputs.len(), files.len() + 2);
    // What takes away counts for those before it alone, wherever it stands among thousands.
    lines[10] = "!f1/**";
    let listing = lister.list("", Some(&selectors(&lines)), &[]).unwrap();
    let is_of_first = |name: &&String| name.starts_with("f1/");
    let before = lines[..10].iter().filter(|name| name.starts_with("f1/")).count();
    let again = files[..500].iter().filter(is_of_first).count();
    assert!(before == 0 && again > 0);
    assert_eq!(names(&listing).iter().filter(is_of_first).count(), files.iter().filter(is_of_first).count());
    lines[2810] = "!f1/**";
    let listing = lister.list("", Some(&selectors(&lines)), &[]).unwrap();
    assert_eq!(names(&listing).iter().filter(is_of_first).count(), again);
}
