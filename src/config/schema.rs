//! The one table of keys of `pipeline.toml` (contract, section 3).
//!
//! It drives the reader, the errors about unknown keys, and the JSON Schema for editors: none of them can know a key that the others
//! do not.

/// What form a value has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Any text.
    Text,
    /// Text that follows the rule of names.
    Name,
    /// `true` or `false`.
    Flag,
    /// A whole number from 0.
    Count,
    /// A number and a unit of time.
    Duration,
    /// A number and a unit of bytes.
    Size,
    /// A number, whole or not.
    Number,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A list of texts with at least one.
    SomeTexts,
    /// Variables: names and texts.
    Variables,
    /// A shell line or an argv.
    Command,
    /// A list of steps in their three forms, at least one.
    Steps,
    /// A list of shell lines and argvs.
    Commands,
    /// Axes: names and lists of scalars.
    Axes,
    /// Combinations of axes: a list of names and scalars.
    Combinations,
    /// Names and whole numbers from 1.
    Sizes,
    /// A TCP port.
    Port,
    /// A table with exactly one of its keys.
    OneOf(&'static Table),
    /// A table with keys of its own.
    Table(&'static Table),
    /// Names, each with a table with keys of its own.
    Tables(&'static Table),
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    pub(crate) about: &'static str,
}

/// The keys of one table.
#[derive(Debug)]
pub(crate) struct Table {
    /// How messages call it.
    pub(crate) title: &'static str,
    pub(crate) keys: &'static [Key],
}

/// What other tools of this kind call our keys.
const ELSEWHERE: &[(&str, &[&str])] = &[
    ("steps", &["run", "command", "commands", "cmd", "cmds", "exec", "script", "scripts"]),
    ("start", &["run", "command", "cmd", "exec", "script"]),
    ("run", &["command", "cmd", "exec", "script"]),
    ("needs", &["depends", "depends-on", "dependencies", "deps", "requires"]),
    ("inputs", &["sources", "files", "paths"]),
    ("outputs", &["artifacts", "generates", "targets"]),
    ("dir", &["cwd", "workdir", "work-dir", "working-dir", "working-directory"]),
    ("env", &["environment", "variables", "vars"]),
    ("stages", &["tasks", "jobs", "targets"]),
];

impl Table {
    /// Returns the key that other tools call `name`.
    pub(super) fn called_elsewhere(&self, name: &str) -> Option<&'static str> {
        let name = name.to_lowercase().replace('_', "-");
        ELSEWHERE.iter().filter(|(key, _)| self.key(key).is_some()).find(|(_, names)| names.contains(&name.as_str())).map(|(key, _)| *key)
    }

    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn key(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, required: false, about }
}

const fn required(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, required: true, about }
}

/// The whole file.
pub(crate) static FILE: Table = Table {
    title: "the file",
    keys: &[
        required("pipeline", Shape::Table(&PIPELINE), "what a file begins with: [pipeline], and below it name = \"…\""),
        key("defaults", Shape::Table(&DEFAULTS), "defaults of stage keys"),
        key("stages", Shape::Tables(&STAGE), "the stages, by name"),
        key("services", Shape::Tables(&SERVICE), "what has to run beside stages, by name"),
        key("pools", Shape::Sizes, "how many stages of a pool run at once, by name"),
        key("cache", Shape::Table(&CACHE), "where results are kept, and how many"),
        key("hook", Shape::Table(&HOOK), "what the hooks of git test"),
    ],
};

static PIPELINE: Table = Table {
    title: "[pipeline]",
    keys: &[
        required("name", Shape::Name, "the pipeline's name: [A-Za-z0-9][A-Za-z0-9._-]*"),
        key("default", Shape::Texts, "the stages that run when none is named; left out: every stage"),
        key(
            "include",
            Shape::Texts,
            "files whose stages are part of this pipeline, as `folder/name`; paths or globs relative to this file",
        ),
        key("shell", Shape::SomeTexts, "how a step written as one string is run; default [\"sh\", \"-eu\", \"-c\"]"),
    ],
};

static CACHE: Table = Table {
    title: "[cache]",
    keys: &[
        key("dir", Shape::Text, "the folder of the store"),
        key("max-size", Shape::Size, "the store is kept below this size, such as 10GiB"),
        key("max-age", Shape::Duration, "what was not used for so long is removed"),
    ],
};

static HOOK: Table = Table {
    title: "[hook]",
    keys: &[
        key("pre-push", Shape::Texts, "the stages that run before a push; left out: [pipeline] default"),
        key("pre-commit", Shape::Texts, "the stages that run before a commit; left out: [pipeline] default"),
    ],
};

const DESCRIPTION: Key = key("description", Shape::Text, "what the stage is for");
const DIR: Key = key("dir", Shape::Text, "working directory, relative to pipeline.toml; inputs and outputs are relative to it");
const ENV: Key = key("env", Shape::Variables, "variables that are set");
const PASS_ENV: Key = key("pass-env", Shape::Texts, "names or patterns of variables that are passed on from the caller; part of the key");
const SECRETS: Key =
    key("secrets", Shape::Texts, "names of variables that are passed on, masked everywhere, never in the key or the store");
