//! `start` and what it returns, on the supervisor's side.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr;

use super::first::{self, CONTROL_BYTES, Channels, ENDED, HELLO, SIGNAL, control, parse_control};
use super::prepared::Prepared;
use super::report::Failure;
use crate::containerizer::launcher::posix;
use crate::containerizer::plan::LaunchPlan;

/// Why the task could not be started or watched.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A text of the plan cannot be given to the kernel.
    #[error("{what} holds a NUL byte")]
    NulByte {
        /// Which text.
        what: &'static str,
    },
    /// A step failed.
    #[error("cannot {what}: {cause}")]
    Step {
        /// What was tried, with the name of the thing.
        what: String,
        /// True if everything was ready and only the command itself could not be executed.
        exec: bool,
        /// What the kernel said; part of the message, so not a source.
        cause: io::Error,
    },
    /// The first process ended before it could say why.
    #[error("the container's first process ended with wait status {0} before the task ran")]
    Died(i32),
}

fn step(what: &str) -> InitError {
    InitError::Step {
        what: what.to_owned(),
        exec: false,
        cause: io::Error::last_os_error(),
    }
}

/// A task that runs.
#[derive(Debug)]
pub struct Started {
    pid: u32,
    first: libc::pid_t,
    control: OwnedFd,
}

/// Starts the task of `plan`. Blocks until the command has been executed or has failed to be; on
/// failure nothing is left. To be called in a process with one thread; makes it a subreaper.
pub fn start(plan: &LaunchPlan) -> Result<Started, InitError> {
    let prepared = Prepared::new(plan)?;
    let (ours, theirs) = control_sockets()?;
    let (errors, errors_theirs) = error_pipe()?;
    let channels = Channels {
        control: theirs.as_raw_fd(),
        errors: errors_theirs.as_raw_fd(),
        kept: prepared.kept(&[theirs.as_raw_fd(), errors_theirs.as_raw_fd()]),
        pid_namespace: plan.namespaces.pid,
    };
    // SAFETY: plain numbers. Should the first process be killed, its children come to us.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    // SAFETY: like fork: no shared memory, no stack, no pointers; what follows in the child makes
    // system calls on memory prepared before.
    let first = unsafe { libc::syscall(libc::SYS_clone, prepared.clone_flags, 0, 0, 0, 0) };
    if first == 0 {
        first::run(&prepared, &channels);
    }
    if first < 0 {
        return Err(step("clone into the container's namespaces"));
    }
    drop((theirs, errors_theirs, prepared));
    let mut started = Started {
        pid: 0,
        first: libc::pid_t::try_from(first).unwrap_or(-1),
        control: ours,
    };
    match started.await_exec(errors, plan) {
        Ok(()) => Ok(started),
        Err(error) => {
            started.finish();
            Err(error)
        }
    }
}

/// A pair of sockets that keep records apart; ours is told who sends.
fn control_sockets() -> Result<(OwnedFd, OwnedFd), InitError> {
    let mut fds = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the array has room for the two descriptors, which are owned from here on.
    unsafe {
        if libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) != 0 {
            return Err(step("make the control socket"));
        }
        let on: libc::c_int = 1;
        let size = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(4);
        let pair = (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]));
        let (level, name) = (libc::SOL_SOCKET, libc::SO_PASSCRED);
        if libc::setsockopt(fds[0], level, name, (&raw const on).cast(), size) != 0 {
            return Err(step("ask for credentials on the control socket"));
        }
        Ok(pair)
    }
}

