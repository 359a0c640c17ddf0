//! `run --affected`: what differs from the base, what depends on it, what they need, and nothing else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::project::{Project, brief, events, git, notices, said};

/// `a` and `b` read folders of their own, `c` needs `b`, `d` waits for `a` and needs `e`, `f` reads all.
const STAGES: &str = "\
[stages.a]\ninputs = [\"a/**\", \"!**/*.md\"]\nsteps = [\"true\"]\n\
[stages.b]\ndir = \"b\"\ninputs = [\".\"]\nsteps = [\"echo b > out\"]\noutputs = [\"out\"]\n\
[stages.c]\nneeds = [\"b\"]\ninputs = []\nsteps = [\"cat b/out\"]\n\
[stages.d]\nneeds = [\"e\"]\nafter = [\"a\"]\ninputs = []\nsteps = [\"cat e.out\"]\n\
[stages.e]\ninputs = []\nsteps = [\"echo e > e.out\"]\noutputs = [\"e.out\"]\n\
[stages.f]\ndir = \"f\"\nsteps = [\"true\"]\n";

/// A clone of a repository with one commit: `origin/HEAD` is its `main`.
fn cloned(stages: &str) -> (TempDir, Project) {
    let first = Project::new(stages);
    for file in ["a/x", "a/y", "a/note.md", "b/x", "b/deep/y", "f/x", "f/.gitignore", "other"] {
        first.write(file, file);
    }
    first.write(".gitignore", "/b/out\n/e.out\n*.log\n").write("f/.gitignore", "tmp\n");
    for arguments in [&["init", "-q"][..], &["add", "."], &["commit", "-qm", "first"]] {
        git(first.path(), arguments);
    }
    let bare = tempfile::tempdir().unwrap();
    git(first.path(), &["clone", "-q", "--bare", ".", bare.path().to_str().unwrap()]);
    let project = Project::empty();
    git(project.path(), &["clone", "-q", &url(bare.path()), "."]);
    (bare, project)
}

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

fn commit(project: &Project) {
    git(project.path(), &["add", "-A"]);
    git(project.path(), &["commit", "-qm", "more"]);
}

/// The stages that would run, and what they need.
#[track_caller]
fn affected(project: &Project, arguments: &[&str]) -> String {
    let mut command = project.command(["run", "-n", "--format", "json", "--affected"]);
    command.args(arguments);
    let said = said(command).exits(0);
    let all: Value = serde_json::from_str(&said.stdout).unwrap();
    let mut names: Vec<&str> = all["stages"].as_array().unwrap().iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.join(" ")
}

/// What is said where there is nothing to compare with.
#[track_caller]
fn refused(project: &Project, arguments: &[&str]) -> String {
    let mut command = project.command(["run", "--affected"]);
    command.args(arguments);
    let said = said(command).exits(3);
    assert!(!project.exists(".shipway/runs"), "nothing has run");
    said.stderr
}

#[test]
fn what_differs_runs_with_what_it_needs_and_what_depends_on_it() {
    let (_bare, project) = cloned(STAGES);
    assert_eq!(affected(&project, &[]), "");
    project.write("b/x", "changed");
    assert_eq!(affected(&project, &[]), "b c");
    commit(&project);
    assert_eq!(affected(&project, &[]), "b c", "the merge base stays");
    project.write("a/x", "changed");
    assert_eq!(affected(&project, &[]), "a b c d e", "`d` waits for `a`, and needs `e`, which does not differ");
    assert_eq!(affected(&project, &["--base", "HEAD"]), "a d e");
    assert_eq!(affected(&project, &["c"]), "b c");
    assert_eq!(affected(&project, &["e"]), "");
    assert_eq!(affected(&project, &["d", "c", "--only"]), "c d");
    assert_eq!(affected(&project, &["--skip", "b", "--skip", "e"]), "a c d");

    let (code, events) = project.events(["--affected"]);
    assert_eq!((code, brief(&events).as_str()), (0, "a passed, b passed, c passed, d passed, e passed"));
    assert!(notices(&events).contains(", the merge base with `origin/main`: 4 of 6 stages\n"), "{}", notices(&events));
    let (_, events) = project.events(["--affected"]);
    assert_eq!(brief(&events), "a cached, b cached, c cached, d cached, e cached", "affected, and known all the same");
    let said = project.shipway(["run", "--affected", "-n"]).exits(0);
    for line in ["  a: `a/x` differs\n", "  b: `b/x` differs\n", "  c: it depends on `b`\n", "  d: it depends on `a`\n"] {
        assert!(said.stderr.contains(line), "{line} in {}", said.stderr);
    }
}

