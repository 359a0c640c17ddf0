//! A workflow for a CI system: it fetches the sources, installs shipway, keeps the store between runs, and calls `shipway run`.
//!
//! What is built and tested stands in `pipeline.toml` alone.

use super::wanted::Wanted;
use super::{github, gitlab};

/// The CI system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// GitHub Actions.
    Github,
    /// GitLab CI/CD.
    Gitlab,
}

/// Why no workflow can be written for this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(String);

/// Returns the text of the workflow.
///
/// # Errors
/// Where a word would mean something else in the workflow.
pub fn workflow(system: System, wanted: &Wanted) -> Result<String, Unfit> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./+@".contains(c);
    if !wanted.dir.chars().all(is_plain) {
        return Err(Unfit(format!("the folder `{}` has a name that would need quoting in a workflow", wanted.dir.escape_debug())));
    }
    if !wanted.file.chars().all(is_plain) {
        return Err(Unfit(format!("the file `{}` has a name that would need quoting in a workflow", wanted.file.escape_debug())));
    }
    let is_no_line = |line: &String| line.trim().is_empty() || line.contains(|c: char| c.is_control());
    if wanted.install.as_ref().is_some_and(is_no_line) {
        return Err(Unfit("the command that installs shipway is not one line".to_owned()));
    }
    Ok(match system {
        System::Github => github::workflow(wanted),
        System::Gitlab => gitlab::workflow(wanted),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_mean_something_else_is_refused() {
        let wanted = |dir: &str, install: &str| Wanted {
            dir: dir.to_owned(),
            file: "pipeline.toml".to_owned(),
            install: Some(install.to_owned()),
            mark: "x".to_owned(),
            rust: "1.0",
        };
        for system in [System::Github, System::Gitlab] {
            assert!(workflow(system, &wanted("a b", "x")).is_err());
            assert!(workflow(system, &wanted("${{ x }}", "x")).is_err());
            assert!(workflow(system, &wanted("", "a\nb")).is_err());
            assert!(workflow(system, &wanted("", " ")).is_err());
            assert!(workflow(system, &wanted("services/api", "cargo install x")).unwrap().contains("shipway -C services/api run"));
        }
    }
}
