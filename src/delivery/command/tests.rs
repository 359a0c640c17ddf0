//! The order of things, with hands that only write down what they are asked.

use std::cell::RefCell;

use super::*;
use crate::delivery::manifest::Manifest;
use crate::delivery::target::Slot;
use crate::model::stage::Command as Line;
use crate::model::target::Sign;

/// What was asked for; one thing fails, if any.
#[derive(Default)]
struct Book {
    lines: RefCell<Vec<String>>,
    fails: Option<&'static str>,
    says: Option<&'static str>,
}

impl Book {
    fn note(&self, word: &str, told: &Told) -> Result<(), TargetError> {
        let value = |name: &str| told.get(name).map_or("-", String::as_str).to_owned();
        self.lines.borrow_mut().push(format!("{word} {} {} {}", value("slot"), value("port"), value("weight")));
        if self.fails == Some(word) { Err(TargetError::Failed("no".to_owned())) } else { Ok(()) }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.borrow_mut())
    }
}

impl Hands for &Book {
    fn run(&mut self, step: &Step, told: &Told) -> Result<(), TargetError> {
        self.note(&step.label, told)
    }

    fn ask(&mut self, step: &Step, told: &Told) -> Result<Option<String>, TargetError> {
        self.note(&step.label, told).map(|()| self.says.map(str::to_owned))
    }

    fn prepare(&mut self, step: &Step, told: &Told) -> Result<Prepared, TargetError> {
        self.note(&step.label, told).map(|()| Prepared::default())
    }

    fn wait(&mut self, _ready: &Readiness, told: &Told, _lost: &mut dyn FnMut() -> Option<String>) -> Result<(), TargetError> {
        self.note("ready", told)
    }

    fn who_answers(&mut self, _ready: &Readiness, _told: &Told) -> Option<BTreeSet<u64>> {
        None
    }

    fn pause(&mut self, _time: Duration) -> Result<(), TargetError> {
        Ok(())
    }
}

fn commands(has_slots: bool) -> Commands {
    let step = |label: &str| Step {
        label: label.into(),
        command: Line::Shell(label.to_owned()),
        dir: String::new(),
        env: BTreeMap::new(),
        timeout: None,
        retries: 0,
    };
    let slot = |name: &str, port: &str| (name.to_owned(), BTreeMap::from([("port".to_owned(), port.to_owned())]));
    Commands {
        start: step("start"),
        ready: Some(Readiness { sign: Sign::Port("{port}".to_owned()), within: Duration::from_secs(1) }),
        shift: Some(step("shift")),
        stop: Some(step("stop")),
        observe: Some(step("observe")),
        slots: if has_slots { BTreeMap::from([slot("blue", "1"), slot("green", "2")]) } else { BTreeMap::new() },
    }
}

fn release(commands: &Commands, slot: Option<&str>) -> Candidate {
    let manifest = Manifest::new(Vec::new(), "c".repeat(40), "d".repeat(40), false);
    let slot = slot.map(|name| Slot { name: name.to_owned(), values: commands.slots[name].clone() });
    Candidate { id: manifest.id().to_string(), manifest, slot }
}

#[track_caller]
fn with(commands: &Commands, book: &Book, act: impl FnOnce(&mut Command<'_>)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::new(folder.path().join("vault"));
    let mut target = Command::new(commands, "production", folder.path().join("unpacked"), &vault, Box::new(book));
    act(&mut target);
    drop(target);
    book.take()
}

#[test]
fn a_release_is_ready_before_it_gets_traffic() {
    let (commands, book) = (commands(true), Book { says: Some("x"), ..Book::default() });
    let blue = release(&commands, Some("blue"));
    let done = with(&commands, &book, |target| {
        target.start(&blue).unwrap();
        assert!(target.folder(&blue).is_dir(), "its files are there");
        target.shift(&blue, 100).unwrap();
        assert_eq!(target.observe(Some(&blue)), Ok(Observed::Release("x".to_owned())));
    });
    assert_eq!(done, ["start blue 1 0", "ready blue 1 0", "shift blue 1 100", "observe blue 1 100"]);
    // By a process that goes on for one that was killed: it looks again. What gets nothing need not be ready.
    let done = with(&commands, &book, |target| {
        target.shift(&blue, 0).unwrap();
        target.shift(&blue, 100).unwrap();
        target.shift(&blue, 100).unwrap();
    });
    assert_eq!(done, ["shift blue 1 0", "ready blue 1 0", "shift blue 1 100", "shift blue 1 100"]);
}

#[test]
fn one_that_does_not_get_ready_gets_no_traffic() {
    for (fails, all) in [("start", vec!["start green 2 0"]), ("ready", vec!["start green 2 0", "ready green 2 0"])] {
        let (commands, book) = (commands(true), Book { fails: Some(fails), ..Book::default() });
        let green = release(&commands, Some("green"));
        assert_eq!(with(&commands, &book, |target| assert!(target.start(&green).is_err())), all);
    }
    let (commands, book) = (commands(true), Book { fails: Some("ready"), ..Book::default() });
    let green = release(&commands, Some("green"));
    assert_eq!(with(&commands, &book, |target| assert!(target.shift(&green, 100).is_err())), ["ready green 2 0"]);
}

#[test]
fn only_what_goes_is_stopped_and_only_what_is_kept_stays() {
    let (commands, book) = (commands(true), Book::default());
    let (blue, green) = (release(&commands, Some("blue")), release(&commands, Some("green")));
    let done = with(&commands, &book, |target| {
        target.start(&blue).unwrap();
        target.stop(Some(&green), std::slice::from_ref(&blue.id)).unwrap();
        assert!(target.folder(&blue).is_dir());
        target.stop(None, &[]).unwrap();
        assert!(!target.folder(&blue).exists());
    });
    assert_eq!(done, ["start blue 1 0", "ready blue 1 0", "stop green 2 0"]);
}

#[test]
fn without_slots_no_command_is_told_of_one_and_with_them_each_is() {
    let (without, with_slots, book) = (commands(false), commands(true), Book::default());
    let nowhere = release(&without, None);
    assert_eq!(with(&without, &book, |target| target.start(&nowhere).unwrap()), ["start - - 0", "ready - - 0"]);
    let done = with(&with_slots, &book, |target| {
        assert!(target.start(&nowhere).is_err() && target.shift(&nowhere, 100).is_err() && target.stop(Some(&nowhere), &[]).is_err());
    });
    assert!(done.is_empty(), "{done:?}");
}

#[test]
fn a_target_that_cannot_be_asked_says_nothing() {
    let (commands, book) = (Commands { observe: None, ..commands(true) }, Book::default());
    let blue = release(&commands, Some("blue"));
    with(&commands, &book, |target| assert_eq!(target.observe(Some(&blue)), Ok(Observed::Unknown)));
    let commands = Commands { observe: Some(commands.start.clone()), ..commands };
    with(&commands, &book, |target| assert_eq!(target.observe(Some(&blue)), Ok(Observed::Nothing)));
}
