//! Reading configuration files, bounded.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use super::error::FlagError;

/// Largest configuration file, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// The text of a file, without the white space around it.
pub(super) fn read_bounded(path: &Path) -> Result<String, FlagError> {
    let wrong = |source| FlagError::Read {
        path: path.to_owned(),
        source,
    };
    let kind = std::fs::metadata(path).map_err(wrong)?.file_type();
    if kind.is_fifo() || kind.is_socket() {
        // To open or read one may never end.
        let reason = "a pipe or a socket, write it to a file";
        return Err(wrong(io::Error::new(io::ErrorKind::InvalidInput, reason)));
    }
    let file = File::open(path).map_err(wrong)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(wrong)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(FlagError::TooLarge {
            path: path.to_owned(),
            max: BYTES_MAX,
        });
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| wrong(io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text")))?;
    Ok(text.trim().to_owned())
}
