//! Shell: the process main of `mesosd guest PLAN_FD CONTROL_FD`: brings one command into a container
//! that runs: into its control groups and namespaces, as its user, with the input and output that this
//! process has. It waits for the command and passes signals on.
//!
//! On the control socket it says two numbers, each in four bytes of the host's order: the command's
//! process id, and in the end its wait status; it reads numbers of signals.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use crate::containerizer::guests::GuestPlan;
use crate::containerizer::plan::CgroupVersion;

/// Largest plan, in bytes.
const PLAN_BYTES_MAX: u64 = 16 << 20;
/// What a shell answers for a command that cannot be executed.
const NOT_EXECUTED: i32 = 126;
/// And for one that is not there.
const NOT_FOUND: i32 = 127;
/// Namespaces that may differ from the host's; that of mounts last of those that names are read in.
const NAMESPACES: [&str; 5] = ["ipc", "uts", "net", "pid", "mnt"];

/// Runs the process.
#[must_use]
pub fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(2).map(|word| word.parse::<RawFd>());
    let (Some(Ok(plan)), Some(Ok(control))) = (numbers.next(), numbers.next()) else {
        eprintln!("mesosd guest is started by an agent, with two descriptors");
        return ExitCode::FAILURE;
    };
    // SAFETY: the agent has opened both for this process, and nothing else here knows them.
    let (plan, control) = unsafe { (File::from_raw_fd(plan), UnixStream::from_raw_fd(control)) };
    match read(plan).and_then(|plan| run(&plan, control)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody else is there to be told.
            let _lost = writeln!(io::stderr(), "mesosd: cannot enter the container: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(mut plan: File) -> io::Result<GuestPlan> {
    plan.rewind()?;
    let mut text = Vec::new();
    plan.take(PLAN_BYTES_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

fn run(plan: &GuestPlan, mut control: UnixStream) -> io::Result<()> {
    // SAFETY: plain numbers: nothing of the control socket reaches the command.
    check(unsafe { libc::fcntl(control.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    let prepared = Prepared::new(plan)?;
    let folder = folder(plan)?;
    enter(plan)?;
    // SAFETY: this process has one thread, so the child may do whatever this process may.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        let code = prepared.become_command(plan, &folder);
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(code) };
    }
    for stdio in 0..3 {
        // SAFETY: not used again here; the ends of the pipes must be the command's alone.
        unsafe { libc::close(stdio) };
    }
    control.write_all(&pid.to_ne_bytes())?;
    let status = wait(pid, &mut control, plan.session)?;
    // What it has left in its session; the rest ends with the container.
    // SAFETY: plain numbers; the group is that of the command.
    unsafe { libc::kill(-pid, libc::SIGKILL) };
    control.write_all(&status.to_ne_bytes())
}

/// The folder as the container sees it; without it the one that its process is in.
fn folder(plan: &GuestPlan) -> io::Result<File> {
    let beside = plan.beside;
    let open = |path: String| {
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC)
            .open(path)
    };
    open(format!("/proc/{beside}/root{}", plan.folder.display()))
        .or_else(|_| open(format!("/proc/{beside}/cwd")))
}

/// The control groups, then the namespaces. The one of process ids counts for children.
fn enter(plan: &GuestPlan) -> io::Result<()> {
    for leaf in &plan.cgroups {
        let file = match leaf.version {
            CgroupVersion::V1 => "tasks",
            CgroupVersion::V2 => "cgroup.procs",
        };
        fs::write(leaf.path.join(file), "0")?;
    }
    let mut differing = Vec::new();
    for name in NAMESPACES {
        let path = format!("/proc/{}/ns/{name}", plan.beside);
        if fs::read_link(&path)? != fs::read_link(format!("/proc/self/ns/{name}"))? {
            differing.push(File::open(path)?);
        }
    }
    for namespace in differing {
        // SAFETY: an open descriptor of a namespace, whose own kind counts.
        check(unsafe { libc::setns(namespace.as_raw_fd(), 0) })?;
    }
    Ok(())
}

/// Waits for the end of the command; passes on what signals come. A session ends with its agent.
fn wait(pid: libc::pid_t, control: &mut UnixStream, session: bool) -> io::Result<i32> {
    // SAFETY: our child, which has not been waited for; the new descriptor is owned at once.
    let pidfd = unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
        check(fd.min(0))?;
        OwnedFd::from_raw_fd(fd)
    };
    let mut agent_there = true;
    loop {
        let events = if agent_there { libc::POLLIN } else { 0 };
        let mut waiting = [
            poll_for(pidfd.as_raw_fd(), libc::POLLIN),
            poll_for(if agent_there { control.as_raw_fd() } else { -1 }, events),
        ];
        // SAFETY: the array lives across the call and its length is given.
        let ready = unsafe { libc::poll(waiting.as_mut_ptr(), 2, -1) };
        if ready < 0 {
            continue;
        }
        if waiting[0].revents != 0 {
            let mut status = 0;
            // SAFETY: the status lives across the call.
            check(unsafe { libc::waitpid(pid, &raw mut status, 0) }.min(0))?;
            return Ok(status);
        }
        if waiting[1].revents != 0 {
            let mut number = [0; 4];
            let signal = match control.read_exact(&mut number) {
                Ok(()) => i32::from_ne_bytes(number),
                Err(_) => {
                    agent_there = false;
                    if !session {
                        continue;
                    }
                    libc::SIGKILL
                }
            };
            // SAFETY: plain numbers; the child has not been waited for.
            unsafe { libc::kill(-pid, signal) };
        }
    }
}

fn poll_for(fd: RawFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}

/// What the child needs, made before the fork.
struct Prepared {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Prepared {
    fn new(plan: &GuestPlan) -> io::Result<Self> {
        let text = |text: &str| CString::new(text).map_err(io::Error::from);
        let command = &plan.command;
        let arguments = if command.shell {
            vec![text("sh")?, text("-c")?, text(&command.value)?]
        } else if command.arguments.is_empty() {
            vec![text(&command.value)?]
        } else {
            let all = command.arguments.iter();
            all.map(|one| text(one)).collect::<io::Result<_>>()?
        };
        let environment = plan.environment.iter();
        Ok(Self {
            program: text(if command.shell {
                "/bin/sh"
            } else {
                &command.value
            })?,
            arguments,
            environment: environment
                .map(|(name, value)| text(&format!("{name}={value}")))
                .collect::<io::Result<_>>()?,
        })
    }

    /// Becomes the command; returns only if that fails.
    fn become_command(&self, plan: &GuestPlan, folder: &File) -> i32 {
        if let Err(error) = settle(plan, folder) {
            let _lost = writeln!(io::stderr(), "mesosd: cannot enter the container: {error}");
            return NOT_EXECUTED;
        }
        let argv = pointers(&self.arguments);
        let envp = pointers(&self.environment);
        // SAFETY: all strings and arrays are null-terminated and live across the call.
        unsafe { libc::execvpe(self.program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        let error = io::Error::last_os_error();
        let _lost = writeln!(
            io::stderr(),
            "mesosd: cannot execute {:?}: {error}",
            self.program
        );
        if error.kind() == io::ErrorKind::NotFound {
            NOT_FOUND
        } else {
            NOT_EXECUTED
        }
    }
}

/// Session, terminal, folder, user, signals.
fn settle(plan: &GuestPlan, folder: &File) -> io::Result<()> {
    // SAFETY: plain numbers and an array whose length is given.
    unsafe {
        libc::setsid();
        if plan.tty {
            check(libc::ioctl(0, libc::TIOCSCTTY, 0))?;
        }
        check(libc::fchdir(folder.as_raw_fd()))?;
        if let Some(user) = &plan.user {
            check(libc::setgroups(user.groups.len(), user.groups.as_ptr()))?;
            check(libc::setresgid(user.gid, user.gid, user.gid))?;
            check(libc::setresuid(user.uid, user.uid, user.uid))?;
        }
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
    Ok(())
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    let all = texts.iter().map(|text| text.as_ptr());
    all.chain([std::ptr::null()]).collect()
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
