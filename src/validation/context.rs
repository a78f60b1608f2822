//! What a master knows when it checks a launch.

use crate::base::{AgentId, ExecutorId, FrameworkId, TaskId};
use crate::proto::v1;
use crate::roles::Role;

/// What runs already.
pub trait Known {
    /// True when the framework has a task of this id that has not ended.
    fn has_live_task(&self, task: &TaskId) -> bool;

    /// True when the framework has a task of this id on an unreachable agent.
    fn has_unreachable_task(&self, task: &TaskId) -> bool;

    /// The framework's executor of this id on the offers' agent, as it was checked at its launch.
    fn executor(&self, executor: &ExecutorId) -> Option<&v1::ExecutorInfo>;

    /// Whether the tasks of this executor share its cgroups; none when it has no tasks.
    fn share_cgroups(&self, executor: &ExecutorId) -> Option<bool>;
}

/// Where a task is to be launched, for whom, and what is there already.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The framework.
    pub framework_id: &'a FrameworkId,
    /// The user that it runs as when a task says none.
    pub framework_user: &'a str,
    /// The offers' agent.
    pub agent_id: &'a AgentId,
    /// The offers' role; given to resources that name none.
    pub role: &'a Role,
    /// The agent can hold limits above requests (capability TASK_RESOURCE_LIMITS).
    pub agent_takes_limits: bool,
    /// Tasks may run as root (`--root_submissions`).
    pub root_submissions: bool,
    /// What runs already.
    pub known: &'a dyn Known,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("framework_id", self.framework_id)
            .field("agent_id", self.agent_id)
            .field("role", self.role)
            .finish_non_exhaustive()
    }
}

/// In a private field, the proof that a value was made by a check: nothing outside can make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checked;
