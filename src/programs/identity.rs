//! What a program is: files whose content tells, or a shim, whose content does not.
//!
//! Knows PATH, links and first lines; hashes nothing and starts nothing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::script::{self, Interpreter};
use super::shim::{self, Shim};
use crate::base::program::find;

/// How many scripts may interpret each other; kernels stop earlier.
const DEEPEST: usize = 8;

/// What the name of a program means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// Not found; the step will say so itself.
    Absent,
    /// Identified by the content of these files, in order: the executable by its real path, of a script also what interprets it.
    Files(Vec<PathBuf>),
    /// A shim: its content says nothing about the program it starts.
    Shim(Shim),
}

/// Returns what the program `name` is, as a step in `dir` with this PATH would find it.
pub fn identify(name: &str, path: Option<&OsStr>, dir: &Path) -> Program {
    look(name, path, dir, DEEPEST)
}

fn look(name: &str, path: Option<&OsStr>, dir: &Path, depth: usize) -> Program {
    let Ok(found) = find(name, path, dir) else { return Program::Absent };
    let Ok(real) = found.canonicalize() else { return Program::Absent };
    if let Some(shim) = shim::managed(name, &found, &real) {
        return Program::Shim(shim);
    }
    let head = script::head(&real);
    let interpreter = Interpreter::of(&head);
    if interpreter.is_shell() && script::hands_on(&head) {
        return Program::Shim(Shim::script(name, &real));
    }
    let (Interpreter::File(interpreter) | Interpreter::Name(interpreter)) = interpreter else { return Program::Files(vec![real]) };
    if depth == 0 || is_system_shell(&interpreter, path, dir) {
        return Program::Files(vec![real]);
    }
    match look(&interpreter, path, dir, depth - 1) {
        Program::Absent => Program::Files(vec![real]),
        Program::Files(files) => Program::Files(std::iter::once(real).chain(files).collect()),
        Program::Shim(shim) => {
            let files = std::iter::once(real).chain(shim.files).collect();
            Program::Shim(Shim { files, ..shim })
        }
    }
}

