//! Status updates on their way from agents to schedulers, and acknowledgements on their way back.

use crate::base::{AgentId, FrameworkId, TaskId, Uuid};
use crate::proto::v1::TaskState;
use crate::proto::{link, v1};

use super::call::CallError;
use super::core::{Master, Step};

impl Master {
    /// A status update from an agent: recorded, and forwarded when the scheduler is subscribed.
    /// Without an acknowledgement the agent sends it again, so nothing is lost by dropping it.
    pub(super) fn status_update(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        message: link::StatusUpdate,
    ) {
        self.metrics.messages_status_update += 1;
        let uuid = message.status.uuid.as_deref().and_then(Uuid::from_slice);
        let newest = TaskState::try_from(message.latest_state);
        let (Some(uuid), Ok(newest), Ok(state)) =
            (uuid, newest, TaskState::try_from(message.status.state))
        else {
            self.metrics.invalid_status_updates += 1;
            tracing::warn!(%agent_id, "status update without a proper uuid or state dropped");
            return;
        };
        let framework_id = FrameworkId::new(message.framework_id.value.as_str());
        let task_id = TaskId::new(message.status.task_id.value.as_str());
        if self.completed.contains(&framework_id) {
            self.acknowledge_to(step, agent_id, &framework_id, &task_id, uuid);
            return;
        }
        let Some(framework) = self.frameworks.get(&framework_id) else {
            self.metrics.invalid_status_updates += 1;
            return;
        };
        match framework.tasks.get(&task_id) {
            Some(task) if task.agent_id != *agent_id => {
                // The id was used again while this agent was away; nobody waits for this task.
                self.metrics.invalid_status_updates += 1;
                self.acknowledge_to(step, agent_id, &framework_id, &task_id, uuid);
                return;
            }
            Some(_) => self.metrics.valid_status_updates += 1,
            None => self.metrics.invalid_status_updates += 1,
        }
        let mut status = message.status;
        status.agent_id = Some(agent_id.into());
        self.record_status(step, &framework_id, &task_id, newest, &status);
        if planted!(self, LoseUpdateForwarding) && state.is_terminal() {
            self.acknowledge_to(step, agent_id, &framework_id, &task_id, uuid);
            return;
        }
        if planted!(self, AcknowledgeBeforeRecorded) {
            self.acknowledge_to(step, agent_id, &framework_id, &task_id, uuid);
        }
        self.forward_status(step, &framework_id, &task_id, status);
    }

    /// Tells an agent that nobody needs an update any more.
    fn acknowledge_to(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        uuid: Uuid,
    ) {
        let message = link::from_master::Message::Acknowledge(link::Acknowledge {
            framework_id: framework_id.into(),
            task_id: task_id.into(),
            uuid: uuid.0.to_vec(),
        });
        self.send_agent(step, agent_id, message);
    }

    /// ACKNOWLEDGE: goes to the agent if that can be reached and was the update's origin; else it
    /// is dropped, since the agent sends the update again.
    pub(super) fn acknowledge(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        call: v1::scheduler::call::Acknowledge,
    ) -> Result<(), CallError> {
        let Some(uuid) = Uuid::from_slice(&call.uuid) else {
            self.metrics.invalid_status_update_acknowledgements += 1;
            return Err(CallError::invalid(format!(
                "acknowledge.uuid: must have 16 bytes, has {}",
                call.uuid.len()
            )));
        };
        let agent_id = AgentId::new(call.agent_id.value);
        let task_id = TaskId::new(call.task_id.value);
        let reachable = self
            .agents
            .get(&agent_id)
            .is_some_and(|agent| agent.is_active());
        let framework = self.frameworks.get(framework_id);
        let task = framework.and_then(|framework| framework.tasks.get(&task_id));
        let expected = task.is_none_or(|task| {
            task.agent_id == agent_id && task.forwarded.is_some_and(|sent| sent.uuid.is_some())
        });
        if !reachable || !expected {
            self.metrics.invalid_status_update_acknowledgements += 1;
            return Ok(());
        }
        self.metrics.valid_status_update_acknowledgements += 1;
        let over = task
            .and_then(|task| task.forwarded)
            .is_some_and(|sent| sent.uuid == Some(uuid) && sent.state.is_terminal());
        if over {
            self.complete_task(framework_id, &task_id);
        }
        self.acknowledge_to(step, &agent_id, framework_id, &task_id, uuid);
        Ok(())
    }
}
