//! `clone3(2)` used like fork, for a child that is born in a cgroup of version 2: moving a process there
//! later takes a lock over all of the kernel's thread groups, which costs 10 ms. Needs Linux 5.7.

use std::os::fd::RawFd;

/// Flag of `clone3(2)`: the child is born in the cgroup of `cgroup`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// Flag of `clone3(2)` and `clone(2)`: the child's parent is the caller's, and is told of its end as it is
/// of the caller's.
const CLONE_PARENT: u64 = 0x8000;

/// Argument of `clone3(2)`, the version that knows cgroups.
#[repr(C)]
#[derive(Debug, Default)]
struct Arguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Returns twice, like fork: zero in the child, its process id in the parent, negative on failure with
/// errno set. `cgroup` is an open directory.
///
/// # Safety
/// The child is a copy with one thread. If this process has others, it may only make system calls, on
/// memory that was prepared before.
pub(super) unsafe fn like_fork(cgroup: RawFd) -> libc::c_long {
    let exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    // SAFETY: the caller's promise.
    unsafe { into(cgroup, 0, exit_signal) }
}

/// The same for a child of this process' parent. Without a cgroup the older call, which filters of
/// system calls know.
///
/// # Safety
/// As for [`like_fork`].
pub(super) unsafe fn sibling(cgroup: Option<RawFd>) -> libc::c_long {
    // SAFETY: the caller's promise; the plain call shares no memory and takes no pointers.
    unsafe {
        match cgroup {
            // The exit signal is the caller's own; another one is refused.
            Some(cgroup) => into(cgroup, CLONE_PARENT, 0),
            None => libc::syscall(libc::SYS_clone, CLONE_PARENT, 0, 0, 0, 0),
        }
    }
}

/// # Safety
/// As for [`like_fork`].
unsafe fn into(cgroup: RawFd, flags: u64, exit_signal: u64) -> libc::c_long {
    let arguments = Arguments {
        flags: flags | CLONE_INTO_CGROUP,
        exit_signal,
        cgroup: u64::from(cgroup.unsigned_abs()),
        ..Arguments::default()
    };
    let size = size_of::<Arguments>();
    // SAFETY: the structure lives across the call. Without CLONE_VM and without a stack the child
    // continues on its own copy of this one; the rest is the caller's promise.
    unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size) }
}
