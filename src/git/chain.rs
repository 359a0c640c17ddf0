//! A chain of records in a repository: each a commit without files whose parent is the one before, and a ref that leads to the last.
//!
//! Knows commits and refs; what is recorded, others say. That the ref is changed only from what was seen makes it the lock: of two who
//! go on from the same record one is refused.

use super::repo::{GitError, Repository};
use crate::base::text::visible;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The name of its commit.
    pub name: String,
    /// The name of the one before; `None` for the first.
    pub before: Option<String>,
    /// What is recorded.
    pub message: String,
}

/// Who records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The name, as commits have it.
    pub name: String,
    /// The address.
    pub email: String,
}

/// How often a ref that another process has locked is tried again.
const PATIENCE: usize = 100;

/// The length of a name by SHA-1, and that of the empty tree.
const SHA1: usize = 40;
const EMPTY_SHA1: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

impl Repository {
    /// Returns who the user of this repository is, as git would write it into a commit; where it does not know, the user of this machine.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn who(&self) -> Result<Who, GitError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let name = variable("GIT_COMMITTER_NAME").map_or_else(|| self.setting("user.name"), |name| Ok(Some(name)))?;
        let email = variable("GIT_COMMITTER_EMAIL").map_or_else(|| self.setting("user.email"), |email| Ok(Some(email)))?;
        let user = || variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(|| "unknown".to_owned());
        let name = name.unwrap_or_else(user);
        Ok(Who { email: email.unwrap_or_else(|| format!("{}@localhost", user())), name })
    }

    /// Returns the key that commits are signed with, as git's settings name it.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn signing_key(&self) -> Result<Option<String>, GitError> {
        self.setting("user.signingkey")
    }

    pub(super) fn setting(&self, key: &str) -> Result<Option<String>, GitError> {
        match self.ask(self.root(), &["config", "--get", key]) {
            Ok(value) => Ok(Some(String::from_utf8_lossy(&value).trim().to_owned()).filter(|value| !value.is_empty())),
            // It is not set.
            Err(GitError::Failed(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the records up to the commit `to` that do not stand before `from` and are not that itself, the first first.
    ///
    /// # Errors
    /// Where git is missing or unwilling, and where a commit is missing.
    pub fn links(&self, from: Option<&str>, to: &str) -> Result<Vec<Link>, GitError> {
        let without = from.map(|from| format!("^{from}"));
        // In the order of the parents, whatever their dates say.
        let mut words = vec!["log", "-z", "--first-parent", "--encoding=UTF-8", "--format=%H%n%P%n%B", to];
        words.extend(without.as_deref());
        words.push("--");
        let listing = self.ask(self.root(), &words)?;
        let text = String::from_utf8_lossy(&listing);
        let mut links: Vec<Link> = text.split('\0').filter(|entry| !entry.is_empty()).filter_map(link).collect();
        links.reverse();
        Ok(links)
    }

    /// Checks that every commit behind `reference` is what its name says.
    ///
    /// # Errors
    /// Where one is missing or damaged, or where git is missing or unwilling.
    pub fn check_chain(&self, reference: &str) -> Result<(), GitError> {
        let Some(last) = self.leads_to(reference)? else { return Ok(()) };
        self.ask(self.root(), &["fsck", "--no-progress", "--no-dangling", "--no-reflogs", &last]).map(drop)
    }

    /// Returns the name of the commit that `reference` leads to.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn leads_to(&self, reference: &str) -> Result<Option<String>, GitError> {
        let found = self.ask(self.root(), &["for-each-ref", "--format=%(objectname)", "--count=1", reference])?;
        Ok(Some(String::from_utf8_lossy(&found).trim().to_owned()).filter(|name| !name.is_empty()))
    }

    /// Adds a record behind `before`, which is what `reference` must lead to: `None` if it must not be there. Returns its name, or `None`
    /// where the ref leads elsewhere by now. `at` is in seconds since 1970.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn add_link(&self, reference: &str, before: Option<&str>, message: &str, who: &Who, at: i64) -> Result<Option<String>, GitError> {
        let name = self.write_link(before, message, who, at)?;
        Ok(self.move_ref(reference, before, &name)?.then_some(name))
    }

    /// Writes a record that stands behind `before`; no ref leads to it yet. Returns its name: what is the same has the same.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn write_link(&self, before: Option<&str>, message: &str, who: &Who, at: i64) -> Result<String, GitError> {
        let root = self.root();
        let said = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        // It is known to every git, but only one that is written is sent along. The first link has written it for all behind it.
        let tree = match before.map(str::len) {
            Some(SHA1) => EMPTY_SHA1.to_owned(),
            Some(_) | None => said(self.ask_with(root, &["hash-object", "-t", "tree", "-w", "--stdin"], b"")?),
        };
        let clean = |text: &str| text.chars().filter(|c| !c.is_control() && !"<>".contains(*c)).collect::<String>();
        let person = format!("{} <{}> {at} +0000", clean(&who.name).trim(), clean(&who.email).trim());
        let parent = before.map(|before| format!("parent {before}\n")).unwrap_or_default();
        let commit = format!("tree {tree}\n{parent}author {person}\ncommitter {person}\n\n{message}");
        Ok(said(self.ask_with(root, &["hash-object", "-t", "commit", "-w", "--stdin"], commit.as_bytes())?))
    }

    /// Makes `reference` lead to the commit `name`, if it leads to `before`, or if it is not there where that is `None`. Tells whether it does
    /// now.
    ///
    /// # Errors
    /// Where git is missing or unwilling.
    pub fn move_ref(&self, reference: &str, before: Option<&str>, name: &str) -> Result<bool, GitError> {
        let nothing = "0".repeat(name.len());
        for _ in 0..PATIENCE {
            let change = ["update-ref", "--no-deref", reference, name, before.unwrap_or(&nothing)];
            match self.ask(self.root(), &change) {
                Ok(_) => return Ok(true),
                Err(GitError::Failed(complaint)) => {
                    let now = self.leads_to(reference)?;
                    if now.as_deref() != before {
                        return Ok(now.as_deref() == Some(name));
                    }
                    // Somebody holds its lock for a moment.
                    if !complaint.contains("lock") {
                        return Err(GitError::Failed(complaint));
                    }
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                Err(error) => return Err(error),
            }
        }
        Err(GitError::Failed(format!("`{}` stays locked: another git may have died there", visible(reference))))
    }
}

/// Reads one entry of the list.
fn link(entry: &str) -> Option<Link> {
    let (name, rest) = entry.trim_start_matches('\n').split_once('\n')?;
    let (before, message) = rest.split_once('\n')?;
    let before = before.split(' ').next().filter(|before| !before.is_empty()).map(str::to_owned);
    Some(Link { name: name.to_owned(), before, message: message.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_who_go_on_from_one_record_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        duct::cmd!("git", "init", "-q").dir(&root).run().unwrap();
        let repository = Repository::at(&root);
        let who = Who { name: "Ann <x>".to_owned(), email: "ann@example.org".to_owned() };
        let chain = "refs/shipway/test";
        assert_eq!(repository.leads_to(chain).unwrap(), None);
        let first = repository.add_link(chain, None, "one\n\n{\"a\":\"ö\"}\n", &who, 1).unwrap().unwrap();
        assert_eq!(repository.add_link(chain, None, "other", &who, 1).unwrap(), None);
        let second = repository.add_link(chain, Some(&first), "two", &who, 0).unwrap().unwrap();
        assert_eq!(repository.add_link(chain, Some(&first), "other", &who, 1).unwrap(), None);
        let last = repository.leads_to(chain).unwrap().unwrap();
        let links = repository.links(None, &last).unwrap();
        assert_eq!(links.iter().map(|link| &link.name).collect::<Vec<_>>(), [&first, &second]);
        assert_eq!((links[0].before.as_deref(), links[1].before.as_deref()), (None, Some(&*first)));
        assert_eq!(repository.links(Some(&first), &second).unwrap(), links[1..]);
        assert_eq!((links[0].message.trim_end(), links[1].message.trim_end()), ("one\n\n{\"a\":\"ö\"}", "two"));
        duct::cmd!("git", "fsck", "--strict").dir(&root).stderr_null().run().unwrap();
    }
}
