//! Runs the probes of checks and health checks: each in a forked child of its own, so that a probe
//! that hangs, leaks or crashes costs the supervisor nothing.
//!
//! A COMMAND probe runs beside the task: in its mount, IPC and host name namespaces, in its cgroups, as
//! its user, in its sandbox, with its environment; not in its pid namespace. HTTP and TCP probes
//! connect to the loopback address.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use crate::containerizer::plan::{CgroupVersion, LaunchPlan};
use crate::executor::checks::{Outcome, Probe, ProbeKind};
use crate::executor::core::Event;
use crate::executor::exit::Exit;
use crate::proto::v1;

/// What a shell answers for a command that cannot be executed.
const NOT_EXECUTED: i32 = 126;

/// What a probe's exit status means.
#[derive(Clone, Copy, Debug)]
enum Answer {
    ExitStatus,
    HttpStatus,
    Connected,
}

/// A probe that has not ended.
#[derive(Debug)]
struct Running {
    kind: ProbeKind,
    pid: libc::pid_t,
    answer: Answer,
    /// The child's words: four bytes of an HTTP status, or nothing.
    words: File,
}

/// The probes that are running, at most one of each kind.
#[derive(Debug, Default)]
pub(super) struct Probes(Vec<Running>);

impl Probes {
    /// Starts a probe; the event is there at once if that fails.
    pub(super) fn start(
        &mut self,
        kind: ProbeKind,
        probe: &Probe,
        plan: &LaunchPlan,
        task: Option<u32>,
    ) -> Option<Event> {
        self.stop(kind);
        match spawn(kind, probe, plan, task) {
            Ok(running) => {
                self.0.push(running);
                None
            }
            Err(error) => Some(Event::ProbeEnded {
                kind,
                outcome: Outcome::Failed(format!("cannot start the probe: {error}")),
            }),
        }
    }

    /// Kills a probe that is still running.
    pub(super) fn stop(&mut self, kind: ProbeKind) {
        self.0.retain(|running| {
            if running.kind == kind {
                end(running.pid);
            }
            running.kind != kind
        });
    }

    /// Kills all.
    pub(super) fn stop_all(&mut self) {
        for running in self.0.drain(..) {
            end(running.pid);
        }
    }

    /// Collects the probes that have ended.
    pub(super) fn reap(&mut self, events: &mut VecDeque<Event>) {
        self.0.retain_mut(|running| {
            let mut status = 0;
            // SAFETY: the status lives across the call.
            let pid = unsafe { libc::waitpid(running.pid, &raw mut status, libc::WNOHANG) };
            if pid == 0 {
                return true;
            }
            // What a command has left running would block nobody, but is not wanted either.
            // SAFETY: plain numbers; the group was made by the probe.
            unsafe { libc::kill(-running.pid, libc::SIGKILL) };
            events.push_back(Event::ProbeEnded {
                kind: running.kind,
                outcome: running.outcome(status),
            });
            false
        });
    }
}

impl Running {
    fn outcome(&mut self, status: i32) -> Outcome {
        let exit = Exit::from_wait_status(status);
        match self.answer {
            Answer::ExitStatus => Outcome::Command(i32::from(exit.shell_code())),
            Answer::Connected => Outcome::Tcp(exit.is_success()),
            Answer::HttpStatus => {
                let mut code = [0; 4];
                if self.words.read_exact(&mut code).is_ok() {
                    Outcome::Http(u32::from_ne_bytes(code))
                } else {
                    Outcome::Failed("no HTTP answer".to_owned())
                }
            }
        }
    }
}

/// Kills a probe with its process group and reaps it.
fn end(pid: libc::pid_t) {
    // SAFETY: plain numbers; the child has not been reaped yet, so the number is still its own.
    unsafe {
        libc::kill(-pid, libc::SIGKILL);
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
}

fn spawn(
    kind: ProbeKind,
    probe: &Probe,
    plan: &LaunchPlan,
    task: Option<u32>,
) -> io::Result<Running> {
    let answer = match probe {
        Probe::Command(_) => Answer::ExitStatus,
        Probe::Http { .. } => Answer::HttpStatus,
        Probe::Tcp { .. } => Answer::Connected,
    };
    let mut fds = [0; 2];
    // SAFETY: the array has room for the two descriptors, which are owned from here on.
    let (words, told) = unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
            return Err(io::Error::last_os_error());
        }
        (File::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    };
    // SAFETY: this process has one thread, so the child may do whatever this process may.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        let code = child(probe, plan, task, &told);
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(code) };
    }
    // SAFETY: plain numbers; both sides do it, so that the group exists whoever comes first.
    unsafe { libc::setpgid(pid, pid) };
    Ok(Running {
        kind,
        pid,
        answer,
        words,
    })
}

