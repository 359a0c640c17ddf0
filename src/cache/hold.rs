//! Which stages of this checkout are being made right now, and which were left half made.
//!
//! Knows files and locks in `.shipway/making/`; what a stage is and who is related to whom, it is told.
//!
//! A stage that is being made has a file there, locked by whoever makes it. It is removed when the stage's outputs are whole. A file that
//! is there and locked by nobody is the mark of a stage whose making was interrupted or failed: its outputs are not to be used. The lock
//! goes with the process, so nothing is ever stale; the file is there before the first output is touched.
//!
//! Making a file and removing it costs more than all else about a mark. So a mark that is done with is put aside under a name that no stage
//! has, and becomes that of the next.
//!
//! The steps of a shipway that was killed live on until its guard has ended them. So each run has a file of its own there too, which the
//! guard holds locked as well, and a mark names it. The guard's last deed is to write into it: until then the steps may have written to
//! outputs, and nothing of theirs is younger.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::mark::{self, Found, Mark, Pattern};
use super::spare::{SPARE, Spares};
use crate::base::digest::Hash;
use crate::base::glob::Glob;
use crate::base::stamp::Stamp;
use crate::base::state::LAST_WORD;

/// How often a stage that another run makes is looked at.
const PATIENCE: Duration = Duration::from_millis(20);

/// What the names of the files of runs begin with.
const RUN: &str = ".run-";

/// The stages that are being made in one checkout.
#[derive(Debug)]
pub struct Holds {
    folder: PathBuf,
    /// Locked as long as this process or its guard lives.
    run: NamedTempFile,
    /// Locked by whoever changes marks; opened by the first who does.
    gate: Mutex<Option<File>>,
    /// How often a making was begun or ended in this checkout.
    count: File,
    /// How much of the count is this run's own.
    own: Mutex<u64>,
    /// What [`Holds::others`] was when no mark of another run was there.
    alone: Mutex<Option<u64>>,
    spares: Spares,
    /// The marks that were there when this run began: of stages that may be called otherwise now, or not be there any more.
    earlier: Vec<PathBuf>,
}

/// A stage that is being made by this process.
#[derive(Debug)]
pub struct Hold<'h> {
    holds: &'h Holds,
    path: PathBuf,
    outputs: Vec<Pattern>,
    /// What the mark said before.
    before: Vec<Pattern>,
    /// Locked as long as this lives.
    file: File,
    /// Whether another run may have changed something since the claim's time.
    pub is_news: bool,
    /// Whether the stage was marked before: its last making was begun and not ended.
    pub was_marked: bool,
    /// From when until when the steps of a killed shipway may have written to the outputs, in nanoseconds since 1970; what lies there from
    /// that time is theirs.
    pub killed: Option<(i64, i64)>,
}

/// Who asks for a hold, and what it wants to know meanwhile.
pub struct Claim<'c> {
    /// The stage that is to be made.
    pub stage: &'c str,
    /// What it makes.
    pub outputs: &'c [Glob],
    /// Returns the outputs that it reads; asked only where another run makes something.
    pub reads: &'c dyn Fn() -> Vec<Glob>,
    /// Tells whether another stage must not be made at the same time: one whose outputs this one reads, or the other way round.
    pub conflicts: &'c dyn Fn(&str) -> bool,
    /// Is told, again and again, which stage of another run is waited for, and which process makes it; returns whether to go on waiting.
    pub waiting: &'c mut dyn FnMut(&str, i32) -> bool,
    /// What [`Holds::others`] returned before the stage was looked at.
    pub since: u64,
}

/// The gate, locked as long as this lives.
struct Gate<'h>(MutexGuard<'h, Option<File>>);

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        // One that cannot be unlocked is closed, and unlocked by that.
        self.0.take_if(|file| file.unlock().is_err());
    }
}

