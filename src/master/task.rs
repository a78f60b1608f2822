//! One task as the master knows it, and the table of its states.
//!
//! ```text
//! STAGING -> STARTING -> RUNNING -> KILLING -> FINISHED | FAILED | KILLED | ERROR | LOST | DROPPED |
//!    each may skip ahead, none goes back        GONE | GONE_BY_OPERATOR       (these never change)
//! any of the first four <-> UNREACHABLE
//! ```

use std::sync::Arc;

use crate::base::{AgentId, ExecutorId, FrameworkId, TaskId, Uuid};
use crate::proto::v1;
use crate::proto::v1::TaskState;
use crate::resources::Resources;

/// Statuses kept per task; an executor that flaps between states must not fill the memory.
const STATUSES_MAX: usize = 16;

/// How far a living task has come; none for states that are not steps of a life.
fn progress(state: TaskState) -> Option<u8> {
    match state {
        TaskState::TaskStaging => Some(0),
        TaskState::TaskStarting => Some(1),
        TaskState::TaskRunning => Some(2),
        TaskState::TaskKilling => Some(3),
        _ => None,
    }
}

/// Whether a stored state may become `to`. What is terminal stays; a task on an unreachable agent
/// may turn out to be anything; otherwise a life only goes forward.
#[must_use]
pub fn may_follow(from: TaskState, to: TaskState) -> bool {
    match (from, to) {
        (_, TaskState::TaskUnknown) => false,
        (from, _) if from.is_terminal() => false,
        (TaskState::TaskUnreachable | TaskState::TaskUnknown, _)
        | (_, TaskState::TaskUnreachable) => true,
        (_, to) if to.is_terminal() => true,
        (from, to) => progress(to) >= progress(from),
    }
}

/// The update that the scheduler was last sent, or was to be sent while it was away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Its state.
    pub state: TaskState,
    /// Its name; none for updates made by the master, which are not acknowledged, and for those that
    /// an earlier master has sent.
    pub uuid: Option<Uuid>,
}

/// A task that a framework launched.
#[derive(Clone, Debug)]
pub struct Task {
    /// The framework's name for it.
    pub id: TaskId,
    /// The framework.
    pub framework_id: FrameworkId,
    /// Where it runs.
    pub agent_id: AgentId,
    /// The framework's executor; none for the built-in one.
    pub executor_id: Option<ExecutorId>,
    /// What does not change: name, labels, container, ... (state and statuses here mean nothing).
    pub description: Arc<v1::Task>,
    /// What it was given, allocated to the role of its offer.
    pub resources: Resources,
    /// The newest state known; may be ahead of what the scheduler was sent.
    pub state: TaskState,
    /// The last statuses, oldest first, without `data`.
    pub statuses: Vec<Arc<v1::TaskStatus>>,
    /// What the scheduler was last sent.
    pub forwarded: Option<Forwarded>,
}

impl Task {
    /// True while the task's resources are not free: it is neither terminal nor unreachable.
    #[must_use]
    pub fn holds_resources(&self) -> bool {
        !self.state.is_terminal() && self.state != TaskState::TaskUnreachable
    }

    /// The state that reconciliation answers with: what the scheduler was last sent, if anything.
    #[must_use]
    pub fn reported_state(&self) -> TaskState {
        self.forwarded
            .map_or(self.state, |forwarded| forwarded.state)
    }

    /// Keeps a status, in place of the last one when that has the same state.
    pub fn record_status(&mut self, mut status: v1::TaskStatus) {
        status.data = None;
        let status = Arc::new(status);
        match self.statuses.last_mut() {
            Some(last) if last.state == status.state => *last = status,
            _ => {
                if self.statuses.len() == STATUSES_MAX {
                    self.statuses.remove(0);
                }
                self.statuses.push(status);
            }
        }
    }

    /// The task as messages and views carry it.
    #[must_use]
    pub fn to_proto(&self) -> v1::Task {
        let mut task = v1::Task::clone(&self.description);
        task.state = self.state.into();
        task.statuses = self
            .statuses
            .iter()
            .map(|status| v1::TaskStatus::clone(status))
            .collect();
        task.status_update_state = self.forwarded.map(|forwarded| forwarded.state.into());
        task.status_update_uuid = self
            .forwarded
            .and_then(|forwarded| forwarded.uuid)
            .map(|uuid| uuid.0.to_vec());
        task
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVING: [TaskState; 4] = [
        TaskState::TaskStaging,
        TaskState::TaskStarting,
        TaskState::TaskRunning,
        TaskState::TaskKilling,
    ];
    const TERMINAL: [TaskState; 8] = [
        TaskState::TaskFinished,
        TaskState::TaskFailed,
        TaskState::TaskKilled,
        TaskState::TaskError,
        TaskState::TaskLost,
        TaskState::TaskDropped,
        TaskState::TaskGone,
        TaskState::TaskGoneByOperator,
    ];

    fn all() -> Vec<TaskState> {
        let mut all = [LIVING.as_slice(), &TERMINAL].concat();
        all.extend([TaskState::TaskUnreachable, TaskState::TaskUnknown]);
        all
    }

    #[test]
    fn what_is_terminal_stays() {
        for from in TERMINAL {
            assert!(from.is_terminal());
            for to in all() {
                assert!(!may_follow(from, to), "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn a_life_goes_forward_and_may_skip() {
        for (at, from) in LIVING.into_iter().enumerate() {
            assert!(!from.is_terminal());
            for (then, to) in LIVING.into_iter().enumerate() {
                assert_eq!(may_follow(from, to), then >= at, "{from:?} -> {to:?}");
            }
            for to in TERMINAL {
                assert!(may_follow(from, to), "{from:?} -> {to:?}");
            }
            assert!(may_follow(from, TaskState::TaskUnreachable));
        }
    }

    #[test]
    fn the_unreachable_may_return_as_anything_known() {
        for to in all() {
            let known = to != TaskState::TaskUnknown;
            assert_eq!(may_follow(TaskState::TaskUnreachable, to), known, "{to:?}");
        }
    }
}
