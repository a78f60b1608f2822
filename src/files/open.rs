//! Opening a path that cannot leave its folder.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

use super::error::FilesError;

/// Opens `path` below `root` for reading. Links are followed as long as they stay below `root`
/// (openat2(2), `RESOLVE_BENEATH`); kernels before 5.6 follow none. `shown` is the path for errors.
pub(super) fn open_beneath(root: &Path, path: &Path, shown: &str) -> Result<File, FilesError> {
    open_io(root, path).map_err(|error| FilesError::of(shown, error))
}

fn open_io(root: &Path, path: &Path) -> io::Result<File> {
    let folder = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC)
        .open(root)?;
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    // O_NONBLOCK: opening a pipe that nobody writes to must not hang.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(folder.as_fd(), path, how) {
        Ok(file) => Ok(File::from(file)),
        Err(Errno::ENOSYS) => walk(folder.into(), path, flags),
        Err(error) => Err(error.into()),
    }
}

/// Component by component, following no link.
fn walk(mut folder: OwnedFd, path: &Path, flags: OFlag) -> io::Result<File> {
    let mut components = path.components().peekable();
    while let Some(component) = components.next() {
        let name = match component {
            Component::Normal(name) => Path::new(name),
            Component::CurDir => Path::new("."),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(Errno::EXDEV.into());
            }
        };
        let last = components.peek().is_none();
        let kind = if last {
            flags
        } else {
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC
        };
        folder = openat(
            folder.as_fd(),
            name,
            kind | OFlag::O_NOFOLLOW,
            Mode::empty(),
        )?;
        if last {
            return Ok(File::from(folder));
        }
    }
    Err(ErrorKind::InvalidInput.into())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn error(root: &Path, path: &str) -> String {
        open_beneath(root, Path::new(path), path)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("sandbox");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/inside"), "x").unwrap();
        fs::write(outer.path().join("secret"), "x").unwrap();
        symlink("../inside", root.join("a/b/good")).unwrap();
        symlink("../secret", root.join("up")).unwrap();
        symlink("/etc/passwd", root.join("absolute")).unwrap();
        symlink("/proc/self/fd/0", root.join("magic")).unwrap();
        symlink("loop", root.join("loop")).unwrap();

        assert!(open_beneath(&root, Path::new("a/b/good"), "good").is_ok());
        assert!(open_beneath(&root, Path::new(""), "").is_ok());
        for path in [
            "../secret",
            "up",
            "absolute",
            "magic",
            "loop",
            "a/../../secret",
            "/etc/passwd",
        ] {
            assert_eq!(
                error(&root, path),
                format!("'{path}' leads out of its folder")
            );
        }
        assert_eq!(error(&root, "none"), "'none' does not exist");
    }

    #[test]
    fn old_kernels_follow_no_links() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path();
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("a/inside"), "x").unwrap();
        symlink("inside", root.join("a/link")).unwrap();
        let open = |path: &str| {
            let folder = File::open(root).unwrap();
            walk(folder.into(), Path::new(path), OFlag::O_RDONLY)
        };
        assert!(open("a/inside").is_ok());
        assert_eq!(
            open("a/link").unwrap_err().raw_os_error(),
            Some(libc::ELOOP)
        );
        assert_eq!(open("../x").unwrap_err().raw_os_error(), Some(libc::EXDEV));
    }

    #[test]
    fn a_pipe_does_not_hang() {
        let outer = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&outer.path().join("pipe"), Mode::S_IRWXU).unwrap();
        assert!(open_beneath(outer.path(), Path::new("pipe"), "pipe").is_ok());
    }
}
