//! What the agent asks of a containerizer, and what it hears back. The containerizer imports these.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{ContainerId, ExecutorId, FrameworkId};
use crate::proto::v1;
use crate::resources::Resources;

/// Everything a containerizer needs to start one container.
#[derive(Clone, Debug)]
pub struct ContainerConfig {
    /// Drawn by the agent, a uuid.
    pub container_id: ContainerId,
    /// The framework that it belongs to.
    pub framework_id: FrameworkId,
    /// The executor that lives in it.
    pub executor_id: ExecutorId,
    /// Built-in command executor or an executor process of the framework.
    pub kind: ContainerKind,
    /// For a command task the task's own command; otherwise the executor's.
    pub command: v1::CommandInfo,
    /// The user to run as; `None` means the agent's own (`--no-switch_user`).
    pub user: Option<String>,
    /// Path of the sandbox on the host; the containerizer creates it.
    pub sandbox: PathBuf,
    /// Requests of the executor and of all its tasks, summed.
    pub resources: Resources,
    /// Limits above the requests, by resource name; may hold infinity.
    pub limits: BTreeMap<String, f64>,
    /// The persistent volumes among the resources.
    pub volumes: Vec<ContainerVolume>,
    /// Volumes, image, networks, rlimits of the task (command tasks) or of the executor.
    pub container: Option<v1::ContainerInfo>,
    /// The complete `MESOS_*` set, `MESOS_TASK_ID` included for command tasks. The command's own
    /// variables are in `command.environment` and go on top of these.
    pub environment: Vec<(String, String)>,
    /// From SHUTDOWN to the destruction of the container.
    pub shutdown_grace: Duration,
    /// The framework asked for checkpoints: the executor outlives the agent.
    pub checkpoint: bool,
    /// How long a checkpointing executor waits for its agent to come back.
    pub recovery_timeout: Duration,
}

/// A persistent volume that a container sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerVolume {
    /// Its folder on the host.
    pub host_path: PathBuf,
    /// Where it appears, relative to the sandbox.
    pub container_path: String,
    /// Other containers may have it too: its owner stays who it is.
    pub shared: bool,
    /// It may be read only; links cannot prevent more.
    pub read_only: bool,
}

/// Who runs in a container.
#[derive(Clone, Debug)]
pub enum ContainerKind {
    /// One task without an executor of its own, run by the built-in command executor.
    CommandTask(Arc<v1::TaskInfo>),
    /// An executor that the framework brought.
    Executor(Arc<v1::ExecutorInfo>),
    /// The built-in default executor, for task groups.
    TaskGroups(Arc<v1::ExecutorInfo>),
    /// A command that an operator has launched, without executor and framework.
    Standalone,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ended {
    /// The supervisor's wait status as `waitpid` gives it; `None` if the container never started
    /// or nobody wrote the status down.
    pub wait_status: Option<i32>,
    /// A limit that was passed, if that is why it was destroyed.
    pub reason: Option<Limitation>,
    /// One line for people.
    pub message: String,
}

/// A limit that a container has passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Limitation {
    /// For example `REASON_CONTAINER_LIMITATION_MEMORY`.
    pub reason: v1::task_status::Reason,
    /// One line for people, with the numbers.
    pub message: String,
    /// What was exceeded, as `TaskResourceLimitation.resources` carries it.
    pub resources: Vec<v1::Resource>,
}

/// What a containerizer says about its containers.
#[derive(Clone, Debug)]
pub enum ContainerEvent {
    /// What `Containers::recover` was asked for is done.
    Recovered,
    /// The supervisor runs.
    Launched {
        /// Which.
        container_id: ContainerId,
        /// The supervisor's process id on the host.
        pid: u32,
    },
    /// The container is gone, or never came to be; the last word about it.
    Ended {
        /// Which.
        container_id: ContainerId,
        /// How.
        ended: Ended,
    },
}

/// What the agent asks of a containerizer. The calls return at once; what comes of them is told by
/// [`ContainerEvent`]s. They take effect in the order in which they are made.
pub trait Containers: std::fmt::Debug + Send + Sync {
    /// Takes these containers of an earlier agent back, as if it had launched them, and ends all others
    /// that it finds; `Recovered` comes when the others have gone. To be called first.
    fn recover(&self, known: Vec<ContainerConfig>);

    /// Starts a container; one `Ended` comes in the end, whatever happens.
    fn launch(&self, config: ContainerConfig);

    /// Changes what a container may use; nothing if it is gone.
    fn update(
        &self,
        container_id: ContainerId,
        resources: Resources,
        limits: BTreeMap<String, f64>,
    );

    /// Lets a container with this sandbox see persistent volumes, which are to belong to `user`; at
    /// once.
    ///
    /// # Errors
    ///
    /// In words, what could not be done.
    fn link_volumes(
        &self,
        sandbox: &Path,
        user: Option<&str>,
        volumes: &[ContainerVolume],
    ) -> Result<(), String>;

    /// Kills everything in a container; nothing if it is gone.
    fn destroy(&self, container_id: ContainerId);
}
