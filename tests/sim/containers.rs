//! Model containers of one agent: they start, connect, run their tasks, fail and end, as the real
//! supervisor and executors do, in virtual time.

use std::collections::BTreeMap;

use mesosd::agent::{ContainerConfig, ContainerKind};
use mesosd::base::{ConnectionId, Rng, TaskId};
use mesosd::proto::v1;
use mesosd::proto::v1::TaskState;

/// A container and the executor in it.
pub(crate) struct Container {
    pub(crate) config: ContainerConfig,
    /// Its supervisor runs; before, the launch is under way.
    pub(crate) started: bool,
    /// A destruction is under way.
    pub(crate) destroying: bool,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) tasks: BTreeMap<TaskId, Run>,
    /// Updates that the agent has not acknowledged, oldest first.
    pub(crate) unacknowledged: Vec<v1::TaskStatus>,
    /// It was told to end.
    pub(crate) shutting_down: bool,
    /// Its executor hears and does nothing any more.
    pub(crate) wedged: bool,
}

/// One task in an executor.
pub(crate) struct Run {
    pub(crate) info: v1::TaskInfo,
    pub(crate) state: TaskState,
    /// An update of it was acknowledged.
    pub(crate) acknowledged: bool,
    /// It ends by itself after this time, in milliseconds.
    pub(crate) lasts_millis: u64,
    /// How it ends by itself.
    pub(crate) ends_as: TaskState,
}

impl Container {
    pub(crate) fn new(config: ContainerConfig) -> Self {
        Self {
            config,
            started: false,
            destroying: false,
            connection: None,
            tasks: BTreeMap::new(),
            unacknowledged: Vec::new(),
            shutting_down: false,
            wedged: false,
        }
    }

    pub(crate) fn is_command(&self) -> bool {
        matches!(self.config.kind, ContainerKind::CommandTask(_))
    }

    /// Tasks to name in SUBSCRIBE: those without an acknowledged update.
    pub(crate) fn unacknowledged_tasks(&self) -> Vec<v1::TaskInfo> {
        self.tasks
            .values()
            .filter(|run| !run.acknowledged)
            .map(|run| run.info.clone())
            .collect()
    }

    /// Takes a task in; its fate is drawn here.
    pub(crate) fn launch(&mut self, info: v1::TaskInfo, rng: &mut Rng) -> TaskId {
        let id = TaskId::new(info.task_id.value.as_str());
        let ends_as = match rng.below(10) {
            0 | 1 => TaskState::TaskFailed,
            _ => TaskState::TaskFinished,
        };
        let lasts_millis = if rng.chance(1, 3) {
            rng.below(100)
        } else {
            rng.below(60_000)
        };
        self.tasks.insert(
            id.clone(),
            Run {
                info,
                state: TaskState::TaskStaging,
                acknowledged: false,
                lasts_millis,
                ends_as,
            },
        );
        id
    }

    /// The status update of a new state, remembered until it is acknowledged.
    pub(crate) fn update(
        &mut self,
        id: &TaskId,
        state: TaskState,
        rng: &mut Rng,
    ) -> v1::TaskStatus {
        if let Some(run) = self.tasks.get_mut(id) {
            run.state = state;
        }
        let status = v1::TaskStatus {
            task_id: v1::TaskId {
                value: id.to_string(),
            },
            state: state as i32,
            source: Some(v1::task_status::Source::Executor as i32),
            executor_id: Some(v1::ExecutorId {
                value: self.config.executor_id.to_string(),
            }),
            uuid: Some(rng.uuid().0.to_vec()),
            ..v1::TaskStatus::default()
        };
        self.unacknowledged.push(status.clone());
        status
    }

    /// The agent has an update on record.
    pub(crate) fn acknowledged(&mut self, id: &TaskId, uuid: &[u8]) {
        self.unacknowledged
            .retain(|status| status.uuid.as_deref() != Some(uuid));
        if let Some(run) = self.tasks.get_mut(id) {
            run.acknowledged = true;
        }
    }
}
