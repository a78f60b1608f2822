//! One task on this agent: where it is between the master's RunTask and its last acknowledged update.

use std::sync::Arc;

use crate::base::{FrameworkId, TaskId};
use crate::proto::v1::{self, TaskState};
use crate::resources::Resources;

/// How far a task has come towards its executor.
///
/// ```text
/// Checkpointing --> Queued --> Sent        (a task ends from any of them)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Its record is being written.
    Checkpointing,
    /// It waits for its executor to subscribe.
    Queued,
    /// Its executor was told to launch it.
    Sent,
}

impl Stage {
    /// The transition table.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Checkpointing => matches!(next, Self::Queued | Self::Sent),
            Self::Queued => matches!(next, Self::Sent),
            Self::Sent => false,
        }
    }
}

/// A task that the agent has accepted.
#[derive(Clone, Debug)]
pub struct Task {
    /// The master's description, resources allocated to a role.
    pub info: Arc<v1::TaskInfo>,
    /// `info.resources`, parsed.
    pub resources: Resources,
    /// Number of the task group that it came in: these start and fail together.
    pub group: Option<u64>,
    /// How far it has come.
    pub stage: Stage,
    /// The newest state that the agent knows.
    pub state: TaskState,
    /// One status per state it went through, newest last (Mesos keeps the same).
    pub statuses: Vec<v1::TaskStatus>,
    /// The oldest update that the scheduler has not acknowledged: its state and uuid, as the master
    /// sees the task.
    pub forwarded: Option<(TaskState, Vec<u8>)>,
    /// A kill was passed on to the executor; repeated if the executor comes back on a new stream.
    pub kill: Option<Option<v1::KillPolicy>>,
}

impl Task {
    /// A task fresh from the master.
    #[must_use]
    pub fn new(
        info: Arc<v1::TaskInfo>,
        resources: Resources,
        group: Option<u64>,
        stage: Stage,
    ) -> Self {
        Self {
            info,
            resources,
            group,
            stage,
            state: TaskState::TaskStaging,
            statuses: Vec::new(),
            forwarded: None,
            kill: None,
        }
    }

    /// As messages and views carry it; without executor if that is the built-in one.
    #[must_use]
    pub fn to_proto(
        &self,
        framework_id: &FrameworkId,
        executor_id: Option<v1::ExecutorId>,
    ) -> v1::Task {
        let info = &self.info;
        let (status_update_state, status_update_uuid) = match &self.forwarded {
            Some((state, uuid)) => (Some(*state as i32), Some(uuid.clone())),
            None => (None, None),
        };
        v1::Task {
            name: info.name.clone(),
            task_id: info.task_id.clone(),
            framework_id: framework_id.into(),
            executor_id,
            agent_id: info.agent_id.clone(),
            state: self.state as i32,
            resources: info.resources.clone(),
            statuses: self.statuses.clone(),
            status_update_state,
            status_update_uuid,
            labels: info.labels.clone(),
            discovery: info.discovery.clone(),
            container: info.container.clone(),
            user: info
                .command
                .as_ref()
                .and_then(|command| command.user.clone()),
            health_check: info.health_check.clone(),
            kill_policy: info.kill_policy,
            limits: info.limits.clone(),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        TaskId::new(self.info.task_id.value.as_str())
    }

    /// Moves towards the executor.
    pub(super) fn advance(&mut self, next: Stage) {
        assert!(
            self.stage.may_become(next),
            "task {} cannot go from {:?} to {next:?}",
            self.info.task_id.value,
            self.stage
        );
        self.stage = next;
    }

    /// Notes a status that the agent has taken. Data is dropped, as in Mesos' views.
    pub(super) fn record(&mut self, status: &v1::TaskStatus) {
        let state = status.state();
        assert!(
            !self.state.is_terminal() || self.state == state,
            "task {} cannot leave the terminal state {:?}",
            self.info.task_id.value,
            self.state
        );
        self.state = state;
        let mut kept = status.clone();
        kept.data = None;
        if self
            .statuses
            .last()
            .is_some_and(|last| last.state == kept.state)
        {
            self.statuses.pop();
        }
        self.statuses.push(kept);
        if self.statuses.len() > STATUSES_MAX {
            self.statuses.remove(0);
        }
    }
}

/// Most statuses kept per task: states go forward, so more come only from a misbehaving executor.
pub(super) const STATUSES_MAX: usize = 16;
