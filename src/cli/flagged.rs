//! What is special about an environment whose target is a feature flag.

use super::failing::Failing;
use super::site::Site;
use crate::base::text::visible;
use crate::model::target::{Flag, Kind};

impl Site<'_> {
    /// Returns the flag, where the target is one.
    pub(super) fn flag(&self) -> Option<&Flag> {
        let target = self.project.pipeline.delivery.target_of(self.environment);
        if let Kind::Flag(flag) = &target.kind { Some(flag) } else { None }
    }

    /// Refuses a flag in a file that git sees: what is delivered from a clean tree must not change it.
    pub(super) fn refuse_seen_flag(&self) -> Result<(), Failing> {
        let Some(flag) = self.flag() else { return Ok(()) };
        let path = self.project.kept.join(&flag.file);
        if !self.depot.repository().sees(&path)? {
            return Ok(());
        }
        let message = format!("`{}` is a file that git sees, and would be changed whenever a release comes in", visible(&flag.file));
        Err(Failing::usage_with_help(message, "put it where the evaluator reads it, outside of the repository or ignored by it"))
    }
}
