//! What a workflow depends on: where the pipeline lies, and how shipway is installed.

/// What a workflow depends on.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The folder of the pipeline's file from the top of the repository; empty where it lies there.
    pub dir: String,
    /// The name of that file: `pipeline.toml`, or another one.
    pub file: String,
    /// The line that puts `shipway` into `$CARGO_INSTALL_ROOT/bin`; absent where nobody said it.
    ///
    /// No registry is asked instead: what it has under this name may be a stranger's.
    pub install: Option<String>,
    /// Tells that line from others: letters and digits.
    pub mark: String,
    /// The oldest Rust that builds shipway.
    pub rust: &'static str,
}

impl Wanted {
    /// Returns how shipway is called from the top of the repository.
    pub(super) fn call(&self) -> String {
        let dir = if self.dir.is_empty() { String::new() } else { format!(" -C {}", self.dir) };
        let file = if self.file == "pipeline.toml" { String::new() } else { format!(" -f {}", self.file) };
        format!("shipway{dir}{file}")
    }

    /// Returns the line that installs shipway; where nobody said it, one that fails, and says so, unless shipway is there already.
    pub(super) fn install(&self, system: &str) -> String {
        self.install.clone().unwrap_or_else(|| {
            let say = "write here the command that puts shipway into $CARGO_INSTALL_ROOT/bin";
            let make = format!("make this file anew by: shipway workflow {system} --install COMMAND");
            format!("command -v shipway || {{ echo 'shipway is not installed: {say}, or {make}' >&2; exit 1; }}")
        })
    }

    /// Returns comment lines on how shipway is installed, each with this before it.
    pub(super) fn advice(&self, indent: &str) -> String {
        let lines: &[&str] = if self.install.is_none() {
            &[
                "It fails until you say where shipway comes from, unless it is on this machine already: a source that you trust, such as",
                "`cargo install --locked --git URL --rev COMMIT shipway`. What it puts into $CARGO_INSTALL_ROOT/bin is kept.",
            ]
        } else {
            &["It must put `shipway` into $CARGO_INSTALL_ROOT/bin, as `cargo install` does; it is run once, and the result kept."]
        };
        lines.iter().flat_map(|line| [indent, "# ", line, "\n"]).collect()
    }
}