impl std::fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl Holds {
    /// Returns the holds of the checkout whose `.shipway/` folder is `state`.
    ///
    /// # Errors
    /// Where they cannot be kept.
    pub fn open(state: &Path) -> io::Result<Self> {
        let folder = state.join("making");
        fs::create_dir_all(&folder)?;
        let earlier = marks(&folder)?;
        let _stale = remove_ended(&folder, &earlier);
        let count = File::options().create(true).truncate(false).read(true).write(true).open(folder.join(".count"))?;
        loop {
            let run = tempfile::Builder::new().prefix(RUN).tempfile_in(&folder)?;
            run.as_file().lock()?;
            // Another run may have taken it for that of one that has ended, before it was locked.
            if run.as_file().metadata()?.nlink() > 0 {
                let spares = Spares::new(&folder, &run.path().file_name().unwrap_or_default().to_string_lossy());
                return Ok(Self {
                    folder,
                    run,
                    gate: Mutex::default(),
                    count,
                    own: Mutex::default(),
                    alone: Mutex::default(),
                    spares,
                    earlier,
                });
            }
        }
    }

    /// Returns the file that stays locked for as long as any process has what is returned here.
    ///
    /// # Errors
    /// Where there are too many open files.
    pub fn run_file(&self) -> io::Result<File> {
        self.run.as_file().try_clone()
    }

