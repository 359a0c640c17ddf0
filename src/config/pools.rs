//! Which pool a name means.
//!
//! Knows pools of several files: a file's stages use the pool of that name in the file that includes it, else its own. So the root
//! decides how many of all run at once, and a file that is run alone has a bound of its own.

use super::fields::At;
use super::include::Gathered;
use crate::base::diagnostic::Diagnostic;
use crate::base::nearest;
use crate::model::pipeline::Pool;
use crate::model::stage::PoolId;

/// All pools.
#[derive(Debug)]
pub(super) struct Pools {
    pub(super) all: Vec<Pool>,
    /// Of each its file, and its name there.
    written: Vec<(usize, String)>,
}

impl Pools {
    /// Returns the pools of all files; those of an included file are called as its stages are.
    pub(super) fn new(gathered: &Gathered) -> Self {
        let mut pools = Self { all: Vec::new(), written: Vec::new() };
        for (place, file) in gathered.files.iter().enumerate() {
            for (name, size) in file.fields.sizes("pools").unwrap_or_default() {
                pools.all.push(Pool { name: file.scope.absolute(&name.value), size: *size });
                pools.written.push((place, name.value.clone()));
            }
        }
        pools
    }

    /// Returns the pool that the file at `place` calls `name`.
    pub(super) fn find(
        &self,
        name: Option<&At<String>>,
        place: usize,
        gathered: &Gathered,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<PoolId> {
        let name = name?;
        let way = gathered.way_to(place);
        let at = |file: &usize| self.written.iter().position(|(other, written)| other == file && *written == name.value);
        if let Some(found) = way.iter().find_map(at) {
            return u32::try_from(found).ok().map(PoolId);
        }
        if way.iter().any(|file| gathered.files[*file].broken) {
            return None;
        }
        let known = self.written.iter().filter(|(file, _)| way.contains(file)).map(|(_, name)| name.as_str());
        let help = nearest::help("a pool", &name.value, known.collect::<Vec<_>>());
        let help = help.or_else(|| Some(format!("declare it: [pools] {} = 1", name.value)));
        problems.push(
            Diagnostic::error(format!("there is no pool `{}`", name.value.escape_debug()), name.span.clone(), "unknown pool")
                .maybe_help(help),
        );
        None
    }
}
