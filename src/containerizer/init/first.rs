//! The container's first process: forked from the supervisor (so that it shares its pages), process 1
//! of the pid namespace when there is one. It makes the mounts, forks the task, passes signals on,
//! reaps, reports how the task ended, and leaves nothing behind when it goes.
//!
//! A process 1 without signal handlers ignores SIGTERM, therefore the task is not process 1 itself.

use std::os::fd::{AsRawFd as _, RawFd};
use std::ptr;

use super::prepared::Prepared;
use super::report::{Failure, Step};
use super::{mounts, task};
use crate::containerizer::clone;
use crate::containerizer::launcher::posix;

/// What the first process needs besides the plan.
#[derive(Debug)]
pub(super) struct Channels {
    /// Our end of the control socket.
    pub(super) control: RawFd,
    /// The writing end of the error pipe.
    pub(super) errors: RawFd,
    /// Every descriptor that stays open, ascending.
    pub(super) kept: Vec<RawFd>,
    /// True in a pid namespace: the kernel kills the rest when this process ends.
    pub(super) pid_namespace: bool,
}

/// A record on the control socket: what, and its number.
pub(super) const CONTROL_BYTES: usize = 8;
/// From the first process: the task ended with this wait status.
pub(super) const ENDED: i32 = 1;
/// From the supervisor: send this signal to everything.
pub(super) const SIGNAL: i32 = 2;
/// From the task: its credentials are attached to this record.
pub(super) const HELLO: i32 = 3;

/// A record in its wire form.
pub(super) fn control(kind: i32, number: i32) -> [u8; CONTROL_BYTES] {
    let mut bytes = [0; CONTROL_BYTES];
    bytes[..4].copy_from_slice(&kind.to_ne_bytes());
    bytes[4..].copy_from_slice(&number.to_ne_bytes());
    bytes
}

/// Kind and number of a received record.
pub(super) fn parse_control(bytes: &[u8]) -> Option<(i32, i32)> {
    let (kind, number) = bytes.split_at_checked(4)?;
    Some((
        i32::from_ne_bytes(kind.try_into().ok()?),
        i32::from_ne_bytes(number.try_into().ok()?),
    ))
}

/// Ends the process at once, without running anything of the parent's.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: `_exit` takes any number and does not return.
    unsafe { libc::_exit(code) }
}

/// Reports a failed step and ends the process.
pub(super) fn fail(errors: RawFd, failure: Failure) -> ! {
    let bytes = failure.encode();
    // SAFETY: the buffer lives across the call. A failed write leaves the supervisor with a first
    // process that ended early, which it reports as such.
    unsafe { libc::write(errors, bytes.as_ptr().cast(), bytes.len()) };
    exit(1)
}

/// Closes every descriptor that is not in `kept` (ascending).
fn close_others(kept: &[RawFd]) {
    let mut next: libc::c_uint = 0;
    for &fd in kept {
        let Ok(fd) = libc::c_uint::try_from(fd) else {
            continue;
        };
        if fd > next {
            close_between(next, fd - 1);
        }
        next = fd + 1;
    }
    close_between(next, libc::c_uint::MAX);
}

fn close_between(first: libc::c_uint, last: libc::c_uint) {
    // SAFETY: plain numbers; the descriptors belong to the parent's copies, which are not used here.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 {
        return;
    }
    // A kernel before 5.9: one by one.
    // SAFETY: plain number.
    let most = unsafe { libc::sysconf(libc::_SC_OPEN_MAX) };
    let most = libc::c_uint::try_from(most).unwrap_or(1024);
    for fd in first..=last.min(most) {
        // SAFETY: as above; a number that is not open fails with EBADF.
        unsafe { libc::close(fd.cast_signed()) };
    }
}

