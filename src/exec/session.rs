//! A step apart from the terminal that shipway runs in.
//!
//! The one place with `unsafe` code. A process in a group of its own, but in a session with a terminal, is stopped by the kernel when it
//! reads that terminal or sets it, and would never end. In a session of its own it has no terminal, and is told so at once. Without a
//! terminal a group is enough, and much cheaper: it needs no code between fork and exec.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Puts what `command` starts into a session, and so a process group, of its own.
#[expect(unsafe_code, reason = "std can put a process into a group of its own, but not yet into a session (rust-lang/rust#105376)")]
pub(super) fn own_session(command: &mut Command) {
    // SAFETY: between fork and exec only functions that are safe in a signal handler may be called; `setsid(2)` is one, it takes no
    // lock and no memory.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
}
