//! From fork to exec: the process that becomes the task enters its cgroups while it is still
//! privileged, takes its limits and user, and executes the command. Only system calls.

use std::os::fd::{AsRawFd as _, RawFd};
use std::ptr;

use super::first::{Channels, HELLO, control, fail};
use super::prepared::{Candidate, Prepared};
use super::report::{Failure, Step};

/// Becomes the task.
pub(super) fn run(prepared: &Prepared, channels: &Channels) -> ! {
    let failure = match enter(prepared, channels) {
        Ok(()) => execute(prepared),
        Err(failure) => failure,
    };
    fail(channels.errors, failure)
}

fn enter(prepared: &Prepared, channels: &Channels) -> Result<(), Failure> {
    // SAFETY: no arguments.
    if unsafe { libc::setsid() } < 0 {
        return Err(Failure::last(Step::Session, 0));
    }
    // The kernel attaches this process' id, as the supervisor's namespace sees it.
    let hello = control(HELLO, 0);
    // SAFETY: the buffer lives across the call and its length is given.
    unsafe {
        let flags = libc::MSG_NOSIGNAL;
        libc::send(channels.control, hello.as_ptr().cast(), hello.len(), flags);
    }
    for (index, cgroup) in prepared.cgroups.iter().enumerate() {
        if !write(cgroup.as_raw_fd(), b"0") {
            return Err(Failure::last(Step::JoinCgroup, index));
        }
    }
    if let Some(score) = &prepared.oom_score_adj {
        set_oom_score(score.as_bytes())?;
    }
    for (index, (resource, limit)) in prepared.rlimits.iter().enumerate() {
        // SAFETY: the new limit lives across the call, the old one is not asked for.
        let result = unsafe { libc::prlimit(0, *resource, limit, ptr::null_mut()) };
        if result != 0 {
            return Err(Failure::last(Step::Rlimit, index));
        }
    }
    switch_user(prepared)?;
    // SAFETY: plain numbers, and a path that is null-terminated.
    unsafe {
        libc::umask(prepared.umask);
        if libc::chdir(prepared.sandbox.as_ptr()) != 0 {
            return Err(Failure::last(Step::Sandbox, 0));
        }
    }
    restore_signals();
    Ok(())
}

fn write(fd: RawFd, bytes: &[u8]) -> bool {
    // SAFETY: the buffer lives across the call and its length is given.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) >= 0 }
}

fn set_oom_score(score: &[u8]) -> Result<(), Failure> {
    let flags = libc::O_WRONLY | libc::O_CLOEXEC;
    // SAFETY: the path is null-terminated.
    let fd = unsafe { libc::open(c"/proc/self/oom_score_adj".as_ptr(), flags) };
    if fd < 0 || !write(fd, score) {
        return Err(Failure::last(Step::OomScore, 0));
    }
    // SAFETY: opened above and not used again.
    unsafe { libc::close(fd) };
    Ok(())
}

/// Groups first: without the user's own privileges they can no longer be set. System calls are made
/// directly, since the C library's versions would signal threads that a copy of a process lacks.
fn switch_user(prepared: &Prepared) -> Result<(), Failure> {
    let Some((uid, gid, groups)) = &prepared.user else {
        return Ok(());
    };
    // SAFETY: the array lives across the call and its length is given; the rest are plain numbers.
    unsafe {
        if libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) != 0 {
            return Err(Failure::last(Step::Groups, 0));
        }
        if libc::syscall(libc::SYS_setresgid, *gid, *gid, *gid) != 0 {
            return Err(Failure::last(Step::Gid, 0));
        }
        if libc::syscall(libc::SYS_setresuid, *uid, *uid, *uid) != 0 {
            return Err(Failure::last(Step::Uid, 0));
        }
    }
    Ok(())
}

/// Default dispositions and nothing blocked, whatever the supervisor had.
fn restore_signals() {
    // SAFETY: the numbers are signals (those that cannot be changed fail harmlessly); the set is
    // initialised by the call that empties it.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Tries the candidates in order; returns only if none could be executed. What is there but may not
/// be executed says more than what is not there.
fn execute(prepared: &Prepared) -> Failure {
    let mut refused = None;
    for candidate in &prepared.candidates {
        let failure = execute_one(candidate, prepared);
        match failure.errno {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => refused = Some(failure),
            _ => return failure,
        }
    }
    refused.unwrap_or(Failure {
        step: Step::Exec,
        index: 0,
        errno: libc::ENOENT,
    })
}

fn execute_one(candidate: &Candidate, prepared: &Prepared) -> Failure {
    let environment = prepared.environment.as_ptr();
    // SAFETY: path, arguments and environment are null-terminated and live across the calls.
    unsafe {
        libc::execve(
            candidate.path.as_ptr(),
            candidate.argv.as_ptr(),
            environment,
        );
        let failure = Failure::last(Step::Exec, 0);
        if failure.errno != libc::ENOEXEC {
            return failure;
        }
        // As execvp: a script without an interpreter line is the shell's.
        let script = candidate.script_argv.as_ptr();
        libc::execve(c"/bin/sh".as_ptr(), script, environment);
        failure
    }
}