    /// Waits until no run, and no step of one that was killed, lives in the checkout whose `.shipway/` folder is `state`, which need not be
    /// there, or until `wait`, which is asked again and again, says no.
    pub fn await_end(state: &Path, mut wait: impl FnMut() -> bool) {
        let folder = state.join("making");
        let is_live = || {
            let entries = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
            let runs = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(RUN.as_bytes()));
            runs.filter_map(|entry| File::open(entry.path()).ok()).any(|file| is_locked(&file))
        };
        while is_live() && wait() {
            std::thread::sleep(PATIENCE);
        }
    }

    /// Tells whether they can still be kept where they were opened.
    pub fn are_there(&self) -> bool {
        let identity = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()));
        let found = identity(self.run.path().symlink_metadata());
        found.is_some() && found == identity(self.run.as_file().metadata())
    }

    /// Returns a number that changes whenever another run here begins or ends to make a stage.
    pub fn others(&self) -> u64 {
        let own = self.own();
        self.counted().wrapping_sub(*own)
    }

    /// Takes the hold that `claim` asks for, as soon as no other run makes a stage that conflicts with it. `None` where waiting ended
    /// before.
    ///
    /// # Errors
    /// Where the mark cannot be made.
    pub fn take(&self, claim: &mut Claim<'_>) -> io::Result<Option<Hold<'_>>> {
        let mut waited = false;
        loop {
            let gate = self.gate()?;
            let Some((other, process)) = self.conflict(claim)? else {
                let before = mark::read(&self.path(claim.stage));
                let is_about_it = |found: &Option<Found>| found.as_ref().is_none_or(|found| found.mark.is_about(claim.outputs));
                let was_marked = before.as_ref().is_ok_and(is_about_it) || self.was_left_before(claim.outputs);
                let is_news = waited || was_marked || self.others() != claim.since;
                let is_new = before.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
                let before = before.ok().flatten();
                let killed = before.as_ref().and_then(|found| Some((found.cleared?, ended(&self.folder.join(&found.mark.run))?)));
                let outputs: Vec<Pattern> = claim.outputs.iter().map(Pattern::of).collect();
                let mut before = before.map_or_else(Vec::new, |found| found.mark.outputs);
                before.retain(|output| !outputs.contains(output));
                let (path, file) = self.mark(claim.stage, outputs.iter().chain(&before).cloned().collect(), is_new)?;
                // Those who have seen that nobody makes anything look again only if this is counted.
                self.add_to_count()?;
                return Ok(Some(Hold { holds: self, path, outputs, before, file, is_news, was_marked, killed }));
            };
            drop(gate);
            waited = true;
            if !(claim.waiting)(&other, process) {
                return Ok(None);
            }
            std::thread::sleep(PATIENCE);
        }
    }

    /// Makes this thread the only one, of all processes, that changes marks, until what is returned is dropped.
    fn gate(&self) -> io::Result<Gate<'_>> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is gone is not the one that others lock.
        let file = match gate.take() {
            Some(file) if file.metadata()?.nlink() > 0 => file,
            _ => File::options().create(true).truncate(false).write(true).open(self.folder.join(".gate"))?,
        };
        file.lock()?;
        *gate = Some(file);
        Ok(Gate(gate))
    }

    fn counted(&self) -> u64 {
        let mut bytes = [0; 8];
        // Where nothing was counted yet there is nothing.
        self.count.read_exact_at(&mut bytes, 0).map_or(0, |()| u64::from_le_bytes(bytes))
    }

    /// Counts what this process does; only behind the gate.
    fn add_to_count(&self) -> io::Result<()> {
        let mut own = self.own();
        self.count.write_all_at(&self.counted().wrapping_add(1).to_le_bytes(), 0)?;
        *own = own.wrapping_add(1);
        Ok(())
    }

    /// Tells whether the making of `stage`, or of whatever made these outputs, was begun and not ended. One that another run makes right now
    /// is not ended either.
    pub fn is_half_made(&self, stage: &str, outputs: &[Glob]) -> bool {
        is_about(&self.path(stage), outputs) || self.was_left_before(outputs)
    }

    /// Tells whether any stage at all may be half made.
    pub fn have_marks(&self) -> bool {
        !self.earlier.is_empty() || marks(&self.folder).map_or(true, |marks| !marks.is_empty())
    }

    fn was_left_before(&self, outputs: &[Glob]) -> bool {
        self.earlier.iter().any(|path| is_about(path, outputs))
    }

    /// Tells the same of the project whose `.shipway/` folder is `state`, which need not be there.
    pub fn was_left_half_made(state: &Path, outputs: &[Glob]) -> bool {
        marks(&state.join("making")).is_ok_and(|marks| marks.iter().any(|path| is_about(path, outputs)))
    }

    /// Returns a stage that another process makes now and that conflicts with the claim, and that process.
    fn conflict(&self, claim: &Claim<'_>) -> io::Result<Option<(String, i32)>> {
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let others = self.others();
        if *alone == Some(others) {
            return Ok(None);
        }
        let mut is_alone = true;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            // One that is gone meanwhile is made.
            let Ok(mut file) = File::open(entry.path()) else { continue };
            let Some(Found { mark, .. }) = mark::read_from(&mut file) else {
                is_alone = false;
                continue;
            };
            // What this run does is kept apart by its own schedule.
            if mark.run == self.run_name() {
                continue;
            }
            is_alone = false;
            let is_live = is_locked(&file) || File::open(self.folder.join(&mark.run)).is_ok_and(|run| is_locked(&run));
            // Of another pipeline, or of this one before it was edited, only the outputs are known.
            let is_near = || {
                mark.stage == claim.stage
                    || (claim.conflicts)(&mark.stage)
                    || mark.is_about(claim.outputs)
                    || mark.is_about(&(claim.reads)())
            };
            if is_live && is_near() {
                return Ok(Some((mark.stage, mark.process)));
            }
        }
        *alone = is_alone.then_some(others);
        Ok(None)
    }

    fn mark(&self, stage: &str, outputs: Vec<Pattern>, is_new: bool) -> io::Result<(PathBuf, File)> {
        let path = self.path(stage);
        let process = i32::try_from(std::process::id()).unwrap_or(0);
        let mark = Mark { process, run: self.run_name(), stage: stage.to_owned(), outputs };
        if is_new {
            let spare = self.spares.take()?;
            mark.write(spare.as_file())?;
            let file = spare.persist(&path).map_err(|refused| refused.error)?;
            return Ok((path, file));
        }
        loop {
            let file = File::options().create(true).truncate(false).read(true).write(true).open(&path)?;
            // Whoever looks at it holds it for a moment.
            file.lock()?;
            // Its last holder may have removed it between our opening and our locking.
            if file.metadata()?.nlink() > 0 {
                mark.write(&file)?;
                return Ok((path, file));
            }
        }
    }

    fn run_name(&self) -> String {
        self.run.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn path(&self, stage: &str) -> PathBuf {
        self.folder.join(Hash::of(stage.as_bytes()).to_string())
    }

    fn own(&self) -> MutexGuard<'_, u64> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the marks in the folder.
fn marks(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut marks = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            marks.push(entry.path());
        }
    }
    Ok(marks)
}

