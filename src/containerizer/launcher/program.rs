//! The sealed copy of this program that all supervisors execute: one file in memory, so that they
//! share its pages, that nothing can change, and that survives an upgrade of the file on disk.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, RawFd};
use std::path::{Path, PathBuf};

/// Descriptors below this have, or may have, a fixed meaning in a supervisor.
pub(super) const FREE_FROM: RawFd = 10;

/// A copy of a program in memory.
#[derive(Debug)]
pub struct SealedProgram {
    copy: File,
}

impl SealedProgram {
    /// Copies and seals the program at `path`.
    pub fn new(path: &Path) -> io::Result<Self> {
        let mut source = File::open(path)?;
        let mut copy = anonymous_file()?;
        io::copy(&mut source, &mut copy)?;
        let seals =
            libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
        // SAFETY: the descriptor is open; plain numbers.
        if unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_ADD_SEALS, seals) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { copy })
    }

    /// A path to execute, valid in this process and its forks until they execute.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.copy.as_raw_fd()))
    }
}

fn anonymous_file() -> io::Result<File> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // Kernels from 6.3 want to be told that the file will be executed; older ones do not know the flag.
    for flags in [flags | libc::MFD_EXEC, flags] {
        // SAFETY: the name is null-terminated; the new descriptor is owned at once.
        unsafe {
            let fd = libc::memfd_create(c"mesosd".as_ptr(), flags);
            if fd >= 0 {
                return Ok(File::from_raw_fd(fd));
            }
        }
    }
    Err(io::Error::last_os_error())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::Command;

    #[test]
    fn copy_runs_and_cannot_be_changed() {
        let program = SealedProgram::new(Path::new("/bin/true")).unwrap();
        assert!(Command::new(program.path()).status().unwrap().success());
        let mut copy = &program.copy;
        assert!(copy.write_all(b"x").is_err());
        assert!(program.copy.set_len(0).is_err());
    }
}
