//! The directory of what ends with the boot (`--runtime_dir`): found, made, and locked, because an agent
//! begins with ending the containers that it finds recorded there.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;

use super::daemon::{DaemonError, usable};

/// Where an agent that is root keeps what ends with the boot.
const OF_ROOT: &str = "/var/run/mesos";
/// Held by the agent that uses the directory.
const LOCK: &str = "lock";

/// A runtime directory that is this agent's alone, until this value is dropped.
#[derive(Debug)]
pub(super) struct RuntimeDir {
    path: PathBuf,
    /// Nobody named it: it goes when the agent ends in order.
    own: bool,
    _lock: Flock<File>,
}

impl RuntimeDir {
    /// The one that was named; else the usual one of root; else, for other users, one below the
    /// directory of temporary files that the same user finds again for the same `work_dir`.
    pub(super) fn open(given: Option<PathBuf>, work_dir: &Path) -> Result<Self, DaemonError> {
        let own = given.is_none() && !geteuid().is_root();
        let path = match given {
            Some(path) => path,
            None if own => of_user(work_dir)?,
            None => OF_ROOT.into(),
        };
        // Executors look for it from their sandboxes.
        let path = std::path::absolute(&path).map_err(|error| wrong(&path, error))?;
        usable("runtime_dir", &path)?;
        let lock = lock(&path)?;
        Ok(Self {
            path,
            own,
            _lock: lock,
        })
    }

    /// It stays when the agent ends: containers go on.
    pub(super) fn keep(&mut self) {
        self.own = false;
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        if self.own {
            // What cannot be removed now goes with the boot.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn wrong(path: &Path, source: io::Error) -> DaemonError {
    DaemonError::Directory {
        flag: "runtime_dir",
        path: path.to_owned(),
        source,
    }
}

/// Made for this user alone: in a directory that everybody can write to, somebody else may have been
/// there first.
fn of_user(work_dir: &Path) -> Result<PathBuf, DaemonError> {
    let uid = geteuid().as_raw();
    let place = std::fs::metadata(work_dir).map_err(|error| wrong(work_dir, error))?;
    let name = format!("mesosd-runtime-{uid}-{:x}-{:x}", place.dev(), place.ino());
    let path = std::env::temp_dir().join(name);
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(wrong(&path, error));
        }
        _ => {}
    }
    let found = std::fs::symlink_metadata(&path).map_err(|error| wrong(&path, error))?;
    if !found.is_dir() || found.uid() != uid || found.mode() & 0o077 != 0 {
        let reason = "it is not a directory of this user alone; name another one";
        return Err(wrong(&path, io::Error::other(reason)));
    }
    Ok(path)
}

fn lock(path: &Path) -> Result<Flock<File>, DaemonError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK))
        .map_err(|error| wrong(path, error))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        wrong(
            path,
            match errno {
                Errno::EWOULDBLOCK => io::Error::other(
                    "another agent uses it; every agent of a host needs one of its own",
                ),
                errno => errno.into(),
            },
        )
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_agent_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let first = RuntimeDir::open(Some(path.clone()), dir.path()).unwrap();
        let second = RuntimeDir::open(Some(path.clone()), dir.path());
        let refused = crate::telemetry::chain(&second.unwrap_err());
        assert!(refused.contains("--runtime_dir"), "{refused}");
        assert!(refused.contains("another agent uses it"), "{refused}");
        drop(first);
        RuntimeDir::open(Some(path.clone()), dir.path()).unwrap();
        assert!(path.exists(), "what was named is kept");
    }

    #[test]
    fn a_relative_name_is_made_absolute() {
        let dir = tempfile::tempdir().unwrap();
        let here = std::env::current_dir().unwrap();
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        let relative = up.join(dir.path().strip_prefix("/").unwrap()).join("run");
        let opened = RuntimeDir::open(Some(relative), dir.path()).unwrap();
        assert!(opened.path().is_absolute(), "{:?}", opened.path());
        assert!(dir.path().join("run").exists());
    }

    #[test]
    fn a_users_directory_is_found_again_and_nobody_elses_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = of_user(dir.path()).unwrap();
        assert_eq!(of_user(dir.path()).unwrap(), path);
        std::fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink(dir.path(), &path).unwrap();
        let refused = of_user(dir.path());
        std::fs::remove_file(&path).unwrap();
        assert!(refused.is_err());
    }
}