/// Tells whether there is a mark at `path` that is about some of these outputs; one that says nothing is about all.
fn is_about(path: &Path, outputs: &[Glob]) -> bool {
    let says_nothing = |found: &io::Result<Option<Found>>| matches!(found, Ok(None));
    // One that becomes another stage's while it is read may seem to say nothing; then it is not to be found under this name any more.
    let found = Some(mark::read(path)).filter(|found| !says_nothing(found)).unwrap_or_else(|| mark::read(path));
    found.is_ok_and(|found| found.is_none_or(|found| found.mark.is_about(outputs)))
}

/// Returns when the guard of a run had ended its last step, where that is known, in nanoseconds since 1970.
fn ended(run: &Path) -> Option<i64> {
    let file = File::open(run).ok()?;
    let mut text = [0; LAST_WORD.len() + 1];
    let length = file.read_at(&mut text, 0).ok()?;
    (text[..length] == *LAST_WORD).then_some(())?;
    Some(Stamp::of(&file.metadata().ok()?).modified)
}

fn is_locked(file: &File) -> bool {
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Removes the files of runs that have ended without doing so themselves, but for those that a mark names, and the marks that they had put
/// aside.
fn remove_ended(folder: &Path, marks: &[PathBuf]) -> io::Result<()> {
    let named: HashSet<String> = marks.iter().filter_map(|path| Some(mark::read(path).ok()??.mark.run)).collect();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Removed while the lock is held, so that no run can have it in between.
        let (name, is_named) = (entry.file_name(), named.contains(&*entry.file_name().to_string_lossy()));
        if [RUN, SPARE].iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
            && !is_named
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

impl Hold<'_> {
    /// Says that the stage's outputs are whole: the mark goes.
    ///
    /// # Errors
    /// Where the mark cannot be removed: then the outputs are not used.
    pub fn is_whole(self) -> io::Result<()> {
        let _gate = self.holds.gate()?;
        let mut done = None;
        if self.before.is_empty() {
            done = Some(self.holds.spares.put_aside(&self.path)?);
        } else if let Ok(Some(found)) = mark::read(&self.path) {
            // Outputs that a stage of this name once had, and that nobody has made whole since.
            Mark { outputs: self.before.clone(), ..found.mark }.write(&self.file)?;
        }
        for path in self.holds.earlier.iter().filter(|path| **path != self.path) {
            self.settle(path)?;
        }
        if let Some(path) = done {
            self.holds.spares.give(self.file, path);
        }
        let _uncounted = self.holds.add_to_count();
        Ok(())
    }

    /// Says that the outputs were cleared: what lies there from here on is of the steps.
    ///
    /// # Errors
    /// Where that cannot be noted.
    pub fn is_cleared(&self) -> io::Result<()> {
        mark::set_cleared(&self.file)
    }

    /// Takes what is whole now out of the mark of another stage, unless that is being made.
    fn settle(&self, path: &Path) -> io::Result<()> {
        let Ok(mut file) = File::options().read(true).write(true).open(path) else { return Ok(()) };
        let Some(Found { mut mark, .. }) = mark::read_from(&mut file) else { return Ok(()) };
        if is_locked(&file) || !mark.take_out(&self.outputs) {
            return Ok(());
        }
        if mark.outputs.is_empty() { fs::remove_file(path) } else { mark.write(&file) }
    }
}

#[cfg(test)]
mod tests;
