//! Reading a file as it grows.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::error::FilesError;
use super::read::{open_regular, read_at};

/// Most bytes of one chunk.
pub const CHUNK_MAX: usize = 64 * 1024;

/// Chunks that wait for the reader; then the file waits.
const WAITING_MAX: usize = 4;

/// Pause before the file is looked at again: short after growth, longer the longer it stands still.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Some bytes of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Position of the first byte.
    pub offset: u64,
    /// At least one byte, at most [`CHUNK_MAX`].
    pub data: Vec<u8>,
}

/// Follows a regular file below `root` from `offset` on. The chunks end with an error when the file is
/// removed, after its last bytes; dropping the receiver ends the reading. A file that has become
/// shorter than what was read, or than `offset`, is read on from its end. Needs a running tokio runtime.
///
/// # Errors
///
/// [`FilesError`] when the file cannot be opened, with `shown` as the path.
pub async fn follow(
    root: PathBuf,
    path: PathBuf,
    shown: String,
    offset: u64,
) -> Result<mpsc::Receiver<Result<Chunk, FilesError>>, FilesError> {
    let name = shown.clone();
    let opened = spawn_blocking(move || open_regular(&root, &path, &name)).await;
    let (file, _) = opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    let (chunks, receiver) = mpsc::channel(WAITING_MAX);
    tokio::spawn(watch(Arc::new(file), offset, shown, chunks));
    Ok(receiver)
}

async fn watch(
    file: Arc<File>,
    mut offset: u64,
    shown: String,
    chunks: mpsc::Sender<Result<Chunk, FilesError>>,
) {
    let mut pause = PAUSE_MIN;
    loop {
        let reader = Arc::clone(&file);
        let looked = spawn_blocking(move || look(&reader, offset)).await;
        let looked = looked.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        let message = match looked {
            Ok(Look::Grown(chunk)) => {
                pause = PAUSE_MIN;
                offset = chunk.offset + chunk.data.len() as u64;
                Ok(chunk)
            }
            Ok(Look::Same { end }) => {
                offset = end;
                tokio::select! {
                    () = sleep(pause) => {}
                    () = chunks.closed() => return,
                }
                pause = (pause * 2).min(PAUSE_MAX);
                continue;
            }
            Ok(Look::Removed) => Err(FilesError::NotFound {
                path: shown.clone(),
            }),
            Err(error) => Err(FilesError::of(&shown, error)),
        };
        let last = message.is_err();
        if chunks.send(message).await.is_err() || last {
            return;
        }
    }
}

enum Look {
    Grown(Chunk),
    Same { end: u64 },
    Removed,
}

fn look(file: &File, offset: u64) -> std::io::Result<Look> {
    // Whether it is removed is asked before the last read, so that no byte is missed.
    let removed = file.metadata()?.nlink() == 0;
    let data = read_at(file, offset, CHUNK_MAX)?;
    if !data.is_empty() {
        return Ok(Look::Grown(Chunk { offset, data }));
    }
    if removed {
        return Ok(Look::Removed);
    }
    let size = file.metadata()?.len();
    Ok(Look::Same {
        end: offset.min(size),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn growth_is_followed_until_removal() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("stdout");
        fs::write(&path, "0123").unwrap();
        let folder = root.path().to_owned();
        let mut chunks = follow(folder, "stdout".into(), "/s/stdout".into(), 1)
            .await
            .unwrap();
        let chunk = chunks.recv().await.unwrap().unwrap();
        assert_eq!((chunk.offset, chunk.data.as_slice()), (1, &b"123"[..]));

        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"45").unwrap();
        let chunk = chunks.recv().await.unwrap().unwrap();
        assert_eq!((chunk.offset, chunk.data.as_slice()), (4, &b"45"[..]));

        file.set_len(0).unwrap();
        sleep(PAUSE_MAX * 2).await;
        file.write_all(b"new").unwrap();
        let chunk = chunks.recv().await.unwrap().unwrap();
        assert_eq!((chunk.offset, chunk.data.as_slice()), (0, &b"new"[..]));

        file.write_all(b"!").unwrap();
        fs::remove_file(&path).unwrap();
        let chunk = chunks.recv().await.unwrap().unwrap();
        assert_eq!((chunk.offset, chunk.data.as_slice()), (3, &b"!"[..]));
        let error = chunks.recv().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "'/s/stdout' does not exist");
        assert!(chunks.recv().await.is_none());
    }
}
