//! The files of a container under `<runtime_dir>/containers/<container id>`: `status` (how the task
//! ended, written by the supervisor before it tells anybody) and `pid` (which process supervises it).

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Why a file of the runtime directory is unusable.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// The file's content makes no sense.
    #[error("{path} holds {found:?}, which is not a wait status or process record")]
    Malformed {
        /// The file.
        path: String,
        /// What it holds.
        found: String,
    },
}

/// A process, named so that a later process with the same number is not taken for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// The process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/<pid>/stat`, field 22).
    pub start_time: u64,
    /// The boot that the two numbers above belong to.
    pub boot_id: String,
}

fn write_atomically(path: &Path, text: &str) -> Result<(), StatusError> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, text)
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|cause| StatusError::Write {
            path: path.display().to_string(),
            cause,
        })
}

fn read_if_there(path: &Path) -> Result<Option<String>, StatusError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(StatusError::Read {
            path: path.display().to_string(),
            cause,
        }),
    }
}

/// Records that the task ended with `wait_status` (as `waitpid(2)` returns it). Atomic, and safe
/// against the death of the writer, not against power loss: after a reboot the task is gone anyway.
pub fn write(runtime: &Path, wait_status: i32) -> Result<(), StatusError> {
    write_atomically(&runtime.join("status"), &format!("{wait_status}\n"))
}

/// Takes a record back: something runs again.
pub fn forget(runtime: &Path) -> Result<(), StatusError> {
    let path = runtime.join("status");
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(StatusError::Write {
            path: path.display().to_string(),
            cause,
        }),
        _ => Ok(()),
    }
}

/// How the task ended; `None` if nobody recorded it.
pub fn read(runtime: &Path) -> Result<Option<i32>, StatusError> {
    let path = runtime.join("status");
    let Some(text) = read_if_there(&path)? else {
        return Ok(None);
    };
    match text.trim().parse() {
        Ok(status) => Ok(Some(status)),
        Err(_) => Err(StatusError::Malformed {
            path: path.display().to_string(),
            found: text,
        }),
    }
}

/// Records the supervisor.
pub fn write_process(runtime: &Path, record: &ProcessRecord) -> Result<(), StatusError> {
    let text = serde_json::to_string(record).expect("a record of numbers and text is valid JSON");
    write_atomically(&runtime.join("pid"), &text)
}

/// The recorded supervisor; `None` if the launch did not get that far.
pub fn read_process(runtime: &Path) -> Result<Option<ProcessRecord>, StatusError> {
    let path = runtime.join("pid");
    let Some(text) = read_if_there(&path)? else {
        return Ok(None);
    };
    match serde_json::from_str(&text) {
        Ok(record) => Ok(Some(record)),
        Err(_) => Err(StatusError::Malformed {
            path: path.display().to_string(),
            found: text,
        }),
    }
}

impl ProcessRecord {
    /// The record of a live process; `None` if it has gone.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            start_time: start_time(pid)?,
            boot_id: boot_id()?,
        })
    }

    /// True if that very process is still there (it may be a zombie).
    #[must_use]
    pub fn is_there(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// Field 22 of `/proc/<pid>/stat`; the fields are counted after the command name, which may itself
/// hold spaces and parentheses.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn status_is_absent_then_read_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        write(dir.path(), 7 << 8).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(1792));
        fs::write(dir.path().join("status"), "").unwrap();
        assert!(matches!(
            read(dir.path()),
            Err(StatusError::Malformed { .. })
        ));
    }

    #[test]
    fn process_is_recognised_by_more_than_its_number() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_process(dir.path()).unwrap(), None);
        let mut record = ProcessRecord::of(std::process::id()).unwrap();
        write_process(dir.path(), &record).unwrap();
        assert_eq!(read_process(dir.path()).unwrap().unwrap(), record);
        assert!(record.is_there());
        record.start_time += 1;
        assert!(!record.is_there());
    }
}
