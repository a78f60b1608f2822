//! Everything that can reach an agent.

use crate::base::{ConnectionId, ContainerId, ExecutorId, FrameworkId, RequestId, Uuid};
use crate::proto::{link, v1};

use super::call::ExecutorCall;
use super::checkpoint::CheckpointToken;
use super::container::Ended;
use super::timer::TimerKey;

/// What happened, in the past tense. Large messages are boxed, so that queues stay small.
#[derive(Clone, Debug)]
pub enum Event {
    /// The link to the leading master is open; replaces any earlier connection.
    MasterConnected {
        /// The new link.
        connection: ConnectionId,
    },
    /// The master said something on a link.
    MasterMessage {
        /// The link; messages of any but the current one are dropped.
        connection: ConnectionId,
        /// What it said.
        message: Box<link::from_master::Message>,
    },
    /// A scheduler's driver sent bytes for an executor, not by way of the master.
    FrameworkMessage {
        /// What it said.
        message: Box<link::FrameworkMessage>,
    },
    /// The link broke.
    MasterDisconnected {
        /// The link that broke.
        connection: ConnectionId,
    },
    /// An executor opened its event stream (Mesos' executor API, SUBSCRIBE).
    ExecutorSubscribed {
        /// Its stream; replaces an earlier one of the same executor.
        connection: ConnectionId,
        /// Its framework.
        framework_id: FrameworkId,
        /// Its id.
        executor_id: ExecutorId,
        /// Tasks for which it never got an acknowledged update.
        unacknowledged_tasks: Vec<v1::TaskInfo>,
        /// Updates that were not acknowledged to it.
        unacknowledged_updates: Vec<v1::TaskStatus>,
        /// The container that the connection proves it lives in, where the transport can tell.
        container: Option<ContainerId>,
    },
    /// An executor that has subscribed is a driver of Mesos' older protocol, which waits to be called
    /// back when its agent is restarted.
    ExecutorDriver {
        /// Its framework.
        framework_id: FrameworkId,
        /// Its id.
        executor_id: ExecutorId,
        /// Its process, `executor(1)@ip:port`.
        driver: String,
    },
    /// An executor called; `request` is answered by one `Effect::Reply` where it is given.
    ExecutorCall {
        /// Who waits for the answer, if anybody.
        request: Option<RequestId>,
        /// The framework named in the call.
        framework_id: FrameworkId,
        /// The executor named in the call.
        executor_id: ExecutorId,
        /// The stream it came on, for transports that have one (the unix socket).
        connection: Option<ConnectionId>,
        /// The checked call.
        call: Box<ExecutorCall>,
    },
    /// An executor's stream ended.
    ExecutorDisconnected {
        /// The stream.
        connection: ConnectionId,
    },
    /// The containers of earlier lives are taken back, or ended and removed.
    Recovered,
    /// The containerizer started the container's supervisor.
    ContainerLaunched {
        /// The container.
        container_id: ContainerId,
        /// Process id of the supervisor on the host.
        pid: u32,
    },
    /// A container is gone, or never came to be; said exactly once per `Effect::Launch`.
    ContainerEnded {
        /// The container.
        container_id: ContainerId,
        /// How it ended.
        ended: Box<Ended>,
    },
    /// A checkpoint is as durable as its record asks for, or could not be written.
    Checkpointed {
        /// The token of the effect.
        token: CheckpointToken,
        /// The error in words.
        result: Result<(), String>,
    },
    /// The folders of new volumes are there, or could not be made.
    VolumesMade {
        /// The operation of the effect.
        operation: Uuid,
        /// The error in words.
        result: Result<(), String>,
    },
    /// A timer that an effect had set has come.
    TimerFired(TimerKey),
    /// How full the file system of `work_dir` is, in thousandths.
    DiskUsage {
        /// 0 (empty) to 1000 (full).
        permille: u32,
    },
    /// Sandboxes that were there when the agent started, of runs of its earlier lives.
    SandboxesFound {
        /// Each with the time since it was last changed.
        sandboxes: Vec<(std::path::PathBuf, std::time::Duration)>,
    },
    /// A sandbox that the agent gave up was deleted (or not).
    PathRemoved {
        /// The path of the effect.
        path: std::path::PathBuf,
        /// The error in words.
        result: Result<(), String>,
    },
    /// A reader wants the present state; answered by one `Effect::Reply`.
    SnapshotRequested {
        /// Who waits.
        request: RequestId,
    },
    /// The process is asked to end. With `destroy` every container is ended first (a local cluster);
    /// without it executors are left running, as Mesos does on SIGTERM.
    Shutdown {
        /// End the containers too.
        destroy: bool,
    },
}
