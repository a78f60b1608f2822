//! The sandbox: a directory of the task's user with the files `stdout` and `stderr`.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::plan::PlannedUser;

/// Mode of a sandbox: its user and group only.
const SANDBOX_MODE: u32 = 0o750;
/// Mode of the folders that hold sandboxes of several users.
pub(super) const SHARED_MODE: u32 = 0o711;
/// Mode of `stdout` and `stderr`.
const OUTPUT_MODE: u32 = 0o644;

/// Why a sandbox could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {path}: {cause}")]
pub struct SandboxError {
    path: PathBuf,
    cause: io::Error,
}

/// The open output files of a container.
#[derive(Debug)]
pub struct Output {
    /// Appends to the file of that name.
    pub stdout: File,
    /// As well.
    pub stderr: File,
}

/// Makes the sandbox, which must not be anything but a directory, and its output files.
pub(super) fn create(sandbox: &Path, user: Option<&PlannedUser>) -> Result<Output, SandboxError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| SandboxError { path, cause }
    };
    if let Some(parent) = sandbox.parent() {
        fs::create_dir_all(parent).map_err(failed(parent))?;
    }
    match DirBuilder::new().mode(SANDBOX_MODE).create(sandbox) {
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && is_directory(sandbox) => {}
        other => other.map_err(failed(sandbox))?,
    }
    fs::set_permissions(sandbox, Permissions::from_mode(SANDBOX_MODE)).map_err(failed(sandbox))?;
    let open = |name: &str| {
        let path = sandbox.join(name);
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(OUTPUT_MODE)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(failed(&path))?;
        if let Some(user) = user {
            std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid))
                .map_err(failed(&path))?;
        }
        Ok(file)
    };
    let output = Output {
        stdout: open("stdout")?,
        stderr: open("stderr")?,
    };
    // Last: from here on the user can change what is in it.
    if let Some(user) = user {
        std::os::unix::fs::lchown(sandbox, Some(user.uid), Some(user.gid))
            .map_err(failed(sandbox))?;
    }
    Ok(output)
}

/// Makes the sandbox of an executor that is our own: users pass through it on the way to sandboxes
/// below it, and can neither list nor change it.
pub(super) fn create_shared(sandbox: &Path) -> Result<Output, SandboxError> {
    let output = create(sandbox, None)?;
    fs::set_permissions(sandbox, Permissions::from_mode(SHARED_MODE)).map_err(|cause| {
        SandboxError {
            path: sandbox.to_owned(),
            cause,
        }
    })?;
    Ok(output)
}

/// Points `latest` beside the sandbox at it, so that people find the newest run of an executor.
pub(super) fn link_latest(sandbox: &Path) -> Result<(), SandboxError> {
    let (Some(runs), Some(name)) = (sandbox.parent(), sandbox.file_name()) else {
        return Ok(());
    };
    let link = runs.join("latest");
    // Made under another name first: there is always a link, and it always leads somewhere.
    let mut temporary = name.to_owned();
    temporary.push(".latest");
    let temporary = runs.join(temporary);
    std::os::unix::fs::symlink(name, &temporary)
        .and_then(|()| fs::rename(&temporary, &link))
        .map_err(|cause| SandboxError { path: link, cause })
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn sandbox_is_private_and_output_is_appended() {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = dir.path().join("runs/c1");
        for text in ["one\n", "two\n"] {
            let mut output = create(&sandbox, None).unwrap();
            output.stdout.write_all(text.as_bytes()).unwrap();
        }
        let mode = fs::metadata(&sandbox).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, SANDBOX_MODE);
        let text = fs::read_to_string(sandbox.join("stdout")).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn latest_is_the_newest_run() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["c1", "c2"] {
            let sandbox = dir.path().join(name);
            create(&sandbox, None).unwrap();
            link_latest(&sandbox).unwrap();
            let target = fs::read_link(dir.path().join("latest")).unwrap();
            assert_eq!(target, Path::new(name));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = dir.path().join("c1");
        std::os::unix::fs::symlink("/tmp", &sandbox).unwrap();
        assert!(create(&sandbox, None).is_err());
        let sandbox = dir.path().join("c2");
        fs::create_dir(&sandbox).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", sandbox.join("stdout")).unwrap();
        let refused = create(&sandbox, None).unwrap_err().to_string();
        assert!(refused.contains("c2/stdout"), "{refused}");
    }
}
