//! The language of the CI system that reads our lines: groups that fold, and annotations in the change that is looked at.
//!
//! Knows what each system takes for a command, and sees to it that nothing but our own lines is one. When what is said it does not know.

mod github;
mod gitlab;
pub mod group;

use std::borrow::Cow;
use std::path::Path;

use self::github::Github;
use self::group::Group;
use super::lines::tame;
use super::places::Found;
use crate::model::event::StageFinished;
use crate::model::findings::Findings;

/// The language of the reader.
#[derive(Debug, Clone)]
pub struct Dialect {
    kind: Kind,
    /// Whether there are commands of our own.
    speaks: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    Plain,
    Github(Github),
    Gitlab,
}

impl Dialect {
    /// Lines for people, no commands.
    pub fn plain() -> Self {
        Self { kind: Kind::Plain, speaks: false }
    }

    /// Returns the language that the caller's variables ask for; places are told from the top of what the CI system has checked out,
    /// where the project at `root` is in it.
    pub fn of(variable: impl Fn(&str) -> Option<String>, root: &Path) -> Self {
        let is = |name: &str| variable(name).is_some_and(|value| value == "true");
        let kind = if is("GITHUB_ACTIONS") {
            Kind::Github(Github::new(variable("GITHUB_WORKSPACE").as_deref(), root))
        } else if is("GITLAB_CI") {
            Kind::Gitlab
        } else {
            Kind::Plain
        };
        Self { kind, speaks: true }
    }

    /// Returns the same without commands of our own: nothing that is said is one.
    #[must_use]
    pub fn silent(self) -> Self {
        Self { speaks: false, ..self }
    }

    /// Tells whether there is nothing to speak of.
    pub fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Plain)
    }

    /// Returns a line of somebody else, or one of ours with words of somebody else in it, so that it is no command: only colours are left
    /// of what a terminal would obey, and what the system would obey is broken in a way that can be seen. In plain lines nothing is.
    pub fn guard<'l>(&self, line: &'l [u8]) -> Cow<'l, str> {
        let is_command = match &self.kind {
            Kind::Plain => return String::from_utf8_lossy(line),
            Kind::Github(_) => github::break_commands,
            Kind::Gitlab => gitlab::break_commands,
        };
        let text = tame(line, true);
        match is_command(&tame(text.as_bytes(), false)) {
            Some(broken) => Cow::Owned(broken),
            None => text,
        }
    }

    /// Returns text of several lines, each guarded.
    pub fn guard_text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.is_plain() {
            return Cow::Borrowed(text);
        }
        let lines: Vec<_> = text.split('\n').map(|line| self.guard(line.as_bytes())).collect();
        Cow::Owned(lines.join("\n"))
    }

    /// Returns the line that opens a group, where groups are known.
    pub fn open(&self, group: &Group<'_>) -> Option<String> {
        let title = self.guard(group.title.as_bytes());
        match &self.kind {
            Kind::Github(_) if self.speaks => Some(github::command("group", &[], &title)),
            Kind::Gitlab if self.speaks => Some(gitlab::open(group, &title)),
            Kind::Plain | Kind::Github(_) | Kind::Gitlab => None,
        }
    }

    /// Returns the line that closes a group.
    pub fn close(&self, group: &Group<'_>) -> Option<String> {
        match &self.kind {
            Kind::Github(_) if self.speaks => Some(github::command("endgroup", &[], "")),
            Kind::Gitlab if self.speaks => Some(gitlab::close(group)),
            Kind::Plain | Kind::Github(_) | Kind::Gitlab => None,
        }
    }

    /// Remembers what the report files of a stage say.
    pub fn remember(&mut self, findings: &Findings) {
        if let Kind::Github(github) = &mut self.kind {
            github.remember(findings);
        }
    }

    /// Returns the line for something that a person should know, where there is a command for it.
    pub fn notice(&mut self, stage: Option<&str>, text: &str) -> Option<String> {
        match &mut self.kind {
            Kind::Github(github) if self.speaks => github.warning(stage.unwrap_or("shipway"), text),
            Kind::Plain | Kind::Github(_) | Kind::Gitlab => None,
        }
    }

    /// Returns the lines that mark, in the change that is looked at, what the report files of a stage that did not fail found.
    pub fn findings(&mut self, finished: &StageFinished) -> Vec<String> {
        match &mut self.kind {
            Kind::Github(github) if self.speaks => github.findings(finished),
            Kind::Plain | Kind::Github(_) | Kind::Gitlab => Vec::new(),
        }
    }

    /// Returns the lines that mark a failure in the change that is looked at; `places` are those in its output.
    pub fn failure(&mut self, finished: &StageFinished, places: &[Found]) -> Vec<String> {
        match &mut self.kind {
            Kind::Github(github) if self.speaks => github.failure(finished, places),
            Kind::Plain | Kind::Github(_) | Kind::Gitlab => Vec::new(),
        }
    }
}
