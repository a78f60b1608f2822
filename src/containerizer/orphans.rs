//! Containers of an agent that is no more: what our runtime directory records, and nothing else, is
//! found again, or ended and removed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;

use super::cgroups::Tree;
use super::launch::Engine;
use super::launcher::posix;
use super::status;

/// A container that runs on.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) pid: u32,
    pub(super) pidfd: OwnedFd,
    /// The container's first process, if it has one already.
    pub(super) first: Option<OwnedFd>,
}

/// The supervisor that a runtime directory records, if that very process is still there.
pub(super) fn find(runtime: &Path) -> Option<Found> {
    let record = match status::read_process(runtime) {
        Ok(record) => record?,
        Err(error) => {
            tracing::warn!(%error, "a supervisor is not known");
            return None;
        }
    };
    let pidfd = pidfd_of(record.pid).ok()?;
    // Asked after the descriptor was made: now the number cannot be given to another process.
    record.is_there().then(|| Found {
        pid: record.pid,
        pidfd,
        first: posix::children(record.pid)
            .into_iter()
            .find_map(|first| pidfd_of(first).ok()),
    })
}

fn pidfd_of(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers; the new descriptor is owned at once.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Ends and removes every recorded container but those to be kept; blocks. To be called before the
/// first launch.
pub(super) fn destroy_all_but(engine: &Engine, kept: &BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(engine.containers()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        match name.to_str() {
            Some(container) if kept.contains(container) => {}
            Some(container) => destroy(engine, container, &entry.path()),
            None => tracing::warn!(path = %entry.path().display(), "not a container"),
        }
    }
}

fn destroy(engine: &Engine, container: &str, runtime: &Path) {
    tracing::info!(%container, "destroying a container of an earlier agent");
    match status::read_process(runtime) {
        Ok(Some(record)) if record.is_there() => {
            posix::kill_descendants(record.pid);
            if let Ok(pid) = libc::pid_t::try_from(record.pid) {
                // SAFETY: plain numbers; the record names this very process.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%container, %error, "the supervisor is not known"),
    }
    if let Some(host) = &engine.host {
        let tree = Tree::of(host, container);
        if let Err(error) = tree.destroy(engine.config.destroy_timeout) {
            tracing::error!(%container, %error, "control groups of an earlier agent remain");
            return;
        }
    }
    if let Err(error) = fs::remove_dir_all(runtime) {
        tracing::error!(%container, %error, path = %runtime.display(), "cannot remove");
    }
}
