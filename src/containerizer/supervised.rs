//! A supervisor as the agent sees it: waiting for its end, killing it.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::launcher::Spawned;
use super::orphans::Found;
use super::ready::register;

/// A supervisor that runs, or has ended and waits to be reaped.
#[derive(Debug)]
pub(super) struct Supervised {
    pub(super) pid: u32,
    pidfd: AsyncFd<OwnedFd>,
    /// Readable when the container's first process has ended, or is known to have ended.
    first: Option<AsyncFd<OwnedFd>>,
}

impl Supervised {
    /// To be called inside a tokio runtime.
    pub(super) fn new(spawned: Spawned) -> io::Result<Self> {
        Ok(Self {
            pid: spawned.pid,
            pidfd: register(spawned.pidfd, Interest::READABLE)?,
            first: Some(register(spawned.lifeline, Interest::READABLE)?),
        })
    }

    /// One that an earlier agent has launched. To be called inside a tokio runtime.
    pub(super) fn found(found: Found) -> io::Result<Self> {
        let first = found.first.map(|fd| register(fd, Interest::READABLE));
        Ok(Self {
            pid: found.pid,
            pidfd: register(found.pidfd, Interest::READABLE)?,
            first: first.transpose()?,
        })
    }

    /// Waits for its end. Cancel safe.
    pub(super) async fn ended(&self) {
        // A failing reactor is a runtime that shuts down: then nobody waits any more.
        let _readable = self.pidfd.readable().await;
    }

    /// Reaps it after its end and returns its own wait status.
    pub(super) fn reap(&self) -> Option<i32> {
        let mut status = 0;
        let pid = libc::pid_t::try_from(self.pid).ok()?;
        // SAFETY: the status lives across the call; the process is our child and reaped only here, or
        // that of an earlier agent, and then the call does nothing.
        let reaped = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
        (reaped == pid).then_some(status)
    }

    /// Waits until the container's first process has gone as well, at most for `timeout`; false if
    /// it has not. It ends everything below it before.
    pub(super) async fn first_process_gone(&self, timeout: Duration) -> bool {
        let Some(first) = &self.first else {
            return true;
        };
        tokio::time::timeout(timeout, first.readable())
            .await
            .is_ok()
    }

    /// Sends SIGKILL.
    pub(super) fn kill(&self) {
        let fd = self.pidfd.as_raw_fd();
        // SAFETY: the descriptor is open; no details are passed. A process that has ended is as good.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, 0, 0) };
    }
}
