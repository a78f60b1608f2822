//! Starting a supervisor: cloned straight into its cgroup where that is version 2, moved into it before
//! exec where it is version 1, in a session of its own, with nothing inherited but what it needs.

use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;
use std::ptr;

use super::program::{SealedProgram, above_fixed};
use crate::containerizer::clone;
use crate::containerizer::plan::{CgroupVersion, LIFELINE_FD, LaunchPlan, PLAN_FD, TaskCgroup};

/// Sets the flag on descriptors instead of closing them.
const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;

/// A supervisor that runs.
#[derive(Debug)]
pub struct Spawned {
    /// Its process id.
    pub pid: u32,
    /// Readable when it has ended; to be waited for by this process, its parent.
    pub pidfd: OwnedFd,
    /// End of file when it and the container's first process have both ended.
    pub lifeline: OwnedFd,
}

/// What the child between clone and exec works with.
struct Child<'a> {
    path: &'a CStr,
    argv: [*const libc::c_char; 3],
    environment: [*const libc::c_char; 1],
    joins: &'a [OwnedFd],
    /// Source and fixed number of what it inherits.
    descriptors: [(RawFd, RawFd); 5],
    errors: RawFd,
}

/// Starts a supervisor for `plan` in `cgroups`, with `stdout` and `stderr` as its output.
pub fn spawn(
    program: &SealedProgram,
    plan: &LaunchPlan,
    cgroups: &[TaskCgroup],
    stdout: &File,
    stderr: &File,
) -> io::Result<Spawned> {
    let plan_file = above_fixed(plan_file(plan)?)?;
    let null = above_fixed(File::open("/dev/null")?)?;
    let stdout = above_fixed(stdout.try_clone()?)?;
    let stderr = above_fixed(stderr.try_clone()?)?;
    let (lifeline, lifeline_child) = pipe()?;
    let (errors, errors_child) = pipe()?;
    let (joins, born) = open_cgroups(cgroups)?;
    let role = if plan.executor.is_some() {
        c"executor"
    } else {
        c"launch"
    };
    let path = CString::new(program.path().into_os_string().into_encoded_bytes())?;
    let child = Child {
        path: &path,
        argv: [c"mesosd".as_ptr(), role.as_ptr(), ptr::null()],
        environment: [ptr::null()],
        joins: &joins,
        descriptors: [
            (null.as_raw_fd(), 0),
            (stdout.as_raw_fd(), 1),
            (stderr.as_raw_fd(), 2),
            (plan_file.as_raw_fd(), PLAN_FD),
            (lifeline_child.as_raw_fd(), LIFELINE_FD),
        ],
        errors: errors_child.as_raw_fd(),
    };
    let (pid, pidfd) = clone_child(&child, born.as_ref())?;
    drop((errors_child, lifeline_child));
    let mut failure = Vec::new();
    File::from(errors).read_to_end(&mut failure)?;
    if let Ok(code) = <[u8; 4]>::try_from(failure.as_slice()) {
        // SAFETY: our child, which has not been waited for; no status is asked for.
        unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
        return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(code)));
    }
    Ok(Spawned {
        pid: pid.unsigned_abs(),
        pidfd,
        lifeline,
    })
}

/// The plan in an anonymous file: no size limit, nothing to write while the other side reads.
fn plan_file(plan: &LaunchPlan) -> io::Result<File> {
    let text = serde_json::to_vec(plan)?;
    // SAFETY: the name is null-terminated; the new descriptor is owned at once.
    let mut file = unsafe {
        let fd = libc::memfd_create(c"plan".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        File::from_raw_fd(fd)
    };
    file.write_all(&text)?;
    Ok(file)
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: the array has room for the two descriptors, which are owned from here on.
    unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        let (ours, theirs) = (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]));
        Ok((ours, above_fixed(theirs)?))
    }
}

/// The `tasks` files of the version 1 groups, and the directory of the version 2 group.
fn open_cgroups(cgroups: &[TaskCgroup]) -> io::Result<(Vec<OwnedFd>, Option<OwnedFd>)> {
    let mut joins = Vec::new();
    let mut born = None;
    for cgroup in cgroups {
        let named = |path: &Path, cause: io::Error| {
            io::Error::new(cause.kind(), format!("{}: {cause}", path.display()))
        };
        match cgroup.version {
            CgroupVersion::V1 => {
                let path = cgroup.path.join("tasks");
                let file = OpenOptions::new().write(true).open(&path);
                joins.push(file.map_err(|cause| named(&path, cause))?.into());
            }
            CgroupVersion::V2 => {
                let file = File::open(&cgroup.path);
                born = Some(file.map_err(|cause| named(&cgroup.path, cause))?.into());
            }
        }
    }
    Ok((joins, born))
}

/// Clones like fork, into the cgroup `born`. The parent has other threads: the child may only make
/// system calls on what was prepared before.
fn clone_child(child: &Child<'_>, born: Option<&OwnedFd>) -> io::Result<(libc::pid_t, OwnedFd)> {
    let mut pidfd: libc::c_int = -1;
    let mut all = [0_u64; 16];
    let mut before = [0_u64; 16];
    // SAFETY: the sets are larger than the kernel's and live across the calls. All signals are blocked
    // over the clone, so that no handler of ours runs in the child. Without CLONE_VM and without a
    // stack, clone3 returns twice like fork.
    unsafe {
        libc::sigfillset(all.as_mut_ptr().cast());
        libc::pthread_sigmask(
            libc::SIG_SETMASK,
            all.as_ptr().cast(),
            before.as_mut_ptr().cast(),
        );
        let cgroup = born.map(|directory| directory.as_raw_fd());
        let pid = clone::like_fork(cgroup, Some(&mut pidfd));
        if pid == 0 {
            become_supervisor(child);
        }
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr().cast(), ptr::null_mut());
        if pid < 0 {
            return Err(error);
        }
        let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
        Ok((pid, OwnedFd::from_raw_fd(pidfd)))
    }
}

/// The child: reports the error of the first failed call and ends, or executes.
///
/// # Safety
/// To be called in a fresh copy of the process only; everything in `child` must be valid.
unsafe fn become_supervisor(child: &Child<'_>) -> ! {
    // SAFETY: only system calls, on descriptors, null-terminated texts and buffers that the parent
    // prepared and that this copy of its memory still holds.
    unsafe {
        if try_become(child) {
            let none = [0_u64; 16];
            for signal in 1..=64 {
                libc::signal(signal, libc::SIG_DFL);
            }
            libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr().cast(), ptr::null_mut());
            let environment = child.environment.as_ptr();
            libc::execve(child.path.as_ptr(), child.argv.as_ptr(), environment);
        }
        let code = (*libc::__errno_location()).to_ne_bytes();
        libc::write(child.errors, code.as_ptr().cast(), code.len());
        libc::_exit(127)
    }
}

/// Everything before exec; false if a call failed.
///
/// # Safety
/// As for [`become_supervisor`].
unsafe fn try_become(child: &Child<'_>) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if libc::setsid() < 0 {
            return false;
        }
        for join in child.joins {
            if libc::write(join.as_raw_fd(), c"0".as_ptr().cast(), 1) < 0 {
                return false;
            }
        }
        for (source, fixed) in child.descriptors {
            if libc::dup2(source, fixed) < 0 {
                return false;
            }
        }
        // Whatever else this process has open, flagged or not, the supervisor does not get.
        let first = LIFELINE_FD.unsigned_abs() + 1;
        let last = libc::c_uint::MAX;
        libc::syscall(libc::SYS_close_range, first, last, CLOSE_RANGE_CLOEXEC);
        true
    }
}
