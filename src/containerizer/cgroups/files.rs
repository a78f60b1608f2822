//! Reading and writing control files: every limit is read back, every error names file and value.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Why a control group could not be made, limited, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A controller exists in no mounted hierarchy.
    #[error(
        "the controller {controller:?} is available neither as a cgroup v1 mount nor in a cgroup v2 \
         tree; leave out the isolator that needs it (--isolation) or mount it"
    )]
    Unavailable {
        /// The controller.
        controller: &'static str,
    },
    /// The mount table cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The kernel refused a value.
    #[error("cannot write {value:?} to {path}: {cause}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The kernel took a value and kept another.
    #[error("wrote {wanted:?} to {path}, but it holds {found:?}")]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The value written.
        wanted: String,
        /// The value read back.
        found: String,
    },
    /// A directory cannot be made.
    #[error("cannot make the cgroup {path}: {cause}")]
    Make {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A directory cannot be removed.
    #[error("cannot remove the cgroup {path}: {cause}")]
    Remove {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Processes remain.
    #[error("processes {pids:?} are still in the cgroup {path} after {seconds} s of killing")]
    Unkillable {
        /// The directory.
        path: PathBuf,
        /// What is in it.
        pids: Vec<u32>,
        /// How long it was tried.
        seconds: u64,
    },
}

/// The text of a control file, without the newline at its end.
pub(super) fn read(path: &Path) -> Result<String, CgroupError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end().to_owned()),
        Err(cause) => Err(CgroupError::Read {
            path: path.to_owned(),
            cause,
        }),
    }
}

/// The number in a control file; `max` and what does not fit are `u64::MAX`.
pub(super) fn read_number(path: &Path) -> Result<u64, CgroupError> {
    let text = read(path)?;
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// The value of `key` in a control file of `key value` lines.
pub(super) fn read_key(path: &Path, key: &str) -> Result<Option<u64>, CgroupError> {
    Ok(find_key(&read(path)?, key))
}

/// The value of `key` in a text of `key value` lines.
pub(super) fn find_key(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok())?
    })
}

/// Writes a control file, which must exist.
pub(super) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|cause| CgroupError::Write {
            path: path.to_owned(),
            value: value.to_owned(),
            cause,
        })
}

/// Writes a limit and reads it back; `same` tells whether what is found is what was wanted.
pub(super) fn write_checked(
    path: &Path,
    value: &str,
    same: impl Fn(&str) -> bool,
) -> Result<(), CgroupError> {
    write(path, value)?;
    let found = read(path)?;
    if same(&found) {
        return Ok(());
    }
    Err(CgroupError::Mismatch {
        path: path.to_owned(),
        wanted: value.to_owned(),
        found,
    })
}

/// Writes a limit that must be kept as it is.
pub(super) fn write_exact(path: &Path, value: &str) -> Result<(), CgroupError> {
    write_checked(path, value, |found| found == value)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn missing_control_file_is_not_created() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cpu.shares");
        let refused = write(&path, "2").unwrap_err().to_string();
        assert!(
            refused.contains("cpu.shares") && refused.contains("\"2\""),
            "{refused}"
        );
        assert!(!path.exists());
    }

    #[test]
    fn value_that_the_kernel_changed_is_an_error_with_both_values() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pids.max");
        // A file opened for writing keeps what was behind the new text: "10" over "100\n".
        fs::write(&path, "100").unwrap();
        let refused = write_exact(&path, "20").unwrap_err().to_string();
        assert!(refused.contains("wrote \"20\""), "{refused}");
        assert!(refused.contains("holds \"200\""), "{refused}");
    }

    #[test]
    fn keyed_files_are_searched_by_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3";
        assert_eq!(find_key(text, "oom_kill"), Some(3));
        assert_eq!(find_key(text, "oom"), None);
    }
}
