//! A whole file, chunk by chunk.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::error::FilesError;
use super::follow::CHUNK_MAX;
use super::read::{open_regular, read_at};

/// An open file with the size that it had when it was opened.
#[derive(Debug)]
pub struct Download {
    file: Arc<File>,
    size: u64,
    offset: u64,
}

/// Opens a regular file below `root`. Blocks on the disk.
///
/// # Errors
///
/// [`FilesError`], with `shown` as the path.
pub fn download(root: &Path, path: &Path, shown: &str) -> Result<Download, FilesError> {
    let (file, metadata) = open_regular(root, path, shown)?;
    Ok(Download {
        file: Arc::new(file),
        size: metadata.len(),
        offset: 0,
    })
}

impl Download {
    /// Bytes that will come. What is written after the file was opened does not belong to them.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes; none at the end, or when the file has become shorter.
    ///
    /// # Errors
    ///
    /// The disk.
    pub async fn next(&mut self) -> std::io::Result<Vec<u8>> {
        let left = self.size.saturating_sub(self.offset);
        let wanted = usize::try_from(left).unwrap_or(CHUNK_MAX).min(CHUNK_MAX);
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        let read = spawn_blocking(move || read_at(&file, offset, wanted)).await;
        let data = read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        self.offset += data.len() as u64;
        Ok(data)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_bytes_come_in_order_up_to_the_size_at_the_start() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("f");
        let text: Vec<u8> = (0..CHUNK_MAX * 2 + 10).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &text).unwrap();
        let mut file = download(root.path(), Path::new("f"), "/f").unwrap();
        std::fs::write(&path, [text.as_slice(), b"more"].concat()).unwrap();
        assert_eq!(file.size(), text.len() as u64);
        let mut read = Vec::new();
        loop {
            let chunk = file.next().await.unwrap();
            if chunk.is_empty() {
                break;
            }
            read.extend(chunk);
        }
        assert!(read == text);
        let error = download(root.path(), Path::new(""), "/").unwrap_err();
        assert_eq!(error.to_string(), "'/' is not a regular file");
    }
}
