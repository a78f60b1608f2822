//! Operators' calls to an agent: its state, its containers, the files of its sandboxes.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::agent_views as views;
use super::daemon::{Daemon, metrics_to_proto};
use super::operator::aside;
use super::sandboxes::{self, Place};
use crate::agent::{Handle, Snapshot};
use crate::api::error::ApiError;
use crate::base::ContainerId;
use crate::files::{self, Chunk, FilesError};
use crate::proto::v1;
use crate::proto::v1::agent::{Call, FollowFile, Response, call, response};

/// Files followed at once.
const FOLLOWED_MAX: usize = 1_000;

/// Where the statistics of a container come from; asked on a thread that may block.
#[derive(Clone)]
pub struct Statistics(Arc<Measure>);

type Measure = dyn Fn(&ContainerId) -> Option<v1::ResourceStatistics> + Send + Sync;

impl Statistics {
    /// Asks `source`.
    pub fn new(
        source: impl Fn(&ContainerId) -> Option<v1::ResourceStatistics> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(source))
    }

    /// An agent that cannot measure.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|_| None)
    }

    pub(super) fn of(&self, id: &ContainerId) -> Option<v1::ResourceStatistics> {
        (self.0)(id)
    }
}

impl fmt::Debug for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statistics").finish_non_exhaustive()
    }
}

/// What serves an agent's operators; cheap to clone.
#[derive(Clone, Debug)]
pub struct AgentCalls {
    agent: Handle,
    daemon: Daemon,
    statistics: Statistics,
    followed: Arc<Semaphore>,
}

/// A followed file; dropping it ends the reading.
#[derive(Debug)]
pub struct Followed {
    /// What was read, in order; an error ends it.
    pub chunks: mpsc::Receiver<Result<Chunk, FilesError>>,
    _slot: OwnedSemaphorePermit,
}

impl AgentCalls {
    /// Serves the operators of this agent.
    #[must_use]
    pub fn new(agent: Handle, daemon: Daemon, statistics: Statistics) -> Self {
        Self {
            agent,
            daemon,
            statistics,
            followed: Arc::new(Semaphore::new(FOLLOWED_MAX)),
        }
    }

    /// What the daemon says about itself.
    #[must_use]
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The agent's state at this moment.
    ///
    /// # Errors
    ///
    /// The agent is shutting down.
    pub async fn snapshot(&self) -> Result<Snapshot, ApiError> {
        Ok(self.agent.snapshot().await?)
    }

    /// One call. Orders are answered by a response without type.
    ///
    /// # Errors
    ///
    /// The call is malformed, names what is not there, or is not served by this version.
    pub async fn call(&self, call: Call) -> Result<Response, ApiError> {
        let number = call.r#type.ok_or_else(|| ApiError::missing("type"))?;
        let kind = match call::Type::try_from(number) {
            Ok(call::Type::Unknown) | Err(_) => {
                let message = format!("type: there is no call with number {number}");
                return Err(ApiError::Unimplemented(message));
            }
            Ok(kind) => kind,
        };
        let mut answer = Response::default();
        let of = match kind {
            call::Type::GetHealth => {
                answer.get_health = Some(response::GetHealth { healthy: true });
                response::Type::GetHealth
            }
            call::Type::GetVersion => {
                let version_info = self.daemon.version.clone();
                answer.get_version = Some(response::GetVersion { version_info });
                response::Type::GetVersion
            }
            call::Type::GetFlags => {
                let flags = self.daemon.flags.to_vec();
                answer.get_flags = Some(response::GetFlags { flags });
                response::Type::GetFlags
            }
            call::Type::GetLoggingLevel => {
                let level = self.daemon.logging_level();
                answer.get_logging_level = Some(response::GetLoggingLevel { level });
                response::Type::GetLoggingLevel
            }
            call::Type::SetLoggingLevel => {
                let part = call.set_logging_level;
                let part = part.ok_or_else(|| ApiError::missing("set_logging_level"))?;
                self.daemon.set_logging_level(part.level, part.duration)?;
                return Ok(answer);
            }
            call::Type::ListFiles => {
                let part = call
                    .list_files
                    .ok_or_else(|| ApiError::missing("list_files"))?;
                answer.list_files = Some(self.list_files(part.path).await?);
                response::Type::ListFiles
            }
            call::Type::ReadFile => {
                let part = call
                    .read_file
                    .ok_or_else(|| ApiError::missing("read_file"))?;
                answer.read_file = Some(self.read_file(part).await?);
                response::Type::ReadFile
            }
            _ => return self.of_state(kind).await,
        };
        answer.r#type = Some(of.into());
        Ok(answer)
    }

