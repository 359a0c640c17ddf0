//! What a run does and says.

use crate::project::Project;

#[test]
fn placeholder_passes() {
    Project::new("[stages.a]\nsteps = [\"true\"]\n").shipway(["run"]).exits(0);
}
