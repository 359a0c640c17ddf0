//! The program that a shell line starts first, where the line says so plainly.
//!
//! Knows how a POSIX shell splits a line into words; expands nothing, and asks neither PATH nor the file system.

/// Words that belong to the grammar, so that no program follows that is sure to run, or that can be named.
const KEYWORDS: &[&str] = &[
    "[[", "]]", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then", "until",
    "while", "}",
];

/// What a shell does itself: of POSIX, and of bash and the like.
const BUILTINS: &[&str] = &[
    ".",
    ":",
    "[",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "cd",
    "chdir",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "declare",
    "dirs",
    "disown",
    "echo",
    "enable",
    "eval",
    "exit",
    "export",
    "false",
    "fc",
    "fg",
    "getopts",
    "hash",
    "help",
    "history",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "return",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "times",
    "trap",
    "true",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "wait",
];

/// How deeply `$(…)` and the like may stand in each other.
const DEEPEST: usize = 32;

/// Returns the first plain word of a shell line: the program that it starts.
///
/// Comments, assignments, `!`, `{`, `(`, `exec`, `command` and `time` before it are passed over, and so are commands such as `cd` and `set`. None where it is a builtin, a word of
/// the grammar, or written so that only a shell can tell what it means.
pub fn first_program(line: &str) -> Option<String> {
    let mut rest = line;
    let mut is_exec = false;
    let mut is_bare = true;
    loop {
        rest = skip_blank(rest);
        if let Some(inner) = rest.strip_prefix('(') {
            if inner.starts_with('(') || !is_bare {
                return None;
            }
            rest = inner;
            continue;
        }
        if is_bare && let Some(value) = assigned(rest) {
            rest = skip_separator(skip_value(value, 0)?)?;
            continue;
        }
        let (word, is_quoted, behind) = plain_word(rest)?;
        rest = behind;
        match word {
            "!" | "{" if is_bare => {}
            "time" if is_bare => rest = skip_word(rest, "-p"),
            "exec" | "command" if !is_exec => {
                is_exec = word == "exec";
                is_bare = false;
                rest = skip_word(rest, "--");
            }
            "cd" | "set" | "export" | "umask" | "ulimit" | ":" if is_bare && !is_quoted => rest = behind_command(rest)?,
            _ => return (is_program(word, is_quoted, is_exec) && !defines(rest, word)).then(|| word.to_owned()),
        }
    }
}

/// Returns what stands behind a builtin's arguments and the `&&`, `;` or line end that follows; `None` where only a shell can tell.
fn behind_command(line: &str) -> Option<&str> {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some('"'), '$' | '`' | '\\') | (None, '`' | '\\' | '(' | ')' | '|' | '<' | '>' | '#') => return None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ';' | '\n') => return Some(&line[at + 1..]),
            (None, '&') => return line[at..].strip_prefix("&&"),
            (Some(_) | None, _) => {}
        }
    }
    None
}

/// Tells whether a word in the place of a program means one: `exec` starts no builtins.
fn is_program(word: &str, is_quoted: bool, is_exec: bool) -> bool {
    let is_plain = !word.is_empty() && !word.contains(|c: char| is_special(c) || c.is_control() || c.is_whitespace());
    let is_builtin = !is_exec && BUILTINS.contains(&word);
    let is_keyword = !is_quoted && !is_exec && KEYWORDS.contains(&word);
    is_plain && !is_builtin && !is_keyword && !word.starts_with(['-', '%', '#'])
}

/// Characters that mean more than themselves within a word.
fn is_special(c: char) -> bool {
    "$`\"'\\*?[]{}~!<>&|;()".contains(c)
}

/// Characters that end a word, where they are not quoted.
fn ends_word(c: char) -> bool {
    " \t\n;&|<>()".contains(c)
}

/// Tells whether the word is no program for what stands behind it: `name()` defines a function, in `2>file` it is a descriptor.
fn defines(behind: &str, word: &str) -> bool {
    behind.trim_start_matches([' ', '\t']).starts_with('(')
        || (behind.starts_with(['<', '>']) && word.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Passes over spaces, line ends, continued lines and comments.
fn skip_blank(line: &str) -> &str {
    let mut rest = line;
    loop {
        let next = rest.trim_start_matches([' ', '\t', '\n']);
        let next = next.strip_prefix("\\\n").unwrap_or(next);
        let next = if next.starts_with('#') { next.find('\n').map_or("", |end| &next[end..]) } else { next };
        if next.len() == rest.len() {
            return rest;
        }
        rest = next;
    }
}

/// Passes over one given word, where it is next.
fn skip_word<'l>(line: &'l str, word: &str) -> &'l str {
    let next = line.trim_start_matches([' ', '\t']);
    next.strip_prefix(word).filter(|rest| rest.is_empty() || rest.starts_with(ends_word)).unwrap_or(line)
}

