//! One run of an executor, in one container.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use imbl::{OrdMap, Vector};

use crate::base::{ConnectionId, ContainerId, ExecutorId, FrameworkId, TaskId, Uuid};
use crate::proto::v1;
use crate::resources::{ResourceName, Resources};

use super::task::{Stage, Task};

/// Where a run is.
///
/// ```text
/// Preparing --> Registering --> Running --> Terminating --> Terminated
///     |             |              |                            ^
///     |             +--------------+----------------------------+
///     +--> (forgotten: never launched)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExecutorStatus {
    /// Its records are being written; no container yet.
    Preparing,
    /// The container was asked for; the executor has not subscribed.
    Registering,
    /// The executor has subscribed.
    Running,
    /// It was told to end, or its container is being destroyed.
    Terminating,
    /// Its container is gone; updates are not yet all acknowledged.
    Terminated,
}

impl ExecutorStatus {
    /// The transition table.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Preparing => matches!(next, Self::Registering),
            Self::Registering => {
                matches!(next, Self::Running | Self::Terminating | Self::Terminated)
            }
            Self::Running => matches!(next, Self::Terminating | Self::Terminated),
            Self::Terminating => matches!(next, Self::Terminated),
            Self::Terminated => false,
        }
    }

    /// True while tasks may be given to it.
    #[must_use]
    pub fn takes_tasks(self) -> bool {
        match self {
            Self::Preparing | Self::Registering | Self::Running => true,
            Self::Terminating | Self::Terminated => false,
        }
    }

    /// True while a container exists or is being made.
    #[must_use]
    pub fn has_container(self) -> bool {
        match self {
            Self::Registering | Self::Running | Self::Terminating => true,
            Self::Preparing | Self::Terminated => false,
        }
    }
}

/// An executor and its tasks.
#[derive(Clone, Debug)]
pub struct Executor {
    /// Its id.
    pub id: ExecutorId,
    /// Its framework.
    pub framework_id: FrameworkId,
    /// This run.
    pub container_id: ContainerId,
    /// Given by the framework, or made up for a task with only a command.
    pub info: Arc<v1::ExecutorInfo>,
    /// Made up by the agent: it runs one task and ends with it.
    pub command_executor: bool,
    /// Its framework asked for checkpoints.
    pub checkpoint: bool,
    /// Where it is.
    pub status: ExecutorStatus,
    /// Its event stream.
    pub connection: Option<ConnectionId>,
    /// It was launched by an earlier life of the agent and has not subscribed to this one.
    pub recovered: bool,
    /// The supervisor's process id on the host.
    pub pid: Option<u32>,
    /// The process of its driver, `executor(1)@ip:port`, if it speaks Mesos' older protocol.
    pub driver: Option<String>,
    /// The sandbox on the host.
    pub sandbox: PathBuf,
    /// Resources of the executor itself, without its tasks.
    pub resources: Resources,
    /// Tasks whose last update is not yet acknowledged, in the order of their ids.
    pub tasks: OrdMap<TaskId, Arc<Task>>,
    /// Tasks in the order of arrival, for delivery.
    pub order: Vector<TaskId>,
    /// Ended tasks, oldest first.
    pub completed_tasks: Vector<Arc<Task>>,
    /// At least one task was ever handed over.
    pub delivered: bool,
    /// Why the agent ends it: what its tasks' terminal updates will say.
    pub ending: Option<Ending>,
    /// What the containerizer was last told that the container may use.
    pub told: Resources,
    /// Failure reports of its tasks that wait for the limit that may explain them, one per task.
    pub held: Vec<Held>,
}

/// A terminal update that is not yet believed: a task killed by the kernel for its memory looks like
/// one killed by a signal until the containerizer has said why.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Names the update.
    pub uuid: Uuid,
    /// The status as the executor sent it.
    pub status: v1::TaskStatus,
}

