//! The strict environment of a step (contract, section 3): what is passed on, what is constant, what is set.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::executor::{SERVICE, STAGE};
use super::jobserver::OF_CALLER;

/// Passed on from the caller to every step, and no part of any key: what programs need to find themselves and their data.
/// A name that ends in `*` stands for all that begin so.
pub const FORWARDED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "XDG_*",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    // Where toolchains live.
    "ANDROID_HOME",
    "ASDF_DATA_DIR",
    "ASDF_DIR",
    "BUN_INSTALL",
    "CARGO_HOME",
    "COMPOSER_HOME",
    "DENO_DIR",
    "DENO_INSTALL",
    "DOTNET_ROOT",
    "GEM_HOME",
    "GHCUP_INSTALL_BASE_PREFIX",
    "GOMODCACHE",
    "GOPATH",
    "GOROOT",
    "GRADLE_USER_HOME",
    "HEX_HOME",
    "JAVA_HOME",
    "JULIA_DEPOT_PATH",
    "M2_HOME",
    "MISE_CONFIG_DIR",
    "MISE_DATA_DIR",
    "MIX_HOME",
    "NIX_SSL_CERT_FILE",
    "NUGET_PACKAGES",
    "NVM_DIR",
    "OPAMROOT",
    "PNPM_HOME",
    "PYENV_ROOT",
    "RBENV_ROOT",
    "RUSTUP_HOME",
    "STACK_ROOT",
    "UV_CACHE_DIR",
    "VOLTA_HOME",
];

/// The same on every machine, unless `env` or `pass-env` says otherwise.
pub const CONSTANTS: &[(&str, &str)] = &[("TZ", "UTC"), ("LC_ALL", "C.UTF-8"), ("TERM", "dumb")];

/// Set when our own output is coloured, so that steps colour theirs.
pub const COLOURS: &[&str] = &["CLICOLOR_FORCE", "FORCE_COLOR"];

/// Set by git for its hooks: never passed on, since they would lead a step's git to the repository of the hook.
/// A name that ends in `*` stands for all that begin so.
pub const OF_HOOKS: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_*",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_PUSH_OPTION_*",
    "GIT_QUARANTINE_PATH",
    "GIT_REFLOG_ACTION",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// The environment that shipway was called with, and what of it every step gets.
#[derive(Debug, Clone)]
pub struct Caller {
    variables: BTreeMap<OsString, OsString>,
    base: BTreeMap<OsString, OsString>,
}

impl Caller {
    /// Takes the variables of the caller; `coloured` tells steps to colour what they print.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>, coloured: bool) -> Self {
        let mut variables: BTreeMap<OsString, OsString> = variables.into_iter().collect();
        variables.retain(|name, _| !OF_HOOKS.iter().any(|pattern| matches(pattern, name)));
        if let Some(path) = variables.get_mut(OsStr::new("PATH")) {
            *path = without_git(path);
        }
        let mut base: BTreeMap<OsString, OsString> = variables
            .iter()
            .filter(|(name, _)| FORWARDED.iter().any(|pattern| matches(pattern, name)))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let constants = CONSTANTS.iter().copied().chain([("SHIPWAY", "1")]);
        base.extend(
            constants.chain(COLOURS.iter().filter(|_| coloured).map(|name| (*name, "1"))).map(|(name, value)| (name.into(), value.into())),
        );
        Self { variables, base }
    }

    /// Returns the same caller with another value of a variable that every step gets.
    #[must_use]
    pub fn with(&self, name: &str, value: &OsStr) -> Self {
        let mut other = self.clone();
        other.variables.insert(name.into(), value.into());
        other.base.insert(name.into(), value.into());
        other
    }

    /// Returns the value of the variable `name`.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Returns the caller's variables that the names and patterns mean.
    pub fn passed(&self, patterns: &[String]) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let is_meant = |name: &OsStr| patterns.iter().any(|pattern| matches(pattern, name));
        self.variables.iter().filter(move |(name, _)| is_meant(name)).map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Returns the environment of a service: as [`Caller::of_step`], but it is of no stage.
    pub fn of_service(
        &self,
        service: &str,
        pass: &[String],
        secrets: &[String],
        env: &BTreeMap<String, String>,
    ) -> BTreeMap<OsString, OsString> {
        let mut own = self.of_step("", pass, secrets, [env, &BTreeMap::new()]);
        own.remove(OsStr::new(STAGE));
        own.insert(SERVICE.into(), service.into());
        own
    }

    /// Returns the environment of a step of `stage`: the later wins of what is passed on, the stage's `env` and the step's.
    pub fn of_step(
        &self,
        stage: &str,
        pass: &[String],
        secrets: &[String],
        env: [&BTreeMap<String, String>; 2],
    ) -> BTreeMap<OsString, OsString> {
        let mut step = self.base.clone();
        for pattern in pass.iter().chain(secrets) {
            step.retain(|name, _| !matches(pattern, name) || !is_constant(name));
            step.extend(
                self.variables.iter().filter(|(name, _)| matches(pattern, name)).map(|(name, value)| (name.clone(), value.clone())),
            );
        }
        step.extend(env.into_iter().flatten().map(|(name, value)| (name.into(), value.into())));
        step.insert("SHIPWAY".into(), "1".into());
        step.insert(STAGE.into(), stage.into());
        step
    }
}

