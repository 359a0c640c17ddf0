//! Listings against those of slower judges: every path and every selector in turn, and git itself.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Adds all files below `folder`, which lies at `path`.
fn all(folder: &Path, path: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = path.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            all(&entry.path(), &path, found);
        } else {
            found.push(path);
        }
    }
}

/// The contract, word by word.
fn naive(tree: &Tree, lines: &[Selector], claimed: &[Glob]) -> Vec<String> {
    let is_barred = |path: &Path| path.starts_with(".shipway") || claimed.iter().any(|glob| glob.matches(path));
    let means = |selector: &Selector, path: &Path| {
        let beyond = path.strip_prefix(selector.glob.base()).unwrap_or(path);
        selector.glob.matches(path) && (selector.exclude || beyond.iter().all(|name| name != ".git"))
    };
    let is_input = |path: &Path| {
        !is_barred(path) && lines.iter().rev().find(|selector| means(selector, path)).is_some_and(|selector| !selector.exclude)
    };
    let is_absent = |place: usize, path: &Path| {
        let is_excluded = lines[place..].iter().any(|selector| selector.exclude && means(selector, path));
        !tree.root.join(path).exists() && !is_barred(path) && !is_excluded
    };
    let mut files = Vec::new();
    all(&tree.root, Path::new(""), &mut files);
    let there = files.iter().filter(|path| is_input(path)).map(|path| path.to_str().unwrap().to_owned());
    let named = lines.iter().enumerate().filter(|(_, line)| !line.exclude && line.glob.is_literal());
    let gone = named.map(|(place, line)| (place, line.glob.path())).filter(|(place, path)| is_absent(*place, Path::new(path)));
    there.chain(gone.map(|(_, path)| format!("{path} is absent"))).collect::<BTreeSet<_>>().into_iter().collect()
}

