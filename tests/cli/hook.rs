//! The hooks of git: real repositories, real remotes, real pushes; only what is pushed is tested.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::project::{Gate, finish, said, start, until};
use crate::shop::{STAGE, Shop};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn a_clean_tree_is_tested_in_place_and_what_passed_costs_the_look_up() {
    let shop = Shop::new(STAGE);
    let text = shop.push(&["origin", "main"], true);
    assert!(shop.is_in_place(), "{text}");
    assert_eq!(shop.tests(), 1);
    // The same content under another name, as another commit, and from another folder.
    shop.git(&["commit", "--allow-empty", "--no-verify", "-m", "empty"]);
    shop.push(&["origin", "main"], true);
    fs::write(shop.project.join("note"), "").unwrap();
    shop.git(&["commit", "--allow-empty", "--no-verify", "-m", "empty"]);
    let text = shop.push(&["origin", "main"], true);
    assert!(text.contains("aside, because `note` lies here and is not part of it"), "{text}");
    assert_eq!(shop.tests(), 1, "{text}");
    assert!(text.contains("1 cached"), "{text}");
    assert!(!shop.project.exists(".git/hooks/pre-commit"));
}

#[test]
fn what_a_known_stage_printed_once_is_no_news_for_a_push() {
    let shop = Shop::new("[stages.test]\noutputs = [\"out\"]\nsteps = [\"echo said by the step; : > out\"]\n");
    shop.project.write(".gitignore", "out\n");
    shop.commit("ignore");
    let first = shop.push(&["origin", "main"], true);
    assert!(first.contains("said by the step"), "{first}");
    shop.git(&["commit", "--allow-empty", "--no-verify", "-m", "empty"]);
    let again = shop.push(&["origin", "main"], true);
    assert!(again.contains("1 cached") && !again.contains("said by the step"), "{again}");
}

