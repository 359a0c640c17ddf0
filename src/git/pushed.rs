//! What a push brings to a remote: the commits of the refs that git names to its `pre-push` hook, and what each is new against.
//!
//! Knows refs and commits; knows nothing of pipelines.

use super::home::Home;
use super::repo::GitError;

/// One ref of a push (`githooks(5)`, pre-push: a line on standard input).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedRef {
    /// Its name here; a deletion has none.
    pub name: String,
    /// What is pushed: a commit, or a tag of one.
    object: String,
    /// Its name there.
    pub remote_name: String,
    /// What it is there now; all zeros where it is new.
    remote_object: String,
}

/// A commit that a push brings, and all refs that bring it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedCommit {
    /// Its object name.
    pub commit: String,
    /// The refs, in the order of the push.
    pub refs: Vec<PushedRef>,
}

/// What of a push is to be tested.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Push {
    /// Each commit once, in the order of the push.
    pub commits: Vec<PushedCommit>,
    /// How many refs bring what the remote has already, or delete something.
    pub known: usize,
    /// The refs that lead to no commit.
    pub odd: Vec<PushedRef>,
}

impl PushedRef {
    /// Reads all lines that git gives to the hook; blank ones are passed by.
    ///
    /// # Errors
    /// The first line that is none of git's.
    pub fn read(text: &str) -> Result<Vec<Self>, String> {
        let line = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let is_name = |word: &str| word.len() >= 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            match words.as_slice() {
                [name, object, remote_name, remote_object] if is_name(object) && is_name(remote_object) => Ok(Self {
                    name: (*name).to_owned(),
                    object: (*object).to_owned(),
                    remote_name: (*remote_name).to_owned(),
                    remote_object: (*remote_object).to_owned(),
                }),
                _ => Err(line.to_owned()),
            }
        };
        text.lines().filter(|text| !text.trim().is_empty()).map(line).collect()
    }

    fn is_deletion(&self) -> bool {
        is_nothing(&self.object)
    }
}

impl Push {
    /// Looks at the refs that are pushed to `remote`: its name, or where it has none its address.
    ///
    /// # Errors
    /// Where git cannot be asked.
    pub fn new(home: &Home, remote: &str, refs: Vec<PushedRef>) -> Result<Self, GitError> {
        let mut push = Self::default();
        let (deletions, refs): (Vec<_>, Vec<_>) = refs.into_iter().partition(PushedRef::is_deletion);
        push.known = deletions.len();
        if refs.is_empty() {
            return Ok(push);
        }
        let there = deletions.iter().chain(&refs).map(|pushed| &pushed.remote_object).filter(|object| !is_nothing(object));
        let names: Vec<String> = refs.iter().map(|pushed| &pushed.object).chain(there).cloned().collect();
        let mut commits = home.commits(&names)?;
        // What the remote has and we have not tells nothing about what it lacks.
        let there: Vec<String> = commits.split_off(refs.len().min(commits.len())).into_iter().flatten().collect();
        for (pushed, commit) in refs.into_iter().zip(commits) {
            let Some(commit) = commit else {
                push.odd.push(pushed);
                continue;
            };
            if let Some(same) = push.commits.iter_mut().find(|same| same.commit == commit) {
                same.refs.push(pushed);
            } else if is_there(home, remote, &commit, &there)? {
                push.known += 1;
            } else {
                push.commits.push(PushedCommit { commit, refs: vec![pushed] });
            }
        }
        Ok(push)
    }
}

impl PushedCommit {
    /// Returns the commits that this one is to be compared with to tell what the push changes, one for each ref that brings it: what the
    /// ref is at the remote now, else the merge base with the remote's default branch; `None` where neither is known here, so that
    /// everything is new.
    ///
    /// # Errors
    /// Where git cannot be asked.
    pub fn bases(&self, home: &Home, remote: &str) -> Result<Vec<Option<String>>, GitError> {
        self.refs.iter().map(|pushed| base(home, remote, &self.commit, pushed)).collect()
    }
}

/// Returns what `commit`, brought by `pushed`, is new against.
fn base(home: &Home, remote: &str, commit: &str, pushed: &PushedRef) -> Result<Option<String>, GitError> {
    if !is_nothing(&pushed.remote_object) {
        let old = home.commits(std::slice::from_ref(&pushed.remote_object))?.into_iter().next().flatten();
        if old.is_some() {
            return Ok(old);
        }
    }
    for name in ["HEAD", "main", "master"] {
        let branch = format!("refs/remotes/{remote}/{name}");
        if home.object(&branch)?.is_some() {
            // Where the two have nothing in common git says so by failing.
            let answer = home.ask(&["merge-base", &branch, commit]).unwrap_or_default();
            let text = String::from_utf8_lossy(&answer).trim_end().to_owned();
            return Ok((!text.is_empty()).then_some(text));
        }
    }
    Ok(None)
}

