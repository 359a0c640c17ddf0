//! What was approved: by whom, as the commit says who may, and from which commit it is done where that is not the one that is checked out.
//!
//! A commit that only comes before the one that is checked out may have been approved. Then the promotion is done as that commit says, with its
//! pipeline, scripts, policy and signers, from a checkout aside. Its approval counts only where all who gave it may sign as both commits say,
//! and what both demand is given: so a signer who is taken out, or a rule that becomes stricter, counts at once.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;
use tempfile::NamedTempFile;

use super::failing::Failing;
use super::flags::Global;
use super::project::Project;
use super::screen::Screen;
use super::session::user_cache;
use super::site::{Site, plan_of};
use crate::base::state::STATE;
use crate::base::text::visible;
use crate::cache::hold::Holds;
use crate::delivery::admission::Verdict;
use crate::delivery::approval::Question;
use crate::git::aside::{Aside, Wanted};
use crate::git::home::Home;
use crate::git::state::Head;
use crate::git::tracked::Spared;
use crate::ledger::entry::{Deed, Released, short};
use crate::ledger::history::History;
use crate::ledger::standing::Ongoing;
use crate::model::environment::{ApprovalRule, Environment};

/// A commit that is not the one which is checked out, with its files in a checkout aside, for as long as it lives.
#[derive(Debug)]
pub(super) struct Elsewhere {
    _files: Files,
    project: Project,
    head: Head,
    /// Who may sign, as the commit says that is checked out.
    revised: Option<NamedTempFile>,
}

/// A checkout aside that is removed after its use.
#[derive(Debug)]
struct Files {
    home: Home,
    aside: Option<Aside>,
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Some(aside) = self.aside.take() {
            // What stays is used, or removed, the next time.
            let _stays = aside.discard(&self.home);
        }
    }
}

impl Files {
    /// Makes them what is wanted, and nothing else; the pipeline lies in `folder`.
    fn fill(&self, wanted: Wanted<'_>, folder: &Path, screen: &mut Screen) -> Result<(), Failing> {
        let Some(aside) = &self.aside else { return Ok(()) };
        let tracked = aside.update(&self.home, wanted, &mut |notice| screen.warn(&notice))?;
        // A killed shipway may have left something.
        aside.clean(&tracked, &Spared { pipeline: folder, outputs: &[] })?;
        Ok(())
    }
}

impl Elsewhere {
    /// Returns the environment of `site` as this commit says.
    pub(super) fn site<'e>(&'e self, site: &Site<'e>) -> Result<Site<'e>, Failing> {
        let (global, depot, head, pace) = (site.global, site.depot, self.head.clone(), site.pace);
        let environment = self.environment(&site.environment.name)?;
        let revised = self.revised.as_ref().map(NamedTempFile::path);
        Ok(Site { global, project: &self.project, depot, environment, head, pace, revised, _lock: None })
    }

    fn environment(&self, name: &str) -> Result<&Environment, Failing> {
        let found = self.project.pipeline.delivery.named(name);
        Ok(found.with_context(|| format!("the commit {} knows no environment `{name}`", short(&self.head.commit)))?)
    }
}