/// Returns this PATH without the folder of git's own programs, which git puts in front of it for its hooks.
fn without_git(path: &OsStr) -> OsString {
    let mut folders = std::env::split_paths(path).peekable();
    if folders.next_if(|first| first.file_name().is_some_and(|name| name == "git-core")).is_none() {
        return path.to_owned();
    }
    std::env::join_paths(folders).unwrap_or_else(|_| path.to_owned())
}

fn is_constant(name: &OsStr) -> bool {
    CONSTANTS.iter().any(|(constant, _)| name == *constant)
}

/// Tells whether the name or pattern means the variable; `*` stands for any text. That the caller runs below a make or a cargo is what no
/// pattern means: it would make the key another one, and the steps clients of a jobserver that is none of theirs.
fn matches(pattern: &str, name: &OsStr) -> bool {
    let mut rest = name.as_encoded_bytes();
    let Some((first, others)) = pattern.split_once('*') else { return rest == pattern.as_bytes() };
    if OF_CALLER.iter().any(|variable| name == *variable) {
        return false;
    }
    let Some(behind) = rest.strip_prefix(first.as_bytes()) else { return false };
    rest = behind;
    let (between, last) = others.rsplit_once('*').unwrap_or(("", others));
    // Each part as early as it can be leaves the most to the others.
    for part in between.split('*').filter(|part| !part.is_empty()) {
        match rest.windows(part.len()).position(|window| window == part.as_bytes()) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(variables: &[(&str, &str)], coloured: bool) -> Caller {
        Caller::new(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())), coloured)
    }

    fn shown(env: &BTreeMap<OsString, OsString>) -> String {
        env.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_what_is_declared_is_passed_on() {
        let caller = caller(&[("PATH", "/bin"), ("CI", "1"), ("XDG_CACHE_HOME", "/c"), ("GIT_DIR", "x"), ("TERM", "xterm")], false);
        let none = BTreeMap::new();
        assert_eq!(
            shown(&caller.of_step("s", &[], &[], [&none, &none])),
            "LC_ALL=C.UTF-8 PATH=/bin SHIPWAY=1 SHIPWAY_STAGE=s TERM=dumb TZ=UTC XDG_CACHE_HOME=/c"
        );
        let pass = ["C*".to_owned(), "TERM".to_owned(), "TZ".to_owned()];
        assert_eq!(
            shown(&caller.of_step("s", &pass, &[], [&none, &none])),
            "CI=1 LC_ALL=C.UTF-8 PATH=/bin SHIPWAY=1 SHIPWAY_STAGE=s TERM=xterm XDG_CACHE_HOME=/c"
        );
    }

    #[test]
    fn a_jobserver_of_the_caller_is_passed_on_only_by_name() {
        let (caller, none) = (caller(&[("CARGO_MAKEFLAGS", "a"), ("MAKEFLAGS", "b"), ("CARGO_TERM_COLOR", "c")], false), BTreeMap::new());
        let pass = |names: [&str; 2]| shown(&caller.of_step("s", &names.map(str::to_owned), &[], [&none, &none]));
        let rest = "LC_ALL=C.UTF-8";
        assert!(pass(["CARGO_*", "*FLAGS"]).starts_with(&format!("CARGO_TERM_COLOR=c {rest} SHIPWAY=1")));
        assert!(pass(["CARGO_MAKEFLAGS", "MAKEFLAGS"]).starts_with(&format!("CARGO_MAKEFLAGS=a {rest} MAKEFLAGS=b")));
    }

    #[test]
    fn what_git_sets_for_its_hooks_never_leaks_in() {
        let given = [("GIT_DIR", ".git"), ("GIT_INDEX_FILE", "x"), ("GIT_AUTHOR_NAME", "a"), ("PATH", "/usr/lib/git-core:/bin::x")];
        let none = BTreeMap::new();
        let env = caller(&given, false).of_step("s", &["GIT_*".to_owned()], &["GIT_DIR".to_owned()], [&none, &none]);
        assert_eq!(shown(&env), "GIT_AUTHOR_NAME=a LC_ALL=C.UTF-8 PATH=/bin::x SHIPWAY=1 SHIPWAY_STAGE=s TERM=dumb TZ=UTC");
        assert_eq!(caller(&[("PATH", "")], false).get("PATH"), Some(OsStr::new("")));
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name) in [("A*", "A"), ("A*", "AB"), ("*", ""), ("*_B*C", "X_B_BYC"), ("a*b*c", "abbc"), ("**x", "x")] {
            assert!(matches(pattern, OsStr::new(name)), "{pattern} {name}");
        }
        for (pattern, name) in [("A", "AB"), ("A*", "BA"), ("a*ba", "aba1"), ("a*a", "a"), ("*A*A*B", &"A".repeat(5000))] {
            assert!(!matches(pattern, OsStr::new(name)), "{pattern}");
        }
    }

    #[test]
    fn the_step_wins_over_the_stage_and_that_over_the_caller() {
        let caller = caller(&[("A", "caller"), ("B", "caller"), ("C", "caller")], true);
        let stage = BTreeMap::from([("B".to_owned(), "stage".to_owned()), ("C".to_owned(), "stage".to_owned())]);
        let step = BTreeMap::from([("C".to_owned(), "step".to_owned())]);
        let env = caller.of_step("s", &["A".into(), "B".into(), "C".into()], &[], [&stage, &step]);
        for (name, value) in [("A", "caller"), ("B", "stage"), ("C", "step"), ("CLICOLOR_FORCE", "1"), ("FORCE_COLOR", "1")] {
            assert_eq!(env[OsStr::new(name)], value);
        }
    }
}
