//! Starting a supervisor: born in its cgroup where that is version 2, moved into it before it does
//! anything where it is version 1, in a session of its own, with nothing inherited but what it needs.
//! The work is done by a process that waits for it, see [`super::spawner`].

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair,
};

use serde::Serialize;

use super::program::SealedProgram;
use super::spawner::{ANSWER, BORN, DESCRIPTORS_MAX, FIXED, JOIN, MARK};
use crate::containerizer::plan::{CgroupVersion, LaunchPlan, TaskCgroup};

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

/// Starts supervisors, one after another.
#[derive(Debug)]
pub struct Spawner {
    program: SealedProgram,
    /// Started again when it is needed and not there.
    process: Mutex<Option<Process>>,
}

/// The waiting process; it ends with its socket.
#[derive(Debug)]
struct Process {
    child: Child,
    /// There until the end.
    socket: Option<OwnedFd>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.socket = None;
        if let Err(error) = self.child.wait() {
            tracing::error!(%error, "the spawner cannot be waited for");
        }
    }
}

impl Spawner {
    /// Starts the process that waits.
    pub fn new(program: SealedProgram) -> io::Result<Self> {
        let process = Process::start(&program)?;
        Ok(Self {
            program,
            process: Mutex::new(Some(process)),
        })
    }

    /// What it runs.
    pub fn program(&self) -> &SealedProgram {
        &self.program
    }

    /// Starts a supervisor for `plan` in `cgroups`, with `stdout` and `stderr` as its output.
    pub fn spawn(
        &self,
        plan: &LaunchPlan,
        cgroups: &[TaskCgroup],
        stdout: &File,
        stderr: &File,
    ) -> io::Result<Spawned> {
        let plan_file = plan_file(plan)?;
        let (lifeline, lifeline_child) = pipe()?;
        let (errors, errors_child) = pipe()?;
        let (joins, born) = open_cgroups(cgroups)?;
        let fixed: [RawFd; FIXED] = [
            plan_file.as_raw_fd(),
            stdout.as_raw_fd(),
            stderr.as_raw_fd(),
            lifeline_child.as_raw_fd(),
            errors_child.as_raw_fd(),
        ];
        let groups = joins.iter().chain(&born).map(|group| group.as_raw_fd());
        let descriptors: Vec<RawFd> = fixed.into_iter().chain(groups).collect();
        let kind = if born.is_some() { BORN } else { JOIN };
        let pid = self.ask(kind, &descriptors)?;
        drop((errors_child, lifeline_child));
        let pidfd = pidfd_of(pid);
        let mut failure = Vec::new();
        File::from(errors).read_to_end(&mut failure)?;
        if let Ok(code) = <[u8; 4]>::try_from(failure.as_slice()) {
            // SAFETY: our child, which has not been waited for; no status is asked for.
            unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
            return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(code)));
        }
        Ok(Spawned {
            pid: pid.unsigned_abs(),
            pidfd: pidfd?,
            lifeline,
        })
    }

    /// Sends a request and returns the new process' id. A spawner that has died is replaced.
    fn ask(&self, kind: u8, descriptors: &[RawFd]) -> io::Result<libc::pid_t> {
        if descriptors.len() > DESCRIPTORS_MAX {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = match &*process {
            Some(process) => process.send(kind, descriptors),
            None => Err(io::Error::from(io::ErrorKind::NotConnected)),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "the spawner has gone, starting another");
            *process = None;
            let another = process.insert(Process::start(&self.program)?);
            another.send(kind, descriptors)?;
        }
        let answer = match &*process {
            Some(process) => process.receive(),
            None => Err(io::Error::from(io::ErrorKind::NotConnected)),
        };
        match answer {
            Ok(pid) if pid > 0 => Ok(pid),
            Ok(error) => Err(io::Error::from_raw_os_error(-error)),
            Err(error) => {
                // Whether it has done it is not known, so it is not asked again.
                *process = None;
                Err(error)
            }
        }
    }
}

impl Process {
    fn start(program: &SealedProgram) -> io::Result<Self> {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        // Named as what it becomes: the supervisors keep this command line.
        let child = Command::new(program.path())
            .arg0("mesosd")
            .arg("executor")
            .env_clear()
            .env(MARK, "")
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            socket: Some(ours),
        })
    }

    fn socket(&self) -> RawFd {
        let socket = self.socket.as_ref().expect("there until the end");
        socket.as_raw_fd()
    }

    fn send(&self, kind: u8, descriptors: &[RawFd]) -> io::Result<()> {
        let kind = [kind];
        let parts = [IoSlice::new(&kind)];
        let rights = [ControlMessage::ScmRights(descriptors)];
        sendmsg::<()>(self.socket(), &parts, &rights, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }

    fn receive(&self) -> io::Result<i32> {
        let mut answer = [0_u8; ANSWER];
        loop {
            match recv(self.socket(), &mut answer, MsgFlags::empty()) {
                Ok(ANSWER) => return Ok(i32::from_ne_bytes(answer)),
                Ok(_) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A descriptor for a child that has not been waited for.
fn pidfd_of(pid: libc::pid_t) -> io::Result<OwnedFd> {
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

/// The plan in an anonymous file: no size limit, nothing to write while the other side reads.
pub(in crate::containerizer) fn plan_file(plan: &impl Serialize) -> io::Result<File> {
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
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
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
