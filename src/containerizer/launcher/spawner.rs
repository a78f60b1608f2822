//! The process that supervisors are forked from: a supervisor that has been executed and linked once and
//! waits. A fork of it costs a tenth of executing the program again, shares its pages, and copies nothing
//! of the agent, which is large, has many threads, and would pay for each page that it writes afterwards.
//!
//! It has one thread and one socket (descriptor 0), on which the agent sends requests; it ends when the
//! agent does. The supervisors are the agent's children, not its own.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::process::ExitCode;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, send};

use super::program::FREE_FROM;
use crate::containerizer::clone;
use crate::containerizer::plan::{LIFELINE_FD, PLAN_FD};

/// Set in the environment of a spawner, to nothing.
pub(super) const MARK: &str = "MESOSD_SPAWNER";
/// The socket.
const SOCKET: RawFd = 0;
/// Descriptors that come with every request: plan, standard output and error, lifeline, error pipe.
pub(super) const FIXED: usize = 5;
/// Descriptors in a request at most: there are a dozen cgroup hierarchies.
pub(super) const DESCRIPTORS_MAX: usize = 64;
/// Bytes of an answer: a process id, or a negative error number.
pub(super) const ANSWER: usize = 4;
/// First byte of a request: the last descriptor is the directory of the group to be born in.
pub(super) const BORN: u8 = 1;
/// First byte of a request: all descriptors after the fixed ones are groups to join.
pub(super) const JOIN: u8 = 0;

/// One request, as it arrived.
struct Request {
    fixed: [OwnedFd; FIXED],
    joins: Vec<OwnedFd>,
    born: Option<OwnedFd>,
}

/// True in a process that was started to be a spawner.
#[must_use]
pub fn is_meant() -> bool {
    std::env::var_os(MARK).is_some()
}

/// The life of a spawner. In each process that it forks, `supervise` is the life of that.
pub fn run(supervise: impl FnOnce() -> ExitCode) -> ExitCode {
    // SAFETY: this process has one thread; the descriptors are nobody's, and the name ends with a null.
    let null = unsafe {
        // Signals from a terminal are the agent's.
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, c"mesosd-executor".as_ptr());
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        // What arrives gets numbers that no supervisor has a use for.
        for fd in 3..FREE_FROM {
            libc::dup2(null, fd);
        }
        null
    };
    loop {
        let request = match receive() {
            Ok(Some(request)) => request,
            Ok(None) => return ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("mesosd: the agent's request cannot be read: {error}");
                return ExitCode::FAILURE;
            }
        };
        // SAFETY: this process has one thread, so the child may do whatever this process may.
        let pid = unsafe { clone::sibling(request.born.as_ref().map(|group| group.as_raw_fd())) };
        if pid == 0 {
            if let Err(error) = become_supervisor(&request, null) {
                report(&request.fixed[FIXED - 1], &error);
                return ExitCode::from(127);
            }
            // They are closed already, with everything else that is not a supervisor's.
            std::mem::forget(request);
            return supervise();
        }
        let answer = if pid < 0 {
            -io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO)
        } else {
            i32::try_from(pid).unwrap_or(-libc::EOVERFLOW)
        };
        if send(SOCKET, &answer.to_ne_bytes(), MsgFlags::MSG_NOSIGNAL).is_err() {
            return ExitCode::SUCCESS;
        }
    }
}

/// The next request; `None` when the agent has gone.
fn receive() -> io::Result<Option<Request>> {
    let mut kind = [0_u8; 1];
    let mut parts = [IoSliceMut::new(&mut kind)];
    let mut space = cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = loop {
        match recvmsg::<()>(SOCKET, &mut parts, Some(&mut space), flags) {
            Err(nix::Error::EINTR) => {}
            other => break other?,
        }
    };
    if message.bytes == 0 {
        return Ok(None);
    }
    let mut received = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = part {
            for fd in descriptors {
                // SAFETY: the kernel has just made it for this process.
                received.push(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
    }
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    if received.len() < FIXED {
        return Err(malformed());
    }
    let mut joins = received.split_off(FIXED);
    let born = if kind[0] == BORN { joins.pop() } else { None };
    Ok(Some(Request {
        fixed: received.try_into().map_err(|_| malformed())?,
        joins,
        born,
    }))
}

/// In the child: a session and groups of its own, its descriptors, and no others.
fn become_supervisor(request: &Request, null: RawFd) -> io::Result<()> {
    let checked = |result: libc::c_int| match result {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    let [plan, stdout, stderr, lifeline, _] = request.fixed.each_ref().map(|fd| fd.as_raw_fd());
    let places = [
        (null, 0),
        (stdout, 1),
        (stderr, 2),
        (plan, PLAN_FD),
        (lifeline, LIFELINE_FD),
    ];
    // SAFETY: plain numbers of open descriptors, and a text that lives across the call; those that are
    // closed at the end are not used again.
    unsafe {
        checked(libc::setsid())?;
        for join in &request.joins {
            let written = libc::write(join.as_raw_fd(), c"0".as_ptr().cast(), 1);
            checked(if written < 0 { -1 } else { 0 })?;
        }
        for (source, place) in places {
            checked(libc::dup2(source, place))?;
        }
        let first = libc::c_long::from(LIFELINE_FD) + 1;
        let most = libc::c_uint::MAX;
        if libc::syscall(libc::SYS_close_range, first, most, 0) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// In the child: tells the agent what failed.
fn report(errors: &OwnedFd, error: &io::Error) {
    let code = error.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes();
    if let Ok(errors) = errors.try_clone() {
        // Nobody is left to tell if the agent has gone.
        let _ = io::Write::write_all(&mut File::from(errors), &code);
    }
}
