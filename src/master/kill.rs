//! KILL and SHUTDOWN: on their way to the agent, or remembered until it is back.

use crate::base::{AgentId, FrameworkId, TaskId};
use crate::proto::v1::scheduler::call;
use crate::proto::{link, v1};

use super::core::{Master, Step};

impl Master {
    /// KILL: an unknown task is answered as if it had been asked for by RECONCILE.
    pub(super) fn kill(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        call: call::Kill,
    ) {
        let task_id = TaskId::new(call.task_id.value);
        let agent_id = call.agent_id.map(|id| AgentId::new(id.value));
        let framework = self.frameworks.get(framework_id);
        let Some(task) = framework.and_then(|framework| framework.tasks.get(&task_id)) else {
            self.reconcile_task(step, framework_id, &task_id, agent_id.as_ref());
            return;
        };
        if agent_id.is_some_and(|named| named != task.agent_id) {
            tracing::warn!(%framework_id, %task_id, "kill names another agent than the task's, ignored");
            self.metrics.dropped_messages += 1;
            return;
        }
        self.kill_task(step, framework_id, &task_id, call.kill_policy);
    }

    /// Has a known task killed, now or when its agent is back.
    pub(super) fn kill_task(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        policy: Option<v1::KillPolicy>,
    ) {
        let framework = self.frameworks.get(framework_id);
        let Some(task) = framework.and_then(|framework| framework.tasks.get(task_id)) else {
            return;
        };
        if task.state.is_terminal() {
            return;
        }
        let agent_id = task.agent_id.clone();
        let Some(agent) = self.agent_mut(&agent_id) else {
            return;
        };
        if !agent.is_active() {
            agent
                .kills
                .insert((framework_id.clone(), task_id.clone()), policy);
            return;
        }
        let message = kill_message(framework_id, task_id, policy);
        self.send_agent(step, &agent_id, message);
    }

    /// SHUTDOWN: ends an executor; not remembered while its agent is away.
    pub(super) fn shutdown_executor(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        call: call::Shutdown,
    ) {
        let agent_id = AgentId::new(call.agent_id.value);
        let message = link::from_master::Message::ShutdownExecutor(link::ShutdownExecutor {
            framework_id: framework_id.into(),
            executor_id: call.executor_id,
        });
        self.send_agent(step, &agent_id, message);
    }
}

pub(super) fn kill_message(
    framework_id: &FrameworkId,
    task_id: &TaskId,
    kill_policy: Option<v1::KillPolicy>,
) -> link::from_master::Message {
    link::from_master::Message::KillTask(link::KillTask {
        framework_id: framework_id.into(),
        task_id: task_id.into(),
        kill_policy,
    })
}