/// Tells whether the remote has `commit` already, as far as is known here: it is reached from a ref of the remote, or from what the
/// remote says of the refs that are pushed.
fn is_there(home: &Home, remote: &str, commit: &str, there: &[String]) -> Result<bool, GitError> {
    let refs = format!("--glob=refs/remotes/{remote}/*");
    let mut words = vec!["rev-list", "--max-count=1", commit, "--not"];
    // An address is no name of a remote, and no name holds what a pattern would read.
    if !remote.is_empty() && !remote.contains([':', '*', '?', '[', '\\']) && !remote.starts_with(['/', '.']) {
        words.push(&refs);
    }
    words.extend(there.iter().map(String::as_str));
    Ok(home.ask(&words)?.is_empty())
}

fn is_nothing(object: &str) -> bool {
    object.bytes().all(|byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_git_are_read_and_nothing_else() {
        let (one, none) = ("a".repeat(40), "0".repeat(64));
        let refs = PushedRef::read(&format!("refs/heads/x {one} refs/heads/y {none}\n\n(delete) {none} refs/heads/z {one}\n")).unwrap();
        assert_eq!((refs.len(), refs[0].name.as_str(), refs[0].remote_name.as_str()), (2, "refs/heads/x", "refs/heads/y"));
        assert_eq!((refs[0].is_deletion(), refs[1].is_deletion()), (false, true));
        for bad in ["x", "a b c d", &format!("a {one} b"), &format!("a {one} b {one} c")] {
            assert_eq!(PushedRef::read(bad), Err(bad.to_owned()));
        }
    }
    /// A repository with these commits, each behind the one before, and no files.
    fn repository(folder: &std::path::Path, commits: usize) -> (Home, Vec<String>) {
        let environment =
            ["GIT_AUTHOR", "GIT_COMMITTER"].into_iter().flat_map(|who| [(format!("{who}_NAME"), "t"), (format!("{who}_EMAIL"), "t")]);
        let environment: Vec<_> = environment.collect();
        let git = |words: &[&str]| {
            let mut call = duct::cmd("git", words).dir(folder).env_remove("GIT_DIR").env_remove("GIT_INDEX_FILE");
            for (name, value) in &environment {
                call = call.env(name, value);
            }
            call.stderr_null().read().unwrap()
        };
        git(&["init", "-q", "-b", "main"]);
        let made = (0..commits).map(|number| {
            git(&["commit", "-q", "--allow-empty", "-m", &number.to_string()]);
            git(&["rev-parse", "HEAD"])
        });
        let made = made.collect();
        (Home::around(folder).unwrap(), made)
    }

    #[test]
    fn a_push_is_compared_with_what_the_remote_had_else_with_its_default_branch() {
        let folder = tempfile::tempdir().unwrap();
        let (home, commits) = repository(folder.path(), 4);
        let line = |name: &str, old: &str| format!("refs/heads/{name} {} refs/heads/{name} {old}\n", commits[3]);
        let (none, unknown) = ("0".repeat(40), "1".repeat(40));
        let refs = |text: &str| Push::new(&home, "origin", PushedRef::read(text).unwrap()).unwrap();
        let push = refs(&(line("old", &commits[1]) + &line("new", &none) + &line("forced", &unknown)));
        assert_eq!(push.commits.len(), 1);
        let bases = || push.commits[0].bases(&home, "origin").unwrap();
        assert_eq!(bases(), [Some(commits[1].clone()), None, None]);
        home.ask(&["update-ref", "refs/remotes/origin/main", &commits[0]]).unwrap();
        assert_eq!(bases(), [Some(commits[1].clone()), Some(commits[0].clone()), Some(commits[0].clone())]);
        home.ask(&["update-ref", "refs/remotes/origin/trunk", &commits[2]]).unwrap();
        home.ask(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk"]).unwrap();
        assert_eq!(bases()[1], Some(commits[2].clone()));
        // Another remote knows nothing of this one's branches.
        assert_eq!(push.commits[0].bases(&home, "fork").unwrap()[1], None);
        home.ask(&["update-ref", "refs/remotes/origin/same", &commits[3]]).unwrap();
        assert_eq!(refs(&line("new", &none)), Push { known: 1, ..Push::default() });
        assert_eq!(Push::new(&home, "fork", PushedRef::read(&line("new", &none)).unwrap()).unwrap().commits.len(), 1);
    }
}