#[test]
fn nothing_affected_is_a_success_that_says_so() {
    let (_bare, project) = cloned(STAGES);
    project.write("other", "of no stage");
    let said = project.shipway(["run", "--affected"]).exits(0);
    assert!(said.stderr.contains("no stage is affected since") && said.stderr.contains("nothing to run"), "{}", said.stderr);
    let (code, all) = project.events(["--affected", "a", "--", "word"]);
    assert_eq!(code, 0);
    let kinds: Vec<_> = all.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["run-started", "notice", "run-finished"]);
    assert_eq!((&all[0]["stages"], &all[2]["outcome"]), (&serde_json::json!([]), &serde_json::json!("passed")));
    project.shipway(["report"]).exits(0);
    // A name that is not there is an error all the same.
    project.shipway(["run", "--affected", "x"]).exits(2);
    project.shipway(["run", "--base", "HEAD"]).exits(2);
}

#[test]
fn every_kind_of_change_counts() {
    let changes = [
        ("a file is new", "touch a/new", "a d e"),
        ("an excluded one is new", "touch a/new.md", ""),
        ("one is gone", "rm b/deep/y", "b c"),
        ("a folder is gone", "rm -r a", "a d e"),
        ("one is renamed within git", "git mv a/x b/z", "a b c d e"),
        ("one is renamed", "mv a/y other2", "a d e"),
        ("one can be started", "chmod +x f/x", "f"),
        ("one became a link", "rm f/x; ln -s ../other f/x", "f"),
        ("one became a folder", "rm a/x; mkdir a/x; touch a/x/y", "a d e"),
        ("one is out of the index", "git rm -q --cached a/x", "a d e"),
        ("one differs in the index only", "echo s > a/x; git add .; printf %s a/x > a/x", ""),
        ("git was told not to look", "git update-index --assume-unchanged a/x; echo c > a/x", "a d e"),
        ("git was told that modes do not count", "git config core.fileMode false; chmod +x f/x", "f"),
        ("an ignored one is new, where ignored ones count", "touch b/x.log", "b c"),
        ("an ignored one is new, where they do not", "mkdir f/tmp; touch f/x.log f/tmp/x", ""),
        ("an ignored one is no longer", "touch f/x.log; echo /b/out > .gitignore", "f"),
        ("the name is odd", "touch 'a/größe\n*'", "a d e"),
        ("the name is no text", r#"touch "$(printf 'f/\377')""#, "f"),
        ("the pipeline, in a remark", "echo '# x' >> pipeline.toml", ""),
    ];
    let (bare, _) = cloned(STAGES);
    for (name, change, expected) in changes {
        let project = Project::empty();
        git(project.path(), &["clone", "-q", &url(bare.path()), "."]);
        let done = Command::new("sh").args(["-euc", change]).current_dir(project.path()).status().unwrap();
        assert!(done.success(), "{change}");
        assert_eq!(affected(&project, &[]), expected, "{name}: {change}");
    }
}

#[test]
fn what_is_behind_links_counts() {
    let (_bare, project) = cloned("[stages.s]\ninputs = [\"s\"]\nsteps = [\"true\"]\n[stages.t]\ninputs = [\"t/*\"]\nsteps = [\"true\"]\n");
    fs::create_dir(project.join("s")).unwrap();
    symlink("../hop/x", project.join("s/link")).unwrap();
    symlink("a", project.join("hop")).unwrap();
    symlink("b/deep", project.join("t")).unwrap();
    project.write("b/deep/z", "");
    commit(&project);
    let changed = |expected: &str, what: &str| {
        assert_eq!(affected(&project, &["--base", "HEAD"]), expected, "{what}");
        git(project.path(), &["reset", "-q", "--hard"]);
        git(project.path(), &["clean", "-qfd"]);
    };
    changed("", "nothing");
    project.write("a/x", "changed");
    changed("s", "what a link leads to");
    project.write("a/y", "changed");
    changed("", "what lies beside it");
    project.remove("a/x");
    changed("s", "what a link led to is gone");
    project.remove("hop");
    symlink("b", project.join("hop")).unwrap();
    changed("s", "a link on the way leads elsewhere, to a file of the same name");
    project.remove("b/deep/z");
    changed("t", "a file in a folder behind a link is gone");
    project.remove("t");
    symlink("b", project.join("t")).unwrap();
    changed("t", "the link itself");
    symlink("/etc/hosts", project.join("s/far")).unwrap();
    commit(&project);
    changed("s", "nobody can tell whether what lies elsewhere differs");
}

#[test]
fn a_changed_definition_counts() {
    let cases = [
        ("steps = [\"true\"]\n[stages.b]", "steps = [\"true\", \"true\"]\n[stages.b]", "a d e"),
        ("[stages.c]", "[stages.c]\nenv = { X = \"1\" }", "b c"),
        ("[stages.c]", "[stages.c]\ndescription = \"x\"\ntimeout = \"1m\"\nretries = 3", ""),
        ("[stages.e]", "[stages.e]\nsecrets = [\"TOKEN\"]", "d e"),
        ("[stages.f]", "[stages.f]\ntools = [\"sh\"]", "f"),
        ("inputs = [\"a/**\", \"!**/*.md\"]", "inputs = [\"a/**\"]", "a d e"),
        ("[stages.f]", "[stages.g]\nsteps = [\"true\"]\n[stages.f]", "g"),
        ("needs = [\"b\"]", "needs = [\"b\", \"e\"]", "b c e"),
        ("[stages.f]", "[stages.g]\ninputs = []\nsteps = [\"touch f/x\"]\noutputs = [\"f/x\"]\n[stages.f]", "f g"),
        ("name = \"test\"", "name = \"test\"\nshell = [\"sh\", \"-c\"]", "a b c d e f"),
        ("[stages.a]", "[stages.z]", "z"),
    ];
    let (_bare, project) = cloned(STAGES);
    let text = project.read("pipeline.toml");
    for (from, to, expected) in cases {
        let changed = text.replace(from, to).replace("after = [\"a\"]", if to == "[stages.z]" { "" } else { "after = [\"a\"]" });
        project.write("pipeline.toml", changed);
        let expected = if to == "[stages.z]" { "d e z" } else { expected };
        assert_eq!(affected(&project, &[]), expected, "{to}");
    }
}

#[test]
fn a_base_without_a_valid_pipeline_affects_all() {
    let (_bare, project) = cloned(STAGES);
    let text = project.read("pipeline.toml");
    git(project.path(), &["mv", "pipeline.toml", "ci.toml"]);
    project.write("ci.toml", "[pipeline");
    commit(&project);
    project.write("pipeline.toml", &text);
    let said = project.shipway(["run", "-n", "--affected", "--base", "HEAD"]).exits(0);
    assert!(said.stderr.contains("6 of 6 stages") && said.stderr.contains("a: the base has no pipeline.toml"), "{}", said.stderr);
    project.write("ci.toml", &text);
    let said = project.shipway(["-f", "ci.toml", "run", "-n", "--affected", "--base", "HEAD"]).exits(0);
    assert!(said.stderr.contains("a: the base has a ci.toml that is not valid now"), "{}", said.stderr);
}

#[test]
fn included_files_and_projects_in_folders() {
    let (_bare, project) = cloned(STAGES);
    let file = |name: &str, rest: &str| format!("[pipeline]\nname = \"{name}\"\n{rest}");
    project
        .write("shop/pipeline.toml", file("shop", "include = [\"*/pipeline.toml\"]\n"))
        .write(
            "shop/api/pipeline.toml",
            file("api", "[stages.build]\nsteps = [\"true\"]\n[stages.test]\nneeds = [\"build\"]\ninputs = []\nsteps = [\"true\"]\n"),
        )
        .write("shop/web/pipeline.toml", file("web", "[stages.test]\nneeds = [\"/api/test\"]\ninputs = [\"x\"]\nsteps = [\"true\"]\n"))
        .write("shop/web/x", "")
        .write("shop/api/x", "");
    commit(&project);
    let here = |expected: &str, what: &str| assert_eq!(affected(&project, &["-C", "shop", "--base", "HEAD"]), expected, "{what}");
    here("", "nothing");
    project.write("a/x", "outside of the project");
    here("", "a file of another project");
    project.write("shop/web/x", "changed");
    here("api/build api/test web/test", "and what it needs");
    git(project.path(), &["checkout", "-q", "shop"]);
    project.write("shop/api/x", "changed");
    here("api/build api/test web/test", "and what depends on it");
    git(project.path(), &["checkout", "-q", "shop"]);
    project
        .write("shop/api/pipeline.toml", project.read("shop/api/pipeline.toml").replace("inputs = []", "inputs = []\nenv = { A = \"1\" }"));
    here("api/build api/test web/test", "the definition in an included file");
    git(project.path(), &["checkout", "-q", "shop"]);
    project.write("shop/new/pipeline.toml", file("new", "[stages.test]\ninputs = []\nsteps = [\"true\"]\n"));
    here("new/test", "a new file");
}

#[test]
fn a_submodule_that_differs_counts_for_who_may_read_it() {
    let (bare, project) =
        cloned("[stages.m]\ninputs = [\"lib/*/**\"]\nsteps = [\"true\"]\n[stages.n]\ninputs = [\"a\"]\nsteps = [\"true\"]\n");
    git(project.path(), &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &url(bare.path()), "lib/sub"]);
    commit(&project);
    assert_eq!(affected(&project, &["--base", "HEAD"]), "");
    project.write("lib/sub/a/x", "changed");
    assert_eq!(affected(&project, &["--base", "HEAD"]), "m");
    git(&project.join("lib/sub"), &["checkout", "-q", "."]);
    project.write("lib/sub/untracked", "");
    assert_eq!(affected(&project, &["--base", "HEAD"]), "m");
    git(&project.join("lib/sub"), &["clean", "-qfd"]);
    git(&project.join("lib/sub"), &["rm", "-qr", "a"]);
    git(&project.join("lib/sub"), &["commit", "-qm", "x"]);
    assert_eq!(affected(&project, &["--base", "HEAD"]), "m");
}

