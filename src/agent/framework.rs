//! A framework that has work on this agent.

use std::sync::Arc;

use imbl::{OrdMap, Vector};

use crate::base::{ExecutorId, FrameworkId, TaskId};
use crate::proto::v1::{self, framework_info::capability};

use super::executor::Executor;

/// Where a framework is: `Running --> Terminating --> (completed)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameworkStatus {
    /// Takes tasks.
    Running,
    /// The master has removed it; its executors are ending.
    Terminating,
}

/// A framework and its executors on this agent.
#[derive(Clone, Debug)]
pub struct Framework {
    /// Its id.
    pub id: FrameworkId,
    /// Its newest description.
    pub info: Arc<v1::FrameworkInfo>,
    /// Where it is.
    pub status: FrameworkStatus,
    /// Runs that are not over, one per executor id.
    pub executors: OrdMap<ExecutorId, Arc<Executor>>,
    /// Runs that are over, oldest first.
    pub completed_executors: Vector<Arc<Executor>>,
}

impl Framework {
    /// A framework fresh from the master.
    #[must_use]
    pub fn new(id: FrameworkId, info: Arc<v1::FrameworkInfo>) -> Self {
        Self {
            id,
            info,
            status: FrameworkStatus::Running,
            executors: OrdMap::new(),
            completed_executors: Vector::new(),
        }
    }

    /// The framework declared this capability.
    #[must_use]
    pub fn can(&self, wanted: capability::Type) -> bool {
        can(&self.info, wanted)
    }

    /// Keeps an ended run visible, and at most `max` of them.
    pub(super) fn remember(&mut self, executor: Arc<Executor>, max: usize) {
        self.completed_executors.push_back(executor);
        while self.completed_executors.len() > max {
            self.completed_executors.pop_front();
        }
    }

    /// The executor that holds a task.
    #[must_use]
    pub fn executor_of(&self, task_id: &TaskId) -> Option<&Arc<Executor>> {
        self.executors
            .values()
            .find(|executor| executor.tasks.contains_key(task_id))
    }
}

/// A framework with this description declared this capability.
#[must_use]
pub(super) fn can(info: &v1::FrameworkInfo, wanted: capability::Type) -> bool {
    info.capabilities
        .iter()
        .any(|capability| capability.r#type() == wanted)
}
