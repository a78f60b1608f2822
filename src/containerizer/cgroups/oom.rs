//! Whether the kernel killed for memory, and being told when it does.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::files::{self, CgroupError};
use crate::containerizer::plan::{CgroupVersion, LaunchPlan};
use crate::containerizer::ready::register;

/// What is known about a task that was killed for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// The most that was used, in bytes.
    pub used: u64,
    /// The hard limit in bytes; `None` if the machine itself ran out of memory.
    pub limit: Option<u64>,
}

impl std::fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.limit {
            Some(limit) => write!(
                f,
                "Memory limit exceeded: {} bytes used, {limit} bytes allowed",
                self.used
            ),
            None => write!(
                f,
                "The machine ran out of memory: {} bytes used without a limit",
                self.used
            ),
        }
    }
}

/// The memory leaf of a task.
#[derive(Clone, Debug)]
pub struct MemoryLeaf {
    version: CgroupVersion,
    path: PathBuf,
}

/// Whether the kernel killed a process of the planned task for memory. To be asked by the supervisor
/// when its task has ended, before it says so to anybody.
#[must_use]
pub fn of_plan(plan: &LaunchPlan) -> Option<OutOfMemory> {
    let leaf = plan
        .cgroups
        .iter()
        .find(|leaf| leaf.controllers.iter().any(|name| name == "memory"))?;
    MemoryLeaf::new(leaf.version, leaf.path.clone())
        .killed()
        .ok()?
}

impl MemoryLeaf {
    /// The leaf at `path`.
    #[must_use]
    pub fn new(version: CgroupVersion, path: PathBuf) -> Self {
        Self { version, path }
    }

    /// What was used when the kernel killed a process of this leaf; `None` if it never did.
    pub fn killed(&self) -> Result<Option<OutOfMemory>, CgroupError> {
        let file = self.path.join(match self.version {
            CgroupVersion::V1 => "memory.oom_control",
            CgroupVersion::V2 => "memory.events",
        });
        if files::read_key(&file, "oom_kill")?.unwrap_or(0) == 0 {
            return Ok(None);
        }
        self.measure().map(Some)
    }

    fn measure(&self) -> Result<OutOfMemory, CgroupError> {
        let number = |name: &str| files::read_number(&self.path.join(name));
        let (used, limit) = match self.version {
            CgroupVersion::V1 => (
                number("memory.max_usage_in_bytes")?,
                number("memory.limit_in_bytes")?,
            ),
            CgroupVersion::V2 => (
                // memory.peak came with 5.19.
                number("memory.peak").or_else(|_| number("memory.current"))?,
                number("memory.max")?,
            ),
        };
        Ok(OutOfMemory {
            used,
            limit: (limit < i64::MAX as u64 - (1 << 20)).then_some(limit),
        })
    }

    /// Begins to listen. To be called inside a tokio runtime.
    pub fn watch(self) -> Result<OomWatch, CgroupError> {
        let source = match self.version {
            CgroupVersion::V1 => listen_v1(&self.path)?,
            CgroupVersion::V2 => listen_v2(&self.path)?,
        };
        Ok(OomWatch { leaf: self, source })
    }
}

/// Waits for a kill for memory.
#[derive(Debug)]
pub struct OomWatch {
    leaf: MemoryLeaf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// An eventfd that the kernel signals; and when the group is removed.
    Event(AsyncFd<OwnedFd>),
    /// `memory.events`, which polls as urgent when it has changed.
    Events(AsyncFd<File>),
}

fn listen_v1(path: &Path) -> Result<Source, CgroupError> {
    let control = path.join("memory.oom_control");
    let opened = File::open(&control).map_err(|cause| CgroupError::Read {
        path: control.clone(),
        cause,
    })?;
    // SAFETY: plain numbers; the new descriptor is owned at once.
    let event = unsafe {
        let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
        if fd < 0 {
            return Err(CgroupError::Read {
                path: control,
                cause: io::Error::last_os_error(),
            });
        }
        OwnedFd::from_raw_fd(fd)
    };
    let line = format!("{} {}", event.as_raw_fd(), opened.as_raw_fd());
    files::write(&path.join("cgroup.event_control"), &line)?;
    register(event, Interest::READABLE)
        .map(Source::Event)
        .map_err(|cause| CgroupError::Read {
            path: control,
            cause,
        })
}

fn listen_v2(path: &Path) -> Result<Source, CgroupError> {
    let path = path.join("memory.events");
    File::open(&path)
        .and_then(|mut file| {
            // Only changes after a first reading are told.
            file.read_to_string(&mut String::new())?;
            register(file, Interest::PRIORITY)
        })
        .map(Source::Events)
        .map_err(|cause| CgroupError::Read { path, cause })
}

impl OomWatch {
    /// Waits until the kernel has killed, or is about to kill, for memory. Does not return if it
    /// never does, also when the group is removed. Cancel safe.
    pub async fn killed(&mut self) -> OutOfMemory {
        // While nobody listened, as between two lives of an agent.
        if let Ok(Some(found)) = self.leaf.killed() {
            return found;
        }
        loop {
            if self.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if let Some(found) = self.judge() {
                return found;
            }
        }
    }

    async fn changed(&mut self) -> io::Result<()> {
        match &mut self.source {
            Source::Event(event) => {
                let mut guard = event.readable().await?;
                let mut count = [0_u8; 8];
                let fd = guard.get_inner().as_raw_fd();
                // SAFETY: the buffer lives across the call and its length is given.
                unsafe { libc::read(fd, count.as_mut_ptr().cast(), count.len()) };
                guard.clear_ready();
            }
            Source::Events(file) => {
                let mut guard = file.ready_mut(Interest::PRIORITY).await?;
                let mut text = String::new();
                let file = guard.get_inner_mut();
                let read = file
                    .seek(SeekFrom::Start(0))
                    .and_then(|_| file.read_to_string(&mut text));
                guard.clear_ready();
                read?;
            }
        }
        Ok(())
    }

    /// Version 1 tells before it kills, and the group's removal in the same way: a group that still
    /// has its files and that is over, or was refused memory, is the former.
    fn judge(&self) -> Option<OutOfMemory> {
        if let Ok(Some(found)) = self.leaf.killed() {
            return Some(found);
        }
        if self.leaf.version == CgroupVersion::V2 {
            return None;
        }
        let refused = files::read_number(&self.leaf.path.join("memory.failcnt")).ok()?;
        (refused > 0).then(|| self.leaf.measure().ok())?
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn kills_are_read_from_both_versions() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        put(
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
        );
        put("memory.max_usage_in_bytes", "33554432\n");
        put("memory.limit_in_bytes", "33554432\n");
        let v1 = MemoryLeaf::new(CgroupVersion::V1, dir.path().to_owned());
        assert_eq!(v1.killed().unwrap(), None);
        put(
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        );
        let found = v1.killed().unwrap().unwrap();
        assert_eq!(
            found.to_string(),
            "Memory limit exceeded: 33554432 bytes used, 33554432 bytes allowed"
        );
        put("memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n");
        put("memory.current", "100\n");
        put("memory.max", "max\n");
        let v2 = MemoryLeaf::new(CgroupVersion::V2, dir.path().to_owned());
        assert_eq!(
            v2.killed().unwrap().unwrap(),
            OutOfMemory {
                used: 100,
                limit: None
            }
        );
    }
}
