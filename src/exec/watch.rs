//! Something that becomes readable when a process has ended.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::Pid;
#[cfg(not(target_os = "linux"))]
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// Watches one child of ours.
#[derive(Debug)]
pub(super) struct Watch(OwnedFd);

impl Watch {
    /// Watches the process `pid`, a child of ours that nobody has waited for yet.
    ///
    /// # Errors
    /// Where the system has no file descriptors left.
    #[cfg(target_os = "linux")]
    pub(super) fn new(pid: Pid) -> io::Result<Self> {
        Self::child(pid)
    }

    /// Watches any child, by `pidfd_open(2)`.
    #[cfg(target_os = "linux")]
    pub(super) fn child(pid: Pid) -> io::Result<Self> {
        Ok(Self(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?))
    }

    /// Where processes have no file descriptors, a thread waits, and closes a pipe.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn new(pid: Pid) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        std::thread::Builder::new().spawn(move || {
            // It is left to whoever started it to wait for it for good.
            let ends = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), ends), Err(rustix::io::Errno::INTR)) {}
            drop(writer);
        })?;
        Ok(Self(reader.into()))
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
