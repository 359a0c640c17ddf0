//! Who may make what, with several runs side by side in one checkout.

use super::*;

fn take<'h>(holds: &'h Holds, stage: &str, conflicts: &[&str]) -> Option<Hold<'h>> {
    let outputs = [Glob::new("", stage).unwrap()];
    let mut claim = Claim {
        stage,
        outputs: &outputs,
        reads: &Vec::new,
        conflicts: &|other| conflicts.contains(&other),
        waiting: &mut |_, _| false,
        since: holds.others(),
    };
    holds.take(&mut claim).unwrap()
}

#[test]
fn a_stage_is_made_by_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Holds::open(folder.path()).unwrap(), Holds::open(folder.path()).unwrap());
    let hold = take(&one, "build", &[]).unwrap();
    assert!(take(&other, "build", &[]).is_none(), "the same stage");
    assert!(take(&other, "test", &["build"]).is_none(), "one that reads it");
    assert!(take(&other, "lint", &[]).is_some(), "one that has nothing to do with it");
    assert!(take(&one, "test", &["build"]).is_some(), "the same process knows what it does");
    hold.is_whole().unwrap();
    assert!(take(&other, "build", &[]).is_some());
}

#[test]
fn what_was_not_ended_stays_marked() {
    let folder = tempfile::tempdir().unwrap();
    let holds = Holds::open(folder.path()).unwrap();
    drop(take(&holds, "build", &[]));
    let outputs = |path: &str| [Glob::new("", path).unwrap()];
    assert!(holds.is_half_made("build", &outputs("build")) && Holds::was_left_half_made(folder.path(), &outputs("build/a")));
    assert!(!Holds::was_left_half_made(folder.path(), &outputs("other")));
    let again = take(&holds, "build", &[]).unwrap();
    assert!(again.was_marked && again.is_news);
    again.is_whole().unwrap();
    assert!(!holds.is_half_made("build", &outputs("build")));
}

#[test]
fn many_at_once_never_share_a_stage() {
    let folder = tempfile::tempdir().unwrap();
    let inside = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let holds = Holds::open(folder.path()).unwrap();
                for _ in 0..20 {
                    let mut claim =
                        Claim { stage: "a", outputs: &[], reads: &Vec::new, conflicts: &|_| false, waiting: &mut |_, _| true, since: 0 };
                    let hold = holds.take(&mut claim).unwrap().unwrap();
                    assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    hold.is_whole().unwrap();
                }
            });
        }
    });
}

/// Returns what lies where marks do, but for the files of runs and of all.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("making")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.filter(|name| !name.starts_with(RUN) && ![".gate", ".count"].contains(&name.as_str())).collect()
}

#[test]
fn a_mark_that_is_done_with_becomes_that_of_another_stage() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Holds::open(folder.path()).unwrap(), Holds::open(folder.path()).unwrap());
    let outputs = |path: &str| [Glob::new("", path).unwrap()];
    for (stage, before) in [("a stage with a long name", "b"), ("b", "a stage with a long name"), ("c", "b")] {
        let hold = take(&one, stage, &[]).unwrap();
        assert_eq!(names(folder.path()), [Hash::of(stage.as_bytes()).to_string()]);
        assert!(other.is_half_made(stage, &outputs(stage)) && !other.is_half_made(before, &outputs(before)));
        assert!(take(&other, stage, &[]).is_none());
        hold.is_cleared().unwrap();
        hold.is_whole().unwrap();
        assert!(!other.is_half_made(stage, &outputs(stage)) && !Holds::was_left_half_made(folder.path(), &outputs(stage)));
        assert!(names(folder.path()).iter().all(|name| name.starts_with(SPARE)));
    }
    drop(one);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn who_has_seen_that_nothing_is_made_sees_what_is_made_then() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Holds::open(folder.path()).unwrap(), Holds::open(folder.path()).unwrap());
    for _ in 0..3 {
        take(&one, "lint", &[]).unwrap().is_whole().unwrap();
        take(&other, "test", &[]).unwrap().is_whole().unwrap();
        let hold = take(&one, "build", &[]).unwrap();
        assert!(take(&other, "build", &[]).is_none());
        // Two spares may have had the same name, were they not each run's own.
        take(&other, "test", &[]).unwrap().is_whole().unwrap();
        hold.is_whole().unwrap();
    }
    drop(take(&one, "build", &[]));
    let again = take(&other, "build", &["build"]);
    assert!(again.is_none(), "its steps may live as long as its run");
}

#[test]
fn spares_of_a_run_that_was_killed_are_removed_and_those_of_a_live_one_stay() {
    let folder = tempfile::tempdir().unwrap();
    let holds = Holds::open(folder.path()).unwrap();
    take(&holds, "build", &[]).unwrap().is_whole().unwrap();
    fs::write(folder.path().join("making").join(format!("{SPARE}left-1")), "").unwrap();
    assert_eq!(names(folder.path()).len(), 2);
    drop(Holds::open(folder.path()).unwrap());
    assert_eq!(names(folder.path()).len(), 1);
    take(&holds, "test", &[]).unwrap().is_whole().unwrap();
}
