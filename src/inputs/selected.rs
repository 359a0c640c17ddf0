//! The inputs that a stage's own selectors mean.
//!
//! Knows selectors and how to look no further than they reach; knows nothing of git's ignored files, which selectors see.
//!
//! A path is an input exactly if some selector takes it and no later one excludes it: each is walked on its own, from the folder that
//! its pattern begins with.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use super::folders::Kind;
use super::ground::{Ground, Place};
use super::listing::Found;
use super::walk::walk;
use crate::base::glob::Glob;
use crate::base::parallel::gather;
use crate::model::stage::Selector;

/// So many selectors are looked at by one thread at once.
const SOME: usize = 2048;

/// Looks for what selectors mean.
pub(super) struct Selected<'a> {
    ground: &'a Ground,
    found: &'a mut Found,
    /// Where folders of literal inputs lead; many share one.
    places: HashMap<String, Option<Place>>,
}

/// One selector that takes, with all that may take away again.
struct Walk<'w> {
    glob: &'w Glob,
    excludes: Vec<&'w Glob>,
    /// A link lies in the base: real paths are not those that were written.
    through_link: bool,
}

/// A folder to be looked at.
struct Folder {
    path: PathBuf,
    real: PathBuf,
    /// All below it is taken.
    whole: bool,
}

impl Walk<'_> {
    /// Tells whether a later selector takes `path` away; its folders were asked about before.
    fn is_excluded(&self, path: &Path) -> bool {
        self.excludes.iter().any(|glob| glob.matches_itself(path))
    }

    /// Adds what is selected in a folder to `found`, and the folders to be looked at to `inner`.
    fn look(&self, ground: &Ground, folder: &Folder, inner: &mut Vec<Folder>, found: &mut Found) -> io::Result<()> {
        let Folder { path, real, whole } = folder;
        let mut path = path.clone();
        found.folder(real);
        for entry in ground.folders.read(real)?.iter() {
            // Only the base of a pattern leads into them.
            if entry.name == ".git" || entry.kind == Kind::Other {
                continue;
            }
            path.push(&entry.name);
            let whole = *whole || self.glob.matches_itself(&path);
            let is_wanted = whole || (entry.kind == Kind::Folder && self.glob.reaches_below(&path));
            if is_wanted && !self.is_kept_out(ground, &path, real) {
                let real = real.join(&entry.name);
                match entry.kind {
                    Kind::Folder => inner.push(Folder { path: path.clone(), real, whole }),
                    Kind::File => found.file(&path, real, None),
                    Kind::Link => found.link(&path, real, true),
                    Kind::Other => {}
                }
            }
            path.pop();
        }
        Ok(())
    }

    /// Tells whether `path`, an entry of the folder at `real`, is no input although it is selected.
    fn is_kept_out(&self, ground: &Ground, path: &Path, real: &Path) -> bool {
        path == Path::new(".shipway")
            || ground.claimed.holds_itself(path)
            || self.is_excluded(path)
            || (self.through_link && path.file_name().is_some_and(|name| ground.is_real_barred(&real.join(name))))
    }
}

impl<'a> Selected<'a> {
    /// Adds to `found`.
    pub(super) fn new(ground: &'a Ground, found: &'a mut Found) -> Self {
        Self { ground, found, places: HashMap::new() }
    }

    /// Adds what `selectors` mean.
    pub(super) fn list(&mut self, selectors: &[Selector]) -> io::Result<()> {
        let excludes: Vec<(usize, &Glob)> = selectors
            .iter()
            .enumerate()
            .filter(|(_, selector)| selector.exclude)
            .map(|(place, selector)| (place, &selector.glob))
            .collect();
        let parts = gather(selectors.len(), SOME, &|range| {
            let mut found = Found::default();
            let mut some = Selected::new(self.ground, &mut found);
            for place in range.filter(|place| !selectors[*place].exclude) {
                let later = &excludes[excludes.partition_point(|(other, _)| *other < place)..];
                some.take(&selectors[place].glob, later.iter().map(|(_, glob)| *glob))?;
            }
            Ok::<Found, io::Error>(found)
        });
        for part in parts {
            self.found.merge(part?);
        }
        Ok(())
    }

    /// Adds the file or folder at `path`, whatever selectors say.
    pub(super) fn list_path(&mut self, path: &str) -> io::Result<()> {
        match Glob::new(path, ".") {
            Ok(glob) => self.take(&glob, std::iter::empty()),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidInput, error.to_string())),
        }
    }

    fn take<'w>(&mut self, glob: &'w Glob, later: impl Iterator<Item = &'w Glob>) -> io::Result<()> {
        let base = Path::new(glob.base());
        if self.ground.is_barred(base) {
            return Ok(());
        }
        let mut excludes = Vec::new();
        for exclude in later {
            let theirs = Path::new(exclude.base());
            if base.starts_with(theirs) && exclude.matches(base) {
                return Ok(());
            }
            // What lies elsewhere takes nothing away here.
            if base.starts_with(theirs) || theirs.starts_with(base) {
                excludes.push(exclude);
            }
        }
        let Some(place) = self.place(glob)? else {
            if glob.is_literal() {
                self.found.absent(glob.path(), self.ground.root.join(glob.path()));
            }
            return Ok(());
        };
        let through_link = place.real != self.ground.root.join(base);
        if through_link && self.ground.is_real_barred(&place.real) {
            return Ok(());
        }
        match place.kind {
            Kind::Folder => {
                let start = Folder { path: base.to_owned(), real: place.real, whole: glob.takes_all_below(base) };
                let way = Walk { glob, excludes, through_link };
                let ground = self.ground;
                return walk(start, self.found, &|folder, inner, found| way.look(ground, folder, inner, found));
            }
            Kind::File if glob.is_literal() => self.found.file(base, place.real, place.stamp),
            Kind::Link => self.found.link(base, place.real, true),
            Kind::File | Kind::Other => {}
        }
        Ok(())
    }

    /// Returns where the base of `glob` leads: a pattern goes through a link that its base ends with, a literal path means the link.
    fn place(&mut self, glob: &Glob) -> io::Result<Option<Place>> {
        if !glob.is_literal() {
            return self.ground.follow(glob.base(), self.found);
        }
        let (folder, name) = glob.path().rsplit_once('/').unwrap_or(("", glob.path()));
        if !self.places.contains_key(folder) {
            let place = self.ground.follow(folder, self.found)?;
            self.places.insert(folder.to_owned(), place);
        }
        match self.places.get(folder).and_then(Option::as_ref) {
            Some(folder) => folder.entry(name),
            None => Ok(None),
        }
    }
}
