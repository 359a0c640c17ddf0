//! A key changes with each thing that counts, and with nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::base::digest::Hash;
use crate::base::secret::Masker;
use crate::base::source::Source;
use crate::config::load;
use crate::engine::checkout::{Access, CacheMode, Checkout};
use crate::engine::memory::Memory;
use crate::engine::plan::Plan;
use crate::exec::environment::Caller;
use crate::model::select::{Request, Selection};

/// A project in which everything that may count can be varied.
#[derive(Debug, Clone, PartialEq)]
struct Project {
    files: Vec<(String, String, bool)>,
    link: String,
    words: Vec<String>,
    line: String,
    env: Vec<(String, String)>,
    passed: Option<String>,
    step_dir: String,
    output: String,
    shell: String,
    noise: Noise,
}

/// What must not count.
#[derive(Debug, Clone, PartialEq)]
struct Noise {
    timeout: u8,
    retries: u8,
    description: String,
    unrelated: String,
    is_env_reversed: bool,
}

impl Project {
    fn text(&self) -> String {
        let quote = |text: &str| serde_json::to_string(text).unwrap();
        let words: Vec<String> = self.words.iter().map(|word| quote(word)).collect();
        let mut env: Vec<String> = self.env.iter().map(|(name, value)| format!("{name} = {}", quote(value))).collect();
        if self.noise.is_env_reversed {
            env.reverse();
        }
        format!(
            "[pipeline]\nname = \"x\"\nshell = [\"sh\", {}]\n[stages.a]\ndescription = {}\ntimeout = \"{}s\"\nretries = {}\ninputs = [\"in/**\"]\n\
             outputs = [{}]\npass-env = [\"PASSED\"]\nenv = {{ {} }}\nsteps = [[\"/bin/echo\", {}], {{ run = {}, dir = {} }}]\n[stages.other]\n\
             steps = [{}]\n",
            quote(&self.shell),
            quote(&self.noise.description),
            self.noise.timeout + 1,
            self.noise.retries,
            quote(&self.output),
            env.join(", "),
            words.join(", "),
            quote(&self.line),
            quote(&self.step_dir),
            quote(&format!("echo {}", self.noise.unrelated)),
        )
    }

    /// Lays the project down in `root` and returns the key of its stage.
    fn key(&self, root: &Path) -> Hash {
        fs::create_dir_all(root.join("in")).unwrap();
        for (name, text, executable) in &self.files {
            fs::write(root.join("in").join(name), text).unwrap();
            fs::set_permissions(root.join("in").join(name), fs::Permissions::from_mode(if *executable { 0o755 } else { 0o644 })).unwrap();
        }
        symlink(&self.link, root.join("in/link")).unwrap();
        let root = root.canonicalize().unwrap();
        let pipeline = load(&Source::new("pipeline.toml", self.text().into_bytes())).unwrap().pipeline;
        let selection = Selection::new(&pipeline, &Request { stages: vec!["a".into()], ..Request::default() }).unwrap();
        let plan = Plan::new(&pipeline, selection, &root, "shipway run", Vec::new()).unwrap();
        let variables = [
            ("PATH", Some("/usr/bin:/bin".to_owned())),
            ("PASSED", self.passed.clone()),
            ("UNRELATED", Some(self.noise.unrelated.clone())),
        ];
        let caller = Caller::new(variables.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into()))), false);
        let masker = Masker::new([]);
        let access = Access { store: None, mode: CacheMode::ReadWrite, force: false, paranoid: false, only_look: true };
        let (checkout, _) = Checkout::open(&root, "pipeline.toml", &pipeline, &access);
        let memory = Memory::new(&plan, &caller, &masker, &checkout);
        memory.fingerprint(plan.stages[0]).unwrap().key()
    }
}

fn word() -> impl Strategy<Value = String> {
    "[ab\"' $=]{1,3}".prop_filter("a step begins with a word", |word| !word.trim().is_empty())
}

fn projects() -> impl Strategy<Value = Project> {
    let files = prop::collection::btree_map("[ab]{1,2}", ("[xy]{0,2}", any::<bool>()), 0..4)
        .prop_map(|files| files.into_iter().map(|(name, (text, executable))| (name, text, executable)).collect());
    let env = prop::collection::btree_map("[AB]{1,2}", "[xy=]{0,2}", 0..3).prop_map(|env| env.into_iter().collect());
    let noise = (0u8..9, 0u8..9, "[xy]{0,3}", "[xy]{1,3}", any::<bool>()).prop_map(
        |(timeout, retries, description, unrelated, is_env_reversed)| Noise { timeout, retries, description, unrelated, is_env_reversed },
    );
    let step = (prop::collection::vec(word(), 1..4), word(), "[ab]", "[pq]{1,2}", "-[eu]");
    (files, "[ab]{1,2}", step, env, prop::option::of("[xy]{0,2}"), noise).prop_map(
        |(files, link, (words, line, step_dir, output, shell), env, passed, noise)| Project {
            files,
            link,
            words,
            line: format!("echo {line}"),
            env,
            passed,
            step_dir,
            output,
            shell,
            noise,
        },
    )
}

fn key(project: &Project) -> Hash {
    let folder = tempfile::tempdir().unwrap();
    let root: PathBuf = folder.path().join("some where");
    fs::create_dir(&root).unwrap();
    project.key(&root)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn different_projects_have_different_keys(one in projects(), other in projects()) {
        let without_noise = |project: &Project| Project { noise: one.noise.clone(), ..project.clone() };
        prop_assert_eq!(without_noise(&one) == without_noise(&other), key(&one) == key(&other));
    }

    #[test]
    fn a_single_change_is_a_change_of_the_key(one in projects(), other in projects(), which in 0usize..9) {
        let mut changed = one.clone();
        match which {
            0 => changed.files = other.files,
            1 => changed.link = other.link,
            2 => changed.words = other.words,
            3 => changed.line = other.line,
            4 => changed.env = other.env,
            5 => changed.passed = other.passed,
            6 => changed.step_dir = other.step_dir,
            7 => changed.output = other.output,
            _ => changed.shell = other.shell,
        }
        prop_assert_eq!(one == changed, key(&one) == key(&changed));
    }

    #[test]
    fn what_does_not_count_changes_nothing(one in projects(), other in projects()) {
        let changed = Project { noise: other.noise, ..one.clone() };
        prop_assert_eq!(key(&one), key(&changed));
    }
}