fn error_pipe() -> Result<(File, OwnedFd), InitError> {
    let mut fds = [0; 2];
    // SAFETY: the array has room for the two descriptors, which are owned from here on.
    unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(step("make the error pipe"));
        }
        Ok((File::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

impl Started {
    /// The task's process id, as this process' pid namespace (the host's) numbers it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Readable when [`Self::try_wait`] has something to tell.
    #[must_use]
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// The task's wait status once it has ended. What it left running may still be there: call
    /// [`Self::finish`] after the status has been recorded.
    #[must_use]
    pub fn try_wait(&mut self) -> Option<i32> {
        loop {
            match self.receive(libc::MSG_DONTWAIT) {
                Received::Record(ENDED, status, _) => return Some(status),
                Received::Record(..) => {}
                Received::Nothing => return None,
                // The first process was killed: in a pid namespace the task died with it, outside of
                // one the task is now a child of ours, and is ended the same way.
                Received::End => {
                    let status = self.reap_first();
                    posix::kill_own_descendants();
                    return Some(if libc::WIFSIGNALED(status) {
                        status
                    } else {
                        libc::SIGKILL
                    });
                }
            }
        }
    }

    /// Sends `signal` to the task and everything that it has started, sessions of their own included.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let record = control(SIGNAL, signal);
        let (fd, flags) = (self.control.as_raw_fd(), libc::MSG_NOSIGNAL);
        // SAFETY: the buffer lives across the call and its length is given.
        let sent = unsafe { libc::send(fd, record.as_ptr().cast(), record.len(), flags) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Ends everything that is left and blocks until it is gone, other children of this process
    /// (health checks) included.
    pub fn finish(mut self) {
        // The first process ends itself and the rest when the other end is closed.
        // SAFETY: the descriptor is open.
        unsafe { libc::shutdown(self.control.as_raw_fd(), libc::SHUT_RDWR) };
        self.reap_first();
        posix::kill_own_descendants();
    }

    /// Ends everything that is left of this task and blocks until it is gone; other tasks of this
    /// process go on. What a first process that was killed outside of a pid namespace has left behind
    /// is another's by then: [`Self::try_wait`] has ended it.
    pub fn finish_alone(mut self) {
        // SAFETY: the descriptor is open.
        unsafe { libc::shutdown(self.control.as_raw_fd(), libc::SHUT_RDWR) };
        self.reap_first();
    }

    fn reap_first(&mut self) -> i32 {
        let mut status = 0;
        if self.first <= 0 {
            return status;
        }
        // SAFETY: the status lives across the call.
        while unsafe { libc::waitpid(self.first, &raw mut status, 0) } < 0 {
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                break;
            }
        }
        self.first = 0;
        status
    }

    /// Waits for the error pipe's end, then for the task's greeting.
    fn await_exec(&mut self, mut errors: File, plan: &LaunchPlan) -> Result<(), InitError> {
        let mut record = Vec::new();
        errors
            .read_to_end(&mut record)
            .map_err(|cause| InitError::Step {
                what: "read the error pipe".to_owned(),
                exec: false,
                cause,
            })?;
        if let Some(failure) = Failure::decode(&record) {
            return Err(failure.explain(plan));
        }
        loop {
            match self.receive(0) {
                Received::Record(HELLO, _, pid) => {
                    self.pid = pid;
                    return Ok(());
                }
                Received::Record(ENDED, status, _) => return Err(InitError::Died(status)),
                Received::Record(..) | Received::Nothing => {}
                Received::End => return Err(InitError::Died(self.reap_first())),
            }
        }
    }

    fn receive(&self, flags: libc::c_int) -> Received {
        let mut bytes = [0_u8; CONTROL_BYTES];
        let mut credentials = [0_u64; 8];
        let mut part = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        // SAFETY: a message header of zeroes is valid; all buffers live across the call, their sizes
        // are given, and the control buffer is aligned for a control header.
        unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &raw mut part;
            message.msg_iovlen = 1;
            message.msg_control = credentials.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&credentials);
            loop {
                let got = libc::recvmsg(self.control.as_raw_fd(), &raw mut message, flags);
                if got > 0 {
                    break;
                }
                if got == 0 {
                    return Received::End;
                }
                match io::Error::last_os_error().kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return Received::Nothing,
                    _ => return Received::End,
                }
            }
            let pid = sender(&message);
            match parse_control(&bytes) {
                Some((kind, number)) => Received::Record(kind, number, pid),
                None => Received::End,
            }
        }
    }
}

/// What the control socket had.
enum Received {
    /// Kind, number, sender's process id (zero if unknown).
    Record(i32, i32, u32),
    /// Nothing yet.
    Nothing,
    /// The first process is gone.
    End,
}

/// The process id in the credentials attached to a message.
///
/// # Safety
/// `message` must have been filled by a successful `recvmsg`, and its buffers must still live.
unsafe fn sender(message: &libc::msghdr) -> u32 {
    // SAFETY: the caller's promise; the header's type is checked before its data is read.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        if header.is_null()
            || (*header).cmsg_level != libc::SOL_SOCKET
            || (*header).cmsg_type != libc::SCM_CREDENTIALS
        {
            return 0;
        }
        let found: libc::ucred = ptr::read_unaligned(libc::CMSG_DATA(header).cast());
        u32::try_from(found.pid).unwrap_or(0)
    }
}
