//! Links, and what is behind them.

use super::*;

#[test]
fn a_link_counts_with_what_it_leads_to() {
    let tree = Tree::new(&["real/a", "real/deep/b", "file"]);
    tree.link("l/file", "../file");
    tree.link("l/folder", "../real");
    tree.link("l/gone", "nowhere");
    assert_eq!(
        tree.select(&["l/*"]),
        ["file", "l/file -> ../file = file", "l/folder -> ../real = real", "l/gone -> nowhere = nothing", "real/a", "real/deep/b"]
    );
    // Excludes and ignored files mean nothing behind a link that counts.
    tree.write(".gitignore", "/real\n/file\n");
    assert_eq!(tree.select(&["l/file", "!file"]), ["file", "l/file -> ../file = file"]);
    assert_eq!(tree.default("l").len(), 6);
}

#[test]
fn circles_end() {
    let tree = Tree::new(&["d/a"]);
    tree.link("self", "self");
    tree.link("one", "two");
    tree.link("two", "one");
    tree.link("d/up", "..");
    tree.link("d/here", ".");
    assert_eq!(
        tree.select(&["**"]),
        ["d/a", "d/here -> . = d", "d/up -> .. = .", "one -> two = nothing", "self -> self = nothing", "two -> one = nothing"]
    );
    assert_eq!(tree.default(""), tree.select(&["**"]));
    assert_eq!(tree.select(&["d/up"]), tree.select(&["**"]));
}

#[test]
fn a_link_in_the_middle_that_turns_is_seen() {
    let tree = Tree::new(&["v1/f", "v2/f"]);
    tree.link("current", "v1");
    tree.link("in/f", "../current/f");
    assert_eq!(tree.select(&["in"]), ["in/f -> ../current/f = v1/f", "v1/f"]);
    fs::remove_file(tree.root.join("current")).unwrap();
    tree.link("current", "v2");
    assert_eq!(tree.select(&["in"]), ["in/f -> ../current/f = v2/f", "v2/f"]);
}

#[test]
fn what_lies_outside_is_named_by_the_link() {
    let tree = Tree::new(&["../out/a", "../out/deep/b", "../out/.git/HEAD", "../single"]);
    tree.link("x", "../out");
    tree.link("y", "../single");
    tree.link("z", "../out/deep");
    tree.link("../out/inner", "../single");
    assert_eq!(
        tree.select(&["*"]),
        [
            "x -> ../out = x//",
            "x//a",
            "x//deep/b",
            "x//inner -> ../single = x//inner//",
            "x//inner//",
            "y -> ../single = x//inner//",
            "z -> ../out/deep = x//deep"
        ]
    );
    assert_eq!(tree.select(&["z"]), ["z -> ../out/deep = z//", "z//b"]);
    assert_eq!(tree.default(""), tree.select(&["*"]));
}

#[test]
fn what_has_a_name_already_is_told_where_it_would_be() {
    let tree = Tree::new(&["../out/a", "../out/deep/b", "../out/none"]);
    tree.link("m", "../out/deep");
    tree.link("z", "../out");
    assert_eq!(tree.select(&["m", "z"]), ["m -> ../out/deep = m//", "m//b", "z -> ../out = z//", "z//a", "z//deep ->  = m//", "z//none"]);
}

#[test]
fn a_link_above_the_project_enters_it_by_its_names() {
    let tree = Tree::new(&["a", ".shipway/x", ".git/HEAD", "../beside"]);
    tree.link("up", "..");
    assert_eq!(tree.select(&["up"]), ["a", "up -> .. = up//", "up//beside", "up//project ->  = ."]);
}

#[test]
fn nothing_leads_to_outputs_or_to_git() {
    let tree = Tree::new(&["dist/app", ".git/HEAD", ".shipway/x", "pipeline.toml"]);
    tree.link("a", "dist/app");
    tree.link("b", "dist");
    tree.link("c", ".git/HEAD");
    tree.link("d", ".shipway");
    tree.link("e", "pipeline.toml");
    let lister = tree.lister(&["dist"]);
    let links = ["a -> dist/app = dist/app", "b -> dist = dist", "c -> .git/HEAD = .git/HEAD", "d -> .shipway = .shipway"];
    let listing = lister.list("", Some(&selectors(&["?", "b/*", "c", "d/x", "b/app"])), &[]).unwrap();
    assert_eq!(shown(&listing), [&links[..], &["e -> pipeline.toml = pipeline.toml", "pipeline.toml"]].concat());
    let listing = lister.list("", None, &[]).unwrap();
    assert_eq!(shown(&listing), [&links[..], &["e -> pipeline.toml = pipeline.toml"]].concat());
}

#[test]
fn a_selector_may_go_through_a_link() {
    let tree = Tree::new(&["real/a.c", "real/b.h", "real/.git/x", "../out/c.c", "../out/sub/d.c"]);
    tree.link("in", "real");
    tree.link("far", "../out");
    tree.link("../out/back", "../project/real/b.h");
    assert_eq!(tree.select(&["in/*.c"]), ["in -> real = real", "in/a.c"]);
    assert_eq!(tree.select(&["in/b.h", "in/none"]), ["in -> real = real", "in/b.h", "in/none is absent"]);
    assert_eq!(
        tree.select(&["far/**", "!far/sub"]),
        ["far -> ../out = far//", "far/back -> ../project/real/b.h = real/b.h", "far/c.c", "real/b.h"]
    );
    assert_eq!(tree.select(&["far/sub/d.c", "!far"]), [""; 0]);
    assert_eq!(tree.default("in"), ["in -> real = real", "real/a.c", "real/b.h"]);
    assert_eq!(tree.default("far/sub"), ["far -> ../out = far//", "far/sub/d.c"]);
}

#[test]
fn a_pattern_does_not_follow_links() {
    let tree = Tree::new(&["real/a.c", "real/b.h"]);
    tree.link("src/in", "../real");
    assert_eq!(tree.select(&["src/**/*.c"]), [""; 0]);
    assert_eq!(tree.select(&["src/*"]), ["real/a.c", "real/b.h", "src/in -> ../real = real"]);
}

#[test]
fn the_place_of_the_project_does_not_count() {
    let list = || {
        let tree = Tree::new(&["b", "a/c", "../out/x", "../out/deep/y"]);
        tree.link("a/l", "../../out");
        tree.link("m", "../out/deep");
        tree.select(&["**"])
    };
    assert_eq!(list(), list());
}

#[test]
fn a_device_behind_a_link_is_passed_by() {
    let tree = Tree::new(&[]);
    tree.link("null", "/dev/null");
    assert_eq!(tree.select(&["**"]), ["null -> /dev/null = null//"]);
}