#[test]
fn a_failing_stage_stops_the_push_and_says_what_to_do() {
    let shop = Shop::new(STAGE);
    shop.project.write("state", "bad\n");
    shop.commit("bad");
    let text = shop.push(&["origin", "main"], false);
    assert_eq!(shop.there("main"), "");
    for part in [
        "nothing is pushed: ",
        "(main) did not pass",
        "shipway report 2",
        "SHIPWAY_HOOK=0 git push",
        "git push --no-verify",
        " run --only test",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let runs = shop.shipway(&["runs"]).exits(0);
    assert!(runs.stdout.contains("failed"), "{}", runs.stdout);
    let reproduce = text.lines().find_map(|line| line.split_once("shipway -C ")).unwrap().1.split(' ').next().unwrap().to_owned();
    assert!(said(shop.project.command(["-C", &reproduce, "run", "--only", "test"])).code() == 1);

    let said = said({
        let mut push = shop.git_in(shop.project.path(), &["push", "origin", "main"]);
        push.env("SHIPWAY_HOOK", "0");
        push
    });
    assert!(said.status.success(), "{said:?}");
    shop.push(&["--no-verify", "origin", "main:again"], true);
    assert_eq!(shop.tests(), 2);
}

#[test]
fn what_is_pushed_counts_and_not_what_lies_in_the_tree() {
    let shop = Shop::new(STAGE);
    // A bad commit under a good working tree, and the other way round.
    shop.project.write("state", "bad\n");
    shop.commit("bad");
    shop.project.write("state", "good\n");
    let text = shop.push(&["origin", "main"], false);
    assert!(text.contains("`state` differs here") && !shop.is_in_place(), "{text}");
    assert_eq!(shop.project.read("state"), "good\n");
    shop.commit("good");
    shop.project.write("state", "bad\n");
    shop.push(&["origin", "main"], true);
    assert_eq!(shop.project.read("state"), "bad\n");
    // The run aside is found here.
    let runs = shop.shipway(&["runs"]).exits(0).stdout;
    assert!(runs.contains("passed") && runs.contains("failed"), "{runs}");
    shop.shipway(&["report"]).exits(0);
}

#[test]
fn neither_untracked_nor_ignored_files_help_a_commit_to_pass() {
    let shop = Shop::new("[stages.test]\ninputs = [\"**\"]\nsteps = [\"echo test >> $XDG_N/runs\", \"cat helper\"]\n");
    shop.project.write("helper", "");
    assert!(shop.push(&["origin", "main"], false).contains("`helper` lies here"));
    shop.project.write(".gitignore", "helper\n");
    shop.commit("ignored");
    shop.shipway(&["run"]).exits(0);
    assert!(shop.push(&["origin", "main"], false).contains("`helper` lies here"));
    shop.project.write(".gitignore", "");
    shop.commit("tracked");
    shop.push(&["origin", "main"], true);
    // What a step leaves aside without declaring it is not there the next time.
    shop.project.pipeline("[stages.test]\nsteps = [\"[ ! -e left ]\", \"mkdir left; touch left/x; chmod 500 left; cat helper\"]\n");
    shop.project.write("lies", "");
    for text in ["one", "two"] {
        shop.project.write("helper", text);
        shop.git(&["commit", "--no-verify", "-am", text]);
        shop.push(&["origin", "main"], true);
    }
}

#[test]
fn files_that_git_is_told_not_to_look_at_are_looked_at() {
    let shop = Shop::new(STAGE);
    shop.project.write("state", "bad\n");
    shop.commit("bad");
    shop.git(&["update-index", "--assume-unchanged", "state"]);
    shop.project.write("state", "good\n");
    let text = shop.push(&["origin", "main"], false);
    assert!(text.contains("git was told not to look"), "{text}");
    shop.git(&["update-index", "--no-assume-unchanged", "state"]);
    shop.git(&["config", "core.fileMode", "false"]);
    shop.project.pipeline("[stages.test]\nsteps = [\"./state\"]\n");
    shop.project.write("state", "#!/bin/sh\n");
    shop.commit("a program that is none");
    fs::set_permissions(shop.project.join("state"), fs::Permissions::from_mode(0o755)).unwrap();
    shop.push(&["origin", "main"], false);
}

#[test]
fn outputs_may_lie_there_and_come_from_the_store() {
    let shop = Shop::new(
        "[stages.make]\noutputs = [\"out/made\"]\nsteps = [\"echo make >> $XDG_N/runs; pwd >> $XDG_N/where; mkdir -p out; cp state out/made\"]\n[stages.test]\nneeds = [\"make\"]\nsteps = [\"echo test >> $XDG_N/runs; pwd -P >> $XDG_N/where; grep good out/made\"]\n",
    );
    shop.shipway(&["run"]).exits(0);
    let text = shop.push(&["origin", "main"], true);
    assert!(!text.contains("aside") && shop.tests() == 1, "{text}");
    shop.project.write("lies", "");
    shop.git(&["commit", "--allow-empty", "--no-verify", "-m", "again"]);
    let text = shop.push(&["origin", "main"], true);
    assert!(text.contains("aside") && text.contains("2 cached"), "{text}");
}

#[test]
fn the_checkout_and_the_store_share_the_users_cache_directory() {
    let shop = Shop::new(STAGE);
    shop.project.write("lies", "");
    let push = |name: &str| {
        let mut push = shop.git_in(shop.project.path(), &["push", "origin", name]);
        push.env_remove("SHIPWAY_CACHE_DIR");
        said(push).exits(0).stderr
    };
    push("main");
    shop.git(&["commit", "--allow-empty", "--no-verify", "-m", "x"]);
    let text = push("main:again");
    assert!(text.contains("1 cached") && !text.contains("not stored"), "{text}");
    let mut clear = shop.project.command(["cache", "clear"]);
    clear.envs(shop.variables()).env_remove("SHIPWAY_CACHE_DIR");
    said(clear).exits(0);
    shop.git(&["commit", "--allow-empty", "--no-verify", "-m", "y"]);
    push("main:third");
    assert_eq!(shop.tests(), 2);
}

#[test]
fn a_store_in_the_project_is_used_from_aside_and_in_no_way() {
    let shop = Shop::new(&format!("{STAGE}\n[cache]\ndir = \".kept\"\n"));
    let push = |name: &str| {
        let mut push = shop.git_in(shop.project.path(), &["push", "origin", name]);
        push.env_remove("SHIPWAY_CACHE_DIR");
        said(push).exits(0).stderr
    };
    push("main");
    for (lies, place) in [("", "in place"), ("lies", "aside")] {
        if !lies.is_empty() {
            shop.project.write(lies, "");
        }
        shop.git(&["commit", "--allow-empty", "--no-verify", "-m", place]);
        let text = push("main");
        assert!(text.contains("1 cached") && text.contains("tested aside") != lies.is_empty(), "{text}");
    }
    assert_eq!(shop.tests(), 1);
}

#[test]
fn a_checkout_goes_with_its_repository() {
    let (old, new) = (Shop::new(STAGE), Shop::new(STAGE));
    old.project.write("lies", "");
    new.project.write("lies", "");
    let push = |shop: &Shop| {
        let mut push = shop.git_in(shop.project.path(), &["push", "origin", "main"]);
        push.env("XDG_CACHE_HOME", new.cache());
        said(push).exits(0);
    };
    let count = || fs::read_dir(new.cache().join("shipway/checkouts")).unwrap().count();
    push(&old);
    assert_eq!(count(), 1);
    push(&new);
    assert_eq!(count(), 2);
    drop(old);
    new.git(&["commit", "--allow-empty", "--no-verify", "-m", "x"]);
    push(&new);
    assert_eq!(count(), 1);
}

#[test]
fn files_that_lie_apart_from_their_repository_are_tested_aside() {
    let shop = Shop::new(STAGE);
    let apart = shop.remotes.path().join("apart.git");
    fs::rename(shop.project.join(".git"), &apart).unwrap();
    let (git_dir, tree) = (format!("--git-dir={}", apart.display()), format!("--work-tree={}", shop.project.path().display()));
    let push = |name: &str, passes: bool| {
        let said = said(shop.git_in(shop.remotes.path(), &[&git_dir, &tree, "push", "origin", name]));
        assert_eq!(said.status.success(), passes, "{said:?}");
        said.stderr
    };
    let text = push("main", true);
    assert!(text.contains("lies apart"), "{text}");
    shop.project.write("state", "bad\n");
    said(shop.git_in(shop.remotes.path(), &[&git_dir, &tree, "commit", "--no-verify", "-am", "bad"])).exits(0);
    push("main", false);
}

#[test]
fn each_commit_is_tested_once_with_the_pipeline_that_it_holds() {
    let shop = Shop::new(STAGE);
    let base = shop.commit_of("HEAD");
    shop.git(&["branch", "same"]);
    shop.git(&["switch", "-c", "other"]);
    shop.project.pipeline(
        "[stages.other]\nsteps = [\"echo other >> $XDG_N/runs\"]\n[hook]\npre-push = [\"other\"]\n[stages.more]\nsteps = [\"false\"]\n",
    );
    shop.commit("another pipeline");
    shop.git(&["switch", "--orphan", "bare"]);
    shop.project.write("readme", "");
    shop.commit("no pipeline");
    let text = shop.push(&["origin", "main", "same", "other", "bare"], true);
    assert_eq!((shop.tests(), shop.project.count("other")), (1, 1), "{text}");
    assert!(text.contains("(bare) holds no pipeline.toml: passed by"), "{text}");
    assert_eq!(shop.there("same"), base);
    // One that fails stops all of them.
    shop.git(&["switch", "main"]);
    shop.project.write("state", "bad\n");
    shop.commit("bad");
    shop.git(&["switch", "-c", "third", "other"]);
    shop.git(&["commit", "--allow-empty", "--no-verify", "-m", "third"]);
    let text = shop.push(&["origin", "main", "third"], false);
    assert!(text.contains("1 more commit was not tested"), "{text}");
    assert_eq!(shop.there("third"), "");
}

#[test]
fn what_the_remote_has_is_not_tested_and_neither_is_a_deletion() {
    let shop = Shop::new(STAGE);
    shop.push(&["origin", "main"], true);
    shop.project.write("state", "bad\n");
    shop.commit("bad");
    shop.push(&["--no-verify", "origin", "main:kept"], true);
    // Known to be there, whether git has noted it here or not.
    let text = shop.push(&["origin", "main", "main~1:refs/heads/older"], true);
    assert!(text.contains("nothing new for the remote"), "{text}");
    shop.git(&["update-ref", "-d", "refs/remotes/origin/main"]);
    shop.git(&["update-ref", "-d", "refs/remotes/origin/kept"]);
    shop.push(&["--force", "origin", "main~1:main"], true);
    shop.push(&["origin", "--delete", "kept"], true);
    assert_eq!(shop.tests(), 1);
    // Gone from there: it is new again.
    shop.push(&["origin", "main:kept"], false);
    assert_eq!(shop.tests(), 2);
}

#[test]
fn new_branches_forced_pushes_and_tags_are_tested() {
    let shop = Shop::new(STAGE);
    shop.push(&["origin", "main"], true);
    shop.project.write("state", "good one\n");
    shop.git(&["commit", "--no-verify", "--amend", "-am", "other"]);
    shop.push(&["origin", "main"], false);
    let text = shop.push(&["--force", "origin", "main", "main:new"], true);
    assert_eq!(shop.tests(), 2, "{text}");
    shop.project.write("state", "good two\n");
    shop.commit("tagged");
    shop.git(&["tag", "-m", "one", "v1"]);
    shop.git(&["tag", "-m", "of a tag", "v2", "v1"]);
    shop.push(&["origin", "v2"], true);
    assert_eq!(shop.tests(), 3);
    shop.project.write("state", "bad\n");
    shop.commit("bad");
    shop.git(&["tag", "-m", "bad", "v3"]);
    shop.push(&["origin", "v3"], false);
    let blob = shop.git(&["hash-object", "-w", "state"]).stdout;
    shop.git(&["tag", "file", blob.trim()]);
    let text = shop.push(&["origin", "refs/tags/file"], true);
    assert!(text.contains("leads to no commit"), "{text}");
    // An address instead of a remote.
    shop.push(&[&shop.remote(), "main:by-address"], false);
}

#[test]
fn shallow_clones_worktrees_and_bare_repositories_push() {
    let shop = Shop::new(STAGE);
    shop.project.write("second", "");
    shop.commit("second");
    shop.push(&["origin", "main"], true);
    let folder = shop.remotes.path().join("shallow");
    shop.git(&["clone", "--depth", "1", &format!("file://{}", shop.remote()), folder.to_str().unwrap()]);
    let install = |folder: &Path| {
        let mut command = shop.project.command(["hook", "install"]);
        command.envs(shop.variables()).current_dir(folder);
        said(command).exits(0);
    };
    install(&folder);
    for (text, passes, dirt) in [("bad\n", false, None), ("good shallow\n", true, None), ("bad\n", false, Some("good\n"))] {
        fs::write(folder.join("state"), text).unwrap();
        said(shop.git_in(&folder, &["commit", "-am", "x"])).exits(0);
        if let Some(dirt) = dirt {
            fs::write(folder.join("state"), dirt).unwrap();
        }
        shop.push_in(&folder, &["origin", "HEAD:shallow"], passes);
    }
    // A linked worktree shares the hook.
    let linked = shop.remotes.path().join("linked");
    shop.git(&["worktree", "add", "-b", "linked", linked.to_str().unwrap()]);
    fs::write(linked.join("state"), "good linked\n").unwrap();
    said(shop.git_in(&linked, &["commit", "-am", "x"])).exits(0);
    shop.push_in(&linked, &["origin", "linked"], true);
    assert_eq!(shop.last_place(), linked.canonicalize().unwrap());
    fs::write(linked.join("state"), "bad\n").unwrap();
    said(shop.git_in(&linked, &["commit", "-am", "x"])).exits(0);
    fs::write(linked.join("state"), "good\n").unwrap();
    shop.push_in(&linked, &["origin", "linked"], false);
    // A bare repository has no files of its own.
    let bare = shop.remotes.path().join("bare.git");
    shop.git(&["clone", "--bare", shop.project.path().to_str().unwrap(), bare.to_str().unwrap()]);
    said(shop.git_in(&bare, &["remote", "set-url", "origin", &shop.remote()])).exits(0);
    install(&bare);
    shop.push_in(&bare, &["origin", "main:from-bare"], true);
    shop.push_in(&bare, &["origin", "linked:bad-from-bare"], false);
    // And a worktree of it has.
    let of_bare = shop.remotes.path().join("of-bare");
    said(shop.git_in(&bare, &["worktree", "add", "-b", "of-bare", of_bare.to_str().unwrap(), "main"])).exits(0);
    fs::write(of_bare.join("state"), "good of bare\n").unwrap();
    said(shop.git_in(&of_bare, &["commit", "-am", "x"])).exits(0);
    shop.push_in(&of_bare, &["origin", "of-bare"], true);
    assert_eq!(shop.last_place(), of_bare.canonicalize().unwrap());
}

#[test]
fn submodules_are_there_as_the_commit_has_them() {
    let shop = Shop::new("[stages.test]\nsteps = [\"grep good vendor/state\", \"grep good vendor/deep/state\"]\n");
    for name in ["deep", "library"] {
        let folder = shop.remotes.path().join(name);
        fs::create_dir(&folder).unwrap();
        said(shop.git_in(&folder, &["init"])).exits(0);
        fs::write(folder.join("state"), "good\n").unwrap();
        if name == "library" {
            said(shop.git_in(&folder, &["submodule", "add", "../deep", "deep"])).exits(0);
        }
        said(shop.git_in(&folder, &["add", "-A"])).exits(0);
        said(shop.git_in(&folder, &["commit", "-m", "x"])).exits(0);
    }
    let library = shop.remotes.path().join("library");
    shop.git(&["submodule", "add", library.to_str().unwrap(), "vendor"]);
    shop.git(&["submodule", "update", "--init", "--recursive"]);
    shop.commit("with a submodule");
    let text = shop.push(&["origin", "main"], true);
    assert!(text.contains("it has submodules"), "{text}");
    // A commit of the submodule that is bad, under files that are good.
    let vendor = shop.project.join("vendor");
    fs::write(vendor.join("state"), "bad\n").unwrap();
    said(shop.git_in(&vendor, &["commit", "-am", "bad"])).exits(0);
    shop.commit("bad submodule");
    fs::write(vendor.join("state"), "good\n").unwrap();
    shop.push(&["origin", "main"], false);
    said(shop.git_in(&vendor, &["commit", "-am", "good"])).exits(0);
    shop.commit("good submodule");
    shop.push(&["origin", "main"], true);
    // One that is not here is absent there.
    let clone = shop.remotes.path().join("clone");
    shop.git(&["clone", &shop.remote(), clone.to_str().unwrap()]);
    let mut install = shop.project.command(["hook", "install"]);
    install.envs(shop.variables()).current_dir(&clone);
    said(install).exits(0);
    said(shop.git_in(&clone, &["commit", "--allow-empty", "-m", "x"])).exits(0);
    let text = shop.push_in(&clone, &["origin", "main"], false);
    assert!(text.contains("the submodule `vendor` is empty there"), "{text}");
}

#[test]
fn what_git_sets_for_hooks_leads_no_step_astray() {
    let shop = Shop::new(
        "[stages.test]\npass-env = [\"GIT_*\"]\nsteps = [\"env | grep -e ^GIT_DIR -e ^GIT_INDEX_FILE && exit 1; git rev-parse --show-toplevel > $XDG_N/where; git status --porcelain > $XDG_N/status\"]\n[hook]\npre-commit = [\"test\"]\n",
    );
    shop.shipway(&["hook", "install", "--pre-commit"]).exits(0);
    shop.project.write("lies", "");
    shop.push(&["origin", "main"], true);
    assert!(shop.last_place().starts_with(shop.cache().canonicalize().unwrap()));
    assert_eq!(fs::read_to_string(shop.project.aside("status")).unwrap(), "");
    shop.project.write("new", "");
    shop.git(&["add", "new"]);
    shop.git(&["commit", "-m", "x"]);
    assert_eq!(fs::read_to_string(shop.project.aside("status")).unwrap(), "A  new\n");
}

#[test]
fn what_is_to_be_committed_is_tested_as_the_index_has_it() {
    let shop = Shop::without_hook(STAGE);
    shop.shipway(&["hook", "install", "--pre-commit"]).exits(0);
    let commit = |arguments: &[&str]| said(shop.git_in(shop.project.path(), &[&["commit", "-m", "x"], arguments].concat()));
    // In place where the tree is what the index holds.
    shop.project.write("state", "good 1\n");
    shop.git(&["add", "state"]);
    commit(&[]).exits(0);
    assert!(shop.is_in_place());
    // Partly staged: bad in the index, good in the tree.
    shop.project.write("state", "bad\n");
    shop.git(&["add", "state"]);
    shop.project.write("state", "good 2\n");
    let text = commit(&[]).exits(1).stderr;
    assert!(text.contains("nothing is committed: what is to be committed did not pass"), "{text}");
    assert!(text.contains("SHIPWAY_HOOK=0 git commit") && !shop.is_in_place(), "{text}");
    // With -a the tree is what counts, in an index of its own.
    commit(&["-a"]).exits(0);
    // By name: only that file.
    shop.project.write("other", "");
    shop.git(&["add", "other"]);
    shop.project.write("state", "bad\n");
    commit(&["other"]).exits(0);
    commit(&["state"]).exits(1);
    assert_eq!(shop.git(&["show", "HEAD:state"]).stdout, "good 2\n");
    // A new file that is meant, but not added.
    shop.project.write("state", "good 3\n");
    shop.project.write("later", "");
    shop.git(&["add", "-N", "later"]);
    shop.git(&["add", "state"]);
    commit(&[]).exits(0);
    assert!(!shop.is_in_place());
    // The first commit of all.
    shop.git(&["switch", "--orphan", "new"]);
    shop.project.pipeline(STAGE).write("state", "bad\n");
    shop.git(&["add", "pipeline.toml", "state"]);
    shop.project.write("state", "good\n");
    commit(&[]).exits(1);
    shop.git(&["add", "state"]);
    commit(&[]).exits(0);
}

#[test]
fn a_hook_that_is_killed_in_the_middle_leaves_nothing_that_hurts() {
    let shop = Shop::new(STAGE);
    shop.project.write(".gitattributes", "*.slow filter=slow\n").write("a.slow", "1\n").write("b.slow", "1\n").write("lies", "");
    shop.git(&["add", ".gitattributes", "a.slow", "b.slow"]);
    shop.git(&["commit", "--no-verify", "-m", "files"]);
    shop.push(&["origin", "main"], true);
    // The second file that is written kills git and shipway: one is new then, the other is not.
    let script = shop.home.path().join("slow");
    fs::write(&script, "#!/bin/sh\ncat\nif [ \"$1\" = b.slow ] && [ -e $XDG_N/kill ]; then rm $XDG_N/kill\n  read -r _ _ _ above _ < /proc/$PPID/stat\n  kill -9 $above $PPID\nfi\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    shop.git(&["config", "filter.slow.smudge", &format!("exec {} %f", script.display())]);
    shop.git(&["rm", "--cached", "state"]);
    shop.project.write("a.slow", "2\n").write("b.slow", "2\n").write(
        "pipeline.toml",
        format!("[pipeline]\nname = \"test\"\n{}", STAGE.replace("grep -q good state", "cat a.slow b.slow > $XDG_N/slow; [ ! -e state ]")),
    );
    shop.git(&["commit", "--no-verify", "-am", "more"]);
    fs::write(shop.project.aside("kill"), "").unwrap();
    shop.push(&["origin", "main"], false);
    assert!(!shop.project.aside("kill").exists());
    assert_eq!(shop.tests(), 1);
    let locks = walk(&shop.project.join(".git/worktrees"), "index.lock");
    assert_eq!(locks, 1, "git was not killed while it wrote");
    shop.push(&["origin", "main"], true);
    assert_eq!(shop.tests(), 2);
    assert_eq!(fs::read_to_string(shop.project.aside("slow")).unwrap(), "2\n2\n");
    // Damaged in other ways: made anew.
    for damage in [".git", "a.slow", "pipeline.toml"] {
        fs::remove_file(shop.last_place().join(damage)).unwrap();
        shop.project.write("b.slow", damage);
        shop.git(&["commit", "--no-verify", "-am", damage]);
        shop.push(&["origin", "main"], true);
    }
    fs::write(index_of(&shop), "no index").unwrap();
    shop.git(&["commit", "--no-verify", "--allow-empty", "-m", "index"]);
    shop.push(&["origin", "main"], true);
    assert_eq!(shop.tests(), 5);
}

fn index_of(shop: &Shop) -> PathBuf {
    let text = fs::read_to_string(shop.last_place().join(".git")).unwrap();
    Path::new(text.trim().strip_prefix("gitdir: ").unwrap()).join("index")
}

fn walk(folder: &Path, name: &str) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join(name).exists()).count()
}

