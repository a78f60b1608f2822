//! Everything an agent can ask of its shell, performed in order after the step.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::{ConnectionId, ContainerId, Instant, RequestId, Uuid};
use crate::proto::{link, v1};
use crate::resources::Resources;

use super::call::CallRefused;
use super::checkpoint::{CheckpointToken, Record, VolumePath};
use super::container::{ContainerConfig, ContainerVolume};
use super::snapshot::Snapshot;
use super::timer::TimerKey;

/// A deed. Large payloads are boxed, so that the buffer stays small.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send to the master on this link; dropped if the link is no longer the current one.
    ToMaster {
        /// The link.
        connection: ConnectionId,
        /// The message.
        message: Box<link::from_agent::Message>,
    },
    /// Close this link and connect again (the driver backs off).
    CloseMaster {
        /// The link.
        connection: ConnectionId,
    },
    /// Send to an executor.
    ToExecutor {
        /// Its stream.
        connection: ConnectionId,
        /// The event.
        event: Box<v1::executor::Event>,
    },
    /// End an executor's stream.
    CloseExecutor {
        /// Its stream.
        connection: ConnectionId,
    },
    /// Take these containers of an earlier life back and end all others that are found; each of these
    /// is answered like a launch, and the whole by `Event::Recovered`. Comes before any launch.
    Recover(Vec<ContainerConfig>),
    /// Start a container; answered by `ContainerLaunched` or `ContainerEnded`.
    Launch(Box<ContainerConfig>),
    /// Change what a container may use.
    UpdateContainer {
        /// The container.
        container_id: ContainerId,
        /// The sum over its executor and tasks.
        resources: Resources,
        /// Limits above the requests, by resource name; may hold infinity.
        limits: BTreeMap<String, f64>,
    },
    /// Kill everything in a container; answered by `ContainerEnded`. Harmless if it is gone.
    DestroyContainer {
        /// The container.
        container_id: ContainerId,
    },
    /// Write down; answered by `Event::Checkpointed`.
    Checkpoint {
        /// Names the answer.
        token: CheckpointToken,
        /// What to write.
        record: Box<Record>,
    },
    /// Delete a tree below `work_dir`; answered by `Event::PathRemoved`.
    RemovePath {
        /// The tree.
        path: PathBuf,
    },
    /// Make the folders of persistent volumes, at once; answered by `Event::VolumesMade` if an
    /// operation waits for it.
    MakeVolumes {
        /// Who waits.
        operation: Option<Uuid>,
        /// The volumes.
        volumes: Vec<VolumePath>,
    },
    /// Move persistent volumes out of the way, at once, and delete them in the background.
    RemoveVolumes {
        /// Names what they become meanwhile.
        operation: Uuid,
        /// The volumes.
        volumes: Vec<VolumePath>,
    },
    /// Let a container that runs see the volumes of a task that it is about to get, at once.
    LinkVolumes {
        /// The container's sandbox.
        sandbox: PathBuf,
        /// Who is to own the volumes; the agent's own user if unset.
        user: Option<String>,
        /// The volumes.
        volumes: Vec<ContainerVolume>,
    },
    /// Delete what is left of removed volumes.
    EmptyTrash {
        /// Folder of removed volumes; need not be there.
        trash: PathBuf,
    },
    /// Measure the file system of `work_dir`; answered by `Event::DiskUsage`.
    MeasureDisk,
    /// Set or replace a timer.
    SetTimer {
        /// Which.
        key: TimerKey,
        /// When.
        at: Instant,
    },
    /// Forget a timer.
    CancelTimer {
        /// Which.
        key: TimerKey,
    },
    /// Answer a request.
    Reply {
        /// Which.
        request: RequestId,
        /// The answer.
        result: Result<Reply, CallRefused>,
    },
    /// The process should end with this reason (the master's Shutdown message, a finished drain of
    /// containers). `failed` asks for an exit code other than zero.
    Exit {
        /// For the log.
        reason: String,
        /// The end was forced on the agent.
        failed: bool,
    },
}

/// Answers of the agent core.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The call was taken.
    Accepted,
    /// The state of this moment.
    Snapshot(Box<Snapshot>),
}

/// Effects of one step, in the order in which they must be performed.
#[derive(Debug, Default)]
pub struct Effects(Vec<Effect>);

impl Effects {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a deed.
    pub fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    /// Takes everything out, in order.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.0.drain(..)
    }

    /// What is waiting, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Effect] {
        &self.0
    }

    pub(super) fn set_timer(&mut self, key: TimerKey, at: Instant) {
        self.push(Effect::SetTimer { key, at });
    }

    pub(super) fn cancel_timer(&mut self, key: TimerKey) {
        self.push(Effect::CancelTimer { key });
    }
}
