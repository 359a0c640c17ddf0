//! The workflow for GitHub Actions.

use super::wanted::Wanted;

/// The workflow; `@…@` stands for what differs.
const TEXT: &str = r#"# Calls shipway: what is built and tested stands in pipeline.toml. Made by `shipway workflow github`.
name: shipway

on:
  push:
    branches: [main, master]
  pull_request:

# The least that a checkout needs.
permissions:
  contents: read

# A newer push to a pull request ends the run of the one before.
concurrency:
  group: shipway-${{ github.ref }}
  cancel-in-progress: ${{ github.event_name == 'pull_request' }}

jobs:
  shipway:
    runs-on: ubuntu-24.04
    timeout-minutes: 60
    env:
      CARGO_INSTALL_ROOT: /home/runner/.shipway
      SHIPWAY_COLOR: always
    steps:
      - uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2
        with:
          fetch-depth: 0 # the whole history: `--affected` asks where a branch began
          persist-credentials: false

      # Languages and tools that your stages start and that the runner does not have are set up here.

      - name: The shipway of an earlier run
        id: program
        uses: actions/cache@cdf6c1fa76f9f475f3d7449005a359c84ca0f306 # v5.0.3
        with:
          path: /home/runner/.shipway
          key: shipway-program-${{ runner.os }}-${{ runner.arch }}-@mark@

@advice@      - name: Install shipway
        if: steps.program.outputs.cache-hit != 'true'
        run: @install@

      - name: Find the store
        id: store
        run: |
          echo "$CARGO_INSTALL_ROOT/bin" >> "$GITHUB_PATH"
          PATH="$CARGO_INSTALL_ROOT/bin:$PATH"
          echo "folder=$(@call@ cache dir)" >> "$GITHUB_OUTPUT"

      - name: Restore the results of earlier runs
        uses: actions/cache/restore@cdf6c1fa76f9f475f3d7449005a359c84ca0f306 # v5.0.3
        with:
          path: ${{ steps.store.outputs.folder }}
          key: shipway-store-${{ runner.os }}-${{ runner.arch }}-${{ github.run_id }}-${{ github.run_attempt }}
          restore-keys: shipway-store-${{ runner.os }}-${{ runner.arch }}-

      - name: Run
        run: |
          mkdir -p "$RUNNER_TEMP/shipway"
          @call@ run --report junit="$RUNNER_TEMP/shipway/junit.xml" --report html="$RUNNER_TEMP/shipway/report.html"

      # What passed need not run again, whatever failed.
      - name: Save the results
        if: always() && steps.store.outputs.folder != ''
        uses: actions/cache/save@cdf6c1fa76f9f475f3d7449005a359c84ca0f306 # v5.0.3
        with:
          path: ${{ steps.store.outputs.folder }}
          key: shipway-store-${{ runner.os }}-${{ runner.arch }}-${{ github.run_id }}-${{ github.run_attempt }}

      - name: Keep the reports
        if: always()
        uses: actions/upload-artifact@b7c566a772e6b6bfb58ed0dc250532a479d7789f # v6.0.0
        with:
          name: shipway
          path: ${{ runner.temp }}/shipway
          if-no-files-found: ignore
"#;

/// Returns the text of the workflow.
pub(super) fn workflow(wanted: &Wanted) -> String {
    // A line that begins or goes on as YAML's own signs do is safe as a block.
    let install = format!("|\n          {}", wanted.install("github"));
    TEXT.replace("@mark@", &wanted.mark)
        .replace("@advice@", &wanted.advice("      "))
        .replace("@call@", &wanted.call())
        .replace("@install@", &install)
}
