//! `init`: a first pipeline from what is found here.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::check;
use super::failing::Failing;
use super::flags::Global;
use super::project::{FILE, call};
use super::screen::Screen;
use crate::base::files::write_new;
use crate::base::source::Source;
use crate::base::text::{count, visible};
use crate::config::load;
use crate::git::repo::Repository;
use crate::model::outcome::Exit;
use crate::starter::search::{Found, search};
use crate::starter::sketch::Part;
use crate::starter::text::pipeline;

/// Writes the file, says what it stands on, and checks it. What is there already stays.
pub(super) fn run(global: &Global, screen: &mut Screen) -> Result<Exit, Failing> {
    let path = global.file.clone().unwrap_or_else(|| PathBuf::from(FILE));
    let taken = || Failing::usage_with_help(format!("`{}` is there already", path.display()), "-f names another file, -C another folder");
    if path.symlink_metadata().is_ok() {
        return Err(taken());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = folder.canonicalize().map_err(|error| Failing::usage(format!("`{}` is not there: {error}", folder.display())))?;
    let found = search(&root);
    let text = pipeline(&found);
    if let Err(problems) = load(&Source::new(&path.to_string_lossy(), text.clone().into_bytes())) {
        let first = problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
        return Err(anyhow::anyhow!("no valid pipeline came out of what is here, so nothing was written: {first}").into());
    }
    match write_new(&path, text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(taken()),
        written => written.with_context(|| format!("`{}` cannot be written", path.display()))?,
    }
    tell(&found, &path, &root, &call(global), screen);
    check::run(&Global { file: Some(path), ..global.clone() }, screen)
}

/// Says what was found, and what to do next.
fn tell(found: &Found, path: &Path, root: &Path, call: &str, screen: &mut Screen) {
    for part in &found.parts {
        let place = if part.dir.is_empty() { part.file.clone() } else { format!("{}/{}", part.dir, part.file) };
        let stages: Vec<&str> = part.stages.iter().map(|stage| stage.name.as_str()).collect();
        let what = if part.what.is_empty() { "not read" } else { &part.what };
        let stages =
            if stages.is_empty() { "no stages".to_owned() } else { format!("{}: {}", count(stages.len(), "stage"), stages.join(", ")) };
        screen.say(&visible(&format!("{place}: {what}; {stages}")));
        part.notes.iter().for_each(|note| screen.say(&format!("  {place}: {}", visible(note))));
    }
    let is_example = found.parts.iter().all(|part| part.stages.is_empty());
    if is_example {
        screen.say("nothing here says what to run: the file holds an example to put your own commands into");
    }
    let unignored = unignored(found, root);
    if !unignored.is_empty() {
        screen.say(&format!("git does not ignore what the stages make: put {} into .gitignore", unignored.join(", ")));
    }
    let hook = format!("; `{call} hook install` runs it before each push");
    let hook = if Repository::find(root).is_some() { hook.as_str() } else { "" };
    screen.say(&format!(
        "wrote {}: read it, then `{call} run`{hook}; `{call} workflow github|gitlab` for CI",
        visible(&path.to_string_lossy())
    ));
}

/// Returns the outputs that no `.gitignore` seems to name.
fn unignored(found: &Found, root: &Path) -> Vec<String> {
    let texts = |part: &Part| {
        let files = [root.join(".gitignore"), root.join(&part.dir).join(".gitignore")];
        files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect::<String>()
    };
    let mut names = Vec::new();
    for part in &found.parts {
        let ignored = texts(part);
        let is_ignored = |name: &str| ignored.lines().any(|line| line.trim().trim_matches('/') == name);
        let tops = part.stages.iter().flat_map(|stage| &stage.outputs).filter_map(|output| output.split('/').next());
        for top in tops.filter(|top| !is_ignored(top) && !is_ignored(&format!("{top}/*"))) {
            let name = format!("`{top}/`");
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}
