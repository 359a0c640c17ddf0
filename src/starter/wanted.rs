//! What a workflow depends on: where the pipeline lies, and how shipway is installed.

/// What a workflow depends on.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The folder of `pipeline.toml` from the top of the repository; empty where it lies there.
    pub dir: String,
    /// The line that puts `shipway` into `$CARGO_INSTALL_ROOT/bin`.
    pub install: String,
    /// Tells that line from others: letters and digits.
    pub mark: String,
    /// True where nobody said how shipway is installed.
    pub is_guess: bool,
    /// The oldest Rust that builds shipway.
    pub rust: &'static str,
}

impl Wanted {
    /// Returns how shipway is called from the top of the repository.
    pub(super) fn call(&self) -> String {
        if self.dir.is_empty() { "shipway".to_owned() } else { format!("shipway -C {}", self.dir) }
    }

    /// Returns comment lines on how shipway is installed, each with this before it.
    pub(super) fn advice(&self, indent: &str) -> String {
        let lines: &[&str] = if self.is_guess {
            &[
                "Built from source, once, and kept. While this version is not on crates.io the line fails: name the source that you",
                "trust by `shipway workflow --install 'cargo install --locked --git URL --rev COMMIT shipway'`.",
            ]
        } else {
            &["It must put `shipway` into $CARGO_INSTALL_ROOT/bin, as `cargo install` does; it is run once, and the result kept."]
        };
        lines.iter().flat_map(|line| [indent, "# ", line, "\n"]).collect()
    }
}
