//! Where in a container a guest goes: beside which process, as whom, with what around it.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::{Gid, Uid, fchown};

use super::plan::GuestUser;
use crate::containerizer::launcher::posix;
use crate::containerizer::plan::TaskCgroup;
use crate::containerizer::sandbox::Output;
use crate::containerizer::status;

/// Folder of containers in a container, below a sandbox and below a runtime directory.
const CONTAINERS: &str = "containers";

/// A container that runs, as guests see it.
#[derive(Clone, Debug)]
pub(in crate::containerizer) struct House {
    pub(in crate::containerizer) supervisor: u32,
    pub(in crate::containerizer) cgroups: Vec<TaskCgroup>,
    pub(in crate::containerizer) sandbox: PathBuf,
    pub(in crate::containerizer) runtime: PathBuf,
    /// It holds containers of tasks, and no process of its own but the supervisor.
    pub(in crate::containerizer) of_groups: bool,
    /// An operator has launched it, not an executor's agent.
    pub(in crate::containerizer) standalone: bool,
}

/// Where a guest goes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) beside: u32,
    pub(super) cgroups: Vec<TaskCgroup>,
    pub(super) sandbox: PathBuf,
}

impl Place {
    /// In the container itself.
    pub(super) fn in_house(house: &House) -> Option<Self> {
        let first = *posix::children(house.supervisor).first()?;
        let task = posix::children(first).first().copied();
        (!house.of_groups).then(|| Self {
            beside: task.unwrap_or(first),
            cgroups: house.cgroups.clone(),
            sandbox: house.sandbox.clone(),
        })
    }

    /// The first process of the container that is the command's, once it has been forked.
    pub(super) fn command_of(house: &House) -> Option<u32> {
        let first = *posix::children(house.supervisor).first()?;
        posix::children(first).first().copied()
    }

    /// In the container of one task of a group.
    pub(super) fn in_task(house: &House, container: &str) -> Option<Self> {
        let runtime = house.runtime.join(CONTAINERS).join(container);
        let record = status::read_process(&runtime).ok()??;
        record.is_there().then(|| Self {
            beside: record.pid,
            cgroups: house.cgroups.clone(),
            sandbox: house.sandbox.join(CONTAINERS).join(container),
        })
    }

    /// The variables that its process was started with.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let text = fs::read(format!("/proc/{}/environ", self.beside)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all = text.split('\0').filter_map(|one| one.split_once('='));
        all.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Whom its process runs as; `None` if only its own user can be that.
    pub(super) fn user(&self) -> Option<GuestUser> {
        if !nix::unistd::geteuid().is_root() {
            return None;
        }
        let text = fs::read_to_string(format!("/proc/{}/status", self.beside)).ok()?;
        let numbers = |name: &str| -> Option<Vec<u32>> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let words = line.split_ascii_whitespace();
            words.map(|word| word.parse().ok()).collect()
        };
        Some(GuestUser {
            uid: *numbers("Uid:")?.get(1)?,
            gid: *numbers("Gid:")?.get(1)?,
            groups: numbers("Groups:")?,
        })
    }

    /// Makes a sandbox below its own, with files for the output. The owner of the sandbox may have put
    /// links anywhere: none is followed.
    pub(super) fn make_sandbox(
        &self,
        name: &str,
        user: Option<&GuestUser>,
    ) -> io::Result<(PathBuf, Output)> {
        let outer = folder(&self.sandbox)?;
        let containers = subfolder(&outer, CONTAINERS, 0o711)?;
        let own = subfolder(&containers, name, 0o750)?;
        let output = |name: &str| -> io::Result<File> {
            let flags = OFlag::O_WRONLY
                | OFlag::O_CREAT
                | OFlag::O_APPEND
                | OFlag::O_NOFOLLOW
                | OFlag::O_CLOEXEC;
            let file = openat(&own, name, flags, Mode::from_bits_truncate(0o644))?;
            give(&file, user)?;
            Ok(File::from(file))
        };
        let output = Output {
            stdout: output("stdout")?,
            stderr: output("stderr")?,
        };
        give(&own, user)?;
        Ok((self.sandbox.join(CONTAINERS).join(name), output))
    }
}

const FOLDER: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

fn folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, FOLDER, Mode::empty())?)
}

fn subfolder(outer: &OwnedFd, name: &str, mode: u32) -> io::Result<OwnedFd> {
    let mode = Mode::from_bits_truncate(mode);
    match mkdirat(outer, name, mode) {
        Err(error) if error != nix::Error::EEXIST => return Err(error.into()),
        _ => {}
    }
    let inner = openat(outer, name, FOLDER, Mode::empty())?;
    fchmod(&inner, mode)?;
    Ok(inner)
}

fn give(fd: &OwnedFd, user: Option<&GuestUser>) -> io::Result<()> {
    if let Some(user) = user {
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        fchown(fd, Some(uid), Some(gid))?;
    }
    Ok(())
}