/// Why the agent itself ends a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// It did not subscribe in time.
    RegistrationTimeout,
    /// It did not subscribe again in time after a restart of the agent.
    ReregistrationTimeout,
    /// It was told to shut down.
    Shutdown,
    /// Its framework was removed: nobody wants to hear about its tasks.
    FrameworkRemoved,
}

impl Executor {
    /// True for the executors that the agent brings itself, which say plainly how a process ended.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.command_executor || self.info.r#type() == v1::executor_info::Type::Default
    }

    /// Changes the status along the table.
    pub(super) fn advance(&mut self, next: ExecutorStatus) {
        assert!(
            self.status.may_become(next),
            "executor {} cannot go from {:?} to {next:?}",
            self.id,
            self.status
        );
        self.status = next;
    }

    /// The role that its own or its first task's resources are allocated to.
    #[must_use]
    pub fn role(&self) -> Option<&str> {
        let own = self.info.resources.iter();
        let tasks = self.tasks.values().chain(&self.completed_tasks);
        let tasks = tasks.flat_map(|task| task.info.resources.iter());
        own.chain(tasks)
            .find_map(|resource| resource.allocation_info.as_ref()?.role.as_deref())
    }

    /// Tasks that still use resources.
    pub fn live_tasks(&self) -> impl Iterator<Item = (&TaskId, &Arc<Task>)> {
        self.tasks
            .iter()
            .filter(|(_, task)| !task.state.is_terminal())
    }

    /// Tasks that were not yet handed over and still wait to be, in the order of arrival.
    pub fn queued_tasks(&self) -> impl Iterator<Item = (&TaskId, &Arc<Task>)> {
        self.order
            .iter()
            .filter_map(|id| self.tasks.get_key_value(id))
            .filter(|(_, task)| task.stage != Stage::Sent && !task.state.is_terminal())
    }

    /// What the executor and its live tasks may use together.
    #[must_use]
    pub fn allocated(&self) -> Resources {
        let mut total = self.resources.clone();
        for (_, task) in self.live_tasks() {
            total += &task.resources;
        }
        total
    }

    /// Limits above the requests, by resource name: for each name that any live task limits, the sum of
    /// the limits, where what has none counts with its request (Mesos' task resource limits).
    #[must_use]
    pub fn limits(&self) -> BTreeMap<String, f64> {
        let mut limits = BTreeMap::new();
        for name in ["cpus", "mem"] {
            let limited = self
                .live_tasks()
                .any(|(_, task)| task.info.limits.contains_key(name));
            let Some(parsed) = ResourceName::parse(name).ok().filter(|_| limited) else {
                continue;
            };
            let mut sum = self.resources.scalar(&parsed).as_f64();
            for (_, task) in self.live_tasks() {
                sum += match task.info.limits.get(name) {
                    Some(limit) => limit.value,
                    None => task.resources.scalar(&parsed).as_f64(),
                };
            }
            limits.insert(name.to_owned(), sum);
        }
        limits
    }

    /// One of its tasks as messages and views carry it.
    #[must_use]
    pub fn task_to_proto(&self, task: &Task) -> v1::Task {
        let executor_id = (!self.command_executor).then(|| (&self.id).into());
        task.to_proto(&self.framework_id, executor_id)
    }

    /// An executor may report before its containerizer has said which process it is.
    pub(super) fn name_supervisor(&mut self, pid: u32) {
        let ids: Vec<TaskId> = self.tasks.keys().cloned().collect();
        for id in ids {
            for status in &mut self.task_mut(&id).statuses {
                if let Some(container) = &mut status.container_status {
                    container.executor_pid.get_or_insert(pid);
                }
            }
        }
    }

    /// A change to one task; panics if it is not there.
    pub(super) fn task_mut(&mut self, id: &TaskId) -> &mut Task {
        let task = self
            .tasks
            .get_mut(id)
            .expect("the caller has found the task before");
        Arc::make_mut(task)
    }
}