/// Returns what follows the `=` of an assignment, where one is next.
fn assigned(line: &str) -> Option<&str> {
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    let (name, rest) = line.split_at(end);
    let is_name = name.starts_with(|c: char| !c.is_ascii_digit());
    rest.strip_prefix("+=").or_else(|| rest.strip_prefix('=')).filter(|_| is_name)
}

/// Passes over what may stand between an assignment and the program: nothing, or the end of a command of its own.
fn skip_separator(line: &str) -> Option<&str> {
    let next = line.trim_start_matches([' ', '\t']);
    match next.strip_prefix("&&").or_else(|| next.strip_prefix(';')) {
        Some(rest) => Some(rest),
        None => (!next.starts_with(['&', '|', '<', '>', '(', ')'])).then_some(next),
    }
}

/// Returns the next word without its quotes, whether it had some, and what is behind it.
fn plain_word(line: &str) -> Option<(&str, bool, &str)> {
    if let Some(inner) = line.strip_prefix(['\'', '"']) {
        let (word, behind) = inner.split_once(&line[..1])?;
        let is_whole = behind.is_empty() || behind.starts_with(ends_word);
        return is_whole.then_some((word, true, behind));
    }
    let (word, behind) = line.split_at(line.find(ends_word).unwrap_or(line.len()));
    // A blank that is escaped or quoted is no end.
    (!word.is_empty() && !word.contains(['\\', '\'', '"', '`', '$'])).then_some((word, false, behind))
}

/// Passes over a word with all its quotes and substitutions; none where it has no end.
fn skip_value(value: &str, depth: usize) -> Option<&str> {
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        if ends_word(c) {
            break;
        }
        rest = skip_part(rest, depth)?;
    }
    Some(rest)
}

/// Passes over the next character, with all that it opens.
fn skip_part(text: &str, depth: usize) -> Option<&str> {
    if depth > DEEPEST {
        return None;
    }
    let mut characters = text.chars();
    match characters.next()? {
        '\\' => {
            characters.next();
            Some(characters.as_str())
        }
        '\'' => characters.as_str().split_once('\'').map(|(_, rest)| rest),
        '"' => skip_until('"', characters.as_str(), depth + 1),
        '`' => skip_until('`', characters.as_str(), depth + 1),
        '(' => skip_until(')', characters.as_str(), depth + 1),
        '$' if characters.as_str().starts_with('{') => skip_until('}', &characters.as_str()[1..], depth + 1),
        '$' if characters.as_str().starts_with('(') => skip_until(')', &characters.as_str()[1..], depth + 1),
        _ => Some(characters.as_str()),
    }
}