/// Waits at the gate while it is there.
const GATED: &str = r#"
[stages.test]
steps = ["echo test >> $XDG_N/runs; [ ! -p $XDG_N/gate ] || read x < $XDG_N/gate || true; pwd -P >> $XDG_N/where; grep -q good state"]
"#;

#[test]
fn two_pushes_at_once_are_tested_one_after_the_other() {
    let shop = Shop::new(GATED);
    shop.project.write("lies", "");
    let gate = Gate::new(&shop.project);
    let first = start(shop.git_in(shop.project.path(), &["push", "origin", "main"]));
    let step = gate.reached();
    shop.project.write("state", "good 2\n");
    shop.git(&["commit", "--no-verify", "-am", "second"]);
    let file = shop.project.aside("said");
    let out = fs::File::create(&file).unwrap();
    let mut second = shop.git_in(shop.project.path(), &["push", "origin", "main:second"]);
    let mut second = second.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
    until("the second waits", || fs::read_to_string(&file).unwrap().contains("waits for another hook"));
    fs::remove_file(shop.project.aside("gate")).unwrap();
    drop(step);
    finish(first).exits(0);
    assert!(second.wait().unwrap().success());
    assert_eq!(shop.tests(), 2);
    assert_eq!(shop.there("second"), shop.commit_of("HEAD"));
}

