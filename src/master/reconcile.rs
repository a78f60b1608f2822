//! RECONCILE: what the master knows of tasks, told again.

use crate::base::{AgentId, FrameworkId, TaskId, Timestamp};
use crate::proto::v1;
use crate::proto::v1::TaskState;
use crate::proto::v1::scheduler::call;
use crate::proto::v1::task_status::Reason;

use super::core::{Master, Step};
use super::events::master_status;
use super::task::Task;

impl Master {
    /// RECONCILE: all tasks that the master holds for the framework, or those that the call names.
    pub(super) fn reconcile(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        call: &call::Reconcile,
    ) {
        if call.tasks.is_empty() {
            let Some(framework) = self.frameworks.get(framework_id) else {
                return;
            };
            let Some(connection) = framework.status.connection() else {
                return;
            };
            for task in framework.tasks.values() {
                step.send_update(connection, known_status(task, step.now.wall));
            }
            return;
        }
        for task in &call.tasks {
            let task_id = TaskId::new(task.task_id.value.as_str());
            let agent_id = task.agent_id.as_ref();
            let agent_id = agent_id.map(|id| AgentId::new(id.value.as_str()));
            self.reconcile_task(step, framework_id, &task_id, agent_id.as_ref());
        }
    }

    /// Tells what is known of one task; nothing while the answer may still come with an agent.
    pub(super) fn reconcile_task(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        agent_id: Option<&AgentId>,
    ) {
        let Some(framework) = self.frameworks.get(framework_id) else {
            return;
        };
        let Some(connection) = framework.status.connection() else {
            return;
        };
        if let Some(task) = framework.tasks.get(task_id) {
            step.send_update(connection, known_status(task, step.now.wall));
            return;
        }
        let parked = framework.unreachable_tasks.get(task_id);
        let agent_id = agent_id.or_else(|| parked.map(|task| &task.agent_id));
        let answer = |precise: TaskState, message: &str| {
            let (state, reason) = (framework.loss(precise), Reason::Reconciliation);
            master_status(task_id, agent_id, state, reason, message, step.now.wall)
        };
        let status = match agent_id {
            None if !self.recovered.is_empty() => return,
            None => answer(TaskState::TaskUnknown, "Reconciliation: Task is unknown"),
            Some(id) if self.recovered.contains_key(id) => return,
            Some(id) if self.agents.contains_key(id) => {
                answer(TaskState::TaskGone, "Reconciliation: Task is gone")
            }
            Some(id) => match self.unreachable.get(id) {
                Some(since) => {
                    let mut status = answer(
                        TaskState::TaskUnreachable,
                        "Reconciliation: Task is unreachable",
                    );
                    status.unreachable_time = Some(time(*since));
                    status
                }
                None => answer(TaskState::TaskUnknown, "Reconciliation: Task is unknown"),
            },
        };
        step.send_update(connection, status);
    }
}

/// The newest status that the scheduler was sent of a task, as reconciliation repeats it.
fn known_status(task: &Task, at: Timestamp) -> v1::TaskStatus {
    let state = task.reported_state();
    let (reason, text) = (Reason::Reconciliation, "Reconciliation: Latest task state");
    let mut status = master_status(&task.id, Some(&task.agent_id), state, reason, text, at);
    status.executor_id = task.executor_id.as_ref().map(Into::into);
    let mut newest_first = task.statuses.iter().rev();
    if let Some(last) = newest_first.find(|last| last.state() == state) {
        status.healthy = last.healthy;
        status.labels.clone_from(&last.labels);
        status.check_status.clone_from(&last.check_status);
        status.container_status.clone_from(&last.container_status);
        status.unreachable_time.clone_from(&last.unreachable_time);
    }
    status
}

/// A time as messages carry it.
pub(super) fn time(at: Timestamp) -> v1::TimeInfo {
    v1::TimeInfo {
        nanoseconds: i64::try_from(at.0).unwrap_or(i64::MAX),
    }
}