/// Runs the first process.
pub(super) fn run(prepared: &Prepared, channels: &Channels) -> ! {
    close_others(&channels.kept);
    let Some(signals) = block_signals() else {
        fail(channels.errors, Failure::last(Step::Signals, 0));
    };
    if !channels.pid_namespace {
        // SAFETY: plain numbers; the call cannot fail with these.
        unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    }
    if let Err(failure) = mounts::perform(prepared, channels.pid_namespace) {
        fail(channels.errors, failure);
    }
    let born = prepared.born.as_ref().map(|group| group.as_raw_fd());
    // SAFETY: this process has one thread.
    let child = unsafe { fork(born) };
    if child < 0 {
        fail(channels.errors, Failure::last(Step::Fork, 0));
    }
    if child == 0 {
        task::run(prepared, channels);
    }
    // SAFETY: both descriptors are this process' own copies and not used again.
    unsafe {
        libc::close(channels.errors);
        for fd in prepared.cgroups.iter().chain(&prepared.born) {
            libc::close(fd.as_raw_fd());
        }
    }
    serve(i32::try_from(child).unwrap_or(-1), signals, channels)
}

/// Forks, into a cgroup of version 2 where there is one. Without one the older call, which filters of
/// system calls know.
///
/// # Safety
/// As for [`clone::like_fork`].
unsafe fn fork(born: Option<RawFd>) -> libc::c_long {
    // SAFETY: the caller's promise; the plain call shares no memory and takes no pointers.
    unsafe {
        match born {
            Some(group) => clone::like_fork(group),
            None => libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0),
        }
    }
}

/// Blocks all signals and returns a descriptor that is readable when a child has changed.
fn block_signals() -> Option<RawFd> {
    // SAFETY: the sets are initialised by the calls that fill them and live on this stack.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        if libc::sigprocmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut()) != 0 {
            return None;
        }
        // A handler of the supervisor's must not run here, nor be inherited.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        let mut child: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut child);
        libc::sigaddset(&raw mut child, libc::SIGCHLD);
        let fd = libc::signalfd(-1, &raw const child, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        (fd >= 0).then_some(fd)
    }
}

/// Waits for the task, the supervisor's wishes and the supervisor's end.
fn serve(task: i32, signals: RawFd, channels: &Channels) -> ! {
    loop {
        let mut waiting = [signals, channels.control].map(|fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        });
        // SAFETY: the array lives across the call and its length is given.
        unsafe { libc::poll(waiting.as_mut_ptr(), 2, -1) };
        if waiting[0].revents != 0 {
            drain(signals);
            if let Some(status) = reap(task) {
                send(channels.control, control(ENDED, status));
                leave(channels);
            }
        }
        if waiting[1].revents != 0 {
            match receive(channels.control) {
                Some((SIGNAL, signal)) => signal_all(signal, channels),
                Some(_) => {}
                None => leave(channels),
            }
        }
    }
}

fn drain(signals: RawFd) {
    let mut buffer = [0_u8; 1024];
    // SAFETY: the buffer lives across the call and its length is given.
    while unsafe { libc::read(signals, buffer.as_mut_ptr().cast(), buffer.len()) } > 0 {}
}

/// Reaps all children that have ended; the task's wait status if it is among them.
fn reap(task: i32) -> Option<i32> {
    let mut ended = None;
    loop {
        let mut status = 0;
        // SAFETY: the status lives across the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
        if pid <= 0 {
            return ended;
        }
        if pid == task {
            ended = Some(status);
        }
    }
}

fn send(socket: RawFd, bytes: [u8; CONTROL_BYTES]) {
    // SAFETY: the buffer lives across the call. If the supervisor is gone nobody needs the record.
    unsafe {
        libc::send(
            socket,
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
        )
    };
}

/// The next record; `None` when the supervisor is gone.
fn receive(socket: RawFd) -> Option<(i32, i32)> {
    let mut bytes = [0_u8; CONTROL_BYTES];
    // SAFETY: the buffer lives across the call and its length is given.
    let got = unsafe { libc::recv(socket, bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got <= 0 {
        return None;
    }
    parse_control(&bytes).or(Some((0, 0)))
}

fn signal_all(signal: i32, channels: &Channels) {
    if channels.pid_namespace {
        // SAFETY: plain numbers; -1 is everything in this namespace but this process itself.
        unsafe { libc::kill(-1, signal) };
    } else {
        posix::signal_descendants(std::process::id(), signal);
    }
}

/// Ends this process and everything below it.
fn leave(channels: &Channels) -> ! {
    if !channels.pid_namespace {
        posix::kill_own_descendants();
    }
    exit(0)
}