fn names(of: &[&'static str], depth: usize) -> impl Strategy<Value = String> + use<> {
    proptest::collection::vec(proptest::sample::select(of.to_vec()), 1..=depth).prop_map(|names| names.join("/"))
}

/// Files that can lie in one tree: no file is another's folder.
fn files(of: &[&'static str]) -> impl Strategy<Value = Vec<String>> + use<> {
    proptest::collection::btree_set(names(of, 3), 1..12).prop_map(|paths| {
        let is_folder = |path: &String| paths.iter().any(|other| Path::new(other) != Path::new(path) && Path::new(other).starts_with(path));
        paths.iter().filter(|path| !is_folder(path)).cloned().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_pruned_walk_finds_what_a_whole_one_finds(
        files in files(&["a", "b", "ab.c", ".git", ".shipway", ".x"]),
        lines in proptest::collection::vec(
            (any::<bool>(), names(&["a", "b", "*", "**", "a*", "*.c", "{a,b}", "[ab]", "?", ".git", ".x", ".", "{a/b,b}", ".shipway"], 4)),
            0..5,
        ),
        claimed in proptest::collection::vec(names(&["a", "b", "*.c", "**"], 2), 0..2),
    ) {
        let tree = Tree::new(&files.iter().map(String::as_str).collect::<Vec<_>>());
        let lines: Vec<String> = lines.into_iter().map(|(exclude, glob)| format!("{}{glob}", if exclude { "!" } else { "" })).collect();
        let selectors = selectors(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let globs: Vec<Glob> = claimed.iter().map(|text| Glob::new("", text).unwrap()).collect();
        let lister = Lister::new(&tree.root, "pipeline.toml", Claimed::new(&globs));
        let mut listed = shown(&lister.list("", Some(&selectors), &[]).unwrap());
        listed.sort();
        prop_assert_eq!(listed, naive(&tree, &selectors, &globs), "{:?} less {:?} of {:?}", lines, claimed, files);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn git_ignores_the_same(
        files in files(&["a", "b", "ab.c", ".x", "{a}"]),
        rules in proptest::collection::vec(
            (names(&["a", "b"], 2), proptest::collection::vec((any::<bool>(), any::<bool>(), names(&["a", "b", "*", "**", "*.c", "{a}", "?"], 3), any::<bool>()), 1..4)),
            1..3,
        ),
        tracked in any::<proptest::sample::Index>(),
    ) {
        let tree = Tree::new(&files.iter().map(String::as_str).collect::<Vec<_>>());
        tree.git(&["init"]);
        tree.git(&["add", "-f", "--", &files[tracked.index(files.len())]]);
        for (at, (folder, lines)) in rules.iter().enumerate() {
            let line = |(not, from_here, glob, is_folder): &(bool, bool, String, bool)| {
                format!("{}{}{glob}{}\n", if *not { "!" } else { "" }, if *from_here { "/" } else { "" }, if *is_folder { "/" } else { "" })
            };
            let folder = if at == 0 { tree.root.clone() } else { tree.root.join(folder) };
            if folder.is_dir() {
                fs::write(folder.join(".gitignore"), lines.iter().map(line).collect::<String>()).unwrap();
            }
        }
        let words = ["-c", "core.excludesFile=/dev/null", "ls-files", "-z", "-c", "-o", "--exclude-per-directory=.gitignore"];
        let output = duct::cmd("git", words).dir(&tree.root).read().unwrap();
        let expected: BTreeSet<&str> = output.split('\0').filter(|name| !name.is_empty()).collect();
        prop_assert_eq!(tree.default(""), expected.into_iter().collect::<Vec<_>>(), "{:?} of {:?}", rules, files);
    }
}

/// What a reader that follows every link sees at `path`, to a certain depth; nothing where there are only empty folders.
fn seen(path: &Path, depth: usize) -> String {
    let Ok(kind) = path.symlink_metadata() else { return String::new() };
    if kind.is_symlink() {
        let text = fs::read_link(path).unwrap();
        return match path.canonicalize() {
            Ok(real) if depth > 0 => format!("{}={}", text.display(), seen(&real, depth - 1)),
            Ok(_) => format!("{}=", text.display()),
            Err(_) => format!("{} dangles", text.display()),
        };
    }
    if kind.is_file() {
        return format!("<{}>", fs::read_to_string(path).unwrap());
    }
    let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let inner =
        names.iter().filter(|_| depth > 0).map(|name| (name, seen(&path.join(name), depth - 1))).filter(|(_, seen)| !seen.is_empty());
    let inner: Vec<String> = inner.map(|(name, seen)| format!("{}:{seen}", name.display())).collect();
    if inner.is_empty() { String::new() } else { format!("({})", inner.join(",")) }
}

/// Everything of a listing that goes into a key.
fn print(tree: &Tree, selectors: Option<&[Selector]>) -> Vec<String> {
    let listing = tree.lister(&[]).list("", selectors, &[]).unwrap();
    let content = |input: &Input| if input.kind == InputKind::File { fs::read_to_string(&input.path).unwrap() } else { String::new() };
    shown(&listing).into_iter().zip(listing.inputs.iter().map(content)).map(|(name, content)| format!("{name} <{content}>")).collect()
}

/// Makes files and links in the project and beside it, so deep that no link leads out of the temporary folder.
fn plant(entries: &[(bool, String, Option<String>)]) -> Tree {
    let mut tree = Tree::new(&[]);
    tree.top.push("1/2/3/4/5/6/7/8");
    tree.root = tree.top.join("project");
    fs::create_dir_all(&tree.root).unwrap();
    for (outside, name, target) in entries {
        let path = tree.top.join(if *outside { "beside" } else { "project" }).join(name);
        // What does not fit any more is left out.
        if fs::create_dir_all(path.parent().unwrap()).is_ok() && path.symlink_metadata().is_err() {
            match target {
                Some(target) => symlink(target, &path).unwrap(),
                None => fs::write(&path, name).unwrap(),
            }
        }
    }
    tree
}

fn entries() -> impl Strategy<Value = Vec<(bool, String, Option<String>)>> {
    let target = names(&["..", "../beside", "../project", "../../beside", "a", "b", "c", "."], 3);
    let entry = (any::<bool>(), names(&["a", "b", "c"], 3), proptest::option::of(target));
    proptest::collection::vec(entry, 1..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_a_reader_sees_differently_is_listed_differently(
        entries in entries(),
        other in (any::<bool>(), names(&["a", "b", "c"], 3), proptest::option::of(names(&["..", "../beside", "../project", "a", "b", "c"], 3))),
        at in any::<proptest::sample::Index>(),
        selector in names(&["a", "b", "*", "**"], 2),
    ) {
        let mut changed = entries.clone();
        changed[at.index(entries.len())] = other;
        let (left, right) = (plant(&entries), plant(&changed));
        let selectors = selectors(&[&selector]);
        for selectors in [None, Some(&selectors[..]), Some(&self::selectors(&["a"]))] {
            let prints = [&left, &right].map(|tree| print(tree, selectors));
            prop_assert_eq!(&prints[0], &print(&left, selectors));
            let views = [&left, &right].map(|tree| match selectors {
                None => seen(&tree.root, 6),
                Some(lines) if lines[0].glob.is_literal() => seen(&tree.root.join(lines[0].glob.path()), 5),
                Some(_) => String::new(),
            });
            if views[0] != views[1] {
                prop_assert_ne!(&prints[0], &prints[1], "{:?} and {:?}", entries, changed);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_name_alone_tells_the_same_as_a_file_that_is_there(
        files in files(&["a", "b", "ab.c", ".git", ".shipway", ".x", "pipeline.toml"]),
        lines in proptest::option::of(proptest::collection::vec(
            (any::<bool>(), names(&["a", "b", "*", "**", "a*", "*.c", "{a,b}", "[ab]", "?", ".git", ".x", ".", "{a/b,b}", ".shipway"], 4)),
            0..5,
        )),
        dir in proptest::sample::select(vec!["", "a", "a/b"]),
        claimed in proptest::collection::vec(names(&["a", "b", "*.c", "**"], 2), 0..2),
        included in proptest::sample::subsequence(vec!["a/pipeline.toml".to_owned(), "a/b/pipeline.toml".to_owned()], 0..=2),
    ) {
        let tree = Tree::new(&files.iter().map(String::as_str).collect::<Vec<_>>());
        let line = |(exclude, glob): (bool, String)| {
            let glob = Glob::new(dir, &glob).unwrap();
            Selector { glob, exclude }
        };
        let selectors: Option<Vec<Selector>> = lines.map(|lines| lines.into_iter().map(line).collect());
        let globs: Vec<Glob> = claimed.iter().map(|text| Glob::new("", text).unwrap()).collect();
        let lister = Lister::new(&tree.root, "pipeline.toml", Claimed::new(&globs)).without(&included);
        let listing = lister.list(dir, selectors.as_deref(), &[]).unwrap();
        let listed: BTreeSet<&str> =
            listing.inputs.iter().filter(|input| input.kind != InputKind::Absent).map(|input| input.name.as_str()).collect();
        let mut all_files = Vec::new();
        all(&tree.root, Path::new(""), &mut all_files);
        for path in &all_files {
            let is_read = lister.would_read(dir, selectors.as_deref(), path);
            prop_assert_eq!(is_read, listed.contains(path.to_str().unwrap()), "{} of {:?}", path.display(), selectors);
            // What may lie below a folder is never denied.
            for folder in path.ancestors().skip(1).filter(|folder| is_read && !folder.as_os_str().is_empty()) {
                prop_assert!(lister.may_read_below(dir, selectors.as_deref(), folder), "{} in {}", path.display(), folder.display());
            }
        }
    }
}
