//! The package managers of JavaScript: npm, pnpm, Yarn, Bun.

use serde_json::Value;

use super::folder::Folder;

/// How a project gets its packages and runs its scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manager {
    /// Its program.
    pub(super) program: &'static str,
    /// Its lock file, where the project has one.
    pub(super) lock: Option<&'static str>,
    /// The line that installs exactly what the lock file says, else what the package asks for, and writes no lock file of its own.
    pub(super) install: &'static str,
    /// Whether packages lie in `node_modules`.
    pub(super) has_folder: bool,
}

const LOCKS: &[(&str, &str)] = &[
    ("pnpm-lock.yaml", "pnpm"),
    ("yarn.lock", "yarn"),
    ("bun.lock", "bun"),
    ("bun.lockb", "bun"),
    ("package-lock.json", "npm"),
    ("npm-shrinkwrap.json", "npm"),
];

/// Returns the manager that `package.json` names, else that of the lock file, else npm.
pub(super) fn manager(folder: &Folder<'_>, package: &Value) -> Manager {
    let named = package.get("packageManager").and_then(Value::as_str).and_then(|named| named.split('@').next());
    let known = ["npm", "pnpm", "yarn", "bun"];
    let program = named.and_then(|named| known.into_iter().find(|known| *known == named));
    let present = LOCKS.iter().find(|(lock, owner)| folder.has(lock) && program.is_none_or(|program| program == *owner));
    let program = program.or(present.map(|(_, owner)| *owner)).unwrap_or("npm");
    let lock = present.map(|(lock, _)| *lock);
    let is_modern_yarn = program == "yarn" && folder.has(".yarnrc.yml");
    let install = match (program, lock.is_some()) {
        ("pnpm", true) => "pnpm install --frozen-lockfile",
        ("pnpm", false) => "pnpm install --no-lockfile",
        ("yarn", true) if is_modern_yarn => "yarn install --immutable",
        ("yarn", true) => "yarn install --frozen-lockfile",
        ("yarn", false) if is_modern_yarn => "yarn install",
        ("yarn", false) => "yarn install --no-lockfile",
        ("bun", true) => "bun install --frozen-lockfile",
        ("bun", false) => "bun install --no-save",
        (_, true) => "npm ci --no-audit --no-fund",
        (_, false) => "npm install --no-audit --no-fund --no-package-lock",
    };
    let links = folder.read(".yarnrc.yml").is_some_and(|text| text.lines().any(|line| line.trim() == "nodeLinker: node-modules"));
    Manager { program, lock, install, has_folder: !is_modern_yarn || links }
}

impl Manager {
    /// Returns the line that runs a script of `package.json`.
    pub(super) fn run(&self, script: &str) -> String {
        if script == "test" && self.program != "bun" { format!("{} test", self.program) } else { format!("{} run {script}", self.program) }
    }
}
