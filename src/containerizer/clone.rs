//! `clone3(2)` used like fork, for a child that is born in a cgroup of version 2: moving a process there
//! later takes a lock over all of the kernel's thread groups, which costs 10 ms. Needs Linux 5.7.

use std::os::fd::RawFd;

/// Flag of `clone3(2)`: the child is born in the cgroup of `cgroup`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// Flag of `clone3(2)`: a descriptor for the child is returned.
const CLONE_PIDFD: u64 = 0x1000;

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
/// errno set. `cgroup` is an open directory; `pidfd` receives a descriptor for the child.
///
/// # Safety
/// The child is a copy with one thread. If this process has others, it may only make system calls, on
/// memory that was prepared before.
pub(super) unsafe fn like_fork(
    cgroup: Option<RawFd>,
    pidfd: Option<&mut libc::c_int>,
) -> libc::c_long {
    let mut arguments = Arguments {
        exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
        ..Arguments::default()
    };
    if let Some(pidfd) = pidfd {
        arguments.flags |= CLONE_PIDFD;
        arguments.pidfd = std::ptr::from_mut(pidfd).expose_provenance() as u64;
    }
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.unsigned_abs());
    }
    let size = size_of::<Arguments>();
    // SAFETY: the structure lives across the call. Without CLONE_VM and without a stack the child
    // continues on its own copy of this one; the rest is the caller's promise.
    unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size) }
}
