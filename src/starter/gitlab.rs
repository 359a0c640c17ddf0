//! The workflow for GitLab CI/CD.

use super::wanted::Wanted;

/// The workflow; `@…@` stands for what differs.
const TEXT: &str = r#"# Calls shipway: what is built and tested stands in pipeline.toml. Made by `shipway workflow gitlab`.
workflow:
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    # A branch with a merge request runs there, not twice.
    - if: $CI_COMMIT_BRANCH && $CI_OPEN_MERGE_REQUESTS
      when: never
    - if: $CI_COMMIT_BRANCH

shipway:
  # It builds shipway, and runs your stages: take one with the tools that they start.
  image: rust:@rust@-bookworm
  timeout: 1h
  interruptible: true
  variables:
    GIT_DEPTH: "0" # the whole history: `--affected` asks where a branch began
    CARGO_INSTALL_ROOT: $CI_PROJECT_DIR/@dir@.shipway/program-@mark@
    SHIPWAY_CACHE_DIR: $CI_PROJECT_DIR/@dir@.shipway/store
    SHIPWAY_COLOR: always
  cache:
    # The results of the branch, else those of the default branch; what passed need not run again, whatever failed.
    key: shipway-$CI_COMMIT_REF_SLUG
    fallback_keys: [shipway-$CI_DEFAULT_BRANCH]
    when: always
    paths: [@dir@.shipway/program-@mark@/, @dir@.shipway/store/]
  before_script:
@advice@    - |
      if ! test -x "$CARGO_INSTALL_ROOT/bin/shipway"; then
        @install@
      fi
    - export PATH="$CARGO_INSTALL_ROOT/bin:$PATH"
    - mkdir -p @dir@.shipway/reports
  script:
    - @call@ run --report junit=.shipway/reports/junit.xml --report html=.shipway/reports/report.html
  artifacts:
    when: always
    paths: [@dir@.shipway/reports/]
    reports:
      junit: @dir@.shipway/reports/junit.xml
"#;

/// Returns the text of the workflow.
pub(super) fn workflow(wanted: &Wanted) -> String {
    let dir = if wanted.dir.is_empty() { String::new() } else { format!("{}/", wanted.dir) };
    TEXT.replace("@mark@", &wanted.mark)
        .replace("@rust@", wanted.rust)
        .replace("@advice@", &wanted.advice("    "))
        .replace("@call@", &wanted.call())
        .replace("@dir@", &dir)
        .replace("@install@", &wanted.install("gitlab"))
}
