//! Brings the files of a group's task: a `mesosd fetch` process as the task's user, while the
//! supervisor goes on.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::FromRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::containerizer::plan::{GroupsPlan, LaunchPlan};
use crate::fetcher::{self, ANSWER_BYTES_MAX, FetchItem, FetchLimits, FetchRequest, FetchUser};
use crate::proto::v1::command_info::Uri;

/// A fetcher that has not ended.
#[derive(Debug)]
pub(super) struct Fetching {
    pid: libc::pid_t,
    /// What it says on stdout.
    answer: File,
}

impl Fetching {
    /// Starts a fetcher for the task of `plan`, which logs to `log`.
    pub(super) fn start(
        plan: &LaunchPlan,
        groups: &GroupsPlan,
        uris: &[Uri],
        log: &File,
    ) -> io::Result<Self> {
        let request = FetchRequest {
            sandbox: plan.sandbox.clone(),
            items: uris.iter().map(FetchItem::from).collect(),
            frameworks_home: groups.frameworks_home.clone(),
            stall_timeout_ms: groups.stall_timeout_ms,
            limits: FetchLimits::default(),
        };
        let mut input = memory_file()?;
        input.write_all(&serde_json::to_vec(&request)?)?;
        input.rewind()?;
        let answer = memory_file()?;
        let user = plan.user.as_ref().map(|user| FetchUser {
            uid: user.uid,
            gid: user.gid,
            groups: user.groups.clone(),
        });
        let variables = groups.environment.iter();
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("mesosd")
            .arg("fetch")
            .env_clear()
            .envs(variables.map(|(name, value)| (name, value)))
            .stdin(input)
            .stdout(answer.try_clone()?)
            .stderr(log.try_clone()?);
        // SAFETY: only system calls on memory that was allocated before.
        unsafe {
            command.pre_exec(move || {
                if let Some(user) = &user {
                    fetcher::switch_user(user)?;
                }
                // After the change of user, which would undo it.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn()?;
        Ok(Self {
            pid: libc::pid_t::try_from(child.id()).map_err(io::Error::other)?,
            answer,
        })
    }

    /// How it ended, once it has; a failure in words.
    pub(super) fn try_wait(&mut self) -> Option<Result<(), String>> {
        let mut status = 0;
        // SAFETY: the status lives across the call.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) };
        if pid == 0 {
            return None;
        }
        if pid < 0 {
            return Some(Err("the fetcher was lost".to_owned()));
        }
        let mut answer = Vec::new();
        let read = self.answer.seek(SeekFrom::Start(0)).and_then(|_| {
            let from = &mut self.answer;
            from.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)
        });
        if let Err(error) = read {
            return Some(Err(super::chain(&error)));
        }
        Some(fetcher::outcome(status, &answer).map_err(|error| super::chain(&error)))
    }

    /// Kills it.
    pub(super) fn stop(self) {
        // SAFETY: plain numbers; the child has not been reaped yet, so the number is still its own.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

fn memory_file() -> io::Result<File> {
    // SAFETY: the name is null-terminated; the new descriptor is owned at once.
    unsafe {
        let fd = libc::memfd_create(c"fetch".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(File::from_raw_fd(fd))
    }
}
