//! Writing below one directory and nowhere else: every path is walked name by name from an open
//! descriptor, and a link on the way is an error, not a door.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

/// Why something cannot be written to a sandbox.
#[derive(Debug, thiserror::Error)]
pub(super) enum SandboxError {
    /// The path is absolute or holds `..`.
    #[error("'{0}' would leave the sandbox")]
    Leaves(String),
    /// The path is empty or names the sandbox itself.
    #[error("'{0}' names no file")]
    NoName(String),
    /// A directory on the way is a link or a file.
    #[error("'{path}' leads through '{name}', which is a link or not a directory")]
    Through {
        /// The whole path.
        path: String,
        /// The name that is in the way.
        name: String,
    },
    /// The kernel refused.
    #[error("cannot {verb} '{path}': {cause}")]
    System {
        /// What was tried.
        verb: &'static str,
        /// On which path.
        path: String,
        /// What the kernel said; part of the message, so not a source.
        cause: io::Error,
    },
}

fn system(verb: &'static str, path: &Path, errno: Errno) -> SandboxError {
    SandboxError::System {
        verb,
        path: path.display().to_string(),
        cause: errno.into(),
    }
}

/// The names of a relative path.
fn names(path: &Path) -> Result<Vec<&OsStr>, SandboxError> {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| match component {
            Component::Normal(name) => Ok(name),
            _ => Err(SandboxError::Leaves(path.display().to_string())),
        })
        .collect()
}

/// A directory to write to.
#[derive(Debug)]
pub(super) struct Sandbox(OwnedFd);

const DIRECTORY: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_RDONLY);

impl Sandbox {
    pub(super) fn open(path: &Path) -> Result<Self, SandboxError> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match open(path, flags, Mode::empty()) {
            Ok(directory) => Ok(Self(directory)),
            Err(errno) => Err(system("open", path, errno)),
        }
    }

    /// Opens a directory, made on the way if need be.
    fn walk(&self, names: &[&OsStr], path: &Path) -> Result<OwnedFd, SandboxError> {
        let mut at = self.0.try_clone().map_err(|cause| SandboxError::System {
            verb: "open",
            path: path.display().to_string(),
            cause,
        })?;
        for name in names {
            match mkdirat(&at, *name, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(system("make a directory on the way to", path, errno)),
            }
            at = match openat(&at, *name, DIRECTORY, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::ELOOP | Errno::ENOTDIR) => {
                    return Err(SandboxError::Through {
                        path: path.display().to_string(),
                        name: name.to_string_lossy().into_owned(),
                    });
                }
                Err(errno) => return Err(system("open", path, errno)),
            };
        }
        Ok(at)
    }

    /// The directory of a path and the last name.
    fn parent(&self, path: &Path) -> Result<(OwnedFd, OsString), SandboxError> {
        let names = names(path)?;
        let Some((last, before)) = names.split_last() else {
            return Err(SandboxError::NoName(path.display().to_string()));
        };
        Ok((self.walk(before, path)?, (*last).to_owned()))
    }

    /// Makes room for a new file or link: whatever has its name goes, unless it is a directory.
    fn vacate(&self, path: &Path) -> Result<(OwnedFd, OsString), SandboxError> {
        let (directory, name) = self.parent(path)?;
        match unlinkat(&directory, name.as_os_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok((directory, name)),
            Err(errno) => Err(system("replace", path, errno)),
        }
    }

    /// A new empty file in place of an older file or link.
    pub(super) fn create_file(&self, path: &Path, mode: u32) -> Result<File, SandboxError> {
        let (directory, name) = self.vacate(path)?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(mode & 0o777);
        openat(&directory, name.as_os_str(), flags, mode)
            .map(File::from)
            .map_err(|errno| system("create", path, errno))
    }

    /// Opens a file that is there.
    pub(super) fn open_file(&self, path: &Path) -> Result<File, SandboxError> {
        let (directory, name) = self.parent(path)?;
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&directory, name.as_os_str(), flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| system("open", path, errno))
    }

    pub(super) fn remove_file(&self, path: &Path) -> Result<(), SandboxError> {
        self.vacate(path).map(|_| ())
    }

    /// A directory; one that is there stays as it is.
    pub(super) fn create_directory(&self, path: &Path) -> Result<(), SandboxError> {
        let names = names(path)?;
        self.walk(&names, path).map(|_| ())
    }

    /// A symbolic link. It may point anywhere, since nothing here ever follows it; a task could make
    /// the same one.
    pub(super) fn symbolic_link(&self, path: &Path, target: &Path) -> Result<(), SandboxError> {
        let (directory, name) = self.vacate(path)?;
        symlinkat(target, directory.as_fd(), name.as_os_str())
            .map_err(|errno| system("link", path, errno))
    }

    /// A hard link to a file of the sandbox.
    pub(super) fn hard_link(&self, path: &Path, target: &Path) -> Result<(), SandboxError> {
        let (from, from_name) = self.parent(target)?;
        let (to, to_name) = self.parent(path)?;
        let link = || {
            linkat(
                &from,
                from_name.as_os_str(),
                &to,
                to_name.as_os_str(),
                AtFlags::empty(),
            )
        };
        match link() {
            Ok(()) => return Ok(()),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(system("link", path, errno)),
        }
        // A link of a file to itself must not remove the file.
        if names(path)? == names(target)? {
            return Ok(());
        }
        self.vacate(path)?;
        link().map_err(|errno| system("link", path, errno))
    }
}

/// A path below the sandbox, normalised: no `.`, no `..`, not absolute, not empty.
pub(super) fn relative(path: &Path) -> Result<PathBuf, SandboxError> {
    let names = names(path)?;
    if names.is_empty() {
        return Err(SandboxError::NoName(path.display().to_string()));
    }
    Ok(names.iter().collect())
}
