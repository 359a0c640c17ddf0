//! How a release that comes back is shown to work where the steps fail that are checked out: by those that have shown it before.

use super::failing::Failing;
use super::screen::Screen;
use super::site::Site;
use crate::delivery::command::Told;
use crate::delivery::target::TargetError;
use crate::ledger::entry::short;

impl Site<'_> {
    /// Runs the steps that verify a release here as `commit` says; the release is told so. `None` where that is what is checked out.
    pub(super) fn verify_as(&self, commit: &str, told: &Told, screen: &mut Screen) -> Option<Result<(), TargetError>> {
        (commit != self.head.commit).then(|| {
            self.try_verify_as(commit, told, screen).unwrap_or_else(|failing| {
                let exit = screen.explain(failing);
                Err(TargetError::Failed(format!("it cannot be had (exit code {})", exit.code())))
            })
        })
    }

    fn try_verify_as(&self, commit: &str, told: &Told, screen: &mut Screen) -> Result<Result<(), TargetError>, Failing> {
        let elsewhere = self.check_out(commit, "verify", screen)?;
        let site = elsewhere.site(self)?;
        screen.say(&format!("{}: as the commit {} says, by which it was verified before", site.environment.name, short(commit)));
        if site.environment.verify.is_empty() {
            return Ok(Ok(()));
        }
        Ok(site.crew()?.verify(told, screen))
    }
}
