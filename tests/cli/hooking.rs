//! The scripts of hooks: they come, call what was there before, and go without a trace.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::project::{Project, said};
use crate::shop::{STAGE, Shop};

#[test]
fn a_hook_that_was_there_is_called_first_and_comes_back() {
    let shop = Shop::without_hook(STAGE);
    let path = shop.hook("pre-push");
    let old = "#!/bin/sh\necho \"$0 $*\" > $XDG_N/arguments\ncat > $XDG_N/lines\nexit ${OLD:-0}\n";
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, old).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o751)).unwrap();
    let said_first = shop.shipway(&["hook", "install"]).exits(0).stderr;
    assert!(said_first.contains("calls .git/hooks/pre-push.before-shipway first"), "{said_first}");
    let script = fs::read(&path).unwrap();
    let said_again = shop.shipway(&["hook", "install"]).exits(0).stderr;
    assert!(said_again.contains("installed already"), "{said_again}");
    assert_eq!(fs::read(&path).unwrap(), script);
    let status = shop.shipway(&["hook", "status"]).exits(0).stdout;
    assert!(status.contains("pre-push: installed in .git/hooks/pre-push, runs pipeline.toml, after"), "{status}");
    assert!(status.contains("pre-commit: not installed"), "{status}");

    shop.push(&["origin", "main"], true);
    let arguments = fs::read_to_string(shop.project.aside("arguments")).unwrap();
    assert!(arguments.trim().ends_with(&format!("pre-push.before-shipway origin {}", shop.remote())), "{arguments}");
    let lines = fs::read_to_string(shop.project.aside("lines")).unwrap();
    assert_eq!(lines, format!("refs/heads/main {} refs/heads/main {}\n", shop.commit_of("HEAD"), "0".repeat(40)));
    assert_eq!(shop.tests(), 1);
    // Its failure is the push's, also where shipway is not to test.
    shop.git(&["commit", "--allow-empty", "--no-verify", "-m", "x"]);
    for skip in ["1", "0"] {
        let mut push = shop.git_in(shop.project.path(), &["push", "origin", "main"]);
        push.env("OLD", "7").env("SHIPWAY_HOOK", skip);
        assert!(!said(push).status.success());
    }
    shop.shipway(&["hook", "uninstall"]).exits(0);
    assert_eq!(fs::read_to_string(&path).unwrap(), old);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o751);
    assert!(!shop.hook("pre-push.before-shipway").exists());
    assert!(shop.shipway(&["hook", "uninstall"]).exits(0).stderr.contains("no hook of shipway"));
}

#[test]
fn a_hook_that_a_person_has_changed_is_left_alone() {
    let shop = Shop::new(STAGE);
    let path = shop.hook("pre-push");
    let edited = fs::read_to_string(&path).unwrap() + "echo mine\n";
    fs::write(&path, &edited).unwrap();
    for command in ["install", "uninstall"] {
        let said = shop.shipway(&["hook", command]).exits(2);
        assert!(said.stderr.contains("changed by hand"), "{}", said.stderr);
        assert_eq!(fs::read_to_string(&path).unwrap(), edited);
    }
    assert!(shop.shipway(&["hook", "status"]).exits(0).stdout.contains("changed by hand"));
}

#[test]
fn the_hook_lies_where_git_looks_and_runs_the_pipeline_of_a_subfolder() {
    let shop = Shop::without_hook("[stages.top]\nsteps = [\"false\"]\n");
    shop.git(&["config", "core.hooksPath", "tools/hooks"]);
    shop.project.write("it's/api/pipeline.toml", format!("[pipeline]\nname = \"api\"\n{STAGE}"));
    shop.project.write("it's/api/state", "good\n");
    shop.commit("api");
    let mut install = shop.project.command(["hook", "install"]);
    install.envs(shop.variables()).current_dir(shop.project.join("it's/api"));
    said(install).exits(0);
    assert!(shop.project.exists("tools/hooks/pre-push") && !shop.hook("pre-push").exists());
    shop.commit("the hook itself");
    shop.push(&["origin", "main"], true);
    assert_eq!(shop.last_place(), shop.project.join("it's/api").canonicalize().unwrap());
    shop.project.write("it's/api/state", "bad\n");
    shop.commit("bad");
    shop.project.write("it's/api/state", "good\n");
    let text = shop.push(&["origin", "main"], false);
    assert!(shop.last_place().ends_with("it's/api") && !shop.is_in_place(), "{text}");
    assert!(shop.shipway(&["hook", "install"]).exits(2).stderr.contains("it's/api/pipeline.toml"));
    shop.shipway(&["hook", "uninstall"]).exits(0);
    assert!(!shop.project.exists("tools/hooks/pre-push"));
    assert_eq!(fs::read_dir(shop.cache().join("shipway/checkouts")).unwrap().count(), 0);
    assert_eq!(shop.git(&["worktree", "list"]).stdout.lines().count(), 1);
}

#[test]
fn without_shipway_in_path_nothing_is_pushed_untested() {
    let shop = Shop::new(STAGE);
    let mut push = shop.git_in(shop.project.path(), &["push", "origin", "main"]);
    push.env("PATH", std::env::var("PATH").unwrap());
    let stranger = said(push);
    assert!(!stranger.status.success() && stranger.stderr.contains("shipway is not in PATH"), "{stranger:?}");
    assert!(stranger.stderr.contains("SHIPWAY_HOOK=0 git push"), "{}", stranger.stderr);
}

#[test]
fn lists_of_stages_for_hooks_are_checked() {
    let shop = Shop::without_hook("[stages.test]\nsteps = [\"true\"]\n[hook]\npre-push = [\"tset\"]\npre-commit = []\nother = 1\n");
    let said = shop.shipway(&["check"]).exits(2);
    for part in ["there is no stage `tset`", "`test`", "`pre-commit` is empty", "[hook] has no key `other`"] {
        assert!(said.stderr.contains(part), "{part} in {}", said.stderr);
    }
    shop.shipway(&["hook", "install"]).exits(2);
    assert!(!shop.hook("pre-push").exists());
    let outside = Project::new("[stages.test]\nsteps = [\"true\"]\n");
    let said = outside.shipway(["hook", "install"]).exits(3);
    assert!(said.stderr.contains("git sees no repository"), "{}", said.stderr);
    let mut bad = shop.project.command(["hook", "run", "pre-push", "origin", "x"]);
    bad.stdin(fs::File::open(shop.project.join("pipeline.toml")).unwrap());
    assert!(crate::project::said(bad).exits(2).stderr.contains("no line that git gives"));
}
