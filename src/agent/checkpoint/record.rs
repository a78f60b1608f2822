//! The durable records of an agent, as values.

use std::sync::Arc;

use crate::base::{ContainerId, ExecutorId, FrameworkId, TaskId, Timestamp, Uuid};
use crate::proto::v1;

/// Names one write; later tokens are larger and complete later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckpointToken(pub u64);

/// One durable fact. Their order is their meaning: a later record of the same thing wins.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The agent has this id and description.
    Agent {
        /// With id.
        info: Arc<v1::AgentInfo>,
        /// The boot in which this was written.
        boot_id: String,
        /// The highest leadership number seen.
        epoch: u64,
    },
    /// The cluster has removed the agent: its id must not be used again.
    AgentRemoved,
    /// A new life of the agent began that took nothing back, as those of earlier versions did: no task
    /// of the lives before goes on. What their ended tasks still have to report stays. Only read.
    Restarted,
    /// A checkpointing framework has work here.
    Framework {
        /// With id.
        info: Arc<v1::FrameworkInfo>,
    },
    /// A framework has nothing here any more.
    FrameworkEnded {
        /// Which.
        framework_id: FrameworkId,
    },
    /// An executor is about to be launched.
    Executor {
        /// Its framework.
        framework_id: FrameworkId,
        /// With id.
        info: Arc<v1::ExecutorInfo>,
        /// This run of it.
        container_id: ContainerId,
        /// Made up by the agent for a task that has only a command.
        command_executor: bool,
    },
    /// A container's supervisor runs.
    Launched {
        /// Which.
        container_id: ContainerId,
        /// Process id on the host.
        pid: u32,
    },
    /// An executor speaks Mesos' older protocol.
    Driver {
        /// Its container.
        container_id: ContainerId,
        /// Its process, `executor(1)@ip:port`.
        driver: String,
    },
    /// A container is gone and its tasks' updates were recorded.
    ExecutorEnded {
        /// Its framework.
        framework_id: FrameworkId,
        /// Its executor.
        executor_id: ExecutorId,
        /// The run.
        container_id: ContainerId,
    },
    /// A task is about to be handed to its executor.
    Task {
        /// Its framework.
        framework_id: FrameworkId,
        /// Its executor.
        executor_id: ExecutorId,
        /// The whole description.
        task: Arc<v1::TaskInfo>,
    },
    /// A status update that must reach the scheduler.
    Update {
        /// The task's framework.
        framework_id: FrameworkId,
        /// The task's executor; `None` if it never had one here.
        executor_id: Option<ExecutorId>,
        /// With uuid.
        status: Arc<v1::TaskStatus>,
    },
    /// An operator drains the agent.
    Draining {
        /// How.
        config: v1::DrainConfig,
        /// When the agent was told.
        since: Timestamp,
    },
    /// The drain is over.
    Drained,
    /// The scheduler has seen an update.
    Acknowledged {
        /// The task's framework.
        framework_id: FrameworkId,
        /// The task.
        task_id: TaskId,
        /// The update.
        uuid: Uuid,
    },
    /// An operation has converted resources, or was refused.
    Operation {
        /// With its latest status.
        operation: Arc<v1::Operation>,
        /// All dynamic reservations and persistent volumes afterwards.
        converted: Vec<v1::Resource>,
    },
    /// The master has seen an operation's status.
    OperationAcknowledged {
        /// The operation.
        uuid: Uuid,
    },
}

/// What a record must survive before it counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// A killed agent: the bytes are with the kernel.
    Process,
    /// Power loss: the bytes are on the disk.
    Power,
}

impl Record {
    /// What this record must survive. What describes processes needs no disk: they end with the power
    /// too. Nor does an acknowledgement: without it the update is sent again, which it may be.
    #[must_use]
    pub fn durability(&self) -> Durability {
        match self {
            Self::Agent { .. }
            | Self::AgentRemoved
            | Self::Restarted
            | Self::Update { .. }
            | Self::Operation { .. } => Durability::Power,
            Self::Framework { .. }
            | Self::FrameworkEnded { .. }
            | Self::Executor { .. }
            | Self::Launched { .. }
            | Self::Driver { .. }
            | Self::ExecutorEnded { .. }
            | Self::Task { .. }
            | Self::Draining { .. }
            | Self::Drained
            | Self::Acknowledged { .. }
            | Self::OperationAcknowledged { .. } => Durability::Process,
        }
    }

    /// Whether this counts although the cluster has removed the agent: what the host's resources are
    /// does. Whatever else an agent writes between its removal and its end belongs to nobody; the next
    /// one has another id, and would report it as its own.
    pub(super) fn outlives_the_agent(&self) -> bool {
        matches!(self, Self::Agent { .. } | Self::Operation { .. })
    }
}