/// The whole life of a probe.
fn child(probe: &Probe, plan: &LaunchPlan, task: Option<u32>, told: &OwnedFd) -> i32 {
    // SAFETY: plain numbers; the set is initialised by the call that empties it. Descriptors above the
    // pipe's are the supervisor's: its lifeline and its links must not be held open from here.
    unsafe {
        libc::setpgid(0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        if libc::dup2(told.as_raw_fd(), 3) < 0 {
            return NOT_EXECUTED;
        }
        libc::syscall(libc::SYS_close_range, 4, libc::c_uint::MAX, 0);
    }
    match probe {
        Probe::Command(command) => execute(command, plan, task),
        Probe::Http {
            https,
            ipv6,
            port,
            path,
        } => match get(*https, *ipv6, *port, path) {
            Some(code) => {
                // SAFETY: the pipe was put on this number above, and nothing else owns it here.
                let mut words = unsafe { File::from_raw_fd(3) };
                i32::from(words.write_all(&u32::from(code).to_ne_bytes()).is_err())
            }
            None => 1,
        },
        Probe::Tcp { ipv6, port } => {
            let port = u16::try_from(*port).unwrap_or(0);
            i32::from(TcpStream::connect(SocketAddr::new(loopback(*ipv6), port)).is_err())
        }
    }
}

fn loopback(ipv6: bool) -> IpAddr {
    if ipv6 {
        Ipv6Addr::LOCALHOST.into()
    } else {
        Ipv4Addr::LOCALHOST.into()
    }
}

/// The status of a GET, redirections followed, certificates not checked: the address is our own.
fn get(https: bool, ipv6: bool, port: u32, path: &str) -> Option<u16> {
    let scheme = if https { "https" } else { "http" };
    let host = if ipv6 { "[::1]" } else { "127.0.0.1" };
    let tls = ureq::tls::TlsConfig::builder()
        .disable_verification(true)
        .build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .tls_config(tls)
        .build()
        .into();
    let answer = agent.get(format!("{scheme}://{host}:{port}{path}")).call();
    answer.ok().map(|answer| answer.status().as_u16())
}

/// Becomes the command; returns only if that fails.
fn execute(command: &v1::CommandInfo, plan: &LaunchPlan, task: Option<u32>) -> i32 {
    // SAFETY: plain number; the pipe is not needed by a command.
    unsafe { libc::close(3) };
    match enter(plan, task).and_then(|()| Ok((arguments(command)?, environment(command, plan)?))) {
        Ok((arguments, environment)) => {
            let argv = pointers(&arguments);
            let envp = pointers(&environment);
            let program = if command.shell() {
                c"/bin/sh"
            } else {
                arguments.first().map_or(c"", CString::as_c_str)
            };
            let value = CString::new(command.value()).unwrap_or_default();
            let program: &CStr = if command.shell() || value.is_empty() {
                program
            } else {
                &value
            };
            // SAFETY: all strings and arrays are null-terminated and live across the call.
            unsafe { libc::execvpe(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
            super::say(&format!(
                "cannot execute the check's command {:?}: {}",
                command.value(),
                io::Error::last_os_error()
            ));
        }
        Err(error) => super::say(&format!("cannot run the check's command: {error}")),
    }
    NOT_EXECUTED
}

/// Goes where the task is.
fn enter(plan: &LaunchPlan, task: Option<u32>) -> io::Result<()> {
    for leaf in &plan.cgroups {
        let file = match leaf.version {
            CgroupVersion::V1 => "tasks",
            CgroupVersion::V2 => "cgroup.procs",
        };
        fs::write(leaf.path.join(file), "0")?;
    }
    let namespaces = plan.namespaces;
    let mounts = namespaces.mount || namespaces.pid;
    let wanted = [
        (namespaces.ipc, "ipc"),
        (namespaces.uts, "uts"),
        (mounts, "mnt"),
    ];
    if let Some(pid) = task {
        let open = wanted
            .iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, name)| File::open(format!("/proc/{pid}/ns/{name}")))
            .collect::<io::Result<Vec<_>>>()?;
        for namespace in open {
            // SAFETY: an open descriptor of a namespace, whose own kind counts.
            check(unsafe { libc::setns(namespace.as_raw_fd(), 0) })?;
        }
    }
    if let Some(user) = &plan.user {
        // SAFETY: the array lives across the call and its length is given; the rest are numbers.
        unsafe {
            check(libc::setgroups(user.groups.len(), user.groups.as_ptr()))?;
            check(libc::setgid(user.gid))?;
            check(libc::setuid(user.uid))?;
        }
    }
    std::env::set_current_dir(&plan.sandbox)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn c_string(text: impl Into<Vec<u8>>) -> io::Result<CString> {
    CString::new(text).map_err(io::Error::from)
}

fn arguments(command: &v1::CommandInfo) -> io::Result<Vec<CString>> {
    if command.shell() {
        return Ok(vec![
            c"sh".to_owned(),
            c"-c".to_owned(),
            c_string(command.value())?,
        ]);
    }
    if command.arguments.is_empty() {
        return Ok(vec![c_string(command.value())?]);
    }
    command
        .arguments
        .iter()
        .map(|argument| c_string(argument.as_str()))
        .collect()
}

/// The task's environment, and the check's own on top.
fn environment(command: &v1::CommandInfo, plan: &LaunchPlan) -> io::Result<Vec<CString>> {
    let own: Vec<_> = command
        .environment
        .iter()
        .flat_map(|environment| &environment.variables)
        .map(|variable| (variable.name.as_str(), variable.value()))
        .collect();
    plan.environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !own.iter().any(|(own, _)| own == name))
        .chain(own.iter().copied())
        .map(|(name, value)| c_string(format!("{name}={value}")))
        .collect()
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts
        .iter()
        .map(|text| text.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}
