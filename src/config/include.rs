//! The files that a pipeline consists of: its own, and those that it includes, directly or through others.
//!
//! Knows which file is where and what stands before its names; what is in a file others say.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::fields::{At, Fields};
use super::folder::Files;
use super::place::{move_fields, move_problems};
use super::read::{NAME_RULE, Read, is_name, read};
use super::schema::FILE;
use super::scope::Scope;
use super::stages::{Home, unusable};
use crate::base::diagnostic::Diagnostic;
use crate::base::glob::Glob;
use crate::base::program::plain;
use crate::base::source::{Source, Sources};

/// One file of the pipeline.
#[derive(Debug)]
pub(super) struct File {
    /// Its path, relative to the project.
    pub(super) path: String,
    /// Its folder, relative to the project: what paths in it are relative to.
    pub(super) folder: String,
    /// What stands before the names of its stages.
    pub(super) scope: Scope,
    pub(super) fields: Fields,
    /// It has errors of syntax: what is missing may stand in the part that could not be read.
    pub(super) broken: bool,
    /// The file that includes it, by its place.
    pub(super) parent: Option<usize>,
    /// Where its text begins among all.
    start: usize,
    /// Where it is included.
    place: Range<usize>,
}

impl File {
    /// Returns what its stages have in common, if it is at `place` among all.
    pub(super) fn home(&self, place: usize) -> Arc<Home> {
        let shell = self.fields.table("pipeline").and_then(|header| header.texts("shell"));
        let shell = shell.map_or_else(
            || ["sh", "-eu", "-c"].map(str::to_owned).into(),
            |words| words.iter().map(|word| word.value.clone()).collect::<Arc<[String]>>(),
        );
        Arc::new(Home { file: place, folder: self.folder.clone(), scope: self.scope.clone(), shell })
    }
}

/// All files of a pipeline, each behind the one that includes it.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) files: Vec<File>,
    pub(super) sources: Sources,
    /// A file that is to be included was not found, so that stages may be missing.
    pub(super) incomplete: bool,
}

impl Gathered {
    /// Returns the file that the stage of this full name would stand in.
    pub(super) fn home_of(&self, full: &str) -> Option<&File> {
        self.files.iter().filter(|file| file.scope.holds(full)).max_by_key(|file| file.scope.len())
    }

    /// Returns the file at `place`, and before it those that lead to it from the first.
    pub(super) fn way_to(&self, place: usize) -> Vec<usize> {
        let mut way: Vec<usize> = std::iter::successors(Some(place), |place| self.files[*place].parent).collect();
        way.reverse();
        way
    }
}

/// A file that is to be included.
struct Order {
    path: String,
    parent: usize,
    place: Range<usize>,
}

impl Order {
    fn problem(&self, message: String, label: &str) -> Diagnostic {
        Diagnostic::error(message, self.place.clone(), label)
    }
}

/// Reads `main`, which is called `name` in the project's folder, and all that it includes from `files`; `problems` says what is wrong.
pub(super) fn gather(main: Source, name: &str, files: &dyn Files, problems: &mut Vec<Diagnostic>) -> Gathered {
    let (fields, broken) = enter(&main, 0, problems);
    let first =
        File { path: name.to_owned(), folder: String::new(), scope: Scope::root(), fields, broken, start: 0, parent: None, place: 0..0 };
    let mut gathered = Gathered { files: vec![first], sources: Sources::new(main), incomplete: false };
    let mut orders = gathered.orders(0, files, problems);
    // The next is the last, so that a file stands before those that it includes, and these in their order.
    orders.reverse();
    while let Some(order) = orders.pop() {
        let Some(place) = gathered.take(order, files).map_err(|problem| problems.push(*problem)).ok() else {
            gathered.incomplete = true;
            continue;
        };
        gathered.open(place, problems);
        let more = gathered.orders(place, files, problems);
        orders.extend(more.into_iter().rev());
    }
    gathered
}

/// Reads one file that begins at `start` among all.
fn enter(source: &Source, start: usize, problems: &mut Vec<Diagnostic>) -> (Fields, bool) {
    let mut own = Vec::new();
    if let Some(damage) = &source.damage {
        own.push(damage.clone());
        move_problems(&mut own, start);
        problems.append(&mut own);
        return (Fields::default(), true);
    }
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let Read { mut fields, broken } = read(text, &FILE, &mut own);
    let start = start + source.text.len() - text.len();
    move_fields(&mut fields, start);
    move_problems(&mut own, start);
    problems.append(&mut own);
    (fields, broken)
}

impl Gathered {
    /// Returns what the file at `parent` includes.
    fn orders(&mut self, parent: usize, files: &dyn Files, problems: &mut Vec<Diagnostic>) -> Vec<Order> {
        let file = &self.files[parent];
        let entries = file.fields.table("pipeline").and_then(|header| header.texts("include")).unwrap_or_default();
        let mut orders: Vec<Order> = Vec::new();
        let mut incomplete = false;
        for entry in entries {
            let found = match found(entry, &file.folder, files) {
                Ok(found) => found,
                Err(problem) => {
                    problems.push(*problem);
                    incomplete = true;
                    continue;
                }
            };
            for (path, is_named) in found {
                let is_itself = path == file.path && !is_named;
                if !is_itself && !orders.iter().any(|order| order.path == path) {
                    orders.push(Order { path, parent, place: entry.span.clone() });
                }
            }
        }
        self.incomplete |= incomplete;
        orders
    }

