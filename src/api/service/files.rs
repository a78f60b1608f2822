//! Files that a daemon shows, under Mesos' virtual paths: its log (`/master/log`, `/slave/log`), and
//! on an agent every sandbox (`sandboxes` has their names).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::daemon::Daemon;
use super::guests::GuestCalls;
use super::operator::aside;
use super::sandboxes::{self, Place};
use crate::agent::Handle;
use crate::api::error::ApiError;
use crate::files::{self, Chunk, Download, FilesError, Slice};
use crate::proto::v1;
use crate::proto::v1::agent::FollowFile;

/// Files open at once, for followers and downloads together.
const OPEN_MAX: usize = 1_000;

/// What serves files; cheap to clone.
#[derive(Clone, Debug)]
pub struct FileCalls {
    log: Option<Arc<Log>>,
    /// Whose sandboxes are shown too.
    agent: Option<Handle>,
    /// Standalone containers, whose sandboxes are shown too.
    guests: GuestCalls,
    open: Arc<Semaphore>,
}

/// The daemon's own log.
#[derive(Debug)]
struct Log {
    name: &'static str,
    path: PathBuf,
}

/// A followed file; dropping it ends the reading.
#[derive(Debug)]
pub struct Followed {
    /// What was read, in order; an error ends it.
    pub chunks: mpsc::Receiver<Result<Chunk, FilesError>>,
    _slot: OwnedSemaphorePermit,
}

/// A whole file on its way out; dropping it closes the file.
#[derive(Debug)]
pub struct Downloaded {
    /// The file and its size.
    pub download: Download,
    /// Last part of its path.
    pub name: String,
    _slot: OwnedSemaphorePermit,
}

impl FileCalls {
    /// The files of a master: its log.
    #[must_use]
    pub fn of_master(daemon: &Daemon) -> Self {
        Self::new("/master/log", daemon, None, GuestCalls::new(None))
    }

    /// The files of an agent: its log, the sandboxes of its executors and of standalone containers.
    #[must_use]
    pub fn of_agent(daemon: &Daemon, agent: Handle, guests: GuestCalls) -> Self {
        Self::new("/slave/log", daemon, Some(agent), guests)
    }

    fn new(name: &'static str, daemon: &Daemon, agent: Option<Handle>, guests: GuestCalls) -> Self {
        let log = daemon.log_file.clone().map(|path| Log { name, path });
        Self {
            log: log.map(Arc::new),
            agent,
            guests,
            open: Arc::new(Semaphore::new(OPEN_MAX)),
        }
    }

    /// What is in a folder.
    ///
    /// # Errors
    ///
    /// There is no such folder, or it is a file.
    pub async fn list(&self, path: String) -> Result<Vec<v1::FileInfo>, ApiError> {
        let place = self.place(&path).await?;
        let listed = aside(move || files::list(&place.sandbox, &place.path, &path)).await;
        Ok(listed?)
    }

    /// A part of a file; without an offset only its size.
    ///
    /// # Errors
    ///
    /// There is no such file, or it is a folder.
    pub async fn read(
        &self,
        path: String,
        offset: Option<u64>,
        length: Option<u64>,
    ) -> Result<Slice, ApiError> {
        let place = self.place(&path).await?;
        let offset = offset.unwrap_or(u64::MAX);
        let slice =
            aside(move || files::read(&place.sandbox, &place.path, &path, offset, length)).await;
        Ok(slice?)
    }

    /// Opens a whole file.
    ///
    /// # Errors
    ///
    /// There is no such file, it is a folder, or as many as may be are open already.
    pub async fn download(&self, path: String) -> Result<Downloaded, ApiError> {
        let slot = self.slot()?;
        let place = self.place(&path).await?;
        let name = Path::new(&path).file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let opened = aside(move || files::download(&place.sandbox, &place.path, &path)).await;
        Ok(Downloaded {
            download: opened?,
            name,
            _slot: slot,
        })
    }

    /// Follows a file as it grows.
    ///
    /// # Errors
    ///
    /// There is no such file, or as many as may be are open already.
    pub async fn follow(&self, follow: FollowFile) -> Result<Followed, ApiError> {
        let slot = self.slot()?;
        let Place { sandbox, path } = self.place(&follow.path).await?;
        let offset = follow.offset.unwrap_or(0);
        let chunks = files::follow(sandbox, path, follow.path, offset).await?;
        Ok(Followed {
            chunks,
            _slot: slot,
        })
    }

    /// Every virtual path with the path on the host that it stands for.
    ///
    /// # Errors
    ///
    /// The agent is shutting down.
    pub async fn attached(&self) -> Result<BTreeMap<String, String>, ApiError> {
        let mut all = match &self.agent {
            Some(agent) => sandboxes::attached(&agent.snapshot().await?),
            None => BTreeMap::new(),
        };
        for (_, sandbox) in self.guests.sandboxes() {
            let sandbox = sandbox.display().to_string();
            all.insert(sandbox.clone(), sandbox);
        }
        if let Some(log) = &self.log {
            all.insert(log.name.to_owned(), log.path.display().to_string());
        }
        Ok(all)
    }

    fn slot(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let slot = Arc::clone(&self.open).try_acquire_owned();
        slot.map_err(|_| {
            ApiError::Exhausted(format!("{OPEN_MAX} files are open already; try again"))
        })
    }

    async fn place(&self, path: &str) -> Result<Place, ApiError> {
        if let Some(place) = self.log.as_ref().and_then(|log| log.place(path)) {
            return Ok(place);
        }
        if let Some(place) = sandboxes::find_standalone(&self.guests.sandboxes(), path) {
            return Ok(place);
        }
        match &self.agent {
            Some(agent) => sandboxes::find(&agent.snapshot().await?, path),
            None => Err(ApiError::NotFound(format!("'{path}' does not exist"))),
        }
    }
}

impl Log {
    /// The log itself, if that is what is meant. Nothing is below a file.
    fn place(&self, path: &str) -> Option<Place> {
        let meant = path.strip_suffix('/').unwrap_or(path) == self.name;
        let (folder, name) = (self.path.parent()?, self.path.file_name()?);
        meant.then(|| Place {
            sandbox: folder.to_owned(),
            path: name.into(),
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[tokio::test]
    async fn a_master_shows_its_log_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesosd-master.log");
        std::fs::write(&path, "0123456789").unwrap();
        let mut daemon = Daemon::new(Metrics::new());
        let none = FileCalls::of_master(&daemon);
        let error = none.read("/master/log".into(), Some(0), None).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "'/master/log' does not exist"
        );
        assert!(none.attached().await.unwrap().is_empty());

        daemon.log_file = Some(path.clone());
        let files = FileCalls::of_master(&daemon);
        let slice = files.read("/master/log/".into(), Some(4), Some(3)).await;
        let slice = slice.unwrap();
        assert_eq!((slice.size, slice.data.as_slice()), (10, &b"456"[..]));
        let slice = files.read("/master/log".into(), None, None).await.unwrap();
        assert_eq!((slice.size, slice.data.len()), (10, 0));
        let attached = files.attached().await.unwrap();
        assert_eq!(attached["/master/log"], path.display().to_string());
        for name in ["/master/log/x", "/master", "/", "", "/slave/log"] {
            let error = files.read(name.into(), Some(0), None).await.unwrap_err();
            assert!(matches!(error, ApiError::NotFound(_)), "{name}: {error}");
        }
        let error = files.list("/master/log".into()).await.unwrap_err();
        assert!(matches!(error, ApiError::Invalid { .. }), "{error}");
    }
}
