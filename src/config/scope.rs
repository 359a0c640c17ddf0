//! How stages of included files are called: by the folder of their file, a slash, and the name that the file gives them.
//!
//! Knows names; knows nothing of files. A name in a file means a stage of that file, or with its folder's name before it one of a file
//! that it includes; one that begins with `/` is counted from the file that is run.

use std::sync::Arc;

/// What stands before the names of a file's stages: nothing, or folders, each with a slash behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope(Arc<str>);

impl Scope {
    /// Returns that of the file that is run.
    pub(super) fn root() -> Self {
        Self("".into())
    }

    /// Returns that of a file in the folder `name` that a file of this scope includes.
    pub(super) fn below(&self, name: &str) -> Self {
        Self(format!("{}{name}/", self.0).into())
    }

    /// Returns the full name of what a file of this scope calls `name`.
    pub(super) fn absolute(&self, name: &str) -> String {
        name.strip_prefix('/').map_or_else(|| format!("{}{name}", self.0), str::to_owned)
    }

    /// Returns how a file of this scope writes the stage whose full name is `full`.
    pub(super) fn spelled(&self, full: &str) -> String {
        match full.strip_prefix(&*self.0) {
            Some(own) => own.to_owned(),
            None => format!("/{full}"),
        }
    }

    /// Tells whether the stage whose full name is `full` would be one of this file, or of one that it includes.
    pub(super) fn holds(&self, full: &str) -> bool {
        full.starts_with(&*self.0)
    }

    /// Returns the scope without its last slash, for messages.
    pub(super) fn shown(&self) -> &str {
        self.0.trim_end_matches('/')
    }

    /// Returns how deep it is: of two that hold a name, the longer one is nearer.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_local_unless_they_begin_with_a_slash() {
        let (root, api) = (Scope::root(), Scope::root().below("api"));
        for (scope, written, full) in [
            (&root, "test", "test"),
            (&root, "api/test", "api/test"),
            (&api, "build", "api/build"),
            (&api, "auth/build", "api/auth/build"),
            (&api, "/lib/build", "lib/build"),
        ] {
            assert_eq!(scope.absolute(written), full);
            assert_eq!(scope.spelled(full), written);
        }
        assert_eq!(root.absolute("/test"), "test");
        assert_eq!(api.below("auth").absolute("x"), "api/auth/x");
        assert!(api.holds("api/x") && !api.holds("apix") && root.holds("x"));
        assert_eq!(api.below("auth").shown(), "api/auth");
    }
}