    /// Adds a file, not read yet; returns its place.
    fn take(&mut self, order: Order, files: &dyn Files) -> Result<usize, Box<Diagnostic>> {
        self.check_new(&order)?;
        let bytes = files.read(&order.path).map_err(|error| unread(&order, &error))?;
        let scope = self.scope(&order)?;
        let shown = Path::new(&self.sources.main().name).with_file_name(&order.path);
        let start = self.sources.add(Source::new(&shown.to_string_lossy(), bytes));
        let Order { path, parent, place } = order;
        let folder = folder_of(&path).to_owned();
        self.files.push(File { path, folder, scope, fields: Fields::default(), broken: true, start, parent: Some(parent), place });
        Ok(self.files.len() - 1)
    }

    /// Reads the file at `place`.
    fn open(&mut self, place: usize, problems: &mut Vec<Diagnostic>) {
        let start = self.files[place].start;
        let (source, _) = self.sources.find(&(start..start));
        let (fields, broken) = enter(source, start, problems);
        (self.files[place].fields, self.files[place].broken) = (fields, broken);
    }

    /// Says why a file cannot be included once more.
    fn check_new(&self, order: &Order) -> Result<(), Box<Diagnostic>> {
        let way = self.way_to(order.parent);
        let path = |place: &usize| self.files[*place].path.as_str();
        if way.iter().any(|place| path(place) == order.path) {
            let circle = way.iter().map(path).skip_while(|path| *path != order.path).chain([order.path.as_str()]);
            let circle: Vec<String> = circle.map(|path| format!("`{path}`")).collect();
            let message = format!("files include each other in a circle: {}", circle.join(" -> "));
            return Err(Box::new(order.problem(message, "leads back")));
        }
        match self.files.iter().find(|file| file.path == order.path) {
            Some(earlier) => {
                let problem = order.problem(format!("`{}` is included twice", order.path), "again");
                Err(Box::new(problem.and(earlier.place.clone(), "included here already")))
            }
            None => Ok(()),
        }
    }

    /// Returns what stands before the names of the stages of a file.
    fn scope(&self, order: &Order) -> Result<Scope, Box<Diagnostic>> {
        let parent = &self.files[order.parent];
        let folder = folder_of(&order.path);
        let name = folder.rsplit('/').next().unwrap_or_default();
        let scope = parent.scope.below(name);
        if folder == parent.folder || folder.is_empty() {
            let problem = order.problem(format!("`{}` lies in the folder of a file that leads to it", order.path), "no folder of its own");
            return Err(Box::new(problem.help("the stages of an included file are named after its folder: put it into one")));
        }
        if !is_name(name) {
            let problem = order.problem(format!("the folder of `{}` cannot stand before a stage's name", order.path), "not a name");
            return Err(Box::new(problem.help(NAME_RULE)));
        }
        if let Some(other) = self.files.iter().find(|file| file.scope == scope) {
            let message = format!("the stages of `{}` and of `{}` would both be called `{}/…`", other.path, order.path, scope.shown());
            let problem = order.problem(message, "the second").and(other.place.clone(), "the first");
            return Err(Box::new(problem.help("give one of the two folders another name")));
        }
        Ok(scope)
    }
}

/// Returns the files that an entry means, and of each whether it is named without a pattern.
fn found(entry: &At<String>, folder: &str, files: &dyn Files) -> Result<Vec<(String, bool)>, Box<Diagnostic>> {
    let glob = Glob::new(folder, &entry.value).map_err(|error| unusable(&error, &entry.span))?;
    if glob.is_literal() {
        return Ok(vec![(glob.path().to_owned(), true)]);
    }
    let problem = |message: String, label: &str| Diagnostic::error(message, entry.span.clone(), label);
    let found = files
        .find(&glob)
        .map_err(|error| problem(format!("what `{}` includes cannot be looked for: {error}", entry.value), "this pattern"))?;
    if found.is_empty() {
        let help = "a pattern means files, such as \"services/*/pipeline.toml\"";
        return Err(Box::new(problem(format!("`{}` includes no file", entry.value.escape_debug()), "matches nothing").help(help)));
    }
    Ok(found.into_iter().map(|path| (path, false)).collect())
}

fn unread(order: &Order, error: &io::Error) -> Diagnostic {
    let path = &order.path;
    let problem = |message: String, label: &str| order.problem(message, label);
    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        return problem(format!("there is no file `{path}`"), "no such file");
    }
    if error.kind() == io::ErrorKind::IsADirectory {
        let help = format!("name the file in it: \"{}/pipeline.toml\"", path.trim_end_matches('/'));
        return problem(format!("`{path}` is a folder"), "not a file").help(help);
    }
    problem(format!("`{path}` cannot be read: {}", plain(error)), "this file")
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
