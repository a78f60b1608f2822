//! Why a containerizer could not be made or a container not be launched.

use std::io;
use std::path::PathBuf;

use super::cgroups::CgroupError;
use super::fetch::FetchFailed;
use super::isolators::{IsolationError, IsolatorError};
use super::sandbox::SandboxError;
use super::user::UserError;
use super::volumes::VolumeError;
use crate::base::ContainerId;

/// Why there is no containerizer; one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ContainerizerError {
    /// The isolators do not go together.
    #[error(transparent)]
    Isolation(#[from] IsolationError),
    /// The control groups cannot be used.
    #[error("--launcher=linux: {0}")]
    Cgroups(#[from] CgroupError),
    /// The linux launcher needs root.
    #[error("--launcher=linux needs root; run the agent as root, or with --launcher=posix")]
    NotRoot,
    /// The runtime directory cannot be used.
    #[error("--runtime_dir: cannot use {path}: {cause}")]
    Runtime {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The copy for the supervisors could not be made or started.
    #[error("cannot run a copy of {path} in memory for the supervisors: {cause}")]
    Program {
        /// The program.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// There is no such container.
    #[error("there is no container {0}")]
    Unknown(ContainerId),
    /// An isolator failed on a running container.
    #[error(transparent)]
    Isolator(#[from] IsolatorError),
    /// A blocking call did not come back.
    #[error("the containerizer is shutting down")]
    ShuttingDown,
}

/// Why a container was not launched; the message of the task's status update.
#[derive(Debug, thiserror::Error)]
pub(super) enum LaunchError {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    User(#[from] UserError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error("isolator {name}: {cause}")]
    Isolator {
        name: &'static str,
        cause: IsolatorError,
    },
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error("cannot use the runtime directory {path}: {cause}")]
    Runtime { path: PathBuf, cause: io::Error },
    #[error("cannot start the supervisor: {0}")]
    Spawn(io::Error),
    #[error("cannot watch the supervisor: {0}")]
    Watch(io::Error),
    #[error(transparent)]
    Fetch(#[from] FetchFailed),
    #[error("the container was destroyed before it ran")]
    Destroyed,
}