/// Passes over everything up to and with the character that closes.
fn skip_until(close: char, text: &str, depth: usize) -> Option<&str> {
    let mut rest = text;
    loop {
        let c = rest.chars().next()?;
        if c == close {
            return Some(&rest[c.len_utf8()..]);
        }
        // Between double quotes, single ones and brackets are text.
        let is_text = close == '"' && matches!(c, '\'' | '(');
        rest = if is_text { &rest[1..] } else { skip_part(rest, depth)? };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy as _, any, prop_oneof};
    use proptest::proptest;

    use super::*;

    #[test]
    fn the_program_of_a_line() {
        for (line, program) in [
            ("cargo build --release", "cargo"),
            ("  \n\t# a comment\n\n  make\n", "make"),
            ("make", "make"),
            ("make;ls", "make"),
            ("make&&ls", "make"),
            ("make|tee log", "make"),
            ("make\nls", "make"),
            ("make>log", "make"),
            ("make&", "make"),
            ("(make)", "make"),
            ("( make )", "make"),
            ("{ make; }", "make"),
            ("! make", "make"),
            ("! { (make) }", "make"),
            ("exec make", "make"),
            ("exec -- make", "make"),
            ("exec test x", "test"),
            ("command make", "make"),
            ("time make", "make"),
            ("time -p make", "make"),
            ("time CC=gcc make", "make"),
            ("env A=b make", "env"),
            ("A=b make", "make"),
            ("A=b C=\"d e\" F='g h' I+=j make", "make"),
            ("A= make", "make"),
            ("A=$(git describe --tags) make", "make"),
            ("A=\"$(echo \"x y\" ')')\" make", "make"),
            ("A=\"it's (\" make", "make"),
            ("A=${B:-c d} make", "make"),
            ("A=`echo x` make", "make"),
            ("A=a\\ b make", "make"),
            ("A=b; make", "make"),
            ("A=b && make", "make"),
            ("A=b\nmake", "make"),
            ("A=b \\\n  make", "make"),
            ("\\\nmake", "make"),
            ("'make' x", "make"),
            ("\"make\" x", "make"),
            ("./run.sh a", "./run.sh"),
            ("/usr/bin/g++-12 x", "/usr/bin/g++-12"),
            ("a#b", "a#b"),
            ("größe x", "größe"),
            ("cat <<EOF\nx\nEOF", "cat"),
            ("./a=b", "./a=b"),
        ] {
            assert_eq!(first_program(line).as_deref(), Some(program), "{line}");
        }
    }

    /// Lines apart by `¦`.
    const UNCLEAR: &[&str] = &[
        "# make¦$X¦${X} y¦a$X¦\"$X\" y¦`x`¦$(x)¦ma*¦m?¦[a]b¦{a,b}¦~/x¦\\make¦ma'ke'¦'ma'ke¦'ma ke'¦'make¦\"make¦]¦}¦-x¦%1",
        ">log make¦2>log make¦<in make¦make() { x; }¦make () { x; }¦((x))¦; make¦& make¦| make¦&& make¦) make¦} make",
        "A=b¦A=(b c) make¦A=$(x¦A=\"x make¦A=b | make¦exec >log; make¦exec¦exec -a x make¦time",
        "if make; then x; fi¦for x in y; do make; done¦while make; do x; done¦case x in¦until x¦function f¦[[ a ]]¦then¦do",
        "cd x¦cd $(x) && make¦cd x || make¦cd x & make¦set -e¦echo x¦printf x¦test x¦[ x ]¦export A=b¦. ./x¦: x¦true¦false¦read x¦wait¦trap x¦kill 1¦pwd",
        "exit 1¦eval make¦unset X¦'cd' x¦command cd x¦command -v make¦source x¦builtin cd¦¦ ",
        "\n¦make\r\n¦ma\\\nke¦make\0",
    ];

    #[test]
    fn what_stands_behind_a_change_of_folder_is_the_program() {
        for line in ["cd x && make", "set -e; make", "set -eu\ncd 'a b'\nmake -j2", "export A=b; cd \"x;y\" && make", ":; make"] {
            assert_eq!(first_program(line).as_deref(), Some("make"), "{line}");
        }
    }

    #[test]
    fn a_line_that_does_not_say_it_plainly() {
        for line in UNCLEAR.iter().flat_map(|lines| lines.split('¦')) {
            assert_eq!(first_program(line), None, "{line}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        assert_eq!(first_program(&format!("A={}", "$(".repeat(100_000))), None);
        assert_eq!(first_program(&format!("{}make", "( ".repeat(100_000))).as_deref(), Some("make"));
    }

    proptest! {
        #[test]
        fn any_line_has_a_plain_program_or_none(line in any::<String>()) {
            check(&line);
        }

        #[test]
        fn any_line_of_a_shell_has_a_plain_program_or_none(line in line()) {
            check(&line);
        }
    }

    fn check(line: &str) {
        if let Some(program) = first_program(line) {
            assert!(!program.is_empty() && line.contains(&program) && !program.contains(is_special));
        }
    }

    fn line() -> impl proptest::strategy::Strategy<Value = String> {
        let part = prop_oneof![
            "[ \t\n;&|()<>{}!'\"`$\\\\#=+*?~-]{1,3}",
            "[A-Za-zß_0-9]{1,3}",
            proptest::sample::select(vec!["exec ", "time ", "command ", "A=", "$(", "${", "\\\n", "if "]).prop_map(str::to_owned),
        ];
        proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }
}
