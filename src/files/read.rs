//! Reading a part of a file.

use std::fs::{File, Metadata};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::error::FilesError;
use super::open::open_beneath;

/// Most bytes that one read gives (Mesos: sixteen pages).
pub const READ_MAX: usize = 64 * 1024;

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Length of the whole file, in bytes.
    pub size: u64,
    /// The bytes from the wanted offset on; fewer than wanted at the end or beyond [`READ_MAX`].
    pub data: Vec<u8>,
}

/// Reads at most `length` bytes at `offset` of a regular file below `root`; all up to [`READ_MAX`]
/// without `length`. Blocks on the disk.
///
/// # Errors
///
/// [`FilesError`], with `shown` as the path.
pub fn read(
    root: &Path,
    path: &Path,
    shown: &str,
    offset: u64,
    length: Option<u64>,
) -> Result<Slice, FilesError> {
    let (file, metadata) = open_regular(root, path, shown)?;
    let size = metadata.len();
    let wanted = length.unwrap_or(u64::MAX).min(size.saturating_sub(offset));
    let wanted = usize::try_from(wanted).unwrap_or(READ_MAX).min(READ_MAX);
    let data = read_at(&file, offset, wanted).map_err(|error| FilesError::of(shown, error))?;
    Ok(Slice { size, data })
}

/// Opens a file that is neither folder nor device nor pipe.
pub(super) fn open_regular(
    root: &Path,
    path: &Path,
    shown: &str,
) -> Result<(File, Metadata), FilesError> {
    let file = open_beneath(root, path, shown)?;
    let metadata = file
        .metadata()
        .map_err(|error| FilesError::of(shown, error))?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        let path = shown.to_owned();
        Err(FilesError::NotAFile { path })
    }
}

/// At most `wanted` bytes; fewer when the file ends before.
pub(super) fn read_at(file: &File, offset: u64, wanted: usize) -> std::io::Result<Vec<u8>> {
    let mut data = vec![0; wanted];
    let mut filled = 0;
    while filled < wanted {
        match file.read_at(&mut data[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    data.truncate(filled);
    Ok(data)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn slices_end_with_the_file_or_the_limit() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("f"), "0123456789").unwrap();
        fs::write(root.path().join("big"), vec![b'x'; READ_MAX + 10]).unwrap();
        let read = |name: &str, offset, length| {
            let slice = read(root.path(), Path::new(name), name, offset, length).unwrap();
            (slice.size, String::from_utf8(slice.data).unwrap())
        };
        assert_eq!(read("f", 0, None), (10, "0123456789".to_owned()));
        assert_eq!(read("f", 8, Some(5)), (10, "89".to_owned()));
        assert_eq!(read("f", 3, Some(2)), (10, "34".to_owned()));
        assert_eq!(read("f", u64::MAX, Some(u64::MAX)), (10, String::new()));
        assert_eq!(read("big", 1, None).1.len(), READ_MAX);
        let error = super::read(root.path(), Path::new("."), "/s", 0, None).unwrap_err();
        assert_eq!(error.to_string(), "'/s' is not a regular file");
    }
}
