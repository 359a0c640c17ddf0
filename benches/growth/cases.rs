//! What is measured: the same thing in sizes ten times as large each, and the places that users live in.

use std::fmt::Write as _;

use crate::place::Place;

/// A project of a kind and a size.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// How many of what grows.
    pub(crate) size: usize,
    /// How many stages there are.
    pub(crate) stages: u64,
    /// How many of them must run again when the file `changed` was.
    pub(crate) again: u64,
    pub(crate) changed: String,
    /// Makes the project.
    pub(crate) make: fn(usize) -> Place,
}

/// All cases, up to a size; the names say which.
pub(crate) fn all(is_full: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |name, size, stages, again, changed: String, make| cases.push(Case { name, size, stages, again, changed, make });
    let sizes = |most: usize| [10, 100, 1000, 10_000, 100_000].into_iter().filter(move |size| *size <= most);
    let most = if is_full { 100_000 } else { 10_000 };
    for size in sizes(most) {
        case("stages", size, size as u64, 1, "src/0".to_owned(), stages);
    }
    for size in sizes(most) {
        case("files of one stage", size, 1, 1, "src/0/0".to_owned(), files);
    }
    let files = 50_000;
    case("files in a repository, default inputs", files, 1, 1, "0/0/0.rs".to_owned(), |files| repository(files, 1));
    case("the same, for 20 stages", files, 20, 20, "0/0/0.rs".to_owned(), |files| repository(files, 20));
    case("files in a deep tree, `**/*.rs`", files, 1, 1, tree(0), deep);
    case("tools of 50 ms each", 3, 1, 1, "src/0".to_owned(), tools);
    case("stages in a chain", 2000, 2000, 1, "src/last".to_owned(), chain);
    let wide = if is_full { 100 } else { 40 };
    case("layers of as many stages", wide, (wide * wide) as u64, 1, "src/last".to_owned(), layers);
    cases
}

/// The texts for all numbers below `size`.
fn each(size: usize, text: impl Fn(usize) -> String) -> String {
    (0..size).map(text).collect()
}

/// Many stages of one file each.
pub(crate) fn stages(size: usize) -> Place {
    let place = Place::new(&each(size, |stage| format!("[stages.s{stage}]\ninputs = [\"src/{stage}\"]\nsteps = [[\"/usr/bin/true\"]]\n")));
    (0..size).for_each(|stage| place.write(&format!("src/{stage}"), "content"));
    place
}

/// One stage of many files, a hundred in a folder.
fn files(size: usize) -> Place {
    let place = Place::new("[stages.s]\ninputs = [\"src/**\"]\nsteps = [[\"/usr/bin/true\"]]\n");
    (0..size).for_each(|file| place.write(&format!("src/{}/{file}", file / 100), &format!("content of {file}")));
    place
}

/// A repository, all of whose files are the inputs of each stage.
fn repository(size: usize, stages: usize) -> Place {
    let place = Place::new(&each(stages, |stage| format!("[stages.s{stage}]\nsteps = [[\"/usr/bin/true\"]]\n")));
    place.write(".gitignore", "*.o\n/target\n");
    (0..size).for_each(|file| place.write(&format!("{}/{}/{file}.rs", file / 1000, file / 20 % 50), &format!("content of {file}")));
    place.commit();
    place
}

/// Where a file of the deep tree lies: five folders down, six or seven of them in each; each fifth is one that counts.
fn tree(file: usize) -> String {
    let folders = [7776, 1296, 216, 36, 6].map(|place| (file / 6 / place % 6).to_string());
    format!("src/{}/{file}.{}", folders.join("/"), if file.is_multiple_of(5) { "rs" } else { "o" })
}

/// A tree in which most files are none of the stage's.
fn deep(size: usize) -> Place {
    let place = Place::new("[stages.s]\ninputs = [\"**/*.rs\"]\nsteps = [[\"/usr/bin/true\"]]\n");
    (0..size).for_each(|file| place.write(&tree(file), &format!("content of {file}")));
    place
}

/// A stage with tools that take long to say what they are.
fn tools(size: usize) -> Place {
    let tools = each(size, |tool| format!("[\"sh\", \"-c\", \"sleep 0.05; echo {tool}\"], "));
    let place = Place::new(&format!("[stages.s]\ninputs = [\"src/0\"]\ntools = [{tools}]\nsteps = [[\"/usr/bin/true\"]]\n"));
    place.write("src/0", "content");
    place
}

/// A stage that copies a file, what it needs, and what more it reads.
fn copying(text: &mut String, name: &str, needs: &str, from: &str, more: &str) {
    writeln!(text, "[stages.{name}]\nneeds = [{needs}]\ninputs = [{more}]\noutputs = [\"out/{name}\"]").unwrap();
    writeln!(text, "steps = [[\"/usr/bin/cp\", \"{from}\", \"out/{name}\"]]").unwrap();
}

/// Each stage copies what the one before it made.
fn chain(size: usize) -> Place {
    let mut text = String::new();
    copying(&mut text, "s0", "", "src/first", "\"src/first\"");
    for stage in 1..size {
        let more = if stage + 1 == size { "\"src/last\"" } else { "" };
        copying(&mut text, &format!("s{stage}"), &format!("\"s{}\"", stage - 1), &format!("out/s{}", stage - 1), more);
    }
    let place = Place::new(&text);
    place.write("src/first", "content");
    place.write("src/last", "content");
    place
}

/// Each stage needs all of the layer before it.
fn layers(size: usize) -> Place {
    let mut text = String::new();
    for layer in 0..size {
        let before = |layer: usize| each(size, |place| format!("\"s{layer}-{place}\", "));
        let needs = layer.checked_sub(1).map(before).unwrap_or_default();
        for place in 0..size {
            let from = layer.checked_sub(1).map_or_else(|| "src/first".to_owned(), |layer| format!("out/s{layer}-{place}"));
            let more = match (layer, place) {
                (0, _) => "\"src/first\"",
                (layer, 0) if layer + 1 == size => "\"src/last\"",
                _ => "",
            };
            copying(&mut text, &format!("s{layer}-{place}"), &needs, &from, more);
        }
    }
    let place = Place::new(&text);
    place.write("src/first", "content");
    place.write("src/last", "content");
    place
}