#[test]
fn the_base_is_the_merge_base() {
    let (bare, project) = cloned(STAGES);
    let other = Project::empty();
    git(other.path(), &["clone", "-q", &url(bare.path()), "."]);
    other.write("b/x", "of others");
    commit(&other);
    git(other.path(), &["push", "-q", "origin", "HEAD"]);
    git(project.path(), &["checkout", "-qb", "feature"]);
    project.write("f/x", "ours");
    commit(&project);
    git(project.path(), &["fetch", "-q"]);
    assert_eq!(affected(&project, &[]), "f", "what others did since is not ours");
    assert_eq!(affected(&project, &["--base", "origin/main"]), "f");
    assert_eq!(affected(&project, &["--base", "HEAD"]), "");
    // A remote whose HEAD is not known here, as in most CI jobs; a name that is not `origin`.
    git(project.path(), &["remote", "set-head", "origin", "--delete"]);
    assert_eq!(affected(&project, &[]), "f", "its `main`");
    git(project.path(), &["remote", "rename", "origin", "company"]);
    assert_eq!(affected(&project, &[]), "f", "the only remote");
    git(project.path(), &["remote", "add", "fork", "nowhere"]);
    let said = refused(&project, &[]);
    assert!(said.contains("it is not known which branch of which remote is the default"), "{said}");
    git(project.path(), &["branch", "-q", "--set-upstream-to", "company/main"]);
    assert_eq!(affected(&project, &[]), "f", "the remote that the branch follows");
    git(project.path(), &["update-ref", "refs/remotes/company/master", "company/main"]);
    assert!(refused(&project, &[]).contains("--base REV"), "`main` and `master`: no guess");
}

