//! Why a file could not be read.

use std::io;

/// One line for the reader; `path` is the path that they asked for.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// Nothing has that name, or no longer.
    #[error("'{path}' does not exist")]
    NotFound {
        /// The path asked for.
        path: String,
    },
    /// A `..` or a link leads out of the folder.
    #[error("'{path}' leads out of its folder")]
    Outside {
        /// The path asked for.
        path: String,
    },
    /// A folder, a device, a pipe or a socket.
    #[error("'{path}' is not a regular file")]
    NotAFile {
        /// The path asked for.
        path: String,
    },
    /// A file where a folder is needed.
    #[error("'{path}' is not a folder")]
    NotAFolder {
        /// The path asked for.
        path: String,
    },
    /// Anything else that the system said.
    #[error("'{path}' cannot be read")]
    Io {
        /// The path asked for.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl FilesError {
    /// Sorts what the system said into the kinds.
    pub(super) fn of(path: &str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.raw_os_error() {
            // A name that no file can have is one that no file has.
            Some(libc::ENOENT | libc::ENAMETOOLONG | libc::EINVAL) => Self::NotFound { path },
            Some(libc::EXDEV | libc::ELOOP) => Self::Outside { path },
            Some(libc::ENOTDIR) => Self::NotAFolder { path },
            Some(libc::EISDIR | libc::ENXIO) => Self::NotAFile { path },
            _ => Self::Io { path, source },
        }
    }
}
