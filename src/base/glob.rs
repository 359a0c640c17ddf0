//! Paths and patterns of paths inside a project.
//!
//! Knows the syntax of `inputs` and `outputs`, and nothing of who declares them: `*` stays within a folder, `**` crosses
//! folders, both match names that begin with a dot, `\` escapes, and a folder means all below it.

use std::path::Path;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use globset::{GlobBuilder, GlobMatcher};
use walkdir::WalkDir;

use super::reach::Reach;

/// Why a path or a pattern of paths cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It is the empty string.
    #[error("a path is empty")]
    Empty,
    /// It holds a NUL character, which no file name can.
    #[error("a path holds a NUL character")]
    Nul,
    /// It begins at the root of the file system.
    #[error("a path must be relative to the project")]
    Absolute,
    /// It climbs out of the project.
    #[error("a path leaves the project")]
    Outside,
    /// It is no valid pattern; the text says why.
    #[error("a pattern is not valid: {0}")]
    Syntax(String),
}

/// Returns `path`, which is relative to `folder`, as a path relative to the project: no `.`, no `..`, no doubled slash;
/// the project itself is the empty string.
///
/// # Errors
/// Where it is empty, absolute, or climbs out of the project.
pub fn within(folder: &str, path: &str) -> Result<String, PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.contains('\0') {
        return Err(PathError::Nul);
    }
    if path.starts_with('/') {
        return Err(PathError::Absolute);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or(PathError::Outside)?),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Returns the pattern that matches `path` and nothing else.
pub fn escape(path: &str) -> String {
    path.chars().flat_map(|c| "*?[]{}\\".contains(c).then_some('\\').into_iter().chain([c])).collect()
}

/// The longest pattern, in bytes, and the deepest braces in one.
const LONGEST: usize = 4096;
const DEEPEST: usize = 4;

/// Takes `\\` away from before dots, where it means nothing, so that no `..` can hide; before a slash it is an error.
fn without_path_escapes(text: &str) -> Result<String, PathError> {
    let mut path = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, characters.as_str().chars().next()) {
            ('\\', Some('.')) => {}
            ('\\', Some('/')) => return Err(PathError::Syntax("`\\/` is no escape: a slash always divides folders".to_owned())),
            ('\\', Some(escaped)) => {
                path.extend([c, escaped]);
                characters.next();
            }
            (c, _) => path.push(c),
        }
    }
    Ok(path)
}

fn nesting(pattern: &str) -> usize {
    let depths = pattern.chars().scan(0usize, |depth, c| {
        match c {
            '{' => *depth += 1,
            '}' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    depths.max().unwrap_or(0)
}

/// One pattern, relative to the project.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Glob {
    path: String,
    is_literal: bool,
    /// Made when first used: most patterns of a large pipeline are not, in one run.
    #[serde(skip)]
    matcher: OnceLock<Box<GlobMatcher>>,
    #[serde(skip)]
    reach: OnceLock<Box<Reach>>,
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.is_literal) == (&other.path, other.is_literal)
    }
}

impl Eq for Glob {}

impl Glob {
    /// Reads the pattern `text`, relative to `folder`, which is a path and no pattern.
    ///
    /// # Errors
    /// Where it leaves the project or is no valid pattern.
    pub fn new(folder: &str, text: &str) -> Result<Self, PathError> {
        let path = within(&escape(folder), &without_path_escapes(text)?)?;
        if let Some(literal) = literal(&path) {
            return Ok(Self { path: literal, is_literal: true, matcher: OnceLock::new(), reach: OnceLock::new() });
        }
        // Within these bounds what can be read can also be compiled.
        if path.len() > LONGEST {
            return Err(PathError::Syntax(format!("it is longer than {LONGEST} bytes")));
        }
        if nesting(&path) > DEEPEST {
            return Err(PathError::Syntax(format!("its braces are nested more than {DEEPEST} deep")));
        }
        parse(&path).map_err(|error| PathError::Syntax(error.kind().to_string()))?;
        Ok(Self { path, is_literal: false, matcher: OnceLock::new(), reach: OnceLock::new() })
    }

