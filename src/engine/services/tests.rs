//! A pool that outlives a run.

use std::fs;
use std::path::Path;

use super::*;
use crate::base::secret::Masker;
use crate::base::source::Source;
use crate::config::load;
use crate::exec::environment::Caller;
use crate::model::pipeline::Pipeline;
use crate::model::select::{Request, Selection};

/// A stage that uses a service which counts its starts in a file.
fn pipeline(mode: &str) -> Pipeline {
    let text = format!(
        "[pipeline]\nname = \"x\"\n[services.db]\nstart = \"echo $$ >> starts; echo up; exec sleep 1000\"\nready = {{ log = \"up\" }}\n\
         env = {{ MODE = \"{mode}\" }}\n[stages.a]\nservices = [\"db\"]\nsteps = [\"true\"]\n"
    );
    load(&Source::new("pipeline.toml", text.into_bytes())).unwrap().pipeline
}

/// Does with the services what a run of the one stage does. Returns the pids of all starts so far.
fn run(services: &Services, pipeline: &Pipeline, root: &Path) -> Vec<String> {
    let selection = Selection::new(pipeline, &Request::default()).unwrap();
    let plan = Plan::new(pipeline, selection, root, "shipway run", Vec::new()).unwrap();
    let caller = Caller::new([("PATH".into(), "/usr/bin:/bin".into())], false);
    let cancel = Cancel::new().unwrap();
    let wanted = [Arc::new(Definition::new(&plan, &caller, &pipeline.services[0]))];
    services.begin(&plan);
    let used = services.enter(&wanted, &cancel, None).unwrap();
    assert!(used.lost(false).is_none());
    drop(used);
    services.done(plan.stages[0], None);
    services.end(&cancel);
    fs::read_to_string(root.join("starts")).unwrap().lines().map(str::to_owned).collect()
}

fn is_alive(pid: &str) -> bool {
    rustix::process::test_kill_process(rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap()).is_ok()
}

#[test]
fn a_pool_that_keeps_services_starts_them_anew_only_where_they_changed_or_ended() {
    let folder = tempfile::tempdir().unwrap();
    let executor = LocalExecutor::new(Masker::new([]), None);
    let services = Services::new(executor).keep();
    let first = run(&services, &pipeline("one"), folder.path());
    assert_eq!((first.len(), is_alive(&first[0])), (1, true));
    assert_eq!(run(&services, &pipeline("one"), folder.path()), first, "it was kept");
    let changed = run(&services, &pipeline("two"), folder.path());
    assert_eq!((changed.len(), is_alive(&changed[0]), is_alive(&changed[1])), (2, false, true));
    let last = rustix::process::Pid::from_raw(changed[1].parse().unwrap()).unwrap();
    rustix::process::kill_process(last, rustix::process::Signal::KILL).unwrap();
    while services.shared.lock().entries.values().any(Entry::is_alive) {
        thread::yield_now();
    }
    let ended = run(&services, &pipeline("two"), folder.path());
    assert_eq!((ended.len(), is_alive(&ended[2])), (3, true));
    services.stop_all(None);
    assert!(!is_alive(&ended[2]));
}

#[test]
fn a_pool_of_one_run_ends_what_nobody_uses() {
    let folder = tempfile::tempdir().unwrap();
    let executor = LocalExecutor::new(Masker::new([]), None);
    let services = Services::new(executor);
    let first = run(&services, &pipeline("one"), folder.path());
    assert!(!is_alive(&first[0]));
    assert_eq!(run(&services, &pipeline("one"), folder.path()).len(), 2);
}
