//! Nothing that a stage would see differently is ever called unaffected.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;
use crate::base::source::Source;
use crate::config::load;

/// A checkout of a repository.
struct Checkout {
    _temporary: tempfile::TempDir,
    root: PathBuf,
    repository: Repository,
}

impl Checkout {
    fn new(pipeline: &str, files: &[String]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        let checkout = Self { repository: Repository::find(&init(&root)).unwrap(), _temporary: temporary, root };
        checkout.write("pipeline.toml", pipeline);
        files.iter().for_each(|file| checkout.write(file, file));
        checkout
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn commit(&self) -> String {
        git(&self.root, &["add", "-A"]);
        git(&self.root, &["commit", "-q", "--allow-empty", "-m", "x"]);
        self.repository.commit("HEAD").unwrap().unwrap()
    }

    fn affected(&self, pipeline: &Pipeline, commit: &str) -> Affected {
        let base = Base { commit: commit.to_owned(), what: "a commit".to_owned() };
        let (repository, root) = (&self.repository, self.root.as_path());
        Affected::find(&Question { repository, root, file: "pipeline.toml", pipeline, store: None, base: &base }).unwrap()
    }

    /// What a stage sees: names, and what they mean.
    fn view(&self, pipeline: &Pipeline, stage: &Stage) -> Vec<String> {
        // Git knows no empty folders: one that is there or not is no difference.
        duct::cmd!("find", ".", "-type", "d", "-empty", "-not", "-path", "./.git/*", "-delete").dir(&self.root).run().unwrap();
        let lister = lister(&self.root, "pipeline.toml", pipeline, None);
        let listing = lister.list(&stage.dir, stage.inputs.as_deref(), &[]).unwrap();
        let show = |input: &Input| match &input.kind {
            InputKind::File => {
                let mode = input.path.metadata().unwrap().permissions().mode() & 0o100;
                format!("{} {mode} {}", input.name, fs::read_to_string(&input.path).unwrap())
            }
            InputKind::Link { target, leads_to } => format!("{} {target:?} {leads_to:?}", input.name),
            InputKind::Absent => String::new(),
        };
        listing.inputs.iter().filter(|input| input.kind != InputKind::Absent).map(show).collect()
    }
}

fn init(root: &Path) -> PathBuf {
    git(root, &["init", "-q"]);
    root.to_owned()
}

fn git(folder: &Path, words: &[&str]) {
    let settings = ["-c", "user.name=x", "-c", "user.email=x@y", "-c", "init.defaultBranch=main"];
    duct::cmd("git", settings.iter().chain(words)).dir(folder).stdout_null().stderr_null().run().unwrap();
}

fn parse(text: &str) -> Pipeline {
    load(&Source::new("pipeline.toml", text.as_bytes().to_vec())).unwrap().pipeline
}

#[test]
fn any_commit_may_be_the_base() {
    let text =
        "[pipeline]\nname = \"x\"\n[stages.a]\ninputs = [\"a\"]\nsteps = [\"true\"]\n[stages.b]\ninputs = [\"b\"]\nsteps = [\"true\"]\n";
    let checkout = Checkout::new(text, &["a".to_owned(), "b".to_owned()]);
    checkout.commit();
    git(&checkout.root, &["checkout", "-q", "-b", "other"]);
    checkout.write("b", "of the other branch");
    let other = checkout.commit();
    git(&checkout.root, &["checkout", "-q", "main"]);
    checkout.write("a", "of this branch");
    let here = checkout.commit();
    let pipeline = parse(text);
    assert_eq!(checkout.affected(&pipeline, &other).is_affected(), [true, true], "compared as it is, not by a merge base");
    assert_eq!(checkout.affected(&pipeline, &here).is_affected(), [false, false]);
    assert_eq!(checkout.repository.base(Some("other")).unwrap().commit, checkout.repository.commit("main~1").unwrap().unwrap());
}

fn path() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(vec!["a", "b", "x.c", "x.log", ".gitignore", "deep"]);
    proptest::collection::vec(name, 1..=3).prop_map(|names| names.join("/"))
}

/// Makes some change to what lies at two paths; one that cannot be made is none.
fn change(root: &Path, kind: u8, path: &str, other: &str) {
    let (path, target) = (root.join(path), root.join(other));
    let _may_be_there = fs::create_dir_all(path.parent().unwrap());
    let _may_not_apply = match kind {
        0 => fs::write(&path, "*.log\ndeep\n"),
        1 => fs::remove_file(&path),
        2 => fs::remove_dir_all(&path),
        3 => fs::rename(&path, &target),
        4 => fs::set_permissions(&path, fs::Permissions::from_mode(0o755)),
        5 => fs::remove_file(&path).and_then(|()| symlink(&target, &path)),
        _ => symlink(format!("../{other}"), &path),
    };
}

#[test]
fn a_link_on_the_way_to_an_input_may_go() {
    let text = "[pipeline]\nname = \"x\"\n[stages.a]\nsteps = [\"true\"]\ninputs = [\"b/a\"]\n[stages.b]\nsteps = [\"true\"]\ninputs = [\"*/deep/**\"]\n\
                [stages.c]\nsteps = [\"true\"]\ninputs = [\"a\"]\n";
    let checkout = Checkout::new(text, &["a".to_owned()]);
    change(&checkout.root, 6, "b", "a");
    let base = checkout.commit();
    let pipeline = parse(text);
    change(&checkout.root, 1, "b", "");
    let affected = checkout.affected(&pipeline, &base).is_affected();
    assert_eq!(affected, [true, true, false]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn what_a_stage_sees_differently_affects_it(
        files in proptest::collection::vec(path(), 1..8),
        links in proptest::collection::vec((path(), path()), 0..3),
        changes in proptest::collection::vec((0_u8..7, path(), path()), 1..5),
        is_committed in any::<bool>(),
    ) {
        let selectors = ["", "inputs = [\"a\"]", "inputs = [\"**/*.c\", \"!b\"]", "inputs = [\"*/deep/**\"]", "dir = \"a\"", "inputs = [\"b/a\"]"];
        let stages: String = selectors.iter().enumerate().fold(String::new(), |all, (number, line)| all + &format!("[stages.s{number}]\nsteps = [\"true\"]\n{line}\n"));
        let text = format!("[pipeline]\nname = \"x\"\n{stages}");
        let fits = |file: &&String| !files.iter().any(|other| other != *file && Path::new(other).starts_with(file));
        let checkout = Checkout::new(&text, &files.iter().filter(fits).cloned().collect::<Vec<_>>());
        links.iter().for_each(|(path, target)| change(&checkout.root, 6, path, target));
        let base = checkout.commit();
        let pipeline = parse(&text);
        // What git ignores is not in the commit: whoever compares with it cannot know that it was there.
        git(&checkout.root, &["clean", "-qfdX"]);
        let views = || pipeline.stages.iter().map(|stage| checkout.view(&pipeline, stage)).collect::<Vec<_>>();
        let before = views();
        changes.iter().for_each(|(kind, path, other)| change(&checkout.root, *kind, path, other));
        if is_committed {
            checkout.commit();
        }
        let affected = checkout.affected(&pipeline, &base);
        for (id, (before, after)) in pipeline.ids().zip(before.iter().zip(&views())) {
            prop_assert!(before == after || affected.reasons[id.index()].is_some(), "{:?}: {:?} became {:?}", pipeline.stage(id).inputs, before, after);
        }
    }
}