    /// Returns the pattern relative to the project; of a literal path, the path itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Tells whether this is a plain path, without any pattern character.
    pub fn is_literal(&self) -> bool {
        self.is_literal
    }

    /// Tells whether `path` is meant: it matches, or lies below a folder that does.
    pub fn matches(&self, path: &Path) -> bool {
        (self.is_literal && self.path.is_empty())
            || path.ancestors().take_while(|part| !part.as_os_str().is_empty()).any(|part| self.matches_itself(part))
    }

    /// Tells whether `path` itself matches, whatever folders it lies in: for those who have asked about the folders already.
    pub fn matches_itself(&self, path: &Path) -> bool {
        if self.is_literal {
            return path == Path::new(&self.path);
        }
        self.matcher.get_or_init(|| Box::new(self.parsed().compile_matcher())).is_match(path)
    }

    /// Tells whether all that lies below `folder` matches, as far as can be told without looking: `a/**` takes all below `a`.
    pub fn takes_all_below(&self, folder: &Path) -> bool {
        let base = if self.is_literal { Some(&*self.path) } else { self.path.strip_suffix("**") };
        base.is_some_and(|base| self.base() == base.trim_end_matches('/') && folder.starts_with(self.base()))
    }

    /// Tells whether something below `folder` could match where neither `folder` nor what it lies in does: false where there is no
    /// need to look.
    pub fn reaches_below(&self, folder: &Path) -> bool {
        if self.is_literal {
            return Path::new(&self.path).starts_with(folder);
        }
        let compile = |part: &str| parse(part).ok().map(|glob| glob.compile_matcher());
        self.reach.get_or_init(|| Box::new(Reach::new(&self.path, compile))).holds(folder)
    }

    /// Returns the pattern as the matching library knows it, to be made part of a set.
    pub fn parsed(&self) -> globset::Glob {
        let escaped = if self.is_literal { escape(&self.path) } else { self.path.clone() };
        parse(&escaped).expect("it was parsed before")
    }

    /// Returns the folder below which all matches lie: the part before the first pattern character.
    pub fn base(&self) -> &str {
        if self.is_literal() {
            return &self.path;
        }
        let special = self.path.find(['*', '?', '[', '{', '\\']).unwrap_or(self.path.len());
        self.path[..special].rfind('/').map_or("", |slash| &self.path[..slash])
    }

    /// Tells whether anything below `root` is meant. Links are not followed.
    pub fn finds_any(&self, root: &Path) -> bool {
        if self.is_literal() {
            return root.join(&self.path).symlink_metadata().is_ok();
        }
        WalkDir::new(root.join(self.base()))
            .into_iter()
            .filter_map(Result::ok)
            .any(|entry| entry.path().strip_prefix(root).is_ok_and(|path| self.matches(path)))
    }

    /// Tells whether some path could be meant by both patterns. A pattern that ends in a name with more than wildcards, such as
    /// `*.js`, is taken to mean files, not folders of such a name.
    pub fn overlaps(&self, other: &Self) -> bool {
        let same_entry = match (self.is_literal, other.is_literal) {
            (true, true) => self.path == other.path,
            (true, false) => other.matches(Path::new(&self.path)),
            (false, true) => self.matches(Path::new(&other.path)),
            (false, false) => true,
        };
        (same_entry && self.is_literal != other.is_literal) || paths_meet(&Segments::new(self), &Segments::new(other), same_entry)
    }
}

/// A pattern folder by folder.
struct Segments {
    parts: Vec<Vec<Token>>,
    /// What it means may be a folder, and so all below.
    is_folder: bool,
}

impl Segments {
    fn new(glob: &Glob) -> Self {
        let parts: Vec<Vec<Token>> =
            glob.path.split('/').filter(|part| !part.is_empty()).map(|part| tokens(part, glob.is_literal)).collect();
        let is_folder = glob.is_literal || parts.last().is_none_or(|last| last.iter().all(|token| *token == Token::Any));
        Self { parts, is_folder }
    }
}

fn parse(pattern: &str) -> Result<globset::Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build()
}

/// A character of a pattern, for [`Glob::overlaps`].
#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    Exactly(char),
    One,
    Any,
}