#[test]
fn an_interrupted_hook_ends_everything_and_nothing_is_pushed() {
    for (signal, dirty) in [(Signal::INT, false), (Signal::TERM, true), (Signal::KILL, true)] {
        let shop = Shop::new(GATED);
        if dirty {
            shop.project.write("lies", "");
        }
        let gate = Gate::new(&shop.project);
        let push = start(shop.git_in(shop.project.path(), &["push", "origin", "main"]));
        let step = gate.reached();
        // The hook became shipway: it is what git started.
        let git = push.id();
        let shipway = child(git.cast_signed());
        kill_process(shipway, signal).unwrap();
        let said = finish(push);
        assert!(!said.status.success(), "{said:?}");
        assert_eq!(said.stderr.contains("interrupted: nothing is pushed"), signal != Signal::KILL, "{}", said.stderr);
        drop(step);
        assert_eq!(shop.there("main"), "");
        fs::remove_file(shop.project.aside("gate")).unwrap();
        shop.push(&["origin", "main"], true);
        assert_eq!(shop.tests(), 2);
    }
}

fn child(pid: i32) -> Pid {
    let mut children = String::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        children += &fs::read_to_string(entry.unwrap().path().join("children")).unwrap();
    }
    let is_ours = |pid: &&str| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "shipway");
    Pid::from_raw(children.split_ascii_whitespace().find(is_ours).unwrap().parse().unwrap()).unwrap()
}
