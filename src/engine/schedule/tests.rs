//! Random graphs, random ends, random interleavings; no process.

use proptest::prelude::*;

use super::*;
use crate::base::source::Source;
use crate::config::load;

/// Writes a pipeline in which stage `i` needs the given earlier ones, the first third of the stages sharing a pool of `pool`.
fn pipeline(count: usize, edges: &[(usize, usize)], pool: usize) -> Pipeline {
    let mut text = format!("[pipeline]\nname = \"x\"\n[pools]\np = {pool}\n");
    for stage in 0..count {
        let needs: Vec<String> =
            edges.iter().filter(|(a, b)| a.max(b) == &stage && a != b).map(|(a, b)| format!("\"s{}\"", a.min(b))).collect();
        let pool = if stage < count / 3 { "pool = \"p\"\n" } else { "" };
        text += &format!("[stages.s{stage}]\nneeds = [{}]\nsteps = [\"true\"]\n{pool}", needs.join(","));
    }
    load(&Source::new("pipeline.toml", text.into_bytes())).unwrap().pipeline
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    None,
    Running,
    Passed,
    Failed,
    Skipped,
}

proptest! {
    #[test]
    fn a_schedule_keeps_its_promises(
        count in 1usize..24,
        edges in prop::collection::vec((0usize..24, 0usize..24), 0..60),
        pool in 1usize..4,
        jobs in 1usize..6,
        keep_going: bool,
        failing in prop::collection::vec(any::<bool>(), 24),
        picks in prop::collection::vec(any::<usize>(), 200),
    ) {
        let edges: Vec<_> = edges.into_iter().filter(|(a, b)| *a < count && *b < count).collect();
        let pipeline = pipeline(count, &edges, pool);
        let on_failure = if keep_going { OnFailure::KeepGoing } else { OnFailure::Halt };
        let mut schedule = Schedule::new(&pipeline, pipeline.graph.order(), jobs, on_failure);
        let mut ends = vec![End::None; count];
        let mut running: Vec<StageId> = Vec::new();
        let mut halted = false;
        let mut picks = picks.into_iter().cycle();
        loop {
            while let Some(id) = schedule.next() {
                prop_assert!(!halted, "started after a halt");
                prop_assert_eq!(ends[id.index()], End::None, "given out twice");
                for above in pipeline.graph.upstream(id) {
                    prop_assert_eq!(ends[above.index()], End::Passed, "started before what it waits for");
                }
                ends[id.index()] = End::Running;
                running.push(id);
                prop_assert!(running.len() <= jobs);
                prop_assert!(running.iter().filter(|id| pipeline.stage(**id).pool.is_some()).count() <= pool, "pool exceeded");
            }
            prop_assert_eq!(schedule.running(), running.len());
            if running.is_empty() {
                break;
            }
            let id = running.swap_remove(picks.next().unwrap() % running.len());
            let passed = !failing[id.index()];
            ends[id.index()] = if passed { End::Passed } else { End::Failed };
            for dropped in schedule.finished(id, passed) {
                prop_assert_eq!(ends[dropped.index()], End::None);
                ends[dropped.index()] = End::Skipped;
            }
            halted |= !passed && !keep_going;
        }
        prop_assert!(schedule.is_over());
        for id in schedule.rest() {
            prop_assert!(halted, "without a halt nothing is left");
            prop_assert_eq!(ends[id.index()], End::None);
            ends[id.index()] = End::Skipped;
        }
        for id in pipeline.ids() {
            let end = ends[id.index()];
            prop_assert!(matches!(end, End::Passed | End::Failed | End::Skipped), "no outcome: {:?}", end);
            let spoilt = pipeline.graph.upstream(id).iter().any(|above| ends[above.index()] != End::Passed);
            prop_assert!(!spoilt || end == End::Skipped, "ran although something it waits for did not pass");
            if keep_going {
                prop_assert_eq!(end == End::Skipped, spoilt, "skipped without need");
            }
        }
    }
}

#[test]
fn the_longest_chain_starts_first() {
    let pipeline = pipeline(4, &[(1, 2), (2, 3)], 1);
    let mut schedule = Schedule::new(&pipeline, pipeline.graph.order(), 1, OnFailure::Halt);
    assert_eq!(schedule.next(), Some(StageId(1)));
}

#[test]
fn what_is_not_selected_counts_as_done() {
    let pipeline = pipeline(4, &[(0, 3), (2, 3)], 1);
    let mut schedule = Schedule::new(&pipeline, &[StageId(3)], 1, OnFailure::Halt);
    assert_eq!(schedule.next(), Some(StageId(3)));
    schedule.finished(StageId(3), true);
    assert!(schedule.is_over());
}

#[test]
fn a_failure_that_was_only_noted_halts_or_does_not() {
    let pipeline = pipeline(3, &[], 1);
    let ids: Vec<StageId> = pipeline.ids().collect();
    for (on_failure, more) in [(OnFailure::Halt, false), (OnFailure::KeepGoing, true)] {
        let mut schedule = Schedule::new(&pipeline, &ids, 2, on_failure);
        let first = schedule.next().unwrap();
        assert!(schedule.may_have_next());
        schedule.failed();
        assert_eq!((schedule.may_have_next(), schedule.next().is_some()), (more, more));
        // The one that failed still counts as running, until its end is taken.
        assert!(!schedule.is_over());
        schedule.finished(first, false);
        assert_eq!(schedule.given(), 1 + usize::from(more));
    }
}