/// Returns `pattern` with its escapes taken out, where it has no pattern character.
fn literal(pattern: &str) -> Option<String> {
    let mut path = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            '*' | '?' | '[' | '{' => return None,
            '\\' => path.push(characters.next()?),
            c => path.push(c),
        }
    }
    Some(path)
}

/// Classes count as any one character, alternatives as anything: an overlap may be seen where there is none only for these.
fn tokens(part: &str, is_literal: bool) -> Vec<Token> {
    let mut found = Vec::new();
    let mut characters = part.chars();
    while let Some(c) = characters.next() {
        found.push(match c {
            c if is_literal => Token::Exactly(c),
            '*' => Token::Any,
            '?' => Token::One,
            '[' => {
                let _closing = characters.by_ref().find(|c| *c == ']');
                Token::One
            }
            '{' => {
                let _closing = characters.by_ref().find(|c| *c == '}');
                Token::Any
            }
            '\\' => Token::Exactly(characters.next().unwrap_or('\\')),
            c => Token::Exactly(c),
        });
    }
    found
}

/// Tells whether two patterns meet, folder by folder; `same_entry` where they could name the same entry at their ends.
fn paths_meet(left: &Segments, right: &Segments, same_entry: bool) -> bool {
    let crosses = |part: &Vec<Token>| part.len() == 2 && part.iter().all(|token| *token == Token::Any);
    let end = |i: usize, j: usize| match (i == left.parts.len(), j == right.parts.len()) {
        (true, true) => same_entry,
        (true, false) => left.is_folder,
        (false, true) => right.is_folder,
        (false, false) => false,
    };
    meet(&left.parts, &right.parts, crosses, |a, b| names_meet(a, b), end)
}

fn names_meet(left: &[Token], right: &[Token]) -> bool {
    let same = |a: &Token, b: &Token| a == b || *a == Token::One || *b == Token::One;
    meet(left, right, |token| *token == Token::Any, same, |i, j| i == left.len() && j == right.len())
}