    /// The calls that are answered from a snapshot.
    async fn of_state(&self, kind: call::Type) -> Result<Response, ApiError> {
        let snapshot = self.agent.snapshot().await?;
        let mut answer = Response::default();
        let of = match kind {
            call::Type::GetState => {
                answer.get_state = Some(aside(move || views::state(&snapshot)).await);
                response::Type::GetState
            }
            call::Type::GetAgent => {
                answer.get_agent = Some(views::agent(&snapshot));
                response::Type::GetAgent
            }
            call::Type::GetFrameworks => {
                answer.get_frameworks = Some(views::frameworks(&snapshot));
                response::Type::GetFrameworks
            }
            call::Type::GetExecutors => {
                answer.get_executors = Some(views::executors(&snapshot));
                response::Type::GetExecutors
            }
            call::Type::GetTasks => {
                answer.get_tasks = Some(aside(move || views::tasks(&snapshot)).await);
                response::Type::GetTasks
            }
            call::Type::GetContainers => {
                let statistics = self.statistics.clone();
                let containers = aside(move || views::containers(&snapshot, &statistics)).await;
                answer.get_containers = Some(containers);
                response::Type::GetContainers
            }
            call::Type::GetMetrics => {
                let metrics = metrics_to_proto(self.daemon.all_metrics(snapshot.metrics()));
                answer.get_metrics = Some(response::GetMetrics { metrics });
                response::Type::GetMetrics
            }
            // Empty as long as there is nothing that could make any.
            call::Type::GetOperations => {
                answer.get_operations = Some(response::GetOperations::default());
                response::Type::GetOperations
            }
            call::Type::GetResourceProviders => {
                let none = response::GetResourceProviders::default();
                answer.get_resource_providers = Some(none);
                response::Type::GetResourceProviders
            }
            _ => {
                let name = kind.as_str_name();
                let message = format!("{name} is not served by this version");
                return Err(ApiError::Unimplemented(message));
            }
        };
        answer.r#type = Some(of.into());
        Ok(answer)
    }

    async fn list_files(&self, path: String) -> Result<response::ListFiles, ApiError> {
        let place = self.place(&path).await?;
        let listed = aside(move || files::list(&place.sandbox, &place.path, &path)).await;
        Ok(response::ListFiles {
            file_infos: listed?,
        })
    }

    async fn read_file(&self, part: call::ReadFile) -> Result<response::ReadFile, ApiError> {
        let Place { sandbox, path } = self.place(&part.path).await?;
        let slice =
            aside(move || files::read(&sandbox, &path, &part.path, part.offset, part.length))
                .await?;
        Ok(response::ReadFile {
            size: slice.size,
            data: slice.data,
        })
    }

    /// Follows a file of a sandbox.
    ///
    /// # Errors
    ///
    /// There is no such file, or as many as may be are followed already.
    pub async fn follow(&self, follow: FollowFile) -> Result<Followed, ApiError> {
        let slot = Arc::clone(&self.followed)
            .try_acquire_owned()
            .map_err(|_| {
                let message = format!("{FOLLOWED_MAX} files are being followed already; try again");
                ApiError::Exhausted(message)
            })?;
        let Place { sandbox, path } = self.place(&follow.path).await?;
        let offset = follow.offset.unwrap_or(0);
        let chunks = files::follow(sandbox, path, follow.path, offset).await?;
        Ok(Followed {
            chunks,
            _slot: slot,
        })
    }

    async fn place(&self, path: &str) -> Result<Place, ApiError> {
        let snapshot = self.agent.snapshot().await?;
        sandboxes::find(&snapshot, path)
    }
}
