//! Paths and patterns of paths inside a project.
//!
//! Knows the syntax of `inputs` and `outputs`, and nothing of who declares them: `*` stays within a folder, `**` crosses
//! folders, both match names that begin with a dot, `\` escapes, and a folder means all below it.

use std::path::Path;
use std::sync::OnceLock;

use globset::{GlobBuilder, GlobMatcher};
use walkdir::WalkDir;

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

/// One pattern, relative to the project.
#[derive(Debug, Clone)]
pub struct Glob {
    path: String,
    is_literal: bool,
    /// Made when first used: most patterns of a large pipeline are not, in one run.
    matcher: OnceLock<Box<GlobMatcher>>,
}

impl Glob {
    /// Reads the pattern `text`, relative to `folder`, which is a path and no pattern.
    ///
    /// # Errors
    /// Where it leaves the project or is no valid pattern.
    pub fn new(folder: &str, text: &str) -> Result<Self, PathError> {
        let path = within(&escape(folder), text)?;
        if let Some(literal) = literal(&path) {
            return Ok(Self { path: literal, is_literal: true, matcher: OnceLock::new() });
        }
        parse(&path).map_err(|error| PathError::Syntax(error.kind().to_string()))?;
        Ok(Self { path, is_literal: false, matcher: OnceLock::new() })
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
        let mut parts = path.ancestors().take_while(|part| !part.as_os_str().is_empty());
        if self.is_literal {
            return self.path.is_empty() || parts.any(|part| part == Path::new(&self.path));
        }
        let matcher = self.matcher.get_or_init(|| Box::new(parse(&self.path).expect("it was parsed before").compile_matcher()));
        parts.any(|part| matcher.is_match(part))
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

    /// Tells whether some path could be meant by both patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        let split = |glob: &Self| -> Vec<Vec<Token>> {
            glob.path.split('/').filter(|part| !part.is_empty()).map(|part| tokens(part, glob.is_literal())).collect()
        };
        segments_meet(&split(self), &split(other))
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

/// Walks two patterns folder by folder; where one ends first it means all below, so they meet.
fn segments_meet(left: &[Vec<Token>], right: &[Vec<Token>]) -> bool {
    let crosses = |part: &[Token]| part == [Token::Any, Token::Any];
    match (left, right) {
        ([], _) | (_, []) => true,
        ([first, rest @ ..], _) if crosses(first) => segments_meet(rest, right) || segments_meet(left, &right[1..]),
        (_, [first, rest @ ..]) if crosses(first) => segments_meet(left, rest) || segments_meet(&left[1..], right),
        ([a, left @ ..], [b, right @ ..]) => names_meet(a, b) && segments_meet(left, right),
    }
}

fn names_meet(left: &[Token], right: &[Token]) -> bool {
    match (left, right) {
        ([], []) => true,
        ([Token::Any, rest @ ..], _) => names_meet(rest, right) || (!right.is_empty() && names_meet(left, &right[1..])),
        (_, [Token::Any, rest @ ..]) => names_meet(left, rest) || (!left.is_empty() && names_meet(&left[1..], right)),
        ([a, left @ ..], [b, right @ ..]) => (a == b || *a == Token::One || *b == Token::One) && names_meet(left, right),
        ([], _) | (_, []) => false,
    }
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
        for (left, right) in [("dist", "dist/app"), ("out/*.js", "out/a*"), ("**/x", "a/b/x"), ("a/**", "a/b"), ("a*c", "ab*"), (".", "x")]
        {
            assert!(glob(left).overlaps(&glob(right)) && glob(right).overlaps(&glob(left)), "{left} {right}");
        }
        for (left, right) in [("dist", "distant"), ("out/*.js", "out/*.css"), ("a/*", "b/*"), ("x?", "x"), ("a/**/z", "b/z")] {
            assert!(!glob(left).overlaps(&glob(right)) && !glob(right).overlaps(&glob(left)), "{left} {right}");
        }
    }

    #[test]
    fn the_base_is_the_folder_before_the_pattern() {
        assert_eq!(glob("a/b*/c").base(), "a");
        assert_eq!(glob("*").base(), "");
        assert_eq!(glob("a/b").base(), "a/b");
    }
}
