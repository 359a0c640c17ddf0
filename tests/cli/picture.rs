//! The picture in the README is of a real run: `examples/terminal.svg` is what such a run prints today.
//!
//! With `SHIPWAY_PICTURE=write` in the environment it is drawn anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::project::{Project, said};
use crate::readme::timeless;

const PIPELINE: &str = r#"
[defaults]
tools = ["rustc -vV", "cargo -vV"]

[stages.format]
steps = ["cargo fmt --check"]

[stages.test]
after = ["format"]
steps = [{ name = "unit", run = "cargo test -q --lib" }]

[stages.package]
after = ["test"]
steps = ["cargo build -q --release"]
outputs = ["target/release/libshop.rlib"]
"#;

const CART: &str = r"//! What a customer wants to buy.

/// Returns what is to be paid for goods of this price, in cents: from one hundred on a tenth less.
pub fn total(price: u64) -> u64 {
    let discount = if price > 10_000 { price / 10 } else { 0 };
    price - discount
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_sums_are_paid_in_full() {
        assert_eq!(total(9_900), 9_900);
    }

    #[test]
    fn a_discount_begins_at_one_hundred() {
        assert_eq!(total(10_000), 9_000);
    }
}
";

/// A shop whose discount begins a cent too late.
fn shop() -> Project {
    let project = Project::empty();
    project.write("pipeline.toml", format!("[pipeline]\nname = \"shop\"\n{PIPELINE}"));
    project.write("Cargo.toml", "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    project.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"shop\"\nversion = \"0.1.0\"\n");
    project.write(".gitignore", "/target\n").write("src/lib.rs", "//! A shop.\n\npub mod cart;\n").write("src/cart.rs", CART);
    project
}

/// The look of a piece of text.
#[derive(Clone, Copy, Default, PartialEq)]
struct Look {
    colour: Option<u8>,
    strong: bool,
    faint: bool,
}

/// Returns the pieces of a line with their look (`ECMA-48`, select graphic rendition).
fn pieces(line: &str, look: &mut Look) -> Vec<(Look, String)> {
    let mut pieces = vec![(*look, String::new())];
    let mut rest = line;
    while let Some((text, behind)) = rest.split_once("\u{1b}[") {
        pieces.last_mut().unwrap().1.push_str(text);
        let (codes, behind) = behind.split_once('m').expect("only looks are set");
        for code in codes.split(';') {
            match code {
                "" | "0" => *look = Look::default(),
                "1" => look.strong = true,
                "2" => look.faint = true,
                "22" => (look.strong, look.faint) = (false, false),
                "39" => look.colour = None,
                code => look.colour = Some(code.parse::<u8>().unwrap() % 10),
            }
        }
        pieces.push((*look, String::new()));
        rest = behind;
    }
    pieces.last_mut().unwrap().1.push_str(rest);
    pieces.retain(|(_, text)| !text.is_empty());
    pieces
}

/// Spaces that nobody folds, too.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(' ', "\u{a0}")
}

/// Returns a row of the picture without its place.
fn unplaced(line: &str) -> String {
    line.split_once("y=\"")
        .and_then(|(before, rest)| Some(format!("{before}{}", rest.split_once('"')?.1)))
        .unwrap_or_else(|| line.to_owned())
}

/// Draws what a terminal shows.
fn draw(printed: &str) -> String {
    const COLOURS: [&str; 8] = ["#6c7086", "#f38ba8", "#a6e3a1", "#f9e2af", "#89b4fa", "#cba6f7", "#94e2d5", "#cdd6f4"];
    let lines: Vec<&str> = printed.lines().collect();
    let (width, height) = (820, lines.len() * 18 + 60);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"a run of shipway that ends with a failed test\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"10\" fill=\"#1e1e2e\"/>\n\
         <g fill=\"#45475a\"><circle cx=\"22\" cy=\"20\" r=\"6\"/><circle cx=\"42\" cy=\"20\" r=\"6\"/><circle cx=\"62\" cy=\"20\" r=\"6\"/></g>\n\
         <g font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"13\" fill=\"#cdd6f4\">\n"
    );
    let mut look = Look::default();
    for (row, line) in lines.iter().enumerate() {
        let _ = write!(svg, "<text x=\"18\" y=\"{}\">", row * 18 + 52);
        for (look, text) in pieces(line, &mut look) {
            let colour = look.colour.map_or("", |colour| COLOURS[usize::from(colour)]);
            let colour = if look.faint && colour.is_empty() { "#7f849c" } else { colour };
            let weight = if look.strong { " font-weight=\"700\"" } else { "" };
            let fill = if colour.is_empty() { String::new() } else { format!(" fill=\"{colour}\"") };
            let _ = write!(svg, "<tspan{fill}{weight}>{}</tspan>", escaped(&text));
        }
        svg.push_str("</text>\n");
    }
    svg + "</g>\n</svg>\n"
}

#[test]
fn the_picture_of_the_readme_is_of_a_real_run() {
    let project = shop();
    let has = |tool: &str| Command::new("cargo").args([tool, "--version"]).output().is_ok_and(|done| done.status.success());
    assert!(has("fmt"), "the picture needs rustfmt: rustup component add rustfmt");
    let like = project.command([] as [&str; 0]);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" run --color always --output failures -j 1 2>&1", env!("CARGO_BIN_EXE_shipway")]);
    command.current_dir(project.path()).env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let printed = format!("$ shipway\n{}", said(command).exits(1).stdout);
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/terminal.svg");
    let drawn = draw(&printed);
    if std::env::var_os("SHIPWAY_PICTURE").is_some_and(|value| value == "write") {
        fs::write(&path, &drawn).unwrap();
    }
    // What the step printed is another's, and changes with its program and with what else runs; so does how long it is.
    let is_ours = |line: &&str| !line.contains('│') && !line.contains("the\u{a0}last\u{a0}") && !line.contains("height=");
    let timeless = |svg: &str| svg.lines().filter(is_ours).map(|line| timeless(&unplaced(line))).collect::<Vec<_>>();
    assert_eq!(timeless(&fs::read_to_string(&path).unwrap()), timeless(&drawn));
}
