//! What the containerizer asks of a fetcher: bring a command's files into the sandbox, before the
//! supervisor is started. Only called when there are files to bring.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use super::plan::PlannedUser;
use crate::base::ContainerId;
use crate::proto::v1;

/// One command's files.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// The container, for messages.
    pub container_id: ContainerId,
    /// What to bring.
    pub uris: Vec<v1::command_info::Uri>,
    /// Where to. Exists, belongs to `user`, and holds `stdout` and `stderr` to append to.
    pub sandbox: PathBuf,
    /// Whose rights and whose ownership; `None` means this process' own.
    pub user: Option<PlannedUser>,
    /// The sealed copy of this program: a path that can be executed while the agent lives.
    pub program: PathBuf,
}

/// Why a file could not be brought; one line that names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchFailed(pub String);

/// The answer to a [`FetchRequest`]. Dropping it must end the fetching.
pub type Fetching = Pin<Box<dyn Future<Output = Result<(), FetchFailed>> + Send>>;

/// Brings files into sandboxes.
pub trait Fetcher: fmt::Debug + Send + Sync {
    /// Starts to fetch.
    fn fetch(&self, request: FetchRequest) -> Fetching;
}