const TOOLS: Key = key("tools", Shape::Commands, "programs, or commands that print a version, whose identity is part of the key");
const CACHED: Key = key("cache", Shape::Flag, "false: always run, store nothing; default true");
const CLEAN: Key = key("clean", Shape::Flag, "false for tools that build incrementally into their outputs; default true");
const PORTABLE: Key = key("portable", Shape::Flag, "true: outputs that hold this checkout's path may be used elsewhere; default false");
const TIMEOUT: Key = key("timeout", Shape::Duration, "longest time of one attempt: 300ms, 30s, 10m, 2h; default none");
const RETRIES: Key = key("retries", Shape::Count, "how often it is tried again after a failure; default 0");
const POOL: Key = key("pool", Shape::Text, "the pool that bounds how many of its stages run at once");
const JOBSERVER: Key = key(
    "jobserver",
    Shape::Choice(&["cargo", "make", "ninja", "off"]),
    "which programs of its steps share the processors with those of other stages; make then runs in parallel; left out: cargo, where a step names it",
);
const REPORTS_KEY: Key =
    key("reports", Shape::Table(&REPORTS), "files in which its tests, scanners and meters say what they found; outputs of the stage");

static REPORTS: Table = Table {
    title: "`reports`",
    keys: &[
        key("junit", Shape::Texts, "files or globs of test results in the format of JUnit; a failed test fails the stage"),
        key("sarif", Shape::Texts, "files or globs of findings in SARIF 2.1.0"),
        key(
            "fail-on",
            Shape::Choice(&["error", "warning", "note", "never"]),
            "the least level of a finding that fails the stage; default \"error\"",
        ),
        key("metrics", Shape::Tables(&METRIC), "numbers in JSON files, and their limits, by name"),
    ],
};

static METRIC: Table = Table {
    title: "a metric",
    keys: &[
        required("file", Shape::Text, "the JSON file that holds it"),
        required("pointer", Shape::Text, "where in the file it stands (RFC 6901): /p95"),
        key("max", Shape::Number, "the stage fails above this"),
        key("min", Shape::Number, "the stage fails below this"),
        key("regression", Shape::Text, "how much worse than in the last run that passed it may be: 10%"),
    ],
};

const SERVICES: Key = key("services", Shape::Texts, "services that run and are ready while its steps run");

static DEFAULTS: Table = Table {
    title: "[defaults]",
    keys: &[
        DESCRIPTION,
        DIR,
        ENV,
        PASS_ENV,
        SECRETS,
        TOOLS,
        CACHED,
        CLEAN,
        PORTABLE,
        TIMEOUT,
        RETRIES,
        POOL,
        SERVICES,
        JOBSERVER,
        REPORTS_KEY,
    ],
};

static STAGE: Table = Table {
    title: "a stage",
    keys: &[
        DESCRIPTION,
        key("needs", Shape::Texts, "stages whose success this one waits for, and whose outputs it may read"),
        key("after", Shape::Texts, "stages whose success this one waits for, but reads nothing of"),
        required("steps", Shape::Steps, "what is run, in order; the first failure fails the stage"),
        key("inputs", Shape::Texts, "globs of the files it reads; ! excludes; left out: every file that git would not ignore"),
        key("outputs", Shape::Texts, "files, folders or globs that it makes"),
        DIR,
        ENV,
        PASS_ENV,
        SECRETS,
        TOOLS,
        CACHED,
        CLEAN,
        PORTABLE,
        TIMEOUT,
        RETRIES,
        POOL,
        SERVICES,
        JOBSERVER,
        REPORTS_KEY,
        key("matrix", Shape::Axes, "expands to one stage for each combination of the values of its axes"),
        key("matrix-exclude", Shape::Combinations, "combinations of the matrix that are left out"),
    ],
};

static SERVICE: Table = Table {
    title: "a service",
    keys: &[
        required("start", Shape::Command, "what is started; it stays in the foreground, and is ended after its last user"),
        required(
            "ready",
            Shape::OneOf(&READY),
            "how it shows that it can be used: { port = 5432 }, { http = \"http://…\" }, { log = \"…\" } or { command = \"…\" }",
        ),
        key("dir", Shape::Text, "working directory, relative to pipeline.toml"),
        ENV,
        PASS_ENV,
        SECRETS,
        key("timeout", Shape::Duration, "how long it may take to be ready: 300ms, 30s, 10m; default 30s"),
        key("stop-signal", Shape::Text, "what asks it to end: TERM, INT, QUIT, HUP, USR1, USR2 or KILL; default TERM"),
    ],
};

static READY: Table = Table {
    title: "`ready`",
    keys: &[
        key("port", Shape::Port, "it listens on this TCP port"),
        key("http", Shape::Text, "this http:// address answers with a status from 200 to 399"),
        key("log", Shape::Text, "a line that it prints holds this text"),
        key("command", Shape::Command, "this command exits with 0; it is tried again and again"),
    ],
};

/// A step written as a table.
pub(crate) static STEP: Table = Table {
    title: "a step",
    keys: &[
        required("run", Shape::Command, "a line for the shell, or a list: a program and its arguments"),
        key("name", Shape::Text, "what the step is called in reports; default its number"),
        key("dir", Shape::Text, "working directory, relative to the stage's"),
        key("env", Shape::Variables, "variables that win over the stage's"),
        TIMEOUT,
        RETRIES,
    ],
};