/// Tells whether this is the system's own shell, which is no tool of its own, as the default shell is none.
fn is_system_shell(name: &str, path: Option<&OsStr>, dir: &Path) -> bool {
    let Ok(found) = find(name, path, dir) else { return false };
    ["/bin", "/usr/bin"].iter().any(|folder| ["sh", "dash", "bash"].iter().any(|shell| found == Path::new(folder).join(shell)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;

    /// A folder of programs.
    struct Machine(TempDir);

    impl Machine {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().canonicalize().unwrap().join(name)
        }

        fn program(&self, name: &str, text: &str) -> &Self {
            fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
            fs::write(self.at(name), text).unwrap();
            fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o755)).unwrap();
            self
        }

        fn link(&self, name: &str, target: &str) -> &Self {
            fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
            symlink(target, self.at(name)).unwrap();
            self
        }

        fn look(&self, name: &str, path: &str) -> Program {
            let path = path.replace('~', self.at("").to_str().unwrap().trim_end_matches('/'));
            identify(name, Some(OsStr::new(&path)), &self.at(""))
        }

        fn files(&self, names: &[&str]) -> Program {
            Program::Files(names.iter().map(|name| self.at(name)).collect())
        }

        #[track_caller]
        fn shim(&self, name: &str, path: &str) -> Shim {
            match self.look(name, path) {
                Program::Shim(shim) => shim,
                other @ (Program::Absent | Program::Files(_)) => panic!("{name} is no shim: {other:?}"),
            }
        }
    }

    const BINARY: &str = "\u{7f}ELF\0\0\0";

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        let machine = Machine::new();
        machine.program("one/x", BINARY).program("two/y", BINARY).program("here", BINARY).program("one/tool/z", "");
        fs::write(machine.at("one/y"), "").unwrap();
        assert_eq!(machine.look("x", "~/one:~/two"), machine.files(&["one/x"]));
        assert_eq!(machine.look("y", "~/one:~/two"), machine.files(&["two/y"]));
        assert_eq!(machine.look("y", "one:two"), machine.files(&["two/y"]));
        assert_eq!(machine.look("here", "~/one:"), machine.files(&["here"]));
        assert_eq!(machine.look("tool", "~/one"), Program::Absent);
        assert_eq!(machine.look("gone", "~/one:/nowhere"), Program::Absent);
        assert_eq!(machine.look("x", ""), Program::Absent);
        assert_eq!(identify("x", None, &machine.at("")), Program::Absent);
        assert_eq!(machine.look(machine.at("one/x").to_str().unwrap(), ""), machine.files(&["one/x"]));
        assert_eq!(machine.look("", "~/one"), Program::Absent);
    }

    #[test]
    fn links_are_followed_to_the_end() {
        let machine = Machine::new();
        machine.program("bin/gcc-12", BINARY).link("bin/cc", "../etc/alternatives/cc").link("etc/alternatives/cc", "../../bin/gcc-12");
        machine.link("bin/dangling", "nowhere").link("bin/a", "b").link("bin/b", "a");
        assert_eq!(machine.look("cc", "~/bin"), machine.files(&["bin/gcc-12"]));
        assert_eq!(machine.look("dangling", "~/bin"), Program::Absent);
        assert_eq!(machine.look("a", "~/bin"), Program::Absent);
    }

    #[test]
    fn rustup_is_known_by_links_of_both_kinds() {
        let machine = Machine::new();
        machine.program(".cargo/bin/rustup", BINARY).link(".cargo/bin/cargo", "rustup").link("usr/cargo", "../.cargo/bin/cargo");
        fs::hard_link(machine.at(".cargo/bin/rustup"), machine.at(".cargo/bin/rustc")).unwrap();
        fs::copy(machine.at(".cargo/bin/rustup"), machine.at(".cargo/bin/rustfmt")).unwrap();
        machine.program(".cargo/bin/just", "\u{7f}ELG\0\0\0").link("usr/rustc", "../.cargo/bin/rustc");
        for (name, path) in
            [("cargo", "~/.cargo/bin"), ("cargo", "~/usr"), ("rustc", "~/.cargo/bin"), ("rustc", "~/usr"), ("rustfmt", "~/.cargo/bin")]
        {
            let shim = machine.shim(name, path);
            assert_eq!((shim.manager.as_str(), shim.is_known, shim.question), ("rustup", true, shim::question(name)), "{name}");
        }
        assert_eq!(machine.look("just", "~/.cargo/bin"), machine.files(&[".cargo/bin/just"]));
        assert_eq!(machine.look("rustup", "~/.cargo/bin"), machine.files(&[".cargo/bin/rustup"]));
    }

    #[test]
    fn folders_of_shims_are_known() {
        let machine = Machine::new();
        machine.program(".pyenv/shims/python3", "#!/usr/bin/env bash\nexec pyenv exec python3 \"$@\"\n");
        machine.program("opt/shims/ruby", "#!/bin/sh\nexec /opt/rbenv/libexec/rbenv exec ruby \"$@\"\n");
        machine.program("home/shims/x", BINARY).link("usr/python3", "../.pyenv/shims/python3");
        machine.program(".local/bin/mise", BINARY).link("share/mise/shims/node", "../../../.local/bin/mise");
        machine.program("volta/volta-shim", BINARY).link("volta/npm", "volta-shim");
        machine.program("corepack/dist/yarn.js", "#!/usr/bin/env node\n").link("usr/yarn", "../corepack/dist/yarn.js");
        machine.program("bin/ccache", BINARY).link("lib/ccache/cc", "../../bin/ccache");
        for (name, path, manager) in [
            ("python3", "~/.pyenv/shims", "pyenv"),
            ("python3", "~/usr", "pyenv"),
            ("ruby", "~/opt/shims", "rbenv"),
            ("node", "~/share/mise/shims", "mise"),
            ("npm", "~/volta", "volta"),
            ("yarn", "~/usr", "corepack"),
            ("cc", "~/lib/ccache", "ccache"),
        ] {
            let shim = machine.shim(name, path);
            assert_eq!((shim.manager.as_str(), shim.is_known), (manager, true), "{name}");
        }
        assert!(!machine.shim("x", "~/home/shims").is_known);
        assert_eq!(machine.look("ccache", "~/bin"), machine.files(&["bin/ccache"]));
        assert_eq!(machine.look("mise", "~/.local/bin"), machine.files(&[".local/bin/mise"]));
    }

    #[test]
    fn scripts_count_with_what_interprets_them() {
        let machine = Machine::new();
        machine.program("bin/node", BINARY).program("bin/awk2", BINARY).program("bin/plain", "#!/bin/sh\necho x\n");
        machine.program("bin/tool", "#!/usr/bin/env node\n").program("bin/again", "#!/usr/bin/env tool\n");
        machine.program("bin/self", &format!("#!{}\n", machine.at("bin/self").display()));
        machine.program("bin/rel", "#!bin/awk2\n").program("bin/lost", "#!/no/where\n").program("bin/bare", "echo x\n");
        assert_eq!(machine.look("plain", "~/bin"), machine.files(&["bin/plain"]));
        assert_eq!(machine.look("tool", "~/bin"), machine.files(&["bin/tool", "bin/node"]));
        assert_eq!(machine.look("again", "~/bin"), machine.files(&["bin/again", "bin/tool", "bin/node"]));
        assert_eq!(machine.look("rel", "~/bin"), machine.files(&["bin/rel", "bin/awk2"]));
        assert_eq!(machine.look("lost", "~/bin"), machine.files(&["bin/lost"]));
        assert_eq!(machine.look("bare", "~/bin"), machine.files(&["bin/bare"]));
        assert!(matches!(machine.look("self", "~/bin"), Program::Files(_)));
    }

    #[test]
    fn a_script_that_hands_on_is_a_shim() {
        let machine = Machine::new();
        machine.program("bin/bash", BINARY).program("bin/by-env", "#!/usr/bin/env bash\nexec \"$x\" \"$@\"\n");
        machine.program("bin/by-path", "#!/bin/sh\nset -e\nexec \"$(cat version)/x\" \"$@\"\n").program("bin/bare", "exec x \"$@\"\n");
        machine.program("bin/python", "#!/usr/bin/python3\n# exec \"$@\"\n").program("bin/main", "#!/bin/sh\nmain() { x; }\nmain \"$@\"\n");
        for name in ["by-env", "by-path", "bare"] {
            let shim = machine.shim(name, "~/bin");
            assert!(!shim.is_known && shim.files == [machine.at("bin").join(name)], "{shim:?}");
        }
        assert!(matches!(machine.look("python", "~/bin"), Program::Files(_)));
        assert_eq!(machine.look("main", "~/bin"), machine.files(&["bin/main"]));
    }

    #[test]
    fn a_script_whose_interpreter_is_a_shim_is_one() {
        let machine = Machine::new();
        machine.program("pyenv/shims/python3", "#!/bin/sh\n").program("bin/tool", "#!/usr/bin/env python3\nimport x\n");
        let shim = machine.shim("tool", "~/bin:~/pyenv/shims");
        assert_eq!((shim.name.as_str(), shim.question.join(" ").as_str()), ("python3", "python3 -VV"));
        assert_eq!(shim.files, [machine.at("bin/tool")]);
    }
}
