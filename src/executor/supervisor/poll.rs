//! poll(2) and signalfd(2) behind two small types.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use super::SupervisorError;

/// The signals of this process, as something to poll.
#[derive(Debug)]
pub(super) struct Signals(OwnedFd);

/// Which signals have arrived since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arrived {
    /// SIGTERM, SIGINT or SIGHUP.
    pub(super) terminate: bool,
    /// SIGCHLD.
    pub(super) child: bool,
}

impl Signals {
    /// Blocks the signals that would end this process, and SIGCHLD.
    pub(super) fn block() -> Result<Self, SupervisorError> {
        // SAFETY: the set is initialised by the call that empties it and lives across the others; the
        // descriptor is owned from here on.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD] {
                libc::sigaddset(&raw mut set, signal);
            }
            libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
            let fd = libc::signalfd(-1, &raw const set, flags);
            if fd < 0 {
                return Err(SupervisorError::System {
                    what: "make a signal descriptor",
                    cause: io::Error::last_os_error(),
                });
            }
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    pub(super) fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Takes all signals that are waiting.
    pub(super) fn take(&self) -> Arrived {
        let mut arrived = Arrived::default();
        loop {
            // SAFETY: all zeroes is a valid value of this plain structure.
            let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
            let size = size_of_val(&info);
            // SAFETY: the structure lives across the call and its size is given.
            let got = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size) };
            if usize::try_from(got) != Ok(size) {
                return arrived;
            }
            if info.ssi_signo == libc::SIGCHLD.cast_unsigned() {
                arrived.child = true;
            } else {
                arrived.terminate = true;
            }
        }
    }
}

/// Descriptors to wait for; those given as `None` are left out.
#[derive(Debug)]
pub(super) struct Waiting(Vec<libc::pollfd>);

impl Waiting {
    /// Waits for input on some descriptors, and for room to write where the flag is set.
    pub(super) fn new(descriptors: impl IntoIterator<Item = Option<(RawFd, bool)>>) -> Self {
        let entry = |entry: Option<(RawFd, bool)>| {
            let (fd, write) = entry.unwrap_or((-1, false));
            libc::pollfd {
                fd,
                events: libc::POLLIN | if write { libc::POLLOUT } else { 0 },
                revents: 0,
            }
        };
        Self(descriptors.into_iter().map(entry).collect())
    }

    /// Sleeps until something happens or `limit` is over, rounded up to milliseconds.
    pub(super) fn wait(&mut self, limit: Option<Duration>) -> Result<(), SupervisorError> {
        let millis = limit.map_or(-1, |limit| {
            libc::c_int::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
        });
        let count = self.0.len() as libc::nfds_t;
        // SAFETY: the array lives across the call and its length is given.
        let result = unsafe { libc::poll(self.0.as_mut_ptr(), count, millis) };
        if result < 0 {
            let cause = io::Error::last_os_error();
            if cause.kind() != io::ErrorKind::Interrupted {
                return Err(SupervisorError::System {
                    what: "wait for events",
                    cause,
                });
            }
            for entry in &mut self.0 {
                entry.revents = 0;
            }
        }
        Ok(())
    }

    /// True if something happened on the descriptor given at `index`.
    pub(super) fn is_ready(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(|entry| entry.revents != 0)
    }
}

/// A descriptor as [`Waiting`] takes it, for reading only.
pub(super) fn readable(fd: BorrowedFd<'_>) -> Option<(RawFd, bool)> {
    Some((fd.as_raw_fd(), false))
}