#[test]
fn without_a_base_nothing_runs() {
    let project = Project::new(STAGES);
    let said = refused(&project, &[]);
    assert!(said.contains("`--affected` compares with a commit") && said.contains("lies in no git repository"), "{said}");
    git(project.path(), &["init", "-q"]);
    assert!(refused(&project, &[]).contains("there is no commit yet"));
    commit(&project);
    let said = refused(&project, &[]);
    assert!(said.contains("this repository has no remote, so there is no branch to compare with"), "{said}");
    assert!(said.contains("help: name it: --base REV"), "{said}");
    for rev in ["nowhere", "", "HEAD~5", "--all", "HEAD:pipeline.toml", "a\nb"] {
        let said = refused(&project, &[&format!("--base={rev}")]);
        assert!(said.contains("git knows no commit") && said.contains("help: fetch it"), "{rev}: {said}");
    }
    git(project.path(), &["checkout", "-q", "--orphan", "island"]);
    git(project.path(), &["commit", "-qm", "x"]);
    let said = refused(&project, &["--base", "main"]);
    assert!(said.contains("the history that HEAD and `main` have in common is not there"), "{said}");
    fs::write(project.join(".git/HEAD"), "nonsense").unwrap();
    assert!(refused(&project, &[]).starts_with("error: git"));
}

