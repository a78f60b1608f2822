//! The process of a guest: started, signalled, waited for.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::pty::openpty;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::plan::GuestPlan;
use crate::containerizer::launcher::plan_file;

/// A guest's process that runs.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) child: Child,
    pub(super) control: UnixStream,
    pub(super) lines: Lines,
}

/// Its input and output, our side.
#[derive(Debug)]
pub(super) enum Lines {
    Pipes {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    Terminal {
        input: OwnedFd,
        output: OwnedFd,
    },
}

/// Size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) rows: u16,
    pub(super) columns: u16,
}

/// Starts the process; blocks for as long as a fork takes.
pub(super) fn spawn(
    program: &Path,
    plan: &GuestPlan,
    window: Option<Window>,
) -> io::Result<Spawned> {
    let plan_file = plan_file(plan)?;
    let (control, theirs) = UnixStream::pair()?;
    let kept: [RawFd; 2] = [plan_file.as_raw_fd(), theirs.as_raw_fd()];
    let mut command = Command::new(program);
    command
        .arg0("mesosd")
        .arg("guest")
        .args(kept.map(|fd| fd.to_string()))
        .env_clear()
        .current_dir("/");
    let path = plan.environment.iter().find(|(name, _)| name == "PATH");
    if let Some((name, path)) = path {
        // Where the command is searched.
        command.env(name, path);
    }
    // SAFETY: between fork and execution only a system call on plain numbers is made.
    unsafe {
        command.pre_exec(move || {
            for fd in kept {
                if libc::fcntl(fd, libc::F_SETFD, 0) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    if plan.tty {
        let size = window.map(|window| libc::winsize {
            ws_row: window.rows,
            ws_col: window.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        });
        let pair = openpty(size.as_ref(), None)?;
        let slave = File::from(pair.slave);
        command
            .stdin(slave.try_clone()?)
            .stdout(slave.try_clone()?)
            .stderr(slave);
        let child = command.spawn()?;
        // The command still holds the other side's descriptors, which would keep it open.
        drop(command);
        let input = pair.master.try_clone()?;
        let output = pair.master;
        close_on_exec(&input)?;
        close_on_exec(&output)?;
        let lines = Lines::Terminal { input, output };
        return Ok(Spawned {
            child,
            control,
            lines,
        });
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let missing = || io::Error::other("a pipe of the guest is missing");
    let lines = Lines::Pipes {
        stdin: child.stdin.take().ok_or_else(missing)?.into(),
        stdout: child.stdout.take().ok_or_else(missing)?.into(),
        stderr: child.stderr.take().ok_or_else(missing)?.into(),
    };
    Ok(Spawned {
        child,
        control,
        lines,
    })
}

fn close_on_exec(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: an open descriptor and plain numbers.
    if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The agent's side of the control socket.
#[derive(Debug)]
pub(super) struct Control(tokio::net::UnixStream);

impl Control {
    pub(super) fn new(control: UnixStream) -> io::Result<Self> {
        control.set_nonblocking(true)?;
        Ok(Self(tokio::net::UnixStream::from_std(control)?))
    }

    /// The command's process id, once it has been forked.
    pub(super) async fn pid(&mut self) -> io::Result<u32> {
        let pid = self.number().await?;
        u32::try_from(pid).map_err(io::Error::other)
    }

    /// Passes signals on until the command ends; gives its wait status.
    pub(super) async fn ended(mut self, signals: &mut mpsc::Receiver<i32>) -> io::Result<i32> {
        let (mut reader, mut writer) = self.0.split();
        let mut status = [0; 4];
        let mut reading = std::pin::pin!(reader.read_exact(&mut status));
        loop {
            tokio::select! {
                read = &mut reading => {
                    read?;
                    break;
                }
                Some(signal) = signals.recv() => {
                    // One that has just ended hears nothing any more.
                    let _gone = writer.write_all(&signal.to_ne_bytes()).await;
                }
            }
        }
        Ok(i32::from_ne_bytes(status))
    }

    async fn number(&mut self) -> io::Result<i32> {
        let mut bytes = [0; 4];
        self.0.read_exact(&mut bytes).await?;
        Ok(i32::from_ne_bytes(bytes))
    }
}
