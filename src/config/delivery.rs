//! From `[delivery]`, `[release]`, `[environments]` and `[targets]` to what they say together.
//!
//! What an included file says of delivery holds where it is run alone.

use super::environments::Environments;
use super::fields::{At, Fields};
use super::include::Gathered;
use super::stages::unusable;
use super::targets;
use crate::base::diagnostic::Diagnostic;
use crate::base::glob::Glob;
use crate::model::delivery::{Delivery, ReleaseRule};
use crate::model::stage::StageId;

/// Returns the names of the stages that a release needs, where the file says that.
pub(super) fn needs(gathered: &Gathered) -> Option<&[At<String>]> {
    gathered.files[0].fields.table("release")?.texts("needs")
}

/// Returns what the first file says of delivery; a release of it needs the stages `needs`.
pub(super) fn delivery(gathered: &Gathered, needs: Vec<StageId>, problems: &mut Vec<Diagnostic>) -> Delivery {
    let file = &gathered.files[0];
    let settings = file.fields.table("delivery");
    let targets = targets::all(file, problems);
    let environments = Environments::new(file, &targets).all(problems);
    let release = file.fields.table("release").map(|fields| release(fields, needs, problems));
    Delivery {
        share: settings.is_some_and(|settings| settings.text("share").is_some()),
        store: settings.and_then(|settings| settings.text("store")).map(str::to_owned),
        release,
        environments,
        targets: targets.into_iter().map(|(_, target)| target).collect(),
    }
}

fn release(fields: &Fields, mut needs: Vec<StageId>, problems: &mut Vec<Diagnostic>) -> ReleaseRule {
    needs.sort_unstable();
    needs.dedup();
    let mut artifacts = Vec::new();
    for text in fields.texts("artifacts").unwrap_or_default() {
        match Glob::new("", &text.value) {
            Ok(glob) => artifacts.push(glob),
            Err(error) => problems.push(unusable(&error, &text.span)),
        }
    }
    ReleaseRule { needs, artifacts, irreversible: fields.flag("irreversible").copied().unwrap_or(false) }
}
