//! `filesystem/posix`: the host's file system as it is; the sandbox is the working directory.

use super::isolator::Isolator;

/// The isolator.
#[derive(Debug)]
pub(super) struct FilesystemPosix;

impl Isolator for FilesystemPosix {
    fn name(&self) -> &'static str {
        "filesystem/posix"
    }
}