/// Tells whether two sequences with wildcards have a common reading: from the ends to the beginnings, each pair of places once.
fn meet<T>(
    left: &[T],
    right: &[T],
    is_any: impl Fn(&T) -> bool,
    same: impl Fn(&T, &T) -> bool,
    end: impl Fn(usize, usize) -> bool,
) -> bool {
    let mut below: Vec<bool> = Vec::new();
    for i in (0..=left.len()).rev() {
        let mut row = vec![false; right.len() + 1];
        for j in (0..=right.len()).rev() {
            let (a, b) = (left.get(i), right.get(j));
            let skip_left = |row: &[bool]| below.get(j).copied().unwrap_or(false) || (j < right.len() && row[j + 1]);
            let skip_right = |row: &[bool]| (j < right.len() && row[j + 1]) || below.get(j).copied().unwrap_or(false);
            row[j] = end(i, j)
                || match (a, b) {
                    (Some(a), _) if is_any(a) => skip_left(&row),
                    (_, Some(b)) if is_any(b) => skip_right(&row),
                    (Some(a), Some(b)) => same(a, b) && below[j + 1],
                    (None, _) | (_, None) => false,
                };
        }
        below = row;
    }
    below[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::new("", text).unwrap()
    }

    #[test]
    fn a_path_stays_in_the_project() {
        assert_eq!(within("a/b", "../c//d/.").unwrap(), "a/c/d");
        assert_eq!(within("a", "..").unwrap(), "");
        assert_eq!(within("a", "../../x"), Err(PathError::Outside));
        assert_eq!(within("a", "/x"), Err(PathError::Absolute));
        assert_eq!(within("a", ""), Err(PathError::Empty));
        assert_eq!(within("a", "x\0y"), Err(PathError::Nul));
    }

    #[test]
    fn a_pattern_matches_as_documented() {
        let cases = [
            ("src/**", "src/a/b.rs", true),
            ("src/**/*.md", "src/x.md", true),
            ("*.rs", "src/a.rs", false),
            ("*", ".hidden", true),
            ("**/x", ".git/x", true),
            ("dist", "dist/deep/file", true),
            ("dist", "distant", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("out/*", "out/folder/file", true),
            (".", "anything", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(glob(pattern).matches(Path::new(path)), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_folder_is_no_pattern() {
        let glob = Glob::new("a*{b}", "c?").unwrap();
        assert!(glob.matches(Path::new("a*{b}/cx")) && !glob.matches(Path::new("aab/cx")));
        assert_eq!(Glob::new("[x]", "y").unwrap().path(), "[x]/y");
    }

    #[test]
    fn overlaps_are_found_and_not_invented() {
        for (left, right) in [
            ("dist", "dist/app"),
            ("out/*.js", "out/a*"),
            ("**/x", "a/b/x"),
            ("a/**", "a/b"),
            ("a*c", "ab*"),
            (".", "x"),
            ("out/*", "out/a/b"),
            ("{a/b,c}", "a/b"),
        ] {
            assert!(glob(left).overlaps(&glob(right)) && glob(right).overlaps(&glob(left)), "{left} {right}");
        }
        for (left, right) in [
            ("dist", "distant"),
            ("out/*.js", "out/*.css"),
            ("a/*", "b/*"),
            ("x?", "x"),
            ("a/**/z", "b/z"),
            ("**/*.js", "**/*.css"),
            ("out/*.js", "out/**/*.css"),
            ("out/[ab].js", "out/c.js"),
        ] {
            assert!(!glob(left).overlaps(&glob(right)) && !glob(right).overlaps(&glob(left)), "{left} {right}");
        }
    }

    #[test]
    fn hard_patterns_are_compared_in_time() {
        let hard = |end: &str| glob(&format!("{}{end}", "*a".repeat(500)));
        assert!(!hard("b").overlaps(&hard("c")) && hard("*").overlaps(&hard("c")));
        assert!(!glob(&format!("{}x", "**/a/".repeat(200))).overlaps(&glob(&format!("{}y", "**/a/".repeat(200)))));
    }

    #[test]
    fn no_escape_hides_a_way_out() {
        for text in [r"\../x", r".\./x", r"\.\./x"] {
            assert_eq!(Glob::new("", text).unwrap_err(), PathError::Outside, "{text}");
        }
        assert!(matches!(Glob::new("", r"\/etc"), Err(PathError::Syntax(_))));
        assert!(matches!(Glob::new("", &format!("{}{}", "{a,".repeat(300), "}".repeat(300))), Err(PathError::Syntax(_))));
        assert!(matches!(Glob::new("", &"?".repeat(100_000)), Err(PathError::Syntax(_))));
        assert!(glob(&"*?".repeat(2000)).matches(Path::new(&"x".repeat(3000))));
        assert_eq!(glob(r"a\.b").path(), "a.b");
    }

    #[test]
    fn a_folder_is_entered_only_where_something_below_could_match() {
        let cases = [
            ("src/*.rs", "src", true),
            ("src/*.rs", "src/a", false),
            ("src/*/x", "src/a", true),
            ("src/*/x", "lib", false),
            ("src/*/x", "src/a/b", false),
            ("a*/**/x", "ab/c/d", true),
            ("a*/**/x", "b/c", false),
            ("src/*.{rs,c}", "src/a", false),
            ("{a/b,c}/x", "a", true),
            ("{a/b,c}/x", "d", true),
            ("[ab]/x", "a", true),
            ("[ab]/x", "c", false),
            ("[]a]/x", "]", true),
            (r"\*/x", "*", true),
            (r"\*/x*", "a", false),
            ("a/b", "a", true),
            ("a/b", "c", false),
        ];
        for (pattern, folder, expected) in cases {
            assert_eq!(glob(pattern).reaches_below(Path::new(folder)), expected, "{pattern} {folder}");
        }
        for (pattern, folder, expected) in
            [("a/**", "a", true), ("a/**", "b", false), ("**", "", true), ("a/**", "", false), ("a/*", "a", false), ("a*/**", "a", false)]
        {
            assert_eq!(glob(pattern).takes_all_below(Path::new(folder)), expected, "{pattern} {folder}");
        }
    }

    #[test]
    fn the_base_is_the_folder_before_the_pattern() {
        assert_eq!(glob("a/b*/c").base(), "a");
        assert_eq!(glob("*").base(), "");
        assert_eq!(glob("a/b").base(), "a/b");
    }
}