#[test]
fn a_shallow_clone_does_not_guess() {
    let (bare, project) = cloned(STAGES);
    git(project.path(), &["checkout", "-qb", "feature"]);
    for text in ["1", "2"] {
        project.write("f/x", text);
        commit(&project);
    }
    git(project.path(), &["push", "-q", "origin", "feature"]);
    git(project.path(), &["checkout", "-q", "main"]);
    project.write("b/x", "main goes on");
    commit(&project);
    git(project.path(), &["push", "-q", "origin", "main"]);

    let shallow = Project::empty();
    git(shallow.path(), &["clone", "-q", "--depth", "1", "--no-single-branch", "--branch", "feature", &url(bare.path()), "."]);
    let said = refused(&shallow, &[]);
    assert!(said.contains("the history that HEAD and `origin/main` have in common is not in this shallow clone"), "{said}");
    assert!(said.contains("git fetch --unshallow, or --deepen=N"), "{said}");
    let said = refused(&shallow, &["--base", "HEAD~1"]);
    assert!(said.contains("git knows no commit `HEAD~1` here") && said.contains("--unshallow"), "{said}");
    assert_eq!(affected(&shallow, &["--base", "HEAD"]), "", "this much is known");
    git(shallow.path(), &["fetch", "-q", "--unshallow"]);
    assert_eq!(affected(&shallow, &[]), "f");
}

#[test]
fn a_hooks_variables_and_a_users_settings_change_nothing() {
    let (_bare, project) = cloned(STAGES);
    project.write("b/x", "changed");
    git(project.path(), &["config", "diff.relative", "true"]);
    git(project.path(), &["config", "diff.renames", "copies"]);
    git(project.path(), &["config", "diff.noprefix", "true"]);
    git(project.path(), &["config", "color.ui", "always"]);
    git(project.path(), &["config", "core.excludesFile", "/dev/null"]);
    fs::create_dir_all(project.join(".git/info")).unwrap();
    fs::write(project.join(".git/info/exclude"), "/a/new\n").unwrap();
    project.write("a/new", "ignored on this machine only");
    let mut command = project.command(["run", "--affected", "--format", "json"]);
    command.env("GIT_DIR", "/nowhere").env("GIT_INDEX_FILE", "/nowhere").env("GIT_EXTERNAL_DIFF", "false");
    let said = said(command).exits(0);
    assert_eq!(brief(&events(&said.stdout)), "a passed, b passed, c passed, d passed, e passed");
}
