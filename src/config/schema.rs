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
    /// The same, or an empty list, which takes away what another table says.
    AnySteps,
    /// One step in one of its three forms.
    Step,
    /// A list of whole numbers.
    Counts,
    /// A list of tables with keys of their own.
    List(&'static Table),
    /// A list of shell lines and argvs.
    Commands,
    /// Axes: names and lists of scalars.
    Axes,
    /// Combinations of axes: a list of names and scalars.
    Combinations,
    /// Names and whole numbers from 1.
    Sizes,
    /// Names, each with names and scalars.
    Named,
    /// A TCP port.
    Port,
    /// The same, or a text with placeholders.
    PortText,
    /// A table with exactly one of its keys, beside which a duration may stand.
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

impl Key {
    /// Tells whether it may stand beside the one key of [`Shape::OneOf`].
    pub(super) fn is_beside(&self) -> bool {
        matches!(self.shape, Shape::Duration)
    }
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
        key("delivery", Shape::Table(&DELIVERY), "where releases and the record of deliveries are kept"),
        key("release", Shape::Table(&RELEASE), "what a release is"),
        key("environments", Shape::Tables(&ENVIRONMENT), "where a release can be, and what has to hold before it comes in, by name"),
        key("targets", Shape::Tables(&TARGET), "what carries a release to where it serves, by name"),
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

static DELIVERY: Table = Table {
    title: "[delivery]",
    keys: &[
        key("share", Shape::Choice(&["git"]), "publish the ledger to the repository's remote; left out: it stays in this repository"),
        key("store", Shape::Text, "the folder where releases are kept; left out: the user's data directory"),
    ],
};

static RELEASE: Table = Table {
    title: "[release]",
    keys: &[
        key("needs", Shape::SomeTexts, "the stages that must have passed; left out: [pipeline] default, else every stage"),
        key("artifacts", Shape::SomeTexts, "what it consists of: outputs, or files of the repository; a folder means all below it"),
        key("irreversible", Shape::Flag, "true: what it does cannot be taken back, so no rollback leads behind it; default false"),
    ],
};

static ENVIRONMENT: Table = Table {
    title: "an environment",
    keys: &[
        key("like", Shape::Text, "the environment whose keys it takes unless it sets them itself"),
        key("target", Shape::Text, "the target that carries a release there"),
        key("promote", Shape::Choice(&["auto", "manual"]), "\"auto\": a release comes in as soon as it is available; default \"manual\""),
        ENV,
        PASS_ENV,
        SECRETS,
        key("timeout", Shape::Duration, "longest time of each of its phases: 300ms, 30s, 10m, 2h; default none"),
        key("provision", Shape::AnySteps, "steps that make it ready, before a release is deployed"),
        key("verify", Shape::AnySteps, "steps that show that the release works there, after it was deployed"),
        key("from", Shape::Texts, "environments where a release has to be verified before; any of them"),
        key("from-all", Shape::Flag, "true: in all of them; default false"),
        key("soak", Shape::Duration, "for how long it has to be verified there"),
        key("policy", Shape::Texts, "files of Rego rules over the release; what they deny does not come in"),
        key("gates", Shape::AnySteps, "commands that are asked: exit code 0 yes, 75 not yet, any other no"),
        key("approve", Shape::Table(&APPROVE), "who has to agree"),
        key("freeze", Shape::List(&FREEZE), "when nothing comes in"),
        key("rollout", Shape::Counts, "the shares of the traffic that it gets one after the other, in percent; default [100]"),
        key("pause", Shape::Text, "time at each weight: 30s, 2m; or \"manual\", which waits for `resume`"),
        key("analysis", Shape::Table(&ANALYSIS), "what watches it at each weight"),
        key("keep", Shape::Duration, "for how long the release before stays ready, so that a rollback is one change of weight"),
        key("on-abort", Shape::AnySteps, "steps that are told why it was taken back, by SHIPWAY_REASON"),
    ],
};

static APPROVE: Table = Table {
    title: "`approve`",
    keys: &[
        required("signers", Shape::Text, "the file of those who may sign, in the form of `allowed_signers` of ssh-keygen(1)"),
        key("count", Shape::Count, "how many of them have to; default 1, 0: nobody"),
        key("not-author", Shape::Flag, "true: who wrote the release's commit does not count; default false"),
        key("expires", Shape::Duration, "for how long a signature counts; default for ever"),
    ],
};

static FREEZE: Table = Table {
    title: "a freeze",
    keys: &[
        required("from", Shape::Text, "its beginning: \"Fri 15:00\" of each week, or once \"2026-12-20\" or \"2026-12-20 15:00\""),
        required("to", Shape::Text, "its end, in the same form"),
        required("zone", Shape::Text, "whose clocks are meant: a name of the IANA database, such as Europe/Paris, or UTC"),
    ],
};

static ANALYSIS: Table = Table {
    title: "`analysis`",
    keys: &[
        required("run", Shape::Step, "the command that is asked: exit code 0 yes, 75 it cannot tell, any other no"),
        key("every", Shape::Duration, "how often; default 10s"),
        key("failures", Shape::Count, "how often it may say no; default 0"),
        key("errors", Shape::Count, "how often in a row it may not be able to tell; default 4"),
        key("min-samples", Shape::Count, "from how many samples on, printed as `samples=N`, its yes counts; default 0"),
    ],
};

/// The keys of all kinds of targets; which kind has which, `targets` says.
static TARGET: Table = Table {
    title: "a target",
    keys: &[
        required("kind", Shape::Choice(&["directory", "process", "command", "flag"]), "how it works"),
        key("path", Shape::Text, "directory: where the versions and the link `current` lie"),
        key("retain", Shape::Count, "directory: how many versions stay beside those in use; default 5"),
        key("start", Shape::Step, "process: what serves; command: what brings a release into a slot"),
        key("listen", Shape::Text, "process: where clients connect: 127.0.0.1:8080"),
        key(
            "ready",
            Shape::OneOf(&TARGET_READY),
            "how it shows that it can be used: { http = \"/up\" }, { port = 8080 } or { command = \"…\" }; within `timeout`",
        ),
        key("drain", Shape::Duration, "process: how long a release that ends may take, its connections and it itself; default 30s"),
        key("shift", Shape::Step, "command: gives a slot its share of the traffic, 0 to 100; run again it does nothing more"),
        key("stop", Shape::Step, "command: ends what runs in a slot"),
        key("observe", Shape::Step, "command: prints the release that serves"),
        key(
            "slots",
            Shape::Named,
            "command: the two places of releases, by name, and what commands are told of each: its port; left out: what is started replaces what serves",
        ),
        key("file", Shape::Text, "flag: the file in the OpenFeature flagd format"),
        key("flag", Shape::Text, "flag: its name"),
        key("variant", Shape::Text, "flag: the variant that is rolled out"),
    ],
};

static TARGET_READY: Table = Table {
    title: "`ready`",
    keys: &[
        key("http", Shape::Text, "this address answers with a status from 200 to 399; of a process, a path is enough"),
        key("port", Shape::PortText, "it listens on this TCP port of this machine: 8080, or \"{port}\" for that of the slot"),
        key("command", Shape::Command, "this command exits with 0; it is tried again and again"),
        key("timeout", Shape::Duration, "how long it may take: 300ms, 30s, 10m; default 30s"),
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
