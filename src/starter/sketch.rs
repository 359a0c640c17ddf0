//! A stage, and a part of the project, before they are text.

/// A stage to be written.
#[derive(Debug, Clone, Default)]
pub struct Sketch {
    /// Its name, not yet told from those of other parts.
    pub name: String,
    /// What it shows or makes.
    pub description: String,
    /// Lines for who reads the file.
    pub comment: Vec<String>,
    /// Names of stages of the same part.
    pub needs: Vec<String>,
    /// Names of stages of the same part.
    pub after: Vec<String>,
    /// What identifies its tools.
    pub tools: Vec<String>,
    /// Lines for the shell.
    pub steps: Vec<String>,
    /// `None`: every file that git does not ignore.
    pub inputs: Option<Vec<String>>,
    /// What it makes.
    pub outputs: Vec<String>,
    /// Its variables.
    pub env: Vec<(String, String)>,
    /// What bounds how many run at once.
    pub pool: Option<&'static str>,
    /// True where it always runs.
    pub is_uncached: bool,
}

/// A part of the project that one tool builds.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// What it is, for people: `the Cargo package hexyl`.
    pub what: String,
    /// The file that says so.
    pub file: String,
    /// A word that tells it from parts in other languages: `rust`.
    pub word: &'static str,
    /// Its folder; empty for the project itself.
    pub dir: String,
    /// Its own name, where it has one.
    pub name: Option<String>,
    /// Its stages, each behind those that it waits for.
    pub stages: Vec<Sketch>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Returns owned words.
pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
