//! shipway from outside: the real program on small real projects.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails, and it starts programs as a user does"
)]

mod affected;
mod approve;
mod attest;
mod beside;
mod cache;
mod ci;
mod command_target;
mod crash;
mod drill;
mod environments;
mod evidence;
mod examples;
mod faults;
mod file;
mod findings;
mod flag_target;
mod green;
mod growth;
mod haproxy;
mod hook;
mod hooking;
mod hostile;
mod include;
mod init;
mod inputs;
mod jobserver;
mod journals;
mod killer;
mod loud;
mod outputs;
mod picture;
mod process_target;
mod processes;
mod project;
mod promote;
mod readme;
mod release;
mod reports;
mod rollout;
mod run;
mod scale;
mod services;
mod share;
mod shop;
mod store;
mod traced_folders;
mod traces;
mod untraced;
mod verbs;
mod watch;
mod workflow;