impl Site<'_> {
    /// Returns the commit that a deployment which is on its way was begun as, where that is another one. What goes back does so as the commit
    /// says that is checked out: what is to be mended may be how it is done.
    pub(super) fn begun_by(&self, ongoing: &Ongoing, screen: &mut Screen) -> Result<Option<Elsewhere>, Failing> {
        let commit = &ongoing.started.commit;
        // What is checked out says nothing where it is no commit.
        let is_clean = self.depot.repository().dirt()?.is_none();
        if is_clean && (*commit == self.head.commit || ongoing.turned.is_some()) {
            return Ok(None);
        }
        let name = &self.environment.name;
        let elsewhere = self.check_out(commit, "promote", screen).map_err(|failing| match failing {
            Failing::Surroundings(error) => {
                let help = format!("`shipway abort {name} --reason R` goes back, as the commit says that is checked out");
                anyhow::anyhow!("it was begun as the commit {} says, which cannot be had: {error:#}\n  help: {help}", short(commit)).into()
            }
            other @ (Failing::Usage { .. } | Failing::File(..) | Failing::Waiting(_)) => other,
        })?;
        screen.progress(&format!("{name}: as the commit {} says, by which it was begun", short(commit)));
        Ok(Some(elsewhere))
    }

    /// Returns the commit by which it was approved that the release comes here, where that is another one than the one that is checked out,
    /// and nobody has said anything of that. `purpose` tells checkouts apart that may be there at the same time.
    pub(super) fn approved(
        &self,
        history: &History,
        released: &Released,
        purpose: &str,
        screen: &mut Screen,
    ) -> Result<Option<Elsewhere>, Failing> {
        let Some(rule) = &self.environment.admission.approve else { return Ok(None) };
        let (name, now) = (&self.environment.name, Timestamp::now());
        let Some(file) = self.signers(rule)? else { return Ok(None) };
        let signers = [file.path()];
        let here = self.plan(&released.release);
        if self.question(rule, &signers, released, &here, now).opinions(history).iter().any(|opinion| opinion.valid) {
            return Ok(None);
        }
        for commit in self.named_by_approvals(history, released) {
            let plan = plan_of(&released.release, name, &commit);
            let question = self.question(rule, &signers, released, &plan, now);
            let known = self.depot.repository().commit(&commit)?.is_some();
            let judged = match question.ask(history) {
                Verdict::No(why) | Verdict::NotYet(why) => Err(why),
                Verdict::Yes if !known => Err("it is not in this repository".to_owned()),
                Verdict::Yes if !self.depot.repository().is_behind(&commit, &self.head.commit)? => {
                    Err("what is checked out does not contain it".to_owned())
                }
                Verdict::Yes => self.is_approved_there(&question, history, &commit, purpose, screen)?,
            };
            match judged {
                Ok(elsewhere) => {
                    screen.progress(&format!("{name}: as the commit {} says, which was approved", short(&commit)));
                    return Ok(Some(Elsewhere { revised: Some(file), ..elsewhere }));
                }
                Err(why) => screen.say(&format!("{name}: an approval by the commit {} does not count: {why}", short(&commit))),
            }
        }
        Ok(None)
    }

    /// Checks an approval, which counts as the commit says that is checked out, by what the commit says that was approved. Returns that, or
    /// why it does not count.
    fn is_approved_there(
        &self,
        question: &Question<'_>,
        history: &History,
        commit: &str,
        purpose: &str,
        screen: &mut Screen,
    ) -> Result<Result<Elsewhere, String>, Failing> {
        let elsewhere = self.check_out(commit, purpose, screen)?;
        let Some(environment) = elsewhere.project.pipeline.delivery.named(question.environment) else {
            return Ok(Err("it knows no such environment".to_owned()));
        };
        let Some(rule) = &environment.admission.approve else { return Ok(Err("it needs no approval there".to_owned())) };
        let Some(own) = self.signers_at(rule, commit)? else { return Ok(Err("it has no file of those who may sign".to_owned())) };
        let both: Vec<&Path> = std::iter::once(own.path()).chain(question.signers.iter().copied()).collect();
        for rule in [rule, question.rule] {
            if let Verdict::No(why) | Verdict::NotYet(why) = (Question { rule, signers: &both, ..*question }).ask(history) {
                return Ok(Err(why));
            }
        }
        Ok(Ok(elsewhere))
    }

    /// Returns the commits that approvals of the release here name, the latest first, but for the one that is checked out.
    fn named_by_approvals(&self, history: &History, released: &Released) -> Vec<String> {
        let mut commits: Vec<String> = Vec::new();
        for recorded in history.entries.iter().rev() {
            let Deed::Approved(signed) = &recorded.entry.deed else { continue };
            let is_about = signed.environment == *self.environment.name && signed.release == released.release;
            // The plan's digest is what was signed: the commit beside it may be any.
            let is_so = || signed.plan == plan_of(&signed.release, &signed.environment, &signed.commit);
            if is_about && signed.commit != self.head.commit && !commits.contains(&signed.commit) && is_so() {
                commits.push(signed.commit.clone());
            }
        }
        commits
    }

    /// Tells whether enough of those who have to agree do, as the commit says.
    pub(super) fn is_approved(
        &self,
        rule: &ApprovalRule,
        history: &History,
        released: &Released,
        now: Timestamp,
    ) -> Result<Verdict, Failing> {
        let Some(signers) = self.signers(rule)? else {
            let file = visible(&rule.signers);
            return Ok(Verdict::No(format!("the file of those who may sign, `{file}`, is not in the commit")));
        };
        Ok(self.question(rule, &self.all(Some(&signers)), released, &self.plan(&released.release), now).ask(history))
    }

    /// Returns the files in which whoever signs has to stand.
    pub(super) fn all<'f>(&'f self, own: Option<&'f NamedTempFile>) -> Vec<&'f Path> {
        // Where the commit has none, nobody may sign.
        own.map_or_else(Vec::new, |own| std::iter::once(own.path()).chain(self.revised).collect())
    }

    /// Returns the question whether a plan is agreed to.
    pub(super) fn question<'q>(
        &'q self,
        rule: &'q ApprovalRule,
        signers: &'q [&'q Path],
        released: &'q Released,
        plan: &'q str,
        now: Timestamp,
    ) -> Question<'q> {
        Question { rule, signers, environment: &self.environment.name, released, plan, now }
    }

    /// Returns the file of those who may sign, as the commit has it; `None` where it has none.
    pub(super) fn signers(&self, rule: &ApprovalRule) -> Result<Option<NamedTempFile>, Failing> {
        self.signers_at(rule, &self.head.commit)
    }

    fn signers_at(&self, rule: &ApprovalRule, commit: &str) -> Result<Option<NamedTempFile>, Failing> {
        let path = self.folder()?.join(&rule.signers);
        let Some(content) = self.depot.repository().content(commit, &path)? else { return Ok(None) };
        let cannot = "there is no place for the file of those who may sign";
        let mut file = NamedTempFile::new().context(cannot)?;
        file.write_all(&content).context(cannot)?;
        Ok(Some(file))
    }

    /// Returns the folder of the pipeline, relative to the repository's files.
    fn folder(&self) -> Result<PathBuf, Failing> {
        let root = self.depot.repository().root();
        Ok(self.project.kept.strip_prefix(root).with_context(|| format!("`{}` does not hold the pipeline", root.display()))?.to_owned())
    }

    /// Checks a commit out aside, and reads its pipeline. `purpose` tells checkouts apart that may be there at the same time.
    pub(super) fn check_out(&self, commit: &str, purpose: &str, screen: &mut Screen) -> Result<Elsewhere, Failing> {
        let head = self.depot.repository().head_at(commit)?.with_context(|| format!("the commit {commit} is not in this repository"))?;
        let home = Home::around(self.depot.repository().root())?;
        let cache = user_cache().context("neither XDG_CACHE_HOME nor HOME says where a checkout aside could be")?;
        let folder = self.folder()?;
        // Each environment has one of its own, beside those of hooks: a promotion may take long.
        let place = Path::new("deliver").join(purpose).join(&*self.environment.name).join(&folder).join(&self.project.file);
        let aside = Aside::take(&Aside::place(&home, &cache, &place), || true)?;
        let (real, tree) = (aside.folder().to_owned(), format!("{}^{{tree}}", head.commit));
        // What a killed shipway has left running there.
        Holds::await_end(&real.join(&folder).join(STATE), || true);
        let files = Files { home, aside: Some(aside) };
        files.fill(Wanted { head: &head.commit, tree: &tree }, &folder, screen)?;
        let file = Some(real.join(&folder).join(&self.project.file));
        let mut project = Project::load(&Global { file, ..self.global.clone() })?;
        project.kept.clone_from(&self.project.kept);
        Ok(Elsewhere { _files: files, project, head, revised: None })
    }
}
